"""What the bench runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..projection.config import ProjectionConfig

Column = Literal["no_network", "policy", "auto"]


COLUMNS: tuple[Column, ...] = ("no_network", "policy", "auto")


@dataclass(frozen=True)
class BenchConfig:
    """What is run."""

    columns: tuple[Column, ...] = COLUMNS
    limit: int | None = None
    """Clips of a set at most, drawn by the seed when it is read."""
    seconds: float = 10.0
    """A clip's first so many seconds are tracked."""
    optimiser_seconds: float = 10.0
    """The same in column `auto`."""
    seed: int = 0
    """Of the draw of clips."""
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    """How clips are projected; the projector is the column's."""

    def seconds_of(self, column: Column) -> float:
        """How much of a clip a column tracks."""
        return self.optimiser_seconds if column == "auto" else self.seconds

    @property
    def longest(self) -> float:
        """How much of a clip any column tracks."""
        return max(self.seconds, self.optimiser_seconds)
