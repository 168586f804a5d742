"""`morphloop evaluate`, run as its dataclass: the JSON that it writes, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli.evaluate import Evaluate
from morphloop.metrics import METRICS
from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, Clip, JointTrack, save_clip
from morphloop.motion.rotations import quat_from_rotvec
from morphloop.sim import default_body
from morphloop.sim.bodies.smpl_table import SOLE_HEIGHT


def sliding(speed: float = 0.1, frames: int = 61) -> Clip:
    """Soles on the ground, arms swinging, the root sliding forward."""
    times = np.arange(frames) / 30.0
    rotations = np.zeros((frames, 24, 4))
    rotations[..., 0] = 1.0
    swing = np.stack([0 * times, np.sin(2 * np.pi * times), 0 * times], axis=1)
    rotations[:, DEFAULT_SKELETON.index("left_shoulder")] = quat_from_rotvec(swing)
    root = np.stack([speed * times, 0 * times, 0 * times - SOLE_HEIGHT], axis=1)
    return Clip(30.0, DEFAULT_SKELETON, root, rotations)


def read(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_json_holds_clips_summary_and_controls(tmp_path: Path) -> None:
    save_clip(tmp_path / "in" / "slow.npz", sliding(0.1))
    save_clip(tmp_path / "in" / "fast.npz", sliding(0.3))
    track = JointTrack(30.0, HUMANML3D_JOINTS, sliding(0.2).positions[:, :22])
    save_clip(tmp_path / "in" / "track.npz", track)
    assert Evaluate(paths=(tmp_path / "in",), json=tmp_path / "out.json").run() == 0
    found = read(tmp_path / "out.json")
    assert found["schema"] == 1
    assert found["failed"] == []
    assert [clip["name"] for clip in found["clips"]] == ["fast", "slow", "track"]
    fast = found["clips"][0]
    assert (fast["frames"], fast["fps"], fast["variant"], fast["ground"]) == (61, 30.0, "surface", "as-is")
    assert (fast["body"], found["clips"][2]["body"]) == (f"smpl24 {default_body().hash}", None)
    assert fast["metrics"]["slide_mean_mm_s"] == pytest.approx(300.0, abs=0.5)
    assert {metric.name for metric in METRICS.measured} == set(fast["metrics"])
    assert set(found["summary"]) == {"surface", "joints"}
    assert found["summary"]["surface"]["slide_mean_mm_s"]["mean"] == pytest.approx(200.0, abs=0.5)
    assert found["summary"]["joints"]["slide_mean_mm_s"]["mean"] == pytest.approx(200.0, abs=0.5)
    assert found["summary"]["joints"]["slide_mean_mm_s"]["ci95"] is None
    assert set(found["controls"]["clean_mocap"]) == {"surface", "joints"}
    assert set(found["controls"]["clean_mocap"]["joints"]) < set(METRICS)
    frozen = found["controls"]["frozen_pose"]
    for variant in ("surface", "joints"):
        assert frozen[variant]["slide_mean_mm_s"]["mean"] == pytest.approx(200.0, abs=0.5)


def test_a_bad_file_is_named_and_the_rest_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_clip(tmp_path / "good.npz", sliding())
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not really")
    paths = (tmp_path / "broken.npz", tmp_path / "good.npz", tmp_path / "absent.npz")
    assert Evaluate(paths=paths, json=tmp_path / "out.json").run() == 2
    found = read(tmp_path / "out.json")
    assert [clip["name"] for clip in found["clips"]] == ["good"]
    assert [Path(row["path"]).name for row in found["failed"]] == ["absent.npz", "broken.npz"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("morphloop: ")]
    assert len(lines) == 2
    assert all(row["reason"] and "\n" not in row["reason"] for row in found["failed"])


def test_nothing_readable_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert Evaluate(paths=(tmp_path / "empty",), json=tmp_path / "out.json").run() == 2
    assert read(tmp_path / "out.json")["clips"] == []
    with pytest.raises(MotionError, match="no motion file"):
        Evaluate(paths=()).run()


def test_a_result_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip.npz", sliding())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MotionError, match="cannot write"):
        Evaluate(paths=(tmp_path / "clip.npz",), json=tmp_path / "file" / "out.json").run()
    with pytest.raises(MotionError, match="is a folder"):
        Evaluate(paths=(tmp_path / "clip.npz",), json=tmp_path / "out.json", html=tmp_path).run()
    assert not (tmp_path / "out.json").exists()


def test_reference_gives_tracking_errors_and_the_frozen_control(tmp_path: Path) -> None:
    reference = sliding()
    save_clip(tmp_path / "reference" / "clip.npz", reference)
    save_clip(tmp_path / "in" / "clip.npz", reference.moved(np.array([0.0, 0.1, 0.0])))
    save_clip(tmp_path / "in" / "stray.npz", reference)
    command = Evaluate(paths=(tmp_path / "in",), reference=tmp_path / "reference", json=tmp_path / "out.json")
    assert command.run() == 2
    found = read(tmp_path / "out.json")
    assert [clip["name"] for clip in found["clips"]] == ["clip"]
    assert found["clips"][0]["metrics"]["e_g_mpjpe_mm"] == pytest.approx(100.0, abs=1e-3)
    assert found["clips"][0]["metrics"]["skill"] == pytest.approx(1.0, abs=1e-3)
    assert found["controls"]["frozen_pose"]["surface"]["skill"]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert found["controls"]["frozen_pose"]["surface"]["success"]["mean"] == 1.0
    assert "stray" in found["failed"][0]["reason"]


def test_table_shows_clips_summary_and_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_clip(tmp_path / "clip.npz", sliding())
    assert Evaluate(paths=(tmp_path / "clip.npz",)).run() == 0
    out = capsys.readouterr().out
    for words in ("variant surface", "ground as-is", "median", "frozen", "mocap"):
        assert words in out


def test_ground_is_a_choice_that_stands_in_the_result(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip.npz", sliding().moved(np.array([0.0, 0.0, 0.05])))
    for ground, floating in (("as-is", 50.0), ("robust", 0.0), ("lowest", 0.0)):
        assert Evaluate(paths=(tmp_path / "clip.npz",), ground=ground, json=tmp_path / "out.json").run() == 0
        row = read(tmp_path / "out.json")["clips"][0]
        assert row["ground"] == ground
        assert row["metrics"]["float_mean_mm"] == pytest.approx(floating, abs=1e-3)
        assert row["metrics"]["ground_offset_mm"] == pytest.approx(50.0, abs=1e-3)


def shared_data() -> Path:
    root = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"no {root / 'data'}: clips of published generators are needed, set MORPHLOOP_SHARED")
    return root / "data"


def test_published_generators_outputs_are_measured(tmp_path: Path) -> None:
    folder = shared_data() / "generated" / "joints22"
    assert Evaluate(paths=(folder,), json=tmp_path / "out.json").run() == 0
    found = read(tmp_path / "out.json")
    assert len(found["clips"]) == len(list(folder.glob("*.npz")))
    slides = found["summary"]["joints"]["slide_mean_mm_s"]
    assert slides["ci95"][0] < slides["mean"] < slides["ci95"][1]
