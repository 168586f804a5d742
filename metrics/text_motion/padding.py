"""Motions of different lengths in one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def padded(features: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (B, T, C) with zeros behind the shorter ones, and frames (B,) of each."""
    frames = torch.tensor([len(one) for one in features])
    full = torch.zeros(len(features), int(frames.max()), features[0].shape[1])
    for row, one in zip(full, features, strict=True):
        row[: len(one)] = torch.from_numpy(one.astype(np.float32))
    return full, frames
