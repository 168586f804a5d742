"""Weights from outside: safetensors archives whose header is checked against the file before a tensor is made.

The layout (huggingface/safetensors, "Format"): 8 bytes n, n bytes of JSON {name: {dtype, shape, data_offsets}} and
`__metadata__`, then the tensors one behind the other. What is announced must be what is there: a header of a kilobyte
once stood before gigabytes of nothing.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import MotionError
from .opening import in_one_line, open_regular, parse_json, reading

if TYPE_CHECKING:
    import torch

MAX_HEADER = 1 << 22
"""Bytes of a header: 4 MiB, some 30,000 tensors."""
MAX_POLICY = 1 << 29
"""Bytes of a policy or a prior: 512 MiB; the shipped policy has 3."""
MAX_MODEL = 1 << 33
"""Bytes of a generator or a checkpoint: 8 GiB. A generator's tensors are compared with its configuration before."""
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of a number by its type; no other type is read."""


@dataclass(frozen=True)
class Header:
    """What an archive announces, checked. shapes: of each tensor; metadata: texts by name."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(path: Path | str, most: int, what: str = "safetensors file") -> Header:
    """The header of an archive of at most `most` bytes. MotionError, one line, where it does not fit the file.

    what: the kind of archive, for messages.
    """
    if not os.path.exists(path):
        raise MotionError(f"{path}: no such {what}")
    where = f"{path}: not a {what}"
    with open_regular(path, most) as stream, reading(path):
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= MAX_HEADER:
            raise MotionError(f"{where} (its header has no length)")
        text = stream.read(length).decode("utf-8", "replace")
        size = stream.seek(0, 2) - 8 - length
    value = parse_json(text, where, f"a {what}")
    if not isinstance(value, dict):
        raise MotionError(f"{where} (its header is no table)")
    metadata = value.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(item, str) for item in metadata.values()):
        raise MotionError(f"{where} (its metadata are not texts by name)")
    spans = {name: _span(name, entry, where) for name, entry in value.items()}
    at = 0
    for first, last in sorted(spans.values()):
        if first != at:
            raise MotionError(f"{where} (its tensors do not lie one behind the other)")
        at = last
    if at != size:
        raise MotionError(f"{where} (announces {at} bytes of tensors and holds {size})")
    return Header({name: tuple(entry["shape"]) for name, entry in value.items()}, metadata)


def _span(name: str, entry: Any, where: str) -> tuple[int, int]:
    """First and last byte of a tensor, which its shape and type must fill."""
    try:
        (first, last), shape, width = entry["data_offsets"], entry["shape"], SIZES[entry["dtype"]]
        counts = [first, last, *shape]
    except (TypeError, KeyError, ValueError):
        raise MotionError(f"{where} (tensor '{name}' is not told by type, shape and offsets)") from None
    if not all(type(count) is int and 0 <= count < 1 << 40 for count in counts):
        raise MotionError(f"{where} (tensor '{name}' has a size that is not a count)")
    if last - first != width * math.prod(shape):
        raise MotionError(f"{where} (tensor '{name}' {tuple(shape)} does not fill its {last - first} bytes)")
    return first, last


def read_tensors(
    path: Path | str, most: int, what: str = "safetensors file", finite: bool = True
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of an archive, the header checked first.

    finite: refuse NaN and infinity, which a network turns into a simulator that explodes. Raises MotionError, one line.
    """
    import safetensors
    import torch

    header = read_header(path, most, what)
    with reading(path):
        try:
            with safetensors.safe_open(str(path), framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in header.shapes}
        except safetensors.SafetensorError as error:
            raise MotionError(f"{path}: not a {what} ({in_one_line(error, 120)})") from None
    for name, tensor in tensors.items() if finite else ():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise MotionError(f"{path}: tensor '{name}' holds NaN or infinity")
    return tensors, header.metadata


def check_shapes(found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]], path: Path | str) -> None:
    """MotionError naming the first tensor that a file has and should not, has not and should, or in another shape."""
    for name in sorted(expected.keys() ^ found.keys()):
        raise MotionError(f"{path}: tensor '{name}' is {'missing' if name in expected else 'not expected'}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise MotionError(f"{path}: tensor '{name}' is {found[name]}, expected {shape}")


def header_json(metadata: dict[str, str], key: str, path: Path | str) -> Any:
    """The JSON value under a name of the metadata, None where there is none."""
    text = metadata.get(key)
    return None if text is None else parse_json(text, f"{path}: {key}")
