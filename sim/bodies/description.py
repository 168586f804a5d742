"""What a body knows of itself that its MuJoCo model does not say: which parts are feet, legs, torso and head, what the
policy sees ahead, how far actions and noise move each degree of freedom, and which of them keep the balance.

All of it is by name: parts are joints of the body's skeleton, degrees of freedom are servos (actuators) of its model,
one a degree of freedom. Whoever drives a body asks the body (`Body.feet`, `Body.action_scale`, ...) and names no joint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    gains: file in the package's assets, None for a body without any.
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
    count as one in an observation, the body's weight if None.
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
