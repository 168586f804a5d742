"""States of bodies and joints frame by frame, as the layouts of trainers hold them: places, turns and their rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip
from ..robot import Robot
from ..rotations import quat_conj, quat_continuous, quat_mul, quat_rotate, quat_to_rotvec


@dataclass(frozen=True)
class RobotStates:
    """A robot's motion of T frames, H hinges and J bodies in the robot's own order.

    joint_pos, joint_vel: (T, H) radians, rad/s; body_pos: (T, J, 3) world place of each body's frame, metres;
    body_quat: (T, J, 4) w x y z, without jumps of sign; origin_vel, centre_vel: (T, J, 3) velocity of the frame and of
    the centre of mass, m/s; spin: (T, J, 3) angular velocity, rad/s; all in the world.
    """

    joint_pos: np.ndarray
    joint_vel: np.ndarray
    body_pos: np.ndarray
    body_quat: np.ndarray
    origin_vel: np.ndarray
    centre_vel: np.ndarray
    spin: np.ndarray


def robot_states(clip: Clip, robot: Robot) -> RobotStates:
    """The states of a clip on a robot's skeleton; MotionError for a clip on another."""
    if clip.skeleton != robot.skeleton:
        raise MotionError(f"{clip.name}: not on the skeleton of robot '{robot.name}', expected one of its motions")
    angles, turns = robot.angles(clip.rotations), clip.global_rotations
    places = clip.positions + quat_rotate(turns, np.broadcast_to(robot.origins, clip.positions.shape))
    centres = clip.positions + quat_rotate(turns, np.broadcast_to(robot.centres, clip.positions.shape))
    return RobotStates(
        joint_pos=angles,
        joint_vel=rates(angles, clip.fps),
        body_pos=places,
        body_quat=quat_continuous(turns),
        origin_vel=rates(places, clip.fps),
        centre_vel=rates(centres, clip.fps),
        spin=angular_rates(turns, clip.fps),
    )


def rates(values: np.ndarray, fps: float) -> np.ndarray:
    """Central differences per second, one-sided at the ends; one frame gives zeros. (T, ...) to (T, ...)."""
    return np.gradient(values, axis=0) * fps if len(values) > 1 else np.zeros_like(values)


def angular_rates(rotations: np.ndarray, fps: float) -> np.ndarray:
    """Angular velocity in the frame that the rotations (T, K, 4) are given in, rad/s, as `rates`: (T, K, 3)."""
    count = len(rotations)
    if count < 2:
        return np.zeros_like(rotations[..., 1:])
    after, before = np.minimum(np.arange(count) + 1, count - 1), np.maximum(np.arange(count) - 1, 0)
    step = quat_to_rotvec(quat_mul(rotations[after], quat_conj(rotations[before])))
    return step * fps / (after - before)[:, None, None]
