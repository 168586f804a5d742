"""The worst clips of a batch as cards: what is wrong, pictures over time, and the frames at which it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from morphloop.base import MotionError
from morphloop.metrics.feet import foot_states
from morphloop.metrics.registry import METRICS
from morphloop.metrics.timelines import timeline
from morphloop.sim.drawing.render import strip_bytes

from ..config import EvaluateConfig
from .evaluate import Evaluation
from .look import data_uri, number
from .measuring import Worn, clip_at
from .pair_videos import video_address
from .timeline_chart import timeline_html
from .worst import HEADLINES, KEY_METRICS, rank

FRAMES = 8
SIDES = ("before", "after")


@dataclass(frozen=True)
class ClipCard:
    """A clip as the page shows it. fault: what it does most, "" for nothing; strip: a PNG as an address, "" where
    `missing` says why there is none; video: before beside after, "" where nothing was before; timelines: one, or before
    and after; figures: (title, before, now, unit)."""

    name: str
    path: str
    seconds: str
    fault: str
    score: str
    strip: str
    video: str
    missing: str
    timelines: list[Markup]
    figures: list[tuple[str, str, str, str]]


def worst_cards(result: Evaluation, variant: str, most: int, tick: Callable[[], None]) -> list[ClipCard]:
    """Cards of the worst clips of a variant, worst first; `tick` is called after each. Their files are read again."""
    rows = result.rows.variants[variant]
    ranking = rank(rows)
    cards = []
    for place, row in enumerate(result.rows.rows(variant, ranking.places[:most])):
        fault = int(ranking.fault[place])
        cards.append(_card(row, "" if fault < 0 else KEY_METRICS[fault].fault, ranking.score[place], result.config))
        tick()
    return cards


def _card(row: dict[str, Any], fault: str, score: float, config: EvaluateConfig) -> ClipCard:
    strip, video, missing, timelines = "", "", "", []
    try:
        clips = [clip_at(row[side], config.body, config) for side in ("before_path", "path") if side in row]
        titles = SIDES if len(clips) == 2 else ("",)
        timelines = [_timeline(clip, config, title) for clip, title in zip(clips, titles, strict=True)]
        labels = titles if len(clips) == 2 else ()
        motions, feet = [motion for motion, _ in clips], [foot_states(*clip) for clip in clips]
        strip = data_uri("image/png", strip_bytes(motions, labels, FRAMES, clips[-1][1], feet=feet))
        if len(clips) == 2:
            video = video_address(clips, labels)
    except MotionError as error:
        missing = str(error)
    before = row.get("before", {})
    return ClipCard(
        name=row["name"],
        path=row["path"],
        seconds=number(row["frames"] / row["fps"]),
        fault=fault,
        score=number(score),
        strip=strip,
        video=video,
        missing=missing,
        timelines=timelines,
        figures=[
            (metric.title, number(before[metric.name]) if before else "", number(value), METRICS[metric.name].unit)
            for metric in HEADLINES
            if (value := row["metrics"].get(metric.name)) is not None
        ],
    )


def _timeline(clip: Worn, config: EvaluateConfig, title: str) -> Markup:
    motion, body = clip
    return timeline_html(timeline(motion, body, config.ground), title)
