"""The two ways in which a shoulder of three hinges turns its arm to one and the same pose.

Where the third axis comes to lie along the first, at the gimbal angle b of the second hinge, the first and the third
turn the arm alike. Angles (a, b + d, c) and (a + pi, b - d, c - pi) are one pose on both sides of it: exactly so for
axes at right angles, nearly so for others, as a start for inverse kinematics.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from morphloop.motion.rotations import quat_from_rotvec, quat_rotate

from ..bodies.body import FEET
from ..bodies.mjcf_body import RobotBody
from .rest import below, rest_pose
from .tasks import built_pose

SAMPLES = 721
"""Angles that the gimbal is looked for at."""


@dataclass(frozen=True, eq=False)
class Shoulder:
    """The shoulder of an arm. arm: joints of the default skeleton whose targets tell how well it follows; qpos: (3,)
    where its hinges stand in qpos; arm_qpos: (A,) where all of the arm's do; low, high: (3,) their ranges, radians;
    gimbal: angle of the second hinge, radians."""

    arm: tuple[str, ...]
    qpos: np.ndarray
    arm_qpos: np.ndarray
    low: np.ndarray
    high: np.ndarray
    gimbal: float

    def other_ways(self, qpos: np.ndarray) -> list[np.ndarray]:
        """Poses (nq,), that of qpos (nq,) with the arm turned the other way, within ranges; the nearest first."""
        first, second, third = qpos[self.qpos]
        turns = round((second - self.gimbal) / np.pi) * np.pi
        gimbal = self.gimbal + turns
        found = []
        for a, c in product((-np.pi, np.pi), repeat=2):
            angles = np.array([first + a, 2.0 * gimbal - second, third + c])
            beyond = np.maximum(self.low - angles, angles - self.high).max()
            pose = qpos.copy()
            pose[self.qpos] = np.clip(angles, self.low, self.high)
            found.append((beyond, pose))
        return [pose for beyond, pose in sorted(found, key=lambda way: way[0]) if beyond < np.pi / 2.0]


def shoulders(body: RobotBody) -> list[Shoulder]:
    """The shoulders of a robot that have three hinges before the elbow."""
    rest, robot, found = rest_pose(body), body.robot, []
    for side in FEET:
        above = []
        joint = robot.skeleton.parents[rest.joint[f"{side}_elbow"]]
        while joint not in (rest.joint["spine3"], -1):
            above.append(joint)
            joint = robot.skeleton.parents[joint]
        own = [k for k, hinge in enumerate(robot.hinges) if hinge.joint in above]
        if len(own) != 3:
            continue
        arm = below(robot.skeleton, above[-1])
        places = body.model.jnt_qposadr[body.hinge_ids]
        found.append(
            Shoulder(
                tuple(f"{side}_{part}" for part in ("elbow", "wrist") if f"{side}_{part}" in rest.joint),
                places[own],
                places[[k for k, hinge in enumerate(robot.hinges) if hinge.joint in arm]],
                np.array([robot.hinges[k].low for k in own]),
                np.array([robot.hinges[k].high for k in own]),
                _gimbal(body, own),
            )
        )
    return found


def _gimbal(body: RobotBody, own: list[int]) -> float:
    """The angle of the second of three hinges at which the third axis is nearest to the line of the first, radians."""
    _, turns = built_pose(body)
    hinges = [body.robot.hinges[k] for k in own]
    first, second, third = (quat_rotate(turns[hinge.joint], np.array(hinge.axis)) for hinge in hinges)
    angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, SAMPLES)
    swung = quat_rotate(quat_from_rotvec(angles[:, None] * second), np.broadcast_to(third, (SAMPLES, 3)))
    return float(hinges[1].zero + angles[np.abs(swung @ first).argmax()])
