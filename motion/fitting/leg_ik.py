"""Legs by geometry: where the feet stand and how the pelvis is held decide hips, knees, ankles and toes.

Two-bone inverse kinematics in closed form (law of cosines), all frames at once. The knee bends in the plane of the
leg and the mean forward direction of pelvis and foot, so it always points where the foot points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..rotations import quat_conj, quat_from_heading, quat_from_matrix, quat_from_rotvec, quat_mul, quat_rotate
from ..skeleton import DEFAULT_SKELETON

SOLE_HEIGHT = -0.945
"""Height of the soles under the pelvis at rest, metres; the default body's shoe (`sim.table`)."""
HEEL_BEHIND_ANKLE = 0.06
"""How far the sole reaches behind the ankle, metres (`sim.table`)."""

SIDES = ("left", "right")
HIPS, KNEES, ANKLES, TOES = (
    np.array([DEFAULT_SKELETON.index(f"{side}_{joint}") for side in SIDES])
    for joint in ("hip", "knee", "ankle", "foot")
)
LEG_LENGTHS = np.linalg.norm(DEFAULT_SKELETON.offsets[KNEES], axis=1) + np.linalg.norm(
    DEFAULT_SKELETON.offsets[ANKLES], axis=1
)
"""(2,) stretched length hip to ankle, left and right, metres."""
ANKLE_HEIGHTS = DEFAULT_SKELETON.rest_positions[ANKLES, 2] - SOLE_HEIGHT
"""(2,) height of the ankles over flat soles, metres."""
BALL = DEFAULT_SKELETON.offsets[TOES]
"""(2, 3) toe joint, the ball of the foot, in the ankle's frame."""
HEEL = np.stack([np.full(2, -HEEL_BEHIND_ANKLE), np.zeros(2), -ANKLE_HEIGHTS], axis=1)
"""(2, 3) bottom edge of the heel in the ankle's frame."""


@dataclass(frozen=True)
class FootTrack:
    """Both feet over time, left first.

    ground: (T, 2, 3) point of the sole under the ankle if the foot were flat, z is the lift, metres; yaw: (T, 2);
    pitch: (T, 2) heel up positive, radians; pivot: (T, 2) 0 pitches about the ball, 1 about the heel;
    toe: (T, 2) pitch of the toes against the foot.
    """

    ground: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    pivot: np.ndarray
    toe: np.ndarray


def about_y(angle: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) of turns about the Y axis by `angle` (...), positive tips X down."""
    zero = np.zeros_like(angle)
    return quat_from_rotvec(np.stack([zero, angle, zero], axis=-1))


def ankle_poses(feet: FootTrack) -> tuple[np.ndarray, np.ndarray]:
    """World ankle positions (T, 2, 3) and foot rotations (T, 2, 4)."""
    pivot = BALL + feet.pivot[..., None] * (HEEL - BALL)
    pitch, yaw = about_y(feet.pitch), quat_from_heading(feet.yaw)
    moved = quat_rotate(yaw, pivot - quat_rotate(pitch, pivot))
    flat = feet.ground + np.stack([np.zeros(2), np.zeros(2), ANKLE_HEIGHTS], axis=1)
    return flat + moved, quat_mul(yaw, pitch)


def _frames(along: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(..., 3, 3) with columns: along, the part of `side` across it, and their cross product."""
    along = along / np.linalg.norm(along, axis=-1, keepdims=True)
    across = side - np.sum(side * along, axis=-1, keepdims=True) * along
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    return np.stack([along, across, np.cross(along, across)], axis=-1)


@dataclass(frozen=True)
class Legs:
    """Both legs solved, left first. hips, knees, ankles: (T, 2, 3) world positions, metres; side: (T, 2, 3) unit
    axis of the bending knee, pointing left; foot_rot: (T, 2, 4) in the world; toe: (T, 2) radians."""

    hips: np.ndarray
    knees: np.ndarray
    ankles: np.ndarray
    side: np.ndarray
    foot_rot: np.ndarray
    toe: np.ndarray


def solve_legs(
    root_pos: np.ndarray, root_rot: np.ndarray, ankles: np.ndarray, foot_rot: np.ndarray, toe: np.ndarray
) -> Legs:
    """Where the joints of the legs are when the ankles are where they are asked to be.

    root_pos (T, 3), root_rot (T, 4), ankles (T, 2, 3) and foot_rot (T, 2, 4) in the world, toe (T, 2) radians. An
    ankle out of reach leaves the leg stretched towards it.
    """
    offsets = DEFAULT_SKELETON.offsets
    root = np.repeat(root_rot[:, None], 2, axis=1)
    hips = root_pos[:, None] + quat_rotate(root, np.broadcast_to(offsets[HIPS], ankles.shape))
    a, b = np.linalg.norm(offsets[KNEES], axis=1), np.linalg.norm(offsets[ANKLES], axis=1)
    reach = ankles - hips
    wanted = np.linalg.norm(reach, axis=-1)
    distance = np.clip(wanted, np.abs(a - b) + 0.05, 0.9995 * (a + b))
    line = reach / wanted[..., None]
    ahead = np.broadcast_to([1.0, 0.0, 0.0], ankles.shape)
    bend = _frames(line, quat_rotate(root, ahead) + quat_rotate(foot_rot, ahead))[..., 1]
    cosine = (a**2 + distance**2 - b**2) / (2 * a * distance)
    sine = np.sqrt(np.clip(1 - cosine**2, 0, None))
    knees = hips + a[:, None] * (cosine[..., None] * line + sine[..., None] * bend)
    return Legs(hips, knees, hips + distance[..., None] * line, np.cross(bend, line), foot_rot, toe)


def leg_rotations(legs: Legs, root_rot: np.ndarray) -> np.ndarray:
    """(T, 8, 4) local rotations: left and right hip, knee, ankle, toe, the order of `LEG_JOINTS`; root_rot: (T, 4)."""
    root, left = np.repeat(root_rot[:, None], 2, axis=1), np.broadcast_to([0.0, 1.0, 0.0], (2, 3))

    def world(bone: np.ndarray, rest: np.ndarray) -> np.ndarray:
        return quat_from_matrix(_frames(bone, legs.side) @ np.swapaxes(_frames(rest, left), -1, -2))

    hip = world(legs.knees - legs.hips, DEFAULT_SKELETON.offsets[KNEES])
    knee = world(legs.ankles - legs.knees, DEFAULT_SKELETON.offsets[ANKLES])
    local = [
        quat_mul(quat_conj(root), hip),
        quat_mul(quat_conj(hip), knee),
        quat_mul(quat_conj(knee), legs.foot_rot),
        about_y(legs.toe),
    ]
    return np.concatenate(local, axis=1)


LEG_JOINTS = np.concatenate([HIPS, KNEES, ANKLES, TOES])
"""(8,) joint indices of both legs, a pair a level."""
