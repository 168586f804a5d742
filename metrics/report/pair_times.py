"""Pairs of clips of other frame rates or lengths: what a file looks like whose frame rate was read wrong.

A pair is measured on one grid whatever its rates are, and tracked over what both have; so its figures stand, and only
this tells that one of the two may be another motion, slower or faster than it was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SLACK = 1.5
"""Frames of the slower one by which lengths may differ: resampling ends where the last frame fits."""
SAME_RATE = 2e-3
"""Share of a rate by which files round it: a frame of 33.3 ms is one of 30 a second, and 29.97 are as good."""
NAMED = 3
"""Pairs that a line names."""


@dataclass(frozen=True)
class PairTimes:
    """A pair by its name. fps, frames: of the first and of the second."""

    name: str
    fps: tuple[float, float]
    frames: tuple[int, int]

    @property
    def seconds(self) -> tuple[float, float]:
        """From the first frame to the last, of each."""
        first, second = ((count - 1) / fps for count, fps in zip(self.frames, self.fps, strict=True))
        return first, second

    @property
    def other_rate(self) -> bool:
        return abs(self.fps[0] - self.fps[1]) > SAME_RATE * max(self.fps)

    @property
    def other_length(self) -> bool:
        first, second = self.seconds
        return abs(first - second) > SLACK / min(self.fps)

    @property
    def differs(self) -> bool:
        return self.other_rate or self.other_length

    @property
    def same_frames(self) -> bool:
        """Whether one could be the other read at another rate."""
        return self.other_rate and self.other_length and self.frames[0] == self.frames[1]


def apart(pairs: Iterable[PairTimes]) -> list[PairTimes]:
    """The pairs that differ, those of other lengths first, the farthest apart before the others."""
    found = [pair for pair in pairs if pair.differs]
    return sorted(found, key=lambda pair: (not pair.other_length, -abs(pair.seconds[0] - pair.seconds[1])))


def apart_facts(found: list[PairTimes], shown: int) -> dict[str, Any]:
    """How many pairs differ in what, and the first `shown` of them, as plain JSON values."""
    return {
        "fps": sum(pair.other_rate for pair in found),
        "length": sum(pair.other_length for pair in found),
        "same_frames": sum(pair.same_frames for pair in found),
        "pairs": [
            {"name": pair.name, "fps": list(pair.fps), "frames": list(pair.frames), "seconds": list(pair.seconds)}
            for pair in found[:shown]
        ],
    }


def apart_line(found: list[PairTimes], pairs: int, first: str, second: str) -> str:
    """In words, with the first few; "" where no pair differs. first, second: what the two of a pair are called."""
    if not found:
        return ""
    facts = apart_facts(found, NAMED)
    differ = [f"{facts[what]} in {word}" for what, word in (("length", "length"), ("fps", "frame rate")) if facts[what]]
    if facts["same_frames"]:
        differ.append(f"{facts['same_frames']} of as many frames, as of a rate read wrong (--fps)")
    named = "; ".join(
        f"{pair.name} {first} {pair.seconds[0]:.2f} s at {pair.fps[0]:g} fps, "
        f"{second} {pair.seconds[1]:.2f} s at {pair.fps[1]:g}"
        for pair in found[:NAMED]
    )
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{len(found)} of {pairs} pairs differ, {', '.join(differ)}: {named}{more}"
