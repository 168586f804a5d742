"""The certificate of a rollout: physics does it again with nobody's help.

The stored controls are replayed open loop from the stored state. On the build that made the rollout every frame comes
out bit-equal, the first included; on another one it stays within `OTHER_BUILD_TOLERANCE`. Foot forces and contacts are
taken from the replay and what is stored is compared with them.

A helping hand is known by what it does. The root's six degrees of freedom see every force from outside on any part of
the body, and none that one part has on another. So at every physics step inertia, from the change of velocity that the
step made, less gravity of 9.81 m/s2 straight down and less what the declared ground pushes, must leave nothing there,
whatever the model says about itself. What is left is also summed up by kind, so that a hand has a name.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Rollout

from ..bodies.body import Body
from ..physics.protocol import DIVERGED
from .replay import Substep, replay, rollout_fault, simulator_name

OTHER_BUILD_TOLERANCE = 1e-3
"""Largest error of any number of the state (m, rad, m/s, rad/s) that a replay on another build may show at any frame,
starting anew each second. Between MuJoCo 3.17.0 and 4.0.0 it is 1e-14 in qpos and 1e-12 in qvel over eight clips."""
OTHER_BUILD_FORCE = 5.0
"""Largest error of a foot force on another build, newtons: under one per cent of the body's weight."""
GRAVITY = (0.0, 0.0, -9.81)
"""m/s2."""
HAND_SHARE = 1e-6
"""Of the body's weight, and of its weight at a lever of one metre: a smaller force or torque is rounding (1e-13)."""
GROUND_REACH = 1e-3
"""Metres: ground that pushes from further below is none."""
TORQUE_SLACK = 1e-6
"""By how much an actuator's force may pass its limit, N m."""
KINDS = {
    "spring": "qfrc_spring",
    "damper": "qfrc_damper",
    "gravity compensation": "qfrc_gravcomp",
    "fluid": "qfrc_fluid",
    "adhesion": "qfrc_adhesion",
    "applied": "qfrc_applied",
    "actuator": "qfrc_actuator",
}
"""Where MuJoCo keeps generalised forces that are not of constraints; those of tendons are in them."""
_CONTACT = int(mujoco.mjtConstraint.mjCNSTR_CONTACT_FRICTIONLESS)
"""The first of the kinds of constraint that are contacts, which are the last of all."""
_NOTHING = np.zeros(6)
_EXPLICIT = (mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_IMPLICITFAST)


@dataclass(frozen=True)
class Surroundings:
    """What a body was simulated in, as the model declares it.

    gravity: m/s2; density: kg/m3 and viscosity: Pa s of the medium, wind: m/s; ground: names of the level planes at
    height 0, with their friction; others: bodies that are not part of the driven one, and geoms of the world that are
    not ground.
    """

    gravity: tuple[float, ...] = ()
    density: float = 0.0
    viscosity: float = 0.0
    wind: tuple[float, ...] = ()
    ground: dict[str, float] = field(default_factory=dict)
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Certificate:
    """Result of an open-loop replay.

    passed: all checks; max_error: largest difference of any frame in qpos and qvel; bit_equal: it is exactly zero, on
    the build that made the rollout; torque_ok: every actuator force within its limit; no_external_forces: nothing on
    the root but gravity, ground and inertia; steps: control steps that were replayed; bound: what `max_error` was held
    to; force_error: largest difference of a foot force, newtons; hand_force, hand_torque: largest force (N) and torque
    (N m) on the root that gravity, ground and inertia leave unexplained; root_forces: largest force and torque there by
    kind; surroundings: what the model declares; reason: why it did not pass.
    """

    passed: bool
    max_error: float
    bit_equal: bool
    torque_ok: bool
    no_external_forces: bool
    simulator: str
    reason: str | None = None
    steps: int = 0
    bound: float = 0.0
    force_error: float = 0.0
    hand_force: float = 0.0
    hand_torque: float = 0.0
    root_forces: dict[str, tuple[float, float]] = field(default_factory=dict)
    surroundings: Surroundings = field(default_factory=Surroundings)


def certify(rollout: Rollout, body: Body) -> Certificate:
    """Replay a rollout from its stored start and controls. MotionError if it belongs to another body; a malformed one
    does not pass."""
    model = body.model
    if not body.answers_to(str(rollout.model_hash)):
        raise MotionError(f"{rollout.name}: rollout of model {rollout.model_hash}, body '{body.name}' is {body.hash}")
    fault = rollout_fault(rollout, body) or _root_fault(body)
    if fault is not None:
        return Certificate(False, float("inf"), False, False, False, simulator_name(), fault)
    hand, frames = _Hand(body), _Frames(rollout, body)
    torque, (low, high) = 0.0, _force_limits(model)
    for step in replay(rollout, body):
        hand.add(step)
        force = step.data.actuator_force
        torque = max(torque, float(np.max(np.maximum(force - high, low - force), initial=0.0)))
        frames.add(step)
    same_build = rollout.simulator == simulator_name()
    torque_ok = torque <= TORQUE_SLACK
    reasons = [*frames.reasons]
    if not torque_ok:
        reasons.append(f"torque limit exceeded by {torque:.2e} N m")
    if hand.found:
        reasons.append(hand.told())
    return Certificate(
        passed=not reasons,
        max_error=frames.error,
        bit_equal=same_build and frames.error == 0.0,
        torque_ok=torque_ok,
        no_external_forces=not hand.found,
        simulator=simulator_name(),
        reason="; ".join(reasons) or None,
        steps=len(rollout.ctrl),
        bound=frames.bound,
        force_error=frames.force_error,
        hand_force=hand.force,
        hand_torque=hand.torque,
        root_forces={name: (float(f), float(t)) for name, (f, t) in zip(hand.kinds, hand.peaks, strict=True)},
        surroundings=surroundings(body),
    )


