"""What the policy sees, each term a pure function of states.

All vectors are turned into the heading frame of the simulated root (`_b`), so that where and which way a clip goes does
not matter. N environments, J joints.
"""

from __future__ import annotations

import torch

from morphloop.motion.rotations import heading, quat_conj, quat_from_heading, quat_mul, quat_rotate, quat_to_6d
from morphloop.sim import JointState

FUTURE_STEPS = (4, 8, 15)
"""Control steps ahead of the next frame at which a coarse preview is given: 0.13, 0.27 and 0.5 s."""
FORCE_SCALE = 700.0
"""Newtons that count as one: the default body's weight."""


def _turn(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Rotate vectors (N, K, 3) by one quaternion an environment (N, 4)."""
    return quat_rotate(q[:, None].expand(-1, v.shape[1], -1), v)


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(len(x), -1)


def proprioception(state: JointState, dof_vel: torch.Tensor, foot_force: torch.Tensor) -> torch.Tensor:
    """(N, 1 + 3(J-1) + 6J + 6 + 3(J-1) + 2): root height, joint positions and rotations, root and joint velocities,
    load on the feet. dof_vel: (N, J-1, 3) joint velocities in the joints' own frames, rad/s; foot_force: (N, 2) N."""
    face = quat_from_heading(-heading(state.rot[:, 0]))
    pos_b = _turn(face, state.pos[:, 1:] - state.pos[:, :1])
    rot_b = quat_to_6d(quat_mul(face[:, None], state.rot))
    motion_b = _turn(face, torch.stack([state.vel[:, 0], state.ang[:, 0]], dim=1))
    return torch.cat(
        [
            state.pos[:, 0, 2:],
            _flat(pos_b),
            _flat(rot_b),
            _flat(motion_b),
            0.1 * _flat(dof_vel),
            foot_force.to(pos_b.dtype) / FORCE_SCALE,
        ],
        dim=1,
    )


def tracking_difference(state: JointState, reference: JointState) -> torch.Tensor:
    """(N, 15J): position, 6-D rotation, linear and angular velocity of the reference's next frame against the state."""
    face = quat_from_heading(-heading(state.rot[:, 0]))
    turn = quat_mul(quat_mul(face[:, None], quat_mul(reference.rot, quat_conj(state.rot))), quat_conj(face)[:, None])
    return torch.cat(
        [
            _flat(_turn(face, reference.pos - state.pos)),
            _flat(quat_to_6d(turn)),
            _flat(_turn(face, reference.vel - state.vel)),
            0.1 * _flat(_turn(face, reference.ang - state.ang)),
        ],
        dim=1,
    )


def preview(state: JointState, future: JointState, joints: torch.Tensor) -> torch.Tensor:
    """(N, 3K): positions of a few joints of a later reference frame from the root as it is now."""
    face = quat_from_heading(-heading(state.rot[:, 0]))
    return _flat(_turn(face, future.pos[:, joints] - state.pos[:, :1]))
