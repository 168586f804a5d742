"""Which link of a robot follows which joint of the default skeleton, and how strongly: the one table of retargeting.

A robot that is not in `TABLES` gets its table from its description (legs, torso) and its tree of links (arms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from morphloop.base import MotionError
from morphloop.motion.rotations import quat_rotate
from morphloop.motion.skeleton import forward_kinematics

from ..bodies.body import FEET
from ..bodies.mjcf_body import RobotBody

SHOULDER_SHARE = 0.85
"""The shoulder is the last link of an arm that is at least this share as far from the elbow as the farthest one."""
ASIDE_M = 0.02
"""Metres off the middle from which a link on the torso is an arm's."""
WRIST_SHARE = 0.7
"""The wrist is the first link beyond the elbow that is at least this share as far from it as the last one."""
SAME_PLACE_M = 1e-3
WITH_WRIST = 6
"""Hinges of an arm from which its last ones are a wrist's."""
TIP_SHARE = 0.9
"""Points of a forearm that are at least this share as far from its elbow as the farthest one are its end."""
LEG_JOINTS = ("hip", "knee", "ankle")


@dataclass(frozen=True)
class LinkTask:
    """A link that follows a joint. position: cost of a metre off; rotation: of a radian off; point: what of the link is
    to be where the joint is, in the frame of the link's joint, metres.

    Costs are squared and compete with those of all other links; links without any tell where bones begin.
    """

    link: str
    position: float = 0.0
    rotation: float = 0.0
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)


TaskTable = Mapping[str, LinkTask]
"""By joint of the default skeleton: pelvis, spine3 (the chest), and of each side hip, knee, ankle, shoulder, elbow,
wrist and hand; an arm whose wrist does not turn has no hand."""

COSTS: Mapping[str, tuple[float, float]] = {
    "pelvis": (8.0, 2.0),
    "spine3": (0.0, 3.0),
    "hip": (0.0, 0.0),
    "knee": (0.5, 0.0),
    "ankle": (20.0, 0.3),
    "shoulder": (0.0, 0.0),
    "elbow": (1.0, 0.3),
    "wrist": (3.0, 0.0),
    "hand": (0.5, 0.1),
}
"""Costs of a metre and of a radian, by joint without side. A leg of six hinges is decided by its pelvis and its foot,
so its knee merely leans."""
STANDING, ON_EDGE = (200.0, 6.0), 2.0
"""Costs of a foot that stands: of a metre that its contact is off, of a radian that it is turned; of the latter on an
edge, where an ankle may not turn as far as a person's."""


def _table(pelvis: str, torso: str, **sides: str) -> dict[str, LinkTask]:
    """A table of links; of those with two sides, what follows `left_` and `right_`."""
    table = {"pelvis": LinkTask(pelvis, *COSTS["pelvis"]), "spine3": LinkTask(torso, *COSTS["spine3"])}
    for side in FEET:
        for joint, link in sides.items():
            table[f"{side}_{joint}"] = LinkTask(f"{side}_{link}", *COSTS[joint])
    return table


G1 = _table(
    pelvis="pelvis",
    torso="torso_link",
    hip="hip_roll_link",
    knee="knee_link",
    ankle="ankle_roll_link",
    shoulder="shoulder_roll_link",
    elbow="elbow_link",
    wrist="wrist_pitch_link",
    hand="wrist_yaw_link",
)
G1_23 = {joint: task for joint, task in G1.items() if not joint.endswith("hand")}
TABLES: Mapping[str, TaskTable] = {"g1": G1, "g1_23dof": G1_23}
"""By the body's name."""


def tasks_of(body: RobotBody) -> TaskTable:
    """The table of a robot. MotionError, one line, naming what is missing."""
    table = TABLES.get(body.name)
    if table is None or any(task.link not in body.skeleton.names for task in table.values()):
        table = _derived(body)
    return table


