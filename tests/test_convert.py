"""`morphloop convert`: batches, one line for what fails, free names, whole files, and what the JSON says."""

import json
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli import convert, main
from morphloop.motion import FORMATS, Clip, JointTrack, load_clip, make_corpus, read_manifest, read_motion, save_clip
from morphloop.motion.writers import write_humanml3d_joints
from morphloop.motion.writers.smplx import SMPLX_SCALE
from morphloop.sim import driven_body, standing

LAYOUTS = {
    "clip": ".npz",
    "humanml3d-joints": ".npy",
    "humanml3d-263": ".npy",
    "amass": ".npz",
    "bvh": ".bvh",
    "mjlab": ".npz",
    "smplx": ".npz",
    "lafan-bvh": ".bvh",
}


def made(out: Path) -> list[Path]:
    """What was written, less the manifest beside it."""
    return sorted(path for path in out.iterdir() if path.name != "manifest.jsonl")


def run(capsys, *args):
    """Exit code and the lines of stderr."""
    code = main(["convert", *[str(arg) for arg in args]])
    return code, capsys.readouterr().err.strip().splitlines()


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "in"
    for clip in make_corpus(2, 5):
        save_clip(folder / f"{clip.name}.npz", clip)
    return folder


@pytest.mark.parametrize("to", LAYOUTS)
def test_every_layout_keeps_the_names_and_reports(tmp_path, clips, capsys, to):
    out = tmp_path / "out"
    code, lines = run(capsys, clips, "--out", out, "--to", to, "--json", tmp_path / "r" / "r.json")
    assert (code, lines) == (0, [])
    assert [p.name for p in made(out)] == sorted(p.stem + LAYOUTS[to] for p in clips.iterdir())
    report = json.loads((tmp_path / "r" / "r.json").read_text())
    assert (report["schema"], report["to"], report["failed"]) == (1, to, [])
    for row in report["clips"]:
        motion = read_motion(row["out"], 20 if to == "humanml3d-joints" else None)
        assert (row["frames"], row["fps"]) == (motion.num_frames, motion.fps)
        assert row["name"] == Path(row["path"]).stem
        rate = FORMATS[to].fps or 30
        did = [f"resampled from 30 to {rate:g} fps"] if rate != 30 else []
        if to == "smplx":
            did.append(f"put on SMPL-X's mean body, scaled by {SMPLX_SCALE:.4g}")
        if to == "humanml3d-263":
            did.append("put on HumanML3D's body, floor and heading; a frame less")
        assert row["did"] == did


def test_bad_files_are_named_and_the_rest_goes_on(tmp_path, clips, capsys):
    (clips / "truncated.npz").write_bytes(b"PK\x03\x04")
    (clips / "bad.bvh").write_text("HIERARCHY\n")
    out = tmp_path / "out"
    code, lines = run(
        capsys, clips, tmp_path / "absent.bvh", "--out", out, "--to", "bvh", "--json", tmp_path / "r.json"
    )
    assert code == 2
    assert len(lines) == 3
    for name in ("truncated.npz", "bad.bvh", "absent.bvh"):
        assert sum(name in line for line in lines) == 1
    assert len(made(out)) == 2
    failed = json.loads((tmp_path / "r.json").read_text())["failed"]
    assert {Path(row["path"]).name for row in failed} == {"truncated.npz", "bad.bvh", "absent.bvh"}


def test_nothing_is_overwritten_unless_asked(tmp_path, clips, capsys):
    out = tmp_path / "out"
    assert run(capsys, clips, "--out", out, "--to", "bvh")[0] == 0
    before = {p: p.read_bytes() for p in made(out)}
    for path in before:
        path.write_bytes(b"mine")
    code, lines = run(capsys, clips, "--out", out, "--to", "bvh")
    assert code == 2
    assert all("--overwrite" in line for line in lines)
    assert all(path.read_bytes() == b"mine" for path in before)
    assert run(capsys, clips, "--out", out, "--to", "bvh", "--overwrite")[0] == 0
    assert {p: p.read_bytes() for p in made(out)} == before


