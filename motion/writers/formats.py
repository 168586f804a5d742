"""The layouts that `convert` writes, and what each needs of a motion before it can be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..clip import Clip, JointTrack
from ..errors import MotionError
from ..files import save_clip
from ..fit import fit_joints
from ..humanml3d import HUMANML3D_FPS
from ..retarget import to_default
from ..robot import Robot
from .amass import write_amass
from .arrays import as_humanml3d, write_humanml3d_features, write_humanml3d_joints
from .bvh import write_bvh
from .mjlab import write_mjlab


@dataclass(frozen=True)
class Format:
    """A layout. suffix: of its files; fps: the rate that its readers take for granted, None where the file tells;
    skeleton: joints (HumanML3D's 22), default (rotations on the default skeleton) or own (rotations on any skeleton);
    write: the writer; carries: what goes into the file beside the motion."""

    suffix: str
    fps: float | None
    skeleton: str
    write: Callable[..., Path]
    carries: str


FORMATS: dict[str, Format] = {
    "clip": Format(".npz", None, "own", save_clip, "fps, names, texts, provenance"),
    "humanml3d-joints": Format(".npy", HUMANML3D_FPS, "joints", write_humanml3d_joints, "nothing else"),
    "humanml3d-263": Format(".npy", HUMANML3D_FPS, "joints", write_humanml3d_features, "nothing else"),
    "amass": Format(".npz", None, "default", write_amass, "fps, texts, provenance"),
    "bvh": Format(".bvh", None, "own", write_bvh, "fps, names"),
    "mjlab": Format(".npz", None, "own", write_mjlab, "fps, names, texts, provenance"),
}
"""By the name that `convert --to` takes."""


def prepare(motion: Clip | JointTrack, to: str, fps: float | None = None) -> Clip | JointTrack:
    """The motion as a layout needs it: fitted where it needs rotations and there are none, on the default skeleton or
    HumanML3D's joints where it knows no other (mjlab: where the file did not tell the unit of its lengths), at `fps` or
    the layout's rate. Provenance says what was done.

    Raises MotionError for an unknown layout, a rate that it cannot have, and joints that it cannot hold.
    """
    if to not in FORMATS:
        raise MotionError(f"no layout '{to}', expected one of {', '.join(FORMATS)}")
    if to == "humanml3d-263" and fps not in (None, HUMANML3D_FPS):
        raise MotionError(f"{to} at {fps:g} fps, expected {HUMANML3D_FPS:g}: its numbers are differences at that rate")
    layout = FORMATS[to]
    if layout.skeleton == "joints":
        made: Clip | JointTrack = as_humanml3d(motion if isinstance(motion, JointTrack) else to_default(motion))
    elif isinstance(motion, JointTrack):
        made = fit_joints(as_humanml3d(motion))
    elif layout.skeleton == "own" and not (to == "mjlab" and "length_unit" in motion.provenance.notes):
        made = motion
    else:
        made = to_default(motion)
    rate = fps or layout.fps or made.fps
    if abs(rate - made.fps) < 1e-9:
        return made
    notes = {**made.provenance.notes, "resampled_from_fps": made.fps}
    return replace(
        made.resampled(rate), provenance=replace(made.provenance, stage="convert", parent=made.id, notes=notes)
    )


def write_motion(path: Path | str, motion: Clip | JointTrack, to: str, robot: Robot | None = None) -> Path:
    """Write a motion that `prepare` made in the layout `to`; atomically, over a file of the same name.

    robot: whose hinges an mjlab file names, for a motion of a robot.
    """
    if robot is not None and to == "mjlab":
        return write_mjlab(path, motion, robot)  # type: ignore[arg-type]
    return FORMATS[to].write(path, motion)
