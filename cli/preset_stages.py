"""`morphloop train generator --preset NAME`: a published design as a file of configuration, trained stage by stage.

A preset names the parts (tokenizer or VAE, pattern, towers, head) and its stages, each of which is a `train generator`
of its own that goes on from the one before. Every stage leaves a whole generator, `stage1` and so on; the last one lies
in the folder itself. What is finished is not trained again, what was killed goes on from its checkpoint. A preset more
is a file more in `presets/`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
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

from .config import read_yaml
from .console import writable_folder

if TYPE_CHECKING:
    from .train_generator import TrainGenerator

PRESETS = Path(__file__).parent / "presets"
MADE_BY = "preset.json"
"""What a folder's stages are trained by, written first."""


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
    held_out: int = 100

    def __post_init__(self) -> None:
        if not self.stages:
            raise MotionError("preset: has no stage, expected one or more")


def preset_names() -> list[str]:
    """The presets that ship."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> Preset:
    """A preset that ships, or one of a file in the layout of theirs; MotionError, one line, if there is none."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PRESETS / f"{name}.yaml"
    if name not in preset_names() and not (path.parent != PRESETS and path.is_file()):
        raise MotionError(f"--preset: '{name[:60]}' is unknown, expected one of {', '.join(preset_names())}, or a file")
    return from_dict(Preset, read_yaml(path), path)


def train_preset(command: TrainGenerator, name: str) -> int:
    """Train what is not there yet of a preset's tokenizer and stages; returns the exit code.

    MotionError if the folder holds stages of another preset, or of this one on other data.
    """
    from .train_generator import TRAINED, TrainGenerator, TrainTokenizer

    preset = read_preset(name)
    if command.start is not None:
        raise MotionError("--start: a preset's stages go on from one another, leave it out")
    out = writable_folder(command.out)
    given = None if command.tokenizer is None else str(command.tokenizer.resolve())
    source = {field: value for field, value in asdict(command.source).items() if field != "workers"}
    wanted = _plain({"preset": asdict(preset), "source": source, "tokenizer": given, "threads": command.threads})
    if (out / MADE_BY).is_file():
        check_same(out, read_json(out / MADE_BY), wanted, "a training")
    else:
        write_json(out / MADE_BY, wanted)
    tokenizer, worst = command.tokenizer or out / "tokenizer", 0
    if command.tokenizer is None and not (tokenizer / "train_tokenizer.json").is_file():
        say(f"{name}: tokenizer")
        training = TrainTokenizer(
            tokenizer,
            command.source,
            preset.codes,
            preset.tokenizer_budget,
            threads=command.threads,
            held_out=preset.held_out,
            kind=preset.kind,
            vae=preset.vae,
        )
        worst = training.run()
    before = None
    for number, stage in enumerate(preset.stages, 1):
        folder = out if number == len(preset.stages) else out / f"stage{number}"
        if not (folder / TRAINED).is_file():
            say(f"{name}: stage {number} of {len(preset.stages)}")
            training = TrainGenerator(
                folder,
                tokenizer if before is None else None,
                start=before,
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
                to_text=stage.to_text,
                motion_weight=stage.motion_weight,
                budget=stage.budget,
                threads=command.threads,
            )
            worst = max(worst, training.run())
        before = folder
    return worst


def _plain(value: object) -> dict[str, object]:
    """A tree of values as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
