"""`morphloop bench generator`: does a generator do what it is asked, how like real motion, how physical, how fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from tyro.conf import OmitArgPrefixes

from morphloop.base.terminal import Terminal
from morphloop.generator.bench.config import GeneratorBenchConfig

from .config import CONFIG, resolved
from .console import DONE, SHIPPED_GENERATOR, progress_bars, shipped, writable_files

SCORES = {"fid": "FID", "r_precision_1": "R@1", "r_precision_3": "R@3", "mm_dist": "MM-Dist"}
PHYSICS = {
    "slide_mean_mm_s": "slide mm/s",
    "penetration_mean_mm": "pen. mm",
    "float_mean_mm": "float mm",
    "physdiff_phys_err_mm": "Phys-Err mm",
}


@dataclass(frozen=True)
class BenchGenerator:
    """Ask a generator for what it knows, in its templates and in words it never saw, and measure what comes.

    Adherence beside its chance level; FID, R-precision and others by the text-motion evaluator; slide, penetration,
    float and Phys-Err; each beside the corpus's own held-out clips. Clips a second with the key-value cache and
    without.
    """

    generator: Path | None = None
    """Folder of a generator; without it the shipped weights."""
    evaluator: Path | None = None
    """Folder of another text-motion evaluator than the one that ships; scores of two do not compare."""
    bench: Annotated[GeneratorBenchConfig, OmitArgPrefixes] = field(default_factory=GeneratorBenchConfig)
    """How much is generated."""
    json: Path | None = None
    """Write every figure here."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        from morphloop.base import write_json
        from morphloop.generator import load_generator
        from morphloop.generator.bench.bench import bench_generator
        from morphloop.metrics.text_motion.evaluator import load_evaluator

        writable_files(self.json)
        generator = load_generator(self.generator or shipped(SHIPPED_GENERATOR))
        evaluator = load_evaluator(self.evaluator)
        with progress_bars() as watch:
            found = bench_generator(generator, evaluator, self.bench, watch)
        told: dict[str, Any] = {"schema": 1} | found | {CONFIG: resolved(self)}
        if self.json is not None:
            write_json(self.json, told)
        show(told)
        return DONE


def show(told: dict[str, Any]) -> None:
    """Two tables on the terminal, words and physics: a line a set of prompts, and one of the clips whose captions they
    are."""
    rows: list[tuple[str, int, dict[str, Any]]] = []
    for name, part in told["sets"].items():
        rows.append((name, part["prompts"] * part["samples"], part))
        if "real" in part:
            rows.append((f"{name}: real", part["prompts"], part["real"]))
    words, physics = _table("prompts", "clips", "does all", "chance", "of facts", *SCORES.values()), _table("prompts")
    for title in PHYSICS.values():
        physics.add_column(title, justify="right", no_wrap=True)
    for name, count, part in rows:
        done, scores = part["adherence"], part.get("scores", {})
        shares = [_share(done[key]) for key in ("share", "chance", "facts")]
        words.add_row(name, str(count), *shares, *(_number(scores.get(key, {}).get("value"), 2) for key in SCORES))
        physics.add_row(name, *(_number(part["physics"][key], 1) for key in PHYSICS))
    for table in (words, physics):
        Terminal().print(table)
    speed = told.get("sampling")
    if speed is not None:
        for name, row in speed.items():
            if name.startswith("batch_"):
                print(f"{name.replace('_', ' ')}: {row['clips_a_second']:.1f} clips/s, cache {row['ratio']:.1f} x")
        print(f"16 prompts of 4 s: {speed['sixteen_prompts_wall_s']:.2f} s")


def _table(first: str, *titles: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    table.add_column(first, no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
