"""The layouts that `convert` writes, and what each needs of a motion before it can be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from morphloop.base.errors import MotionError

from ..clip import Clip, JointTrack
from ..files import save_clip
from ..fitting.fit import fit_joints
from ..fitting.retarget import to_default
from ..humanml3d import HUMANML3D_FPS
from ..reading_limits import MAX_FPS
from ..robot import Robot
from ..rotations import quat_continuous
from .amass import write_amass
from .arrays import as_humanml3d, write_humanml3d_features, write_humanml3d_joints
from .bvh import write_bvh
from .mjlab import write_mjlab


@dataclass(frozen=True)
class Format:
    """A layout. suffix: of its files; fps: the rate that its readers take for granted, None where the file tells;
    skeleton: joints (HumanML3D's 22), default (rotations on the default skeleton, or on a robot's) or own (rotations
    on any skeleton); write: the writer; carries: what goes into the file beside the motion."""

    suffix: str
    fps: float | None
    skeleton: Literal["joints", "default", "own"]
    write: Callable[..., Path]
    carries: str


FORMATS: dict[str, Format] = {
    "clip": Format(".npz", None, "own", save_clip, "fps, names, texts, provenance"),
    "humanml3d-joints": Format(".npy", HUMANML3D_FPS, "joints", write_humanml3d_joints, "nothing else"),
    "humanml3d-263": Format(".npy", HUMANML3D_FPS, "joints", write_humanml3d_features, "nothing else"),
    "amass": Format(".npz", None, "default", write_amass, "fps, texts, provenance"),
    "bvh": Format(".bvh", None, "own", write_bvh, "fps, names"),
    "mjlab": Format(".npz", None, "default", write_mjlab, "fps, names, texts, provenance"),
}
"""By the name that `convert --to` takes."""
ROBOT_FORMATS = ("clip", "bvh", "mjlab")
"""Layouts that can hold a robot's motion."""


def as_format(
    motion: Clip | JointTrack, to: str, fps: float | None = None, robot: Robot | None = None
) -> Clip | JointTrack:
    """The motion as a layout needs it: fitted where it needs rotations and there are none, on the default skeleton or
    HumanML3D's joints where it knows no other, at `fps` or the layout's rate. Provenance says what was done.

    robot: whose motion it is, where it is one's. Raises MotionError for an unknown layout, a rate that it cannot have,
    and joints that it cannot hold.
    """
    if to not in FORMATS or (robot is not None and to not in ROBOT_FORMATS):
        known = FORMATS if robot is None else ROBOT_FORMATS
        raise MotionError(f"no layout '{to}'{' for a robot' if robot else ''}, expected one of {', '.join(known)}")
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise MotionError(f"{fps:g} fps asked for, expected more than 0 and at most {MAX_FPS:g}")
    if to == "humanml3d-263" and fps not in (None, HUMANML3D_FPS):
        raise MotionError(f"{to} at {fps:g} fps, expected {HUMANML3D_FPS:g}: its numbers are differences at that rate")
    if robot is not None and (isinstance(motion, JointTrack) or motion.skeleton != robot.skeleton):
        raise MotionError(f"{motion.name}: not a motion of robot '{robot.name}', expected its hinge angles")
    made = motion if robot is not None else _on_skeleton(motion, FORMATS[to].skeleton)
    if isinstance(made, Clip) and made is not motion:
        made = replace(made, rotations=quat_continuous(made.rotations))  # fits and maps leave signs as they fall
    rate = fps or FORMATS[to].fps or made.fps
    if abs(rate - made.fps) < 1e-9:
        return made
    notes = {**made.provenance.notes, "resampled_from_fps": made.fps}
    provenance = replace(made.provenance, stage="convert", parent=made.id, notes=notes)
    return replace(made.resampled(rate), provenance=provenance)


def _on_skeleton(motion: Clip | JointTrack, skeleton: str) -> Clip | JointTrack:
    if skeleton == "joints":
        return as_humanml3d(motion if isinstance(motion, JointTrack) else to_default(motion))
    if isinstance(motion, JointTrack):
        return fit_joints(as_humanml3d(motion))
    return motion if skeleton == "own" else to_default(motion)


def write_motion(path: Path | str, motion: Clip | JointTrack, to: str, robot: Robot | None = None) -> Path:
    """Write a motion that `as_format` made in the layout `to`; atomically, over a file of the same name.

    robot: whose hinges an mjlab file names, for a motion of a robot.
    """
    return write_mjlab(path, _clip(motion), robot) if to == "mjlab" else FORMATS[to].write(path, motion)


def _clip(motion: Clip | JointTrack) -> Clip:
    if isinstance(motion, JointTrack):
        raise MotionError(f"{motion.name}: joint positions only, expected rotations: fit them first (as_format)")
    return motion
