"""What a file may carry beside the motion: whose hinges it names, and when the feet stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, resample_weights
from ..robot import Robot

CONTACT_KEY = "foot_contact"
"""Key of an npz for others under which the contact masks stand; readers that know none pass it by."""


@dataclass(frozen=True, eq=False)
class FootContact:
    """stands: (T, 2) bool, left and right; parts: names of the bodies that each foot is made of."""

    stands: np.ndarray
    parts: tuple[tuple[str, ...], tuple[str, ...]]

    def resampled(self, fps: float, frames: int, rate: float) -> FootContact:
        """The masks of `frames` frames at `rate`, each that of the nearest frame at `fps`."""
        low, high, weight = resample_weights(len(self.stands), fps, frames, rate)
        return FootContact(self.stands[np.where(weight < 0.5, low, high)], self.parts)

    def of_bodies(self, names: Sequence[str]) -> np.ndarray:
        """(T, B) bool: which of the bodies named stand on the ground, those of a foot as the foot does."""
        touching = np.zeros((len(self.stands), len(names)), bool)
        for side, parts in enumerate(self.parts):
            touching[:, [k for k, name in enumerate(names) if name in parts]] = self.stands[:, side, None]
        return touching


@dataclass(frozen=True, eq=False)
class Extras:
    """robot: whose motion it is, None for a person's; contact: when the feet stand, None where nobody knows."""

    robot: Robot | None = None
    contact: FootContact | None = None

    def of_robot(self, clip: Clip) -> Robot:
        """The robot; MotionError for a person's motion."""
        if self.robot is None:
            raise MotionError(f"{clip.name}: a person's motion, expected a robot's: give --body")
        return self.robot

    def arrays(self) -> dict[str, np.ndarray]:
        """The contact masks by the key that our npz files have them under, nothing where there are none."""
        return {} if self.contact is None else {CONTACT_KEY: self.contact.stands}
