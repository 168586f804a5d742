"""The evaluator's network: a text and a motion to two points on one sphere, near where one tells of the other.

In the line of TMR (Petrovich et al. 2023, "TMR: Text-to-Motion Retrieval"), with which it shares the contrast over a
batch. It departs in that the text encoder is frozen and shared, nothing is generated, and what the motion encoder sees
is not HumanML3D's features (`motion_input`). Attention turns queries and keys by their time (Su et al. 2021,
"RoFormer"), so that any length goes and only what comes before what counts; with `elapsed` each frame also says by
itself whether it is early or late.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import EvaluatorConfig
from .motion_input import SIZE

STEM = 5
"""Frames under a convolution of the stem; two of them halve the frame rate."""
POOLS = 4
"""Queries that gather a sequence into one vector."""
SHARPEST = 50.0
"""Largest inverse temperature of the contrast."""
ROTARY_BASE = 1000.0


def _turned(x: torch.Tensor) -> torch.Tensor:
    """x (B, H, L, C) with each pair of channels turned by an angle that grows with its place in L."""
    half = x.shape[-1] // 2
    rates = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * rates
    cos, sin, a, b = angles.cos(), angles.sin(), x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Block(nn.Module):
    """A transformer layer over (B, L, width) of which (B, L) `mask` is there."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        width, self.heads, self.drop = config.width, config.heads, config.dropout
        self.before_attention, self.before_mix = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        asked = self.ask(self.before_attention(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = _turned(asked[0]), _turned(asked[1]), asked[2]
        seen = F.scaled_dot_product_attention(query, key, value, mask[:, None, None])
        x = x + self._dropped(self.answer(seen.transpose(1, 2).reshape(batch, length, width)))
        return x + self._dropped(self.mix(self.before_mix(x)))

    def _dropped(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.drop, self.training)


class Gather(nn.Module):
    """(B, L, width) to a point (B, embedding) of length one: means under `POOLS` learnt weightings, then a matrix."""

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.weigh, self.out = nn.Linear(config.width, POOLS), nn.Linear(POOLS * config.width, config.embedding)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        weights = self.weigh(x).masked_fill(~mask[..., None], -torch.inf).softmax(dim=1)
        return F.normalize(self.out((weights.transpose(1, 2) @ x).flatten(1)), dim=-1)


class TextMotionModel(nn.Module):
    """Both encoders and the temperature. text_width: numbers in a state of the text encoder."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, config: EvaluatorConfig, text_width: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("std", torch.ones(SIZE))
        self.stem = nn.ModuleList(
            nn.Conv1d(size, config.width, STEM, stride=2, padding=STEM // 2)
            for size in (SIZE + config.elapsed, config.width)
        )
        self.motion_layers = nn.ModuleList(Block(config) for _ in range(config.motion_layers))
        self.motion_gather = Gather(config)
        self.text_in = nn.Linear(text_width, config.width)
        self.text_layers = nn.ModuleList(Block(config) for _ in range(config.text_layers))
        self.text_gather = Gather(config)
        self.sharpness = nn.Parameter(torch.tensor(10.0).log())

    def set_normaliser(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Mean and deviation (SIZE,) that motions are normalised by."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=1e-2))

    @property
    def inverse_temperature(self) -> torch.Tensor:
        """What cosines are multiplied by in the contrast."""
        return self.sharpness.exp().clamp(max=SHARPEST)

    def embed_motions(self, features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """(B, embedding) of length one. features: (B, T, SIZE), of which the first `frames` (B,) are there."""
        x, left = (features - self.mean) / self.std, frames
        if self.config.elapsed:
            x = torch.cat([x, _elapsed(frames, x.shape[1])[..., None]], dim=-1)
        for layer in self.stem:
            x = layer((x * _first(left, x.shape[1])[..., None]).transpose(1, 2)).transpose(1, 2)
            x, left = F.gelu(x), (left + 1) // 2
        mask = _first(left, x.shape[1])
        for layer in self.motion_layers:
            x = layer(x, mask)
        return self.motion_gather(x, mask)

    def embed_texts(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, embedding) of length one. states: (B, S, text_width) of the text encoder; mask: (B, S)."""
        x = self.text_in(F.dropout(states, self.config.dropout, self.training))
        for layer in self.text_layers:
            x = layer(x, mask)
        return self.text_gather(x, mask)


def _elapsed(frames: torch.Tensor, length: int) -> torch.Tensor:
    """(B, length) how much of each motion is over: -1 at its first frame, 1 at the last of its `frames` (B,)."""
    return 2.0 * torch.arange(length, device=frames.device) / (frames[:, None] - 1).clamp(min=1) - 1.0


def _first(counts: torch.Tensor, length: int) -> torch.Tensor:
    """(B, length) true in the first `counts` (B,) places."""
    return torch.arange(length, device=counts.device) < counts[:, None]
