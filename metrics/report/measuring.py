"""One motion file measured: the rows of its clips, their controls, and what they were before.

This is what a worker process does. Whatever goes wrong with a file becomes a message, for the batch goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.pool import Message
from morphloop.base.typed import from_dict
from morphloop.metrics.clip_context import context
from morphloop.metrics.limmt import limmt_score
from morphloop.metrics.measurement import Measurement, made, measure
from morphloop.metrics.tracking import frozen_pose, track_errors
from morphloop.motion import Clip, JointTrack, Rollout, load_clip, load_rollout, read_motions
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig
from morphloop.motion.plausible import Doubt, doubts
from morphloop.motion.robot import is_robot_track
from morphloop.sim import Body, body_of_robot, load_body, on_body, robot_of, whose_motions, worn

OF_A_ROBOT = " of a robot"
"""What the variant of a robot's bodies without the robot ends in."""
Motion = Clip | JointTrack
Worn = tuple[Motion, Body]
"""A motion and the body that it is measured on, in the motion's shape."""
Read = tuple[Motion, Body, list[Doubt]]
"""The same of a file, and what looked wrong with the motion as it was read."""
Figures = dict[str, float | None]
CLIPS, SOURCES, REFERENCES, ROLLOUTS = "clips", "sources", "references", "rollouts"
"""Where `morphloop project` puts what physics did, what came in, what was tracked and how to do it again, all under the
same file names."""


@dataclass(frozen=True)
class Job:
    """A file to measure and how. reading: what is said about the file; reference: the file to compare with, clip by
    clip; frozen: also measure the control that holds each clip's first pose; wrench: also the residual wrench;
    rank: also what clips are ranked by."""

    path: str
    reading: ReadingConfig = AS_FILES_SAY
    ground: str = "as-is"
    body: str | None = None
    reference: str | None = None
    frozen: bool = False
    wrench: bool = True
    rank: bool = False

    def message(self) -> Message:
        return asdict(self)

    @classmethod
    def of(cls, task: Message) -> Job:
        """Inverse of `message`."""
        return replace(cls(**task), reading=from_dict(ReadingConfig, task["reading"], "task"))


def measure_file(task: Message) -> Iterator[Message]:
    """Messages about the file of a `Job.message()`: {"clip": number, "row": ..., "frozen": ...} for each clip measured,
    {"clip": number, "failed": reason, "path": ...} for each that could not be."""
    job = Job.of(task)
    number = 0
    try:
        references = {} if job.reference is None else dict(_clips(job, job.reference))
        for name, read in _clips(job, job.path):
            yield _attempt(job, name, read, references.get(name)) | {"clip": number}
            number += 1
    except Exception as error:
        yield {"clip": number, "failed": _reason(job, error), "path": job.path}


def clip_at(path: str, body: str | None, how: ReadingConfig) -> Worn:
    """The clip that a row's "path" or "before_path" names, on its body."""
    _, read = next(_motions(path, the_body(body), how))
    return read()[:2]


@lru_cache(maxsize=1)
def the_body(spec: str | None) -> Body:
    """The body that `--body` names; built once in a process."""
    return load_body(spec)


def _clips(job: Job, path: str) -> Iterator[tuple[str, Callable[[], Read]]]:
    """Every clip of a file as (name, read), the name of an only one that of the file."""
    yield from _motions(path, the_body(job.body), job.reading)


def _motions(path: str, body: Body, how: ReadingConfig) -> Iterator[tuple[str, Callable[[], Read]]]:
    for name, read in read_motions(path, None, whose_motions(body), how):
        yield name, lambda read=read: _on_body(read(), body, path)


def _on_body(motion: Motion, body: Body, path: str) -> Read:
    ours, own = worn(on_body(motion, body, path), body)
    return ours, own, doubts(motion, robot_of(own))


def _attempt(job: Job, name: str, read: Callable[[], Read], reference: Callable[[], Read] | None) -> Message:
    try:
        row, frozen = _row(job, name, read(), reference)
    except Exception as error:
        return {"failed": _reason(job, error), "path": _clip_path(job.path, name)}
    return {"row": row, "frozen": frozen}


def _reason(job: Job, error: Exception) -> str:
    """Why a clip has no figures, in one line. A fault of ours in one clip stands there too: the batch goes on."""
    text = " ".join(str(error).split()).removeprefix(f"{job.path}: ")
    return text if isinstance(error, MotionError) else f"internal error, report it ({type(error).__name__}: {text})"


