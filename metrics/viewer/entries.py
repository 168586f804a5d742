"""What there is to see: the clips of files, folders, projected folders and runs, each with what is known of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.opening import read_json
from morphloop.metrics.report.evaluate import motion_files
from morphloop.motion.own_outputs import config_of
from morphloop.sim import Body, load_body
from morphloop.sim.drawing.shown import CLIPS, beside

PROJECTED = "round_*/project"
"""Where a run has what physics made of each round."""
RECORDS = "records"


@dataclass(frozen=True)
class Entry:
    """A file to see. name: as the list shows it; path: of the clip; sides: by name the files of what it was before and
    what was tracked, and the rollout; body: what `--body` says, or its folder's config does; verdict, reason: of
    `project`; metrics: what its record tells, empty where there is none."""

    name: str
    path: Path
    sides: dict[str, Path] = field(default_factory=dict)
    body: str | None = None
    verdict: str | None = None
    reason: str | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)


def find_entries(paths: Sequence[Path], body: str | None, failed: list[dict[str, str]]) -> list[Entry]:
    """Everything below these paths, in order; a path that holds nothing goes to `failed`. MotionError for no path."""
    if not paths:
        raise MotionError("nothing to view, expected files or folders")
    found: list[Entry] = []
    for path in paths:
        rounds = sorted(path.glob(PROJECTED)) if path.is_dir() else []
        if rounds:
            asked = body or _body_of(path)
            for folder in rounds:
                found += _of_files(folder, [folder / CLIPS], asked, f"{folder.parent.name}/", failed)
            continue
        places = [path / CLIPS] if (path / CLIPS).is_dir() and (path / RECORDS).is_dir() else [path]
        found += _of_files(path, places, body or _body_of(path), "", failed)
    return found


def _of_files(
    root: Path, places: Sequence[Path], body: str | None, prefix: str, failed: list[dict[str, str]]
) -> Iterator[Entry]:
    for place in places:
        for path in motion_files([place], failed):
            below = os.path.relpath(path, place) if place.is_dir() else path.name
            record = _record(path)
            yield Entry(
                prefix + below.removesuffix(path.suffix),
                path,
                beside(path),
                body,
                record.get("verdict"),
                _reason(record),
                _figures(record),
            )


def _figures(record: dict[str, Any]) -> dict[str, float | None]:
    """The figures of a record, nothing of what is none."""
    after = record.get("after")
    told = after.items() if isinstance(after, dict) else ()
    return {
        name: value for name, value in told if value is None or (isinstance(value, int | float) and isfinite(value))
    }


def _reason(record: dict[str, Any]) -> str | None:
    words = [record.get("reason"), record.get("detail")]
    return ", ".join(str(word) for word in words if word) or None


def _record(path: Path) -> dict[str, Any]:
    """What `project` wrote about a clip; nothing for any other file."""
    place = path.parent.parent / RECORDS / f"{path.stem}.json"
    if path.parent.name != CLIPS or not place.is_file():
        return {}
    try:
        record = read_json(place, expected="the record of a clip")
    except MotionError:
        return {}
    return record if isinstance(record, dict) else {}


def _body_of(folder: Path) -> str | None:
    """The body that a folder's config names, None for people's own."""
    config = config_of(folder) if folder.is_dir() else None
    body = None if config is None else config.get("body")
    return body if isinstance(body, str) else None


class Bodies:
    """Bodies by what `--body` says, each loaded once."""

    def __init__(self) -> None:
        self._loaded: dict[str | None, Body] = {}

    def __getitem__(self, spec: str | None) -> Body:
        """MotionError, one line, for one that cannot be loaded, such as a robot whose file is gone."""
        if spec not in self._loaded:
            self._loaded[spec] = load_body(spec)
        return self._loaded[spec]
