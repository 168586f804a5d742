"""What the refiner's search pays for: distance to the reference, loss of balance, feet that slide, restless offsets.

Terms are sums over a horizon of candidates' states; all weights stand in `CostWeights`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from morphloop.envs import MotionLibrary
from morphloop.motion.rotations import quat_rotate
from morphloop.sim import Body, JointState

PENDULUM = 3.3
"""Natural frequency of the body as an inverted pendulum, rad/s: square root of gravity over 0.9 m."""
NEAR_GROUND_M = 0.025
"""A sole's point under this height is as good as on the ground (the contact metric lets go of it here)."""
SLIDE_FLOOR = 0.01
"""m/s; slide much slower than this costs next to nothing, faster costs in proportion."""
FALLING_M = 0.25
"""Mean joint error from which on the price of being lost grows."""


@dataclass(frozen=True)
class CostWeights:
    """Prices of one control tick."""

    position: float = 60.0
    """On the mean squared joint position error, 1/m2."""
    root: float = 40.0
    """On the squared root position error, 1/m2."""
    rotation: float = 0.5
    """On the mean squared rotation difference (1 minus squared dot product) of joints."""
    velocity: float = 0.05
    """On the mean squared joint velocity error, s2/m2."""
    capture: float = 40.0
    """On the squared error of the horizontal capture point, where the body would have to step to stop, 1/m2."""
    slide: float = 2.0
    """On the horizontal speed of each foot's fastest point near the ground, s/m."""
    planted: float = 1.0
    """On the squared speed of a foot that the clip means to stand, s2/m2."""
    fall: float = 200.0
    """On the squared mean joint error beyond `FALLING_M`, 1/m2."""
    effort: float = 1.0
    """On the mean squared offset of a plan's sampled targets, 1/rad2."""
    rate: float = 4.0
    """On the mean squared change of those offsets from one control step to the next, 1/rad2."""
    terminal: float = 4.0
    """Factor on the last quarter of the horizon."""


class TrackingCost:
    """Cost of candidates against a library.

    body: the body; library: what is tracked; weights: prices; horizon: H ticks.
    """

    def __init__(self, body: Body, library: MotionLibrary, weights: CostWeights, horizon: int):
        self.library, self.weights, self.horizon = library, weights, horizon
        names, surface = body.skeleton.names, body.surface
        self.feet = torch.tensor([[names.index(f"{s}_{p}") for p in ("ankle", "foot")] for s in ("left", "right")])
        self.masses = torch.as_tensor(body.joint_masses / body.mass, dtype=torch.float32)
        points = [np.flatnonzero(surface.foot == foot) for foot in (0, 1)]
        self.first_foot = len(points[0])
        own = np.concatenate(points)
        self.sole_joint = torch.as_tensor(surface.joint[own])
        self.sole_local = torch.as_tensor(surface.local[own], dtype=torch.float32)
        self.sole_radius = torch.as_tensor(surface.radius[own], dtype=torch.float32)
        late = np.arange(horizon) >= horizon - horizon // 4
        self.tick_weight = torch.as_tensor(np.where(late, weights.terminal, 1.0), dtype=torch.float32)
        self.weight_sum = float(self.tick_weight.sum())

    def __call__(self, state: JointState, clip: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """(N, H) weighted cost of each tick.

        state: of N candidates at H ticks, rows (N * H,) in that order; clip, frame: (N,) where they started.
        """
        count, horizon = len(clip), self.horizon
        ahead = frame[:, None] + 1 + torch.arange(horizon)
        rows = self.library.rows(clip[:, None].expand(-1, horizon), ahead).reshape(-1)
        cost = self.ticks(state, self.library.joints(rows), self.library.planted[rows])
        return cost.reshape(count, horizon) * self.tick_weight

    def ticks(self, state: JointState, reference: JointState, planted: torch.Tensor) -> torch.Tensor:
        """(N,) cost of single ticks. planted: (N, 2) feet meant to stand. A foot's slower end
        counts there, so that rolling is free. The capture point is the linear inverted pendulum's (Pratt et al. 2006).
        """
        w = self.weights
        apart, rush = state.pos - reference.pos, state.vel - reference.vel
        gap = (apart**2).sum(-1)
        error = gap.sqrt().mean(-1)
        dot = (state.rot * reference.rot).sum(-1)
        lean = self.masses @ apart[..., :2] + self.masses @ rush[..., :2] / PENDULUM
        moving = (state.vel[:, self.feet] ** 2).sum(-1).amin(-1)
        return (
            w.position * gap.mean(-1)
            + w.root * gap[:, 0]
            + w.rotation * (1.0 - dot**2).mean(-1)
            + w.velocity * (rush**2).sum(-1).mean(-1)
            + w.capture * (lean**2).sum(-1)
            + w.slide * self.slide(state).sum(-1)
            + w.planted * (moving * planted).sum(-1)
            + w.fall * (error - FALLING_M).clamp(min=0.0) ** 2
        )

    def slide(self, state: JointState) -> torch.Tensor:
        """(N, 2) horizontal speed of each foot's fastest point, m/s, fading out from the ground to `NEAR_GROUND_M`."""
        arm = quat_rotate(state.rot[:, self.sole_joint], self.sole_local)
        arm = torch.cat([arm[..., :2], arm[..., 2:] - self.sole_radius[..., None]], dim=-1)
        height = state.pos[:, self.sole_joint, 2] + arm[..., 2]
        flow = (state.vel[:, self.sole_joint] + torch.linalg.cross(state.ang[:, self.sole_joint], arm))[..., :2]
        speed = ((flow**2).sum(-1) + SLIDE_FLOOR**2).sqrt() - SLIDE_FLOOR
        near = (1.0 - height / NEAR_GROUND_M).clamp(0.0, 1.0)
        left, right = (near * speed).tensor_split([self.first_foot], dim=1)
        return torch.stack([left.amax(-1), right.amax(-1)], dim=1)
