"""The table of every clip's figures before and after, and of its frozen pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from morphloop.motion import read_manifest, write_manifest

from ..round_state import RoundState, Tick


def settings(state: RoundState) -> dict[str, Any]:
    """Nothing is left open."""
    return {}


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """The figures were taken as each clip was done: whether a part of it is to be rescued rests on them."""
    rows = read_manifest(state.folder("project"))
    write_manifest(folder, rows)
    tick(len(rows), len(rows))
    return {"clips": len(rows)}
