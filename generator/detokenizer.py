"""The de-tokenizer tuned beside the language model: a clip's codes shall decode to that clip.

M3GPT (Luo et al. 2024) tunes both together in raw motion space: the likelihood of tokens plus 0.2 times the L1 error of
motion. Encoder and codebooks stay, so that tokens keep their meaning. It departs from the paper where codes are drawn:
the decoder is given the clip's own, which is what it will be asked to decode, so motion error reaches the decoder alone
and words stay the business of the likelihood.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from morphloop.motion import Clip
from morphloop.motion.features import clip_to_features

from .planted_feet import kinematics, standing
from .reconstruction import slide_of
from .tokenizer import MotionTokenizer
from .tokenizer_training import LossWeights, reconstruction_loss

WINDOW = 16
"""Tokens of a clip that a step decodes, at most."""
Coded = tuple[Clip, torch.Tensor]
"""A clip and its codes (L, n)."""


def tunable(tokenizer: MotionTokenizer) -> MotionTokenizer:
    """A copy of which the decoder alone is trained."""
    copied = copy.deepcopy(tokenizer)
    copied.encoder.requires_grad_(False)
    return copied


def decoder_loss(tokenizer: MotionTokenizer, batch: Sequence[Coded], rng: np.random.Generator) -> torch.Tensor:
    """Reconstruction loss of the decoder on a window of each clip, of a length that all of them have."""
    count = min(WINDOW, *(codes.shape[1] for _, codes in batch))
    per_token = tokenizer.config.frames_per_token
    pieces, features = [], []
    for clip, codes in batch:
        start = int(rng.integers(codes.shape[1] - count + 1))
        pieces.append(codes[:, start : start + count])
        features.append(_features(clip, per_token)[start * per_token : (start + count) * per_token])
    wanted = kinematics(torch.stack(features))
    quantized = tokenizer.embed(torch.stack(pieces))
    return reconstruction_loss(tokenizer, quantized, wanted, standing(wanted.soles), LossWeights())[0]


def _features(clip: Clip, per_token: int) -> torch.Tensor:
    """Features (T, FEATURE_SIZE) of a clip, the last frame repeated up to a whole token, as the encoder has it."""
    features = torch.from_numpy(clip_to_features(clip).astype(np.float32))
    return torch.cat([features, features[-1:].expand(-len(features) % per_token, -1)])


@dataclass(frozen=True)
class DecodedError:
    """l1: mean absolute error of normalised features; slide_mm_s: foot slide of what is decoded, None without contact;
    both means over clips."""

    l1: float
    slide_mm_s: float | None


@torch.no_grad()
def decoded_error(tokenizer: MotionTokenizer, clips: Sequence[Coded]) -> DecodedError | None:
    """How the decoder gives clips back from their codes; None without clips."""
    if not clips:
        return None
    errors, slides = [], []
    for clip, codes in clips:
        wanted = _features(clip, 1)
        made = tokenizer.decode(codes[None])[0, : len(wanted)]
        errors.append(float(F.l1_loss(made / tokenizer.std, wanted / tokenizer.std)))
        slides.append(slide_of(tokenizer.decode_clip(codes, len(wanted))))
    known = [slide for slide in slides if slide is not None]
    return DecodedError(float(np.mean(errors)), float(np.mean(known)) if known else None)
