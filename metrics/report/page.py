"""The evaluation as ONE HTML file: headline figures with their controls, distributions, the worst clips with pictures
and timelines, a sortable table, failures, and every definition. Nothing is fetched; it opens anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from morphloop.metrics.controls import CLEAN_WALK_NAME
from morphloop.metrics.metric import Metric
from morphloop.metrics.registry import METRICS
from morphloop.metrics.summary import Summary

from .charts import DOTS, Marker, beyond, distribution, gauge, scatter, whisker
from .clip_cards import ClipCard, worst_cards
from .compare import Comparison, not_paired
from .evaluate import Evaluation, Watch, versions
from .look import Cell, cell, number, packaged, span, style, template, tone, write_page
from .pair_times import apart_line
from .pair_videos import PAIRS, PairCard, changed_most
from .worst import HEADLINES, KEY_METRICS, KeyMetric, rank

WORST = 6
"""Clips of a variant that get pictures."""
TABLE_ROWS = 300
"""Clips of a variant in the table, the worst; the JSON file holds all."""
SHOWN_FAILURES = 200
SHOWN_NAMES = 30
NEAR_ZERO = 0.02
"""A control under this share of the size at which the fault is plain is as good as none: no multiple of it is told."""
NONE = Summary(mean=None, median=None, ci95=None)


@dataclass(frozen=True)
class Headline:
    """A large figure with its controls. controls: (CSS class, figure); times: how many times the clean capture's
    figure, "" where that is near zero."""

    metric: KeyMetric
    unit: str
    mean: str
    interval: str
    gauge: Markup
    controls: list[tuple[str, str]]
    times: str
    before: str
    tone: str


@dataclass(frozen=True)
class Plot:
    """A distribution with what to read off it."""

    metric: KeyMetric
    unit: str
    svg: Markup
    notes: list[str]


@dataclass(frozen=True)
class View:
    """What the page shows of one variant of one batch. clean: where the clean control has its ground, "" without one;
    absent: metrics without a figure on any clip; columns: those of `rows`, which are (name, path, cells), of each cell
    its text, what it sorts by, and 0 to 1 how plain the fault is.
    """

    label: str
    variant: str
    clips: int
    length: str
    paired: bool
    clean: str
    frozen: bool
    absent: list[str]
    headlines: list[Headline]
    plots: list[Plot]
    table: list[tuple[Metric, list[Cell]]]
    cards: list[ClipCard]
    columns: list[tuple[KeyMetric, str]]
    rows: list[tuple[str, str, list[tuple[str, float, float]]]]


@dataclass(frozen=True)
class Change:
    """A metric in a comparison: means of the pairs, and the paired change with its whisker."""

    metric: Metric
    a: Cell
    b: Cell
    change: Cell
    whisker: Markup


@dataclass(frozen=True)
class ChangeView:
    """A comparison's figures in one variant."""

    variant: str
    pairs: int
    changes: list[Change]
    cards: list[PairCard]
    scatters: list[tuple[KeyMetric, str, Markup]]


def write_evaluation_page(
    path: Path | str, result: Evaluation, comparison: Comparison | None = None, watch: Watch | None = None
) -> Path:
    """Write the page of an evaluation, with `comparison` (whose `a` is `result`) that of two. `watch`: as in
    `evaluate`. The clips that get pictures are read again."""
    batches = [result] if comparison is None else [comparison.a, comparison.b]
    total = sum(min(WORST, len(rows)) for batch in batches for rows in batch.rows.variants.values())
    total += sum(min(PAIRS, len(a)) for a, _ in (comparison.pairs if comparison is not None else {}).values())
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if watch is not None:
            watch("drawing", done, total)

    views = [_view(batch, variant, len(batches) > 1, tick) for batch in batches for variant in batch.variants]
    html = template(packaged("evaluate.html")).render(
        style=style(packaged("evaluate.css")),
        title=" and ".join(batch.label for batch in batches),
        result=result,
        body="" if result.config.body is None else Path(result.config.body).name,
        views=views,
        comparison=None if comparison is None else _compare_view(comparison, tick),
        apart=apart_line(result.apart, len(result.rows), "clip", "reference"),
        failed=[row for batch in batches for row in batch.failed],
        shown_failures=SHOWN_FAILURES,
        table_rows=TABLE_ROWS,
        dots=DOTS,
        clean_walk=CLEAN_WALK_NAME,
        metrics=_defined(batches),
        versions=versions(result),
    )
    return write_page(path, html)


def _defined(batches: list[Evaluation]) -> list[Metric]:
    """Metrics that some clip has, in the registry's order."""
    seen = {name for batch in batches for rows in batch.rows.variants.values() for name in rows.names()}
    return [metric for name, metric in METRICS.items() if name in seen]


def _view(result: Evaluation, variant: str, labelled: bool, tick: Callable[[], None]) -> View:
    rows = result.rows.variants[variant]
    summary, frozen = result.summary(variant), result.summary(variant, "frozen")
    before, clean = result.summary(variant, "before"), result.clean(variant)
    known = [metric for metric in KEY_METRICS if _known(summary, metric.name)]
    return View(
        label=result.label if labelled else "",
        variant=variant,
        clips=len(rows),
        length=f"{rows.seconds / 60.0:.1f} min" if rows.seconds > 100.0 else f"{rows.seconds:.1f} s",
        paired=bool(before),
        clean=result.clean_floor(variant) if clean else "",
        frozen=bool(frozen),
        absent=[name for name in METRICS if name in summary and not _known(summary, name)],
        headlines=[_headline(result, variant, metric, clean) for metric in known if metric in HEADLINES],
        plots=[_plot(result, variant, metric, frozen, clean) for metric in known],
        table=_table(result, variant, summary, before, frozen, clean),
        cards=worst_cards(result, variant, WORST, tick),
        columns=[(metric, METRICS[metric.name].unit) for metric in known],
        rows=_clip_rows(result, variant, known),
    )