def _clip_path(path: str, name: str) -> str:
    """Where a clip lies: the file, or FILE:KEY for one of several."""
    key = name.removeprefix(f"{Path(path).stem}:")
    return path if key == name or path.endswith(f":{key}") else f"{path}:{key}"


def _row(
    job: Job, name: str, clip: Read, read_reference: Callable[[], Read] | None
) -> tuple[dict[str, Any], Figures | None]:
    """A clip's row of the result, and its frozen control's figures."""
    motion, body, looks = clip
    found, frozen = _measure(job, (motion, body), *_forces(job.path, (motion, body))), None
    row: dict[str, Any] = {
        "name": name,
        "path": _clip_path(job.path, name),
        "frames": motion.num_frames,
        "fps": motion.fps,
        "format": motion.provenance.notes.get("format", Path(job.path).suffix.lower().removeprefix(".")),
        "variant": _group(job, found, motion, body),
        "body": found.body,
        "ground": found.ground,
        "metrics": dict(found.values),
    }
    if job.rank:
        row["metrics"] |= limmt_score(context(motion, body, job.ground))
    if looks:
        row["doubts"] = [asdict(doubt) for doubt in looks]
    if job.frozen:
        frozen = dict(_measure(job, (frozen_pose(motion), body)).values)
    if job.reference is not None:
        if read_reference is None:
            raise MotionError(f"{job.reference}: has no motion '{name}' to compare with")
        reference = read_reference()[:2]
        tracked, control = _track(job, motion, reference[0])
        row["metrics"] |= tracked
        frozen = control if frozen is None else frozen | control
        row["reference"] = {"frames": reference[0].num_frames, "fps": reference[0].fps}
        row |= _before(job, reference, _clip_path(job.reference, name), found.variant)
    elif (source := _source(job.path, motion)) is not None:
        row |= _before(job, worn(source[1], body), source[0], found.variant)
    return row, frozen


def _group(job: Job, found: Measurement, motion: Motion, body: Body) -> str:
    """What a clip's figures stand beside: the variant, but a robot's that was known by its joints, or has no body, has
    one of its own."""
    if is_robot_track(motion):
        return found.variant + OF_A_ROBOT
    own = found.variant == "surface" and body_of_robot(motion) is body and body.name != the_body(job.body).name
    return f"{found.variant} of {body.name}" if own else found.variant


def _before(job: Job, before: Worn, path: str, variant: str) -> dict[str, Any]:
    """A row's fields about what the clip was before; none where that would mix variants."""
    found = _measure(job, before)
    return {"before": dict(found.values), "before_path": path} if found.variant == variant else {}


def _measure(job: Job, clip: Worn, rollout: Rollout | None = None, tracked: Clip | None = None) -> Measurement:
    motion, body = clip
    return measure(motion, body, job.ground, job.wrench, rollout, tracked)


def _forces(path: str, clip: Worn) -> tuple[Rollout | None, Clip | None]:
    """The rollout that made a clip which `morphloop project` wrote, where it lies and is this body's, and what it
    tracked; None twice for any other clip."""
    file, (motion, body) = Path(path), clip
    found = file.parent.parent / ROLLOUTS / file.name
    if file.parent.name != CLIPS or not found.is_file():
        return None, None
    rollout = load_rollout(found)
    if not made(motion, rollout, body):
        return None, None
    tracked = file.parent.parent / REFERENCES / file.name
    return rollout, _rotations(str(tracked), load_clip(tracked)) if tracked.is_file() else None


def _track(job: Job, motion: Motion, reference: Motion) -> tuple[Figures, Figures]:
    """Tracking errors of a clip and of its reference's frozen pose."""
    clip, theirs = _rotations(job.path, motion), _rotations(job.reference, reference)
    return track_errors(clip, theirs), track_errors(frozen_pose(theirs), theirs)


def _rotations(path: str | None, motion: Motion) -> Clip:
    """The motion if it is a clip; MotionError for joint positions."""
    if isinstance(motion, JointTrack):
        raise MotionError(f"{path}: joint positions only, tracking errors need rotations, convert it first")
    return motion


def _source(path: str, motion: Motion) -> tuple[str, Motion] | None:
    """The parent of a clip that `morphloop project` wrote, where it lies, known by its id; None for any other clip."""
    file = Path(path)
    found = file.parent.parent / SOURCES / file.name
    if file.parent.name != CLIPS or motion.provenance.parent is None or not found.is_file():
        return None
    parent = load_clip(found)
    return (str(found), parent) if parent.id == motion.provenance.parent else None
