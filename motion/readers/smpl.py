"""SMPL poses in the layouts in use: AMASS (SMPL, SMPL-H, SMPL-X and its stageii files), AIST++ and the dances made
after it, PHC's pickles, the smplx package's names, and what WHAM, GVHMR and TRAM estimate from video.

SMPL and SMPL-H poses become a Clip on the default skeleton, SMPL-X poses one on SMPL-X's own joints: the shape needs
the licensed model and is kept in the notes alone, so a subject's size is that of the model's mean body. The resting
body stands Y up whatever the world is: with M from SMPL's axes to ours and W from the world's, a joint's rotation R
becomes M R M^T and the root's W R M^T. AMASS's world is Z up, AIST++'s and GVHMR's is Y up. SMPL turns the root about
the pelvis J0 of the resting body, hence pelvis = trans + J0, J0 not turned. PHC's pickles hold global rotations whose
resting body already stands Z up, in the order of its robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..axes import AXES, FRAMES, frame_of
from ..clip import Clip, check_finite, check_timing
from ..config import ReadingConfig
from ..rotations import quat_from_matrix, quat_from_rotvec, quat_mul, quat_rotate, quat_to_rotvec
from ..skeleton import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    SMPL_JOINTS,
    SMPL_PARENTS,
    Y_UP_TO_Z_UP,
    Skeleton,
    forward_kinematics,
    local_rotations,
)
from .pickled import read_pickle
from .quaternions import in_order
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
KINDS = {22: "smpl body", 24: "smpl", 52: "smpl-h", 55: "smpl-x"}
"""Joints of `poses` and whose they are."""
UPRIGHT = 0.7
"""Mean cosine with the vertical of a body that stands upright over a clip."""
LARGEST_TURN = 20.0
"""Radians of a rotation vector; beyond it the file is taken for degrees."""
JOINT_TOLERANCE = 0.05
"""Metres that joints in a file may be off those of its poses: the mean body is not the subject's."""
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
    return any(set(names) <= values.keys() for names in _LAYOUTS)


def read_smpl(values: Values, how: ReadingConfig, path: Path, name: str) -> Clip:
    """SMPL poses under the names of `_LAYOUTS` as a Clip called `name`. Raises MotionError, one line."""
    for names, read in _LAYOUTS.items():
        if set(names) <= values.keys():
            return replace(read(values, how, path), name=name)
    raise MotionError(f"{path}: keys {sorted(values)[:8]}, expected SMPL poses and trans")


def _amass(values: Values, how: ReadingConfig, path: Path) -> Clip:
    if "scaling" in values:
        return _aist(
            {"smpl_poses": values["poses"], "smpl_trans": values["trans"], "smpl_scaling": values["scaling"]}
            | {key: value for key, value in values.items() if key.endswith("fps")},
            how,
            path,
        )
    poses = _turns(values, "poses", path)
    kind = KINDS.get(poses.shape[1])
    if kind is None:
        expected = " or ".join(f"{joints}" for joints in KINDS)
        raise MotionError(f"{path}: poses of {poses.shape[1]} joints, expected {expected}: (T, 3 J) or (T, J, 3)")
    return _read(values, how, path, poses, "trans", kind, "Z up")


