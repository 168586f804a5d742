"""`morphloop evaluate`: how bad is this motion?"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from .console import BAD_INPUT, DONE, one_line, progress_bars, writable_folder

if TYPE_CHECKING:
    from morphloop.motion import Clip, JointTrack

Values = dict[str, float | None]

KEY_METRICS = (
    "ground_offset_mm",
    "penetration_mean_mm",
    "float_mean_mm",
    "unsupported_ratio",
    "slide_mean_mm_s",
    "physdiff_phys_err_mm",
    "gmd_skating_ratio",
)
TRACKING_METRICS = ("success", "success_strict", "skill", "e_g_mpjpe_mm", "e_mpjpe_mm")
TABLE_ROWS = 40
"""Clips that the table shows; the JSON file holds all."""


@dataclass
class _Batch:
    """What the command has found so far: rows of the JSON file, controls by variant, and what could not be read."""

    clips: list[dict[str, Any]] = field(default_factory=list)
    frozen: dict[str, list[Values]] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)

    def fail(self, path: Path, error: Exception) -> None:
        reason = one_line(str(error)).removeprefix(f"{path}: ")
        self.failed.append({"path": str(path), "reason": reason})

    def rows(self, variant: str) -> list[Values]:
        return [clip["metrics"] for clip in self.clips if clip["variant"] == variant]


@dataclass(frozen=True)
class Evaluate:
    """Measure how bad motion is: foot slide, float, penetration, unsupported flight, and errors against a reference.

    Clips with rotations are measured on the body's surface, joint positions on the joints; the two are never mixed.
    Exit code 2 if a file could not be read; the others are measured all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them (.npz .npy .bvh .amc)."""
    ground: Literal["as-is", "lowest", "robust"] = "as-is"
    """Where the ground is: z = 0 of the file, the clip's lowest point, or a low percentile of it."""
    fps: float | None = None
    """Frame rate of files that cannot tell theirs."""
    reference: Path | None = None
    """Folder of references; each clip is compared with the one of its file name."""
    json: Path | None = None
    """Write every figure here."""

    def run(self) -> int:
        from morphloop.metrics import CLEAN_WALK, METRICS, summarise
        from morphloop.motion import write_json

        if self.json is not None:
            writable_folder(self.json.parent)
        batch = _Batch()
        files = _find(self.paths, batch)
        references = _references(self.reference)
        with progress_bars() as watch:
            for done, path in enumerate(files):
                watch("measuring", done, len(files))
                self._one(path, references, batch)
            if files:
                watch("measuring", len(files), len(files))
        variants = sorted({clip["variant"] for clip in batch.clips})
        result = {
            "schema": 1,
            "clips": batch.clips,
            "summary": {variant: summarise(batch.rows(variant)) for variant in variants},
            "controls": {
                "frozen_pose": {variant: summarise(rows) for variant, rows in batch.frozen.items()},
                "clean_mocap": {variant: CLEAN_WALK[variant] for variant in variants},
            },
            "set": {},
            "units": {name: metric.unit for name, metric in METRICS.items()},
            "failed": batch.failed,
        }
        for variant in variants:
            _print(result, variant, KEY_METRICS + (TRACKING_METRICS if references is not None else ()))
        for row in batch.failed:
            print(f"morphloop: {row['path']}: {row['reason']}", file=sys.stderr)
        if self.json is not None:
            write_json(self.json, result)
        return BAD_INPUT if batch.failed else DONE

    def _one(self, path: Path, references: dict[str, Path] | None, batch: _Batch) -> None:
        from morphloop.metrics import frozen_pose, measure
        from morphloop.motion import Clip, MotionError

        try:
            motion = _read(path, self.fps)
            found = measure(motion, ground=self.ground)
            values, frozen = dict(found.values), None
            if isinstance(motion, Clip):
                frozen = dict(measure(frozen_pose(motion), ground=self.ground).values)
            if references is not None:
                tracked, control = _track(path, motion, references, self.fps)
                values |= tracked
                frozen = control if frozen is None else frozen | control
        except MotionError as error:
            batch.fail(path, error)
            return
        batch.clips.append(
            {
                "name": path.stem,
                "path": str(path),
                "frames": motion.num_frames,
                "fps": motion.fps,
                "format": motion.provenance.notes.get("format", path.suffix.lower().removeprefix(".")),
                "variant": found.variant,
                "ground": found.ground,
                "metrics": values,
            }
        )
        if frozen is not None:
            batch.frozen.setdefault(found.variant, []).append(frozen)


