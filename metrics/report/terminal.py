"""The evaluation as tables for a terminal, 80 columns or more: the figures with their controls, the worst clips."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from morphloop.metrics.controls import CLEAN_WALK
from morphloop.metrics.registry import METRICS

from .evaluate import Evaluation
from .worst import KEY_METRICS, rank

WORST = 10
"""Clips that the table names; the JSON file holds all."""
WIDE = 110
"""Columns from which the list of the worst clips shows every key figure."""
NARROW_FIGURES = ("slide_mean_mm_s", "penetration_mean_mm", "float_mean_mm", "unsupported_ratio")
TRACKING = ("success", "success_strict", "skill", "e_g_mpjpe_mm", "e_mpjpe_mm")


def print_evaluation(result: Evaluation, console: Console | None = None) -> None:
    """Tables of every variant, never two in one."""
    console = console or Console()
    for variant in result.variants:
        _print_figures(result, variant, console)
        _print_worst(result, variant, console)


def _print_figures(result: Evaluation, variant: str, console: Console) -> None:
    """A row a key figure: mean, interval, median, what it was before, and the controls."""
    rows = result.rows.variants[variant]
    summary, frozen = result.summary(variant), result.summary(variant, "frozen")
    before, clean = result.summary(variant, "before"), CLEAN_WALK.get(variant, {})
    table = Table(
        title=f"variant {variant}, ground {result.config.ground}, {len(rows)} clips, {rows.seconds / 60:.1f} min",
        caption="derivatives: 6 Hz low-pass, 30 Hz grid; clean mocap: ground robust; -: no frames to speak of",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("mean over clips", no_wrap=True)
    for name in (*(["before"] if before else []), "mean", "95 %", "median", "frozen pose", "clean mocap"):
        table.add_column(name, justify="right")
    names = [metric.name for metric in KEY_METRICS] + [name for name in TRACKING if name in summary]
    for name in names:
        found = summary.get(name)
        if found is None:
            continue
        cells = [figure(found["mean"]), interval(found["ci95"]), figure(found["median"])]
        if before:
            cells.insert(0, figure(before[name]["mean"]) if name in before else "")
        control = frozen.get(name)
        cells += [figure(control["mean"]) if control else "-", figure(clean.get(name))]
        table.add_row(name, *cells)
    console.print(table)


def _print_worst(result: Evaluation, variant: str, console: Console) -> None:
    """The worst clips, each with its worst fault."""
    rows = result.rows.variants[variant]
    if len(rows) < 2:
        return
    ranking = rank(rows)
    names = NARROW_FIGURES if console.width < WIDE else tuple(metric.name for metric in KEY_METRICS)
    table = Table("clip", "worst at", title=f"the worst of {len(rows)} clips", title_justify="left")
    table.columns[0].overflow = "ellipsis"
    table.columns[0].no_wrap = True
    for name in names:
        table.add_column(short(name), justify="right")
    for row, fault in zip(result.rows.rows(variant, ranking.places[:WORST]), ranking.fault, strict=False):
        table.add_row(row["name"], said(row, int(fault)), *[figure(row["metrics"].get(name)) for name in names])
    if len(rows) > WORST:
        table.caption, table.caption_justify = f"and {len(rows) - WORST} more", "left"
    console.print(table)


def said(row: dict[str, Any], fault: int) -> str:
    """What is wrong with a clip in two words and a figure."""
    if fault < 0:
        return "nothing measured"
    metric = KEY_METRICS[fault]
    return f"{metric.fault}, {figure(row['metrics'][metric.name])} {METRICS[metric.name].unit}".rstrip()


def short(name: str) -> str:
    """A metric's name broken for a narrow column."""
    return name.replace("_mean", "").replace("_", " ")


def figure(value: float | None) -> str:
    """Three digits after the point under ten, one above; a dash for null."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def interval(value: tuple[float, float] | None) -> str:
    """A 95 % interval."""
    return "-" if value is None else f"{figure(value[0])} to {figure(value[1])}"
