"""SMPL poses in the layouts in use: AMASS (SMPL, SMPL-H, SMPL-X and its stageii files), AIST++, PHC's pickles.

SMPL and SMPL-H poses become a Clip on the default skeleton, SMPL-X poses one on SMPL-X's own joints: the shape needs
the licensed model and is kept in the notes alone, so a subject's size is that of the model's mean body. In AMASS the
world is Z up while the resting body stands Y up, so the root's orientation R carries the change of axes: with M from
SMPL's axes to ours, a joint's rotation is M R M^T and the root's is R M^T. In AIST++ the world is Y up too and the root
turns like a joint. SMPL turns the root about the pelvis J0 of the resting body, hence pelvis = trans + J0, J0 not
turned. PHC's pickles hold global rotations whose resting body already stands Z up, in the order of its robot.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, check_finite, check_timing
from ..rotations import quat_from_matrix, quat_from_rotvec, quat_mul
from ..skeleton import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    SMPL_JOINTS,
    SMPL_PARENTS,
    Y_UP_TO_Z_UP,
    Skeleton,
    local_rotations,
)
from .timing import resolve_fps
from .values import Values, bounded, file_fps, imported, number, numbers, texts_of, word

SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
"""J0 of the neutral SMPL body at beta = 0, in the model's own axes, metres (published rest joint positions)."""
SMPLX_REST = np.array(
    [
        (0.0031, -0.3514, 0.0120), (0.0613, -0.4442, -0.0140), (-0.0601, -0.4553, -0.0092), (0.0004, -0.2415, -0.0156),
        (0.1160, -0.8229, -0.0234), (-0.1044, -0.8177, -0.0260), (0.0098, -0.1097, -0.0215),
        (0.0726, -1.2260, -0.0552), (-0.0889, -1.2284, -0.0462), (-0.0015, -0.0574, 0.0069),
        (0.1198, -1.2840, 0.0630), (-0.1277, -1.2868, 0.0728), (-0.0137, 0.1077, -0.0247), (0.0448, 0.0275, -0.0003),
        (-0.0492, 0.0269, -0.0065), (0.0111, 0.2682, -0.0040), (0.1641, 0.0852, -0.0158), (-0.1518, 0.0804, -0.0191),
        (0.4182, 0.0131, -0.0582), (-0.4229, 0.0439, -0.0456), (0.6702, 0.0363, -0.0607), (-0.6722, 0.0394, -0.0609),
    ]
)  # fmt: skip
"""Rest joints of the neutral SMPL-X body at beta = 0 without hands and face, its own axes, metres (as in Kimodo's)."""
_BODY = len(HUMANML3D_JOINTS)
SMPLX_SKELETON = Skeleton(
    HUMANML3D_JOINTS,
    SMPL_PARENTS[:_BODY],
    (SMPLX_REST - SMPLX_REST[np.maximum(SMPL_PARENTS[:_BODY], 0)]) @ Y_UP_TO_Z_UP.T,
)
COLUMNS = {66: "smpl body", 72: "smpl", 156: "smpl-h", 165: "smpl-x"}
"""Columns of `poses` and whose they are."""
AIST_FPS = 60.0
"""AIST++ was annotated at 60 fps; its files do not tell."""
PHC_ORDER = (
    "pelvis", "left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle",
    "right_foot", "spine1", "spine2", "spine3", "neck", "head", "left_collar", "left_shoulder", "left_elbow",
    "left_wrist", "left_hand", "right_collar", "right_shoulder", "right_elbow", "right_wrist", "right_hand",
)  # fmt: skip
"""Joints of PHC's robot, depth first: the order of `pose_quat_global`."""


def is_smpl(values: Values) -> bool:
    """Whether the names of a file are those of SMPL poses."""
    return any({pose, trans} <= values.keys() for pose, trans in _LAYOUTS)


