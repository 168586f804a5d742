"""The figures of the imitator's bench: cells of every set and column, and the page in Markdown.

Means are over clips. A clip that failed has its figures up to there; a clip that has no value is left out of that
mean (success counts every clip). A ratio of means is over clips that have both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from morphloop.base.still_valid import hash_code
from morphloop.metrics import bootstrap_mean
from morphloop.motion import Clip

from .bench import CODE, CONTROL, FORCES, PHYSICS, BenchRun, Row
from .config import Column
from .sets import MOVING_M, BenchSet

Figures = dict[str, Any]
OVER = ("all", "successes")
TITLES = {"no_network": "no network", "policy": "policy alone", "auto": "as `project` comes"}


CELLS: dict[str, tuple[str, Callable[[float], str]]] = {
    "clips": ("clips", lambda v: f"{v:.0f}"),
    "success": ("success", lambda v: f"{100 * v:.1f} %"),
    "success_strict": ("success_strict", lambda v: f"{100 * v:.1f} %"),
    "skill_mean": ("skill, mean", lambda v: f"{v:.2f}"),
    "skill_median": ("skill, median", lambda v: f"{v:.2f}"),
    "e_mpjpe_mm": ("E_mpjpe of successes, mm", lambda v: f"{v:.1f}"),
    "reached": ("share of the clip reached", lambda v: f"{100 * v:.0f} %"),
    **{
        f"{metric}_{when}": (f"{title} {when}, {unit}".rstrip(", "), lambda v, d=digits: f"{v:.{d}f}")
        for metric, title, unit, digits in (
            ("physdiff_penetrate_mm", "Penetrate", "mm", 3),
            ("physdiff_float_mm", "Float", "mm", 2),
            ("physdiff_skate_mm", "Skate", "mm", 3),
            ("physdiff_phys_err_mm", "Phys-Err", "mm", 2),
            ("slide_mean_mm_s", "slide_mean_mm_s", "", 1),
            ("unsupported_ratio", "unsupported_ratio", "", 4),
        )
        for when in ("before", "after")
    },
    "slide_loaded_mm_s_after": ("slide_loaded_mm_s after", lambda v: f"{v:.1f}"),
    "slide_loaded_mm_s_after_median": ("slide_loaded_mm_s after, median", lambda v: f"{v:.1f}"),
    "restep_per_s_after": ("restep_per_s after", lambda v: f"{v:.2f}"),
    "restep_mm_after": ("restep_mm after", lambda v: f"{v:.0f}"),
    "slide_after_over_before": ("slide_mean_mm_s after / before", lambda v: f"{v:.2f}"),
    "optimised": ("made by the trajectory optimiser", lambda v: f"{100 * v:.0f} %"),
    "seconds_per_second": ("seconds for a second", lambda v: f"{v:.2f}"),
}
"""Title of each cell and how its value is written, in the page's order."""


def figures(rows: Sequence[Row], controls: Sequence[Row]) -> Figures:
    """Cells of rows and the control rows of the same clips."""
    tracking, after = [row["tracking"] for row in rows], [row["after"] for row in rows]
    before = [control["before"] for control in controls]
    won = [t.get("success") or 0.0 for t in tracking]
    skill = _known(t.get("skill") for t in tracking)
    cells: Figures = {
        "clips": len(rows),
        "success": _mean(won),
        "success_ci95": list(bootstrap_mean(np.array(won))) if len(won) > 1 else None,
        "success_strict": _mean([t.get("success_strict") or 0.0 for t in tracking]),
        "skill_mean": _mean(skill),
        "skill_median": float(np.median(skill)) if skill else None,
        "e_mpjpe_mm": _mean(_known(t["e_mpjpe_mm"] for t in tracking if t.get("success"))),
    }
    for name in PHYSICS:
        cells[f"{name}_before"] = _mean(_known(b.get(name) for b in before))
        cells[f"{name}_after"] = _mean(_known(a.get(name) for a in after))
    for name in FORCES:
        cells[f"{name}_after"] = _mean(_known(a.get(name) for a in after))
    loaded = _known(a.get("slide_loaded_mm_s") for a in after)
    cells["slide_loaded_mm_s_after_median"] = float(np.median(loaded)) if loaded else None
    cells["slide_after_over_before"] = _ratio(after, before, "slide_mean_mm_s")
    if rows and all("wall_s" in row for row in rows):
        cells["reached"] = _mean([row["reached"] for row in rows])
        cells["optimised"] = _mean([float(row["projector"] == "optimiser") for row in rows])
        cells["seconds_per_second"] = sum(r["wall_s"] for r in rows) / max(sum(r["seconds"] for r in rows), 1e-9)
    return cells


