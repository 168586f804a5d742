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
    rank: bool = False
    """Order the clips by quality, best first, by a formula that is printed with it, and write which to drop."""
    text: bool = False
    """Score the clips against their captions too: R-precision, MM-Dist, FID, diversity, multimodality."""
    evaluator: Path | None = None
    """Folder of the text-motion evaluator for --text; the shipped one if left out."""
    real: Path | None = None
    """Real motion that --text compares with, files or a folder; the corpus's held-out split if left out."""
    workers: int | None = None
    """Worker processes; one a core if left out (a handful of files: none), 0 for none."""


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """How a data set is ordered, and what of it to drop."""

    rank_by: Literal["quality", "limmt"] = "quality"
    """What --rank orders by: our quality, or the score that LIMMT published; both are told."""
    drop_share: float = 0.1
    """Share of the clips to drop, lowest first, 0 to 1."""
    drop_under: float | None = None
    """Drop the clips under this score in its place; LIMMT keeps its own from 90 up."""
