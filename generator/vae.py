"""A transformer VAE over whole clips: one or several latent vectors a clip of any length, and back.

In the line of MLD (Chen et al. 2023), whose VAE MotionGPT3 takes: learnt query tokens that attend to the clip become
mean and log variance; the decoder's frames attend to the latents and to one another. It departs in that a step of both
transformers is `patch` frames, spread out into frames again by convolutions, in that the latents are also added to
every frame's query, without which the decoder long does without them, and in that it ends in the layer that keeps
standing feet on their spots (`planted_feet.py`). The number of frames is told to the decoder.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.features import clip_to_features, features_to_clip

from .autoencoder import MotionAutoencoder
from .config import VaeConfig
from .planted_feet import Kinematics
from .tokenizer import ResidualBlock

LOG_VARIANCE = 10.0
"""Largest, and its negative the smallest, that the encoder may say."""
SURE = -5.0
"""Log variance that it begins with: drawn as wide as the prior, latents teach the decoder nothing for long."""


class MotionVAE(MotionAutoencoder):
    """Features (B, T, FEATURE_SIZE) to latents (B, m, C) and back, m = config.latents."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__(config.planting)
        self.config = config
        width, spread = config.width, config.spread
        self.read = nn.Linear(config.patch * self.channels, width)
        self.queries = nn.Parameter(torch.randn(config.latents, width))
        self.encoder = transformer(config)
        self.moments = nn.Linear(width, 2 * config.latent_size)
        nn.init.constant_(self.moments.bias[config.latent_size :], SURE)
        self.expand = nn.Linear(config.latent_size, width)
        self.places = nn.Parameter(torch.randn(config.latents, width))
        self.everywhere = nn.Linear(config.latents * config.latent_size, width)
        self.decoder = transformer(config)
        self.write = nn.Linear(width, config.patch * spread)
        self.smooth = nn.Sequential(
            ResidualBlock(spread, 1),
            ResidualBlock(spread, 3),
            nn.SiLU(),
            nn.Conv1d(spread, self.channels, 3, padding=1),
        )

    def moments_of(
        self, features: torch.Tensor, stands: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance (B, m, C) of the latents; the last frame is repeated up to a whole patch.

        stands: `standing` of the features where it is known already, (B, T, POINTS).
        """
        seen = self.seen(features, self.config.patch, stands)
        steps = self.read(seen.unflatten(1, (-1, self.config.patch)).flatten(2))
        steps = steps + positions(steps.shape[1], self.config.width)
        queries = self.queries.expand(len(features), -1, -1)
        out = self.encoder(torch.cat([queries, steps], dim=1))[:, : self.config.latents]
        mean, log_variance = self.moments(out).chunk(2, dim=-1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def reconstruct(self, latents: torch.Tensor, frames: int) -> tuple[Kinematics, torch.Tensor | None]:
        """Motion (B, frames, ...) of latents (B, m, C), and the logits (B, frames, POINTS) of what stands in it; None
        without the layer that plants feet. MotionError if there are other than m latents."""
        if latents.shape[1:] != (self.config.latents, self.config.latent_size) or frames < 1:
            raise MotionError(
                f"latents {tuple(latents.shape)} for {frames} frames, expected (B, {self.config.latents}, "
                f"{self.config.latent_size}) for one or more"
            )
        given = self.expand(latents) + self.places
        steps = positions(-(-frames // self.config.patch), self.config.width)
        steps = steps + self.everywhere(latents.flatten(1))[:, None]
        out = self.decoder(torch.cat([given, steps], dim=1))[:, self.config.latents :]
        spread = self.write(out).unflatten(2, (self.config.patch, -1)).flatten(1, 2)[:, :frames]
        return self.motion(self.smooth(spread.transpose(1, 2)).transpose(1, 2))

    @torch.no_grad()
    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """Latents (B, m, C) of features (B, T, FEATURE_SIZE): their mean."""
        return self.moments_of(features)[0]

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, frames: int) -> torch.Tensor:
        """Features (B, frames, FEATURE_SIZE) of latents (B, m, C)."""
        return self.reconstruct(latents, frames)[0].features

    def encode_clip(self, clip: Clip) -> torch.Tensor:
        """Latents (m, C) of a clip."""
        return self.encode(self.features_of(clip)[None])[0]

    @staticmethod
    def features_of(clip: Clip) -> torch.Tensor:
        """(T, FEATURE_SIZE) of a clip."""
        return torch.from_numpy(clip_to_features(clip).astype(np.float32))

    def decode_clip(self, latents: torch.Tensor, frames: int, name: str = "clip") -> Clip:
        """Clip of latents (m, C); it starts over the origin and faces X."""
        return features_to_clip(self.decode(latents[None], frames)[0].double().numpy(), name)


def transformer(config: VaeConfig) -> nn.TransformerEncoder:
    """Layers that normalise first, and a norm behind them."""
    layer = nn.TransformerEncoderLayer(
        config.width, config.heads, 4 * config.width, 0.0, "gelu", batch_first=True, norm_first=True
    )
    norm = nn.LayerNorm(config.width)
    return nn.TransformerEncoder(layer, config.layers, norm, enable_nested_tensor=False)


def positions(count: int, width: int) -> torch.Tensor:
    """(count, width) sine and cosine of each place (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
