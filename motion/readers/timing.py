"""The frame rate of a file, which is never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

FPS_TOLERANCE = 0.01


def resolve_fps(in_file: float | None, given: float | None, path: Path | str) -> float:
    """The frame rate of a file, Hz. `given` fills in what the file does not say and must agree with what it says."""
    for rate in (in_file, given):
        if rate is not None and not (np.isfinite(rate) and rate > 0):
            raise MotionError(f"{path}: fps is {rate}, expected a number above 0")
    if in_file is None and given is None:
        raise MotionError(f"{path}: the file does not tell its frame rate, give it with --fps")
    if in_file is None:
        return float(given)  # type: ignore[arg-type]
    if given is not None and abs(given - in_file) > FPS_TOLERANCE * in_file:
        raise MotionError(f"{path}: the file says {in_file:g} fps and --fps {given:g}, expected the same or no --fps")
    return float(in_file)