def read_smpl(values: Values, fps: float | None, path: Path, name: str) -> Clip:
    """SMPL poses under the names of AMASS, AIST++ or PHC as a Clip called `name`. Raises MotionError, one line."""
    for (pose, trans), read in _LAYOUTS.items():
        if {pose, trans} <= values.keys():
            return replace(read(values, fps, path), name=name)
    raise MotionError(f"{path}: keys {sorted(values)[:8]}, expected SMPL poses and trans")


def _amass(values: Values, fps: float | None, path: Path) -> Clip:
    if "scaling" in values:
        return _aist(
            {"smpl_poses": values["poses"], "smpl_trans": values["trans"], "smpl_scaling": values["scaling"]}
            | {key: value for key, value in values.items() if key.endswith("fps")},
            fps,
            path,
        )
    poses = numbers(values, "poses", (None, None), path)
    if poses.shape[1] not in COLUMNS:
        raise MotionError(f"{path}: poses {poses.shape}, expected (T, 66), (T, 72), (T, 156) or (T, 165)")
    return _z_up(values, fps, path, poses, COLUMNS[poses.shape[1]])


def _stageii(values: Values, fps: float | None, path: Path) -> Clip:
    """AMASS by parts, root_orient and pose_body, as its SMPL-X files have it; `poses` may be left out there."""
    body = numbers(values, "pose_body", (None, 63), path)
    root = numbers(values, "root_orient", (len(body), 3), path)
    model = (word(values, "surface_model_type") or ("smplx" if "pose_jaw" in values else "smplh")).lower()
    kind = {"smplx": "smpl-x", "smplh": "smpl-h", "smpl": "smpl body"}.get(model)
    if kind is None:
        raise MotionError(f"{path}: surface_model_type '{model[:40]}', expected smpl, smplh or smplx")
    return _z_up(values, fps, path, np.concatenate([root, body], axis=1), kind)


def _z_up(values: Values, fps: float | None, path: Path, poses: np.ndarray, kind: str) -> Clip:
    trans = numbers(values, "trans", (len(poses), 3), path)
    skeleton, pelvis = (SMPLX_SKELETON, SMPLX_REST[0]) if kind == "smpl-x" else (DEFAULT_SKELETON, SMPL_PELVIS)
    rate = resolve_fps(file_fps(values, path), fps, path)
    check_timing(rate, len(poses), str(path), len(SMPL_JOINTS))
    rotvecs = _rotvecs(poses, trans, skeleton, path)
    to_model = np.broadcast_to(quat_from_matrix(Y_UP_TO_Z_UP.T), (len(poses), 4))
    rotations = quat_from_rotvec(rotvecs @ Y_UP_TO_Z_UP.T)
    rotations[:, 0] = quat_mul(quat_from_rotvec(rotvecs[:, 0]), to_model)
    return _clip(values, rate, skeleton, trans + pelvis, rotations, path, {"format": f"{kind} poses, Z up"})


def _aist(values: Values, fps: float | None, path: Path) -> Clip:
    """AIST++: Y up; joints of the body are scaling x body + trans, so metres are trans / scaling."""
    poses = numbers(values, "smpl_poses", (None, 72), path)
    trans = numbers(values, "smpl_trans", (len(poses), 3), path)
    scaling = number(values, "smpl_scaling", path) if "smpl_scaling" in values else 1.0
    if not 1e-3 < scaling < 1e6:
        raise MotionError(f"{path}: scaling {scaling:g}, expected about 90, file units in a metre")
    trans = trans / scaling
    told = file_fps(values, path)
    rate = resolve_fps(AIST_FPS if told is None else told, fps, path)
    check_timing(rate, len(poses), str(path), len(SMPL_JOINTS))
    rotations = quat_from_rotvec(_rotvecs(poses, trans, DEFAULT_SKELETON, path) @ Y_UP_TO_Z_UP.T)
    root = (trans + SMPL_PELVIS) @ Y_UP_TO_Z_UP.T
    notes = {"format": "aist++, Y up", "length_unit": f"1 / {scaling:g} m (the file's scaling)"}
    return _clip(values, rate, DEFAULT_SKELETON, root, rotations, path, notes)


