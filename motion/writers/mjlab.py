"""Motion files as mjlab's tracking task loads them (its `csv_to_npz`), with the names that it leaves out.

Arrays over T frames: joint_pos and joint_vel (T, N), body_pos_w (T, B, 3), body_quat_w (T, B, 4) w x y z,
body_lin_vel_w and body_ang_vel_w (T, B, 3), and fps (1,). Velocities are central differences, as there. Added:
joint_names (N,) and body_names (B,), which mjlab passes by.

A robot's joint_pos are its hinge angles. The default body has ball joints, for which mjlab has no custom: each gives
three numbers `<joint>_x`, `_y`, `_z`, the rotation vector in the parent's frame, what the body's servos are told; their
joint_vel is the angular velocity in the joint's own frame, MuJoCo's qvel. Rotations are read back from body_quat_w.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip
from ..robot import Robot
from ..rotations import quat_conj, quat_continuous, quat_mul, quat_rotate, quat_to_rotvec
from .arrays import ORIGIN_KEY, origin, write_arrays


def write_mjlab(path: Path | str, clip: Clip, robot: Robot | None = None) -> Path:
    """A clip as an mjlab motion; with `robot`, the clip is on that robot's skeleton and its hinges are the joints.

    MotionError if the clip is not on the robot's skeleton.
    """
    if robot is not None and clip.skeleton != robot.skeleton:
        raise MotionError(f"{clip.name}: not on the skeleton of robot '{robot.name}', expected one of its motions")
    names, joint_pos, joint_vel = _ball_joints(clip) if robot is None else _hinges(clip, robot)
    body_pos = clip.positions
    if robot is not None:
        origins = np.broadcast_to(robot.origins, clip.positions.shape)
        body_pos = body_pos + quat_rotate(clip.global_rotations, origins)
    arrays = {
        "fps": np.array([clip.fps]),
        "joint_pos": joint_pos,
        "joint_vel": joint_vel,
        "body_pos_w": body_pos,
        "body_quat_w": quat_continuous(clip.global_rotations),
        "body_lin_vel_w": _rates(body_pos, clip.fps),
        "body_ang_vel_w": _angular_rates(clip.global_rotations, clip.fps),
    }
    arrays = {key: value.astype(np.float32) for key, value in arrays.items()}
    arrays |= {
        "joint_names": np.array(names),
        "body_names": np.array(clip.skeleton.names),
        ORIGIN_KEY: origin(clip),
    }
    if clip.texts:
        arrays["texts"] = np.array(clip.texts)
    return write_arrays(path, arrays)


def _ball_joints(clip: Clip) -> tuple[list[str], np.ndarray, np.ndarray]:
    names = [f"{name}_{axis}" for name in clip.skeleton.names[1:] for axis in "xyz"]
    local = clip.rotations[:, 1:]
    own = quat_rotate(quat_conj(local), _angular_rates(local, clip.fps))
    return names, quat_to_rotvec(local).reshape(clip.num_frames, -1), own.reshape(clip.num_frames, -1)


def _hinges(clip: Clip, robot: Robot) -> tuple[list[str], np.ndarray, np.ndarray]:
    angles = robot.angles(clip.rotations)
    return list(robot.hinge_names), angles, _rates(angles, clip.fps)


def _rates(values: np.ndarray, fps: float) -> np.ndarray:
    """Central differences per second, one-sided at the ends; one frame gives zeros. (T, ...) to (T, ...)."""
    return np.gradient(values, axis=0) * fps if len(values) > 1 else np.zeros_like(values)


def _angular_rates(rotations: np.ndarray, fps: float) -> np.ndarray:
    """Angular velocity in the frame that the rotations (T, K, 4) are given in, rad/s, as `_rates`: (T, K, 3)."""
    count = len(rotations)
    if count < 2:
        return np.zeros_like(rotations[..., 1:])
    after, before = np.minimum(np.arange(count) + 1, count - 1), np.maximum(np.arange(count) - 1, 0)
    step = quat_to_rotvec(quat_mul(rotations[after], quat_conj(rotations[before])))
    return step * fps / (after - before)[:, None, None]
