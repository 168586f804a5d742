"""`morphloop retarget PATH... --body ROBOT --out DIR`: a person's motion on a robot, kinematically."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Column, Table

from morphloop.base import MotionError
from morphloop.base.terminal import Terminal, complain
from morphloop.motion.config import ReadingConfig

from .console import BAD_INPUT, DONE, files_below, progress_bars, told, writable_files, writable_folder
from .exports import write_rows

SHOWN = 40
"""Clips that the table shows; the JSON file holds all."""
COLUMNS = {"slide_mean_mm_s": "slide mm/s", "penetration_max_mm": "sunk mm"}
"""Metrics shown before and after."""


@dataclass(frozen=True, kw_only=True)
class Retarget(ReadingConfig):
    """Put people's motion on a robot: the same key-points and directions at its size, within what it can.

    Standing feet do not slide, nothing goes into the ground or into itself, hinges keep their ranges and their motors'
    speeds. The result is kinematic: `project` makes it physical. Exit code 2 if a file could not be retargeted; the
    others are all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them; the folders' subfolders are kept."""
    body: str
    """The robot: g1, g1_23dof, or an MJCF (.xml) with its description beside it or found by rules."""
    out: Path
    """Folder for the files."""
    to: Literal["clip", "bvh", "mjlab", "wbt", "holosoma", "unitree-csv", "gmr", "protomotions"] = "clip"
    """Layout to write (docs/exports.md)."""
    out_fps: float | None = None
    """Frame rate to follow and to write; if left out what the layout's readers take for granted, else the motion's
    own."""
    blend: float = 0.0
    """Seconds of a way from the robot's stand to the motion and back."""
    workers: int | None = None
    """Processes, a file each; one a core if left out, 0 for this process alone."""
    overwrite: bool = False
    """Replace files that are there already."""
    json: Path | None = None
    """Write what became of each file here."""

    def run(self) -> int:
        from morphloop.base import write_json
        from morphloop.base.pool import run_tasks
        from morphloop.motion.own_outputs import config_of
        from morphloop.motion.plausible import Doubt, gathered

        from .retarget_files import Job, retarget_files, the_robot

        if config_of(self.out) is not None:  # whose manifest is not ours to add to
            raise MotionError(f"{self.out}: holds what `project` or `loop` wrote, expected a folder of its own")
        out, failed = writable_folder(self.out), []
        writable_files(self.json)
        the_robot(self.body)
        how = asdict(ReadingConfig.of(self))
        groups: dict[Path, list[dict[str, Any]]] = {}
        for path, below in files_below(self.paths, failed).items():
            folder = str(out / below)
            job = Job(str(path), folder, self.body, self.to, self.out_fps, self.blend, self.overwrite, how)
            groups.setdefault(below / path.stem, []).append(job.message())
        tasks = [{"jobs": jobs} for jobs in groups.values()]
        workers = min(os.cpu_count() or 1, len(tasks)) if self.workers is None else self.workers
        made: dict[int, list[dict[str, Any]]] = {}
        done = 0
        with progress_bars() as watch:
            for number, message in run_tasks(retarget_files, tasks, workers if len(tasks) > 1 else 0):
                if message is None:
                    done += 1
                    watch("retargeting", done, len(tasks))
                elif "row" in message:
                    made.setdefault(number, []).append(message)
                else:
                    path = message.get("path", tasks[number]["jobs"][0]["path"])
                    died = f"the worker that retargeted it died: {message.get('died')}"
                    failed.append(told(Path(path), MotionError(message.get("failed", died))))
        found = [message for number in sorted(made) for message in made[number]]
        manifests: dict[Path, list[dict[str, Any]]] = {}
        for message in found:
            manifests.setdefault(Path(message["row"]["out"]).parent, []).append(message["manifest"])
        for place, rows in manifests.items():
            write_rows(place, rows)
        for line in gathered((m["row"]["path"], Doubt(**doubt)) for m in found for doubt in m["doubts"]):
            complain(line)
        clips = [message["row"] for message in found]
        _print(clips, out, self.body)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "to": self.to, "body": self.body, "clips": clips, "failed": failed})
        return BAD_INPUT if failed else DONE


def _print(clips: list[dict[str, Any]], out: Path, body: str) -> None:
    """A row a clip, nothing where none was written."""
    if not clips:
        return
    columns = (*COLUMNS.values(), "points mm", "limit", "speed", "fps")
    table = Table("clip", *(Column(name, no_wrap=True, justify="right") for name in columns))
    table.title = f"{len(clips)} motions on {body} in {out}"
    table.caption = (
        "before -> after; points: mean distance of key-points; limit: share of frames with a hinge at the end of its "
        "range; speed: largest over the motor's; fps: frames done a second"
    )
    for row in clips[:SHOWN]:
        before, after = row["before"], row["metrics"]
        pairs = [f"{_number(before[name])} -> {_number(after[name])}" for name in COLUMNS]
        speed = after["speed_peak_ratio"]
        table.add_row(
            row["name"],
            *pairs,
            _number(after["key_point_error_mm"]),
            f"{after['at_limit_ratio']:.0%}",
            "-" if speed is None else f"{speed:.2f}",
            f"{row['frames_per_s']:.0f}",
        )
    if len(clips) > SHOWN:
        table.add_row(f"and {len(clips) - SHOWN} more")
    Terminal().print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
