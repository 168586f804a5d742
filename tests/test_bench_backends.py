"""The same policy on both backends: the CPU's figures are the projector's, Warp's come close, verdicts are compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import backends as bench_backends
import numpy as np
import pytest
from run import main

pytest.importorskip("mujoco_warp")

from morphloop.envs import prepare
from morphloop.imitator.bench.bench import zero_policy
from morphloop.imitator.bench.sets import corpus_set, cut
from morphloop.imitator.projection.config import ProjectionConfig
from morphloop.imitator.projection.project import project_clips
from morphloop.motion import Clip
from morphloop.sim import default_body

SECONDS, JUMP = 0.6, 10


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """A short clip, and another whose reference is suddenly two metres away, which nobody follows."""
    whole, broken = (cut(clip, SECONDS) for clip in corpus_set(10.0, 2).clips)
    away = broken.root_pos.copy()
    away[JUMP:, 0] += 2.0
    return [whole, replace(broken, root_pos=away)]


@pytest.fixture(scope="module")
def told(clips: list[Clip]) -> dict[str, Any]:
    return bench_backends.compare_backends(zero_policy(default_body()), clips, default_body(), "cpu", lambda *_: None)


def test_the_cpu_says_what_projection_says(clips: list[Clip], told: dict[str, Any]) -> None:
    policy, body = zero_policy(default_body()), default_body()
    for projection in project_clips(clips, policy, ProjectionConfig(projector="policy"), body=body):
        row = told["backends"]["cpu"]["per_clip"][projection.source.name]
        assert all(row[name] == projection.tracking[name] for name in (*bench_backends.VERDICTS, "e_mpjpe_mm"))
        assert projection.clip is not None
        assert row["reached"] == (projection.clip.num_frames - 1) / (prepare(projection.source, body).num_frames - 1)


def test_warp_comes_close_and_both_lose_the_same(clips: list[Clip], told: dict[str, Any]) -> None:
    cpu, warp = (told["backends"][name] for name in bench_backends.BACKENDS)
    good, bad = (clip.name for clip in clips)
    for part in (cpu, warp):
        assert part["success"] == 0.5
        assert part["per_clip"][good]["reached"] == 1.0
        assert part["per_clip"][bad]["reached"] < 1.0
        assert part["e_mpjpe_mm"] == part["per_clip"][good]["e_mpjpe_mm"]  # successes alone
        assert part["diverged"] == part["overflow"] == 0
        assert part["steps_per_s"] > 0
    ours, theirs = (part["per_clip"][good]["e_mpjpe_mm"] for part in (cpu, warp))
    assert ours == pytest.approx(theirs, abs=1.0)
    assert ours != theirs  # single against double precision: the same number means that one backend ran twice
    assert cpu["per_clip"][bad]["reached"] == warp["per_clip"][bad]["reached"]
    assert told["differ"] == {"success": [], "success_strict": []}


def test_clips_that_differ_are_named(told: dict[str, Any]) -> None:
    ours = told["backends"]["cpu"]["per_clip"]
    name = next(iter(ours))
    theirs = ours | {name: ours[name] | {"success": 0.0}}
    found = bench_backends.differing(ours, theirs)
    assert found == {"success": [name], "success_strict": []}
    about = {"set": "A", "clips": 2, "seconds": 1.2, "policy": "abc", "cuda": False}
    text = bench_backends.page(about | told | {"differ": found})
    assert f"Clips whose success differs: 1 of 2: {name}." in text
    assert "no CUDA device" in text
    heads = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len(heads) == 4
    assert len(set(heads)) == 1


def test_the_command_writes_them(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_backends, "load_set", lambda *_: replace(corpus_set(10.0, 1), clips=clips[:1]))
    out, markdown = tmp_path / "out", tmp_path / "page.md"
    flags = ["--sets", "", "--backends", "--limit", "1", "--policy"]
    assert main(["--out", str(out), *flags, "zero", "--markdown", str(markdown)]) == 0
    told = json.loads((out / "imitator.json").read_text())["backends"]
    assert list(told["backends"]) == ["cpu", "warp"]
    assert np.isclose(told["seconds"], clips[0].duration)
    assert bench_backends.page(told) in markdown.read_text()
    capsys.readouterr()
    assert main(["--out", str(out), *flags, "none", "--columns", "auto"]) == 2
    assert "--backends: needs a policy" in capsys.readouterr().err
