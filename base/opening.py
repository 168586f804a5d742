"""The one way in for files from outside: regular files alone, of a bounded size, and one line for whatever goes wrong.

A named pipe would hold its reader for ever, a device has no end; neither is opened. `reading` stands round every
reader: what a damaged file makes it raise becomes a MotionError that names the file, so that the rest of a batch goes
on. `tree_size` counts what a small file of shared or nested parts would become, before anything walks it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import MotionError

UNFORESEEN = "damaged in a way that no check knew"
"""In the line of a fault that a reader should have refused in words of its own."""
MAX_JSON_BYTES = 1 << 25
"""Largest JSON file that is read: 32 MiB, which may become twenty times as much in memory."""
MAX_PROMPT_BYTES = 1 << 24
MAX_DEPTH = 100
"""Containers within containers."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def in_one_line(error: BaseException, most: int = 160) -> str:
    """What an exception says, without line breaks; its type where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def naming(where: Path | str, error: BaseException) -> str:
    """What an error says in one line, behind the name of the file where that does not stand in it."""
    text = " ".join(str(error).split())
    return text if str(where) in text else f"{where}: {text}"


@contextmanager
def reading(where: Path | str) -> Iterator[None]:
    """Whatever is raised inside becomes a MotionError of one line that names `where`; MotionError stays as it is."""
    try:
        yield
    except MotionError:
        raise
    except FileNotFoundError as error:
        raise MotionError(f"{where}: no such file") from error
    except MemoryError as error:
        raise MotionError(f"{where}: does not fit into memory") from error
    except OSError as error:
        raise MotionError(f"{where}: cannot be read ({error.strerror or in_one_line(error)})") from error
    except RecursionError as error:
        raise MotionError(f"{where}: nested too deep, expected a motion") from error
    except Exception as error:
        raise MotionError(f"{where}: {UNFORESEEN} ({type(error).__name__}: {in_one_line(error)})") from error


def open_regular(path: Path | str, most: int) -> IO[bytes]:
    """A regular file of at most `most` bytes, open for reading.

    MotionError, one line, for a folder, a named pipe, a device or a socket, which are never opened, for a larger file,
    and where the system refuses.
    """
    with reading(path):
        _check_regular(os.stat(path), path)
        # without O_NONBLOCK a pipe that took the file's place since then would hold us until somebody writes
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        stream = os.fdopen(handle, "rb")
        try:
            status = os.fstat(handle)
            _check_regular(status, path)
            if status.st_size > most:
                raise MotionError(f"{path}: {_size(status.st_size)}, expected at most {_size(most)}")
        except BaseException:
            stream.close()
            raise
        return stream


def _check_regular(status: os.stat_result, path: Path | str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "no regular file")
        raise MotionError(f"{path}: {kind}, expected a file")


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 1 << 20 else f"{count} bytes"


def read_bytes(path: Path | str, most: int) -> bytes:
    """All of a regular file; errors as `open_regular`, also for one that grows while it is read."""
    with open_regular(path, most) as stream, reading(path):
        size = os.fstat(stream.fileno()).st_size  # a read of more than there is would take the memory for it first
        data = stream.read(size + 1)
    if len(data) != size:
        raise MotionError(f"{path}: changed its size while it was read")
    return data


def read_utf8(path: Path | str, most: int, expected: str) -> str:
    """The text of a regular file in UTF-8, a byte-order mark dropped; `expected` says what the file should be."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MotionError(f"{path}: not a text file in UTF-8, expected {expected}") from None


def read_json(path: Path | str, most: int = MAX_JSON_BYTES, expected: str = "JSON") -> Any:
    """The value of a JSON file of bounded size and depth; MotionError, one line, for anything else."""
    return parse_json(read_utf8(path, most, expected), path, expected)


def parse_json(text: str, where: Path | str, expected: str = "JSON") -> Any:
    """The value of JSON text of bounded depth; MotionError, one line, for anything else."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise MotionError(f"{where}: JSON nested too deep, expected {expected}") from None
    except ValueError as error:
        raise MotionError(f"{where}: not JSON ({in_one_line(error, 80)}), expected {expected}") from None
    tree_size(value, 8 * len(text) + 8, where)
    return value


def check_characters(data: Any, dtype: np.dtype, where: Path | str) -> None:
    """Refuse bytes of an array of texts with numbers that no character has: the texts made of them break Python."""
    if dtype.kind == "U" and len(data):
        codes = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if int(codes.max()) > sys.maxunicode:
            raise MotionError(f"{where}: a text with a character beyond Unicode")


def tree_size(value: Any, most: int, where: Path | str) -> int:
    """What a value of containers and arrays takes once its shared parts are copied out: 8 a node, arrays their bytes.

    Each shared part is looked at once, so a value that would unfold to 10^10 nodes is told in the time of its few
    parts. MotionError beyond `most`, beyond `MAX_DEPTH` containers in one another, and for a part that holds itself.
    """
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_parts: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        part, seen = stack.pop()
        inside = _inside(part)
        if inside is None or (id(part) in sizes and not seen):
            continue
        if not seen:
            if id(part) in open_parts:
                raise MotionError(f"{where}: a part of it holds itself")
            open_parts.add(id(part))
            stack.append((part, True))
            stack += [(item, False) for item in inside if _inside(item) is not None]
            continue
        open_parts.discard(id(part))
        sizes[id(part)] = 8 + sum(sizes.get(id(item), _leaf(item)) for item in inside)
        depths[id(part)] = 1 + max((depths.get(id(item), 0) for item in inside), default=0)
        if depths[id(part)] > MAX_DEPTH:
            raise MotionError(f"{where}: nested too deep, expected at most {MAX_DEPTH} containers in one another")
        if sizes[id(part)] > most:
            raise MotionError(f"{where}: its parts refer to one another and would unfold to more than {_size(most)}")
    return sizes.get(id(value), _leaf(value))


def _inside(part: Any) -> Any:
    """The parts of a container, None for anything else."""
    if isinstance(part, Mapping):
        return part.values()
    if isinstance(part, (list, tuple)):
        return part
    return part.reshape(-1) if isinstance(part, np.ndarray) and part.dtype == object else None


def _leaf(item: Any) -> int:
    return item.nbytes if isinstance(item, (np.ndarray, memoryview)) else 8
