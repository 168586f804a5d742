"""The robot in the T-pose of the default skeleton, from the directions of its bones.

A clip's world rotations are the identity in that pose, so a link's rotation in it is the offset between the two: link =
joint times offset, for every pose. It is found once a robot, by least squares over its hinges: bones along the default
skeleton's, soles level and along its feet, elbows and knees bending its way. Ranges do not count: the T-pose calibrates
and is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import least_squares

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Clip, Skeleton
from morphloop.motion.rotations import quat_conj, quat_mul, quat_rotate, quat_to_rotvec
from morphloop.motion.skeleton import forward_kinematics

from ..bodies.body import FEET
from ..bodies.mjcf_body import RobotBody
from .tasks import LinkTask, TaskTable, tasks_of

BONES = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
"""Joints without side."""
BENDS = {"elbow": ("shoulder", "wrist", (1.0, 0.0, 0.0)), "knee": ("hip", "ankle", (-1.0, 0.0, 0.0))}
"""Joints between which an elbow and a knee bend, and where the farther one goes in the T-pose."""
BEND_WEIGHT = 0.3
"""A bone that is not square to its hinge's axis, and feet that turn knees out, weigh more."""
BUILT_WEIGHT, HAND_WEIGHT = 0.01, 1.0
"""Hinges that no bone decides stay as built, wrists before they lay a bone."""
WORST_BONE = np.radians(35.0)
"""Beyond it a robot's bones cannot be laid on a person's."""
STEP = 1e-6


@dataclass(frozen=True, eq=False)
class RestPose:
    """The robot in the T-pose, its root unturned and its pelvis at the origin.

    tasks: its table; joint: index of the robot's joint by the default skeleton's; offset: (4,) by the default
    skeleton's joint, rotation of its link; place: (3,) where the key-point on it is, metres; bends: by index of the
    hinges of elbows and knees, the angle at which they are straight, radians, and the sign by which they bend; angles:
    (H,) of all hinges.
    """

    tasks: TaskTable
    joint: dict[str, int]
    offset: dict[str, np.ndarray]
    place: dict[str, np.ndarray]
    bends: dict[int, tuple[float, float]]
    angles: np.ndarray

    def length(self, start: str, end: str) -> float:
        """Of the bone between two joints, metres."""
        return float(np.linalg.norm(self.place[end] - self.place[start]))

    def at(self, clip: Clip, name: str) -> np.ndarray:
        """(T, 3) where the key-point of a joint is in a clip of the robot, metres."""
        return _key_point(clip.positions, clip.global_rotations, self.joint[name], self.tasks[name])


def human_rest(joint: str) -> np.ndarray:
    """(3,) place of a joint of the default skeleton in its T-pose, metres."""
    return DEFAULT_SKELETON.rest_positions[DEFAULT_SKELETON.index(joint)]


def _human_bone(start: str, end: str) -> np.ndarray:
    return human_rest(end) - human_rest(start)


def toe_heading(side: str) -> np.ndarray:
    """(3,) level unit vector along the default skeleton's foot in its T-pose."""
    toe = human_rest(f"{side}_foot") - human_rest(f"{side}_ankle")
    return np.array([toe[0], toe[1], 0.0]) / np.hypot(toe[0], toe[1])


@lru_cache(maxsize=8)
def rest_pose(body: RobotBody) -> RestPose:
    """The T-pose of a robot, found once a process. MotionError as `tasks_of`, and where its bones do not come near."""
    tasks = tasks_of(body)
    joint = dict(zip(tasks, body.joint_ids([task.link for task in tasks.values()]).tolist(), strict=True))
    goal = _Goal(body, tasks, joint)
    built = np.array([hinge.zero for hinge in body.robot.hinges])

    def slopes(angles: np.ndarray) -> np.ndarray:
        moved = goal(np.concatenate([angles[None], angles + STEP * np.eye(len(angles))]))
        return (moved[1:] - moved[0]).T / STEP

    found = least_squares(lambda angles: goal(angles[None])[0], built, slopes)  # type: ignore[arg-type]  # a function too
    places, turns = goal.pose(found.x[None])
    for start, end in goal.bones:
        bone, wanted = (goal.at(end, places, turns) - goal.at(start, places, turns))[0], _human_bone(start, end)
        cosine = bone @ wanted / max(np.linalg.norm(bone) * np.linalg.norm(wanted), 1e-12)
        if cosine < np.cos(WORST_BONE):
            raise MotionError(
                f"robot '{body.name}': no T-pose, its {start} to {end} stays "
                f"{np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))):.0f} degrees off a person's, expected hinges "
                "that turn it there"
            )
    return RestPose(
        tasks,
        joint,
        {name: turns[0, j] for name, j in joint.items()},
        {name: (goal.at(name, places, turns) - goal.at("pelvis", places, turns))[0] for name in joint},
        {bend.hinge: (bend.straight, bend.sign) for bend in goal.bends},
        found.x,
    )


@dataclass(frozen=True)
class _Bend:
    """The hinge of an elbow or a knee. joint: that it turns; axis: (3,) in it; wanted: (3,) where that points in the
    T-pose; straight: angle at which the bones on both sides are in line, radians; sign: by which they bend."""

    hinge: int
    joint: int
    axis: np.ndarray
    wanted: np.ndarray
    straight: float
    sign: float


