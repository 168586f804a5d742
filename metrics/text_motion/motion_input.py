"""What the evaluator sees of a motion: joints about the root, how the root moves, which feet are down.

Not HumanML3D's 263 numbers, most of which are rotations and velocities that a fit made up. Positions alone are enough,
so clips and bare joint positions are read alike. Where the motion lies, where it faces, how tall the person is and how
high the ground is do not show: none of that is in a caption, and a float or a sunk ground is for the physics metrics.
"""

from __future__ import annotations

import numpy as np

from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, Clip, JointTrack, to_default
from morphloop.motion.features import SOLE_BELOW_TOE, foot_contacts
from morphloop.motion.rotations import linear_velocity

MOTION_FPS = 20.0
"""Frame rate that motions are looked at."""
JOINTS = len(HUMANML3D_JOINTS)
LEFT, RIGHT = ([HUMANML3D_JOINTS.index(f"{side}_{part}") for part in ("hip", "shoulder")] for side in ("left", "right"))
LEGS = [[HUMANML3D_JOINTS.index(f"{side}_{part}") for part in ("hip", "knee", "ankle")] for side in ("left", "right")]
FEET = [HUMANML3D_JOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "foot")]
LOW = 5.0
"""Percentile of the lowest foot joint's height that is taken for the ground."""

PLACES = slice(0, 3 * (JOINTS - 1))
"""Joints but the root, about it and in its heading, metres of the default skeleton."""
VELOCITY = slice(PLACES.stop, PLACES.stop + 3)
"""Of the root in its heading, m/s."""
YAW_RATE = slice(VELOCITY.stop, VELOCITY.stop + 1)
"""Radians per second."""
HEIGHT = slice(YAW_RATE.stop, YAW_RATE.stop + 1)
"""Of the root over the ground, metres."""
CONTACTS = slice(HEIGHT.stop, HEIGHT.stop + 4)
"""One where an ankle or toe joint is on the ground, else zero."""
SIZE = CONTACTS.stop


def _leg_length(joints: np.ndarray) -> float:
    legs = joints[..., LEGS, :]
    return float(np.median(np.linalg.norm(np.diff(legs, axis=-2), axis=-1).sum(axis=-1)))


DEFAULT_LEG = _leg_length(DEFAULT_SKELETON.rest_positions[None, :JOINTS])


def motion_joints(motion: Clip | JointTrack) -> np.ndarray:
    """(T, 22, 3) joints of HUMANML3D_JOINTS at MOTION_FPS, scaled to the default skeleton's legs, Z up.

    MotionError where the motion cannot be brought to those joints.
    """
    names = motion.names if isinstance(motion, JointTrack) else motion.skeleton.names
    if not set(HUMANML3D_JOINTS) <= set(names):
        motion = to_default(motion)
        names = motion.skeleton.names
    joints = motion.positions[:, [names.index(name) for name in HUMANML3D_JOINTS]]
    joints = JointTrack(motion.fps, HUMANML3D_JOINTS, joints).resampled(MOTION_FPS).positions
    length = _leg_length(joints)
    return joints * (DEFAULT_LEG / length if length > 0.0 else 1.0)


def body_heading(joints: np.ndarray) -> np.ndarray:
    """(T,) yaw in radians, square to the lines through hips and shoulders, without jumps."""
    across = (joints[:, LEFT] - joints[:, RIGHT]).sum(axis=1)
    return np.unwrap(np.arctan2(-across[:, 0], across[:, 1]))


def _facing(vectors: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Vectors (T, ..., 3) of the world as the body's heading yaw (T,) sees them: forward, left, up."""
    cos, sin = (turn.reshape(-1, *[1] * (vectors.ndim - 2)) for turn in (np.cos(yaw), np.sin(yaw)))
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x, vectors[..., 2]], axis=-1)


def motion_features(joints: np.ndarray) -> np.ndarray:
    """(T, SIZE) single precision of joints (T, 22, 3) at MOTION_FPS."""
    root, yaw = joints[:, 0], body_heading(joints)
    ground = np.percentile(joints[:, FEET, 2].min(axis=1), LOW) - SOLE_BELOW_TOE
    level = joints - np.array([0.0, 0.0, ground])
    parts = (
        _facing(joints[:, 1:] - joints[:, :1], yaw).reshape(len(joints), -1),
        _facing(linear_velocity(root, MOTION_FPS), yaw),
        linear_velocity(yaw, MOTION_FPS)[:, None],
        level[:, 0, 2:],
        foot_contacts(level, MOTION_FPS),
    )
    return np.concatenate(parts, axis=1).astype(np.float32)


def travel(joints: np.ndarray) -> tuple[float, float, float]:
    """Metres that the root goes forward and to the left along the body's own heading, and radians it turns left."""
    yaw = body_heading(joints)
    steps = _facing(np.diff(joints[:, 0], axis=0), yaw[:-1]).sum(axis=0)
    return float(steps[0]), float(steps[1]), float(yaw[-1] - yaw[0])
