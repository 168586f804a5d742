"""The one fixed grid that metrics on derivatives run on.

A velocity by finite differences depends on the frame rate and on noise. So every metric that differentiates low-passes
at 6 Hz with zero phase and resamples to 30 Hz first; figures then agree across frame rates for motion below 6 Hz.
The filter is gait analysis' own: Butterworth, second order, run both ways, the cut-off of each pass raised so that the
two together lose 3 dB at 6 Hz (Winter 2009, "Biomechanics and Motor Control of Human Movement", section 3.4.4.2).

Digital Butterworth filters of different sampling rates are different filters: the bilinear transform bends the
frequency axis, and at 5 Hz one for 20 fps passes 97 % where one for 120 fps passes 84 %. So the analog response itself
is applied, to the sine series of the clip, and the samples of the 30 Hz grid are read off that series.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dst
from scipy.interpolate import CubicSpline

from morphloop.motion.clip import resample_weights

GRID_HZ = 30.0
LOWPASS_HZ = 6.0
TWO_PASSES = (2**0.5 - 1) ** 0.25
"""A second-order Butterworth run twice loses 3 dB at this share of its cut-off, 0.802."""
MOST_FINE, FINE_HZ = 12, 120.0
"""The series is sampled at up to 12 times the clip's rate if that is a multiple of 30 Hz; otherwise at 120 Hz or more,
with a cubic spline between, which at 20 samples a period errs by less than 0.1 %."""


def response(frequency: np.ndarray) -> np.ndarray:
    """Share of an amplitude that the low-pass leaves at these frequencies, Hz: the analog Butterworth, both ways."""
    return 1.0 / (1.0 + (frequency * TWO_PASSES / LOWPASS_HZ) ** 4)


def _smooth(x: np.ndarray, fps: float, fine: int) -> np.ndarray:
    """Low-passed and sampled at `fine` times the rate. (T, ...) to (fine (T - 1) + 1, ...), T >= 3.

    The line from first to last sample is taken off before and put back after, so that steady motion passes unchanged;
    what is left is continued as an odd function over both ends, whose sine series the DST-I gives.
    """
    frames, steps = len(x), fine * (len(x) - 1)
    rise = x[-1] - x[0]
    ramp = (slice(None),) + (None,) * (x.ndim - 1)
    series = np.asarray(dst((x - x[0] - np.linspace(0.0, 1.0, frames)[ramp] * rise)[1:-1], type=1, axis=0))
    frequency = np.arange(1, frames - 1) * fps / (2.0 * (frames - 1))
    padded = np.zeros((steps - 1, *x.shape[1:]))
    padded[: frames - 2] = series * (response(frequency) / (2.0 * (frames - 1)))[ramp]
    smooth = np.linspace(0.0, 1.0, steps + 1)[ramp] * rise + x[0]
    smooth[1:-1] += np.asarray(dst(padded, type=1, axis=0))
    return smooth


def lowpass(x: np.ndarray, fps: float) -> np.ndarray:
    """Zero-phase low-pass at 6 Hz over time. (T, ...) to (T, ...); up to two frames pass unchanged."""
    return _smooth(x, fps, 1) if len(x) > 2 else x


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


def on_grid(x: np.ndarray, fps: float) -> np.ndarray:
    """Low-passed at 6 Hz, then resampled to 30 Hz. (T, ...) to (T', ...)."""
    return smooth_and_grid(x, fps)[1]


def smooth_and_grid(x: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Low-passed at 6 Hz, (T, ...) at its own rate and (T', ...) on the 30 Hz grid."""
    if len(x) < 3:
        return x, resample_linear(x, fps, GRID_HZ)
    fine = next((k for k in range(1, MOST_FINE + 1) if _stride(k * fps, GRID_HZ)), None)
    if fine is not None:
        smooth = _smooth(x, fps, fine)
        return smooth[::fine], smooth[:: _stride(fine * fps, GRID_HZ)]
    fine = max(1, int(np.ceil(FINE_HZ / fps)))
    smooth = _smooth(x, fps, fine)
    times = np.arange(grid_frames(len(x), fps, GRID_HZ)) / GRID_HZ
    return smooth[::fine], CubicSpline(np.arange(len(smooth)) / (fine * fps), smooth, axis=0)(times)


def between_frames(x: np.ndarray, fps: float) -> np.ndarray:
    """Unfiltered samples at the smallest multiple of the clip's rate that is 120 Hz or more. (T, C) to (T', C).

    Modified Akima interpolation (Akima 1970, J. ACM 17; weights as MATLAB's makima): a cubic through the frames that
    finds the peak of a 2 Hz sine at 20 fps to 1 %, where frames alone miss 5 %, and does not ring where a motion jumps.
    """
    fine = int(np.ceil(FINE_HZ / fps - 1e-6))
    if fine == 1 or len(x) < 3:
        return x
    slopes = _akima_slopes(x)
    dense = np.empty((fine * (len(x) - 1) + 1, x.shape[1]))
    dense[-1] = x[-1]
    rise = np.diff(x, axis=0)
    for k in range(fine):
        u = k / fine
        part = (u * u * (3 - 2 * u)) * rise
        part += (u * (1 - u) ** 2) * slopes[:-1]
        part -= (u * u * (1 - u)) * slopes[1:]
        dense[k:-1:fine] = part + x[:-1]
    return dense


def _akima_slopes(x: np.ndarray) -> np.ndarray:
    """(T, C) slope per frame at each frame of x (T, C), T >= 3."""
    step = np.empty((len(x) + 3, x.shape[1]))
    step[2:-2] = np.diff(x, axis=0)
    step[1], step[-2] = 2 * step[2] - step[3], 2 * step[-3] - step[-4]
    step[0], step[-1] = 2 * step[1] - step[2], 2 * step[-2] - step[-3]
    weight = np.abs(np.diff(step, axis=0)) + 0.5 * np.abs(step[1:] + step[:-1])
    before, after = weight[2:], weight[:-2]
    total = before + after
    slopes = before * step[1:-2] + after * step[2:-1]
    return np.divide(slopes, total, out=np.zeros_like(slopes), where=total > 0)


def velocity(x: np.ndarray) -> np.ndarray:
    """Central differences on the 30 Hz grid, one-sided at the ends, per second. (T', ...) with T' >= 2."""
    return np.gradient(x, 1.0 / GRID_HZ, axis=0)
