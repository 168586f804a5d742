"""Pictures and videos: they decode, show the figure where it is, and survive a machine without GL or ffmpeg."""

from __future__ import annotations

import base64
import io
import subprocess
import time
from dataclasses import replace

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from morphloop.base import MotionError
from morphloop.metrics import foot_states, measure
from morphloop.metrics.viewer.entries import Bodies, find_entries
from morphloop.metrics.viewer.scene import clip_scene
from morphloop.motion import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    Skeleton,
    load_clip,
    make_corpus,
    save_clip,
)
from morphloop.sim import (
    Body,
    default_body,
    gl_available,
    load_body,
    render_strip,
    render_video,
    strip_bytes,
    video_bytes,
)
from morphloop.sim.drawing import gl, render
from morphloop.sim.drawing.feet import AIR, COLOURS, SLIDE, SUNK, TOUCH, FootStates
from morphloop.sim.drawing.figure import draw_figure, follow, make_scene
from morphloop.sim.drawing.render import Renderer

LOUD = (TOUCH, SLIDE, SUNK)


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
    assert has_colour(pictures[0.0], COLOURS[TOUCH])
    assert not has_colour(pictures[0.05], COLOURS[TOUCH])
    assert has_colour(pictures[-0.05], COLOURS[SUNK])
    assert not has_colour(pictures[0.0], COLOURS[SUNK])


def looks(picture: np.ndarray) -> set[int]:
    """Which states of feet, but for those in the air, have their colour in a picture, shaded or blurred by a codec."""

    def share(colours: np.ndarray) -> np.ndarray:
        return colours / np.maximum(colours.sum(axis=-1, keepdims=True), 1)

    seen = share(picture.astype(float))
    near = {state: np.linalg.norm(seen - share(np.array(COLOURS[state])), axis=-1) < 0.09 for state in LOUD}
    return {state for state, pixels in near.items() if pixels.sum() > 12}


def standing(body: Body, height: float) -> Clip:
    """The body at rest for a third of a second, its lowest point at this height, metres."""
    clip = body.clip_from_qpos(np.tile(body.model.qpos0, (10, 1)), 30.0)
    low = measure(clip, body, wrench=False).values["ground_offset_mm"]
    assert low is not None
    return clip.moved(np.array([0.0, 0.0, height - 1e-3 * low]))


def drifting(clip: Clip) -> Clip:
    """The same, moving forward at half a metre a second."""
    return replace(clip, root_pos=clip.root_pos + np.arange(clip.num_frames)[:, None] / clip.fps * [0.5, 0.0, 0.0])


@pytest.mark.parametrize("renderer", ["figure", "mujoco"])
@pytest.mark.parametrize("name", ["smpl", "g1"])
def test_a_video_colours_feet_by_what_they_do(name: str, renderer: Renderer) -> None:
    """Down, sliding, sunk, up: each has the colour that `view` gives it, of a person and of a robot."""
    if renderer == "mujoco" and gl_available() is None:
        pytest.skip("no GL on this machine")
    body = load_body(name)
    down = standing(body, 0.0)
    motions = {TOUCH: down, SLIDE: drifting(down), SUNK: standing(body, -0.008), AIR: standing(body, 0.1)}
    feet = [foot_states(motion, body) for motion in motions.values()]
    video = video_bytes(list(motions.values()), body=body, renderer=renderer, feet=feet, gif=True)  # no colour runs
    assert video.renderer == renderer
    frames = imageio.mimread(io.BytesIO(video.data), format="gif", memtest=False)  # pyright: ignore[reportArgumentType]
    for state, panel in zip(motions, np.split(np.asarray(frames[5])[..., :3], 4, axis=1), strict=True):
        assert looks(panel) == {state} & set(LOUD)


def test_each_foot_and_each_moment_has_a_colour_of_its_own(clip: Clip):
    """As it is said of them, at the video's rate whatever theirs is."""
    states = np.full((20, 2), AIR)
    states[10:, 0] = SUNK  # the left foot, after half a second
    feet = FootStates(20.0, states)
    still = replace(clip.slice(0, 1).resampled(30.0), name="still")
    still = replace(still, root_pos=np.repeat(still.root_pos, 30, 0), rotations=np.repeat(still.rotations, 30, 0))
    scene, camera = make_scene(still, default_body(), feet), follow(still)
    early, late = (draw_figure(scene, camera, k, (320, 360)) for k in (12, 17))
    assert has_colour(early, COLOURS[AIR])
    assert not has_colour(early, COLOURS[SUNK])
    assert has_colour(late, COLOURS[SUNK])
    assert has_colour(late, COLOURS[AIR]), "the right foot is still up"
    with pytest.raises(MotionError, match="feet of 1 motions for 2"):
        video_bytes([still, still], feet=[feet])


def test_joint_positions_have_feet_of_that_colour_too(clip: Clip):
    track = JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, :22])
    up = replace(track, positions=track.positions + np.array([0.0, 0.0, 0.2]))
    for motion, down in ((track, True), (up, False)):
        scene = make_scene(motion, default_body(), foot_states(motion, default_body()))
        assert has_colour(draw_figure(scene, follow(motion), 0, (320, 360)), COLOURS[TOUCH]) == down


def test_a_video_and_the_page_of_view_colour_feet_alike(tmp_path):
    """viewer.js reads the flags of a frame so: slides, else touches and is sunk, else touches, else in the air."""
    walk = next(one for one in make_corpus(12, 1) if one.provenance.notes["action"] == "walk")
    slides = replace(walk, root_pos=walk.root_pos + 0.02 * np.sin(4.0 * np.arange(walk.num_frames))[:, None])
    path = save_clip(tmp_path / "clip.npz", slides)
    (entry,) = find_entries([path], None, [])
    line = clip_scene(entry, Bodies()).clip["sides"]["clip"]["line"]
    flags = np.frombuffer(base64.b64decode(line["flags"]), np.uint8).astype(int)
    moved = load_clip(path)
    assert isinstance(moved, Clip)
    states = foot_states(moved, default_body()).states
    for side in (0, 1):
        touching = np.where(flags & 32, SUNK, TOUCH)
        seen = np.where(flags & (4 << side), SLIDE, np.where(flags & (1 << side), touching, AIR))
        np.testing.assert_array_equal(states[:, side], seen)
    assert len(np.unique(states)) == 4


def test_a_strip_has_a_row_a_clip_and_a_cell_a_moment(clip: Clip, tmp_path):
    path = render_strip([clip, clip.moved(np.array([0, 0, 0.1]))], tmp_path / "a" / "strip.png", ["before", "after"], 5)
    with Image.open(path) as picture:
        assert picture.size == (5 * render.CELL[0], 2 * render.CELL[1])
        pixels = np.asarray(picture)
    rows = np.split(pixels, 2)
    assert has_colour(rows[0], COLOURS[TOUCH])
    assert not has_colour(rows[1], COLOURS[TOUCH])


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
    frames, renderer = render._panels([part], [""], [default_body()], [None], "auto")
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
    take = gl.Take(default_body().qpos_from_clip(part), follow(part), np.zeros((2, 2), int))
    drawn = gl.render_frames(default_body(), [take], (160, 180))
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
