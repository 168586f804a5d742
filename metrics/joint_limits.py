"""Does a pose stay within what the joints allow?

A ball joint's range stands in the body's table (`sim/bodies/smpl_table.py`, after Norkin and White, "Measurement of
Joint Motion", widened by about 15 degrees) as an interval for each component of its rotation vector, the same that
bounds the servos: x, y and z of axis times angle, in the parent's axes, which at rest are the world's. A robot's hinges
have the ranges of its own description.
"""

from __future__ import annotations

import mujoco
import numpy as np

from morphloop.motion import Clip, JointTrack
from morphloop.motion.rotations import quat_to_rotvec
from morphloop.sim.bodies.body import Body

TOLERANCE_DEG = 5.0
"""What a goniometer in good hands repeats a limb's joint angle to (Norkin and White, chapter 3)."""

Values = dict[str, float | None]


def joint_limits(motion: Clip | JointTrack, body: Body) -> Values:
    """`joint_limit_ratio`: share of frames in which some joint is more than 5 degrees beyond its range.

    None for positions alone, for a clip on another skeleton than the body's, and for a body whose joints have no range.
    The root has none.
    """
    if not isinstance(motion, Clip) or motion.skeleton != body.skeleton:
        return {"joint_limit_ratio": None}
    beyond = [ball_excess(motion.rotations, body.ranges), hinge_excess(body, motion)]
    excess = np.concatenate(beyond, axis=1)
    if not np.isfinite(excess).any():
        return {"joint_limit_ratio": None}
    return {"joint_limit_ratio": float((excess > np.radians(TOLERANCE_DEG)).any(axis=1).mean())}


def ball_excess(rotations: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """(T, J) radians by which the worst component of each joint's rotation vector is beyond its range, negative inside
    and minus infinity where there is none. rotations: (T, J, 4) local, w x y z; ranges: (J, 3, 2) radians."""
    bounded = np.flatnonzero(np.isfinite(ranges).any(axis=(1, 2)))
    excess = np.full(rotations.shape[:2], -np.inf)
    turn = quat_to_rotvec(rotations[:, bounded])
    excess[:, bounded] = np.maximum(ranges[bounded, :, 0] - turn, turn - ranges[bounded, :, 1]).max(axis=-1)
    return excess


def hinge_excess(body: Body, clip: Clip) -> np.ndarray:
    """(T, H) radians by which each limited hinge of the body's model is beyond its range, negative inside."""
    model = body.model
    limited = np.flatnonzero((model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & model.jnt_limited.astype(bool))
    if not len(limited):
        return np.zeros((clip.num_frames, 0))
    angle = body.qpos_from_clip(clip)[:, model.jnt_qposadr[limited]]
    low, high = model.jnt_range[limited].T
    return np.maximum(low - angle, angle - high)
