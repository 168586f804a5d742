"""The cost of a plan: how far it is from the reference, what it asks of the servos, what its standing feet travel."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from morphloop.envs import MotionLibrary
from morphloop.sim import Body

from .config import IlqrConfig
from .linear_model import StageCost

GRAVITY = 9.81
LOWEST_FALL = 0.2
"""Least height of the root, metres, that a capture point is computed with."""


@dataclass(frozen=True)
class Plan:
    """A rollout of H control steps from one state.

    states: (H + 1, S); ctrl: (H, nu); qpos: (H + 1, nq); qvel: (H + 1, nv); error: (H + 1, 2 nv) from the reference;
    travel: (H, P, 2) metres of standing foot points in each step, 0 where none stands; standing: (H, P) shares of the
    points in the mean, which sum up to 1 for each standing foot; cost.
    """

    states: np.ndarray
    ctrl: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray
    error: np.ndarray
    travel: np.ndarray
    standing: np.ndarray
    cost: float


class Cost:
    """What a plan along one clip costs: being off the reference, effort, feet that slip, and falling after its end.

    library, clip: which; foot: (P,) of the feet's points, 0 left, 1 right.
    weight: (2 nv,) of the squared difference of a step; terminal: (2 nv, 2 nv) of that after a plan, where the capture
    point, which says where the body will come to stand or fall (Pratt et al. 2006), counts as well. effort, bound: of
    offsets in radians, for servos as soft as the body's. The value function
    of an LQR about the reference was tried in its place: about one that no body can follow it leads astray.
    """

    def __init__(self, library: MotionLibrary, clip: int, body: Body, foot: np.ndarray, config: IlqrConfig):
        self.config, self.foot, model = config, foot, body.model
        rows = slice(int(library.start[clip]), int(library.start[clip] + library.length[clip]))
        self.qpos, self.qvel, self.target = (
            x[rows].double().numpy() for x in (library.qpos, library.qvel, library.target)
        )
        self.frames, self._model, rest = len(self.qpos), model, model.nv - 6
        self._contact_force = body.contact_force
        self.effort, self.bound = config.effort / body.softness**2, config.bound * body.softness
        c = config
        self.weight = np.repeat(
            [c.root_position, c.root_rotation, c.joints, c.root_velocity, c.root_spin, c.joint_velocity],
            [3, 3, rest, 3, 3, rest],
        )
        self.terminal = np.diag(config.terminal * self.weight)
        capture = np.array([1.0, np.sqrt(max(float(self.qpos[:, 2].mean()), LOWEST_FALL) / GRAVITY)])
        for axis in (0, 1):
            own = [axis, model.nv + axis]
            self.terminal[np.ix_(own, own)] += config.capture_point * np.outer(capture, capture)

    def leading(self, frame: int) -> np.ndarray:
        """(nu,) PD targets that lead from a frame to the next."""
        return self.target[frame + 1]

    def difference(self, frame: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """(2 nv,) how far a state is from the reference's."""
        return difference(self._model, self.qpos[frame], self.qvel[frame], qpos, qvel)

    def standing(self, before: np.ndarray, after: np.ndarray, force: np.ndarray) -> np.ndarray:
        """(P,) weight of each point in its foot's mean where it is low at both ends of a step and its foot is loaded.

        before, after: (P, 3) of the feet's points; force: (2,) newtons.
        """
        foot, height = self.foot, self.config.loaded_height
        stands = (before[:, 2] < height) & (after[:, 2] < height) & (force > self._contact_force)[foot]
        count = np.bincount(foot[stands], minlength=2)
        return stands / np.maximum(count, 1)[foot]

    def of_step(self, error: np.ndarray, offset: np.ndarray, standing: np.ndarray, travel: np.ndarray) -> float:
        """Cost of a step that starts with an error (2 nv,), under an offset (nu,), in which feet travel (P, 2)."""
        config = self.config
        cost = self.weight @ error**2 + self.effort * (offset @ offset)
        if config.slip:
            cost += config.slip * 1e6 * (standing @ (travel**2).sum(axis=1))
        return 0.5 * float(cost)

    def model_of_step(
        self, plan: Plan, a: np.ndarray, b: np.ndarray, feet: np.ndarray | None, frame: int, k: int
    ) -> StageCost:
        """Model of a step's cost: tracking and effort are quadratic, slip by Gauss and Newton."""
        config, weight, nv = self.config, self.weight, self._model.nv
        effort = np.full(self._model.nu, self.effort)
        offset = plan.ctrl[k] - self.leading(frame + k)
        state_slope, effort_slope = weight * plan.error[k], effort * offset
        on = np.flatnonzero(plan.standing[k])
        if not len(on) or feet is None:
            return StageCost(weight, state_slope, effort, effort_slope)
        scale = np.repeat(1e3 * np.sqrt(config.slip * plan.standing[k, on]), 2)
        after, before = feet[k + 1, on].reshape(-1, nv), feet[k, on].reshape(-1, nv)
        c, d = after @ a[:nv], after @ b[:nv]
        c[:, :nv] -= before
        c, d = scale[:, None] * c, scale[:, None] * d
        slip = scale * plan.travel[k, on].reshape(-1)
        return StageCost(weight, state_slope + c.T @ slip, effort, effort_slope + d.T @ slip, c, d)


def difference(
    model: mujoco.MjModel, from_qpos: np.ndarray, from_qvel: np.ndarray, qpos: np.ndarray, qvel: np.ndarray
) -> np.ndarray:
    """(2 nv,) tangent from one state to another."""
    out = np.empty(2 * model.nv)
    mujoco.mj_differentiatePos(model, out[: model.nv], 1.0, from_qpos, qpos)
    out[model.nv :] = qvel - from_qvel
    return out
