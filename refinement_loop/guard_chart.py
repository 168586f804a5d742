"""The guard's comparisons of all rounds as one picture: physics, words, energy and diversity, kept or rolled back.

Energy, travel and diversity are shares of the starting generator's, so that the dashed bound of the rule is one level.
A run whose guard did not measure a figure yet, as older ones did not, has a panel that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from morphloop.metrics.report.charts import Axis, nice_range

from .guard import ADHERENCE_LOSS, DECISIVE, LIVELINESS_LOSS

WIDTH, HEIGHT = 340, 190
COLUMNS = 3
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 30, 34
LABELS = 6
"""Rounds that have a name under the axis, at most."""
SPREAD = 0.35
"""Room left and right of the first and last round, in rounds."""

Guard = dict[str, Any]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A generator's figure: mean and 95 % interval; kept is None for the starting one."""

    mean: float
    interval: Interval | None
    kept: bool | None


@dataclass(frozen=True)
class Panel:
    """A figure's title, points by place (0 is the start, k what the k-th comparison tuned), and the rule's bound."""

    title: str
    points: dict[int, Point]
    bound: float | None = None


def progress_chart(guards: Sequence[tuple[int, Guard]]) -> str:
    """SVG of all comparisons, (round, guard.json) in order; empty without any."""
    if not guards:
        return ""
    panels = [
        _absolute("Phys-Err (mm, lower is better)", guards, lambda g: g["metrics"].get(DECISIVE)),
        _absolute("foot slide (mm/s, lower is better)", guards, lambda g: g["metrics"].get("slide_mean_mm_s")),
        _words(guards),
        _above("R-precision@3 (%)", guards, lambda g: g.get("r_precision_3")),
        _share("motion energy: joint speed (% of start)", guards, lambda g: g.get("motion_energy")),
        _share("motion energy: root travel (% of start)", guards, _travel),
        _share("diversity (% of start)", guards, lambda g: g.get("diversity")),
    ]
    labels = ["start", *(f"round {number}" for number, _ in guards)]
    rows = -(-len(panels) // COLUMNS)
    label = "The generator over the rounds: Phys-Err, slide, adherence, R-precision, energy, diversity"
    parts = [
        f'<svg class="plot rounds" viewBox="0 0 {COLUMNS * WIDTH} {rows * HEIGHT}" role="img" aria-label="{label}">'
    ]
    for place, panel in enumerate(panels):
        x, y = place % COLUMNS * WIDTH, place // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(panel, labels)}</g>')
    return "".join([*parts, "</svg>"])


def _travel(guard: Guard) -> Any:
    return guard.get("motion_energy", {}).get("root_travel")


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _tick(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _point(summary: Any, kept: bool | None, scale: float = 1.0, base: float = 0.0) -> Point | None:
    if summary is None or summary["mean"] is None:
        return None
    low_high = summary["ci95"]
    interval = None if low_high is None else (base + scale * low_high[0], base + scale * low_high[1])
    return Point(base + scale * summary["mean"], interval, kept)


def _known(points: dict[int, Point | None]) -> dict[int, Point]:
    return {place: point for place, point in points.items() if point is not None}


def _absolute(title: str, guards: Sequence[tuple[int, Guard]], of: Callable[[Guard], Any], scale: float = 1.0) -> Panel:
    """A figure as it is; a guard without `start` began with what its first comparison calls `before`."""
    first = of(guards[0][1]) or {}
    points: dict[int, Point | None] = {0: _point(first.get("start", first.get("before")), None, scale)}
    for place, (_, guard) in enumerate(guards, 1):
        points[place] = _point((of(guard) or {}).get("after"), not guard["rolled_back"], scale)
    return Panel(title, _known(points))


def _words(guards: Sequence[tuple[int, Guard]]) -> Panel:
    """Adherence, with what clips of other prompts score in the title: on the axis it would flatten the rest."""
    chance = (guards[-1][1].get("adherence") or {}).get("chance")
    title = (
        "adherence to prompts (%)" if chance is None else f"adherence to prompts (%, by chance {100.0 * chance:.0f})"
    )
    return _above(title, guards, lambda g: g.get("adherence"))


def _above(title: str, guards: Sequence[tuple[int, Guard]], of: Callable[[Guard], Any]) -> Panel:
    """A share in percent, with the bound under which a loss of words lies."""
    panel = _absolute(title, guards, of, 100.0)
    start = panel.points.get(0)
    return Panel(title, panel.points, None if start is None else start.mean - 100.0 * ADHERENCE_LOSS)


def _share(title: str, guards: Sequence[tuple[int, Guard]], of: Callable[[Guard], Any]) -> Panel:
    points: dict[int, Point | None] = {}
    for place, (_, guard) in enumerate(guards, 1):
        points[place] = _point((of(guard) or {}).get("change_from_start"), not guard["rolled_back"], 100.0, 100.0)
    known = _known(points)
    return Panel(title, {0: Point(100.0, None, None)} | known if known else {}, 100.0 * (1.0 - LIVELINESS_LOSS))


def _panel(panel: Panel, labels: Sequence[str]) -> str:
    parts = [f'<text class="title" x="{LEFT}" y="16">{escape(panel.title)}</text>']
    if not panel.points:
        return parts[0] + f'<text x="{LEFT}" y="{HEIGHT / 2}">not measured in this run</text>'
    ends = [end for p in panel.points.values() for end in (p.mean, *(p.interval or ()))]
    ends += [] if panel.bound is None else [panel.bound]
    low, high, step = nice_range(min(ends), max(ends))
    up = Axis(low, high, step, 0.0, HEIGHT - TOP - BOTTOM)
    across = Axis(-SPREAD, len(labels) - 1 + SPREAD, 1.0, LEFT, WIDTH - LEFT - RIGHT)

    def x(place: float) -> float:
        return float(across.at(place))

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - float(up.at(value))

    for tick in up.ticks:
        parts.append(_line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)))
        parts.append(_tick(f"{tick:g}" if abs(tick) > 1e-9 * step else "0", LEFT - 6, y(tick) + 4, "end"))
    for place in np.unique(np.linspace(0, len(labels) - 1, min(len(labels), LABELS)).round().astype(int)):
        parts.append(_tick(labels[int(place)], x(place), HEIGHT - BOTTOM + 18, "middle"))
    if panel.bound is not None:
        parts.append(_line("bound", LEFT, y(panel.bound), WIDTH - RIGHT, y(panel.bound)))
        parts.append(_tick("bound", LEFT + 2, y(panel.bound) - 4, "start"))
    last = 0
    for place, point in sorted(panel.points.items()):
        if place and last in panel.points:
            style = "way kept" if point.kept else "way refused"
            parts.append(_line(style, x(last), y(panel.points[last].mean), x(place), y(point.mean)))
        last = place if point.kept is not False else last
    for place, point in panel.points.items():
        parts.append(_mark(x(place), y, point))
    return "".join(parts)


def _mark(x: float, y: Callable[[float], float], point: Point) -> str:
    """A dot with its whisker: full if kept, a cross if rolled back, a ring for the start."""
    style = "start" if point.kept is None else "kept" if point.kept else "refused"
    parts = []
    if point.interval is not None:
        parts.append(_line(f"whisker {style}", x, y(point.interval[0]), x, y(point.interval[1])))
    at = y(point.mean)
    if style == "refused":
        parts += [_line("cross", x - 5, at - 5 * slope, x + 5, at + 5 * slope) for slope in (1, -1)]
    else:
        parts.append(f'<circle class="{style}" cx="{x:.1f}" cy="{at:.1f}" r="4.5"/>')
    return "".join(parts)
