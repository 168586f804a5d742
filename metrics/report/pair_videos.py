"""Clips side by side as video in a page: before and after, and of a comparison the pairs that changed most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from morphloop.base import MotionError
from morphloop.metrics.feet import foot_states
from morphloop.metrics.registry import METRICS
from morphloop.motion import Clip
from morphloop.sim import RobotBody
from morphloop.sim.drawing.render import video_bytes

from .compare import Comparison
from .look import data_uri, number
from .measuring import Motion, Worn, clip_at
from .worst import HEADLINES, badness

SHOWN_S = 10.0
"""A video shows the beginning of its clips; the page would grow too large."""
RATE = 15.0
"""Frames a second of a video, for the same reason."""
PAIRS = 4
"""Pairs of a variant that are shown."""
LABELS = ("A", "B")


@dataclass(frozen=True)
class PairCard:
    """A pair as the page shows it. video: an address inside of the file, "" where `missing` says why there is none;
    figures: (title, of A, of B, unit)."""

    name: str
    video: str
    missing: str
    figures: list[tuple[str, str, str, str]]


def video_address(shown: Sequence[Worn], labels: Sequence[str]) -> str:
    """The beginning of these clips side by side, as an address inside of the page. A robot is drawn with its bodies
    where GL answers. MotionError as `video_bytes`."""
    renderer = "auto" if any(isinstance(body, RobotBody) for _, body in shown) else "figure"
    motions, bodies = [_beginning(motion) for motion, _ in shown], [body for _, body in shown]
    feet = [foot_states(*clip) for clip in zip(motions, bodies, strict=True)]
    video = video_bytes(motions, labels=labels, body=bodies, renderer=renderer, rate=RATE, feet=feet)
    return data_uri(video.mime, video.data)


def changed_most(comparison: Comparison, variant: str, tick: Callable[[], None]) -> list[PairCard]:
    """Cards of the pairs whose faults together changed most, for better or worse; `tick` is called after each. Their
    files are read again."""
    sides = comparison.a, comparison.b
    places = comparison.pairs[variant]
    bad = [badness(side.rows.variants[variant])[own] for side, own in zip(sides, places, strict=True)]
    order = np.argsort(-np.abs(bad[1] - bad[0]), kind="stable")[:PAIRS]
    rows = [list(side.rows.rows(variant, own[order])) for side, own in zip(sides, places, strict=True)]
    cards = []
    for pair in zip(*rows, strict=True):
        video, missing = "", ""
        try:
            shown = [clip_at(row["path"], side.config.body, side.config) for row, side in zip(pair, sides, strict=True)]
            video = video_address(shown, LABELS)
        except MotionError as error:
            missing = str(error)
        cards.append(PairCard(pair[0]["name"], video, missing, _figures(pair[0]["metrics"], pair[1]["metrics"])))
        tick()
    return cards


def _figures(a: dict[str, float | None], b: dict[str, float | None]) -> list[tuple[str, str, str, str]]:
    """The headline figures that both have."""
    return [
        (metric.title, number(a[metric.name]), number(b[metric.name]), METRICS[metric.name].unit)
        for metric in HEADLINES
        if a.get(metric.name) is not None and b.get(metric.name) is not None
    ]


def _beginning(motion: Motion) -> Motion:
    frames = round(SHOWN_S * motion.fps) + 1
    if isinstance(motion, Clip):
        return motion.slice(0, min(motion.num_frames, frames))
    return replace(motion, positions=motion.positions[:frames])
