"""What every command's flags must be before it begins: numbers within their range, paths that can be, outputs that
overwrite no input. Flags and YAML values alike pass here."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.opening import open_regular

from .config import open_parts, short_names

MAX_PATH, MAX_PART = 4096, 255
"""Bytes of a path, and of a name in it, that systems take."""
HEAD = 4096
"""Bytes that tell what a file is."""
LARGEST = 1e9
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("fps", "out_fps"), (1.0, 1000.0)),
    "workers": (0, 256),
    "threads": (1, 256),
    **dict.fromkeys(("seed", "data_seed"), (0, 2**31 - 1)),
    "rounds": (1, 1000),
    "finetune_steps": (1, LARGEST),
    "guard_prompts": (0, 100_000),
    **dict.fromkeys(("clips", "plain", "generated", "held_out", "envs"), (0, 1_000_000)),
    **dict.fromkeys(("streams", "codebook", "width", "batch", "text_size"), (1, 1 << 16)),
    "seconds": (0.0, 86_400.0),
    "speed": (0.01, 100.0),
    "frames": (1, 1000),
    "port": (1024, 65_535),
    **dict.fromkeys(("replay_share", "top_p", "spoilt", "drop_share"), (0.0, 1.0)),
    **dict.fromkeys(("temperature", "learning_rate"), (0.0, 100.0)),
}
"""Least and most by the name of a flag, 0 to 1e9 for any other. What a command asks for beyond that it says itself."""
OUTPUTS = {"json": b"{", "html": b"<", "share_html": b"<", "markdown": b"", "drop": b""}
"""Flags that name a file to write, and what such a file begins with."""


def check(command: Any) -> None:
    """Refuse a command's values in one line, a MotionError that names the flag."""
    short = {path: name for name, path in short_names(type(command)).items()}
    named = [(short.get(flag, flag), value) for flag, value in _values(command, "")]
    for flag, value in named:
        if isinstance(value, Path):
            check_path(value, flag)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            _check_number(value, flag)
    outputs = [(flag, value) for flag, value in named if flag in OUTPUTS and isinstance(value, Path)]
    inputs = [(flag, value) for flag, value in named if flag not in (*OUTPUTS, "out") and isinstance(value, Path)]
    for place, (flag, path) in enumerate(outputs):
        for other, taken in [*outputs[:place], *inputs]:
            if os.path.realpath(path) == os.path.realpath(taken):
                raise MotionError(f"--{flag} {path}: is --{other} too, expected another file to write")
        _check_output(path, flag)


def _values(part: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every value of a command by its flag, those of parts and tuples one by one."""
    unnamed = open_parts(type(part))
    for field in fields(part):
        value, flag = getattr(part, field.name), f"{prefix}{field.name}"
        if is_dataclass(value):
            yield from _values(value, prefix if field.name in unnamed else f"{flag}.")
        else:
            for item in value if isinstance(value, tuple) else (value,):
                yield flag, item


def _check_number(value: float, flag: str) -> None:
    low, high = RANGES.get(flag.rpartition(".")[2], (0, LARGEST))
    if not (math.isfinite(value) and low <= value <= high):
        raise MotionError(f"--{flag.replace('_', '-')} is {value:g}, expected {low:g} to {high:g}")


def check_path(path: Path, flag: str) -> None:
    """Refuse a path that no system takes; MotionError names the flag."""
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > MAX_PART or len(os.fsencode(path)) > MAX_PATH:
        raise MotionError(f"--{flag} {str(path)[:40]}...: a name of {longest} bytes, expected at most {MAX_PART}")


def _check_output(path: Path, flag: str) -> None:
    """Refuse to write over a file that is no such result: a motion, a picture, weights."""
    if not path.is_file():
        return
    from morphloop.motion.readers.sniff import may_hold_motion

    with open_regular(path, 1 << 62) as stream:
        head = stream.read(HEAD).lstrip()
    foreign = bool(head) and not head.startswith(OUTPUTS[flag])
    if foreign or (path.suffix.lower() in (".json", ".txt") and may_hold_motion(path)):
        raise MotionError(f"--{flag} {path}: holds something else than a result of ours, expected a free name")
