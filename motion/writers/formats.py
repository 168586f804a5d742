"""The layouts that `convert` and `project` write, and what each needs of a motion before it can be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from morphloop.base.errors import MotionError

from ..clip import Clip, JointTrack
from ..files import save_clip
from ..fitting.fit import fit_joints
from ..fitting.retarget import to_default
from ..humanml3d import HUMANML3D_FPS
from ..readers.smpl import SMPLX_SKELETON
from ..reading_limits import MAX_FPS
from ..robot import Robot
from ..rotations import quat_continuous
from .amass import write_amass
from .arrays import as_humanml3d, write_humanml3d_features, write_humanml3d_joints
from .bvh import write_bvh
from .extras import Extras, FootContact
from .gmr import write_gmr
from .holosoma import write_holosoma
from .lafan import LAFAN_FPS, write_lafan_bvh
from .mjlab import write_mjlab
from .protomotions import write_protomotions
from .smplx import write_smplx
from .unitree import write_unitree_csv
from .wbt import write_wbt


@dataclass(frozen=True)
class Format:
    """A layout. suffix: of its files; fps: the rate that its readers take for granted, None where the file tells;
    skeleton: joints (HumanML3D's 22), default (rotations on the default skeleton, or on a robot's), smplx (on SMPL-X's
    or the default one) or own (rotations on any skeleton); of: whose motions it holds, persons', robots' or both's;
    write: the writer, of path, motion and extras; carries: what goes into the file beside the motion; contact: whether
    contact masks do."""

    suffix: str
    fps: float | None
    skeleton: Literal["joints", "default", "smplx", "own"]
    of: Literal["person", "robot", "both"]
    write: Callable[[Path | str, Any, Extras], Path]
    carries: str
    contact: bool = False


TRACKING_FPS = 50.0
"""Control rate of the tracking tasks of mjlab, whole_body_tracking and holosoma, which they take for the file's."""
UNITREE_FPS = 30.0
"""Rate of Unitree's LAFAN1 retargets, which readers of such files take for granted."""
FORMATS: dict[str, Format] = {
    "clip": Format(".npz", None, "own", "both", lambda p, m, _: save_clip(p, m), "fps, names, texts, provenance"),
    "humanml3d-joints": Format(
        ".npy", HUMANML3D_FPS, "joints", "person", lambda p, m, _: write_humanml3d_joints(p, m), "nothing else"
    ),
    "humanml3d-263": Format(
        ".npy", HUMANML3D_FPS, "joints", "person", lambda p, m, _: write_humanml3d_features(p, m), "nothing else"
    ),
    "amass": Format(".npz", None, "default", "person", write_amass, "fps, contacts, texts, provenance", contact=True),
    "smplx": Format(".npz", None, "smplx", "person", write_smplx, "fps, contacts, texts, provenance", contact=True),
    "bvh": Format(".bvh", None, "own", "both", lambda p, m, _: write_bvh(p, m), "fps, names"),
    "lafan-bvh": Format(".bvh", LAFAN_FPS, "default", "person", lambda p, m, _: write_lafan_bvh(p, m), "fps, names"),
    "mjlab": Format(
        ".npz", TRACKING_FPS, "default", "both", write_mjlab, "fps, names, contacts, texts, provenance", contact=True
    ),
    "wbt": Format(
        ".npz", TRACKING_FPS, "default", "robot", write_wbt, "fps, names, contacts, texts, provenance", contact=True
    ),
    "holosoma": Format(
        ".npz",
        TRACKING_FPS,
        "default",
        "robot",
        write_holosoma,
        "fps, names, contacts, texts, provenance",
        contact=True,
    ),
    "unitree-csv": Format(".csv", UNITREE_FPS, "default", "robot", write_unitree_csv, "nothing else"),
    "gmr": Format(".pkl", None, "default", "robot", write_gmr, "fps, names, contacts", contact=True),
    "protomotions": Format(".motion", None, "default", "robot", write_protomotions, "fps, contacts", contact=True),
}
"""By the name that `--to` takes. A new layout is a writer in a file of its own and an entry here."""


def as_format(
    motion: Clip | JointTrack, to: str, fps: float | None = None, robot: Robot | None = None
) -> Clip | JointTrack:
    """The motion as a layout needs it: fitted where it needs rotations and there are none, on the default skeleton or
    HumanML3D's joints where it knows no other, at `fps` or the layout's rate. Provenance says what was done.

    robot: whose motion it is, where it is one's. Raises MotionError for an unknown layout, a rate that it cannot have,
    and joints that it cannot hold.
    """
    check_layout(to, robot)
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
    if made.provenance.simulator is not None:
        notes["interpolated_from_fps"] = made.fps
    provenance = replace(made.provenance, stage="convert", parent=made.id, notes=notes)
    return replace(made.resampled(rate), provenance=provenance)


def check_layout(to: str, robot: Robot | None) -> None:
    """MotionError for a layout that is not known, or cannot hold motions of a robot or of a person."""
    own = "person" if robot is None else "robot"
    known = [name for name, form in FORMATS.items() if form.of in (own, "both")]
    if to in FORMATS and to not in known and robot is None:
        raise MotionError(f"layout '{to}' holds a robot's motion, expected --body or one of {', '.join(known)}")
    if to not in known:
        raise MotionError(f"no layout '{to}'{' for a robot' if robot else ''}, expected one of {', '.join(known)}")


def _on_skeleton(motion: Clip | JointTrack, skeleton: str) -> Clip | JointTrack:
    if skeleton == "joints":
        return as_humanml3d(motion if isinstance(motion, JointTrack) else to_default(motion))
    if isinstance(motion, JointTrack):
        return fit_joints(as_humanml3d(motion))
    kept = skeleton == "own" or (skeleton == "smplx" and motion.skeleton == SMPLX_SKELETON)
    return motion if kept else to_default(motion)


def write_motion(
    path: Path | str,
    motion: Clip | JointTrack,
    to: str,
    robot: Robot | None = None,
    contact: FootContact | None = None,
) -> Path:
    """Write a motion that `as_format` made in the layout `to`; atomically, over a file of the same name.

    robot: whose hinges they are, for a motion of a robot; contact: when its feet stand, where known.
    """
    form = FORMATS[to]
    if isinstance(motion, JointTrack) and form.skeleton != "joints" and to != "clip":
        raise MotionError(f"{motion.name}: joint positions only, expected rotations: fit them first (as_format)")
    return form.write(path, motion, Extras(robot, contact))
