"""Motion in NumPy files: clips of morphloop, HumanML3D joints, SMPL poses as AMASS publishes them.

SMPL poses become a Clip on the default skeleton: the shape is dropped (it needs the licensed model), the pose kept.
In AMASS the world is Z up while the resting body stands Y up, so the root's orientation R carries the change of axes:
with M from SMPL's axes to ours, a joint's rotation is M R M^T and the root's is R M^T. SMPL turns the root about the
pelvis J0 of the resting body, hence pelvis = trans + J0, with J0 not turned.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..clip import Clip, JointTrack, Provenance, check_finite, check_timing
from ..errors import MotionError
from ..files import load_clip, read_npy, read_npz
from ..humanml3d import FEATURES, HUMANML3D_FPS, track_from_features
from ..robot import Robot
from ..rotations import quat_from_matrix, quat_from_rotvec, quat_mul
from ..skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, SMPL_JOINTS, Y_UP_TO_Z_UP
from .robot import is_robot_motion, read_robot_values
from .timing import resolve_fps

SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
"""J0 of the neutral SMPL body at beta = 0, in the model's own axes, metres (published rest joint positions)."""
FPS_KEYS = ("fps", "mocap_framerate", "mocap_frame_rate", "framerate")
TEXT_KEYS = ("texts", "text", "captions", "caption", "prompt")
PROMPT_PREFIX = "t2mgpt_"
"""Samples of T2M-GPT are files named by their prompt."""


def read_array_file(path: Path | str, fps: float | None = None, robot: Robot | None = None) -> Clip | JointTrack:
    """A .npz or .npy file by what is in it. robot: whose motion a robot file is. Raises MotionError when that is none
    of the known layouts."""
    path = Path(path)
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        return _features(array, fps, path) if array.shape[1:] == (FEATURES,) else _joints({"joints": array}, fps, path)
    arrays = read_npz(path)
    if "meta" in arrays:
        clip = load_clip(path)
        resolve_fps(clip.fps, fps, path)
        return clip
    if "poses" in arrays and "trans" in arrays:
        return _smpl(arrays, fps, path)
    if is_robot_motion(arrays):
        return read_robot_values(arrays, fps, path, robot)
    if "joints" in arrays or "positions" in arrays:
        return _joints(arrays, fps, path)
    raise MotionError(
        f"{path}: keys {sorted(arrays)[:8]}, expected a morphloop clip, joints (T, 22, 3), or poses and trans"
    )


def _scalar_fps(arrays: dict[str, np.ndarray], path: Path) -> float | None:
    for key in FPS_KEYS:
        if key in arrays:
            if arrays[key].size != 1 or arrays[key].dtype.kind not in "iuf":
                raise MotionError(f"{path}: {key} is not one number, expected frames per second")
            return float(arrays[key].reshape(()))
    return None


def _texts(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...]:
    for key in TEXT_KEYS:
        if key in arrays and arrays[key].dtype.kind == "U":
            return tuple(str(text) for text in arrays[key].reshape(-1))
    if path.stem.startswith(PROMPT_PREFIX):
        return (path.stem.removeprefix(PROMPT_PREFIX).replace("_", " "),)
    return ()


def _numbers(array: np.ndarray, what: str, path: Path) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise MotionError(f"{path}: {what} of type {array.dtype}, expected numbers")
    return array


def _joints(arrays: dict[str, np.ndarray], fps: float | None, path: Path) -> JointTrack:
    positions = _numbers(arrays["joints"] if "joints" in arrays else arrays["positions"], "joints", path)
    if positions.ndim != 3 or positions.shape[1:] != (len(HUMANML3D_JOINTS), 3):
        raise MotionError(f"{path}: joints {positions.shape}, expected (T, 22, 3) in HumanML3D's order")
    rate = resolve_fps(_scalar_fps(arrays, path), fps, path)
    check_timing(rate, len(positions), str(path))
    check_finite(positions, f"{path}: joints")
    texts = _texts(arrays, path)
    return JointTrack(
        fps=rate,
        names=HUMANML3D_JOINTS,
        positions=positions.astype(float) @ Y_UP_TO_Z_UP.T,
        texts=texts,
        name=path.stem,
        provenance=_provenance(path, texts, {"format": "humanml3d joints"}),
    )


def _features(array: np.ndarray, fps: float | None, path: Path) -> JointTrack:
    """HumanML3D's 263 numbers a frame, 20 fps by definition."""
    resolve_fps(HUMANML3D_FPS, fps, path)
    check_timing(HUMANML3D_FPS, len(array), str(path))
    check_finite(_numbers(array, "features", path), f"{path}: features")
    track, texts = track_from_features(array, str(path)), _texts({}, path)
    provenance = _provenance(path, texts, {"format": "humanml3d 263"})
    return replace(track, name=path.stem, texts=texts, provenance=provenance)


def _smpl(arrays: dict[str, np.ndarray], fps: float | None, path: Path) -> Clip:
    if "scaling" in arrays:
        raise MotionError(f"{path}: has 'scaling', an AIST++ file with Y up, expected AMASS poses with Z up, in metres")
    poses, trans = _numbers(arrays["poses"], "poses", path), _numbers(arrays["trans"], "trans", path)
    if poses.ndim != 2 or poses.shape[1] < 66 or poses.shape[1] % 3 or trans.shape != (len(poses), 3):
        raise MotionError(f"{path}: poses {poses.shape} and trans {trans.shape}, expected (T, 66 or more) and (T, 3)")
    rate = resolve_fps(_scalar_fps(arrays, path), fps, path)
    check_timing(rate, len(poses), str(path))
    check_finite(poses, f"{path}: poses")
    check_finite(trans, f"{path}: trans")
    # columns after the first 22 joints are SMPL's two hands only in the 24-joint layout; SMPL-H and X put fingers there
    count = len(SMPL_JOINTS) if poses.shape[1] == 3 * len(SMPL_JOINTS) else len(HUMANML3D_JOINTS)
    rotvecs = np.zeros((len(poses), len(SMPL_JOINTS), 3))
    rotvecs[:, :count] = poses[:, : 3 * count].reshape(len(poses), count, 3)
    rotations = quat_from_rotvec(rotvecs @ Y_UP_TO_Z_UP.T)
    to_model = quat_from_matrix(Y_UP_TO_Z_UP.T)
    rotations[:, 0] = quat_mul(quat_from_rotvec(rotvecs[:, 0]), np.broadcast_to(to_model, (len(poses), 4)))
    texts = _texts(arrays, path)
    notes: dict[str, Any] = {"format": "smpl poses", "shape": "dropped, the default body stands in"}
    return Clip(
        fps=rate,
        skeleton=DEFAULT_SKELETON,
        root_pos=trans.astype(float) + SMPL_PELVIS,
        rotations=rotations,
        texts=texts,
        name=path.stem,
        provenance=_provenance(path, texts, notes),
    )


def _provenance(path: Path, texts: tuple[str, ...], notes: dict[str, Any]) -> Provenance:
    return Provenance(stage="import", source=str(path), prompt=texts[0] if texts else None, notes=notes)
