"""References of thousands of clips for training: prepared, eased as `project` eases them, with their servo targets.

What a policy is trained on is what it will be given. A clip takes tens of milliseconds (inverse dynamics, inverse
kinematics of legs), so that many are shared out to worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from morphloop.base import MachineFault, MotionError
from morphloop.base.pool import Message, run_tasks
from morphloop.base.threads import fixed_threads
from morphloop.envs import prepare
from morphloop.envs.conditioning import ConditioningConfig, condition
from morphloop.envs.reference import servo_targets
from morphloop.envs.stances import planted_feet
from morphloop.motion import Clip
from morphloop.sim import Body, default_body

from ..optimal_control.many_clips import built_in, pack, packed_clip, unpack, unpacked_clip

FEW = 64
"""So many clips are done sooner here than workers take to start."""


@dataclass(frozen=True)
class Reference:
    """A clip as a policy is to track it. clip: prepared and eased; target: (T, nu) servo targets that follow it."""

    clip: Clip
    target: np.ndarray


def eased(clip: Clip, body: Body, ease: ConditioningConfig) -> Clip:
    """A prepared clip with the help that `ease` asks for; the clip itself where that is none."""
    if not (ease.smooth or ease.hold_feet or ease.balance):
        return clip
    return condition(clip, planted_feet(clip, body), body, ease)


@fixed_threads()
def references(
    clips: Sequence[Clip], body: Body, ease: ConditioningConfig, workers: int | None = None
) -> list[Reference]:
    """What to track of each clip, in order. MotionError for a clip that cannot be prepared.

    workers: processes, 0 for this one alone; if None one a core, but none for few clips. A body that is not built in is
    done here. As Python's multiprocessing they import the main script again: with them, call this under
    `if __name__ == "__main__":`.
    """
    kind = built_in(body)
    if workers is None:
        workers = (os.cpu_count() or 1) if len(clips) > FEW else 0
    if workers == 0 or kind is None:
        return [_reference(clip, body, ease) for clip in clips]
    tasks = ({"clip": packed_clip(clip), "body": kind, "ease": asdict(ease)} for clip in clips)
    found: dict[int, Reference] = {}
    for place, message in run_tasks(reference_message, tasks, workers):
        if message is not None:
            if "died" in message:
                raise MachineFault(f"{clips[place].name}: the process that prepared it died: {message['died']}")
            if "reason" in message:
                raise MotionError(f"{clips[place].name}: {message['reason']}")
            found[place] = Reference(unpacked_clip(message["clip"], body), unpack(message["target"]))
    return [found[place] for place in range(len(clips))]


def reference_message(task: Message) -> Iterator[Message]:
    """A worker's task: the clip that it holds, made ready."""
    body, ease = default_body(task["body"]), ConditioningConfig(**task["ease"])
    try:
        made = _reference(unpacked_clip(task["clip"], body), body, ease)
    except MotionError as error:
        yield {"reason": str(error)}
        return
    message: dict[str, Any] = {"clip": packed_clip(made.clip), "target": pack(made.target)}
    yield message


def _reference(clip: Clip, body: Body, ease: ConditioningConfig) -> Reference:
    ready = eased(prepare(clip, body), body, ease)
    return Reference(ready, servo_targets(ready, body))
