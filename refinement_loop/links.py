"""The chain of hashes through a run: whether its files are still those that its stages left, and fit each other.

Every stage's manifest tells the hash of each of its outputs and of what it was made from; every record those of its
clip's files. Here they are only compared, which takes seconds; `verify` also does again what they say was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.motion import read_manifest

from .records import Record, broken_links, load_record
from .selection import Verdict, tally
from .stages import MANIFEST, STAGES, Finished, Stage, changed_outputs
from .status import RoundResult, round_folder


def run_faults(run: Path, rounds: Sequence[RoundResult]) -> list[str]:
    """What in a run is not as its stages left it, or does not fit: a line each, the file first, from the run on."""
    faults, models = [], dict[str, str | None]()
    for result in rounds:
        home = round_folder(run, result.number)
        for name in STAGES:
            if name not in result.stages and (home / name).is_dir():
                faults.append(f"{(home / name / MANIFEST).relative_to(run)}: is missing")
        for name, done in result.stages.items():
            where = done.folder.relative_to(run)
            faults += [f"{where / path}: changed since the stage was finished" for path in _changed(done)]
            for given, stage in STAGES[name].made_from.items():
                before = result.stages.get(stage)
                if before is None and given not in done.manifest["inputs"]:
                    continue  # a run from before there was that stage
                if before is None or done.manifest["inputs"].get(given) != before.hash:
                    faults.append(f"{where / MANIFEST}: was made from other {given} than {where.parent / stage} holds")
        for what, expected in models.items():
            faults += _handed_on(run, result, what, expected)
        models = {stage.gives: _after(result, stage) for stage in STAGES.values() if stage.gives is not None}
        faults += _row_faults(run, result)
    return faults


def _changed(done: Finished) -> list[str]:
    return changed_outputs(done.folder, done.manifest)


def _handed_on(run: Path, result: RoundResult, what: str, expected: str | None) -> list[str]:
    """The model that the first stage to take one began with is the one that the round before ended with."""
    done = result.stages.get(next(stage.name for stage in STAGES.values() if what in stage.takes))
    if done is None or expected is None or done.manifest["inputs"].get(what) == expected:
        return []
    path = (done.folder / MANIFEST).relative_to(run)
    return [f"{path}: began with {what} {done.manifest['inputs'].get(what)}, the round before ended with {expected}"]


def _after(result: RoundResult, stage: Stage) -> str | None:
    """Hash of the model that a stage gives, as a round hands it on; None if the stage is not finished."""
    done = result.stages.get(stage.name)
    if done is None or stage.gives is None:
        return None
    notes: Mapping[str, Any] = done.manifest["notes"]
    kept = stage.gives in notes and not notes.get("rolled_back")
    return notes[stage.gives] if kept else done.manifest["inputs"].get(stage.gives)


def _row_faults(run: Path, result: RoundResult) -> list[str]:
    """Records, and the tables of the stages that went on from them."""
    if "project" not in result.stages:
        return []
    where = result.stages["project"].folder.relative_to(run).parent
    try:
        return [f"{where / line}" for line in _table_faults(result)]
    except MotionError as error:
        return [str(error).replace(f"{run}/", "")]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"{where}: its records are malformed ({type(error).__name__}: {error})"]


def _table_faults(result: RoundResult) -> list[str]:
    """`_row_faults` from the round on; KeyError and the like where a table is not one of ours."""
    folder = result.stages["project"].folder
    rows = read_manifest(folder)
    faults = [f"project/{link}" for row in rows for link in broken_links(folder, row)]
    faults += [
        f"project/manifest.jsonl: {row['name']} is not its record"
        for row in rows
        if load_record(folder, row["name"]) != row
    ]
    for name in ("measure", "select"):
        if name not in result.stages:
            break
        table = read_manifest(result.stages[name].folder)
        faults += [f"{name}/manifest.jsonl: {line}" for line in grown_faults(rows, table)]
        rows = table
    else:
        notes = result.stages["select"].manifest["notes"]
        counted = tally([Verdict(r["name"], r["verdict"], r["reason"], r["detail"]) for r in rows])
        if any(notes.get(key) != value for key, value in counted.items()):
            faults.append(f"select/{MANIFEST}: counts are not its verdicts'")
    return faults


def grown_faults(rows: Sequence[Record], table: Sequence[Record]) -> list[str]:
    """What a table says of the clips in `rows` otherwise than they do; it may say more, and a verdict's reason stands
    where the projector's stood."""
    known = {row["name"]: row for row in rows}
    if [row.get("name") for row in table] != list(known):
        return ["holds other clips than the stage before it"]
    faults = []
    for row in table:
        had = known[row["name"]]
        judged = ("hash", "reason") if "verdict" in row and "verdict" not in had else ("hash",)
        other = sorted(key for key in had if key not in judged and row.get(key) != had[key])
        faults += [f"{row['name']}: {key} is not what the stage before it says" for key in other[:1]]
    return faults
