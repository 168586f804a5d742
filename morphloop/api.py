"""What Python programs call: `import morphloop as ml`, then `ml.load`, `ml.evaluate`, `ml.project` and the rest.

Each function is a command of the same name without its files: motions go in and come out. They work in this process
alone unless `workers` says otherwise, so that a notebook, or a script without `if __name__ == "__main__":`, can call
them as they are. What is wrong with an input is a `MotionError` of one line.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from morphloop.base import MotionError
from morphloop.base.names import file_name, free_name
from morphloop.base.terminal import Terminal
from morphloop.base.threads import fixed_threads
from morphloop.generator.config import SECONDS
from morphloop.metrics import METRICS, Measurement, Summary, measure, summarise
from morphloop.motion import Clip, JointTrack
from morphloop.motion.config import ReadingConfig
from morphloop.sim import Body, driven_body, load_body, on_body, worn

if TYPE_CHECKING:
    from morphloop.imitator import Policy, ProjectionConfig

__all__ = ["MotionError", "Scores", "body", "evaluate", "generate", "load", "policy", "project", "render"]

Motion = Clip | JointTrack
Motions = str | Path | Motion | Sequence[Motion]
"""Motions, one or several, or the path of a file or folder that holds them."""
BodyLike = str | Path | Body | None
"""A body, or what `--body` takes: a built-in one's name, a robot's MJCF, a SMPL model file; None for people's own."""
SHOWN = ("slide_mean_mm_s", "penetration_mean_mm", "float_mean_mm", "unsupported_ratio")


def load(
    path: str | Path, *, body: BodyLike = None, fps: float | None = None, joint_map: str | None = None
) -> list[Motion]:
    """Every motion of a file or folder, whatever its layout: clips where it has rotations, else joint positions.

    body: whose skeleton the motions are on; the built-in one of people if left out, a built-in robot's motions stay
    that robot's; fps: frame rate of files that cannot tell theirs; joint_map: as `--joint-map`. Of a folder that
    `morphloop project` wrote the clips are loaded. Raises MotionError for the first file that cannot be read.

    >>> import morphloop as ml
    >>> (clip,) = ml.load("walk.bvh")
    >>> clip.name, clip.fps, clip.positions.shape
    ('walk', 30.0, (20, 24, 3))
    """
    from morphloop.metrics.report.evaluate import motion_files
    from morphloop.sim.drawing.shown import shown_motions

    own, how = _measured(body), ReadingConfig(fps, joint_map=joint_map)
    missing: list[dict[str, str]] = []
    files = motion_files([Path(path)], missing)
    if missing:
        raise MotionError(f"{path}: {missing[0]['reason']}")
    return [replace(shown.motion, name=shown.name) for file in files for shown in shown_motions(file, own, how)]


@dataclass(frozen=True)
class Scores:
    """What clips scored. names: (N,) of the clips; rows: (N,) every metric of each; `scores["slide_mean_mm_s"]` is one
    metric as an array (N,), NaN where there is nothing to measure. Printed it is a table of the headline figures."""

    names: tuple[str, ...]
    rows: tuple[Measurement, ...]

    def __getitem__(self, metric: str) -> np.ndarray:
        if metric not in METRICS:
            raise KeyError(f"no metric '{metric}', expected one of {', '.join(METRICS)}")
        values = (row.values.get(metric) for row in self.rows)
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    def summary(self) -> dict[str, dict[str, Summary]]:
        """Mean, median and 95 % interval by metric, of clips measured on their surface and on their joints apart: the
        two do not compare."""
        variants = dict.fromkeys(row.variant for row in self.rows)
        return {name: summarise([row.values for row in self.rows if row.variant == name]) for name in variants}

    def __str__(self) -> str:
        from rich.table import Table

        from morphloop.metrics.report.look import number
        from morphloop.metrics.report.names import distinct

        table = Table("clip", *SHOWN, box=None)
        for name, row in zip(distinct(self.names, 24), self.rows, strict=True):
            table.add_row(name, *(number(row.values.get(metric)) for metric in SHOWN))
        text = StringIO()
        # a notebook would show the table and leave the text empty, and is coloured
        Terminal(file=text, width=120, force_jupyter=False, color_system=None).print(table)
        return text.getvalue().rstrip("\n")


