"""Motion in NumPy files and pickles, told apart by the names of the arrays, or the shape of an only one.

A pickle is a motion, or a dictionary of many by name. Which layouts there are, `formats` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.opening import open_regular

from ..axes import AXES
from ..config import ReadingConfig
from ..files import clip_of, read_npy, read_npz
from ..humanml3d import FEATURES
from ..reading_limits import MAX_ARRAY_BYTES, MAX_MOTIONS
from ..robot import WhoseMotion
from .joints import read_features, read_joints_or_batch
from .pickled import looks_like_no_model, read_pickle, read_torch, unpickle
from .timing import resolve_fps
from .values import TEXT_KEYS, Many, Motion, Values

CLIP_MARKS = ({"meta", "rotations"}, {"meta", "positions"})
"""Names in a clip of morphloop's own; a rollout has other ones."""
LEAST_COLUMNS = 12
"""Numbers a frame from which a table may hold poses: a root of 7 and a few hinges."""
TEXT_NAMES = frozenset((*TEXT_KEYS, "gender", "joint_names", "body_names", "link_body_list"))
"""Texts that files keep as arrays of objects, and readers ask for."""


@dataclass(frozen=True)
class Layout:
    """A motion known by the names of its arrays, in an npz or a pickle.

    name: as messages have it; holds: whether values are it; read: makes the motion, or several, of (values, how, path,
    robot), or raises MotionError; marks: sets of names, any of which makes an npz found in a folder worth reading.
    """

    name: str
    holds: Callable[[Values], bool]
    read: Callable[[Values, ReadingConfig, Path, WhoseMotion], Motion | Many]
    marks: tuple[Set[str], ...] = ()


@dataclass(frozen=True)
class ArrayReader:
    """Reads files of arrays. layouts: which may be in them, in order of preference; expected: the same in words."""

    layouts: Callable[[], tuple[Layout, ...]]
    expected: str

    def read_npz(self, path: Path, how: ReadingConfig, robot: WhoseMotion) -> Motion | Many:
        """An .npz by the names in it."""
        objects: dict[str, bytes] = {}
        arrays = read_npz(path, objects=objects)
        if "meta" in arrays:
            clip = clip_of(arrays, path)
            # our files have our axes, whatever the file had that they were made from
            notes = {name: value for name, value in clip.provenance.notes.items() if name != AXES}
            provenance = replace(clip.provenance, notes=notes)
            return replace(clip, fps=resolve_fps(clip.fps, how, path), provenance=provenance)
        values = arrays | _texts(objects, path)
        try:
            return self._of_values(values, how, path, robot)
        except MotionError as error:
            passed = ", ".join(sorted(objects.keys() - values.keys())[:4])
            more = f"; passed over unread, being pickled objects: {passed}" if passed else ""
            raise MotionError(f"{error}{more}") from None

    def read_npy(self, path: Path, how: ReadingConfig, robot: WhoseMotion) -> Motion | Many:
        """An .npy: joints or features by their shape; an array of objects goes to the safe pickle reader."""
        if _holds_objects(path):
            return self.read_pickle(path, how, robot)
        array = read_npy(path)
        if array.shape[1:] == (FEATURES,):
            return read_features(array, how, path)
        return read_joints_or_batch({"joints": array}, how, path)

    def read_pickle(self, path: Path, how: ReadingConfig, robot: WhoseMotion) -> Motion | Many:
        """One motion by the names of its arrays, or a dictionary of motions (PHC). Nothing in it is executed."""
        return self._of_value(read_pickle(path), how, path, robot)

    def read_torch(self, path: Path, how: ReadingConfig, robot: WhoseMotion) -> Motion | Many:
        """What torch.save wrote, as a pickle of the same. Nothing in it is executed, and torch is not asked."""
        return self._of_value(read_torch(path), how, path, robot)

    def _of_value(self, value: object, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Motion | Many:
        """One motion, or a dictionary or a list of motions."""
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            value = dict(enumerate(value))
        if not isinstance(value, Mapping):
            raise MotionError(f"{path}: holds a {type(value).__name__}, expected a dictionary of arrays or of motions")
        values = {str(key): item for key, item in value.items()}
        if self._holds(values) or not values or not all(isinstance(item, Mapping) for item in values.values()):
            return self._of_values(values, how, path, robot)
        if len(values) > MAX_MOTIONS:
            raise MotionError(f"{path}: {len(values)} motions, expected at most {MAX_MOTIONS}")
        return {key: partial(self._named, key, item, how, path, robot) for key, item in values.items()}

    def _named(self, key: str, values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Motion:
        """One motion of many; its messages name the file and the key."""
        where = path.with_name(f"{path.name}:{key}") if "/" not in key and "\0" not in key else path
        try:
            motion = self._of_values({str(name): value for name, value in values.items()}, how, where, robot)
        except MotionError as error:
            raise MotionError(str(error) if key in str(error) else f"{path}:{key}: {error}") from None
        if isinstance(motion, dict):
            raise MotionError(f"{path}:{key}: holds motions of its own, expected one motion")
        return replace(motion, name=f"{path.stem}:{key}")

    def _holds(self, values: Values) -> bool:
        return any(layout.holds(values) for layout in self.layouts())

    def _of_values(self, values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Motion | Many:
        for layout in self.layouts():
            if layout.holds(values):
                return layout.read(values, how, path, robot)
        raise MotionError(f"{path}: keys {sorted(values)[:8]}, expected those of {self.expected}")


def _texts(objects: dict[str, bytes], path: Path) -> dict[str, np.ndarray]:
    """Those arrays of objects, by name, which hold nothing but texts; no other is looked into."""
    found: dict[str, np.ndarray] = {}
    for name in objects.keys() & TEXT_NAMES:
        try:
            value = np.asarray(unpickle(objects[name], f"{path}: {name}"))
        except MotionError:
            continue
        texts = value.reshape(-1).tolist()
        if texts and all(isinstance(text, str) for text in texts):
            found[name] = np.array(texts)
    return found


def _holds_objects(path: Path) -> bool:
    with open_regular(path, MAX_ARRAY_BYTES) as stream:
        head = stream.read(512)
    return head[:6] == b"\x93NUMPY" and b"'|O'" in head.partition(b"\n")[0]


def looks_like_npy(head: bytes) -> bool:
    """Whether an array that begins so may hold frames; one of objects is read by the safe pickle reader."""
    found = re.search(rb"'descr':\s*'([^']*)'.*'shape':\s*\(([\d, ]*)\)", head[:512], re.DOTALL)
    if head[:6] != b"\x93NUMPY" or found is None:
        return True
    shape = tuple(int(word) for word in found[2].replace(b",", b" ").split())
    if found[1].lstrip(b"|<>=").startswith(b"O"):
        return looks_like_no_model(head)
    return holds_frames(shape)


def holds_frames(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape may hold a pose a frame; statistics, shapes and paths do not."""
    return len(shape) > 2 or (len(shape) == 2 and shape[1] >= LEAST_COLUMNS)
