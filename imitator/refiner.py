"""The training-free refiner: sampling-based tracking of one clip.

Annealed sampling over PD targets in a receding horizon, in the line of DIAL-MPC (arXiv 2409.15610) and SPIDER
(arXiv 2511.09484), written from their published figures. A plan is a set of knots of offsets on the reference's servo
targets; candidates are rolled out together on the batch, weighed by exponentiated cost, and their mean becomes the next
plan. Departures: legs and torso alone are sampled, the best plans are kept as candidates, and loaded feet that slide
cost, since physics alone does not end foot slide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from morphloop.envs.reference import MotionLibrary
from morphloop.sim import CONTACT_FORCE, Body, CpuPhysics, JointState, Kinematics, Recorder

SAMPLED_JOINTS = {
    "hip": 1.0, "knee": 1.0, "ankle": 1.0, "foot": 0.5, "spine1": 0.6, "spine2": 0.4, "spine3": 0.4, "shoulder": 0.5,
}  # fmt: skip
"""Joints whose targets are searched, with their share of the noise."""

Proposal = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Maps qpos (K, nq), qvel (K, nv) and the reference frame to offsets (K, nu) on the servo targets: a policy."""


@dataclass(frozen=True)
class RefinerConfig:
    """How hard to search."""

    samples: int = 96
    """Candidates rolled out together."""
    iterations: int = 2
    """Rounds of sampling a plan."""
    first_iterations: int = 6
    """Rounds for a clip's first plan."""
    horizon: int = 16
    """Control steps looked ahead."""
    replan: int = 2
    """Control steps executed before planning anew."""
    knot: int = 4
    """Control steps between knots of a plan."""
    noise: float = 0.25
    """Standard deviation of the first round's noise, radians."""
    decay: float = 0.5
    """Factor on the noise from one round to the next."""
    temperature: float = 0.1
    """Of the weights, relative to the spread of the costs."""
    position_weight: float = 10.0
    """On the mean squared joint position error, 1/m2."""
    root_weight: float = 10.0
    """On the squared root position error, 1/m2."""
    rotation_weight: float = 0.5
    """On the mean squared rotation difference (1 minus squared dot product) of joints."""
    velocity_weight: float = 0.05
    """On the mean squared joint velocity error, s2/m2."""
    slide_weight: float = 0.2
    """On the squared horizontal speed of a loaded foot, s2/m2."""
    terminal_weight: float = 4.0
    """Factor on the last quarter of the horizon."""
    fall_distance: float = 0.5
    """Mean joint error at which a clip is given up, metres (PHC's evaluation)."""


def stage_cost(
    state: JointState, reference: JointState, foot_force: torch.Tensor, feet: torch.Tensor, config: RefinerConfig
) -> torch.Tensor:
    """(N,) cost of one control tick. reference: (1, J, .); foot_force (N, 2) N; feet: (2, 2) ankle and toe indices."""
    gap = ((state.pos - reference.pos) ** 2).sum(-1)
    dot = (state.rot * reference.rot).sum(-1)
    rush = ((state.vel - reference.vel) ** 2).sum(-1)
    speed = (state.vel[:, feet, :2] ** 2).sum(-1).amin(-1)
    loaded = (foot_force > CONTACT_FORCE).to(speed.dtype)
    return (
        config.position_weight * gap.mean(-1)
        + config.root_weight * gap[:, 0]
        + config.rotation_weight * (1.0 - dot**2).mean(-1)
        + config.velocity_weight * rush.mean(-1)
        + config.slide_weight * (loaded * speed).sum(-1)
    )


