"""`--config FILE`: values of a YAML or JSON file become the defaults of a command's flags.

What stands in a part of a command, `--projection.ilqr.horizon`, is written below it: `projection:` and, indented,
`ilqr:` and `horizon: 12`; by a name of its own (`Command.SHORT`) or a part without a prefix it may stand beside the
others. The file may be one that the command wrote beside its output: what it tells besides of how that came to be is
passed over. Names and values that options had before are taken as today's, from a file and as flags
(`base/former.py`).
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro
import yaml

from morphloop.base import MotionError
from morphloop.base.former import current, former
from morphloop.base.opening import in_one_line, read_json, read_utf8

MAX_YAML, MAX_NODES = 1 << 18, 10_000
"""Bytes of a configuration, and its values with every alias followed."""
SIDE_BY_SIDE = ("models", "body", "threads", "code", "versions")
"""What the config.json of `project` told beside its rules, until `made_with` held it."""
MADE_WITH, STOPPED, DATA_SET, CONFIG = "made_with", "stopped", "data_set", "config"
"""Of files that a command wrote: what a result rests on besides, what a time limit cut short, and in a table of results
the configuration that they were made by."""


NOT_KEPT = ("out", "json", "html", "markdown", "drop", "shard", "merge", "cluster")
"""Flags that say where a result goes, which part of it is made and who makes it."""


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


def short_names(command: type) -> dict[str, str]:
    """Names of a command's own for what stands in its parts: {"finetune_steps": "finetune.steps"}."""
    return getattr(command, "SHORT", {})


def short_help(command: type) -> str:
    """A line for the help of a command: its short names and what they stand for."""
    told = []
    for name, path in short_names(command).items():
        *above, last = path.split(".")
        kind = command
        for part in above:
            kind = part_of(get_type_hints(kind, include_extras=True)[part])
        flags = (name, f"no_{name}") if get_type_hints(kind)[last] is bool else (name,)
        told.append(f"{', '.join(f'--{flag}' for flag in flags)} for --{path}".replace("_", "-"))
    return f"Short: {'; '.join(told)}." if told else ""


def spelt_out(command: type, args: Sequence[str]) -> list[str]:
    """Arguments with every flag of `short_names` in full, `--no-smooth` as `--projection.conditioning.no-smooth`, and
    old flags and values as today's."""
    values = {f"--{path}".replace("_", "-"): known for path, known in former_values(command).items()}
    full = {}
    for name, path in (former_names(command) | short_names(command)).items():
        above, _, last = path.rpartition(".")
        prefix = f"{above}." if above else ""
        for negation in ("", "no-"):
            full[f"--{negation}{name}".replace("_", "-")] = f"--{prefix}{negation}{last}".replace("_", "-")
    spelt, known = [], ""
    for arg in args:
        if not arg.startswith("--"):
            spelt.append(values.get(known, {}).get(arg, arg))
            continue
        flag, equals, value = arg.partition("=")
        known = full.get(flag.replace("_", "-"), flag)
        spelt.append(f"{known}{equals}{values.get(known, {}).get(value, value)}")
    return spelt


def former_names(command: type) -> dict[str, str]:
    """Old flag to today's dotted one, of a command and of all dataclasses in it."""
    return {
        above + name: above + path for above, part in parts_of(command) for name, path in former(part).names.items()
    }


def former_values(command: type) -> dict[str, Mapping[str, str]]:
    """By dotted flag today's value of an old one, of a command and of all dataclasses in it."""
    return {above + name: known for above, part in parts_of(command) for name, known in former(part).values.items()}


def parts_of(kind: type, above: str = "") -> Iterator[tuple[str, type]]:
    """A dataclass and all that are in it, each with the prefix of its flags."""
    yield above, kind
    unnamed = open_parts(kind)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        part = part_of(hint)
        if part is not None:
            yield from parts_of(part, above if name in unnamed else f"{above}{name}.")


def resolved(command: Any, **changes: Any) -> dict[str, Any]:
    """A command's values as plain ones for the file beside its output, which `--config` takes back; where to write,
    which part of it and who makes it are left out. changes: what they came to where a flag left it open."""
    values = {name: value for name, value in asdict(command).items() if name not in NOT_KEPT}
    return _plain(values | changes)


def absolute(path: str | None) -> str | None:
    """A path that a flag gives as text, from anywhere."""
    return None if path is None else str(Path(path).resolve())


def body_named(spec: str | None) -> str | None:
    """What `--body` says, from anywhere: a body's name as it is, a file by its absolute path."""
    from morphloop.sim.bodies.built_in import is_named

    return spec if is_named(spec) else absolute(spec)


