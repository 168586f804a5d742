"""What a robot's file shows of it: which bodies are feet, legs, torso, head and arms, and which gains its hinges get.

Rules, in words. Feet are the bodies that come lowest as built, one side each (`RobotBody`). What one foot hangs on and
the other does not is its leg: the ankle is the first segment of the foot, the knee the one that stands furthest from
both of its ends and turns about a lateral axis, the hip the second that turns (the first is set aside by a motor's
length in many robots). Arms are what else ends furthest to each side; where they part is the torso; the head is what
ends highest, the torso if nothing does. A robot stands as the first keyframe of its file, or as built.

A hinge without a position actuator gets gains by the rule of BeyondMimic (arXiv 2508.08241): 10 Hz at a damping ratio
of 2 of its armature, or of the whole inertia that it moves, slower, where the file has no armature.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion.rotations import quat_rotate

from .description import BalanceServos, BodyDescription, Dof, Pair
from .driven_robot import of_file
from .mjcf_body import RobotBody

CONTROL_HZ, SUBSTEPS = 50.0, 6
"""Unless the YAML says otherwise: what trackers of robots run at."""
NATURAL_HZ, DAMPING_RATIO = 10.0, 2.0
"""Of a hinge and the inertia of its own motor."""
WHOLE_HZ, WHOLE_RATIO = 3.0, 1.0
"""Of a hinge and all that it moves, where the file has no armature."""
LEAST_ARMATURE = 1e-4
"""kg m2; less is a number for numerical stability and no motor."""
ACTION_SHARE = 0.25
"""Of the torque limit that an action of one asks for."""
SOLE_BAND = 0.01
"""Metres over the lowest point of a foot, as built, in which a body is a segment of it."""
LATERAL = 0.7
"""Cosine of a knee's axis with the lateral direction, at least."""
LEG_SHAKE, OTHER_SHAKE = 0.8, 0.2
"""Shares of the noise that demonstrations are recorded under."""


@dataclass(frozen=True)
class Found:
    """description: of the robot; said: a line a rule, what was found and how; missing: what no rule could find."""

    description: BodyDescription
    said: tuple[str, ...]
    missing: tuple[str, ...]


def describe(robot: RobotBody) -> Found:
    """The description of a robot by the rules of this module. MotionError where it has no two legs that bend."""
    names, parents = robot.skeleton.names, robot.skeleton.parents
    place = robot.clip_from_qpos(robot.model.qpos0[None], 30.0).positions[0]
    said: list[str] = []
    missing: list[str] = []
    feet = [_foot(robot, side, place) for side in (0, 1)]
    turning = {hinge.joint for hinge in robot.hinges}
    chains = [_chain(parents, foot[0]) for foot in feet]
    shared = set(chains[0]) & set(chains[1])
    legs = [_leg(robot, [j for j in chain if j not in shared], turning, place) for chain in chains]
    if len(feet[0]) != len(feet[1]) or len(feet[0]) > 2:
        feet = [foot[:1] for foot in feet]
    said.append(f"feet: {_named(names, feet[0])} and {_named(names, feet[1])}, the lowest bodies on either side")
    said.append("legs: " + " and ".join(_named(names, leg) for leg in legs) + ", hip, knee and ankle of each")
    of_legs = {j for j in range(len(names)) if any(j in chain or _hangs(parents, j, chain[-1]) for chain in chains)}
    hands = _hands(parents, turning, of_legs, place)
    if hands is None:
        torso = 0
        missing.append("arms: no bodies that turn end on both sides beside the legs")
    else:
        arms = [_chain(parents, hand) for hand in hands]
        torso = max((j for j in {0, *arms[0]} & {0, *arms[1]}), key=lambda j: len(_chain(parents, j)))
        said.append(f"torso: {names[torso]}, where the arms to {names[hands[0]]} and {names[hands[1]]} part")
    head = _head(parents, of_legs, set(hands or ()), torso, place)
    said.append(f"head: {names[head]}, " + ("the highest end" if head != torso else "for no body ends higher"))
    lower = [0, *sorted(j for j in of_legs | (shared - {torso}) if j)]
    dofs, told = _dofs(robot, of_legs)
    said += told
    ankle = float(np.mean([place[leg[2], 2] for leg in legs]))
    preview = [0, *(foot[0] for foot in feet), head, *(hands or ())]
    return Found(
        BodyDescription(
            feet=_pair(names, feet),
            legs=_pair(names, legs),
            torso=names[torso],
            head=names[head],
            lower=tuple(names[j] for j in lower),
            preview=tuple(dict.fromkeys(names[j] for j in preview)),
            dofs=dofs,
            balance=_balance(robot, chains, shared, torso, missing),
            control_hz=CONTROL_HZ,
            substeps=SUBSTEPS,
            standing_height=round(0.6 * float(place[0, 2] - ankle), 3),
            stand=_stand(robot, said),
        ),
        tuple(said),
        tuple(missing),
    )


