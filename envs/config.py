"""What the tracking task and its references can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from morphloop.base import MotionError
from morphloop.base.former import Former

EVALUATION_DISTANCE = 0.5
"""Mean joint distance to the reference at which a body has failed, metres (PHC's and Morph's evaluation)."""
TRAINING_DISTANCE = 0.25
"""The same in training (PHC's configuration)."""
FLOOR = 0.1
"""Share of the starts that is spread evenly whatever failed."""
MAX_SPEED = 4.0


@dataclass(frozen=True)
class RewardConfig:
    """Weights and exponents."""

    position: float = 0.5
    """Weight of the position term."""
    rotation: float = 0.3
    """Weight of the rotation term."""
    velocity: float = 0.1
    """Weight of the velocity term."""
    angular_velocity: float = 0.1
    """Weight of the angular velocity term."""
    position_scale: float = 100.0
    """Exponent on the mean squared position error, 1/m2."""
    rotation_scale: float = 10.0
    """Exponent on the mean squared rotation error, 1/rad2."""
    velocity_scale: float = 0.1
    """Exponent on the mean squared velocity error, s2/m2."""
    angular_velocity_scale: float = 0.1
    """Exponent on the mean squared angular velocity error, s2/rad2."""
    energy: float = 0.0005
    """Weight of a watt of joint power."""
    energy_free_steps: int = 3
    """Steps after a reset in which energy is free."""
    slide: float = 0.5
    """Weight of a loaded foot's sliding speed, s/m."""


@dataclass(frozen=True)
class TaskConfig:
    """The task's own options."""

    reward: RewardConfig = field(default_factory=RewardConfig)
    termination_distance: float = TRAINING_DISTANCE
    """Mean joint distance at which an episode is terminated, metres."""
    max_steps: int = 300
    """Longest episode, control steps (10 s)."""
    random_start: bool = True
    """Start anywhere in a clip (reference-state initialisation), else at its first frame."""
    start_floor: float = FLOOR
    """Share of random starts that is spread evenly whatever failed; 1 turns failure weighting off."""
    push: float = 0.0
    """Standard deviation of what is added to the root's horizontal velocity at a random start, m/s, and twice that to
    its spin, rad/s: who is never pushed never learns to catch himself."""
    speed: tuple[float, float] = (1.0, 1.0)
    """Range of the speed at which clips are played, drawn for every episode; other than (1, 1) starts fall between
    frames too."""

    def __post_init__(self) -> None:
        low, high = self.speed
        if not 0.0 < low <= high < MAX_SPEED:
            raise MotionError(f"speed is ({low:g}, {high:g}), expected 0 < low <= high < {MAX_SPEED:g}")


@dataclass(frozen=True)
class ConditioningConfig:
    """Reference preprocessing."""

    smooth: bool = False
    """Low-pass the whole clip."""
    smooth_hz: float = 5.0
    """Corner of that low-pass, Hz."""
    level_soles: bool = True
    """Lay the soles of standing feet level where a file has joint positions alone, which do not say how feet are
    turned."""
    hold_feet: bool = True
    """Put the body on the ground, as low as both standing feet need to reach it, hold each foot where its point of
    contact stands, by inverse kinematics of the leg, and lift swinging feet clear of the ground; only what slides,
    hovers, sinks or skims is touched."""
    balance: bool = False
    """Shift the body so that its zero moment point stays over the standing feet."""
    balance_retargeted: bool = True
    """Do so with people's clips that were retargeted to a robot in any case: its mass is elsewhere than theirs."""
    margin_m: float = 0.02
    """How far inside the soles' edge the zero moment point should stay, metres."""
    shift_weight: float = 0.02
    """Cost weight of the squared shift against the squared distance of the zero moment point from the soles."""

    FORMER: ClassVar[Former] = Former(names={"shift_price": "shift_weight"})


PREPROCESSING = ConditioningConfig()
"""What is done to a reference unless somebody asks for something else; policies are trained on such references."""
