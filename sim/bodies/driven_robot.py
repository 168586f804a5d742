"""Robots from MJCF, driven: with a description, a robot's hinges get PD servos and its feet sensors.

The file's tree, masses, inertias, geoms and joints stay. What drives it is ours: position servos in place of whatever
actuators there are, our time step and integrator, a floor where there is none. So everything that drives the built-in
body drives this one. Legs of hinges are not reached by inverse kinematics yet: see `envs.conditioning`.
"""

from __future__ import annotations

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line

from .build import add_floor, add_touch, set_options
from .description import BodyDescription, Dof
from .mjcf_body import RobotBody, surface_of
from .mjcf_child import largest_tree


class DrivenRobot(RobotBody):
    """A robot that physics drives.

    spec: one tree of bodies with hinges, free or put free here, and nothing else that moves; it is changed. Gains and
    torque limits are the description's, else those of the file's position actuators, `actuatorfrcrange` or motors'
    control range. Raises MotionError for what else the file holds and for a hinge that has no gains.
    """

    def __init__(self, spec: mujoco.MjSpec, description: BodyDescription, name: str):
        self._described = description
        _make_driven(spec, description, name)
        self._take(_compiled(spec, name), name, name)
        _ = self.feet, self.legs, self.preview, self.joint_ids([description.torso, description.head])

    @property
    def description(self) -> BodyDescription:
        return self._described

    @property
    def action_names(self) -> tuple[str, ...]:
        return self.servo_names

    def _feet(self, joint: np.ndarray, local: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """(P,) 0 left foot, 1 right foot, -1 neither, as the description has it."""
        foot = np.full(len(joint), -1)
        for side, parts in enumerate(self.description.feet):
            foot[np.isin(joint, self.joint_ids(parts))] = side
        return foot


def _compiled(spec: mujoco.MjSpec, name: str) -> mujoco.MjModel:
    try:
        return spec.compile()
    except ValueError as error:
        raise MotionError(f"{name}: MuJoCo does not compile it ({in_one_line(error, 200)})") from None


def _make_driven(spec: mujoco.MjSpec, description: BodyDescription, name: str) -> None:
    """Put servos, sensors, options and a floor into a robot's specification."""
    for body in spec.bodies:
        for k, joint in enumerate(body.joints):
            joint.name = joint.name or f"{body.name}_{k}"
    model = _compiled(spec, name)
    tree = largest_tree(model)
    if len(tree) != model.nbody - 1:
        raise MotionError(f"{name}: {model.nbody - 1 - len(tree)} bodies beside the robot, expected the robot alone")
    if model.neq or model.ntendon:
        raise MotionError(f"{name}: equality constraints or tendons, expected hinges alone")
    root = spec.body(model.body(tree[0]).name)
    if model.body_jntnum[tree[0]] == 0:
        root.add_freejoint(name="root")
    for key in list(spec.keys):
        spec.delete(key)
    set_options(spec, description.physics_hz)
    if not (model.geom_type[model.geom_bodyid == 0] == mujoco.mjtGeom.mjGEOM_PLANE).any():
        floor = add_floor(spec)
        floor.conaffinity, floor.priority = 1, 1  # whatever the robot's geoms are made for, the floor's contact is ours
    for foot in description.feet:
        for part in foot:
            _sense(spec, model, part, name)
    _put_servos(spec, model, description, name)


def _sense(spec: mujoco.MjSpec, model: mujoco.MjModel, part: str, name: str) -> None:
    """A touch sensor on a segment of a foot, unless it has one."""
    body = spec.body(part)
    if body is None:
        raise MotionError(f"body '{name}' has no {part}")
    if spec.sensor(f"{part}_touch") is None:
        points, radius = surface_of(model, model.body(part).id)
        if not len(points):
            raise MotionError(f"{name}: foot '{part}' has no geoms, expected geoms that touch the ground")
        add_touch(spec, body, (points - radius[:, None]).min(axis=0), (points + radius[:, None]).max(axis=0))


def _put_servos(spec: mujoco.MjSpec, model: mujoco.MjModel, description: BodyDescription, name: str) -> None:
    """A PD servo on every hinge, named as the hinge, in place of all actuators."""
    hinges = [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_HINGE]
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for joint in hinges:
        own, dof = of_file(model, model.joint(joint.name).id), description.dofs.get(joint.name, Dof())
        stiffness, damping, torque = (
            mine if mine is not None else theirs
            for mine, theirs in zip((dof.stiffness, dof.damping, dof.torque), own, strict=True)
        )
        if stiffness is None or damping is None or torque is None or min(stiffness, damping, torque) <= 0.0:
            raise MotionError(
                f"{name}: hinge '{joint.name}' has stiffness {stiffness}, damping {damping} and torque {torque}; "
                "expected all three above zero, in the description or as a position actuator with a force range"
            )
        if dof.armature is not None:
            joint.armature = dof.armature
        servo = spec.add_actuator(name=joint.name)
        servo.target, servo.trntype = joint.name, mujoco.mjtTrn.mjTRN_JOINT
        servo.set_to_position(kp=stiffness, kv=damping)
        servo.forcelimited, servo.forcerange = True, [-torque, torque]
        servo.ctrllimited = False


def of_file(model: mujoco.MjModel, joint: int) -> tuple[float | None, float | None, float | None]:
    """Stiffness, damping and largest torque that a file gives a hinge, None where it does not say."""
    stiffness = damping = torque = None
    if model.jnt_actfrclimited[joint]:
        torque = float(model.jnt_actfrcrange[joint, 1])
    on_joint = (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT) & (model.actuator_trnid[:, 0] == joint)
    for k in np.flatnonzero(on_joint):
        gear, bias = float(model.actuator_gear[k, 0]), model.actuator_biasprm[k]
        if model.actuator_biastype[k] == mujoco.mjtBias.mjBIAS_AFFINE and bias[1] < 0.0:
            stiffness, damping = -float(bias[1]) * gear**2, -float(bias[2]) * gear**2
        elif torque is None and model.actuator_ctrllimited[k]:
            torque = float(model.actuator_ctrlrange[k, 1] * model.actuator_gainprm[k, 0]) * gear
        if torque is None and model.actuator_forcelimited[k]:
            torque = float(model.actuator_forcerange[k, 1]) * gear
    return stiffness, damping, torque
