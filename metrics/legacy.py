"""Metrics of other papers under their own definitions, so that tables can be compared; each at the rate it assumes.

They see the motion unfiltered, linearly resampled to that rate by the caller. Where a paper leaves something open the
choice is written here.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from .points import Points

PHYSDIFF_HZ = 30.0
PHYSDIFF_TOLERANCE = 0.005

GMD_HZ = 20.0
GMD_HEIGHT = 0.05
GMD_SPEED = 0.50
GMD_WINDOW = 5

PFC_HZ = 30.0
PFC_SCALE = 10_000.0

Values = dict[str, float | None]


def physdiff(points: Points) -> Values:
    """PhysDiff's physics errors (Yuan et al., arXiv 2212.02500; its code was never released), at 30 fps.

    With h(t) the height of the lowest point, eps = 5 mm and T frames:
        penetrate = mean over t of max(0, -h(t) - eps)          float = mean over t of max(0, h(t) - eps)
        skate = mean over t = 0 .. T-2 of c(t) d(t)             phys_err = penetrate + float + skate
    where p is the lowest point at t, d(t) its horizontal displacement from t to t+1, and c(t) is 1 if p is at most eps
    high at t and at t+1, else 0. Millimetres; skate is mm per frame of 1/30 s. Means run over all frames, contact or
    not. The tolerance is subtracted, as CLoSD's evaluation does. Skate is None for a single frame.
    """
    lowest = points.lowest
    penetrate = float(1e3 * np.maximum(0.0, -lowest - PHYSDIFF_TOLERANCE).mean())
    float_ = float(1e3 * np.maximum(0.0, lowest - PHYSDIFF_TOLERANCE).mean())
    if points.num_frames < 2:
        skate = total = None
    else:
        skate = float(1e3 * _lowest_displacement(points).mean())
        total = penetrate + float_ + skate
    return {
        "physdiff_penetrate_mm": penetrate,
        "physdiff_float_mm": float_,
        "physdiff_skate_mm": skate,
        "physdiff_phys_err_mm": total,
    }


def _lowest_displacement(points: Points) -> np.ndarray:
    """(T - 1,) c(t) d(t) of `physdiff`, metres."""
    which = points.heights[:-1].argmin(axis=1)
    frames = np.arange(len(which))
    low = (points.heights[frames, which] <= PHYSDIFF_TOLERANCE) & (
        points.heights[frames + 1, which] <= PHYSDIFF_TOLERANCE
    )
    ever, column = np.unique(which, return_inverse=True)
    centres = points.track(ever)[..., :2]
    return low * np.linalg.norm(centres[frames + 1, column] - centres[frames, column], axis=-1)


def gmd_skating(points: Points) -> Values:
    """Skating ratio of GMD (Karunratanakul et al., arXiv 2305.12577), as OmniControl and CLoSD use it, at 20 fps.

    A step from t to t+1 skates if a toe joint is under 0.05 m at both ends and its horizontal speed is over 0.5 m/s
    both at once and as the mean over 5 steps (zeros beyond the ends); either foot counts; share of the T - 1 steps.
    """
    feet = points.joints("left_foot", "right_foot")
    if feet is None or points.num_frames < 2:
        return {"gmd_skating_ratio": None}
    toes = points.positions[:, feet]
    speed = np.linalg.norm(np.diff(toes[..., :2], axis=0), axis=-1) * GMD_HZ
    smooth = uniform_filter1d(speed, size=GMD_WINDOW, axis=0, mode="constant")
    low = (toes[:-1, :, 2] < GMD_HEIGHT) & (toes[1:, :, 2] < GMD_HEIGHT)
    skating = (low & (speed > GMD_SPEED) & (smooth > GMD_SPEED)).any(axis=1)
    return {"gmd_skating_ratio": float(skating.mean())}


def edge_pfc(points: Points) -> Values:
    """Physical foot contact score of EDGE (Tseng et al., arXiv 2211.10658), at 30 fps, times 10,000 as printed there.

    Root acceleration with its upward part clamped to at least 0, its norm over the clip's largest; times the smaller
    of ankle and toe displacement per frame (metres) of the left foot, times that of the right; mean over frames.
    None where the root never accelerates: the scale would be 0 over 0.
    """
    feet = points.joints("left_ankle", "left_foot", "right_ankle", "right_foot")
    if feet is None or points.num_frames < 3:
        return {"edge_pfc": None}
    acceleration = np.diff(points.positions[:, 0], n=2, axis=0) * PFC_HZ**2
    acceleration[:, 2] = np.maximum(acceleration[:, 2], 0.0)
    size = np.linalg.norm(acceleration, axis=-1)
    if size.max() < 1e-9:
        return {"edge_pfc": None}
    moved = np.linalg.norm(np.diff(points.positions[1:, feet, :2], axis=0), axis=-1)
    left, right = moved[:, :2].min(axis=1), moved[:, 2:].min(axis=1)
    return {"edge_pfc": float(PFC_SCALE * (left * right * size / size.max()).mean())}
