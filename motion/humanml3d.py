"""HumanML3D's 263 numbers a frame (Guo et al., CVPR 2022), from joints and back.

A row is, in this order: root turn (1), root velocity in the plane (2), root height (1), joint positions in the root's
heading (21 x 3, "ric"), joint rotations by inverse kinematics as 6-D (21 x 6), joint velocities (22 x 3) and foot
contacts (4). Everything is per frame at 20 fps, in the data set's axes: X left, Y up, Z forward. The data set's
own `motion_process.py` is followed to the letter, because its mean, its evaluators and every model trained on it were
made with what that code does, and not with what it meant:

- where it finds the facing direction for the rotations, the two hips are labelled the other way round, so that hips and
  shoulders work against each other (the step that turns the first frame to Z labels them right);
- the first root rotation is set to the identity after the fact, so the first row's turn holds what was overwritten;
- the turn is half the angle, and where a body turns past its own back, one frame's turn has the wrong sign;
- the arms' chains start from the root's rotation, not the chest's.

A clip of T frames gives T - 1 rows. The published `new_joints` are what `joints_from_features` makes of the rows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d

from morphloop.base.errors import MotionError

from .clip import JointTrack
from .rotations import quat_between, quat_conj, quat_mul, quat_rotate, quat_to_6d
from .skeleton import HUMANML3D_JOINTS, SMPL_PARENTS, Y_UP_TO_Z_UP

HUMANML3D_FPS = 20.0
FEATURES = 263
GROUPS = {
    "root_turn": slice(0, 1),
    "root_velocity": slice(1, 3),
    "root_height": slice(3, 4),
    "ric": slice(4, 67),
    "rotations": slice(67, 193),
    "velocities": slice(193, 259),
    "contacts": slice(259, 263),
}
"""Columns of a row by what they hold; contacts are left ankle, left toe, right ankle, right toe."""

BONE_LENGTHS = np.array([
    0.0, 0.103074, 0.109883, 0.131568, 0.393623, 0.390188, 0.143190, 0.432433, 0.425643, 0.057365, 0.143382, 0.149419,
    0.219360, 0.137487, 0.143383, 0.103039, 0.131614, 0.122984, 0.256840, 0.263092, 0.266012, 0.269876,
])  # fmt: skip
"""(22,) metres from each joint's parent to it, the same in every clip of the data set (measured in its sample)."""
CHAINS = (
    (0, 2, 5, 8, 11),
    (0, 1, 4, 7, 10),
    (0, 3, 6, 9, 12, 15),
    (9, 14, 17, 19, 21),
    (9, 13, 16, 18, 20),
)
CONTACT_STEP = 0.002
"""Squared metres a foot joint may move in a frame and count as on the ground; upstream's `feet_thre`."""
SMOOTH_FRAMES = 20.0
"""Standard deviation, in frames, of the Gaussian over the facing direction."""

_AXES = {"0": (0, 0, 0), "l": (1, 0, 0), "r": (-1, 0, 0), "u": (0, 1, 0), "d": (0, -1, 0), "f": (0, 0, 1)}
_DIRECTIONS = np.array([_AXES[letter] for letter in "0lruddudduffulrfdddddd"], dtype=float)
"""(22, 3) direction of each bone in upstream's rest pose, arms hanging."""
_LEFT_HIP, _RIGHT_HIP, _RIGHT_KNEE, _RIGHT_ANKLE, _LEFT_SHOULDER, _RIGHT_SHOULDER = 1, 2, 5, 8, 16, 17
_LEFT_FOOT, _RIGHT_FOOT = [7, 10], [8, 11]
_UP, _FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


