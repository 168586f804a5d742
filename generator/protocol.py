"""What the loop knows of a generator, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from morphloop.motion import Clip

from .config import SECONDS, FinetuneConfig, Seconds


@dataclass(frozen=True)
class FinetuneReport:
    """What a fine-tuning did. Losses are nats a token, text to motion, on the named clips; null without such clips.

    Motion errors (L1 of normalised features) and slide (mm/s) are of what the decoder makes of the clips' own codes;
    null where only a language model was tuned.
    """

    accepted: int
    replay: int
    steps: int
    accepted_loss_before: float
    accepted_loss_after: float
    replay_loss_before: float | None
    replay_loss_after: float | None
    stopped: str | None = None
    """What a time limit cut short, in words."""
    accepted_motion_l1_before: float | None = None
    accepted_motion_l1_after: float | None = None
    replay_motion_l1_before: float | None = None
    replay_motion_l1_after: float | None = None
    accepted_slide_before_mm_s: float | None = None
    accepted_slide_after_mm_s: float | None = None


@runtime_checkable
class Generator(Protocol):
    """Prompts to clips, and a better generator from clips that physics accepted.

    can_finetune: False for a generator whose weights are not here; its `finetune` raises MotionError.
    report: of the fine-tuning that made this generator, None if none did.
    """

    can_finetune: bool
    report: FinetuneReport | None

    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = SECONDS) -> list[Clip]:
        """A clip for each prompt, at its own frame rate on the default skeleton. The same seed gives the same bytes.

        A generator from outside may return fewer: those that came, each with its prompt in its provenance.
        """
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
