"""The guard: does fine-tuning on what physics did make the raw generator better, on prompts that it never saw?

The generators before and after fine-tuning answer the same held-out prompts with the same seeds; nothing is projected.
Each metric's change is bootstrapped in pairs. The rule: roll back if the interval of the change of Phys-Err lies above
zero, which is to say that the raw motion became physically worse beyond chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from morphloop.generator import Generator, Seconds
from morphloop.metrics import measure, paired_difference, summarise
from morphloop.motion import make_corpus

from .records import finite

GUARD_METRICS = (
    "physdiff_phys_err_mm",
    "physdiff_penetrate_mm",
    "physdiff_float_mm",
    "physdiff_skate_mm",
    "slide_mean_mm_s",
    "penetration_mean_mm",
    "unsupported_ratio",
    "jitter_rms_mm",
)
DECISIVE = "physdiff_phys_err_mm"
CAPTIONS = 3
"""Captions that a corpus clip has."""
BATCH = 16
"""Prompts that are generated at a time, so that progress can be told."""


def held_out_prompts(count: int, seed: int, known: Collection[str]) -> tuple[str, ...]:
    """Different captions of the corpus's test split, whose motion trained nothing, none of them among `known`."""
    clips = make_corpus(count, seed, "test")
    captions = [clip.texts[place] for place in range(CAPTIONS) for clip in clips]
    return tuple(text for text in dict.fromkeys(captions) if text not in known)[:count]


def compare_generators(
    before: Generator,
    after: Generator,
    count: int,
    seed: int,
    seconds: Seconds,
    known: Collection[str],
    tick: Callable[[int, int], None],
) -> dict[str, Any]:
    """Raw motion of two generators on the same `count` held-out prompts and seeds; `known` are the run's own prompts.

    Returns {"prompts", "metrics": {name: {"before", "after", "change"}} (each mean, median, ci95), "rolled_back",
    "rule", "clips": [{"prompt", "before", "after"}]}; a metric that is null on either side leaves that pair out.
    """
    prompts = held_out_prompts(count, seed, known)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        sides = [_raw_metrics(generator, batch, seed + start, seconds) for generator in (before, after)]
        rows += [{"prompt": p, "before": b, "after": a} for p, b, a in zip(batch, *sides, strict=True)]
        tick(len(rows), len(prompts))
    old, new = [row["before"] for row in rows], [row["after"] for row in rows]
    sides = {"before": summarise(old, seed), "after": summarise(new, seed), "change": paired_difference(old, new, seed)}
    metrics = {name: {side: table[name] for side, table in sides.items()} for name in GUARD_METRICS}
    decisive = metrics[DECISIVE]["change"]["ci95"]
    return {
        "prompts": len(prompts),
        "metrics": metrics,
        "rolled_back": decisive is not None and decisive[0] > 0.0,
        "rule": f"roll back if the 95 % interval of the change of {DECISIVE} lies above 0",
        "clips": rows,
    }


def _raw_metrics(
    generator: Generator, prompts: tuple[str, ...], seed: int, seconds: Seconds
) -> list[dict[str, float | None]]:
    measured = [measure(clip).values for clip in generator.generate(prompts, seed, seconds)]
    return [{name: finite(values[name]) for name in GUARD_METRICS} for values in measured]
