"""Reward terms of the tracking task, each a pure function; weights and exponents as in PHC and Morph's release.

N environments, J joints; every function returns (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from morphloop.motion.rotations import quat_conj, quat_mul, quat_to_rotvec
from morphloop.sim import Body, JointState

from .config import RewardConfig
from .reference import MotionLibrary


@dataclass(frozen=True)
class Seen:
    """What a reward term sees of one control step of N environments.

    state, reference: joint states after it; foot_force: (N, 2) newtons; feet: (2, K) joints of the left and right foot;
    speed, torque: (N, nu) of the servos; steps: (N,) since the start; body: whose geometry, masses and description
    stand there (what a term makes of them once it keeps by the body); library: all of the clips, of which each
    environment is at frame (N,), not whole where clips are played otherwise, of clip (N,)
    """

    state: JointState
    reference: JointState
    foot_force: torch.Tensor
    feet: torch.Tensor
    speed: torch.Tensor
    torque: torch.Tensor
    steps: torch.Tensor
    body: Body
    library: MotionLibrary
    clip: torch.Tensor
    frame: torch.Tensor


def imitation(seen: Seen, config: RewardConfig) -> torch.Tensor:
    """Sum of w exp(-k mean squared error) over position, rotation, velocity and angular velocity (PHC)."""
    state, reference = seen.state, seen.reference
    turn = quat_to_rotvec(quat_mul(quat_conj(state.rot), reference.rot))

    def term(weight: float, scale: float, error: torch.Tensor) -> torch.Tensor:
        return weight * torch.exp(-scale * (error**2).sum(-1).mean(-1))

    return (
        term(config.position, config.position_scale, reference.pos - state.pos)
        + term(config.rotation, config.rotation_scale, turn)
        + term(config.velocity, config.velocity_scale, reference.vel - state.vel)
        + term(config.angular_velocity, config.angular_velocity_scale, reference.ang - state.ang)
    )


def energy(seen: Seen, config: RewardConfig) -> torch.Tensor:
    """Minus the weighted sum |torque x joint velocity| (Morph), nothing in the first steps."""
    power = (seen.torque * seen.speed).abs().sum(-1)
    return torch.where(seen.steps > config.energy_free_steps, -config.energy * power, torch.zeros_like(power))


def foot_slide(seen: Seen, config: RewardConfig) -> torch.Tensor:
    """Minus the weighted horizontal speed of loaded feet; a foot's slower end counts, so that rolling is free."""
    speed = seen.state.vel[:, seen.feet, :2].norm(dim=-1).amin(-1)
    return -config.slide * (speed * (seen.foot_force > seen.body.contact_force)).sum(-1)


TERMS: dict[str, Callable[[Seen, RewardConfig], torch.Tensor]] = {
    "imitation": imitation,
    "slide": foot_slide,
    "energy": energy,
}
"""All terms of the task's own; their sum, in this order, is the reward. A learned prior is handed in by training."""


def terms(seen: Seen, config: RewardConfig) -> dict[str, torch.Tensor]:
    """Each term (N,) by its name."""
    return {name: term(seen, config) for name, term in TERMS.items()}
