"""Linear models of the body's physics along a trajectory, and the backward pass that makes plans of them.

A control tick is `SUBSTEPS` steps of physics under one control. Its derivative is chained from that of its first step,
taken by finite differences in C (`mjd_transitionFD`) on several threads. Beside it stand the ground points of the feet
and how they move with the body, so that a plan can be made to leave a standing foot where it is.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np

from morphloop.sim import SUBSTEPS, Body

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
DIFFERENCE = 1e-4
"""Step of the finite differences, radians, metres and their rates."""


@dataclass(frozen=True)
class LinearModel:
    """x' = A x + B u for small changes x (2 nv) = (qpos, qvel) in the tangent space and u (nu), at T ticks.

    a: (T, 2 nv, 2 nv); b: (T, 2 nv, nu); feet: (T + 1, P, 2, nv) horizontal motion of the feet's points with qpos.
    """

    a: np.ndarray
    b: np.ndarray
    feet: np.ndarray


class FootPoints:
    """The points of a body's surface under its feet, read off an MjData.

    foot: (P,) 0 left, 1 right.
    """

    def __init__(self, body: Body):
        surface = body.surface
        own = np.flatnonzero(surface.foot >= 0)
        self.foot, self._radius, self._local = surface.foot[own], surface.radius[own], surface.local[own]
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
    """Makes linear models of a body's control ticks.

    body: the body; threads: that share the work, each with an MjData of its own; the result does not depend on them.
    """

    def __init__(self, body: Body, threads: int = 2):
        self.model, self.points = body.model, FootPoints(body)
        self._data = [mujoco.MjData(body.model) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self, states: np.ndarray, ctrl: np.ndarray) -> LinearModel:
        """Models of ticks that start in integration states (T + 1, S) under controls (T, nu)."""
        n, ticks = 2 * self.model.nv, len(ctrl)
        out = LinearModel(
            a=np.empty((ticks, n, n)),
            b=np.empty((ticks, n, self.model.nu)),
            feet=np.empty((ticks + 1, len(self.points.foot), 2, self.model.nv)),
        )
        share = [range(k, ticks + 1, len(self._data)) for k in range(len(self._data))]
        list(self._pool.map(lambda k: self._some(self._data[k], share[k], states, ctrl, out), range(len(share))))
        return out

    def _some(self, data: mujoco.MjData, ticks: range, states: np.ndarray, ctrl: np.ndarray, out: LinearModel) -> None:
        n = 2 * self.model.nv
        a, b = np.empty((n, n)), np.empty((n, self.model.nu))
        for tick in ticks:
            mujoco.mj_setState(self.model, data, states[tick], STATE)
            data.ctrl[:] = ctrl[min(tick, len(ctrl) - 1)]
            mujoco.mj_forward(self.model, data)
            out.feet[tick] = self.points.motion(data)
            if tick < len(ctrl):
                mujoco.mj_step(self.model, data, SUBSTEPS // 2)
                mujoco.mj_forward(self.model, data)
                mujoco.mjd_transitionFD(self.model, data, DIFFERENCE, False, a, b, None, None)
                out.a[tick], out.b[tick] = chained(a, b, SUBSTEPS)


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
    """Second-order model of the cost of a tick in changes of state x and control u.

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

    value (2 nv, 2 nv), slope (2 nv,): second-order model of the cost after the last tick; damping (2 nv,): price of
    leaving the nominal states, which keeps the step where the model holds (their section II F).
    Returns step (T, nu), gain (T, nu, 2 nv) and values (T, 2 nv, 2 nv) at each tick.
    """
    ticks, n, nu = model.b.shape
    step, gain, values = np.empty((ticks, nu)), np.empty((ticks, nu, n)), np.empty((ticks, n, n))
    for tick in range(ticks - 1, -1, -1):
        a, b, cost = model.a[tick], model.b[tick], costs[tick]
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
        step[tick], gain[tick], values[tick] = k, g, value
    return step, gain, values


def _best(
    uu: np.ndarray, ux: np.ndarray, u: np.ndarray, a: np.ndarray, b: np.ndarray, damping: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Step (nu,) and gain (nu, 2 nv) that are best for one tick, damped or not."""
    if damping is not None:
        uu, ux = uu + b.T @ (damping[:, None] * b), ux + b.T @ (damping[:, None] * a)
    solved = np.linalg.solve(uu, np.concatenate([u[:, None], ux], axis=1))
    return solved[:, 0], solved[:, 1:]
