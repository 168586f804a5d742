"""`morphloop convert PATH... --out DIR --to LAYOUT`: the same motion in another file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from morphloop.base.terminal import Terminal, complain
from morphloop.motion.config import ReadingConfig

from .console import (
    BAD_INPUT,
    DONE,
    files_below,
    progress_bars,
    robot_body_named,
    told,
    writable_files,
    writable_folder,
)
from .exports import Exporter, write_rows

if TYPE_CHECKING:
    from morphloop.motion import Clip, JointTrack
    from morphloop.motion.plausible import Doubt

    Motion = Clip | JointTrack

SHOWN = 40
"""Files that the table shows; the JSON file holds all."""


@dataclass
class _Batch:
    """What became of each motion: rows of the JSON file and of the manifests by folder, what failed and why, and which
    files this run wrote."""

    clips: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    written: dict[Path, Path] = field(default_factory=dict)
    doubts: list[tuple[str, Doubt]] = field(default_factory=list)
    manifests: dict[Path, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Convert(ReadingConfig):
    """Write motion files in another layout, each under its own name; what a layout cannot hold is said, not made up.

    clip: morphloop's own, on the skeleton that the file has. humanml3d-joints: (T, 22, 3), Y up, 20 fps.
    humanml3d-263: that data set's features, on its body, floor and heading. amass: SMPL poses, neutral body, Z up.
    bvh: Y up, metres (or the unit of the file, where that is BVH too). mjlab: with joint and body names; the built-in
    body's joints as rotation vectors. docs/exports.md tells the others. Joint positions are fitted where a layout needs
    rotations; other skeletons are retargeted where it knows one alone. manifest.jsonl beside the files tells rate,
    verdict and metrics of each. Exit code 2 if a file could not be converted; the others are all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them; the folders' subfolders are kept."""
    out: Path
    """Folder for the files."""
    to: Literal[
        "clip", "humanml3d-joints", "humanml3d-263", "amass", "smplx", "bvh", "lafan-bvh", "mjlab", "wbt", "holosoma",
        "unitree-csv", "gmr", "protomotions",
    ]  # fmt: skip
    """Layout to write."""
    out_fps: float | None = None
    """Frame rate to write; if left out what the layout's readers take for granted (20 for HumanML3D, 50 for mjlab, wbt
    and holosoma, 30 for unitree-csv and lafan-bvh), else the motion's own."""
    body: str | None = None
    """The robot whose motions these are: a built-in one (`g1`) or its MJCF (.xml)."""
    blend: float = 0.0
    """Seconds of a way from the body's stand to the motion and back."""
    overwrite: bool = False
    """Replace files that are there already."""
    json: Path | None = None
    """Write what became of each file here."""

    def run(self) -> int:
        from morphloop.base import MotionError, write_json
        from morphloop.base.names import file_name
        from morphloop.motion import read_motions
        from morphloop.motion.own_outputs import config_of
        from morphloop.motion.plausible import gathered
        from morphloop.sim import whose_motions

        if config_of(self.out) is not None:  # whose manifest is not ours to add to
            raise MotionError(f"{self.out}: holds what `project` or `loop` wrote, expected a folder of its own")
        out, batch = writable_folder(self.out), _Batch()
        writable_files(self.json)
        how = ReadingConfig.of(self)
        exporter = Exporter(self.to, robot_body_named(self.body, self.blend > 0), self.out_fps, self.blend)
        files = files_below(self.paths, batch.failed)
        with progress_bars() as watch:
            for done, (path, below) in enumerate(files.items(), 1):
                for name, read in read_motions(path, None, whose_motions(exporter.body), how):
                    self._one(path, out / below / file_name(name), read, exporter, batch)
                watch("converting", done, len(files))
        for folder, rows in batch.manifests.items():
            write_rows(folder, rows)
        for line in gathered(batch.doubts):
            complain(line)
        _print(batch, out, self.to)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "to": self.to, "clips": batch.clips, "failed": batch.failed})
        return BAD_INPUT if batch.failed else DONE

    def _one(self, path: Path, target: Path, read: Callable[[], Motion], exporter: Exporter, batch: _Batch) -> None:
        """Read, fit to the layout and write one motion; a MotionError becomes a failure."""
        from morphloop.base import MotionError
        from morphloop.base.opening import reading
        from morphloop.motion import FORMATS
        from morphloop.motion.plausible import doubts

        target = target.with_name(target.name + FORMATS[self.to].suffix)
        try:
            _check_free(target, batch, self.overwrite)
            motion = read()
            batch.doubts += [(f"{path}", doubt) for doubt in doubts(motion, exporter.robot)]
            with reading(path):
                made, contact = exporter.made(motion)
            row = exporter.write(target, made, contact)
        except MotionError as error:
            batch.failed.append(told(path, error))
            return
        batch.written[target] = path
        batch.manifests.setdefault(target.parent, []).append(row)
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
    from morphloop.motion import DEFAULT_SKELETON, Clip
    from morphloop.motion.writers.smplx import SMPLX_SCALE

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
    if notes.get("interpolated_from_fps") is not None:
        did.append(f"interpolated between what physics did at {notes['interpolated_from_fps']:g} Hz")
    if notes.get("blended_s", 0.0) > before.provenance.notes.get("blended_s", 0.0):
        did.append(f"{notes['blended_s']:g} s from the stand and back to it added, which no physics drove")
    if to == "smplx" and isinstance(made, Clip) and made.skeleton == DEFAULT_SKELETON:
        did.append(f"put on SMPL-X's mean body, scaled by {SMPLX_SCALE:.4g}")
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
