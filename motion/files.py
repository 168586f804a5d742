"""The clip file: `.npz` without pickle, a JSON `meta` inside; written whole or not at all.

A data set is a folder of clips and one `manifest.jsonl`, a line a clip.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.opening import check_characters, in_one_line, open_regular, parse_json, read_utf8, reading
from morphloop.base.writing import write_atomic

from .clip import Clip, JointTrack, Provenance, Rollout
from .reading_limits import (
    LARGEST,
    MAX_ARRAY_BYTES,
    MAX_MANIFEST,
    MAX_MEMBERS,
    MAX_META,
    MAX_NUMBERS,
    MAX_RATIO,
    MAX_UNPACKED,
    READ_BYTES,
)
from .skeleton import DEFAULT_SKELETON, Skeleton

SCHEMA = 1


def read_npz(
    path: Path | str, keys: Collection[str] | None = None, objects: dict[str, bytes] | None = None
) -> dict[str, np.ndarray]:
    """All arrays of an npz after checking what it announces; arrays of objects (pickles) are passed over unread.

    keys: names to read; others are passed over, whatever they are. objects: is given the bytes of each array of objects
    by its name. Raises MotionError, one line, for anything that is not such a file.
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    with npz_members(path) as (archive, members):
        infos = {name: info for name, info in members.items() if keys is None or name in keys}
        unpacked, packed = sum(info.file_size for info in infos.values()), path.stat().st_size
        if unpacked > MAX_ARRAY_BYTES:
            raise MotionError(f"{path}: announces more than {MAX_ARRAY_BYTES >> 30} GiB of arrays")
        if unpacked > MAX_UNPACKED and unpacked > MAX_RATIO * packed:
            raise MotionError(
                f"{path}: unpacks to {unpacked >> 20} MiB, {unpacked // packed} times its size, "
                f"expected a motion: at most {MAX_UNPACKED >> 20} MiB or {MAX_RATIO} times"
            )
        for name, info in infos.items():
            with archive.open(info) as stream:
                header = _npy_header(stream)
                if not header[2].hasobject:
                    arrays[name] = _read_npy(stream, header, info.file_size, path)
                    continue
            if objects is not None:
                objects[name] = archive.read(info)
    return arrays


