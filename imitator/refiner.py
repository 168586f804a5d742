"""The training-free refiner: sampling-based tracking of one clip.

Annealed sampling over PD targets in a receding horizon, in the line of DIAL-MPC (arXiv 2409.15610) and SPIDER
(arXiv 2511.09484), written from their published figures. A plan is a set of knots of offsets on the reference's servo
targets; candidates are rolled out together on the batch, weighed by exponentiated cost, and their mean becomes the next
plan. Departures: legs, torso and shoulders alone are sampled, few numbers of a plan at a time; the best plans are kept
as candidates; the capture point's error and loaded feet that slide cost; a policy may drive inside every candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from morphloop.envs import MotionLibrary, Observer
from morphloop.sim import CONTACT_FORCE, Body, CpuPhysics, JointState, Recorder

from .policy import Policy

SAMPLED_JOINTS = {
    "hip": 1.0, "knee": 1.0, "ankle": 1.0, "foot": 0.5, "spine1": 0.6, "spine2": 0.4, "spine3": 0.4, "shoulder": 0.5,
}  # fmt: skip
"""Joints whose targets are searched, with their share of the noise."""

SPARSITY = 0.3
"""Share of a plan's numbers that a candidate changes: noise everywhere hides what helped and shakes the feet."""
SHRUNK = 8
"""Candidates of a round that are the plan made smaller, so that offsets that no longer help die out."""

PENDULUM = 3.3
"""Natural frequency of the body as an inverted pendulum, rad/s: square root of gravity over 0.9 m."""
ELITES = 4
"""Best plans that compete again in the next round."""


@dataclass(frozen=True)
class RefinerConfig:
    """How hard to search."""

    samples: int = 64
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
    noise: float = 0.2
    """Standard deviation of the first round's noise, radians."""
    decay: float = 0.5
    """Factor on the noise from one round to the next."""
    temperature: float = 0.4
    """Of the weights, relative to the spread of the costs."""
    position_weight: float = 60.0
    """On the mean squared joint position error, 1/m2."""
    root_weight: float = 40.0
    """On the squared root position error, 1/m2."""
    rotation_weight: float = 0.5
    """On the mean squared rotation difference (1 minus squared dot product) of joints."""
    velocity_weight: float = 0.05
    """On the mean squared joint velocity error, s2/m2."""
    capture_weight: float = 40.0
    """On the squared error of the horizontal capture point, where the body would have to step to stop, 1/m2."""
    slide_weight: float = 6.0
    """On the squared horizontal speed of a loaded foot, s2/m2."""
    planted_weight: float = 1.0
    """On the squared speed of a foot that the clip means to stand, s2/m2."""
    effort_weight: float = 0.3
    """On the mean squared offset of a plan's sampled targets, 1/rad2."""
    rate_weight: float = 0.5
    """On the mean squared change of those offsets from one control step to the next, 1/rad2."""
    terminal_weight: float = 4.0
    """Factor on the last quarter of the horizon."""
    fall_distance: float = 0.5
    """Mean joint error at which a clip is given up, metres (PHC's evaluation)."""


def stage_cost(
    state: JointState,
    reference: JointState,
    planted: torch.Tensor,
    foot_force: torch.Tensor,
    feet: torch.Tensor,
    masses: torch.Tensor,
    config: RefinerConfig,
) -> torch.Tensor:
    """(N,) cost of one control tick. reference: (N, J, .); planted: (N, 2) feet meant to stand; foot_force: (N, 2)
    newtons; feet: (2, 2) ankle and toe joints of each foot; masses: (J,) shares of the body's mass. A foot's slower end
    counts, so that rolling is free. The capture point is that of the linear inverted pendulum (Pratt et al. 2006)."""
    gap = ((state.pos - reference.pos) ** 2).sum(-1)
    dot = (state.rot * reference.rot).sum(-1)
    rush = ((state.vel - reference.vel) ** 2).sum(-1)
    lean = masses @ (state.pos - reference.pos)[..., :2] + masses @ (state.vel - reference.vel)[..., :2] / PENDULUM
    slide = (state.vel[:, feet, :2] ** 2).sum(-1).amin(-1)
    moving = (state.vel[:, feet] ** 2).sum(-1).amin(-1)
    return (
        config.position_weight * gap.mean(-1)
        + config.root_weight * gap[:, 0]
        + config.rotation_weight * (1.0 - dot**2).mean(-1)
        + config.velocity_weight * rush.mean(-1)
        + config.capture_weight * (lean**2).sum(-1)
        + config.slide_weight * (slide * (foot_force > CONTACT_FORCE)).sum(-1)
        + config.planted_weight * (moving * planted).sum(-1)
    )


