"""What a run of the loop will take, in time and on the disk, from some seconds of doing each stage on a few clips.

The generator makes a few of the clips, which the other parts are tried on: the policy and the trajectory optimiser
(`projection.py`), the expert and a few steps of distillation, a few steps of fine-tuning, one batch of the guard's
questions. A generator from outside is not started: its own time cannot be told, and clips of the built-in corpus stand
in for its. Nothing is written to the run's folder.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, islice
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from morphloop.base import MotionError
from morphloop.base.threads import fixed_threads
from morphloop.envs import Reference, make_reference
from morphloop.generator import CommandGenerator, FolderGenerator, PackageGenerator
from morphloop.imitator.demonstrations.pace import measure_learning
from morphloop.imitator.demonstrations.update import HELD_OUT_SHARE, evaluate_policy
from morphloop.imitator.optimal_control.pace import measure_pace
from morphloop.motion import Clip, save_clip
from morphloop.motion.corpus.described import described_clips
from morphloop.sim import default_body, retarget

from ..guard_samples import BATCH
from ..project_folder import ProjectFolder
from ..rounds import RunAhead
from ..status import round_folder
from ..steps.finetune import REPLAY_POOL, replayed
from ..steps.generate import generated_clips, prompts_of
from ..steps.imitate import idle
from ..steps.robot import robot_of_run
from .parts import SECONDS, Estimate, Part, batch_cost, makespan
from .projection import estimate_projection

GENERATE_SHARE, PROJECT_SHARE, EXPERT_SHARE, ROBOT_SHARE = 0.15, 0.35, 0.1, 0.2
"""Of the time that a calibration takes; the rest is for learning and the guard, which are tried a fixed amount."""
FIRST_BATCH, MOST_CLIPS = 4, 32
"""Clips that the generator is asked for at first, and at most."""
STAND_INS = 8
"""Clips of the corpus in place of those of a generator that is not started."""
FEW = 4
"""Clips that the policy's evaluation and the robot are tried on."""
REPLAYED, TUNED_STEPS = 16, 3
"""Replay clips and steps of the fine-tuning that is timed."""


@dataclass(frozen=True)
class RunEstimate(Estimate):
    """rounds: of the run; stages: that are left; done: that are finished; clips: that a round begins with."""

    rounds: int
    stages: int
    done: int
    clips: int


@fixed_threads()
def estimate_run(run: Path, ahead: RunAhead, seconds: float = SECONDS) -> RunEstimate:
    """What `start_run` will take and write from where it is.

    Where a later stage rests on what an earlier one keeps (what the robot tries, what the generator learns) it is told
    as if every clip was accepted. MotionError if no clip can be prepared for tracking.
    """
    trial = _Trial(run, ahead, seconds)
    parts, size = [], 0.0
    for name, rounds in Counter(name for _, name in ahead.left).items():
        found, written = _STAGES[name](trial, rounds)
        parts += found
        size += written
    left, clips = len(ahead.left), trial.count
    return RunEstimate(tuple(parts), round(size), len(trial.clips), ahead.state.config.rounds, left, ahead.done, clips)


@dataclass
class _Trial:
    """What the parts are tried on. count: clips of a round."""

    run: Path
    ahead: RunAhead
    seconds: float

    def __post_init__(self) -> None:
        self.state, self.config, self.body = self.ahead.state, self.ahead.state.config, default_body()
        self.generator, self.batches = self.state.generator, list[tuple[int, float]]()
        self.is_outside = isinstance(self.generator, CommandGenerator | PackageGenerator)
        self.clips = self._made()
        self.count = len(self.clips) if self.is_folder else len(self.config.prompts)

    @property
    def is_folder(self) -> bool:
        """Whether clips are somebody's files."""
        return isinstance(self.generator, FolderGenerator)

    def _made(self) -> list[Clip]:
        """Clips as a round begins with."""
        if "generate" in self.state.done:
            return generated_clips(self.state.folder("generate"))
        if self.is_outside:
            return list(described_clips(min(STAND_INS, len(self.config.prompts)), self.config.seed, "test"))
        return self.sample()

    def sample(self) -> list[Clip]:
        """Clips of the generator's as the time allows, which `batches` then tells the seconds of."""
        prompts, config = prompts_of(self.state), self.config
        order: list[int] = np.random.default_rng(0).permutation(len(prompts)).tolist()
        drawn = [prompts[place] for place in order]
        if not self.is_folder:
            drawn = drawn[:MOST_CLIPS]
        until, size, clips = time.monotonic() + GENERATE_SHARE * self.seconds, FIRST_BATCH, []
        while len(clips) < len(drawn) and (not clips or time.monotonic() < until):
            part = drawn[len(clips) :][: None if self.is_folder else size]
            began = time.monotonic()
            clips += self.generator.generate(part, config.seed, config.seconds)
            self.batches.append((len(part), time.monotonic() - began))
            size *= 3
        return [replace(clip, name=f"{place:03d}") for place, clip in enumerate(clips)]

    @cached_property
    def references(self) -> list[Reference]:
        """A few clips prepared for tracking."""
        found = []
        for clip in self.clips:
            try:
                found.append(make_reference(clip, self.body, self.config.projection.conditioning))
            except MotionError:
                continue
            if len(found) == FEW:
                break
        return found


