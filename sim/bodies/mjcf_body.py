"""Robots from MJCF, as bodies to measure motion on: their body tree as a skeleton, their geoms as surface points.

What decides, in words: the robot is the largest tree of bodies in the file; one without a free joint is given one. The
surface of a body is the geoms that can collide (contype, conaffinity or a contact pair), or all of its geoms where none
can; meshes by their vertices. The feet are the bodies whose surface comes within 30 mm of the robot's lowest
point as it was built, those on its left side (y > 0) the left foot and the others the right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, Skeleton
from morphloop.motion.robot import Hinge, Robot
from morphloop.motion.rotations import quat_to_matrix
from morphloop.motion.skeleton import forward_kinematics

from .body import Body
from .description import BodyDescription
from .mjcf_child import largest_tree
from .mjcf_compile import compile_robot
from .support import SurfacePoints, sphere_directions, support_ids

FOOT_BAND = 0.03
"""Metres over the lowest point of the robot as built in which a body still counts as a foot."""
RIM_POINTS = 32
"""Points on the rim of a cylinder; their lowest is at most 0.5 % of its radius over the true one."""
SAME_ANCHOR = 1e-6
"""Metres that the anchors of one body's hinges may lie apart."""
_GEOM = mujoco.mjtGeom
NO_SURFACE = (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_HFIELD)


class RobotBody(Body):
    """A robot compiled from its MJCF, for measuring: `robot` tells its hinges, the rest is as in `Body`.

    Clips on it have one joint a body and the hinges' turns as local rotations.
    """

    def __init__(self, path: Path | str):
        """Raises MotionError for a file that does not compile, slides, has no surface or does not stand on two feet."""
        path = Path(path)
        self._measure(compile_robot(path), path.stem, path)

    @classmethod
    def of_model(cls, model: mujoco.MjModel, name: str, where: Path | str) -> RobotBody:
        """The same of a model that is compiled already."""
        robot = cls.__new__(cls)
        robot._measure(model, name, where)
        return robot

    def _measure(self, model: mujoco.MjModel, name: str, path: Path | str) -> None:
        self._take(model, name, path)
        if not {0, 1} <= set(self.surface.foot.tolist()):
            raise MotionError(
                f"{path}: no two feet, expected bodies on both sides (y > 0 and y < 0) within {1e3 * FOOT_BAND:g} mm "
                "of the lowest point as built"
            )

    def _take(self, model: mujoco.MjModel, name: str, where: Path | str) -> None:
        """Become the robot of a compiled model; errors name `where` it is from."""
        self.name, self.joints, self.model = name, "hinge", model
        self._ids = largest_tree(model)
        self.robot = _robot(model, self._ids, name, where)
        self.skeleton = self.robot.skeleton
        if not len(self.surface.joint):
            raise MotionError(f"{where}: the bodies have no geoms, expected geoms that touch the ground")

    @cached_property
    def body_ids(self) -> np.ndarray:
        """(J,) MuJoCo's body index of each joint."""
        return self._ids

    @property
    def description(self) -> BodyDescription:
        """MotionError: a robot that is measured has none."""
        raise MotionError(f"robot '{self.name}' is measured and not driven, expected a body with a description")

    @cached_property
    def hinges(self) -> tuple[Hinge, ...]:
        return self.robot.hinges

    @cached_property
    def hinge_ids(self) -> np.ndarray:
        hinged = self.model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
        return np.array([j for b in self.body_ids for j in _joints(self.model, b) if hinged[j]], int)

    @cached_property
    def rest(self) -> np.ndarray:
        return self.robot.rest

    @cached_property
    def origins(self) -> np.ndarray:
        return self.robot.origins

    @cached_property
    def joint_coms(self) -> np.ndarray:
        """(J, 3) centre of mass of each body in its joint's frame, metres."""
        return self.robot.centres

    @cached_property
    def ranges(self) -> np.ndarray:
        """(J, 3, 2) without bounds: a robot's limits are those of its hinges, `robot.hinges`."""
        return np.broadcast_to([-np.inf, np.inf], (self.skeleton.num_joints, 3, 2)).copy()

    @cached_property
    def surface(self) -> SurfacePoints:
        """Surface points of the geoms that can touch."""
        found = [surface_of(self.model, body) for body in self.body_ids]
        joint = np.repeat(np.arange(len(found)), [len(radius) for _, radius in found])
        local = np.concatenate([points for points, _ in found]) + self.robot.origins[joint]
        radius = np.concatenate([radius for _, radius in found])
        return SurfacePoints(joint, local, radius, self._feet(joint, local, radius))

    def _feet(self, joint: np.ndarray, local: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """(P,) 0 left foot, 1 right foot, -1 neither, by where the points are as the robot was built."""
        built = self.robot.rotations(np.array([[1.0, 0.0, 0.0, 0.0]]), np.array([[h.zero for h in self.robot.hinges]]))
        where, turns = forward_kinematics(self.skeleton, np.zeros((1, 3)), built)
        at = where[0, joint] + np.einsum("pij,pj->pi", quat_to_matrix(turns[0, joint]), local)
        foot = np.full(len(joint), -1)
        lowest = (at[:, 2] - radius).min(initial=np.inf)
        for j in np.unique(joint):
            own = joint == j
            if (at[own, 2] - radius[own]).min() < lowest + FOOT_BAND:
                foot[own] = 0 if at[own, 1].mean() > 0 else 1
        return foot

    def qpos_from_clip(self, clip: Clip) -> np.ndarray:
        """(T, nq) generalised positions of a clip on the robot's skeleton; other trees of the model stay as built."""
        self.check(clip)
        qpos = np.tile(self.model.qpos0, (clip.num_frames, 1))
        root = self.model.jnt_qposadr[self.model.body_jntadr[self.body_ids[0]]]
        qpos[:, root : root + 3], qpos[:, root + 3 : root + 7] = clip.root_pos, clip.rotations[:, 0]
        qpos[:, self.model.jnt_qposadr[self.hinge_ids]] = self.robot.angles(clip.rotations)
        return qpos

    def clip_from_qpos(self, qpos: np.ndarray, fps: float, name: str = "clip") -> Clip:
        """Inverse of `qpos_from_clip`. qpos: (T, nq)."""
        root = self.model.jnt_qposadr[self.model.body_jntadr[self.body_ids[0]]]
        rotations = self.robot.rotations(qpos[:, root + 3 : root + 7], qpos[:, self.model.jnt_qposadr[self.hinge_ids]])
        return Clip(fps=fps, skeleton=self.skeleton, root_pos=qpos[:, root : root + 3], rotations=rotations, name=name)


def _joints(model: mujoco.MjModel, body: int) -> range:
    return range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body])


