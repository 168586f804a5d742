"""The pickle stack machine without its power to run code.

A pickle is a program for a small stack machine. This interpreter runs that program over plain values alone: a global is
an inert `Name` that must stand in a table, and a call looks the name up there and gets what the table makes of plain
arguments. No module is imported, no class of the file is instantiated, no `__setstate__` of NumPy is reached (its dtype
states can crash the process). Opcodes and their arguments: CPython's `pickletools`.

Bounds: payloads are views into the file, so arrays allocate nothing; the number of operations, of memo entries and of
nested streams is limited, and so is what calls make (`spend`); keys of dictionaries are short words and integers. What
the value unfolds to once its shared parts are copied out is counted by `pickled` before anybody sees it.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from morphloop.base.errors import MotionError

from ..reading_limits import (
    BYTES_A_BYTE,
    BYTES_AN_OPERATION,
    FEW_OPERATIONS,
    FREE_BYTES,
    MAX_INTEGER_BYTES,
    MAX_KEY,
    MAX_OPERATIONS,
)


@dataclass(frozen=True)
class Name:
    """A global that the file asks for, `module.name`; never resolved."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Pending:
    """An object between its creation and its BUILD: `finish(machine, state)` makes the value."""

    finish: Callable[[Machine, Any], Any]
    keys: list[int] = field(default_factory=list)


@dataclass
class Table:
    """What a pickle may ask for.

    calls: (module, name) to a function of the machine and the arguments; names: (module, name) of classes that may be
    mentioned; persistent: makes the value of a persistent id, None where they are refused.
    """

    calls: Mapping[tuple[str, str], Callable[..., Any]]
    names: frozenset[tuple[str, str]]
    persistent: Callable[[Any], Any] | None = None


DROPPED = {"_metadata"}
"""Attributes that a dictionary may have and that are dropped: torch's versions of a network's layers."""

_MARK = object()


