"""Level soles for clips that do not say how feet are turned.

A file of joint positions has an ankle and a toe joint a foot. A generator's line between them is off by up to 27
degrees while the foot stands, and a turn about it is anybody's guess: the foot lies in the ground with an edge or its
tip, and who tracks it stands on that. Of a standing foot two things are known: it lies flat most of the time, and is
level across throughout.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_conj, quat_from_rotvec, quat_mul, quat_rotate
from morphloop.sim import FEET, Body
from morphloop.sim.bodies.stances import between_stances

MOST = np.radians(30.0)
"""A foot that is tilted by more is meant to stand on its tip or its edge, and stays so."""


def level_soles(clip: Clip, planted: np.ndarray, body: Body) -> Clip:
    """A clip of a person whose standing feet, planted (T, 2) bool, are level across, and level along on the median.

    Along, a foot turns by one angle throughout, so that its roll from heel to toes stays; across, by what levels it,
    from one stance to the next smoothly. Ankles stay where they are. Feet that never stand are left as they are.
    """
    rotations, world = clip.rotations.copy(), clip.global_rotations
    for foot in range(len(FEET)):
        stands, ankle = planted[:, foot], body.legs[foot, 2]
        if not stands.any():
            continue
        pitch, roll, ahead = sole_angles(world[:, ankle])
        left = np.stack([-ahead[:, 1], ahead[:, 0], np.zeros(len(ahead))], axis=1)
        along = np.median(pitch[stands])
        along = along if abs(along) < MOST else 0.0
        across = between_stances(np.where(np.abs(roll) < MOST, roll, 0.0)[:, None], stands)
        turn = quat_mul(quat_from_rotvec(-across * ahead), quat_from_rotvec(along * left))
        parent = world[:, clip.skeleton.parents[ankle]]
        rotations[:, ankle] = quat_mul(quat_conj(parent), quat_mul(turn, world[:, ankle]))
    return replace(clip, rotations=rotations)


def sole_angles(world: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of world rotations (T, 4) of a foot that rests level, X forward: how far its tip points up (T,), how far its left
    side does (T,), radians, and the level unit vector ahead (T, 3)."""
    ahead, left = (quat_rotate(world, np.broadcast_to(axis, (len(world), 3))) for axis in np.eye(3)[:2])
    pitch, roll = (np.arcsin(np.clip(axis[:, 2], -1.0, 1.0)) for axis in (ahead, left))
    level = ahead * [1.0, 1.0, 0.0]
    return pitch, roll, level / np.maximum(np.linalg.norm(level, axis=1, keepdims=True), 1e-9)
