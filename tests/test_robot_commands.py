"""Commands on robots: their own clips as they are, people's retargeted first and said so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.metrics.margins import HARD
from morphloop.motion import load_clip, make_corpus, read_manifest, save_clip
from morphloop.sim import standing
from morphloop.sim.bodies.built_in import built_in

from .test_robot_file import robot_text


@pytest.fixture
def wave(tmp_path: Path) -> Path:
    """A second and a half of a person who moves an arm where he stands."""
    clip = next(clip for clip in make_corpus(64, 3, "test") if clip.provenance.notes["action"] == "wave")
    return save_clip(tmp_path / "wave.npz", clip.slice(20, 65))


def test_a_persons_clip_becomes_a_robots_that_stands_and_moves(
    wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["project", str(wave), "--body", "g1", "--out", str(out), "--workers", "0"]) == 0
    said = capsys.readouterr().err
    assert "no policy ships for body 'g1'" in said
    assert "1 of 1 clips are people's: retargeted to 'g1' first" in said
    (row,) = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert row["verdict"] == "accepted"
    assert row["certificate"]["bit_equal"]
    over = [name for name, bound in HARD.items() if (row["after"][name] or 0.0) > bound]
    assert [word.split()[0] for word in row["margins"].split("; ") if word] == over
    body, done = built_in("g1"), load_clip(out / "clips" / "wave.npz")
    assert done.skeleton == body.skeleton
    hands = done.positions[:, [body.skeleton.index(f"{side}_wrist_yaw_link") for side in ("left", "right")]]
    assert np.ptp(hands, axis=0).max() > 0.1, "an arm moves"
    assert done.positions[:, body.skeleton.index("torso_link"), 2].min() > 0.6, "it stands"
    assert main(["verify", str(out)]) == 0
    assert main(["evaluate", str(out / "clips"), "--body", "g1"]) == 0


def test_a_robots_clip_stays_what_it_is_and_another_robots_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = built_in("g1_23dof")
    path = save_clip(tmp_path / "stand.npz", standing(body, 1.0, 30.0))
    out = tmp_path / "out"
    assert main(["project", str(path), "--body", "g1_23dof", "--out", str(out), "--workers", "0"]) == 0
    assert "people's" not in capsys.readouterr().err
    other = tmp_path / "robot.xml"
    other.write_text(robot_text())
    assert main(["project", str(path), "--body", str(other), "--out", str(tmp_path / "other"), "--workers", "0"]) == 2
    assert "stand.npz" in capsys.readouterr().err


def test_from_robot_takes_the_robots_own_clips_and_refuses_a_persons(
    wave: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    save_clip(folder / "stand.npz", standing(built_in("g1"), 0.6, 50.0))
    wave.rename(folder / "wave.npz")
    words = ["project", str(folder), "--from", "robot", "--out", str(tmp_path / "out"), "--workers", "0"]
    assert main([*words, "--body", "g1"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "wave.npz" in line]
    assert said == [
        f"morphloop: {folder / 'wave.npz'}: not a motion of robot 'g1', leave out --from robot to retarget it"
    ]
    assert [row["name"] for row in read_manifest(tmp_path / "out")] == ["stand"], "the rest goes on"
    assert json.loads((tmp_path / "out" / "config.json").read_text())["source"] == "robot"
    assert main(words) == 2
    assert "--from robot: body 'smpl24' is no robot" in capsys.readouterr().err


def test_asking_for_a_policy_that_does_not_ship_is_one_line(wave: Path, tmp_path: Path, capsys) -> None:
    words = ["project", str(wave), "--body", "g1", "--out", str(tmp_path / "o"), "--projector", "policy"]
    assert main(words) == 2
    assert "no policy ships for body 'g1', expected --policy FILE" in capsys.readouterr().err


def test_a_policy_is_trained_on_a_robots_clips_and_projects_them(tmp_path: Path) -> None:
    body, home = built_in("g1_23dof"), tmp_path / "data"
    home.mkdir()
    save_clip(home / "stand.npz", standing(body, 2.0, 50.0))
    words = ["train", "imitator", "--body", "g1_23dof", "--data", str(home), "--out", str(tmp_path / "policy")]
    few = ["--steps", "64", "--envs", "2", "--hidden", "16", "--held-out", "1", "--variations", "0"]
    assert main([*words, *few]) == 0
    policy = tmp_path / "policy" / "policy.safetensors"
    words = ["project", str(home), "--body", "g1_23dof", "--policy", str(policy), "--projector", "policy"]
    assert main([*words, "--out", str(tmp_path / "out"), "--workers", "0"]) in (0, 1)
    (row,) = [row for row in read_manifest(tmp_path / "out") if "rescued_of" not in row]
    assert row["projector"] == "policy"
    assert row["certificate"]["bit_equal"]
