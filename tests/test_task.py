"""The task as functions of a moment: what the simulator is judged by, imagined bodies are, and gradients go through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from morphloop.envs import Moment, TrackingEnv, TrackingTask, prepare
from morphloop.motion import make_corpus
from morphloop.sim import Body, Kinematics, default_body, load_body

BODIES = {"smpl": default_body, "g1": lambda: load_body("g1")}


@pytest.fixture(scope="module", params=BODIES)
def body(request: pytest.FixtureRequest) -> Body:
    torch.set_num_threads(1)
    return BODIES[request.param]()


@pytest.fixture(scope="module")
def smpl() -> Body:
    torch.set_num_threads(1)
    return default_body()


def tumbling(body: Body, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Drawn qpos (N, nq) and qvel (N, nv), double precision."""
    rng = np.random.default_rng(0)
    qpos = np.tile(body.model.qpos0, (count, 1))
    qvel = rng.normal(size=(count, body.model.nv))
    moved = body.coordinates.integrate(qpos, 0.4 * rng.normal(size=qvel.shape))
    return torch.from_numpy(moved), torch.from_numpy(qvel)


def numeric(function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Central difference of a function along a direction."""
    step = 1e-6
    return (function(at + step * along) - function(at - step * along)) / (2.0 * step)


@pytest.mark.parametrize("part", ["pos", "rot", "vel", "ang"])
def test_kinematics_have_the_slopes_that_differences_show(body: Body, part: str):
    kinematics = Kinematics(body, dtype=torch.float64)
    qpos, qvel = tumbling(body)
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=qvel.shape))

    def found(change: torch.Tensor) -> torch.Tensor:
        moved = kinematics.coordinates.integrate(qpos, change)
        return getattr(kinematics(moved, qvel + change), part)

    slope = torch.func.jvp(found, (torch.zeros_like(qvel),), (direction,))[1]
    torch.testing.assert_close(slope, numeric(found, torch.zeros_like(qvel), direction), atol=1e-6, rtol=1e-6)
    assert float(slope.abs().max()) > 0.1


def test_kinematics_have_finite_gradients_where_no_joint_is_turned(body: Body):
    kinematics = Kinematics(body)
    change = torch.zeros(2, body.model.nv, requires_grad=True)
    qpos = torch.from_numpy(np.tile(body.model.qpos0, (2, 1))).float()
    state = kinematics(kinematics.coordinates.integrate(qpos, change), change)
    torch.cat([value.flatten() for value in vars(state).values()]).sum().backward()
    assert change.grad is not None
    assert torch.isfinite(change.grad).all()


class Written(TrackingEnv):
    """Writes down each moment before resets, and what was asked for."""

    def advance(self, offsets: torch.Tensor | None = None, base: torch.Tensor | None = None) -> torch.Tensor:
        self.began = self.copied()
        diverged = super().advance(offsets, base)
        self.after, self.asked, self.since = self.copied(), self.physics.ctrl.clone(), self.steps + 1
        return diverged

    def copied(self) -> Moment:
        now = self.moment()
        values = (now.qpos, now.qvel, now.foot_force, now.clip, now.frame)
        return self.task.moment(*(value.clone() for value in values))


def test_imagined_bodies_see_do_and_earn_what_simulated_ones_in_the_same_states_do(smpl: Body):
    """Observations, PD targets, rewards and ends; single precision, which a learned model has, against the simulator's
    double, over steps in which some of them fail, slide or end."""
    clips = [prepare(clip, smpl).slice(0, 20) for clip in make_corpus(4, seed=4)]
    env = Written(clips, smpl, 16, seed=3)
    obs, generator, ends = env.reset(), torch.Generator().manual_seed(0), 0
    for _ in range(12):
        action = 2.0 * torch.randn(16, env.action_size, generator=generator)
        result = env.step(action)
        task = TrackingTask(env.observer, env.task.servos, env.config)
        before, after = (
            task.moment(m.qpos.float(), m.qvel.float(), m.foot_force.float(), m.clip, m.frame)
            for m in (env.began, env.after)
        )
        torch.testing.assert_close(task.observe(before), obs, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(task.targets(before, action), env.asked.float(), atol=1e-5, rtol=1e-5)
        judged = task.judge(after, env.asked, env.since)
        torch.testing.assert_close(judged.reward, result.reward, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(judged.error, result.error, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(judged.slide, result.slide, atol=1e-4, rtol=1e-4)
        assert torch.equal(judged.failed, result.terminated)
        assert torch.equal(judged.ended & ~judged.failed, result.truncated)
        ends += int((result.terminated | result.truncated).sum())
        obs = result.obs
    assert ends > 4


def test_reward_and_observation_send_finite_gradients_to_every_state_and_target(smpl: Body):
    """Also from a start, where a body is its reference: nothing differs, and roots of nothing have no slope."""
    env = TrackingEnv([prepare(make_corpus(1, seed=4)[0], smpl)], smpl, 3)
    env.reset()
    coordinates, start = env.observer.kinematics.coordinates, env.moment()
    change = torch.zeros(3, smpl.model.nv, requires_grad=True)
    action = torch.zeros(3, env.action_size, requires_grad=True)
    force = torch.full((3, 2), 100.0, requires_grad=True)
    qpos = coordinates.integrate(start.qpos.float(), change)
    now = env.task.moment(qpos, start.qvel.float() + change, force, start.clip, start.frame)
    judged = env.task.judge(now, env.task.targets(now, action), env.steps + 9)
    (judged.reward.sum() + env.task.observe(now).sum()).backward()
    for told in (change, action, force):
        assert told.grad is not None
        assert torch.isfinite(told.grad).all()
        assert float(told.grad.abs().max()) > 0.0
