"""The imitator's bench: every row once, whatever is killed, on the corpus and on clips that a user hands in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.still_valid import hash_code
from morphloop.cli import main
from morphloop.envs import prepare
from morphloop.imitator import new_policy
from morphloop.imitator.bench import bench
from morphloop.imitator.bench import table as bench_table
from morphloop.imitator.bench.bench import CONTROL, ROWS_FILE, BenchRun, run_bench, zero_policy
from morphloop.imitator.bench.config import BenchConfig
from morphloop.imitator.bench.sets import CORPUS_CLIPS, CORPUS_SEED, BenchSet, corpus_set, cut, moves
from morphloop.imitator.projection import project as projection
from morphloop.metrics import frozen_pose, measure, track_errors
from morphloop.motion import make_corpus, save_clip
from morphloop.sim import default_body

TINY = BenchConfig(columns=("no_network", "policy"), limit=2, seconds=1.0, optimiser_seconds=1.0)


def corpus(limit: int = 2) -> list[BenchSet]:
    """Clips of set A."""
    return [corpus_set(1.0, limit)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> BenchRun:
    """Two clips of set A, in two columns."""
    return run_bench(zero_policy(default_body()), folder, corpus(), TINY)


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
    again = run_bench(zero_policy(default_body()), tmp_path, corpus(), TINY)
    assert asked == [json.loads(lines[-1])["id"]]
    rows = rows_of(tmp_path)
    assert [row["key"] for row in rows] == [json.loads(line)["key"] for line in lines]
    assert {k: r["tracking"] for k, r in again.rows.items() if k[1] != CONTROL} == {
        k: r["tracking"] for k, r in tiny.rows.items() if k[1] != CONTROL
    }
    asked.clear()
    harder = replace(TINY.projection, ilqr=replace(TINY.projection.ilqr, horizon=5))
    run_bench(zero_policy(default_body()), tmp_path, corpus(), replace(TINY, projection=harder))
    assert asked == []  # the optimiser has no part in a policy alone
    other = replace(TINY.projection, conditioning=replace(TINY.projection.conditioning, smooth=True))
    run_bench(zero_policy(default_body()), tmp_path, corpus(), replace(TINY, projection=other, columns=("policy",)))
    assert len(asked) == 2


def test_what_the_optimiser_made_is_there_for_the_next_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(TINY, columns=("auto",), limit=1)
    first = run_bench(None, tmp_path, corpus(1), config, workers=0)

    def never(*args: Any) -> Any:
        raise AssertionError("a clip is optimised again")

    monkeypatch.setattr(projection, "track_clips", never)
    lossy = new_policy(default_body(), seed=1)
    with torch.no_grad():
        lossy.actor[-1].bias.fill_(2.0)  # type: ignore[union-attr, operator]
    again = run_bench(lossy, tmp_path, corpus(1), config, workers=0)
    (old,), (new,) = ([row for row in run.rows.values() if row["column"] == "auto"] for run in (first, again))
    assert new["projector"] == "optimiser", "that policy fails"
    assert new["tracking"] == old["tracking"]
    assert new["after"] == old["after"]
    assert new["wall_s"] > old["wall_s"], "the policy's time is added to the optimiser's"
    other = replace(config.projection, ilqr=replace(config.projection.ilqr, replan=3))
    with pytest.raises(AssertionError, match="optimised again"):
        run_bench(lossy, tmp_path, corpus(1), replace(config, projection=other), workers=0)


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    (tmp_path / ROWS_FILE).write_text("{}\n")
    with pytest.raises(MotionError, match=r"rows.jsonl:1: not a row"):
        run_bench(None, tmp_path, corpus(), replace(TINY, columns=("no_network",)))


def test_static_clips_are_left_out_and_named() -> None:
    clips = make_corpus(CORPUS_CLIPS, CORPUS_SEED, "test")
    found = corpus_set(10.0)
    assert found.static
    assert all(name.startswith("idle") for name in found.static)
    assert len(found.clips) + len(found.static) == len(clips)
    assert not moves(replace(clips[0], root_pos=clips[0].root_pos[:1], rotations=clips[0].rotations[:1]))
    assert cut(clips[0], 1.0).duration == pytest.approx(1.0, abs=0.5 / clips[0].fps)


def test_cells_are_means_over_the_clips_that_have_them(made_row: Callable[..., Any]) -> None:
    rows = [
        made_row(1.0, 0.9, 30.0, 20.0),
        made_row(1.0, 0.7, 50.0, None, "optimiser"),
        made_row(0.0, -1.0, 900.0, 40.0),
    ]
    before = [{"before": {name: 1.0 for name in bench.PHYSICS} | {"slide_mean_mm_s": v}} for v in (100.0, 7.0, 200.0)]
    cells = bench_table.figures(rows, before)
    assert cells["success"] == pytest.approx(2 / 3)
    assert cells["e_mpjpe_mm"] == 40.0
    assert cells["skill_mean"] == pytest.approx(0.2)
    assert cells["skill_median"] == 0.7
    assert cells["slide_after_over_before"] == pytest.approx(60 / 300)
    assert cells["optimised"] == pytest.approx(1 / 3)
    assert cells["seconds_per_second"] == 2.0
    low, high = cells["success_ci95"]
    assert low < 2 / 3 < high
    nothing = bench_table.figures([], [])
    assert nothing["success"] is None
    assert nothing["slide_after_over_before"] is None


def test_a_bench_of_ones_own_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Moving or not, from files and folders; what cannot be read is named and the rest is done."""
    moving, still = (clip.slice(0, 16) for clip in (corpus(1)[0].clips[0], corpus(1)[0].clips[0]))
    still = replace(still, root_pos=still.root_pos[:1].repeat(16, 0), rotations=still.rotations[:1].repeat(16, 0))
    (tmp_path / "clips").mkdir()
    save_clip(tmp_path / "clips" / "walk.npz", moving)
    save_clip(tmp_path / "still.npz", still)
    (tmp_path / "clips" / "broken.npz").write_bytes(b"no archive")
    out, page = tmp_path / "out", tmp_path / "page.md"
    flags = ["--columns", "policy", "--policy", "zero", "--workers", "0", "--markdown", str(page)]
    words = [
        "bench",
        "imitator",
        "--out",
        str(out),
        *flags,
        "--clips",
        str(tmp_path / "clips"),
        str(tmp_path / "still.npz"),
    ]
    assert main(words) == 2
    assert "broken.npz" in capsys.readouterr().err
    told = json.loads((out / "imitator.json").read_text())
    (found,) = told["sets"].values()
    assert found["clips"] == found["columns"]["policy"]["all"]["clips"] == 2
    assert found["static"] == []
    assert [Path(name).name for name in found["unreadable"]] == ["broken.npz"]
    assert {row["name"] for row in rows_of(out)} == {"walk", "still"}
    assert "static" not in page.read_text()
    assert "Not readable: " in page.read_text()


def test_no_clip_at_all_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "imitator", "--out", str(tmp_path / "out"), "--clips", str(tmp_path)]) == 2
    assert "no clip that can be read" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--columns", "magic"], "no column 'magic'"),
        (["--limit", "0"], "--limit: 0"),
        (["--policy", "none"], "column 'policy' needs a policy"),
        (["--sets", "B"], "--sets: "),
        (["--data=folder"], "--data: "),
        (["--speed"], "`python benchmarks/imitator/run.py`, which takes this flag"),
        (["--ablation_steps", "5"], "--ablation-steps: "),
    ],
)
def test_bad_input_is_one_line(flags: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "imitator", "--out", str(tmp_path / "out"), "--policy", "zero", *flags]
    assert main(asked) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert line in said[0]
