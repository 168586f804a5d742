"""What readers of text share: the text itself, of bounded size, and complaints about its lines."""

from __future__ import annotations

from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_utf8

from ..reading_limits import MAX_TEXT_BYTES


def read_text(path: Path) -> str:
    """The text of a motion file, refused unread when it is too large."""
    return read_utf8(path, MAX_TEXT_BYTES, f"{path.suffix[1:]} text")


def check_lines(text: str, most: int, expected: str, path: Path) -> None:
    """Refuse a text of more than `most` lines before it is taken apart."""
    if text.count("\n") > most:
        raise MotionError(f"{path}: {text.count(chr(10))} lines, expected at most {expected}")


def at_line(number: int, why: str, path: Path) -> MotionError:
    """The error of a line, whose `number` counts from 1."""
    return MotionError(f"{path}: line {number}: {why}")
