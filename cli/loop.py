"""`morphloop loop run | resume | status | report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Column, Table
from rich.text import Text

from morphloop.base import MotionError
from morphloop.base.opening import read_json
from morphloop.base.terminal import Terminal, complain, say

from .console import (
    BAD_INPUT,
    DONE,
    FAILED,
    SHIPPED_GENERATOR,
    policy_file,
    progress_bars,
    shipped,
    writable_folder,
)

if TYPE_CHECKING:
    from morphloop.refinement_loop import Finished, RoundResult


@dataclass(frozen=True)
class LoopRun:
    """Run the loop: generate, imitate, project, measure, select, fine-tune, round after round.

    Exit code 1 if no clip at all was accepted, 2 if a file of --clips could not be read; the others are done.
    """

    out: Path
    """Folder of the run."""
    prompts: Path | None = None
    """Text file with one prompt a line. Required unless --clips is given."""
    generator: Path | None = None
    """Folder of generator weights; the shipped one if left out."""
    clips: Path | None = None
    """Instead of a generator: a folder of another model's outputs. They are projected, measured and selected."""
    fps: float | None = None
    """Frame rate of files that cannot tell theirs (HumanML3D joints: 20)."""
    policy: str = "shipped"
    """File of the imitator, `shipped`, or `none` to project by the refiner alone."""
    rounds: int = 1
    """How many rounds."""
    seed: int = 0
    """Seed of everything."""
    seconds: tuple[float, float] = (3.0, 4.0)
    """Shortest and longest motion of a generated clip."""
    imitate_updates: int = 2
    """Updates of the policy in each round; 0 leaves it as it is. With its demonstrations 90 s on two cores."""
    imitate_demonstrations: int = 12
    """Clips of a round that the expert demonstrates to the policy, at most."""
    imitate_budget_s: float | None = None
    """Seconds after which the policy's update is cut short; a round that it ends says so and does not repeat to the
    byte. 0 leaves the policy as it is."""
    finetune_steps: int = 150
    """Optimiser steps of each fine-tuning."""
    replay_share: float = 0.75
    """Share of corpus clips in every batch that the generator is fine-tuned on: they keep its words."""
    guard_prompts: int = 256
    """Held-out prompts, 4 samples each, on which the tuned generator is compared with the first one and with the one
    before; 256 are enough for the intervals to decide, with fewer the report says what decided; 0 keeps it unseen."""
    threads: int = 1
    """Threads of torch and BLAS inside every stage; another number gives other bytes."""
    json: Path | None = None
    """Write the counts of every round here."""

    def run(self) -> int:
        from morphloop.generator import FinetuneConfig
        from morphloop.refinement_loop import LoopConfig, read_prompts, start_run

        if self.clips is None and self.prompts is None:
            raise MotionError("loop run: expected --prompts FILE for a generator, or --clips DIR")
        prompts = () if self.prompts is None else read_prompts(self.prompts)
        weights = None if self.clips is not None else str((self.generator or shipped(SHIPPED_GENERATOR)).resolve())
        policy = policy_file(self.policy)
        config = LoopConfig(
            generator=weights,
            clips=None if self.clips is None else str(self.clips.resolve()),
            fps=self.fps,
            prompts=prompts,
            seconds=self.seconds,
            policy=None if policy is None else str(policy),
            rounds=self.rounds,
            seed=self.seed,
            imitate_updates=self.imitate_updates,
            imitate_demonstrations=self.imitate_demonstrations,
            imitate_budget_s=self.imitate_budget_s,
            threads=self.threads,
            finetune=FinetuneConfig(steps=self.finetune_steps, replay_share=self.replay_share),
            guard_prompts=self.guard_prompts,
        )
        writable_folder(self.out)
        with progress_bars() as watch:
            rounds = start_run(self.out, config, watch)
        return finish(self.out, rounds, self.json)


