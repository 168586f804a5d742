"""Motion as joint positions: HumanML3D's 22 joints, its 263 numbers a frame, batches of them as generators write them,
action2motion's batches of 24 joints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..axes import AXES, FRAMES
from ..clip import JointTrack, check_finite, check_timing
from ..config import ReadingConfig
from ..humanml3d import FEATURES, HUMANML3D_FPS, track_from_features
from ..reading_limits import MAX_MOTIONS
from ..skeleton import HUMANML3D_JOINTS
from .timing import resolve_fps
from .values import Many, Motion, Values, bounded, file_fps, imported, numbers, texts_of

JOINTS = len(HUMANML3D_JOINTS)
_EXPECTED = "expected (T, 22, 3) in HumanML3D's order, a batch (N, T, 22, 3), or action2motion's (N, T, 24, 3)"


def holds_joints(values: Values) -> bool:
    """Whether a file has an array of joints."""
    return "joints" in values or "positions" in values


def read_joints_or_batch(values: Values, how: ReadingConfig, path: Path) -> Motion | Many:
    """Joints of one motion (T, 22, 3), or of many: (N, T, 22, 3) in HumanML3D's order, action2motion's (N, T, 24, 3)
    with classes. A batch of one is one motion. Raises MotionError for other shapes, NaN, no rate."""
    joints = _joints_of(values)
    if joints.ndim == 4 and joints.shape[2:] == (JOINTS, 3):
        return _one_or_many(joints, [()] * len(joints), values, how, path)
    if joints.ndim == 4 and joints.shape[2:] == (24, 3) and "classes" in values:
        return _action2motion(joints, values, how, path)
    if joints.shape[1:] != (JOINTS, 3):
        raise MotionError(f"{path}: joints {joints.shape}, {_EXPECTED}")
    positions = numbers({"joints": joints}, "joints", (None, JOINTS, 3), path)
    return _track(positions, "Y up", values, how, path, {"format": "humanml3d joints"})


def _joints_of(values: Values) -> np.ndarray:
    return np.asarray(values["joints"] if "joints" in values else values["positions"])


def is_mdm_results(values: Values) -> bool:
    """Whether a file is a results.npy of the motion diffusion model, or of those that write theirs alike."""
    return {"motion", "lengths"} <= values.keys()


def read_mdm_results(values: Values, how: ReadingConfig, path: Path) -> Motion | Many:
    """Samples of a generator: `motion` (N, 22, 3, T) padded, `lengths` (N,) frames of each, `text` (N,).

    Each is cut at its length and has its text. Raises MotionError for other joints or counts.
    """
    motion, lengths = np.asarray(values["motion"]), np.asarray(values["lengths"]).reshape(-1)
    if motion.ndim != 4 or motion.shape[1:3] != (JOINTS, 3):
        raise MotionError(f"{path}: motion {motion.shape}, expected (N, 22, 3, T): HumanML3D's joints, frames last")
    if lengths.dtype.kind not in "iu" or len(lengths) != len(motion):
        raise MotionError(f"{path}: {len(lengths)} lengths for {len(motion)} motions, expected a frame count each")
    texts = values.get("text")
    texts = list(texts) if isinstance(texts, list | np.ndarray) and len(texts) == len(motion) else [None] * len(motion)
    told = [(text,) if isinstance(text, str) else () for text in texts]
    ends = np.clip(lengths, 0, motion.shape[3])
    joints = [sample[:, :, :end].transpose(2, 0, 1) for sample, end in zip(motion, ends, strict=True)]
    rest = {key: value for key, value in values.items() if key not in ("motion", "lengths", "text")}
    return _one_or_many(joints, told, rest, how, path)


def _one_or_many(
    batch: Any, texts: list[tuple[str, ...]], values: Values, how: ReadingConfig, path: Path
) -> Motion | Many:
    """Motions of a batch by their number, or the only one itself. batch: (T, 22, 3) each; texts: captions of each."""
    if len(batch) > MAX_MOTIONS:
        raise MotionError(f"{path}: {len(batch)} motions, expected at most {MAX_MOTIONS}")

    def read(index: int) -> JointTrack:
        where = path.with_name(f"{path.name}:{index}") if len(batch) > 1 else path
        positions = numbers({"joints": np.asarray(batch[index])}, "joints", (None, JOINTS, 3), where)
        track = _track(positions, "Y up", values, how, where, {"format": "humanml3d joints"})
        track = replace(track, name=f"{path.stem}:{index}" if len(batch) > 1 else path.stem)
        if not texts[index]:
            return track
        return replace(track, texts=texts[index], provenance=replace(track.provenance, prompt=texts[index][0]))

    return read(0) if len(batch) == 1 else {str(index): partial(read, index) for index in range(len(batch))}


def _action2motion(joints: np.ndarray, values: Values, how: ReadingConfig, path: Path) -> Many:
    """Samples of action2motion (HumanAct12): (N, T, 24, 3) in SMPL's order and the camera's axes, Y down.

    Its ground is unknown, the first pelvis stands near the origin; no frame rate is told.
    """
    if joints.dtype.kind != "f":
        raise MotionError(f"{path}: joints of type {joints.dtype}, {_EXPECTED}")
    notes = {"format": "action2motion joints, Y down", "ground": "unknown: the file begins with the pelvis at 0"}

    def read(index: int) -> JointTrack:
        where = path.with_name(f"{path.name}:{index}")
        positions = numbers({"joints": joints[index]}, "joints", (None, 24, 3), where)[:, :JOINTS]
        track = _track(positions, "-Y up", values, how, where, notes)
        return replace(track, name=f"{path.stem}:{index}")

    return {str(index): partial(read, index) for index in range(len(joints))}


def _track(
    positions: np.ndarray, axes: str, values: Values, how: ReadingConfig, path: Path, notes: dict[str, Any]
) -> JointTrack:
    rate = resolve_fps(file_fps(values, path), how, path)
    check_timing(rate, len(positions), str(path), JOINTS)
    check_finite(positions, f"{path}: joints")
    texts = texts_of(values, path)
    return JointTrack(
        fps=rate,
        names=HUMANML3D_JOINTS,
        positions=how.metres * bounded(positions, f"{path}: joints") @ FRAMES[axes].T,
        texts=texts,
        name=path.stem,
        provenance=imported(path, texts, notes | {AXES: axes}),
    )


def read_features(array: np.ndarray, how: ReadingConfig, path: Path) -> JointTrack:
    """HumanML3D's 263 numbers a frame, 20 fps by definition, as its joints."""
    rate = resolve_fps(HUMANML3D_FPS, how, path)
    check_timing(HUMANML3D_FPS, len(array), str(path), JOINTS)
    features = numbers({"features": array}, "features", (None, FEATURES), path)
    check_finite(features, f"{path}: features")
    track, texts = track_from_features(bounded(features, f"{path}: features"), str(path)), texts_of({}, path)
    notes = {"format": "humanml3d 263", AXES: "Y up"}
    return replace(track, fps=rate, name=path.stem, texts=texts, provenance=imported(path, texts, notes))
