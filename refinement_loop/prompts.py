"""Prompts of a text file, one a line."""

from __future__ import annotations

from pathlib import Path

from morphloop.base import MotionError
from morphloop.base.opening import MAX_PROMPT_BYTES, read_utf8

MAX_PROMPTS = 10_000
"""All of their clips are in memory at once: about 0.1 MB each, and 20 ms to make."""


def read_prompts(path: Path | str) -> tuple[str, ...]:
    """Prompts of a text file, one a line; empty lines and lines that begin with # are passed over."""
    lines = read_utf8(path, MAX_PROMPT_BYTES, "one prompt a line").splitlines()
    prompts = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if len(prompts) > MAX_PROMPTS:
        raise MotionError(f"{path}: {len(prompts)} prompts, expected at most {MAX_PROMPTS}; cut the file")
    if not prompts:
        raise MotionError(f"{path}: holds no prompt, expected one a line")
    return prompts
