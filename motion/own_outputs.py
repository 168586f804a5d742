"""Folders that morphloop wrote: a run, or what `project` made. They are known by their config.json, so that nobody's
outputs are taken for his inputs when one folder contains the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_json

CONFIG = "config.json"
MARKS = frozenset({"projection", "selection"})
"""What the config of either holds, and nobody else's."""


def config_of(folder: Path) -> dict | None:
    """The config of a folder that morphloop wrote, None of any other."""
    path = folder / CONFIG
    try:
        values = read_json(path) if path.is_file() else None
    except (OSError, MotionError):
        return None
    return values if isinstance(values, dict) and values.keys() >= MARKS else None


def pass_over_own(
    files: Iterable[Path], roots: Sequence[Path], out: Path | None = None
) -> tuple[list[Path], list[Path]]:
    """Files less what morphloop wrote into folders below the roots, and these folders.

    A root itself is what somebody asked for, unless it is `out`, where the command is about to write: of that nothing
    is taken that lies in a folder of its own.
    """
    asked = {root.resolve() for root in roots}
    out = None if out is None else out.resolve()
    known: dict[Path, Path | None] = {}

    def owner(folder: Path) -> Path | None:
        """The outermost folder of ours, strictly below what was asked for, that a folder lies in."""
        if folder not in known:
            if folder in asked or folder.parent == folder:
                known[folder] = None
            else:
                above = owner(folder.parent)
                ours = folder == out or config_of(folder) is not None or folder.parent == out
                known[folder] = above if above is not None else folder if ours else None
        return known[folder]

    kept: list[Path] = []
    passed: dict[Path, None] = {}
    for file in files:
        found = owner(file.parent.resolve())
        if found is None:
            kept.append(file)
        else:
            passed[found] = None
    return kept, list(passed)