def _plain(value: Any) -> Any:
    """Paths as absolute text, tuples as lists."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value.resolve()) if isinstance(value, Path) else value


def read_values(path: Path) -> dict[str, Any]:
    """The configuration that a file holds, of a table of results the one that it was made by."""
    if path.suffix.lower() != ".json":
        return read_yaml(path)
    values = read_json(path, expected="a configuration")
    if not isinstance(values, dict):
        raise MotionError(f"{path}: holds a {type(values).__name__}, expected names and values")
    if "schema" in values and isinstance(values.get(CONFIG), dict):
        values = values[CONFIG]
    if {"projection", "selection", *SIDE_BY_SIDE} <= values.keys():
        values = {name: value for name, value in values.items() if name not in SIDE_BY_SIDE}
        if values.get("rescue", {}) is None:
            values["rescue"] = {"keep": False}
    return {name: value for name, value in values.items() if name not in (MADE_WITH, STOPPED, DATA_SET)}


def overlay(command: type, path: Path) -> Any:
    """Defaults of a command's dataclass with the values of a file laid over; a mapping is laid over the dataclass
    that a field holds, name by name.

    A field that has no default and is not in the file stays required. Unknown names and wrong types raise MotionError.
    """
    laid = _laid(command, read_values(path), str(path), short_names(command))
    required = {f.name for f in fields(command) if f.default is MISSING and f.default_factory is MISSING}
    return command(**({name: tyro.MISSING for name in required} | laid))


def _laid(kind: type, values: Mapping[str, Any], where: str, short: Mapping[str, str]) -> dict[str, Any]:
    """Values for the fields of a dataclass from a mapping of a file."""
    values = current(kind, values, where)
    hints = get_type_hints(kind, include_extras=True)
    known = {f.name: f for f in fields(kind)}
    unnamed = open_parts(kind)
    homes = {f.name: name for name, part in unnamed.items() for f in fields(part)}
    names = {str(key).replace("-", "_"): key for key in values}
    if len(names) < len(values):
        raise MotionError(f"{where}: a name is there twice, with - and with _")
    unknown = sorted(str(key) for name, key in names.items() if name not in {*known, *homes, *short})
    if unknown:
        expected = ", ".join(sorted({*known, *homes, *short} - unnamed.keys()))
        raise MotionError(f"{where}: unknown {', '.join(unknown)}, expected some of {expected}")
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, key in names.items():
        value = values[key]
        if name in short and not (name in known and isinstance(value, dict)):
            first, *rest = short[name].split(".")
            if rest:
                _put(nested.setdefault(first, {}), rest, value, f"{where}: {key}")
            else:
                own[first] = _coerce(value, hints[first], f"{where}: {key}")
        elif name in homes and name not in known:
            _put(nested.setdefault(homes[name], {}), [name], value, f"{where}: {key}")
        elif part_of(hints[name]) is None:
            own[name] = _coerce(value, hints[name], f"{where}: {key}")
        elif not isinstance(value, dict):
            raise MotionError(f"{where}: {key} is {repr(value)[:60]}, expected names and values below it")
        else:
            _merge(nested.setdefault(name, {}), value, f"{where}: {key}")
    for name, below in nested.items():
        part = part_of(hints[name])
        assert part is not None  # what a short name leads into
        own[name] = _nested(known[name], part, below, where if name in unnamed else f"{where}: {name}")
    return own


def _put(tree: dict[str, Any], path: Sequence[str], value: Any, where: str) -> None:
    *above, last = path
    for name in above:
        tree = tree.setdefault(name, {})
    if last in tree:
        raise MotionError(f"{where} is there twice, by a short name and in its part")
    tree[last] = value


def _merge(tree: dict[str, Any], more: Mapping[str, Any], where: str) -> None:
    """Lay a mapping into another; MotionError for a value that both have."""
    for key, value in more.items():
        name = str(key).replace("-", "_")
        if isinstance(value, dict) and isinstance(tree.get(name), dict):
            _merge(tree[name], value, f"{where}: {key}")
        elif name in tree:
            raise MotionError(f"{where}: {key} is there twice")
        else:
            tree[name] = value


def part_of(hint: Any) -> type | None:
    """The dataclass that a field holds, None for a plain value."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint if isinstance(hint, type) and is_dataclass(hint) else None


def open_parts(kind: type) -> dict[str, type]:
    """The dataclasses in a dataclass whose fields are flags without a prefix, by the names of the fields that hold
    them."""
    found: dict[str, type] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        part = part_of(hint)
        if part is not None and tyro.conf.OmitArgPrefixes in get_args(hint)[1:]:
            found[name] = part
    return found


def _nested(field: Field, kind: type, values: dict[str, Any], where: str) -> Any:
    """The default of a field that holds a dataclass, with a mapping laid over it."""
    laid = _laid(kind, values, where, {})
    try:
        if field.default is not MISSING:
            return replace(field.default, **laid)
        return kind(**laid) if field.default_factory is MISSING else replace(field.default_factory(), **laid)
    except MotionError as error:
        raise MotionError(f"{where}: {error}") from None


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
