"""Motion files as holosoma's tracking task loads them and holosoma_retargeting's `convert_data_format_mj` makes them.

joint_pos is the whole qpos: root place, root quaternion w x y z, hinges; joint_vel its rates: root velocity and
angular velocity in the world, hinges. Bodies begin with MuJoCo's `world`. `body_lin_vel_w` is of each body's centre of
mass (`mj_objectVelocity` of mjOBJ_BODY), `body_pos_w` of its frame. Joints and bodies are found by name; the rate is
taken for the task's, 50 Hz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..clip import Clip
from .arrays import singles, write_arrays
from .extras import Extras
from .states import robot_states

WORLD = "world"


def write_holosoma(path: Path | str, clip: Clip, extras: Extras) -> Path:
    """A robot's clip: fps (1,), joint_pos (T, 7 + H), joint_vel (T, 6 + H), body_pos_w, body_lin_vel_w and
    body_ang_vel_w (T, 1 + B, 3), body_quat_w (T, 1 + B, 4) w x y z, all single precision, joint_names (H,),
    body_names (1 + B,); foot_contact is passed by. MotionError for a person's clip."""
    robot = extras.of_robot(clip)
    states = robot_states(clip, robot)
    still = np.zeros((clip.num_frames, 1, 3))
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (clip.num_frames, 1, 1))
    root = [states.body_pos[:, 0], states.body_quat[:, 0]]
    root_vel = [states.origin_vel[:, 0], states.spin[:, 0]]
    arrays = singles(
        {
            "fps": np.array([clip.fps]),
            "joint_pos": np.concatenate([*root, states.joint_pos], axis=1),
            "joint_vel": np.concatenate([*root_vel, states.joint_vel], axis=1),
            "body_pos_w": np.concatenate([still, states.body_pos], axis=1),
            "body_quat_w": np.concatenate([upright, states.body_quat], axis=1),
            "body_lin_vel_w": np.concatenate([still, states.centre_vel], axis=1),
            "body_ang_vel_w": np.concatenate([still, states.spin], axis=1),
        }
    )
    arrays["joint_names"] = np.array(robot.hinge_names)
    arrays["body_names"] = np.array([WORLD, *robot.skeleton.names])
    return write_arrays(path, arrays, clip, extras)
