"""Is a result that lies on a disk still valid? One answer for stages, projected clips, benches and trainings.

A result rests on code with its package data, on the versions of what computes it, on its inputs (each by hash) and on
its whole configuration. `basis` says all of it as plain JSON; a result is valid while nothing of it differs
(`difference`), which is while `result_key` is the same. Wall times are in none of it: a clock is not a result.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from morphloop import __version__

from .errors import MotionError
from .plugins import METRICS, plugin_versions

HOUSE = Path(str(files("morphloop")))
VERSIONED = ("numpy", "scipy", "torch", "mujoco", "transformers", "tokenizers", "stable-baselines3")
WEIGHTS = (".safetensors",)
"""Package data that no code hash covers: who uses weights has their hash among the inputs."""
ALWAYS = ("assets/balance", "base")
"""What belongs to every result: package data outside the folders of code, and what all folders stand on."""

Basis = dict[str, Any]


def hash_json(value: Any) -> str:
    """Short hash of plain JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Short hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


@cache
def hash_code(parts: tuple[str, ...]) -> str:
    """Hash of the sources and the package data of some of morphloop's folders or files, named from its root."""
    digest = hashlib.sha256()
    for path in sorted({path for part in (*parts, *ALWAYS) for path in _files(HOUSE / part)}):
        digest.update(str(path.relative_to(HOUSE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(place: Path) -> Iterator[Path]:
    """The file itself, or what of a folder decides results: all but caches and weights."""
    if place.is_file():
        yield place
        return
    for path in place.rglob("*"):
        inside = path.relative_to(place).parts
        hidden = any(part.startswith((".", "__pycache__")) for part in inside)
        if path.is_file() and not hidden and path.suffix not in WEIGHTS:
            yield path


@cache
def versions() -> dict[str, str]:
    """Versions of what a result depends on, of packages that add metrics too."""
    ours = {"python": platform.python_version(), "morphloop": __version__}
    return ours | {name: version(name) for name in VERSIONED} | plugin_versions(METRICS)


def basis(parts: Sequence[str], inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Basis:
    """All that a result rests on, as JSON holds it.

    parts: folders and files of morphloop that make it; inputs: name to hash; config: plain values, all of them.
    """
    made = {"code": hash_code(tuple(parts)), "versions": versions(), "inputs": dict(inputs), "config": dict(config)}
    return json.loads(json.dumps(made, allow_nan=False))


def result_key(made: Basis) -> str:
    """Hash of a basis: what two results have in common that are one."""
    return hash_json(made)


def difference(had: Mapping[str, Any], wanted: Basis, free: Collection[str] = ()) -> str | None:
    """Why a result on basis `had` is not valid on basis `wanted`: the first thing that differs in words, None if it is.

    free: dotted names of what may differ, such as a training's budget, "config.steps".
    """
    old, new = _leaves(had), _leaves(wanted)
    for name in sorted(old.keys() | new.keys()):
        if name not in free and old.get(name, ABSENT) != new.get(name, ABSENT):
            there, here = (str(side.get(name, "nothing"))[:80] for side in (old, new))
            return f"{name.removeprefix('config.').removeprefix('inputs.')} = {there}, asked for {here}"
    return None


def check_same(where: Path, had: Any, wanted: Basis, what: str, free: Collection[str] = ()) -> None:
    """MotionError in one line if what a file or folder holds, `what` in words, is on another basis than the wanted."""
    why = difference(had if isinstance(had, dict) else {}, wanted, free)
    if why is not None:
        raise MotionError(f"{where}: holds {what} with {why}; expected the same, or another folder")


ABSENT = object()


def _leaves(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values of nested objects by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _leaves(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat
