"""What a generator and its training can be told."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.former import Former, Gone

if TYPE_CHECKING:
    from .sequences import Vocabulary

Seconds = tuple[float, float]
"""Shortest and longest motion, seconds."""
SECONDS: Seconds = (2.0, 10.0)
"""What clips are long unless somebody asks for another length."""
MAX_SECONDS = 20.0
"""Of a clip that is made in one piece."""
MAX_STEPS, MAX_BATCH, MAX_WEIGHT = 1_000_000, 4096, 1000.0
MAX_LEVEL, MAX_CODEBOOK = 256, 1 << 16
"""Of finite scalar quantisation."""
VAE_SIZES = {"latents": 64, "latent_size": 4096, "width": 4096, "layers": 64, "heads": 64, "patch": 64, "spread": 4096}
"""The largest of each."""
MAX_TIMEOUT = 1e7
"""Seconds, four months."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Budget and rates of a fine-tuning."""

    steps: int = 150
    """Optimiser steps."""
    minutes: float | None = None
    """Wall time after which it is cut short, which its report says; such a one does not repeat to the byte."""
    batch: int = 16
    """Clips a step."""
    learning_rate: float = 1e-4
    """Peak rate of AdamW."""
    replay_share: float = 0.75
    """Share of every batch that is drawn from the replay clips, where there are any."""
    motion_weight: float = 0.2
    """Weight of the decoder's motion error beside the tokens' likelihood; 0 tunes the language model alone."""
    seed: int = 0
    """Of the batches."""

    FORMER: ClassVar[Former] = Former(gone=(Gone("kl_weight", 0.0),))

    @property
    def from_replay(self) -> int:
        """Clips of every batch that are replay; one at least is accepted."""
        return min(round(self.batch * self.replay_share), self.batch - 1)

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS or not 1 <= self.batch <= MAX_BATCH:
            raise MotionError(
                f"fine-tuning: {self.steps} steps of {self.batch} clips, expected 1 to {MAX_STEPS} of 1 to {MAX_BATCH}"
            )
        if not 0 < self.learning_rate <= 1 or (self.minutes is not None and not self.minutes > 0):
            raise MotionError(
                f"fine-tuning: learning rate {self.learning_rate} in {self.minutes} minutes, expected over 0 to 1, and "
                "minutes, if any, over 0"
            )
        if not 0 <= self.replay_share < 1 or self.seed < 0:
            raise MotionError(
                f"fine-tuning: replay share {self.replay_share}, seed {self.seed}, expected 0 or more and under 1, and "
                "0 or more"
            )
        if not 0 <= self.motion_weight <= MAX_WEIGHT:
            raise MotionError(f"fine-tuning: motion weight {self.motion_weight}, expected 0 to {MAX_WEIGHT:g}")


@dataclass(frozen=True)
class OutsideConfig:
    """How a generator that is a command is run (docs/outside_generators.md)."""

    finetune_command: str | None = None
    """Command that fine-tunes it, with `{accepted}`, `{state}` and `{new_state}` among its words."""
    timeout_s: float = 3600.0
    """Seconds that a call of either command may take; what it made by then counts."""
    version: str | None = None
    """A text of your own, to be changed when something changes that the command's words do not name, such as weights
    that it loads: results made before are then made again."""
    state: str | None = None
    """Folder that an earlier fine-tuning left, what `{state}` stands for at first."""
    folder: str | None = None
    """Folder that commands are run in; the one that morphloop was called in if left out."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= MAX_TIMEOUT:
            raise MotionError(f"timeout_s is {self.timeout_s:g}, expected over 0 to {MAX_TIMEOUT:g}")


FROM_OUTSIDE = OutsideConfig()

TEXT_SIZE = 512
"""Ids of a tokenizer that is trained here, unless somebody asks for another number."""


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes of a motion tokenizer."""

    streams: int = 3
    """Codebooks, coarse to fine (L)."""
    codebook: int = 256
    """Codes in each."""
    code_size: int = 64
    """Numbers in a code."""
    width: int = 128
    """Channels of the convolutions."""
    depth: int = 2
    """Residual blocks at each resolution."""
    halvings: int = 2
    """Times that the frame rate is halved: 2 makes one token of four frames."""
    planting: bool = True
    """Whether the decoder ends in the layer that keeps standing feet on their spots (`planted_feet.py`)."""
    levels: tuple[int, ...] = ()
    """Finite scalar quantisation in place of learnt codebooks: the values that each number of a code takes, as 8 5 5 5.
    Streams are then 1, codebook is the product of the levels and code_size their count."""

    def __post_init__(self) -> None:
        if not self.levels:
            return
        if any(type(level) is not int or not 3 <= level <= MAX_LEVEL for level in self.levels):
            raise MotionError(f"levels {list(self.levels)[:8]}: expected whole numbers from 3 to {MAX_LEVEL}")
        codebook = math.prod(self.levels)
        if codebook > MAX_CODEBOOK:
            raise MotionError(f"levels {list(self.levels)[:8]} make {codebook} codes, expected at most {MAX_CODEBOOK}")
        for name, value in (("streams", 1), ("codebook", codebook), ("code_size", len(self.levels))):
            object.__setattr__(self, name, value)

    @property
    def frames_per_token(self) -> int:
        return 2**self.halvings

    def written(self) -> dict[str, Any]:
        """As it stands in files and hashes; what older tokenizers do not have is left out of theirs."""
        return {name: value for name, value in asdict(self).items() if name not in ("planting", "levels") or value}


