"""What the policy sees, each term a pure function of states.

All vectors are turned into the heading frame of the simulated root (`_b`), so that where and which way a clip goes does
not matter. N environments, J joints.
"""

from __future__ import annotations

import torch

from morphloop.motion.rotations import heading, quat_conj, quat_from_heading, quat_mul, quat_to_6d, quat_to_matrix
from morphloop.sim import JointState

FUTURE_STEPS = (4, 8, 15)
"""Control steps ahead of the next frame at which a coarse preview is given: 0.13, 0.27 and 0.5 s."""


def heading_frame(state: JointState) -> torch.Tensor:
    """(N, 3, 3) rotation matrices from the world into the root's heading frame."""
    yaw = heading(state.rot[:, 0])
    return quat_to_matrix(quat_from_heading(-yaw))


def _turn(frame: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """World vectors (N, K, 3) in the heading frame (N, 3, 3)."""
    return v @ frame.mT


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(len(x), -1)


def proprioception(
    state: JointState, frame: torch.Tensor, dof_vel: torch.Tensor, foot_load: torch.Tensor
) -> torch.Tensor:
    """(N, 1 + 3(J-1) + 6J + 6 + A + 2): root height, joint positions and rotations, root and joint velocities, load on
    the feet. frame: (N, 3, 3) heading frame; dof_vel: (N, A) velocities of the driven degrees of freedom, of a ball
    joint's in its own frame, rad/s; foot_load: (N, 2) in the body's unit of force."""
    columns = quat_to_6d(state.rot).unflatten(-1, (2, 3)).flatten(1, 2)
    return torch.cat(
        [
            state.pos[:, 0, 2:],
            _flat(_turn(frame, state.pos[:, 1:] - state.pos[:, :1])),
            _flat(_turn(frame, columns)),
            _flat(_turn(frame, torch.stack([state.vel[:, 0], state.ang[:, 0]], dim=1))),
            0.1 * dof_vel,
            foot_load,
        ],
        dim=1,
    )


def tracking_difference(state: JointState, frame: torch.Tensor, reference: JointState) -> torch.Tensor:
    """(N, 15J): position, 6-D rotation, linear and angular velocity of the reference's next frame against the state."""
    turn = quat_mul(reference.rot, quat_conj(state.rot))
    turn_b = torch.cat([turn[..., :1], _turn(frame, turn[..., 1:])], dim=-1)
    return torch.cat(
        [
            _flat(_turn(frame, reference.pos - state.pos)),
            _flat(quat_to_6d(turn_b)),
            _flat(_turn(frame, reference.vel - state.vel)),
            0.1 * _flat(_turn(frame, reference.ang - state.ang)),
        ],
        dim=1,
    )


def preview(state: JointState, frame: torch.Tensor, future_pos: torch.Tensor) -> torch.Tensor:
    """(N, 3K): K joint positions of later reference frames (N, K, 3) from the root as it is now."""
    return _flat(_turn(frame, future_pos - state.pos[:, :1]))
