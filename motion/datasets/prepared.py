"""Motion files as features, made once: read, brought onto the default skeleton, kept in a cache by what they hold.

An entry is the rows of all motions of a file, one after the other in single precision, and a JSON file that says which
are whose. It is known by the file's bytes, its name, how it is read and the code that does it, so a changed file, flag
or version makes another entry and no entry is ever stale. Each file is written whole, the JSON last: two processes may
prepare one set, whoever is interrupted leaves what is finished.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np

from morphloop.base.cache_folder import cache_folder
from morphloop.base.errors import MotionError
from morphloop.base.opening import open_regular, read_json, reading
from morphloop.base.pool import Message, run_tasks
from morphloop.base.still_valid import hash_code, hash_json
from morphloop.base.writing import write_atomic, write_json

from ..config import ReadingConfig
from ..features import FEATURE_SIZE, clip_to_features
from ..fitting.retarget import to_default
from ..readers import read_motions
from ..readers.acclaim import find_asf
from ..reading_limits import MAX_PICKLE, READ_BYTES

CODE = (
    *("motion/readers", "motion/fitting", "motion/features.py", "motion/humanml3d.py", "motion/clip.py"),
    *("motion/axes.py", "motion/files.py", "motion/rotations.py", "motion/skeleton.py", "motion/datasets/prepared.py"),
)
"""What decides the features of a file."""
BYTES = 4 * FEATURE_SIZE
"""Of a frame."""
MOTIONS = "motions"
"""Folder of the cache."""
SCHEMA = 1
FEW = 3
"""Files that are prepared in this process: workers take longer to start."""

Watch = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much."""


@dataclass(frozen=True)
class Rows:
    """Features of one motion in a file of them. file: single precision, FEATURE_SIZE a frame; start: first frame;
    frames: their number; id: hash of what they were made from, with the segment of it."""

    file: Path
    start: int
    frames: int
    id: str

    def read(self) -> np.ndarray:
        """(frames, FEATURE_SIZE) mapped from the disk; MotionError if the cache lost it."""
        # np.memmap, which resolves names and makes views, doubled the time of a batch of windows
        with reading(self.file), self.file.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            flat = np.frombuffer(mapped, "<f4", FEATURE_SIZE * self.frames, BYTES * self.start)
        return flat.reshape(self.frames, FEATURE_SIZE)

    def cut(self, start: int, stop: int) -> Rows:
        """Frames start to stop - 1 as a motion of their own."""
        return replace(self, start=self.start + start, frames=stop - start, id=f"{self.id}[{start}:{stop}]")


@dataclass(frozen=True)
class Motion:
    """A motion of a file. key: which one, empty where the file holds one; texts: captions that the file has."""

    key: str
    texts: tuple[str, ...]
    rows: Rows


@dataclass(frozen=True)
class Prepared:
    """What a file holds: its motions, and those of many that cannot be used by key and why."""

    motions: tuple[Motion, ...]
    failed: tuple[tuple[str, str], ...] = ()
    again: bool = False
    """Whether some failed for want of memory, which the next time may not."""


def prepare_files(
    paths: Sequence[Path], how: ReadingConfig, workers: int | None, cache: Path | None, watch: Watch
) -> Iterator[Prepared | MotionError]:
    """What each file holds, or why it cannot be used, in their order; what the cache has not is made first.

    workers: processes that make it, None for one a core. MotionError where the cache cannot be written.
    """
    folder = (cache or cache_folder(MOTIONS)) / hash_json([hash_code(CODE), _versions()])
    basis = asdict(how) | {"joint_map": None if how.joint_map is None else _digest(Path(how.joint_map))}
    entries: list[Path | MotionError] = []
    missing: dict[Path, Path] = {}
    for number, path in enumerate(paths):
        watch("looking at files", number, len(paths))
        try:
            entry = _entry(folder, path, basis)
        except MotionError as error:
            entries.append(error)
            continue
        entries.append(entry)
        made = _load(entry)
        if made is None or made.again:
            missing.setdefault(entry, path)
    watch("looking at files", len(paths), len(paths))
    reasons = _make(missing, how, workers, watch)
    for entry in entries:
        if isinstance(entry, MotionError):
            yield entry
        else:
            yield reasons.get(entry) or _load(entry) or MotionError(f"{entry}: was deleted while it was needed")


