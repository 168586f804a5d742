"""What the loop knows of a generator, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from morphloop.base import MotionError
from morphloop.motion import Clip

Seconds = tuple[float, float]
"""Shortest and longest motion, seconds."""
SECONDS: Seconds = (3.0, 4.0)
"""What clips are long unless somebody asks for another length."""
MAX_STEPS, MAX_BATCH = 1_000_000, 4096


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
    seed: int = 0
    """Of the batches."""

    @property
    def from_replay(self) -> int:
        """Clips of every batch that are replay."""
        return round(self.batch * self.replay_share)

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


@dataclass(frozen=True)
class FinetuneReport:
    """What a fine-tuning did. Losses are nats a token, text to motion, on the named clips; null without such clips."""

    accepted: int
    replay: int
    steps: int
    accepted_loss_before: float
    accepted_loss_after: float
    replay_loss_before: float | None
    replay_loss_after: float | None
    stopped: str | None = None
    """What a time limit cut short, in words."""


@runtime_checkable
class Generator(Protocol):
    """Prompts to clips, and a better generator from clips that physics accepted.

    can_finetune: False for a generator whose weights are not here; its `finetune` raises MotionError.
    report: of the fine-tuning that made this generator, None if none did.
    """

    can_finetune: bool
    report: FinetuneReport | None

    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = SECONDS) -> list[Clip]:
        """A clip for each prompt, at its own frame rate on the default skeleton. The same seed gives the same bytes."""
        ...

    def finetune(self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig = ...) -> Generator:
        """A new generator, tuned; this one stays as it is. Clips carry their captions in `texts`.

        replay: earlier data, none of it shown again before all of it was.
        """
        ...

    def hash(self) -> str:
        """Content hash of all that decides what `generate` returns."""
        ...

    def save(self, folder: Path | str) -> Path:
        """Write what `load_generator` reads."""
        ...
