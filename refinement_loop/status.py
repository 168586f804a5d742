"""What a run's folder holds: which rounds and stages are finished, and what became of the clips.

It loads neither torch nor a model, so that a glance at a run that is at work costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.opening import read_json

from .stages import STAGES, Finished, read_finished

CONFIG = "config.json"
REPORT = "report.html"
"""Where a run's report is, unless somebody asks for another place."""
MAX_ROUNDS = 10_000


@dataclass(frozen=True)
class RoundResult:
    """A round's finished stages by name, in order."""

    number: int
    stages: dict[str, Finished]

    @property
    def counts(self) -> dict[str, Any]:
        """Verdicts of the round, as `selection.tally` gives them. KeyError before they are given."""
        return self.stages["select"].manifest["notes"]

    @property
    def robot(self) -> Finished | None:
        """The stage in which a robot tried the accepted clips; None where none was asked for or it is not finished."""
        done = self.stages.get("robot")
        return None if done is None or "skipped" in done.manifest["notes"] else done

    @property
    def failed(self) -> dict[str, str]:
        """What a generator from outside did not give, files that cannot be read or prompts without a clip, and why."""
        return self.stages["generate"].manifest["notes"]["failed"]

    @property
    def passed_over(self) -> list[str]:
        """Folders among somebody's outputs that are ours, and were not read."""
        return self.stages["generate"].manifest["notes"].get("passed_over", [])


def round_folder(run: Path, number: int) -> Path:
    """Where a round lives."""
    return run / f"round_{number:02d}"


def is_begun(run: Path, number: int, name: str) -> bool:
    """Whether a stage was begun and not finished."""
    return (round_folder(run, number) / f".{name}.partial").is_dir()


def planned_rounds(run: Path) -> int:
    """How many rounds a run is to have. MotionError if the folder holds no run."""
    path = run / CONFIG
    try:
        path.stat()
    except OSError:
        raise MotionError(f"{run}: holds no run, expected a folder that `morphloop loop run` made") from None
    try:
        rounds = read_json(path, expected="the config of a run")["rounds"]
    except (KeyError, TypeError):
        raise MotionError(f"{path}: not the config of a run") from None
    if not isinstance(rounds, int) or isinstance(rounds, bool) or not 1 <= rounds <= MAX_ROUNDS:
        raise MotionError(f"{path}: rounds is {rounds!r}, expected 1 to {MAX_ROUNDS}")
    return rounds


def finished_rounds(run: Path) -> list[RoundResult]:
    """Every round of a run with the stages that are finished. MotionError if the folder holds no run."""
    results = []
    for number in range(planned_rounds(run)):
        found = {name: read_finished(round_folder(run, number) / name) for name in STAGES}
        results.append(RoundResult(number, {name: done for name, done in found.items() if done is not None}))
    return results
