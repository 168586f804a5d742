"""Models of llama.cpp's GGUF files: fields, and tensors brought to float32 from the three types that ours has.

The layout (ggml-org/ggml, docs/gguf.md): magic, version, counts, fields by name, where each tensor lies, then the
tensors, each at a multiple of the alignment. Weights are blocks of 32 numbers: Q4_1 a scale, a minimum and 32 times
four bits, Q8_0 a scale and 32 times eight. Read with NumPy alone: no package is needed for one file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.base.opening import read_bytes, reading

MOST = 1 << 30
"""Bytes of the largest file that is read: 1 GiB."""
ALIGNMENT = 32
BLOCK = 32
"""Numbers that share a scale."""
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of a field that are one number, as `struct` calls them."""
TEXT, LIST = 8, 9
F32, Q4_1, Q8_0 = 0, 3, 8
"""Types of a tensor."""
BLOCKS = {
    F32: np.dtype(("<f4", BLOCK)),
    Q4_1: np.dtype([("scale", "<f2"), ("least", "<f2"), ("pairs", "u1", BLOCK // 2)]),
    Q8_0: np.dtype([("scale", "<f2"), ("steps", "i1", BLOCK)]),
}


@dataclass(frozen=True)
class Gguf:
    """fields: numbers, texts and lists by name; tensors: float32 arrays by name, rows first as torch has them."""

    fields: dict[str, Any]
    tensors: dict[str, np.ndarray]


def read_gguf(path: Path | str) -> Gguf:
    """A whole file; MotionError, one line, if it is none or has a tensor of another type."""
    data = read_bytes(path, MOST)
    if data[:4] != b"GGUF":
        raise MotionError(f"{path}: not a GGUF file")
    with reading(path):
        head = _Cursor(data, 4)
        version, n_tensors, n_fields = head.number("I"), head.number("Q"), head.number("Q")
        if version != 3:
            raise MotionError(f"{path}: GGUF version {version}, expected 3")
        fields = {head.text(): head.value() for _ in range(n_fields)}
        found = [(head.text(), head.shape(), head.number("I"), head.number("Q")) for _ in range(n_tensors)]
        alignment = fields.get("general.alignment", ALIGNMENT)
        begin = -(-head.at // alignment) * alignment
        tensors = {}
        for name, shape, kind, offset in found:
            if kind not in BLOCKS:
                raise MotionError(f"{path}: tensor '{name}' has type {kind}, expected one of {sorted(BLOCKS)}")
            tensors[name] = _dequantized(data, begin + offset, shape, kind)
    return Gguf(fields, tensors)


def _dequantized(data: bytes, at: int, shape: tuple[int, ...], kind: int) -> np.ndarray:
    """A tensor in float32; its last axis lies together, so blocks are of one row."""
    blocks = np.frombuffer(data, BLOCKS[kind], math.prod(shape) // BLOCK, at)
    if kind == F32:
        return blocks.reshape(shape).copy()
    scale = blocks["scale"].astype(np.float32)[:, None]
    if kind == Q8_0:
        return (scale * blocks["steps"].astype(np.float32)).reshape(shape)
    steps = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32)
    return (scale * steps + blocks["least"].astype(np.float32)[:, None]).reshape(shape)


class _Cursor:
    """Reads one thing after another."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def number(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f"<{kind}", self.data, self.at)
        self.at += struct.calcsize(kind)
        return value

    def text(self) -> str:
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def shape(self) -> tuple[int, ...]:
        """Sizes of a tensor; the file names the innermost first."""
        return tuple(self.number("Q") for _ in range(self.number("I")))[::-1]

    def value(self) -> Any:
        return self.of_kind(self.number("I"))

    def of_kind(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            inside, count = self.number("I"), self.number("Q")
            return [self.of_kind(inside) for _ in range(count)]
        return self.number(NUMBERS[kind])