def _robot(model: mujoco.MjModel, ids: np.ndarray, name: str, path: Path | str) -> Robot:
    names = tuple(model.body(b).name or f"body_{b}" for b in ids)
    where = {int(b): j for j, b in enumerate(ids)}
    anchors, hinges = np.zeros((len(ids), 3)), []
    for j, body in enumerate(ids):
        turning = _turning_joints(model, int(body), root=j == 0, path=path)
        for k, joint in enumerate(turning):
            if np.abs(model.jnt_pos[joint] - model.jnt_pos[turning[0]]).max() > SAME_ANCHOR:
                raise MotionError(f"{path}: hinges of body '{names[j]}' turn about different points, expected one")
            low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-np.inf, np.inf)
            axis = tuple(float(x) for x in model.jnt_axis[joint])
            zero = float(model.qpos0[model.jnt_qposadr[joint]])
            called = model.joint(joint).name or f"{names[j]}_{k}"
            hinges.append(Hinge(called, j, axis, zero, float(low), float(high)))  # type: ignore[arg-type]
        if turning:
            anchors[j] = model.jnt_pos[turning[0]]
    parents = [-1, *(where[int(model.body_parentid[b])] for b in ids[1:])]
    rest = model.body_quat[ids].copy()
    offsets = model.body_pos[ids] + np.einsum("jab,jb->ja", quat_to_matrix(rest), anchors) - anchors[parents]
    offsets[0] = 0.0
    centres = model.body_ipos[ids] - anchors
    return Robot(name, Skeleton(names, tuple(parents), offsets), rest, tuple(hinges), -anchors, centres)