def test_two_inputs_of_one_name_do_not_meet(tmp_path, clips, capsys):
    name = next(clips.iterdir()).name
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_bytes((clips / name).read_bytes())
    out = tmp_path / "out"
    code, lines = run(capsys, clips / name, tmp_path / "other" / name, "--out", out, "--to", "amass", "--overwrite")
    assert code == 2
    assert len(lines) == 1
    assert f"was just made from {clips / name}" in lines[0]
    assert len(made(out)) == 1


def test_subfolders_are_kept(tmp_path, clips, capsys):
    (clips / "subject").mkdir()
    name = next(clips.glob("*.npz")).name
    (clips / "subject" / name).write_bytes((clips / name).read_bytes())
    assert run(capsys, clips, "--out", tmp_path / "out", "--to", "amass")[0] == 0
    assert (tmp_path / "out" / "subject" / name).is_file()
    assert (tmp_path / "out" / name).is_file()


def test_joint_positions_are_fitted_and_the_report_says_so(tmp_path, capsys):
    write_humanml3d_joints(tmp_path / "in" / "walk.npy", make_corpus(1, 1)[0].resampled(20.0))
    code, lines = run(capsys, tmp_path / "in", "--out", tmp_path / "out", "--to", "clip")
    assert code == 2
    assert "--fps" in lines[0]
    args = (tmp_path / "in", "--out", tmp_path / "out", "--to", "clip", "--fps", 20, "--json", tmp_path / "r.json")
    assert run(capsys, *args)[0] == 0
    clip = load_clip(tmp_path / "out" / "walk.npz")
    assert isinstance(clip, Clip)
    assert clip.provenance.stage == "fit"
    (said,) = json.loads((tmp_path / "r.json").read_text())["clips"][0]["did"]
    assert "rotations fitted to joint positions" in said
    assert "raised 24.6 mm" in said


def test_output_rate(tmp_path, clips, capsys):
    assert run(capsys, clips, "--out", tmp_path / "out", "--to", "amass", "--out-fps", 60)[0] == 0
    assert {read_motion(p).fps for p in made(tmp_path / "out")} == {60.0}
    code, lines = run(capsys, clips, "--out", tmp_path / "rows", "--to", "humanml3d-263", "--out-fps", 30)
    assert code == 2
    assert all("expected 20" in line for line in lines)
    assert list((tmp_path / "rows").iterdir()) == []


def test_provenance_of_a_clip_survives(tmp_path, capsys):
    clip = make_corpus(1, 1)[0].with_provenance(stage="generate", prompt="a person walks", seed=7, round=2)
    save_clip(tmp_path / "in" / "a.npz", clip)
    assert run(capsys, tmp_path / "in", "--out", tmp_path / "out", "--to", "clip")[0] == 0
    back = load_clip(tmp_path / "out" / "a.npz")
    assert back.provenance == clip.provenance
    assert back.id == load_clip(tmp_path / "in" / "a.npz").id


def test_a_file_of_several_motions_makes_several(tmp_path, capsys, monkeypatch):
    clip = make_corpus(1, 1)[0]

    def fails():
        raise MotionError("in.pkl:b: no frames")

    def two(path, fps, robot, how):
        yield "in:a/x", lambda: clip
        yield "in:b", fails

    monkeypatch.setattr("morphloop.motion.read_motions", two)
    save_clip(tmp_path / "in.npz", clip)
    code, lines = run(capsys, tmp_path / "in.npz", "--out", tmp_path / "out", "--to", "bvh")
    assert code == 2
    assert len(lines) == 1
    assert [p.name for p in made(tmp_path / "out")] == ["in_a_x.bvh"]


def test_usage_errors(tmp_path, clips, capsys):
    assert run(capsys, clips, "--out", tmp_path / "out", "--to", "fbx")[0] == 2
    assert run(capsys, "--out", tmp_path / "out", "--to", "bvh")[0] == 2
    code, lines = run(capsys, clips, "--out", tmp_path / "out", "--to", "bvh", "--body", "smpl")
    assert code == 2
    assert "not a robot" in lines[-1]
    code, lines = run(capsys, clips, "--out", clips / next(clips.iterdir()).name, "--to", "bvh")
    assert code == 2
    assert "cannot write here" in lines[-1]
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_write_that_fails_leaves_nothing(tmp_path, clips, capsys, monkeypatch):
    def fails(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fails)
    assert run(capsys, clips, "--out", tmp_path / "out", "--to", "amass")[0] == 2
    assert list((tmp_path / "out").iterdir()) == []


