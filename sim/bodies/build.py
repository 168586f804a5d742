"""The default body's specification: SMPL topology from the table of primitives, masses, gains, limits and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Skeleton

from . import smpl_table as table
from .smpl_description import SMPL_DESCRIPTION
from .smpl_table import JOINTS, Geom, base_name
from .support import SurfacePoints

JointModel = Literal["ball", "hinge"]

CONTACT_TIME = 0.007
"""Time constant of contacts, seconds (MuJoCo's solref, by default 0.02; two steps of physics are the least that is
stable): against 0.01, bodies that nothing was learned for skate a fifth less and optimised clips sink half as deep."""

FORCED = 1e-9
"""Damping of every joint, N m s/rad, too small to be felt: where joints have any, Euler's method takes velocities from
the forces, and else from the accelerations that the solver left off at, 0.02 N from the forces."""

FRICTION = 1.0
"""Sliding friction of body on ground, rubber on a dry floor; both geoms carry it and MuJoCo takes the larger."""


def body_geoms(skeleton: Skeleton) -> dict[str, list[Geom]]:
    """Primitive geoms of each joint of a skeleton with SMPL joint names."""
    geoms: dict[str, list[Geom]] = {}
    rest = skeleton.rest_positions
    for j, name in enumerate(skeleton.names):
        base, _ = base_name(name)
        child = skeleton.offsets[skeleton.children[j][0]] if skeleton.children[j] else np.zeros(3)
        sole = table.SOLE_HEIGHT - rest[j, 2]
        if base in table.TORSO:
            geoms[name] = [table.TORSO[base]]
        elif base in table.LIMB_RADIUS:
            tip = 0.92 if base in ("hip", "knee") else 1.0
            geoms[name] = [Geom((0.0, 0.0, 0.0), tuple(tip * child), table.LIMB_RADIUS[base])]
        elif base == "hand":
            geoms[name] = [Geom((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), table.HAND_RADIUS)]
        elif base == "ankle":
            middle = 0.5 * child[1]
            geoms[name] = [
                Geom(
                    (table.FOOT_HEEL, middle - table.FOOT_HALF_WIDTH, sole),
                    (child[0], middle + table.FOOT_HALF_WIDTH, sole + table.FOOT_TOP),
                )
            ]
        elif base == "foot":
            z = sole + table.TOE_RADIUS
            ends = ((table.TOE_REACH, -table.TOE_HALF_WIDTH, z), (table.TOE_REACH, table.TOE_HALF_WIDTH, z))
            geoms[name] = [Geom(*ends, table.TOE_RADIUS)]
        else:
            raise MotionError(f"no geometry for joint '{name}', expected SMPL joint names")
    return geoms


def joint_ranges(skeleton: Skeleton) -> np.ndarray:
    """(J, 3, 2) range of each rotation-vector component, radians; the root's is unbounded."""
    ranges = np.empty((skeleton.num_joints, 3, 2))
    ranges[0] = (-np.inf, np.inf)
    for j, name in enumerate(skeleton.names[1:], 1):
        base, side = base_name(name)
        row = JOINTS[base]
        ranges[j] = np.radians([row.x, row.y, row.z])
        if side < 0:
            ranges[j, [0, 2]] = -ranges[j, [0, 2]][:, ::-1]
    return ranges


HINGE_ORDER = {"shoulder": "XZY", "elbow": "ZXY", "wrist": "ZXY", "collar": "XZY"}
"""Intrinsic order of the hinge alternative, where it is not Y X Z (flexion first)."""


def hinge_order(joint: str) -> str:
    """Intrinsic Euler order of a joint's three hinges."""
    return HINGE_ORDER.get(base_name(joint)[0], "YXZ")


def build_spec(skeleton: Skeleton = DEFAULT_SKELETON, joints: JointModel = "ball") -> mujoco.MjSpec:
    """MjSpec of a body standing on an infinite plane, position servos inside."""
    spec = mujoco.MjSpec()
    spec.modelname = f"smpl24_{joints}"
    set_options(spec, SMPL_DESCRIPTION.physics_hz)
    spec.option.integrator, spec.option.cone = mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.compiler.autolimits = False
    add_floor(spec)
    geoms = body_geoms(skeleton)
    bodies = []
    for j, name in enumerate(skeleton.names):
        if j == 0:
            body = spec.worldbody.add_body(name=name, pos=[0, 0, -table.SOLE_HEIGHT])
            body.add_freejoint(name="root")
            mass = table.PELVIS_MASS
        else:
            body = bodies[skeleton.parents[j]].add_body(name=name, pos=skeleton.offsets[j])
            mass = JOINTS[base_name(name)[0]].mass
            _add_joints(spec, body, name, joints)
        bodies.append(body)
        for k, geom in enumerate(geoms[name]):
            _add_geom(body, f"{name}_{k}", geom, mass / len(geoms[name]))
            if base_name(name)[0] in ("ankle", "foot"):
                low = np.minimum(geom.start, geom.end) - geom.radius
                add_touch(spec, body, low, np.maximum(geom.start, geom.end) + geom.radius)
    ranges = joint_ranges(skeleton)
    for j, name in enumerate(skeleton.names[1:], 1):
        row = JOINTS[base_name(name)[0]]
        for axis in range(3):
            actuator = spec.add_actuator(name=f"{name}_{'xyz'[axis]}")
            target = name if joints == "ball" else f"{name}_{'xyz'[axis]}"
            actuator.target, actuator.trntype = target, mujoco.mjtTrn.mjTRN_JOINT
            actuator.set_to_position(kp=row.kp, kv=row.kd)
            gear = np.zeros(6)
            gear[axis if joints == "ball" else 0] = 1.0
            actuator.gear = gear
            actuator.forcelimited, actuator.forcerange = True, [-row.torque, row.torque]
            if joints == "ball":
                actuator.ctrllimited, actuator.ctrlrange = True, ranges[j, axis]
    return spec


