"""Training of the language model, a loop of a few lines over a shared run.

Batches are drawn by (seed, step), so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import OnStop, TrainingRun, no_stop
from morphloop.base.weights import content_hash
from morphloop.motion import Clip
from morphloop.motion.datasets import ids_of, texts_of

from .adapters import Adapt, adapting
from .batches import deal_alike
from .config import LANGUAGE_BUDGET, TO_TEXT, LanguageModelConfig
from .detokenizer import decoder_loss
from .dual_tower import build_language_model
from .language_model import MotionLanguageModel
from .patterns import PATTERNS, Pattern
from .sequences import Pair, Text, Vocabulary, collate, edited_motion, motion_to_text, text_to_motion, with_instruction
from .text import TextTokenizer
from .tokenizer import MotionTokenizer

THINNED = 0.3
"""Share of prompts in training that lose tokens."""
TOKEN_DROP = 0.2
"""Share of the tokens that these lose."""
UNPROMPTED = 0.1
"""Share of the clips that are shown without their prompt, for classifier-free guidance (Ho and Salimans 2022)."""


ENDING = (0.1, 0.4)
"""Least and largest share of a clip that is shown as its ending."""
CODE = ("language", "motion", "generator")
"""What a training's result rests on."""
ReadTexts = Callable[[Sequence[str]], list[Text]]
"""Captions as prompts."""


@dataclass(frozen=True)
class Example:
    """A clip as tokens: codes (L, n), and each of its captions as ids to write and as a prompt to read.

    source: codes (L, m) of the clip that it was made from by editing, or None; it then has no captions, and each prompt
    is an instruction.
    """

    codes: torch.Tensor
    captions: tuple[list[int], ...]
    prompts: tuple[Text, ...]
    source: torch.Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens of motion that a pair of it holds."""
        return self.codes.shape[1] + (0 if self.source is None else self.source.shape[1])


def make_examples(
    clips: Sequence[Clip], tokenizer: MotionTokenizer, text: TextTokenizer, read: ReadTexts | None = None
) -> list[Example]:
    """Tokens of the clips; `read` turns captions into prompts, without it they are `text`'s ids.

    MotionError names the first clip without a caption.
    """
    codes = [tokenizer.encode_clip(clip) for clip in clips]
    return [Example(c, *own) for c, own in zip(codes, read_captions(clips, text, read), strict=True)]


def read_captions(
    clips: Sequence[Clip], text: TextTokenizer, read: ReadTexts | None = None
) -> list[tuple[tuple[list[int], ...], tuple[Text, ...]]]:
    """Of each clip its captions as ids to write and as prompts to read, as `make_examples` has them."""
    texts = texts_of(clips)
    if () in texts:
        raise MotionError(f"{clips[texts.index(())].name}: has no caption, expected at least one text")
    prompts = iter((read or text)([caption for captions in texts for caption in captions]))  # many at once: faster
    return [(tuple(text.encode(c) for c in captions), tuple(islice(prompts, len(captions)))) for captions in texts]


def thinned(text: Text, rng: np.random.Generator) -> Text:
    """The text, a share UNPROMPTED of the time none of it, a share THINNED with tokens left out: a prompt need not be
    a template's words."""
    drawn = rng.random()
    if drawn < UNPROMPTED:
        return text[:0]
    if drawn >= UNPROMPTED + THINNED:
        return text
    kept = [place for place in range(len(text)) if rng.random() >= TOKEN_DROP]
    if not kept:
        return text
    return text[kept] if isinstance(text, torch.Tensor) else [text[place] for place in kept]


@dataclass(frozen=True)
class Instructions:
    """Tasks that are told in words: share of the examples in training, and phrasings of each task as prompts."""

    share: float
    phrasings: Mapping[str, Sequence[Text]]

    def draw(self, task: str, rng: np.random.Generator) -> Text:
        """A phrasing of a task, nothing of it the rest of the time."""
        own = self.phrasings[task]
        chosen, told = own[int(rng.integers(len(own)))], rng.random() < self.share
        return chosen if told else chosen[:0]


