"""The servo law: the torque that MuJoCo's position servos give for a target, and how far it answers a change.

torque = clamp(kp (clamp(target) - angle) - kd speed), the target to `ctrlrange` and the torque to `forcerange`; the gap
between a ball joint's target and angle is taken the short way round. Whoever reckons with servos outside the simulator
takes the law from here.
"""

from __future__ import annotations

import mujoco
import numpy as np
import torch

from .protocol import Physics, model_values


def target_limited(model: mujoco.MjModel) -> np.ndarray:
    """(nu,) bool: whose targets MuJoCo clamps."""
    clamps = not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL
    return model.actuator_ctrllimited.astype(bool) & clamps


class Servos:
    """The servos of N bodies as each has them.

    stiffness: N m/rad, damping: N m s/rad, target_range and torque_range (2 of them) as far as a servo goes: rad and
    N m; all (N or 1, nu) on the device of the physics, infinite where nothing is clamped. turn: (nu,) one turn of the
    angle, 0 for a hinge, whose angle counts turns.
    """

    def __init__(self, physics: Physics):
        model = physics.body.model
        self.stiffness = model_values(physics, "actuator_gainprm")[..., 0]
        self.damping = -model_values(physics, "actuator_biasprm")[..., 2]
        self.target_range = _ranges(model_values(physics, "actuator_ctrlrange"), target_limited(model))
        self.torque_range = _ranges(model_values(physics, "actuator_forcerange"), model.actuator_forcelimited)
        ball = model.jnt_type[model.actuator_trnid[:, 0]] == mujoco.mjtJoint.mjJNT_BALL
        turn = 2.0 * np.pi * ball * np.linalg.norm(model.actuator_gear[:, :3], axis=1)
        self.turn = torch.as_tensor(turn, dtype=torch.float32, device=physics.device)

    def gap(self, target: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """(N, nu) radians from angles to targets, clamped to their range, the short way round."""
        gap = torch.clamp(target, *self.target_range) - angle
        return gap - self.turn * torch.round(gap / self.turn.masked_fill(self.turn == 0.0, torch.inf))

    def torque(self, target: torch.Tensor, angle: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
        """(N, nu) N m for targets, angles (radians, a ball joint's by its rotation vector) and speeds (rad/s)."""
        return torch.clamp(self.stiffness * self.gap(target, angle) - self.damping * speed, *self.torque_range)


def _ranges(ends: torch.Tensor, limited: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper ends (N or 1, nu) of ends (N or 1, nu, 2), infinite where a servo is not `limited` (nu,)."""
    free = torch.as_tensor(~limited.astype(bool), device=ends.device)
    return ends[..., 0].masked_fill(free, -torch.inf), ends[..., 1].masked_fill(free, torch.inf)


def servo_slopes(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """(nu,) N m that a servo gives for a radian more of target, and (nu,) that it takes for a rad/s more of speed.

    Nothing of either where the torque is at its limit, and no torque for a target that is moved beyond its range.
    data: forward computed.
    """
    force, ctrl = data.actuator_force, data.ctrl
    low, high = model.actuator_forcerange.T
    free = ~model.actuator_forcelimited.astype(bool) | ((force > low) & (force < high))
    low, high = model.actuator_ctrlrange.T
    heard = ~target_limited(model) | ((ctrl >= low) & (ctrl <= high))
    return model.actuator_gainprm[:, 0] * (free & heard), -model.actuator_biasprm[:, 2] * free
