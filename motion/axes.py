"""Axes of files: which of them points up, and how each comes to ours (X forward, Y left, Z up)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .clip import Clip, JointTrack
from .rotations import quat_from_matrix, quat_mul
from .skeleton import Y_UP_TO_Z_UP

AXES = "axes"
"""The note that says by which of `FRAMES` a file was read; without it its axes are ours."""
_X_UP = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
FRAMES: dict[str, np.ndarray] = {
    "Z up": np.eye(3),
    "-Z up": np.diag([1.0, -1.0, -1.0]),
    "Y up": Y_UP_TO_Z_UP,
    "-Y up": Y_UP_TO_Z_UP @ np.diag([1.0, -1.0, -1.0]),
    "X up": _X_UP,
    "-X up": _X_UP @ np.diag([-1.0, -1.0, 1.0]),
    "Y up, X forward": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
}
"""(3, 3) from a file's axes to ours, by what the axes are."""


def frame_of(up: str) -> str:
    """The frame of a file whose axis `up` points up: x, y, z, or one with a minus before it."""
    return f"{up.upper()} up"


def read_in(motion: Clip | JointTrack) -> str:
    """The frame that a motion's file was read in."""
    return motion.provenance.notes.get(AXES, "Z up")


def with_up(motion: Clip | JointTrack, up: str) -> Clip | JointTrack:
    """A motion that was just read, as it is where the file's axis `up` points up."""
    frame = frame_of(up)
    turn = FRAMES[frame] @ FRAMES[read_in(motion)].T
    provenance = replace(motion.provenance, notes={**motion.provenance.notes, AXES: frame})
    if isinstance(motion, JointTrack):
        return replace(motion, positions=motion.positions @ turn.T, provenance=provenance)
    rotations = motion.rotations.copy()
    rotations[:, 0] = quat_mul(np.broadcast_to(quat_from_matrix(turn), rotations[:, 0].shape), rotations[:, 0])
    return replace(motion, root_pos=motion.root_pos @ turn.T, rotations=rotations, provenance=provenance)
