"""`LatentLLM`: text tokenizer, VAE and a language model over its latents behind the Generator protocol.

In the line of MotionGPT3: a dual tower with a diffusion head (`latent_model.py`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import TrainingRun
from morphloop.base.weights import load_weights
from morphloop.language import TextEncoder, load_text_encoder
from morphloop.motion import Clip
from morphloop.motion.features import FEATURE_FPS

from .batches import deal
from .config import MAX_SECONDS, SECONDS, FinetuneConfig, Seconds
from .latent_model import LatentMotionModel
from .latent_training import latent_loss, latents_of, make_latent_batch, make_latent_examples
from .own import (
    CHUNK,
    MAX_CAPTION,
    REPORTED,
    OwnGenerator,
    check_encoder,
    checked_latent_config,
    generator_of,
    load_vae,
    named_clip,
    read_prompts,
)
from .protocol import FinetuneReport
from .sampling import Sampling, write_text
from .sequences import pad
from .text import TextTokenizer
from .training import CODE, TO_TEXT
from .vae import MotionVAE


class LatentLLM(OwnGenerator[MotionVAE, LatentMotionModel]):
    """A language model over latents: `generate`, `describe`, `finetune`, `save`, `load`.

    Raises MotionError if the three parts do not fit one another.
    """

    KIND = "morphloop.latent_llm"

    def __init__(
        self,
        text: TextTokenizer,
        tokenizer: MotionVAE,
        model: LatentMotionModel,
        sampling: Sampling | None = None,
        report: FinetuneReport | None = None,
        encoder: TextEncoder | None = None,
    ) -> None:
        config, sizes = model.config, tokenizer.config
        if (config.towers.text_size, config.latents, config.latent_size) != (
            text.size,
            sizes.latents,
            sizes.latent_size,
        ):
            raise MotionError(
                f"language model reads {config.towers.text_size} text ids and {config.latents} x {config.latent_size} "
                f"latents, its tokenizer and VAE make {text.size} and {sizes.latents} x {sizes.latent_size}"
            )
        check_encoder(config.towers, encoder)
        super().__init__(text, tokenizer, model, sampling, report, encoder)

    @fixed_threads()
    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = SECONDS) -> list[Clip]:
        """A clip at 30 fps for each prompt, of a length between the two bounds.

        Each prompt's sample depends on seed, its place in the list and its text. Raises MotionError on an empty prompt.
        """
        if not 0 < seconds[0] <= seconds[1] <= MAX_SECONDS:
            raise MotionError(f"seconds {seconds}, expected 0 < shortest <= longest <= {MAX_SECONDS:g}")
        least, most = math.ceil(seconds[0] * FEATURE_FPS - 1e-6), math.floor(seconds[1] * FEATURE_FPS + 1e-6)
        frames = (min(least, most) + 1, most + 1)
        texts = read_prompts(self.read, prompts)
        clips: list[Clip] = []
        for start in range(0, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            generators = [generator_of(seed, start + i) for i in range(len(part))]
            for motion in self.model.sample(part, frames, generators, self.sampling.guidance):
                index = len(clips)
                clip = self.tokenizer.decode_clip(motion.latents, motion.frames)
                clips.append(named_clip(clip, index, prompts[index], seed, self.hash()))
        return clips

    @fixed_threads()
    def describe(self, clips: Sequence[Clip], seed: int = 0, sampling: Sampling | None = None) -> list[str]:
        """A caption for each clip (motion to text); the likeliest tokens unless `sampling` says otherwise."""
        motions = [latents_of(clip, self.tokenizer) for clip in clips]
        captions: list[str] = []
        for start in range(0, len(motions), CHUNK):
            part = motions[start : start + CHUNK]
            ids, mask = pad(self.model.caption_prompts(len(part)), self.model.vocabulary.blank, left=True)
            written = write_text(
                lambda ids, mask, cache, part=part: self.model.step(ids, mask, cache, part),
                self.model.vocabulary,
                (ids, mask),
                MAX_CAPTION,
                [generator_of(seed, start + i) for i in range(len(part))],
                sampling or Sampling(temperature=0.0),
            )
            captions += [self.text.decode(ids) for ids in written]
        return captions

    @own_streams()
    @fixed_threads()
    def finetune(
        self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig | None = None
    ) -> LatentLLM:
        """A new generator whose language model is tuned on the clips' latents; the VAE stays as it is.

        Its `report` holds the losses before and after, mean squared errors of the diffusion head's noise. Raises
        MotionError without an accepted clip or a caption.
        """
        config = config or FinetuneConfig()
        if not accepted:
            raise MotionError("fine-tuning: no accepted clips, expected at least one")
        good = make_latent_examples(accepted, self.tokenizer, self.text, self.read)
        old = make_latent_examples(replay, self.tokenizer, self.text, self.read)
        model = copy.deepcopy(self.model).train()
        budget = Budget(config.steps, config.minutes, config.batch, config.learning_rate, warmup=10, seed=config.seed)
        run = TrainingRun(model, budget, CODE)
        from_old = config.from_replay if old else 0
        for step in run:
            rng = np.random.default_rng([config.seed, step])
            torch.manual_seed(config.seed * 1_000_003 + step)  # dropout
            drawn = [good[k] for k in deal(len(good), config.batch - from_old, step, 2 * config.seed)]
            drawn += [old[k] for k in deal(len(old), from_old, step, 2 * config.seed + 1)] if from_old else []
            noise = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
            run.update(model.loss(make_latent_batch(model, drawn, TO_TEXT, rng), noise))
        model = model.eval()
        report = FinetuneReport(
            accepted=len(good),
            replay=len(old),
            steps=run.step,
            stopped=run.stopped,
            accepted_loss_before=latent_loss(self.model, good[:REPORTED]),
            accepted_loss_after=latent_loss(model, good[:REPORTED]),
            replay_loss_before=latent_loss(self.model, old[:REPORTED]) if old else None,
            replay_loss_after=latent_loss(model, old[:REPORTED]) if old else None,
        )
        return LatentLLM(self.text, self.tokenizer, model, self.sampling, report, self.encoder)

    @classmethod
    def load(cls, folder: Path | str) -> LatentLLM:
        """Read what `save` wrote; MotionError, one line, names the file that cannot be used."""
        folder = Path(folder)
        config, sampling, report = cls.opened(folder, checked_latent_config)
        text, vae = TextTokenizer.load(folder / "text_tokenizer.json"), load_vae(folder)
        model = load_weights(folder / "lm.safetensors", lambda: LatentMotionModel(config))
        encoder = None if config.towers.text_encoder is None else load_text_encoder(config.towers.text_encoder)
        return cls(text, vae, model, sampling, report, encoder)
