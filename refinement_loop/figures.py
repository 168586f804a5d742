"""Plots of the report as inline SVG: foot height and foot speed over time, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from morphloop.metrics.points import surface_points
from morphloop.metrics.report.charts import nice_range
from morphloop.motion import Clip
from morphloop.sim import FEET, Body, default_body

WIDTH, HEIGHT = 420, 170
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 24, 30


@dataclass(frozen=True)
class Line:
    """One curve: seconds (T,), values (T,), and the CSS class that colours it."""

    seconds: np.ndarray
    values: np.ndarray
    style: str


def foot_heights(clip: Clip, body: Body | None = None) -> np.ndarray:
    """(T, 2) height of the lowest point of each foot's surface over the ground, mm."""
    points = surface_points(clip, body or default_body())
    return 1e3 * np.stack([points.heights[:, points.foot == side].min(axis=1) for side in range(len(FEET))], axis=1)


def foot_speeds(clip: Clip, body: Body | None = None) -> np.ndarray:
    """(T, 2) horizontal speed of each ankle joint, m/s, by central differences."""
    ankles = (body or default_body()).legs[:, 2]
    if clip.num_frames < 2:
        return np.zeros((clip.num_frames, len(FEET)))
    velocity = np.gradient(clip.positions[:, ankles, :2], 1.0 / clip.fps, axis=0)
    return np.linalg.norm(velocity, axis=-1)


def foot_plots(before: Clip, after: Clip | None, body: Body | None = None) -> list[str]:
    """SVG of height and speed of either foot, four small plots, on the default body if None."""
    sides = [(before, "before")] + ([] if after is None else [(after, "after")])
    plots = []
    for title, unit, curve in (("height", "mm", foot_heights), ("horizontal speed", "m/s", foot_speeds)):
        curves = [(np.arange(clip.num_frames) / clip.fps, curve(clip, body), style) for clip, style in sides]
        for foot, name in enumerate(FEET):
            lines = [Line(seconds, values[:, foot], style) for seconds, values, style in curves]
            plots.append(plot(f"{name} foot, {title} ({unit})", lines))
    return plots


def plot(title: str, lines: list[Line]) -> str:
    """A line plot over time as an SVG element; zero is always in view."""
    span = max(max(float(line.seconds[-1]) for line in lines), 1e-3)
    values = np.concatenate([line.values for line in lines])
    low, high, step = nice_range(min(0.0, float(values.min())), max(0.0, float(values.max())))
    x_of = (WIDTH - LEFT - RIGHT) / span
    y_of = (HEIGHT - TOP - BOTTOM) / (high - low)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) * y_of

    parts = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    parts.append(f'<text class="title" x="{LEFT}" y="14">{escape(title)}</text>')
    for tick in np.arange(low, high + 0.5 * step, step):
        axis = "zero" if abs(tick) < 1e-9 else "grid"
        parts.append(f'<line class="{axis}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    _, _, second = nice_range(0.0, span)
    for tick in np.arange(0.0, span + 1e-9, second):
        x = LEFT + tick * x_of
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{tick:g} s</text>')
    for line in lines:
        points = " ".join(f"{LEFT + t * x_of:.1f},{y(v):.1f}" for t, v in zip(line.seconds, line.values, strict=True))
        parts.append(f'<polyline class="{line.style}" points="{points}"/>')
    return "".join([*parts, "</svg>"])