_Found = tuple[list[Part], float]
"""Parts of a stage over all rounds in which it is left, and bytes."""


def _generate(trial: _Trial, rounds: int) -> _Found:
    with TemporaryDirectory(prefix="morphloop-estimate-") as name:
        began, some = time.monotonic(), trial.clips[:FEW]
        size = np.mean([save_clip(Path(name) / f"{k}.npz", clip).stat().st_size for k, clip in enumerate(some)])
        save_s = (time.monotonic() - began) / len(some)
    wall_s = None
    if not trial.is_outside:
        if not trial.batches:
            trial.sample()  # this round's are there, the later rounds' are not
        alone, each = batch_cost(trial.batches)
        wall_s = rounds * (alone + (each + save_s) * trial.count)
    return [Part("generate", rounds * trial.count, wall_s)], rounds * trial.count * float(size)


def _imitate(trial: _Trial, rounds: int) -> _Found:
    policy, config = trial.state.policy, trial.config
    if policy is None or idle(policy, config, trial.count) or not trial.references:
        return [Part("imitate", 0, 0.0)], 0.0
    how, references, count = config.imitate, trial.references, trial.count
    asked = min(how.demonstrations, count - max(1, round(HELD_OUT_SHARE * count)))
    pace = measure_pace(references, trial.body, how.expert.ilqr, 0, EXPERT_SHARE * trial.seconds)
    replan = how.expert.ilqr.at(trial.body.control_hz).replan
    each = islice(cycle([pace.clip_s(one.num_frames, replan) for one in references]), asked)
    record_s = makespan(list(each), min(cpu_count() or 1, asked))
    learning = measure_learning(policy, trial.clips[:FEW], trial.body, how, config.projection.conditioning)
    batches = []
    for some in (references[:1], references):
        began = time.monotonic()
        evaluate_policy(policy, some, trial.body)
        batches.append((len(some), time.monotonic() - began))
    alone, clip_s = batch_cost(batches)
    learn_s = None if learning is None else learning.learn_s(how.distil) + 2.0 * (alone + clip_s * count)
    if config.imitate_budget_s is not None:
        record_s = min(record_s, config.imitate_budget_s)
        learn_s = None if learn_s is None else min(learn_s, config.imitate_budget_s - record_s)
    parts = [
        Part("imitate: record", rounds * asked, rounds * record_s),
        Part("imitate: learn", rounds * count, None if learn_s is None else rounds * learn_s),
    ]
    return parts, rounds * _bytes_of(policy.save)


def _project(trial: _Trial, rounds: int) -> _Found:
    config, state, clips = trial.config, trial.state, trial.clips
    rules = (config.projection, config.selection, config.rescue)
    place = round_folder(trial.run, state.number) / ".project.partial"
    folder = ProjectFolder(place, trial.body, state.policy, *rules, state.number)
    whole = [clip for clip in clips if folder.finished(clip) is not None] if "imitate" in state.done else []
    of = rounds * trial.count / len(clips)
    found = estimate_projection(clips, folder, None, PROJECT_SHARE * trial.seconds, of)
    share = 1.0 - len(whole) / (rounds * trial.count)
    return [Part("project", rounds * trial.count - len(whole), share * found.wall_s)], share * found.size