def test_words_for_what_was_done():
    clip = make_corpus(1, 1)[0]
    track = JointTrack(20.0, ("a",), np.zeros((2, 1, 3)))
    assert convert._changes(clip, clip, "bvh") == []
    assert convert._changes(track, track.resampled(40.0), "humanml3d-joints") == ["resampled from 20 to 40 fps"]


def test_the_manifest_tells_rate_verdict_and_metrics_and_keeps_other_rows(tmp_path, capsys):
    clip = make_corpus(1, 1)[0].with_provenance(
        simulator="MuJoCo", verdict="accepted", metrics={"slide_mean_mm_s": 3.5}, prompt="a person walks"
    )
    save_clip(tmp_path / "in" / "a.npz", clip)
    save_clip(tmp_path / "more" / "b.npz", make_corpus(1, 1)[0])
    out = tmp_path / "out"
    args = ("--to", "mjlab", "--json", tmp_path / "r.json")
    assert run(capsys, tmp_path / "in", "--out", out, *args)[0] == 0
    (row,) = read_manifest(out)
    back = read_motion(out / "a.npz")
    assert (row["name"], row["file"], row["format"]) == ("a", "a.npz", "mjlab")
    assert (row["fps"], row["frames"], row["interpolated_from_fps"]) == (50.0, back.num_frames, 30.0)
    assert (row["verdict"], row["metrics"], row["certificate"]) == ("accepted", {"slide_mean_mm_s": 3.5}, None)
    assert row["prompt"] == "a person walks"
    did = json.loads((tmp_path / "r.json").read_text())["clips"][0]["did"]
    assert did == ["resampled from 30 to 50 fps", "interpolated between what physics did at 30 Hz"]
    assert run(capsys, tmp_path / "more", "--out", out, *args)[0] == 0
    assert [row["file"] for row in read_manifest(out)] == ["a.npz", "b.npz"]
    assert read_manifest(out)[1]["interpolated_from_fps"] is None
    assert run(capsys, tmp_path / "in", "--out", out, *args, "--overwrite")[0] == 0
    assert [row["file"] for row in read_manifest(out)] == ["b.npz", "a.npz"]


def test_robots_are_written_with_contacts_names_and_a_way_from_the_stand(tmp_path, capsys):
    body = driven_body("g1")
    stand = standing(body, 1.0, 50.0)
    save_clip(tmp_path / "in" / "stand.npz", stand)
    for to, suffix in (("wbt", ".npz"), ("unitree-csv", ".csv"), ("protomotions", ".motion")):
        out = tmp_path / to
        assert run(capsys, tmp_path / "in", "--out", out, "--to", to, "--body", "g1", "--blend", 0.5)[0] == 0
        (row,) = read_manifest(out)
        assert row["blended_s"] == 0.5
        assert row["frames"] == (101 if to != "unitree-csv" else 61)
        assert row.get("joint_names") == (None if to == "wbt" else list(body.robot.hinge_names))
        assert [path.suffix for path in made(out)] == [suffix]
    data = np.load(tmp_path / "wbt" / "stand.npz")
    assert data["foot_contact"].shape == (101, 2)
    assert data["foot_contact"].all()
    code, lines = run(capsys, tmp_path / "in", "--out", tmp_path / "no", "--to", "gmr")
    assert code == 2
    assert "layout 'gmr' holds a robot's motion, expected --body" in lines[-1]


def test_blend_is_refused_for_joint_positions(tmp_path, clips, capsys):
    code, lines = run(capsys, clips, "--out", tmp_path / "out", "--to", "humanml3d-joints", "--blend", 1)
    assert code == 2
    assert "it holds joint positions" in lines[-1]


def test_a_folder_that_project_wrote_is_refused(tmp_path, clips, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text(json.dumps({"projection": {}, "selection": {}}))
    code, lines = run(capsys, clips, "--out", tmp_path / "out", "--to", "bvh")
    assert code == 2
    assert "expected a folder of its own" in lines[-1]
