"""Training of the motion tokenizer, a loop of a few lines over a shared run.

Batches are drawn by (seed, step), so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import OnStop, TrainingRun, no_stop
from morphloop.base.weights import content_hash
from morphloop.motion import Clip
from morphloop.motion.datasets import features_of, ids_of, lengths_of
from morphloop.motion.features import FEATURE_FPS, JOINTS_6D

from .config import TOKENIZER_BUDGET, TokenizerConfig
from .planted_feet import Kinematics, kinematics, standing
from .tokenizer import MotionTokenizer

CODE = ("motion", "generator")
"""What a training's result rests on."""
COARSE = 0.2
"""Share of the steps in which the decoder is given the coarse streams alone."""


def training_features(clips: Sequence[Clip]) -> Sequence[np.ndarray]:
    """Features of each clip in single precision, those of a data set on the disk; MotionError if there is no clip."""
    if not clips:
        raise MotionError("training: no clips, expected at least one")
    return features_of(clips)


def draw_windows(features: Sequence[np.ndarray], batch: int, window: int, rng: np.random.Generator) -> torch.Tensor:
    """(batch, window, D) windows, clips drawn by length; a shorter clip stands still at its end."""
    frames = lengths_of(features)
    drawn = rng.choice(len(features), size=batch, p=frames / frames.sum())
    return torch.from_numpy(np.stack([cut_window(features[index], window, rng) for index in drawn]))


def cut_window(rows: np.ndarray, window: int, rng: np.random.Generator) -> np.ndarray:
    """A window (window, D) of features (T, D); what is shorter stands still at its end."""
    start = rng.integers(max(len(rows) - window, 0) + 1)
    piece = rows[start : start + window]
    rest = np.repeat(piece[-1:], window - len(piece), axis=0)
    rest[:, :3] = 0.0  # no turning and no travel while it stands
    return np.concatenate([piece, rest])


@dataclass(frozen=True)
class LossWeights:
    """Weights of a motion auto-encoder's loss terms beside the normalised features' own."""

    commit: float = 0.05
    """Latents towards their codes, where these are learnt."""
    position: float = 8.0
    """Joint positions, metres."""
    velocity: float = 0.6
    """Joint velocities in the world, m/s."""
    drift: float = 1.0
    """Place of the root over the window, metres: a step to the side is short and slow, but it is what was asked for."""
    soles: float = 4.0
    """Heights of heel, ball and toe tip, metres."""
    swing: float = 8.0
    """How much too low points of the sole that do not stand are, metres: a swinging foot drags before it is lowered."""
    planted: float = 2.0
    """Speed error of points of the sole that stand, m/s: what foot slide is made of."""
    standing: float = 0.1
    """Whether points of the sole stand, nats."""
    missed: float = 200.0
    """Joint positions squared, square metres. All terms above ask for the median, which a pose that is rare enough does
    not move: whoever leaned to a side stood upright in the reconstruction, at hardly any loss."""
    turned: float = 100.0
    """Joint rotations (6D) squared: a head that nods or shakes moves no joint."""


KNEE_M, KNEE_6D = 0.02, 0.04
"""Root mean square over a batch from which on the squares grow linearly with it: in the beginning all poses are off,
and squares would leave feet and root nothing to say."""


def kinematic_loss(made: Kinematics, wanted: Kinematics, weights: LossWeights) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss (scalar) through forward kinematics and mean joint error, metres.

    Poses are compared about each one's own root place; where the root goes over the window is a term of its own.
    """
    a, b = made.positions, wanted.positions
    flat = torch.tensor([1.0, 1.0, 0.0])
    local = (a - a[..., :1, :] * flat) - (b - b[..., :1, :] * flat)
    drift = (a[..., 0, :2] - b[..., 0, :2]).abs().sum(-1).mean()
    speed = (a.diff(dim=1) - b.diff(dim=1)) * FEATURE_FPS
    slip = (made.soles.diff(dim=1) - wanted.soles.diff(dim=1)).abs().sum(-1).flatten(2) * FEATURE_FPS
    stands = standing(wanted.soles)
    planted = (slip * stands[:, :-1]).mean()
    height = (made.soles[..., 2] - wanted.soles[..., 2]).flatten(2)
    swings = 1.0 - stands
    low = ((-height).clamp(min=0) * swings).sum() / swings.sum().clamp(min=1.0)
    turn = (made.features - wanted.features)[..., JOINTS_6D]
    loss = weights.position * local.abs().mean() + weights.drift * drift
    loss = loss + weights.missed * _capped_square(local, KNEE_M) + weights.turned * _capped_square(turn, KNEE_6D)
    loss = loss + weights.velocity * speed.abs().mean() + weights.planted * planted
    loss = loss + weights.soles * height.abs().mean() + weights.swing * low
    return loss, local.norm(dim=-1).mean()


def _capped_square(error: torch.Tensor, knee: float) -> torch.Tensor:
    """Mean square of errors; from a root mean square `knee` on it grows linearly with that: 2 knee rms - knee^2."""
    square = error.square().mean()
    rms = (square + 1e-12).sqrt()
    return torch.where(rms < knee, square, knee * (2.0 * rms - knee))


def reconstruction_loss(
    model: MotionTokenizer, quantized: torch.Tensor, wanted: Kinematics, stands: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss (scalar) of what the decoder makes of quantised latents (B, n, C) and mean joint error, metres.

    stands: `standing` of the wanted motion, (B, T, POINTS).
    """
    return motion_loss(*model.reconstruct(quantized), model.std, wanted, stands, weights)


