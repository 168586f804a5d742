"""Which figures a report leads with, and which clips it shows first.

A clip is as bad as its faults together: each key figure over the size at which its fault is plain to see, summed. So
one scale serves batches of any kind, and the largest share says what is wrong with a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.metrics.contact import SKIM_FAST, SLIDE_FAST
from morphloop.metrics.plausibility import AIRBORNE_M, DEEP_M

from .spool import Variant


@dataclass(frozen=True)
class KeyMetric:
    """A figure that a report leads with. name: of the metric; title: in plain words; plain: the size at which the fault
    is plain to see, None for a figure that does not rank clips; fault: what such a clip does."""

    name: str
    title: str
    plain: float | None = None
    fault: str = ""


KEY_METRICS = (
    KeyMetric("slide_loaded_mm_s", "loaded slide", 1e3 * SLIDE_FAST, "slides under load"),
    KeyMetric("slide_mean_mm_s", "foot slide", 1e3 * SLIDE_FAST, "slides"),
    KeyMetric("skim_mm_s", "skim", 1e3 * SKIM_FAST, "skates over the ground"),
    KeyMetric("penetration_mean_mm", "penetration", 1e3 * DEEP_M, "sinks"),
    KeyMetric("float_mean_mm", "float", 1e3 * AIRBORNE_M, "floats"),
    KeyMetric("float_sole_mm", "float of soles"),
    KeyMetric("unsupported_ratio", "unsupported", 0.1, "hangs"),
    KeyMetric("residual_wrench_ratio", "residual wrench"),
    KeyMetric("jitter_rms_mm", "jitter", 5.0, "jitters"),
    KeyMetric("jerk_mean_m_s3", "jerk"),
    KeyMetric("self_penetration_max_mm", "self-penetration"),
    KeyMetric("ground_offset_mm", "ground offset"),
    KeyMetric("physdiff_phys_err_mm", "Phys-Err"),
    KeyMetric("gmd_skating_ratio", "skating ratio"),
)
"""`plain`: the thresholds of the ratios themselves; one frame in ten for `unsupported`; for jitter some five times what
an optical capture and its retargeting leave on a walk; for skimming twice what clean runs score."""
HEADLINES = KEY_METRICS[:8]
"""The figures that stand first and large."""


@dataclass(frozen=True)
class Ranking:
    """The clips of a variant, worst first. places: (N,) in the order of the spool's keys; score: (N,) sum of the
    faults over their plain sizes; fault: (N,) index into KEY_METRICS of the largest, -1 where none was measured."""

    places: np.ndarray
    score: np.ndarray
    fault: np.ndarray


def badness(variant: Variant) -> np.ndarray:
    """(N,) sums of each clip's faults over their plain sizes, in the order of the spool's keys."""
    return _shares(variant).sum(axis=0)


def _shares(variant: Variant) -> np.ndarray:
    """(K, N) each fault of each clip over its plain size, 0 where nothing was measured."""
    shares = np.zeros((len(KEY_METRICS), len(variant)))
    for k, metric in enumerate(KEY_METRICS):
        if metric.plain is not None:
            shares[k] = np.nan_to_num(np.abs(variant.column(metric.name)) / metric.plain)
    return shares


def rank(variant: Variant) -> Ranking:
    """Clips by their faults; equal ones stay in order."""
    shares = _shares(variant)
    score = shares.sum(axis=0)
    order = np.argsort(-score, kind="stable")
    return Ranking(order, score[order], np.where(score > 0.0, shares.argmax(axis=0), -1)[order])
