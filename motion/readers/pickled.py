"""Pickles from outside, read without running them: arrays and plain containers come out, anything else is refused.

What is understood beside plain Python: NumPy arrays, dtypes and scalars; joblib's files (PHC, GVHMR), compressed or
not, with their arrays inline; torch tensors inside a pickle (as PHC stores root positions); object arrays of `.npy`;
with `smpl=True` also chumpy arrays and SciPy sparse matrices (SMPL model files), turned into dense arrays. The program
of the pickle is run by `pickle_machine`, never by `pickle`.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_bytes, tree_size

from ..files import open_archive
from ..reading_limits import (
    BYTES_A_BYTE,
    FREE_BYTES,
    FREE_UNPACKED,
    MAX_PICKLE,
    MAX_PICKLE_UNPACKED,
    READ_BYTES,
    UNFOLDED_A_BYTE,
    UNPACKED_RATIO,
)
from .pickle_machine import Machine, Table
from .pickle_values import CALLS, NAMES, SMPL_CALLS, TORCH_STORAGES

_MALFORMED = (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, struct.error, EOFError)
_BAD_HEADER = (SyntaxError, TokenError)
"""What NumPy's header reader adds to those."""
_UNPACKERS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"]\x00\x00": lzma.LZMADecompressor,
    b"x": zlib.decompressobj,
}
"""First bytes of a file that joblib compressed, to what unpacks it."""
NPY_MAGIC = b"\x93NUMPY"
_MODEL_WORDS = (b"v_template", b"chumpy", b"J_regressor", b"world_cam_R")
"""What stands in a SMPL model file, and in TRAM's camera, which lie beside motions."""
_WEIGHTS = (b"_dict", b".weight", b".bias", b"optimizer", b"__torch__")
"""What stands at the beginning of weights that torch saved."""


def looks_like_no_model(head: bytes) -> bool:
    """Whether a pickle that begins so may be a motion, and is not the file of a body model."""
    return not any(word in head for word in _MODEL_WORDS)


def looks_like_no_weights(head: bytes) -> bool:
    """Whether a file of torch that begins so may be a motion, and is not a network's weights."""
    return not any(word in head for word in _WEIGHTS)


def read_pickle(path: Path | str, smpl: bool = False) -> Any:
    """The value in a `.pkl` (pickle or joblib) or an object `.npy` as plain Python and NumPy; no code is executed.

    Containers are dict, list and tuple; arrays are read-only views of the file; bytes are memoryviews; an array of one
    object is that object. smpl: chumpy arrays and SciPy sparse matrices are read too, as dense float arrays.
    Raises MotionError, one line: the file and the global that it asked for, or how it is malformed or too large.
    """
    path = Path(path)
    return unpickle(read_bytes(path, MAX_PICKLE), str(path), smpl)


def read_torch(path: Path | str) -> Any:
    """The value in a file of `torch.save` (torch 1.6 or newer), tensors as arrays; no code is executed.

    Such a file is an uncompressed archive: a pickle, and the bytes of each storage under its key. Raises MotionError,
    one line, for an older file and as `read_pickle` does.
    """
    path = Path(path)
    with open_archive(path, "file of torch.save (torch 1.6 or newer)") as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "data.pkl" not in members or any(info.compress_type for info in members.values()):
            raise MotionError(f"{path}: not what torch.save writes, expected an uncompressed archive with a data.pkl")
        big = "byteorder" in members and archive.read(members["byteorder"]) == b"big"
        stored: dict[str, np.ndarray] = {}

        def storage(key: Any) -> np.ndarray:
            # ('storage', class, key, device, elements)
            name = str(key[2])
            if name not in stored:
                dtype = np.dtype(TORCH_STORAGES[key[1].name]).newbyteorder(">" if big else "<")
                stored[name] = np.frombuffer(_member(archive, members[f"data/{name}"]), dtype)
            return stored[name]

        data, beside = _member(archive, members["data.pkl"]), path.stat().st_size
        return unpickle(data, str(path), storage=storage, beside=beside)


def _member(archive: ZipFile, info: ZipInfo) -> bytes:
    """A member of an archive, read in pieces: `open_archive` refuses single reads that are large."""
    with archive.open(info) as stream:
        return b"".join(iter(lambda: stream.read(READ_BYTES), b""))


def unpickle(
    data: bytes,
    where: str,
    smpl: bool = False,
    storage: Callable[[Any], np.ndarray] | None = None,
    beside: int = 0,
) -> Any:
    """`read_pickle` of bytes at hand. storage: makes the array that a persistent id of torch stands for; beside: bytes
    of the file that such arrays are made from."""
    table = Table(CALLS | SMPL_CALLS if smpl else CALLS, NAMES, storage)
    at = 0
    try:
        if data[: len(NPY_MAGIC)] == NPY_MAGIC:
            at = _behind_npy_header(data)
        else:
            data = _unpacked(data, where)
        machine = Machine(data, table, where, at)
        machine.left += BYTES_A_BYTE * beside
        value = machine.run()
        tree_size(value, FREE_BYTES + UNFOLDED_A_BYTE * (len(data) + beside), where)
    except MotionError:
        raise
    except (*_MALFORMED, *_BAD_HEADER) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise MotionError(f"{where}: malformed or truncated pickle ({reason})") from None
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        return value.reshape(-1)[0]
    return value


def _behind_npy_header(data: bytes) -> int:
    """Where the pickle of an object .npy begins."""
    stream = io.BytesIO(data[: 1 << 16])
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        np.lib.format.read_array_header_1_0(stream)
    else:
        np.lib.format.read_array_header_2_0(stream)
    return stream.tell()


def _unpacked(data: bytes, where: str) -> bytes:
    limit = min(MAX_PICKLE_UNPACKED, FREE_UNPACKED + UNPACKED_RATIO * len(data))
    for magic, start in _UNPACKERS.items():
        if data.startswith(magic):
            try:
                unpacker = start()
                unpacked = unpacker.decompress(data, limit + 1)
            except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
                raise MotionError(f"{where}: damaged compressed pickle ({error})") from None
            if len(unpacked) > limit:
                raise MotionError(f"{where}: unpacks to more than {limit >> 20} MiB, expected motions")
            if not unpacker.eof:
                raise MotionError(f"{where}: the compressed pickle ends early, truncated?")
            return unpacked
    return data
