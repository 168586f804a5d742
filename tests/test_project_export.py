"""`project --to`: accepted clips in the files of trainers, with what the simulator saw and what was decided of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.motion import load_clip, load_rollout, read_manifest, read_motion, save_clip
from morphloop.sim import driven_body, standing


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A G1 that stands for a second and a half, projected and written in two layouts."""
    folder = tmp_path_factory.mktemp("project")
    save_clip(folder / "in" / "stand.npz", standing(driven_body("g1"), 1.5, 30.0))
    assert project(folder, "--to", "mjlab,gmr") == 0
    return folder


def project(folder: Path, *flags: str) -> int:
    return main(["project", str(folder / "in"), "--body", "g1", "--out", str(folder / "out"), "--workers", "0", *flags])


def test_accepted_clips_are_written_with_verdict_metrics_certificate_and_contacts(projected: Path):
    out, robot = projected / "out", driven_body("g1").robot
    (record,) = read_manifest(out)
    clip, rollout = load_clip(out / "clips" / "stand.npz"), load_rollout(out / "rollouts" / "stand.npz")
    for to, suffix, fps in (("mjlab", ".npz", 50.0), ("gmr", ".pkl", clip.fps)):
        folder = out / "export" / to
        assert sorted(path.name for path in folder.iterdir()) == sorted(["manifest.jsonl", f"stand{suffix}"])
        (row,) = read_manifest(folder)
        assert (row["file"], row["format"], row["verdict"]) == (f"stand{suffix}", to, "accepted")
        assert row["certificate"] == record["certificate"]
        assert row["metrics"] == record["after"]
        assert row["record"] == record["hash"]
        assert row["interpolated_from_fps"] == (None if fps == clip.fps else clip.fps)
        back = read_motion(folder / f"stand{suffix}", robot=robot)
        assert (back.fps, back.num_frames) == (fps, row["frames"])
        assert np.abs(back.root_pos - clip.resampled(fps).root_pos).max() < 1e-6
    masks = np.load(out / "export" / "mjlab" / "stand.npz")["foot_contact"]
    assert masks.shape == (row["frames"] if clip.fps == 50.0 else clip.resampled(50.0).num_frames, 2)
    assert masks.mean() == pytest.approx(rollout.foot_contact.mean(), abs=0.05)
    assert main(["verify", str(out)]) == 0


def test_written_again_what_is_stale_goes_and_a_blend_is_told(projected: Path):
    folder = projected / "out" / "export" / "mjlab"
    frames = read_manifest(folder)[0]["frames"]
    (folder / "gone.npz").write_bytes(b"")
    rows = read_manifest(folder)
    from morphloop.motion import write_manifest

    write_manifest(folder, [*rows, rows[0] | {"name": "gone", "file": "gone.npz"}])
    assert project(projected, "--to", "mjlab", "--blend", "0.4") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.jsonl", "stand.npz"]
    (row,) = read_manifest(folder)
    assert (row["blended_s"], row["frames"]) == (0.4, frames + 40)
    data = np.load(folder / "stand.npz")
    assert len(data["foot_contact"]) == len(data["joint_pos"]) == frames + 40


def test_bad_layouts_are_told_before_anything_is_done(projected: Path, capsys: pytest.CaptureFixture[str]):
    for flags, words in (
        (("--to", "mjlab,fbx"), "no layout 'fbx' for a robot, expected one of clip, bvh, mjlab"),
        (("--to", "mjlab,mjlab"), "a layout twice"),
        (("--to", "amass"), "no layout 'amass' for a robot"),
        (("--blend", "1"), "expected --to LAYOUT"),
    ):
        assert project(projected, *flags) == 2
        assert words in capsys.readouterr().err
