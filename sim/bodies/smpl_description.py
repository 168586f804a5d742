"""The description of every body with SMPL topology: the built-in one, with balls or hinges, and shaped ones."""

from __future__ import annotations

from .description import BalanceServos, BodyDescription, Dof

SIDES, AXES = ("left", "right"), ("x", "y", "z")

ACTION_SCALE = {
    "hip": 0.35, "knee": 0.35, "ankle": 0.35, "foot": 0.25, "spine1": 0.2, "spine2": 0.15, "spine3": 0.15,
    "neck": 0.1, "head": 0.1, "collar": 0.1, "shoulder": 0.2, "elbow": 0.15, "wrist": 0.1, "hand": 0.05,
}  # fmt: skip
"""Radians of offset on a PD target that an action of one asks for, by joint without its side."""
SHAKE = {
    "hip": (1.0, 1.0, 0.6), "knee": (0.0, 1.0, 0.0), "ankle": (0.7, 1.0, 0.0), "foot": (0.0, 0.5, 0.0),
    "spine1": (0.6, 0.6, 0.4), "spine2": (0.3, 0.3, 0.2), "shoulder": (0.3, 0.3, 0.3),
}  # fmt: skip
"""Joints whose targets demonstrations shake, those that balance depends on: shares about x (roll), y (pitch) and z
(yaw)."""
UNPAIRED = ("spine1", "spine2", "spine3", "neck", "head")
LEG, SPINE = ("hip", "knee", "ankle"), ("spine1", "spine2")
LOWER = ("hip", "knee", "ankle", "foot")


def _dofs() -> dict[str, Dof]:
    dofs = {}
    for base, scale in ACTION_SCALE.items():
        for joint in (base,) if base in UNPAIRED else tuple(f"{side}_{base}" for side in SIDES):
            for axis, shake in zip(AXES, SHAKE.get(base, (0.0, 0.0, 0.0)), strict=True):
                dofs[f"{joint}_{axis}"] = Dof(scale, shake)
    return dofs


def _servos(*joints: str) -> tuple[str, ...]:
    return tuple(f"{joint}_{axis}" for joint in joints for axis in AXES)


def _of_side(side: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts)


SMPL_DESCRIPTION = BodyDescription(
    feet=(_of_side("left", ("ankle", "foot")), _of_side("right", ("ankle", "foot"))),
    legs=(_of_side("left", LEG), _of_side("right", LEG)),
    torso="spine3",
    head="head",
    lower=("pelvis", *(name for side in SIDES for name in _of_side(side, LOWER)), "spine1"),
    preview=("pelvis", "left_ankle", "right_ankle", "head", "left_wrist", "right_wrist"),
    dofs=_dofs(),
    balance=BalanceServos(
        names=_servos(*LEG),
        legs=(_servos(*_of_side("left", LEG)), _servos(*_of_side("right", LEG))),
        mirror=(-1, 1, -1) * len(LEG),
        spine=_servos(*SPINE),
        gains="balance/gains.json",
    ),
    force_unit=700.0,
    contact_force=20.0,
)
