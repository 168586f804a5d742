"""Roll-outs of a policy in the world that a model imagines, which gradients go through from rewards to weights.

Observations, PD targets, rewards and ends are the simulator's own functions (`envs.TrackingTask`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from morphloop.envs import Moment, TrackingTask

from .foresight import limit_gradient
from .model import WorldModel
from .windows import Windows

SPEED_BOUND = 200.0
"""m/s and rad/s from which an imagined body has diverged."""


@dataclass(frozen=True)
class Imagined:
    """returns: (B,) discounted sums of rewards up to the end of each; alive: (B,) control steps until then; diverged:
    (B,) bool."""

    returns: torch.Tensor
    alive: torch.Tensor
    diverged: torch.Tensor


def imagine(
    model: WorldModel,
    task: TrackingTask,
    policy: Callable[[torch.Tensor], torch.Tensor],
    start: Windows,
    horizon: int,
    gamma: float,
    state_gradient: float,
) -> Imagined:
    """Roll a policy out from the first states of windows, B of them.

    policy: observation (B, D) to action (B, A); state_gradient: largest gradient of a return that one state hands back
    to the one before. A body that failed, diverged or came to its clip's end earns no more.
    """
    count = start.qpos.shape[1]
    safe_qpos, safe_qvel = start.qpos[0], start.qvel[0]
    clip, frame, steps = start.clip[0], start.frame[0], start.steps[0]
    now = task.moment(safe_qpos, safe_qvel, start.foot_force[0], clip, frame)
    going = torch.ones(count, dtype=torch.bool, device=safe_qpos.device)
    diverged, returns, alive = ~going, safe_qpos.new_zeros(count), safe_qpos.new_zeros(count)
    limit = state_gradient / count
    for t in range(horizon):
        ctrl = task.targets(now, policy(task.observe(now)))
        found = model(now.qpos, now.qvel, now.state, now.foot_force, ctrl)
        frame, steps = frame + 1, steps + 1
        sound = sound_rows(found.qpos, found.qvel)
        diverged, going = diverged | (going & ~sound), going & sound
        qpos = limit_gradient(torch.where(going[:, None], found.qpos, safe_qpos), limit)
        qvel = limit_gradient(torch.where(going[:, None], found.qvel, safe_qvel), limit)
        now: Moment = task.moment(qpos, qvel, model.foot_force(found), clip, frame)
        judged = task.judge(now, ctrl, steps)
        returns = returns + gamma**t * torch.where(going, judged.reward, 0.0)
        alive = alive + going
        going = going & ~judged.failed & ~judged.ended
    return Imagined(returns, alive, diverged)


def sound_rows(qpos: torch.Tensor, qvel: torch.Tensor) -> torch.Tensor:
    """(N,) bool: states of finite numbers at speeds that bodies have."""
    return torch.isfinite(qpos).all(1) & (qvel.abs() < SPEED_BOUND).all(1)
