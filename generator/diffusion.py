"""A diffusion head: latent vectors drawn for hidden states of a language model.

In the line of MAR (Li et al. 2024), whose head MotionGPT3 takes: a small residual network, modulated by time and hidden
state, tells the noise in a latent (Ho et al. 2020). It says it as a velocity (Salimans and Ho 2022): where hardly
anything of the latent is left, which is where sampling begins and the prompt decides, the noise is what is seen, and a
network that says the noise itself errs there by many times the latent, the more so if it is narrower than the latents,
for all of the noise has to pass through it. Training has STEPS steps of noise with a scaled-linear schedule (Rombach et
al. 2022), sampling takes a few of them without fresh noise (DDIM, Song et al. 2021), with classifier-free guidance
between the noise told with a prompt and without one (Ho and Salimans 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from morphloop.base import MotionError

from .config import DiffusionConfig

STEPS = 1000
BETAS = (0.00085, 0.012)
"""First and last variance of a step."""
DRAWS = 16
"""Times and noises that a latent is shown with in one step of training."""
REACH = 4.0
"""Largest number of a drawn latent; those that are learnt have unit variance."""
Noise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Noise (N, C) that is in latents (N, C) at a time (N,)."""


def kept_shares() -> torch.Tensor:
    """(STEPS,) float64 share of a latent's variance that is left at each time."""
    first, last = (beta**0.5 for beta in BETAS)
    return (1.0 - torch.linspace(first, last, STEPS, dtype=torch.float64).square()).cumprod(0)


class Modulated(nn.Module):
    """Residual block of two layers whose norm is shifted, scaled and gated by a condition (adaLN-Zero)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        shift, scale, gate = self.modulation(condition).chunk(3, dim=-1)
        return x + gate * self.layers(self.norm(x) * (1 + scale) + shift)


class DiffusionHead(nn.Module):
    """Hidden states (N, d) to latents (N, C).

    Latents are normalised with `mean` and `std` (C,), which `set_normaliser` takes from those that are trained on.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, hidden: int, size: int, config: DiffusionConfig) -> None:
        super().__init__()
        self.config, self.size = config, size
        width = config.width
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.enter = nn.Linear(size, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(hidden, width)
        self.blocks = nn.ModuleList(Modulated(width) for _ in range(config.depth))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, size))

    def set_normaliser(self, latents: torch.Tensor) -> None:
        """Mean and scale of latents (N, C)."""
        self.mean.copy_(latents.mean(0))
        self.std.copy_(latents.std(0, correction=0).clamp(min=1e-3))

    def noise(self, noisy: torch.Tensor, time: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Noise (N, C) that it sees in normalised latents (N, C) at times (N,), for hidden states (N, d)."""
        kept = kept_shares()[time].to(noisy.dtype)[:, None]
        return (1 - kept).sqrt() * noisy + kept.sqrt() * self._velocity(noisy, time, hidden)

    def _velocity(self, noisy: torch.Tensor, time: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """What the network itself says: the noise times the root of the share that is kept of the latent, less the
        latent times that of the noise's share."""
        rates = torch.exp(torch.arange(0, self.config.width, 2) * (-math.log(10_000.0) / self.config.width))
        angles = time[:, None] * rates
        condition = F.silu(self.time(torch.cat([angles.sin(), angles.cos()], dim=-1)) + self.condition(hidden))
        x = self.enter(noisy)
        for block in self.blocks:
            x = block(x, condition)
        return self.leave(x)

    def loss(self, hidden: torch.Tensor, latents: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Mean squared error of the velocity in latents (N, C), each with DRAWS times and noises of `rng`: that of the
        noise, over the share that is kept of the latent."""
        wanted = ((latents - self.mean) / self.std).repeat(DRAWS, 1)
        time = torch.randint(STEPS, (len(wanted),), generator=rng)
        noise = torch.randn(wanted.shape, generator=rng)
        kept = kept_shares()[time].to(wanted.dtype)[:, None]
        noisy, velocity = ((kept.sqrt() * a + (1 - kept).sqrt() * b) for a, b in ((wanted, noise), (noise, -wanted)))
        return F.mse_loss(self._velocity(noisy, time, hidden.repeat(DRAWS, 1)), velocity)

    @torch.no_grad()
    def sample(
        self,
        hidden: torch.Tensor,
        generators: Sequence[torch.Generator],
        unprompted: torch.Tensor | None = None,
        guidance: float = 1.0,
    ) -> torch.Tensor:
        """Latents (N, C) for hidden states (N, d), each from a generator of its own.

        guidance: how far the noise goes from that for `unprompted` hidden states (N, d) to that for `hidden`; 1 takes
        the latter alone. MotionError if other states are needed and not given.
        """
        if guidance != 1.0 and unprompted is None:
            raise MotionError(f"diffusion: guidance {guidance} needs hidden states without a prompt")

        def noise(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            told = self.noise(noisy, time, hidden)
            if guidance == 1.0 or unprompted is None:
                return told
            untold = self.noise(noisy, time, unprompted)
            return untold + guidance * (told - untold)

        start = torch.stack([torch.randn(self.size, generator=generator) for generator in generators])
        return ddim(noise, start, self.config.sampling_steps) * self.std + self.mean


def ddim(noise: Noise, start: torch.Tensor, steps: int) -> torch.Tensor:
    """Latents (N, C) that `steps` steps without fresh noise make of pure noise (N, C).

    Times lie closer together where little noise is left (quadratic, as in the paper): evenly spaced, few steps lose
    variance.
    """
    times = torch.linspace((STEPS - 1) ** 0.5, 0, steps).square().round().long()
    kept = kept_shares().to(start.dtype)
    x = start
    for place, time in enumerate(times):
        now, then = kept[time], kept[times[place + 1]] if place + 1 < steps else kept.new_ones(())
        seen = noise(x, time.expand(len(x)))
        clean = ((x - (1 - now).sqrt() * seen) / now.sqrt()).clamp(-REACH, REACH)
        seen = (x - now.sqrt() * clean) / (1 - now).sqrt()
        x = then.sqrt() * clean + (1 - then).sqrt() * seen
    return x
