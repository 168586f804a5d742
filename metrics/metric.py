"""What a metric is; which there are, `registry` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clip_context import Context

Values = dict[str, float | None]


@dataclass(frozen=True)
class Metric:
    """unit: "" for a ratio; of: what `measure` computes it by, its value under its name; metrics that one pass finds
    share it; None for what `measure_rollout`, `track_errors` and a ranking find; better: which way is good, "lower",
    "higher", or "" where neither is; thresholds: value and unit by name; needs: "motion" alone, a "rollout" or a
    "reference" too, or to be asked for by a "ranking"; variants: which it is defined for."""

    name: str
    unit: str
    definition: str
    source: str
    of: Callable[[Context], Values] | None = None
    better: str = "lower"
    thresholds: dict[str, str] = field(default_factory=dict)
    needs: str = "motion"
    variants: tuple[str, ...] = ("surface", "joints")
