"""Captions that lie beside motions: a text file a motion, as HumanML3D has them, or one JSON line a motion.

What cannot be used is reported and passed over; a caption's language is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphloop.base.errors import MotionError
from morphloop.base.opening import parse_json, read_utf8

from ..reading_limits import MAX_MANIFEST, MAX_TEXT, MAX_TEXTS

Report = Callable[[Path, str], None]
"""Is told a file and, in a line, what of it cannot be used."""

MAX_CAPTION_FILE = 1 << 20
"""Bytes of the captions of one motion."""
NAME_KEYS = ("file", "path", "name")
CAPTION_KEYS = ("captions", "texts", "caption", "text")


@dataclass(frozen=True)
class Caption:
    """What is said of a motion from `start` to `end`, seconds; of all of it where both are 0, as HumanML3D has it."""

    text: str
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Said:
    """What a data set says of a motion: its captions (None: those in its file) and its split (None: it has none)."""

    captions: tuple[Caption, ...] | None = None
    split: str | None = None


def usable(captions: Iterable[Caption], path: Path, report: Report) -> tuple[Caption, ...]:
    """Those that are neither empty nor longer than a motion's caption may be, with the spaces around them taken off."""
    kept: list[Caption] = []
    for number, caption in enumerate(captions, 1):
        text = " ".join(caption.text.split())
        if not text:
            report(path, f"caption {number} is empty, expected words")
        elif len(text) > MAX_TEXT:
            report(path, f"caption {number} has {len(text)} characters, expected at most {MAX_TEXT}")
        else:
            kept.append(Caption(text, caption.start, caption.end))
    if len(kept) > MAX_TEXTS:
        report(path, f"{len(kept)} captions, expected at most {MAX_TEXTS}")
    return tuple(kept[:MAX_TEXTS])


def read_caption_lines(path: Path, report: Report) -> tuple[Caption, ...]:
    """Captions of a text file, a line each: `caption#words with tags#start#end`, seconds, or the caption alone.

    Empty if the file cannot be read, which is reported as a line that cannot be is.
    """
    try:
        lines = read_utf8(path, MAX_CAPTION_FILE, "captions, a line each").split("\n")
    except MotionError as error:
        report(path, str(error))
        return ()
    captions = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                captions.append(_caption_of(line))
            except ValueError as error:
                report(path, f"line {number}: {error}")
    if not captions:
        report(path, "holds no caption, expected one a line")
    return usable(captions, path, report)


def _caption_of(line: str) -> Caption:
    parts = line.strip().split("#")
    if not parts[0].strip():
        raise ValueError("its caption is empty, expected words")
    if len(parts) != 4:
        return Caption(line)
    try:
        start, end = (0.0 if math.isnan(second) else second for second in map(float, parts[2:]))
    except ValueError:
        raise ValueError(f"'{parts[2][:20]}' to '{parts[3][:20]}', expected seconds") from None
    if not (start == end == 0.0 or 0.0 <= start < end < math.inf):
        raise ValueError(f"from {start:g} to {end:g} s, expected a segment of the motion, or 0 and 0 for all of it")
    return Caption(parts[0], start, end)


def read_caption_table(path: Path, report: Report) -> dict[str, Said]:
    """Rows of a file of JSON objects, one a line, by the name of their motion.

    A row has a name (`file`, `path` or `name`: a path from the table's folder, with or without its ending, or the
    file's name alone), its captions (`captions`, `texts`, `caption` or `text`: one or a list) and, if the set is split,
    a `split`. Lines that are none are reported; MotionError if the file cannot be read.
    """
    rows: dict[str, Said] = {}
    for number, line in enumerate(read_utf8(path, MAX_MANIFEST, "a JSON object a line").split("\n"), 1):
        if not line.strip():
            continue
        try:
            name, said = _row_of(parse_json(line, path), path, number, report)
        except MotionError:
            report(path, f"line {number} is not JSON, expected an object with a name and captions")
            continue
        except ValueError as error:
            report(path, f"line {number}: {error}")
            continue
        if name in rows:
            report(path, f"line {number}: '{name}' a second time, expected one row a motion")
        else:
            rows[name] = said
    return rows


def _row_of(row: Any, path: Path, number: int, report: Report) -> tuple[str, Said]:
    if not isinstance(row, Mapping):
        raise ValueError("is no object, expected a name and captions")
    name = next((row[key] for key in NAME_KEYS if isinstance(row.get(key), str)), None)
    if not name:
        raise ValueError(f"has no name, expected one of {', '.join(NAME_KEYS)}")
    found = next((row[key] for key in CAPTION_KEYS if row.get(key) is not None), None)
    split = row.get("split")
    if split is not None and not isinstance(split, str):
        raise ValueError(f"split is a {type(split).__name__}, expected a name")
    texts = [found] if isinstance(found, str) else found
    if texts is None:
        return name, Said(None, split)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"captions of '{name}' are a {type(texts).__name__}, expected texts")

    def of_line(where: Path, reason: str) -> None:
        report(where, f"line {number}: {reason}")

    return name, Said(usable(map(Caption, texts), path, of_line), split)
