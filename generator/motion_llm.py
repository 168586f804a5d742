"""`MotionLLM`: text tokenizer, motion tokenizer and language model behind the Generator protocol.

In the line of M3GPT (one vocabulary, both directions) with MotionVerse's residual streams and delay pattern.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from morphloop.base import MotionError, write_json
from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import TrainingRun
from morphloop.base.weights import content_hash, load_weights, read_config, save_tensors
from morphloop.language import TextEncoder, load_text_encoder
from morphloop.language.backbones import check_backbone
from morphloop.motion import Clip, Provenance
from morphloop.motion.features import FEATURE_FPS

from .batches import deal
from .config import (
    MAX_SECONDS,
    OPTIONAL,
    SECONDS,
    FinetuneConfig,
    LanguageModelConfig,
    Seconds,
    TokenizerConfig,
    TowerConfig,
    VaeConfig,
)
from .detokenizer import Coded, decoded_error, decoder_loss, tunable
from .dual_tower import build_language_model
from .language_model import MotionLanguageModel
from .patterns import PATTERNS
from .protocol import FinetuneReport
from .sampling import Sampling, sample_motion, sample_text
from .sequences import Text, Vocabulary, collate
from .text import StatesOf, TextTokenizer
from .tokenizer import MotionTokenizer
from .training import CODE, TO_TEXT, Example, ReadTexts, language_loss, make_examples, make_pairs
from .vae import MotionVAE

KIND = "morphloop.motion_llm"
CHUNK = 32
"""Prompts that are sampled at once."""
MAX_PROMPT = 256
"""Text ids of the longest prompt."""
MAX_CONTINUED = 300.0
"""Seconds of the longest motion that is made piece by piece."""
WINDOW, OVERLAP = 8.0, 3.0
"""Seconds of a piece, and of what it is shown of the one before."""
NO_PROMPT = "motion"
"""Read and left out where there is no prompt."""
MAX_CAPTION = 64
"""Text ids of the longest caption that is written."""
REPORTED = 64
"""Clips that a fine-tuning's losses are taken on, at most."""
DECODED = 16
"""Clips that its motion errors are taken on, at most."""


def save_tokenizer(folder: Path | str, tokenizer: MotionTokenizer | MotionVAE) -> Path:
    """Write tokenizer.safetensors and tokenizer.json."""
    save_tensors(Path(folder) / "tokenizer.safetensors", tokenizer.state_dict())
    return write_json(Path(folder) / "tokenizer.json", tokenizer.config.written()).parent


def load_tokenizer(folder: Path | str) -> MotionTokenizer:
    """Read a tokenizer of codes that `save_tokenizer` wrote; MotionError, one line, if it cannot be used."""
    path = Path(folder) / "tokenizer.json"
    values: dict[str, Any] = {"planting": False, "levels": ()} | read_config(path)  # files of before say neither
    if values.get("kind") == "vae":
        raise MotionError(f"{path}: a VAE of latents, expected a tokenizer of codes")
    try:
        values["levels"] = tuple(values["levels"])
        config = TokenizerConfig(**values)
    except TypeError:
        raise MotionError(f"{path}: expected the fields {', '.join(TokenizerConfig.__dataclass_fields__)}") from None
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None
    sizes = [value for name, value in asdict(config).items() if name not in ("planting", "levels")]
    if any(not isinstance(v, int) or v < 1 for v in sizes) or config.halvings > 6 or config.depth > 8:
        raise MotionError(f"{path}: sizes must be whole numbers from 1, halvings at most 6, depth at most 8")
    return load_weights(Path(folder) / "tokenizer.safetensors", lambda: MotionTokenizer(config))


def holds_vae(folder: Path | str) -> bool:
    """Whether a folder that `save_tokenizer` wrote holds a VAE; MotionError if it holds neither."""
    return read_config(Path(folder) / "tokenizer.json").get("kind") == "vae"


def load_vae(folder: Path | str) -> MotionVAE:
    """Read a VAE that `save_tokenizer` wrote; MotionError, one line, if it cannot be used."""
    path = Path(folder) / "tokenizer.json"
    values = read_config(path)
    if values.pop("kind", None) != "vae":
        raise MotionError(f"{path}: a tokenizer of codes, expected a VAE of latents")
    try:
        config = VaeConfig(**values)
    except TypeError:
        raise MotionError(f"{path}: expected the fields {', '.join(VaeConfig.__dataclass_fields__)}") from None
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None
    return load_weights(Path(folder) / "tokenizer.safetensors", lambda: MotionVAE(config))


