"""Features: what a motion tokenizer sees of a clip, and the way back without inverse kinematics.

In the line of HumanML3D's 263 numbers (Guo et al. 2022) as far as the root goes: turning rate and planar velocity in
the heading frame, height. It departs where that one needs a fit afterwards: every joint is its own local rotation in
6-D (Zhou et al. 2019), the root's tilt included, so decoding is integration of three velocities and nothing else.
Everything is canonical in place and heading: a decoded clip starts over the origin and faces along X.
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from morphloop.base.errors import MotionError

from .clip import Clip
from .rotations import (
    EPS,
    Array,
    heading,
    linear_velocity,
    quat_conj,
    quat_from_6d,
    quat_from_heading,
    quat_mul,
    quat_rotate,
    quat_to_6d,
)
from .skeleton import DEFAULT_SKELETON

FEATURE_FPS = 30.0
"""Frame rate that the velocities are differences at; clips at another rate are resampled."""

CONTACT_JOINTS = ("left_ankle", "left_foot", "right_ankle", "right_foot")
CONTACT_INDEX = tuple(DEFAULT_SKELETON.index(name) for name in CONTACT_JOINTS)
CONTACT_MARGIN = 0.05
"""Metres above its height in the rest pose at which a foot joint still counts as on the ground."""
CONTACT_SPEED = 0.3
"""Vertical metres per second below which a low foot counts as planted; sliding does not lift it."""
SOLE_BELOW_TOE = 0.025
"""Metres from the toe joint down to the sole."""

YAW_RATE = slice(0, 1)
"""Radians per second about the vertical, from this frame to the next."""
VELOCITY = slice(1, 3)
"""Planar root velocity in this frame's heading, m/s, from this frame to the next."""
HEIGHT = slice(3, 4)
"""Root height, metres."""
TILT_6D = slice(4, 10)
"""Root orientation after the heading is taken off, 6-D."""
JOINTS_6D = slice(10, 10 + 6 * (DEFAULT_SKELETON.num_joints - 1))
"""Local rotations of the 23 joints below the root, 6-D each."""
CONTACTS = slice(JOINTS_6D.stop, JOINTS_6D.stop + len(CONTACT_JOINTS))
"""One where the joint of CONTACT_JOINTS is on the ground, else zero; decoding does not need it."""
FEATURE_SIZE = CONTACTS.stop


def foot_contacts(positions: np.ndarray, fps: float = FEATURE_FPS) -> np.ndarray:
    """(T, 4) bool of CONTACT_JOINTS from joint positions (T, 24, 3): low and not moving up or down."""
    feet = positions[:, list(CONTACT_INDEX)]
    rest = DEFAULT_SKELETON.rest_positions[:, 2]
    standing = rest[list(CONTACT_INDEX)] - rest.min() + SOLE_BELOW_TOE
    return (feet[..., 2] < standing + CONTACT_MARGIN) & (np.abs(linear_velocity(feet[..., 2], fps)) < CONTACT_SPEED)


def clip_to_features(clip: Clip) -> np.ndarray:
    """Features (T, FEATURE_SIZE) of a clip, at FEATURE_FPS.

    Raises MotionError if the clip is not on the default skeleton.
    """
    if clip.skeleton != DEFAULT_SKELETON:
        raise MotionError(f"{clip.name}: features need the default skeleton, retarget the clip first (to_default)")
    clip = clip.resampled(FEATURE_FPS)
    yaw = np.unwrap(heading(clip.rotations[:, 0]))
    facing = quat_from_heading(yaw)
    leaving = facing[np.minimum(np.arange(len(facing)), max(len(facing) - 2, 0))]  # the last velocity is a repeat
    velocity = quat_rotate(quat_conj(leaving), linear_velocity(clip.root_pos, FEATURE_FPS))
    tilt = quat_mul(quat_conj(facing), clip.rotations[:, 0])
    return np.concatenate(
        [
            linear_velocity(yaw, FEATURE_FPS)[:, None],
            velocity[:, :2],
            clip.root_pos[:, 2:],
            quat_to_6d(tilt),
            quat_to_6d(clip.rotations[:, 1:]).reshape(clip.num_frames, -1),
            foot_contacts(clip.positions),
        ],
        axis=-1,
    )


def features_to_motion(features: Array) -> tuple[Array, Array]:
    """Integrate features (..., T, FEATURE_SIZE), NumPy or torch, over the origin facing X.

    Returns root positions (..., T, 3), metres, and local rotations (..., T, 24, 4).
    """
    facing = quat_from_heading(_integrate(features[..., YAW_RATE])[..., 0])
    xp = array_namespace(features)
    flat = xp.concat([features[..., VELOCITY], xp.zeros_like(features[..., HEIGHT])], axis=-1)
    planar = _integrate(quat_rotate(facing, flat))
    root = xp.concat([planar[..., :2], features[..., HEIGHT]], axis=-1)
    turned = quat_mul(facing, quat_from_6d(features[..., TILT_6D]))
    joints = xp.reshape(features[..., JOINTS_6D], (*features.shape[:-1], -1, 6))
    return root, xp.concat([turned[..., None, :], quat_from_6d(joints)], axis=-2)


