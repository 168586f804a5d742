"""A clip's timeline as HTML: when the feet touch and slide, when the body floats, hangs or sinks, and how high it is.

Lanes stretch to the width they are given and words keep their size, so one drawing serves laptop and phone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from morphloop.metrics.contact import SLIDE_FAST
from morphloop.metrics.timelines import Timeline

from .charts import nice_range

CURVE_POINTS = 400
HEIGHT_MM = (-60.0, 120.0)
"""Bounds of the height curve, unless the clip stays inside smaller ones or a tenth of it lies beyond."""
LANE = 10


@dataclass(frozen=True)
class Lane:
    """A row of the timeline. marks: (CSS class, (T',) bool) laid over each other in this order."""

    title: str
    marks: tuple[tuple[str, np.ndarray], ...]


def lanes(seen: Timeline) -> list[Lane]:
    """Contact and slide of each foot, and of the rest of the body if it touches; float and penetration."""
    rows = []
    for group, title in enumerate(("left foot", "right foot", "body")):
        touch, speed = seen.contact[:, group], seen.slide_speed[:, group]
        if title == "body" and not touch.any():
            continue
        rows.append(Lane(title, (("touch", touch), ("slides", np.nan_to_num(speed) > SLIDE_FAST))))
    rows.append(Lane("in the air", (("floats", seen.floating), ("hangs", seen.unsupported))))
    rows.append(Lane("sunk in", (("sinks", seen.penetrating),)))
    return rows


def timeline_html(seen: Timeline, title: str = "") -> Markup:
    """The timeline of a clip; `title` stands over it, such as "before"."""
    count = len(seen.times)
    parts = [f'<div class="timeline">{f"<b>{escape(title)}</b>" if title else ""}']
    low, high, curve = height_curve(seen)
    parts.append(f'<span class="lane">height<small>{low:g} to {high:g} mm</small></span>{curve}')
    for lane in lanes(seen):
        drawn = "".join(_runs(mask, style) for style, mask in lane.marks)
        parts.append(
            f'<span class="lane">{lane.title}</span><svg viewBox="0 0 {count} {LANE}" preserveAspectRatio="none" '
            f'role="img" aria-label="{lane.title}"><rect class="rail" width="{count}" height="{LANE}"/>{drawn}</svg>'
        )
    parts.append(f"<span></span>{_seconds(seen)}</div>")
    return Markup("".join(parts))


def height_curve(seen: Timeline) -> tuple[float, float, str]:
    """Bounds in mm and an SVG of the lowest point's height, zero marked, what floats, hangs or sinks shaded."""
    mm = 1e3 * seen.lowest
    tenths = np.percentile(mm, (10, 90))
    least, most = min(HEIGHT_MM[0], tenths[0]), max(HEIGHT_MM[1], tenths[1])
    low, high, _ = nice_range(max(least, min(-10.0, float(mm.min()))), min(most, max(20.0, float(mm.max()))))
    count, scale = len(mm), 100.0 / (high - low)
    times, values = _thin(np.arange(count) + 0.5, np.clip(mm, low, high))
    points = " ".join(f"{t:.1f},{(high - v) * scale:.1f}" for t, v in zip(times, values, strict=True))
    zero = high * scale
    shades = "".join(
        _runs(mask, style, 100)
        for style, mask in (("floats", seen.floating), ("hangs", seen.unsupported), ("sinks", seen.penetrating))
    )
    return (
        low,
        high,
        f'<svg class="height" viewBox="0 0 {count} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="height of the lowest point"><rect class="rail" width="{count}" height="100"/>'
        f'<g class="shade">{shades}</g><line class="zero" x1="0" x2="{count}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
        f'<polyline points="{points}"/></svg>',
    )


def _runs(mask: np.ndarray, style: str, height: float = LANE) -> str:
    """A rectangle for every run of marked samples."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return "".join(
        f'<rect class="{style}" x="{start}" width="{stop - start}" height="{height}"/>'
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def _thin(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `CURVE_POINTS` of a curve: the lowest and the highest of each segment, so that no peak is lost."""
    if len(values) <= CURVE_POINTS:
        return times, values
    segments = np.array_split(np.arange(len(values)), CURVE_POINTS // 2)
    kept = np.concatenate([sorted((s[values[s].argmin()], s[values[s].argmax()])) for s in segments])
    return times[kept], values[kept]


def _seconds(seen: Timeline) -> str:
    """Ticks in seconds under the lanes, placed in percent."""
    span = max(len(seen.times) / seen.fps, 1e-3)
    _, _, step = nice_range(0.0, span)
    ticks = np.arange(0.0, span + 1e-9, step)
    shown = "".join(f'<i style="left: {100 * t / span:.2f}%">{t:g}{" s" if t == 0 else ""}</i>' for t in ticks)
    return f'<span class="seconds">{shown}</span>'
