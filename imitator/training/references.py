"""References of thousands of clips for training, as `project` makes them of one.

What a policy is trained on is what it will be given. A clip takes tens of milliseconds (inverse dynamics, inverse
kinematics of legs), so that many are shared out to worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

from morphloop.base import MachineFault, MotionError
from morphloop.base.pool import Message, run_tasks
from morphloop.base.threads import fixed_threads
from morphloop.envs import Reference, make_reference
from morphloop.envs.config import ConditioningConfig
from morphloop.motion import Clip
from morphloop.sim import Body

from ..optimal_control.many_clips import (
    packed_clip,
    packed_reference,
    unpacked_clip,
    unpacked_reference,
)

FEW = 64
"""So many clips are done sooner here than workers take to start."""


@fixed_threads()
def make_references(
    clips: Sequence[Clip], body: Body, preprocessing: ConditioningConfig, workers: int | None = None
) -> list[Reference]:
    """What to track of each clip, in order. MotionError for a clip that cannot be prepared.

    workers: processes, 0 for this one alone; if None one a core, but none for few clips. As Python's multiprocessing
    they import the main script again: with them, call this under `if __name__ == "__main__":`.
    """
    if workers is None:
        workers = (os.cpu_count() or 1) if len(clips) > FEW else 0
    if workers == 0:
        return [make_reference(clip, body, preprocessing) for clip in clips]
    tasks = ({"clip": packed_clip(clip), "preprocessing": asdict(preprocessing)} for clip in clips)
    found: dict[int, Reference] = {}
    for place, message in run_tasks(partial(reference_message, body), tasks, workers):
        if message is not None:
            if "died" in message:
                raise MachineFault(f"{clips[place].name}: the process that prepared it died: {message['died']}")
            if "reason" in message:
                raise MotionError(f"{clips[place].name}: {message['reason']}")
            found[place] = unpacked_reference(message, body)
    return [found[place] for place in range(len(clips))]


def reference_message(body: Body, task: Message) -> Iterator[Message]:
    """A worker's task: the clip that it holds, made ready."""
    preprocessing = ConditioningConfig(**task["preprocessing"])
    try:
        made = make_reference(unpacked_clip(task["clip"], body), body, preprocessing)
    except MotionError as error:
        yield {"reason": str(error)}
        return
    yield packed_reference(made)
