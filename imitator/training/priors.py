"""Learned priors: a reward for moving as the training clips move, handed to the tracking task by training.

`vae` is Morph's prior (arXiv 2411.14951, version 3): a light motion VAE learns the state differences of the training
clips and is frozen; the reward is one minus the sigmoid of its reconstruction distance. The distance there is a plain
norm, with which the sigmoid is at its end for every transition: here it is the root mean square over dimensions, each
over its spread in the clips, and its unit is the distance of the clips' own transitions when they are shaken by 5 mm.

`adversarial` is AMP (Peng et al., arXiv 2104.02180), as in Morph's first version: a least-squares discriminator on
transitions with a gradient penalty, trained beside PPO on clips against what the policy does. AMP's buffer of older
policies is left out: an update brings thousands of transitions.

All features are in the heading frame of the body before the step: where and which way it goes does not matter.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from morphloop.base import MotionError, write_atomic
from morphloop.base.random_streams import own_streams
from morphloop.base.tensors import MAX_POLICY, header_json, read_tensors
from morphloop.envs import MotionLibrary
from morphloop.envs.observations import heading_frame
from morphloop.motion.rotations import quat_conj, quat_mul, quat_to_rotvec
from morphloop.sim import JointState

from .config import PriorConfig, PriorKind
from .policy import mlp

SCHEMA = 1
SPREAD_FLOOR = 1e-4
"""Least standard deviation of a feature that is divided by: a joint that no clip moves must not decide alone."""
FEATURE_LIMIT = 20.0
"""Features are cut here, in spreads of the clips: a diverged body must not give infinity."""
CALIBRATION = 8192
"""Transitions from which the features' mean and spread are taken."""
TAILS = (0.01, 0.99)
"""Quantiles at which features are cut for that: where a generator's clips jump, the spread would be all jumps."""
SHAKE_M = 0.005
"""What the vae's unit of distance is measured with, metres of every coordinate of every joint."""


def state_difference(before: JointState, after: JointState) -> torch.Tensor:
    """(N, 12 J) change of position, rotation (as a rotation vector), velocity and angular velocity of all joints."""
    change = [after.pos - before.pos, _turn(before, after), after.vel - before.vel, after.ang - before.ang]
    return (torch.cat(change, dim=1) @ heading_frame(before).mT).flatten(1)


def pose_and_change(before: JointState, after: JointState) -> torch.Tensor:
    """(N, 9 J) joint positions over the ground below the root, and how positions and rotations change.

    Velocities are left out: a clip's are differences of frames and a simulator's are not, which would tell them apart.
    """
    below = torch.nn.functional.pad(before.pos[:, :1, :2], (0, 1))
    parts = [before.pos - below, after.pos - before.pos, _turn(before, after)]
    return (torch.cat(parts, dim=1) @ heading_frame(before).mT).flatten(1)


def _turn(before: JointState, after: JointState) -> torch.Tensor:
    """(N, J, 3) rotation vectors from one state's rotations to the other's, world frame."""
    return quat_to_rotvec(quat_mul(after.rot, quat_conj(before.rot)))


POOL = 65536
"""Transitions that are learned from at most, drawn from all of them."""


def clip_transitions(library: MotionLibrary, seed: int, most: int = POOL) -> tuple[JointState, JointState]:
    """States before and after adjacent frames of a library's clips, shuffled, at most `most` of them.

    MotionError if no clip has two frames.
    """
    device = library.start.device
    last = torch.zeros(len(library.qpos), dtype=torch.bool)
    last[(library.start + library.length - 1).cpu()] = True
    rows = torch.nonzero(~last).flatten()
    if not len(rows):
        raise MotionError("no clip has two frames, expected at least one that moves to learn a prior from")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most]
    first = rows[order].to(device)
    return library.joints(first), library.joints(first + 1)


def shaken(state: JointState, metres: float, fps: float, generator: torch.Generator) -> JointState:
    """A state whose joints are displaced at random, as by a shaky estimator, with the speed that this takes from one
    frame to the next."""
    noise = metres * torch.randn(state.pos.shape, generator=generator, device=state.pos.device)
    return replace(state, pos=state.pos + noise, vel=state.vel + fps * noise)


