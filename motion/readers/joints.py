"""Motion as joint positions: HumanML3D's 22 joints, its 263 numbers a frame, action2motion's batches of 24 joints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import JointTrack, check_finite, check_timing
from ..humanml3d import FEATURES, HUMANML3D_FPS, track_from_features
from ..skeleton import HUMANML3D_JOINTS, Y_UP_TO_Z_UP
from .timing import resolve_fps
from .values import Many, Motion, Values, bounded, file_fps, imported, numbers, texts_of

JOINTS = len(HUMANML3D_JOINTS)
_Y_DOWN_TO_Z_UP = Y_UP_TO_Z_UP @ np.diag([1.0, -1.0, -1.0])
"""Camera axes (X right, Y down, Z away) to ours."""


def holds_joints(values: Values) -> bool:
    """Whether a file has an array of joints."""
    return "joints" in values or "positions" in values


def read_joints_or_batch(values: Values, fps: float | None, path: Path) -> Motion | Many:
    """Joints of one motion, or a batch of them, by the array's dimensions."""
    return _batch(values, fps, path) if _joints_of(values).ndim == 4 else read_joints(values, fps, path)


def _joints_of(values: Values) -> np.ndarray:
    return np.asarray(values["joints"] if "joints" in values else values["positions"])


def read_joints(values: Values, fps: float | None, path: Path) -> JointTrack:
    """(T, 22, 3) joints in HumanML3D's order and axes. Raises MotionError for other shapes, NaN, no rate."""
    shape = _joints_of(values).shape
    if len(shape) != 3 or shape[1:] != (JOINTS, 3):
        raise MotionError(f"{path}: joints {shape}, expected (T, 22, 3) in HumanML3D's order")
    positions = numbers({"joints": _joints_of(values)}, "joints", (None, JOINTS, 3), path)
    return _track(positions, Y_UP_TO_Z_UP, values, fps, path, {"format": "humanml3d joints"})


def _batch(values: Values, fps: float | None, path: Path) -> Many:
    """Samples of action2motion (HumanAct12): (N, T, 24, 3) in SMPL's order and the camera's axes, Y down.

    Its ground is unknown, the first pelvis stands near the origin; no frame rate is told.
    """
    joints = _joints_of(values)
    if "classes" not in values or joints.shape[2:] != (24, 3) or joints.dtype.kind != "f":
        raise MotionError(f"{path}: joints {joints.shape}, expected (T, 22, 3), or action2motion's (N, T, 24, 3)")
    notes = {"format": "action2motion joints, Y down", "ground": "unknown: the file begins with the pelvis at 0"}

    def read(index: int) -> JointTrack:
        where = path.with_name(f"{path.name}:{index}")
        positions = numbers({"joints": joints[index]}, "joints", (None, 24, 3), where)[:, :JOINTS]
        track = _track(positions, _Y_DOWN_TO_Z_UP, values, fps, where, notes)
        return replace(track, name=f"{path.stem}:{index}")

    return {str(index): partial(read, index) for index in range(len(joints))}


def _track(
    positions: np.ndarray, to_ours: np.ndarray, values: Values, fps: float | None, path: Path, notes: dict[str, Any]
) -> JointTrack:
    rate = resolve_fps(file_fps(values, path), fps, path)
    check_timing(rate, len(positions), str(path), JOINTS)
    check_finite(positions, f"{path}: joints")
    texts = texts_of(values, path)
    return JointTrack(
        fps=rate,
        names=HUMANML3D_JOINTS,
        positions=bounded(positions, f"{path}: joints") @ to_ours.T,
        texts=texts,
        name=path.stem,
        provenance=imported(path, texts, notes),
    )


def read_features(array: np.ndarray, fps: float | None, path: Path) -> JointTrack:
    """HumanML3D's 263 numbers a frame, 20 fps by definition, as its joints."""
    resolve_fps(HUMANML3D_FPS, fps, path)
    check_timing(HUMANML3D_FPS, len(array), str(path), JOINTS)
    features = numbers({"features": array}, "features", (None, FEATURES), path)
    check_finite(features, f"{path}: features")
    track, texts = track_from_features(bounded(features, f"{path}: features"), str(path)), texts_of({}, path)
    return replace(track, name=path.stem, texts=texts, provenance=imported(path, texts, {"format": "humanml3d 263"}))