def make_pairs(
    examples: Sequence[Example],
    to_text_share: float,
    vocabulary: Vocabulary,
    pattern: Pattern,
    rng: np.random.Generator,
    between: float = 0.0,
    instructions: Instructions | None = None,
) -> list[Pair]:
    """A training pair of each example, of a random caption and direction; a share `between` of those that ask for
    motion is shown how it ends. What was made by editing is asked for by an instruction; other tasks are told in words
    as far as `instructions` says."""
    pairs = []
    for example in examples:
        chosen = rng.integers(len(example.prompts))
        if example.source is not None:
            prompt = thinned(example.prompts[chosen], rng)
            pairs.append(edited_motion(vocabulary, pattern, prompt, example.source, example.codes))
        elif rng.random() < to_text_share:
            told = () if instructions is None else instructions.draw("captioning", rng)
            pairs.append(motion_to_text(vocabulary, pattern, example.captions[chosen], example.codes, told))
        else:
            count = example.codes.shape[1]
            shown = between > 0 and rng.random() < between
            ending = max(1, round(count * rng.uniform(*ENDING))) if shown else 0
            prompt = thinned(example.prompts[chosen], rng)
            if instructions is not None:
                prompt = with_instruction(instructions.draw("in_between" if shown else "prediction", rng), prompt)
            pairs.append(text_to_motion(vocabulary, pattern, prompt, example.codes, ending))
    return pairs


@dataclass(frozen=True)
class Joint:
    """A decoder that is trained beside the language model, in place: that of `tokenizer` (`tunable`), on the clips that
    the examples were made of, those by editing apart, which stand last; with `weight` times its reconstruction loss."""

    tokenizer: MotionTokenizer
    clips: Sequence[Clip]
    weight: float


@own_streams()
@fixed_threads()
def train_language_model(
    examples: Sequence[Example],
    config: LanguageModelConfig,
    budget: Budget = LANGUAGE_BUDGET,
    to_text_share: float = TO_TEXT,
    checkpoint: Path | None = None,
    model: MotionLanguageModel | None = None,
    on_stop: OnStop = no_stop,
    adapt: Adapt = "full",
    joint: Joint | None = None,
    instructions: Instructions | None = None,
) -> MotionLanguageModel:
    """A language model trained by teacher forcing on both directions, and on editing where the examples have sources;
    `model` is gone on from in place if given.

    on_stop: told if the budget's minutes cut it short; adapt: how much of the backbone changes; joint: a decoder to
    train as well; instructions: words for the tasks, of which the configuration's share is told. Raises MotionError
    without examples, and where adapters are asked for without `peft`.
    """
    if not examples:
        raise MotionError("training: no examples, expected at least one clip with a caption")
    torch.manual_seed(budget.seed)
    start, model = model, (model or build_language_model(config)).train()
    vocabulary, pattern = config.vocabulary, PATTERNS[config.pattern](config.streams)
    tokens = [[e.codes.tolist(), e.captions, *([] if e.source is None else [e.source.tolist()])] for e in examples]
    made = {"examples": tokens, "model": config.written(), "to_text": to_text_share}
    made["start"] = None if start is None else content_hash([], start)
    made |= {} if adapt == "full" else {"adapt": adapt}
    if joint is not None:
        made["joint"] = {
            "weight": joint.weight,
            "clips": ids_of(joint.clips),
            "start": content_hash([], joint.tokenizer),
        }
    hashed = {name: hash_json(value) for name, value in made.items()}
    lengths = [example.length for example in examples]
    with adapting(model, adapt) as kept:
        trained = model if joint is None else nn.ModuleList([model, joint.tokenizer.decoder])
        run = TrainingRun(trained, budget, CODE, checkpoint, hashed, kept)
        for step in run:
            rng = np.random.default_rng([budget.seed, step])
            torch.manual_seed(budget.seed * 1_000_003 + step)  # dropout
            places = deal_alike(lengths, budget.batch, step, budget.seed)
            pairs = make_pairs(
                [examples[place] for place in places],
                to_text_share,
                vocabulary,
                pattern,
                rng,
                config.between,
                instructions,
            )
            loss = model.loss(collate(pairs, vocabulary.blank))
            if joint is not None:
                shown = [(joint.clips[place], examples[place].codes) for place in places if place < len(joint.clips)]
                windows = np.random.default_rng([budget.seed, step, 1])
                if shown:
                    loss = loss + joint.weight * decoder_loss(joint.tokenizer, shown, windows)
            run.update(loss)
    if run.stopped is not None:
        on_stop(run.stopped)
    return model.eval()


@torch.no_grad()
def language_loss(model: MotionLanguageModel, examples: Sequence[Example], to_text: bool = False) -> float:
    """Mean loss, nats a token, on each example's first caption in one direction."""
    vocabulary, pattern = model.config.vocabulary, PATTERNS[model.config.pattern](model.config.streams)
    if to_text:
        pairs = [motion_to_text(vocabulary, pattern, e.captions[0], e.codes) for e in examples]
    else:
        pairs = [text_to_motion(vocabulary, pattern, e.prompts[0], e.codes) for e in examples]
    losses = [float(model.loss(collate(pairs[i : i + 32], vocabulary.blank))) for i in range(0, len(pairs), 32)]
    return float(np.average(losses, weights=[len(pairs[i : i + 32]) for i in range(0, len(pairs), 32)]))
