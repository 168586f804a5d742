"""What options were called before: who hands back a file with an old name in it, or types one, gets today's option.

A dataclass of options tells its own former names in a class variable `FORMER`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import MotionError


@dataclass(frozen=True)
class Gone:
    """Options without a successor: passed over where `name` has the value `idle`, at which none of them did anything;
    else they stay, and whoever reads them refuses them by name. others: those that `name` decided about."""

    name: str
    idle: Any
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Former:
    """What a dataclass's options were called.

    names: old name to today's, dotted where that lies in a field's dataclass; values: by field today's value of an old
    one; gone: see `Gone`.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gone: tuple[Gone, ...] = ()


def former(kind: type) -> Former:
    """What the options of a dataclass were called, those of dataclasses in its fields apart."""
    return getattr(kind, "FORMER", Former())


def current(kind: type, values: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    """What a file says of a dataclass, in today's names and values; what is nested in it stays as it is.

    MotionError if an option is there by its old name and by today's.
    """
    was, told = former(kind), dict(values)
    for gone in was.gone:
        if gone.name in told and told[gone.name] == gone.idle:
            for name in (gone.name, *gone.others):
                told.pop(name, None)
    for name in [name for name in told if str(name).replace("-", "_") in was.names]:
        _put(told, was.names[str(name).replace("-", "_")], told.pop(name), f"{where}: {name}")
    for name, known in was.values.items():
        if isinstance(told.get(name), str):
            told[name] = known.get(told[name], told[name])
    return told


def _put(tree: dict[Any, Any], path: str, value: Any, where: str) -> None:
    """Set a value at a dotted path; dictionaries on the way are copied."""
    *above, last = path.split(".")
    for part in above:
        if not isinstance(tree.get(part, {}), dict):
            raise MotionError(f"{where}: {part} is {repr(tree[part])[:60]}, expected names and values below it")
        below = dict(tree.get(part, {}))
        tree[part] = below
        tree = below
    if last in tree:
        raise MotionError(f"{where}: {path} is there twice, by its old name and by today's")
    tree[last] = value
