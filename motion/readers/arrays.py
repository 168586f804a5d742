"""Motion in NumPy files and pickles, told apart by the names of the arrays, or the shape of an only one.

A pickle is a motion, or a dictionary of many by name. Which layouts there are, `formats` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import open_regular

from ..files import clip_of, read_npy, read_npz
from ..humanml3d import FEATURES
from ..reading_limits import MAX_ARRAY_BYTES, MAX_MOTIONS
from ..robot import Robot
from .humanoid15 import is_amp
from .joints import JOINTS, read_features, read_joints
from .pickled import read_pickle
from .timing import resolve_fps
from .values import Many, Motion, Values

CLIP_MARKS = ({"meta", "rotations"}, {"meta", "positions"})
"""Names in a clip of morphloop's own; a rollout has other ones."""


@dataclass(frozen=True)
class Layout:
    """A motion known by the names of its arrays, in an npz or a pickle.

    name: as messages have it; holds: whether values are it; read: makes the motion, or several, of (values, fps, path,
    robot), or raises MotionError; marks: sets of names, any of which makes an npz found in a folder worth reading.
    """

    name: str
    holds: Callable[[Values], bool]
    read: Callable[[Values, float | None, Path, Robot | None], Motion | Many]
    marks: tuple[Set[str], ...] = ()


@dataclass(frozen=True)
class ArrayReader:
    """Reads files of arrays. layouts: which may be in them, in order of preference; expected: the same in words."""

    layouts: tuple[Layout, ...]
    expected: str

    def read_npz(self, path: Path, fps: float | None, robot: Robot | None) -> Motion | Many:
        """An .npz by the names in it."""
        arrays = read_npz(path)
        if "meta" in arrays:
            clip = clip_of(arrays, path)
            resolve_fps(clip.fps, fps, path)
            return clip
        return self._of_values(arrays, fps, path, robot)

    def read_npy(self, path: Path, fps: float | None, robot: Robot | None) -> Motion | Many:
        """An .npy: joints or features by their shape; an array of objects goes to the safe pickle reader."""
        if _holds_objects(path):
            return self.read_pickle(path, fps, robot)
        array = read_npy(path)
        if array.shape[1:] == (FEATURES,):
            return read_features(array, fps, path)
        return read_joints({"joints": array}, fps, path)

    def read_pickle(self, path: Path, fps: float | None, robot: Robot | None) -> Motion | Many:
        """One motion by the names of its arrays, or a dictionary of motions (PHC). Nothing in it is executed."""
        value = read_pickle(path)
        if not isinstance(value, Mapping):
            raise MotionError(f"{path}: holds a {type(value).__name__}, expected a dictionary of arrays or of motions")
        values = {str(key): item for key, item in value.items()}
        if is_amp(values) or not values or not all(isinstance(item, Mapping) for item in values.values()):
            return self._of_values(values, fps, path, robot)
        if len(values) > MAX_MOTIONS:
            raise MotionError(f"{path}: {len(values)} motions, expected at most {MAX_MOTIONS}")
        return {key: partial(self._named, key, item, fps, path, robot) for key, item in values.items()}

    def _named(self, key: str, values: Values, fps: float | None, path: Path, robot: Robot | None) -> Motion:
        """One motion of many; its messages name the file and the key."""
        where = path.with_name(f"{path.name}:{key}") if "/" not in key and "\0" not in key else path
        try:
            motion = self._of_values({str(name): value for name, value in values.items()}, fps, where, robot)
        except MotionError as error:
            raise MotionError(str(error) if key in str(error) else f"{path}:{key}: {error}") from None
        if isinstance(motion, dict):
            raise MotionError(f"{path}:{key}: holds motions of its own, expected one motion")
        return replace(motion, name=f"{path.stem}:{key}")

    def _of_values(self, values: Values, fps: float | None, path: Path, robot: Robot | None) -> Motion | Many:
        for layout in self.layouts:
            if layout.holds(values):
                return layout.read(values, fps, path, robot)
        raise MotionError(f"{path}: keys {sorted(values)[:8]}, expected those of {self.expected}")


def _holds_objects(path: Path) -> bool:
    with open_regular(path, MAX_ARRAY_BYTES) as stream:
        head = stream.read(512)
    return head[:6] == b"\x93NUMPY" and b"'|O'" in head.partition(b"\n")[0]


def looks_like_npy(head: bytes) -> bool:
    """Numbers of a frame in HumanML3D's shapes, or an object array, which is read by the safe pickle reader."""
    found = re.search(rb"'descr':\s*'([^']*)'.*'shape':\s*\(([\d, ]*)\)", head[:512], re.DOTALL)
    if head[:6] != b"\x93NUMPY" or found is None:
        return True
    shape = [int(word) for word in found[2].replace(b",", b" ").split()]
    if found[1].lstrip(b"|<>=").startswith(b"O"):
        return b"rotation" in head or b"pose" in head
    return (len(shape) == 3 and shape[1:] == [JOINTS, 3]) or (len(shape) == 2 and shape[1] == FEATURES)
