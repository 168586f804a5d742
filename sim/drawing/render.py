"""Pictures and videos of clips: before over after in a strip, side by side in a video small enough for a web page.

MuJoCo's renderer draws where GL answers, the stick figure of `figure` elsewhere. GL drivers crash whole processes, so
GL is asked and used in a process of its own (`gl`); what became of it is said in the result, never hidden.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
from PIL import Image

from morphloop.base import MotionError, write_atomic
from morphloop.motion import Clip, JointTrack

from ..bodies.body import Body
from ..bodies.built_in import default_body
from .figure import draw_figure, follow, make_scene, write_label
from .gl import gl_available, render_frames

Renderer = Literal["auto", "mujoco", "figure"]
PANEL = (320, 360)
"""Width and height of one clip's panel in a video, pixels."""
CELL = (150, 190)
VIDEO_FPS = 30.0
MAX_VIDEO_S = 60.0
"""A longer clip is cut in a video; its first minute shows what it is."""


@dataclass(frozen=True)
class Video:
    """An encoded video. data: the file's bytes; mime: video/mp4 or image/gif; renderer: mujoco or figure;
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
    body: Body | None = None,
) -> Path:
    """A PNG with a row a clip and `frames` moments, evenly spread over its time. Raises MotionError for no clips,
    a wrong number of labels, or a clip on another skeleton."""
    data = strip_bytes(clips, labels, frames, body)
    return write_atomic(path, lambda stream: stream.write(data))


def strip_bytes(
    clips: Sequence[Clip | JointTrack], labels: Sequence[str] = (), frames: int = 8, body: Body | None = None
) -> bytes:
    """The PNG of `render_strip` as bytes."""
    body = body or default_body()
    labels = _labels(labels, len(clips))
    if frames < 1:
        raise MotionError(f"{frames} frames asked for, expected 1 or more")
    rows = []
    for clip, label in zip(clips, labels, strict=True):
        scene, camera = make_scene(clip, body), follow(clip)
        moments = np.linspace(0, clip.num_frames - 1, frames).round().astype(int)
        cells = [
            draw_figure(
                scene, camera, k, CELL, f"{label} {k / clip.fps:.1f} s".strip() if n == 0 else f"{k / clip.fps:.1f} s"
            )
            for n, k in enumerate(moments)
        ]
        rows.append(np.concatenate(cells, axis=1))
    picture = Image.fromarray(np.concatenate(rows, axis=0))
    data = BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


def render_video(
    motions: Clip | np.ndarray | Sequence[Clip | np.ndarray],
    path: Path | str,
    fps: float | None = None,
    labels: Sequence[str] = (),
    body: Body | None = None,
    renderer: Renderer = "auto",
) -> Path:
    """Write a video of one motion or of several side by side; returns the file, `.gif` instead of `.mp4` where there
    is no ffmpeg. Arguments as in `video_bytes`."""
    video = video_bytes(motions, fps, labels, body, renderer)
    path = Path(path).with_suffix(video.suffix)
    return write_atomic(path, lambda stream: stream.write(video.data))


def video_bytes(
    motions: Clip | np.ndarray | Sequence[Clip | np.ndarray],
    fps: float | None = None,
    labels: Sequence[str] = (),
    body: Body | None = None,
    renderer: Renderer = "auto",
) -> Video:
    """A video of one motion or of several side by side, shorter ones holding their last frame.

    motions: clips, or qpos (T, nq) of `body`, which need `fps`; labels: one a motion, such as "generated" and
    "after physics"; renderer: "auto" takes MuJoCo's if GL answers and the stick figure otherwise. Raises MotionError
    for no motion, qpos without fps, another skeleton, or renderer "mujoco" without GL.
    """
    body = body or default_body()
    if isinstance(motions, Clip | np.ndarray):
        motions = [motions]
    labels = _labels(labels, len(motions))
    clips = [_at_video_rate(motion, fps, body) for motion in motions]
    length = max(clip.num_frames for clip in clips)
    panels, used = _panels(clips, labels, body, renderer)
    held = [np.concatenate([p, np.repeat(p[-1:], length - len(p), axis=0)]) for p in panels]
    frames = np.concatenate(held, axis=2)
    return _encode(frames, used)


def _labels(labels: Sequence[str], count: int) -> Sequence[str]:
    if count == 0:
        raise MotionError("nothing to draw: no clips, expected one or more")
    if labels and len(labels) != count:
        raise MotionError(f"{len(labels)} labels for {count} clips, expected one each or none")
    return labels or [""] * count


def _at_video_rate(motion: Clip | np.ndarray, fps: float | None, body: Body) -> Clip:
    if isinstance(motion, np.ndarray):
        if fps is None:
            raise MotionError("qpos has no frame rate, give fps")
        motion = body.clip_from_qpos(motion, fps)
    body.check(motion)
    return motion.resampled(VIDEO_FPS).slice(0, round(MAX_VIDEO_S * VIDEO_FPS))


def _panels(
    clips: Sequence[Clip], labels: Sequence[str], body: Body, renderer: Renderer
) -> tuple[list[np.ndarray], str]:
    """Frames (T, height, width, 3) of each clip, and which renderer drew them."""
    if renderer == "mujoco" and gl_available() is None:
        raise MotionError("MuJoCo's renderer needs GL and none answers here, take renderer 'figure'")
    if renderer != "figure" and gl_available() is not None:
        drawn = render_frames(body.model, [(body.qpos_from_clip(clip), follow(clip)) for clip in clips], PANEL)
        if drawn is not None:
            return [write_label(frames, label) for frames, label in zip(drawn, labels, strict=True)], "mujoco"
        if renderer == "mujoco":
            raise MotionError("MuJoCo's renderer failed on this clip, take renderer 'figure'")
    panels = []
    for clip, label in zip(clips, labels, strict=True):
        scene, camera = make_scene(clip, body), follow(clip)
        panels.append(np.stack([draw_figure(scene, camera, k, PANEL, label) for k in range(clip.num_frames)]))
    return panels, "figure"


def _encode(frames: np.ndarray, renderer: str) -> Video:
    """Frames (T, height, width, 3) uint8 to MP4 (H.264, plays in every browser) or GIF."""
    mp4 = ffmpeg_available()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("video.mp4" if mp4 else "video.gif")
        if mp4:
            options = ["-crf", "28", "-preset", "veryfast", "-movflags", "+faststart"]
            writer = imageio.get_writer(
                path, fps=VIDEO_FPS, codec="libx264", quality=None, macro_block_size=8, output_params=options
            )
            with writer:
                for frame in frames:
                    writer.append_data(frame)
            return Video(path.read_bytes(), "video/mp4", renderer, len(frames))
        imageio.mimsave(path, list(frames[::3]), duration=3000.0 / VIDEO_FPS, loop=0)
        return Video(path.read_bytes(), "image/gif", renderer, len(frames[::3]))
