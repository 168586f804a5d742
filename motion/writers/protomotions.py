"""ProtoMotions' `.motion`: a dictionary of its `RobotState`, as `torch.save` packs it, for `MotionLib`.

Bodies and hinges in the order of the robot's MJCF, quaternions x y z w. MotionLib finds bodies by place and not by
name, so it must be told of the same MJCF. Velocities are of each body's frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.writing import write_atomic

from ..clip import Clip
from .extras import Extras
from .states import robot_states


def write_protomotions(path: Path | str, clip: Clip, extras: Extras) -> Path:
    """A robot's clip: fps, dof_pos and dof_vel (T, H), rigid_body_pos, rigid_body_vel and rigid_body_ang_vel (T, B, 3),
    rigid_body_rot (T, B, 4) x y z w, single precision, and rigid_body_contacts (T, B) bool where known. MotionError for
    a person's clip."""
    import torch

    robot = extras.of_robot(clip)
    states = robot_states(clip, robot)
    arrays = {
        "dof_pos": states.joint_pos,
        "dof_vel": states.joint_vel,
        "rigid_body_pos": states.body_pos,
        "rigid_body_rot": states.body_quat[..., [1, 2, 3, 0]],
        "rigid_body_vel": states.origin_vel,
        "rigid_body_ang_vel": states.spin,
    }
    values = {key: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for key, value in arrays.items()}
    if extras.contact is not None:
        values["rigid_body_contacts"] = torch.from_numpy(extras.contact.of_bodies(robot.skeleton.names))
    return write_atomic(path, lambda stream: torch.save({"fps": float(clip.fps)} | values, stream))
