"""Metrics that packages add by entry points of the group `morphloop.metrics`: a `Metric`, or several in a tuple."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line
from morphloop.base.plugins import METRICS, load, offered, pass_over, say_once

from .clip_context import Context
from .metric import Metric, Values


def added_metrics(taken: Collection[str]) -> dict[str, Metric]:
    """Metrics of packages by name; one whose name is in `taken`, or that another package has, is said and passed over.

    What a package's function raises, and a value that is no finite number, is None in the row and said once.
    """
    found: dict[str, Metric] = {}
    for entry in offered(METRICS).values():
        try:
            given = load(entry)
        except MotionError as error:
            say_once(f"{error}, passed over")
            continue
        accepted: dict[str, Metric] = {}
        for metric in given if isinstance(given, tuple | list) else (given,):
            if not isinstance(metric, Metric):
                pass_over(entry, f"is a {type(metric).__name__}, expected a morphloop.metrics.Metric")
            elif metric.name in taken or metric.name in found or metric.name in accepted:
                pass_over(entry, f"a metric is called '{metric.name}' already")
            else:
                accepted[metric.name] = metric
        names = tuple(accepted)
        for name, metric in accepted.items():
            found[name] = metric if metric.of is None else replace(metric, of=_careful(metric.of, names))
    return found


@cache
def _careful(of: Callable[[Context], Values], names: tuple[str, ...]) -> Callable[[Context], Values]:
    """A package's function, which gives values under these names alone and whose faults cost no other metric."""
    told: set[str] = set()

    def values(seen: Context) -> Values:
        try:
            found = of(seen)
            return {name: _number(found.get(name)) for name in names}
        except Exception as error:
            why = f"metric {', '.join(names)}: {type(error).__name__} ({in_one_line(error)})"
            if why not in told:
                say_once(f"{why}, no value")
            told.add(why)
            return dict.fromkeys(names)

    return values


def _number(value: float | None) -> float | None:
    """A value as JSON holds it, None for what is no finite number."""
    return float(value) if value is not None and math.isfinite(value) else None
