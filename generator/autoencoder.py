"""What the motion tokenizer and the VAE have in common: normalised features in, planted feet out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from morphloop.motion.datasets import mean_and_std
from morphloop.motion.features import CONTACTS, FEATURE_SIZE, JOINTS_6D, TILT_6D

from .planted_feet import POINTS, Kinematics, kinematics, plant, standing


class MotionAutoencoder(nn.Module):
    """Normaliser of features and the last layer of the decoder.

    planting: whether that layer keeps standing feet on their spots; encoder and decoder then see and say POINTS numbers
    a frame beside the features (`channels` in all).
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, planting: bool) -> None:
        super().__init__()
        self.planting = planting
        self.channels = FEATURE_SIZE + (POINTS if planting else 0)
        self.register_buffer("mean", torch.zeros(FEATURE_SIZE))
        self.register_buffer("std", torch.ones(FEATURE_SIZE))

    def set_normaliser(self, features: Sequence[np.ndarray]) -> None:
        """Mean and scale from all frames of all training motions, (T, FEATURE_SIZE) each.

        Rotations share a scale, so that a joint that hardly moves is not blown up to the weight of a leg.
        """
        mean, std = mean_and_std(features)
        for group in (TILT_6D, JOINTS_6D, CONTACTS):
            std[group] = std[group].mean()
        std = np.maximum(std, 1e-3)
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))

    def seen(self, features: torch.Tensor, frames: int, stands: torch.Tensor | None = None) -> torch.Tensor:
        """(B, n, channels), n the least multiple of `frames`: normalised features (B, T, FEATURE_SIZE), the last frame
        repeated, and what stands.

        stands: `standing` of the features where it is known already, (B, T, POINTS).
        """
        short = -features.shape[1] % frames
        padded = torch.cat([features, features[:, -1:].expand(-1, short, -1)], dim=1)
        seen = (padded - self.mean) / self.std
        if self.planting:
            if stands is None or short:
                stands = standing(kinematics(padded).soles)
            seen = torch.cat([seen, 2.0 * stands - 1.0], dim=-1)
        return seen

    def motion(self, out: torch.Tensor) -> tuple[Kinematics, torch.Tensor | None]:
        """Motion of what a decoder says (B, T, channels), and the logits (B, T, POINTS) of what stands in it; None
        without the layer that plants feet."""
        features = out[..., :FEATURE_SIZE] * self.std + self.mean
        if not self.planting:
            return kinematics(features), None
        logits = out[..., FEATURE_SIZE:]
        return plant(features, logits), logits