def checked_config(values: Any, path: Path) -> LanguageModelConfig:
    """The sizes of a language model from a file; MotionError naming the field that is none of its kind or range."""
    fields = LanguageModelConfig.__dataclass_fields__
    if not isinstance(values, dict) or not set(fields) - set(OPTIONAL) <= set(values) <= set(fields):
        raise MotionError(f"{path}: expected the fields {', '.join(fields)}")
    for name, most in (("text_size", 1 << 20), ("streams", 16), ("codebook", 1 << 16)):
        if type(values[name]) is not int or not 1 <= values[name] <= most:
            raise MotionError(f"{path}: {name} is {str(values[name])[:40]}, expected 1 to {most}")
    if values["pattern"] not in sorted(PATTERNS):
        raise MotionError(f"{path}: pattern '{str(values['pattern'])[:40]}', expected {sorted(PATTERNS)}")
    if type(values.get("text_width", 0)) is not int or not 0 <= values.get("text_width", 0) <= 1 << 16:
        raise MotionError(f"{path}: text_width is {str(values['text_width'])[:40]}, expected 0 to {1 << 16}")
    for name in ("text_encoder", "text_encoder_hash"):
        if not isinstance(values.get(name), str | None):
            raise MotionError(f"{path}: {name} is {str(values[name])[:40]}, expected a name or null")
    check_backbone(values["backbone"], path)
    between = values.get("between", 0.0)
    if not isinstance(between, int | float) or not 0 <= between <= 1:
        raise MotionError(f"{path}: between is {str(between)[:40]}, expected 0 to 1")
    tower = values.get("tower")
    if tower is not None:
        if not isinstance(tower, dict) or set(tower) != set(TowerConfig.__dataclass_fields__):
            raise MotionError(f"{path}: tower is {str(tower)[:40]}, expected width and every")
        try:
            tower = TowerConfig(**tower)
        except MotionError as error:
            raise MotionError(f"{path}: {error}") from None
    said: dict[str, Any] = values | {"tower": tower}
    return LanguageModelConfig(**said)


