"""What physics can be told: the backend, and how models vary."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from morphloop.base import MotionError

if TYPE_CHECKING:
    from ..bodies.body import Body
    from .variation import ModelFields

Backend = Literal["cpu", "warp"]
Range = tuple[float, float]
SAME: Range = (1.0, 1.0)


@dataclass(frozen=True)
class Variation:
    """Ranges of factors, drawn uniformly and independently for every environment; (1, 1) leaves a thing as it is."""

    friction: Range = SAME
    """Sliding friction of all geoms, the ground's too."""
    mass: Range = SAME
    """Mass and inertia of the whole body."""
    segment_mass: Range = SAME
    """Mass and inertia of each segment, drawn for each alone."""
    stiffness: Range = SAME
    """Proportional gain of all servos."""
    damping: Range = SAME
    """Derivative gain of all servos."""
    size: Range = SAME
    """Lengths of the whole body; mass grows with their third power and inertia with their fifth. Joint limits, gains
    and torque limits stay. Who places such a body must scale the height of its root."""

    def __post_init__(self) -> None:
        for item in fields(self):
            low, high = getattr(self, item.name)
            if not 0.0 < low <= high < math.inf:
                raise MotionError(f"variation of {item.name} is ({low:g}, {high:g}), expected 0 < low <= high")

    def sample(self, body: Body, num_envs: int, seed: int) -> ModelFields:
        """Draw N models. The same seed gives the same arrays, and each range has a stream of its own: setting one
        changes no other. MotionError if a size takes the soles out of their touch sensors."""
        from .variation import sampled  # loads MuJoCo

        return sampled(self, body, num_envs, seed)
