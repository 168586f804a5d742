"""Pictures and videos: they decode, show the figure where it is, and survive a machine without GL or ffmpeg."""

from __future__ import annotations

import io
import subprocess
import time

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Clip, Skeleton, make_corpus
from morphloop.sim import default_body, gl_available, render_strip, render_video, strip_bytes, video_bytes
from morphloop.sim.drawing import gl, render
from morphloop.sim.drawing.figure import CONTACT_COLOUR, SUNK_COLOUR, draw_figure, follow, make_scene


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_corpus(1, seed=2)[0]


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) < 12).any())


def test_feet_are_coloured_by_contact(clip: Clip):
    camera = follow(clip)
    pictures = {
        shift: draw_figure(make_scene(clip.moved(np.array([0, 0, shift])), default_body()), camera, 0, (320, 360))
        for shift in (0.0, 0.05, -0.05)
    }
    assert has_colour(pictures[0.0], CONTACT_COLOUR)
    assert not has_colour(pictures[0.05], CONTACT_COLOUR)
    assert has_colour(pictures[-0.05], SUNK_COLOUR)
    assert not has_colour(pictures[0.0], SUNK_COLOUR)


def test_a_strip_has_a_row_a_clip_and_a_cell_a_moment(clip: Clip, tmp_path):
    path = render_strip([clip, clip.moved(np.array([0, 0, 0.1]))], tmp_path / "a" / "strip.png", ["before", "after"], 5)
    with Image.open(path) as picture:
        assert picture.size == (5 * render.CELL[0], 2 * render.CELL[1])
        pixels = np.asarray(picture)
    rows = np.split(pixels, 2)
    assert has_colour(rows[0], CONTACT_COLOUR)
    assert not has_colour(rows[1], CONTACT_COLOUR)


def test_side_by_side_is_small_and_plays_for_the_longer_clip(clip: Clip):
    short = clip.slice(0, 20)
    start = time.process_time()
    video = video_bytes([clip, short], labels=["generated", "after physics"], renderer="figure")
    elapsed = time.process_time() - start
    assert video.renderer == "figure"
    assert video.mime == "video/mp4"
    assert len(video.data) < 300_000
    frames = imageio.mimread(io.BytesIO(video.data), format="mp4", memtest=False)  # pyright: ignore[reportArgumentType]
    assert len(frames) == clip.num_frames
    assert frames[0].shape == (render.PANEL[1], 2 * render.PANEL[0], 3)
    left, right = np.split(np.stack(frames).astype(float), 2, axis=2)
    assert np.abs(left[-1] - left[19]).max() > 100
    assert np.abs(right[-1] - right[25]).mean() < 2.0
    assert elapsed < clip.num_frames / 5, "a plotted video is drawn at 25 frames a second of a core"


def test_states_and_clips_give_the_same_picture(clip: Clip):
    body, part = default_body(), clip.slice(0, 4)
    assert (
        video_bytes(body.qpos_from_clip(part), 30.0, renderer="figure").data
        == video_bytes(part, renderer="figure").data
    )


def test_without_ffmpeg_a_gif_is_written_under_its_own_name(clip: Clip, tmp_path, monkeypatch):
    monkeypatch.setattr(render, "ffmpeg_available", lambda: False)
    path = render_video(clip.slice(0, 15), tmp_path / "clip.mp4", renderer="figure")
    assert path == tmp_path / "clip.gif"
    with Image.open(path) as picture:
        assert picture.format == "GIF"
        assert getattr(picture, "n_frames", 1) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["clip.gif"]


def test_a_crash_of_gl_costs_the_renderer_not_the_caller(monkeypatch):
    monkeypatch.setattr(gl, "PROBE", "import os; os.abort()")
    gl.gl_available.cache_clear()
    try:
        assert gl.gl_available() is None
        with pytest.raises(MotionError, match="needs GL"):
            video_bytes(make_corpus(1, 0)[0].slice(0, 2), renderer="mujoco")
        with pytest.raises(MotionError, match="needs GL"):
            strip_bytes(make_corpus(1, 0), renderer="mujoco")
    finally:
        gl.gl_available.cache_clear()


def test_a_child_that_dies_falls_back_to_the_figure(clip: Clip, monkeypatch):
    monkeypatch.setattr(render, "gl_available", lambda: "egl")
    monkeypatch.setattr(gl, "gl_available", lambda: "egl")
    dead = subprocess.CompletedProcess([], returncode=-6)
    monkeypatch.setattr(gl.subprocess, "run", lambda *args, **kwargs: dead)
    part = clip.slice(0, 3)
    frames, renderer = render._panels([part], [""], [default_body()], "auto")
    assert renderer == "figure"
    assert frames[0].shape == (3, render.PANEL[1], render.PANEL[0], 3)
    assert strip_bytes([part]) == strip_bytes([part], renderer="auto")
    for ask in (strip_bytes, video_bytes):
        with pytest.raises(MotionError, match="failed on this clip"):
            ask([part], renderer="mujoco")


def test_gl_draws_the_body_where_it_answers(clip: Clip):
    if gl_available() is None:
        pytest.skip("no GL on this machine")
    part = clip.slice(0, 2)
    drawn = gl.render_frames(default_body().model, [(default_body().qpos_from_clip(part), follow(part))], (160, 180))
    assert drawn is not None
    assert drawn[0].shape == (2, 180, 160, 3)
    middle = drawn[0][0, 60:120, 60:100].astype(int)
    assert (middle[..., 2] - middle[..., 0] > 30).any(), "the body is blue"


def test_bad_requests_are_refused_in_one_line(clip: Clip, tmp_path):
    with pytest.raises(MotionError, match="no clips"):
        render_strip([], tmp_path / "x.png")
    with pytest.raises(MotionError, match="1 labels for 2 clips"):
        video_bytes([clip, clip], labels=["one"])
    with pytest.raises(MotionError, match="give fps"):
        video_bytes(default_body().qpos_from_clip(clip))
    other = Skeleton(DEFAULT_SKELETON.names, DEFAULT_SKELETON.parents, 1.1 * DEFAULT_SKELETON.offsets)
    with pytest.raises(MotionError, match="retarget"):
        video_bytes(Clip(30.0, other, clip.root_pos, clip.rotations))
    assert list(tmp_path.iterdir()) == []
