"""A verdict with a reason for every clip, and the figures over all clips, over accepted ones and over parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.metrics import summarise
from morphloop.motion import read_manifest, write_manifest

from ..records import Record, hash_rows, is_part
from ..round_state import RoundState, Tick
from ..selection import Verdict, tally

SUMMARY_FILE = "summary.json"


def settings(state: RoundState) -> dict[str, Any]:
    """The rules of the verdict."""
    return asdict(state.config.selection)


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """The verdicts were given as each clip was done; here they are counted and summed up."""
    rows = read_manifest(state.folder("measure"))
    write_manifest(folder, rows)
    write_json(folder / SUMMARY_FILE, summaries(rows) | {"rows": hash_rows(rows)})
    return tally(verdicts(folder))


def summaries(rows: Sequence[Record]) -> dict[str, Any]:
    """Summary of every side over all clips and over accepted ones, and over what was rescued where anything was:
    {"all": {side: {metric: ...}}, "accepted": ..., "rescued": ...}."""
    whole, parts = [row for row in rows if not is_part(row)], [row for row in rows if is_part(row)]
    groups = {"all": whole, "accepted": [row for row in whole if row["verdict"] == "accepted"]}
    sides = ("before", "after", "frozen", "tracking", "sim")
    return {
        group: {side: summarise([row[side] for row in members if row[side]]) for side in sides}
        for group, members in (groups | ({"rescued": parts} if parts else {})).items()
    }


def verdicts(folder: Path) -> list[Verdict]:
    """The verdicts of a select stage."""
    return [Verdict(r["name"], r["verdict"], r["reason"], r["detail"]) for r in read_manifest(folder)]
