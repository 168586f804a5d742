"""Motion files as whole_body_tracking (BeyondMimic) loads them: mjlab's arrays in the order and with the velocities of
Isaac Lab.

Joints and bodies go level by level down the tree. `body_lin_vel_w` is of each body's centre of mass, as
`Articulation.data.body_lin_vel_w` is there, while `body_pos_w` is of its frame. The loader takes the rate of the task,
50 Hz, for the file's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..clip import Clip
from .arrays import singles, write_arrays
from .extras import Extras
from .states import robot_states


def write_wbt(path: Path | str, clip: Clip, extras: Extras) -> Path:
    """A robot's clip: fps (1,), joint_pos and joint_vel (T, H), body_pos_w, body_lin_vel_w and body_ang_vel_w
    (T, B, 3), body_quat_w (T, B, 4) w x y z, all single precision; joint_names, body_names and foot_contact are passed
    by.

    MotionError for a person's clip.
    """
    robot = extras.of_robot(clip)
    states, hinges, bodies = robot_states(clip, robot), robot.breadth_first(), robot.bodies_breadth_first()
    arrays = singles(
        {
            "fps": np.array([clip.fps]),
            "joint_pos": states.joint_pos[:, hinges],
            "joint_vel": states.joint_vel[:, hinges],
            "body_pos_w": states.body_pos[:, bodies],
            "body_quat_w": states.body_quat[:, bodies],
            "body_lin_vel_w": states.centre_vel[:, bodies],
            "body_ang_vel_w": states.spin[:, bodies],
        }
    )
    arrays["joint_names"] = np.array([robot.hinge_names[h] for h in hinges])
    arrays["body_names"] = np.array([robot.skeleton.names[j] for j in bodies])
    return write_arrays(path, arrays, clip, extras)
