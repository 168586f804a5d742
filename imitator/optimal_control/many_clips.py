"""iLQR on many clips at once, a clip a worker process: much of it is Python between small matrices, where threads of
one process would wait for each other.

What comes out of a clip depends neither on the others nor on how many workers there are: each has a library of its own
and takes as many threads as whoever started it. Messages carry arrays as their bytes, no pickle;
the body itself is handed to each worker once.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.base.pool import Message, cores_each, crew_size, run_tasks
from morphloop.envs import Reference, stack
from morphloop.motion import Clip, Rollout
from morphloop.sim import Body

from .config import IlqrConfig
from .ilqr import Ilqr

ARRAYS = ("qpos", "qvel", "target", "planted")
"""Of a reference, beside its clips."""


@dataclass(frozen=True)
class Tracked:
    """What became of a clip: the rollout, None if there is none, and then why; wall seconds that it took; fault:
    whether the machine failed and not the clip, of which nothing is known then."""

    rollout: Rollout | None
    reason: str | None
    wall_s: float
    fault: bool = False


def track_clips(
    references: Sequence[Reference], body: Body, config: IlqrConfig, workers: int | None = None
) -> Iterator[tuple[int, Tracked]]:
    """Each reference's place and what iLQR makes of it, in the order in which they are done.

    workers: processes; None for one a core and no more than clips; 0 for this process alone.
    """
    workers = crew_size(workers, len(references))
    if workers == 0:
        for place, reference in enumerate(references):
            yield place, _tracked(reference, body, config)
        return
    own = replace(config, threads=cores_each(workers))
    tasks = ({"reference": packed_reference(each), "config": asdict(own)} for each in references)
    for place, message in run_tasks(partial(track_message, body), tasks, workers):
        if message is not None:
            yield place, _unpacked(message, references[place].name)


def _tracked(reference: Reference, body: Body, config: IlqrConfig) -> Tracked:
    """Track one clip here."""
    began = time.monotonic()
    try:
        track = Ilqr(body, stack([reference], body), config).track(0)
    except MotionError as error:
        return Tracked(None, str(error), time.monotonic() - began)
    except MemoryError:
        return Tracked(None, too_large(reference.clip), time.monotonic() - began, fault=True)
    return Tracked(track.recorder.rollout(0, reference.name), None, time.monotonic() - began)


def track_message(body: Body, task: Message) -> Iterator[Message]:
    """A worker's task: the clip that it holds, tracked."""
    config = task["config"]
    own = IlqrConfig(**config | {"dampings": tuple(config["dampings"])})
    tracked = _tracked(unpacked_reference(task["reference"], body), body, own)
    rollout = tracked.rollout
    packed = None if rollout is None else {name: pack(value) for name, value in vars(rollout).items()}
    yield {"rollout": packed, "reason": tracked.reason, "wall_s": tracked.wall_s, "fault": tracked.fault}


def packed_clip(clip: Clip) -> Message:
    """The motion of a clip as a message carries it."""
    return {name: pack(getattr(clip, name)) for name in ("fps", "root_pos", "rotations", "name")}


def unpacked_clip(message: Message, body: Body) -> Clip:
    """The clip on the body's skeleton."""
    return Clip(skeleton=body.skeleton, **{name: unpack(value) for name, value in message.items()})


def packed_reference(reference: Reference) -> Message:
    """A reference as a message carries it."""
    whole = {name: pack(getattr(reference, name)) for name in ARRAYS} | {"clip": packed_clip(reference.clip)}
    return whole if reference.prepared is reference.clip else whole | {"prepared": packed_clip(reference.prepared)}


def unpacked_reference(message: Message, body: Body) -> Reference:
    """The reference, of clips on the body's skeleton."""
    clip = unpacked_clip(message["clip"], body)
    prepared = unpacked_clip(message["prepared"], body) if "prepared" in message else clip
    return Reference(prepared, clip, **{name: unpack(message[name]) for name in ARRAYS})


def too_large(clip: Clip) -> str:
    """What is told of a clip for which there is not memory enough."""
    return f"{clip.name}: {clip.num_frames} frames do not fit into memory, cut it into shorter clips"


def _unpacked(message: Message, name: str) -> Tracked:
    """What a worker said of the clip of that name."""
    if "died" in message:
        return Tracked(None, f"{name}: the process that tracked it died: {message['died']}", 0.0, fault=True)
    packed = message["rollout"]
    rollout = None if packed is None else Rollout(**{name: unpack(value) for name, value in packed.items()})
    return Tracked(rollout, message["reason"], message["wall_s"], message["fault"])


def pack(value: Any) -> Any:
    """A plain value as it is, an array as its type, shape and bytes."""
    if not isinstance(value, np.ndarray):
        return value
    return {"type": value.dtype.str, "shape": value.shape, "bytes": base64.b64encode(value.tobytes()).decode()}


def unpack(value: Any) -> Any:
    """What `pack` was given."""
    if not isinstance(value, dict):
        return value
    return np.frombuffer(base64.b64decode(value["bytes"]), np.dtype(value["type"])).reshape(value["shape"]).copy()