def _force_limits(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """(nu,) least and (nu,) largest force of each actuator, infinite where it has no limit."""
    low, high = model.actuator_forcerange.T
    limited = model.actuator_forcelimited.astype(bool)
    return np.where(limited, low, -np.inf), np.where(limited, high, np.inf)


def _root_fault(body: Body) -> str | None:
    """Why the forces on a body's root cannot be told, None if they can."""
    model = body.model
    joint = model.body_jntadr[body.body_ids[0]]
    if joint < 0 or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE:
        return "the root has no free joint: the world holds it"
    if model.opt.integrator not in _EXPLICIT:
        name = mujoco.mjtIntegrator(model.opt.integrator).name.removeprefix("mjINT_")
        return f"integrator {name} hides the forces within a step, expected EULER or IMPLICITFAST"
    return None


class _Frames:
    """The replay's frames against the stored ones: states, foot forces, contacts.

    error: largest difference of states so far; reasons: what is wrong, the first frame of each kind.
    """

    def __init__(self, rollout: Rollout, body: Body):
        self.rollout, self.feet = rollout, body.touch_ids
        same_build = rollout.simulator == simulator_name()
        self.bound, self.force_bound = (0.0, 0.0) if same_build else (OTHER_BUILD_TOLERANCE, OTHER_BUILD_FORCE)
        self.error = self.force_error = 0.0
        self.count, self._told = 0, dict[str, str]()
        begin = mujoco.MjData(body.model)
        mujoco.mj_setState(body.model, begin, rollout.start, mujoco.mjtState.mjSTATE_INTEGRATION)
        self._states(0, begin, 0.0)
        if rollout.foot_force[0].any():
            self._told["force"] = "foot forces at frame 0, before any step, expected none"
        if not np.array_equal(rollout.foot_contact, rollout.foot_force > body.contact_force):
            self._told["contact"] = f"foot contacts are not those of its foot forces over {body.contact_force:g} N"

    def add(self, step: Substep) -> None:
        """Compare, if the physics step was the last one of its control step."""
        self.count += 1
        if self.count % self.rollout.substeps:
            return
        frame = step.control_step + 1
        self._states(frame, step.data, self.bound)
        apart = np.abs(step.data.sensordata[self.feet].sum(axis=1) - self.rollout.foot_force[frame]).max()
        self.force_error = max(self.force_error, float(apart))
        if not apart <= self.force_bound:
            self._told.setdefault("force", f"foot forces differ from the replay's by {apart:.2e} N at frame {frame}")
        if any(step.data.warning[kind].number for kind in DIVERGED):
            self._told.setdefault("diverged", f"the simulation diverged before frame {frame}")

    def _states(self, frame: int, data: mujoco.MjData, bound: float) -> None:
        rollout = self.rollout
        apart = max(np.abs(data.qpos - rollout.qpos[frame]).max(), np.abs(data.qvel - rollout.qvel[frame]).max())
        self.error = max(self.error, float(apart)) if np.isfinite(apart) else np.inf
        if not apart <= bound:
            what = f"replay differs by {apart:.2e} at frame {frame}" + (f", over {bound:g}" if bound else "")
            self._told.setdefault("state", what if frame else f"replay differs by {apart:.2e} at frame 0, its start")

    @property
    def reasons(self) -> list[str]:
        return [*self._told.values()]


class _Hand:
    """Forces on the root, physics step by physics step.

    force, torque: the largest that gravity, ground and inertia left unexplained; kinds: names; peaks: (K, 2) the
    largest force and torque of each kind, where "constraint" is every one but contact with the ground.
    """

    def __init__(self, body: Body):
        self.model = model = body.model
        self.root = int(body.body_ids[0])
        first = int(model.jnt_dofadr[model.body_jntadr[self.root]])
        self.dofs = slice(first, first + 6)
        self.mine = model.body_rootid[model.geom_bodyid] == model.body_rootid[self.root]
        self.ground = np.zeros(model.ngeom, bool)
        self.ground[ground_geoms(model)] = True
        self.weight = float(model.body_subtreemass[self.root]) * -GRAVITY[2]
        self.judge = copy.copy(model)
        self.judge.opt.gravity = GRAVITY
        self.judge.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
        self.inertia, self.pushed = np.empty(model.nv), np.empty(model.nv)
        self.force = self.torque = 0.0
        self.kinds = [*KINDS, "applied to bodies", "constraint"]
        self.peaks = np.zeros((len(self.kinds), 2))

    def add(self, step: Substep) -> None:
        """Take in a physics step."""
        data, dofs = step.data, self.dofs
        self._push(data)
        constraint = data.qfrc_constraint[dofs] - self.pushed[dofs]
        kinds = np.array([*(getattr(data, name)[dofs] for name in KINDS.values()), self._on_bodies(data), constraint])
        if kinds.any():
            np.maximum(self.peaks, np.linalg.norm(kinds.reshape(-1, 2, 3), axis=2), out=self.peaks)
        rest = self._inertia(step)[dofs] - self.pushed[dofs]
        self.force, self.torque = max(self.force, _length(rest[:3])), max(self.torque, _length(rest[3:]))

    def _inertia(self, step: Substep) -> np.ndarray:
        """(nv,) forces that the step's change of velocity asks for besides the declared gravity, by the masses of the
        bodies alone (no armature): recursive Newton-Euler in the state before the step."""
        data = step.data
        after, acceleration = data.qvel.copy(), data.qacc.copy()
        data.qacc[:] = (after - step.qvel) / self.model.opt.timestep
        data.qvel[:] = step.qvel
        mujoco.mj_rne(self.judge, data, 1, self.inertia)
        data.qvel[:], data.qacc[:] = after, acceleration
        return self.inertia

    def _push(self, data: mujoco.MjData) -> None:
        """Generalised force of the contacts between body and declared ground, into `pushed`."""
        contact = data.contact
        if not len(contact):
            self.pushed[:] = 0.0
            return
        first, second = contact.geom.T
        stands = (self.ground[first] & self.mine[second]) | (self.ground[second] & self.mine[first])
        stands &= contact.dist < GROUND_REACH
        touching = data.efc_type >= _CONTACT
        if stands.all() and touching.all():  # as nearly always: what constraints do is what the ground does
            self.pushed[:] = data.qfrc_constraint
            return
        force = np.zeros(data.nefc)
        force[touching] = np.where(stands[data.efc_id[touching]], data.efc_force[touching], 0.0)
        mujoco.mj_mulJacTVec(self.model, data, self.pushed, force)

    def _on_bodies(self, data: mujoco.MjData) -> np.ndarray:
        """(6,) generalised force on the root of what is applied to bodies of its tree."""
        if not data.xfrc_applied.any():
            return _NOTHING
        total = np.zeros(self.model.nv)
        for k in np.flatnonzero(data.xfrc_applied.any(axis=1)):
            wrench = data.xfrc_applied[k]
            mujoco.mj_applyFT(self.model, data, wrench[:3], wrench[3:], data.xipos[k], int(k), total)
        return total[self.dofs]

    @property
    def found(self) -> bool:
        """Whether something helped."""
        return not (self.force <= HAND_SHARE * self.weight and self.torque <= HAND_SHARE * self.weight)

    def told(self) -> str:
        """The hand in words: how much there is, of which kinds."""
        kinds = [
            f"{name} {force:.3g} N {torque:.3g} N m"
            for name, (force, torque) in zip(self.kinds, self.peaks, strict=True)
            if max(force, torque) > HAND_SHARE * self.weight
        ]
        made = ", ".join(kinds) or "gravity or inertia that are not the declared body's"
        return f"external force of up to {self.force:.3g} N and {self.torque:.3g} N m on the root: {made}"


def _length(vector: np.ndarray) -> float:
    return float(np.sqrt(vector @ vector))


def ground_geoms(model: mujoco.MjModel) -> list[int]:
    """The declared ground: level planes at height 0 that belong to the world, rest and do not stick."""
    return [
        k
        for k in range(model.ngeom)
        if model.geom_type[k] == mujoco.mjtGeom.mjGEOM_PLANE
        and model.geom_bodyid[k] == 0
        and model.geom_pos[k, 2] == 0.0
        and not model.geom_quat[k, 1:3].any()
        and not model.geom_surfacevel[k].any()
        and model.geom_adhesion[k] == 0.0
    ]


def surroundings(body: Body) -> Surroundings:
    """What the model of a body declares about what it is simulated in."""
    model = body.model
    off = model.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
    ground, root = ground_geoms(model), model.body_rootid[body.body_ids[0]]
    bodies = [k for k in range(1, model.nbody) if model.body_rootid[k] != root]
    geoms = [k for k in range(model.ngeom) if model.geom_bodyid[k] == 0 and k not in ground]
    return Surroundings(
        gravity=(0.0, 0.0, 0.0) if off else tuple(model.opt.gravity.tolist()),
        density=float(model.opt.density),
        viscosity=float(model.opt.viscosity),
        wind=tuple(model.opt.wind.tolist()),
        ground={model.geom(k).name or f"geom {k}": float(model.geom_friction[k, 0]) for k in ground},
        others=(
            *(model.body(k).name or f"body {k}" for k in bodies),
            *(model.geom(k).name or f"geom {k}" for k in geoms),
        ),
    )
