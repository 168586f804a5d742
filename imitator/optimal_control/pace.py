"""How fast iLQR goes on this machine, from some seconds of it: one plan after another on parts of clips."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from morphloop.base.pool import Message, run_tasks
from morphloop.envs import Reference, stack
from morphloop.sim import Body

from .config import IlqrConfig
from .cost import Plan
from .ilqr import Ilqr
from .many_clips import packed_reference, unpacked_reference

PLANS = 6
"""Most plans on one part of a clip."""
LEAST = 2
"""Plans that are made of each part, whatever the time: the first, made from nothing, tells little of the others."""


@dataclass(frozen=True)
class Pace:
    """start_s: until worker processes work; first_s: mean time of a clip's first plan; plan_s: of each further one;
    workers: how many work at once, at least 1."""

    start_s: float
    first_s: float
    plan_s: float
    workers: int

    def clip_s(self, frames: int, replan: int) -> float:
        """Seconds that a clip of so many control steps takes one worker."""
        return self.first_s + self.plan_s * max(0, -(-(frames - 1) // replan) - 1)


class _Timed(Ilqr):
    """Notes how long each plan took, and stops behind a moment or `PLANS`."""

    def __init__(self, body: Body, reference: Reference, config: IlqrConfig, until: float):
        super().__init__(body, stack([reference], body), config)
        self.took: list[float] = []
        self._until = until

    def _plan(self, *asked, **more) -> tuple[Plan, np.ndarray]:
        if len(self.took) >= LEAST and (len(self.took) >= PLANS or time.time() > self._until):
            raise _Enough
        began = time.monotonic()
        made = super()._plan(*asked, **more)
        self.took.append(time.monotonic() - began)
        return made


class _Enough(Exception):
    """Timed long enough."""


def measure_pace(
    references: Sequence[Reference], body: Body, config: IlqrConfig, workers: int | None, seconds: float
) -> Pace:
    """Time plans on parts of these references, spread over them, for about so many seconds after the workers have
    started; workers as in `track_clips`, but no more than there are references to track in the end."""
    cores = os.cpu_count() or 1
    crew = cores if workers is None else workers
    own = config if crew == 0 else replace(config, threads=max(1, cores // crew))
    began, until = time.monotonic(), time.time() + seconds

    def tasks() -> Iterator[Message]:
        place = 0
        while place < max(crew, 1) or time.time() < until:
            reference = references[place % len(references)]
            share = (0.5 + place * 0.6180339887) % 1.0  # the golden ratio spreads any number of parts evenly
            frame = int(share * max(0, reference.num_frames - 1 - PLANS * config.replan))
            packed = packed_reference(reference)
            yield {"reference": packed, "config": asdict(own), "frame": frame, "until": until, "asked": time.time()}
            place += 1

    first: list[float] = []
    later: list[float] = []
    start_s = 0.0
    for _, message in run_tasks(partial(time_plans, body), tasks(), crew):
        if message is None or "took" not in message:
            continue
        if not first:
            start_s = time.monotonic() - began - message["wall_s"]
        first += message["took"][:1]
        later += message["took"][1:]
    first_s, later_s = (float(np.mean(took)) if took else 0.0 for took in (first, later or first))
    return Pace(max(0.0, start_s), first_s, later_s, max(crew, 1))


def time_plans(body: Body, task: Message) -> Iterator[Message]:
    """A worker's task: seconds of each plan on a part of the reference that it holds."""
    began, config = time.monotonic(), task["config"]
    own = IlqrConfig(**config | {"dampings": tuple(config["dampings"])})
    timed = _Timed(body, unpacked_reference(task["reference"], body), own, task["until"])
    with suppress(_Enough):
        timed.track(0, task["frame"])
    yield {"took": timed.took, "wall_s": time.monotonic() - began}