@dataclass(frozen=True)
class VaeConfig:
    """Sizes of a motion VAE."""

    latents: int = 4
    """Vectors a clip."""
    latent_size: int = 64
    """Numbers in a vector."""
    width: int = 192
    """Numbers in a hidden state of both transformers."""
    layers: int = 4
    """Blocks of each."""
    heads: int = 4
    """Attention heads, a divisor of the width."""
    patch: int = 4
    """Frames that stand at one step of the transformers."""
    spread: int = 128
    """Channels of the convolutions over single frames behind the decoder."""
    kl: float = 1e-4
    """Weight of the divergence from the standard normal, beside the motion's own loss."""
    planting: bool = True
    """Whether the decoder ends in the layer that keeps standing feet on their spots (`planted_feet.py`)."""

    def __post_init__(self) -> None:
        for name, most in VAE_SIZES.items():
            if type(size := getattr(self, name)) is not int or not 1 <= size <= most:
                raise MotionError(f"VAE: {name} is {str(size)[:40]}, expected 1 to {most}")
        if self.width % self.heads or self.width % 2:
            raise MotionError(f"VAE: width {self.width}, expected an even multiple of its {self.heads} heads")
        if type(self.planting) is not bool or not isinstance(self.kl, int | float) or not 0 <= self.kl <= MAX_WEIGHT:
            raise MotionError(f"VAE: planting {self.planting}, kl {self.kl}: expected true or false, 0 to {MAX_WEIGHT}")

    def written(self) -> dict[str, Any]:
        """As it stands in files and hashes."""
        return {"kind": "vae", **asdict(self)}


SAID_BY_HEAD = "velocity"
"""What the network of a diffusion head says of a noisy latent; those of before 28 November 2026 said its noise."""


@dataclass(frozen=True)
class DiffusionConfig:
    """Sizes of a diffusion head."""

    width: int = 512
    """Numbers in a hidden state of its layers."""
    depth: int = 3
    """Residual blocks."""
    sampling_steps: int = 20
    """Steps from noise to a latent."""

    def __post_init__(self) -> None:
        for name, most in (("width", 4096), ("depth", 64), ("sampling_steps", 1000)):
            if type(size := getattr(self, name)) is not int or not 1 <= size <= most:
                raise MotionError(f"diffusion head: {name} is {str(size)[:40]}, expected 1 to {most}")
        if self.width % 2:
            raise MotionError(f"diffusion head: width is {self.width}, expected an even number")


DEFAULT_BACKBONE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "attention_dropout": 0.1,
    "use_cache": True,
}
"""A small Llama; 2 million parameters with the default vocabulary."""


TEXT_FIELDS = ("text_encoder", "text_encoder_hash", "text_width")
"""Of a language model that reads a text encoder's states."""
SHARES = ("between", "editing", "instructed")
"""Of a training's examples that are of tasks which a generator need not know."""
OPTIONAL = (*TEXT_FIELDS, "tower", *SHARES)
"""What a language model's file need not say."""


