"""What is asked of the imitator on the four sets, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clip_sets import SETS

from morphloop.imitator.bench.table import CELLS, OVER, TITLES, Figures, written


@dataclass(frozen=True)
class Aim:
    """What is asked of a cell. least: whether the value must reach the bound, else stay under it; bounds: by
    (column, set); over: which clips it is asked of."""

    cell: str
    least: bool
    bounds: dict[tuple[str, str], float]
    over: tuple[str, ...] = OVER

    def met(self, value: float | None, bound: float) -> bool:
        """Whether a value is as it should be; none is not."""
        return value is not None and (value >= bound if self.least else value <= bound)


def _everywhere(bound: float) -> dict[tuple[str, str], float]:
    return {(column, letter): bound for column in ("policy", "auto") for letter in SETS}


AIMS = (
    Aim(
        "success",
        True,
        {("policy", s): bound for s, bound in zip(SETS, (0.95, 0.85, 0.80, 0.85), strict=True)}
        | {("auto", s): bound for s, bound in zip(SETS, (0.98, 0.95, 0.93, 0.95), strict=True)},
        ("all",),
    ),
    Aim("skill_mean", True, _everywhere(0.75)),
    Aim("e_mpjpe_mm", False, _everywhere(45.0), ("successes",)),
    Aim("physdiff_penetrate_mm_after", False, _everywhere(0.05)),
    Aim("physdiff_float_mm_after", False, _everywhere(3.0)),
    Aim("physdiff_skate_mm_after", False, _everywhere(0.3)),
    Aim("slide_after_over_before", False, _everywhere(0.25)),
)


@dataclass(frozen=True)
class Verdict:
    """What became of an aim in a set, a column, over some of its clips."""

    set: str
    column: str
    over: str
    cell: str
    least: bool
    aim: float
    value: float | None
    met: bool


def verdicts(letter: str, column: str, cells: dict[str, Figures]) -> list[Verdict]:
    """Every aim of a column of a set, met or missed."""
    return [
        Verdict(letter, column, over, aim.cell, aim.least, bound, value, aim.met(value, bound))
        for aim in AIMS
        if (bound := aim.bounds.get((column, letter))) is not None
        for over in aim.over
        for value in [cells[over][aim.cell]]
    ]


def all_verdicts(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The verdicts on everything that `result` told, as plain JSON values."""
    return [
        vars(verdict)
        for letter, part in told["sets"].items()
        for column, cells in part["columns"].items()
        for verdict in verdicts(letter, column, cells)
    ]


def page(told: dict[str, Any]) -> str:
    """Each aim with the value of every set beside it, in Markdown; empty if none was asked."""
    rows = []
    asked = {(v["column"], v["cell"], v["over"]) for v in told["aims"]}
    order = [(c, aim.cell, over) for c in ("policy", "auto") for aim in AIMS for over in aim.over]
    letters = list(told["sets"])
    for column, cell, over in (key for key in order if key in asked):
        found = {v["set"]: v for v in told["aims"] if (v["column"], v["cell"], v["over"]) == (column, cell, over)}
        values = " | ".join(_verdict(cell, found[letter]) for letter in letters)
        rows.append(f"| {TITLES[column]} | {CELLS[cell][0]} | {over} | {values} |")
    if not rows:
        return ""
    met = sum(v["met"] for v in told["aims"])
    head = f"| column | figure | over | {' | '.join(letters)} |\n|---|---|---|" + "---|" * len(letters)
    return f"## Aims\n\n{met} of {len(told['aims'])} met.\n\n{head}\n" + "\n".join(rows)


def _verdict(cell: str, verdict: dict[str, Any]) -> str:
    bound = f"{'>=' if verdict['least'] else '<='} {written(cell, verdict['aim'])}"
    return f"{written(cell, verdict['value'])} ({bound}: {'met' if verdict['met'] else '**missed**'})"
