"""What an evaluator and its training can be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from morphloop.base import MotionError
from morphloop.base.budget import Budget


@dataclass(frozen=True)
class EvaluatorConfig:
    """Sizes of a text-motion evaluator."""

    embedding: int = 48
    """Numbers in an embedding: FID wants four motions for each."""
    width: int = 96
    """Of both transformers."""
    heads: int = 4
    """Of their attention."""
    motion_layers: int = 3
    """Transformer layers over the motion's frames."""
    text_layers: int = 1
    """The same over the text encoder's states."""
    dropout: float = 0.1
    """In training."""
    elapsed: bool = False
    """Whether the motion encoder sees at every frame how much of the motion is over."""
    reversed_order: bool = False
    """Whether a caption that names an order is shown its motion reversed in every batch of the training, and not only
    where that is drawn among the wrong changes."""

    def __post_init__(self) -> None:
        for name in ("embedding", "width", "heads", "motion_layers", "text_layers"):
            if getattr(self, name) < 1:
                raise MotionError(f"evaluator: {name} is {getattr(self, name)}, expected 1 or more")
        if self.width % (2 * self.heads) or not 0 <= self.dropout < 1:
            raise MotionError(
                f"evaluator: width {self.width} with {self.heads} heads and dropout {self.dropout}, expected an even "
                "number a head, and 0 or more and under 1"
            )

    def written(self) -> dict[str, Any]:
        """Plain values for files and hashes, without what an evaluator of before 2026-11-28 has as it had it."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value}


LATER = ("elapsed", "reversed_order")
"""Fields that came later, off in what was there before."""


EVALUATOR_BUDGET = Budget(steps=500, minutes=None, batch=48, learning_rate=1.5e-3, weight_decay=0.05)