def set_options(spec: mujoco.MjSpec, physics_hz: float) -> None:
    """How every driven body is simulated, so many steps a second."""
    spec.option.timestep = 1.0 / physics_hz
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.iterations = 8
    spec.option.ls_iterations = 10


def add_floor(spec: mujoco.MjSpec) -> mujoco.MjsGeom:
    """An infinite plane to stand on."""
    floor = spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05])
    floor.contype, floor.conaffinity, floor.condim = 1, 0, 3
    floor.friction, floor.solref = [FRICTION, 0.005, 0.0001], [CONTACT_TIME, 1.0]
    return floor


def joint_inertia(damping: float, timestep: float) -> float:
    """Armature of a joint whose servo damps by so much, N m s/rad, at a time step in seconds; kg m2.

    The rotor's, and what MuJoCo's implicit integrators add to the inertia M for the damping: time step times damping.
    Contact forces are computed for M alone. Added by the integrator, five times the inertia of a foot is not in what
    they stop, and a foot that friction could hold goes on at 40 to 80 mm/s. In the armature it is in both, and Euler's
    method moves what touches nothing as the implicit one did (`tests/test_held_feet.py`).
    """
    return table.ARMATURE + timestep * damping


def _add_joints(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, joints: JointModel) -> None:
    inertia = joint_inertia(table.JOINTS[base_name(name)[0]].kd, spec.option.timestep)
    if joints == "ball":
        body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_BALL, armature=inertia, damping=[FORCED, 0, 0])
        return
    hinge = mujoco.mjtJoint.mjJNT_HINGE
    for letter in hinge_order(name).lower():
        axis = np.eye(3)["xyz".index(letter)]
        body.add_joint(name=f"{name}_{letter}", type=hinge, axis=axis, armature=inertia, damping=[FORCED, 0, 0])


def _add_geom(body: mujoco.MjsBody, name: str, geom: Geom, mass: float) -> None:
    start, end = np.array(geom.start), np.array(geom.end)
    added = body.add_geom(name=name, mass=mass, contype=0, conaffinity=1, condim=3)
    added.friction, added.solref = [FRICTION, 0.005, 0.0001], [CONTACT_TIME, 1.0]
    added.rgba = [0.55, 0.65, 0.8, 1.0]
    if geom.radius == 0:
        added.type, added.pos, added.size = mujoco.mjtGeom.mjGEOM_BOX, 0.5 * (start + end), 0.5 * (end - start)
    elif np.allclose(start, end):
        added.type, added.pos, added.size = mujoco.mjtGeom.mjGEOM_SPHERE, start, [geom.radius, 0, 0]
    else:
        added.type, added.size = mujoco.mjtGeom.mjGEOM_CAPSULE, [geom.radius, 0, 0]
        added.fromto = np.concatenate([start, end])


def add_touch(spec: mujoco.MjSpec, body: mujoco.MjsBody, low: np.ndarray, high: np.ndarray) -> None:
    """A sensor of the normal force on a foot's segment, newtons, `BODY_touch`: a box site 10 mm larger than its geoms,
    which reach from `low` to `high` (3,) in the body's frame."""
    name, low, high = body.name, low - 0.01, high + 0.01
    site = body.add_site(name=f"{name}_touch", type=mujoco.mjtGeom.mjGEOM_BOX)
    site.pos, site.size, site.rgba = 0.5 * (low + high), 0.5 * (high - low), [0, 0, 0, 0]
    spec.add_sensor(
        name=f"{name}_touch",
        type=mujoco.mjtSensor.mjSENS_TOUCH,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=f"{name}_touch",
    )


def surface_points(skeleton: Skeleton, geoms: Mapping[str, Sequence[Geom]]) -> SurfacePoints:
    """Ends of capsules and corners of boxes, the geoms of each joint by its name."""
    joints, points, radii, feet = [], [], [], []
    for j, name in enumerate(skeleton.names):
        base, side = base_name(name)
        foot = (0 if side > 0 else 1) if base in ("ankle", "foot") else -1
        for geom in geoms[name]:
            a, b = np.array(geom.start), np.array(geom.end)
            if geom.radius:
                corners = [a] if np.allclose(a, b) else [a, b]
            else:
                corners = [np.where(pick, b, a) for pick in np.ndindex(2, 2, 2)]
            for corner in corners:
                joints.append(j)
                points.append(corner)
                radii.append(geom.radius)
                feet.append(foot)
    return SurfacePoints(np.array(joints), np.array(points), np.array(radii), np.array(feet))
