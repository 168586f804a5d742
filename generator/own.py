"""What our own generators have in common: a folder of weights, a hash, sampling, and who reads their prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch

from morphloop.base import MotionError, write_json
from morphloop.base.opening import naming
from morphloop.base.weights import content_hash, load_weights, read_config, save_tensors
from morphloop.language import TextEncoder
from morphloop.language.backbones import check_backbone
from morphloop.motion import Clip, Provenance

from .config import (
    OPTIONAL,
    SAID_BY_HEAD,
    SHARES,
    DiffusionConfig,
    LanguageModelConfig,
    LatentModelConfig,
    TokenizerConfig,
    TowerConfig,
    VaeConfig,
)
from .language_model import MotionLanguageModel
from .latent_model import LatentMotionModel
from .patterns import PATTERNS
from .protocol import FinetuneReport
from .sampling import Sampling
from .sequences import Text
from .text import StatesOf, TextTokenizer
from .tokenizer import MotionTokenizer
from .training import ReadTexts
from .vae import MotionVAE

CHUNK = 32
"""Prompts that are sampled at once."""
MAX_PROMPT = 256
"""Text ids of the longest prompt."""
MAX_CAPTION = 64
"""Text ids of the longest caption that is written."""
REPORTED = 64
"""Clips that a fine-tuning's losses are taken on, at most."""

T = TypeVar("T", MotionTokenizer, MotionVAE)
M = TypeVar("M", MotionLanguageModel, LatentMotionModel)
C = TypeVar("C")


class OwnGenerator(Generic[T, M]):
    """Text tokenizer, tokenizer of motion T and language model M in one folder, known by their content hash."""

    KIND: ClassVar[str]
    """What config.json calls it."""
    can_finetune = True

    def __init__(
        self,
        text: TextTokenizer,
        tokenizer: T,
        model: M,
        sampling: Sampling | None = None,
        report: FinetuneReport | None = None,
        encoder: TextEncoder | None = None,
    ) -> None:
        self.text, self.tokenizer, self.model = text, tokenizer, model
        tokenizer.eval()
        model.eval()
        self.encoder = encoder
        self.read: ReadTexts = text if encoder is None else StatesOf(encoder)
        self.sampling, self.report = sampling or Sampling(), report

    def with_sampling(
        self, temperature: float | None = None, top_p: float | None = None, guidance: float | None = None
    ) -> Self:
        """This generator with other sampling; None keeps what it has. Latents are drawn by guidance alone."""
        asked = {"temperature": temperature, "top_p": top_p, "guidance": guidance}
        sampling = replace(self.sampling, **{name: value for name, value in asked.items() if value is not None})
        return type(self)(self.text, self.tokenizer, self.model, sampling, self.report, self.encoder)

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
            "kind": self.KIND,
            "schema": 1,
            "language_model": self.model.config.written(),
            "sampling": self.sampling.written(),
            "report": asdict(self.report) if self.report else None,
        }
        return write_json(folder / "config.json", config).parent

    @classmethod
    def opened(cls, folder: Path, check: Callable[[Any, Path], C]) -> tuple[C, Sampling, FinetuneReport | None]:
        """What config.json says of the language model, as `check` has it, its sampling and its report.

        MotionError names the file.
        """
        path = folder / "config.json"
        values = read_config(path)
        if values.get("kind") != cls.KIND or values.get("schema") != 1:
            raise MotionError(f"{path}: kind {values.get('kind')}, expected {cls.KIND}, schema 1")
        try:
            sampling = Sampling(**values["sampling"])
            report = read_report(values["report"]) if values["report"] else None
            return check(values["language_model"], path), sampling, report
        except MotionError as error:
            raise MotionError(naming(path, error)) from None
        except (KeyError, TypeError, ValueError) as error:
            raise MotionError(f"{path}: malformed ({error})") from None


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
    for name in SHARES:
        share = values.get(name, 0.0)
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise MotionError(f"{path}: {name} is {str(share)[:40]}, expected 0 to 1")
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


def checked_latent_config(values: Any, path: Path) -> LatentModelConfig:
    """The same of a language model over latents."""
    said: dict[str, Any] = dict(values)
    head = dict(said.pop("head"))
    if head.pop("says", None) != SAID_BY_HEAD:
        raise MotionError("its diffusion head says noise, this version reads velocities; train it anew")
    return LatentModelConfig(checked_config(said.pop("towers"), path), head=DiffusionConfig(**head), **said)


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


def read_report(values: dict[str, Any]) -> FinetuneReport:
    """A report as it is on disk; files of before held its wall time."""
    return FinetuneReport(**{name: value for name, value in values.items() if name != "wall_s"})


def generator_of(seed: int, index: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