def plain(description: BodyDescription) -> dict[str, Any]:
    """A description as YAML holds it, what is not set left out; inverse of `from_dict`."""

    def listed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: listed(item) for key, item in value.items() if item is not None}
        if isinstance(value, list | tuple):
            return [listed(item) for item in value]
        return round(value, 5) if isinstance(value, float) else value

    return listed(asdict(description))


def _named(names: tuple[str, ...], joints: list[int]) -> str:
    return ", ".join(names[j] for j in joints)


def _pair(names: tuple[str, ...], sides: list[list[int]]) -> Pair:
    left, right = (tuple(names[j] for j in side) for side in sides)
    return left, right


def _chain(parents: tuple[int, ...], joint: int) -> list[int]:
    """Joints from under the root down to `joint`."""
    found = []
    while joint > 0:
        found.append(joint)
        joint = parents[joint]
    return found[::-1]


def _hangs(parents: tuple[int, ...], joint: int, on: int) -> bool:
    return on in _chain(parents, joint)


def _foot(robot: RobotBody, side: int, place: np.ndarray) -> list[int]:
    """The bodies of a foot, parents first: those that come within `SOLE_BAND` of its lowest point."""
    surface, model = robot.surface, robot.model
    turns = robot.clip_from_qpos(model.qpos0[None], 30.0).global_rotations[0]
    own = surface.foot == side
    height = (place[surface.joint] + quat_rotate(turns[surface.joint], surface.local))[:, 2] - surface.radius
    low = own & (height < height[own].min() + SOLE_BAND)
    return [int(j) for j in np.unique(surface.joint[low])]


def _leg(robot: RobotBody, chain: list[int], turning: set[int], place: np.ndarray) -> list[int]:
    """Hip, knee and ankle of a chain down to a foot."""
    turns = [j for j in chain if j in turning]
    lateral = {
        hinge.joint
        for hinge in robot.hinges
        if hinge.joint in turns and abs(_axis(robot, hinge.joint, hinge.axis)[1]) > LATERAL
    }
    inner = [j for j in turns[1:-1] if j in lateral]
    if not inner:
        end = robot.skeleton.names[chain[-1]] if chain else "?"
        raise MotionError(
            f"robot '{robot.name}': no knee between the body and {end}, expected legs that bend about a lateral axis "
            "(forward is x)"
        )
    ends = place[turns[0]], place[turns[-1]]
    knee = max(inner, key=lambda j: min(np.linalg.norm(place[j] - end) for end in ends))
    above = turns[: turns.index(knee)]
    return [above[1] if len(above) > 1 else above[0], knee, chain[-1]]


def _axis(robot: RobotBody, joint: int, axis: tuple[float, float, float]) -> np.ndarray:
    """(3,) a hinge's axis in the world, as built."""
    return quat_rotate(robot.clip_from_qpos(robot.model.qpos0[None], 30.0).global_rotations[0, joint], np.array(axis))


def _hands(parents: tuple[int, ...], turning: set[int], of_legs: set[int], place: np.ndarray) -> tuple[int, int] | None:
    """The last bodies that turn on the left and the right, beside legs; None if they do not end on both sides."""
    rest = [j for j in sorted(turning - of_legs) if not any(_hangs(parents, other, j) for other in of_legs)]
    ends = [j for j in rest if not any(j != other and _hangs(parents, other, j) for other in rest)]
    left, right = max(ends, key=lambda j: place[j, 1], default=0), min(ends, key=lambda j: place[j, 1], default=0)
    return (left, right) if ends and place[left, 1] > 0.0 > place[right, 1] else None