def _stageii(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """AMASS by parts, root_orient and pose_body, as its SMPL-X files have it; `poses` may be left out there."""
    body, root = _turns(values, "pose_body", path, _BODY - 1), _turns(values, "root_orient", path, 1)
    model = (word(values, "surface_model_type") or ("smplx" if "pose_jaw" in values else "smplh")).lower()
    kind = {"smplx": "smpl-x", "smplh": "smpl-h", "smpl": "smpl body"}.get(model)
    if kind is None:
        raise MotionError(f"{path}: surface_model_type '{model[:40]}', expected smpl, smplh or smplx")
    return _read(values, how, path, _joined(root, body, path), "trans", kind, "Z up")


def _model_names(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """The arguments of the smplx package's models; which axis is up is not agreed on, the body tells."""
    return _by_parts(values, how, path, None)


def _by_parts(values: Values, how: ReadingConfig, path: Path, axes: str | None) -> Clip:
    root, body = _turns(values, "global_orient", path, 1), _turns(values, "body_pose", path)
    kind = {_BODY - 1: "smpl-x", len(SMPL_JOINTS) - 1: "smpl"}.get(body.shape[1])
    if kind is None:
        raise MotionError(f"{path}: body_pose of {body.shape[1]} joints, expected 21 (SMPL-X) or 23 (SMPL)")
    return _read(values, how, path, _joined(root, body, path), "transl", kind, axes)


def _gvhmr(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """GVHMR's hmr4d_results.pt: SMPL-X in the world, Y up; its rate is the video's."""
    return _by_parts(values["smpl_params_global"], how, path, "Y up")


def _world_names(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """WHAM's people: `pose_world` and `trans_world`; which axis is up the body tells."""
    poses = _turns(values, "pose_world", path, len(SMPL_JOINTS))
    return _read(values, how, path, poses, "trans_world", "smpl", None)


def _tram(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """TRAM's hps_track: SMPL in the camera's axes, brought into the world by the camera.npy of its folder."""
    turns = _turns(values, "pred_rotmat", path, len(SMPL_JOINTS))
    trans = np.asarray(values["pred_trans"]).reshape(len(turns), 3)
    frames = np.asarray(values.get("frame", np.arange(len(turns)))).reshape(-1).astype(int)
    beside = [folder / "camera.npy" for folder in (path.parent, path.parent.parent)]
    camera = next((read_pickle(file) for file in beside if file.is_file()), None)
    if not isinstance(camera, Mapping) or not {"world_cam_R", "world_cam_T"} <= camera.keys():
        raise MotionError(f"{path}: in the axes of TRAM's camera, expected its camera.npy beside it or one folder up")
    turn = numbers(camera, "world_cam_R", (None, 3, 3), path)
    move = numbers({"world_cam_T": np.asarray(camera["world_cam_T"]).reshape(-1, 3)}, "world_cam_T", (None, 3), path)
    if not (
        frames.min(initial=0) >= 0 and frames.max(initial=0) < min(len(turn), len(move)) and len(frames) == len(turns)
    ):
        raise MotionError(f"{path}: frames that its camera.npy has not, {len(turn)} there")
    turn, move = turn[frames], move[frames]
    turns[:, 0] = quat_to_rotvec(quat_mul(quat_from_matrix(turn), quat_from_rotvec(turns[:, 0])))
    trans = np.einsum("tij,tj->ti", turn, trans + SMPL_PELVIS) + move - SMPL_PELVIS
    return _read({**values, "trans": trans}, how, path, turns, "trans", "smpl", None)


def _read(
    values: Values, how: ReadingConfig, path: Path, turns: np.ndarray, place: str, kind: str, axes: str | None
) -> Clip:
    """Rotation vectors (T, J, 3) and the place of the body under the name `place`. axes: of the file's world
    (`FRAMES`); None where the format leaves them open, and the body's own upright tells."""
    trans = how.metres * numbers(values, place, (len(turns), 3), path)
    rate = resolve_fps(file_fps(values, path), how, path)
    check_timing(rate, len(turns), str(path), len(SMPL_JOINTS))
    skeleton, pelvis = (SMPLX_SKELETON, SMPLX_REST[0]) if kind == "smpl-x" else (DEFAULT_SKELETON, SMPL_PELVIS)
    turns = _body(how.radians * turns, trans, skeleton, path)
    axes = axes or (frame_of(how.up) if how.up else _upright_axes(turns[:, 0], path))
    notes = {"format": f"{kind} poses, {axes}", AXES: axes}
    return _clip(values, rate, skeleton, *_posed(turns, trans + pelvis, axes), path, notes)


def _posed(turns: np.ndarray, pelvis: np.ndarray, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """Root positions (T, 3) and rotations (T, J, 4) in our axes. pelvis: (T, 3) where it is in the file's."""
    to_ours = quat_from_matrix(FRAMES[axes])
    from_model = quat_from_matrix(Y_UP_TO_Z_UP.T)
    rotations = quat_from_rotvec(turns @ Y_UP_TO_Z_UP.T)
    count = (len(turns), 4)
    root = quat_mul(quat_from_rotvec(turns[:, 0]), np.broadcast_to(from_model, count))
    rotations[:, 0] = quat_mul(np.broadcast_to(to_ours, count), root)
    return pelvis @ FRAMES[axes].T, rotations


def _upright_axes(root: np.ndarray, path: Path) -> str:
    """The frame in which a body with these root turns (T, 3) stands upright over the clip: Z up, Y up or Y down, which
    are in use. MotionError where it does in none."""
    along = quat_rotate(quat_from_rotvec(root), np.broadcast_to([0.0, 1.0, 0.0], root.shape)).mean(axis=0)
    upright = {axes: float((FRAMES[axes] @ along)[2]) for axes in ("Z up", "Y up", "-Y up")}
    best = max(upright, key=lambda axes: upright[axes])
    if upright[best] < UPRIGHT:
        raise MotionError(f"{path}: the file does not tell which axis is up, and the body stands along none: give --up")
    return best


def _aist(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """AIST++: Y up; joints of the body are scaling x body + trans, so metres are trans / scaling."""
    turns = _turns(values, "smpl_poses", path, len(SMPL_JOINTS))
    if "smpl_scaling" not in values:
        return _dance(values, how, path, turns)
    trans = numbers(values, "smpl_trans", (len(turns), 3), path)
    scaling = number(values, "smpl_scaling", path)
    if not 1e-3 < scaling < 1e6:
        raise MotionError(f"{path}: scaling {scaling:g}, expected about 90, file units in a metre")
    trans = trans / scaling
    rate = resolve_fps(file_fps(values, path), how, path, AIST_FPS)
    check_timing(rate, len(turns), str(path), len(SMPL_JOINTS))
    placed = _posed(_body(turns, trans, DEFAULT_SKELETON, path), trans + SMPL_PELVIS, "Y up")
    notes = {"format": "aist++, Y up", AXES: "Y up", "length_unit": f"1 / {scaling:g} m (the file's scaling)"}
    return _clip(values, rate, DEFAULT_SKELETON, *placed, path, notes)


def _dance(values: Values, how: ReadingConfig, path: Path, turns: np.ndarray) -> Clip:
    """What generators trained on AIST++ write under its names (EDGE): metres, and neither axes nor rate are AIST++'s.
    The body's upright tells the axes, and `full_pose` (T, 24, 3), the joints, whether the place is the pelvis's."""
    if "full_pose" not in values:
        return _read(values, how, path, turns, "smpl_trans", "smpl", None)
    trans = how.metres * numbers(values, "smpl_trans", (len(turns), 3), path)
    joints = how.metres * numbers(values, "full_pose", (len(turns), len(SMPL_JOINTS), 3), path)
    rate = resolve_fps(file_fps(values, path), how, path)
    check_timing(rate, len(turns), str(path), len(SMPL_JOINTS))
    check_finite(joints, f"{path}: full_pose")
    turns = _body(how.radians * turns, trans, DEFAULT_SKELETON, path)
    axes = frame_of(how.up) if how.up else _upright_axes(turns[:, 0], path)
    found = {}
    for offset in (np.zeros(3), SMPL_PELVIS):
        root, rotations = _posed(turns, trans + offset, axes)
        positions, _ = forward_kinematics(DEFAULT_SKELETON, root, rotations)
        found[float(np.linalg.norm(positions - joints @ FRAMES[axes].T, axis=-1).mean())] = root, rotations
    error = min(found)
    if error > JOINT_TOLERANCE:
        raise MotionError(f"{path}: full_pose is {1e3 * error:.0f} mm off the joints of smpl_poses, expected the same")
    notes = {"format": f"smpl poses as EDGE writes them, {axes}", AXES: axes}
    root, rotations = found[error]
    return _clip(values, rate, DEFAULT_SKELETON, root, rotations, path, notes)


def _phc(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """PHC: the pelvis in `root_trans_offset`, global rotations x y z w in its robot's order."""
    root = how.metres * bounded(numbers(values, "root_trans_offset", (None, 3), path), f"{path}: root_trans_offset")
    quats = bounded(numbers(values, "pose_quat_global", (len(root), 24, 4), path), f"{path}: pose_quat_global")
    rate = resolve_fps(file_fps(values, path), how, path)
    order = [PHC_ORDER.index(name) for name in SMPL_JOINTS]
    world = in_order(quats[:, order], how.quat or "xyzw")
    check_timing(rate, len(root), str(path), len(SMPL_JOINTS))
    check_finite(world, f"{path}: pose_quat_global")
    if (np.abs(np.linalg.norm(world, axis=-1) - 1.0) > 0.01).any():
        raise MotionError(f"{path}: pose_quat_global is not of length 1, expected unit quaternions x y z w")
    rotations = local_rotations(DEFAULT_SKELETON, world)
    return _clip(values, rate, DEFAULT_SKELETON, root, rotations, path, {"format": "phc"})


def _phc_poses(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """PHC's pickles before they were made ready for its robot: `pose_aa` as in AMASS."""
    trans = "trans_orig" if "trans_orig" in values else "trans"
    return _amass({**values, "poses": values["pose_aa"], "trans": values[trans]}, how, path)


def _turns(values: Values, key: str, path: Path, joints: int | None = None) -> np.ndarray:
    """(T, J, 3) rotation vectors from (T, 3 J), (T, J, 3) or matrices (T, J, 3, 3). joints: J where it is known."""
    array = np.asarray(values[key])
    if array.ndim == 4:
        matrices = numbers({key: array}, key, (None, joints, 3, 3), path)
        check_finite(matrices, f"{path}: {key}")
        return quat_to_rotvec(quat_from_matrix(matrices))
    if array.ndim == 3:
        return numbers({key: array}, key, (None, joints, 3), path)
    flat = numbers({key: array}, key, (None, None if joints is None else 3 * joints), path)
    if flat.shape[1] % 3:
        raise MotionError(f"{path}: {key} {flat.shape}, expected three numbers a joint")
    return flat.reshape(len(flat), flat.shape[1] // 3, 3)


def _joined(root: np.ndarray, body: np.ndarray, path: Path) -> np.ndarray:
    if len(root) != len(body):
        raise MotionError(f"{path}: {len(root)} frames of the root and {len(body)} of the body, expected the same")
    return np.concatenate([root, body], axis=1)


def _body(turns: np.ndarray, trans: np.ndarray, skeleton: Skeleton, path: Path) -> np.ndarray:
    """(T, J, 3) of the body's joints; fingers and face, which follow the first 22 joints but in SMPL, are left out."""
    check_finite(bounded(turns, f"{path}: poses"), f"{path}: poses")
    if np.abs(turns).max(initial=0.0) > LARGEST_TURN:
        raise MotionError(f"{path}: poses up to {np.abs(turns).max():.4g}, expected radians, or --units deg")
    check_finite(bounded(trans, f"{path}: trans"), f"{path}: trans")
    count = len(SMPL_JOINTS) if turns.shape[1] == len(SMPL_JOINTS) else _BODY
    rotvecs = np.zeros((len(turns), skeleton.num_joints, 3))
    rotvecs[:, :count] = turns[:, :count]
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
    ("smpl_params_global",): _gvhmr,
    ("global_orient", "body_pose", "transl"): _model_names,
    ("pose_world", "trans_world"): _world_names,
    ("pred_rotmat", "pred_trans"): _tram,
    ("pose_aa", "trans_orig"): _phc_poses,
    ("pose_aa", "trans"): _phc_poses,
}
"""By the names that a layout must have, the surest first."""
