"""Values of a file by their names, checked: what readers of npz and of pickled dictionaries share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, JointTrack, Provenance
from ..reading_limits import LARGEST, MAX_FRAMES, MAX_NUMBERS, MAX_TEXTS

FPS_KEYS = ("fps", "mocap_framerate", "mocap_frame_rate", "framerate", "frequency")
TEXT_KEYS = ("texts", "text", "captions", "caption", "prompt")
PROMPT_PREFIX = "t2mgpt_"
"""Samples of T2M-GPT are files named by their prompt."""

Values = Mapping[str, Any]
Motion = Clip | JointTrack
Many = dict[str, Callable[[], Motion]]
"""Motions of one file by their keys, each read when it is called."""


def numbers(values: Values, key: str, shape: tuple[int | None, ...], path: Path | str) -> np.ndarray:
    """`values[key]` as float64, of `shape` (None: any size). MotionError names the key, what it is, what is wanted."""
    array = _array(values.get(key))
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise MotionError(f"{path}: {key} of type {kind}, expected numbers")
    fits = len(array.shape) == len(shape)
    if not fits or any(b is not None and a != b for a, b in zip(array.shape, shape, strict=True)):
        wanted = ", ".join(("N" if k else "T") if n is None else str(n) for k, n in enumerate(shape))
        raise MotionError(f"{path}: {key} {array.shape}, expected ({wanted})")
    if array.shape and array.shape[0] > MAX_FRAMES:
        raise MotionError(f"{path}: {key} has {array.shape[0]} frames, expected at most {MAX_FRAMES}")
    if array.size > MAX_NUMBERS:
        raise MotionError(f"{path}: {key} has {array.size} numbers, expected at most {MAX_NUMBERS}; cut the motion")
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a NaN, which check_finite finds
        return array.astype(float)


def _array(value: Any) -> Any:
    """Nested lists as an array; ragged ones stay what they are and are refused as no numbers."""
    try:
        return np.asarray(value) if isinstance(value, (list, tuple)) else value
    except ValueError:
        return None


def bounded(array: np.ndarray, what: str) -> np.ndarray:
    """The array, refused where a number is too large to be metres or radians; NaN is the clip's to refuse."""
    with np.errstate(invalid="ignore"):
        beyond = np.abs(array).max(initial=0.0) > LARGEST
    if beyond:
        raise MotionError(f"{what}: a number above {LARGEST:g}, expected metres and radians")
    return array


def number(values: Values, key: str, path: Path | str) -> float:
    """One number: a scalar, or an array of one."""
    array = np.asarray(_array(values[key]))
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise MotionError(f"{path}: {key} is not one number")
    return float(array.reshape(()))


def file_fps(values: Values, path: Path | str) -> float | None:
    """Frames per second under any of the names in use, None where the file does not tell."""
    for key in FPS_KEYS:
        if key in values:
            return number(values, key, path)
    return None


def word(values: Values, key: str) -> str | None:
    """A short text such as a gender, however it was stored."""
    value = values.get(key)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(()).item()
    if isinstance(value, (bytes, memoryview)):
        value = bytes(value).decode("latin-1")
    return value[:100] if isinstance(value, str) else None


def texts_of(values: Values, path: Path) -> tuple[str, ...]:
    """Captions in the file, or the prompt that a sample is named by."""
    for key in TEXT_KEYS:
        value = np.asarray(values[key]) if key in values else None
        if value is not None and value.dtype.kind == "U":
            if value.size > MAX_TEXTS:
                raise MotionError(f"{path}: {value.size} texts, expected at most {MAX_TEXTS}")
            return tuple(str(text) for text in value.reshape(-1))
    if path.stem.startswith(PROMPT_PREFIX):
        return (path.stem.removeprefix(PROMPT_PREFIX).replace("_", " "),)
    return ()


def imported(path: Path | str, texts: tuple[str, ...], notes: dict[str, Any]) -> Provenance:
    """Provenance of what was read from a file."""
    return Provenance(stage="import", source=str(path), prompt=texts[0] if texts else None, notes=notes)
