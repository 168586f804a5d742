"""The built-in corpus: text-labelled motion generated in code, for training and tests without any data set.

Clean clips are meant to be tracked by physics: feet are planted, the centre of mass obeys the cart-table model
(`balance`), joints stay in range. With `defects` a share of the clips gets a generator's faults of known size,
written down in the provenance: what a metric should find and a projection should repair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, Provenance
from ..rotations import heading, quat_from_heading, quat_from_rotvec, quat_mul, quat_rotate
from ..skeleton import DEFAULT_SKELETON
from .balance import FPS, solve_plan
from .captions import captions
from .draw import Draw, Score
from .in_place import bow, idle, kick, punch, raise_arm, raise_arms, reach, squat, wave
from .travel import jump, jump_forward, side_step, turn, walk, walk_backward, walk_wave

ACTIONS: dict[str, Callable[[Draw], Score]] = {
    "walk": walk,
    "walk_backward": walk_backward,
    "side_step": side_step,
    "turn": turn,
    "squat": squat,
    "wave": wave,
    "raise_arm": raise_arm,
    "raise_arms": raise_arms,
    "kick": kick,
    "bow": bow,
    "jump": jump,
    "jump_forward": jump_forward,
    "idle": idle,
    "punch": punch,
    "reach": reach,
    "walk_wave": walk_wave,
}

SPLITS = ("train", "test")
WEIGHTS = {"walk": 4, "walk_backward": 2, "side_step": 2, "turn": 2, "kick": 2, "wave": 2}
"""How often an action comes in a round of the corpus, once if not named."""
DEFECT_SHARE = 0.75
"""Share of the clips that `defects` spoils; the others stay clean as controls."""


def action_names() -> tuple[str, ...]:
    """Names of the corpus's actions, as they stand in `provenance.notes["action"]`."""
    return tuple(ACTIONS)


def make_corpus(count: int, seed: int, split: str = "train", defects: bool = False) -> list[Clip]:
    """`count` labelled clips of 2.5 to 5 s at 30 fps on the default skeleton; the same seed gives the same bytes.

    split: "train" or "test"; the two draw every parameter from disjoint cells, so no test clip is a training clip.
    defects: spoil a share of the clips with faults of known size (`provenance.notes["defects"]`, metres, radians,
    m/s). Each clip has three captions and starts at the origin facing X. Raises MotionError for a bad count or split.
    """
    return list(plain_clips(count, seed, split, defects))


def plain_clips(count: int, seed: int, split: str = "train", defects: bool = False) -> Iterator[Clip]:
    """The clips of `make_corpus`, one at a time."""
    actions = _actions(count, seed, split)
    return (_make_clip(action, seed, split, k, defects) for k, action in enumerate(actions))


def corpus_captions(count: int, seed: int, split: str = "train") -> list[tuple[str, str, str]]:
    """The captions of `make_corpus`'s clips, without making the motion, which takes most of the time."""
    return [_draw(action, seed, split, k)[1] for k, action in enumerate(_actions(count, seed, split))]


def _actions(count: int, seed: int, split: str) -> list[str]:
    """The action of each clip. Raises MotionError for a bad count or split."""
    if count < 0:
        raise MotionError(f"corpus: {count} clips asked for, expected 0 or more")
    if split not in SPLITS:
        raise MotionError(f"corpus: split '{split}' is unknown, expected one of {', '.join(SPLITS)}")
    round_ = [name for name in ACTIONS for _ in range(WEIGHTS.get(name, 1))]
    order = np.random.default_rng([seed, SPLITS.index(split)])
    actions: list[str] = []
    while len(actions) < count:
        actions += [round_[k] for k in order.permutation(len(round_))]
    return actions[:count]


def _draw(action: str, seed: int, split: str, number: int) -> tuple[Score, tuple[str, str, str], np.random.Generator]:
    """What a clip is to do, its captions, and the generator to go on drawing from."""
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    score = ACTIONS[action](Draw(rng, split))
    return score, captions(action, score.words, rng), rng


def _make_clip(action: str, seed: int, split: str, number: int, defects: bool) -> Clip:
    score, texts, rng = _draw(action, seed, split, number)
    root, rotations = solve_plan(score.plan)
    root, rotations = at_origin(root[score.keep], rotations[score.keep])
    faults: dict[str, Any] = {}
    if defects and rng.random() < DEFECT_SHARE:
        root, rotations, faults = spoil(root, rotations, rng)
    notes = {"action": action, "split": split, "parameters": score.params, "defects": faults}
    return Clip(
        fps=FPS,
        skeleton=DEFAULT_SKELETON,
        root_pos=root,
        rotations=rotations,
        texts=texts,
        name=f"{action}_{split}_{seed}_{number:05d}",
        provenance=Provenance(
            stage="corpus", source="morphloop.motion.corpus.make", prompt=texts[0], seed=seed, notes=notes
        ),
    )


def at_origin(root: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turned and moved in the plane so that the first frame stands at the origin and faces X."""
    turn = np.broadcast_to(quat_from_heading(-heading(rotations[0, 0])), (len(root), 4))
    moved = quat_rotate(turn, root - root[0] * [1.0, 1.0, 0.0])
    rotations = rotations.copy()
    rotations[:, 0] = quat_mul(turn, rotations[:, 0])
    return moved, rotations


FAULTS = ("slide", "drift", "float", "penetration", "vertical_drift", "jitter")


def spoil(
    root: np.ndarray, rotations: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """One or two of a generator's faults and what was done."""
    root, rotations, done = root.copy(), rotations.copy(), {}
    time = np.arange(len(root)) / FPS
    for fault in rng.permutation(FAULTS)[: rng.integers(1, 3)]:
        if fault == "slide":
            scale = round(float(rng.choice([rng.uniform(0.6, 0.85), rng.uniform(1.15, 1.5)])), 4)
            root[:, :2] = root[0, :2] + scale * (root[:, :2] - root[0, :2])
            done["slide"] = {"root_scale": scale}
        elif fault == "drift":
            speed, way = round(float(rng.uniform(0.05, 0.25)), 4), float(rng.uniform(0, 2 * np.pi))
            root[:, :2] += speed * time[:, None] * [np.cos(way), np.sin(way)]
            done["drift"] = {"speed_m_s": speed, "direction_rad": round(way, 4)}
        elif fault in ("float", "penetration"):
            if {"float", "penetration"} & done.keys():
                continue
            height = round(float(rng.uniform(0.02, 0.06)), 4)
            root[:, 2] += height if fault == "float" else -height
            done[str(fault)] = {"height_m": height}
        elif fault == "vertical_drift":
            rate = round(float(rng.choice([-1, 1]) * rng.uniform(0.008, 0.025)), 4)
            root[:, 2] += rate * time
            done["vertical_drift"] = {"speed_m_s": rate}
        else:
            shift, turn = round(float(rng.uniform(0.002, 0.006)), 4), round(float(rng.uniform(0.015, 0.04)), 4)
            root += shift * rng.standard_normal(root.shape)
            noise = quat_from_rotvec(turn * rng.standard_normal((*rotations.shape[:2], 3)))
            rotations = quat_mul(rotations, noise)
            done["jitter"] = {"root_sd_m": shift, "joint_sd_rad": turn}
    return root, rotations, done
