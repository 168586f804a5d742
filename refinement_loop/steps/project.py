"""Physics tracks every clip."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from morphloop.base import MachineFault
from morphloop.motion import write_manifest
from morphloop.sim import default_body

from ..project_folder import ProjectFolder
from ..records import is_part
from ..round_state import RoundState, Tick
from .generate import generated_clips


def settings(state: RoundState) -> dict[str, Any]:
    """How clips are tracked, judged and rescued."""
    config = state.config
    return asdict(config.projection) | {"selection": asdict(config.selection), "rescue": asdict(config.rescue)}


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """Each clip is kept as soon as it is done, and one that is kept already is not done again."""
    config, sources = state.config, generated_clips(state.folder("generate"))
    rules = (config.projection, config.selection, config.rescue)
    rows, faults = ProjectFolder(folder, default_body(), state.policy, *rules, state.number).project(sources, tick)
    if faults:
        why = next(iter(faults.values()))
        raise MachineFault(
            f"{len(faults)} of {len(sources)} clips were not tried, the machine failed ({why}); the others are "
            "kept, `morphloop loop resume` tries again"
        )
    write_manifest(folder, rows)
    simulated = sum(row["id"] is not None for row in rows if not is_part(row))
    return {"clips": len(sources), "simulated": simulated}