def _integrate(rate: Array) -> Array:
    """Sum of rate / FEATURE_FPS over all earlier frames: (..., T, C) to (..., T, C), zero in the first."""
    xp = array_namespace(rate)
    total = xp.cumulative_sum(rate[..., :-1, :], axis=-2) / FEATURE_FPS
    return xp.concat([xp.zeros_like(rate[..., :1, :]), total], axis=-2)


def features_to_clip(features: np.ndarray, name: str = "clip", texts: tuple[str, ...] = ()) -> Clip:
    """Clip of features (T, FEATURE_SIZE) at FEATURE_FPS, on the default skeleton.

    Raises MotionError on another shape or on NaN.
    """
    features = np.asarray(features, dtype=float)
    if features.ndim != 2 or features.shape[1] != FEATURE_SIZE:
        raise MotionError(f"{name}: features {features.shape}, expected (T, {FEATURE_SIZE})")
    root, rotations = features_to_motion(features)
    return Clip(FEATURE_FPS, DEFAULT_SKELETON, root, rotations, texts, name)


def _levels() -> list[tuple[list[int], list[int]]]:
    """Joints of each depth below the root, and the place of each one's parent among the joints one level up."""
    levels, above = [], [0]
    while True:
        joints = [j for j, parent in enumerate(DEFAULT_SKELETON.parents) if parent in above]
        if not joints:
            return levels
        levels.append((joints, [above.index(DEFAULT_SKELETON.parents[j]) for j in joints]))
        above = joints


LEVELS = _levels()


def features_to_positions(features: Array) -> Array:
    """Joint positions (..., T, 24, 3), metres, of features (..., T, FEATURE_SIZE).

    The same as forward kinematics of `features_to_motion`, but on matrices and a whole level of the tree at a time:
    training differentiates through it, where quaternions joint by joint took most of a step.
    """
    return features_to_frames(features)[0]


def features_to_frames(features: Array) -> tuple[Array, Array]:
    """Joint positions (..., T, 24, 3), metres, and world rotations (..., T, 24, 3, 3), as `features_to_positions`."""
    xp = array_namespace(features)
    yaw = features_yaw(features)
    facing = heading_matrices(yaw)
    flat = xp.concat([features[..., VELOCITY], xp.zeros_like(features[..., HEIGHT])], axis=-1)
    planar = _integrate(xp.sum(facing * flat[..., None, :], axis=-1))
    root = xp.concat([planar[..., :2], features[..., HEIGHT]], axis=-1)
    local = _matrices(features[..., TILT_6D.start : JOINTS_6D.stop])
    offsets = xp.asarray(DEFAULT_SKELETON.offsets, dtype=features.dtype, device=features.device)
    turn, place = (facing @ local[..., 0, :, :])[..., None, :, :], root[..., None, :]
    places, turns, order = [place], [turn], [0]
    for joints, parents in LEVELS:
        above = xp.asarray(parents, device=features.device)
        turn, place = xp.take(turn, above, axis=-3), xp.take(place, above, axis=-2)
        place = place + xp.sum(turn * offsets[joints][:, None, :], axis=-1)
        turn = turn @ xp.take(local, xp.asarray(joints, device=features.device), axis=-3)
        places.append(place)
        turns.append(turn)
        order += joints
    back = xp.asarray([order.index(j) for j in range(len(order))], device=features.device)
    return xp.take(xp.concat(places, axis=-2), back, axis=-2), xp.take(xp.concat(turns, axis=-3), back, axis=-3)


def features_yaw(features: Array) -> Array:
    """Heading (..., T) of features (..., T, FEATURE_SIZE), radians, zero in the first frame."""
    return _integrate(features[..., YAW_RATE])[..., 0]


def heading_matrices(yaw: Array) -> Array:
    """Turns (..., 3, 3) about the vertical by yaw (...), radians."""
    xp = array_namespace(yaw)
    cos, sin, zero = xp.cos(yaw), xp.sin(yaw), xp.zeros_like(yaw)
    facing = xp.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1.0], axis=-1)
    return xp.reshape(facing, (*yaw.shape, 3, 3))


def _matrices(columns: Array) -> Array:
    """Rotation matrices (..., J, 3, 3) of J pairs of columns (..., 6 J), by Gram-Schmidt as `quat_from_6d`."""
    xp = array_namespace(columns)
    pairs = xp.reshape(columns, (*columns.shape[:-1], -1, 6))
    a, b = pairs[..., :3], pairs[..., 3:]
    x = a / xp.clip(xp.linalg.vector_norm(a, axis=-1, keepdims=True), min=EPS)
    b = b - xp.sum(x * b, axis=-1, keepdims=True) * x
    y = b / xp.clip(xp.linalg.vector_norm(b, axis=-1, keepdims=True), min=EPS)
    return xp.stack([x, y, xp.linalg.cross(x, y)], axis=-1)
