"""Clips in, figures with intervals out. Bootstrap over clips, seed explicit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np

RESAMPLES = 2000
SEED = 0
BLOCK = 1 << 20
"""Values that a block of resamples holds."""

Row = Mapping[str, float | None]


class Summary(TypedDict):
    """Mean and median over the clips that have a value, and the 95 % interval of the mean; None without values. The
    interval needs two clips."""

    mean: float | None
    median: float | None
    ci95: tuple[float, float] | None


def summarise(rows: Sequence[Row], seed: int = SEED) -> dict[str, Summary]:
    """Summary of each metric over clips; a clip whose value is None is left out of that metric."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: summarise_values(_column(row.get(name) for row in rows), seed) for name in names}


def paired_difference(before: Sequence[Row], after: Sequence[Row], seed: int = SEED) -> dict[str, Summary]:
    """Summary of after minus before, pair by pair; the interval is that of the paired bootstrap.

    before, after: rows of the same clips in the same order. A pair counts where both have a value.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} rows before and {len(after)} after, expected pairs")
    pairs = list(zip(before, after, strict=True))
    names = list(dict.fromkeys(name for row in (*before, *after) for name in row))
    return {
        name: summarise_values(_column(y.get(name) for _, y in pairs) - _column(x.get(name) for x, _ in pairs), seed)
        for name in names
    }


def summarise_values(values: np.ndarray, seed: int = SEED) -> Summary:
    """Summary of one metric over clips, (N,) values with NaN for null."""
    values = values[~np.isnan(values)]
    if not len(values):
        return {"mean": None, "median": None, "ci95": None}
    interval = bootstrap_mean(values, seed) if len(values) > 1 else None
    return {"mean": float(values.mean()), "median": float(np.median(values)), "ci95": interval}


def _column(figures: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if figure is None else figure for figure in figures], dtype=float)


def bootstrap_mean(values: np.ndarray, seed: int = SEED, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % percentile interval of the mean of (N,) values (Efron and Tibshirani 1993, chapter 13)."""
    rng = np.random.default_rng(seed)
    blocks = _blocks(resamples, max(1, BLOCK // len(values)))
    means = np.concatenate(
        [values[rng.integers(len(values), size=(rows, len(values)))].mean(axis=1) for rows in blocks]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _blocks(total: int, size: int) -> list[int]:
    """Resamples in blocks, so that memory grows neither with their number nor with that of the clips."""
    return [min(size, total - start) for start in range(0, total, size)]
