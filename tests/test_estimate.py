"""`project --dry-run`: what it would take is told, and nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from morphloop.cli import main
from morphloop.cli.estimates import duration, size
from morphloop.imitator import IlqrConfig, ProjectionConfig
from morphloop.imitator.optimal_control.pace import Pace, measure_pace
from morphloop.imitator.projection.project import job_of
from morphloop.motion import Clip, make_corpus, save_clip
from morphloop.refinement_loop import ProjectFolder
from morphloop.refinement_loop.estimates.parts import makespan
from morphloop.refinement_loop.estimates.projection import estimate_projection
from morphloop.sim import default_body

QUICK = ("--projection.projector", "policy", "--workers", "0")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [replace(clip.slice(0, 15), name=f"clip{k}") for k, clip in enumerate(make_corpus(3, 1))]


@pytest.fixture
def folder(tmp_path: Path, clips: list[Clip]) -> Path:
    for clip in clips:
        save_clip(tmp_path / "clips" / f"{clip.name}.npz", clip)
    return tmp_path / "clips"


def test_a_dry_run_tells_and_writes_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, table = tmp_path / "out", tmp_path / "estimate.json"
    asked = ["project", str(folder), "--out", str(out), *QUICK]
    assert main([*asked, "--dry-run", "--json", str(table)]) == 0
    assert not out.exists()
    told = json.loads(table.read_text())
    parts = {part["name"]: part for part in told["parts"]}
    assert list(parts) == ["read", "prepare", "policy", "measure and write"]
    assert all(part["clips"] == 3 and part["wall_s"] > 0 for part in parts.values())
    assert told["wall_s"] == pytest.approx(sum(part["wall_s"] for part in told["parts"]))
    assert "3 clips; 0." in capsys.readouterr().out
    assert main(asked) in (0, 1)
    written = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    size_of = sum(map(len, (data for path, data in written.items() if path.suffix in (".npz", ".json"))))
    assert told["bytes"] == pytest.approx(size_of, rel=0.5)
    save_clip(folder / "another.npz", replace(make_corpus(1, 2)[0].slice(0, 15), name="another"))
    assert main([*asked, "--dry-run"]) == 0
    assert "4 clips, 3 are done already;" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == written


def test_a_dry_run_refuses_what_the_run_would(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "theirs"
    out.mkdir()
    (out / "config.json").write_text("{}")
    assert main(["project", str(folder), "--out", str(out), *QUICK, "--dry-run"]) == 2
    assert "is not of `morphloop project`, expected a folder of its own" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["config.json"]


def test_what_the_optimiser_gets_is_told_by_its_plans(clips: list[Clip], tmp_path: Path) -> None:
    body, config = default_body(), ProjectionConfig(projector="optimiser", ilqr=IlqrConfig(hard_iterations=1))
    job = job_of(0, clips[0], config, body)
    pace = measure_pace([job.reference], body, config.ilqr, 0, 0.0)
    assert pace.workers == 1
    assert pace.first_s > 0
    assert pace.plan_s > 0
    rules = ProjectFolder(tmp_path / "out", body, None, config)
    found = estimate_projection(clips[:1], rules, 0, 0.0, of=3.0)
    assert [(part.name, part.clips) for part in found.parts] == [
        ("prepare", 3),
        ("optimiser", 3),
        ("measure and write", 3),
    ]
    assert found.wall_s > 0
    assert not (tmp_path / "out").exists()


def test_a_clip_takes_its_plans_and_clips_their_workers() -> None:
    pace = Pace(start_s=1.0, first_s=2.0, plan_s=0.5, workers=2)
    assert [pace.clip_s(frames, 5) for frames in (2, 6, 7, 31)] == [2.0, 2.0, 2.5, 4.5]
    assert makespan([3.0, 1.0, 1.0, 1.0], 2, 1.0) == 3.0
    assert makespan([3.0, 1.0], 2, 10.0) == 20.0
    assert [duration(s) for s in (0.2, 59.0, 200.0, 18_420.0)] == ["1 s", "59 s", "3 min 20 s", "5 h 7 min"]
    assert (size(2_400_000), size(3_200_000_000)) == ("2.4 MB", "3.2 GB")
