"""The evaluation as tables for a terminal, 80 columns or more: the figures with their controls, the worst clips."""

from __future__ import annotations

import numpy as np
from rich import box
from rich.table import Table

from morphloop.base.terminal import Terminal
from morphloop.metrics.registry import METRICS
from morphloop.metrics.summary import Summary

from ..config import RankingConfig
from .compare import Comparison, not_paired
from .evaluate import Evaluation
from .look import tone
from .names import distinct
from .pair_times import apart_line
from .quality import SCORES, Ranked, drop_rule, formulas
from .worst import HEADLINES, KEY_METRICS, rank

WORST = 10
"""Clips that a table names; the JSON file holds all."""
WIDE = 110
"""Columns of a terminal from which the list of the worst clips shows every headline."""
NARROW = 4
"""Headlines that a narrower one shows."""
TRACKING = ("success", "success_strict", "skill", "e_g_mpjpe_mm", "e_mpjpe_mm")


def print_evaluation(result: Evaluation, console: Terminal | None = None) -> None:
    """Tables of every variant, never two in one."""
    console = console or Terminal()
    for variant in result.variants:
        _print_figures(result, variant, console)
        _print_worst(result, variant, console)
    if line := apart_line(result.apart, len(result.rows), "clip", "reference"):
        console.print(line, highlight=False)


def print_comparison(comparison: Comparison, console: Terminal | None = None) -> None:
    """What changed from a to b over the pairs, by variant, and which clips did not pair."""
    console = console or Terminal()
    for variant in comparison.pairs:
        change = comparison.change(variant)
        table = _table(f"B against A, variant {variant}, {len(comparison.pairs[variant][0])} pairs", "metric")
        for name in ("A", "B", "B - A", "95 %", ""):
            table.add_column(name, justify="right")
        for name in _shown(change):
            found = change[name]
            a, b = comparison.values(variant, name)
            both = np.isfinite(a) & np.isfinite(b)
            sides = (figure(float(side[both].mean())) for side in (a, b))
            verdict = tone(name, found)
            style = {"better": "green", "worse": "red"}.get(verdict, "")
            table.add_row(name, *sides, figure(found["mean"]), interval(found), verdict, style=style)
        console.print(table)
    label_a, label_b = comparison.labels
    console.print(f"A: {label_a}\nB: {label_b}\nchange: paired bootstrap over clips", style="dim", highlight=False)
    if line := apart_line(comparison.apart, comparison.count, "A", "B"):
        console.print(line, highlight=False)
    for why, names in not_paired(comparison):
        more = f" and {len(names) - WORST} more" if len(names) > WORST else ""
        console.print(f"{len(names)} {why}: {', '.join(names[:WORST])}{more}", highlight=False)


def print_ranking(ranked: dict[str, Ranked], config: RankingConfig, console: Terminal | None = None) -> None:
    """The clips of every variant, best first, where many the first and the last, and the formulas of the scores."""
    console = console or Terminal()
    for variant, found in ranked.items():
        count = len(found.names)
        title = f"variant {variant}, {count} clips by {SCORES[config.rank_by]}, best first"
        table = _table(title, "clip")
        for name in (*SCORES.values(), ""):
            table.add_column(name, justify="right")
        room = console.width - 32
        table.columns[0].max_width = room
        names = distinct(found.names, room)
        for place in range(count):
            if place == WORST and count > 2 * WORST:
                table.add_row(f"... {count - 2 * WORST} more", "", "", "")
            if WORST <= place < count - WORST:
                continue
            scores = (figure(_known(values[place])) for values in (found.quality, found.limmt))
            table.add_row(names[place], *scores, "drop" if found.drop[place] else "")
        console.print(table)
        if found.unknown:
            first = ", ".join(found.unknown[:WORST])
            console.print(f"{len(found.unknown)} without this score, first of them {first}", highlight=False)
    for name, formula in formulas().items():
        console.print(f"{name} = {formula}", style="dim", highlight=False)
    console.print(f"drop: {drop_rule(config)}", highlight=False)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _table(title: str, first: str) -> Table:
    """A table that leaves room for figures."""
    table = Table(title=title, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True, overflow="ellipsis")
    return table


def _shown(summary: dict[str, Summary]) -> list[str]:
    names = (*(metric.name for metric in KEY_METRICS), *TRACKING)
    return [name for name in names if name in summary and summary[name]["mean"] is not None]


def _print_figures(result: Evaluation, variant: str, console: Terminal) -> None:
    """A row a key figure: what it was before, mean, interval, median, and the controls."""
    rows = result.rows.variants[variant]
    summary, frozen = result.summary(variant), result.summary(variant, "frozen")
    before, clean = result.summary(variant, "before"), result.clean(variant)
    change = result.change(variant)
    clips = f"{len(rows)} clip{'' if len(rows) == 1 else 's'}, {rows.seconds / 60:.1f} min"
    table = _table(f"variant {variant}, ground {result.config.ground}, {clips}", "mean over clips")
    control = f"clean mocap: {result.clean_floor(variant)}" if clean else "no clean mocap known for this body"
    table.caption = f"derivatives: 6 Hz low-pass, 30 Hz grid; {control}; -: nothing to measure"
    headings = ("before", "after", "change, 95 %") if before else ("mean", "95 %", "median")
    for name in (*headings, "frozen\npose", *(["clean\nmocap"] if clean else [])):
        table.add_column(name, justify="right")
    for name in _shown(summary):
        found = summary[name]
        if before:
            was = before.get(name)
            cells = [figure(was["mean"]) if was else "-", figure(found["mean"]), interval(change.get(name))]
        else:
            cells = [figure(found["mean"]), interval(found), figure(found["median"])]
        cells.append(figure(frozen[name]["mean"]) if name in frozen else "-")
        table.add_row(name, *cells, *([figure(clean.get(name))] if clean else []))
    console.print(table)


def _print_worst(result: Evaluation, variant: str, console: Terminal) -> None:
    """The worst clips, each with its worst fault."""
    rows = result.rows.variants[variant]
    if len(rows) < 2:
        return
    ranking = rank(rows)
    metrics = HEADLINES[:NARROW] if console.width < WIDE else HEADLINES
    shown = min(WORST, len(rows))
    table = _table(f"the worst {shown} of {len(rows)} clips" if len(rows) > WORST else "the clips, worst first", "clip")
    table.add_column("worst at", no_wrap=True)
    room = console.width - 13
    for metric in metrics:
        heading = f"{metric.title}\n{METRICS[metric.name].unit}".strip()
        width = max(len(line) for line in heading.split("\n"))
        table.add_column(heading, justify="right", min_width=width)
        room -= width + 3
    table.columns[0].max_width = room
    worst = list(result.rows.rows(variant, ranking.places[:WORST]))
    names = distinct([row["name"] for row in worst], room)
    for name, row, fault in zip(names, worst, ranking.fault, strict=False):
        what = KEY_METRICS[fault].fault if fault >= 0 else "-"
        table.add_row(name, what, *[figure(row["metrics"].get(metric.name)) for metric in metrics])
    console.print(table)


def figure(value: float | None) -> str:
    """Three digits after the point under ten, one above; a dash for null."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def interval(summary: Summary | None) -> str:
    """A summary's 95 % interval."""
    if summary is None or summary["ci95"] is None:
        return "-"
    low, high = summary["ci95"]
    return f"{figure(low)} to {figure(high)}"
