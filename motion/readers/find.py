"""Any motion file by its extension, and all motion files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..clip import Clip, JointTrack
from ..errors import MotionError
from .acclaim import read_amc
from .arrays import read_array_file
from .bvh import read_bvh

READERS = {".npz": read_array_file, ".npy": read_array_file, ".bvh": read_bvh, ".amc": read_amc}


def read_motion(path: Path | str, fps: float | None = None) -> Clip | JointTrack:
    """Read a motion file: .npz (clip, joints, SMPL poses), .npy (joints), .bvh, .amc with its .asf beside it.

    fps: frames per second for a file that cannot tell; where the file tells, it must agree to 1 %. Axes of the result
    are ours. Raises MotionError, one line, for anything that cannot be read with certainty.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MotionError(f"{path}: unknown extension '{path.suffix}', expected {' '.join(READERS)}")
    if not path.is_file():
        raise MotionError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}, expected a motion file")
    return reader(path, fps)


def find_motions(paths: Path | str | Iterable[Path | str]) -> list[Path]:
    """Motion files: files as they are named, folders expanded with their subfolders in sorted order.

    Raises MotionError for a missing path or a folder without a motion file.
    """
    found: list[Path] = []
    for path in [Path(paths)] if isinstance(paths, (str, Path)) else [Path(p) for p in paths]:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in READERS and p.is_file())
            inside = [p for p in inside if not p.name.startswith(".")]
            if not inside:
                raise MotionError(f"{path}: no motion file in this folder, expected {' '.join(READERS)}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise MotionError(f"{path}: no such file or folder")
    if not found:
        raise MotionError("no motion file given, expected files or folders")
    return found
