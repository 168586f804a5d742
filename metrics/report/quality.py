"""Which clips of a data set are worth training on: `evaluate --rank`.

`quality` is ours: 100 for a clip without a fault, 50 where its faults together are as large as one that is plain to
see, by the sizes that `worst` has. Beside it stands LIMMT's score as published (`metrics/limmt.py`), which forgives
what is small: 10 mm of depth, 50 mm of float, 0.1 m/s of slide. LIMMT chose clips by variety too; no score does here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from morphloop.metrics import limmt
from morphloop.metrics.registry import METRICS

from ..config import RankingConfig
from .evaluate import Evaluation
from .spool import Variant
from .worst import KEY_METRICS

PLAIN = {metric.name: metric.plain for metric in KEY_METRICS if metric.plain is not None}
FAULTS = {
    "slide_mean_mm_s": PLAIN["slide_mean_mm_s"],
    "skim_mm_s": PLAIN["skim_mm_s"],
    "penetration_mean_mm": PLAIN["penetration_mean_mm"],
    "float_sole_mm": PLAIN["float_mean_mm"],
    "unsupported_ratio": PLAIN["unsupported_ratio"],
    "jitter_rms_mm": PLAIN["jitter_rms_mm"],
    "joint_limit_ratio": 0.1,
    "self_penetration_max_mm": 50.0,
}
"""Metrics that quality is made of, each with the size at which its fault is plain to see: that of the list of the worst
clips; one frame in ten for joints beyond their range; of limbs in one another more than clean captures do on our body,
10 to 30 mm, where capsules stand for flesh."""
NEEDED = "float_sole_mm"
"""Without it nothing is known of the ground, and so no quality."""
SCORES = {"quality": "quality", "limmt": "limmt_score"}
"""What the scores are called, by what `--rank-by` calls them."""


@dataclass(frozen=True)
class Ranked:
    """The clips of a variant, best first. names, paths: of each; quality, limmt: (N,) NaN where unknown; drop: (N,)
    bool; unknown: names of clips without the score, which are neither ranked nor dropped."""

    names: list[str]
    paths: list[str]
    quality: np.ndarray
    limmt: np.ndarray
    drop: np.ndarray
    unknown: list[str]


def quality(variant: Variant) -> np.ndarray:
    """(N,) quality of the clips of a variant in the order of their keys, NaN where the ground is unknown."""
    faults = sum(np.nan_to_num(np.abs(variant.column(name)) / plain) for name, plain in FAULTS.items())
    return np.where(np.isnan(variant.column(NEEDED)), np.nan, 100.0 / (1.0 + faults))


def formulas() -> dict[str, str]:
    """Both scores as they are computed."""
    faults = " + ".join(f"{name} / {plain:g}{f' {METRICS[name].unit}'.rstrip()}" for name, plain in FAULTS.items())
    costs = " + ".join(f"{weight:g} x {name}" for name, weight in limmt.WEIGHTS.items())
    return {
        "quality": f"100 / (1 + {faults}); what a clip does not have counts 0",
        "limmt_score": f"max(0, 100 - ({costs})); " + "; ".join(f"{n}: {d}" for n, d in limmt.DEFINITIONS.items()),
    }


def drop_rule(config: RankingConfig) -> str:
    """What is dropped, in words."""
    name = SCORES[config.rank_by]
    if config.drop_under is not None:
        return f"clips of {name} under {config.drop_under:g} (--drop-under)"
    return f"the {100 * config.drop_share:g} % of clips lowest by {name} (--drop-share)"


def rank_clips(result: Evaluation, config: RankingConfig) -> dict[str, Ranked]:
    """The clips of each variant, best first, and which to drop; equal ones stay in order. Variants do not compare, so
    each has an order, and a share, of its own."""
    ranked = {}
    for name in result.variants:
        variant = result.rows.variants[name]
        scores = {"quality": quality(variant), "limmt": variant.column("limmt_score")}
        score = scores[config.rank_by]
        rows = [(row["name"], row["path"]) for row in result.rows.rows(name)]
        order = np.argsort(-score, kind="stable")[: int((~np.isnan(score)).sum())]
        count = len(order)
        last = np.arange(count) >= count - round(config.drop_share * count)
        low = last if config.drop_under is None else score[order] < config.drop_under
        ranked[name] = Ranked(
            names=[rows[place][0] for place in order],
            paths=[rows[place][1] for place in order],
            quality=scores["quality"][order],
            limmt=scores["limmt"][order],
            drop=low,
            unknown=[rows[place][0] for place in np.flatnonzero(np.isnan(score))],
        )
    return ranked


def dropped(ranked: dict[str, Ranked]) -> list[str]:
    """What to drop, worst first: the names of clips, for one that several clips have the path."""
    taken = Counter(name for found in ranked.values() for name in (*found.names, *found.unknown))
    return [
        found.paths[place] if taken[found.names[place]] > 1 else found.names[place]
        for found in ranked.values()
        for place in np.flatnonzero(found.drop)[::-1]
    ]


def ranking_facts(ranked: dict[str, Ranked], config: RankingConfig) -> dict[str, Any]:
    """A ranking as plain JSON values."""
    return {
        "by": SCORES[config.rank_by],
        "formulas": formulas(),
        "dropped": drop_rule(config),
        "variants": {
            variant: [
                {
                    "name": found.names[place],
                    "path": found.paths[place],
                    "quality": _number(found.quality[place]),
                    "limmt_score": _number(found.limmt[place]),
                    "drop": bool(found.drop[place]),
                }
                for place in range(len(found.names))
            ]
            for variant, found in ranked.items()
        },
        "unknown": {variant: found.unknown for variant, found in ranked.items() if found.unknown},
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
