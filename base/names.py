"""Names and texts from outside: as they may be kept, shown in a terminal or a page, and used as names of files.

A joint called `\\x1b[2J` must not clear a screen, one with a right-to-left mark must not turn a line round, and a file
name that is not UTF-8 (Python keeps such bytes as lone surrogates) must not stop what is written.
"""

from __future__ import annotations

import hashlib
import unicodedata

MAX_NAME = 180
"""Bytes of a file name that is made of a motion's name; 255 is what file systems allow, endings come behind it."""
DIGEST = 8
_UNSHOWN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Unicode categories of what moves the cursor, turns the direction of writing, or cannot be encoded."""


def kept(text: str) -> str:
    """The text with lone surrogates replaced, so that it can be encoded; any other stays what it is."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def shown(text: object) -> str:
    """A text for people to read: control and direction characters, line breaks and lone surrogates as escapes."""
    words = str(text)
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() or not _is_unshown(c) else _escape(c) for c in words)


def _is_unshown(character: str) -> bool:
    return unicodedata.category(character) in _UNSHOWN


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def file_name(name: str) -> str:
    """A motion's name as the name of a file without its ending.

    Colons, slashes and what cannot be shown become `_`, leading dots go; a long name is cut and ends in a digest of the
    whole, so that two that begin alike stay two.
    """
    plain = "".join("_" if c in ":/\\" or _is_unshown(c) else c for c in name).lstrip(".") or "motion"
    if len(plain.encode()) <= MAX_NAME:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    head = plain.encode()[: MAX_NAME - DIGEST - 1].decode("utf-8", "ignore")
    return f"{head}_{digest}"


def free_name(name: str, taken: frozenset[str] | set[str], *endings: str) -> str:
    """`name`, or the first of name_2, name_3, ... that with each ending is not taken yet."""
    count, found = 1, name
    while any(found + ending in taken for ending in ("", *endings)):
        count += 1
        found = f"{name}_{count}"
    return found
