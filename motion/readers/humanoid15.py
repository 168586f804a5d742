"""The 15-body humanoid of DeepMimic and AMP, and DeepMimic's JSON frames.

DeepMimic (Peng et al. 2018): `{"Loop": .., "Frames": [[duration, root position, root rotation, joints ...], ..]}`, 44
numbers a frame in the order of `data/characters/humanoid3d.txt`; metres, quaternions w x y z, hinges in radians about
the body's lateral axis; X forward, Y up, Z right. AMP's clips (poselib's SkeletonMotion) hold quaternions x y z w and a
skeleton of their own, X forward, Z up. Both stand in the same rest pose, arms down, and end in an ankle: the toe joint
is put over the front of the foot's box, where the default body has its own, so that both can be mapped onto it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.opening import MAX_JSON_BYTES, read_utf8

from ..axes import AXES, FRAMES
from ..clip import Clip, check_finite, check_timing
from ..config import AS_FILES_SAY, ReadingConfig
from ..reading_limits import MAX_FRAMES
from ..rotations import quat_from_rotvec, quat_normalize, quat_slerp
from ..skeleton import Skeleton
from .timing import resolve_fps
from .values import Values, bounded, imported, numbers, word

FRAME = 44
_TO_Z_UP = FRAMES["Y up, X forward"]
"""DeepMimic's axes (X forward, Y up, Z right) to ours."""
TOE_OFFSET = (0.0935, 0.0, -0.0254)
"""Ankle to toe joint, metres, ours: the box of the foot reaches from -0.0435 to 0.1335 m ahead and 0.05 m below the
ankle; the toe joint stands 0.0246 m over the sole and 0.04 m behind the tip, as on the default body."""
_JOINTS: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("root", -1, (0.0, 0.0, 0.0)),
    ("chest", 0, (0.0, 0.236151, 0.0)),
    ("neck", 1, (0.0, 0.223894, 0.0)),
    ("right_hip", 0, (0.0, 0.0, 0.084887)),
    ("right_knee", 3, (0.0, -0.421546, 0.0)),
    ("right_ankle", 4, (0.0, -0.409870, 0.0)),
    ("right_shoulder", 1, (-0.02405, 0.24350, 0.18311)),
    ("right_elbow", 6, (0.0, -0.274788, 0.0)),
    ("right_wrist", 7, (0.0, -0.258947, 0.0)),
    ("left_hip", 0, (0.0, 0.0, -0.084887)),
    ("left_knee", 9, (0.0, -0.421546, 0.0)),
    ("left_ankle", 10, (0.0, -0.409870, 0.0)),
    ("left_shoulder", 1, (-0.02405, 0.24350, -0.18311)),
    ("left_elbow", 12, (0.0, -0.274788, 0.0)),
    ("left_wrist", 13, (0.0, -0.258947, 0.0)),
)
"""Name, parent and attachment of humanoid3d's joints, metres, its own axes."""
_BEGINNING = re.compile(rb'\A\s*\{.*"Frames"\s*:', re.DOTALL)
UNIT = 0.02
"""By how much a quaternion's length may differ from 1."""
BLENDED = 0.5
"""The same for DeepMimic, whose clips were blended by components (a published kick has 0.58) and are normalised."""
_HINGES = ("right_knee", "right_elbow", "left_knee", "left_elbow")
_FIXED = ("right_wrist", "left_wrist")
AMP_NAMES = {"pelvis": "root", "torso": "chest", "head": "neck"} | {
    f"{side}_{body}": f"{side}_{joint}"
    for side in ("right", "left")
    for body, joint in {"upper_arm": "shoulder", "lower_arm": "elbow", "hand": "wrist"}.items()
    | {"thigh": "hip", "shin": "knee", "foot": "ankle"}.items()
}
"""AMP's bodies by the joint that they turn about."""


def with_toes(names: tuple[str, ...], parents: tuple[int, ...], offsets: np.ndarray) -> Skeleton:
    feet = [names.index(f"{side}_ankle") for side in ("right", "left")]
    return Skeleton(
        (*names, "right_toe", "left_toe"), (*parents, *feet), np.concatenate([offsets, [TOE_OFFSET, TOE_OFFSET]])
    )


HUMANOID3D = with_toes(
    tuple(name for name, _, _ in _JOINTS),
    tuple(parent for _, parent, _ in _JOINTS),
    np.array([offset for _, _, offset in _JOINTS]) @ _TO_Z_UP.T,
)
"""DeepMimic's humanoid in our axes, toes added."""


def looks_like_deepmimic(head: bytes) -> bool:
    """Whether a JSON file that begins so may be a DeepMimic motion."""
    return bool(_BEGINNING.match(head))


