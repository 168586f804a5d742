"""Ground penetration, float, unsupported flight, and how smooth the motion is."""

from __future__ import annotations

import numpy as np

from .points import Points
from .signals import GRID_HZ, lowpass, runs, to_grid

DEEP_M = 0.005
AIRBORNE_M = 0.020
FIT_S = 0.15
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


def floating(lowest: np.ndarray) -> Values:
    """Mean of max(0, h) over all frames, from h(t) (T,), metres."""
    return {"float_mean_mm": float(1e3 * np.maximum(0.0, lowest).mean())}


def unsupported(points: Points) -> Values:
    """Share of frames with the lowest point over 20 mm while the centre of mass is not in free fall.

    The acceleration at a frame is that of a quadratic fitted to 0.15 s of the centre of mass around it, shifted to
    lie inside the airborne stretch, at the clip's own rate: the push-off must not leak in. A stretch shorter than
    0.15 s cannot be judged and is left out of both counts; None if no frame can be judged, or if the centre of mass
    is unknown. So a pose at rest and a ballistic jump score 0, a hover 1.
    """
    if points.com is None:
        return {"unsupported_ratio": None}
    airborne = (points.heights - points.clearance).min(axis=1) > AIRBORNE_M
    samples = max(3, int(np.ceil(FIT_S * points.fps - 1e-6)))
    judged, hanging = int((~airborne).sum()), 0
    for start, end in runs(airborne):
        if end - start < samples:
            continue
        wrong = np.linalg.norm(_fit_acceleration(points.com[start:end], points.fps, samples) - GRAVITY, axis=-1)
        window = np.clip(np.arange(end - start) - samples // 2, 0, end - start - samples)
        hanging += int((wrong[window] > FREE_FALL_ERROR).sum())
        judged += end - start
    return {"unsupported_ratio": hanging / judged if judged else None}


def _fit_acceleration(x: np.ndarray, fps: float, samples: int) -> np.ndarray:
    """(T - samples + 1, 3) second derivative of the least-squares quadratic over each window of samples."""
    times = (np.arange(samples) - (samples - 1) / 2) / fps
    kernel = 2.0 * np.linalg.pinv(np.vander(times, 3))[0]
    return np.lib.stride_tricks.sliding_window_view(x, samples, axis=0) @ kernel


def smoothness(points: Points) -> Values:
    """Mean jerk of the joints on the 30 Hz grid, and what the low-pass took away (RMS over joints and frames)."""
    smooth = lowpass(points.positions, points.fps)
    removed = points.positions - smooth
    jitter = float(1e3 * np.sqrt((removed**2).sum(axis=-1).mean())) if len(smooth) > 2 else None
    grid = to_grid(smooth, points.fps)
    jerk = None
    if len(grid) > 3:
        jerk = float(np.linalg.norm(np.diff(grid, n=3, axis=0), axis=-1).mean() * GRID_HZ**3)
    return {"jerk_mean_m_s3": jerk, "jitter_rms_mm": jitter}


def joint_speed(rotations: np.ndarray, fps: float) -> Values:
    """Largest angular speed of any joint but the root on the 30 Hz grid, from local quaternions (T, J, 4)."""
    steps = np.sign((rotations[1:] * rotations[:-1]).sum(axis=-1, keepdims=True))
    flips = np.cumprod(np.concatenate([np.ones_like(steps[:1]), np.where(steps == 0, 1.0, steps)]), axis=0)
    grid = to_grid(lowpass((rotations * flips)[:, 1:], fps), fps)
    if len(grid) < 2:
        return {"joint_speed_max_rad_s": None}
    grid = grid / np.linalg.norm(grid, axis=-1, keepdims=True)
    half = np.arcsin(np.clip(0.5 * np.linalg.norm(np.diff(grid, axis=0), axis=-1), 0.0, 1.0))
    return {"joint_speed_max_rad_s": float(4.0 * half.max() * GRID_HZ)}