class Prior(nn.Module, ABC):
    """A reward for transitions: (JointState before, after) to (N,). `learn` is called after every policy update.

    config: what it was made with; size: D, numbers in a transition's features; mean, std: (D,) of the clips' features,
    tails cut; generator: of the minibatches.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, config: PriorConfig, size: int, device: torch.device):
        super().__init__()
        self.config = config
        self.generator = torch.Generator(device=device).manual_seed(config.seed)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self._sums: list[torch.Tensor] = []

    def fit_scale(self, features: torch.Tensor) -> None:
        """Take mean and spread of the clips' features (K, D)."""
        low, high = torch.quantile(features[:CALIBRATION], features.new_tensor(TAILS), dim=0)
        cut = features.clamp(low, high)
        self.mean.copy_(cut.mean(0))
        self.std.copy_(cut.std(0).clamp(min=SPREAD_FLOOR))

    def scaled(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) features in spreads of the clips."""
        return ((features - self.mean) / self.std).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    @torch.no_grad()
    def forward(self, before: JointState, after: JointState) -> torch.Tensor:
        """(N,) reward, of at most `config.weight`."""
        return self.reward(self.observe(before, after))

    def reward(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) reward of scaled features (N, D), which is also counted for `learn` to tell."""
        reward = self.config.weight * self.rate(features)
        self._sums.append(torch.stack([reward.sum(), (reward**2).sum(), torch.ones_like(reward).sum()]))
        return reward

    @staticmethod
    @abstractmethod
    def features(before: JointState, after: JointState) -> torch.Tensor:
        """(N, D) what it sees of transitions."""

    def observe(self, before: JointState, after: JointState) -> torch.Tensor:
        """(N, D) scaled features of transitions."""
        return self.scaled(self.features(before, after))

    def batch(self, pool: torch.Tensor) -> torch.Tensor:
        """(`config.batch`, D) rows of features (K, D), drawn with replacement."""
        rows = torch.randint(len(pool), (self.config.batch,), generator=self.generator, device=pool.device)
        return pool[rows]

    @abstractmethod
    def rate(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) how much scaled features (N, D) look like the clips, 0 to 1."""

    def learn(self) -> dict[str, float]:
        """Learn from what was seen since the last call; returns figures, mean and spread of the reward among them."""
        if not self._sums:
            return {}
        total, squares, count = torch.stack(self._sums).sum(0).tolist()
        self._sums.clear()
        mean = total / count
        return {"prior_reward": mean, "prior_spread": max(squares / count - mean**2, 0.0) ** 0.5}

    @property
    def optimiser(self) -> torch.optim.Optimizer | None:
        """What it learns with beside PPO, if it does."""
        return None

    def to_bytes(self) -> bytes:
        """The file's bytes; the same prior gives the same bytes."""
        header = json.dumps({"schema": SCHEMA, "config": asdict(self.config)})
        tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(self.state_dict().items())}
        return save(tensors, metadata={"prior": header})

    def save(self, path: Path | str) -> Path:
        """Write a safetensors file, atomically."""
        return write_atomic(path, lambda stream: stream.write(self.to_bytes()))


class VaePrior(Prior):
    """Morph's prior: a VAE of state differences; what it reconstructs badly is not how the clips move."""

    LATENT, HIDDEN = 32, (256, 128)
    KL_WEIGHT = 0.002
    """Of the divergence from a standard normal, a dimension of the features; larger blurs the reconstruction."""

    features = staticmethod(state_difference)
    unit: torch.Tensor

    def __init__(self, config: PriorConfig, size: int, device: torch.device):
        super().__init__(config, size, device)
        self.register_buffer("unit", torch.ones(()))
        self.encoder = mlp([size, *self.HIDDEN, 2 * self.LATENT])
        self.decoder = mlp([self.LATENT, *reversed(self.HIDDEN), size])

    def distance(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) root mean square over dimensions of the reconstruction's error, in spreads of the clips."""
        centre = self.encoder(features)[:, : self.LATENT]
        return (self.decoder(centre) - features).square().mean(1).sqrt()

    def rate(self, features: torch.Tensor) -> torch.Tensor:
        return 1.0 - torch.sigmoid(self.distance(features) / (self.config.temperature * self.unit))

    def fit(self, clips: torch.Tensor) -> float:
        """Learn scaled state differences (K, D) in `config.steps` gradient steps; returns the last one's loss."""
        config = self.config
        optimiser = torch.optim.Adam(self.parameters(), lr=config.learning_rate)
        loss = torch.zeros(())
        for _ in range(config.steps):
            features = self.batch(clips)
            centre, log_spread = self.encoder(features).chunk(2, dim=1)
            noise = torch.randn(centre.shape, generator=self.generator, device=centre.device)
            error = (self.decoder(centre + noise * (0.5 * log_spread).exp()) - features).square().mean()
            divergence = 0.5 * (centre.square() + log_spread.exp() - log_spread - 1.0).sum(1).mean()
            loss = error + self.KL_WEIGHT * divergence
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def fit_unit(self, before: JointState, after: JointState, fps: float) -> None:
        """Take the unit of distance from the clips' transitions at a frame rate."""
        spoilt = self.observe(before, shaken(after, SHAKE_M, fps, self.generator))
        self.unit.copy_(self.distance(spoilt[:CALIBRATION]).median())