def read_deepmimic(path: Path | str, how: ReadingConfig = AS_FILES_SAY) -> Clip:
    """A DeepMimic motion file (.txt or .json). The last frame's duration may be 0; uneven ones are resampled.

    Raises MotionError, one line, for JSON of another kind, frames that are not 44 numbers, NaN, no duration.
    """
    path = Path(path)
    text = read_utf8(path, MAX_JSON_BYTES, "DeepMimic frames")
    try:
        content = json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
    except RecursionError:
        raise MotionError(f"{path}: JSON nested too deep, expected a list of frames") from None
    except ValueError as error:
        raise MotionError(
            f"{path}: not JSON ({' '.join(str(error).split())[:80]}), expected DeepMimic frames"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("Frames"), list):
        raise MotionError(f'{path}: no "Frames", expected a DeepMimic motion file')
    rows = content["Frames"]
    if not 1 <= len(rows) <= MAX_FRAMES:
        raise MotionError(f"{path}: {len(rows)} frames, expected 1 to {MAX_FRAMES}")
    for t, row in enumerate(rows):
        plain = isinstance(row, list) and all(type(value) in (int, float) for value in row)
        if not plain or len(row) != FRAME:
            raise MotionError(f"{path}: frame {t} is not {FRAME} numbers, as the 13-joint humanoid has them")
    return deepmimic_clip(np.array(rows, dtype=float), str(content.get("Loop", "none"))[:20], how, path)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _integer(digits: str) -> float:
    """Integers as floats: a thousand digits become infinity, which is refused with its frame."""
    return float(digits)


def holds_deepmimic(values: Values) -> bool:
    """Whether the names of a file are those of DeepMimic's frames as arrays."""
    return {"frames", "loop"} <= values.keys()


def read_deepmimic_arrays(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """DeepMimic's frames (T, 44) in an npz or a pickle. Raises MotionError as `read_deepmimic` does."""
    frames = numbers(values, "frames", (None, FRAME), path)
    return deepmimic_clip(frames, word(values, "loop") or "none", how, path)


def deepmimic_clip(frames: np.ndarray, loop: str, how: ReadingConfig, path: Path) -> Clip:
    """(T, 44) frames of humanoid3d as a Clip."""
    if not len(frames):
        raise MotionError(f"{path}: 0 frames, expected 1 or more")
    check_finite(frames, f"{path}: frames")
    bounded(frames, f"{path}: frames")
    names = HUMANOID3D.names
    rotations = np.zeros((len(frames), len(names), 4))
    rotations[..., 0] = 1.0
    at = 4
    for j, (name, _, _) in enumerate(_JOINTS):
        if name in _FIXED:
            continue
        if name in _HINGES:
            rotations[:, j] = quat_from_rotvec(frames[:, at, None] * np.array([0.0, 0.0, 1.0]))
            at += 1
        else:
            rotations[:, j] = frames[:, at : at + 4]
            at += 4
    rotations[..., 1:] = rotations[..., 1:] @ _TO_Z_UP.T
    check_unit(rotations, BLENDED, path)
    rotations = quat_normalize(rotations)
    rate, root, rotations, note = _even(frames[:, 0], how.metres * frames[:, 1:4] @ _TO_Z_UP.T, rotations, how, path)
    notes = {"format": "deepmimic", "loop": loop, AXES: "Y up, X forward"} | note
    return Clip(
        fps=rate,
        skeleton=HUMANOID3D,
        root_pos=root,
        rotations=rotations,
        name=path.stem,
        provenance=imported(path, (), notes),
    )


def check_unit(rotations: np.ndarray, tolerance: float, path: Path) -> None:
    bad = (np.abs(np.linalg.norm(rotations, axis=-1) - 1.0) > tolerance).any(axis=-1)
    if bad.any():
        raise MotionError(f"{path}: frame {int(np.argmax(bad))} has a quaternion that is not of length 1")


def _even(
    durations: np.ndarray, root: np.ndarray, rotations: np.ndarray, how: ReadingConfig, path: Path
) -> tuple[float, np.ndarray, np.ndarray, dict[str, Any]]:
    """Frame rate, root and rotations at it; frames of uneven duration are resampled at their median's rate."""
    steps = durations[:-1] if len(durations) > 1 else durations
    if not (steps > 0).all():
        raise MotionError(f"{path}: a frame lasts {steps.min():g} s, expected more than 0 before the last one")
    step = float(np.median(steps))
    rate = 1.0 / step
    if abs(rate - round(rate)) < 1e-3 * rate:
        rate = float(round(rate))
    rate = resolve_fps(rate, how, path)
    check_timing(rate, len(root), str(path), rotations.shape[1])
    if np.abs(steps - step).max() <= 1e-3 * step:
        return rate, root, rotations, {}
    times = np.concatenate([[0.0], np.cumsum(steps)])[: len(root)]
    count = int(np.floor(times[-1] * rate + 1e-6)) + 1
    check_timing(rate, count, f"{path}: lasts {times[-1]:g} s in frames of {step:g} s", rotations.shape[1])
    at = np.interp(np.arange(count) / rate, times, np.arange(len(times)))
    low, high, weight = _between(at, len(times))
    turn = np.repeat(weight[:, None], rotations.shape[1], axis=1)
    note = {"resampled": f"frames lasted {steps.min():g} to {steps.max():g} s"}
    moved = root[low] + weight[:, None] * (root[high] - root[low])
    return rate, moved, quat_slerp(rotations[low], rotations[high], turn), note


def _between(at: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low = np.minimum(np.floor(at).astype(int), max(frames - 2, 0))
    return low, np.minimum(low + 1, frames - 1), at - low
