"""What readers of text share: the text itself, of bounded size, and complaints about its lines."""

from __future__ import annotations

import codecs
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_bytes

from ..reading_limits import MAX_TEXT_BYTES


def read_text(path: Path) -> str:
    """The text of a motion file, refused unread when it is too large.

    In UTF-8, or UTF-16 where a byte-order mark says so; of any other encoding, such as GBK, the ASCII characters are
    kept, and the bytes of others as escapes: numbers and keywords are ASCII, and names need only differ.
    """
    data = read_bytes(path, MAX_TEXT_BYTES)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise _no_text(path) from None
    if b"\0" in data:
        raise _no_text(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("ascii", "backslashreplace")


def _no_text(path: Path) -> MotionError:
    return MotionError(f"{path}: not a text file, expected {path.suffix[1:]} text")


def check_lines(text: str, most: int, expected: str, path: Path) -> None:
    """Refuse a text of more than `most` lines before it is taken apart."""
    if text.count("\n") > most:
        raise MotionError(f"{path}: {text.count(chr(10))} lines, expected at most {expected}")


def at_line(number: int, why: str, path: Path) -> MotionError:
    """The error of a line, whose `number` counts from 1."""
    return MotionError(f"{path}: line {number}: {why}")