def _known(summary: Mapping[str, Summary], name: str) -> bool:
    return name in summary and summary[name]["mean"] is not None


def _headline(result: Evaluation, variant: str, metric: KeyMetric, clean: Mapping[str, float]) -> Headline:
    found, frozen, before = (
        result.summary(variant, side).get(metric.name, NONE) for side in ("metrics", "frozen", "before")
    )
    mean, best = found["mean"] or 0.0, clean.get(metric.name)
    markers = [Marker("clean", best), Marker("frozen", frozen["mean"]), Marker("was", before["mean"])]
    return Headline(
        metric=metric,
        unit=METRICS[metric.name].unit,
        mean=number(mean),
        interval=span(found["ci95"]),
        gauge=Markup(gauge(mean, found["ci95"], markers)),
        controls=[(marker.style, number(marker.value)) for marker in markers[:2] if marker.value is not None],
        times=f"{number(mean / best)} × clean" if best and metric.plain and best > NEAR_ZERO * metric.plain else "",
        before="" if before["mean"] is None else number(before["mean"]),
        tone=tone(metric.name, result.change(variant).get(metric.name)),
    )


def _plot(
    result: Evaluation,
    variant: str,
    metric: KeyMetric,
    frozen: Mapping[str, Summary],
    clean: Mapping[str, float],
) -> Plot:
    rows = result.rows.variants[variant]
    column, was = rows.column(metric.name), rows.column(metric.name, "before")
    values, was = column[np.isfinite(column)], was[np.isfinite(was)]
    shown = np.concatenate([values, was])
    markers = [
        Marker("clean", clean.get(metric.name)),
        Marker("frozen", frozen[metric.name]["mean"] if metric.name in frozen else None),
        Marker("mean", float(values.mean())),
    ]
    ends = [f"smallest {number(float(values.min()))}"] if values.min() < 0.0 else []
    notes = [f"median {number(float(np.median(values)))}", *ends, f"largest {number(float(values.max()))}"]
    if len(column) > len(values):
        notes.append(f"nothing to measure in {len(column) - len(values)}")
    far = beyond(shown, markers, metric.plain)
    if far:
        notes.append(f"{far} beyond the axis")
    svg = distribution(metric.title, values, markers, was, metric.plain)
    return Plot(metric, METRICS[metric.name].unit, Markup(svg), notes)


def _table(
    result: Evaluation,
    variant: str,
    summary: Mapping[str, Summary],
    before: Mapping[str, Summary],
    frozen: Mapping[str, Summary],
    clean: Mapping[str, float],
) -> list[tuple[Metric, list[Cell]]]:
    """Every metric: (before), mean, median, (change), frozen pose, (clean capture)."""
    change = result.change(variant)
    table = []
    for name, metric in METRICS.items():
        if not _known(summary, name):
            continue
        found = summary[name]
        cells = [cell(found), Cell(number(found["median"]))]
        if before:
            cells.insert(0, cell(before.get(name)))
            cells.append(cell(change.get(name), tone(name, change.get(name))))
        cells.append(cell(frozen.get(name)))
        if clean:
            cells.append(Cell(number(clean.get(name))))
        table.append((metric, cells))
    return table


def _clip_rows(
    result: Evaluation, variant: str, metrics: list[KeyMetric]
) -> list[tuple[str, str, list[tuple[str, float, float]]]]:
    """The worst clips, see `View.rows`."""
    rows = result.rows.variants[variant]
    shown = []
    for row in result.rows.rows(variant, rank(rows).places[:TABLE_ROWS]):
        cells = []
        for metric in metrics:
            value = row["metrics"].get(metric.name)
            heat = 0.0 if value is None or metric.plain is None else min(1.0, abs(value) / (4.0 * metric.plain))
            cells.append((number(value), -1e9 if value is None else value, round(heat, 2)))
        shown.append((row["name"], row["path"], cells))
    return shown


def _compare_view(comparison: Comparison, tick: Callable[[], None]) -> dict[str, Any]:
    """What the page shows of a comparison."""
    return {
        "labels": comparison.labels,
        "views": [_change_view(comparison, variant, tick) for variant in comparison.pairs],
        "apart": apart_line(comparison.apart, comparison.count, "A", "B"),
        "unpaired": [(why, len(names), names[:SHOWN_NAMES]) for why, names in not_paired(comparison)],
    }


def _change_view(comparison: Comparison, variant: str, tick: Callable[[], None]) -> ChangeView:
    change = comparison.change(variant)
    changes, scatters = [], []
    for name, metric in METRICS.items():
        found = change.get(name)
        if found is None or found["mean"] is None:
            continue
        a, b = comparison.values(variant, name)
        both = np.isfinite(a) & np.isfinite(b)
        mean_a, mean_b = (Cell(number(float(side[both].mean()))) for side in (a, b))
        drawn = Markup(whisker(found["mean"], found["ci95"]))
        changes.append(Change(metric, mean_a, mean_b, cell(found, tone(name, found)), drawn))
    for metric in HEADLINES:
        a, b = comparison.values(variant, metric.name)
        both = np.isfinite(a) & np.isfinite(b)
        if both.any():
            svg = scatter(metric.title, a[both], b[both], ("A", "B"))
            scatters.append((metric, METRICS[metric.name].unit, Markup(svg)))
    cards = changed_most(comparison, variant, tick)
    return ChangeView(variant, len(comparison.pairs[variant][0]), changes, cards, scatters)
