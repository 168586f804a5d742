"""Motion tokenizer: features to L streams of codes and back, by residual vector or finite scalar quantisation.

The convolutional auto-encoder of T2M-GPT (Zhang et al. 2023) with the residual quantiser of MoMask (Guo et al. 2024):
stream l codes what streams before it left over. Codebooks follow their clusters by exponential moving average, a code
that nobody uses is moved onto a sample (Jukebox); with one stream it is T2M-GPT's own quantiser. With `levels` there is
one stream of finite scalar quantisation (Mentzer et al. 2023), whose codebook is not learnt. The decoder ends in a
layer that keeps standing feet on their spots (`planted_feet.py`) and is trained through it and through forward
kinematics (`tokenizer_training.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.features import clip_to_features, features_to_clip

from .autoencoder import MotionAutoencoder
from .config import TokenizerConfig
from .planted_feet import Kinematics


class Quantizer(nn.Module):
    """One codebook (K, C) with its moving averages."""

    codebook: torch.Tensor
    count: torch.Tensor
    total: torch.Tensor

    DECAY = 0.99
    DEAD = 0.3
    """Moving count of uses below which a code is moved."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("codebook", torch.zeros(size, dim))
        self.register_buffer("count", torch.zeros(size))
        self.register_buffer("total", torch.zeros(size, dim))

    def bound(self, x: torch.Tensor) -> torch.Tensor:
        """What the encoder says (..., C) as it is: a codebook follows it anywhere."""
        return x

    def nearest(self, x: torch.Tensor) -> torch.Tensor:
        """Index (N,) of the nearest code to each of (N, C)."""
        return (self.codebook.square().sum(-1) - 2 * x @ self.codebook.T).argmin(-1)

    @torch.no_grad()
    def follow(self, x: torch.Tensor, index: torch.Tensor, rng: torch.Generator) -> None:
        """Move the codes towards the vectors (N, C) that chose them; the dead ones onto vectors drawn by `rng`."""
        chosen = F.one_hot(index, len(self.codebook)).to(x.dtype)
        self.count.mul_(self.DECAY).add_(chosen.sum(0), alpha=1 - self.DECAY)
        self.total.mul_(self.DECAY).add_(chosen.T @ x, alpha=1 - self.DECAY)
        self.codebook.copy_(self.total / self.count.clamp(min=1e-6)[:, None])
        dead = torch.nonzero(self.count < self.DEAD)[:, 0]
        drawn = x[torch.randint(len(x), (len(dead),), generator=rng)]
        self.codebook[dead], self.total[dead], self.count[dead] = drawn, drawn, 1.0