def _phc(values: Values, fps: float | None, path: Path) -> Clip:
    """PHC: the pelvis in `root_trans_offset`, global rotations x y z w in its robot's order."""
    root = bounded(numbers(values, "root_trans_offset", (None, 3), path), f"{path}: root_trans_offset")
    quats = bounded(numbers(values, "pose_quat_global", (len(root), 24, 4), path), f"{path}: pose_quat_global")
    rate = resolve_fps(file_fps(values, path), fps, path)
    order = [PHC_ORDER.index(name) for name in SMPL_JOINTS]
    world = quats[:, order][..., [3, 0, 1, 2]]
    check_timing(rate, len(root), str(path), len(SMPL_JOINTS))
    check_finite(world, f"{path}: pose_quat_global")
    if (np.abs(np.linalg.norm(world, axis=-1) - 1.0) > 0.01).any():
        raise MotionError(f"{path}: pose_quat_global is not of length 1, expected unit quaternions x y z w")
    rotations = local_rotations(DEFAULT_SKELETON, world)
    return _clip(values, rate, DEFAULT_SKELETON, root, rotations, path, {"format": "phc"})


def _phc_poses(values: Values, fps: float | None, path: Path) -> Clip:
    """PHC's pickles before they were made ready for its robot: `pose_aa` as in AMASS."""
    trans = "trans_orig" if "trans_orig" in values else "trans"
    return _amass({**values, "poses": values["pose_aa"], "trans": values[trans]}, fps, path)


def _rotvecs(poses: np.ndarray, trans: np.ndarray, skeleton: Skeleton, path: Path) -> np.ndarray:
    """(T, J, 3) of the body's joints; fingers and face, which follow the first 22 joints but in SMPL, are left out."""
    check_finite(bounded(poses, f"{path}: poses"), f"{path}: poses")
    check_finite(bounded(trans, f"{path}: trans"), f"{path}: trans")
    count = len(SMPL_JOINTS) if poses.shape[1] == 3 * len(SMPL_JOINTS) else _BODY
    rotvecs = np.zeros((len(poses), skeleton.num_joints, 3))
    rotvecs[:, :count] = poses[:, : 3 * count].reshape(len(poses), count, 3)
    return rotvecs


def _clip(
    values: Values,
    fps: float,
    skeleton: Skeleton,
    root: np.ndarray,
    rotations: np.ndarray,
    path: Path,
    notes: dict[str, Any],
) -> Clip:
    texts = texts_of(values, path)
    notes |= {"shape": "dropped, the model's mean body stands in"} | _shape_notes(values)
    return Clip(
        fps=fps,
        skeleton=skeleton,
        root_pos=root,
        rotations=rotations,
        texts=texts,
        name=path.stem,
        provenance=imported(path, texts, notes),
    )


def _shape_notes(values: Values) -> dict[str, Any]:
    """Betas and gender, so that a shaped body can be made of a user's model file."""
    notes: dict[str, Any] = {}
    for key in ("betas", "beta"):
        betas = values.get(key)
        if isinstance(betas, np.ndarray) and betas.dtype.kind == "f" and 0 < betas.size <= 300:
            notes["betas"] = [float(b) for b in np.nan_to_num(betas.reshape(-1))]
    gender = word(values, "gender")
    return notes | ({"gender": gender} if gender else {})


_LAYOUTS = {
    ("pose_quat_global", "root_trans_offset"): _phc,
    ("poses", "trans"): _amass,
    ("pose_body", "trans"): _stageii,
    ("smpl_poses", "smpl_trans"): _aist,
    ("pose_aa", "trans_orig"): _phc_poses,
    ("pose_aa", "trans"): _phc_poses,
}
"""By the two names that a layout must have, the surest first."""
