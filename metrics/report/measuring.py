"""One motion file measured: the rows of its clips, their controls, and what they were before.

This is what a worker process does. Whatever goes wrong with a file becomes a message, for the batch goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from morphloop.metrics.measure import measure
from morphloop.metrics.tracking import frozen_pose, track_errors
from morphloop.motion import Clip, JointTrack, MotionError, load_clip, read_motion, to_default
from morphloop.sim import Body, default_body

from .pool import Message

Figures = dict[str, float | None]
CLIPS, SOURCES = "clips", "sources"
"""Where `morphloop project` puts what physics did and what came in; the two have the same file names."""


@dataclass(frozen=True)
class Job:
    """A file to measure and how. fps: for a file that cannot tell; reference: the file to compare with clip by clip;
    frozen: also measure the control that holds each clip's first pose."""

    path: str
    fps: float | None = None
    ground: str = "as-is"
    body: str | None = None
    reference: str | None = None
    frozen: bool = False

    def message(self) -> Message:
        return asdict(self)


def measure_file(task: Message) -> Iterator[Message]:
    """Messages about the file of a `Job.message()`: {"clip": number, "row": ..., "frozen": ...} for each clip, and
    {"failed": reason} if the file could not be read or measured to its end."""
    job = Job(**task)
    try:
        for number, name, motion, reference in _clips(job):
            row, frozen = _row(job, name, motion, reference)
            yield {"clip": number, "row": row, "frozen": frozen}
    except MotionError as error:
        yield {"failed": " ".join(str(error).split()).removeprefix(f"{job.path}: ")}
    except Exception as error:  # a fault of ours in one file must not end a batch of thousands; it stands in the result
        yield {"failed": f"internal error, please report it ({type(error).__name__}: {' '.join(str(error).split())})"}


def read_clips(path: Path, fps: float | None, body: str | None = None) -> Iterator[Clip | JointTrack]:
    """The clips of a file, on the body's skeleton where they have rotations. MotionError as `read_motion`."""
    yield _on_body(read_motion(path, fps), the_body(body))


@lru_cache(maxsize=1)
def the_body(spec: str | None) -> Body:
    """The body that a flag names; built once in a process."""
    if spec is None:
        return default_body()
    raise MotionError(f"body '{spec}' is unknown")


def _on_body(motion: Clip | JointTrack, body: Body) -> Clip | JointTrack:
    if isinstance(motion, JointTrack) or motion.skeleton == body.skeleton:
        return motion
    return to_default(motion)


def _clips(job: Job) -> Iterator[tuple[int, str, Clip | JointTrack, Clip | JointTrack | None]]:
    """(number, name, clip, its reference) of a file; the name of the only clip is the file's without its ending."""
    path = Path(job.path)
    clips = read_clips(path, job.fps, job.body)
    references = iter(()) if job.reference is None else read_clips(Path(job.reference), job.fps, job.body)
    first = next(clips, None)
    if first is None:
        raise MotionError(f"{path}: holds no clip")
    second = next(clips, None)
    if second is None:
        yield 0, path.stem, first, next(references, None)
        return
    rest = (clip for part in ((first, second), clips) for clip in part)
    for number, (clip, reference) in enumerate(zip_longest(rest, references)):
        if clip is None:
            return
        yield number, f"{path.stem}:{clip.name}", clip, reference


def _row(
    job: Job, name: str, motion: Clip | JointTrack, reference: Clip | JointTrack | None
) -> tuple[dict[str, Any], Figures | None]:
    """A clip's row of the result, and its frozen control's figures."""
    body = the_body(job.body)
    found = measure(motion, body, job.ground)
    values, frozen = dict(found.values), None
    if job.frozen and isinstance(motion, Clip):
        frozen = dict(measure(frozen_pose(motion), body, job.ground).values)
    if job.reference is not None:
        tracked, control = _track(job, motion, reference)
        values |= tracked
        frozen = control if frozen is None else frozen | control
    before, origin = (reference, "reference") if reference is not None else (_source(Path(job.path), motion), "source")
    row: dict[str, Any] = {
        "name": name,
        "path": job.path,
        "frames": motion.num_frames,
        "fps": motion.fps,
        "format": motion.provenance.notes.get("format", Path(job.path).suffix.lower().removeprefix(".")),
        "variant": found.variant,
        "ground": found.ground,
        "metrics": values,
    }
    if before is not None:
        row |= {"before": dict(measure(before, body, job.ground).values), "before_from": origin}
    return row, frozen


def _track(job: Job, motion: Clip | JointTrack, reference: Clip | JointTrack | None) -> tuple[Figures, Figures]:
    """Tracking errors of a clip and of its reference's frozen pose."""
    if reference is None:
        raise MotionError(f"{job.reference}: has fewer clips than {job.path}, expected one for each")
    clip, theirs = _rotations(job.path, motion), _rotations(job.reference, reference)
    return track_errors(clip, theirs), track_errors(frozen_pose(theirs), theirs)


def _rotations(path: str | None, motion: Clip | JointTrack) -> Clip:
    """The motion if it is a clip; MotionError for joint positions."""
    if isinstance(motion, JointTrack):
        raise MotionError(f"{path}: joint positions only, tracking errors need rotations, convert it first")
    return motion


def source_file(path: Path) -> Path | None:
    """The file that a projection's clip was made from, beside it as `morphloop project` leaves it; else None."""
    found = path.parent.parent / SOURCES / path.name
    return found if path.parent.name == CLIPS and found.is_file() else None


def _source(path: Path, motion: Clip | JointTrack) -> Clip | JointTrack | None:
    """The parent of a projected clip, known by its id; None for any other clip."""
    found = source_file(path)
    if found is None or motion.provenance.parent is None:
        return None
    parent = load_clip(found)
    return parent if parent.id == motion.provenance.parent else None
