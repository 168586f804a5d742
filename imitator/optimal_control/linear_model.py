"""Linear models of the body's physics along a trajectory, and the backward pass that makes plans of them.

A control step is some steps of physics under one control. Its derivative is chained from that of its middle step:
with positions by finite differences, with velocities and controls in closed form, on several threads. Beside it stand
the ground points of the feet and how they move with the body, so that a plan can leave a standing foot where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from morphloop.sim import Body, RobotBody, servo_slopes

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
PLAIN_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
"""Time, qpos, qvel: what `mujoco.rollout` starts from."""
LARGEST_SLOPE = 200.0
"""Entry of a control step's derivative that no body has: nine in ten stay under 65."""
DIFFERENCE, FINE_DIFFERENCE = 1e-4, 1e-6
"""Step of the finite differences, radians, metres and their rates; the fine one of robots. A standing G1, half as heavy
as a person and on eight points, sinks in by 0.05 mm: a step of 0.1 mm lifts it off, and is no slope."""


def state_of(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """(S,) integration state."""
    state = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, state, STATE)
    return state


@dataclass(frozen=True)
class LinearModel:
    """x' = A x + B u for small changes x (2 nv) = (qpos, qvel) in the tangent space and u (nu), at T control steps.

    a: (T, 2 nv, 2 nv); b: (T, 2 nv, nu); feet: (T + 1, P, 2, nv) horizontal motion of the feet's points with qpos, None
    where nothing is asked of them.
    """

    a: np.ndarray
    b: np.ndarray
    feet: np.ndarray | None = None


class FootPoints:
    """The points of a body's surface under its feet, read off an MjData.

    foot: (P,) 0 left, 1 right.
    """

    def __init__(self, body: Body):
        surface = body.surface
        own = np.flatnonzero(surface.foot >= 0)
        self.foot, self._radius, self._local = surface.foot[own], surface.radius[own], surface.local[own]
        self._local = self._local - body.origins[surface.joint[own]]
        self._bodies = np.asarray(body.body_ids)[surface.joint[own]]
        self._model = body.model

    def positions(self, data: mujoco.MjData) -> np.ndarray:
        """(P, 3) centres, z less the radius: the height over the ground; kinematics must be up to date."""
        turned = np.einsum("pij,pj->pi", data.xmat[self._bodies].reshape(-1, 3, 3), self._local)
        points = data.xpos[self._bodies] + turned
        points[:, 2] -= self._radius
        return points

    def motion(self, data: mujoco.MjData) -> np.ndarray:
        """(P, 2, nv) horizontal motion of the lowest material points with the tangent of qpos."""
        points = self.positions(data)
        jacobian = np.zeros((3, self._model.nv))
        out = np.empty((len(points), 2, self._model.nv))
        for k, (point, owner) in enumerate(zip(points, self._bodies, strict=True)):
            mujoco.mj_jac(self._model, data, jacobian, None, point, int(owner))
            out[k] = jacobian[:2]
        return out