def motion_loss(
    made: Kinematics,
    logits: torch.Tensor | None,
    std: torch.Tensor,
    wanted: Kinematics,
    stands: torch.Tensor,
    weights: LossWeights,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss (scalar) of a decoder's motion and of its logits of what stands, and mean joint error, metres.

    std: (FEATURE_SIZE,) scale of the features; stands: `standing` of the wanted motion, (B, T, POINTS).
    """
    kinematic, error = kinematic_loss(made, wanted, weights)
    likeness = F.smooth_l1_loss(made.features / std, wanted.features / std)
    if logits is not None:
        likeness = likeness + weights.standing * F.binary_cross_entropy_with_logits(logits, stands)
    return likeness + kinematic, error


@own_streams()
@fixed_threads()
def train_tokenizer(
    clips: Sequence[Clip],
    config: TokenizerConfig | None = None,
    budget: Budget = TOKENIZER_BUDGET,
    weights: LossWeights | None = None,
    checkpoint: Path | None = None,
    window: int = 64,
    start: MotionTokenizer | None = None,
    on_stop: OnStop = no_stop,
) -> MotionTokenizer:
    """A tokenizer trained on windows of `window` frames of the clips; an existing checkpoint is gone on from.

    start: what to begin with in place of random weights, left as it is; one of the same sizes without the layer that
    plants feet is given it. on_stop: told if the budget's minutes cut it short. MotionError if `start` does not fit.
    """
    config, weights = config or TokenizerConfig(), weights or LossWeights()
    features = training_features(clips)
    torch.manual_seed(budget.seed)
    model = MotionTokenizer(config)
    if start is None:
        model.set_normaliser(features)
    else:
        model.begin_as(start)
    made = {"clips": ids_of(clips), "model": config.written(), "loss": asdict(weights), "window": window}
    made["start"] = None if start is None else content_hash([], start)
    run = TrainingRun(model, budget, CODE, checkpoint, {name: hash_json(value) for name, value in made.items()})
    for step in run:
        wanted = kinematics(draw_windows(features, budget.batch, window, np.random.default_rng([budget.seed, step])))
        stands = standing(wanted.soles)
        follow = torch.Generator().manual_seed(budget.seed * 1_000_003 + step)
        latents = model.latents(wanted.features, stands)
        codes, sums = model.quantize(latents, follow)
        depth = depth_of(step, budget.seed, config.streams)
        quantized = latents + (sums[depth] - latents).detach()
        loss, error = reconstruction_loss(model, quantized, wanted, stands, weights)
        if not config.levels:
            commit = torch.stack([F.mse_loss(latents, done) for done in sums[: depth + 1]]).mean()
            loss = loss + weights.commit * commit
        run.update(
            loss,
            mpjpe_mm=1000 * float(error.detach()),
            used=float(codes[:, 0].unique().numel()),
        )
    if run.stopped is not None:
        on_stop(run.stopped)
    return model.eval()


def depth_of(step: int, seed: int, streams: int) -> int:
    """Last stream that the decoder is given: all of them, in a share COARSE of the steps fewer (quantiser dropout)."""
    rng = np.random.default_rng([seed, step, 1])
    return int(rng.integers(streams - 1)) if streams > 1 and rng.random() < COARSE else streams - 1
