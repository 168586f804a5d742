"""`morphloop render`: videos and strips of files, robots with their bodies, bad input in one line each."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from morphloop.cli import main
from morphloop.motion import Clip, JointTrack, make_corpus, save_clip
from morphloop.sim import gl_available, load_body
from morphloop.sim.drawing import gl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short clips of a person, one at another rate, a track of its joints, and a clip of the G1."""
    place = tmp_path_factory.mktemp("clips")
    clip = make_corpus(1, seed=2)[0].slice(0, 10)
    save_clip(place / "walk.npz", clip)
    save_clip(place / "slow.npz", clip.resampled(20.0))
    joints = JointTrack(clip.fps, clip.skeleton.names, clip.positions, name="joints")
    save_clip(place / "joints.npz", joints)
    g1 = load_body("g1")
    states = np.tile(g1.model.qpos0, (10, 1))
    robot = g1.clip_from_qpos(states, 30.0, "robot")
    save_clip(place / "robot.npz", robot.with_provenance(notes={"robot": "g1"}))
    return place


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_clips_of_two_rates_stand_side_by_side(folder: Path, tmp_path: Path):
    out = tmp_path / "new" / "both.mp4"
    files = [str(folder / f"{name}.npz") for name in ("walk", "slow")]
    sizes = ["--out-fps", "15", "--size", "160", "184", "--renderer", "figure"]
    assert main(["render", *files, "--out", str(out), *sizes]) == 0
    frames = imageio.mimread(out, memtest=False)
    assert frames[0].shape[:2] == (184, 320)
    assert len(frames) == 5
    with imageio.get_reader(out) as reader:
        assert reader.get_meta_data()["fps"] == 15
    left, right = np.split(frames[0].astype(float), 2, axis=1)
    assert np.abs(left[40:] - right[40:]).mean() < 2.0, "the same pose at the same moment"


def test_a_gif_has_the_rate_that_was_asked_for(folder: Path, tmp_path: Path):
    out = tmp_path / "walk.gif"
    assert main(["render", str(folder / "walk.npz"), "--out", str(out), "--renderer", "figure"]) == 0
    with Image.open(out) as picture:
        assert (picture.format, picture.n_frames) == ("GIF", 4)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_strip_has_a_row_for_each_of_a_folder(folder: Path, tmp_path: Path):
    out = tmp_path / "all.png"
    assert main(["render", str(folder), "--out", str(out), "--frames", "3", "--size", "96", "120"]) == 0
    with Image.open(out) as picture:
        assert picture.size == (3 * 96, 4 * 120)
        rows = np.split(np.asarray(picture.convert("RGB")).astype(int), 4)
    assert all((np.abs(row - row[2, 2]).max(axis=-1) > 40).sum() > 200 for row in rows), "no row is empty"


def test_a_robot_is_drawn_with_its_body(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    if gl_available() is None:
        pytest.skip("no GL on this machine")
    out = tmp_path / "robot.mp4"
    assert main(["render", str(folder / "robot.npz"), "--out", str(out), "--renderer", "mujoco"]) == 0
    assert capsys.readouterr().out.endswith("drawn by mujoco\n")
    frame = imageio.mimread(out, memtest=False)[0].astype(int)
    dark = frame[..., :3].max(axis=-1) < 110
    assert dark.sum() > 300, "the G1's feet and joints are dark"


def test_without_gl_the_stick_figure_draws(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    gl.gl_available.cache_clear()
    try:
        out = tmp_path / "robot.mp4"
        assert main(["render", str(folder / "robot.npz"), "--out", str(out)]) == 0
        assert capsys.readouterr().out.endswith("drawn by figure\n")
        assert main(["render", str(folder / "robot.npz"), "--out", str(out), "--renderer", "mujoco"]) == 2
        assert "no" in said(capsys)[0]
    finally:
        gl.gl_available.cache_clear()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["walk.npz", "--out", "x.avi"], "expected .mp4, .gif, .png"),
        (["walk.npz", "--out", "x.mp4", "--size", "321", "360"], "multiples of 8"),
        (["walk.npz", "--out", "x.mp4", "--size", "8", "8"], "expected 32 to 2048"),
        (["absent.npz", "--out", "x.mp4"], "absent.npz"),
        (["walk.npz", "--out", "walk.npz.png"], "holds something else"),
        (["walk.npz", "walk.npz", "--out", "x.mp4", "--body", "gone.xml"], "gone.xml: no such body"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(folder)
    (folder / "walk.npz.png").write_bytes(b"not a picture")
    assert main(["render", *words]) == 2
    (line,) = said(capsys)
    assert expected in line


def test_too_many_are_refused_before_they_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    clip: Clip = make_corpus(1, seed=2)[0].slice(0, 3)
    for number in range(8):
        save_clip(tmp_path / f"c{number}.npz", clip)
    assert main(["render", str(tmp_path), "--out", str(tmp_path / "x.mp4")]) == 2
    (line,) = said(capsys)
    assert "more than 6 motions" in line, "reading ends at the seventh of eight, and no number of them is told"
