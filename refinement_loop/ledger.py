"""The ledger of a run: one JSON object a line, appended, never rewritten; what happened and when."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morphloop.base import MotionError

LEDGER = "ledger.jsonl"


def append_event(run: Path, event: str, **values: Any) -> None:
    """Append one event in a single write and flush it to the disk.

    A line that a power cut tore is closed first, so that it can spoil nothing but itself.
    """
    row = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event} | values
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    handle = open_own(run / LEDGER, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def open_own(path: Path, flags: int) -> int:
    """A file of a run, open, made if need be. MotionError if it cannot be written, is a link (none is followed), or no
    regular file: a pipe would hold us until somebody reads it."""
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise MotionError(f"{path}: is a link, expected a file of this run's own") from None
        raise MotionError(f"{path}: cannot write here ({error.strerror}), choose a writable folder") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise MotionError(f"{path}: is no regular file, expected a file of this run's own")
    return handle


def read_ledger(run: Path) -> list[dict[str, Any]]:
    """All events of a run in order; a line that was torn, or is none, is left out."""
    path = run / LEDGER
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _events(run: Path, about: Mapping[str, Any]) -> list[Any]:
    """What happened, in order, to that which `about` names."""
    rows = [row for row in read_ledger(run) if all(row.get(name) == value for name, value in about.items())]
    return [row.get("event") for row in rows]


def count_events(run: Path, event: str, about: Mapping[str, Any]) -> int:
    """How often an event befell a stage of a round: {"round", "stage"}."""
    return _events(run, about).count(event)


def last_event(run: Path, about: Mapping[str, Any]) -> str | None:
    """What befell a stage of a round last, None if nothing did."""
    return (_events(run, about) or [None])[-1]
