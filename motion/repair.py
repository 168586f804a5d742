"""Mending motion files where the right thing is not a guess: quaternion sign and length, a frame rate that was given.

A file is never mended in place. NaN, missing joints, jumps and wrong units stay what they are: what a value should have
been, nobody can tell from the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.writing import write_atomic

from .config import AS_FILES_SAY, ReadingConfig
from .files import load_clip, read_npy, read_npz, save_clip
from .problems import QUATERNIONS, Problem, find_problems, meta_of
from .readers.text import read_text
from .readers.values import FPS_KEYS
from .reading_limits import MAX_FPS
from .robot import WhoseMotion
from .rotations import quat_continuous


@dataclass(frozen=True)
class Repair:
    """What became of a file. out: the mended file, None where nothing could be mended; mended: problems of the input
    that the new file has not; left: problems that the new file still has (the input's, where there is none)."""

    out: Path | None
    mended: list[Problem]
    left: list[Problem]


def repair(
    path: Path | str,
    out: Path | str,
    problems: list[Problem],
    how: ReadingConfig = AS_FILES_SAY,
    robot: WhoseMotion = None,
) -> Repair:
    """Mend what is safe of a file's `problems` into the folder `out` and look at the result again.

    how: how the file is read, with the frame rate to write where it is a problem; robot: whose motion it is. A .npy
    becomes an .npz, which has a place for the rate. Raises MotionError where the file itself lies in `out`, and where
    `out` has one of that name.
    """
    path, out, fps = Path(path), Path(out), how.fps
    wanted = [p for p in problems if p.fixable and (p.field != "fps" or fps is not None)]
    target = out / (f"{path.stem}.npz" if path.suffix.lower() == ".npy" else path.name)
    if target.exists():
        same = target.resolve() == path.resolve()
        raise MotionError(f"{target} is {'the file itself' if same else 'there already'}, expected another folder")
    if not wanted:
        return Repair(None, [], problems)
    rate = fps if any(p.field == "fps" for p in wanted) else None
    if rate is not None and not 0 < rate <= MAX_FPS:
        raise MotionError(f"--fps is {rate:g}, expected more than 0 and at most {MAX_FPS:g}")
    made = _write(path, target, rate)
    if made is None:
        return Repair(None, [], problems)
    own = replace(how, fps=None, overrule_fps=False)
    left = [replace(p, path=str(path)) for p in find_problems(made, None, robot, own)]
    still = {(p.field, p.expected) for p in left}
    return Repair(made, [p for p in problems if (p.field, p.expected) not in still], left)


def _write(path: Path, target: Path, fps: float | None) -> Path | None:
    """The mended file; None for a layout that has no place for what is missing."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        arrays = {"joints": read_npy(path), "fps": np.array(fps)}
        return None if fps is None else _save(target, arrays)
    if suffix == ".bvh":
        return None if fps is None else _bvh_with_rate(path, target, fps)
    if suffix != ".npz":
        return None
    arrays = read_npz(path)
    mended = {key: _mended(value) if key in QUATERNIONS else value for key, value in arrays.items()}
    if fps is not None and "meta" not in mended:
        mended[next((key for key in FPS_KEYS if key in mended), "fps")] = np.array(fps)
    if "meta" in mended:
        return _clip_file(target, mended, meta_of(mended), fps)
    return _save(target, mended)


def _mended(quats: np.ndarray) -> np.ndarray:
    """Unit quaternions (T, ..., 4) of one sign over time; zero ones and numbers that are none stay."""
    if quats.dtype.kind != "f" or quats.ndim < 2 or quats.shape[-1] != 4 or not np.isfinite(quats).all():
        return quats
    length = np.linalg.norm(quats.astype(float), axis=-1, keepdims=True)
    return quat_continuous(np.where(length < 1e-3, quats, quats / np.maximum(length, 1e-3))).astype(quats.dtype)


def _save(target: Path, arrays: dict[str, np.ndarray]) -> Path:
    return write_atomic(target, lambda stream: np.savez_compressed(stream, **arrays))  # type: ignore[arg-type]


def _clip_file(target: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any], fps: float | None) -> Path:
    """A clip of morphloop's own: its id is that of the mended motion and its parent the damaged one."""
    parent = meta.get("id")
    if fps is not None:
        meta = meta | {"fps": fps}
    _save(target, arrays | {"meta": np.array(json.dumps(meta))})
    try:
        clip = load_clip(target)
    except MotionError:
        return target
    notes = {**clip.provenance.notes, "repaired": "quaternion sign and length" if fps is None else f"fps {fps:g}"}
    provenance = replace(clip.provenance, stage="repair", parent=parent, notes=notes)
    return save_clip(target, replace(clip, provenance=provenance))


def _bvh_with_rate(path: Path, target: Path, fps: float) -> Path | None:
    """A BVH with its frame time written, right after the number of frames where it had none."""
    lines = read_text(path).splitlines()
    heads = [line.strip().lower() for line in lines]
    line = f"Frame Time: {1.0 / fps:.10f}"
    times = [k for k, head in enumerate(heads) if head.startswith("frame time")]
    counts = [k for k, head in enumerate(heads) if head.startswith("frames:")]
    if times:
        lines[times[0]] = line
    elif counts:
        lines.insert(counts[0] + 1, line)
    else:
        return None
    text = "\n".join(lines) + "\n"
    return write_atomic(target, lambda stream: stream.write(text.encode()))
