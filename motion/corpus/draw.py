"""What every action of the corpus starts from: drawn parameters, standing feet, a plan.

An action is a function from a `Draw` to a `Score`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..fitting.leg_ik import FootTrack
from .balance import FPS, Plan
from .gait import zero_moment_point

CELLS = 40
"""Every drawn interval is cut into this many cells; each fifth belongs to the test split alone."""
T = TypeVar("T")


class Draw:
    """Random parameters of one clip; the two splits draw from different cells of every interval."""

    def __init__(self, rng: np.random.Generator, split: str):
        self.rng = rng
        cells = np.arange(CELLS)
        self.cells = cells[(cells % 5 == 2) == (split == "test")]

    def between(self, low: float, high: float) -> float:
        """A number of [low, high) in one of the split's cells, rounded to six digits for the record."""
        cell = int(self.cells[self.rng.integers(len(self.cells))])
        return round(float(low + (high - low) * (cell + self.rng.random()) / CELLS), 6)

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]


@dataclass(frozen=True)
class Score:
    """An action ready to be solved. keep: frames of the plan that become the clip."""

    plan: Plan
    params: dict[str, Any]
    words: dict[str, str]
    keep: slice = field(default_factory=lambda: slice(None))


def stand(draw: Draw) -> list[tuple[float, float, float]]:
    """Feet of a standing person, a hand's breadth apart and a little turned out."""
    half, out = 0.5 * draw.between(0.15, 0.21), draw.between(0.03, 0.14)
    return [(0.0, half, out), (0.0, -half, -out)]


def make_plan(
    t: np.ndarray,
    feet: FootTrack,
    cop: np.ndarray,
    upper: dict[str, np.ndarray],
    tilt: np.ndarray | None = None,
    crouch: np.ndarray | None = None,
    rise: np.ndarray | None = None,
) -> Plan:
    """A plan whose pelvis faces where the feet point on average; no tilt and no crouch unless given."""
    heading = gaussian_filter1d(feet.yaw.mean(axis=1), 0.1 * FPS, mode="nearest")
    tilt = np.zeros((len(t), 3)) if tilt is None else tilt
    return Plan(feet, cop, heading, tilt, np.zeros(len(t)) if crouch is None else crouch, upper, rise)


def standing_point(draw: Draw, t: np.ndarray, feet: FootTrack, load: np.ndarray | None = None) -> np.ndarray:
    """Zero-moment point of standing on both feet, with the slow sway of a few millimetres that people have."""
    base = zero_moment_point(t, feet, [], np.full(len(t), 0.5) if load is None else load)
    sway = np.zeros_like(base)
    for axis, size in ((0, 0.006), (1, 0.008)):
        rate, phase = draw.between(0.2, 0.4), draw.between(0.0, 2 * np.pi)
        sway[:, axis] = size * np.sin(2 * np.pi * rate * t + phase)
    return base + sway
