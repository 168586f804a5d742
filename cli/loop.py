"""`morphloop loop resume | status | report`, and how a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from morphloop.base.opening import read_json
from morphloop.base.terminal import Terminal, complain, say

from .console import BAD_INPUT, DONE, FAILED, progress_bars

if TYPE_CHECKING:
    from morphloop.refinement_loop import Finished, RoundResult


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
        table = Table("round", *STAGES, title=str(self.out), box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
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
        title += _on_robot(result)
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
    return f"{counts['clips']} clips: {outcomes}" + (f" ({reasons})" if reasons else "") + _on_robot(result)


def _on_robot(result: RoundResult) -> str:
    """How many of the accepted clips a robot was accepted with, in words; nothing without one."""
    if result.robot is None:
        return ""
    notes = result.robot.manifest["notes"]
    return f"; '{notes['body']}' accepted with {notes['accepted']} of {notes['clips']}"


def _stage_cell(done: Finished) -> Text:
    if "skipped" in done.manifest["notes"]:
        return Text("skipped", "green")
    return Text("done" if done.wall_s is None else f"{done.wall_s:.1f} s", "green")


def _round_json(result: RoundResult) -> dict:
    stages = {
        name: {"wall_s": done.wall_s, "hash": done.hash, "notes": done.manifest["notes"]}
        for name, done in result.stages.items()
    }
    counts = result.counts if "select" in result.stages else None
    return {"round": result.number, "counts": counts, "stages": stages}