def npz_shapes(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> Iterator[tuple[int, ...]]:
    """Shapes of the arrays of an npz, of those of objects too, by their headers alone."""
    for info in members.values():
        with archive.open(info) as stream:
            yield _npy_header(stream)[0]


@contextmanager
def npz_members(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """An npz, open, and its arrays by name. MotionError for what is none, for more than `MAX_MEMBERS`, and for a way of
    packing that NumPy does not use and whose unpacking zipfile does not bound."""
    with open_archive(path, "npz file") as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        for info in infos:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise MotionError(f"{path}: '{info.filename}' is not packed as NumPy packs, expected deflate")
        yield archive, {info.filename.removesuffix(".npy"): info for info in infos}


@contextmanager
def open_archive(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """A zip archive of at most `MAX_MEMBERS`, open; MotionError for what is none, or turns out damaged inside."""
    try:
        with open_regular(path, MAX_ARRAY_BYTES) as raw, zipfile.ZipFile(_Sips(raw, path)) as archive:
            count = len(archive.infolist())
            if count > MAX_MEMBERS:
                raise MotionError(f"{path}: {count} members, expected at most {MAX_MEMBERS} arrays")
            yield archive
    except MotionError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise MotionError(f"{path}: not a readable {kind} ({in_one_line(error)})") from None
    except Exception as error:  # zlib.error and friends share no base class but Exception
        raise MotionError(f"{path}: damaged {kind} ({in_one_line(error)})") from None


class _Sips(io.RawIOBase):
    """An archive whose single reads are bounded: zipfile takes a whole table of contents, whatever its size, in one."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path

    def read(self, size: int | None = -1) -> bytes:
        data = self._stream.read(READ_BYTES + 1 if size is None or size < 0 else min(size, READ_BYTES + 1))
        if len(data) > READ_BYTES:
            raise MotionError(f"{self._path}: its table of contents is over {READ_BYTES >> 20} MiB, expected arrays")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def read_npy(path: Path | str) -> np.ndarray:
    """One array of an npy file under the same checks as `read_npz`."""
    path = Path(path)
    try:
        with open_regular(path, MAX_ARRAY_BYTES) as stream:
            return _read_npy(stream, _npy_header(stream), path.stat().st_size, path)
    except MotionError:
        raise
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
        raise MotionError(f"{path}: not a readable npy file ({in_one_line(error)})") from None


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and dtype that an array announces."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read_header(stream)


def _read_npy(stream: IO[bytes], header: tuple[tuple[int, ...], bool, np.dtype], size: int, path: Path) -> np.ndarray:
    shape, fortran, dtype = header
    if dtype.hasobject:
        raise MotionError(f"{path}: holds pickled objects, expected plain number arrays")
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise MotionError(f"{path}: array {shape}, expected sizes of 0 or more")
    count = int(np.prod(shape, dtype=object))
    # an element of no bytes counts as one: a million texts of no letters are a million objects once they are used
    if count * max(dtype.itemsize, 1) > min(size, MAX_ARRAY_BYTES) or max(shape, default=0) > MAX_ARRAY_BYTES:
        raise MotionError(f"{path}: array {shape} announces more bytes than the file holds")
    # into one buffer: what a zip member returns from `read` is joined from pieces and takes twice the memory
    data = bytearray(count * dtype.itemsize)
    left = memoryview(data)
    while left.nbytes:
        got = stream.readinto(left[:READ_BYTES])  # type: ignore[attr-defined]
        if not got:
            raise EOFError("ends within an array")
        left = left[got:]
    check_characters(data, dtype, path)
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _write_arrays(path: Path | str, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays, packed unless they are so large that `read_npz` would want to know how well they pack."""
    text = np.array(json.dumps(meta, allow_nan=False))
    large = text.nbytes + sum(array.nbytes for array in arrays.values()) > MAX_UNPACKED // 2
    save = np.savez if large else np.savez_compressed
    return write_atomic(path, lambda stream: save(stream, meta=text, **arrays))  # type: ignore[arg-type]


def _meta(arrays: dict[str, np.ndarray], path: Path | str, kinds: tuple[str, ...]) -> dict[str, Any]:
    written = arrays.get("meta")
    if written is None or written.shape or written.dtype.kind != "U" or written.nbytes > 4 * MAX_META:
        raise MotionError(f"{path}: has no morphloop meta, expected a file that morphloop wrote")
    meta = parse_json(str(written), f"{path}: meta", "a file that morphloop wrote")
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        raise MotionError(f"{path}: schema {meta.get('schema') if isinstance(meta, dict) else meta}, expected {SCHEMA}")
    kind = str(meta.get("kind"))
    if kind not in kinds:
        raise MotionError(f"{path}: holds a {kind}, expected {' or '.join(kinds)}")
    return meta


def _field(mapping: dict[str, Any], key: str, path: Path | str) -> Any:
    try:
        return mapping[key]
    except KeyError:
        raise MotionError(f"{path}: field '{key}' is missing") from None


def _numbers(arrays: dict[str, np.ndarray], key: str, path: Path | str) -> np.ndarray:
    """An array of a clip; NaN is the clip's to refuse, with its frame."""
    array = _field(arrays, key, path)
    if array.dtype.kind not in "iuf":
        raise MotionError(f"{path}: {key} of type {array.dtype}, expected numbers")
    if array.size > MAX_NUMBERS:
        raise MotionError(f"{path}: {key} has {array.size} numbers, expected at most {MAX_NUMBERS}; cut the motion")
    if array.size and np.abs(array).max() > LARGEST:
        raise MotionError(f"{path}: {key} has a number above {LARGEST:g}, expected metres and unit quaternions")
    return array


def provenance_to_dict(provenance: Provenance) -> dict[str, Any]:
    """Provenance as plain JSON values."""
    return asdict(provenance)


def provenance_from_dict(value: dict[str, Any]) -> Provenance:
    """Inverse of `provenance_to_dict`; fields of a later version are dropped. MotionError for a wrong type."""
    if not isinstance(value, dict):
        raise MotionError(f"provenance is a {type(value).__name__}, expected its fields by name")
    found = {name: value[name] for name in _PROVENANCE if name in value}
    for name, item in found.items():
        kinds = _PROVENANCE[name]
        if not isinstance(item, kinds) or isinstance(item, bool):
            raise MotionError(f"provenance: {name} is a {type(item).__name__}, expected {kinds[0].__name__}")
    if not all(isinstance(name, str) for name in found.get("models", {}).values()):
        raise MotionError("provenance: models are not hashes by name")
    return Provenance(**found)


_PROVENANCE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("parent", "source", "prompt", "simulator", "projector", "verdict", "reason"), (str, type(None))),
    **dict.fromkeys(("seed", "round"), (int, type(None))),
    **dict.fromkeys(("models", "metrics", "notes"), (dict,)),
    "stage": (str,),
}
"""Fields of a provenance and their types in JSON."""


def _length_unit(clip: Clip | JointTrack) -> str:
    """Metres, except on the skeleton of a file that does not tell: see the BVH reader."""
    own = isinstance(clip, Clip) and clip.skeleton != DEFAULT_SKELETON
    return "length unit unknown" if own and clip.provenance.notes.get("length_unit") == "unknown" else "m"


def save_clip(path: Path | str, clip: Clip | JointTrack) -> Path:
    """Write a clip or joint track; arrays in single precision."""
    common = {
        "schema": SCHEMA,
        "fps": clip.fps,
        "units": f"{_length_unit(clip)}, rad, s; Z up, X forward; quaternions w x y z",
        "texts": list(clip.texts),
        "name": clip.name,
        "id": clip.id,
        "provenance": provenance_to_dict(clip.provenance),
    }
    if isinstance(clip, JointTrack):
        meta = common | {"kind": "joints", "joints": list(clip.names)}
        return _write_arrays(path, meta, {"positions": clip.positions.astype(np.float32)})
    meta = common | {"kind": "clip", "joints": list(clip.skeleton.names), "parents": list(clip.skeleton.parents)}
    arrays = {
        "offsets": clip.skeleton.offsets,
        "root_pos": clip.root_pos.astype(np.float32),
        "rotations": clip.rotations.astype(np.float32),
    }
    return _write_arrays(path, meta, arrays)


def load_clip(path: Path | str) -> Clip | JointTrack:
    """Read a file of `save_clip`. MotionError if it is not one or holds no usable motion."""
    with reading(path):
        return clip_of(read_npz(path), path)


def clip_of(arrays: dict[str, np.ndarray], path: Path | str) -> Clip | JointTrack:
    """`load_clip` of the arrays of its file."""
    meta = _meta(arrays, path, ("clip", "joints"))
    texts = meta.get("texts", ())
    if not isinstance(texts, list | tuple):
        raise MotionError(f"{path}: texts is a {type(texts).__name__}, expected a list")
    try:
        common = {
            "fps": float(_field(meta, "fps", path)),
            "texts": tuple(str(text) for text in texts),
            "name": str(meta.get("name", Path(path).stem)),
            "provenance": provenance_from_dict(meta.get("provenance", {})),
        }
        names = tuple(str(n) for n in _field(meta, "joints", path))
        if meta["kind"] == "joints":
            return JointTrack(names=names, positions=_numbers(arrays, "positions", path), **common)
        skeleton = Skeleton(
            names, tuple(int(p) for p in _field(meta, "parents", path)), _numbers(arrays, "offsets", path)
        )
        return Clip(
            skeleton=skeleton,
            root_pos=_numbers(arrays, "root_pos", path),
            rotations=_numbers(arrays, "rotations", path),
            **common,
        )
    except MotionError as error:
        raise MotionError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MotionError(f"{path}: malformed meta ({in_one_line(error)})") from None


ROLLOUT_ARRAYS = ("start", "qpos", "qvel", "ctrl", "foot_contact", "foot_force")


def save_rollout(path: Path | str, rollout: Rollout) -> Path:
    """Write a rollout in double precision, so that its replay can be bit-equal."""
    meta: dict[str, Any] = {"schema": SCHEMA, "kind": "rollout"}
    meta |= {f.name: getattr(rollout, f.name) for f in fields(Rollout) if f.name not in ROLLOUT_ARRAYS}
    return _write_arrays(path, meta, {name: getattr(rollout, name) for name in ROLLOUT_ARRAYS})


def load_rollout(path: Path | str) -> Rollout:
    """Read a file of `save_rollout`.

    MotionError where types, shapes or lengths do not fit one another, or a number is not finite; what fits the body and
    is true of it, `certify` says.
    """
    arrays = read_npz(path)
    meta = _meta(arrays, path, ("rollout",))
    values = {f.name: _field(arrays if f.name in ROLLOUT_ARRAYS else meta, f.name, path) for f in fields(Rollout)}
    for name in ("body", "model_hash", "simulator", "name"):
        if not isinstance(values[name], str):
            raise MotionError(f"{path}: {name} is {values[name]!r}, expected text")
    for name, kinds, least in (("fps", (int, float), 0.0), ("substeps", (int,), 0.0), ("seed", (int,), -math.inf)):
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, kinds) or not least < value < math.inf:
            raise MotionError(f"{path}: {name} is {value!r}, expected a number{'' if least else ' over 0'}")
    frames = len(values["qpos"]) if values["qpos"].ndim else 0
    if frames < 1:
        raise MotionError(f"{path}: qpos {values['qpos'].shape}, expected a row a control step")
    steps = dict.fromkeys(("qpos", "qvel", "foot_contact", "foot_force"), frames)
    rows = {"start": None, **steps, "ctrl": frames - 1}
    for name, count in rows.items():
        _check_rows(values[name], name, count, path)
    return Rollout(**values)


