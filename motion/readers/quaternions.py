"""Quaternions of files: their length, and in which order their four numbers stand where a file does not tell.

A robot stands on the ground, on average, and is upright; read in the wrong order it mostly does neither. Each order is
judged by the whole clip, never by a part of it: one that lies on its side turns into one that stands, but in the
ground. Where the ground and the upright contradict each other the order is open, and asked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..config import ReadingConfig
from ..robot import Robot
from ..rotations import quat_to_matrix
from ..skeleton import forward_kinematics

ORDERS = ("xyzw", "wxyz")
XYZW = [3, 0, 1, 2]
"""Takes a quaternion stored x y z w to w x y z."""
UNIT_TOLERANCE = 0.1
"""A quaternion's length may differ from one by this much: where frames were interpolated number by number, as in GMT's
published clips, it falls short by up to 0.04."""
CLEARLY_UPRIGHT = 0.2
"""By how much the mean cosine of the root's tilt must be larger in one order of the quaternion to decide for it."""
CLEARLY_NEARER = 0.15
"""Metres by which the lowest joint must be nearer to the ground, on average, to decide for an order."""
ON_GROUND, OFF_GROUND = 0.2, 0.3
"""Metres from the ground within which the lowest joint is on it, on average, and beyond which it is not."""
CLEARLY_STEADIER = 0.8
"""Where both stand upright: the lowest joint must move at most this share of what it does in the other order."""
JUDGED_FRAMES = 3000
"""Frames, spread over the clip, by which an order is judged."""


def unit_quaternions(quats: np.ndarray, path: Path) -> np.ndarray:
    """The quaternions (T, ..., 4), MotionError with the frame of the worst where one is not of length 1."""
    off = np.abs(np.linalg.norm(quats, axis=-1) - 1.0)
    if (off > UNIT_TOLERANCE).any():
        frame = int(np.argmax(off.reshape(len(off), -1).max(axis=1)))
        raise MotionError(f"{path}: a quaternion of frame {frame} is {off.max():.3g} off length 1, expected unit ones")
    return quats


def in_order(quats: np.ndarray, order: str) -> np.ndarray:
    """Quaternions (..., 4) stored in an order, as w x y z."""
    return quats[..., XYZW] if order == "xyzw" else quats


def unordered_root(
    root_pos: np.ndarray, quats: np.ndarray, angles: np.ndarray, robot: Robot, how: ReadingConfig, path: Path
) -> tuple[np.ndarray, str]:
    """Root rotations w x y z of (T, 4) quaternions in an order that the file does not tell, and how it was found.

    Where a robot stands in both orders (a root that only turns about the vertical), the wrong one walks backwards and
    the foot that stands moves: the lowest joint tells. MotionError where nothing does.
    """
    quats = unit_quaternions(quats, path)
    if how.quat is not None:
        return in_order(quats, how.quat), f"{how.quat}, as --quat says"
    some = slice(None, None, 1 + len(quats) // JUDGED_FRAMES)
    off, up = {}, {}
    for order in ORDERS:
        root = in_order(quats[some], order)
        off[order] = float(np.abs(_lowest_joint(robot, root_pos[some], root, angles[some])[:, 2]).mean())
        up[order] = float(quat_to_matrix(root)[:, 2, 2].mean())
    nearer, upright = min(ORDERS, key=off.__getitem__), max(ORDERS, key=up.__getitem__)
    clearly_nearer = abs(off["xyzw"] - off["wxyz"]) > CLEARLY_NEARER
    clearly_upright = abs(up["xyzw"] - up["wxyz"]) > CLEARLY_UPRIGHT
    if clearly_upright and not (clearly_nearer and nearer != upright):
        return in_order(quats, upright), f"{upright}, the upright one"
    if clearly_nearer and (not clearly_upright or (off[nearer] < ON_GROUND and off[upright] > OFF_GROUND)):
        return in_order(quats, nearer), f"{nearer}, the one on the ground"
    if clearly_nearer:
        raise MotionError(
            f"{path}: the order of the root's quaternion is open ({upright} stands upright, {nearer} is nearer to the "
            "ground), give --quat xyzw or --quat wxyz"
        )
    part = slice(0, JUDGED_FRAMES)
    travel = {order: _travel(robot, root_pos[part], in_order(quats[part], order), angles[part]) for order in ORDERS}
    if travel["wxyz"] < CLEARLY_STEADIER * travel["xyzw"]:
        return in_order(quats, "wxyz"), "wxyz, the feet stand"
    return in_order(quats, "xyzw"), "xyzw, as published"


def _lowest_joint(robot: Robot, root_pos: np.ndarray, root: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(T, 3) where the lowest joint is."""
    positions, _ = forward_kinematics(robot.skeleton, root_pos, robot.rotations(root, angles))
    return positions[np.arange(len(positions)), positions[..., 2].argmin(axis=1)]


def _travel(robot: Robot, root_pos: np.ndarray, root: np.ndarray, angles: np.ndarray) -> float:
    """Metres that the lowest joint moves over the ground, step by step."""
    positions, _ = forward_kinematics(robot.skeleton, root_pos, robot.rotations(root, angles))
    lowest = positions[:-1, :, 2].argmin(axis=1)
    frames = np.arange(len(lowest))
    return float(np.linalg.norm(positions[frames + 1, lowest, :2] - positions[frames, lowest, :2], axis=-1).sum())
