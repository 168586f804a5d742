"""Clips that no corpus holds, made of clips that it does: what a policy must see to track generators it never saw.

Tempo, crouch, curved paths, another clip's upper body and smooth offsets on every joint. What comes out is a wish, not
yet physical, as a generator's clip is; the expert that tracks it (`demonstrations.py`) finds what a body can do of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from morphloop.motion import Clip, Provenance
from morphloop.motion.rotations import quat_from_heading, quat_from_rotvec, quat_mul, quat_rotate
from morphloop.sim import Body, default_body

from .config import AugmentConfig

LEG_NOISE = 0.35
"""Smooth offsets of the lower body's joints in those of the others: the ground leaves legs less freedom."""
BEND = (-1.0, 2.0, -1.0)
"""Turn of hip, knee and ankle about the lateral axis for a bend of one radian: the foot stays level."""


def variations(
    clips: Sequence[Clip], count: int, seed: int, config: AugmentConfig | None = None, body: Body | None = None
) -> list[Clip]:
    """`count` clips made of `clips`, all on the skeleton of `body`; the same seed gives the same bytes."""
    config, body, made = config or AugmentConfig(), body or default_body(), []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        base, donor = (clips[int(k)] for k in rng.integers(len(clips), size=2))
        made.append(vary(base, donor, rng, config, body))
    return made


def vary(clip: Clip, donor: Clip, rng: np.random.Generator, config: AugmentConfig, body: Body) -> Clip:
    """One variation of a clip; donor: whose upper body it may get."""
    tempo = float(np.exp(rng.uniform(*np.log(config.tempo))))
    moved = replace(clip, fps=clip.fps * tempo).resampled(clip.fps)
    rotations, root = moved.rotations.copy(), moved.root_pos.copy()
    lower = np.isin(np.arange(moved.skeleton.num_joints), body.joint_ids(body.description.lower))
    if rng.random() < config.swap:
        donor = donor.resampled(moved.fps)
        rotations[:, ~lower] = donor.rotations[_there_and_back(len(rotations), donor.num_frames)][:, ~lower]
    scale = np.where(lower, LEG_NOISE * config.noise, config.noise)
    scale[0] = 0.0
    rotations = quat_mul(rotations, quat_from_rotvec(scale[:, None] * _smooth(moved, rng, config)))
    bend = rng.uniform(0.0, config.crouch) * rng.integers(2)
    for leg in body.legs:
        for k, share in zip(leg, BEND, strict=True):
            rotations[:, k] = quat_mul(rotations[:, k], quat_from_rotvec(np.array([0.0, share * bend, 0.0])))
    rate = rng.uniform(-config.turn, config.turn) * rng.integers(2)
    yaw = quat_from_heading(rate * np.arange(len(root)) / moved.fps)
    steps = quat_rotate(yaw[:-1], np.diff(root, axis=0))
    root = np.concatenate([root[:1], root[:1] + np.cumsum(steps, axis=0)])
    rotations[:, 0] = quat_mul(yaw, rotations[:, 0])
    if rng.random() < config.spoil:
        root, rotations = _spoilt(root, rotations, rng, moved, config)
    notes = {"tempo": round(tempo, 4), "crouch_rad": round(float(bend), 4), "turn_rad_s": round(float(rate), 4)}
    made = Provenance(parent=clip.id, stage="augment", notes=clip.provenance.notes | notes)
    varied = replace(moved, root_pos=root, rotations=rotations, name=f"{clip.name}_varied", texts=(), provenance=made)
    return body.within_reach(varied)


def _spoilt(
    root: np.ndarray, rotations: np.ndarray, rng: np.random.Generator, clip: Clip, config: AugmentConfig
) -> tuple[np.ndarray, np.ndarray]:
    """What estimators and generators get wrong: a lean that no foot carries, a root that drifts, slides and shakes."""
    smooth = _smooth(clip, rng, config)
    lean = quat_from_rotvec(config.lean * smooth[:, 0] * [1.0, 1.0, 0.0])
    height = root * [0.0, 0.0, 1.0]
    root = root + quat_rotate(lean, height) - height
    root = root + config.sway * smooth[:, 1] * [1.0, 1.0, 1.0 / 3.0]
    length = rng.uniform(*config.stretch)
    root[:, :2] = root[0, :2] + length * (root[:, :2] - root[0, :2])
    rotations[:, 0] = quat_mul(lean, rotations[:, 0])
    shake = config.jitter * rng.random()
    rotations = quat_mul(rotations, quat_from_rotvec(shake * rng.standard_normal((*rotations.shape[:2], 3))))
    return root + 0.2 * shake * rng.standard_normal(root.shape), rotations


def _there_and_back(count: int, frames: int) -> np.ndarray:
    """(count,) frame numbers that run through a clip, and back where it is too short."""
    around = np.arange(count) % max(2 * (frames - 1), 1)
    return np.minimum(around, 2 * (frames - 1) - around)


def _smooth(clip: Clip, rng: np.random.Generator, config: AugmentConfig) -> np.ndarray:
    """(T, J, 3) standard normal noise between knots that a cubic ease joins."""
    frames = clip.num_frames
    knots = int(np.ceil(frames / clip.fps * config.noise_hz)) + 2
    values = rng.standard_normal((knots, clip.skeleton.num_joints, 3))
    at = np.arange(frames) / clip.fps * config.noise_hz
    first = at.astype(int)
    share = (at - first)[:, None, None]
    share = share * share * (3.0 - 2.0 * share)
    return (1.0 - share) * values[first] + share * values[first + 1]
