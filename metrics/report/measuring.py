"""One motion file measured: the rows of its clips, their controls, and what they were before.

This is what a worker process does. Whatever goes wrong with a file becomes a message, for the batch goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from morphloop.metrics.measure import Measurement, measure
from morphloop.metrics.tracking import frozen_pose, track_errors
from morphloop.motion import Clip, JointTrack, MotionError, load_clip
from morphloop.sim import Body, load_body, motions_on_body

from .pool import Message

Motion = Clip | JointTrack
Figures = dict[str, float | None]
CLIPS, SOURCES = "clips", "sources"
"""Where `morphloop project` puts what physics did and what came in; the two have the same file names."""


@dataclass(frozen=True)
class Job:
    """A file to measure and how. fps: for a file that cannot tell; reference: the file to compare with clip by clip;
    frozen: also measure the control that holds each clip's first pose; wrench: also the residual wrench."""

    path: str
    fps: float | None = None
    ground: str = "as-is"
    body: str | None = None
    reference: str | None = None
    frozen: bool = False
    wrench: bool = True

    def message(self) -> Message:
        return asdict(self)


def measure_file(task: Message) -> Iterator[Message]:
    """Messages about the file of a `Job.message()`: {"clip": number, "row": ..., "frozen": ...} for each clip measured,
    {"clip": number, "failed": reason, "path": ...} for each that could not be."""
    job = Job(**task)
    number = 0
    try:
        body = the_body(job.body)
        references = {} if job.reference is None else dict(motions_on_body(job.reference, body, job.fps))
        for name, read in motions_on_body(job.path, body, job.fps):
            yield _attempt(job, name, read, references.get(name)) | {"clip": number}
            number += 1
    except Exception as error:
        yield {"clip": number, "failed": _reason(job, error), "path": job.path}


def _attempt(job: Job, name: str, read: Callable[[], Motion], reference: Callable[[], Motion] | None) -> Message:
    try:
        row, frozen = _row(job, name, read(), reference)
    except Exception as error:
        return {"failed": _reason(job, error), "path": clip_path(job.path, name)}
    return {"row": row, "frozen": frozen}


def _reason(job: Job, error: Exception) -> str:
    """Why a clip has no figures, in one line. A fault of ours in one clip stands there too: the batch goes on."""
    text = " ".join(str(error).split()).removeprefix(f"{job.path}: ")
    return text if isinstance(error, MotionError) else f"internal error, report it ({type(error).__name__}: {text})"


def clip_path(path: str, name: str) -> str:
    """Where a clip lies: the file, or FILE:KEY for one of several."""
    key = name.removeprefix(f"{Path(path).stem}:")
    return path if key == name or path.endswith(f":{key}") else f"{path}:{key}"


@lru_cache(maxsize=1)
def the_body(spec: str | None) -> Body:
    """The body that `--body` names; built once in a process."""
    return load_body(spec)


def _row(
    job: Job, name: str, motion: Motion, read_reference: Callable[[], Motion] | None
) -> tuple[dict[str, Any], Figures | None]:
    """A clip's row of the result, and its frozen control's figures."""
    found = _measure(job, motion)
    values, frozen, reference = dict(found.values), None, None
    if job.frozen and isinstance(motion, Clip):
        frozen = dict(_measure(job, frozen_pose(motion)).values)
    if job.reference is not None:
        if read_reference is None:
            raise MotionError(f"{job.reference}: has no motion '{name}' to compare with")
        reference = read_reference()
        tracked, control = _track(job, motion, reference)
        values |= tracked
        frozen = control if frozen is None else frozen | control
    before, origin = (reference, "reference") if reference is not None else (_source(Path(job.path), motion), "source")
    row: dict[str, Any] = {
        "name": name,
        "path": clip_path(job.path, name),
        "frames": motion.num_frames,
        "fps": motion.fps,
        "format": motion.provenance.notes.get("format", Path(job.path).suffix.lower().removeprefix(".")),
        "variant": found.variant,
        "ground": found.ground,
        "metrics": values,
    }
    if before is not None:
        row |= {"before": dict(_measure(job, before).values), "before_from": origin}
    return row, frozen


def _measure(job: Job, motion: Motion) -> Measurement:
    return measure(motion, the_body(job.body), job.ground, job.wrench)


def _track(job: Job, motion: Motion, reference: Motion) -> tuple[Figures, Figures]:
    """Tracking errors of a clip and of its reference's frozen pose."""
    clip, theirs = _rotations(job.path, motion), _rotations(job.reference, reference)
    return track_errors(clip, theirs), track_errors(frozen_pose(theirs), theirs)


def _rotations(path: str | None, motion: Motion) -> Clip:
    """The motion if it is a clip; MotionError for joint positions."""
    if isinstance(motion, JointTrack):
        raise MotionError(f"{path}: joint positions only, tracking errors need rotations, convert it first")
    return motion


def source_file(path: Path) -> Path | None:
    """The file that a projection's clip was made from, beside it as `morphloop project` leaves it; else None."""
    found = path.parent.parent / SOURCES / path.name
    return found if path.parent.name == CLIPS and found.is_file() else None


def _source(path: Path, motion: Motion) -> Motion | None:
    """The parent of a projected clip, known by its id; None for any other clip."""
    found = source_file(path)
    if found is None or motion.provenance.parent is None:
        return None
    parent = load_clip(found)
    return parent if parent.id == motion.provenance.parent else None