class ScalarQuantizer(nn.Module):
    """Finite scalar quantisation: each number of a code takes evenly spaced values within [-1, 1]; all combinations are
    the codebook (K, C), which nothing moves."""

    codebook: torch.Tensor
    centre: torch.Tensor
    even: torch.Tensor
    radix: torch.Tensor

    MARGIN = 1e-3
    """Share by which tanh reaches beyond the outermost values, so that its saturation rounds to them."""

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        sizes = np.array(levels)
        counts = np.stack(np.unravel_index(np.arange(sizes.prod()), levels), axis=-1)
        for name, values in (
            ("codebook", (counts - sizes // 2) / (sizes // 2)),
            ("centre", sizes // 2),
            ("even", 1 - sizes % 2),
            ("radix", np.append(np.cumprod(sizes[:0:-1])[::-1], 1)),
        ):
            kind = torch.long if name == "radix" else torch.float32
            self.register_buffer(name, torch.tensor(values.tolist(), dtype=kind), persistent=False)

    def bound(self, x: torch.Tensor) -> torch.Tensor:
        """What the encoder says (..., C) pressed smoothly into the range of the values; 0 stays 0."""
        reach = (self.centre - 0.5 * self.even) * (1 + self.MARGIN)
        offset = 0.5 * self.even
        return (torch.tanh(x + torch.atanh(offset / reach)) * reach - offset) / self.centre

    def nearest(self, x: torch.Tensor) -> torch.Tensor:
        """Index (N,) of the nearest code to each of (N, C)."""
        counts = (x * self.centre).round() + self.centre
        counts = torch.minimum(counts.clamp(min=0), 2 * self.centre - self.even)
        return (counts.long() * self.radix).sum(-1)

    def follow(self, x: torch.Tensor, index: torch.Tensor, rng: torch.Generator) -> None:
        """Nothing: the codes stay where they are."""


class ResidualBlock(nn.Module):
    """Dilated 3-wide convolution and a pointwise one, added to the input (B, C, T)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.point = nn.Conv1d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.point(F.silu(self.wide(F.silu(x))))


class MotionTokenizer(MotionAutoencoder):
    """Features (B, T, FEATURE_SIZE) to codes (B, L, n) and back, n = ceil(T / frames_per_token)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__(config.planting)
        self.config = config
        width = config.width
        blocks = [ResidualBlock(width, 3**d) for d in range(config.depth)]
        encoder: list[nn.Module] = [nn.Conv1d(self.channels, width, 3, padding=1)]
        decoder: list[nn.Module] = [nn.Conv1d(config.code_size, width, 3, padding=1), *blocks]
        for _ in range(config.halvings):
            encoder += [nn.Conv1d(width, width, 4, stride=2, padding=1)]
            encoder += [ResidualBlock(width, 3**d) for d in range(config.depth)]
            decoder += [nn.Upsample(scale_factor=2), nn.Conv1d(width, width, 3, padding=1)]
            decoder += [ResidualBlock(width, 3**d) for d in reversed(range(config.depth))]
        encoder += [nn.Conv1d(width, config.code_size, 3, padding=1)]
        decoder += [nn.SiLU(), nn.Conv1d(width, self.channels, 3, padding=1)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        self.quantizers = nn.ModuleList(
            [ScalarQuantizer(config.levels)]
            if config.levels
            else [Quantizer(config.codebook, config.code_size) for _ in range(config.streams)]
        )

    @property
    def books(self) -> list[Quantizer | ScalarQuantizer]:
        """The quantisers, coarse to fine."""
        return [one for one in self.quantizers if isinstance(one, Quantizer | ScalarQuantizer)]

    @torch.no_grad()
    def begin_as(self, other: MotionTokenizer) -> None:
        """Take the weights of another one of the same sizes; what plants feet is new if only this one does.

        Raises MotionError if the sizes differ.
        """
        if (
            replace(other.config, planting=self.config.planting) != self.config
            or other.config.planting > self.config.planting
        ):
            raise MotionError(f"tokenizer to start from has {other.config}, expected {self.config}")
        own = self.state_dict()
        for name, weights in other.state_dict().items():
            own[name].zero_()
            own[name][tuple(slice(size) for size in weights.shape)] = weights

    def latents(self, features: torch.Tensor, stands: torch.Tensor | None = None) -> torch.Tensor:
        """(B, n, C) before quantisation, within its bounds; the last frame is repeated up to a whole token.

        stands: `standing` of the features where it is known already, (B, T, POINTS).
        """
        seen = self.seen(features, self.config.frames_per_token, stands)
        return self.books[0].bound(self.encoder(seen.transpose(1, 2)).transpose(1, 2))

    def quantize(
        self, latents: torch.Tensor, follow: torch.Generator | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Codes (B, L, n) and, stream by stream, the sum of codes so far (B, n, C).

        With `follow` the codebooks move, and it draws the dead ones' new places.
        """
        flat = latents.detach().reshape(-1, latents.shape[-1])
        left, indices, sums = flat, [], []
        for quantizer in self.books:
            index = quantizer.nearest(left)
            if follow is not None:
                quantizer.follow(left, index, follow)
            left = left - quantizer.codebook[index]
            indices.append(index.reshape(latents.shape[:2]))
            sums.append((flat - left).reshape(latents.shape))
        return torch.stack(indices, dim=1), sums

    def reconstruct(self, quantized: torch.Tensor) -> tuple[Kinematics, torch.Tensor | None]:
        """Motion (B, n * frames_per_token, ...) of quantised latents (B, n, C), and the logits (B, T, POINTS) of what
        stands in it; None without the layer that plants feet."""
        return self.motion(self.decoder(quantized.transpose(1, 2)).transpose(1, 2))

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        """Quantised latents (B, n, C) of codes (B, l, n). MotionError if there is no such code."""
        if codes.shape[1] > self.config.streams or codes.min() < 0 or codes.max() >= self.config.codebook:
            raise MotionError(
                f"codes {tuple(codes.shape)}, expected at most {self.config.streams} streams of 0 .. "
                f"{self.config.codebook - 1}"
            )
        books = self.books[: codes.shape[1]]
        return torch.stack([book.codebook[codes[:, i]] for i, book in enumerate(books)]).sum(0)

    @torch.no_grad()
    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """Codes (B, L, n) of features (B, T, FEATURE_SIZE)."""
        return self.quantize(self.latents(features))[0]

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Features (B, n * frames_per_token, FEATURE_SIZE) of codes (B, l, n); l < L decodes coarse streams."""
        return self.reconstruct(self.embed(codes))[0].features

    def encode_clip(self, clip: Clip) -> torch.Tensor:
        """Codes (L, n) of a clip."""
        features = torch.from_numpy(clip_to_features(clip).astype(np.float32))
        return self.encode(features[None])[0]

    def decode_clip(self, codes: torch.Tensor, frames: int | None = None, name: str = "clip") -> Clip:
        """Clip of codes (L, n), cut to `frames` if given; it starts over the origin and faces X."""
        features = self.decode(codes[None])[0].double().numpy()
        return features_to_clip(features[:frames], name)
