"""A robot tries what physics accepted of a person: a clip counts when both bodies can do it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from morphloop.base import MachineFault, MotionError
from morphloop.motion import Clip, write_manifest
from morphloop.sim import RobotBody, driven_body, retarget

from ..project_folder import ProjectFolder
from ..records import is_part
from ..round_state import RoundState, Tick
from .accepted import accepted_clips


def settings(state: RoundState) -> dict[str, Any]:
    """The robot, and how clips are tracked, judged and rescued."""
    config = state.config
    if config.body is None:
        return {"body": None}
    rules = {"selection": asdict(config.selection), "rescue": asdict(config.rescue)}
    return asdict(config.projection) | rules | {"body": robot_of_run(config.body).hash}


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """What was accepted of the person's body is retargeted and tracked by the trajectory optimiser, for no policy of
    the run drives a robot. The robot's motion stays here: the generator learns the person's."""
    config = state.config
    if config.body is None:
        return {"skipped": "no robot was asked for"}
    body = robot_of_run(config.body)
    accepted = accepted_clips(state.folder("project"), state.folder("select"))
    moved: list[Clip] = []
    refused: dict[str, str] = {}
    for clip in accepted:
        try:
            made = retarget(clip, body)
        except MotionError as error:
            refused[clip.name] = str(error)
            continue
        moved.append(replace(made, name=clip.name).with_provenance(round=state.number))
    rules = (config.projection, config.selection, config.rescue)
    rows, faults = ProjectFolder(folder, body, None, *rules, state.number).project(moved, tick)
    if faults:
        why = next(iter(faults.values()))
        raise MachineFault(
            f"{len(faults)} of {len(moved)} clips were not tried on '{body.name}', the machine failed ({why}); the "
            "others are kept, `morphloop loop resume` tries again"
        )
    write_manifest(folder, rows)
    able = [row["name"] for row in rows if not is_part(row) and row["verdict"] == "accepted"]
    notes: dict[str, Any] = {"body": body.name, "clips": len(accepted), "accepted": len(able)}
    notes["imitate"] = f"no policy for '{body.name}', none was taught"
    return notes | {"refused": refused}


def robot_of_run(spec: str) -> RobotBody:
    """The robot of a run. MotionError for a body that is none."""
    body = driven_body(spec)
    if not isinstance(body, RobotBody):
        raise MotionError(f"--body {spec}: not a robot, expected one such as g1: the person's body is always in a run")
    return body
