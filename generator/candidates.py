"""Of several samples of a prompt the one that a text-motion evaluator finds nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from morphloop.base import MotionError
from morphloop.metrics.text_motion.evaluator import Evaluator
from morphloop.motion import Clip

from .config import SECONDS, Seconds
from .own import CHUNK, named_clip
from .protocol import Generator

MAX_CANDIDATES = 64


def generate_best(
    generator: Generator,
    evaluator: Evaluator,
    prompts: Sequence[str],
    candidates: int,
    seed: int,
    seconds: Seconds = SECONDS,
) -> list[Clip]:
    """A clip for each prompt, the nearest to it of `candidates` samples; the evaluator stands in its provenance.

    generator: one that returns a clip for every prompt, as those of our own do.
    R-precision of such clips by the same evaluator is no measure any more: they were chosen by it. MotionError for
    fewer than one candidate or more than MAX_CANDIDATES, and as `generate` raises it.
    """
    if not 1 <= candidates <= MAX_CANDIDATES:
        raise MotionError(f"candidates: {candidates}, expected 1 to {MAX_CANDIDATES}")
    if candidates == 1:
        return generator.generate(prompts, seed, seconds)
    wanted = evaluator.embed_texts(prompts)
    made = generator.generate([prompt for prompt in prompts for _ in range(candidates)], seed, seconds)
    chosen = []
    for place, prompt in enumerate(prompts):
        own = made[place * candidates : (place + 1) * candidates]
        parts = [evaluator.embed_motions(own[start : start + CHUNK]) for start in range(0, candidates, CHUNK)]
        nearest = int(np.linalg.norm(np.concatenate(parts) - wanted[place], axis=1).argmin())
        clip = named_clip(own[nearest], place, prompt, seed, generator.hash())
        models = clip.provenance.models | {"evaluator": evaluator.hash}
        notes = {"candidate": place * candidates + nearest, "candidates": candidates}
        chosen.append(replace(clip, provenance=replace(clip.provenance, models=models, notes=notes)))
    return chosen