class Refiner:
    """Tracks clips of a library one at a time on `config.samples` parallel simulations.

    body: the body; library: prepared clips; config: effort; seed: of the noise; threads: 0 for all cores.
    """

    def __init__(self, body: Body, library: MotionLibrary, config: RefinerConfig, seed: int = 0, threads: int = 0):
        self.body, self.library, self.config = body, library, config
        self.physics = CpuPhysics(body, config.samples, threads)
        self.kinematics = Kinematics(body)
        self.rng = np.random.default_rng(seed)
        self.steps_simulated = 0
        names = body.skeleton.names
        self.feet = torch.tensor([[names.index(f"{s}_{p}") for p in ("ankle", "foot")] for s in ("left", "right")])
        scale = np.zeros((body.skeleton.num_joints - 1, 3))
        for j, name in enumerate(names[1:]):
            scale[j] = SAMPLED_JOINTS.get(name.removeprefix("left_").removeprefix("right_"), 0.0)
        self.scale = scale.reshape(-1)
        ticks = np.arange(config.horizon)
        knots = -(-config.horizon // config.knot) + 1
        low = ticks // config.knot
        weight = (ticks % config.knot) / config.knot
        self.blend = np.zeros((config.horizon, knots))
        self.blend[ticks, low] = 1.0 - weight
        self.blend[ticks, low + 1] += weight
        self.shift = self._shift_matrix(knots)

    def _shift_matrix(self, knots: int) -> np.ndarray:
        """(K, K) that moves a plan `replan` ticks on; the last knot is repeated."""
        at = np.minimum(np.arange(knots) + self.config.replan / self.config.knot, knots - 1)
        low = np.minimum(at.astype(int), knots - 2)
        matrix = np.zeros((knots, knots))
        matrix[np.arange(knots), low] = 1.0 - (at - low)
        matrix[np.arange(knots), low + 1] += at - low
        return matrix

    def _targets(self, clip: int, frame: int, count: int) -> np.ndarray:
        """(count, nu) servo targets that lead from `frame` to the following frames."""
        frames = torch.arange(frame + 1, frame + 1 + count)
        return self.library.target[self.library.rows(torch.full_like(frames, clip), frames)].double().numpy()

    def _evaluate(self, state: np.ndarray, clip: int, frame: int, plans: np.ndarray) -> np.ndarray:
        """(N,) cost of plans (N, K, nu) from an integration state (S,)."""
        config, physics = self.config, self.physics
        physics.state[:] = state
        offsets = np.einsum("hk,nkd->hnd", self.blend, plans)
        base = self._targets(clip, frame, config.horizon)
        total = torch.zeros(config.samples)
        clips = torch.tensor([clip])
        for tick in range(config.horizon):
            physics.ctrl[:] = torch.from_numpy(base[tick] + offsets[tick])
            failed = physics.step()
            reference = self.library.joints(self.library.rows(clips, torch.tensor([frame + 1 + tick])))
            cost = stage_cost(
                self.kinematics(physics.qpos, physics.qvel), reference, physics.foot_force, self.feet, config
            )
            late = tick >= config.horizon - config.horizon // 4
            total += cost * (config.terminal_weight if late else 1.0)
            total[failed] = torch.inf
        self.steps_simulated += config.horizon * config.samples
        return torch.nan_to_num(total, nan=torch.inf, posinf=1e6).numpy()

    def track(self, clip: int, seed: int, proposal: Proposal | None = None) -> Recorder:
        """Roll a clip out to its end, or to where it is lost. Returns the recorder of the executed motion."""
        config, library = self.config, self.library
        start = int(library.start[clip])
        recorder = Recorder(self.body, library.qpos[start].double().numpy(), library.qvel[start].double().numpy())
        frames = int(library.length[clip])
        knots = self.blend.shape[1]
        plan = np.zeros((knots, self.body.model.nu))
        elite = np.zeros((0, knots, self.body.model.nu))
        for frame in range(0, frames - 1, config.replan):
            state = recorder.state()
            for round_ in range(config.iterations if frame else config.first_iterations):
                sigma = config.noise * config.decay**round_ * self.scale
                noise = self.rng.normal(size=(config.samples, knots, len(self.scale))) * sigma
                plans = plan + noise
                plans[0], plans[1] = plan, 0.0
                plans[2 : 2 + len(elite)] = elite
                cost = self._evaluate(state, clip, frame, plans)
                order = np.argsort(cost)
                spread = np.mean(cost[order[: len(cost) // 2]]) - cost[order[0]] + 1e-9
                weight = np.exp(-(cost - cost[order[0]]) / (config.temperature * spread))
                plan = np.einsum("n,nkd->kd", weight / weight.sum(), plans)
                elite = plans[order[:4]]
            offsets = self.blend @ plan
            base = self._targets(clip, frame, config.replan)
            for tick in range(min(config.replan, frames - 1 - frame)):
                if not recorder.step(base[tick] + offsets[tick]) or self._lost(recorder, clip, frame + 1 + tick):
                    return recorder
            plan = self.shift @ plan
            elite = np.einsum("kl,nld->nkd", self.shift, elite)
        return recorder

    def _lost(self, recorder: Recorder, clip: int, frame: int) -> bool:
        state = self.kinematics(torch.from_numpy(recorder.data.qpos[None]), torch.from_numpy(recorder.data.qvel[None]))
        row = self.library.rows(torch.tensor([clip]), torch.tensor([frame]))
        gap = (state.pos - self.library.state.pos[row]).norm(dim=-1).mean()
        return bool(gap > self.config.fall_distance)
