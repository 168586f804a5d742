"""Wall times of a folder's parts, in `timing.jsonl`: a clock is not a result, so that no hash covers this file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .ledger import open_own

TIMING = "timing.jsonl"


def append_timing(folder: Path, kind: str, name: str, wall_s: float) -> None:
    """Note how long something took: a "clip" or a "stage" of that name, seconds."""
    line = json.dumps({kind: name, "wall_s": round(wall_s, 3)}) + "\n"
    with os.fdopen(open_own(folder / TIMING, os.O_WRONLY | os.O_APPEND), "w") as stream:
        stream.write(line)


def read_timing(folder: Path, kind: str) -> dict[str, float]:
    """Seconds of each "clip" or "stage" by name, the last where one was done twice; lines that are none are left out,
    and a folder without the file has none."""
    path, found = folder / TIMING, dict[str, float]()
    if not path.is_file():
        return found
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
            found[str(row[kind])] = float(row["wall_s"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found
