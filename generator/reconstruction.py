"""How well a motion tokenizer or VAE gives clips back: error, what slides that did not, use of the codebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.metrics import measure
from morphloop.motion import Clip
from morphloop.motion.features import clip_to_features, features_to_clip

from .tokenizer import MotionTokenizer
from .vae import MotionVAE


@dataclass(frozen=True)
class Reconstruction:
    """Means over clips; of slide over the clips that touch the ground, null if none does."""

    clips: int
    """Clips that were encoded and decoded."""
    mpjpe_mm: float
    """Joint error about the root's own place in the plane, millimetres."""
    world_mpjpe_mm: float
    """Joint error in the world, from a common start, millimetres."""
    coarse_mpjpe_mm: tuple[float, ...]
    """As `mpjpe_mm`, decoded from the first stream alone, the first two and so on up to all; without codes empty."""
    slide_mm_s: float | None
    """Foot slide of the reconstructions, mm/s."""
    slide_original_mm_s: float | None
    """Foot slide of the clips themselves, mm/s."""
    codes_used: tuple[float, ...]
    """Share of each stream's codes that some clip uses; without codes empty."""
    perplexity: tuple[float, ...]
    """Of each stream's codes, the exponential of their entropy: the number of codes if all are used equally often."""

    @property
    def slide_added_mm_s(self) -> float | None:
        """Slide that the tokenizer adds, mm/s."""
        if self.slide_mm_s is None or self.slide_original_mm_s is None:
            return None
        return self.slide_mm_s - self.slide_original_mm_s

    def lines(self) -> list[str]:
        """For a person to read."""
        slide = "no clip touches the ground"
        if self.slide_added_mm_s is not None:
            slide = f"{self.slide_mm_s:.1f} mm/s, of the originals {self.slide_original_mm_s:.1f}"
        error = (
            f"reconstruction of {self.clips} held-out clips: {self.mpjpe_mm:.1f} mm about the root, "
            f"{self.world_mpjpe_mm:.1f} mm in the world"
        )
        if not self.codes_used:
            return [error, f"foot slide of reconstructions: {slide}"]
        coarse = ", ".join(f"{mm:.1f}" for mm in self.coarse_mpjpe_mm)
        used = ", ".join(
            f"{100 * used:.0f} % ({p:.0f})" for used, p in zip(self.codes_used, self.perplexity, strict=True)
        )
        return [
            f"{error}; by streams, coarse to fine: {coarse} mm",
            f"foot slide of reconstructions: {slide}",
            f"codes used by each stream (perplexity): {used}",
        ]


def reconstruct(tokenizer: MotionTokenizer, clip: Clip, streams: int | None = None) -> Clip:
    """The clip of its own codes, of the first `streams` of them if given; it starts over the origin and faces X."""
    return tokenizer.decode_clip(tokenizer.encode_clip(clip)[:streams], _canonical(clip).num_frames, clip.name)


def joint_errors(made: Clip, wanted: Clip) -> tuple[float, float]:
    """Mean joint error about each one's own root place in the plane, and in the world, millimetres."""
    a, b = (clip.positions - clip.root_pos[:, None] * [1.0, 1.0, 0.0] for clip in (made, wanted))
    world = np.linalg.norm(made.positions - wanted.positions, axis=-1)
    return float(1e3 * np.linalg.norm(a - b, axis=-1).mean()), float(1e3 * world.mean())


def measure_reconstruction(tokenizer: MotionTokenizer | MotionVAE, clips: Sequence[Clip]) -> Reconstruction:
    """What the tokenizer or VAE makes of the clips, which should not be those that it was trained on.

    Raises MotionError without a clip.
    """
    if not clips:
        raise MotionError("reconstruction: no clips, expected at least one")
    errors, coarse, slides, codes = [], [], [], []
    for clip in clips:
        wanted = _canonical(clip)
        if isinstance(tokenizer, MotionVAE):
            made = tokenizer.decode_clip(tokenizer.encode_clip(clip), wanted.num_frames)
        else:
            codes.append(tokenizer.encode_clip(clip))
            streams = range(1, tokenizer.config.streams + 1)
            steps = [tokenizer.decode_clip(codes[-1][:stream], wanted.num_frames) for stream in streams]
            coarse.append([joint_errors(step, wanted)[0] for step in steps])
            made = steps[-1]
        errors.append(joint_errors(made, wanted))
        slides.append([slide_of(made), slide_of(wanted)])
    used, perplexity = (), ()
    if not isinstance(tokenizer, MotionVAE):
        used, perplexity = codebook_use(torch.cat(codes, dim=1), tokenizer.config.codebook)
    local, world = np.mean(errors, axis=0)
    made, original = (_mean([pair[side] for pair in slides]) for side in (0, 1))
    return Reconstruction(
        clips=len(clips),
        mpjpe_mm=float(local),
        world_mpjpe_mm=float(world),
        coarse_mpjpe_mm=tuple(np.mean(coarse, axis=0).tolist()) if coarse else (),
        slide_mm_s=made,
        slide_original_mm_s=original,
        codes_used=used,
        perplexity=perplexity,
    )


def slide_of(clip: Clip) -> float | None:
    """Foot slide of a clip, mm/s; None where nothing touches the ground."""
    return measure(clip).values["slide_mean_mm_s"]


def codebook_use(codes: torch.Tensor, size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Share of `size` codes used, and perplexity, of each stream of codes (L, N)."""
    share = torch.stack([torch.bincount(stream, minlength=size) for stream in codes]).double()
    share = share / share.sum(dim=1, keepdim=True)
    entropy = -torch.special.xlogy(share, share).sum(dim=1)
    return tuple((share > 0).double().mean(dim=1).tolist()), tuple(entropy.exp().tolist())


def _canonical(clip: Clip) -> Clip:
    """The clip as features tell it: at their rate, over the origin, facing X."""
    return features_to_clip(clip_to_features(clip), clip.name)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
