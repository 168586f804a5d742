"""`morphloop render PATH...`: a video or a strip of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from morphloop.base import MotionError, write_atomic
from morphloop.base.terminal import complain, say
from morphloop.motion.config import ReadingConfig

from .console import BAD_INPUT, DONE, one_line, writable_files

if TYPE_CHECKING:
    from morphloop.sim.drawing.shown import Shown

KINDS = (".mp4", ".gif", ".png")
MOST = {".mp4": 6, ".gif": 6, ".png": 24}
"""Motions that are told apart side by side, and in the rows of a strip."""
LEAST_SIDE, MOST_SIDE = 32, 2048
BLOCK = 8
"""Pixels that the sides of an MP4 are a multiple of."""
LETTER = 8
"""Pixels that a letter of a label takes."""


@dataclass(frozen=True, kw_only=True)
class Render(ReadingConfig):
    """Draw motion off-screen: a video with the motions side by side, or a strip with a row for each.

    MuJoCo draws bodies and robots where GL answers, a stick figure stands for them elsewhere and for joint positions;
    which of them drew is said. Feet are green where they touch, orange where they slide, red where they are sunk, grey
    in the air, by the contacts of `evaluate`. Motions of different rates play in the same time; shorter ones hold their
    last frame.
    Exit code 2 if a file could not be drawn; the others are.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, rollouts, or folders of them; of a folder that `project` wrote its clips."""
    out: Path
    """File to write: .mp4 or .gif for a video, .png for a strip of moments."""
    body: str | None = None
    """Body to draw people's motion with, a built-in one, a robot's MJCF or a SMPL model file; a built-in robot's motion
    is drawn with that robot."""
    before: bool = False
    """Before each clip that `project` wrote, draw what it was made from."""
    out_fps: float | None = None
    """Frames a second of the video, whatever the motions have; 30 if left out, 10 of a GIF. --fps is for files that
    cannot tell theirs."""
    size: tuple[int, int] | None = None
    """Width and height, pixels, of one motion in a video or one moment of a strip; 320 360 and 150 190 if left out."""
    frames: int = 8
    """Moments of a strip, evenly spread."""
    renderer: Literal["auto", "mujoco", "figure"] = "auto"
    """`mujoco` is refused where GL does not answer, `figure` is the stick figure everywhere."""

    def run(self) -> int:
        kind = self.out.suffix.lower()
        if kind not in KINDS:
            raise MotionError(f"--out {self.out}: unknown extension '{kind}', expected {', '.join(KINDS)}")
        if self.size is not None and not all(LEAST_SIDE <= side <= MOST_SIDE for side in self.size):
            raise MotionError(f"--size {self.size[0]} {self.size[1]}: expected {LEAST_SIDE} to {MOST_SIDE} pixels each")
        if kind == ".mp4" and self.size is not None and any(side % BLOCK for side in self.size):
            raise MotionError(f"--size {self.size[0]} {self.size[1]}: expected multiples of {BLOCK} for an MP4")
        writable_files(self.out)
        if self.out.is_file() and self.out.stat().st_size and not _is_picture(self.out):
            raise MotionError(f"--out {self.out}: holds something else than a picture or a video, expected a free name")
        failed: list[dict[str, str]] = []
        shown = list(self._shown(failed))
        if not shown and failed:
            return BAD_INPUT
        if len(shown) > MOST[kind]:
            raise MotionError(f"more than {MOST[kind]} motions, the most that a {kind} shows: name fewer")
        self._draw(shown, kind)
        return BAD_INPUT if failed else DONE

    def _shown(self, failed: list[dict[str, str]]) -> Iterator[Shown]:
        """The motions of all files; what cannot be read is told, and stands in `failed`."""
        from morphloop.metrics.report.evaluate import motion_files
        from morphloop.sim import load_body
        from morphloop.sim.drawing.shown import beside, shown_motions

        body, how = load_body(self.body), ReadingConfig.of(self)
        files = motion_files(self.paths, failed)
        for row in failed:
            complain(f"{row['path']}: {row['reason']}")
        room = MOST[self.out.suffix.lower()]
        for path in files:
            try:
                source = beside(path).get("before") if self.before else None
                for file in [path] if source is None else [source, path]:
                    for one in shown_motions(file, body, how):
                        yield one
                        room -= 1
                        if room < 0:  # too many, which the caller says
                            return
            except MotionError as error:
                reason = one_line(str(error)).removeprefix(f"{path}: ")
                complain(f"{path}: {reason}")
                failed.append({"path": str(path), "reason": reason})

    def _draw(self, shown: list[Shown], kind: str) -> None:
        from morphloop.metrics import foot_states
        from morphloop.metrics.report.names import distinct
        from morphloop.sim import strip_bytes, video_bytes
        from morphloop.sim.drawing.render import CELL, GIF_FPS, PANEL, VIDEO_FPS

        motions, bodies = [one.motion for one in shown], [one.body for one in shown]
        feet = [foot_states(one.motion, one.body) for one in shown]
        names = [f"{one.name} (before)" if one.path.parent.name == "sources" else one.name for one in shown]
        if kind == ".png":
            size = self.size or CELL
            labels = distinct(names, max(size[0] // LETTER - 6, 8))
            data = strip_bytes(motions, labels, self.frames, bodies, self.renderer, size, feet)
            write_atomic(self.out, lambda stream: stream.write(data))
            say(f"{self.out}: {self.frames} moments of {len(shown)} motions")
            return
        size, gif = self.size or PANEL, kind == ".gif"
        rate = self.out_fps or (GIF_FPS if gif else VIDEO_FPS)
        labels = distinct(names, max(size[0] // LETTER - 2, 8))
        video = video_bytes(motions, None, labels, bodies, self.renderer, rate, size, gif, feet)
        out = self.out
        if video.suffix != kind:
            out = out.with_suffix(video.suffix)
            complain(f"{self.out}: no ffmpeg here, {out} is a GIF")
        write_atomic(out, lambda stream: stream.write(video.data))
        say(f"{out}: {video.frames} frames of {len(shown)} motions, drawn by {video.renderer}")


def _is_picture(path: Path) -> bool:
    """Whether a file is of a kind that this command writes."""
    with path.open("rb") as stream:
        head = stream.read(12)
    return head.startswith((b"GIF8", b"\x89PNG")) or head[4:8] == b"ftyp"
