"""Pictures and videos of clips: before over after in a strip, side by side in a video small enough for a web page.

MuJoCo's renderer draws where GL answers, the stick figure of `figure` elsewhere. GL drivers crash whole processes, so
GL is asked and used in a process of its own (`gl`); what became of it is said in the result, never hidden.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Literal, get_args

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
from PIL import Image

from morphloop.base import MotionError, write_atomic
from morphloop.motion import Clip, JointTrack

from ..bodies.body import Body
from ..bodies.built_in import default_body
from .feet import FootStates
from .figure import draw_figure, follow, make_scene, write_label
from .gl import Take, gl_available, render_frames

Renderer = Literal["auto", "mujoco", "figure"]
Motion = Clip | JointTrack | np.ndarray
Feet = Sequence[FootStates | None]
"""What the feet of each motion do; None leaves it to the height of its soles."""
PANEL = (320, 360)
"""Width and height of one clip's panel in a video, pixels."""
CELL = (150, 190)
VIDEO_FPS = 30.0
GIF_FPS = 10.0
"""Frames a second of a GIF that nobody asked for another rate: it is not compressed over time."""
MAX_VIDEO_S = 60.0
"""A longer clip is cut in a video; its first minute shows what it is."""


@dataclass(frozen=True)
class Video:
    """An encoded video. data: the file's bytes; mime: video/mp4 or image/gif; renderer: mujoco, figure, or both;
    frames: how many."""

    data: bytes
    mime: str
    renderer: str
    frames: int

    @property
    def suffix(self) -> str:
        return ".mp4" if self.mime == "video/mp4" else ".gif"


def ffmpeg_available() -> bool:
    """Whether videos become MP4; without ffmpeg they become GIF."""
    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return False
    return True


def render_strip(
    clips: Sequence[Clip | JointTrack],
    path: Path | str,
    labels: Sequence[str] = (),
    frames: int = 8,
    body: Body | Sequence[Body] | None = None,
    renderer: Renderer = "figure",
    size: tuple[int, int] = CELL,
    feet: Feet = (),
) -> Path:
    """A PNG with a row a clip and `frames` moments, evenly spread over its time. Raises MotionError for no clips,
    a wrong number of labels, a clip on another skeleton, or renderer "mujoco" without GL. Other arguments as in
    `video_bytes`, `size` of a moment."""
    data = strip_bytes(clips, labels, frames, body, renderer, size, feet)
    return write_atomic(path, lambda stream: stream.write(data))


def strip_bytes(
    clips: Sequence[Clip | JointTrack],
    labels: Sequence[str] = (),
    frames: int = 8,
    body: Body | Sequence[Body] | None = None,
    renderer: Renderer = "figure",
    size: tuple[int, int] = CELL,
    feet: Feet = (),
) -> bytes:
    """The PNG of `render_strip` as bytes."""
    labels, bodies, feet = _labels(labels, len(clips)), _bodies(body, len(clips)), _feet(feet, len(clips))
    _check_look(renderer, size)
    if frames < 1:
        raise MotionError(f"{frames} frames asked for, expected 1 or more")
    moments = [np.linspace(0, clip.num_frames - 1, frames).round().astype(int) for clip in clips]
    for clip, own in zip(clips, bodies, strict=True):
        if isinstance(clip, Clip):
            own.check(clip)
    drawn = _drawn(clips, bodies, feet, renderer, size, moments)
    rows = []
    for place, (clip, label, own) in enumerate(zip(clips, labels, bodies, strict=True)):
        words = [f"{k / clip.fps:.1f} s" for k in moments[place]]
        words[0] = f"{label} {words[0]}".strip()
        if place in drawn:
            cells = [write_label(drawn[place][n : n + 1], word)[0] for n, word in enumerate(words)]
        else:
            scene, camera = make_scene(clip, own, feet[place]), follow(clip)
            cells = [draw_figure(scene, camera, k, size, word) for k, word in zip(moments[place], words, strict=True)]
        rows.append(np.concatenate(cells, axis=1))
    picture = Image.fromarray(np.concatenate(rows, axis=0))
    data = BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


