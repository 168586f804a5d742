"""The Unitree G1, built in: its hinges' motors, the gains that follow from them, and what its links are.

Kinematics, masses, inertias and ranges are in `assets/bodies/g1.xml`, as Unitree published them (BSD-3-Clause). Rotor
inertias, gear ratios, torque and speed limits of the four kinds of motor are those that Unitree states and mjlab 1.6
lists (`unitree_g1/g1_constants.py`, Apache-2.0). Ankles and the waist's pitch and roll are driven by two motors each
over a linkage; their reflected inertia is taken as the sum of both, as there.

Nominal PD gains follow the rule of BeyondMimic (arXiv 2508.08241) and mjlab: stiffness = armature x (2 pi 10 Hz)^2,
damping = 2 x 2 x armature x 2 pi 10 Hz, a natural frequency of 10 Hz at a damping ratio of 2. An action of one moves a
PD target by a quarter of what the torque limit over the stiffness allows, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import mujoco
import numpy as np

from .description import BalanceServos, BodyDescription, Dof
from .driven_robot import DrivenRobot

CONTROL_HZ, SUBSTEPS = 50.0, 6
"""What its trackers run at, and 300 Hz of physics as the built-in body has."""
NATURAL_FREQUENCY = 2.0 * np.pi * 10.0
"""rad/s."""
DAMPING_RATIO = 2.0
SIDES = ("left", "right")
LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
MIRRORED = {"hip_roll", "hip_yaw", "ankle_roll"}
"""Hinges of a leg whose angle has the other sign in the right leg."""
WAIST = ("waist_yaw", "waist_roll", "waist_pitch")
WRIST = ("wrist_roll", "wrist_pitch", "wrist_yaw")


@dataclass(frozen=True)
class Motor:
    """One kind of motor with a two-stage planetary gear.

    rotors: inertia of the rotor and of each stage, kg m2; gears: how many turns each makes beside the one before;
    torque: most at the joint, N m; speed: most, rad/s.
    """

    rotors: tuple[float, float, float]
    gears: tuple[float, float, float]
    torque: float
    speed: float

    @property
    def armature(self) -> float:
        """Inertia of all rotors as the joint feels it, kg m2."""
        _, second, third = self.gears
        first = self.rotors[0] * (second * third) ** 2
        return first + self.rotors[1] * third**2 + self.rotors[2]

    def dof(self, count: int = 1, shake: float = 0.0) -> Dof:
        """A hinge that `count` of them drive."""
        armature, torque = count * self.armature, count * self.torque
        stiffness = armature * NATURAL_FREQUENCY**2
        damping = 2.0 * DAMPING_RATIO * armature * NATURAL_FREQUENCY
        return Dof(0.25 * torque / stiffness, shake, stiffness, damping, torque, armature, self.speed)


SMALL = Motor((0.139e-4, 0.017e-4, 0.169e-4), (1.0, 1.0 + 46.0 / 18.0, 1.0 + 56.0 / 16.0), 25.0, 37.0)
"""5020: arms, and in pairs ankles, waist pitch and roll."""
FAST = Motor((0.489e-4, 0.098e-4, 0.533e-4), (1.0, 4.5, 1.0 + 48.0 / 22.0), 88.0, 32.0)
"""7520-14: hip pitch and yaw, waist yaw."""
STRONG = Motor((0.489e-4, 0.109e-4, 0.738e-4), (1.0, 4.5, 5.0), 139.0, 20.0)
"""7520-22: hip roll and knee."""
TINY = Motor((0.068e-4, 0.0, 0.0), (1.0, 5.0, 5.0), 5.0, 22.0)
"""4010: wrist pitch and yaw."""
MOTORS = {
    "hip_pitch": (FAST, 1), "hip_roll": (STRONG, 1), "hip_yaw": (FAST, 1), "knee": (STRONG, 1),
    "ankle_pitch": (SMALL, 2), "ankle_roll": (SMALL, 2),
    "waist_yaw": (FAST, 1), "waist_roll": (SMALL, 2), "waist_pitch": (SMALL, 2),
    "shoulder_pitch": (SMALL, 1), "shoulder_roll": (SMALL, 1), "shoulder_yaw": (SMALL, 1), "elbow": (SMALL, 1),
    "wrist_roll": (SMALL, 1), "wrist_pitch": (TINY, 1), "wrist_yaw": (TINY, 1),
}  # fmt: skip
"""Motor and how many of them drive a hinge, by its name without side."""
STAND = {
    "hip_pitch": -0.312, "knee": 0.669, "ankle_pitch": -0.363, "elbow": 0.6,
    "shoulder_pitch": 0.2, "left_shoulder_roll": 0.2, "right_shoulder_roll": -0.2,
}  # fmt: skip
"""Radians: knees bent, feet flat, the pose that mjlab 1.6 starts from; both sides where none is named."""
SHAKE = {"hip_pitch": 1.0, "hip_roll": 1.0, "hip_yaw": 0.6, "knee": 1.0, "ankle_pitch": 1.0, "ankle_roll": 0.7,
         "waist_roll": 0.6, "waist_pitch": 0.6, "shoulder_pitch": 0.3, "shoulder_roll": 0.3}  # fmt: skip
"""Shares of the noise that demonstrations are recorded under, the hinges that balance depends on."""


def _hinges(part: str) -> tuple[str, ...]:
    sides = ("",) if part.startswith("waist") else tuple(f"{side}_" for side in SIDES)
    return tuple(f"{side}{part}_joint" for side in sides)


def _of_side(side: str, *parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}_link" for part in parts)


def describe(dofs: int) -> BodyDescription:
    """The G1's description with 29 or 23 degrees of freedom."""
    parts = [part for part in MOTORS if dofs == 29 or part not in WRIST]
    return BodyDescription(
        feet=(_of_side("left", "ankle_roll"), _of_side("right", "ankle_roll")),
        legs=(
            _of_side("left", "hip_roll", "knee", "ankle_roll"),
            _of_side("right", "hip_roll", "knee", "ankle_roll"),
        ),
        torso="torso_link",
        head="torso_link",
        lower=("pelvis", *(link for side in SIDES for link in _of_side(side, *LEG)), "waist_yaw_link"),
        preview=(
            "pelvis",
            "left_ankle_roll_link",
            "right_ankle_roll_link",
            "torso_link",
            "left_wrist_roll_link",
            "right_wrist_roll_link",
        ),
        dofs={
            hinge: motor.dof(count, SHAKE.get(part, 0.0))
            for part, (motor, count) in MOTORS.items()
            if part in parts
            for hinge in _hinges(part)
        },
        balance=BalanceServos(
            names=LEG,
            legs=(
                tuple(f"left_{part}_joint" for part in LEG),
                tuple(f"right_{part}_joint" for part in LEG),
            ),
            mirror=tuple(-1 if part in MIRRORED else 1 for part in LEG),
            spine=tuple(f"{part}_joint" for part in WAIST),
            gains="balance/g1.json",
        ),
        standing_height=0.4,
        control_hz=CONTROL_HZ,
        substeps=SUBSTEPS,
        stand={
            hinge: angle
            for part, angle in STAND.items()
            for hinge in ((f"{part}_joint",) if part.startswith(SIDES) else _hinges(part))
        },
    )


def unitree_g1(dofs: int = 29) -> DrivenRobot:
    """The G1 with 29 degrees of freedom, or 23 with all wrists fixed, as ASAP and GMT drive it."""
    text = (files("morphloop.assets") / "bodies" / "g1.xml").read_text(encoding="utf-8")
    spec = mujoco.MjSpec.from_string(text)
    if dofs == 23:
        for part in WRIST:
            for hinge in _hinges(part):
                spec.delete(spec.joint(hinge))
    return DrivenRobot(spec, describe(dofs), "g1" if dofs == 29 else "g1_23dof")
