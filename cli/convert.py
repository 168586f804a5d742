"""`morphloop convert PATH... --out DIR --to LAYOUT`: the same motion in another file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from morphloop.base.terminal import Terminal

from .console import BAD_INPUT, DONE, files_below, progress_bars, robot_named, told, writable_files, writable_folder

if TYPE_CHECKING:
    from morphloop.motion import Clip, JointTrack
    from morphloop.motion.robot import Robot

    Motion = Clip | JointTrack

SHOWN = 40
"""Files that the table shows; the JSON file holds all."""


@dataclass
class _Batch:
    """What became of each motion: rows of the JSON file, what failed and why, and which files this run wrote."""

    clips: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    written: dict[Path, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Convert:
    """Write motion files in another layout, each under its own name; what a layout cannot hold is said, not made up.

    clip: morphloop's own, on the skeleton that the file has. humanml3d-joints: (T, 22, 3), Y up, 20 fps.
    humanml3d-263: that data set's features, on its body, floor and heading. amass: SMPL poses, neutral body, Z up.
    bvh: Y up, metres (or the unit of the file, where that is BVH too). mjlab: with joint and body names; the built-in
    body's joints as rotation vectors. Joint positions are fitted where a layout needs rotations; other skeletons are
    retargeted where it knows one alone. Exit code 2 if a file could not be converted; the others are all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them; the folders' subfolders are kept."""
    out: Path
    """Folder for the files."""
    to: Literal["clip", "humanml3d-joints", "humanml3d-263", "amass", "bvh", "mjlab"]
    """Layout to write."""
    fps: float | None = None
    """Frame rate of files that cannot tell theirs."""
    out_fps: float | None = None
    """Frame rate to write; the motion's own if left out, 20 for HumanML3D."""
    body: str | None = None
    """MJCF (.xml) of the robot whose motions these are."""
    overwrite: bool = False
    """Replace files that are there already."""
    json: Path | None = None
    """Write what became of each file here."""

    def run(self) -> int:
        from morphloop.base import write_json
        from morphloop.base.names import file_name
        from morphloop.motion import read_motions

        out, batch = writable_folder(self.out), _Batch()
        writable_files(self.json)
        robot = robot_named(self.body)
        files = files_below(self.paths, batch.failed)
        with progress_bars() as watch:
            for done, (path, below) in enumerate(files.items(), 1):
                for name, read in read_motions(path, self.fps, robot):
                    self._one(path, out / below / file_name(name), read, robot, batch)
                watch("converting", done, len(files))
        _print(batch, out, self.to)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "to": self.to, "clips": batch.clips, "failed": batch.failed})
        return BAD_INPUT if batch.failed else DONE

    def _one(self, path: Path, target: Path, read: Callable[[], Motion], robot: Robot | None, batch: _Batch) -> None:
        """Read, fit to the layout and write one motion; a MotionError becomes a failure."""
        from morphloop.base import MotionError
        from morphloop.base.opening import reading
        from morphloop.motion import FORMATS, as_format, write_motion

        target = target.with_name(target.name + FORMATS[self.to].suffix)
        try:
            _check_free(target, batch, self.overwrite)
            motion = read()
            with reading(path):
                made = as_format(motion, self.to, self.out_fps, robot)
            write_motion(target, made, self.to, robot)
        except MotionError as error:
            batch.failed.append(told(path, error))
            return
        batch.written[target] = path
        batch.clips.append(
            {
                "name": target.stem,
                "path": str(path),
                "out": str(target),
                "frames": made.num_frames - (self.to == "humanml3d-263"),
                "fps": made.fps,
                "did": _changes(motion, made, self.to),
                "carries": FORMATS[self.to].carries,
            }
        )


def _check_free(target: Path, batch: _Batch, overwrite: bool) -> None:
    """MotionError if this run or an earlier one wrote a file of that name."""
    from morphloop.base import MotionError

    if target in batch.written:
        raise MotionError(f"{target.name} was just made from {batch.written[target]}, expected another name or folder")
    if target.exists() and not overwrite:
        raise MotionError(f"{target} is there already, expected a free name or --overwrite")


def _changes(before: Motion, made: Motion, to: str) -> list[str]:
    """What was done to a motion on its way into a layout, in words."""
    from morphloop.motion import Clip

    notes, did = made.provenance.notes, []
    if isinstance(made, Clip) and not isinstance(before, Clip):
        raised = f"raised {1e3 * notes['raised_m']:.1f} mm"
        error = f"mean error {notes['fit_error_mm']:.1f} mm"
        did.append(f"rotations fitted to joint positions: scaled by {notes['scale']:.3f}, {raised}, {error}")
    elif isinstance(before, Clip) and "scale" in notes and "scale" not in before.provenance.notes:
        did.append(
            f"retargeted to the default skeleton: {notes.get('map', 'by positions')}, scaled by {notes['scale']:.4g}"
        )
    if abs(made.fps - before.fps) > 1e-9:
        did.append(f"resampled from {before.fps:g} to {made.fps:g} fps")
    if to == "humanml3d-263":
        did.append("put on HumanML3D's body, floor and heading; a frame less")
    return did


def _print(batch: _Batch, out: Path, to: str) -> None:
    """A row a file, nothing where none was written."""
    if not batch.clips:
        return
    table = Table("clip", "frames", "fps", "what was done to it", title=f"{len(batch.clips)} files as {to} in {out}")
    for row in batch.clips[:SHOWN]:
        table.add_row(row["name"], str(row["frames"]), f"{row['fps']:g}", "; ".join(row["did"]) or "nothing")
    if len(batch.clips) > SHOWN:
        table.add_row(f"and {len(batch.clips) - SHOWN} more", "", "", "")
    Terminal().print(table)
