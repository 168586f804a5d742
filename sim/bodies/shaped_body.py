"""A body in the shape of a skinned mesh, that physics can drive: primitives, masses and servos from its vertices.

Every vertex belongs to the joint whose weight is largest. A limb's geom is a capsule along its bone as thick as its
vertices are far from it, the trunk's lie across, the feet stand on the mesh's own sole: geom for geom the default body,
so that what drives that one drives this one. A segment's mass is the volume of its vertices' convex hull at the density
of water, from which a person's differs by a few per cent; gains and torque limits grow with the mass of the whole body
over the default body's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import mujoco
import numpy as np
from scipy.spatial import ConvexHull, QhullError

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Clip, Skeleton

from . import smpl_table as table
from .body import FEET, Body
from .build import build_spec, joint_inertia, surface_points
from .built_in import default_body
from .smpl_table import Geom, base_name
from .support import SurfacePoints

DENSITY = 1000.0
"""kg/m3."""
LIMB_TIP = 0.92
"""Share of thigh and shin that their capsules cover, as in the default body."""
OUTER = (5.0, 95.0)
"""Percentiles that count as a segment's sides: single vertices stand out."""
THINNEST = 0.01
"""Smallest radius and half length of a geom, metres."""
FEWEST = 4
"""Vertices of a solid."""
TOUCH_MARGIN = 0.01
"""Metres by which a touch sensor's box is larger than its geom, as in the default body."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A resting mesh. vertices: (V, 3) from the pelvis, Z up, metres; carrier: (V,) the joint that each belongs to."""

    vertices: np.ndarray
    carrier: np.ndarray

    def around(self, skeleton: Skeleton, name: str) -> np.ndarray:
        """(K, 3) vertices of a joint in its frame. MotionError for fewer than make a solid."""
        joint = skeleton.index(name)
        own = self.vertices[self.carrier == joint] - skeleton.rest_positions[joint]
        if len(own) < FEWEST:
            raise MotionError(f"joint '{name}' carries {len(own)} vertices of the mesh, expected {FEWEST} or more")
        return own


class ShapedBody(Body):
    """A body whose geoms, masses and servos come from a mesh; its surface is that of its geoms.

    Raises MotionError for a mesh with a joint that carries no solid.
    """

    def __init__(self, skeleton: Skeleton, mesh: Mesh, name: str):
        self.skeleton, self.name, self.joints = skeleton, name, "ball"
        self.mesh = mesh
        self.sole = _sole(skeleton, mesh)
        self.model = _shaped_spec(self).compile()

    @cached_property
    def geoms(self) -> dict[str, Geom]:
        """The geom of each joint."""
        return {name: _geom(self.skeleton, self.mesh, name, self.sole) for name in self.skeleton.names}

    @property
    def stature(self) -> float:
        """Height of the resting pelvis over the soles, metres."""
        return -self.sole

    @cached_property
    def surface(self) -> SurfacePoints:
        """Surface points of all geoms."""
        return surface_points(self.skeleton, {name: [geom] for name, geom in self.geoms.items()})

    def put(self, clip: Clip) -> Clip:
        """A clip on the default skeleton as this body does it: the same turns of the joints, its root's way scaled by
        the height of the pelvis over the soles, so that what stood stands. MotionError for another skeleton."""
        if clip.skeleton == self.skeleton:
            return clip
        default_body().check(clip)
        return replace(clip, skeleton=self.skeleton, root_pos=self.sole / table.SOLE_HEIGHT * clip.root_pos)


def _sole(skeleton: Skeleton, mesh: Mesh) -> float:
    """Height of the soles under the pelvis: the mean of both feet's lowest vertices."""
    feet = [[skeleton.index(f"{side}_{part}") for part in ("ankle", "foot")] for side in FEET]
    heights = [mesh.vertices[np.isin(mesh.carrier, foot), 2] for foot in feet]
    for side, own in zip(FEET, heights, strict=True):
        if not len(own):
            raise MotionError(f"the {side} foot carries no vertices of the mesh, expected feet to stand on")
    return float(np.mean([own.min() for own in heights]))