@dataclass(frozen=True)
class BackboneSize:
    """Of the built-in Llama."""

    layers: int = 4
    """Transformer blocks."""
    width: int = 192
    """Numbers in a hidden state, a multiple of the 48 of a head."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= 64 or not 48 <= self.width <= 4096 or self.width % 48:
            raise MotionError(
                f"backbone of {self.layers} layers, width {self.width}: expected 1 to 64, and a multiple of 48 of at "
                "most 4096"
            )

    @property
    def backbone(self) -> dict[str, Any]:
        """Configuration for `LanguageModelConfig`; a head has 48 numbers."""
        heads = self.width // 48
        sizes = {"hidden_size": self.width, "intermediate_size": 8 * self.width // 3, "num_hidden_layers": self.layers}
        return DEFAULT_BACKBONE | sizes | {"num_attention_heads": heads, "num_key_value_heads": heads}


@dataclass(frozen=True)
class TowerConfig:
    """Of the motion tower beside a text tower (`dual_tower.py`)."""

    width: int = 192
    """Numbers in a hidden state, a multiple of the text tower's heads (9 in SmolLM2-135M), which it has as well."""
    every: int = 1
    """Layers of the text tower to one of the motion tower: 1 pairs all, 3 every third."""

    def __post_init__(self) -> None:
        for name, most in (("width", 4096), ("every", 64)):
            if type(size := getattr(self, name)) is not int or not 1 <= size <= most:
                raise MotionError(f"motion tower: {name} is {str(size)[:40]}, expected 1 to {most}")

    @property
    def feed_forward(self) -> int:
        """Numbers between the two matrices of a feed-forward layer."""
        return max(8 * self.width // 3, 1)


@dataclass(frozen=True)
class LanguageModelConfig:
    """What a language model is made of."""

    text_size: int
    """Ids of the text tokenizer."""
    streams: int
    """Codebooks of the motion tokenizer (L)."""
    codebook: int
    """Codes in each."""
    pattern: str = "delay"
    """Name of the interleaving, of patterns.PATTERNS."""
    backbone: dict[str, Any] = field(default_factory=lambda: dict(DEFAULT_BACKBONE))
    """Configuration of the backbone as `transformers` writes it; `model_type` names the architecture."""
    text_encoder: str | None = None
    """Text encoder that reads the prompts, as `load_text_encoder` names it; None reads them as ids."""
    text_encoder_hash: str | None = None
    """Its content hash."""
    text_width: int = 0
    """Numbers in one of its states (W)."""
    tower: TowerConfig | None = None
    """Of a motion tower of its own, the backbone being the text tower; None puts text and motion through one."""
    between: float = 0.0
    """Share of the examples in training whose ending is shown beside the prompt, for motion in between; 0 for none."""
    editing: float = 0.0
    """Share of the examples in training that are a motion and an instruction to change it; 0 for none."""
    instructed: float = 0.0
    """Share of the other examples in training that are told their task in words (`templates/`); 0 for none."""

    def written(self) -> dict[str, Any]:
        """As a file holds it: what is said of a text encoder, a motion tower and tasks only where there are some."""
        without = (() if self.text_width else TEXT_FIELDS) + (() if self.tower else ("tower",))
        without += tuple(name for name in SHARES if not getattr(self, name))
        return {name: value for name, value in asdict(self).items() if name not in without}

    @property
    def vocabulary(self) -> Vocabulary:
        from .sequences import Vocabulary  # loads torch

        return Vocabulary(self.text_size, self.streams, self.codebook)


@dataclass(frozen=True)
class LatentModelConfig:
    """What a language model over a VAE's latents is made of (`latent_model.py`)."""

    towers: LanguageModelConfig
    """Of the dual tower; its one code of one stream is where a latent stands."""
    latents: int
    """Vectors a clip (m)."""
    latent_size: int
    """Numbers in each (C)."""
    head: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Of the head that draws them."""

    def __post_init__(self) -> None:
        for name in ("latents", "latent_size"):
            if type(size := getattr(self, name)) is not int or not 1 <= size <= VAE_SIZES[name]:
                raise MotionError(f"latent model: {name} is {str(size)[:40]}, expected 1 to {VAE_SIZES[name]}")
        if self.towers.tower is None or (self.towers.streams, self.towers.codebook) != (1, 1):
            raise MotionError("latent model: expected a dual tower of one stream with one code")

    @property
    def tower(self) -> TowerConfig:
        """Of the motion tower."""
        assert self.towers.tower is not None
        return self.towers.tower

    def written(self) -> dict[str, Any]:
        """As a file holds it."""
        head = {"says": SAID_BY_HEAD, **asdict(self.head)}
        sizes = {"latents": self.latents, "latent_size": self.latent_size, "head": head}
        return {"towers": self.towers.written(), **sizes}


TO_TEXT = 0.2
"""Share of language model training that is motion to text."""
TOKENIZER_BUDGET = Budget(steps=4000, minutes=None, batch=32, learning_rate=6e-4)
LANGUAGE_BUDGET = Budget(steps=3000, minutes=None, batch=32, learning_rate=1.5e-3)