class AdversarialPrior(Prior):
    """AMP's discriminator: 1 for the clips' transitions, -1 for the policy's.

    clips: (K, D) scaled features of the clips' transitions, on the prior's device.
    """

    HIDDEN = (256, 128)
    WEIGHT_DECAY = 1e-4

    features = staticmethod(pose_and_change)

    def __init__(self, config: PriorConfig, size: int, device: torch.device):
        super().__init__(config, size, device)
        self.clips = torch.zeros(1, size, device=device)
        self.net = mlp([size, *self.HIDDEN, 1])
        self._optimiser: torch.optim.Optimizer | None = None
        self._seen: list[torch.Tensor] = []

    @torch.no_grad()
    def forward(self, before: JointState, after: JointState) -> torch.Tensor:
        features = self.observe(before, after)
        self._seen.append(features)
        return self.reward(features)

    def rate(self, features: torch.Tensor) -> torch.Tensor:
        return (1.0 - 0.25 * (self.score(features) - 1.0).square()).clamp(min=0.0)

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) the discriminator's output."""
        return self.net(features).squeeze(-1)

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        if self._optimiser is None:  # made late: it must hold the parameters of the device that the prior moved to
            config = self.config
            self._optimiser = torch.optim.Adam(
                self.parameters(), lr=config.learning_rate, weight_decay=self.WEIGHT_DECAY
            )
        return self._optimiser

    def learn(self) -> dict[str, float]:
        figures = super().learn()
        if not self._seen:
            return figures
        seen = torch.cat(self._seen)
        self._seen.clear()
        told: list[torch.Tensor] = []
        for _ in range(self.config.online_steps):
            told.append(self._step(self.batch(self.clips), self.batch(seen)))
        loss, real, fake = torch.stack(told).mean(0).tolist()
        return figures | {"discriminator_loss": loss, "discriminator_real": real, "discriminator_policy": fake}

    def _step(self, clips: torch.Tensor, policy: torch.Tensor) -> torch.Tensor:
        """One gradient step on features (N, D) of clips and policy; returns loss and mean score of either side (3,)."""
        clips = clips.requires_grad_()
        real, fake = self.score(clips), self.score(policy)
        (slope,) = torch.autograd.grad(real.sum(), clips, create_graph=True)
        separation = 0.5 * ((real - 1.0).square().mean() + (fake + 1.0).square().mean())
        loss = separation + self.config.gradient_penalty * slope.square().sum(1).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return torch.stack([loss.detach(), real.detach().mean(), fake.detach().mean()])


KINDS: dict[PriorKind, type[VaePrior] | type[AdversarialPrior]] = {"vae": VaePrior, "adversarial": AdversarialPrior}


def make_prior(config: PriorConfig, library: MotionLibrary, weights: dict[str, torch.Tensor] | None = None) -> Prior:
    """A prior of a kind for the clips of a library, on its device: learned from them, or with weights it had before.

    A vae is trained for `config.steps` steps, a discriminator is fresh. MotionError for kind `none`, if there is
    nothing to learn from, or if the weights do not fit.
    """
    if config.kind not in KINDS:
        raise MotionError(f"prior '{config.kind}' has nothing to learn, expected one of {', '.join(KINDS)}")
    kind, device = KINDS[config.kind], library.start.device
    before, after = clip_transitions(library, config.seed)
    raw = kind.features(before, after)
    with own_streams(config.seed):  # the weights depend on the seed alone, and nobody's stream on them
        prior = kind(config, raw.shape[1], device).to(device)
    if weights is not None:
        _put_weights(prior, weights)
    else:
        prior.fit_scale(raw)
    clips = prior.scaled(raw)
    if isinstance(prior, AdversarialPrior):
        prior.clips = clips
    elif weights is None:
        prior.fit(clips)
        prior.fit_unit(before, after, library.fps)
    return prior


def _put_weights(prior: Prior, weights: dict[str, torch.Tensor]) -> None:
    try:
        prior.load_state_dict(weights)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:120]
        raise MotionError(f"weights of another prior than '{prior.config.kind}' ({text})") from None


def load_prior(path: Path | str, library: MotionLibrary) -> Prior:
    """Read a prior's file, for the clips of a library. MotionError if it is damaged or of another body."""
    tensors, metadata = read_tensors(path, MAX_POLICY, "prior file")
    header: Any = header_json(metadata, "prior", path)
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise MotionError(f"{path}: has no prior header of schema {SCHEMA}")
    try:
        return make_prior(PriorConfig(**header["config"]), library, tensors)
    except (KeyError, TypeError) as error:
        raise MotionError(f"{path}: header has no options of a prior ({error})") from None
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None
