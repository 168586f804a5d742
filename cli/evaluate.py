"""`morphloop evaluate`: how bad is this motion?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .console import BAD_INPUT, DONE, progress_bars, writable_folder


@dataclass(frozen=True)
class Evaluate:
    """Measure how bad motion is: foot slide, float, penetration, unsupported flight, and errors against a reference.

    Clips with rotations are measured on the body's surface, joint positions on the joints; the two are never mixed.
    Exit code 2 if a file could not be read; the others are measured all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them."""
    ground: Literal["as-is", "lowest", "robust"] = "as-is"
    """Where the ground is: z = 0 of the file, the clip's lowest point, or a low percentile of it."""
    fps: float | None = None
    """Frame rate of files that cannot tell theirs."""
    body: str | None = None
    """Body to measure on: a robot's MJCF; the built-in SMPL body if left out."""
    reference: Path | None = None
    """Folder of references; each clip is compared with the one of its file name."""
    wrench: bool = True
    """Measure the residual wrench, which takes a third of the time."""
    workers: int | None = None
    """Worker processes; one a core if left out, 0 for none."""
    json: Path | None = None
    """Write every figure here."""

    def run(self) -> int:
        from morphloop.metrics.report import EvaluateConfig, evaluate, print_evaluation, write_evaluation

        if self.json is not None:
            writable_folder(self.json.parent)
        config = EvaluateConfig(self.ground, self.fps, self.body, self.reference, self.wrench, self.workers)
        with progress_bars() as watch:
            result = evaluate(self.paths, config, watch)
        print_evaluation(result)
        for row in result.failed:
            print(f"morphloop: {row['path']}: {row['reason']}", file=sys.stderr)
        if self.json is not None:
            write_evaluation(self.json, result)
        return BAD_INPUT if result.failed else DONE
