"""Small charts as inline SVG: distributions with their controls, a figure beside its controls, before against after.

Colours come from classes of the page's style, so that a chart follows the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

TICKS = 4
WIDTH, HEIGHT = 340, 150
LEFT, RIGHT, TOP, BOTTOM = 10, 10, 8, 24
BINS = 28
DOTS = 40
"""Up to so many clips each is a dot; more become a histogram."""
SHOWN_SHARE = 99.0
"""Percentile of the figures up to which an axis reaches; what lies beyond is counted in words."""


@dataclass(frozen=True)
class Marker:
    """A vertical line in a distribution. style: its CSS class; value: where."""

    style: str
    value: float | None


@dataclass(frozen=True)
class Axis:
    """Values low to high, in steps that read well, over a length in pixels from `start`."""

    low: float
    high: float
    step: float
    start: float
    length: float

    def at(self, value: float | np.ndarray) -> np.ndarray:
        """Pixels of values; those beyond the axis stand at its ends."""
        share = (np.asarray(value, float) - self.low) / (self.high - self.low)
        return self.start + self.length * np.clip(share, 0.0, 1.0)

    @property
    def ticks(self) -> np.ndarray:
        return np.arange(self.low, self.high + 0.5 * self.step, self.step)


def nice_range(low: float, high: float) -> tuple[float, float, float]:
    """Bounds that hold low and high on whole steps, and the step: 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-6)
    rough = span / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * next(m for m in (1, 2, 5, 10) if m * power >= rough - 1e-12))
    return float(np.floor(low / step) * step), float(np.ceil(max(high, low + 1e-6) / step) * step), step


def reach(values: np.ndarray, marked: Sequence[float | None]) -> tuple[float, float]:
    """Bounds of an axis: the bulk of the values and all that is marked; zero is always in view."""
    if not len(values):
        return 0.0, 1.0
    low = np.percentile(values, 100.0 - SHOWN_SHARE, method="higher")
    high = np.percentile(values, SHOWN_SHARE, method="lower")
    if len(values) <= DOTS:
        low, high = values.min(), values.max()
    known = [value for value in marked if value is not None]
    return float(min(0.0, low, *known)), float(max(1e-3, high, *known))