def _make(missing: dict[Path, Path], how: ReadingConfig, workers: int | None, watch: Watch) -> dict[Path, MotionError]:
    """Make entries of files; why those that could not be made were not."""
    tasks = [{"entry": str(entry), "path": str(path), "how": asdict(how)} for entry, path in missing.items()]
    most = (os.cpu_count() or 0) if workers is None else workers
    reasons: dict[Path, MotionError] = {}
    done = 0
    for number, message in run_tasks(prepare_file, tasks, 0 if len(tasks) <= FEW else min(most, len(tasks))):
        if message is None:
            done += 1
            watch("preparing motions", done, len(tasks))
        elif "full" in message:
            raise MotionError(message["full"])
        else:
            died = f"the worker that read it died: {message.get('died')}"
            reasons[Path(tasks[number]["entry"])] = MotionError(message.get("failed", died))
    return reasons


def prepare_file(task: Message) -> Iterator[Message]:
    """Make the entry of a file; yields {"failed": why} if it holds no motion that can be used, {"full": why} if the
    cache cannot be written."""
    entry, path = Path(task["entry"]), Path(task["path"])
    motions: list[dict[str, Any]] = []
    failed: list[tuple[str, str]] = []
    again = False

    def write(stream: IO[bytes]) -> None:
        nonlocal again
        for name, read in read_motions(path, how=ReadingConfig(**task["how"])):
            key = name.removeprefix(path.stem).removeprefix(":")
            try:
                clip = to_default(read())
                features = clip_to_features(clip).astype("<f4")
            except MotionError as error:
                failed.append((key, str(error).removeprefix(f"{path}: ").replace(str(path), path.name)))
                again |= isinstance(error.__cause__, MemoryError | OSError)  # the machine refused, not the file
                continue
            stream.write(features.tobytes())
            motions.append({"key": key, "texts": list(clip.texts), "frames": len(features)})
        if not motions:
            raise _NothingThere

    try:
        write_atomic(_rows_of(entry), write)
        told = {"schema": SCHEMA, "size": FEATURE_SIZE, "motions": motions, "failed": failed, "again": again}
        write_json(entry, told)
    except _NothingThere:
        yield {"failed": failed[0][1] if failed else "holds no motion"}
    except MotionError as error:
        yield {"full": str(error)}


class _NothingThere(Exception):
    """A file of which no motion can be used leaves no entry."""


def _versions() -> list[str]:
    return [platform.python_version(), version("numpy"), version("scipy")]


def _entry(folder: Path, path: Path, how: dict[str, Any]) -> Path:
    """The JSON file of a motion file's entry. MotionError if it cannot be read."""
    key = hash_json({"file": _digest(path), "name": path.name, "beside": _beside(path), "how": how})
    return folder / key[:2] / f"{key}.json"


def _beside(path: Path) -> list[str]:
    """Digests of files beside a motion's own that are read with it: Acclaim's skeleton, TRAM's camera."""
    if path.suffix.lower() == ".amc":
        return [_digest(find_asf(path))]
    if path.suffix.lower() == ".npy":
        cameras = (folder / "camera.npy" for folder in (path.parent, path.parent.parent))
        return [_digest(camera) for camera in cameras if camera.is_file()][:1]
    return []


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path, MAX_PICKLE) as stream, reading(path):
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _rows_of(entry: Path) -> Path:
    return entry.with_suffix(".rows")


def _load(entry: Path) -> Prepared | None:
    """An entry, None if it is not there or not whole."""
    try:
        if not entry.is_file():
            return None
        told = read_json(entry)
        if (told["schema"], told["size"]) != (SCHEMA, FEATURE_SIZE):
            return None
        file, motions, start = _rows_of(entry), [], 0
        for motion in told["motions"]:
            rows = Rows(file, start, int(motion["frames"]), f"{entry.stem}:{motion['key']}")
            motions.append(Motion(str(motion["key"]), tuple(map(str, motion["texts"])), rows))
            start += rows.frames
        if file.stat().st_size != BYTES * start:
            return None
        return Prepared(tuple(motions), tuple((str(key), str(why)) for key, why in told["failed"]), bool(told["again"]))
    except (MotionError, OSError, KeyError, TypeError, ValueError):
        return None