def _geom(skeleton: Skeleton, mesh: Mesh, name: str, sole: float) -> Geom:
    """The primitive that a joint's vertices are closest to, of the kind that the default body has there."""
    own, (base, _) = mesh.around(skeleton, name), base_name(name)
    joint = skeleton.index(name)
    child = skeleton.offsets[skeleton.children[joint][0]] if skeleton.children[joint] else np.zeros(3)
    if base in table.LIMB_RADIUS:
        axis = child / np.linalg.norm(child)
        tip = LIMB_TIP if base in ("hip", "knee") else 1.0
        return _capsule(np.zeros(3), tip * child, float(np.median(np.linalg.norm(np.cross(own, axis), axis=1))))
    if base == "ankle":
        return _foot(own, child, sole - skeleton.rest_positions[joint, 2])
    if base == "foot":
        return _toe(own, sole - skeleton.rest_positions[joint, 2])
    low, high = np.percentile(own, OUTER, axis=0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    if base == "hand":
        return _capsule(middle, middle, float(half.mean()))
    if base in ("neck", "head"):
        radius = float(half[:2].mean())
        reach = max(half[2] - radius, THINNEST) * np.array([0.0, 0.0, 1.0])
    else:  # the trunk
        radius = float(0.5 * (half[0] + min(half[2], half[0])))
        reach = max(half[1] - radius, THINNEST) * np.array([0.0, 1.0, 0.0])
    return _capsule(middle - reach, middle + reach, radius)


def _capsule(start: np.ndarray, end: np.ndarray, radius: float) -> Geom:
    return Geom(_triple(start), _triple(end), max(radius, THINNEST))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _foot(own: np.ndarray, toe: np.ndarray, sole: float) -> Geom:
    """The box from the heel to the toe joint `toe`, on the sole; as high as the default body's for its length."""
    low, high = np.percentile(own, OUTER, axis=0)
    heel, front = min(float(low[0]), -THINNEST), max(float(toe[0]), THINNEST)
    top = sole + table.FOOT_TOP * (front - heel) / (_DEFAULT_TOE - table.FOOT_HEEL)
    middle, half = 0.5 * (low[1] + high[1]), max(float(0.5 * (high[1] - low[1])), THINNEST)
    return Geom((heel, middle - half, sole), (front, middle + half, top))


def _toe(own: np.ndarray, sole: float) -> Geom:
    """The capsule across before the toe joint, on the sole, as thick as the default body's for its reach."""
    low, high = np.percentile(own, OUTER, axis=0)
    reach = max(float(high[0]), THINNEST)
    radius = max(table.TOE_RADIUS * reach / (table.TOE_REACH + table.TOE_RADIUS), 0.5 * THINNEST)
    middle, half = 0.5 * (low[1] + high[1]), max(float(0.5 * (high[1] - low[1])) - radius, THINNEST)
    ahead = max(reach - radius, 0.0)
    return Geom((ahead, middle - half, sole + radius), (ahead, middle + half, sole + radius), radius)


_DEFAULT_TOE = float(DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index("left_foot"), 0])
"""How far the default body's toe joint is before its ankle, metres."""


def segment_masses(skeleton: Skeleton, mesh: Mesh) -> np.ndarray:
    """(J,) kg: density times the volume of the convex hull of each joint's vertices. MotionError for a flat one."""
    masses = np.zeros(skeleton.num_joints)
    for j, name in enumerate(skeleton.names):
        try:
            masses[j] = DENSITY * ConvexHull(mesh.around(skeleton, name)).volume
        except QhullError:
            raise MotionError(f"the vertices of joint '{name}' lie in a plane, expected a solid") from None
    return masses


def _shaped_spec(body: ShapedBody) -> mujoco.MjSpec:
    """The default body's specification with this body's geoms, masses, touch sensors and servos."""
    spec, masses = build_spec(body.skeleton), segment_masses(body.skeleton, body.mesh)
    spec.modelname = "shaped"
    spec.body(body.skeleton.names[0]).pos = [0.0, 0.0, body.stature]
    strength = masses.sum() / default_body().mass
    for (name, geom), mass in zip(body.geoms.items(), masses, strict=True):
        start, end = np.array(geom.start), np.array(geom.end)
        low, high = np.minimum(start, end) - geom.radius, np.maximum(start, end) + geom.radius
        added = spec.geom(f"{name}_0")
        added.mass = mass
        if added.type == mujoco.mjtGeom.mjGEOM_CAPSULE:
            added.size, added.fromto = [geom.radius, 0, 0], np.concatenate([start, end])
        elif added.type == mujoco.mjtGeom.mjGEOM_SPHERE:
            added.size, added.pos = [geom.radius, 0, 0], start
        else:
            added.size, added.pos = 0.5 * (high - low), 0.5 * (low + high)
        if base_name(name)[0] in ("ankle", "foot"):
            site = spec.site(f"{name}_touch")
            site.pos, site.size = 0.5 * (low + high), 0.5 * (high - low) + TOUCH_MARGIN
    for joint in (joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_BALL):
        joint.armature = joint_inertia(strength * table.JOINTS[base_name(joint.name)[0]].kd, spec.option.timestep)
    for actuator in spec.actuators:
        actuator.gainprm = strength * np.array(actuator.gainprm)
        actuator.biasprm = strength * np.array(actuator.biasprm)
        actuator.forcerange = strength * np.array(actuator.forcerange)
    return spec
