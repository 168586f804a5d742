"""Skeletons: joint names, parents and rest offsets; forward kinematics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from array_api_compat import array_namespace

from morphloop.base.errors import MotionError
from morphloop.base.names import kept

from .reading_limits import MAX_JOINTS
from .rotations import Array, quat_mul, quat_rotate


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A tree of joints, parents before children.

    names: (J,) joint names; parents: (J,) index of each joint's parent, -1 for the root;
    offsets: (J, 3) rest position of each joint in its parent's frame, metres, Z up, X forward (root: zeros).
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.names)
        check_joints(self.names)
        if len(self.parents) != count or self.offsets.shape != (count, 3):
            raise MotionError(f"skeleton: {count} names, {len(self.parents)} parents, offsets {self.offsets.shape}")
        if count == 0 or self.parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(self.parents) if j > 0):
            raise MotionError("skeleton: the root must come first and every parent before its children")
        if len(set(self.names)) != count:
            raise MotionError("skeleton: joint names must differ")
        if not np.isfinite(self.offsets).all():
            raise MotionError("skeleton: NaN or infinity in the offsets, expected finite numbers")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Skeleton)
            and self.names == other.names
            and self.parents == other.parents
            and np.allclose(self.offsets, other.offsets, atol=1e-6)
        )

    @property
    def num_joints(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of a joint by name; MotionError if it has none of that name."""
        try:
            return self.names.index(name)
        except ValueError:
            raise MotionError(f"skeleton has no joint '{name}'") from None

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """(J,) indices of each joint's children."""
        return tuple(tuple(c for c, p in enumerate(self.parents) if p == j) for j in range(self.num_joints))

    @cached_property
    def levels(self) -> tuple[list[int], ...]:
        """Joints below the root, those of one depth together: what can be posed at once."""
        depth = [0] * self.num_joints
        for j, parent in enumerate(self.parents[1:], 1):
            depth[j] = depth[parent] + 1
        return tuple([j for j, d in enumerate(depth) if d == level] for level in range(1, max(depth) + 1))

    @cached_property
    def rest_positions(self) -> np.ndarray:
        """(J, 3) joint positions at rest with the root at the origin, metres."""
        positions = np.zeros((self.num_joints, 3))
        for j, parent in enumerate(self.parents[1:], 1):
            positions[j] = positions[parent] + self.offsets[j]
        return positions


def check_joints(names: tuple[str, ...]) -> None:
    """Refuse more joints than a body has, and names that cannot be written."""
    if len(names) > MAX_JOINTS:
        raise MotionError(f"skeleton: {len(names)} joints, expected at most {MAX_JOINTS}")
    if not all(name.isascii() or kept(name) == name for name in names):
        raise MotionError("skeleton: a joint's name holds half a character (a lone surrogate), expected Unicode text")


def forward_kinematics(skeleton: Skeleton, root_pos: Array, rotations: Array) -> tuple[Array, Array]:
    """Global joint positions and rotations.

    root_pos (..., 3) metres, rotations (..., J, 4) local unit quaternions, NumPy or torch.
    Returns positions (..., J, 3) and rotations (..., J, 4) in the world.
    """
    xp = array_namespace(root_pos, rotations)
    offsets = xp.asarray(skeleton.offsets, dtype=root_pos.dtype, device=root_pos.device)
    positions, globals_ = [root_pos] * skeleton.num_joints, [rotations[..., 0, :]] * skeleton.num_joints
    for joints in skeleton.levels:
        parents = [skeleton.parents[j] for j in joints]
        turned = xp.stack([globals_[p] for p in parents], axis=-2)
        offset = xp.broadcast_to(offsets[joints, :], (*turned.shape[:-1], 3))
        placed = xp.stack([positions[p] for p in parents], axis=-2) + quat_rotate(turned, offset)
        turned = quat_mul(turned, rotations[..., joints, :])
        for k, j in enumerate(joints):
            positions[j], globals_[j] = placed[..., k, :], turned[..., k, :]
    return xp.stack(positions, axis=-2), xp.stack(globals_, axis=-2)


def local_rotations(skeleton: Skeleton, global_rotations: np.ndarray) -> np.ndarray:
    """Inverse of the rotation half of forward kinematics. (..., J, 4) world to (..., J, 4) local."""
    from .rotations import quat_conj

    local = np.array(global_rotations, dtype=float)
    parents = list(skeleton.parents[1:])
    local[..., 1:, :] = quat_mul(quat_conj(global_rotations[..., parents, :]), global_rotations[..., 1:, :])
    return local


SMPL_JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
HUMANML3D_JOINTS = SMPL_JOINTS[:22]
"""Joint order of HumanML3D's (T, 22, 3) arrays: SMPL's without the hands."""

Y_UP_TO_Z_UP = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Takes SMPL's and HumanML3D's axes (X left, Y up, Z forward) to ours (X forward, Y left, Z up)."""

SMPL_OFFSETS = (
    (0.0, 0.0, 0.0), (-0.0068, 0.0695, -0.0914), (-0.0043, -0.0677, -0.0905), (-0.0267, -0.0025, 0.1090),
    (-0.0045, 0.0343, -0.3752), (-0.0089, -0.0383, -0.3826), (0.0011, 0.0055, 0.1352), (-0.0437, -0.0136, -0.3980),
    (-0.0423, 0.0158, -0.3984), (0.0254, 0.0015, 0.0529), (0.1193, 0.0264, -0.0558), (0.1233, -0.0254, -0.0481),
    (-0.0429, -0.0028, 0.2139), (-0.0341, 0.0788, 0.1217), (-0.0386, -0.0818, 0.1188), (0.0513, 0.0052, 0.0650),
    (-0.0089, 0.0910, 0.0305), (-0.0091, -0.0960, 0.0326), (-0.0275, 0.2596, -0.0128), (-0.0214, -0.2537, -0.0133),
    (-0.0012, 0.2492, 0.0090), (-0.0056, -0.2553, 0.0078), (-0.0149, 0.0840, -0.0082), (-0.0103, -0.0846, -0.0061),
)  # fmt: skip
"""Rest offsets of the neutral SMPL body at beta = 0 as published in BSD-licensed humanoid files, metres, our axes."""

DEFAULT_SKELETON = Skeleton(SMPL_JOINTS, SMPL_PARENTS, np.array(SMPL_OFFSETS))
"""The 24-joint skeleton that the default body, the corpus and the generator share."""
