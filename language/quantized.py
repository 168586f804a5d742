"""Weights as whole numbers of eight bits: a matrix's rows each with a scale, a quarter of the size of float32.

A row's scale is its largest magnitude / 127 (symmetric, Dettmers et al. 2022, "LLM.int8()", without its outliers), so
that zero stays zero and no row suffers from another's range. What is no matrix stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from morphloop.base import MotionError

SCALE = ".scale"
"""Behind a matrix's name: its scales (rows,)."""


def quantize(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Float32 tensors by name to int8 matrices (R, C) with float32 scales (R,), the rest as it was."""
    made: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2:
            made[name] = tensor.clone()
            continue
        scale = tensor.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        made[name] = (tensor / scale[:, None]).round().to(torch.int8)
        made[name + SCALE] = scale
    return made


def dequantize(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What `quantize` made, in float32 again. MotionError for int8 without scales that fit."""
    made: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        if tensor.dtype is torch.int8:
            scale = tensors.get(name + SCALE)
            if scale is None or scale.shape != tensor.shape[:1]:
                raise MotionError(f"tensor '{name}' is int8 without a scale for each of its rows")
            tensor = tensor.to(torch.float32) * scale.to(torch.float32)[:, None]
        made[name] = tensor.to(torch.float32)
    return made
