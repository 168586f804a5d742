"""The body above the legs as angles over time, so that what arms, head and trunk do can be laid over a gait.

Angles blend where rotations would not: a waving arm takes over from a swinging one, and hands it back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gait import LEFT, RIGHT
from .gestures import HANG, HANG_ELBOW, arm, trunk

ABDUCTION, FLEXION, TWIST, ELBOW, WRIST = range(5)
"""Columns of an arm, as in `gestures.arm`."""


@dataclass
class Posture:
    """Angles in radians. tilt: (T, 3) rotation vector of the pelvis in its heading frame; trunk: (T, 3) pitch forward,
    roll to the right, yaw to the left; head: (T, 2) pitch and yaw against the trunk; arms: (T, 2, 5) of the left and
    the right arm: abduction, flexion, twist, elbow, wrist."""

    tilt: np.ndarray
    trunk: np.ndarray
    head: np.ndarray
    arms: np.ndarray

    @classmethod
    def standing(cls, frames: int) -> Posture:
        """Upright, arms at the sides."""
        arms = np.zeros((frames, 2, 5))
        arms[..., ABDUCTION], arms[..., ELBOW] = HANG, HANG_ELBOW
        return cls(np.zeros((frames, 3)), np.zeros((frames, 3)), np.zeros((frames, 2)), arms)

    def upper(self) -> dict[str, np.ndarray]:
        """Local rotations (T, 4) of the joints above the pelvis, as `balance.Plan` wants them."""
        turns = trunk(*self.trunk.T, *self.head.T)
        for side in (LEFT, RIGHT):
            turns |= arm(side, *self.arms[:, side].T)
        return turns

    def blend_arm(self, side: int, angles: np.ndarray, weight: np.ndarray) -> None:
        """Let an arm go to `angles` (T, 5) or (5,) as far as `weight` (T,) says."""
        self.arms[:, side] += weight[:, None] * (angles - self.arms[:, side])


def joined(parts: list[Posture]) -> Posture:
    """One after the other."""
    return Posture(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("tilt", "trunk", "head", "arms")))
