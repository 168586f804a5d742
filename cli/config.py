"""`--config FILE.yaml`: values of a file become the defaults of a command's flags.

Flags with a dot, `--source.clips`, are written below one another: `source:` and, indented, `clips: 10`.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro
import yaml

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line, read_utf8

MAX_YAML, MAX_NODES = 1 << 18, 10_000
"""Bytes of a configuration, and its values with every alias followed."""


def take_config(args: Sequence[str]) -> tuple[list[str], Path | None]:
    """Split `--config FILE` (or `--config=FILE`) from the other arguments."""
    rest: list[str] = []
    path: Path | None = None
    waiting = iter(args)
    for arg in waiting:
        if arg == "--config":
            value = next(waiting, None)
            if value is None:
                raise MotionError("--config: no file given, expected --config FILE.yaml")
            path = Path(value)
        elif arg.startswith("--config="):
            path = Path(arg.removeprefix("--config="))
        else:
            rest.append(arg)
    return rest, path


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping; loaded safely. MotionError for anything else."""
    value = _plain_value(read_utf8(path, MAX_YAML, "YAML"), path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MotionError(f"{path}: holds a {type(value).__name__}, expected names and values, one a line")
    return value


def _plain_value(text: str, path: Path) -> Any:
    """The value of a YAML text by the safe loader, whose aliases are counted before they are followed.

    A date of month 99, `!!int abc` and a number of 5,000 digits make the loader raise what is no YAMLError.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, path)
        return loader.construct_document(node)
    except MotionError:
        raise
    except RecursionError:
        raise MotionError(f"{path}: nested too deep, expected names and values, one a line") from None
    except Exception as error:
        reason = in_one_line(error, 120)
        raise MotionError(f"{path}: not a YAML file of names and plain values ({reason})") from None


def _count(node: yaml.Node, sizes: dict[int, int], path: Path) -> int:
    """Nodes below a node with every alias followed; MotionError beyond `MAX_NODES` and for a node that holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in sizes:
        sizes[id(node)] = MAX_NODES + 1  # what is met again while it is open holds itself
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        sizes[id(node)] = 1 + sum(_count(part, sizes, path) for part in parts)
    if sizes[id(node)] > MAX_NODES:
        raise MotionError(f"{path}: its aliases unfold to more than {MAX_NODES} values, expected a configuration")
    return sizes[id(node)]


def overlay(command: type, path: Path) -> Any:
    """Defaults of a command's dataclass with the values of a YAML file laid over; a mapping is laid over the dataclass
    that a field holds, name by name.

    A field that has no default and is not in the file stays required. Unknown names and wrong types raise MotionError.
    """
    laid = _laid(command, read_yaml(path), str(path))
    required = {f.name for f in fields(command) if f.default is MISSING and f.default_factory is MISSING}
    return command(**({name: tyro.MISSING for name in required} | laid))


def _laid(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Values for the fields of a dataclass from a mapping of a file."""
    hints = get_type_hints(kind, include_extras=True)
    known = {f.name: f for f in fields(kind)}
    names = {str(key).replace("-", "_"): key for key in values}
    unknown = sorted(str(key) for name, key in names.items() if name not in known)
    if unknown:
        raise MotionError(f"{where}: unknown {', '.join(unknown)}, expected some of {', '.join(sorted(known))}")
    if len(names) < len(values):
        raise MotionError(f"{where}: a name is there twice, with - and with _")
    made = {}
    for name, key in names.items():
        value, hint, at = values[key], hints[name], f"{where}: {key}"
        if is_dataclass(hint) and isinstance(hint, type):
            made[name] = _nested(known[name], hint, value, at)
        else:
            made[name] = _coerce(value, hint, at)
    return made


def _nested(field: Field, kind: type, value: Any, where: str) -> Any:
    """The default of a field that holds a dataclass, with a mapping laid over it."""
    if not isinstance(value, dict):
        raise MotionError(f"{where} is {repr(value)[:60]}, expected names and values below it")
    laid = _laid(kind, value, where)
    if field.default is not MISSING:
        return replace(field.default, **laid)
    return kind(**laid) if field.default_factory is MISSING else replace(field.default_factory(), **laid)


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """A YAML value as the type that a field declares."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _coerce(value, inner[0], where)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        for option in (option for option in inner if option is not type(None)):
            try:
                return _coerce(value, option, where)
            except MotionError:
                continue
    elif origin is Literal and value in inner:
        return value
    elif origin in (tuple, list) and isinstance(value, list):
        return origin(_coerce(item, inner[0] if inner else str, where) for item in value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", None) if not inner else str(hint).replace("typing.", "")
    raise MotionError(f"{where} is {repr(value)[:60]}, expected {expected}")
