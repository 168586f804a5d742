"""`loop run --dry-run`: rounds, stages, clips and time are told as the run then takes them, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morphloop.base import write_json
from morphloop.cli import main
from morphloop.generator import FinetuneConfig, FinetuneReport
from morphloop.imitator.demonstrations.config import DistilConfig
from morphloop.imitator.demonstrations.pace import LearningPace
from morphloop.imitator.optimal_control.pace import Pace
from morphloop.motion import Clip, make_corpus, make_described, save_clip
from morphloop.refinement_loop import STAGES, LoopConfig, finished_rounds, project_folder, rounds, start_run
from morphloop.refinement_loop.estimates import projection
from morphloop.refinement_loop.estimates import run as run_estimates
from morphloop.refinement_loop.estimates.parts import batch_cost
from morphloop.refinement_loop.estimates.run import estimate_run
from morphloop.refinement_loop.rounds import look_ahead
from morphloop.refinement_loop.steps import finetune

PROMPTS = tuple(f"a person waits, {k} times." for k in range(6))
CALL_S, CLIP_S, STEP_S, CODE_S = 0.25, 0.125, 2.0, 0.25


class Clock:
    """Time goes on only as the generator spends it."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Timed:
    """A generator of short corpus clips whose every call, clip and step takes its time; counts the clips."""

    can_finetune = True

    def __init__(self, clock: Clock, tuned: int = 0) -> None:
        self.clock, self.tuned, self.made = clock, tuned, 0
        self.report: FinetuneReport | None = None

    def generate(self, prompts: Sequence[str], seed: int, seconds: Any = None) -> list[Clip]:
        self.clock.now += CALL_S + CLIP_S * len(prompts)
        MADE.append(len(prompts))
        clips = [clip.slice(0, 15) for clip in make_corpus(len(prompts), seed % 1000)]
        return [
            replace(clip.moved(np.array([0.0, 0.0, 0.05])), texts=(prompt,)).with_provenance(prompt=prompt)
            for clip, prompt in zip(clips, prompts, strict=True)
        ]

    def finetune(self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig) -> Timed:
        self.clock.now += STEP_S * config.steps + CODE_S * (len(accepted) + len(replay))
        return Timed(self.clock, self.tuned + 1)

    def hash(self) -> str:
        return f"timed{self.tuned}"

    def save(self, folder: Path | str) -> Path:
        return write_json(Path(folder) / "config.json", {"tuned": self.tuned})


MADE: list[int] = []
"""Clips of every call of a generator."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the estimate sees; generators and paces are as told, physics is real."""
    clock = Clock()
    MADE.clear()
    monkeypatch.setattr(run_estimates, "time", clock)
    monkeypatch.setattr(rounds, "load_generator", lambda *told: Timed(clock))
    monkeypatch.setattr(rounds, "shipped_evaluator", None)
    monkeypatch.setattr(finetune, "load_tuned", lambda folder, before: Timed(clock, before.tuned + 1))
    monkeypatch.setattr(projection, "measure_pace", lambda *told: Pace(0.0, 2.0, 1.0, 2))
    return clock


def asked(**changes: Any) -> LoopConfig:
    few = {"rounds": 2, "guard_prompts": 4, "guard_samples": 2, "finetune": FinetuneConfig(steps=5, batch=4)}
    return LoopConfig(generator="timed", **{"prompts": PROMPTS} | few | changes)


def parts_of(run: Path, config: LoopConfig) -> dict[str, Any]:
    found = estimate_run(run, look_ahead(run, config))
    return {part.name: part for part in found.parts} | {"whole": found}


