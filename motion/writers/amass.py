"""SMPL poses with AMASS's keys, the inverse of the reader: see `motion.readers.smpl` for the change of axes.

AMASS's own layout is SMPL-H's (T, 156): 22 joints and 30 of the fingers. Our two hand joints have no place in it, so a
clip whose hands turn is written as SMPL's (T, 72), which some tools refuse and no tool misreads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip
from ..readers.smpl import SMPL_PELVIS
from ..rotations import quat_from_matrix, quat_mul, quat_to_rotvec
from ..skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, Y_UP_TO_Z_UP
from .arrays import write_arrays
from .extras import Extras

SMPLH_COLUMNS = 156
HAND_REST = 1e-6
"""Radians under which a hand counts as at rest."""


def write_amass(path: Path | str, clip: Clip, extras: Extras | None = None) -> Path:
    """poses (T, 156) or (T, 72) rotation vectors, trans (T, 3) metres, betas zero, neutral, mocap_framerate.

    Z up as in AMASS; the body is the neutral one at beta = 0, whose pelvis J0 is taken off the root. MotionError unless
    the clip is on the default skeleton.
    """
    if clip.skeleton != DEFAULT_SKELETON:
        raise MotionError(f"{clip.name}: SMPL poses need the default skeleton, retarget the clip first (to_default)")
    rotvecs = smpl_rotvecs(clip)
    body = len(HUMANML3D_JOINTS)
    if np.abs(rotvecs[:, body:]).max() < HAND_REST:
        poses = np.zeros((clip.num_frames, SMPLH_COLUMNS))
        poses[:, : 3 * body] = rotvecs[:, :body].reshape(clip.num_frames, -1)
    else:
        poses = rotvecs.reshape(clip.num_frames, -1)
    arrays = {
        "poses": poses,
        "trans": clip.root_pos - SMPL_PELVIS,
        "betas": np.zeros(16),
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(clip.fps),
    }
    return write_arrays(path, arrays, clip, extras or Extras())


def smpl_rotvecs(clip: Clip) -> np.ndarray:
    """(T, J, 3) rotation vectors of a clip on SMPL's joints as AMASS has them: Z up, the root turned to stand there."""
    rotvecs = quat_to_rotvec(clip.rotations) @ Y_UP_TO_Z_UP
    to_ours = np.broadcast_to(quat_from_matrix(Y_UP_TO_Z_UP), clip.rotations[:, 0].shape)
    rotvecs[:, 0] = quat_to_rotvec(quat_mul(clip.rotations[:, 0], to_ours))
    return rotvecs
