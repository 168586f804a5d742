"""What an estimate tells, and arithmetic that estimates share."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS = 20.0
"""What a calibration takes, about: at least a clip or two go through every part, however slow."""


@dataclass(frozen=True)
class Part:
    """A part of the work. clips: that go through it; wall_s: seconds it will take, None where nobody can tell."""

    name: str
    clips: int
    wall_s: float | None


@dataclass(frozen=True)
class Estimate:
    """parts: in the order of the work; size: bytes of what will be written; sampled: clips that it rests on."""

    parts: tuple[Part, ...]
    size: int
    sampled: int

    @property
    def wall_s(self) -> float:
        """Seconds of all parts that can be told."""
        return sum(part.wall_s or 0.0 for part in self.parts)


def batch_cost(batches: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds that a batch takes by itself, and for each of its members, from the sizes and seconds of some batches.

    The smallest and the largest are compared; where all are of one size, all the time is its members'.
    """
    (few, short_s), (many, long_s) = min(batches), max(batches)
    each = max(0.0, (long_s - short_s) / (many - few)) if many > few else long_s / many
    return max(0.0, long_s - each * many), each


def makespan(each: Sequence[float], workers: int, scale: float = 1.0) -> float:
    """Seconds until workers have done tasks of these lengths, each taken up by the first that is free; scale: how many
    there are for each that is given."""
    if scale > 1.01:
        return scale * sum(each) / workers
    free = [0.0] * workers
    for length in each:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)
