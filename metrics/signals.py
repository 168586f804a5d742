"""The one fixed grid that metrics on derivatives run on, and small helpers over boolean runs.

A velocity by finite differences depends on the frame rate and on noise. So every metric that differentiates low-passes
at 6 Hz with zero phase and resamples to 30 Hz first; figures then agree across frame rates for motion below 6 Hz.
The filter is gait analysis' own: Butterworth, second order, run both ways, the cut-off of each pass raised so that the
two together lose 3 dB at 6 Hz (Winter 2009, "Biomechanics and Motor Control of Human Movement", section 3.4.4.2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from morphloop.motion.clip import resample_weights

GRID_HZ = 30.0
LOWPASS_HZ = 6.0
TWO_PASSES = (2**0.5 - 1) ** 0.25
"""A second-order Butterworth run twice loses 3 dB at this share of its cut-off, 0.802."""
PAD_S = 1.0
"""Seconds of odd extension at both ends, long enough for the filter's transient to die."""


def lowpass(x: np.ndarray, fps: float) -> np.ndarray:
    """Zero-phase low-pass at 6 Hz over time. (T, ...) to (T, ...).

    The line from first to last sample is taken off before and put back after, so that steady motion of any length
    passes unchanged. A frame rate too low to hold anything above the cut-off passes unchanged.
    """
    frames = len(x)
    if frames < 3 or fps <= 2 * LOWPASS_HZ / TWO_PASSES:
        return x
    flat = x.reshape(frames, -1)
    line = flat[:1] + np.linspace(0.0, 1.0, frames)[:, None] * (flat[-1:] - flat[:1])
    smooth = sosfiltfilt(_filter(fps), flat - line, axis=0, padlen=min(frames - 1, int(PAD_S * fps)))
    return (smooth + line).reshape(x.shape)


@lru_cache(maxsize=32)
def _filter(fps: float) -> np.ndarray:
    return np.asarray(butter(2, LOWPASS_HZ / TWO_PASSES, fs=fps, output="sos"))


def grid_frames(frames: int, fps: float, new_fps: float) -> int:
    """How many samples at `new_fps` fit between the first and the last frame, both counted."""
    return int(np.floor((frames - 1) / fps * new_fps + 1e-6)) + 1


def _stride(fps: float, new_fps: float) -> int | None:
    stride = round(fps / new_fps)
    return stride if stride >= 1 and abs(fps - stride * new_fps) < 1e-6 * fps else None


def resample_linear(x: np.ndarray, fps: float, new_fps: float) -> np.ndarray:
    """Linear interpolation in time; the first frame stays. (T, ...) to (T', ...)."""
    stride = _stride(fps, new_fps)
    if stride:
        return x[::stride]
    low, high, weight = resample_weights(len(x), fps, grid_frames(len(x), fps, new_fps), new_fps)
    return x[low] + weight.reshape(-1, *[1] * (x.ndim - 1)) * (x[high] - x[low])


def to_grid(smooth: np.ndarray, fps: float) -> np.ndarray:
    """Low-passed samples on the 30 Hz grid, by cubic spline where no frame falls on it. (T, ...) to (T', ...)."""
    if _stride(fps, GRID_HZ) or len(smooth) < 4:
        return resample_linear(smooth, fps, GRID_HZ)
    times = np.arange(grid_frames(len(smooth), fps, GRID_HZ)) / GRID_HZ
    return CubicSpline(np.arange(len(smooth)) / fps, smooth, axis=0)(times)


def on_grid(x: np.ndarray, fps: float) -> np.ndarray:
    """Low-passed at 6 Hz, then resampled to 30 Hz. (T, ...) to (T', ...)."""
    return to_grid(lowpass(x, fps), fps)


def velocity(x: np.ndarray) -> np.ndarray:
    """Central differences on the 30 Hz grid, one-sided at the ends, per second. (T', ...) with T' >= 2."""
    return np.gradient(x, 1.0 / GRID_HZ, axis=0)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each stretch of True in a (T,) mask."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def latch(on: np.ndarray, off: np.ndarray) -> np.ndarray:
    """(T,) bool state that `on` sets, `off` clears, and that holds where neither is True; False at first."""
    last = np.maximum.accumulate(np.where(on | off, np.arange(len(on)), -1))
    return (last >= 0) & on[last]


def keep_long(mask: np.ndarray, shortest: int) -> np.ndarray:
    """(T,) mask without stretches of fewer than `shortest` samples."""
    kept = np.zeros_like(mask)
    for start, end in runs(mask):
        kept[start:end] = end - start >= shortest
    return kept


def shrink(mask: np.ndarray, first: int, last: int) -> np.ndarray:
    """(T,) mask with the `first` and `last` samples taken off each stretch of True, but not where it meets the mask's
    end."""
    kept = mask.copy()
    for start, end in runs(mask):
        kept[start : start + first * (start > 0)] = False
        kept[end - last * (end < len(mask)) : end] = False
    return kept