class Lineariser:
    """Makes linear models of a body's control steps, each about its middle.

    body: the body; threads: that share the work, each with an MjData of its own; the result does not depend on them.
    Robots' are exact to a hundredth in standing. Bodies of people keep longer differences.
    """

    def __init__(self, body: Body, threads: int = 2):
        self.model, self.points, self._substeps = body.model, FootPoints(body), body.substeps
        self._difference = FINE_DIFFERENCE if isinstance(body, RobotBody) else DIFFERENCE
        self._data = [mujoco.MjData(body.model) for _ in range(threads)]
        self._pool, self._rollout = ThreadPoolExecutor(threads), Rollout(nthread=threads)

    def __call__(self, states: np.ndarray, ctrl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A (T, 2 nv, 2 nv) and B (T, 2 nv, nu) of control steps that start in integration states (T, S) under controls
        (T, nu), as they are: see `mended`."""
        nv, steps = self.model.nv, len(ctrl)
        a, b = np.empty((steps, 2 * nv, 2 * nv)), np.empty((steps, 2 * nv, self.model.nu))
        plain = mujoco.mj_stateSize(self.model, PLAIN_STATE)
        starts, ends = np.empty((steps, nv + 1, plain)), np.empty((steps, nv + 1, plain))
        warm = np.empty((steps, nv))

        def before(data: mujoco.MjData, step: int) -> None:
            mujoco.mj_setState(self.model, data, states[step], STATE)
            data.ctrl[:] = ctrl[step]
            mujoco.mj_step(self.model, data, self._substeps // 2)
            mujoco.mj_forward(self.model, data)
            warm[step] = data.qacc_warmstart
            a[step, :, nv:], b[step] = velocity_derivatives(self.model, data)
            self._shifted(data, starts[step])

        def after(data: mujoco.MjData, step: int) -> None:
            a[step, :, :nv] = self._position_derivatives(ends[step])
            a[step], b[step] = chained(a[step], b[step], self._substeps)

        self._share(before, steps)
        self._rollout.rollout(
            self.model,
            self._data,
            starts.reshape(-1, plain),
            np.repeat(ctrl, nv + 1, axis=0)[:, None],
            initial_warmstart=np.repeat(warm, nv + 1, axis=0),
            state=ends.reshape(-1, 1, plain),
        )
        self._share(after, steps)
        return a, b

    def feet(self, states: np.ndarray) -> np.ndarray:
        """(T, P, 2, nv) horizontal motion of the feet's points with qpos, in integration states (T, S)."""
        data, moves = self._data[0], []
        for state in states:
            mujoco.mj_setState(self.model, data, state, STATE)
            mujoco.mj_kinematics(self.model, data)
            mujoco.mj_comPos(self.model, data)
            moves.append(self.points.motion(data))
        return np.array(moves)

    def _share(self, work: Callable[[mujoco.MjData, int], None], count: int) -> None:
        """Do 0 .. count - 1 on all threads."""
        threads = len(self._data)

        def some(thread: int) -> None:
            for step in range(thread, count, threads):
                work(self._data[thread], step)

        list(self._pool.map(some, range(threads)))

    def _shifted(self, data: mujoco.MjData, out: np.ndarray) -> None:
        """Write the state, and the state with each degree of freedom moved on by itself, into out (nv + 1, s)."""
        model, qpos, change = self.model, data.qpos.copy(), np.zeros(self.model.nv)
        for row in range(model.nv + 1):
            if row:
                change[:] = 0.0
                change[row - 1] = self._difference
                data.qpos[:] = qpos
                mujoco.mj_integratePos(model, data.qpos, change, 1.0)
            mujoco.mj_getState(model, data, out[row], PLAIN_STATE)

    def _position_derivatives(self, ends: np.ndarray) -> np.ndarray:
        """(2 nv, nv) from states (nv + 1, s) after a step, the first of which nothing was changed before."""
        model, nv = self.model, self.model.nv
        out = np.empty((nv, 2 * nv))
        qpos, qvel = ends[:, 1 : 1 + model.nq], ends[:, 1 + model.nq : 1 + model.nq + model.nv]
        for row in range(nv):
            mujoco.mj_differentiatePos(model, out[row, :nv], self._difference, qpos[0], qpos[row + 1])
        out[:, nv:] = (qvel[1:] - qvel[0]) / self._difference
        return out.T


def mended(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same models, those that blew up replaced by that of the nearest control step whose did not.

    A finite difference that straddles the moment at which a contact begins is a jump and not a slope, and a chain of
    ten of them has no meaning: feedback from it has thrown bodies.
    """
    sound = np.flatnonzero(np.abs(a).max(axis=(1, 2)) < LARGEST_SLOPE)
    if not len(sound):
        return a, b
    nearest = sound[np.abs(np.arange(len(a))[:, None] - sound).argmin(axis=1)]
    return a[nearest], b[nearest]


def velocity_derivatives(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of a step with the velocities (2 nv, nv) and the controls (2 nv, nu), in closed form.

    MuJoCo's contacts are linear as long as the same ones carry, but for those that slide (`sliding_rows`): with the
    inertia M, the active rows J of the constraints, their weights D and damping b, a force f accelerates by
    (M + J' D J)^-1 (f + J' D aref), where aref falls by b J v. `implicitfast` then takes the servos' and joints'
    damping C at the step's end: v' = v + h (M + h C)^-1 (f + constraint force), Euler's method that of the joints
    alone. What Coriolis forces change with velocity is left out: beside the servos' damping it is small
    (`tests/test_ilqr.py`). data: forward computed.
    """
    nv, h = model.nv, model.opt.timestep
    mass, moment = np.empty((nv, nv)), np.empty((model.nu, nv))
    mujoco.mj_fullM(model, data, mass)
    mujoco.mju_sparse2dense(moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    rows, weight, braking = acting_rows(model, data)
    stiffness, braked = servo_slopes(model, data)
    joints, drive = np.diag(model.dof_damping), moment.T * stiffness
    damping = joints + moment.T @ (braked[:, None] * moment)
    at_end = joints if model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER else damping
    stiff = np.linalg.solve(
        mass + rows.T @ (weight[:, None] * rows),
        np.concatenate([-damping - rows.T @ ((weight * braking)[:, None] * rows), drive], axis=1),
    )
    change = h * np.linalg.solve(mass + h * at_end, mass @ stiff)
    rates, controls = np.eye(nv) + change[:, :nv], change[:, nv:]
    return np.concatenate([h * rates, rates]), np.concatenate([h * controls, controls])


def acting_rows(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (R, nv), weights (R,) and damping (R,) 1/s of the constraints whose force follows their violation: read off
    forces, with which `efc_state` is not in step where MuJoCo 3.17 solves islands apart."""
    whole, carries, sliding = constraint_rows(model, data), carrying(model, data), []
    if model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC:
        for contact in range(data.ncon):
            rows = sliding_rows(data, contact, whole)
            if rows is not None:
                first = data.contact.efc_address[contact]
                carries[first : first + data.contact.dim[contact]] = False
                sliding.append(rows)
    own = [(whole[carries], data.efc_D[carries], data.efc_KBIP[carries, 1]), *sliding]
    rows, weight, braking = (np.concatenate(part) for part in zip(*own, strict=True))
    return rows, weight, braking


def sliding_rows(
    data: mujoco.MjData, contact: int, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The same of one contact, from all rows (nefc, nv), if it slides at the edge of its elliptic cone.

    Its cost there is Dm (N - mu T)^2 / 2 with N = mu r_n and T = |friction r_t| of the violation r = J a - aref, while
    -T < mu N < mu^2 T (MuJoCo's `mj_constraintUpdate`). Rows are along the principal directions of its Hessian.
    """
    first, dim, mu = data.contact.efc_address[contact], data.contact.dim[contact], data.contact.mu[contact]
    if first < 0 or dim == 1:
        return None
    block = slice(first, first + dim)
    scale = np.concatenate([[mu], data.contact.friction[contact, : dim - 1]])
    normal, *across = scale * (whole[block] @ data.qacc - data.efc_aref[block])
    size = float(np.linalg.norm(across))
    if not -size < mu * normal < mu**2 * size:
        return None
    along = np.array(across) / size
    edge = np.concatenate([[1.0], -mu * along])
    hessian = np.outer(edge, edge)
    hessian[1:, 1:] += mu * (mu * size - normal) / size * (np.eye(dim - 1) - np.outer(along, along))
    hessian *= data.efc_D[first] / (mu**2 * (1.0 + mu**2)) * np.outer(scale, scale)
    weight, turn = np.linalg.eigh(hessian)
    return turn.T @ whole[block], np.maximum(weight, 0.0), np.full(dim, data.efc_KBIP[first, 1])


def carrying(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """(nefc,) bool: constraints whose force follows their violation: limits and contacts that push, dry friction that
    sticks, equalities."""
    kind, push = data.efc_type, np.abs(data.efc_force)
    dry = (kind == mujoco.mjtConstraint.mjCNSTR_FRICTION_DOF) | (kind == mujoco.mjtConstraint.mjCNSTR_FRICTION_TENDON)
    equal = kind == mujoco.mjtConstraint.mjCNSTR_EQUALITY
    return equal | np.where(dry, push < data.efc_frictionloss, push > 0.0)


def constraint_rows(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """(nefc, nv) Jacobian of the constraints, which MuJoCo keeps dense for bodies of few degrees of freedom."""
    if not mujoco.mj_isSparse(model):
        return data.efc_J.reshape(data.nefc, model.nv)
    rows = np.zeros((data.nefc, model.nv))
    if data.nefc:
        mujoco.mju_sparse2dense(rows, data.efc_J, data.efc_J_rownnz, data.efc_J_rowadr, data.efc_J_colind)
    return rows


def chained(a: np.ndarray, b: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A^n and (A^(n-1) + ... + A + 1) B of n equal steps under one control, by repeated doubling."""
    total_a, total_b = a, b
    for bit in bin(steps)[3:]:
        total_b = total_a @ total_b + total_b
        total_a = total_a @ total_a
        if bit == "1":
            total_b = a @ total_b + b
            total_a = a @ total_a
    return total_a, total_b


@dataclass(frozen=True)
class StageCost:
    """Second-order model of the cost of a control step in changes of state x and control u.

    Half of x' (diag(state) + c' c) x + u' (diag(effort) + d' d) u + 2 u' d' c x, and the slopes x' state_slope +
    u' effort_slope; c (R, 2 nv) and d (R, nu) are the rows of the slip of the feet, None where none stands.
    """

    state: np.ndarray
    state_slope: np.ndarray
    effort: np.ndarray
    effort_slope: np.ndarray
    c: np.ndarray | None = None
    d: np.ndarray | None = None


def backward(
    model: LinearModel,
    costs: list[StageCost],
    value: np.ndarray,
    slope: np.ndarray,
    damping: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """iLQR's backward pass (Tassa et al. 2012): u = -step - gain x is the best change of the controls.

    value (2 nv, 2 nv), slope (2 nv,): second-order model of the cost after the last control step; damping (2 nv,): cost
    weight of leaving the nominal states, which keeps the step where the model holds (their section II F).
    Returns step (T, nu), gain (T, nu, 2 nv) and values (T, 2 nv, 2 nv) at each control step.
    """
    steps, n, nu = model.b.shape
    step, gain, values = np.empty((steps, nu)), np.empty((steps, nu, n)), np.empty((steps, n, n))
    for t in range(steps - 1, -1, -1):
        a, b, cost = model.a[t], model.b[t], costs[t]
        va, vb = value @ a, value @ b
        xx, ux, uu = a.T @ va, b.T @ va, b.T @ vb
        xx[np.arange(n), np.arange(n)] += cost.state
        uu[np.arange(nu), np.arange(nu)] += cost.effort
        x, u = cost.state_slope + a.T @ slope, cost.effort_slope + b.T @ slope
        if cost.c is not None and cost.d is not None:
            xx, ux, uu = xx + cost.c.T @ cost.c, ux + cost.d.T @ cost.c, uu + cost.d.T @ cost.d
        k, g = _best(uu, ux, u, a, b, damping)
        cross = g.T @ ux
        value = xx + g.T @ uu @ g - cross - cross.T
        value = 0.5 * (value + value.T)
        slope = x - g.T @ u - ux.T @ k + g.T @ (uu @ k)
        step[t], gain[t], values[t] = k, g, value
    return step, gain, values


def _best(
    uu: np.ndarray, ux: np.ndarray, u: np.ndarray, a: np.ndarray, b: np.ndarray, damping: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Step (nu,) and gain (nu, 2 nv) that are best for one control step, damped or not."""
    if damping is not None:
        uu, ux = uu + b.T @ (damping[:, None] * b), ux + b.T @ (damping[:, None] * a)
    solved = np.linalg.solve(uu, np.concatenate([u[:, None], ux], axis=1))
    return solved[:, 0], solved[:, 1:]