def evaluate(
    clips: Motions,
    *,
    body: BodyLike = None,
    ground: Literal["as-is", "lowest", "robust"] = "as-is",
    wrench: bool = True,
) -> Scores:
    """How bad these motions are: every metric of each.

    body, ground: as `morphloop evaluate` takes them; wrench: whether the residual wrench is measured, which takes half
    of the time. Raises MotionError as `load`, and for a motion of another body.

    >>> import morphloop as ml
    >>> scores = ml.evaluate(ml.load("walk.bvh"), wrench=False)
    >>> float(scores["penetration_mean_mm"].max()) < 10.0
    True
    """
    own = _measured(body)
    motions = _motions(clips, own)
    rows = [measure(*_worn(motion, own), ground, wrench) for motion in motions]
    return Scores(tuple(motion.name for motion in motions), tuple(rows))


def generate(
    prompts: str | Sequence[str],
    *,
    generator: str | None = None,
    seed: int = 0,
    seconds: tuple[float, float] = SECONDS,
) -> list[Clip]:
    """A clip for every prompt.

    generator: as `--generator` takes it, the shipped weights if left out; seed: the same makes the same clips; seconds:
    the shortest and the longest clip. Raises MotionError for no prompt, and as `load_generator`.

    >>> import morphloop as ml
    >>> (clip,) = ml.generate("a person walks forward", seconds=(1.0, 1.5))
    >>> clip.provenance.prompt
    'a person walks forward'
    """
    from morphloop.cli.console import generator_named
    from morphloop.generator import load_generator

    asked = [prompts] if isinstance(prompts, str) else list(prompts)
    if not asked:
        raise MotionError("no prompt, expected one or more")
    if seed < 0:
        raise MotionError(f"seed {seed}: expected 0 or more")
    return load_generator(generator_named(generator)).generate(asked, seed, seconds)


def project(
    clips: Motions,
    *,
    body: BodyLike = None,
    policy: str | Path | Policy | None = "shipped",
    config: ProjectionConfig | None = None,
    out: str | Path | None = None,
    workers: int | None = 0,
) -> list[Clip]:
    """What physics makes of these motions: a clip for each that could be simulated, in order, and after it what was
    rescued of it where it was rejected. `clip.provenance.verdict` is accepted, rejected or rescued, `.reason` says why.

    body: what they are tracked on, people's motion is retargeted to a robot; policy: one of that body's, its file,
    "shipped" (a robot has none, the trajectory optimiser takes all) or None; config: how they are tracked; out: folder
    that keeps rollouts and records as `morphloop project --out` does, where a second call repeats nothing; workers:
    processes of the trajectory optimiser, None for one a core, which in a script needs the main guard. A clip that
    could not be simulated is warned of. Raises MotionError as `load`, and if the policy is another body's.

    >>> import morphloop as ml
    >>> (clip,) = ml.project("walk.bvh")
    >>> clip.provenance.verdict
    'accepted'
    """
    from morphloop.cli.console import writable_folder
    from morphloop.imitator import ProjectionConfig
    from morphloop.motion import load_clip
    from morphloop.refinement_loop import ProjectFolder
    from morphloop.sim.bodies.choose import for_tracking

    own = body if isinstance(body, Body) else driven_body(body)
    taken: set[str] = set()
    sources: list[Clip] = []
    for motion in _motions(clips, own if _is_robot(own) else load_body()):
        name = free_name(file_name(motion.name), taken)
        taken.add(name)
        sources.append(replace(for_tracking(motion, own), name=name))
    made: list[Clip] = []
    with fixed_threads(), tempfile.TemporaryDirectory() if out is None else nullcontext(str(out)) as place:
        folder = ProjectFolder(writable_folder(Path(place)), own, _policy(policy, own), config or ProjectionConfig())
        folder.sweep()
        rows, faults = folder.project(sources, workers=workers)
        for row in rows:
            path = folder.folder / "clips" / f"{row['name']}.npz"
            if not path.is_file():
                warnings.warn(f"{row['name']}: {row['reason']}, {row['detail']}", stacklevel=2)
                continue
            clip = load_clip(path)
            assert isinstance(clip, Clip)  # what physics did has rotations
            made.append(clip.with_provenance(verdict=row["verdict"], reason=row["reason"]))
    for name, reason in faults.items():
        warnings.warn(f"{name}: {reason}", stacklevel=2)
    return made


