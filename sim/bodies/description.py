"""What a body knows of itself that its MuJoCo model does not say: which parts are feet, legs, torso and head, what the
policy sees ahead, how far actions and noise move each degree of freedom, and which of them keep the balance.

All of it is by name: parts are joints of the body's skeleton, degrees of freedom are servos (actuators) of its model,
one a degree of freedom. Whoever drives a body asks the body (`Body.feet`, `Body.action_scale`, ...) and names no joint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from morphloop.base import MotionError

MAX_HZ = 100_000
CONTACT_SHARE = 0.03
"""Of a body's weight: over this load a foot bears, unless its description says otherwise."""
Pair = tuple[tuple[str, ...], tuple[str, ...]]
"""Names of the left side and of the right, in the same order."""


@dataclass(frozen=True)
class Dof:
    """One driven degree of freedom.

    action_scale: radians of offset on its PD target that an action of one asks for; shake: its share of the noise that
    demonstrations are recorded under. Of a body from MJCF also stiffness (N m/rad), damping (N m s/rad), torque (most,
    N m) and armature (kg m2) where the file is not to decide. speed: most that its motor turns it, rad/s, None where
    nobody says.
    """

    action_scale: float = 0.1
    shake: float = 0.0
    stiffness: float | None = None
    damping: float | None = None
    torque: float | None = None
    armature: float | None = None
    speed: float | None = None


@dataclass(frozen=True)
class BalanceServos:
    """Which servos the balance feedback moves.

    names: what the gains call the degrees of freedom of a leg; legs: the servos of each leg, in that order; mirror: the
    sign of each in the right leg where the left one has plus; spine: servos of the spine, which the gains call so;
    gains: file in the package's assets, or a whole path; None for a body without any.
    """

    names: tuple[str, ...]
    legs: Pair
    mirror: tuple[int, ...]
    spine: tuple[str, ...] = ()
    gains: str | None = None


@dataclass(frozen=True)
class BodyDescription:
    """A body in its own words, see the module.

    feet: the segments of each foot from the heel on, one or two; legs: hip, knee and ankle of each leg; torso: the
    chest; head; lower: joints of the lower half, the root among them; preview: joints whose later positions a policy
    sees; dofs: by servo, `Dof()` for one that is not in it; balance: None for a body that has no such law.
    standing_height: height of the root over the ankles from which the body stands, metres; stand: angles of the hinges
    in which it stands by itself, radians, zero for one that is not in it; force_unit: newtons of load on a foot that
    count as one in an observation, the body's weight if None; contact_force: newtons over which a foot bears load,
    `CONTACT_SHARE` of the weight if None.
    control_hz: control steps a second; substeps: steps of physics in each. Together 300 Hz unless told otherwise: at
    150 Hz the feet of the built-in body chatter on the ground, over 64 corpus clips they slid 16 mm/s, 9 at 300 Hz with
    contacts of 10 ms. Raises MotionError for rates that are none.
    """

    feet: Pair
    legs: Pair
    torso: str
    head: str
    lower: tuple[str, ...]
    preview: tuple[str, ...]
    dofs: Mapping[str, Dof] = field(default_factory=dict)
    balance: BalanceServos | None = None
    standing_height: float = 0.5
    stand: Mapping[str, float] = field(default_factory=dict)
    force_unit: float | None = None
    contact_force: float | None = None
    control_hz: float = 30.0
    substeps: int = 10

    def __post_init__(self) -> None:
        if not 0.0 < self.control_hz <= MAX_HZ or not 1 <= self.substeps <= MAX_HZ:
            raise MotionError(
                f"control_hz is {self.control_hz} and substeps {self.substeps}, expected a rate above zero and a whole "
                f"number from 1 on, both up to {MAX_HZ}"
            )

    @property
    def physics_hz(self) -> float:
        """Steps of physics a second."""
        return self.control_hz * self.substeps
