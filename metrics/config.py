"""How a batch of files is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from morphloop.motion.config import ReadingConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ReadingConfig):
    """How a batch is measured."""

    ground: Literal["as-is", "lowest", "robust"] = "as-is"
    """Where the ground is: z = 0 of the file, the clip's lowest point, or a low percentile of it."""
    body: str | None = None
    """Body to measure on: a robot's MJCF or a SMPL model file; the built-in SMPL body if left out."""
    reference: Path | None = None
    """Folder of references; each clip is compared with the one of its file name, which is its `before`."""
    wrench: bool = True
    """Measure the residual wrench, which takes half of the time."""
    workers: int | None = None
    """Worker processes; one a core if left out (a handful of files: none), 0 for none."""