def distribution(
    title: str, values: np.ndarray, markers: Sequence[Marker], before: np.ndarray, least: float | None = None
) -> str:
    """One metric over clips: dots or a histogram of (N,) values without NaN, vertical lines for mean and controls, and
    as an outline what the clips were before, (M,). least: a value that the axis reaches in any case."""
    shown = np.concatenate([values, before])
    low, high, step = nice_range(*reach(shown, [least, *(marker.value for marker in markers)]))
    axis = Axis(low, high, step, LEFT, WIDTH - LEFT - RIGHT)
    parts = [f'<svg class="plot dist" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    parts.append(_axis(axis))
    few = len(shown) <= DOTS
    top = 1 if few else max(_counts(values, axis).max(initial=1), _counts(shown[len(values) :], axis).max(initial=1))
    parts.append(_dots(values, axis) if few else _bars(_counts(values, axis), axis, top))
    if len(before):
        parts.append(_dots(before, axis, "was") if few else _outline(_counts(before, axis), axis, top))
    for marker in markers:
        if marker.value is not None:
            x = float(axis.at(marker.value))
            parts.append(f'<line class="{marker.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    return "".join([*parts, "</svg>"])


def beyond(values: np.ndarray, markers: Sequence[Marker], least: float | None = None) -> int:
    """How many values lie beyond a distribution's axis; they stand in its outermost bars."""
    low, high, _ = nice_range(*reach(values, [least, *(marker.value for marker in markers)]))
    return int(((values < low) | (values > high)).sum())


def _axis(axis: Axis, bottom: float = HEIGHT - BOTTOM) -> str:
    """Base line, ticks and their numbers."""
    parts = [
        f'<line class="zero" x1="{axis.start}" x2="{axis.start + axis.length}" y1="{bottom}" y2="{bottom}"/>',
    ]
    for tick in axis.ticks:
        x = float(axis.at(tick))
        anchor = "start" if x < axis.start + 8 else "end" if x > axis.start + axis.length - 8 else "middle"
        shown = f"{tick:g}" if abs(tick) > 1e-9 * axis.step else "0"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{shown}</text>')
    return "".join(parts)


def _counts(values: np.ndarray, axis: Axis) -> np.ndarray:
    """(BINS,) values in each of the axis' equal parts."""
    place = ((axis.at(values) - axis.start) / axis.length * BINS).astype(int)
    return np.bincount(np.minimum(place, BINS - 1), minlength=BINS)


def _bars(counts: np.ndarray, axis: Axis, top: int) -> str:
    """Bars whose heights grow with the root of the count: most clips are often faultless, and the others matter."""
    width, room = axis.length / BINS, HEIGHT - TOP - BOTTOM
    parts = []
    for k in np.flatnonzero(counts):
        height = room * np.sqrt(counts[k] / top)
        x, y = axis.start + k * width + 0.5, HEIGHT - BOTTOM - height
        parts.append(
            f'<rect class="bin" x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}" rx="1.5"/>'
        )
    return "".join(parts)


def _outline(counts: np.ndarray, axis: Axis, top: int) -> str:
    """The upper edge of a histogram as a line."""
    width, room, bottom = axis.length / BINS, HEIGHT - TOP - BOTTOM, HEIGHT - BOTTOM
    corners = [(axis.start, bottom)]
    for k, count in enumerate(counts):
        y = bottom - room * np.sqrt(count / top)
        corners += [(axis.start + k * width, y), (axis.start + (k + 1) * width, y)]
    corners.append((axis.start + axis.length, bottom))
    return f'<polyline class="was" points="{_points(corners)}"/>'


def _dots(values: np.ndarray, axis: Axis, style: str = "dot") -> str:
    """A dot a clip, stacked where they would lie on each other."""
    counts = np.zeros(BINS, int)
    places = np.minimum(((axis.at(np.sort(values)) - axis.start) / axis.length * BINS).astype(int), BINS - 1)
    tallest = np.bincount(places, minlength=1).max(initial=1)
    rise = min(10.0, (HEIGHT - TOP - BOTTOM - 10) / max(tallest, 1))
    parts = []
    for value, place in zip(np.sort(values), places, strict=True):
        y = HEIGHT - BOTTOM - 7 - rise * counts[place]
        counts[place] += 1
        parts.append(f'<circle class="{style}" cx="{float(axis.at(value)):.1f}" cy="{y:.1f}" r="4"/>')
    return "".join(parts)


def gauge(mean: float, interval: tuple[float, float] | None, controls: Sequence[Marker]) -> str:
    """A bar from zero to the mean with the interval's whisker and the controls as ticks; it stretches to its place."""
    known = [marker.value for marker in controls if marker.value is not None]
    ends = [mean, *known, *(interval or ())]
    low, high = min(0.0, *ends), max(1e-9, *ends)
    axis = Axis(low, low + 1.04 * (high - low), 1.0, 0, 100)
    zero, x = float(axis.at(0.0)), float(axis.at(mean))
    parts = ['<svg class="gauge" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">']
    parts.append('<rect class="rail" x="0" y="4" width="100" height="4"/>')
    parts.append(f'<rect class="bin" x="{min(zero, x):.2f}" y="3" width="{abs(x - zero):.2f}" height="6"/>')
    if interval is not None:
        a, b = axis.at(np.array(interval))
        parts.append(f'<line class="whisker" x1="{a:.2f}" x2="{b:.2f}" y1="6" y2="6"/>')
    for marker in controls:
        if marker.value is not None:
            at = float(axis.at(marker.value))
            parts.append(f'<line class="{marker.style}" x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="12"/>')
    return "".join([*parts, "</svg>"])


def whisker(mean: float, interval: tuple[float, float] | None) -> str:
    """A change with its interval about zero, which stands in the middle."""
    reach_ = 1.08 * max(abs(mean), *(abs(end) for end in interval or (0.0,)), 1e-9)
    axis = Axis(-reach_, reach_, 1.0, 0, 120)
    a, b = axis.at(np.array(interval or (mean, mean)))
    sure = interval is not None and (interval[0] > 0 or interval[1] < 0)
    return (
        '<svg class="change" viewBox="0 0 120 16" aria-hidden="true">'
        '<line class="zero" x1="60" x2="60" y1="0" y2="16"/>'
        f'<line class="whisker" x1="{a:.1f}" x2="{b:.1f}" y1="8" y2="8"/>'
        f'<circle class="{"sure" if sure else "unsure"}" cx="{float(axis.at(mean)):.1f}" cy="8" r="4.5"/></svg>'
    )


def scatter(title: str, x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> str:
    """Pairs (N,) as dots under and over the diagonal on which nothing changed; `names`: of the axes."""
    low, high, step = nice_range(*reach(np.concatenate([x, y]), []))
    size, left = 220, 66
    across, up = Axis(low, high, step, left, size - 10), Axis(low, high, step, 10, size - 10)
    bottom = 10 + up.length
    parts = [f'<svg class="plot dist" viewBox="0 0 {left + size} {size + 40}" role="img" aria-label="{escape(title)}">']
    parts.append(_axis(across, bottom))
    for tick in up.ticks:
        level = bottom + 10 - float(up.at(tick))
        parts.append(f'<line x1="{left}" x2="{left + across.length}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 5}" y="{level + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<line class="even" x1="{left}" y1="{bottom}" x2="{left + across.length}" y2="10"/>')
    for a, b in zip(across.at(x), bottom + 10 - up.at(y), strict=True):
        parts.append(f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="3.5"/>')
    middle = left + across.length / 2
    parts.append(f'<text x="{middle}" y="{bottom + 32}" text-anchor="middle">{escape(names[0])}</text>')
    parts.append(
        f'<text x="12" y="{10 + up.length / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {10 + up.length / 2})">{escape(names[1])}</text>'
    )
    return "".join([*parts, "</svg>"])


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
