"""The loop: N rounds of generate, imitate, project, measure, select, finetune, in one folder that can be resumed.

Morph (arXiv 2411.14951): the imitator learns on the generator's own clips, its projections fine-tune the generator.
Each round hands the next one its generator (the tuned one, unless the guard rolled it back) and its policy.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from morphloop.base import MotionError
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.generator import FolderGenerator, Generator, load_generator
from morphloop.imitator import Policy

from . import steps
from .config import LoopConfig, read_config, write_config
from .guard_samples import GUARD_FOLDER, HeldOut
from .ledger import append_event, open_own
from .stages import Finished, run_stage
from .status import CONFIG, REPORT, RoundResult, round_folder

Watch = Callable[[str, int, int], None]
"""Told of progress: "round 1: project", how many are done, of how many."""


@dataclass(frozen=True)
class _State:
    """What one round hands to the next; start (the first generator) and held_out (the guard's questions) stay."""

    generator: Generator
    policy: Policy | None
    start: Generator
    held_out: HeldOut


def start_run(run: Path, config: LoopConfig, watch: Watch) -> list[RoundResult]:
    """Run all rounds in a folder, or go on with them. Returns every round, finished now or before."""
    with run_lock(run), fixed_threads(config.threads):
        start = _open_generator(config)
        state = _State(start, steps.open_policy(config.policy), start, _held_out(run, config))
        sweep(run)
        write_config(run, config)
        append_event(run, "run", rounds=config.rounds)
        results = []
        for number in range(config.rounds):
            result, state = _run_round(run, number, config, state, watch)
            results.append(result)
        append_event(run, "done")
        return results


def sweep(run: Path) -> None:
    """Take away what a run that was killed had half written beside its rounds."""
    ours = [f".{name}.*.tmp" for name in (CONFIG, REPORT)] + [f"{GUARD_FOLDER}/.*.tmp"]
    for leftover in (path for pattern in ours for path in run.glob(pattern)):
        leftover.unlink()


def resume_run(run: Path, watch: Watch) -> list[RoundResult]:
    """Go on with a run where it was left; finished stages and finished clips are not done again."""
    return start_run(run, read_config(run), watch)


def _run_round(run: Path, number: int, config: LoopConfig, state: _State, watch: Watch) -> tuple[RoundResult, _State]:
    home, done = round_folder(run, number), dict[str, Finished]()

    def stage(name: str, inputs: dict[str, Any], settings: dict[str, Any], work: Callable[..., dict[str, Any]]) -> Path:
        label = f"round {number}: {name}"
        parts = 1
        watch(label, 0, parts)

        def tick(count: int, total: int) -> None:
            nonlocal parts
            parts = total
            watch(label, count, total)

        seed = stage_seed(config.seed, number, name)
        done[name] = run_stage(home, name, inputs, settings, seed, lambda folder: work(folder, seed, tick))
        watch(label, parts, parts)
        return done[name].folder

    generator, policy = state.generator, state.policy
    prompts = _prompts(generator, config)
    generated = stage(
        "generate",
        {"generator": generator.hash()},
        {"prompts": prompts, "seconds": list(config.seconds), "fps": config.fps},
        lambda folder, seed, tick: steps.generate(folder, generator, prompts, config.seconds, number, seed, tick),
    )
    clips = steps.generated_clips(generated)
    made = done["generate"].hash
    imitated = stage(
        "imitate",
        {"clips": made, "policy": _hash(policy)},
        asdict(config.imitate)
        | {"conditioning": asdict(config.projection.conditioning), "limit_s": config.imitate_budget_s},
        lambda folder, seed, tick: steps.imitate(folder, clips, policy, config, seed),
    )
    policy_file = imitated / steps.POLICY_FILE
    updated = steps.open_policy(policy_file) if policy_file.exists() else policy
    projected = stage(
        "project",
        {"clips": made, "policy": _hash(updated)},
        asdict(config.projection) | {"selection": asdict(config.selection), "rescue": asdict(config.rescue)},
        lambda folder, seed, tick: steps.project(folder, clips, updated, config, number, tick),
    )
    measured = stage(
        "measure",
        {"projected": done["project"].hash},
        {},
        lambda folder, seed, tick: steps.measure_all(folder, projected, tick),
    )
    selected = stage(
        "select",
        {"measured": done["measure"].hash},
        asdict(config.selection),
        lambda folder, seed, tick: steps.select(folder, measured),
    )
    guarded = {"guard_prompts": config.guard_prompts, "guard_samples": config.guard_samples}
    guarded |= {"seconds": list(config.seconds), "known": list(config.prompts)}
    tuned = stage(
        "finetune",
        {
            "selected": done["select"].hash,
            "projected": done["project"].hash,
            "generator": generator.hash(),
            "start": state.start.hash(),
        },
        asdict(config.finetune) | guarded,
        lambda folder, seed, tick: steps.finetune(
            folder, projected, selected, generator, state.start, state.held_out, config, seed, tick
        ),
    )
    keep = done["finetune"].manifest["notes"].get("rolled_back") is False
    following = load_generator(tuned / steps.GENERATOR_FOLDER) if keep else generator
    return RoundResult(number, done), replace(state, generator=following, policy=updated)


def stage_seed(seed: int, number: int, name: str) -> int:
    """A seed of its own for every stage of every round, from the run's."""
    return int(hash_json([seed, number, name])[:7], 16)


def _held_out(run: Path, config: LoopConfig) -> HeldOut:
    """What the guard asks in every round of a run; the run's own prompts are none of it."""
    seed, known = stage_seed(config.seed, 0, "guard"), frozenset(config.prompts)
    return HeldOut(config.guard_prompts, config.guard_samples, seed, config.seconds, known, run / GUARD_FOLDER)


def _hash(policy: Policy | None) -> str | None:
    return None if policy is None else policy.hash


def _open_generator(config: LoopConfig) -> Generator:
    if config.clips is not None:
        return FolderGenerator(config.clips, config.fps)
    return load_generator(str(config.generator))


def _prompts(generator: Generator, config: LoopConfig) -> list[str]:
    """The run's prompts; a folder of outputs without any is asked for all that it has."""
    if isinstance(generator, FolderGenerator) and not config.prompts:
        return generator.prompts
    return list(config.prompts)


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """One process a run: two would share partial folders."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MotionError(f"{run}: cannot write here ({error.strerror}), choose a writable folder") from None
    with os.fdopen(open_own(run / ".lock", os.O_RDWR), "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MotionError(f"{run}: another morphloop is at work on this run, wait for it or stop it") from None
        yield
