"""Motion in NumPy files and pickles, told apart by what they hold: the names of their arrays, or their shape.

Clips of morphloop, SMPL poses (`smpl`), HumanML3D joints and its 263 numbers, batches of joints (action2motion), Kimodo
(`kimodo`), robots (`robot`), DeepMimic and AMP (`humanoid15`); a pickle is a motion, or a dictionary of many by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.opening import open_regular

from ..clip import Clip, JointTrack, check_finite, check_timing
from ..files import MAX_BYTES, clip_of, read_npy, read_npz
from ..humanml3d import FEATURES, HUMANML3D_FPS, track_from_features
from ..robot import Robot
from ..skeleton import HUMANML3D_JOINTS, Y_UP_TO_Z_UP
from .humanoid15 import FRAME, deepmimic_clip, is_amp, read_amp
from .kimodo import is_kimodo, read_kimodo
from .pickled import read_pickle
from .robot import is_robot_motion, read_robot_values
from .smpl import is_smpl, read_smpl
from .timing import resolve_fps
from .values import Values, bounded, file_fps, imported, numbers, texts_of, word

Motion = Clip | JointTrack
Many = dict[str, Callable[[], Motion]]
"""Motions of one file by their keys, each read when it is called."""
JOINTS = len(HUMANML3D_JOINTS)
MAX_MOTIONS = 200_000
_Y_DOWN_TO_Z_UP = Y_UP_TO_Z_UP @ np.diag([1.0, -1.0, -1.0])
"""Camera axes (X right, Y down, Z away) to ours."""


def read_array_file(path: Path | str, fps: float | None = None, robot: Robot | None = None) -> Motion | Many:
    """A .npz or .npy file by what is in it; `robot` is whose motion a robot file is.

    Object arrays are read by the safe pickle reader. Raises MotionError when it is none of the known layouts.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        if _holds_objects(path):
            return _of_pickle(read_pickle(path), fps, path, robot)
        array = read_npy(path)
        return _features(array, fps, path) if array.shape[1:] == (FEATURES,) else _joints({"joints": array}, fps, path)
    arrays = read_npz(path)
    if "meta" in arrays:
        clip = clip_of(arrays, path)
        resolve_fps(clip.fps, fps, path)
        return clip
    return _of_values(arrays, fps, path, robot)


def read_pickle_file(path: Path | str, fps: float | None = None, robot: Robot | None = None) -> Motion | Many:
    """A .pkl: one motion by the names of its arrays, or a dictionary of motions (PHC). Nothing in it is executed."""
    return _of_pickle(read_pickle(path), fps, Path(path), robot)


def _of_pickle(value: Any, fps: float | None, path: Path, robot: Robot | None) -> Motion | Many:
    if not isinstance(value, Mapping):
        raise MotionError(f"{path}: holds a {type(value).__name__}, expected a dictionary of arrays or of motions")
    values = {str(key): item for key, item in value.items()}
    if is_amp(values) or not values or not all(isinstance(item, Mapping) for item in values.values()):
        return _of_values(values, fps, path, robot)
    if len(values) > MAX_MOTIONS:
        raise MotionError(f"{path}: {len(values)} motions, expected at most {MAX_MOTIONS}")
    return {key: partial(_named, key, item, fps, path, robot) for key, item in values.items()}


def _named(key: str, values: Values, fps: float | None, path: Path, robot: Robot | None) -> Motion:
    """One motion of many; its messages name the file and the key."""
    where = path.with_name(f"{path.name}:{key}") if "/" not in key and "\0" not in key else path
    try:
        motion = _of_values({str(name): value for name, value in values.items()}, fps, where, robot)
    except MotionError as error:
        raise MotionError(str(error) if key in str(error) else f"{path}:{key}: {error}") from None
    if isinstance(motion, dict):
        raise MotionError(f"{path}:{key}: holds motions of its own, expected one motion")
    return replace(motion, name=f"{path.stem}:{key}")


def _of_values(values: Values, fps: float | None, path: Path, robot: Robot | None) -> Motion | Many:
    if is_robot_motion(values):
        return read_robot_values(values, fps, path, robot)
    if is_smpl(values):
        return read_smpl(values, fps, path, path.stem)
    if is_amp(values):
        return read_amp(values, fps, path)
    if is_kimodo(values):
        return read_kimodo(values, fps, path)
    if {"frames", "loop"} <= values.keys():
        frames = numbers(values, "frames", (None, FRAME), path)
        return deepmimic_clip(frames, word(values, "loop") or "none", fps, path)
    if "joints" in values or "positions" in values:
        return _batch(values, fps, path) if _joints_of(values).ndim == 4 else _joints(values, fps, path)
    raise MotionError(
        f"{path}: keys {sorted(values)[:8]}, expected those of a morphloop clip, SMPL poses, joints (T, 22, 3), "
        "Kimodo, DeepMimic, AMP, PHC or a robot's motion"
    )


def _holds_objects(path: Path) -> bool:
    with open_regular(path, MAX_BYTES) as stream:
        head = stream.read(512)
    return head[:6] == b"\x93NUMPY" and b"'|O'" in head.partition(b"\n")[0]


def _joints_of(values: Values) -> np.ndarray:
    return np.asarray(values["joints"] if "joints" in values else values["positions"])


def _joints(values: Values, fps: float | None, path: Path) -> JointTrack:
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


def _features(array: np.ndarray, fps: float | None, path: Path) -> JointTrack:
    """HumanML3D's 263 numbers a frame, 20 fps by definition."""
    resolve_fps(HUMANML3D_FPS, fps, path)
    check_timing(HUMANML3D_FPS, len(array), str(path), JOINTS)
    features = numbers({"features": array}, "features", (None, FEATURES), path)
    check_finite(features, f"{path}: features")
    track, texts = track_from_features(bounded(features, f"{path}: features"), str(path)), texts_of({}, path)
    return replace(track, name=path.stem, texts=texts, provenance=imported(path, texts, {"format": "humanml3d 263"}))
