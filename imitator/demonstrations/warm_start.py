"""Warm start of a training: an expert's demonstrations of clips and variations of them, distilled into a first policy.

PPO from nothing is too slow for two cores; iLQR tracks almost every clip, at seconds of computing a second of motion.
What it shows on a few hundred clips, with gains beside, a policy learns in half an hour (`distil.py`). The folder gets
`demonstrations/`, `distillation.jsonl` (a row an update), `warm_start.json` (what it is made of) and
`warm_start.safetensors`. A killed recording goes on where it was; distillation, which is the shorter part, begins anew.
Both count: demonstrations and updates; a time limit is an abort, and `stopped.json` says what it cut short.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from morphloop.base import MotionError, write_json
from morphloop.base.still_valid import basis, check_same, hash_json
from morphloop.base.threads import fixed_threads, held_threads
from morphloop.base.time_limit import TimeLimit
from morphloop.envs import Reference, make_reference
from morphloop.motion import Clip
from morphloop.sim import Body

from ..projection.rollouts import rollouts_in_batches
from ..training.policy import Policy, load_policy, new_policy
from ..training.references import make_references
from .config import FURTHER, DistilConfig, WarmStartConfig
from .demonstrations import (
    Demonstration,
    OnDemonstration,
    load_demonstrations,
    record_demonstrations,
)
from .distil import distil
from .update import evaluate_policy
from .variations import variations

training_log = logging.getLogger("morphloop.training")

FOLDER, LOG_FILE, WARM_START_FILE = "demonstrations", "distillation.jsonl", "warm_start.safetensors"
MADE_OF, CLOCK, STOPPED = "warm_start.json", "recorded.json", "stopped.json"
EVALUATIONS = 6
"""Times that the policy is evaluated on the way."""

FAILED_TO_DONE = 4
"""Clips that a policy fails to one that it does not, in what it is taught on."""

CODE = ("motion", "sim", "metrics", "envs", "imitator")
"""What a warm start's result rests on."""
FREE = tuple(f"config.{name}" for name in ("demonstrations", "record_s", "distil_s", "workers"))
"""What may differ when a warm start is taken up."""


@fixed_threads()
def warm_start(
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    out: Path,
    body: Body,
    config: WarmStartConfig | None = None,
    on_demonstration: OnDemonstration = lambda name, steps, why: None,
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
    _check_folder(out, clips, config, body, start)
    if path.exists():
        return load_policy(path, body)
    demonstrations, fewer = _recorded(clips, out, body, config, on_demonstration, start)
    tests = [make_reference(clip, body, config.conditioning) for clip in held_out]
    policy = new_policy(body, config.hidden, config.seed) if start is None else start.copy()
    how = config.distil if config.distil is not None else DistilConfig() if start is None else FURTHER
    due = {max(1, how.updates * (k + 1) // EVALUATIONS) for k in range(EVALUATIONS)}
    limit, done = TimeLimit(config.distil_s), 0
    with (out / LOG_FILE).open("w") as log:

        def told(row: dict[str, Any], last: bool = False) -> None:
            nonlocal done
            done = row["update"]
            if tests and (last or done in due):
                figures = evaluate_policy(policy, tests, body)
                row |= {f"test_{name}": value for name, value in figures.items()}
            log.write(json.dumps(row) + "\n")
            on_update(row)

        distil(policy, demonstrations, body, replace(how, seed=config.seed), told, limit.go_on)
        if limit.struck:
            told({"update": done}, last=True)
    stops = [stop for stop in (fewer, limit.told(done, how.updates, "updates")) if stop is not None]
    if stops:
        write_json(out / STOPPED, {"stopped": stops})
        training_log.warning("%s: %s", out, "; ".join(stops))
    policy.save(path)
    return policy


def _check_folder(out: Path, clips: Sequence[Clip], config: WarmStartConfig, body: Body, start: Policy | None) -> None:
    """MotionError naming the first thing in which the warm start in a folder differs from the one asked for."""
    inputs = {"clips": hash_json([clip.id for clip in clips]), "body": body.hash, "start": start and start.hash}
    told, path = basis(CODE, inputs, asdict(config) | {"threads": held_threads()}), out / MADE_OF
    if not path.exists():
        write_json(path, told)
    check_same(path, json.loads(path.read_text()), told, "a warm start", FREE)


def _recorded(
    clips: Sequence[Clip],
    out: Path,
    body: Body,
    config: WarmStartConfig,
    on_demonstration: OnDemonstration,
    start: Policy | None,
) -> tuple[list[Demonstration], str | None]:
    """Demonstrations of the clips and their variations, as many as are asked for, and what a time limit cut short, if
    it did; time spent before a kill counts."""
    folder, clock = out / FOLDER, out / FOLDER / CLOCK
    order = training_order(clips, config, body)
    wanted = make_references(order, body, config.conditioning, config.workers)
    if start is not None:
        wanted = failing_first(start, wanted, body)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    limit = TimeLimit(config.record_s, json.loads(clock.read_text())["seconds"] if clock.exists() else 0.0)

    def told(name: str, steps: int | None, why: str | None) -> None:
        write_json(clock, {"seconds": limit.spent})
        on_demonstration(name, steps, why)

    wanted = wanted[: config.demonstrations]
    paths = record_demonstrations(
        wanted, folder, body, config.expert, config.workers, go_on=limit.go_on, on_demonstration=told
    )
    demonstrations = load_demonstrations(wanted, folder, body)
    if not demonstrations:
        raise MotionError(f"{folder}: the expert could track none of {len(wanted)} clips")
    return demonstrations, limit.told(len(paths), len(wanted), "demonstrations")


def failing_first(policy: Policy, references: Sequence[Reference], body: Body) -> list[Reference]:
    """References, `FAILED_TO_DONE` that the policy fails to one that it does not, else in their order: what it can do
    is shown as well, so that it is not unlearned."""
    rollouts = rollouts_in_batches(policy, references, body)
    pairs = [*zip(rollouts, references, strict=True)]
    failed = [each for rollout, each in pairs if rollout.num_frames != each.num_frames]
    done = [each for rollout, each in pairs if rollout.num_frames == each.num_frames]
    mixed: list[Reference] = []
    while failed or done:
        mixed += failed[:FAILED_TO_DONE] + done[:1]
        failed, done = failed[FAILED_TO_DONE:], done[1:]
    return mixed


def training_order(clips: Sequence[Clip], config: WarmStartConfig, body: Body) -> list[Clip]:
    """The clips and their variations by turns, so that a recording that is cut short holds of both."""
    more = variations(clips, round(config.variations * len(clips)), config.seed, config.augment, body)
    places = [((k + 0.5) / len(group), clip) for group in (clips, more) for k, clip in enumerate(group)]
    return [clip for _, clip in sorted(places, key=lambda item: item[0])]
