"""Which figures a report leads with, and which clips it shows first.

A clip is as bad as its worst fault: each key figure over the size at which the fault is plain, the largest counts. So a
list of the worst clips says of each what is wrong with it, and one scale serves batches of any kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.metrics.contact import SLIDE_FAST
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
    KeyMetric("slide_mean_mm_s", "foot slide", 1e3 * SLIDE_FAST, "slides"),
    KeyMetric("penetration_mean_mm", "penetration", 1e3 * DEEP_M, "sinks in"),
    KeyMetric("float_mean_mm", "float", 1e3 * AIRBORNE_M, "floats"),
    KeyMetric("unsupported_ratio", "unsupported", 0.05, "hangs in the air"),
    KeyMetric("jitter_rms_mm", "jitter", 5.0, "jitters"),
    KeyMetric("ground_offset_mm", "ground offset"),
    KeyMetric("jerk_mean_m_s3", "jerk"),
    KeyMetric("physdiff_phys_err_mm", "Phys-Err"),
    KeyMetric("gmd_skating_ratio", "skating ratio"),
)
"""`plain`: the thresholds of the ratios themselves; one frame in twenty for `unsupported`; for jitter twice what an
optical capture and its retargeting leave on a walk."""
BY_NAME = {metric.name: metric for metric in KEY_METRICS}


@dataclass(frozen=True)
class Ranking:
    """The clips of a variant, worst first. places: (N,) in the order of the spool's keys; score: (N,) the largest fault
    over its plain size; fault: (N,) index into KEY_METRICS of it, -1 for a clip without any."""

    places: np.ndarray
    score: np.ndarray
    fault: np.ndarray


def rank(variant: Variant) -> Ranking:
    """Clips by their worst fault; equal ones stay in order."""
    shares = np.full((len(KEY_METRICS), len(variant)), -np.inf)
    for k, metric in enumerate(KEY_METRICS):
        if metric.plain is not None:
            shares[k] = np.nan_to_num(np.abs(variant.column(metric.name)) / metric.plain, nan=-np.inf)
    worst, score = shares.argmax(axis=0), shares.max(axis=0)
    order = np.argsort(-score, kind="stable")
    return Ranking(order, score[order], np.where(np.isfinite(score), worst, -1)[order])