def test_stages_and_clips_are_those_that_the_run_then_takes(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = tmp_path / "run", asked()
    parts = parts_of(run, config)
    assert not run.exists()
    assert (parts["whole"].stages, parts["whole"].done, parts["whole"].clips) == (2 * len(STAGES), 0, 6)
    told = parts["generate"].clips + parts["finetune: guard"].clips
    assert parts["generate"].clips == parts["project"].clips == parts["measure"].clips == parts["select"].clips == 12

    def refuses(clips: Sequence[Clip], *rest: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(project_folder, "project_clips", refuses)
    MADE.clear()
    with pytest.raises(KeyboardInterrupt):
        start_run(run, config, lambda *told: None)
    assert sum(MADE) == 6
    left = parts_of(run, config)
    assert (left["whole"].stages, left["whole"].done) == (2 * len(STAGES) - 2, 2)
    assert left["generate"].clips == 6, "those of the first round are there"
    assert left["generate"].wall_s == pytest.approx(CALL_S + CLIP_S * 6)
    assert left["project"].clips == 12

    accepted = [replace(clip, texts=("a person waits.",)) for clip in make_corpus(2, 0)]
    monkeypatch.setattr(finetune, "accepted_clips", lambda *places: accepted)
    monkeypatch.setattr(finetune, "bettered", lambda clips, rows, rules: clips)
    monkeypatch.setattr(project_folder, "project_clips", lambda clips, *rest: None)
    made = list(MADE)
    results = start_run(run, config, lambda *told: None)
    assert sum(len(result.stages) for result in results) == 2 * len(STAGES)
    guard = left["finetune: guard"].clips
    assert sum(made[:1]) + sum(MADE[len(made) :]) == told == 12 + guard
    again = look_ahead(run, replace(config, rounds=3))
    assert [name for _, name in again.left] == list(STAGES)
    assert again.done == 2 * len(STAGES)
    assert look_ahead(run, config).left == ()
    assert len(finished_rounds(run)) == 2, "the look ahead wrote no third round into the config"


def test_time_is_that_of_all_clips_steps_and_rounds(clock: Clock, tmp_path: Path) -> None:
    config = asked(prompts=tuple(f"a person waits, {k} times." for k in range(100)))
    parts = parts_of(tmp_path / "run", config)
    assert parts["generate"].wall_s == pytest.approx(2 * (CALL_S + CLIP_S * 100))
    replay = 5 * config.finetune.from_replay
    tuning = STEP_S * 5 + CODE_S * (100 + replay)
    assert parts["finetune: learn"].clips == 2 * (100 + replay)
    assert parts["finetune: learn"].wall_s == pytest.approx(2 * tuning)
    assert parts["finetune: guard"].clips == 3 * 4 * 2, "the first generator answers once, each tuned one once"
    assert parts["finetune: guard"].wall_s == pytest.approx(3 * (CALL_S + CLIP_S * 8))
    assert parts["imitate"].wall_s == parts["robot"].wall_s == 0.0
    assert parts["whole"].wall_s == pytest.approx(sum(part.wall_s for part in parts["whole"].parts))
    plans = [1 + -(-14 // 5) - 1] * 200
    assert parts["project"].wall_s == pytest.approx(sum(2.0 + (n - 1) for n in plans) / 2, rel=0.3)


def test_a_time_limit_of_the_fine_tuning_bounds_its_steps(clock: Clock, tmp_path: Path) -> None:
    limited = asked(finetune=FinetuneConfig(steps=500, batch=4, minutes=0.5), guard_prompts=0, rounds=1)
    replay = min(500 * limited.finetune.from_replay, finetune.REPLAY_POOL)
    parts = parts_of(tmp_path / "run", limited)
    assert parts["finetune: learn"].wall_s == pytest.approx(CODE_S * (6 + replay) + 30.0)
    assert parts["finetune: guard"].clips == 0


def test_a_generator_from_outside_is_not_started(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(projection, "measure_pace", lambda *told: Pace(0.0, 2.0, 1.0, 2))
    short = [clip.slice(0, 15) for clip in make_described(2, 0)]
    monkeypatch.setattr(run_estimates, "described_clips", lambda *told: iter(short))
    command = f"touch {tmp_path}/started {{prompts}} {{out}}"
    config = LoopConfig(generator=command, prompts=PROMPTS)
    parts = parts_of(tmp_path / "run", config)
    assert not (tmp_path / "started").exists()
    assert parts["generate"].wall_s is None
    assert parts["generate"].clips == parts["project"].clips == 6
    assert parts["whole"].wall_s == pytest.approx(parts["project"].wall_s)


def test_the_command_tells_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(projection, "measure_pace", lambda *told: Pace(0.0, 2.0, 1.0, 2))
    for k, clip in enumerate(make_corpus(3, 1)):
        save_clip(tmp_path / "clips" / f"clip{k}.npz", replace(clip.slice(0, 15), name=f"clip{k}"))
    words = ["loop", "run", "--clips", str(tmp_path / "clips"), "--policy", "none", "--rounds", "2"]
    run, table = tmp_path / "run", tmp_path / "estimate.json"
    assert main([*words, "--out", str(run), "--dry-run", "--json", str(table)]) == 0
    assert not run.exists()
    told = json.loads(table.read_text())
    assert (told["rounds"], told["clips"], told["stages"], told["done"]) == (2, 3, 2 * len(STAGES), 0)
    assert {part["name"]: part["clips"] for part in told["parts"]} == {
        "generate": 6,
        "imitate": 0,
        "project": 6,
        "measure": 6,
        "select": 6,
        "robot": 0,
        "finetune": 0,
    }
    assert told["bytes"] > 6 * (tmp_path / "clips" / "clip0.npz").stat().st_size
    assert f"2 rounds of 3 clips, {2 * len(STAGES)} stages; " in capsys.readouterr().out
    write_json(run / "config.json", json.loads(json.dumps({"rounds": 1, "clips": "/elsewhere"})))
    assert main([*words, "--out", str(run), "--dry-run"]) == 2
    assert "holds a run with another config" in capsys.readouterr().err
    assert [path.name for path in run.iterdir()] == ["config.json"]


def test_no_stage_is_left_out() -> None:
    assert list(run_estimates._STAGES) == list(STAGES)


def test_what_a_batch_takes_by_itself_is_told_from_its_size() -> None:
    assert batch_cost([(4, 3.0), (12, 7.0)]) == (1.0, 0.5)
    assert batch_cost([(4, 2.0)]) == (0.0, 0.5)
    assert batch_cost([(12, 7.0), (4, 3.0)]) == (1.0, 0.5), "the last one may be what was left"
    assert batch_cost([(4, 3.0), (12, 2.0)]) == (2.0, 0.0), "a larger batch that took less tells no less than nothing"
    pace = LearningPace(step_s=0.1, batch_s=0.01)
    assert pace.learn_s(DistilConfig(updates=2, steps=60, batches=500)) == pytest.approx(2 * (6.0 + 5.0))
