"""HumanML3D's two array files, and what every npz that we write for others says about where it came from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.writing import write_atomic

from ..clip import Clip, JointTrack
from ..files import provenance_to_dict
from ..humanml3d import track_to_features
from ..skeleton import HUMANML3D_JOINTS, Y_UP_TO_Z_UP
from .extras import Extras

ORIGIN_KEY = "morphloop"
"""Key of an npz for others under which we put provenance, id and texts as JSON; readers of others pass it by."""


def origin(motion: Clip | JointTrack) -> np.ndarray:
    """Name, id, texts and provenance of a motion as a string array without pickle."""
    value = {
        "name": motion.name,
        "id": motion.id,
        "texts": list(motion.texts),
        "provenance": provenance_to_dict(motion.provenance),
    }
    return np.array(json.dumps(value, allow_nan=False))


def singles(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays in single precision."""
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def write_arrays(path: Path | str, arrays: dict[str, np.ndarray], motion: Clip, extras: Extras) -> Path:
    """A compressed npz, atomically, with where the motion came from, its texts and the contact masks."""
    arrays = arrays | {ORIGIN_KEY: origin(motion)} | extras.arrays()
    if motion.texts:
        arrays |= {"texts": np.array(motion.texts)}
    return write_atomic(path, lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]


def as_humanml3d(motion: Clip | JointTrack) -> JointTrack:
    """HumanML3D's 22 joints of a motion, by name; heights stay as they are. MotionError if it lacks one."""
    names = motion.skeleton.names if isinstance(motion, Clip) else motion.names
    missing = [name for name in HUMANML3D_JOINTS if name not in names]
    if missing:
        raise MotionError(f"{motion.name}: no joint '{missing[0]}', expected HumanML3D's 22 joints")
    positions = motion.positions[:, [names.index(name) for name in HUMANML3D_JOINTS]]
    if isinstance(motion, JointTrack):
        return replace(motion, names=HUMANML3D_JOINTS, positions=positions)
    return JointTrack(motion.fps, HUMANML3D_JOINTS, positions, motion.texts, motion.name, motion.provenance)


def write_humanml3d_joints(path: Path | str, motion: Clip | JointTrack) -> Path:
    """HumanML3D's joints (T, 22, 3) as .npy, float32, metres, X left, Y up, Z forward, at the motion's own rate.

    The file holds nothing else: who reads it must know the rate. Floor, place and heading stay as they are.
    """
    joints = (as_humanml3d(motion).positions @ Y_UP_TO_Z_UP).astype(np.float32)
    return write_atomic(path, lambda stream: np.save(stream, joints))


def write_humanml3d_features(path: Path | str, motion: Clip | JointTrack) -> Path:
    """HumanML3D's rows (T - 1, 263) as .npy, float32, not normalised: see `motion.humanml3d`."""
    rows = track_to_features(as_humanml3d(motion))
    return write_atomic(path, lambda stream: np.save(stream, rows))
