"""A batch that several machines measured, a shard each: what a shard's table holds besides, and all of them as one.

The files are numbered over the whole batch, so that rows come in one order and the same clips have controls, whoever
measured them; what is made of the rows is what one machine would have made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.opening import read_json
from morphloop.base.shards import Shard
from morphloop.base.still_valid import hash_code

from ..config import EvaluateConfig
from .evaluate import Evaluation, begin, versions
from .spool import MOST_CLIPS

FIELD = "shard"
"""Of the table of a shard."""
CODE = ("motion", "sim", "metrics")
"""Folders whose code a row rests on."""
MAX_BYTES = 1 << 31
"""Of a shard's table."""


def shard_facts(result: Evaluation, shard: Shard) -> dict[str, Any]:
    """What `merge_shards` asks of a shard's table besides its rows."""
    return {
        "part": shard.part,
        "of": shard.of,
        "made_with": _made_with(result),
        "rows": [[key, frozen] for key, frozen in result.rows.frozen()],
        "failures": [list(failure) for failure in result.failures],
    }


def merge_shards(paths: Iterable[Path | str], config: EvaluateConfig, tables: Sequence[Path]) -> Evaluation:
    """What `evaluate(paths, config)` finds, from the tables of all its shards.

    MotionError for a table that is none of a shard, that has other settings, code, versions or files, for a shard that
    is missing and for one that is there twice.
    """
    result, _ = begin(paths, config)
    made_with, seen = _made_with(result), dict[int, Path]()
    whole = [(path, _read(path)) for path in tables]
    of = whole[0][1][FIELD]["of"]
    for path, table in whole:
        told = table[FIELD]
        for name, value in made_with.items():
            if told["made_with"].get(name) != value:
                raise MotionError(f"{path}: a shard made with other {name}, expected the same as are asked for here")
        if told["of"] != of:
            raise MotionError(f"{path}: one of {told['of']} shards, and {tables[0]} is one of {of}")
        if told["part"] in seen:
            raise MotionError(f"{path}: shard {told['part']}/{told['of']}, as {seen[told['part']]} is")
        seen[told["part"]] = path
    missing = [f"{part}/{of}" for part in range(1, of + 1) if part not in seen]
    if missing:
        raise MotionError(f"--merge: shard {', '.join(missing[:8])} is missing, expected the tables of all")
    rows = [
        (key, row, frozen)
        for _, table in whole
        for row, (key, frozen) in zip(table["clips"], table[FIELD]["rows"], strict=True)
    ]
    for key, row, frozen in sorted(rows, key=lambda found: found[0]):
        result.add(key // MOST_CLIPS, key % MOST_CLIPS, row, frozen)
    for _, table in whole:
        result.failures += [(file, clip, path, why) for file, clip, path, why in table[FIELD]["failures"]]
    return result.ended()


def _made_with(result: Evaluation) -> dict[str, Any]:
    """What two shards of one batch have in common, by the word for it."""
    settings = {name: str(value) for name, value in asdict(result.config).items() if name != "workers"}
    return {
        "settings": settings,
        "versions": versions(result),
        "code": hash_code(CODE),
        "files": result.files,
    }


def _read(path: Path) -> dict[str, Any]:
    """A shard's table."""
    table = read_json(path, MAX_BYTES, "a table of `evaluate --shard`")
    try:
        told = table[FIELD]
        whole = len(table["clips"]) == len(told["rows"]) and 1 <= told["part"] <= told["of"]
        whole = whole and isinstance(told["made_with"], dict) and isinstance(told["failures"], list)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise MotionError(f"{path}: not the table of a shard, expected what `evaluate --shard i/n --json` wrote")
    return table