def _derived(body: RobotBody) -> dict[str, LinkTask]:
    """A table from a robot's description and its arms, the longest chains of hinges that hang on the torso aside. The
    pelvis is what both legs hang on."""
    description, names = body.description, body.skeleton.names
    above = [_up_to_root(body, int(leg[0])) for leg in body.legs]
    pelvis = next(joint for joint in above[0] if joint in above[1])
    table = {
        "pelvis": LinkTask(names[pelvis], *COSTS["pelvis"]),
        "spine3": LinkTask(description.torso, *COSTS["spine3"]),
    }
    for side, leg in zip(FEET, description.legs, strict=True):
        table |= {f"{side}_{joint}": LinkTask(link, *COSTS[joint]) for joint, link in zip(LEG_JOINTS, leg, strict=True)}
    torso = int(body.joint_ids([description.torso])[0])
    for side, sign in zip(FEET, (1.0, -1.0), strict=True):
        arm = _arm(body, torso, side, sign)
        for joint, link in arm.items():
            table[f"{side}_{joint}"] = LinkTask(names[link], *COSTS[joint])
        if "wrist" not in arm:
            x, y, z = _tip(body, arm["elbow"]).tolist()
            table[f"{side}_wrist"] = LinkTask(names[arm["elbow"]], *COSTS["wrist"], point=(x, y, z))
    return table


def _up_to_root(body: RobotBody, joint: int) -> list[int]:
    found = [joint]
    while found[-1] > 0:
        found.append(body.skeleton.parents[found[-1]])
    return found


def _tip(body: RobotBody, link: int) -> np.ndarray:
    """(3,) the middle of a link's far end, in the frame of its joint, metres."""
    points = body.surface.local[body.surface.joint == link]
    if not len(points):
        return np.zeros(3)
    away = np.linalg.norm(points, axis=1)
    return points[away >= TIP_SHARE * away.max()].mean(axis=0)


def built_pose(body: RobotBody) -> tuple[np.ndarray, np.ndarray]:
    """Places (J, 3) and world rotations (J, 4) of the joints of a robot as built, its root at the origin, unturned."""
    angles = np.array([[hinge.zero for hinge in body.robot.hinges]])
    local = body.robot.rotations(np.array([[1.0, 0.0, 0.0, 0.0]]), angles)
    places, turns = forward_kinematics(body.skeleton, np.zeros((1, 3)), local)
    return places[0], turns[0]


def _arm(body: RobotBody, torso: int, side: str, sign: float) -> dict[str, int]:
    """Links at the shoulder, the elbow and, where there are any beyond it, the wrist and the hand of an arm."""
    places, turns = built_pose(body)
    legs = {link for leg in body.legs for link in leg.tolist()}
    parents, hinged = body.skeleton.parents, np.zeros(body.skeleton.num_joints, int)
    for hinge in body.robot.hinges:
        hinged[hinge.joint] += 1
    chains = []
    for tip in (j for j, children in enumerate(body.skeleton.children) if not children):
        chain = [tip]
        while chain[-1] not in (torso, -1):
            chain.append(parents[chain[-1]])
        below = chain[-2::-1]
        arm = [j for j in below if sign * (places[j, 1] - places[torso, 1]) > ASIDE_M]
        if chain[-1] == torso and arm and arm == below[-len(arm) :] and legs.isdisjoint(arm):
            chains.append(arm)
    chains = [chain for chain in chains if hinged[chain].sum() >= 2]
    if not chains:
        raise MotionError(
            f"robot '{body.name}' has no {side} arm of two hinges or more on '{body.skeleton.names[torso]}', "
            "expected one to retarget to"
        )
    arm = max(chains, key=lambda chain: int(hinged[chain].sum()))
    end = places[arm[-1]]
    if hinged[arm].sum() < WITH_WRIST:
        end = end + quat_rotate(turns[arm[-1]], _tip(body, arm[-1]))
    named = [k for k, link in enumerate(arm) if "elbow" in body.skeleton.names[link].lower() and hinged[link]]
    if named:
        elbow = named[0]
    else:
        ends = [np.linalg.norm(places[link] - [places[arm[0]], end], axis=1).min() for link in arm]
        elbow = int(np.argmax([away if hinged[link] else -1.0 for away, link in zip(ends, arm, strict=True)]))
    if elbow == 0:
        raise MotionError(
            f"robot '{body.name}': its {side} arm has no elbow, expected a hinge between shoulder and hand"
        )
    away = np.linalg.norm(places[arm[:elbow]] - places[arm[elbow]], axis=1)
    shoulder = int(np.flatnonzero(away >= SHOULDER_SHARE * away.max())[-1])
    found = {"shoulder": arm[shoulder], "elbow": arm[elbow]}
    beyond = arm[elbow + 1 :]
    reach = np.linalg.norm(places[beyond] - places[arm[elbow]], axis=1)
    if len(beyond) and reach[-1] > SAME_PLACE_M:
        wrist = int(np.flatnonzero(reach >= WRIST_SHARE * reach[-1])[0])
        found["wrist"] = beyond[wrist]
        if hinged[beyond[wrist:]].any():
            found["hand"] = beyond[-1]
    return found
