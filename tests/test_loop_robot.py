"""A robot in the loop: what counts is what both bodies were accepted with, and the generator learns the person's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.imitator import Projection
from morphloop.motion import Clip
from morphloop.refinement_loop import LoopConfig, load_record, project_folder, resume_run, start_run, verify
from morphloop.refinement_loop.steps import finetune
from morphloop.sim import Body, Recorder, certify, default_body

from .test_loop_rounds import FakeGenerator, config_for, quiet, replayed, use_fakes

UNABLE = "001_a_person_dances"
"""The clip that the robot is too clumsy for."""


def on_robot(clip: Clip, body: Body) -> Projection:
    """What servos make of a robot's clip that are simply asked for it, before it can fall."""
    source, clip = clip, clip.resampled(body.control_hz).slice(0, 33)
    qpos = body.qpos_from_clip(clip)
    recorder = Recorder(body, qpos[0], np.zeros(body.model.nv))
    for target in body.coordinates.servo_angles(qpos[1:]):
        recorder.step(target)
    rollout = recorder.rollout(0, clip.name)
    moved = body.clip_from_qpos(rollout.qpos, rollout.fps, clip.name)
    origin = replace(source.provenance, parent=source.id, stage="project", simulator=rollout.simulator)
    able = clip.name != UNABLE
    return Projection(
        source=source,
        reference=clip,
        clip=replace(moved, texts=source.texts, provenance=origin),
        rollout=rollout,
        projector="optimiser",
        tracking={"success": float(able), "skill": 0.9 if able else 0.0},
        certificate=certify(rollout, body),
        reason=None,
        wall_s=0.01,
        sim_metrics={},
    )


class Projectors:
    """Stands in for `project_clips` on either body; counts."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def __call__(self, clips, policy, config, on_done, body=None, workers=None) -> None:
        body = body or default_body()
        for clip in clips:
            self.made.append((body.name, clip.name))
            on_done(replayed(clip, policy) if body is default_body() else on_robot(clip, body))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_fakes(monkeypatch, tmp_path)
    monkeypatch.setattr(project_folder, "project_clips", Projectors())
    monkeypatch.setattr(finetune, "fitting", lambda clips: list(clips))
    return tmp_path


def learnt(home: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> tuple[list[Clip], LoopConfig]:
    """What the generator was given to learn in a run of one round."""
    seen: list[Clip] = []
    kept = FakeGenerator.finetune

    def watched(self, accepted, replay, config):
        seen.extend(accepted)
        return kept(self, accepted, replay, config)

    monkeypatch.setattr(FakeGenerator, "finetune", watched)
    config = config_for(home, guard_prompts=0, **changes)
    start_run(home / "run", config, quiet)
    return seen, config


def test_what_a_robot_cannot_do_is_not_learnt_and_its_motion_is_not_either(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, _ = learnt(home, monkeypatch, body="g1")
    (done,) = (home / "run").glob("round_00/robot")
    notes = json.loads((done / "manifest.json").read_text())["notes"]
    assert (notes["body"], notes["clips"]) == ("g1", 3)
    rows = {name: load_record(done, name) for name in ("000_a_person_waits", UNABLE, "002_a_person_rests")}
    able = {name for name, row in rows.items() if row["verdict"] == "accepted"}
    assert rows[UNABLE]["verdict"] == "rejected"
    assert notes["accepted"] == len(able) > 0
    assert {clip.name for clip in seen} == able
    assert all(clip.skeleton == default_body().skeleton for clip in seen)
    assert notes["imitate"] == "no policy for 'g1', none was taught"


def test_without_a_robot_everything_accepted_is_learnt(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _ = learnt(home, monkeypatch)
    assert {clip.name for clip in seen} == {"000_a_person_waits", UNABLE, "002_a_person_rests"}
    assert "skipped" in json.loads((home / "run/round_00/robot/manifest.json").read_text())["notes"]


def test_a_run_with_a_robot_is_verified_and_resumed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt(home, monkeypatch, body="g1")
    checked = verify(home / "run")
    assert len([name for name in checked.certificates if "/robot/" in name]) == 3
    assert all(done.reused for result in resume_run(home / "run", quiet) for done in result.stages.values())
    assert isinstance(project_folder.project_clips, Projectors)
    assert len(project_folder.project_clips.made) == 6, "nothing was projected twice"


def test_a_body_that_is_no_robot_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a person walks\n")
    out = tmp_path / "run"
    assert main(["loop", "run", "--prompts", str(prompts), "--out", str(out), "--body", "smpl"]) == 2
    assert "not a robot" in capsys.readouterr().err
    assert not out.exists()