def _turning_joints(model: mujoco.MjModel, body: int, root: bool, path: Path | str) -> list[int]:
    """MuJoCo's indices of a body's hinges; MotionError for a joint that is none."""
    kinds = {j: mujoco.mjtJoint(model.jnt_type[j]) for j in _joints(model, body)}
    allowed = mujoco.mjtJoint.mjJNT_FREE if root else mujoco.mjtJoint.mjJNT_HINGE
    for joint, kind in kinds.items():
        if kind != allowed:
            raise MotionError(
                f"{path}: joint '{model.joint(joint).name}' is of type {kind.name.removeprefix('mjJNT_').lower()}, "
                "expected hinges and a free root"
            )
    return [] if root else list(kinds)


def surface_of(model: mujoco.MjModel, body: int) -> tuple[np.ndarray, np.ndarray]:
    """Surface points (K, 3) of a body in its own frame and their radii (K,), metres."""
    points, radii = [np.zeros((0, 3))], [np.zeros(0)]
    for geom in _touching(model, body):
        own, radius = _geom_points(model, geom)
        points.append(own)
        radii.append(np.full(len(own), radius))
    return np.concatenate(points), np.concatenate(radii)


def _touching(model: mujoco.MjModel, body: int) -> list[int]:
    """The geoms that are a body's surface: those that can collide, or all where none can."""
    first = model.body_geomadr[body]
    geoms = [g for g in range(first, first + model.body_geomnum[body]) if model.geom_type[g] not in NO_SURFACE]
    pairs = set(model.pair_geom1) | set(model.pair_geom2)
    collide = [g for g in geoms if model.geom_contype[g] or model.geom_conaffinity[g] or g in pairs]
    return collide or geoms


def _geom_points(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, float]:
    """Points (K, 3) in the body's frame and their radius, metres, whose lowest is the geom's lowest."""
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    if kind in (_GEOM.mjGEOM_MESH, _GEOM.mjGEOM_SDF):
        local, radius = _mesh_points(model, geom), 0.0
    else:
        local, radius = _PRIMITIVES[kind](size)
    turn = quat_to_matrix(model.geom_quat[geom])
    return model.geom_pos[geom] + local @ turn.T, radius


def _mesh_points(model: mujoco.MjModel, geom: int) -> np.ndarray:
    mesh = model.geom_dataid[geom]
    first = model.mesh_vertadr[mesh]
    vertices = np.asarray(model.mesh_vert[first : first + model.mesh_vertnum[mesh]], float)
    return vertices[support_ids(vertices)]


def _box(size: np.ndarray) -> tuple[np.ndarray, float]:
    return size * (2.0 * np.array(list(np.ndindex(2, 2, 2))) - 1.0), 0.0


def _cylinder(size: np.ndarray) -> tuple[np.ndarray, float]:
    around = 2.0 * np.pi * np.arange(RIM_POINTS) / RIM_POINTS
    x, y = size[0] * np.cos(around), size[0] * np.sin(around)
    return np.concatenate([np.stack([x, y, np.full(RIM_POINTS, z)], axis=1) for z in (size[1], -size[1])]), 0.0


def _capsule(size: np.ndarray) -> tuple[np.ndarray, float]:
    return np.array([[0.0, 0.0, size[1]], [0.0, 0.0, -size[1]]]), float(size[0])


_PRIMITIVES: dict[mujoco.mjtGeom, Callable[[np.ndarray], tuple[np.ndarray, float]]] = {
    _GEOM.mjGEOM_SPHERE: lambda size: (np.zeros((1, 3)), float(size[0])),
    _GEOM.mjGEOM_CAPSULE: _capsule,
    _GEOM.mjGEOM_BOX: _box,
    _GEOM.mjGEOM_CYLINDER: _cylinder,
    _GEOM.mjGEOM_ELLIPSOID: lambda size: (size * sphere_directions(), 0.0),
}
