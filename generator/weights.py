"""Weights and configurations on disk: safetensors and JSON, checked before anything is allocated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import nn

from morphloop.motion import MotionError, write_atomic
from morphloop.motion.random_streams import own_streams

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
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise MotionError(f"{path}: no such file") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise MotionError(f"{path}: not a safetensors file ({' '.join(str(error).split())[:120]})") from None


def load_weights(path: Path | str, build: Callable[[], Module]) -> Module:
    """Module of `build` with the weights of a file, in evaluation mode.

    Names and shapes are compared on PyTorch's meta device first. MotionError names the first that differs.
    """
    tensors, _ = load_tensors(path)
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise MotionError(f"{path}: tensor '{name}' is {'missing' if name in expected else 'not expected'}")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise MotionError(f"{path}: tensor '{name}' is {tuple(tensors[name].shape)}, expected {shape}")
        if tensors[name].is_floating_point() and not bool(torch.isfinite(tensors[name]).all()):
            raise MotionError(f"{path}: tensor '{name}' holds NaN or infinity")
    with own_streams():  # a new module draws weights, which those of the file replace
        module = build()
    module.load_state_dict(tensors)
    return module.eval()


def read_config(path: Path | str) -> dict[str, Any]:
    """JSON object of a file; MotionError if it is none or announces an absurd size."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MotionError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise MotionError(f"{path}: not readable JSON ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(value, dict):
        raise MotionError(f"{path}: expected a JSON object")
    _check_sizes(value, path)
    return value


def _check_sizes(value: Any, path: Path) -> None:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_sizes(item, path)
        elif isinstance(item, int) and abs(item) > LARGEST:
            raise MotionError(f"{path}: size {item} is out of reason, expected at most {LARGEST}")


def content_hash(texts: list[str], *modules: nn.Module) -> str:
    """Hash of texts (configurations) and of every tensor of the modules, 16 hex digits."""
    digest = hashlib.sha256("\x00".join(texts).encode())
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
