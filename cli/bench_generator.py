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
WRITTEN = {
    "bleu_1": "BLEU-1",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "token_match": "token match",
}
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
    float and Phys-Err; each beside the corpus's own held-out clips. What it writes of such clips, beside their own
    captions, and how it edits them, if it was trained for that. Clips a second with the key-value cache and without.
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
    """Tables on the terminal. Words and physics: a line a set of prompts, and one of the clips whose captions they
    are. Captions: a line of those that were written, and two of captions that there are."""
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
        if rows:
            Terminal().print(table)
    if "captions" in told:
        show_captions(told["captions"])
    if "edits" in told:
        show_edits(told["edits"])
    speed = told.get("sampling")
    if speed is not None:
        for name, row in speed.items():
            if name.startswith("batch_"):
                print(f"{name.replace('_', ' ')}: {row['clips_a_second']:.1f} clips/s, cache {row['ratio']:.1f} x")
        print(f"16 prompts of 4 s: {speed['sixteen_prompts_wall_s']:.2f} s")


def show_captions(told: dict[str, Any]) -> None:
    """A table of captions on the terminal, and what its last column is by."""
    table = _table("captions", "clips", *WRITTEN.values())
    for name, scores in told["rows"].items():
        table.add_row(name, str(told["clips"]), *(_number(scores[key], 2) for key in WRITTEN))
    Terminal().print(table)
    encoder = told["text_encoder"]
    print(
        f"token match: BERTScore's greedy matching by {encoder['model']} ({encoder['hash']}), no BERTScore of roberta"
    )
    if told["rows"]["written"]["bleu_1"] is None:
        print("no BLEU and no ROUGE-L without their packages: pip install 'morphloop[captions]'")


def show_edits(told: dict[str, Any]) -> None:
    """A table of edited clips on the terminal."""
    table = _table("edits", "clips", "asked", "kept", "both")
    for name, row in told["rows"].items():
        clips = sum(count for _, count in row["by_kind"].values())
        table.add_row(name, str(clips), *(_share(row[key]) for key in ("asked", "kept", "both")))
    Terminal().print(table)


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
