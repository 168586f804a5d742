"""Prompts of a text file, one a line."""

from __future__ import annotations

from pathlib import Path

from morphloop.motion import MotionError


def read_prompts(path: Path | str) -> tuple[str, ...]:
    """Prompts of a text file, one a line; empty lines and lines that begin with # are passed over."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MotionError(
            f"{path}: cannot be read ({error.strerror}), expected a text file with a prompt a line"
        ) from None
    except UnicodeDecodeError:
        raise MotionError(f"{path}: not a text file, expected one prompt a line in UTF-8") from None
    prompts = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not prompts:
        raise MotionError(f"{path}: holds no prompt, expected one a line")
    return prompts