def track_to_features(track: JointTrack) -> np.ndarray:
    """(T - 1, 263) float32 of a joint track, taken to 20 fps and to the data set's body, floor, origin and heading.

    Raises MotionError unless the joints are HumanML3D's 22 and there are two frames at 20 fps.
    """
    if track.names != HUMANML3D_JOINTS:
        raise MotionError(
            f"{track.name}: joints {', '.join(track.names[:4])} ..., expected HumanML3D's 22 in its order"
        )
    joints = track.resampled(HUMANML3D_FPS).positions @ Y_UP_TO_Z_UP
    if len(joints) < 2:
        raise MotionError(f"{track.name}: {len(joints)} frame at 20 fps, expected 2 or more: a row is a step")
    return joints_to_features(canonical_joints(joints, track.name), track.name)


def track_from_features(features: np.ndarray, name: str = "clip") -> JointTrack:
    """Rows (T, 263) as a joint track of T frames at 20 fps in our axes.

    Raises MotionError for another shape and for rows that are still divided by the data set's deviation.
    """
    if features.ndim != 2 or features.shape[1] != FEATURES or len(features) == 0:
        raise MotionError(f"{name}: features {features.shape}, expected (T, {FEATURES})")
    height = float(np.median(features[:, GROUPS["root_height"]]))
    contacts = features[:, GROUPS["contacts"]]
    if height <= 0 or contacts.min() < -0.5 or contacts.max() > 1.5:
        raise MotionError(
            f"{name}: root height {height:.3g} and contacts {contacts.min():.3g} to {contacts.max():.3g}, expected "
            f"metres over the floor and 0 to 1: multiply by the data set's Std.npy and add its Mean.npy first"
        )
    positions = joints_from_features(features) @ Y_UP_TO_Z_UP.T
    return JointTrack(fps=HUMANML3D_FPS, names=HUMANML3D_JOINTS, positions=positions, name=name)


def canonical_joints(joints: np.ndarray, name: str = "clip") -> np.ndarray:
    """Upstream's preparation: its bone lengths, lowest joint at height 0, first root over the origin, facing Z.

    joints: (T, 22, 3) metres, Y up; the result has the same shape. Bones keep their directions, the root's path is
    scaled by leg length. Raises MotionError where a bone has no length or the first frame no facing direction.
    """
    bones = joints[:, 1:] - joints[:, list(SMPL_PARENTS[1:22])]
    lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
    if lengths.min() < 1e-6:
        raise MotionError(
            f"{name}: two joints coincide at frame {int(lengths.min(axis=(1, 2)).argmin())}, expected a body"
        )
    leg = lengths[0, _RIGHT_KNEE - 1, 0] + lengths[0, _RIGHT_ANKLE - 1, 0]
    made = np.empty_like(joints)
    made[:, 0] = joints[:, 0] * (BONE_LENGTHS[_RIGHT_KNEE] + BONE_LENGTHS[_RIGHT_ANKLE]) / leg
    for j, parent in enumerate(SMPL_PARENTS[1:22], 1):
        made[:, j] = made[:, parent] + bones[:, j - 1] / lengths[:, j - 1] * BONE_LENGTHS[j]
    made[..., 1] -= made[..., 1].min()
    made -= made[0, 0] * np.array([1.0, 0.0, 1.0])
    across = made[:1, _RIGHT_HIP] - made[:1, _LEFT_HIP] + made[:1, _RIGHT_SHOULDER] - made[:1, _LEFT_SHOULDER]
    turn = quat_between(_facing(across, name), _FORWARD[None])
    return quat_rotate(np.broadcast_to(turn, (*made.shape[:-1], 4)), made)


