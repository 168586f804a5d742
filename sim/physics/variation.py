"""Models that differ from environment to environment: friction, mass, gains and size drawn from ranges, or many bodies.

What follows from a drawn value (subtree masses, inverse weights, bounding boxes) is computed by MuJoCo itself
(`mj_setConst`) once for both backends, so that they run the very same models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS, Batch

from morphloop.base import MotionError

from ..bodies.body import Body
from .config import SAME, Range, Variation

DERIVED = (
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "dof_M0",
    "dof_length",
    "actuator_acc0",
    "geom_aabb",
    "geom_rbound",
    "bvh_aabb",
)
"""Model fields that mj_setConst computes from those drawn here."""
LENGTHS = ("body_pos", "body_ipos", "jnt_pos", "geom_pos", "geom_size", "site_pos")
"""Model fields in metres that a larger body has more of. Sites keep their size, which mujoco_warp cannot vary."""


@dataclass(frozen=True, eq=False)
class ModelFields:
    """N models of one layout: what they have other than `Body.model`.

    num_envs: N; fields: name of an mjModel field to its (N, ...) values, float64, what follows from them included;
    drawn: name of a range of `Variation` to the (N,) or (N, J) factors that were drawn from it.
    """

    num_envs: int
    fields: Mapping[str, np.ndarray]
    drawn: Mapping[str, np.ndarray] = field(default_factory=dict)

    def check(self, num_envs: int) -> None:
        """MotionError unless these are the models of `num_envs` environments."""
        if self.num_envs != num_envs:
            raise MotionError(f"models of {self.num_envs} environments given, expected {num_envs}")

    def model(self, body: Body, env: int) -> mujoco.MjModel:
        """A copy of the body's model with the values of environment `env`, to render it or to replay it alone."""
        model = body.model.__copy__()
        for name, values in self.fields.items():
            getattr(model, name)[:] = values[env].reshape(getattr(model, name).shape)
        return model


def sampled(ranges: Variation, body: Body, num_envs: int, seed: int) -> ModelFields:
    """What `Variation.sample` draws."""
    drawn = _draw(ranges, body, num_envs, seed)
    if "size" in drawn:
        _check_size(body, ranges.size)
    model, own = body.model, {}
    if "friction" in drawn:
        own["geom_friction"] = np.tile(model.geom_friction, (num_envs, 1, 1))
        own["geom_friction"][:, :, 0] *= drawn["friction"][:, None]
    own |= _masses(body, drawn, num_envs) | _gains(body, drawn, num_envs) | _lengths(body, drawn)
    return ModelFields(num_envs, own | _derived(body, own, num_envs), drawn)


def _draw(ranges: Variation, body: Body, num_envs: int, seed: int) -> dict[str, np.ndarray]:
    drawn = {}
    for stream, item in enumerate(fields(ranges)):
        low, high = getattr(ranges, item.name)
        if (low, high) != SAME:
            shape = (num_envs, body.model.nbody) if item.name == "segment_mass" else num_envs
            drawn[item.name] = np.random.default_rng([seed, stream]).uniform(low, high, shape)
    return drawn


def many_bodies(bodies: Sequence[Body], which: np.ndarray) -> ModelFields:
    """Models of N environments from bodies of one layout: environment n has body `which[n]` (N,).

    For persons of other shapes side by side. MotionError if a body differs from the first in more than numbers.
    """
    first, own = bodies[0].model, {}
    for body in bodies[1:]:
        for size in ("nq", "nv", "nu", "nbody", "njnt", "ngeom", "nsite", "nsensor", "nmesh"):
            if getattr(body.model, size) != getattr(first, size):
                raise MotionError(
                    f"body '{body.name}': {size} is {getattr(body.model, size)}, body '{bodies[0].name}' has "
                    f"{getattr(first, size)}; expected bodies of one layout"
                )
    for name in sorted(n for n in MODEL_FIELDS if "." not in n):
        values = np.stack([getattr(body.model, name) for body in bodies])
        if (values == values[:1]).all():
            continue
        if not np.issubdtype(values.dtype, np.floating):
            raise MotionError(f"the bodies differ in {name}, expected bodies that differ in lengths and masses alone")
        own[name] = values[which]
    return ModelFields(len(which), own)


