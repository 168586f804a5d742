"""`morphloop train generator --preset NAME`: a published design as a file of configuration, trained stage by stage.

A preset names the parts (tokenizer or VAE, pattern, towers, head) and its stages, each of which is a `train generator`
of its own that goes on from the one before. Every stage leaves a whole generator, `stage1` and so on; the last one lies
in the folder itself. What is finished is not trained again, what was killed goes on from its checkpoint. A preset more
is a file more in `presets/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from morphloop.base import MotionError, write_json
from morphloop.base.budget import Budget
from morphloop.base.opening import read_json
from morphloop.base.still_valid import check_same
from morphloop.base.terminal import say
from morphloop.base.typed import from_dict
from morphloop.generator.config import (
    TO_TEXT,
    BackboneSize,
    DiffusionConfig,
    LanguageModelConfig,
    TokenizerConfig,
    TowerConfig,
    VaeConfig,
)

from .checks import check
from .config import read_yaml
from .console import writable_folder

if TYPE_CHECKING:
    from .train_generator import TrainGenerator, TrainTokenizer

PRESETS = Path(__file__).parent / "presets"
MADE_BY = "preset.json"
"""What a folder's stages are trained by, written first."""
BESIDE = ("out", "preset", "source", "threads", "wandb", "tokenizer")
"""Options of `train generator` that a preset leaves open."""


@dataclass(frozen=True)
class Stage:
    """One training of the language model."""

    budget: Budget
    """How long and how fast."""
    adapt: Literal["full", "lora", "frozen"] = "full"
    """How much of the text tower or backbone is trained."""
    to_text: float = TO_TEXT
    """Share of the examples that are motion to text."""
    motion_weight: float = 0.0
    """Weight of the decoder's motion error, the decoder of codes being trained as well."""


@dataclass(frozen=True)
class Preset:
    """The parts of a generator and how they are trained; the fields are those of `train tokenizer` and `train
    generator`."""

    tokenizer_budget: Budget
    stages: tuple[Stage, ...]
    kind: Literal["codes", "vae"] = "codes"
    codes: TokenizerConfig = field(default_factory=TokenizerConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    backbone: str | None = None
    size: BackboneSize = field(default_factory=BackboneSize)
    dual_tower: bool = False
    tower: TowerConfig = field(default_factory=TowerConfig)
    head: DiffusionConfig = field(default_factory=DiffusionConfig)
    text_encoder: str | None = None
    pattern: str = LanguageModelConfig.pattern
    between: float = LanguageModelConfig.between
    editing: float = LanguageModelConfig.editing
    instructed: float = LanguageModelConfig.instructed
    held_out: int = 100

    def __post_init__(self) -> None:
        if not self.stages:
            raise MotionError("preset: has no stage, expected one or more")
        shares = (self.between, self.editing, self.instructed, *(stage.motion_weight for stage in self.stages))
        if self.kind == "vae" and any(shares):
            raise MotionError(
                "preset: between, editing, instructed and motion_weight are for codes, expected 0 of a VAE"
            )


def preset_names() -> list[str]:
    """The presets that ship."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> Preset:
    """A preset that ships, or one of a file in the layout of theirs; MotionError, one line, if there is none."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PRESETS / f"{name}.yaml"
    if name not in preset_names() and not (path.parent != PRESETS and path.is_file()):
        raise MotionError(
            f"--preset: '{name[:60]}' is unknown, expected one of {', '.join(preset_names())}, or a YAML file"
        )
    return from_dict(Preset, read_yaml(path), path)


def train_preset(command: TrainGenerator, name: str) -> int:
    """Train what is not there yet of a preset's tokenizer and stages; returns the exit code.

    MotionError, before anything is trained, if a stage cannot be, if the command says what is the preset's to say, and
    if the folder holds another generator, stages of another preset, or of this one on other data.
    """
    from .train_generator import TRAINED, TrainGenerator

    preset, plain = read_preset(name), TrainGenerator(command.out)
    own = [one.name for one in fields(plain) if one.name not in BESIDE]
    told = [one for one in own if getattr(command, one) != getattr(plain, one)]
    if told:
        raise MotionError(f"--preset {name}: says {', '.join(told)} itself, expected no such option beside it")
    tokenizer, stages = _commands(command, preset)
    _check(preset, command.tokenizer, [tokenizer, *stages])
    out = writable_folder(command.out)
    given = None if command.tokenizer is None else str(command.tokenizer.resolve())
    source = {field: value for field, value in asdict(command.source).items() if field != "workers"}
    wanted = _plain({"preset": asdict(preset), "source": source, "tokenizer": given, "threads": command.threads})
    if (out / MADE_BY).is_file():
        check_same(out, read_json(out / MADE_BY), wanted, "a training")
    elif (out / "config.json").exists():
        raise MotionError(f"{out}: holds a generator that no preset trained, expected another folder")
    else:
        write_json(out / MADE_BY, wanted)
    worst = 0
    if command.tokenizer is None and not (tokenizer.out / "train_tokenizer.json").is_file():
        say(f"{name}: tokenizer")
        worst = tokenizer.run()
    for number, stage in enumerate(stages, 1):
        if not (stage.out / TRAINED).is_file():
            say(f"{name}: stage {number} of {len(stages)}")
            worst = max(worst, stage.run())
    return worst


def _commands(command: TrainGenerator, preset: Preset) -> tuple[TrainTokenizer, list[TrainGenerator]]:
    """What trains the preset's tokenizer, and what trains each of its stages."""
    from .train_generator import TrainGenerator, TrainTokenizer

    tokenizer = TrainTokenizer(
        command.tokenizer or command.out / "tokenizer",
        command.source,
        preset.codes,
        preset.tokenizer_budget,
        threads=command.threads,
        wandb=command.wandb,
        held_out=preset.held_out,
        kind=preset.kind,
        vae=preset.vae,
    )
    stages: list[TrainGenerator] = []
    for number, stage in enumerate(preset.stages, 1):
        stages.append(
            TrainGenerator(
                command.out if number == len(preset.stages) else command.out / f"stage{number}",
                None if stages else tokenizer.out,
                start=stages[-1].out if stages else None,
                source=command.source,
                backbone=preset.backbone,
                adapt=stage.adapt,
                size=preset.size,
                dual_tower=preset.dual_tower,
                tower=preset.tower,
                head=preset.head,
                text_encoder=preset.text_encoder,
                pattern=preset.pattern,
                between=preset.between,
                editing=preset.editing,
                instructed=preset.instructed,
                to_text=stage.to_text,
                motion_weight=stage.motion_weight,
                budget=stage.budget,
                threads=command.threads,
                wandb=command.wandb,
            )
        )
    return tokenizer, stages


def _check(preset: Preset, tokenizer: Path | None, commands: Sequence[TrainTokenizer | TrainGenerator]) -> None:
    """MotionError for what would end a stage only after those before it were trained."""
    from morphloop.generator import holds_vae
    from morphloop.language import find_pretrained, load_text_encoder

    for command in commands:
        check(command)
        command.check()
    if tokenizer is not None and holds_vae(tokenizer) != (preset.kind == "vae"):
        raise MotionError(f"--tokenizer {tokenizer}: the preset's kind is {preset.kind}, expected one of that kind")
    if preset.backbone is not None:
        find_pretrained(preset.backbone, "backbone")
    if preset.text_encoder is not None:
        load_text_encoder(preset.text_encoder)


def _plain(value: object) -> dict[str, object]:
    """A tree of values as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