def render_video(
    motions: Motion | Sequence[Motion],
    path: Path | str,
    fps: float | None = None,
    labels: Sequence[str] = (),
    body: Body | Sequence[Body] | None = None,
    renderer: Renderer = "auto",
    feet: Feet = (),
) -> Path:
    """Write a video of one motion or of several side by side; returns the file, `.gif` instead of `.mp4` where there
    is no ffmpeg. Arguments as in `video_bytes`."""
    video = video_bytes(motions, fps, labels, body, renderer, feet=feet)
    path = Path(path).with_suffix(video.suffix)
    return write_atomic(path, lambda stream: stream.write(video.data))


def video_bytes(
    motions: Motion | Sequence[Motion],
    fps: float | None = None,
    labels: Sequence[str] = (),
    body: Body | Sequence[Body] | None = None,
    renderer: Renderer = "auto",
    rate: float = VIDEO_FPS,
    size: tuple[int, int] = PANEL,
    gif: bool = False,
    feet: Feet = (),
) -> Video:
    """A video of one motion or of several side by side, shorter ones holding their last frame.

    motions: clips or joint tracks, or qpos (T, nq) of `body`, which need `fps`; labels: one a motion, such as
    "generated" and "after physics"; body: of all motions, or one of each; renderer: "auto" takes MuJoCo's if GL answers
    and the stick figure otherwise, as for joint tracks, which have no body; rate: frames a second of the video, which
    motions of other rates are resampled to; size: width and height of a motion's panel, pixels; gif: a GIF of every
    frame, whether ffmpeg is there or not; feet: what those of each motion do, by which they are coloured, by the height
    of their soles if left out. Raises MotionError for no motion, qpos without fps, another skeleton, or renderer
    "mujoco" without GL.
    """
    if isinstance(motions, Clip | JointTrack | np.ndarray):
        motions = [motions]
    labels, bodies, feet = _labels(labels, len(motions)), _bodies(body, len(motions)), _feet(feet, len(motions))
    _check_look(renderer, size)
    clips = [_at_rate(motion, fps, own, rate) for motion, own in zip(motions, bodies, strict=True)]
    length = max(clip.num_frames for clip in clips)
    panels, used = _panels(clips, labels, bodies, feet, renderer, size)
    held = [np.concatenate([p, np.repeat(p[-1:], length - len(p), axis=0)]) for p in panels]
    return _encode(np.concatenate(held, axis=2), used, rate, gif)


def _labels(labels: Sequence[str], count: int) -> Sequence[str]:
    if count == 0:
        raise MotionError("nothing to draw: no clips, expected one or more")
    if labels and len(labels) != count:
        raise MotionError(f"{len(labels)} labels for {count} clips, expected one each or none")
    return labels or [""] * count


def _check_look(renderer: Renderer, size: tuple[int, int]) -> None:
    """MotionError for a renderer that is none, or a picture without pixels."""
    if renderer not in get_args(Renderer):
        raise MotionError(f"unknown renderer '{renderer}', expected {', '.join(get_args(Renderer))}")
    if min(size) < 1:
        raise MotionError(f"size {size[0]} {size[1]}: expected 1 pixel or more each")


def _bodies(body: Body | Sequence[Body] | None, count: int) -> Sequence[Body]:
    """The body of each motion."""
    if body is None or isinstance(body, Body):
        return [body or default_body()] * count
    if len(body) != count:
        raise MotionError(f"{len(body)} bodies for {count} motions, expected one each")
    return body


def _feet(feet: Feet, count: int) -> Feet:
    """What the feet of each motion do, as far as it was said."""
    if feet and len(feet) != count:
        raise MotionError(f"feet of {len(feet)} motions for {count}, expected those of each or none")
    return feet or [None] * count


def _at_rate(motion: Motion, fps: float | None, body: Body, rate: float) -> Clip | JointTrack:
    """A motion at the rate of a video, its first minute."""
    if isinstance(motion, np.ndarray):
        if fps is None:
            raise MotionError("qpos has no frame rate, give fps")
        motion = body.clip_from_qpos(motion, fps)
    if isinstance(motion, JointTrack):
        resampled = motion.resampled(rate)
        return replace(resampled, positions=resampled.positions[: round(MAX_VIDEO_S * rate)])
    body.check(motion)
    return motion.resampled(rate).slice(0, round(MAX_VIDEO_S * rate))


