"""Motion files as mjlab's tracking task loads them (its `csv_to_npz`), with the names that it leaves out.

Arrays over T frames: joint_pos and joint_vel (T, N), body_pos_w (T, B, 3), body_quat_w (T, B, 4) w x y z,
body_lin_vel_w and body_ang_vel_w (T, B, 3), and fps (1,). Velocities are central differences, of each body's frame.
mjlab passes by fps: its control rate, 50 Hz, is the file's. Added: joint_names (N,), body_names (B,) and foot_contact
(T, 2), which it passes by too.

A robot's joint_pos are its hinge angles. The default body has ball joints, for which mjlab has no custom: each gives
three numbers `<joint>_x`, `_y`, `_z`, the rotation vector in the parent's frame, what the body's servos are told; their
joint_vel is the angular velocity in the joint's own frame, MuJoCo's qvel. Rotations are read back from body_quat_w.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..clip import Clip
from ..robot import Robot
from ..rotations import quat_conj, quat_continuous, quat_rotate, quat_to_rotvec
from .arrays import singles, write_arrays
from .extras import Extras
from .states import angular_rates, rates, robot_states


def write_mjlab(path: Path | str, clip: Clip, extras: Extras | None = None) -> Path:
    """A clip as an mjlab motion; of a robot, the clip is on that robot's skeleton and its hinges are the joints.

    MotionError if the clip is not on the robot's skeleton.
    """
    extras = extras or Extras()
    names, states = _of_person(clip) if extras.robot is None else _of_robot(clip, extras.robot)
    arrays = singles({"fps": np.array([clip.fps]), **states})
    arrays |= {"joint_names": np.array(names), "body_names": np.array(clip.skeleton.names)}
    return write_arrays(path, arrays, clip, extras)


def _of_robot(clip: Clip, robot: Robot) -> tuple[list[str], dict[str, np.ndarray]]:
    states = robot_states(clip, robot)
    return list(robot.hinge_names), {
        "joint_pos": states.joint_pos,
        "joint_vel": states.joint_vel,
        "body_pos_w": states.body_pos,
        "body_quat_w": states.body_quat,
        "body_lin_vel_w": states.origin_vel,
        "body_ang_vel_w": states.spin,
    }


def _of_person(clip: Clip) -> tuple[list[str], dict[str, np.ndarray]]:
    names = [f"{name}_{axis}" for name in clip.skeleton.names[1:] for axis in "xyz"]
    local = clip.rotations[:, 1:]
    own = quat_rotate(quat_conj(local), angular_rates(local, clip.fps))
    return names, {
        "joint_pos": quat_to_rotvec(local).reshape(clip.num_frames, -1),
        "joint_vel": own.reshape(clip.num_frames, -1),
        "body_pos_w": clip.positions,
        "body_quat_w": quat_continuous(clip.global_rotations),
        "body_lin_vel_w": rates(clip.positions, clip.fps),
        "body_ang_vel_w": angular_rates(clip.global_rotations, clip.fps),
    }
