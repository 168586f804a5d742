"""The frame rate of a file, which is never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..config import ReadingConfig

FPS_TOLERANCE = 0.01


def resolve_fps(in_file: float | None, how: ReadingConfig, path: Path | str, usual: float | None = None) -> float:
    """The frame rate of a file, Hz.

    What is given fills in what the file does not say, and must agree with what it says unless it overrules. usual: the
    rate of a format whose files do not tell it. Raises MotionError for no rate, two different ones, and one that is
    none.
    """
    given = how.fps
    for rate in (in_file, given):
        if rate is not None and not (np.isfinite(rate) and rate > 0):
            raise MotionError(f"{path}: fps is {rate}, expected a number above 0")
    if in_file is None or (given is not None and how.overrule_fps):
        rate = usual if given is None else given
        if rate is None:
            raise MotionError(f"{path}: the file does not tell its frame rate, give it with --fps")
        return float(rate)
    if given is not None and abs(given - in_file) > FPS_TOLERANCE * in_file:
        raise MotionError(
            f"{path}: the file says {in_file:g} fps and --fps {given:g}, "
            "expected the same, no --fps, or --overrule-fps where the file is wrong"
        )
    return float(in_file)