@dataclass(frozen=True)
class Label:
    """What the refiner did in a state: qpos (nq,), qvel (nv,), foot force (2,), offsets (nu,) on the servo targets."""

    clip: int
    frame: int
    qpos: np.ndarray
    qvel: np.ndarray
    force: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Track:
    """A tracked stretch: the recorder of what was executed, a label a tick, and whether it reached its end."""

    recorder: Recorder
    labels: list[Label]
    completed: bool


class Refiner:
    """Tracks clips of a library one at a time on `config.samples` parallel simulations.

    body: the body; library: prepared clips; config: effort; seed: of the noise; policy: drives inside every candidate,
    so that the search looks for what to add to it; threads: 0 for all cores.
    """

    def __init__(
        self,
        body: Body,
        library: MotionLibrary,
        config: RefinerConfig,
        seed: int = 0,
        policy: Policy | None = None,
        threads: int = 0,
    ):
        self.body, self.library, self.config, self.policy = body, library, config, policy
        self.physics = CpuPhysics(body, config.samples, threads)
        self.observer = Observer(body, library)
        self.kinematics = self.observer.kinematics
        self.rng = np.random.default_rng(seed)
        self.steps_simulated = 0
        names = body.skeleton.names
        self.feet = torch.tensor([[names.index(f"{s}_{p}") for p in ("ankle", "foot")] for s in ("left", "right")])
        scale = np.zeros((body.skeleton.num_joints - 1, 3))
        for j, name in enumerate(names[1:]):
            scale[j] = SAMPLED_JOINTS.get(name.removeprefix("left_").removeprefix("right_"), 0.0)
        self.scale = scale.reshape(-1)
        self.masses = torch.as_tensor(body.joint_masses / body.mass, dtype=torch.float32)
        ticks = np.arange(config.horizon)
        knots = -(-config.horizon // config.knot) + 1
        low = ticks // config.knot
        weight = (ticks % config.knot) / config.knot
        self.blend = np.zeros((config.horizon, knots))
        self.blend[ticks, low] = 1.0 - weight
        self.blend[ticks, low + 1] += weight
        self.shift = self._shift_matrix(knots)
        late = ticks >= config.horizon - config.horizon // 4
        self.tick_weight = torch.as_tensor(np.where(late, config.terminal_weight, 1.0), dtype=torch.float32)

    def _shift_matrix(self, knots: int) -> np.ndarray:
        """(K, K) that moves a plan `replan` ticks on; the last knot is repeated."""
        at = np.minimum(np.arange(knots) + self.config.replan / self.config.knot, knots - 1)
        low = np.minimum(at.astype(int), knots - 2)
        matrix = np.zeros((knots, knots))
        matrix[np.arange(knots), low] = 1.0 - (at - low)
        matrix[np.arange(knots), low + 1] += at - low
        return matrix

    def _guidance(
        self, qpos: torch.Tensor, qvel: torch.Tensor, force: torch.Tensor, clip: int, frame: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Servo targets (N, nu) in states (N, nq), (N, nv), (N, 2): the clip's with balance feedback, and what the
        policy adds to them, zero without one."""
        clips = torch.full((len(qpos),), clip)
        frames = torch.full_like(clips, frame)
        state = self.kinematics(qpos, qvel)
        base = self.observer.base(state, clips, frames)
        if self.policy is None:
            return base.double(), torch.zeros_like(base, dtype=torch.double)
        obs = self.observer.observe(state, qvel, force, clips, frames)
        return base.double(), self.observer.offsets(self.policy.act(obs)).double()

    def _rollout(
        self, state: np.ndarray, force: np.ndarray, clip: int, frame: int, offsets: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """States (N, H, nq), (N, H, nv) and foot forces (N, H, 2) under offsets (N, H, nu), feedback and policy in the
        loop."""
        physics, tape = self.physics, []
        failed = torch.zeros(len(offsets), dtype=torch.bool)
        physics.state[:] = state
        feel = torch.from_numpy(np.tile(force, (len(offsets), 1)))
        for tick in range(offsets.shape[1]):
            base, guidance = self._guidance(physics.qpos, physics.qvel, feel, clip, frame + tick)
            physics.ctrl[:] = base + guidance + torch.from_numpy(offsets[:, tick])
            failed |= physics.step()
            feel = physics.foot_force
            tape.append((physics.qpos.clone(), physics.qvel.clone(), feel))
        qpos, qvel, forces = (torch.stack(part, dim=1) for part in zip(*tape, strict=True))
        qpos[failed] = torch.nan  # one that diverged was put to rest; it must not pass for one that stands
        return qpos, qvel, forces

    def _evaluate(self, recorder: Recorder, clip: int, frame: int, plans: np.ndarray) -> np.ndarray:
        """(N,) cost of plans (N, K, nu) from where the recorder is."""
        config = self.config
        count, horizon = len(plans), config.horizon
        offsets = np.einsum("hk,nkd->nhd", self.blend, plans)
        qpos, qvel, force = self._rollout(recorder.state(), recorder.force[-1], clip, frame, offsets)
        self.steps_simulated += count * horizon
        rows = self.library.rows(torch.full((horizon,), clip), torch.arange(frame + 1, frame + 1 + horizon))
        rows = rows.repeat(count)
        reached = self.kinematics(qpos.reshape(count * horizon, -1), qvel.reshape(count * horizon, -1))
        cost = stage_cost(
            reached,
            self.library.joints(rows),
            self.library.planted[rows],
            force.reshape(-1, 2),
            self.feet,
            self.masses,
            config,
        )
        total = (cost.reshape(count, horizon) * self.tick_weight).sum(dim=1)
        sampled = offsets[..., self.scale > 0]
        effort = config.effort_weight * np.square(sampled).mean(axis=2).sum(axis=1)
        rate = config.rate_weight * np.square(np.diff(sampled, axis=1)).mean(axis=2).sum(axis=1)
        return torch.nan_to_num(total, nan=1e6, posinf=1e6).numpy() + effort + rate

    def track(
        self, clip: int, frame: int = 0, state: np.ndarray | None = None, stop: int | None = None, shake: float = 0.0
    ) -> Track:
        """Roll a clip out from `frame` to frame `stop` (its end if None), or to where it is lost.

        state: integration state (S,) to start from, the reference's own if None; shake: standard deviation of noise
        on what is executed, radians, while the labels stay clean (DART, Laskey et al. 2017).
        """
        config, library = self.config, self.library
        row = int(library.start[clip]) + frame
        recorder = Recorder(self.body, library.qpos[row].double().numpy(), library.qvel[row].double().numpy(), state)
        end = int(library.length[clip]) - 1
        end = end if stop is None else min(stop, end)
        labels: list[Label] = []
        plan = np.zeros((self.blend.shape[1], self.body.model.nu))
        elite = np.zeros((0, *plan.shape))
        for now in range(frame, end, config.replan):
            rounds = config.iterations if now > frame else config.first_iterations
            plan, elite = self._plan(recorder, clip, now, plan, elite, rounds)
            offsets = self.blend @ plan
            for tick in range(min(config.replan, end - now)):
                here = (recorder.qpos[-1], recorder.qvel[-1], recorder.force[-1])
                qpos, qvel, force = (torch.from_numpy(x[None]) for x in here)
                base, guidance = (x[0].numpy() for x in self._guidance(qpos, qvel, force, clip, now + tick))
                offset = guidance + offsets[tick]
                labels.append(Label(clip, now + tick, *here, offset))
                noise = shake * self.scale * self.rng.normal(size=len(self.scale)) if shake else 0.0
                alive = recorder.step(base + offset + noise)
                if not alive or self._lost(recorder, clip, now + tick + 1):
                    return Track(recorder, labels, completed=False)
            plan = self.shift @ plan
            elite = np.einsum("kl,nld->nkd", self.shift, elite)
        return Track(recorder, labels, completed=True)

    def _plan(
        self, recorder: Recorder, clip: int, frame: int, plan: np.ndarray, elite: np.ndarray, rounds: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Improve a plan (K, nu) from where the recorder is; returns it and the best candidates (E, K, nu)."""
        config = self.config
        for round_ in range(rounds):
            sigma = config.noise * config.decay**round_ * self.scale
            noise = self.rng.normal(size=(config.samples, *plan.shape)) * sigma
            noise *= self.rng.random(noise.shape) < SPARSITY
            plans = plan + noise
            plans[0], plans[1] = plan, 0.0
            plans[2 : 2 + len(elite)] = elite
            plans[-SHRUNK:] = plan * np.linspace(0.2, 0.9, SHRUNK)[:, None, None]
            cost = self._evaluate(recorder, clip, frame, plans)
            order = np.argsort(cost)
            spread = np.mean(cost[order[: len(cost) // 2]]) - cost[order[0]] + 1e-9
            weight = np.exp(-(cost - cost[order[0]]) / (config.temperature * spread))
            plan = np.einsum("n,nkd->kd", weight / weight.sum(), plans)
            elite = plans[order[:ELITES]]
        return plan, elite

    def _lost(self, recorder: Recorder, clip: int, frame: int) -> bool:
        state = self.kinematics(torch.from_numpy(recorder.data.qpos[None]), torch.from_numpy(recorder.data.qvel[None]))
        row = self.library.rows(torch.tensor([clip]), torch.tensor([frame]))
        gap = (state.pos - self.library.state.pos[row]).norm(dim=-1).mean()
        return bool(gap > self.config.fall_distance)
