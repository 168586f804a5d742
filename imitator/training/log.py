"""What a training tells while it runs: a row an update in log.jsonl, scalars to TensorBoard where it is installed, and
curves to whoever listens (`base/curves.py`)."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from morphloop.base import write_atomic
from morphloop.base.curves import tell_curves

LOG_FILE = "log.jsonl"
WEIGHTS_FILE = "weights.json"
SHOWN_SEGMENTS = 10
TENSORBOARD_FOLDER = "tensorboard"
log = logging.getLogger("morphloop.training")


class TrainingLog:
    """Rows of one training. What a killed run wrote after its last checkpoint is taken out: it is done again.

    folder: where log.jsonl and the folder of TensorBoard events are; env_steps: where the training goes on.
    """

    def __init__(self, folder: Path, env_steps: int):
        self.path = folder / LOG_FILE
        kept = [row for row in read_log(folder) if row["env_steps"] <= env_steps]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomic(self.path, lambda stream: stream.write(text.encode()))
        self.writer = _summary_writer(folder / TENSORBOARD_FOLDER, env_steps + 1)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; numbers that are none become null."""
        known = {name: value if value is None or math.isfinite(value) else None for name, value in row.items()}
        with self.path.open("a") as stream:
            stream.write(json.dumps(known) + "\n")
        curves = {_tag(name): value for name, value in known.items() if value is not None}
        tell_curves(int(row["env_steps"]), curves)
        if self.writer is not None:
            for tag, value in curves.items():
                self.writer.add_scalar(tag, value, int(row["env_steps"]))

    def show_weights(self, weights: torch.Tensor, hardest: list[Segment], env_steps: int) -> None:
        """Tell TensorBoard how starts are spread: weights (S,) of the segments, 1 for an even share; the hardest."""
        if self.writer is not None:
            self.writer.add_histogram("train/weights", (weights * len(weights)).cpu(), env_steps)
            self.writer.add_text("train/hardest", "\n".join(f"- {segment}" for segment in hardest), env_steps)

    def close(self) -> None:
        """Write out what TensorBoard still holds back."""
        if self.writer is not None:
            self.writer.close()


@dataclass(frozen=True)
class Segment:
    """A second of a clip: its failure rate, and its weight in draws over an even share."""

    clip: str
    start_s: float
    failure: float
    weight: float

    def __str__(self) -> str:
        return f"{self.clip} from {self.start_s:g} s: fails {self.failure:.2f}, drawn {self.weight:.1f} times as often"


def hardest_segments(folder: Path, count: int = SHOWN_SEGMENTS) -> list[Segment]:
    """The segments that fail most by a training's weights.json, worst first, of those that were played; none before its
    first checkpoint."""
    path = folder / WEIGHTS_FILE
    if not path.exists():
        return []
    table = json.loads(path.read_text())
    seen = table.get("seen", [math.inf] * len(table["clip"]))  # files of before it was counted
    rows = zip(table["clip"], table["start_s"], table["failure"], table["weight"], seen, strict=True)
    even, names = 1.0 / len(table["clip"]), table["names"]
    found = [
        Segment(names[clip], start, failure, weight / even) for clip, start, failure, weight, told in rows if told > 0
    ]
    return sorted(found, key=lambda segment: -segment.failure)[:count]


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Rows of a training's log, none if there is no file; a last line that a kill cut short is passed over."""
    path = folder / LOG_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                log.warning("%s:%d: not a row, passed over", path, number)
    return [row for row in rows if "env_steps" in row]


def _tag(name: str) -> str:
    """A figure's name among curves: `test/success`, `train/reward`."""
    return name.replace("test_", "test/", 1) if name.startswith("test_") else f"train/{name}"


def _summary_writer(folder: Path, step: int) -> Any:
    """TensorBoard's writer that forgets what is later than `step`, None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # takes seconds to load
    except ImportError:
        log.warning(
            "TensorBoard is not installed, curves go to %s alone; expected: pip install 'morphloop[train]'", LOG_FILE
        )
        return None
    return SummaryWriter(str(folder), purge_step=step)
