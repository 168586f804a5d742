"""`morphloop bench`: what the parts of the house are worth, measured where the answer is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from morphloop.base.terminal import Terminal

from .console import DONE, FAILED, progress_bars, writable_files
from .engine import EngineConfig

if TYPE_CHECKING:
    from morphloop.metrics.defect_bench.bench import Case


@dataclass(frozen=True)
class BenchMetrics:
    """Inject defects of known size into clean motion and show what every metric reads of them, at four frame rates.

    Ours beside the published definitions; a definition is marked where its reading depends on the frame rate or does
    not move with the defect. Exit code 1 if slide, float or penetration of ours is off by more than 3 % or 1 mm (mm/s).
    """

    json: Path | None = None
    """Write every reading here."""
    markdown: Path | None = None
    """Write the page here, and its picture beside it (.png)."""
    seed: int = 0
    """Seed of the jitter."""
    workers: int | None = None
    """Processes; one a core if not given, none of its own if 0."""
    cluster: Annotated[EngineConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=EngineConfig)
    """Who measures."""

    def run(self) -> int:
        from morphloop.base import MotionError, write_atomic, write_json
        from morphloop.metrics.defect_bench.bench import failures, run_bench
        from morphloop.metrics.report.bench_page import draw, page

        if self.markdown is not None and find_spec("matplotlib") is None:
            raise MotionError("--markdown: its chart needs matplotlib, pip install 'morphloop[plots]'")
        writable_files(self.json, self.markdown)
        with self.cluster.at_work(self.workers, ()), progress_bars() as watch:
            cases = run_bench(
                self.seed, watch=lambda done, total: watch("injecting", done, total), workers=self.workers
            )
        failed = failures(cases)
        _print(cases, failed)
        if self.json is not None:
            write_json(self.json, _result(cases, failed, self.seed))
        if self.markdown is not None:
            picture = self.markdown.with_suffix(".png")
            draw(cases, picture)
            text = page(cases, picture.name)
            write_atomic(self.markdown, lambda stream: stream.write(text.encode()))
        return FAILED if failed else DONE


def _result(cases: list[Case], failed: list[str], seed: int) -> dict[str, Any]:
    """The JSON file; a ratio or an error that is infinite stands as null beside its verdict."""
    from morphloop.metrics.defect_bench.bench import RATES, lines

    rows = []
    for case in cases:
        verdicts = {line.name: {"max_over_min": _finite(line.spread), "verdict": line.verdict} for line in lines(case)}
        rows.append(asdict(case) | {"error": _finite(case.error()), "verdicts": verdicts})
    return {"schema": 1, "seed": seed, "rates": RATES, "cases": rows, "gate": {"passed": not failed, "failed": failed}}


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _print(cases: list[Case], failed: list[str]) -> None:
    """A table a defect: what each definition reads at each frame rate, then what the gate says."""
    from morphloop.metrics.report.bench_page import shown_cases

    console = Terminal()
    for defect in dict.fromkeys(case.defect for case in cases):
        console.print(_table([case for case in shown_cases(cases) if case.defect == defect]))
    gated = sum(case.gated for case in cases)
    if failed:
        console.print(f"gate: {len(failed)} of {gated} cases fail", style="bold red")
        for line in failed:
            console.print(f"  {line}", highlight=False, soft_wrap=True)
    else:
        console.print(f"gate: all {gated} cases pass, in both variants and at every frame rate", style="bold green")


def _table(cases: list[Case]) -> Table:
    """One defect in one motion, a section a size."""
    from morphloop.metrics.defect_bench.bench import MEANT, RATES, lines
    from morphloop.metrics.report.bench_page import figure, ratio

    first = cases[0]
    table = Table(
        title=f"{first.defect}: readings at {', '.join(f'{fps:g}' for fps in RATES)} fps",
        caption=f"motion {first.motion}, variant {first.variant}; ratio: largest over smallest reading\n"
        "fps: it depends on the frame rate; blind: it does not move with the defect",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 0, 0, 1),
    )
    table.add_column("definition", no_wrap=True)
    for name in ("clean", "true", *(f"{fps:g}" for fps in RATES), "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for case in cases:
        table.add_row(f"{case.size:g} {case.unit}", style="bold")
        for line in lines(case):
            if line.name in MEANT[case.defect]:
                reads = (figure(value) for value in (line.clean[1], line.expected, *line.readings))
                table.add_row(line.name, *reads, ratio(line.spread), line.verdict.removesuffix("-dependent"))
        table.add_section()
    return table
