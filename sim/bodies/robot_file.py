"""A robot that is driven, from its MJCF: what the file does not say stands in a YAML beside it, or is found by rules.

`NAME.yaml` beside `NAME.xml` holds the fields of `BodyDescription`; what it leaves out `robot_parts.describe` finds.
Bodies that cannot move against their parents become part of them. A mesh whose file is missing is
left out; a body that then has no geom which touches anything gets the box of its inertia.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import yaml

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line, reading
from morphloop.base.typed import from_dict
from morphloop.motion.readers.text import read_text

from .description import BodyDescription
from .driven_robot import DrivenRobot
from .mjcf_body import RobotBody
from .mjcf_child import largest_tree, stand_alone
from .mjcf_compile import compile_robot
from .robot_parts import Found, describe, plain

log = logging.getLogger("morphloop.sim")

MULTIPLYING = re.compile(r"<\s*(include|replicate|composite|flexcomp|frame|attach|plugin)\b")
"""Elements that make more than they say: a file with one is compiled as a whole or not at all."""
_MESH_FILE = re.compile(r"""<\s*mesh\b[^>]*\bfile\s*=\s*["']([^"']+)["']""")
_MESH_FOLDER = re.compile(r"""\b(?:meshdir|assetdir)\s*=\s*["']([^"']+)["']""")


@dataclass(frozen=True)
class RobotFile:
    """spec: of the robot, its static bodies part of their parents; found: its description by the rules; given: what the
    YAML beside the file sets, by name; description: both together; left_out: missing mesh files; passing: pairs
    of bodies that go through each other already as the robot stands or was built, and so are let pass."""

    path: Path
    spec: mujoco.MjSpec
    found: Found
    given: dict[str, object]
    description: BodyDescription
    left_out: tuple[str, ...]
    passing: tuple[tuple[str, str], ...]

    def drive(self) -> DrivenRobot:
        """The robot, driven. MotionError as `DrivenRobot` has it."""
        return DrivenRobot(self.spec, self.description, self.path.stem)


def description_path(path: Path) -> Path:
    """Where the description of a robot file is looked for."""
    return path.with_suffix(".yaml")


def open_robot(path: Path) -> RobotFile:
    """Read a robot's MJCF and its description. MotionError, one line, for what does not compile, is no robot on two
    legs, or a YAML that is wrong or names what is not there."""
    spec, left_out = _alone(path)
    model = _compiled(spec, path)
    if len(largest_tree(model)) != model.nbody - 1:
        count = model.nbody - 1 - len(largest_tree(model))
        raise MotionError(f"{path}: {count} bodies beside the robot, expected the robot alone")
    found = describe(RobotBody.of_model(model, path.stem, path))
    besides = _not_on_hinges(model)
    if besides:
        log.warning("%s: %d actuators drive no hinge and are left out (%s)", path, len(besides), ", ".join(besides[:3]))
    given = _given(description_path(path))
    described = from_dict(BodyDescription, plain(found.description) | given, description_path(path))
    hinges = {model.joint(j).name for j in range(model.njnt)}
    bodies = {model.body(b).name for b in range(model.nbody)}
    for name in [*described.dofs, *described.stand]:
        if name not in hinges:
            raise MotionError(f"{description_path(path)}: no hinge '{name}' in {path.name}")
    for name in _bodies(described):
        if name not in bodies:
            raise MotionError(
                f"{description_path(path)}: no body '{name}' in {path.name}, or one that is part of its parent"
            )
    return RobotFile(path, spec, found, given, described, left_out, _let_pass(spec, model, described))


def measured_robot(path: Path) -> RobotBody:
    """A robot for measuring: boxes stand in for meshes where files of theirs are missing. Errors as `RobotBody` has."""
    if not _missing_meshes(path):
        return RobotBody(path)
    spec, _ = _alone(path)
    return RobotBody.of_model(_compiled(spec, path), path.stem, path)


def _alone(path: Path) -> tuple[mujoco.MjSpec, tuple[str, ...]]:
    """The specification of a file, its robot with a free root, and the names of mesh files that it goes without."""
    spec, left_out = _spec(path)
    try:
        stand_alone(spec)
    except ValueError as error:
        raise MotionError(f"{path}: MuJoCo does not compile it ({in_one_line(error, 200)})") from None
    return spec, left_out


def _not_on_hinges(model: mujoco.MjModel) -> list[str]:
    """Names of actuators that a robot has not in the world: on the root, at a site, on a body."""
    kind, joint = model.actuator_trntype, model.actuator_trnid[:, 0]
    on_joint = (kind == mujoco.mjtTrn.mjTRN_JOINT) | (kind == mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    on_hinge = on_joint & (model.jnt_type[np.where(on_joint, joint, 0)] == mujoco.mjtJoint.mjJNT_HINGE)
    return [model.actuator(int(k)).name or f"number {k}" for k in np.flatnonzero(~on_hinge)]


def _let_pass(spec: mujoco.MjSpec, model: mujoco.MjModel, described: BodyDescription) -> tuple[tuple[str, str], ...]:
    """Exclude from collision what touches of itself in a pose in which the robot is meant to be able to stand."""
    data, pairs = mujoco.MjData(model), set()
    built = model.qpos0.copy()
    stands = built.copy()
    for hinge, angle in described.stand.items():
        stands[model.joint(hinge).qposadr[0]] = angle
    for qpos in (built, stands):
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        touching = {(int(model.geom_bodyid[c.geom1]), int(model.geom_bodyid[c.geom2])) for c in data.contact}
        pairs |= {tuple(sorted(pair)) for pair in touching if 0 not in pair}
    names = tuple((model.body(first).name, model.body(second).name) for first, second in sorted(pairs))
    for first, second in names:
        spec.add_exclude(bodyname1=first, bodyname2=second)
    return names


def _bodies(described: BodyDescription) -> list[str]:
    sides = [name for pair in (described.feet, described.legs) for side in pair for name in side]
    return [*sides, described.torso, described.head, *described.lower, *described.preview]


def _given(path: Path) -> dict[str, object]:
    """What a YAML sets; nothing if there is none."""
    if not path.is_file():
        return {}
    try:
        given = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise MotionError(f"{path}: not YAML ({in_one_line(error, 120)})") from None
    if not isinstance(given, dict):
        raise MotionError(f"{path}: expected names and values of a body's description")
    return given


def _compiled(spec: mujoco.MjSpec, path: Path) -> mujoco.MjModel:
    try:
        return spec.compile()
    except ValueError as error:
        raise MotionError(f"{path}: MuJoCo does not compile it ({in_one_line(error, 200)})") from None


def _spec(path: Path) -> tuple[mujoco.MjSpec, tuple[str, ...]]:
    """The specification of a file that compiles within limits, and the names of mesh files that it goes without."""
    missing = _missing_meshes(path)
    if not missing:
        compile_robot(path)
    with reading(path):
        try:
            spec = mujoco.MjSpec.from_file(str(path))
        except ValueError as error:
            raise MotionError(f"{path}: MuJoCo does not compile it ({in_one_line(error, 200)})") from None
    if missing:
        _go_without_meshes(spec)
        log.warning("%s: %d mesh files are missing (%s), boxes instead", path, len(missing), ", ".join(missing[:3]))
    return spec, missing


def _missing_meshes(path: Path) -> tuple[str, ...]:
    """Mesh files that a plain MJCF asks for and that are not there."""
    text = read_text(path)
    if MULTIPLYING.search(text):
        return ()
    folder = _MESH_FOLDER.search(text)
    place = path.parent / (folder.group(1) if folder else "")
    return tuple(name for name in _MESH_FILE.findall(text) if not (place / name).exists())


def _go_without_meshes(spec: mujoco.MjSpec) -> None:
    """Take out meshes, all of them if one is missing, and give bodies the boxes of their inertia instead."""
    for body in spec.bodies:
        meshes = [geom for geom in body.geoms if geom.type == mujoco.mjtGeom.mjGEOM_MESH]
        touching = [geom for geom in meshes if geom.contype or geom.conaffinity]
        others = [geom for geom in body.geoms if geom not in meshes and (geom.contype or geom.conaffinity)]
        if touching and not others and body.explicitinertial:
            a, b, c = body.inertia
            half = np.sqrt(np.maximum(1.5 * (np.array([b + c - a, a + c - b, a + b - c])) / body.mass, 1e-8))
            box = body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=body.ipos, quat=body.iquat)
            box.contype, box.conaffinity, box.condim = touching[0].contype, touching[0].conaffinity, touching[0].condim
        for geom in meshes:
            spec.delete(geom)
    for mesh in list(spec.meshes):
        spec.delete(mesh)
