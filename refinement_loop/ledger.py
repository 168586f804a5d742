"""The ledger of a run: one JSON object a line, appended, never rewritten; what happened and when."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

LEDGER = "ledger.jsonl"


def append_event(run: Path, event: str, **values: Any) -> None:
    """Append one event in a single write and flush it to the disk.

    A line that a power cut tore is closed first, so that it can spoil nothing but itself.
    """
    row = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event} | values
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    handle = os.open(run / LEDGER, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def read_ledger(run: Path) -> list[dict[str, Any]]:
    """All events of a run in order; a torn line is left out."""
    path = run / LEDGER
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
