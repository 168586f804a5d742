"""Weights and configurations on disk: safetensors and JSON, checked before anything is allocated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import nn

from .errors import MotionError
from .opening import read_json
from .random_streams import own_streams
from .tensors import MAX_MODEL, check_shapes, read_header, read_tensors
from .writing import write_atomic

Module = TypeVar("Module", bound=nn.Module)

LARGEST = 1 << 20
"""No size in a configuration is larger."""


def save_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], meta: dict[str, str] | None = None) -> Path:
    """Write named tensors, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(plain, metadata=meta)
    return write_atomic(path, lambda stream: stream.write(data))


def load_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; MotionError, one line, if it is none."""
    return read_tensors(path, MAX_MODEL)


@own_streams()
def load_weights(path: Path | str, build: Callable[[], Module]) -> Module:
    """Module of `build` with the weights of a file, in evaluation mode.

    Names and shapes are compared on PyTorch's meta device before a tensor is read. MotionError names the first that
    differs, and the first that holds NaN.
    """
    header = read_header(path, MAX_MODEL)
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    check_shapes(header.shapes, expected, path)
    tensors, _ = read_tensors(path, MAX_MODEL)
    module = build()
    module.load_state_dict(tensors)
    return module.eval()


def read_config(path: Path | str) -> dict[str, Any]:
    """JSON object of a file; MotionError if it is none, is nested deep or announces an absurd size."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise MotionError(f"{path}: expected a JSON object")
    _check_sizes(value, path)
    return value


def _check_sizes(value: Any, path: Path | str) -> None:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_sizes(item, path)
        elif isinstance(item, int | float) and not abs(item) <= LARGEST:
            raise MotionError(f"{path}: size {item} is out of reason, expected at most {LARGEST}")


def content_hash(texts: list[str], *modules: nn.Module) -> str:
    """Hash of texts (configurations) and of every tensor of the modules, 16 hex digits."""
    digest = hashlib.sha256("\x00".join(texts).encode())
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