def render(
    clips: Motions,
    path: str | Path,
    *,
    body: BodyLike = None,
    labels: Sequence[str] = (),
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    renderer: Literal["auto", "mujoco", "figure"] = "auto",
) -> Path:
    """Draw motions side by side in a video (.mp4, .gif), or each in a row of a strip (.png); returns the file.

    body: to draw people's motion with; labels: one a motion, their names if left out; fps: frames a second of the
    video, 30 if left out, 10 of a GIF; size: width and height of one motion, pixels. Without ffmpeg an .mp4 becomes a
    .gif. Raises MotionError as `load`, for another extension, size or rate, and for renderer "mujoco" where GL does not
    answer.

    >>> import morphloop as ml
    >>> ml.render("walk.bvh", "walk.gif", renderer="figure").name
    'walk.gif'
    """
    from morphloop.base import write_atomic
    from morphloop.metrics import foot_states
    from morphloop.sim import strip_bytes, video_bytes
    from morphloop.sim.drawing.render import CELL, GIF_FPS, PANEL, VIDEO_FPS

    own, path = _measured(body), Path(path)
    found = [_worn(motion, own) for motion in _motions(clips, own)]
    motions, bodies = [motion for motion, _ in found], [drawn for _, drawn in found]
    labels = labels or [motion.name for motion in motions]
    feet = [foot_states(motion, drawn) for motion, drawn in found]
    kind = path.suffix.lower()
    if kind == ".png":
        data = strip_bytes(motions, labels, body=bodies, renderer=renderer, size=size or CELL, feet=feet)
    elif kind in (".mp4", ".gif"):
        gif = kind == ".gif"
        rate = (GIF_FPS if gif else VIDEO_FPS) if fps is None else fps
        video = video_bytes(motions, None, labels, bodies, renderer, rate, size or PANEL, gif, feet)
        path, data = path.with_suffix(video.suffix), video.data
    else:
        raise MotionError(f"{path}: unknown extension '{kind}', expected .mp4, .gif or .png")
    return write_atomic(path, lambda stream: stream.write(data))


def body(spec: str | Path | None = None) -> Body:
    """A body for physics: a built-in one by name ("smpl", "g1", "g1_23dof"), a robot's MJCF, a SMPL model file; that of
    people if left out. Raises MotionError for anything else.

    >>> import morphloop as ml
    >>> ml.body("g1").model.nu
    29
    """
    return driven_body(spec)


def policy(spec: str | Path = "shipped", *, body: BodyLike = None) -> Policy:
    """An imitator's policy, shipped or from its file, for a body. Raises MotionError for a damaged file, and if it was
    made for another body.

    >>> import morphloop as ml
    >>> ml.policy("shipped").spec.body
    'smpl24'
    """
    own = body if isinstance(body, Body) else driven_body(body)
    found = _policy(spec, own)
    if found is None:
        raise MotionError(f"no policy ships for body '{own.name}', expected the file of one")
    return found


def _policy(spec: str | Path | Policy | None, own: Body) -> Policy | None:
    """The policy that a name or a file tells; None where none ships for a body, or none is wanted."""
    if spec is None or (spec == "shipped" and _is_robot(own)):
        return None
    if not isinstance(spec, str | Path):
        return spec
    from morphloop.cli.console import policy_file
    from morphloop.imitator import load_policy

    path = policy_file(str(spec))
    return None if path is None else load_policy(path, own)


def _is_robot(own: Body) -> bool:
    from morphloop.sim import RobotBody

    return isinstance(own, RobotBody)


def _measured(spec: BodyLike) -> Body:
    return spec if isinstance(spec, Body) else load_body(spec)


def _motions(clips: Motions, own: Body) -> Sequence[Motion]:
    """Motions one by one; those of a path are read."""
    if isinstance(clips, str | Path):
        return load(clips, body=None if _is_robot(own) else own)
    motions = [clips] if isinstance(clips, Clip | JointTrack) else list(clips)
    if not motions:
        raise MotionError("no motion given, expected one or more")
    for motion in motions:
        if not isinstance(motion, Clip | JointTrack):
            raise MotionError(f"{repr(motion)[:60]} is no motion, expected what `load` gives")
    return motions


def _worn(motion: Motion, own: Body) -> tuple[Motion, Body]:
    """A motion on a body, and that body in its shape."""
    return worn(on_body(motion, own, motion.name), own)