def _panels(
    clips: Sequence[Clip | JointTrack],
    labels: Sequence[str],
    bodies: Sequence[Body],
    feet: Feet,
    renderer: Renderer,
    size: tuple[int, int] = PANEL,
) -> tuple[list[np.ndarray], str]:
    """Frames (T, height, width, 3) of each motion, and which renderer drew them, or both."""
    drawn = _drawn(clips, bodies, feet, renderer, size)
    panels = []
    for place, (clip, label, body) in enumerate(zip(clips, labels, bodies, strict=True)):
        if place in drawn:
            panels.append(write_label(drawn[place], label))
            continue
        scene, camera = make_scene(clip, body, feet[place]), follow(clip)
        panels.append(np.stack([draw_figure(scene, camera, k, size, label) for k in range(clip.num_frames)]))
    used = {"mujoco": bool(drawn), "figure": len(drawn) < len(clips)}
    return panels, " and ".join(name for name, was in used.items() if was)


def _drawn(
    clips: Sequence[Clip | JointTrack],
    bodies: Sequence[Body],
    feet: Feet,
    renderer: Renderer,
    size: tuple[int, int],
    moments: Sequence[np.ndarray] | None = None,
) -> dict[int, np.ndarray]:
    """What MuJoCo draws of the motions, as `_drawn_by_mujoco`; the stick figure is for the others. MotionError where
    renderer "mujoco" is asked for and it cannot draw all."""
    if renderer == "figure":
        return {}
    if gl_available() is None:
        if renderer == "mujoco":
            raise MotionError("MuJoCo's renderer needs GL and none answers here, take renderer 'figure'")
        return {}
    drawn = _drawn_by_mujoco(clips, bodies, feet, size, moments)
    if renderer == "mujoco" and len(drawn) < len(clips):
        raise MotionError("MuJoCo's renderer failed on this clip, take renderer 'figure'")
    return drawn


def _drawn_by_mujoco(
    clips: Sequence[Clip | JointTrack],
    bodies: Sequence[Body],
    feet: Feet,
    size: tuple[int, int],
    moments: Sequence[np.ndarray] | None = None,
) -> dict[int, np.ndarray]:
    """Frames of what has a body, by place among the motions; what the renderer fails on is not among them. One child
    process draws all motions of a body. moments: the frames to draw of each, all if left out."""
    places: dict[int, list[tuple[int, Clip]]] = {}
    for place, (clip, body) in enumerate(zip(clips, bodies, strict=True)):
        if isinstance(clip, Clip):
            places.setdefault(id(body), []).append((place, clip))
    drawn: dict[int, np.ndarray] = {}
    for own in places.values():
        body, takes = bodies[own[0][0]], []
        for place, clip in own:
            shown = slice(None) if moments is None else moments[place]
            camera, states = follow(clip), make_scene(clip, body, feet[place]).states
            camera = replace(camera, centre=camera.centre[shown])
            takes.append(Take(body.qpos_from_clip(clip)[shown], camera, states[shown]))
        frames = render_frames(body, takes, size)
        drawn |= {} if frames is None else dict(zip((place for place, _ in own), frames, strict=True))
    return drawn


def _encode(frames: np.ndarray, renderer: str, rate: float = VIDEO_FPS, gif: bool = False) -> Video:
    """Frames (T, height, width, 3) uint8 to MP4 (H.264, plays in every browser) or GIF."""
    mp4 = not gif and ffmpeg_available()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("video.mp4" if mp4 else "video.gif")
        if mp4:
            options = ["-crf", "28", "-preset", "veryfast", "-movflags", "+faststart"]
            writer = imageio.get_writer(
                path, fps=rate, codec="libx264", quality=None, macro_block_size=8, output_params=options
            )
            with writer:
                for frame in frames:
                    writer.append_data(frame)
            return Video(path.read_bytes(), "video/mp4", renderer, len(frames))
        stride = 1 if gif else max(1, round(rate / GIF_FPS))
        imageio.mimsave(path, list(frames[::stride]), duration=1000.0 * stride / rate, loop=0)
        return Video(path.read_bytes(), "image/gif", renderer, len(frames[::stride]))
