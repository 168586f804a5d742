"""Ranking a data set: what is faulty stands below what is clean, and drop.txt names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.metrics.clip_context import context
from morphloop.metrics.defect_bench.defects import jitter, lift, slide
from morphloop.metrics.limmt import SPEED_LIMIT, WEIGHTS, limmt_defects, limmt_score
from morphloop.motion import Clip, JointTrack, make_corpus, save_clip
from morphloop.motion.rotations import quat_from_rotvec, quat_mul
from morphloop.sim import Body, default_body, standing
from morphloop.sim.bodies.built_in import built_in
from morphloop.sim.retargeting.retarget import retarget

FAULTS: dict[str, Callable[[Clip], Clip]] = {
    "floating": lambda clip: lift(clip, 0.06),
    "sunk": lambda clip: lift(clip, -0.03),
    "sliding": lambda clip: slide(clip, 0.3),
    "shaking": lambda clip: jitter(clip, 0.008, seed=1),
}


@lru_cache
def corpus(*actions: str) -> list[Clip]:
    """Two seconds of a clip of each action."""
    made = make_corpus(64, 3, "test")
    first = [next(clip for clip in made if clip.provenance.notes["action"] == action) for action in actions]
    return [clip.slice(0, 60) for clip in first]


def data_set(folder: Path, clean: list[Clip]) -> Path:
    """Clean clips, and each with every fault."""
    for number, clip in enumerate(clean):
        save_clip(folder / f"clean_{number}.npz", clip)
        for fault, make in FAULTS.items():
            save_clip(folder / f"{fault}_{number}.npz", make(clip))
    return folder


def rank(folder: Path, out: Path, *flags: str) -> tuple[dict, list[str]]:
    words = ["evaluate", str(folder), "--rank", "--drop", str(out / "drop.txt"), "--json", str(out / "out.json")]
    assert main([*words, "--no-wrench", "--workers", "0", *flags]) == 0
    return json.loads((out / "out.json").read_text()), (out / "drop.txt").read_text().splitlines()


@pytest.mark.parametrize("body", ["smpl", "g1"])
def test_every_faulty_clip_is_below_the_clean_ones_and_is_dropped(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = corpus("wave", "walk", "squat")
    if body == "g1":
        clean = [retarget(clip, built_in("g1")) for clip in clean]
    folder = data_set(tmp_path / "in", clean)
    found, dropped = rank(folder, tmp_path, "--body", body, "--drop-share", "0.8")
    (order,) = found["ranking"]["variants"].values()
    assert [row["name"].partition("_")[0] for row in order][:3] == ["clean"] * 3
    assert [row["quality"] for row in order] == sorted((row["quality"] for row in order), reverse=True)
    assert set(dropped) == {f"{fault}_{number}" for fault in FAULTS for number in range(3)}
    assert dropped[0] == order[-1]["name"], "worst first"
    said = capsys.readouterr().out
    for name, formula in found["ranking"]["formulas"].items():
        assert f"{name} = {formula[:20]}" in said
    assert "the 80 % of clips lowest by quality" in " ".join(said.split())


def test_quality_is_its_formula(tmp_path: Path) -> None:
    save_clip(tmp_path / "in" / "clip.npz", jitter(slide(corpus("walk")[0], 0.1), 0.003, seed=1))
    found, _ = rank(tmp_path / "in", tmp_path)
    formula, row = found["ranking"]["formulas"]["quality"], found["clips"][0]["metrics"]
    sizes = [part.split(" / ") for part in formula.partition("(1 + ")[2].partition(")")[0].split(" + ")]
    faults = sum((row[name] or 0.0) / float(size.split()[0]) for name, size in sizes)
    assert found["ranking"]["variants"]["surface"][0]["quality"] == pytest.approx(100.0 / (1.0 + faults))


def test_a_share_is_dropped_from_the_end_of_the_order(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "in", corpus("wave"))
    _, dropped = rank(folder, tmp_path, "--drop-share", "0.4")
    assert len(dropped) == 2
    found, dropped = rank(folder, tmp_path, "--rank-by", "limmt", "--drop-share", "1")
    order = found["ranking"]["variants"]["surface"]
    assert [row["limmt_score"] for row in order] == sorted((row["limmt_score"] for row in order), reverse=True)
    assert dropped == [row["name"] for row in order][::-1]
    _, dropped = rank(folder, tmp_path, "--drop-under", "0")
    assert dropped == []
    found, dropped = rank(folder, tmp_path, "--drop-under", "50")
    order = found["ranking"]["variants"]["surface"]
    assert dropped == [row["name"] for row in order if row["quality"] < 50][::-1]


def test_joint_positions_are_ranked_apart_and_by_our_quality_alone(tmp_path: Path) -> None:
    (clip,) = corpus("wave")
    for name, motion in (("still", clip), ("up", lift(clip, 0.1))):
        track = JointTrack(clip.fps, clip.skeleton.names[:22], motion.positions[:, :22])
        save_clip(tmp_path / "in" / f"{name}.npz", track)
    save_clip(tmp_path / "in" / "surface.npz", clip)
    found, dropped = rank(tmp_path / "in", tmp_path, "--drop-share", "0.5")
    assert [row["name"] for row in found["ranking"]["variants"]["joints"]] == ["still", "up"]
    assert [row["limmt_score"] for row in found["ranking"]["variants"]["joints"]] == [None, None]
    assert dropped == ["up"], "a share of each variant"
    found, dropped = rank(tmp_path / "in", tmp_path, "--rank-by", "limmt")
    assert found["ranking"]["unknown"] == {"joints": ["still", "up"]}


def test_clips_of_one_name_are_dropped_by_their_path(tmp_path: Path) -> None:
    (clip,) = corpus("wave")
    kept = save_clip(tmp_path / "in" / "a" / "clip.npz", clip)
    bad = save_clip(tmp_path / "in" / "b" / "clip.npz", lift(clip, 0.1))
    _, dropped = rank(tmp_path / "in", tmp_path, "--drop-share", "0.5")
    assert dropped == [str(bad)]
    assert kept != bad


def test_ranking_is_of_one_set_and_its_share_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_clip(tmp_path / "clip.npz", corpus("wave")[0])
    words = ["evaluate", str(tmp_path), "--rank", "--drop", str(tmp_path / "drop.txt")]
    assert main([*words, "--compare", str(tmp_path)]) == 2
    assert main([*words, "--drop-share", "1.5"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "--rank: orders one data set" in said[0]
    assert "--drop-share is 1.5, expected 0 to 1" in said[1]
    assert not (tmp_path / "drop.txt").exists()


def still(body: Body) -> Clip:
    return standing(body, 2.0, 50.0)


def defects(clip: Clip, body: Body) -> dict[str, float]:
    found = limmt_defects(context(clip, body))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["smpl", "g1"])
def test_limmts_defects_have_their_published_sizes(name: str) -> None:
    body = built_in(name)
    clip = still(body)
    clean = defects(clip, body)
    assert {key: clean[key] for key in WEIGHTS if key != "self-contact"} == pytest.approx(
        dict.fromkeys(set(WEIGHTS) - {"self-contact"}, 0.0), abs=1e-6
    )
    assert defects(slide(clip, 0.3), body)["slide"] == pytest.approx(5.0 * 2 * (0.3 - 0.1))
    assert defects(lift(slide(clip, 0.3), 0.014), body)["slide"] > 1.0
    assert defects(lift(slide(clip, 0.3), 0.016), body)["slide"] == 0.0
    assert defects(lift(clip, -0.03), body)["penetration"] == pytest.approx(0.02, abs=1e-6)
    afloat = defects(lift(clip, 0.06), body)["float"]
    assert 0.4 < afloat < 0.6, "the window of a second reaches over both ends of two seconds"
    assert limmt_score(context(clip, body))["limmt_score"] == pytest.approx(
        100.0 - WEIGHTS["self-contact"] * clean["self-contact"], abs=1e-4
    )


def test_limmts_speed_is_over_the_motors_limit() -> None:
    body = built_in("g1")
    clip = still(body)
    hinge = next(hinge for hinge in body.hinges if hinge.name == "left_wrist_yaw_joint")
    angle = 40.0 * np.arange(clip.num_frames) / clip.fps
    rotations = clip.rotations.copy()
    rotations[:, hinge.joint] = quat_mul(rotations[:, hinge.joint], quat_from_rotvec(angle[:, None] * hinge.axis))
    found = defects(replace(clip, rotations=rotations), body)
    assert found["speed"] == pytest.approx((40.0 - 22.0) / (body.skeleton.num_joints - 1), rel=1e-3)
    person = default_body()
    turned = still(person)
    rotations = turned.rotations.copy()
    rotations[:, 16] = quat_from_rotvec(np.array([1.0, 0.0, 0.0]) * angle[:, None])
    found = defects(replace(turned, rotations=rotations), person)
    assert found["speed"] == pytest.approx((40.0 - SPEED_LIMIT) / (person.skeleton.num_joints - 1), rel=1e-3)