def _find(paths: tuple[Path, ...], batch: _Batch) -> list[Path]:
    """Motion files of all paths; a path with none becomes a failure of its own and the rest goes on."""
    from morphloop.motion import MotionError, find_motions

    if not paths:
        raise MotionError("no motion file given, expected files or folders")
    files: list[Path] = []
    for path in paths:
        try:
            files += find_motions(path)
        except MotionError as error:
            batch.fail(path, error)
    return list(dict.fromkeys(files))


def _references(folder: Path | None) -> dict[str, Path] | None:
    """Reference files by name; MotionError if there are none, or two of one name."""
    from morphloop.motion import MotionError, find_motions

    if folder is None:
        return None
    found: dict[str, Path] = {}
    for path in find_motions(folder):
        if path.stem in found:
            raise MotionError(f"{path}: a second reference named '{path.stem}', expected one")
        found[path.stem] = path
    return found


def _read(path: Path, fps: float | None) -> Clip | JointTrack:
    """A motion file, on the default skeleton where it has rotations."""
    from morphloop.motion import Clip, read_motion, to_default

    motion = read_motion(path, fps)
    return to_default(motion) if isinstance(motion, Clip) else motion


def _track(
    path: Path, motion: Clip | JointTrack, references: dict[str, Path], fps: float | None
) -> tuple[Values, Values]:
    """Tracking errors of a clip and of its reference's frozen pose."""
    from morphloop.metrics import frozen_pose, track_errors
    from morphloop.motion import MotionError

    if path.stem not in references:
        raise MotionError(f"{path}: no reference named '{path.stem}'")
    clip = _rotations(path, motion)
    reference = _rotations(references[path.stem], _read(references[path.stem], fps))
    return track_errors(clip, reference), track_errors(frozen_pose(reference), reference)


def _rotations(path: Path, motion: Clip | JointTrack) -> Clip:
    """The motion if it is a clip; MotionError for joint positions."""
    from morphloop.motion import JointTrack, MotionError

    if isinstance(motion, JointTrack):
        raise MotionError(f"{path}: joint positions only, tracking errors need rotations, convert it first")
    return motion


def _print(result: dict[str, Any], variant: str, names: tuple[str, ...]) -> None:
    """Table of one variant: a row a clip, then means, medians, intervals of the mean, and the controls."""
    from morphloop.metrics import CLEAN_WALK_NAME

    clips = [clip for clip in result["clips"] if clip["variant"] == variant]
    title = f"variant {variant}, ground {clips[0]['ground']}, {len(clips)} clips"
    table = Table(
        "clip",
        title=title,
        caption="rates: 6 Hz low-pass, 30 Hz grid; clean mocap: ground robust; a dash: no frames to speak of",
    )
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for clip in clips[:TABLE_ROWS]:
        table.add_row(clip["name"], *[_figure(clip["metrics"].get(name)) for name in names])
    if len(clips) > TABLE_ROWS:
        table.add_row(f"and {len(clips) - TABLE_ROWS} more", *["" for _ in names])
    table.add_section()
    summary, frozen = result["summary"][variant], result["controls"]["frozen_pose"].get(variant)
    table.add_row("mean", *[_figure(summary[name]["mean"]) for name in names], style="bold")
    table.add_row("median", *[_figure(summary[name]["median"]) for name in names])
    table.add_row("mean, 95 %", *[_interval(summary[name]["ci95"]) for name in names])
    if frozen:
        table.add_row("frozen pose", *[_figure(frozen[name]["mean"]) for name in names], style="dim")
    clean = result["controls"]["clean_mocap"][variant]
    table.add_row(CLEAN_WALK_NAME, *[_figure(clean.get(name)) for name in names], style="dim")
    Console().print(table)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _interval(value: tuple[float, float] | None) -> str:
    return "-" if value is None else f"{_figure(value[0])} to {_figure(value[1])}"
