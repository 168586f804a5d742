"""What clean motion scores, to set a figure beside: no real motion reads zero on every metric.

Medians over 24 optically captured walks (Bandai Namco Research Motiondataset 2, walk_normal, CC BY-NC 4.0; figures
only, no clip is shipped), retargeted by `motion.to_default` and measured with ground `robust`. The other control, the
frozen pose, is made from the clip at hand: `frozen_pose`. The medians of the surface variant come back from
`morphloop evaluate dataset-2_walk_normal_*.bvh --ground robust`; those of the joints variant from the same clips' first
22 joints.
"""

from __future__ import annotations

CLEAN_WALK_NAME = "clean mocap walk"
CLEAN_WALK: dict[str, dict[str, float]] = {
    "surface": {
        "penetration_mean_mm": 0.01,
        "penetration_max_mm": 0.6,
        "penetration_ratio": 0.0,
        "float_mean_mm": 2.6,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 14.0,
        "slide_ratio": 0.05,
        "jerk_mean_m_s3": 82.0,
        "jitter_rms_mm": 1.0,
        "joint_speed_max_rad_s": 7.2,
        "physdiff_penetrate_mm": 0.0,
        "physdiff_float_mm": 0.4,
        "physdiff_skate_mm": 0.6,
        "physdiff_phys_err_mm": 1.0,
        "gmd_skating_ratio": 0.0,
        "edge_pfc": 0.17,
    },
    "joints": {
        "penetration_mean_mm": 0.0,
        "penetration_max_mm": 0.5,
        "penetration_ratio": 0.0,
        "float_mean_mm": 2.2,
        "unsupported_ratio": 0.0,
        "slide_mean_mm_s": 74.0,
        "slide_ratio": 0.11,
        "jerk_mean_m_s3": 82.0,
        "jitter_rms_mm": 1.0,
        "physdiff_penetrate_mm": 0.0,
        "physdiff_float_mm": 0.4,
        "physdiff_skate_mm": 0.6,
        "physdiff_phys_err_mm": 1.0,
        "gmd_skating_ratio": 0.2,
        "edge_pfc": 0.17,
    },
}
"""By variant and metric name."""
