"""How well a clip follows a reference: PHC's errors and success, and the two figures that keep success honest.

Errors as in PHC and PULSE (Luo et al., arXiv 2305.06456 and 2310.04582): at 30 fps, over all bodies, unfiltered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import overload

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack
from morphloop.motion.rotations import quat_from_heading, quat_rotate

from .signals import grid_frames

TRACKING_HZ = 30.0
SUCCESS_M = 0.5
STRICT_M = 0.25

Values = dict[str, float | None]


def track_errors(clip: Clip, reference: Clip, completed: bool | None = None) -> Values:
    """Errors of a clip against its reference, both at 30 fps, over their common length.

    completed: whether the clip ran to the reference's end; if not given, a clip that ends more than a frame of 1/30 s
    early did not. A clip that was not completed fails both successes. Skeletons must have the same joints.
    `skill` is None where the frozen pose makes no error, that is when the reference never changes its pose.
    """
    if clip.skeleton.names != reference.skeleton.names:
        raise MotionError(f"{clip.name}: joints differ from its reference's, retarget both to one skeleton")
    if completed is None:
        completed = clip.duration > reference.duration - 1.5 / TRACKING_HZ
    count = min(grid_frames(c.num_frames, c.fps, TRACKING_HZ) for c in (clip, reference))
    ours, theirs = clip.resampled(TRACKING_HZ).slice(0, count), reference.resampled(TRACKING_HZ).slice(0, count)
    errors = position_errors(ours.positions, theirs.positions)
    distance = np.linalg.norm(ours.positions - theirs.positions, axis=-1)
    frozen = position_errors(frozen_pose(theirs).positions, theirs.positions)["e_mpjpe_mm"]
    own = errors["e_mpjpe_mm"]
    skill = 1.0 - own / frozen if own is not None and frozen is not None and frozen > 1e-6 else None
    return {
        "success": float(completed and distance.mean(axis=1).max() < SUCCESS_M),
        "success_strict": float(completed and distance.max() < STRICT_M),
        "skill": skill,
        **errors,
    }


def position_errors(ours: np.ndarray, theirs: np.ndarray) -> Values:
    """Errors of joint positions (T, J, 3) at 30 fps, the root first: global and root-relative, mm; first and second
    differences, mm/frame and mm/frame2 of 1/30 s (None for fewer than two or three frames)."""
    apart = ours - theirs
    frames = len(apart)

    def mean_mm(x: np.ndarray) -> float:
        return float(1e3 * np.linalg.norm(x, axis=-1).mean())

    return {
        "e_g_mpjpe_mm": mean_mm(apart),
        "e_mpjpe_mm": mean_mm(apart - apart[:, :1]),
        "e_vel_mm_frame": mean_mm(np.diff(apart, axis=0)) if frames > 1 else None,
        "e_acc_mm_frame2": mean_mm(np.diff(apart, n=2, axis=0)) if frames > 2 else None,
    }


@overload
def frozen_pose(reference: Clip) -> Clip: ...


@overload
def frozen_pose(reference: JointTrack) -> JointTrack: ...


def frozen_pose(reference: Clip | JointTrack) -> Clip | JointTrack:
    """The control that does nothing: the first pose carried along the reference's root position and orientation; of
    joint positions, whose root tells no orientation, along the first joint and turned with the line of the hips."""
    name = f"{reference.name}_frozen"
    if isinstance(reference, JointTrack):
        turn = quat_from_heading(reference.heading - reference.heading[0])[:, None]
        root = reference.positions[:, :1]
        pose = np.broadcast_to(reference.positions[:1] - root[:1], reference.positions.shape)
        return replace(reference, positions=root + quat_rotate(turn, pose), name=name)
    rotations = np.repeat(reference.rotations[:1], reference.num_frames, axis=0)
    rotations[:, 0] = reference.rotations[:, 0]
    return replace(reference, rotations=rotations, name=name)