class _Goal:
    """Residuals of the T-pose for hinge angles, many poses at once."""

    def __init__(self, body: RobotBody, tasks: TaskTable, joint: dict[str, int]):
        self._body, self._tasks, self._joint = body, tasks, joint
        self._built = np.array([hinge.zero for hinge in body.robot.hinges])
        self.bones = [
            (f"{side}_{start}", f"{side}_{end}") for side in FEET for start, end in BONES if f"{side}_{end}" in joint
        ]
        self._wanted = {bone: _unit(_human_bone(*bone)) for bone in self.bones}
        elbows = [joint[f"{side}_elbow"] for side in FEET if f"{side}_wrist" in joint]
        hands = {tip for elbow in elbows for tip in below(body.skeleton, elbow)[1:]}
        self._still = np.array([HAND_WEIGHT if h.joint in hands else BUILT_WEIGHT for h in body.robot.hinges])
        places, turns = self.pose(self._built[None])
        self._torso = turns[:, joint["spine3"]]
        ahead, up = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
        soles = [turns[0, joint[f"{side}_ankle"]] for side in FEET]
        self._soles = [(quat_rotate(quat_conj(sole), ahead), quat_rotate(quat_conj(sole), up)) for sole in soles]
        self.bends = [
            bend
            for side in FEET
            for part, (start, end, towards) in BENDS.items()
            if (name := f"{side}_{part}") in joint and f"{side}_{end}" in joint
            for bend in self._bend(name, f"{side}_{start}", f"{side}_{end}", np.array(towards), places, turns)
        ]

    def pose(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (N, J, 3) and world rotations (N, J, 4) of hinge angles (N, H)."""
        root = np.tile([1.0, 0.0, 0.0, 0.0], (len(angles), 1))
        local = self._body.robot.rotations(root, angles)
        return forward_kinematics(self._body.skeleton, np.zeros((len(angles), 3)), local)

    def at(self, name: str, places: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """(N, 3) key-points of a joint in poses as `pose` gives them."""
        return _key_point(places, turns, self._joint[name], self._tasks[name])

    def _bend(
        self, name: str, start: str, end: str, towards: np.ndarray, places: np.ndarray, turns: np.ndarray
    ) -> list[_Bend]:
        """The hinge of an elbow or a knee, which bends `towards` in the T-pose; nothing for a joint that has not just
        one. The longer side of its range bends it."""
        here = self._joint[name]
        own = [k for k, hinge in enumerate(self._body.robot.hinges) if hinge.joint == here]
        if len(own) != 1:
            return []
        hinge = self._body.robot.hinges[own[0]]
        axis = quat_rotate(turns[0, here], np.array(hinge.axis))
        upper, lower = (
            _unit(bone - (bone @ axis) * axis)
            for bone in (
                (self.at(name, places, turns) - self.at(start, places, turns))[0],
                (self.at(end, places, turns) - self.at(name, places, turns))[0],
            )
        )
        straight = float(hinge.zero + np.arctan2(axis @ np.cross(lower, upper), lower @ upper))
        middle = 0.5 * (hinge.low + hinge.high)
        sign = 1.0 if not np.isfinite(middle) or middle >= straight else -1.0
        bone = self._wanted[(name, end)]
        wanted = _unit(sign * np.cross(bone, towards))
        return [_Bend(own[0], here, np.array(hinge.axis), wanted, straight, sign)]

    def __call__(self, angles: np.ndarray) -> np.ndarray:
        """(N, R) residuals of hinge angles (N, H)."""
        places, turns = self.pose(angles)
        joint, parts = self._joint, []
        for start, end in self.bones:
            bone = self.at(end, places, turns) - self.at(start, places, turns)
            parts.append(_unit(bone) - self._wanted[(start, end)])
        parts.append(quat_to_rotvec(quat_mul(quat_conj(self._torso), turns[:, joint["spine3"]])))
        for side, (ahead, up) in zip(FEET, self._soles, strict=True):
            sole = turns[:, joint[f"{side}_ankle"]]
            parts.append(quat_rotate(sole, np.broadcast_to(ahead, (len(sole), 3))) - toe_heading(side))
            parts.append(quat_rotate(sole, np.broadcast_to(up, (len(sole), 3))) - [0.0, 0.0, 1.0])
        for bend in self.bends:
            turned = quat_rotate(turns[:, bend.joint], np.broadcast_to(bend.axis, (len(turns), 3)))
            parts.append(BEND_WEIGHT * (turned - bend.wanted))
        return np.concatenate([*parts, self._still * (angles - self._built)], axis=1)


def _key_point(places: np.ndarray, turns: np.ndarray, joint: int, task: LinkTask) -> np.ndarray:
    """(N, 3) of places (N, J, 3) and turns (N, J, 4)."""
    return places[:, joint] + quat_rotate(turns[:, joint], np.broadcast_to(task.point, places[:, joint].shape))


def below(skeleton: Skeleton, joint: int) -> list[int]:
    """A joint and all that hang on it."""
    found = [joint]
    for one in found:
        found += skeleton.children[one]
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
