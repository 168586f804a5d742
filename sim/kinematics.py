"""Positions and velocities of all joints from generalised coordinates, batched in torch.

Physics backends hand out qpos and qvel alone; what an observation or a cost needs is computed here, the same way for
every backend, one tree level at a time instead of one joint at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.motion.rotations import quat_mul, quat_rotate

from .body import Body


@dataclass(frozen=True)
class JointState:
    """World-frame state of J joints in N environments.

    pos: (N, J, 3) metres; rot: (N, J, 4) unit quaternions; vel: (N, J, 3) m/s; ang: (N, J, 3) rad/s.
    """

    pos: torch.Tensor
    rot: torch.Tensor
    vel: torch.Tensor
    ang: torch.Tensor


class Kinematics:
    """Forward kinematics of a ball-jointed body on one device and dtype."""

    def __init__(self, body: Body, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32):
        skeleton = body.skeleton
        self.dtype = dtype
        self.offsets = torch.as_tensor(skeleton.offsets, dtype=dtype, device=device)
        self.qpos_ids = torch.as_tensor(body.qpos_ids, device=device)
        self.dof_ids = torch.as_tensor(body.dof_ids, device=device)
        depth = [0] * skeleton.num_joints
        for j, parent in enumerate(skeleton.parents[1:], 1):
            depth[j] = depth[parent] + 1
        self.levels = []
        for level in range(1, max(depth) + 1):
            joints = [j for j, d in enumerate(depth) if d == level]
            parents = [skeleton.parents[j] for j in joints]
            self.levels.append((torch.tensor(joints, device=device), torch.tensor(parents, device=device)))

    def local_rotations(self, qpos: torch.Tensor) -> torch.Tensor:
        """(N, J, 4) local rotations, the root's in the world, of qpos (N, nq)."""
        return qpos[:, self.qpos_ids]

    def __call__(self, qpos: torch.Tensor, qvel: torch.Tensor) -> JointState:
        """State of all joints. qpos (N, nq), qvel (N, nv) in MuJoCo's layout: linear velocity of a free joint in the
        world frame, angular velocities of free and ball joints in the body's own frame."""
        qpos, qvel = qpos.to(self.dtype), qvel.to(self.dtype)
        local, spin = qpos[:, self.qpos_ids], qvel[:, self.dof_ids]
        pos, rot, vel, ang = torch.empty_like(spin), torch.empty_like(local), torch.empty_like(spin), spin.clone()
        pos[:, 0], rot[:, 0], vel[:, 0] = qpos[:, :3], local[:, 0], qvel[:, :3]
        ang[:, 0] = quat_rotate(local[:, 0], spin[:, 0])
        for joints, parents in self.levels:
            up_rot, up_ang = rot[:, parents], ang[:, parents]
            arm = quat_rotate(up_rot, self.offsets[joints].expand(len(qpos), -1, -1))
            here = quat_mul(up_rot, local[:, joints])
            pos[:, joints] = pos[:, parents] + arm
            rot[:, joints] = here
            vel[:, joints] = vel[:, parents] + torch.linalg.cross(up_ang, arm)
            ang[:, joints] = up_ang + quat_rotate(here, spin[:, joints])
        return JointState(pos, rot, vel, ang)
