"""The loop: N rounds of generate, imitate, project, measure, select, finetune, in one folder that can be resumed.

Morph (arXiv 2411.14951): the imitator learns on the generator's own clips, its projections fine-tune the generator.
Each round hands the next one its generator (the tuned one, unless the guard rolled it back) and its policy.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from morphloop.base import MotionError
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.generator import FolderGenerator, Generator, load_generator
from morphloop.imitator import load_policy
from morphloop.metrics.text_motion.evaluator import shipped_evaluator
from morphloop.motion.config import ReadingConfig

from .config import LoopConfig, check_config, read_config, write_config
from .guard_samples import GUARD_FOLDER, HeldOut
from .ledger import append_event, open_own
from .round_state import RoundState
from .stages import STAGES, Finished, Stage, find_stage, run_stage
from .status import CONFIG, REPORT, RoundResult, round_folder

Watch = Callable[[str, int, int], None]
"""Told of progress: "round 1: project", how many are done, of how many."""


def start_run(run: Path, config: LoopConfig, watch: Watch) -> list[RoundResult]:
    """Run all rounds in a folder, or go on with them. Returns every round, finished now or before."""
    with run_lock(run), fixed_threads(config.threads):
        state = _first_state(run, config)
        sweep(run)
        write_config(run, config)
        append_event(run, "run", rounds=config.rounds)
        results = []
        for number in range(config.rounds):
            state = _run_round(replace(state, number=number, done={}), run, watch)
            results.append(RoundResult(number, state.done))
        append_event(run, "done")
        return results


@dataclass(frozen=True)
class RunAhead:
    """What a run would do now. state: where it begins or goes on, with the stages of that round that are finished;
    left: round and name of every stage that is not, in order; done: how many are."""

    state: RoundState
    left: tuple[tuple[int, str], ...]
    done: int


def look_ahead(run: Path, config: LoopConfig) -> RunAhead:
    """What `start_run` would do in a folder, which need not be there; nothing is written. MotionError as there."""
    check_config(run, config)
    with fixed_threads(config.threads):
        state, stages = _first_state(run, config), list(STAGES.values())
        ahead = [(number, stage) for number in range(config.rounds) for stage in stages]
        for done, (number, stage) in enumerate(ahead):
            if number != state.number:
                state = replace(state, number=number, done={})
            steps, seed = _steps(stage), stage_seed(config.seed, number, stage.name)
            place, inputs = round_folder(run, number), state.inputs(stage)
            found = find_stage(place, stage.name, inputs, steps.settings(state), seed)
            if found is None:
                return RunAhead(state, tuple((number, stage.name) for number, stage in ahead[done:]), done)
            state = _after(state, stage, found)
        return RunAhead(state, (), len(ahead))


def sweep(run: Path) -> None:
    """Take away what a run that was killed had half written beside its rounds."""
    ours = [f".{name}.*.tmp" for name in (CONFIG, REPORT)] + [f"{GUARD_FOLDER}/.*.tmp"]
    for leftover in (path for pattern in ours for path in run.glob(pattern)):
        leftover.unlink()


def resume_run(run: Path, watch: Watch) -> list[RoundResult]:
    """Go on with a run where it was left; finished stages and finished clips are not done again."""
    return start_run(run, read_config(run), watch)


def _run_round(state: RoundState, run: Path, watch: Watch) -> RoundState:
    """Every stage of a round in order; the state after the last."""
    for stage in STAGES.values():
        state = _run_stage(stage, state, run, watch)
    return state


def _run_stage(stage: Stage, state: RoundState, run: Path, watch: Watch) -> RoundState:
    """One stage, if it is not finished, and the state after it."""
    steps = _steps(stage)
    seed = stage_seed(state.config.seed, state.number, stage.name)
    label, parts = f"round {state.number}: {stage.name}", 1
    watch(label, 0, parts)

    def tick(count: int, total: int) -> None:
        nonlocal parts
        parts = total
        watch(label, count, total)

    done = run_stage(
        round_folder(run, state.number),
        stage.name,
        state.inputs(stage),
        steps.settings(state),
        seed,
        lambda folder: steps.work(state, folder, seed, tick),
    )
    watch(label, parts, parts)
    return _after(state, stage, done)


def _steps(stage: Stage) -> ModuleType:
    """What a stage does."""
    return import_module(f".steps.{stage.name}", __package__)


def _after(state: RoundState, stage: Stage, done: Finished) -> RoundState:
    """The state behind a stage that is finished."""
    after = replace(state, done=state.done | {stage.name: done})
    return after if stage.gives is None else _steps(stage).hand_on(after, done)


def stage_seed(seed: int, number: int, name: str) -> int:
    """A seed of its own for every stage of every round, from the run's."""
    return int(hash_json([seed, number, name])[:7], 16)


def _first_state(run: Path, config: LoopConfig) -> RoundState:
    """What the first stage of the first round is given."""
    start = _open_generator(config)
    policy = None if config.policy is None else load_policy(Path(config.policy))
    return RoundState(config, 0, start, policy, start, _held_out(run, config))


def _held_out(run: Path, config: LoopConfig) -> HeldOut:
    """What the guard asks in every round of a run; the run's own prompts are none of it."""
    seed, known = stage_seed(config.seed, 0, "guard"), frozenset(config.prompts)
    return HeldOut(
        config.guard_prompts,
        config.guard_samples,
        seed,
        config.seconds,
        known,
        run / GUARD_FOLDER,
        shipped_evaluator,
    )


def _open_generator(config: LoopConfig) -> Generator:
    if config.clips is not None:
        return FolderGenerator(config.clips, ReadingConfig.of(config))
    return load_generator(str(config.generator), ReadingConfig.of(config), config.outside)


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
