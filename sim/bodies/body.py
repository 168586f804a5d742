"""Bodies: a skeleton with mass, geometry and servos, compiled by MuJoCo from a specification built in code.

The default body has SMPL topology and 23 ball joints. A ball joint's quaternion is the clip's own local rotation, so
a clip and qpos are the same numbers in another layout. Three hinges in a row are kept as `joints="hinge"`, because the
choice was made by measuring both (`benchmarks/joint_models.py`): with a fitting order of axes they follow raised arms
as well as balls do, but arms stretched forward come to where they lock, which asks for five times the joint speed and
makes one and a half times the error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Clip, Skeleton

from . import table
from .body_hash import SAVED_BYTES, model_hash
from .table import JOINTS, Geom, base_name

JointModel = Literal["ball", "hinge"]

PHYSICS_HZ = 300.0
"""At 150 Hz the feet chatter on the ground: over 64 corpus clips they slid 16 mm/s, 9 at 300 Hz with contacts of
10 ms."""
CONTROL_HZ = 30.0
SUBSTEPS = 10
CONTACT_TIME = 0.007
"""Time constant of contacts, seconds (MuJoCo's solref, by default 0.02; two steps of physics are the least that is
stable): against 0.01, bodies that nothing was learned for skate a fifth less and refined clips sink half as deep."""

FRICTION = 1.0
"""Sliding friction of body on ground, rubber on a dry floor; both geoms carry it and MuJoCo takes the larger."""

FEET = ("left", "right")


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """The body's surface as points with a radius: capsule ends and box corners, the only candidates for lowest point.

    joint: (P,) index of the joint that carries each point; local: (P, 3) in that joint's frame, metres;
    radius: (P,) metres. Height of the lowest surface over ground is min over P of z - radius.
    foot: (P,) 0 for the left foot (ankle and toe), 1 for the right, -1 for the rest of the body.
    """

    joint: np.ndarray
    local: np.ndarray
    radius: np.ndarray
    foot: np.ndarray


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
    spec.option.timestep = 1.0 / PHYSICS_HZ
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.iterations = 8
    spec.option.ls_iterations = 10
    spec.compiler.autolimits = False
    floor = spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05])
    floor.contype, floor.conaffinity, floor.condim = 1, 0, 3
    floor.friction, floor.solref = [FRICTION, 0.005, 0.0001], [CONTACT_TIME, 1.0]
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
                _add_touch(spec, body, name, geom)
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


def _add_joints(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, joints: JointModel) -> None:
    if joints == "ball":
        body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_BALL, armature=table.ARMATURE)
        return
    for letter in hinge_order(name).lower():
        axis = np.eye(3)["xyz".index(letter)]
        body.add_joint(name=f"{name}_{letter}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis, armature=table.ARMATURE)


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


def _add_touch(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, geom: Geom) -> None:
    """A sensor of the normal force on a foot part, newtons: a box site 10 mm larger than the geom."""
    low = np.minimum(geom.start, geom.end) - geom.radius - 0.01
    high = np.maximum(geom.start, geom.end) + geom.radius + 0.01
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


class Body:
    """A compiled body: the MuJoCo model and how clips and states map onto each other.

    skeleton: the joints; joints: "ball" or "hinge"; model: mujoco.MjModel; name: goes into files.
    """

    def __init__(self, skeleton: Skeleton = DEFAULT_SKELETON, joints: JointModel = "ball", name: str = "smpl24"):
        self.skeleton = skeleton
        self.joints: JointModel = joints
        self.name = name if joints == "ball" else f"{name}_{joints}"
        self.model: mujoco.MjModel = build_spec(skeleton, joints).compile()

    @cached_property
    def hash(self) -> str:
        """Hash of what makes the compiled model, whichever MuJoCo compiled it: see `model_hash`."""
        return model_hash(self.model)

    def answers_to(self, stored: str) -> bool:
        """Whether a hash that a file carries is this body's, today's or the one that it had before."""
        return SAVED_BYTES.get(stored, stored) == self.hash

    @cached_property
    def mass(self) -> float:
        """Total mass, kg."""
        return float(self.model.body_mass.sum())

    @cached_property
    def body_ids(self) -> np.ndarray:
        """(J,) MuJoCo's body index of each joint; MuJoCo numbers bodies depth first, a skeleton need not."""
        return np.array([self.model.body(name).id for name in self.skeleton.names])

    @cached_property
    def qpos_ids(self) -> np.ndarray:
        """(J, 4) for ball joints or (J, 3) for hinges: where each joint's numbers stand in qpos. Row 0 is the root's
        quaternion (hinges: its first three numbers, not used)."""
        first = self.model.jnt_qposadr[self.model.body_jntadr[self.body_ids]]
        first[0] += 3
        return first[:, None] + np.arange(4 if self.joints == "ball" else 3)

    @cached_property
    def dof_ids(self) -> np.ndarray:
        """(J, 3) where each joint's three velocities stand in qvel; row 0 is the root's angular velocity."""
        first = self.model.body_dofadr[self.body_ids].copy()
        first[0] += 3
        return first[:, None] + np.arange(3)

    @cached_property
    def joint_masses(self) -> np.ndarray:
        """(J,) mass of each joint's segment, kg."""
        return self.model.body_mass[self.body_ids]

    @cached_property
    def joint_coms(self) -> np.ndarray:
        """(J, 3) centre of mass of each joint's segment in the joint's frame, metres."""
        return self.model.body_ipos[self.body_ids]

    @cached_property
    def surface(self) -> SurfacePoints:
        """Surface points of all geoms."""
        return surface_points(self.skeleton, body_geoms(self.skeleton))

    @cached_property
    def touch_ids(self) -> np.ndarray:
        """(2, 2) where each foot's ankle and toe force stand in sensordata; rows left, right."""
        names = [[f"{side}_{part}_touch" for part in ("ankle", "foot")] for side in FEET]
        return np.array([[self.model.sensor(name).adr[0] for name in row] for row in names])

    @cached_property
    def ranges(self) -> np.ndarray:
        """(J, 3, 2) anatomical range of each rotation-vector component, radians."""
        return joint_ranges(self.skeleton)

    @cached_property
    def sole_below_toe(self) -> float:
        """Height of the toe joints over the soles at rest, metres: what a joints-only floor leaves out."""
        toes = [self.skeleton.index(f"{side}_foot") for side in FEET]
        return float(self.skeleton.rest_positions[toes, 2].min() - table.SOLE_HEIGHT)

    def check(self, clip: Clip) -> None:
        """MotionError unless the clip is on this body's skeleton."""
        if clip.skeleton != self.skeleton:
            raise MotionError(f"{clip.name}: skeleton differs from body '{self.name}', retarget the clip first")

    def qpos_from_clip(self, clip: Clip) -> np.ndarray:
        """(T, nq) generalised positions of a clip on this body's skeleton."""
        self.check(clip)
        qpos = np.zeros((clip.num_frames, self.model.nq))
        qpos[:, :3], qpos[:, 3:7] = clip.root_pos, clip.rotations[:, 0]
        if self.joints == "ball":
            qpos[:, self.qpos_ids] = clip.rotations
            return qpos
        for j, name in enumerate(self.skeleton.names[1:], 1):
            angles = Rotation.from_quat(clip.rotations[:, j], scalar_first=True).as_euler(hinge_order(name))
            qpos[:, self.qpos_ids[j]] = np.unwrap(angles, axis=0)
        return qpos

    def clip_from_qpos(self, qpos: np.ndarray, fps: float, name: str = "clip") -> Clip:
        """Inverse of `qpos_from_clip`. qpos: (T, nq)."""
        if self.joints == "ball":
            rotations = qpos[:, self.qpos_ids]
        else:
            rotations = np.empty((len(qpos), self.skeleton.num_joints, 4))
            rotations[:, 0] = qpos[:, 3:7]
            for j, joint in enumerate(self.skeleton.names[1:], 1):
                turn = Rotation.from_euler(hinge_order(joint), qpos[:, self.qpos_ids[j]])
                rotations[:, j] = turn.as_quat(scalar_first=True)
        return Clip(fps=fps, skeleton=self.skeleton, root_pos=qpos[:, :3], rotations=rotations, name=name)


@lru_cache(maxsize=2)
def default_body(joints: JointModel = "ball") -> Body:
    """The built-in body, compiled once a process."""
    return Body(joints=joints)
