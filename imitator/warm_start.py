"""Warm start of a training: an expert's tapes of the clips and of variations of them, distilled into a first policy.

PPO from nothing is too slow for two cores; iLQR tracks almost every clip, at seconds of computing a second of motion.
What it shows on a few hundred clips, with gains beside, a policy learns in half an hour (`tapes.py`, `distil.py`).
The folder gets `tapes/`, `distillation.jsonl` (a row an update) and `warm_start.safetensors`. A killed recording goes
on where it was; distillation, which is the shorter part, begins anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from morphloop.envs import prepare
from morphloop.motion import Clip, MotionError
from morphloop.sim import Body

from .augment import AugmentConfig, variations
from .distil import DistilConfig, distil
from .policy import Policy, load_policy, new_policy
from .tapes import TapeConfig, load_tape, record_tapes
from .update import evaluate_policy

TAPES, LOG_FILE, WARM_START_FILE = "tapes", "distillation.jsonl", "warm_start.safetensors"
EVALUATIONS = 6
"""Times that the policy is evaluated on the way."""


@dataclass(frozen=True)
class WarmStartConfig:
    """How a first policy is made."""

    tape_s: float = 3600.0
    """Seconds of recording at most."""
    distil_s: float = 1800.0
    """Seconds of distillation."""
    variations: float = 1.0
    """Variations of clips, for each clip."""
    hidden: tuple[int, ...] = (384, 256)
    """Widths of the policy's layers."""
    seed: int = 0
    workers: int | None = None
    """Processes that record; one a core if None."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tapes: TapeConfig = field(default_factory=TapeConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)


def warm_start(
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    out: Path,
    body: Body,
    config: WarmStartConfig | None = None,
    on_tape: Callable[[str, int], None] = lambda name, ticks: None,
    on_update: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Policy:
    """A policy taught by an expert on `clips` and variations of them, kept in folder `out`; the one there if it is.

    held_out: clips that it is evaluated on along the way. Some rows that on_update is told carry `test_` figures.
    MotionError if a clip cannot be prepared or the expert could track none.
    """
    config, path = config or WarmStartConfig(), out / WARM_START_FILE
    if path.exists():
        return load_policy(path, body)
    wanted = [prepare(clip, body) for clip in training_order(clips, config)]
    began = time.monotonic()
    paths = record_tapes(
        wanted,
        out / TAPES,
        body,
        config.tapes,
        config.workers,
        go_on=lambda: time.monotonic() < began + config.tape_s,
        on_tape=on_tape,
    )
    tapes = [tape for each in paths if (tape := load_tape(each, body)) is not None]
    if not tapes:
        raise MotionError(f"{out / TAPES}: the expert could track none of {len(wanted)} clips")
    tests = [prepare(clip, body) for clip in held_out]
    policy = new_policy(body, config.hidden, config.seed)
    due = [config.distil_s * (k + 1) / EVALUATIONS for k in range(EVALUATIONS - 1)]
    with (out / LOG_FILE).open("w") as log:

        def told(row: dict[str, Any]) -> None:
            if tests and due and row["seconds"] >= due[0]:
                due.pop(0)
                row |= {f"test_{name}": value for name, value in evaluate_policy(policy, tests, body).items()}
            log.write(json.dumps(row) + "\n")
            on_update(row)

        distil(policy, tapes, body, config.distil_s, replace(config.distil, seed=config.seed), told)
    policy.save(path)
    return policy


def training_order(clips: Sequence[Clip], config: WarmStartConfig) -> list[Clip]:
    """The clips and their variations by turns, so that a recording that is cut short holds of both."""
    more = variations(clips, round(config.variations * len(clips)), config.seed, config.augment)
    places = [((k + 0.5) / len(group), clip) for group in (clips, more) for k, clip in enumerate(group)]
    return [clip for _, clip in sorted(places, key=lambda item: item[0])]
