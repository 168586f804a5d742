"""How long and how fast a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import MotionError


@dataclass(frozen=True)
class Budget:
    """How long and how fast to train."""

    steps: int
    """Optimiser steps."""
    minutes: float | None
    """Wall time after which the run is cut short, None for never; what it cuts short does not repeat to the byte."""
    batch: int
    """Examples a step."""
    learning_rate: float
    """Peak rate of AdamW."""
    weight_decay: float = 0.01
    """Of AdamW."""
    warmup: int = 50
    """Steps over which the rate rises."""
    seed: int = 0
    """Of the first weights and of every batch."""
    log_every: int = 50
    """Steps between log lines."""
    save_every: int = 500
    """Steps between checkpoints, where a checkpoint file is named."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise MotionError(f"training: {name} is {getattr(self, name)}, expected 1 or more")
        if not self.learning_rate > 0 or (self.minutes is not None and not self.minutes > 0):
            raise MotionError(
                f"training: learning rate {self.learning_rate}, minutes {self.minutes}, expected both over 0"
            )