class Machine:
    """One pickle stream: `run` gives its value and leaves `at` behind its STOP.

    data: the whole stream; where: path for messages. Raises MotionError for what the table does not know, and for
    truncated or malformed programs.
    """

    def __init__(self, data: bytes | memoryview, table: Table, where: str, at: int = 0, depth: int = 0) -> None:
        self.data, self.table, self.where, self.at, self.depth = memoryview(data), table, where, at, depth
        self.left = FREE_BYTES + BYTES_A_BYTE * len(data)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def spend(self, size: int) -> None:
        """Account for `size` bytes that a call makes; MotionError where a file makes far more of them than it holds."""
        self.left -= size
        if self.left < 0:
            raise self.refuse("makes far more bytes than it holds, expected arrays and plain containers")

    def refuse(self, why: str) -> MotionError:
        """The error that says why this file is not read."""
        return MotionError(f"{self.where}: " + "".join(c if c.isprintable() else "?" for c in why))

    def run(self) -> Any:
        """Execute to STOP."""
        data, operations = self.data, _OPERATIONS
        limit = min(MAX_OPERATIONS, FEW_OPERATIONS + len(data) // BYTES_AN_OPERATION)
        for _ in range(limit):
            code = data[self.at]
            self.at += 1
            if code == 0x2E:
                return self.plain(self.pop())
            operation = operations.get(code)
            if operation is None:
                raise self.refuse(f"pickle operation 0x{code:02x} at byte {self.at - 1} is not one of plain data")
            operation(self)
        raise self.refuse(f"more than {limit} pickle operations, expected arrays and plain containers")

    def nested(self) -> Any:
        """The value of another pickle that begins here, one level deep."""
        if self.depth:
            raise self.refuse("pickles nested in pickles in pickles, expected arrays and plain containers")
        inner = Machine(self.data, self.table, self.where, self.at, depth=1)
        inner.left = self.left
        value = inner.run()
        self.at, self.left = inner.at, inner.left
        return value

    def take(self, size: int) -> memoryview:
        """The next `size` bytes, as a view."""
        if not 0 <= size <= len(self.data) - self.at:
            raise self.refuse(f"announces {size} bytes and holds {len(self.data) - self.at}, truncated?")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> Any:
        """One fixed-size number in `struct` notation."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to the next newline, Latin-1."""
        for most in (64, 65536):  # nearly all lines are short, and each copies what is searched
            end = bytes(self.data[self.at : self.at + most]).find(b"\n")
            if end >= 0:
                break
        if end < 0:
            raise self.refuse("a line of the pickle has no end, truncated?")
        return str(bytes(self.take(end + 1)[:-1]), "latin-1")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise self.refuse("malformed pickle: a mark where a value is expected")
        return value

    def popped_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return [self.plain(item) for item in items]
        raise self.refuse("malformed pickle: no mark on the stack")

    def plain(self, value: Any) -> Any:
        """The value itself, unless it is an object that never got its content."""
        if isinstance(value, Pending) or value is _MARK:
            raise self.refuse("malformed pickle: an object is used before its content is there")
        return value

    def name(self, module: str, name: str) -> None:
        if (module, name) not in self.table.calls and (module, name) not in self.table.names:
            raise self.refuse(
                f"wants '{module[:60]}.{name[:60]}', which is never run: expected arrays and plain containers"
            )
        self.push(Name(module, name))

    def call(self, name: Any, arguments: Any) -> None:
        function = self.table.calls.get((name.module, name.name)) if isinstance(name, Name) else None
        if function is None or not isinstance(arguments, tuple):
            raise self.refuse(f"calls '{str(name)[:60]}', which is never run: expected arrays and plain containers")
        self.push(function(self, *arguments))

    def put(self, key: int) -> None:
        top = self.stack[-1]
        if isinstance(top, Pending):
            top.keys.append(key)
        self.memo[key] = top

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise self.refuse("malformed pickle: items without a dictionary")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: Any) -> str | int:
        """A key that cannot be made to collide at will: a short text or an integer of 64 bits."""
        if isinstance(key, memoryview) and len(key) <= MAX_KEY:
            key = str(bytes(key), "latin-1")
        if (isinstance(key, str) and len(key) <= MAX_KEY) or (isinstance(key, int) and abs(key) < 1 << 63):
            return key
        raise self.refuse(f"a dictionary key of type {type(key).__name__}, expected texts and integers")

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise self.refuse("malformed pickle: items without a list")
        target.extend(items)

    def build(self) -> None:
        state, target = self.plain(self.pop()), self.stack[-1]
        if isinstance(target, Pending):
            value = target.finish(self, state)
            self.stack[-1] = value
            for key in target.keys:
                self.memo[key] = value
            return
        attributes = {} if state is None else state
        if not (isinstance(target, dict) and isinstance(attributes, dict) and attributes.keys() <= DROPPED):
            raise self.refuse(f"sets the state of a {type(target).__name__}, expected arrays and plain containers")

    def integer(self, size: int) -> int:
        if size > MAX_INTEGER_BYTES:
            raise self.refuse(f"an integer of {size} bytes, expected at most {MAX_INTEGER_BYTES}")
        return int.from_bytes(self.take(size), "little", signed=True)

    def text_integer(self) -> int | bool:
        word = self.line().removesuffix("L")
        if len(word) > MAX_INTEGER_BYTES:
            raise self.refuse(f"an integer of {len(word)} digits, expected at most {MAX_INTEGER_BYTES}")
        return {"00": False, "01": True}.get(word, int(word))

    def stored(self, key: int) -> Any:
        if key not in self.memo:
            raise self.refuse("malformed pickle: a reference to nothing")
        return self.plain(self.memo[key])

    def persistent(self, key: Any) -> Any:
        if self.table.persistent is None:
            raise self.refuse("refers to data outside of itself (a persistent id), expected a file that stands alone")
        return self.table.persistent(key)


def _words(machine: Machine) -> str:
    """A quoted text of protocol 0."""
    return codecs.escape_decode(machine.line()[1:-1].encode("latin-1"))[0].decode("latin-1")  # type: ignore[attr-defined]


def _text(machine: Machine, form: str) -> str:
    return str(bytes(machine.take(machine.number(form))), "utf-8", "surrogatepass")


def _old_text(machine: Machine, form: str) -> str:
    """A text of Python 2, which may be an array's bytes: Latin-1 keeps every byte."""
    return str(bytes(machine.take(machine.number(form))), "latin-1")


