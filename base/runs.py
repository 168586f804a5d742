"""Small helpers over runs of True in masks over time."""

from __future__ import annotations

import numpy as np


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each segment of True in a (T,) mask."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def latch(on: np.ndarray, off: np.ndarray) -> np.ndarray:
    """(T,) bool state that `on` sets, `off` clears, and that holds where neither is True; False at first."""
    last = np.maximum.accumulate(np.where(on | off, np.arange(len(on)), -1))
    return (last >= 0) & on[last]


def keep_long(mask: np.ndarray, shortest: int) -> np.ndarray:
    """(T,) mask without segments of fewer than `shortest` samples."""
    kept = np.zeros_like(mask)
    for start, end in runs(mask):
        kept[start:end] = end - start >= shortest
    return kept


def shrink(mask: np.ndarray, first: int, last: int) -> np.ndarray:
    """(T,) mask with the `first` and `last` samples taken off each segment of True, but not where it meets the mask's
    end."""
    kept = mask.copy()
    for start, end in runs(mask):
        kept[start : start + first * (start > 0)] = False
        kept[end - last * (end < len(mask)) : end] = False
    return kept
