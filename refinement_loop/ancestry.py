"""Lineage: from a clip back to the prompt, parent by parent, over the files of a run or of any folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack, load_clip

from .records import ROLLOUTS
from .status import CONFIG


@dataclass(frozen=True)
class Ancestor:
    """One step of a lineage: a clip and the file it lies in; `motion` is None for a parent that no file holds."""

    id: str
    path: Path | None
    motion: Clip | JointTrack | None


def run_of(path: Path) -> Path:
    """The run folder that a file lies in, else the file's own folder."""
    for folder in path.resolve().parents:
        if (folder / CONFIG).is_file():
            return folder
    return path.resolve().parent


def lineage(path: Path, root: Path | None = None) -> list[Ancestor]:
    """A clip and its ancestors, youngest first; parents are looked for under `root`, the clip's run if left out.

    MotionError if the file is no clip of morphloop's or its parents run in a circle.
    """
    motion = load_clip(path)
    steps = [Ancestor(motion.id, path, motion)]
    parent, index = motion.provenance.parent, None
    while parent is not None:
        if parent in {step.id for step in steps}:
            raise MotionError(f"{path}: its parents run in a circle at {parent}")
        index = _clips_by_id(root or run_of(path)) if index is None else index
        found = index.get(parent)
        if found is None:
            return [*steps, Ancestor(parent, None, None)]
        motion = load_clip(found)
        steps.append(Ancestor(parent, found, motion))
        parent = motion.provenance.parent
    return steps


def _clips_by_id(root: Path) -> dict[str, Path]:
    """Every clip under a folder by its id; what is no clip is passed over. The first of equal clips stands."""
    index: dict[str, Path] = {}
    for path in sorted(root.rglob("*.npz")):
        if path.parent.name == ROLLOUTS or path.name.startswith("."):
            continue
        try:
            index.setdefault(load_clip(path).id, path)
        except MotionError:
            continue
    return index
