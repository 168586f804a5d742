"""Prompts to clips."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from morphloop.generator import CommandGenerator, FolderGenerator, PackageGenerator
from morphloop.motion import Clip, read_manifest, save_clip, write_manifest

from ..records import CLIPS, load_motion
from ..round_state import RoundState, Tick

FROM_OUTSIDE = (CommandGenerator, FolderGenerator, PackageGenerator)
"""Generators some of whose clips may not come."""


def settings(state: RoundState) -> dict[str, Any]:
    """What is asked for."""
    config = state.config
    asked = {"prompts": prompts_of(state), "seconds": list(config.seconds), "fps": config.fps}
    return asked | config.beyond_fps


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """A clip is named by its place and what it shows. Unreadable files are noted."""
    generator = state.generator
    clips = generator.generate(prompts_of(state), seed, state.config.seconds)
    rows = []
    for place, clip in enumerate(clips):
        name = f"{place:03d}_{slug(clip.provenance.prompt or clip.name)}"
        clip = replace(clip, name=name).with_provenance(round=state.number)
        save_clip(folder / CLIPS / f"{name}.npz", clip)
        rows.append({"name": name, "id": clip.id, "prompt": clip.provenance.prompt, "texts": list(clip.texts)})
        tick(place + 1, len(clips))
    write_manifest(folder, rows)
    notes: dict[str, Any] = {"clips": len(rows), "generator": generator.hash(), "failed": {}}
    if isinstance(generator, FROM_OUTSIDE):
        notes["failed"] = generator.failed
    if isinstance(generator, FolderGenerator):
        notes["passed_over"] = [str(path) for path in generator.passed_over]
    return notes


def slug(text: str, limit: int = 32) -> str:
    """Text as a piece of a file name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:limit].strip("_") or "clip"


def generated_clips(folder: Path) -> list[Clip]:
    """The clips of a generate stage in order."""
    return [load_motion(folder / CLIPS / f"{row['name']}.npz") for row in read_manifest(folder)]


def prompts_of(state: RoundState) -> Sequence[str]:
    """The run's prompts; a folder of outputs without any is asked for all that it has."""
    if isinstance(state.generator, FolderGenerator) and not state.config.prompts:
        return state.generator.prompts
    return list(state.config.prompts)