def _tuple(machine: Machine, size: int) -> tuple[Any, ...]:
    items = [machine.plain(machine.pop()) for _ in range(size)]
    return tuple(reversed(items))


def _named(machine: Machine) -> None:
    module = machine.line()
    machine.name(module, machine.line())


def _stack_named(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise machine.refuse("malformed pickle: a global without a name")
    machine.name(module, name)


def _called(machine: Machine) -> None:
    arguments, name = machine.plain(machine.pop()), machine.pop()
    machine.call(name, arguments)


def _pairs(machine: Machine) -> None:
    items = machine.popped_to_mark()
    machine.push({})
    machine.set_items(items)


def _pushes(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.push(make(machine))


def _append(machine: Machine) -> None:
    item = machine.plain(machine.pop())
    machine.extend([item])


def _set_item(machine: Machine) -> None:
    value, key = machine.plain(machine.pop()), machine.plain(machine.pop())
    machine.set_items([key, value])


_OPERATIONS: dict[int, Callable[[Machine], Any]] = {
    # protocol, frames and marks
    0x80: lambda m: m.take(1),
    0x95: lambda m: m.take(8),
    0x28: lambda m: m.push(_MARK),
    0x30: lambda m: m.stack.pop(),
    0x31: lambda m: m.popped_to_mark(),
    0x32: lambda m: m.push(m.plain(m.stack[-1])),
    # numbers
    0x4E: lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    0x49: _pushes(lambda m: m.text_integer()),
    0x4C: _pushes(lambda m: m.text_integer()),
    0x46: _pushes(lambda m: float(m.line())),
    0x4A: _pushes(lambda m: m.number("<i")),
    0x4B: _pushes(lambda m: m.number("<B")),
    0x4D: _pushes(lambda m: m.number("<H")),
    0x47: _pushes(lambda m: m.number(">d")),
    0x8A: _pushes(lambda m: m.integer(m.number("<B"))),
    0x8B: _pushes(lambda m: m.integer(m.number("<I"))),
    # texts and bytes
    0x53: _pushes(_words),
    0x56: _pushes(lambda m: m.line().encode("latin-1").decode("raw_unicode_escape")),
    0x54: _pushes(lambda m: _old_text(m, "<I")),
    0x55: _pushes(lambda m: _old_text(m, "<B")),
    0x58: _pushes(lambda m: _text(m, "<I")),
    0x8C: _pushes(lambda m: _text(m, "<B")),
    0x8D: _pushes(lambda m: _text(m, "<Q")),
    0x42: _pushes(lambda m: m.take(m.number("<I"))),
    0x43: _pushes(lambda m: m.take(m.number("<B"))),
    0x8E: _pushes(lambda m: m.take(m.number("<Q"))),
    0x96: _pushes(lambda m: m.take(m.number("<Q"))),
    # containers
    0x29: lambda m: m.push(()),
    0x74: _pushes(lambda m: tuple(m.popped_to_mark())),
    0x85: _pushes(lambda m: _tuple(m, 1)),
    0x86: _pushes(lambda m: _tuple(m, 2)),
    0x87: _pushes(lambda m: _tuple(m, 3)),
    0x5D: lambda m: m.push([]),
    0x6C: _pushes(lambda m: m.popped_to_mark()),
    0x61: _append,
    0x65: lambda m: m.extend(m.popped_to_mark()),
    0x7D: lambda m: m.push({}),
    0x64: _pairs,
    0x73: _set_item,
    0x75: lambda m: m.set_items(m.popped_to_mark()),
    # memo
    0x70: lambda m: m.put(int(m.line())),
    0x71: lambda m: m.put(m.number("<B")),
    0x72: lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    0x67: _pushes(lambda m: m.stored(int(m.line()))),
    0x68: _pushes(lambda m: m.stored(m.number("<B"))),
    0x6A: _pushes(lambda m: m.stored(m.number("<I"))),
    # names, calls, states
    0x63: _named,
    0x93: _stack_named,
    0x52: _called,
    0x81: _called,
    0x62: lambda m: m.build(),
    0x51: _pushes(lambda m: m.persistent(m.plain(m.pop()))),
}
"""By opcode. Not here, so refused: sets, INST and OBJ, NEWOBJ_EX, extension codes, out-of-band buffers."""
