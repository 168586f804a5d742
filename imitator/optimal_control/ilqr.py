"""Trajectory optimisation by model-predictive iLQR over the PD targets of a body that tracks a clip.

Every few control steps the body rolls out a horizon under its own balance feedback, or under what is left of the last
plan, and iterative LQR (Tassa, Erez and Todorov 2012, contacts as MuJoCo has them) improves that along the physical
rollout; the first of them are carried out under the plan's gains. Beside the distance from the reference a plan pays
for what standing feet travel. Nothing is drawn at random unless the caller shakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import mujoco
import numpy as np
import torch

from morphloop.envs import MotionLibrary, Observer, base_targets
from morphloop.envs.terminations import failed
from morphloop.sim import DIVERGED, Body, Recorder

from .config import IlqrConfig
from .cost import Cost, Plan, difference
from .linear_model import STATE, Lineariser, LinearModel, backward, mended, state_of
from .noise import noise_scale
from .segments import Label, Segment, Track, fork

Law = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
DIVERGED_COST = 1e12
"""Of a rollout that MuJoCo gave up and reset."""
STEP_SIZES = (1.0, 0.5, 0.25, 0.1, 0.03)


class _Planner:
    """Plans along one clip."""

    def __init__(self, body: Body, cost: Cost, config: IlqrConfig, line: Lineariser):
        self.body, self.model, self.cost, self.config, self.line = body, body.model, cost, config, line
        self._data = mujoco.MjData(body.model)
        self._known: dict[int, _Known] = {}
        self.steps = 0

    def rollout(self, start: np.ndarray, frame: int, horizon: int, law: Law, limit: float = np.inf) -> Plan | None:
        """What comes of a law from integration state `start` at `frame`; None as soon as it costs more than `limit`."""
        model, data, goal, points = self.model, self._data, self.cost, self.line.points
        mujoco.mj_resetData(model, data)  # forgets the warnings of the last one
        mujoco.mj_setState(model, data, start, STATE)
        mujoco.mj_kinematics(model, data)
        states, ctrl, qpos, qvel = [start], [], [data.qpos.copy()], [data.qvel.copy()]
        feet, standing, travel = points.positions(data), [], []
        error, cost = [goal.difference(frame, qpos[0], qvel[0])], 0.0
        for k in range(horizon):
            data.ctrl[:] = law(k, qpos[-1], qvel[-1])
            ctrl.append(data.ctrl.copy())
            mujoco.mj_step(model, data, self.body.substeps)
            self.steps += 1
            states.append(state_of(model, data))
            qpos.append(data.qpos.copy())
            qvel.append(data.qvel.copy())
            mujoco.mj_kinematics(model, data)
            before, feet = feet, points.positions(data)
            standing.append(goal.standing(before, feet, data.sensordata[self.body.touch_ids].sum(axis=1)))
            travel.append((feet - before)[:, :2] * (standing[-1] > 0)[:, None])
            offset = ctrl[-1] - goal.leading(frame + k)
            cost += goal.of_step(error[-1], offset, standing[-1], travel[-1])
            error.append(goal.difference(frame + k + 1, qpos[-1], qvel[-1]))
            if cost > limit:
                return None
        cost += 0.5 * float(error[-1] @ goal.terminal @ error[-1])
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

    def improve(self, plan: Plan, frame: int) -> tuple[Plan, np.ndarray | None]:
        """One iteration: a better plan and the gains (H, nu, 2 nv) of the old one; the old one if there is none."""
        cost, horizon = self.cost, len(plan.ctrl)
        linear = self._linear(plan, frame)
        costs = [cost.model_of_step(plan, linear.a[k], linear.b[k], linear.feet, frame, k) for k in range(horizon)]
        best, gains, end = plan, None, cost.terminal
        for damping in self.config.dampings:
            step, gain, _ = backward(linear, costs, end, end @ plan.error[-1], damping * cost.weight)
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

    def _linear(self, plan: Plan, frame: int) -> LinearModel:
        """Linear models along a plan from a frame on: where it tracks well, of control steps that run nearly as when
        they were linearised last, as they were then."""
        steps = range(len(plan.ctrl))
        known = self._known = {at: model for at, model in self._known.items() if at >= frame}
        near = self.config.reuse if plan.cost <= self.config.hard_cost * len(plan.ctrl) else 0.0
        stale = [k for k in steps if not self._runs_near(known.get(frame + k), plan, k, near)]
        if stale:
            made = self.line(plan.states[stale], plan.ctrl[stale])
            for k, a, b in zip(stale, *made, strict=True):
                known[frame + k] = _Known(plan.qpos[k], plan.qvel[k], a, b)
        a, b = mended(*(np.array([getattr(known[frame + k], name) for k in steps]) for name in ("a", "b")))
        return LinearModel(a, b, self.line.feet(plan.states) if self.config.slip else None)

    def _runs_near(self, known: _Known | None, plan: Plan, k: int, near: float) -> bool:
        """Whether a plan's step k starts within `near` of where it was linearised: see `IlqrConfig.reuse`."""
        if known is None or not near:
            return False
        off = np.abs(difference(self.model, known.qpos, known.qvel, plan.qpos[k], plan.qvel[k]))
        nv = self.model.nv
        return bool(off[:nv].max() <= near and off[nv:].max() <= near * self.body.control_hz)

    def _law(self, plan: Plan, frame: int, step: np.ndarray, gain: np.ndarray) -> Law:
        """A plan changed by -step (H, nu), with feedback."""
        model, bound = self.model, self.cost.bound

        def law(k: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
            off = difference(model, plan.qpos[k], plan.qvel[k], qpos, qvel)
            middle = self.cost.leading(frame + k)
            return np.clip(plan.ctrl[k] - step[k] - gain[k] @ off, middle - bound, middle + bound)

        return law


class _Known(NamedTuple):
    """A linear model, a (2 nv, 2 nv) and b (2 nv, nu), and the state that it was made at."""

    qpos: np.ndarray
    qvel: np.ndarray
    a: np.ndarray
    b: np.ndarray


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
        self.body, self.library, self.config = body, library, (config or IlqrConfig()).at(body.control_hz)
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
            cost = Cost(library, segment.clip, self.body, self.line.points.foot, config)
            planner = _Planner(self.body, cost, config, self.line)
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
        recorder, last = attempt.recorder, planner.cost.frames - 1
        end = last if segment.stop is None else min(segment.stop, last)
        now = segment.frame + len(attempt.ctrl)
        scale = segment.shake * noise_scale(self.body)
        rest: tuple[Plan, np.ndarray, int] | None = None
        while now < end:
            plan, gain = self._plan(planner, segment.clip, recorder.state(), now, rest)
            steps = min(planner.config.replan, end - now)
            for k in range(steps):
                ctrl = self._feedback(planner.cost, plan, gain, (k, now), recorder.qpos[-1], recorder.qvel[-1])
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
        config, cost = planner.config, planner.cost
        horizon = min(config.horizon, cost.frames - 1 - now)

        def own(k: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
            return base_targets(self.observer, qpos[None], qvel[None], np.array([clip]), np.array([now + k]))[0]

        def left(k: int, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
            assert rest is not None
            plan, gain, done = rest
            if k + done >= len(plan.ctrl):
                return own(k, qpos, qvel)
            return self._feedback(cost, plan, gain, (k + done, now + k), qpos, qvel)

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
        self, cost: Cost, plan: Plan, gain: np.ndarray, at: tuple[int, int], qpos: np.ndarray, qvel: np.ndarray
    ) -> np.ndarray:
        """(nu,) targets of a plan at a state beside it, within bounds about the clip's own; at: step of the plan and
        frame of the clip."""
        k, middle = at[0], cost.leading(at[1])
        off = difference(self.body.model, plan.qpos[k], plan.qvel[k], qpos, qvel)
        return np.clip(plan.ctrl[k] - gain[k] @ off, middle - cost.bound, middle + cost.bound)

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
