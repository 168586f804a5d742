"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .errors import MotionError


def write_atomic(path: Path | str, write: Callable[[IO[bytes]], Any]) -> Path:
    """Write a file under a temporary name in the same folder, then rename: never a half-written file.

    A pipe or device, as `/dev/null` or `/dev/stdout`, is written to and not replaced. MotionError for a folder, a pipe
    that nobody reads, and where nothing can be written, be it that the disk is full halfway.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise MotionError(f"{path}: is a folder, expected a file to write")
        if path.exists() and not path.is_file():
            with os.fdopen(_open_special(path), "wb") as stream:
                write(stream)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path.name), suffix=".tmp")
    except OSError as error:
        raise MotionError(f"{path}: cannot write here ({error.strerror}), choose a writable folder") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())  # or a power cut may leave the new name with none of its bytes
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise MotionError(f"{path}: cannot write here ({error.strerror}), choose a writable folder") from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def copy_file(path: Path, to: Path) -> Path:
    """Copy a file, whole or not at all. MotionError as `write_atomic`."""

    def write(stream: IO[bytes]) -> None:
        with path.open("rb") as source:
            shutil.copyfileobj(source, stream)

    return write_atomic(to, write)


def _open_special(path: Path) -> int:
    """A pipe or device, open for writing. MotionError for a pipe that nobody reads, which would hold us for ever."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise MotionError(f"{path}: a pipe or socket that nobody reads, expected a file to write") from None
    os.set_blocking(handle, True)
    return handle


def sync_folder(folder: Path) -> None:
    """Have the disk hold the names in a folder as they are now, as far as the system knows how to."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems know no such thing
        pass
    finally:
        os.close(handle)


def _prefix(name: str) -> str:
    """Begin of a temporary file's name, short enough for a file whose own name is as long as the system allows."""
    return f".{os.fsdecode(os.fsencode(name)[:200])}."


def write_json(path: Path | str, value: Any) -> Path:
    """Write JSON, atomically; NaN is refused so that the file is JSON to every reader."""
    text = json.dumps(value, indent=2, allow_nan=False)
    return write_atomic(path, lambda stream: stream.write(text.encode() + b"\n"))
