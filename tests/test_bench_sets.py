"""The imitator's development bench: missing sets and missed aims are named, timings and ablations go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ablations
import aims
import clip_sets
import numpy as np
import pytest
import speed
from clip_sets import load_set
from run import main

from morphloop.imitator import new_policy
from morphloop.imitator.bench import table as bench_table
from morphloop.imitator.bench.bench import PHYSICS
from morphloop.motion import Clip
from morphloop.sim import default_body

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def data() -> Path:
    if not (SHARED / "data" / "splits.json").is_file():
        pytest.skip(f"no {SHARED / 'data'}: set MORPHLOOP_SHARED")
    return SHARED / "data"


def test_missing_data_is_named_and_a_set_that_was_asked_for_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORPHLOOP_SHARED", str(tmp_path))
    flags = ["--columns", "no_network", "--policy", "zero", "--limit", "1", "--seconds", "0.5"]
    out, page = tmp_path / "out", tmp_path / "page.md"
    assert main(["--out", str(out), *flags, "--markdown", str(page)]) == 0
    told = json.loads((out / "imitator.json").read_text())
    assert list(told["sets"]) == ["A"]
    assert [line[:5] for line in told["missing"]] == ["set B", "set C", "set D"]
    assert all(line in page.read_text() for line in told["missing"])
    capsys.readouterr()
    assert main(["--out", str(out), *flags, "--sets", "A,C"]) == 2
    assert "set C" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    assert main(["--out", str(out), *flags, "--sets", "D"]) == 2
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
    asked = ["--out", str(tmp_path / "out"), "--policy", "zero", *flags]
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
    ours = read_motion(clip_sets._amc(data() / "cmu" / "amc_npz" / "02_01.npz", tmp_path), 120.0)
    theirs = read_motion(data() / "cmu" / "02_01.amc", 120.0)
    assert isinstance(ours, Clip)
    assert isinstance(theirs, Clip)
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-4)


def test_an_aim_that_is_missed_is_shown_as_missed(made_row: Callable[..., Any]) -> None:
    rows = [made_row(1.0, 0.9, 30.0, 20.0)] * 9 + [made_row(0.0, -1.0, 900.0, 40.0)]
    controls = [{"before": {name: 1.0 for name in PHYSICS} | {"slide_mean_mm_s": 100.0}}] * 10
    cells = {over: bench_table.figures(rows[:stop], controls[:stop]) for over, stop in (("all", 10), ("successes", 9))}
    found = {(v.cell, v.over): v for v in aims.verdicts("A", "policy", cells)}
    assert not found["success", "all"].met  # 90 of 95 %
    assert {(v.cell, v.over): v for v in aims.verdicts("B", "policy", cells)}["success", "all"].met
    assert not found["physdiff_skate_mm_after", "successes"].met
    assert not found["skill_mean", "all"].met
    assert found["skill_mean", "successes"].met
    assert aims.verdicts("A", "no_network", cells) == []
    told = {
        "policy": "abc", "code": "x", "moving_m": 0.15, "seconds": 10.0,
        "optimiser_seconds": 10.0, "limit": None, "seed": 0, "missing": [], "unreplayed": [],
        "aims": [vars(v) for v in found.values()],
        "sets": {"A": {"title": "t", "clips": 10, "seconds": 30.0, "static": ["s"], "cut": [], "unreadable": {},
                       "frozen": cells["all"], "columns": {"policy": cells},
                       "failed": {"policy": {"c": "reached 4 %"}}}},
    }  # fmt: skip
    text = aims.page(told) + "\n\n" + bench_table.page(told)
    assert "90.0 % (>= 95.0 %: **missed**)" in text
    assert "0.90 (>= 0.75: met)" in text
    assert "1 static ones left out (s)" in text
    assert "c (reached 4 %)" in text
    heads = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(heads[-len(bench_table.CELLS) :]) == {heads[-1]}


def test_speed_is_timed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = speed.SpeedConfig(envs=4, steps=10, updates=1, walks=1, together=1, seconds=0.2, workers=0)
    kept: list[int] = []
    told = speed.measure_speed(config, keep=lambda part: kept.append(len(part)))
    assert kept == [5, 6, 7, 8, 9]
    environment = told["environment"]
    assert environment["ratio"] == pytest.approx(environment["env_steps_per_s"] / environment["raw_steps_per_s"])
    assert sum(environment["share"].values()) == pytest.approx(1.0)
    assert told["ppo"]["network"] == [384, 256]
    assert told["optimiser_walking"]["wall_s_per_s"] > 0
    text = speed.page(told)
    assert "256" not in text.split("network")[0]
    if told["cuda"] == speed.NO_CUDA:
        assert "no CUDA device" in text
    slow = told | {"optimiser_walking": told["optimiser_walking"] | {"wall_s_per_s": 7.0}}
    assert "<= 6: **missed**" in speed.page(slow)


def test_timings_that_were_killed_go_on_and_the_page_says_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    made = {"environment": {"ratio": 0.9}, "ppo": {"ratio": 0.5}, "cuda": speed.NO_CUDA}
    monkeypatch.setattr(speed, "env_over_raw", lambda *a: asked.append("environment") or made["environment"])
    monkeypatch.setattr(speed, "ppo_over_raw", lambda *a: asked.append("ppo") or made["ppo"])
    monkeypatch.setattr(speed, "_cuda", lambda *a: made["cuda"])
    monkeypatch.setattr(speed, "page", lambda told: "")

    def killed(*args: Any) -> Any:
        raise KeyboardInterrupt

    page, out = tmp_path / "page.md", tmp_path / "out"
    flags = ["--columns", "no_network", "--policy", "none", "--sets", "", "--limit", "2", "--speed"]
    words = ["--out", str(out), *flags, "--markdown", str(page)]
    monkeypatch.setattr(speed, "optimiser_speed", killed)
    assert main(words) == 130
    assert not (out / "speed.json").exists()
    monkeypatch.setattr(speed, "optimiser_speed", lambda clips, *a: asked.append("optimiser") or {"clips": 1})
    assert main(words) == 0
    assert asked == ["environment", "ppo", "optimiser", "optimiser"]
    told = json.loads((out / "speed.json").read_text())
    assert {name: told[name] for name in made} == made
    assert told["optimiser_together"] == {"clips": 1}
    assert main(words) == 0
    assert asked[4:] == ["environment", "ppo", "optimiser", "optimiser"], "what was done is timed anew if asked for"
    assert (
        "`python benchmarks/imitator/run.py --policy none --columns no_network --sets '' --limit 2 --speed`"
        in page.read_text()
    )
    changed = json.loads((out / "speed.json").read_text()) | {"code": "older"}
    (out / "speed.part.json").write_text(json.dumps(changed))
    assert main(words) == 0
    assert len(asked) == 12, "timings of other code are not gone on from"


def test_ablations_differ_in_one_thing_and_go_on(tmp_path: Path) -> None:
    config = ablations.AblationConfig(steps=64, envs=2, clips=2, held_out=1)
    base = ablations.variant_config("base", config, None)
    assert ablations.variant_config("vae", config, None) == replace(base, prior=replace(base.prior, kind="vae"))
    assert ablations.variant_config("no_contact_term", config, None).task.reward.slide == 0.0
    assert ablations.variant_config("even_starts", config, None).task.start_floor == 1.0
    assert ablations.variant_config("warm", config, tmp_path / "p").start == str(tmp_path / "p")


def test_an_ablation_from_another_policy_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations, "VARIANTS", {"warm": "start"})
    config = ablations.AblationConfig(steps=64, envs=2, clips=2, held_out=1, checkpoint_s=0.0)
    path, hashes = tmp_path / "policy.safetensors", []
    for seed in (0, 1):
        policy = new_policy(default_body(), hidden=(8,), seed=seed)
        policy.save(path)
        hashes.append(policy.hash[:8])
        told = ablations.run_ablations(tmp_path / "out", path, config)
        assert [row["env_steps"] for row in told["variants"]["warm"]["curve"]] == [64]
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == {f"warm_{name}" for name in hashes}


def test_an_ablation_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations, "VARIANTS", {"base": "nothing", "warm": "start"})
    config = ablations.AblationConfig(steps=64, envs=2, clips=2, held_out=1, checkpoint_s=0.0)
    ablations.run_ablations(tmp_path, None, config)
    told = ablations.run_ablations(tmp_path, None, replace(config, steps=128))
    assert [row["env_steps"] for row in told["variants"]["base"]["curve"]] == [64, 128]
    assert told["left_out"] == {"warm": "no policy file to start from"}
    assert json.loads((tmp_path / ablations.RESULT_FILE).read_text()) == told
    assert (tmp_path / ablations.CHART_FILE).read_bytes()[:4] == b"\x89PNG"
    text = ablations.page(told, "chart.png")
    assert "| base | nothing | 128 |" in text
    assert "Left out: warm" in text
