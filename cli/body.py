"""`morphloop body check BODY`: what a robot's file was understood to be, what is missing, and whether it stands."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from morphloop.base.terminal import Terminal
from morphloop.base.threads import fixed_threads

from .console import DONE, FAILED, writable_files

if TYPE_CHECKING:
    from morphloop.sim import Body

SECONDS = 3.0
"""How long a robot has to stand."""


@dataclass(frozen=True)
class BodyCheck:
    """Say in plain words what a body was understood to be, and try whether it stands.

    A robot's MJCF needs hinges and a torque limit a hinge. What it does not say (feet, legs, torso, head, gains, how it
    stands) stands in NAME.yaml beside NAME.xml, or is found by rules: --yaml prints all of it, for that file, to be
    corrected. The standing test holds the pose for 3 s by the trajectory optimiser, from its torque limits and with
    nothing else to hold on to. Exit code 1 if the body falls, 2 if it cannot be driven.
    """

    body: Annotated[str, tyro.conf.Positional]
    """A robot's MJCF (.xml), or the name of a built-in body."""
    yaml: bool = False
    """Print the description as YAML and do nothing else."""
    json: Path | None = None
    """Write what was found here."""

    @fixed_threads()
    def run(self) -> int:
        from morphloop.base import write_json
        from morphloop.sim.bodies.robot_parts import plain

        writable_files(self.json)
        body, said, missing = self._open()
        told = plain(body.description)
        if self.yaml:
            import yaml

            yaml.safe_dump(told, sys.stdout, sort_keys=False, default_flow_style=None, width=110)
            return DONE
        terminal = Terminal()
        for line in [f"{body.name}: {body.mass:.1f} kg, {body.model.nu} servos", *said]:
            terminal.print(line, highlight=False)
        for line in missing:
            terminal.print(f"missing: {line}", style="yellow", highlight=False)
        fell = _stands(body)
        terminal.print(f"it stands for {SECONDS:g} s" if fell is None else f"it falls: {fell}", highlight=False)
        if self.json is not None:
            row: dict[str, Any] = {"schema": 1, "name": body.name, "mass_kg": body.mass, "servos": body.model.nu}
            write_json(self.json, row | {"found": said, "missing": missing, "description": told, "fell": fell})
        return DONE if fell is None else FAILED

    def _open(self) -> tuple[Body, list[str], list[str]]:
        """The body, what was found of it and what was not."""
        from morphloop.sim import BUILT_IN, description_path, driven_body, open_robot
        from morphloop.sim.bodies.built_in import is_named

        if is_named(self.body) or not self.body.lower().endswith(".xml"):
            said = "built in, described in sim/bodies" if self.body in BUILT_IN else "described by its package"
            return driven_body(self.body), [said], []
        robot = open_robot(Path(self.body))
        beside = description_path(robot.path)
        given = [f"{name}: as {beside.name} says" for name in robot.given]
        said = [line for line in robot.found.said if line.partition(":")[0] not in robot.given]
        if robot.passing:
            said.append(
                "goes through itself where it stands, and may: " + ", ".join("/".join(p) for p in robot.passing)
            )
        if robot.left_out:
            said.append(f"{len(robot.left_out)} mesh files are missing, boxes of the inertia instead")
        return robot.drive(), said + given, list(robot.found.missing)


def _stands(body: Body) -> str | None:
    """None if the body holds its pose, else what went first and when."""
    import numpy as np

    from morphloop.imitator import project_clips
    from morphloop.imitator.projection.config import ProjectionConfig
    from morphloop.sim import standing

    clip = standing(body, SECONDS, body.control_hz)
    (made,) = project_clips([clip], config=ProjectionConfig(projector="optimiser"), body=body, workers=0)
    if made.clip is None or made.reference is None:
        return made.reason or "it could not be tracked"
    if made.tracking.get("success"):
        return None
    last = made.clip.num_frames - 1
    off = np.linalg.norm(made.clip.positions[last] - made.reference.positions[last], axis=-1)
    worst = int(off.argmax())
    return f"{body.skeleton.names[worst]} is {off[worst]:.2f} m off after {last / made.clip.fps:.1f} s"
