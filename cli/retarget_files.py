"""One motion file retargeted and written: what a worker process of `morphloop retarget` does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.names import file_name
from morphloop.base.opening import reading
from morphloop.base.pool import Message
from morphloop.metrics import measure
from morphloop.motion import FORMATS, Clip, JointTrack, read_motions, to_default
from morphloop.motion.config import ReadingConfig
from morphloop.motion.plausible import doubts
from morphloop.sim import RobotBody, driven_body, retarget

from .exports import Exporter

FIGURES = ("key_point_error_mm", "at_limit_ratio", "speed_peak_ratio")
"""What a retargeted clip's notes tell of it."""
MEASURED = ("slide_mean_mm_s", "penetration_max_mm", "self_penetration_max_mm")
"""Metrics before and after."""


@dataclass(frozen=True)
class Job:
    """A file whose motions go onto a robot. out: folder; how: a `ReadingConfig`'s values; the rest as the flags of
    `morphloop retarget`."""

    path: str
    out: str
    body: str
    to: str
    out_fps: float | None
    blend: float
    overwrite: bool
    how: dict[str, Any]

    def message(self) -> Message:
        return asdict(self)


@lru_cache(maxsize=1)
def the_robot(spec: str) -> RobotBody:
    """The robot that `--body` names; built once in a process. MotionError for what is none."""
    body = driven_body(spec)
    if not isinstance(body, RobotBody):
        raise MotionError(f"--body {spec}: not a robot, expected one to retarget to, such as g1")
    return body


def retarget_files(task: Message) -> Iterator[Message]:
    """For each motion of a task's files, one after the other, {"row": ..., "manifest": its row there, "doubts": what
    looks wrong with it} or {"failed": reason, "path": ...}.

    task: {"jobs": [`Job.message()`, ...]}, files whose results could have the same name.
    """
    written: dict[Path, str] = {}
    for job in (Job(**message) for message in task["jobs"]):
        for name, read in read_motions(job.path, None, None, ReadingConfig(**job.how)):
            target = Path(job.out) / (file_name(name) + FORMATS[job.to].suffix)
            try:
                if target in written:
                    raise MotionError(f"{target.name} was just made from {written[target]}, expected another name")
                if target.exists() and not job.overwrite:
                    raise MotionError(f"{target} is there already, expected a free name or --overwrite")
                with reading(Path(job.path)):
                    message = _one(read(), target, job)
            except MotionError as error:
                yield {"failed": str(error), "path": job.path}
                continue
            written[target] = job.path
            yield message


def _one(motion: Clip | JointTrack, target: Path, job: Job) -> Message:
    """Retarget and write a motion."""
    robot, rate = the_robot(job.body), job.out_fps or FORMATS[job.to].fps
    started = time.perf_counter()
    made = retarget(motion, robot, rate)
    seconds = time.perf_counter() - started
    before, after = measure(to_default(motion), wrench=False).values, measure(made, robot, wrench=False).values
    exporter = Exporter(job.to, robot, rate, job.blend)
    manifest = exporter.write(target, *exporter.made(made))
    notes = made.provenance.notes
    row = {
        "name": target.stem,
        "path": job.path,
        "out": str(target),
        "frames": manifest["frames"],
        "fps": manifest["fps"],
        "before": {name: before[name] for name in MEASURED},
        "metrics": {name: after[name] for name in MEASURED} | {name: notes[name] for name in FIGURES},
        "frames_per_s": made.num_frames / seconds,
    }
    return {"row": row, "manifest": manifest, "doubts": [asdict(doubt) for doubt in doubts(motion)]}
