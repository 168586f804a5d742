"""Two batches clip by clip: which clips pair up, and how much the second differs from the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from morphloop.metrics.summary import Summary, summarise_values

from .evaluate import Evaluation
from .pair_times import PairTimes, apart, apart_facts

SHOWN_NAMES = 200
"""Names of unpaired clips that a result lists; their number is always told."""


@dataclass(frozen=True)
class Unpaired:
    """Clips that do not enter a comparison, by why: only in one batch, of another variant in the other, or of a name
    that a batch has twice."""

    only_a: list[str]
    only_b: list[str]
    other_variant: list[str]
    twice: list[str]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Batch `b` against batch `a`. pairs: by variant the places of the paired clips in a and in b, (N,) each, in the
    order of a; apart: pairs of other frame rates or lengths."""

    a: Evaluation
    b: Evaluation
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    unpaired: Unpaired
    apart: list[PairTimes]

    @property
    def count(self) -> int:
        """Pairs of all variants."""
        return sum(len(places) for places, _ in self.pairs.values())

    @property
    def labels(self) -> tuple[str, str]:
        """Where the two lie: their path, or how many there are."""
        label_a, label_b = (batch.paths[0] if len(batch.paths) == 1 else batch.label for batch in (self.a, self.b))
        return label_a, label_b

    def values(self, variant: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(N,) figures of one metric of the pairs in a and in b, NaN for null."""
        mine, theirs = self.pairs[variant]
        rows = self.a.rows.variants[variant], self.b.rows.variants[variant]
        return rows[0].column(name)[mine], rows[1].column(name)[theirs]

    def change(self, variant: str) -> dict[str, Summary]:
        """Paired difference b - a of each metric over the pairs where both have it, with its bootstrap interval."""
        found = {}
        for name in self.a.rows.variants[variant].names():
            before, after = self.values(variant, name)
            found[name] = summarise_values(after - before)
        return found


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Pair the clips of two batches by name and variant. A name that a batch has twice is left out and told."""
    names_a, names_b = _places(a), _places(b)
    twice = sorted({name for found in (names_a, names_b) for name, places in found.items() if len(places) > 1})
    left_out = set(twice)
    shared = [name for name in names_a if name in names_b and name not in left_out]
    places: dict[str, list[tuple[int, int]]] = {}
    other, times = [], []
    for name in shared:
        mine, theirs = names_a[name][0], names_b[name][0]
        if mine.variant == theirs.variant:
            places.setdefault(mine.variant, []).append((mine.place, theirs.place))
            times.append(PairTimes(name, (mine.fps, theirs.fps), (mine.frames, theirs.frames)))
        else:
            other.append(name)
    pairs = {variant: (np.array(found)[:, 0], np.array(found)[:, 1]) for variant, found in sorted(places.items())}
    return Comparison(
        a,
        b,
        pairs,
        Unpaired(
            only_a=[name for name in names_a if name not in names_b and name not in left_out],
            only_b=[name for name in names_b if name not in names_a and name not in left_out],
            other_variant=other,
            twice=twice,
        ),
        apart(times),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a clip stands in a batch, and how long it is."""

    variant: str
    place: int
    fps: float
    frames: int


def _places(result: Evaluation) -> dict[str, list[_Place]]:
    """By clip name: its variants and places in the order of the rows."""
    found: dict[str, list[_Place]] = {}
    for variant in result.variants:
        for place, row in enumerate(result.rows.rows(variant)):
            found.setdefault(row["name"], []).append(_Place(variant, place, row["fps"], row["frames"]))
    return found


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain JSON values: the field "compare" of the result."""
    label_a, label_b = comparison.labels
    names = vars(comparison.unpaired)
    return {
        "a": label_a,
        "b": label_b,
        "pairs": {variant: len(places[0]) for variant, places in comparison.pairs.items()},
        "change": {variant: comparison.change(variant) for variant in comparison.pairs},
        "apart": apart_facts(comparison.apart, SHOWN_NAMES),
        "unpaired": {why: {"count": len(found), "names": found[:SHOWN_NAMES]} for why, found in names.items()},
        "summary_b": {variant: comparison.b.summary(variant) for variant in comparison.b.variants},
        "failed_b": comparison.b.failed,
    }


def not_paired(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Why clips were left out, in words, with their names; reasons without a clip are not listed."""
    unpaired = comparison.unpaired
    label_a, label_b = comparison.labels
    reasons = [
        (f"only in {label_a}", unpaired.only_a),
        (f"only in {label_b}", unpaired.only_b),
        ("measured on the surface in one and on joints in the other", unpaired.other_variant),
        ("of a name that one of them has twice", unpaired.twice),
    ]
    return [(why, names) for why, names in reasons if names]
