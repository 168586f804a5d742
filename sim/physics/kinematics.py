"""Positions and velocities of all joints from generalised coordinates, batched in torch.

Physics backends hand out qpos and qvel alone; what an observation or a cost needs is computed here, the same way for
every backend, in few large operations: at a few hundred environments the number of calls is what costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.motion.rotations import quat_rotate

from ..bodies.body import Body


@dataclass(frozen=True)
class JointState:
    """World-frame state of J joints in N environments.

    pos: (N, J, 3) metres; rot: (N, J, 4) unit quaternions; vel: (N, J, 3) m/s; ang: (N, J, 3) rad/s.
    """

    pos: torch.Tensor
    rot: torch.Tensor
    vel: torch.Tensor
    ang: torch.Tensor

    def rows(self, ids: torch.Tensor) -> JointState:
        """Environments `ids` (K,) alone."""
        return JointState(self.pos[ids], self.rot[ids], self.vel[ids], self.ang[ids])


QUAT_PRODUCT_TERMS = ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0))
QUAT_PRODUCT_SIGNS = ((1, -1, -1, -1), (1, 1, 1, -1), (1, -1, 1, 1), (1, 1, -1, 1))
"""Component of b, and its sign, that multiplies each component of a in each component of the product a b."""


class Kinematics:
    """Forward kinematics of a body on one device and dtype.

    Only rotations go down the tree level by level; positions and velocities are sums over ancestors, one product with
    a constant matrix.
    """

    def __init__(self, body: Body, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32):
        skeleton = body.skeleton
        self.dtype = dtype
        self.coordinates = body.coordinates.to(device)
        self.offsets = torch.as_tensor(skeleton.offsets, dtype=dtype, device=device).clone()
        self.offsets[0] = 0.0
        self.parents = torch.tensor([0, *skeleton.parents[1:]], device=device)
        self.terms = torch.tensor(QUAT_PRODUCT_TERMS, device=device).reshape(-1)
        self.signs = torch.tensor(QUAT_PRODUCT_SIGNS, dtype=dtype, device=device)
        depth = [0] * skeleton.num_joints
        self.ancestors = torch.eye(skeleton.num_joints, dtype=dtype, device=device)
        for j, parent in enumerate(skeleton.parents[1:], 1):
            depth[j] = depth[parent] + 1
            self.ancestors[j] += self.ancestors[parent]
        self.levels = []
        order, above = [0], [0]
        for level in range(1, max(depth) + 1):
            joints = [j for j, d in enumerate(depth) if d == level]
            up = [above.index(skeleton.parents[j]) for j in joints]
            self.levels.append((torch.tensor(joints, device=device), torch.tensor(up, device=device)))
            order, above = order + joints, joints
        self.from_levels = torch.argsort(torch.tensor(order, device=device))

    def __call__(self, qpos: torch.Tensor, qvel: torch.Tensor) -> JointState:
        """State of all joints. qpos (N, nq), qvel (N, nv) in MuJoCo's layout: linear velocity of a free joint in the
        world frame, angular velocities of free and ball joints in the body's own frame."""
        qpos, qvel = qpos.to(self.dtype), qvel.to(self.dtype)
        rot = self._global_rotations(self.coordinates.local_rotations(qpos))
        spin = self.coordinates.local_spins(qpos, qvel)
        turned = quat_rotate(
            torch.cat([rot[:, self.parents], rot], dim=1),
            torch.cat([self.offsets.expand(len(qpos), -1, -1), spin], dim=1),
        )
        arm, spin = turned.split(len(self.parents), dim=1)
        ang = self.ancestors @ spin
        sweep = torch.linalg.cross(ang[:, self.parents], arm)
        return JointState(
            pos=self.ancestors @ arm + qpos[:, None, :3],
            rot=rot,
            vel=self.ancestors @ sweep + qvel[:, None, :3],
            ang=ang,
        )

    def _global_rotations(self, local: torch.Tensor) -> torch.Tensor:
        """(N, J, 4) world rotations of local ones: each level is its parents' times a matrix of its own rotations."""
        product = local[..., self.terms].unflatten(-1, (4, 4)) * self.signs
        above = local[:, :1]
        found = [above]
        for joints, up in self.levels:
            above = (product[:, joints] * above[:, up, None]).sum(-1)
            found.append(above)
        return torch.cat(found, dim=1)[:, self.from_levels]
