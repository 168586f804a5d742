"""Trajectory optimisation by model-predictive iLQR over the PD targets of a body that tracks a clip.

Every few control steps the body rolls out a horizon under its own balance feedback, or under what is left of the last
plan, and iterative LQR (Tassa, Erez and Todorov 2012, contacts as MuJoCo has them) improves that along the physical
rollout; the first of them are carried out under the plan's gains. Beside the distance from the reference a plan pays
for what standing feet travel. Nothing is drawn at random unless the caller shakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.envs import EVALUATION_DISTANCE, MotionLibrary, Observer, base_targets
from morphloop.envs.terminations import failed
from morphloop.sim import CONTACT_FORCE, DIVERGED, SUBSTEPS, Body, Recorder

from .linear_model import STATE, Lineariser, StageCost, backward, state_of
from .noise import noise_scale
from .segments import Label, Segment, Track, fork

Law = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
GRAVITY = 9.81
LOWEST_FALL = 0.2
"""Least height of the root, metres, that a capture point is computed with."""
DIVERGED_COST = 1e12
"""Of a rollout that MuJoCo gave up and reset."""
STEP_SIZES = (1.0, 0.5, 0.25, 0.1, 0.03)


@dataclass(frozen=True)
class IlqrConfig:
    """How to plan, and the cost weights: of halves of squared metres and radians and their rates, in every step."""

    horizon: int = 24
    """Control steps planned ahead."""
    replan: int = 5
    """Control steps carried out before planning anew."""
    iterations: int = 1
    """Improvements of a plan."""
    hard_iterations: int = 5
    """Improvements of one that still costs more than `hard_cost`."""
    hard_cost: float = 0.5
    """Mean cost of a control step."""
    root_position: float = 100.0
    root_rotation: float = 50.0
    joints: float = 5.0
    root_velocity: float = 1.0
    root_spin: float = 0.3
    joint_velocity: float = 0.2
    """A tenth of it lets stance feet chatter and balance by thrashing."""
    effort: float = 5.0
    """Of offsets on the PD targets that follow the clip, radians."""
    dampings: tuple[float, ...] = (0.0, 1.0, 10.0)
    """Weights of leaving the rollout that a linear model was taken along, in those of leaving the reference."""
    progress: float = 0.9
    """Share of a plan's cost under which an improvement needs no other damping."""
    slip: float = 0.0
    """Of what a loaded foot's points travel in a step, mean over the points, millimetres. None is best: at 0.02 a walk
    slides a seventh less, but a kick is held half as well and its feet slide more."""
    loaded_height: float = 0.012
    """A point of a loaded foot that is lower than this stands, metres."""
    terminal: float = 10.0
    """Weight of a plan's last step, in steps."""
    capture_point: float = 1000.0
    """Of its capture point there, metres."""
    bound: float = 1.0
    """Largest offset of a plan, radians."""
    retries: int = 1
    """How often a clip that failed goes back and is planned harder: `hard_iterations` wherever they help."""
    back: int = 30
    """Control steps that it goes back, the first time; twice as many the next."""
    threads: int = 2
    """That share the linear models."""
    fall_distance: float = EVALUATION_DISTANCE
    """Mean joint error at which a clip fails, metres."""

    def __post_init__(self) -> None:
        if not 1 <= self.replan <= self.horizon:
            raise MotionError(f"iLQR: replan is {self.replan}, expected 1 to the horizon, {self.horizon} control steps")


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


class _Goal:
    """A clip as the planner sees it: where to be, which targets lead there, and what being off costs.

    weight: (2 nv,) of the squared difference of a step; terminal: (2 nv, 2 nv) of that after a plan, where the capture
    point, which says where the body will come to stand or fall (Pratt et al. 2006), counts as well. The value function
    of an LQR about the reference was tried in its place: about one that no body can follow it leads astray.
    """

    def __init__(self, library: MotionLibrary, clip: int, model: mujoco.MjModel, config: IlqrConfig):
        rows = slice(int(library.start[clip]), int(library.start[clip] + library.length[clip]))
        self.qpos, self.qvel, self.target = (
            x[rows].double().numpy() for x in (library.qpos, library.qvel, library.target)
        )
        self.frames, self._model, rest = len(self.qpos), model, model.nv - 6
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


def difference(
    model: mujoco.MjModel, from_qpos: np.ndarray, from_qvel: np.ndarray, qpos: np.ndarray, qvel: np.ndarray
) -> np.ndarray:
    """(2 nv,) tangent from one state to another."""
    out = np.empty(2 * model.nv)
    mujoco.mj_differentiatePos(model, out[: model.nv], 1.0, from_qpos, qpos)
    out[model.nv :] = qvel - from_qvel
    return out