def _known(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _ratio(after: Sequence[Row], before: Sequence[Row], name: str) -> float | None:
    """Mean after over mean before, of clips that have both; None without any, or where before is nothing."""
    pairs = [(a[name], b[name]) for a, b in zip(after, before, strict=True) if a.get(name) is not None]
    pairs = [(a, b) for a, b in pairs if b is not None]
    below = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / below if below > 0 else None


def column_figures(run: BenchRun, found: BenchSet, column: Column) -> dict[str, Figures]:
    """Cells of a column over all clips of a set and over its successes."""
    clips = run.clips(found, column)
    pairs = [(run.rows[clip.id, column], run.rows[clip.id, CONTROL]) for clip in clips]
    won = [pair for pair in pairs if pair[0]["tracking"].get("success")]
    whole, good = (figures([r for r, _ in some], [c for _, c in some]) for some in (pairs, won))
    return {"all": whole, "successes": good | {"success_ci95": None}}


def frozen_figures(run: BenchRun, clips: Sequence[Clip]) -> Figures:
    """Cells of the frozen pose: what doing nothing scores."""
    controls = [run.rows[clip.id, CONTROL] for clip in clips]
    return figures([control["frozen"] for control in controls], controls)


def result(run: BenchRun) -> dict[str, Any]:
    """All figures as plain JSON values."""
    sets: dict[str, Any] = {}
    for found in run.sets:
        columns = {column: column_figures(run, found, column) for column in run.config.columns}
        whole = run.clips(found, run.config.columns[0]) if run.config.columns else []
        sets[found.name] = {
            "title": found.title,
            "clips": len(found.clips),
            "seconds": sum(clip.duration for clip in whole),
            "static": list(found.static),
            "unreadable": found.failed,
            "cut": [clip.name for clip in found.clips if clip.duration > run.config.seconds + 0.5 / clip.fps],
            "frozen": frozen_figures(run, whole),
            "columns": columns,
            "failed": {column: _failed(run, found, column) for column in run.config.columns},
        }
    return {
        "policy": run.policy,
        "code": hash_code(CODE),
        "moving_m": MOVING_M,
        "seconds": run.config.seconds,
        "optimiser_seconds": run.config.optimiser_seconds,
        "limit": run.config.limit,
        "seed": run.config.seed,
        "sets": sets,
        "unreplayed": run.unreplayed,
    }


def _failed(run: BenchRun, found: BenchSet, column: Column) -> dict[str, str]:
    """Clips of a column that failed, with why or how far they came."""
    rows = [run.rows[clip.id, column] for clip in run.clips(found, column)]
    return {
        row["name"]: row["reason"] or f"reached {100 * row['reached']:.0f} %"
        for row in rows
        if not row["tracking"].get("success")
    }


def page(told: dict[str, Any]) -> str:
    """The page in Markdown, from what `result` gave."""
    return "\n\n".join((head(told), *set_tables(told)))


def head(told: dict[str, Any]) -> str:
    """What the figures are, and what did not replay."""
    policy = f"policy `{told['policy']}`" if told["policy"] else "no policy"
    some = any(part["static"] for part in told["sets"].values())
    static = f" Left out as static: a clip of which no joint gets {told['moving_m']:g} m from where it began." * some
    lines = [
        f"Made with {policy}, seed {told['seed']}. A clip's first {told['seconds']:g} s are tracked"
        + (f", {told['optimiser_seconds']:g} s in column auto" if told["optimiser_seconds"] != told["seconds"] else "")
        + (f"; at most {told['limit']} clips of a set" if told["limit"] else "")
        + f".{static} Final rollouts on CPU in double precision, each "
        "replayed open loop. `before` is the untouched input, ground as it is in the file. A clip that failed is "
        "measured up to where it failed. Seconds for a second are a clip's own: the policy's share "
        "of its batch, and of the optimiser one worker process. Brackets: 95 % bootstrap interval. The ratio "
        "of slides is of means over clips; where the input hardly slides (the corpus is made in code) it cannot be low."
    ]
    if told["unreplayed"]:
        lines.append("- **Did not replay**: " + "; ".join(told["unreplayed"]))
    return "\n".join(lines)


def set_tables(told: dict[str, Any]) -> list[str]:
    """All cells of every set, a heading and a table each."""
    return [_set_table(name, part) for name, part in told["sets"].items()]


def written(cell: str, value: float | None) -> str:
    """A cell's value as text, a dash for none."""
    return "-" if value is None else CELLS[cell][1](value)


def _set_table(name: str, part: dict[str, Any]) -> str:
    """All cells of a set."""
    columns: dict[str, Figures] = {"frozen pose": part["frozen"]}
    for column, cells in part["columns"].items():
        columns |= {f"{TITLES[column]}, {over}": cells[over] for over in OVER}
    lines = [f"## {name}: {part['title']}", ""]
    static = f"; {len(part['static'])} static ones left out ({', '.join(part['static'])})" if part["static"] else ""
    lines.append(f"{part['clips']} clips, {part['seconds']:.0f} s, {len(part['cut'])} of them cut{static}.")
    lines += [f"Not readable: {clip}: {why}." for clip, why in part["unreadable"].items()]
    lines += ["", f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for cell, (title, _) in CELLS.items():
        values = [_cell(cell, figures_) for figures_ in columns.values()]
        if any(value != "-" for value in values):
            lines.append(f"| {title} | {' | '.join(values)} |")
    for column, failed in part["failed"].items():
        if failed:
            names = ", ".join(f"{clip} ({why})" for clip, why in failed.items())
            lines += ["", f"Failed, {TITLES[column]}: {names}."]
    return "\n".join(lines)


def _cell(cell: str, cells: Figures) -> str:
    text = written(cell, cells.get(cell))
    interval = cells.get(f"{cell}_ci95")
    return text if interval is None else f"{text} [{written(cell, interval[0])}, {written(cell, interval[1])}]"
