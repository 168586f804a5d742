"""Ground penetration, float, unsupported flight, and how smooth the motion is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from morphloop.base.runs import runs

from .signals import GRID_HZ, on_grid

DEEP_M = 0.005
AIRBORNE_M = 0.020
FIT_S = 0.15
FEWEST_FRAMES = 3
"""A quadratic has three coefficients."""
FREE_FALL_ERROR = 3.0
"""m/s2 that the centre of mass may differ from gravity and still count as falling."""
GRAVITY = np.array([0.0, 0.0, -9.81])

Values = dict[str, float | None]


def penetration(lowest: np.ndarray) -> Values:
    """Depth under the ground from h(t) (T,), metres: mean and largest of max(0, -h), share of frames over 5 mm."""
    depth = np.maximum(0.0, -lowest)
    return {
        "penetration_mean_mm": float(1e3 * depth.mean()),
        "penetration_max_mm": float(1e3 * depth.max()),
        "penetration_ratio": float((depth > DEEP_M).mean()),
    }


def floating(lowest: np.ndarray, clear: np.ndarray) -> Values:
    """Mean of max(0, height) over all frames: of the lowest point, h(t) (T,), and of the lowest point less its standing
    height, clear (T,); metres. The two are one on a surface; a joint that stands is over the floor by its flesh."""
    means = (float(1e3 * np.maximum(0.0, heights).mean()) for heights in (lowest, clear))
    return dict(zip(("float_mean_mm", "float_sole_mm"), means, strict=True))


def hanging(clear: np.ndarray, com: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Frames off the ground whose centre of mass is not in free fall, and the frames that could be judged.

    clear: (T,) height of the lowest point over the ground, metres; com: (T, 3) centre of mass. Returns (T,) bool twice.

    Off the ground is over 20 mm. The acceleration at a frame is that of a quadratic fitted to 0.15 s of the centre of
    mass around it, shifted to lie inside the airborne segment, at the clip's own rate: the push-off must not leak in.
    A segment shorter than 0.15 s, counted from where it crosses 20 mm between frames, or of fewer than three frames
    cannot be judged.
    """
    airborne = clear > AIRBORNE_M
    hung, judged = np.zeros(len(clear), bool), ~airborne
    wanted = max(FEWEST_FRAMES, round(FIT_S * fps) + 1)
    for start, end in runs(airborne):
        if end - start < FEWEST_FRAMES or _airtime(clear, start, end) / fps < FIT_S:
            continue
        samples = min(wanted, end - start)
        wrong = np.linalg.norm(_fit_acceleration(com[start:end], fps, samples) - GRAVITY, axis=-1)
        window = np.clip(np.arange(end - start) - samples // 2, 0, end - start - samples)
        hung[start:end] = wrong[window] > FREE_FALL_ERROR
        judged[start:end] = True
    return hung, judged


def _airtime(clear: np.ndarray, start: int, end: int) -> float:
    """Length of the segment of frames start to end - 1 over the threshold, in frames, from crossing to crossing."""
    length = float(end - 1 - start)
    for outside, inside in ((start - 1, start), (end, end - 1)):
        if 0 <= outside < len(clear):
            length += (clear[inside] - AIRBORNE_M) / (clear[inside] - clear[outside])
    return length


def unsupported(clear: np.ndarray, com: np.ndarray | None, fps: float, dense: np.ndarray) -> Values:
    """Share of the time off the ground without free fall in what can be judged; first arguments as for `hanging`.

    dense: (T',) `clear` between the frames too, at a multiple of the rate: it says how long, where a frame of the same
    segment says what. A pose at rest and a ballistic jump score 0, a hover 1. None if nothing can be judged, or without
    a centre of mass.
    """
    if com is None:
        return {"unsupported_ratio": None}
    hung, judged = hanging(clear, com, fps)
    frames, airborne = np.flatnonzero(clear > AIRBORNE_M), dense > AIRBORNE_M
    known, wrong = ~airborne, 0
    if len(frames) and airborne.any():
        fine = (len(dense) - 1) / max(1, len(clear) - 1)
        times = np.flatnonzero(airborne) / fine if fine else np.zeros(1)
        nearest = frames[np.clip(np.searchsorted(0.5 * (frames[1:] + frames[:-1]), times), 0, len(frames) - 1)]
        known[airborne] = judged[nearest] & (np.abs(nearest - times) <= 1.0)
        wrong = int((known[airborne] & hung[nearest]).sum())
    return {"unsupported_ratio": float(wrong / known.sum()) if known.any() else None}


def _fit_acceleration(x: np.ndarray, fps: float, samples: int) -> np.ndarray:
    """(T - samples + 1, 3) second derivative of the least-squares quadratic over each window of samples."""
    return np.lib.stride_tricks.sliding_window_view(x, samples, axis=0) @ (_quadratic(samples) * fps**2)


@lru_cache(maxsize=256)
def _quadratic(samples: int) -> np.ndarray:
    """(samples,) weights of the second derivative of a quadratic fitted to samples one apart."""
    return 2.0 * np.linalg.pinv(np.vander(np.arange(samples) - (samples - 1) / 2, 3))[0]


def smoothness(joints: np.ndarray, smooth: np.ndarray, grid: np.ndarray) -> Values:
    """Mean jerk of the joints on the 30 Hz grid, and what the low-pass took away (RMS over joints and frames).

    joints, smooth: (T, J, 3) before and after the low-pass; grid: (T', J, 3) the latter on the 30 Hz grid; metres.
    """
    jitter = float(1e3 * np.sqrt(((joints - smooth) ** 2).sum(axis=-1).mean())) if len(joints) > 2 else None
    jerk = None
    if len(grid) > 3:
        jerk = float(np.linalg.norm(np.diff(grid, n=3, axis=0), axis=-1).mean() * GRID_HZ**3)
    return {"jerk_mean_m_s3": jerk, "jitter_rms_mm": jitter}


def joint_speed(rotations: np.ndarray, fps: float) -> Values:
    """Largest angular speed of any joint but the root on the 30 Hz grid, from local quaternions (T, J, 4)."""
    steps = np.sign((rotations[1:] * rotations[:-1]).sum(axis=-1, keepdims=True))
    flips = np.cumprod(np.concatenate([np.ones_like(steps[:1]), np.where(steps == 0, 1.0, steps)]), axis=0)
    grid = on_grid((rotations * flips)[:, 1:], fps)
    if len(grid) < 2:
        return {"joint_speed_max_rad_s": None}
    grid = grid / np.linalg.norm(grid, axis=-1, keepdims=True)
    half = np.arcsin(np.clip(0.5 * np.linalg.norm(np.diff(grid, axis=0), axis=-1), 0.0, 1.0))
    return {"joint_speed_max_rad_s": float(4.0 * half.max() * GRID_HZ)}
