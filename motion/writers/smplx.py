"""SMPL-X poses under the names of AMASS's SMPL-X files (`stageii`), which GMR and holosoma_retargeting read.

The body is the neutral one at beta = 0. A clip on the default skeleton, which is SMPL's at beta = 0, keeps its
rotations; its travel is scaled by the length of the legs, and its lowest foot joint stays as high as it was.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip
from ..readers.smpl import SMPLX_REST, SMPLX_SKELETON
from ..skeleton import DEFAULT_SKELETON, SMPL_JOINTS, Skeleton
from .amass import smpl_rotvecs
from .arrays import write_arrays
from .extras import Extras

SHAPES = 16
PARTS = {
    "root_orient": (0, 3),
    "pose_body": (3, 66),
    "pose_jaw": (66, 69),
    "pose_eye": (69, 75),
    "pose_hand": (75, 165),
}
"""Columns of `poses`."""
_FEET = [SMPL_JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("ankle", "foot")]


def write_smplx(path: Path | str, clip: Clip, extras: Extras | None = None) -> Path:
    """poses (T, 165) rotation vectors and their parts (`PARTS`), trans (T, 3) metres, betas (16,) zero, gender,
    surface_model_type, mocap_frame_rate, mocap_time_length, num_betas; Z up, hands and face at rest; foot_contact.

    MotionError unless the clip is on SMPL-X's joints or the default skeleton.
    """
    if clip.skeleton != SMPLX_SKELETON:
        clip = on_smplx(clip)
    poses = np.zeros((clip.num_frames, PARTS["pose_hand"][1]))
    poses[:, : PARTS["pose_body"][1]] = smpl_rotvecs(clip).reshape(clip.num_frames, -1)
    arrays = {name: poses[:, start:stop] for name, (start, stop) in PARTS.items()} | {
        "poses": poses,
        "trans": clip.root_pos - SMPLX_REST[0],
        "betas": np.zeros(SHAPES),
        "num_betas": np.array(SHAPES),
        "gender": np.array("neutral"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(clip.fps),
        "mocap_time_length": np.array(clip.num_frames / clip.fps),
    }
    return write_arrays(path, arrays, clip, extras or Extras())


def on_smplx(clip: Clip) -> Clip:
    """A clip on the default skeleton moved to SMPL-X's mean body; MotionError for a clip on another."""
    if clip.skeleton != DEFAULT_SKELETON:
        raise MotionError(f"{clip.name}: SMPL-X poses need the default skeleton, retarget the clip first (to_default)")
    rotations = clip.rotations[:, : SMPLX_SKELETON.num_joints]
    made = replace(clip, skeleton=SMPLX_SKELETON, root_pos=SMPLX_SCALE * clip.root_pos, rotations=rotations)
    return made.moved(np.array([0.0, 0.0, _lowest(clip) - _lowest(made)]))


def _lowest(clip: Clip) -> float:
    return float(clip.positions[:, _FEET, 2].min())


def _legs(skeleton: Skeleton) -> float:
    """Metres of thigh and shin of both legs."""
    bones = [skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
    return float(np.linalg.norm(skeleton.offsets[bones], axis=1).sum())


SMPLX_SCALE = _legs(SMPLX_SKELETON) / _legs(DEFAULT_SKELETON)
"""Legs of SMPL-X's mean body over those of the default skeleton."""
