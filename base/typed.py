"""A dataclass from plain values that somebody may have written by hand: every field's type is checked, at any depth.

JSON and YAML hold whatever was typed into them; a configuration that is read back has the types that its fields
declare, or is refused with the name of the first field that has not.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import MotionError
from .former import current

T = TypeVar("T")
LARGEST = 1 << 62
"""No whole number of a configuration is larger."""


def from_dict(kind: type[T], values: Any, where: Path | str) -> T:
    """Inverse of `dataclasses.asdict`: a dataclass of plain values, lists, tuples, mappings and dataclasses.

    What is not there has its default, in a nested dataclass that of the field that holds it; names and values of before
    are read as today's (`former.py`). where: what the values were read from, for messages. MotionError in one line that
    names the field (`task.speed[1]`) for an unknown or missing one, another type, a number that is not finite, and for
    what the dataclass itself refuses.
    """
    return _made(kind, values, str(where), "")


def typed(value: Any, hint: Any, where: str, name: str = "", default: Any = MISSING) -> Any:
    """A plain value as the type that `hint` declares; see `from_dict`. name: of the field; default: its default."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        return typed(value, inner[0], where, name, default)
    if origin in (Union, types.UnionType):
        return _one_of(value, hint, inner, where, name)
    if is_dataclass(hint) and isinstance(hint, type):
        return _made(hint, value, where, name, default)
    if origin is Literal and any(value == option and type(value) is type(option) for option in inner):
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return _tuple(value, inner, where, name)
    if origin is list and isinstance(value, list | tuple):
        return [typed(item, inner[0], where, f"{name}[{place}]") for place, item in enumerate(value)]
    if origin in (dict, Mapping) and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: typed(item, inner[1], where, f"{name}.{key}") for key, item in value.items()}
    if hint is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    if hint is float and _is_number(value):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return value
    if hint in (bool, str, types.NoneType) and isinstance(value, hint):
        return value
    raise _refused(value, hint, where, name)


def _made(kind: type[T], values: Any, where: str, name: str, default: Any = MISSING) -> T:
    """A dataclass, each of its fields checked, over a default if there is one."""
    if not isinstance(values, dict):
        raise _refused(values, "names and values", where, name)
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name: field for field in fields(kind) if field.init}  # type: ignore[arg-type]  # callers give dataclasses
    above = f"{name}." if name else ""
    values = current(kind, values, f"{where}: {name}" if name else where)
    for key in values:
        if key not in known:
            raise MotionError(f"{where}: unknown {above}{str(key)[:60]}, expected some of {', '.join(sorted(known))}")
    for key, field in known.items():
        if key not in values and default is MISSING and field.default is MISSING and field.default_factory is MISSING:
            raise MotionError(f"{where}: {above}{key} is missing, expected {_words(hints[key])}")
    made = {
        key: typed(value, hints[key], where, above + key, _default(known[key], default))
        for key, value in values.items()
    }
    try:
        return kind(**made) if default is MISSING else replace(default, **made)
    except MotionError as error:
        raise MotionError(f"{where}: {error}") from None


def _default(field: Field[Any], above: Any) -> Any:
    """What a field has if nothing is said of it, from the default of the dataclass that it is in if there is one."""
    if above is not MISSING:
        return getattr(above, field.name)
    return field.default if field.default_factory is MISSING else field.default_factory()


def _one_of(value: Any, hint: Any, options: tuple[Any, ...], where: str, name: str) -> Any:
    """A value as the first of several types that it fits."""
    wanted = [option for option in options if option is not types.NoneType]
    if value is None and len(wanted) < len(options):
        return None
    if len(wanted) == 1:
        return typed(value, wanted[0], where, name)
    for option in wanted:
        try:
            return typed(value, option, where, name)
        except MotionError:
            continue
    raise _refused(value, hint, where, name)


def _tuple(values: list[Any] | tuple[Any, ...], inner: tuple[Any, ...], where: str, name: str) -> tuple[Any, ...]:
    """A tuple of any length (`tuple[T, ...]`), or of one."""
    if len(inner) == 2 and inner[1] is Ellipsis:
        inner = (inner[0],) * len(values)
    if len(inner) != len(values):
        raise _refused(values, f"{len(inner)} values", where, name)
    pairs = zip(values, inner, strict=True)
    return tuple(typed(item, hint, where, f"{name}[{place}]") for place, (item, hint) in enumerate(pairs))


def _is_number(value: Any) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value)


WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}


def _words(hint: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, str):
        return hint
    if origin is Annotated:
        return _words(inner[0])
    if origin is Literal:
        return " or ".join(repr(option) for option in inner)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if option is types.NoneType else _words(option) for option in inner)
    if origin in (list, tuple):
        return "a list"
    if origin in (dict, Mapping) or is_dataclass(hint):
        return "names and values"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _refused(value: Any, hint: Any, where: str, name: str) -> MotionError:
    shown = f"{value!r:.60}" if isinstance(value, str | float | bool | None) else _of_kind(value)
    return MotionError(f"{where}: {name or 'it'} is {shown}, expected {_words(hint)}")


def _of_kind(value: Any) -> str:
    """What a value is, without printing all that it may hold."""
    if isinstance(value, int) and abs(value) <= LARGEST:
        return str(value)
    kinds = {int: "a number out of reach", list: "a list", tuple: "a list", dict: "names and values"}
    return kinds.get(type(value), f"a {type(value).__name__}")