def _head(parents: tuple[int, ...], of_legs: set[int], hands: set[int], torso: int, place: np.ndarray) -> int:
    """The highest body that hangs on the torso, in no arm."""
    arms = {j for hand in hands for j in _chain(parents, hand)} - set(_chain(parents, torso))
    on_arms = {j for j in range(len(parents)) if arms & set(_chain(parents, j))}
    rest = [j for j in range(len(parents)) if j not in of_legs | on_arms and (torso == 0 or _hangs(parents, j, torso))]
    return max(rest, key=lambda j: place[j, 2], default=torso)


def _dofs(robot: RobotBody, of_legs: set[int]) -> tuple[dict[str, Dof], list[str]]:
    """Gains of every hinge, and what they are from."""
    model, dofs, told = robot.model, {}, []
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    whole = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, whole)
    sources: dict[str, list[str]] = {"file": [], "armature": [], "inertia": []}
    for hinge, joint in zip(robot.hinges, robot.hinge_ids, strict=True):
        stiffness, damping, torque = of_file(model, int(joint))
        armature = float(model.dof_armature[model.jnt_dofadr[joint]])
        if stiffness is not None and damping:
            source, shown = "file", (None, None)
        elif armature > LEAST_ARMATURE:
            source = "armature"
            shown = _gains(armature, NATURAL_HZ, DAMPING_RATIO)
        else:
            source = "inertia"
            shown = _gains(float(whole[model.jnt_dofadr[joint], model.jnt_dofadr[joint]]), WHOLE_HZ, WHOLE_RATIO)
        sources[source].append(hinge.name)
        strength = stiffness if source == "file" else shown[0]
        scale = 0.1 if torque is None or not strength else ACTION_SHARE * torque / strength
        dofs[hinge.name] = Dof(scale, LEG_SHAKE if hinge.joint in of_legs else OTHER_SHAKE, *shown)
    words = {
        "file": "the file's position actuators",
        "armature": f"{NATURAL_HZ:g} Hz of the motor's armature, damping ratio {DAMPING_RATIO:g}",
        "inertia": f"{WHOLE_HZ:g} Hz of the inertia moved, damping ratio {WHOLE_RATIO:g}, for there is no armature",
    }
    told += [f"gains of {len(own)} hinges: {words[source]}" for source, own in sources.items() if own]
    return dofs, told


def _gains(inertia: float, frequency: float, ratio: float) -> tuple[float, float]:
    pace = 2.0 * np.pi * frequency
    return inertia * pace**2, 2.0 * ratio * inertia * pace


def _balance(
    robot: RobotBody, chains: list[list[int]], shared: set[int], torso: int, missing: list[str]
) -> BalanceServos | None:
    """The servos of both legs and how they mirror, and those of the waist; None where legs do not pair."""
    own = [[h for j in chain if j not in shared for h in robot.hinges if h.joint == j] for chain in chains]
    if len(own[0]) != len(own[1]):
        missing.append(
            f"balance: {len(own[0])} hinges in the left leg and {len(own[1])} in the right, they do not pair"
        )
        return None
    mirror = []
    for left, right in zip(*own, strict=True):
        axis, other = _axis(robot, left.joint, left.axis), _axis(robot, right.joint, right.axis)
        mirror.append(1 if other @ (axis * [-1.0, 1.0, -1.0]) > 0.0 else -1)
    names = [tuple(hinge.name for hinge in side) for side in own]
    waist = shared | set(_chain(robot.skeleton.parents, torso))
    spine = tuple(hinge.name for hinge in robot.hinges if hinge.joint in waist)
    return BalanceServos(names=names[0], legs=(names[0], names[1]), mirror=tuple(mirror), spine=spine)


def _stand(robot: RobotBody, said: list[str]) -> dict[str, float]:
    """Hinge angles of the file's first keyframe, empty without one."""
    model = robot.model
    if not model.nkey:
        said.append("stand: as built, the file has no keyframe")
        return {}
    said.append(f"stand: keyframe '{model.key(0).name}'")
    angles = model.key_qpos[0, model.jnt_qposadr[robot.hinge_ids]]
    return {hinge.name: float(angle) for hinge, angle in zip(robot.hinges, angles, strict=True) if angle}