class MotionLLM:
    """A motion language model: `generate`, `describe`, `finetune`, `save`, `load`.

    Raises MotionError if the three parts do not fit one another.
    """

    can_finetune = True

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
        self.text, self.tokenizer, self.model = text, tokenizer.eval(), model.eval()
        self.encoder, self.read = encoder, text if encoder is None else StatesOf(encoder)
        self.sampling, self.report = sampling or Sampling(), report
        self.vocabulary: Vocabulary = config.vocabulary
        self.pattern = PATTERNS[config.pattern](config.streams)

    def with_sampling(
        self, temperature: float | None = None, top_p: float | None = None, guidance: float | None = None
    ) -> MotionLLM:
        """This generator with other sampling; None keeps what it has."""
        asked = {"temperature": temperature, "top_p": top_p, "guidance": guidance}
        sampling = replace(self.sampling, **{name: value for name, value in asked.items() if value is not None})
        return MotionLLM(self.text, self.tokenizer, self.model, sampling, self.report, self.encoder)

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
        texts = self._texts_or_none(prompts)
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
            self._texts_or_none(prompts),
            (count, count),
            [generator_of(seed, place) for place in range(len(ends))],
            self.sampling,
            beginnings=fixed,
            endings=[ending for _, ending in pairs],
        )
        frames = math.floor(seconds * FEATURE_FPS + 1e-6) + 1
        made = zip((self.tokenizer.decode_clip(own, frames) for own in codes), prompts, strict=True)
        return [named_clip(clip, place, prompt, seed, self.hash()) for place, (clip, prompt) in enumerate(made)]

    def _texts_or_none(self, prompts: Sequence[str | None]) -> list[Text]:
        """The prompts as the model has them; none of the tokens where there is none."""
        read = read_prompts(self.read, [prompt if prompt is not None else NO_PROMPT for prompt in prompts])
        return [text if prompt is not None else text[:0] for text, prompt in zip(read, prompts, strict=True)]

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
            pairs = make_pairs(drawn, TO_TEXT, self.vocabulary, self.pattern, rng, model.config.between)
            loss = model.loss(collate(pairs, self.vocabulary.blank))
            if config.motion_weight:
                windows = np.random.default_rng([config.seed, step, 1])
                loss = loss + config.motion_weight * decoder_loss(tokenizer, motions, windows)
            run.update(loss)
        return model.eval(), tokenizer.eval(), run

    def hash(self) -> str:
        """Content hash of weights, tokenizers and configuration."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        parts = (self.model.config.written(), self.tokenizer.config.written(), self.sampling.written())
        texts = [json.dumps(part, sort_keys=True) for part in parts]
        return content_hash([*texts, self.text.to_json()], self.tokenizer, self.model)

    def save(self, folder: Path | str) -> Path:
        """Write weights (safetensors), tokenizers and config.json, which comes last."""
        folder = Path(folder)
        save_tokenizer(folder, self.tokenizer)
        save_tensors(folder / "lm.safetensors", self.model.state_dict())
        self.text.save(folder / "text_tokenizer.json")
        config = {
            "kind": KIND,
            "schema": 1,
            "language_model": self.model.config.written(),
            "sampling": self.sampling.written(),
            "report": asdict(self.report) if self.report else None,
        }
        return write_json(folder / "config.json", config).parent

    @classmethod
    def load(cls, folder: Path | str) -> MotionLLM:
        """Read what `save` wrote; MotionError, one line, names the file that cannot be used."""
        folder = Path(folder)
        values = read_config(folder / "config.json")
        if values.get("kind") != KIND or values.get("schema") != 1:
            raise MotionError(f"{folder / 'config.json'}: kind {values.get('kind')}, expected {KIND}, schema 1")
        try:
            config = checked_config(values["language_model"], folder / "config.json")
            sampling = Sampling(**values["sampling"])
            report = read_report(values["report"]) if values["report"] else None
        except (KeyError, TypeError) as error:
            raise MotionError(f"{folder / 'config.json'}: malformed ({error})") from None
        text, tokenizer = TextTokenizer.load(folder / "text_tokenizer.json"), load_tokenizer(folder)
        model = load_weights(folder / "lm.safetensors", lambda: build_language_model(config))
        encoder = None if config.text_encoder is None else load_text_encoder(config.text_encoder)
        return cls(text, tokenizer, model, sampling, report, encoder)


def read_prompts(read: ReadTexts, prompts: Sequence[str]) -> list[Text]:
    """The prompts as a language model has them; MotionError if one is empty or too long."""
    texts = read(prompts)
    for prompt, text in zip(prompts, texts, strict=True):
        if len(text) > MAX_PROMPT:
            raise MotionError(f"prompt '{prompt[:40]}...' has {len(text)} tokens, expected at most {MAX_PROMPT}")
    return texts


def named_clip(clip: Clip, index: int, prompt: str | None, seed: int, generator: str) -> Clip:
    """The clip with its caption, if there was a prompt, its name and where it came from; generator: hash of what made
    it."""
    slug = re.sub(r"[^a-z0-9]+", "_", (prompt or "no prompt").lower()).strip("_")[:40]
    origin = Provenance(stage="generate", prompt=prompt, seed=seed, models={"generator": generator})
    texts = () if prompt is None else (prompt,)
    return Clip(clip.fps, clip.skeleton, clip.root_pos, clip.rotations, texts, f"{index:03d}_{slug}", origin)


def check_encoder(config: LanguageModelConfig, encoder: TextEncoder | None) -> None:
    """MotionError if the model does not read what the encoder makes."""
    if (config.text_width > 0) != (encoder is not None):
        raise MotionError(
            f"language model reads {'states of a text encoder' if config.text_width else 'ids'}, "
            f"it was given {'no text encoder' if encoder is None else 'a text encoder'}"
        )
    if encoder is not None and (encoder.width, encoder.hash) != (config.text_width, config.text_encoder_hash):
        raise MotionError(
            f"language model was trained on the text encoder {config.text_encoder} with hash "
            f"{config.text_encoder_hash} and {config.text_width} numbers a state, this one has {encoder.hash} and "
            f"{encoder.width}: train the generator again, or get that encoder"
        )


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


def read_report(values: dict[str, Any]) -> FinetuneReport:
    """A report as it is on disk; files of before held its wall time."""
    return FinetuneReport(**{name: value for name, value in values.items() if name != "wall_s"})


def generator_of(seed: int, index: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
