"""What rounds of the loop do to a generator, over runs that differ in their seed alone.

    python benchmarks/keep_words.py --write-prompts prompts.txt
    for seed in 0 1 2; do morphloop loop run --prompts prompts.txt --rounds 3 --seed $seed --out run$seed; done
    python benchmarks/loop_rounds.py run0 run1 run2 [--json FILE]

Every figure is what the guard measured on held-out prompts of the raw generator, nothing projected: before the first
round, and after each one of the generator that goes on from it, which is the one of before where the guard rolled back.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError, write_json
from morphloop.refinement_loop.status import planned_rounds, round_folder

FIGURES = {
    "Phys-Err mm": ("metrics", "physdiff_phys_err_mm"),
    "slide mm/s": ("metrics", "slide_mean_mm_s"),
    "adherence": ("adherence",),
    "R-precision@3": ("r_precision_3",),
    "joint speed m/s": ("motion_energy",),
    "root travel m/s": ("motion_energy", "root_travel"),
    "diversity m": ("diversity",),
}
"""By their heading, where the guard's file holds them."""


@dataclass(frozen=True)
class Reading:
    """Of one generator of one run: rounds behind it, its hash, whether the guard kept the last round's, figures."""

    run: str
    round: int
    generator: str
    kept: bool
    figures: dict[str, float]


def readings(run: Path) -> list[Reading]:
    """The starting generator of a run and the one after each of its rounds; MotionError if one has no guard's file."""
    found: list[Reading] = []
    for number in range(planned_rounds(run)):
        path = round_folder(run, number) / "finetune" / "guard.json"
        if not path.exists():
            raise MotionError(f"{path}: is not there, expected a finished run with a guard")
        told = json.loads(path.read_text())
        if not found:
            found.append(_reading(run, 0, told, "start", True))
        rolled_back = told["rolled_back"]
        found.append(_reading(run, number + 1, told, "before" if rolled_back else "after", not rolled_back))
    return found


def _reading(run: Path, number: int, told: dict[str, Any], which: str, kept: bool) -> Reading:
    figures = {}
    for name, keys in FIGURES.items():
        value = told
        for key in keys:
            value = value[key]
        figures[name] = value[which]["mean"]
    return Reading(run.name, number, told["generators"][which], kept, figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    every = [readings(run) for run in args.runs]
    print(f"| after round | kept | {' | '.join(FIGURES)} |")
    print("|---|---" + "|---" * len(FIGURES) + "|")
    for number in range(min(len(own) for own in every)):
        same = [own[number] for own in every]
        cells = []
        for name in FIGURES:
            values = [one.figures[name] for one in same]
            cells.append(f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})")
        kept = f"{sum(one.kept for one in same)} of {len(same)}" if number else "-"
        print(f"| {number} | {kept} | {' | '.join(cells)} |")
    if args.json is not None:
        write_json(args.json, [[asdict(one) for one in own] for own in every])


if __name__ == "__main__":
    main()
