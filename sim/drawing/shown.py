"""What is looked at: motions of files, each on the body that it is drawn with, and what lies beside projected clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack, load_rollout
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig

from ..bodies.body import Body
from ..bodies.built_in import built_in_of
from ..bodies.choose import motions_on_body, worn

CLIPS = "clips"
BESIDE = {"before": "sources", "reference": "references", "rollout": "rollouts"}
"""Folders of what `morphloop project` wrote, beside its `clips`, under the same file names."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A motion to draw. path: its file; motion: on the skeleton of `body`, or joint positions."""

    name: str
    path: Path
    motion: Clip | JointTrack
    body: Body


def shown_motions(path: Path | str, body: Body, how: ReadingConfig = AS_FILES_SAY) -> Iterator[Shown]:
    """Every motion of a file on the body that it is drawn with: a known robot's on that robot, a rollout on the body
    that made it, everything else on `body`. Raises MotionError as `motions_on_body`, and for a rollout of another
    body."""
    path = Path(path)
    rollout = _rollout_of(path, body)
    if rollout is not None:
        yield rollout
        return
    for name, read in motions_on_body(path, body, how):
        motion, own = worn(read(), body)
        yield Shown(name, path, motion, own)


def beside(path: Path) -> dict[str, Path]:
    """What lies beside a clip that `morphloop project` wrote, by the names of `BESIDE`; nothing for any other file."""
    if path.parent.name != CLIPS:
        return {}
    found = {what: path.parent.parent / folder / path.name for what, folder in BESIDE.items()}
    return {what: file for what, file in found.items() if file.is_file()}


def _rollout_of(path: Path, body: Body) -> Shown | None:
    """What physics did by the file of a rollout, None for any other file."""
    if path.suffix.lower() != ".npz":
        return None
    try:
        rollout = load_rollout(path)
    except (MotionError, OSError):
        return None
    own = body if body.answers_to(rollout.model_hash) else built_in_of(rollout.model_hash)
    if own is None:
        raise MotionError(f"{path}: a rollout of body '{rollout.body}' ({rollout.model_hash}), give it with --body")
    return Shown(rollout.name, path, own.clip_from_qpos(rollout.qpos, rollout.fps, rollout.name), own)
