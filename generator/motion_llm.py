"""`MotionLLM`: text tokenizer, motion tokenizer and language model behind the Generator protocol.

In the line of M3GPT (one vocabulary, both directions) with MotionVerse's residual streams and delay pattern.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

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
from .config import (
    MAX_SECONDS,
    SECONDS,
    FinetuneConfig,
    Seconds,
)
from .detokenizer import Coded, decoded_error, decoder_loss, tunable
from .dual_tower import build_language_model
from .editing import check_instruction
from .language_model import MotionLanguageModel
from .own import (
    CHUNK,
    MAX_CAPTION,
    REPORTED,
    OwnGenerator,
    check_encoder,
    checked_config,
    generator_of,
    load_tokenizer,
    named_clip,
    read_prompts,
)
from .patterns import PATTERNS
from .protocol import FinetuneReport
from .sampling import Sampling, sample_motion, sample_text
from .sequences import Text, Vocabulary, collate, with_instruction
from .task_templates import instructions_for
from .text import TextTokenizer
from .tokenizer import MotionTokenizer
from .training import CODE, TO_TEXT, Example, language_loss, make_examples, make_pairs

MAX_CONTINUED = 300.0
"""Seconds of the longest motion that is made piece by piece."""
WINDOW, OVERLAP = 8.0, 3.0
"""Seconds of a piece, and of what it is shown of the one before."""
NO_PROMPT = "motion"
"""Read and left out where there is no prompt."""
DECODED = 16
"""Clips that its motion errors are taken on, at most."""


class MotionLLM(OwnGenerator[MotionTokenizer, MotionLanguageModel]):
    """A motion language model: `generate`, `describe`, `finetune`, `save`, `load`.

    Raises MotionError if the three parts do not fit one another.
    """

    KIND = "morphloop.motion_llm"

    def __init__(
        self,
        text: TextTokenizer,
        tokenizer: MotionTokenizer,
        model: MotionLanguageModel,
        sampling: Sampling | None = None,
        report: FinetuneReport | None = None,
        encoder: TextEncoder | None = None,
    ) -> None:
        config, sizes = model.config, tokenizer.config
        if (config.text_size, config.streams, config.codebook) != (text.size, sizes.streams, sizes.codebook):
            raise MotionError(
                f"language model reads {config.text_size} text ids and {config.streams} x {config.codebook} codes, "
                f"its tokenizers make {text.size} and {sizes.streams} x {sizes.codebook}"
            )
        check_encoder(config, encoder)
        super().__init__(text, tokenizer, model, sampling, report, encoder)
        self.vocabulary: Vocabulary = config.vocabulary
        self.pattern = PATTERNS[config.pattern](config.streams)
        self.instructions = instructions_for(config.instructed, self.read)

    @fixed_threads()
    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = SECONDS) -> list[Clip]:
        """A clip at 30 fps for each prompt, of a length between the two bounds.

        Each prompt's sample depends on seed, its place in the list and its text. Raises MotionError on an empty prompt.
        """
        shortest, longest = self._bounds(seconds)
        texts = read_prompts(self.read, prompts)
        codes: list[torch.Tensor] = []
        for start in range(0, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            generators = [generator_of(seed, start + i) for i in range(len(part))]
            codes += sample_motion(
                self.model, self.vocabulary, self.pattern, part, (shortest, longest), generators, self.sampling
            )
        frames = math.floor(seconds[1] * FEATURE_FPS + 1e-6) + 1
        made = zip(prompts, codes, strict=True)
        decoded = ((prompt, self.tokenizer.decode_clip(c, frames)) for prompt, c in made)
        return [named_clip(clip, index, prompt, seed, self.hash()) for index, (prompt, clip) in enumerate(decoded)]

    @fixed_threads()
    def continued(
        self,
        beginnings: Sequence[Clip | None],
        prompts: Sequence[str | None],
        seed: int,
        seconds: Seconds = SECONDS,
    ) -> list[Clip]:
        """A clip for each pair of a beginning, or none, and a prompt, or none; lengths are those of the whole clip.

        A clip begins with what the tokenizer makes of its beginning, up to the last whole token, and with neither it is
        unconditional. What is longer than WINDOW seconds is made piece by piece: the model is shown the last OVERLAP
        seconds and goes on, and the decoder is given all codes at once. MotionError if a beginning is as long as the
        longest clip or there are not as many prompts as beginnings.
        """
        if len(beginnings) != len(prompts):
            raise MotionError(f"{len(beginnings)} beginnings for {len(prompts)} prompts, expected as many")
        shortest, longest = self._bounds(seconds, MAX_CONTINUED)
        texts = [
            text if clip is None else self._told("prediction", text)
            for clip, text in zip(beginnings, self._texts_or_none(prompts), strict=True)
        ]
        codes = [self._beginning(clip, longest) for clip in beginnings]
        generators = [generator_of(seed, place) for place in range(len(codes))]
        window, overlap = (round(s * FEATURE_FPS / self.tokenizer.config.frames_per_token) for s in (WINDOW, OVERLAP))
        for place, text in enumerate(texts):
            own = codes[place]
            while True:
                shown = own if own.shape[1] < window - overlap else own[:, -overlap:]
                before = own.shape[1] - shown.shape[1]
                low, high = max(shortest - before, shown.shape[1] + 1), min(longest - before, window)
                made = sample_motion(
                    self.model,
                    self.vocabulary,
                    self.pattern,
                    [text],
                    (min(low, high), high),
                    [generators[place]],
                    self.sampling,
                    beginnings=[shown],
                )[0]
                own = torch.cat([own[:, :before], made], dim=1)
                if own.shape[1] >= shortest:
                    break
            codes[place] = own
        frames = math.floor(seconds[1] * FEATURE_FPS + 1e-6) + 1
        decoded = [self.tokenizer.decode_clip(own, frames) for own in codes]
        made = zip(decoded, prompts, strict=True)
        return [named_clip(clip, place, prompt, seed, self.hash()) for place, (clip, prompt) in enumerate(made)]

    @fixed_threads()
    def between(
        self, ends: Sequence[tuple[Clip, Clip]], prompts: Sequence[str | None], seed: int, seconds: float
    ) -> list[Clip]:
        """A clip of `seconds` for each pair of clips, that begins as the first and ends as the second one, in place and
        heading of its own, and each prompt, or none.

        MotionError if the model was not trained for it (`LanguageModelConfig.between`), if nothing is left between, or
        if there are not as many prompts as pairs.
        """
        if not self.model.config.between:
            raise MotionError("this generator was not trained for motion in between, train one with --between 0.2")
        if len(ends) != len(prompts):
            raise MotionError(f"{len(ends)} pairs of clips for {len(prompts)} prompts, expected as many")
        _, count = self._bounds((seconds, seconds))
        pairs = [(self._beginning(first, count), self.tokenizer.encode_clip(last)) for first, last in ends]
        fixed = []
        for begun, ending in pairs:
            free = count - begun.shape[1] - ending.shape[1]
            if free < 1:
                raise MotionError(f"in between: both ends fill {seconds:g} s, expected longer motion or shorter ends")
            fixed.append(torch.cat([begun, torch.full((begun.shape[0], free), -1), ending], dim=1))
        codes = sample_motion(
            self.model,
            self.vocabulary,
            self.pattern,
            [self._told("in_between", text) for text in self._texts_or_none(prompts)],
            (count, count),
            [generator_of(seed, place) for place in range(len(ends))],
            self.sampling,
            beginnings=fixed,
            endings=[ending for _, ending in pairs],
        )
        frames = math.floor(seconds * FEATURE_FPS + 1e-6) + 1
        made = zip((self.tokenizer.decode_clip(own, frames) for own in codes), prompts, strict=True)
        return [named_clip(clip, place, prompt, seed, self.hash()) for place, (clip, prompt) in enumerate(made)]

    @fixed_threads()
    def edit(
        self, clips: Sequence[Clip], instructions: Sequence[str], seed: int, seconds: Seconds = SECONDS
    ) -> list[Clip]:
        """A clip for each clip and instruction: the same motion with what the instruction changes, in place and heading
        of its own; `seconds` bounds it as in `generate`. It has no caption, its provenance names clip and instruction.

        MotionError if the model was not trained for it (`LanguageModelConfig.editing`), if an instruction is about what
        its clip does not do (`check_instruction`), on an empty one or a clip of over MAX_SECONDS, and if there are not
        as many instructions as clips.
        """
        if not self.model.config.editing:
            raise MotionError("this generator was not trained for editing, train one with --editing 0.2")
        if len(clips) != len(instructions):
            raise MotionError(f"{len(instructions)} instructions for {len(clips)} clips, expected as many")
        bounds, texts = self._bounds(seconds), read_prompts(self.read, instructions)
        for clip, instruction in zip(clips, instructions, strict=True):
            if clip.duration > MAX_SECONDS:
                raise MotionError(f"{clip.name}: {clip.duration:.2f} s to edit, expected at most {MAX_SECONDS:g}")
            check_instruction(clip, instruction)
        codes: list[torch.Tensor] = []
        for start in range(0, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            codes += sample_motion(
                self.model,
                self.vocabulary,
                self.pattern,
                part,
                bounds,
                [generator_of(seed, start + i) for i in range(len(part))],
                self.sampling,
                sources=[self.tokenizer.encode_clip(clip) for clip in clips[start : start + CHUNK]],
            )
        frames = math.floor(seconds[1] * FEATURE_FPS + 1e-6) + 1
        made = []
        for place, (clip, instruction, own) in enumerate(zip(clips, instructions, codes, strict=True)):
            edited = named_clip(self.tokenizer.decode_clip(own, frames), place, instruction, seed, self.hash())
            made.append(replace(edited.with_provenance(parent=clip.id, stage="edit"), texts=()))
        return made

    def _texts_or_none(self, prompts: Sequence[str | None]) -> list[Text]:
        """The prompts as the model has them; none of the tokens where there is none."""
        read = read_prompts(self.read, [prompt if prompt is not None else NO_PROMPT for prompt in prompts])
        return [text if prompt is not None else text[:0] for text, prompt in zip(read, prompts, strict=True)]

    def _told(self, task: str, text: Text) -> Text:
        """A prompt behind the first phrasing of a task, where the model was told its tasks in words."""
        return text if self.instructions is None else with_instruction(self.instructions.phrasings[task][0], text)

    def _beginning(self, clip: Clip | None, longest: int) -> torch.Tensor:
        """Codes (L, b) of the whole tokens of a beginning; MotionError if nothing can follow."""
        if clip is None:
            return torch.zeros(self.tokenizer.config.streams, 0, dtype=torch.long)
        codes = self.tokenizer.encode_clip(clip)
        whole = (round(clip.duration * FEATURE_FPS) + 1) // self.tokenizer.config.frames_per_token
        if not 1 <= whole < longest:
            raise MotionError(
                f"{clip.name}: a beginning of {clip.duration:.2f} s, expected a token or more, and less than the "
                "longest clip"
            )
        return codes[:, :whole]

    def _bounds(self, seconds: Seconds, most: float = MAX_SECONDS) -> tuple[int, int]:
        if not 0 < seconds[0] <= seconds[1] <= most:
            raise MotionError(f"seconds {seconds}, expected 0 < shortest <= longest <= {most:g}")
        per_token = self.tokenizer.config.frames_per_token
        shortest, longest = (math.ceil((s * FEATURE_FPS + 1 - 1e-6) / per_token) for s in seconds)
        return shortest, longest

    @fixed_threads()
    def describe(self, clips: Sequence[Clip], seed: int = 0, sampling: Sampling | None = None) -> list[str]:
        """A caption for each clip (motion to text); the likeliest tokens unless `sampling` says otherwise."""
        codes = [self.tokenizer.encode_clip(clip) for clip in clips]
        captions: list[str] = []
        for start in range(0, len(codes), CHUNK):
            part = codes[start : start + CHUNK]
            generators = [generator_of(seed, start + i) for i in range(len(part))]
            ids = sample_text(
                self.model,
                self.vocabulary,
                self.pattern,
                part,
                MAX_CAPTION,
                generators,
                sampling or Sampling(temperature=0.0),
                () if self.instructions is None else self.instructions.phrasings["captioning"][0],
            )
            captions += [self.text.decode(i) for i in ids]
        return captions

    @own_streams()
    @fixed_threads()
    def finetune(
        self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig | None = None
    ) -> MotionLLM:
        """A new generator whose language model is tuned on the clips' tokens and whose decoder on their motion.

        Encoder and codebooks stay, so that tokens keep their meaning; with a motion weight of 0 so does the decoder.
        Its `report` holds the losses before and after. Raises MotionError without an accepted clip or a caption.
        """
        config = config or FinetuneConfig()
        if not accepted:
            raise MotionError("fine-tuning: no accepted clips, expected at least one")
        good = make_examples(accepted, self.tokenizer, self.text, self.read)
        old = make_examples(replay, self.tokenizer, self.text, self.read)
        coded = [[(clip, e.codes) for clip, e in zip(*set_, strict=True)] for set_ in ((accepted, good), (replay, old))]
        model, tokenizer, run = self._tuned(good, old, coded, config)
        report = FinetuneReport(
            accepted=len(good),
            replay=len(old),
            steps=run.step,
            stopped=run.stopped,
            accepted_loss_before=language_loss(self.model, good[:REPORTED]),
            accepted_loss_after=language_loss(model, good[:REPORTED]),
            replay_loss_before=language_loss(self.model, old[:REPORTED]) if old else None,
            replay_loss_after=language_loss(model, old[:REPORTED]) if old else None,
        )
        if tokenizer is not self.tokenizer:
            report = replace(report, **_decoded_report(self.tokenizer, tokenizer, *coded))
        return MotionLLM(self.text, tokenizer, model, self.sampling, report, self.encoder)

    def _tuned(
        self, good: list[Example], old: list[Example], coded: list[list[Coded]], config: FinetuneConfig
    ) -> tuple[MotionLanguageModel, MotionTokenizer, TrainingRun]:
        model, tokenizer = copy.deepcopy(self.model).train(), self.tokenizer
        trained: nn.Module = model
        if config.motion_weight:
            tokenizer = tunable(tokenizer)
            trained = nn.ModuleList([model, tokenizer.decoder])
        budget = Budget(config.steps, config.minutes, config.batch, config.learning_rate, warmup=10, seed=config.seed)
        run = TrainingRun(trained, budget, CODE)
        from_old = config.from_replay if old else 0
        sets = [(good, coded[0], config.batch - from_old, 0), (old, coded[1], from_old, 1)]
        for step in run:
            rng = np.random.default_rng([config.seed, step])
            torch.manual_seed(config.seed * 1_000_003 + step)  # dropout
            drawn, motions = [], []
            for examples, clips, count, own in sets:
                places = deal(len(examples), count, step, 2 * config.seed + own)
                drawn += [examples[k] for k in places]
                motions += [clips[k] for k in places]
            pairs = make_pairs(
                drawn, TO_TEXT, self.vocabulary, self.pattern, rng, model.config.between, self.instructions
            )
            loss = model.loss(collate(pairs, self.vocabulary.blank))
            if config.motion_weight:
                windows = np.random.default_rng([config.seed, step, 1])
                loss = loss + config.motion_weight * decoder_loss(tokenizer, motions, windows)
            run.update(loss)
        return model.eval(), tokenizer.eval(), run

    @classmethod
    def load(cls, folder: Path | str) -> MotionLLM:
        """Read what `save` wrote; MotionError, one line, names the file that cannot be used."""
        folder = Path(folder)
        config, sampling, report = cls.opened(folder, checked_config)
        text, tokenizer = TextTokenizer.load(folder / "text_tokenizer.json"), load_tokenizer(folder)
        model = load_weights(folder / "lm.safetensors", lambda: build_language_model(config))
        encoder = None if config.text_encoder is None else load_text_encoder(config.text_encoder)
        return cls(text, tokenizer, model, sampling, report, encoder)


def _decoded_report(
    before: MotionTokenizer, after: MotionTokenizer, accepted: Sequence[Coded], replay: Sequence[Coded]
) -> dict[str, float | None]:
    """Motion errors and slide of what two decoders make of the same codes, as `FinetuneReport` names them."""
    values: dict[str, float | None] = {}
    for when, tokenizer in (("before", before), ("after", after)):
        good = decoded_error(tokenizer, accepted[:DECODED])
        old = decoded_error(tokenizer, replay[:DECODED])
        values[f"accepted_motion_l1_{when}"] = None if good is None else good.l1
        values[f"replay_motion_l1_{when}"] = None if old is None else old.l1
        values[f"accepted_slide_{when}_mm_s"] = None if good is None else good.slide_mm_s
    return values