def _count(name: str) -> Callable[[_Trial, int], _Found]:
    """A stage that takes less than a second, whatever the clips."""
    return lambda trial, rounds: ([Part(name, rounds * trial.count, 0.0)], 0.0)


def _robot(trial: _Trial, rounds: int) -> _Found:
    config = trial.config
    if config.body is None:
        return [Part("robot", 0, 0.0)], 0.0
    body, moved = robot_of_run(config.body), []
    began = time.monotonic()
    for clip in trial.clips[:FEW]:
        try:
            moved.append(replace(retarget(clip, body), name=clip.name))
        except MotionError:
            continue
    if not moved:
        return [Part("robot", 0, None)], 0.0
    all_ = rounds * trial.count
    retarget_s = (time.monotonic() - began) / len(trial.clips[:FEW]) * all_
    folder = ProjectFolder(trial.run, body, None, config.projection, config.selection, config.rescue)
    found = estimate_projection(moved, folder, None, ROBOT_SHARE * trial.seconds, all_ / len(moved))
    return [Part("robot", all_, retarget_s + found.wall_s)], found.size


def _finetune(trial: _Trial, rounds: int) -> _Found:
    config, generator, held_out = trial.config, trial.generator, trial.state.held_out
    if not generator.can_finetune:
        return [Part("finetune", 0, 0.0)], 0.0
    learnt, replay = trial.count, min(config.finetune.steps * config.finetune.from_replay, REPLAY_POOL)
    answers = 0 if config.guard_prompts == 0 else rounds + (trial.state.number == 0)
    asked = answers * len(held_out.prompts) * held_out.samples
    learn, guard = Part("finetune: learn", rounds * (learnt + replay), None), Part("finetune: guard", asked, None)
    if trial.is_outside:
        return [learn, guard], 0.0
    learn = replace(learn, wall_s=rounds * _tuning_s(trial, learnt, replay))
    if asked:
        guard = replace(guard, wall_s=asked * _answer_s(trial))
    return [learn, guard], rounds * _bytes_of(generator.save)


def _tuning_s(trial: _Trial, learnt: int, replay: int) -> float:
    """Seconds of making the replay clips and of a fine-tuning on them and those that are learnt."""
    config, clips = trial.config.finetune, trial.clips[:REPLAYED]
    began = time.monotonic()
    again = replayed(min(replay, REPLAYED), config.seed) if replay else []
    made_s = time.monotonic() - began
    took = []
    for steps in (1, 1 + TUNED_STEPS):
        began = time.monotonic()
        trial.generator.finetune(clips, again, replace(config, steps=steps, minutes=None))
        took.append(time.monotonic() - began)
    step_s = max(0.0, took[1] - took[0]) / TUNED_STEPS
    prepare_s = max(0.0, took[0] - step_s) / (len(clips) + len(again))
    steps_s = config.steps * step_s
    if config.minutes is not None:
        steps_s = min(steps_s, 60.0 * config.minutes)
    return made_s / max(len(again), 1) * replay + prepare_s * (learnt + replay) + steps_s


def _answer_s(trial: _Trial) -> float:
    """Seconds that a sample of the guard's takes, made and measured, from one batch of them."""
    held_out = trial.state.held_out
    few = replace(held_out, count=min(held_out.count, max(1, BATCH // held_out.samples)), folder=None)
    asked = len(few.prompts) * few.samples
    _ = few.retrieval  # loads what judges, once in a run
    began = time.monotonic()
    few.answers(trial.generator, lambda done, total: None)
    return (time.monotonic() - began) / asked


def _bytes_of(save: Callable[[Path], object]) -> int:
    """Bytes of what is saved."""
    with TemporaryDirectory(prefix="morphloop-estimate-") as name:
        save(Path(name) / "saved")
        return sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())


_STAGES: dict[str, Callable[[_Trial, int], _Found]] = {
    "generate": _generate,
    "imitate": _imitate,
    "project": _project,
    "measure": _count("measure"),
    "select": _count("select"),
    "robot": _robot,
    "finetune": _finetune,
}
"""How each stage is told; a test holds that none of `stages.STAGES` is missing."""
