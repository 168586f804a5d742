"""The CSV of Unitree's LAFAN1 retargets, which mjlab's and whole_body_tracking's `csv_to_npz` read.

No header; a row a frame: root place x y z, root quaternion x y z w, an angle a hinge in the order of the robot's MJCF.
The file tells neither names nor rate; its readers take 30 frames a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.writing import write_atomic

from ..clip import Clip
from .extras import Extras
from .states import robot_states

DECIMALS = 9
"""Of metres, of a quaternion and of radians."""


def write_unitree_csv(path: Path | str, clip: Clip, extras: Extras) -> Path:
    """A robot's clip as rows of 7 + H numbers; MotionError for a person's clip."""
    states = robot_states(clip, extras.of_robot(clip))
    w_last = states.body_quat[:, 0][:, [1, 2, 3, 0]]
    rows = np.concatenate([states.body_pos[:, 0], w_last, states.joint_pos], axis=1)
    rows = np.round(rows, DECIMALS) + 0.0  # no minus before a zero
    text = "".join(",".join(f"{value:.{DECIMALS}f}" for value in row) + "\n" for row in rows)
    return write_atomic(path, lambda stream: stream.write(text.encode()))
