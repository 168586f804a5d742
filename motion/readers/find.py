"""Any motion file by its extension and content, and all motion files of a folder.

A file may hold many motions (PHC's pickles, batches of generated joints): `read_motions` gives each a name and a way to
read it, so that one bad motion does not hide the others; `FILE:KEY` names one of them wherever a path is taken.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.names import shown
from morphloop.base.opening import reading

from ..axes import with_up
from ..clip import Clip
from ..config import AS_FILES_SAY, ReadingConfig
from ..robot import WhoseMotion
from .formats import suffixes
from .sniff import format_of, may_hold_motion
from .values import Many, Motion, bounded

log = logging.getLogger("morphloop.motion")


def read_motion(
    path: Path | str, fps: float | None = None, robot: WhoseMotion = None, how: ReadingConfig = AS_FILES_SAY
) -> Motion:
    """Read a motion file; what it is, its content decides.

    fps: frames per second for a file that cannot tell; where the file tells, it must agree to 1 %. robot: whose motion
    a robot's file is (`sim.load_body(mjcf).robot`), or what knows robots by their names (`sim.known_robot`). how: what
    else is said about the file. Axes of the result are ours, the ground is the file's. A file of several motions needs
    `FILE:KEY`. Raises MotionError, one line, for anything that cannot be read with certainty.
    """
    path, key = _split_key(Path(path))
    how = _told(fps, how)
    content = _open(path, how, robot)
    if not isinstance(content, dict):
        if key is not None:
            raise MotionError(f"{path}: holds one motion, expected the file without ':{key}'")
        return _read_one(lambda: content, path, how)
    if key is None and len(content) == 1:
        key = next(iter(content))
    if key is None:
        raise MotionError(
            f"{path}: holds {len(content)} motions, expected one of them, such as {path}:{_first(content)}"
        )
    if key not in content:
        raise MotionError(f"{path}: has no motion '{key}', expected one such as {_first(content)}")
    return _read_one(content[key], f"{path}:{key}", how)


def read_motions(
    path: Path | str, fps: float | None = None, robot: WhoseMotion = None, how: ReadingConfig = AS_FILES_SAY
) -> Iterator[tuple[str, Callable[[], Motion]]]:
    """Every motion of a file as (name, read): the file's stem, or `stem:key` where the file names them.

    `read()` returns the motion or raises MotionError for that motion alone; the iteration itself does not raise for a
    bad file, it yields one name whose `read` does. Arrays of one motion at a time are turned into a clip.
    """
    path, key = _split_key(Path(path))
    how = _told(fps, how)
    if key is not None:
        yield f"{path.stem}:{key}", partial(read_motion, f"{path}:{key}", None, robot, how)
        return
    try:
        content = _open(path, how, robot)
    except MotionError as error:
        yield path.stem, partial(_fail, error)
        return
    if isinstance(content, dict):
        for name, read in content.items():
            yield f"{path.stem}:{name}", partial(_read_one, read, f"{path}:{name}", how)
    else:
        yield path.stem, partial(_read_one, lambda: content, path, how)


def find_motions(paths: Path | str | Iterable[Path | str]) -> Iterator[Path]:
    """Motion files: files as they are named, folders expanded with their subfolders in sorted order, lazily.

    In a folder, a file whose ending says little (.json .txt .csv .pkl .npy .npz) is taken by a look at its beginning;
    manifests, licences and model files are passed over, damaged motion files are not. A file that is named is always
    taken. Links in a folder are followed to files within it alone; those that lead out are passed over and said once a
    folder, so are pipes, devices and sockets, unsaid. Raises MotionError at once for a missing path, and when it comes
    to a folder without a motion file.
    """
    named = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(p) for p in paths]
    if not named:
        raise MotionError("no motion file given, expected files or folders")
    for path in named:
        with reading(path):
            if not path.is_dir() and not _split_key(path)[0].is_file():
                what = "neither a file nor a folder" if path.exists() else "no such file or folder"
                raise MotionError(f"{path}: {what}")
    return _expanded(named)


def _expanded(named: list[Path]) -> Iterator[Path]:
    for path in named:
        if not path.is_dir():
            yield path
            continue
        found, links, endings = False, list[Path](), suffixes()
        for inside in _walk(path, os.path.realpath(path), links):
            if inside.suffix.lower() in endings and may_hold_motion(inside):
                found = True
                yield inside
        said = f"{len(links)} links out of it are not followed, such as {shown(links[0].name)}" if links else ""
        if not found:
            more = f"; {said}" if said else ""
            raise MotionError(f"{path}: no motion file in this folder, expected {' '.join(endings)}{more}")
        if said:
            log.warning("%s: %s", shown(path), said)


def _walk(folder: Path, root: str, links: list[Path]) -> Iterator[Path]:
    """Regular files under a folder, sorted by name with subfolders in their place; hidden ones are left out.

    root: where the walk began, its links resolved; links: is given those that lead elsewhere, or to a folder.
    """
    try:
        with os.scandir(folder) as entries:
            inside = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise MotionError(f"{folder}: cannot be listed ({error.strerror})") from None
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, root, links)
        elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _stays(entry.path, root)):
            yield folder / entry.name
        elif entry.is_symlink():
            links.append(folder / entry.name)


def _stays(link: str, root: str) -> bool:
    """Whether a link leads to a regular file under `root`."""
    target = os.path.realpath(link)
    return target.startswith(os.path.join(root, "")) and os.path.isfile(target)


def _told(fps: float | None, how: ReadingConfig) -> ReadingConfig:
    return how if fps is None else replace(how, fps=fps)


def _open(path: Path, how: ReadingConfig, robot: WhoseMotion) -> Motion | Many:
    form = format_of(path)
    if form is None:
        raise MotionError(f"{path}: unknown extension '{path.suffix}', expected {' '.join(suffixes())}")
    with reading(path):
        return form.read(path, how, robot)


def _split_key(path: Path) -> tuple[Path, str | None]:
    """`FILE:KEY` in its parts; a path that exists, or has no such file before a colon, stays whole."""
    text = str(path)
    at = text.find(":")
    while at > 0 and not os.path.exists(path):
        if os.path.isfile(text[:at]):
            return Path(text[:at]), text[at + 1 :]
        at = text.find(":", at + 1)
    return path, None


def _first(content: Many) -> str:
    return next(iter(content), "")


def _fail(error: MotionError) -> Motion:
    raise error


def _read_one(read: Callable[[], Motion], where: Path | str, how: ReadingConfig) -> Motion:
    with reading(where):
        motion = _checked(read(), where)
        return motion if how.up is None else with_up(motion, how.up)


def _checked(motion: Motion, where: Path | str) -> Motion:
    """The motion, refused where it is too far off for its metres to be computed with."""
    at = motion.root_pos if isinstance(motion, Clip) else motion.positions
    bounded(at, f"{where}: positions")
    if isinstance(motion, Clip):
        bounded(motion.skeleton.offsets, f"{where}: offsets")
    return motion
