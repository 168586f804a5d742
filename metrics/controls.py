"""What clean motion scores, to set a figure beside: no real motion reads zero on every metric.

Medians over 24 optically captured walks (Bandai Namco Research Motiondataset 2, walk_normal, CC BY-NC 4.0; figures
only, no clip is shipped), retargeted by `motion.to_default` and measured with ground `robust`. Joints are those clips'
first 22, once with the lowest of them on the ground, as generators have it, and once with the soles there, as captures
do: what floats by one is the flesh under the joints of the other. `clean_walk` makes the figures, and a test makes them
anew where the data is. The other control, the frozen pose, is made from the clip at hand: `frozen_pose`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack

from .clip_context import context
from .measurement import measure

DIGITS = 2
"""Significant digits that the table keeps."""


SOLES = "joints, soles at 0"
"""Key of the control for joints over a ground that the soles stand on."""
FLOOR_BETWEEN_M = 0.0125
"""Joints whose ground offset is over this stand on their soles: half of what toe joints are over them, 25 mm."""


def clean_walk(clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Medians over clean clips on the default skeleton, by key of `CLEAN_WALK` and metric; without metrics that some
    clip lacks."""
    on_soles = [clip.moved(np.array([0.0, 0.0, -_offset(clip)])) for clip in clips]
    motions = {
        "surface": [(clip, CLEAN_WALK_GROUND) for clip in clips],
        "joints": [(_joints(clip), CLEAN_WALK_GROUND) for clip in clips],
        SOLES: [(_joints(clip), "as-is") for clip in on_soles],
    }
    found = {}
    for key, seen in motions.items():
        rows = [measure(motion, ground=ground).values for motion, ground in seen]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        medians = {n: np.median([v for v in c if v is not None]) for n, c in columns.items() if None not in c}
        found[key] = {name: float(f"{median:.{DIGITS}g}") for name, median in medians.items()}
    return found


def _offset(clip: Clip) -> float:
    """Metres that the clip's soles stand over z = 0."""
    return context(clip, ground=CLEAN_WALK_GROUND).offset


def _joints(clip: Clip) -> JointTrack:
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, : len(HUMANML3D_JOINTS)])


def control_of(variant: str, ground: str, offset_mm: float) -> str:
    """The key of `CLEAN_WALK` that clips of a variant stand beside. offset_mm: `ground_offset_mm` of theirs as the file
    has them, which tells whether joints stand on the soles or on the lowest of themselves."""
    soles = variant == "joints" and ground == "as-is" and offset_mm > 1e3 * FLOOR_BETWEEN_M
    return SOLES if soles else variant


CLEAN_WALK_NAME = "clean mocap walk"
CLEAN_WALK_GROUND = "robust"
CLEAN_WALK_FLOOR = {"surface": "ground robust", "joints": "lowest joint at 0", SOLES: "soles at 0"}
"""In words, where each control has its ground."""
CLEAN_WALK: dict[str, dict[str, float]] = {
    "surface": {
        "penetration_mean_mm": 0.011,
        "penetration_max_mm": 0.66,
        "penetration_ratio": 0.0,
        "float_mean_mm": 2.4,
        "float_sole_mm": 2.4,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 22.0,
        "slide_ratio": 0.1,
        "skim_mm_s": 3.6,
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
        "float_sole_mm": 0.59,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 14.0,
        "slide_ratio": 0.018,
        "skim_mm_s": 5.6,
        "jerk_mean_m_s3": 81.0,
        "jitter_rms_mm": 1.1,
        "physdiff_penetrate_mm": 0.0,
        "physdiff_float_mm": 0.37,
        "physdiff_skate_mm": 0.62,
        "physdiff_phys_err_mm": 0.98,
        "gmd_skating_ratio": 0.19,
        "edge_pfc": 0.17,
    },
    SOLES: {
        "penetration_mean_mm": 0.0,
        "penetration_max_mm": 0.0,
        "penetration_ratio": 0.0,
        "float_mean_mm": 31.0,
        "float_sole_mm": 0.71,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 14.0,
        "slide_ratio": 0.018,
        "skim_mm_s": 5.6,
        "jerk_mean_m_s3": 81.0,
        "jitter_rms_mm": 1.1,
        "physdiff_penetrate_mm": 0.0,
        "physdiff_float_mm": 26.0,
        "physdiff_skate_mm": 0.0,
        "physdiff_phys_err_mm": 26.0,
        "gmd_skating_ratio": 0.014,
        "edge_pfc": 0.17,
    },
}
"""By variant, joints once for each ground, and metric name."""
