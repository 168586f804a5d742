"""What installed packages add to morphloop, by their entry points: readers, bodies, generators and metrics.

An entry point is imported when what it adds is needed. One that does not import, or whose name is taken, is told in
one line and passed over; the rest goes on.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import MotionError
from .opening import in_one_line

READERS, BODIES, GENERATORS, METRICS = (
    "morphloop.readers",
    "morphloop.bodies",
    "morphloop.generators",
    "morphloop.metrics",
)
"""Groups of entry points."""
GROUPS = (READERS, BODIES, GENERATORS, METRICS)

log = logging.getLogger("morphloop.plugins")


@cache
def offered(group: str, taken: Collection[str] = frozenset()) -> dict[str, EntryPoint]:
    """What packages offer in a group, by name in sorted order; said is what has a name of `taken`, or another's."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        if entry.name in taken:
            pass_over(entry, "the name is morphloop's own")
        elif entry.name in found:
            pass_over(entry, f"{package_of(found[entry.name])} has that name too")
        else:
            found[entry.name] = entry
    return found


def load(entry: EntryPoint) -> Any:
    """What an entry point names. MotionError in one line for whatever goes wrong while it is imported."""
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__} ({in_one_line(error)})"
        raise MotionError(f"{entry.group} '{entry.name}' of {package_of(entry)}: {why}") from error


def pass_over(entry: EntryPoint, why: str) -> None:
    """Say once, and not in every worker process, that an entry point is not used."""
    say_once(f"{entry.group} '{entry.name}' of {package_of(entry)}: {why}, passed over")


def say_once(line: str) -> None:
    """A line on what packages add, not repeated in worker processes."""
    if multiprocessing.parent_process() is None:
        log.warning("%s", line)


def package_of(entry: EntryPoint) -> str:
    """The distribution of an entry point with its version, as in `theirs 1.2`."""
    return "a package without metadata" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


@cache
def plugin_versions(*groups: str) -> dict[str, str]:
    """Version by distribution of whatever offers something in these groups."""
    found = (entry.dist for group in groups for entry in entry_points(group=group))
    return {dist.name: dist.version for dist in sorted((d for d in found if d is not None), key=lambda d: d.name)}
