"""Warm start of a training: an expert's tapes of the clips and of variations of them, distilled into a first policy.

PPO from nothing is too slow for two cores; iLQR tracks almost every clip, at seconds of computing a second of motion.
What it shows on a few hundred clips, with gains beside, a policy learns in half an hour (`tapes.py`, `distil.py`).
The folder gets `tapes/`, `distillation.jsonl` (a row an update), `warm_start.json` (what it is made of) and
`warm_start.safetensors`. A killed recording goes on where it was, its clock too; distillation, which is the shorter
part, begins anew, and since its budget is time, a second one is not the same to the byte.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from morphloop.envs import prepare
from morphloop.envs.conditioning import ConditioningConfig
from morphloop.motion import Clip, MotionError, write_json
from morphloop.sim import Body

from .augment import AugmentConfig, variations
from .distil import FURTHER, DistilConfig, distil
from .policy import Policy, load_policy, new_policy
from .projection import EASE, rollouts_in_batches
from .references import references
from .tapes import OnTape, Tape, TapeConfig, load_tape, record_tapes
from .update import evaluate_policy

TAPES, LOG_FILE, WARM_START_FILE = "tapes", "distillation.jsonl", "warm_start.safetensors"
MADE_OF, CLOCK = "warm_start.json", "recorded.json"
EVALUATIONS = 6
"""Times that the policy is evaluated on the way."""

FAILED_TO_DONE = 4
"""Clips that a policy fails to one that it does not, in what it is taught on."""

BUDGETS = ("tape_s", "distil_s", "workers")
"""What may differ when a warm start is taken up."""


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
    conditioning: ConditioningConfig = EASE
    """Which help the clips get before they are tracked, as in projection."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tapes: TapeConfig = field(default_factory=TapeConfig)
    distil: DistilConfig | None = None
    """As `DistilConfig` has it if None, and as `FURTHER` where a policy that is there is taught."""


def warm_start(
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    out: Path,
    body: Body,
    config: WarmStartConfig | None = None,
    on_tape: OnTape = lambda name, ticks, why: None,
    on_update: Callable[[dict[str, Any]], None] = lambda row: None,
    start: Policy | None = None,
) -> Policy:
    """A policy taught by an expert on `clips` and variations of them, kept in folder `out`; the one there if it is.

    held_out: clips that it is evaluated on along the way and at the end: rows with `test_` figures; start: a policy
    whose copy is taught instead of a new one; what it fails is recorded first. MotionError if a clip cannot be
    prepared, the expert could track none, or the folder holds a warm start of other clips, options, another beginning
    or another body.
    """
    config, path = config or WarmStartConfig(), out / WARM_START_FILE
    _check_same(out, clips, config, body, start)
    if path.exists():
        return load_policy(path, body)
    tapes = _recorded(clips, out, body, config, on_tape, start)
    tests = [prepare(clip, body) for clip in held_out]
    policy = new_policy(body, config.hidden, config.seed) if start is None else start.copy()
    due = [config.distil_s * (k + 1) / EVALUATIONS for k in range(EVALUATIONS - 1)]
    with (out / LOG_FILE).open("w") as log:

        def told(row: dict[str, Any], now: bool = False) -> None:
            if tests and (now or (due and row["seconds"] >= due[0])):
                del due[:1]
                figures = evaluate_policy(policy, tests, body, config.conditioning)
                row |= {f"test_{name}": value for name, value in figures.items()}
            log.write(json.dumps(row) + "\n")
            on_update(row)

        how = config.distil if config.distil is not None else DistilConfig() if start is None else FURTHER
        distil(policy, tapes, body, config.distil_s, replace(how, seed=config.seed), told)
        told({"seconds": config.distil_s}, now=True)
    policy.save(path)
    return policy


def _check_same(out: Path, clips: Sequence[Clip], config: WarmStartConfig, body: Body, start: Policy | None) -> None:
    """MotionError naming the first thing in which the warm start in a folder differs from the one asked for."""
    ids = hashlib.sha256("".join(clip.id for clip in clips).encode()).hexdigest()[:16]
    told = {name: value for name, value in asdict(config).items() if name not in BUDGETS}
    told |= {"clips": ids, "body": body.hash, "start": None if start is None else start.hash}
    told = json.loads(json.dumps(told))
    if not (out / MADE_OF).exists():
        write_json(out / MADE_OF, told)
    had = json.loads((out / MADE_OF).read_text())
    for name in sorted(told.keys() | had.keys()):
        if told.get(name) != had.get(name):
            raise MotionError(
                f"{out}: holds a warm start with {name} = {had.get(name)}, asked for {told.get(name)}; expected the "
                "same, or another folder"
            )


def _recorded(
    clips: Sequence[Clip], out: Path, body: Body, config: WarmStartConfig, on_tape: OnTape, start: Policy | None
) -> list[Tape]:
    """The tapes of the clips and their variations, as many as there is time for; time spent before a kill counts."""
    folder, clock = out / TAPES, out / TAPES / CLOCK
    wanted = [one.clip for one in references(training_order(clips, config), body, config.conditioning, config.workers)]
    if start is not None:
        wanted = failing_first(start, wanted, body)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    before = json.loads(clock.read_text())["seconds"] if clock.exists() else 0.0
    began = time.monotonic()

    def spent() -> float:
        return before + time.monotonic() - began

    def told(name: str, ticks: int | None, why: str | None) -> None:
        write_json(clock, {"seconds": spent()})
        on_tape(name, ticks, why)

    paths = record_tapes(
        wanted, folder, body, config.tapes, config.workers, go_on=lambda: spent() < config.tape_s, on_tape=told
    )
    tapes = [tape for path in paths if (tape := load_tape(path, body)) is not None]
    if not tapes:
        raise MotionError(f"{folder}: the expert could track none of {len(wanted)} clips")
    return tapes


def failing_first(policy: Policy, ready: Sequence[Clip], body: Body) -> list[Clip]:
    """Clips that are ready to be tracked, `FAILED_TO_DONE` that the policy loses to one that it does not, else in their
    order: what it can do is shown as well, so that it is not unlearned."""
    rollouts = rollouts_in_batches(policy, ready, body)
    done = [rollout.num_frames == clip.num_frames for rollout, clip in zip(rollouts, ready, strict=True)]
    lost, rest = ([clip for clip, kind in zip(ready, done, strict=True) if kind is which] for which in (False, True))
    mixed: list[Clip] = []
    while lost or rest:
        mixed += lost[:FAILED_TO_DONE] + rest[:1]
        lost, rest = lost[FAILED_TO_DONE:], rest[1:]
    return mixed


def training_order(clips: Sequence[Clip], config: WarmStartConfig) -> list[Clip]:
    """The clips and their variations by turns, so that a recording that is cut short holds of both."""
    more = variations(clips, round(config.variations * len(clips)), config.seed, config.augment)
    places = [((k + 0.5) / len(group), clip) for group in (clips, more) for k, clip in enumerate(group)]
    return [clip for _, clip in sorted(places, key=lambda item: item[0])]
