"""What clean motion scores, to set a figure beside: no real motion reads zero on every metric.

Medians over 24 optically captured walks (Bandai Namco Research Motiondataset 2, walk_normal, CC BY-NC 4.0; figures
only, no clip is shipped), retargeted by `motion.to_default` and measured with ground `robust`; joints are those clips'
first 22. `clean_walk` makes the figures, and a test makes them anew where the data is. The other control, the frozen
pose, is made from the clip at hand: `frozen_pose`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack

from .measure import measure

DIGITS = 2
"""Significant digits that the table keeps."""


def clean_walk(clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Medians over clean clips on the default skeleton, by variant and metric; without metrics that some clip lacks."""
    joints = [JointTrack(c.fps, HUMANML3D_JOINTS, c.positions[:, : len(HUMANML3D_JOINTS)]) for c in clips]
    found = {}
    for variant, motions in (("surface", clips), ("joints", joints)):
        rows = [measure(motion, ground=CLEAN_WALK_GROUND).values for motion in motions]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        medians = {n: np.median([v for v in c if v is not None]) for n, c in columns.items() if None not in c}
        found[variant] = {name: float(f"{median:.{DIGITS}g}") for name, median in medians.items()}
    return found


CLEAN_WALK_NAME = "clean mocap walk"
CLEAN_WALK_GROUND = "robust"
CLEAN_WALK: dict[str, dict[str, float]] = {
    "surface": {
        "penetration_mean_mm": 0.011,
        "penetration_max_mm": 0.66,
        "penetration_ratio": 0.0,
        "float_mean_mm": 2.4,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 22.0,
        "slide_ratio": 0.1,
        "jerk_mean_m_s3": 82.0,
        "jitter_rms_mm": 1.1,
        "physdiff_penetrate_mm": 0.0,
        "physdiff_float_mm": 0.032,
        "physdiff_skate_mm": 0.55,
        "physdiff_phys_err_mm": 0.58,
        "gmd_skating_ratio": 0.014,
        "edge_pfc": 0.17,
        "joint_speed_max_rad_s": 7.1,
        "self_penetration_max_mm": 1.3,
        "joint_limit_ratio": 0.0,
        "residual_wrench_ratio": 0.011,
        "residual_force_ratio": 0.005,
        "residual_moment_ratio": 0.0093,
    },
    "joints": {
        "penetration_mean_mm": 0.0023,
        "penetration_max_mm": 0.5,
        "penetration_ratio": 0.0,
        "float_mean_mm": 2.4,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 14.0,
        "slide_ratio": 0.018,
        "jerk_mean_m_s3": 81.0,
        "jitter_rms_mm": 1.1,
        "physdiff_penetrate_mm": 0.0,
        "physdiff_float_mm": 0.37,
        "physdiff_skate_mm": 0.62,
        "physdiff_phys_err_mm": 0.98,
        "gmd_skating_ratio": 0.19,
        "edge_pfc": 0.17,
    },
}
"""By variant and metric name."""