@dataclass(frozen=True)
class LoopResume:
    """Go on with a run that was interrupted; nothing that is finished is done again."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    json: Path | None = None
    """Write the counts of every round here."""

    def run(self) -> int:
        from morphloop.refinement_loop import resume_run

        with progress_bars() as watch:
            rounds = resume_run(self.out, watch)
        return finish(self.out, rounds, self.json)


@dataclass(frozen=True)
class LoopStatus:
    """Which rounds and stages of a run are finished, how long they took, and what became of the clips."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    json: Path | None = None
    """Write the same as JSON here."""

    def run(self) -> int:
        from morphloop.base import write_json
        from morphloop.refinement_loop import STAGES, finished_rounds, is_begun

        rounds = finished_rounds(self.out)
        table = Table("round", *STAGES, title=str(self.out))
        for result in rounds:
            cells = []
            for name in STAGES:
                done = result.stages.get(name)
                started = is_begun(self.out, result.number, name)
                cells.append(_stage_cell(done) if done else Text("begun", "yellow") if started else Text("open", "dim"))
            table.add_row(str(result.number), *cells)
        Terminal().print(table)
        for result in rounds:
            say(f"round {result.number}: {_became(result)}")
        if self.json is not None:
            write_json(self.json, {"schema": 1, "rounds": [_round_json(result) for result in rounds]})
        return DONE


@dataclass(frozen=True)
class LoopReport:
    """Write the report of a run anew: one HTML file that opens without a network.

    Exit code 1 if files of the run were changed since: each is named, there and in the page.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    html: Path | None = None
    """File to write; OUT/report.html if left out."""

    def run(self) -> int:
        from morphloop.refinement_loop import REPORT, finished_rounds, run_faults, write_report

        say(str(write_report(self.out, self.html or self.out / REPORT)))
        broken = run_faults(self.out, finished_rounds(self.out))
        for line in broken:
            complain(f"{self.out}/{line}")
        return FAILED if broken else DONE


def finish(out: Path, rounds: list[RoundResult], json_path: Path | None) -> int:
    """Write the report of a run that came to its end, print its table, and say how it went by the exit code."""
    from morphloop.base import write_json
    from morphloop.refinement_loop import REPORT, write_report

    report = write_report(out, out / REPORT)
    print_rounds(out, rounds)
    if json_path is not None:
        write_json(json_path, {"schema": 1, "rounds": [_round_json(result) for result in rounds]})
    say(f"report: {report}")
    for path in dict.fromkeys(path for result in rounds for path in result.passed_over):
        complain(f"{path}: passed over, morphloop wrote it")
    unreadable = {path: why for result in rounds for path, why in result.failed.items()}
    for reason in unreadable.values():
        complain(reason)
    if unreadable:
        return BAD_INPUT
    if all(result.counts["accepted"] == 0 for result in rounds):
        complain("no clip was accepted; the report says why for each")
        return FAILED
    return DONE


def print_rounds(out: Path, rounds: list[RoundResult]) -> None:
    """The table that a run ends with: figures before and after over all and over accepted clips, round by round."""
    for result in rounds:
        summary = read_json(result.stages["select"].folder / "summary.json")
        counts = result.counts
        title = f"{out} round {result.number}: {counts['accepted']} of {counts['clips']} clips accepted"
        table = Table(Column("mean", no_wrap=True), *COLUMNS, title=title)
        for name in HEADLINES:
            cells = [summary[group][side].get(name, {}).get("mean") for group in ("all", "accepted") for side in SIDES]
            table.add_row(name, *("-" if cell is None else f"{cell:.3g}" for cell in cells))
        Terminal().print(table)
        for reason, count in counts["reasons"].items():
            say(f"  rejected, {reason}: {count}")


HEADLINES = (
    "slide_loaded_mm_s",
    "slide_mean_mm_s",
    "physdiff_phys_err_mm",
    "penetration_mean_mm",
    "float_mean_mm",
    "unsupported_ratio",
)
SIDES = ("before", "after")
COLUMNS = ("all, before", "after", "accepted, before", "after")


def _became(result: RoundResult) -> str:
    """What became of a round's clips, in words."""
    if "select" not in result.stages:
        return "no verdicts yet"
    counts = result.counts
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts["reasons"].items())
    outcomes = ", ".join(f"{counts[name]} {name}" for name in ("accepted", "rescued", "rejected") if counts[name])
    return f"{counts['clips']} clips: {outcomes}" + (f" ({reasons})" if reasons else "")


def _stage_cell(done: Finished) -> Text:
    skipped = "skipped, " if "skipped" in done.manifest["notes"] else ""
    return Text(skipped + ("done" if done.wall_s is None else f"{done.wall_s:.1f} s"), "green")


def _round_json(result: RoundResult) -> dict:
    stages = {
        name: {"wall_s": done.wall_s, "hash": done.hash, "notes": done.manifest["notes"]}
        for name, done in result.stages.items()
    }
    counts = result.counts if "select" in result.stages else None
    return {"round": result.number, "counts": counts, "stages": stages}
