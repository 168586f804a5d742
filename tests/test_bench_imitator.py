"""The imitator's bench: every row once, whatever is killed; missing sets and missed aims are named."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.results import hash_code
from morphloop.cli import main
from morphloop.envs import prepare
from morphloop.imitator import new_policy
from morphloop.imitator.bench import ablations as bench_ablations
from morphloop.imitator.bench import bench
from morphloop.imitator.bench import sets as bench_sets
from morphloop.imitator.bench import speed as bench_speed
from morphloop.imitator.bench import table as bench_table
from morphloop.imitator.bench.bench import CONTROL, ROWS_FILE, BenchConfig, BenchRun, run_bench, zero_policy
from morphloop.imitator.bench.sets import cut, load_set, moves
from morphloop.imitator.projection import project as projection
from morphloop.metrics import frozen_pose, measure, track_errors
from morphloop.motion import Clip
from morphloop.sim import default_body

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
TINY = BenchConfig(sets=("A",), columns=("no_network", "policy"), limit=2, seconds=1.0, refiner_seconds=1.0)


def data() -> Path:
    if not (SHARED / "data" / "splits.json").is_file():
        pytest.skip(f"no {SHARED / 'data'}: set MORPHLOOP_SHARED")
    return SHARED / "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> BenchRun:
    """Two clips of set A, in two columns."""
    return run_bench(zero_policy(default_body()), folder, None, TINY)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ROWS_FILE).read_text().splitlines()]


def test_rows_hold_what_projection_and_metrics_say(tiny: BenchRun, folder: Path) -> None:
    body = default_body()
    clip = tiny.clips(tiny.sets[0], "policy")[0]
    control, row = tiny.rows[clip.id, CONTROL], tiny.rows[clip.id, "policy"]
    assert control["before"]["slide_mean_mm_s"] == measure(clip, body, wrench=False).values["slide_mean_mm_s"]
    reference = prepare(clip, body)
    assert control["frozen"]["tracking"]["e_mpjpe_mm"] == track_errors(frozen_pose(reference), reference)["e_mpjpe_mm"]
    assert 0.9 < clip.duration <= 1.0 + 1 / clip.fps
    assert row["seconds"] == clip.duration
    assert row["projector"] == "policy"
    assert row["unreplayed"] is None
    assert len(rows_of(folder)) == 2 * 3
    told = bench_table.result(tiny)
    assert told["code"] == hash_code(bench.CODE)
    # a policy that does nothing is no network, to the byte
    for name in ("tracking", "after", "reached"):
        assert row[name] == tiny.rows[clip.id, "no_network"][name]


def test_what_is_there_is_not_done_again(
    tiny: BenchRun, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (folder / ROWS_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / ROWS_FILE).write_bytes(b"".join(lines[:-1]) + lines[-1][:40])  # killed while it wrote the last row
    asked: list[str] = []
    project = bench.project_clips

    def counted(clips: Any, *args: Any, **more: Any) -> Any:
        asked.extend(clip.id for clip in clips)
        return project(clips, *args, **more)

    monkeypatch.setattr(bench, "project_clips", counted)
    again = run_bench(zero_policy(default_body()), tmp_path, None, TINY)
    assert asked == [json.loads(lines[-1])["id"]]
    rows = rows_of(tmp_path)
    assert [row["key"] for row in rows] == [json.loads(line)["key"] for line in lines]
    assert {k: r["tracking"] for k, r in again.rows.items() if k[1] != CONTROL} == {
        k: r["tracking"] for k, r in tiny.rows.items() if k[1] != CONTROL
    }
    asked.clear()
    harder = replace(TINY.projection, ilqr=replace(TINY.projection.ilqr, horizon=5))
    run_bench(zero_policy(default_body()), tmp_path, None, replace(TINY, projection=harder))
    assert asked == []  # the refiner has no part in a policy alone
    other = replace(TINY.projection, conditioning=replace(TINY.projection.conditioning, smooth=True))
    run_bench(zero_policy(default_body()), tmp_path, None, replace(TINY, projection=other, columns=("policy",)))
    assert len(asked) == 2


def test_what_the_refiner_made_is_there_for_the_next_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(TINY, columns=("auto",), limit=1)
    first = run_bench(None, tmp_path, None, config, workers=0)

    def never(*args: Any) -> Any:
        raise AssertionError("a clip is refined again")

    monkeypatch.setattr(projection, "track_clips", never)
    lossy = new_policy(default_body(), seed=1)
    with torch.no_grad():
        lossy.actor[-1].bias.fill_(2.0)  # type: ignore[union-attr, operator]
    again = run_bench(lossy, tmp_path, None, config, workers=0)
    (old,), (new,) = ([row for row in run.rows.values() if row["column"] == "auto"] for run in (first, again))
    assert new["projector"] == "refiner", "that policy fails"
    assert new["tracking"] == old["tracking"]
    assert new["after"] == old["after"]
    assert new["wall_s"] > old["wall_s"], "the policy's time is added to the refiner's"
    other = replace(config.projection, ilqr=replace(config.projection.ilqr, replan=3))
    with pytest.raises(AssertionError, match="refined again"):
        run_bench(lossy, tmp_path, None, replace(config, projection=other), workers=0)


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    (tmp_path / ROWS_FILE).write_text("{}\n")
    with pytest.raises(MotionError, match=r"rows.jsonl:1: not a row"):
        run_bench(None, tmp_path, None, replace(TINY, columns=("no_network",)))


def test_static_clips_are_left_out_and_named() -> None:
    clips = bench_sets._corpus()
    found = load_set("A", None, 10.0)
    assert found.static
    assert all(name.startswith("idle") for name in found.static)
    assert len(found.clips) + len(found.static) == len(clips)
    assert not moves(replace(clips[0], root_pos=clips[0].root_pos[:1], rotations=clips[0].rotations[:1]))
    assert cut(clips[0], 1.0).duration == pytest.approx(1.0, abs=0.5 / clips[0].fps)


def test_missing_data_is_named_and_a_set_that_was_asked_for_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORPHLOOP_SHARED", str(tmp_path))
    flags = ["--columns", "no_network", "--policy", "zero", "--limit", "1", "--seconds", "0.5"]
    out, page = tmp_path / "out", tmp_path / "page.md"
    assert main(["bench", "imitator", "--out", str(out), *flags, "--markdown", str(page)]) == 0
    told = json.loads((out / "imitator.json").read_text())
    assert list(told["sets"]) == ["A"]
    assert [line[:5] for line in told["missing"]] == ["set B", "set C", "set D"]
    assert all(line in page.read_text() for line in told["missing"])
    capsys.readouterr()
    assert main(["bench", "imitator", "--out", str(out), *flags, "--sets", "A,C"]) == 2
    assert "set C" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    assert main(["bench", "imitator", "--out", str(out), *flags, "--sets", "D"]) == 2
    assert "has no bandai_namco/captions.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--sets", "E"], "no set 'E'"),
        (["--columns", "magic"], "no column 'magic'"),
        (["--limit", "0"], "--limit: 0"),
        (["--policy", "none"], "column 'policy' needs a policy"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "imitator", "--out", str(tmp_path / "out"), "--policy", "zero", *flags]
    assert main(asked) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert line in said[0]


@pytest.mark.parametrize("letter", ["B", "C", "D"])
def test_sets_of_the_data_folder(letter: str) -> None:
    found = load_set(letter, data(), 10.0, limit=2)
    assert len(found.clips) == 2
    assert not found.failed
    again = load_set(letter, data(), 10.0, limit=1)
    assert again.clips[0].id == found.clips[0].id
    props = json.loads((data() / "splits.json").read_text())["cmu"]
    assert not any(props.get(clip.name.removeprefix("cmu_"), {}).get("props") for clip in found.clips)


def test_packed_mocap_reads_as_its_files_do(tmp_path: Path) -> None:
    """The AMC that is unpacked for the bench is the one that CMU published."""
    from morphloop.motion import read_motion

    for skeleton in (data() / "cmu").glob("*.asf"):
        (tmp_path / skeleton.name).write_bytes(skeleton.read_bytes())
    ours = read_motion(bench_sets._amc(data() / "cmu" / "amc_npz" / "02_01.npz", tmp_path), 120.0)
    theirs = read_motion(data() / "cmu" / "02_01.amc", 120.0)
    assert isinstance(ours, Clip)
    assert isinstance(theirs, Clip)
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-4)


def made_row(success: float, skill: float, error: float, slide: float | None, projector: str = "policy") -> Any:
    after = {name: 0.0 for name in bench.PHYSICS} | {"slide_mean_mm_s": slide, "physdiff_skate_mm": 0.4}
    tracking = {"success": success, "success_strict": 0.0, "skill": skill, "e_mpjpe_mm": error, "e_g_mpjpe_mm": error}
    return {
        "tracking": tracking,
        "after": after,
        "reached": 1.0,
        "projector": projector,
        "wall_s": 6.0,
        "seconds": 3.0,
    }


def test_cells_are_means_over_the_clips_that_have_them() -> None:
    rows = [made_row(1.0, 0.9, 30.0, 20.0), made_row(1.0, 0.7, 50.0, None, "refiner"), made_row(0.0, -1.0, 900.0, 40.0)]
    before = [{"before": {name: 1.0 for name in bench.PHYSICS} | {"slide_mean_mm_s": v}} for v in (100.0, 7.0, 200.0)]
    cells = bench_table.figures(rows, before)
    assert cells["success"] == pytest.approx(2 / 3)
    assert cells["e_mpjpe_mm"] == 40.0
    assert cells["skill_mean"] == pytest.approx(0.2)
    assert cells["skill_median"] == 0.7
    assert cells["slide_after_over_before"] == pytest.approx(60 / 300)
    assert cells["refined"] == pytest.approx(1 / 3)
    assert cells["seconds_per_second"] == 2.0
    low, high = cells["success_ci95"]
    assert low < 2 / 3 < high
    nothing = bench_table.figures([], [])
    assert nothing["success"] is None
    assert nothing["slide_after_over_before"] is None


def test_an_aim_that_is_missed_is_shown_as_missed() -> None:
    rows = [made_row(1.0, 0.9, 30.0, 20.0)] * 9 + [made_row(0.0, -1.0, 900.0, 40.0)]
    controls = [{"before": {name: 1.0 for name in bench.PHYSICS} | {"slide_mean_mm_s": 100.0}}] * 10
    cells = {over: bench_table.figures(rows[:stop], controls[:stop]) for over, stop in (("all", 10), ("successes", 9))}
    found = {(v.cell, v.over): v for v in bench_table.verdicts("A", "policy", cells)}
    assert not found["success", "all"].met  # 90 of 95 %
    assert {(v.cell, v.over): v for v in bench_table.verdicts("B", "policy", cells)}["success", "all"].met
    assert not found["physdiff_skate_mm_after", "successes"].met
    assert not found["skill_mean", "all"].met
    assert found["skill_mean", "successes"].met
    assert bench_table.verdicts("A", "no_network", cells) == []
    told = {
        "policy": "abc", "code": "x", "moving_m": 0.15, "seconds": 10.0,
        "refiner_seconds": 10.0, "limit": None, "seed": 0, "missing": [], "unreplayed": [],
        "aims": [vars(v) for v in found.values()],
        "sets": {"A": {"title": "t", "clips": 10, "seconds": 30.0, "static": ["s"], "cut": [], "unreadable": {},
                       "frozen": cells["all"], "columns": {"policy": cells},
                       "failed": {"policy": {"c": "reached 4 %"}}}},
    }  # fmt: skip
    text = bench_table.page(told)
    assert "90.0 % (>= 95.0 %: **missed**)" in text
    assert "0.90 (>= 0.75: met)" in text
    assert "1 static ones left out (s)" in text
    assert "c (reached 4 %)" in text
    heads = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(heads[-len(bench_table.CELLS) :]) == {heads[-1]}


def test_speed_is_timed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = bench_speed.SpeedConfig(envs=4, steps=10, updates=1, walks=1, together=1, seconds=0.2, workers=0)
    kept: list[int] = []
    told = bench_speed.measure_speed(config, keep=lambda part: kept.append(len(part)))
    assert kept == [5, 6, 7, 8, 9]
    environment = told["environment"]
    assert environment["ratio"] == pytest.approx(environment["env_steps_per_s"] / environment["raw_steps_per_s"])
    assert sum(environment["share"].values()) == pytest.approx(1.0)
    assert told["ppo"]["network"] == [384, 256]
    assert told["refiner_walking"]["wall_s_per_s"] > 0
    text = bench_speed.page(told)
    assert "256" not in text.split("network")[0]
    if told["cuda"] == bench_speed.NO_CUDA:
        assert "no CUDA device" in text
    slow = told | {"refiner_walking": told["refiner_walking"] | {"wall_s_per_s": 7.0}}
    assert "<= 6: **missed**" in bench_speed.page(slow)


def test_timings_that_were_killed_go_on_and_the_page_says_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    made = {"environment": {"ratio": 0.9}, "ppo": {"ratio": 0.5}, "cuda": bench_speed.NO_CUDA}
    monkeypatch.setattr(bench_speed, "env_over_raw", lambda *a: asked.append("environment") or made["environment"])
    monkeypatch.setattr(bench_speed, "ppo_over_raw", lambda *a: asked.append("ppo") or made["ppo"])
    monkeypatch.setattr(bench_speed, "_cuda", lambda *a: made["cuda"])
    monkeypatch.setattr(bench_speed, "page", lambda told: "")

    def killed(*args: Any) -> Any:
        raise KeyboardInterrupt

    page, out = tmp_path / "page.md", tmp_path / "out"
    flags = ["--columns", "no_network", "--policy", "none", "--sets", "", "--limit", "2", "--speed"]
    words = ["bench", "imitator", "--out", str(out), *flags, "--markdown", str(page)]
    monkeypatch.setattr(bench_speed, "refiner_speed", killed)
    assert main(words) == 130
    assert not (out / "speed.json").exists()
    monkeypatch.setattr(bench_speed, "refiner_speed", lambda clips, *a: asked.append("refiner") or {"clips": 1})
    assert main(words) == 0
    assert asked == ["environment", "ppo", "refiner", "refiner"]
    told = json.loads((out / "speed.json").read_text())
    assert {name: told[name] for name in made} == made
    assert told["refiner_together"] == {"clips": 1}
    assert main(words) == 0
    assert asked[4:] == ["environment", "ppo", "refiner", "refiner"], "what was done is timed anew if asked for"
    assert (
        "`morphloop bench imitator --policy none --columns no_network --sets '' --limit 2 --speed`" in page.read_text()
    )
    changed = json.loads((out / "speed.json").read_text()) | {"code": "older"}
    (out / "speed.part.json").write_text(json.dumps(changed))
    assert main(words) == 0
    assert len(asked) == 12, "timings of other code are not gone on from"


def test_ablations_differ_in_one_thing_and_go_on(tmp_path: Path) -> None:
    config = bench_ablations.AblationConfig(steps=64, envs=2, clips=2, held_out=1)
    base = bench_ablations.variant_config("base", config, None)
    assert bench_ablations.variant_config("vae", config, None) == replace(base, prior=replace(base.prior, kind="vae"))
    assert bench_ablations.variant_config("no_contact_term", config, None).task.reward.slide == 0.0
    assert bench_ablations.variant_config("even_starts", config, None).task.start_floor == 1.0
    assert bench_ablations.variant_config("warm", config, tmp_path / "p").start == str(tmp_path / "p")


def test_an_ablation_from_another_policy_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_ablations, "VARIANTS", {"warm": "start"})
    config = bench_ablations.AblationConfig(steps=64, envs=2, clips=2, held_out=1, checkpoint_s=0.0)
    path, hashes = tmp_path / "policy.safetensors", []
    for seed in (0, 1):
        policy = new_policy(default_body(), hidden=(8,), seed=seed)
        policy.save(path)
        hashes.append(policy.hash[:8])
        told = bench_ablations.run_ablations(tmp_path / "out", path, config)
        assert [row["env_steps"] for row in told["variants"]["warm"]["curve"]] == [64]
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == {f"warm_{name}" for name in hashes}


def test_an_ablation_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_ablations, "VARIANTS", {"base": "nothing", "warm": "start"})
    config = bench_ablations.AblationConfig(steps=64, envs=2, clips=2, held_out=1, checkpoint_s=0.0)
    bench_ablations.run_ablations(tmp_path, None, config)
    told = bench_ablations.run_ablations(tmp_path, None, replace(config, steps=128))
    assert [row["env_steps"] for row in told["variants"]["base"]["curve"]] == [64, 128]
    assert told["left_out"] == {"warm": "no policy file to start from"}
    assert json.loads((tmp_path / bench_ablations.RESULT_FILE).read_text()) == told
    assert (tmp_path / bench_ablations.CHART_FILE).read_bytes()[:4] == b"\x89PNG"
    text = bench_ablations.page(told, "chart.png")
    assert "| base | nothing | 128 |" in text
    assert "Left out: warm" in text
