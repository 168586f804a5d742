"""Plans of the refiner: knots of offsets on the servo targets of few joints, how they are drawn and moved on."""

from __future__ import annotations

import numpy as np

from morphloop.sim import Body

SEARCHED = {
    "hip": (1.0, 1.0, 0.6), "knee": (0.0, 1.0, 0.0), "ankle": (0.7, 1.0, 0.0), "foot": (0.0, 0.5, 0.0),
    "spine1": (0.6, 0.6, 0.4), "spine2": (0.3, 0.3, 0.2), "shoulder": (0.3, 0.3, 0.3),
}  # fmt: skip
"""Joints whose targets are searched, with their share of the noise about x (roll), y (pitch) and z (yaw)."""
SPARSITY = 0.3
"""Share of a plan's numbers that a candidate changes: noise everywhere hides what helped and shakes the feet."""
SHRUNK = 6
"""Candidates that are the plan made smaller, so that offsets that no longer help die out."""
PLAN, ZERO = 0, 1
"""Places of the plan itself and of no plan at all among the candidates."""


class PlanSpace:
    """Plans (K, D): K knots `knot` control steps apart of D offsets, radians, linear between knots. Knots stay where
    they are in time while the horizon moves over them, so that a plan that is moved on is still the same plan.

    body: the body; horizon: H control steps; knot: control steps between knots.
    """

    def __init__(self, body: Body, horizon: int, knot: int):
        scale = np.zeros((body.skeleton.num_joints - 1, 3))
        for j, name in enumerate(body.skeleton.names[1:]):
            scale[j] = SEARCHED.get(name.removeprefix("left_").removeprefix("right_"), 0.0)
        self.size = int(body.model.nu)
        self.joint_scale = scale.reshape(-1)
        self.own = np.flatnonzero(self.joint_scale)
        self.scale = self.joint_scale[self.own]
        self.knot, self.knots = knot, -(-(horizon + knot - 1) // knot) + 1
        ticks = np.arange(horizon + knot - 1)
        low, weight = ticks // knot, (ticks % knot) / knot
        self.blend = np.zeros((len(ticks), self.knots))
        self.blend[ticks, low] = 1.0 - weight
        self.blend[ticks, low + 1] += weight
        self.horizon = horizon

    def none(self) -> np.ndarray:
        """(K, D) the plan that adds nothing."""
        return np.zeros((self.knots, len(self.own)))

    def offsets(self, plans: np.ndarray, phase: int) -> np.ndarray:
        """(..., H, D) offsets a control step of plans (..., K, D) whose first knot lies `phase` control steps back."""
        return np.einsum("hk,...kd->...hd", self.blend[phase : phase + self.horizon], plans)

    def spread(self, offsets: np.ndarray) -> np.ndarray:
        """(..., nu) offsets on all servo targets of those (..., D) that are searched."""
        out = np.zeros((*offsets.shape[:-1], self.size))
        out[..., self.own] = offsets
        return out

    def moved_on(self, plans: np.ndarray, knots: int) -> np.ndarray:
        """Plans (..., K, D) without their first `knots` knots; the last one is repeated."""
        return plans[..., np.minimum(np.arange(self.knots) + knots, self.knots - 1), :]

    def candidates(
        self, plan: np.ndarray, elite: np.ndarray, count: int, sigma: float, rng: np.random.Generator
    ) -> np.ndarray:
        """(N, K, D) candidates around a plan (K, D): itself, none, the elite (E, K, D), noisy ones, shrunk ones."""
        noise = rng.normal(size=(count, *plan.shape)) * (sigma * self.scale)
        plans = plan + noise * (rng.random(noise.shape) < SPARSITY)
        plans[PLAN], plans[ZERO] = plan, 0.0
        plans[2 : 2 + len(elite)] = elite
        plans[-SHRUNK:] = plan * np.linspace(0.2, 0.9, SHRUNK)[:, None, None]
        return plans

    def price(self, offsets: np.ndarray, before: np.ndarray, effort: float, rate: float) -> np.ndarray:
        """(N,) price of offsets (N, H, D) that follow on offsets `before` (N, D): of size, and of change a step."""
        steps = np.diff(np.concatenate([before[:, None], offsets], axis=1), axis=1)
        return effort * np.square(offsets).mean(axis=2).sum(axis=1) + rate * np.square(steps).mean(axis=2).sum(axis=1)