def _check_rows(array: np.ndarray, name: str, rows: int | None, path: Path | str) -> None:
    """Refuse an array of a rollout that does not have `rows` rows, two columns of feet, or finite double precision; an
    array of one dimension where `rows` is None."""
    kind = "b" if name == "foot_contact" else "f"
    if array.dtype.kind != kind or (kind == "f" and array.dtype.itemsize != 8):
        raise MotionError(f"{path}: {name} of type {array.dtype}, expected {'bool' if kind == 'b' else 'float64'}")
    flat = array.ndim == 1 if rows is None else array.ndim == 2 and len(array) == rows
    if not flat or (name.startswith("foot_") and array.shape[1] != 2):
        expected = "(S,)" if rows is None else f"({rows}, 2)" if name.startswith("foot_") else f"({rows}, n)"
        raise MotionError(f"{path}: {name} {array.shape}, expected {expected}")
    if not np.isfinite(array).all():
        raise MotionError(f"{path}: {name} holds NaN or infinity")


def write_manifest(folder: Path | str, rows: Iterable[dict[str, Any]]) -> Path:
    """Write `manifest.jsonl`, a JSON object a clip."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    return write_atomic(Path(folder) / "manifest.jsonl", lambda stream: stream.write(text.encode()))


def read_manifest(folder: Path | str) -> list[dict[str, Any]]:
    """Rows of `manifest.jsonl`; MotionError naming the first line that is not a JSON object."""
    path = Path(folder) / "manifest.jsonl"
    rows = []
    for number, line in enumerate(read_utf8(path, MAX_MANIFEST, "a JSON object a line").splitlines(), 1):
        try:
            row = parse_json(line, path)
        except MotionError:
            row = None
        if not isinstance(row, dict):
            raise MotionError(f"{path}: line {number} is not a JSON object")
        rows.append(row)
    return rows