def _masses(body: Body, drawn: Mapping[str, np.ndarray], num_envs: int) -> dict[str, np.ndarray]:
    """Masses and inertias under the factors drawn."""
    if not drawn.keys() & {"mass", "segment_mass", "size"}:
        return {}
    size = drawn.get("size", np.ones(num_envs))[:, None]
    factor = drawn.get("mass", np.ones(num_envs))[:, None] * drawn.get("segment_mass", 1.0)
    mass = body.model.body_mass * factor * size**3
    return {"body_mass": mass, "body_inertia": body.model.body_inertia * (factor * size**5)[..., None]}


def _gains(body: Body, drawn: Mapping[str, np.ndarray], num_envs: int) -> dict[str, np.ndarray]:
    """Parameters of the position servos: force = kp (ctrl - q) - kd qdot. Where the inertia of their damping is in the
    armature (`joint_inertia`), it goes with the damping."""
    own = {}
    if drawn.keys() & {"stiffness", "damping"}:
        bias = np.tile(body.model.actuator_biasprm, (num_envs, 1, 1))
        if "stiffness" in drawn:
            own["actuator_gainprm"] = np.tile(body.model.actuator_gainprm, (num_envs, 1, 1))
            own["actuator_gainprm"][:, :, 0] *= drawn["stiffness"][:, None]
            bias[:, :, 1] *= drawn["stiffness"][:, None]
        if "damping" in drawn:
            if body.model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER:
                own["dof_armature"] = np.tile(body.model.dof_armature, (num_envs, 1))
                more = -(drawn["damping"][:, None] - 1.0) * bias[:, :, 2]
                own["dof_armature"][:, body.coordinates.servo_dofs] += body.model.opt.timestep * more
            bias[:, :, 2] *= drawn["damping"][:, None]
        own["actuator_biasprm"] = bias
    return own


def _lengths(body: Body, drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "size" not in drawn:
        return {}
    own = {name: getattr(body.model, name) * drawn["size"][:, None, None] for name in LENGTHS}
    ground = body.model.geom_bodyid == 0
    for name in ("geom_pos", "geom_size"):
        own[name][:, ground] = getattr(body.model, name)[ground]
    return own


def _derived(body: Body, own: Mapping[str, np.ndarray], num_envs: int) -> dict[str, np.ndarray]:
    """What mj_setConst makes of the fields given: those of `DERIVED` that changed."""
    if not own:
        return {}
    batch = Batch(body.model, num_envs)
    for name, values in own.items():
        batch.expand(name)[:] = values.reshape(batch.expand(name).shape)
    batch.set_const()
    derived = {name: np.array(batch.expand(name)) for name in DERIVED}
    return {name: values for name, values in derived.items() if (values != getattr(body.model, name)).any()}


def _check_size(body: Body, size: Range) -> None:
    """A touch sensor's box must hold its geom in every size, or the load on that foot is not felt."""
    model = body.model
    for sensor in np.unique(body.touch_ids):
        site = model.sensor_objid[np.flatnonzero(model.sensor_adr == sensor)[0]]
        room = _room(model, int(site))
        if size[1] > room:
            raise MotionError(f"variation of size goes to {size[1]:g}, the touch sensors reach to {room:.3g}")


def _room(model: mujoco.MjModel, site: int) -> float:
    """Largest factor on the geoms around a site at which the site's box still holds them."""
    room = np.inf
    for geom in np.flatnonzero(model.geom_bodyid == model.site_bodyid[site]):
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
        offset = np.abs(model.geom_pos[geom] - model.site_pos[site])
        half = model.geom_aabb[geom, 3:] @ np.abs(turn.reshape(3, 3)).T + offset
        room = min(room, float((model.site_size[site] / half).min()))
    return room
