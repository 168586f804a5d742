"""Definitions as people run them: fed the frames of a file, whatever their rate. For the defect bench alone.

Published code that counts in frames, or that has its frame rate written into it, gives another figure for the same
motion at another rate. `legacy` resamples before it applies such a definition; here it is applied as it is found. Two
shortcuts that many repositories share stand beside them. `morphloop evaluate` reports none of these.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..legacy import GMD_HZ, PFC_HZ, PHYSDIFF_HZ, edge_pfc, gmd_skating, physdiff
from ..points import Points

NAIVE_BAND_M = 0.010
"""Height under which the lowest point of the body counts as in contact for `naive_slide`."""
TIE_DIGITS = 4
"""Heights within 0.1 mm tie, and the first point wins: a sole that lies flat does not jump between its corners."""

Values = dict[str, float | None]


def as_fed(points: Points) -> Values:
    """Every definition of `AS_FED` on a motion's points over z = 0, at the motion's own rate."""
    skating, pfc = gmd_skating(replace(points, fps=GMD_HZ)), edge_pfc(replace(points, fps=PFC_HZ))
    return {
        "physdiff_skate_mm as fed": physdiff(replace(points, fps=PHYSDIFF_HZ))["physdiff_skate_mm"],
        "gmd_skating_ratio as fed": skating["gmd_skating_ratio"],
        "edge_pfc as fed": pfc["edge_pfc"],
        "raw jerk": raw_jerk(points.positions, points.fps),
        "naive slide": naive_slide(points),
    }


def raw_jerk(positions: np.ndarray, fps: float) -> float | None:
    """Mean size of the third difference of joint positions (T, J, 3) times fps cubed, m/s3, nothing filtered (Flash and
    Hogan 1985; the "jitter" of TransPose and its followers). None under four frames."""
    if len(positions) < 4:
        return None
    return float(np.linalg.norm(np.diff(positions, n=3, axis=0), axis=-1).mean() * fps**3)


def naive_slide(points: Points) -> float | None:
    """Mean horizontal speed, mm/s, from a frame's lowest point to the next frame's, where both are under 10 mm.

    Not the speed of any point of the body: where the lowest point changes from one foot to the other, or along a
    sole, the jump counts. None where no two frames are in contact.
    """
    which, frames = points.heights.round(TIE_DIGITS).argmin(axis=1), np.arange(points.num_frames)
    low = points.lowest < NAIVE_BAND_M
    both = low[1:] & low[:-1]
    if not both.any():
        return None
    joint = points.joint[which]
    place = points.positions[frames, joint, :2]
    if points.matrices is not None:
        place = place + np.einsum("tij,tj->ti", points.matrices[frames, joint, :2], points.local[which])
    speed = np.linalg.norm(np.diff(place, axis=0), axis=-1) * points.fps
    return float(1e3 * speed[both].mean())


AS_FED: dict[str, tuple[str, str]] = {
    "physdiff_skate_mm as fed": ("mm/frame", "PhysDiff's skate, counted by the file's frames"),
    "gmd_skating_ratio as fed": ("", "GMD's code, its 20 fps written in"),
    "edge_pfc as fed": ("", "EDGE's code, its 30 fps written in"),
    "raw jerk": ("m/s3", "third difference of the file's frames times fps cubed"),
    "naive slide": ("mm/s", "frame to frame, from lowest point to lowest point under 10 mm"),
}
"""Unit and definition by name."""