def joints_to_features(joints: np.ndarray, name: str = "clip") -> np.ndarray:
    """(T - 1, 263) float32 of joints (T, 22, 3) as `canonical_joints` makes them, at 20 fps, metres, Y up."""
    local = _local_rotations(joints, name)
    facing = local[:, 0]
    steps = joints[1:] - joints[:-1]
    centred = joints - joints[:, :1] * np.array([1.0, 0.0, 1.0])
    turn = quat_mul(facing[1:], quat_conj(facing[:-1]))
    rows = np.empty((len(steps), FEATURES))
    rows[:, GROUPS["root_turn"]] = np.arcsin(np.clip(turn[:, 2:3], -1.0, 1.0))
    rows[:, GROUPS["root_velocity"]] = quat_rotate(facing[1:], steps[:, 0])[:, [0, 2]]
    rows[:, GROUPS["root_height"]] = joints[:-1, 0, 1:2]
    rows[:, GROUPS["ric"]] = _turned(facing[:-1], centred[:-1, 1:]).reshape(len(rows), -1)
    rows[:, GROUPS["rotations"]] = quat_to_6d(local[:-1, 1:]).reshape(len(rows), -1)
    rows[:, GROUPS["velocities"]] = _turned(facing[:-1], steps).reshape(len(rows), -1)
    moved = np.square(steps[:, _LEFT_FOOT + _RIGHT_FOOT]).sum(axis=-1)
    rows[:, GROUPS["contacts"]] = moved < CONTACT_STEP
    return rows.astype(np.float32)


def joints_from_features(features: np.ndarray) -> np.ndarray:
    """(T, 22, 3) joints, metres, Y up, of rows (T, 263): upstream's `recover_from_ric`.

    Turns and velocities are summed up, positions are taken as they are; rotations and contacts are not looked at.
    """
    rows = np.asarray(features, dtype=float)
    half = np.zeros(len(rows))
    half[1:] = np.cumsum(rows[:-1, 0])
    back = np.zeros((len(rows), 4))
    back[:, 0], back[:, 2] = np.cos(half), -np.sin(half)
    step = np.zeros((len(rows), 3))
    step[1:, [0, 2]] = rows[:-1, GROUPS["root_velocity"]]
    root = np.cumsum(quat_rotate(back, step), axis=0)
    ric = _turned(back, rows[:, GROUPS["ric"]].reshape(len(rows), -1, 3))
    joints = np.concatenate([np.zeros((len(rows), 1, 3)), ric], axis=1) + root[:, None]
    joints[:, 0, 1] = rows[:, 3]
    return joints


def _turned(rotation: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (T, K, 3) turned by one rotation a frame, (T, 4)."""
    return quat_rotate(np.broadcast_to(rotation[:, None], (*points.shape[:-1], 4)), points)


def _facing(across: np.ndarray, name: str, smooth: bool = False) -> np.ndarray:
    """(T, 3) horizontal unit vectors to the front of a line from left to right (T, 3)."""
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    forward = np.cross(_UP, across / np.maximum(length, 1e-12))
    if smooth:
        forward = gaussian_filter1d(forward, SMOOTH_FRAMES, axis=0, mode="nearest")
    size = np.linalg.norm(forward, axis=-1, keepdims=True)
    if size.min() < 1e-6:
        raise MotionError(f"{name}: hips and shoulders show no front at frame {int(size.argmin())}, expected a body")
    return forward / size


def _local_rotations(joints: np.ndarray, name: str) -> np.ndarray:
    """(T, 22, 4) upstream's inverse kinematics: the facing direction first, then each bone by the smallest rotation."""
    swapped_hips = joints[:, _LEFT_HIP] - joints[:, _RIGHT_HIP]
    across = swapped_hips + joints[:, _RIGHT_SHOULDER] - joints[:, _LEFT_SHOULDER]
    forward = _facing(across, name, smooth=True)
    local = np.zeros((*joints.shape[:-1], 4))
    local[:, 0] = quat_between(forward, np.broadcast_to(_FORWARD, forward.shape))
    local[0, 0] = (1.0, 0.0, 0.0, 0.0)
    for chain in CHAINS:
        above = local[:, 0]
        for parent, joint in pairwise(chain):
            bone = joints[:, joint] - joints[:, parent]
            world = quat_between(np.broadcast_to(_DIRECTIONS[joint], bone.shape), bone)
            local[:, joint] = quat_mul(quat_conj(above), world)
            above = world
    return local