class _Planner:
    """Plans along one clip."""

    def __init__(self, body: Body, reference: _Goal, config: IlqrConfig, line: Lineariser):
        self.body, self.model, self.reference, self.config, self.line = body, body.model, reference, config, line
        self._data = mujoco.MjData(body.model)
        self.steps = 0

    def rollout(self, start: np.ndarray, frame: int, horizon: int, law: Law, limit: float = np.inf) -> Plan | None:
        """What comes of a law from integration state `start` at `frame`; None as soon as it costs more than `limit`."""
        model, data, reference, points = self.model, self._data, self.reference, self.line.points
        mujoco.mj_resetData(model, data)  # forgets the warnings of the last one
        mujoco.mj_setState(model, data, start, STATE)
        mujoco.mj_kinematics(model, data)
        states, ctrl, qpos, qvel = [start], [], [data.qpos.copy()], [data.qvel.copy()]
        feet, standing, travel = points.positions(data), [], []
        error, cost = [reference.difference(frame, qpos[0], qvel[0])], 0.0
        for k in range(horizon):
            data.ctrl[:] = law(k, qpos[-1], qvel[-1])
            ctrl.append(data.ctrl.copy())
            mujoco.mj_step(model, data, SUBSTEPS)
            self.steps += 1
            states.append(state_of(model, data))
            qpos.append(data.qpos.copy())
            qvel.append(data.qvel.copy())
            mujoco.mj_kinematics(model, data)
            before, feet = feet, points.positions(data)
            standing.append(self._standing(before, feet, data.sensordata[self.body.touch_ids].sum(axis=1)))
            travel.append((feet - before)[:, :2] * (standing[-1] > 0)[:, None])
            offset = ctrl[-1] - reference.leading(frame + k)
            cost += self._step_cost(error[-1], offset, standing[-1], travel[-1])
            error.append(reference.difference(frame + k + 1, qpos[-1], qvel[-1]))
            if cost > limit:
                return None
        cost += 0.5 * float(error[-1] @ reference.terminal @ error[-1])
        if any(data.warning[kind].number for kind in DIVERGED):
            cost = DIVERGED_COST
        if cost > limit:
            return None
        return Plan(
            states=np.array(states),
            ctrl=np.array(ctrl),
            qpos=np.array(qpos),
            qvel=np.array(qvel),
            error=np.array(error),
            travel=np.array(travel),
            standing=np.array(standing),
            cost=cost,
        )

    def _standing(self, before: np.ndarray, after: np.ndarray, force: np.ndarray) -> np.ndarray:
        """(P,) weight of each point in its foot's mean where it is low at both ends of a step and its foot is loaded.

        before, after: (P, 3) of the feet's points; force: (2,) newtons.
        """
        foot, height = self.line.points.foot, self.config.loaded_height
        stands = (before[:, 2] < height) & (after[:, 2] < height) & (force > CONTACT_FORCE)[foot]
        count = np.bincount(foot[stands], minlength=2)
        return stands / np.maximum(count, 1)[foot]

    def _step_cost(self, error: np.ndarray, offset: np.ndarray, standing: np.ndarray, travel: np.ndarray) -> float:
        """Cost of a step that starts with an error (2 nv,), under an offset (nu,), in which feet travel (P, 2)."""
        config = self.config
        cost = self.reference.weight @ error**2 + config.effort * (offset @ offset)
        if config.slip:
            cost += config.slip * 1e6 * (standing @ (travel**2).sum(axis=1))
        return 0.5 * float(cost)

    def improve(self, plan: Plan, frame: int) -> tuple[Plan, np.ndarray | None]:
        """One iteration: a better plan and the gains (H, nu, 2 nv) of the old one; the old one if there is none."""
        reference, horizon = self.reference, len(plan.ctrl)
        linear = self.line(plan.states, plan.ctrl)
        costs = [self._stage(plan, linear.a[k], linear.b[k], linear.feet, frame, k) for k in range(horizon)]
        best, gains, end = plan, None, reference.terminal
        for damping in self.config.dampings:
            step, gain, _ = backward(linear, costs, end, end @ plan.error[-1], damping * reference.weight)
            gains = gain if gains is None else gains
            for size in STEP_SIZES:
                law = self._law(plan, frame, size * step, gain)
                tried = self.rollout(plan.states[0], frame, horizon, law, best.cost)
                if tried is not None and tried.cost < best.cost:
                    best, gains = tried, gain
                elif best is not plan:
                    break
            if best.cost < self.config.progress * plan.cost:
                break
        return best, gains

    def _law(self, plan: Plan, frame: int, step: np.ndarray, gain: np.ndarray) -> Law:
        """A plan changed by -step (H, nu), with feedback."""
        model, bound = self.model, self.config.bound

        def law(k: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
            off = difference(model, plan.qpos[k], plan.qvel[k], qpos, qvel)
            middle = self.reference.leading(frame + k)
            return np.clip(plan.ctrl[k] - step[k] - gain[k] @ off, middle - bound, middle + bound)

        return law

    def _stage(self, plan: Plan, a: np.ndarray, b: np.ndarray, feet: np.ndarray, frame: int, k: int) -> StageCost:
        """Model of a step's cost: tracking and effort are quadratic, slip by Gauss and Newton."""
        config, weight, nv = self.config, self.reference.weight, self.model.nv
        effort = np.full(self.model.nu, config.effort)
        offset = plan.ctrl[k] - self.reference.leading(frame + k)
        state_slope, effort_slope = weight * plan.error[k], effort * offset
        on = np.flatnonzero(plan.standing[k])
        if not len(on) or not config.slip:
            return StageCost(weight, state_slope, effort, effort_slope)
        scale = np.repeat(1e3 * np.sqrt(config.slip * plan.standing[k, on]), 2)
        after, before = feet[k + 1, on].reshape(-1, nv), feet[k, on].reshape(-1, nv)
        c, d = after @ a[:nv], after @ b[:nv]
        c[:, :nv] -= before
        c, d = scale[:, None] * c, scale[:, None] * d
        slip = scale * plan.travel[k, on].reshape(-1)
        return StageCost(weight, state_slope + c.T @ slip, effort, effort_slope + d.T @ slip, c, d)


@dataclass(frozen=True)
class _Attempt:
    """What was carried out so far, with the state (S,) before each step, the controls (nu,) that were meant and the
    gains (nu, 2 nv) about them."""

    recorder: Recorder
    states: list[np.ndarray]
    ctrl: list[np.ndarray]
    gains: list[np.ndarray]

    def back(self, steps: int) -> _Attempt:
        """Where it stood so many control steps ago."""
        at = max(0, len(self.states) - steps)
        return _Attempt(fork(self.recorder, at, self.states[at]), self.states[:at], self.ctrl[:at], self.gains[:at])


class Ilqr:
    """Tracks clips of a library by model-predictive iLQR, one after the other.

    body: the body; library: of references; config: effort and cost weights; seed: of the noise that `track` may shake
    with; keep_gains: labels carry them, 40 kB each.
    """

    def __init__(
        self,
        body: Body,
        library: MotionLibrary,
        config: IlqrConfig | None = None,
        seed: int = 0,
        keep_gains: bool = False,
    ):
        self.keep_gains = keep_gains
        self.body, self.library, self.config = body, library, config or IlqrConfig()
        self.observer = Observer(body, library)
        self.line = Lineariser(body, self.config.threads)
        self.rng = np.random.default_rng(seed)
        self.steps_simulated = 0

    def track(
        self, clip: int, frame: int = 0, state: np.ndarray | None = None, stop: int | None = None, shake: float = 0.0
    ) -> Track:
        """Roll one clip out from `frame` to frame `stop`, or to where it fails; see `Segment`."""
        seed = int(self.rng.integers(2**63))
        return self.track_many([Segment(clip, frame, stop, state, shake, seed)])[0]

    def track_many(
        self, segments: Sequence[Segment], on_done: Callable[[int, Track], None] = lambda place, track: None
    ) -> list[Track]:
        """Roll segments out; what comes out of one does not depend on the others.

        on_done: told of each track, by its place, as soon as it is there.
        """
        tracks = []
        for place, segment in enumerate(segments):
            tracks.append(self._one(segment))
            self.steps_simulated += tracks[-1].steps
            on_done(place, tracks[-1])
        return tracks

    def _one(self, segment: Segment) -> Track:
        """The first attempt that gets to the end, else the longest."""
        library, config = self.library, self.config
        row = int(library.start[segment.clip]) + segment.frame
        qpos, qvel = library.qpos[row].double().numpy(), library.qvel[row].double().numpy()
        attempt, simulated = _Attempt(Recorder(self.body, qpos, qvel, segment.state), [], [], []), 0
        rng, best, completed = np.random.default_rng(segment.seed), attempt, False
        for turn in range(config.retries + 1):
            reference = _Goal(library, segment.clip, self.body.model, config)
            planner = _Planner(self.body, reference, config, self.line)
            completed = self._run(segment, planner, attempt, rng)
            simulated += planner.steps
            if completed or len(attempt.recorder.ctrl) > len(best.recorder.ctrl) or turn == 0:
                best = attempt
            if completed:
                break
            attempt = attempt.back(config.back * 2**turn)
            config = replace(config, iterations=config.hard_iterations, hard_cost=0.0)
        return Track(best.recorder, self._labels(segment, best), completed, simulated)

    def _run(self, segment: Segment, planner: _Planner, attempt: _Attempt, rng: np.random.Generator) -> bool:
        """Plan and carry out to the segment's end; whether that was reached."""
        recorder, last = attempt.recorder, planner.reference.frames - 1
        end = last if segment.stop is None else min(segment.stop, last)
        now = segment.frame + len(attempt.ctrl)
        scale = segment.shake * noise_scale(self.body)
        rest: tuple[Plan, np.ndarray, int] | None = None
        while now < end:
            plan, gain = self._plan(planner, segment.clip, recorder.state(), now, rest)
            steps = min(planner.config.replan, end - now)
            for k in range(steps):
                middle = planner.reference.leading(now)
                ctrl = self._feedback(plan, gain, k, recorder.qpos[-1], recorder.qvel[-1], middle)
                attempt.states.append(recorder.state())
                attempt.ctrl.append(ctrl)
                if self.keep_gains:
                    attempt.gains.append(gain[k].astype(np.float32))
                alive = recorder.step(ctrl + scale * rng.normal(size=len(ctrl)) if segment.shake else ctrl)
                now += 1
                if not alive or self._failed(segment.clip, now, recorder):
                    return False
            rest = plan, gain, steps
        return True

    def _plan(
        self, planner: _Planner, clip: int, state: np.ndarray, now: int, rest: tuple[Plan, np.ndarray, int] | None
    ) -> tuple[Plan, np.ndarray]:
        """The best plan from a state on: what is left of the last one, or the reference's own law, improved."""
        config, reference = planner.config, planner.reference
        horizon = min(config.horizon, reference.frames - 1 - now)

        def own(k: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
            return base_targets(self.observer, qpos[None], qvel[None], np.array([clip]), np.array([now + k]))[0]

        def left(k: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
            assert rest is not None
            plan, gain, done = rest
            if k + done >= len(plan.ctrl):
                return own(k, qpos, qvel)
            return self._feedback(plan, gain, k + done, qpos, qvel, reference.leading(now + k))

        plan = None if rest is None else planner.rollout(state, now, horizon, left)
        if plan is None or plan.cost > config.hard_cost * horizon:
            plan = planner.rollout(state, now, horizon, own, np.inf if plan is None else plan.cost) or plan
        assert plan is not None
        gain: np.ndarray | None = None
        for iteration in range(config.hard_iterations):
            if iteration >= config.iterations and plan.cost < config.hard_cost * horizon:
                break
            better, gain = planner.improve(plan, now)
            stuck = better.cost > 0.999 * plan.cost
            plan = better
            if stuck:
                break
        assert gain is not None
        return plan, gain

    def _feedback(
        self, plan: Plan, gain: np.ndarray, k: int, qpos: np.ndarray, qvel: np.ndarray, middle: np.ndarray
    ) -> np.ndarray:
        """(nu,) targets of a plan at a state beside it, within bounds about the clip's own (`middle`)."""
        off = difference(self.body.model, plan.qpos[k], plan.qvel[k], qpos, qvel)
        return np.clip(plan.ctrl[k] - gain[k] @ off, middle - self.config.bound, middle + self.config.bound)

    def _failed(self, clip: int, now: int, recorder: Recorder) -> bool:
        """Whether the body is further from its reference than it may be."""
        qpos, qvel = (torch.from_numpy(x[-1][None]) for x in (recorder.qpos, recorder.qvel))
        wanted = self.observer.reference(torch.tensor([clip]), torch.tensor([now]))
        return bool(failed(self.observer.kinematics(qpos, qvel), wanted, self.config.fall_distance))

    def _labels(self, segment: Segment, attempt: _Attempt) -> list[Label]:
        """A label a control step: offsets on what feedback alone would have asked for."""
        recorder = attempt.recorder
        count = len(recorder.ctrl)
        if not count:
            return []
        qpos, qvel, force = (np.array(x[:count]) for x in (recorder.qpos, recorder.qvel, recorder.force))
        frame = segment.frame + np.arange(count)
        base = base_targets(self.observer, qpos, qvel, np.full(count, segment.clip), frame)
        offsets = np.array(attempt.ctrl[:count]) - base
        gains = attempt.gains[:count] if self.keep_gains else [None] * count
        return [
            Label(segment.clip, int(frame[k]), qpos[k], qvel[k], force[k], offsets[k], gains[k]) for k in range(count)
        ]
