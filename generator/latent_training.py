"""Training of a language model over a VAE's latents, a loop of a few lines over a shared run.

Batches are drawn by (seed, step), so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import OnStop, TrainingRun, no_stop
from morphloop.base.weights import content_hash
from morphloop.motion import Clip

from .adapters import Adapt, adapting
from .batches import deal
from .config import LANGUAGE_BUDGET, LatentModelConfig
from .latent_model import LatentBatch, LatentMotion, LatentMotionModel
from .sequences import Text
from .text import TextTokenizer
from .training import CODE, TO_TEXT, ReadTexts, read_captions, thinned
from .vae import MotionVAE


@dataclass(frozen=True)
class LatentExample:
    """A clip as latents, and each of its captions as ids to write and as a prompt to read."""

    motion: LatentMotion
    captions: tuple[list[int], ...]
    prompts: tuple[Text, ...]


def latents_of(clip: Clip, vae: MotionVAE) -> LatentMotion:
    """The clip as latents of a VAE, with its frames at the features' rate."""
    features = vae.features_of(clip)
    return LatentMotion(vae.encode(features[None])[0], len(features))


def make_latent_examples(
    clips: Sequence[Clip], vae: MotionVAE, text: TextTokenizer, read: ReadTexts | None = None
) -> list[LatentExample]:
    """Latents of the clips; captions and errors as `make_examples`."""
    captions = read_captions(clips, text, read)
    return [LatentExample(latents_of(clip, vae), *own) for clip, own in zip(clips, captions, strict=True)]


def make_latent_batch(
    model: LatentMotionModel, examples: Sequence[LatentExample], to_text_share: float, rng: np.random.Generator
) -> LatentBatch:
    """A training pair of each example, of a random caption and direction."""
    pairs, asked = [], []
    for example in examples:
        chosen = rng.integers(len(example.captions))
        asked.append(bool(rng.random() >= to_text_share))
        if asked[-1]:
            pairs.append(model.asks_for_motion(thinned(example.prompts[chosen], rng)))
        else:
            pairs.append(model.asks_for_text(example.captions[chosen]))
    return LatentBatch(pairs, [example.motion for example in examples], torch.tensor(asked))


@own_streams()
@fixed_threads()
def train_latent_model(
    examples: Sequence[LatentExample],
    config: LatentModelConfig,
    budget: Budget = LANGUAGE_BUDGET,
    to_text_share: float = TO_TEXT,
    checkpoint: Path | None = None,
    model: LatentMotionModel | None = None,
    on_stop: OnStop = no_stop,
    adapt: Adapt = "full",
) -> LatentMotionModel:
    """A language model trained on both directions; `model` is gone on from in place if given.

    on_stop: told if the budget's minutes cut it short; adapt: how much of the text tower changes. Raises MotionError
    without examples, and where adapters are asked for without `peft`.
    """
    if not examples:
        raise MotionError("training: no examples, expected at least one clip with a caption")
    torch.manual_seed(budget.seed)
    start, model = model, (model or LatentMotionModel(config)).train()
    vectors = torch.stack([example.motion.vector() for example in examples])
    if not bool(model.head.mean.any()):  # one that was trained keeps its scale
        model.head.set_normaliser(vectors)
    made = {"examples": [vectors.tolist(), [example.captions for example in examples]], "model": config.written()}
    made |= {"to_text": to_text_share, "adapt": adapt, "start": None if start is None else content_hash([], start)}
    hashed = {name: hash_json(value) for name, value in made.items()}
    with adapting(model.towers, adapt) as kept:
        run = TrainingRun(model, budget, CODE, checkpoint, hashed, kept)
        for step in run:
            rng = np.random.default_rng([budget.seed, step])
            torch.manual_seed(budget.seed * 1_000_003 + step)  # dropout
            drawn = [examples[place] for place in deal(len(examples), budget.batch, step, budget.seed)]
            noise = torch.Generator().manual_seed(budget.seed * 1_000_003 + step)
            run.update(model.loss(make_latent_batch(model, drawn, to_text_share, rng), noise))
    if run.stopped is not None:
        on_stop(run.stopped)
    return model.eval()


@torch.no_grad()
def latent_loss(model: LatentMotionModel, examples: Sequence[LatentExample]) -> float:
    """Mean squared error of the velocity in the latents of the examples, each asked for by its first caption; the same
    noise every time."""
    pairs = [model.asks_for_motion(example.prompts[0]) for example in examples]
    motions = [example.motion for example in examples]
    batch = LatentBatch(pairs, motions, torch.ones(len(pairs), dtype=torch.bool))
    return float(model.loss(batch, torch.Generator().manual_seed(0)))
