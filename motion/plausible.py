"""Whether a motion that was read can be a person's or a robot's: what looks wrong, why it likely does, what mends it.

Readers take a file's axes, units and orders as its format has them; a file that has other ones is read all the same,
and lies flat, hangs head down, or is as tall as a tower. One check for every reader, and for robots: size, head over
hips over feet, feet near the ground, limbs of a person's proportions. What is said are suspicions with stated limits: a
motion can trip them and be right, so nothing is refused for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from morphloop.base.errors import MotionError

from .axes import FRAMES, read_in
from .clip import Clip, JointTrack
from .config import METRES
from .fitting.fit import is_mirrored
from .fitting.skeleton_maps import SIDES, PositionMap, find_map
from .robot import Robot, is_robot_track
from .rotations import quat_conj, quat_rotate
from .skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, forward_kinematics

SIZES = (0.3, 3.0)
"""A body's reach, root to farthest joint, may be this many times the default body's: children to giants."""
MAX_ROOT_HEIGHT = 5.0
"""Metres over z = 0 that the median root may have; in centimetres a standing one has 90."""
UPRIGHT, NOT_UPRIGHT = 0.8, 0.5
"""Mean cosine of the line from feet to head, or of a robot's root, with the axis that it stands along; and with ours,
below which it does not stand along that. Crawling and rolling have 0.2 to 0.5."""
NEARER = 0.05
"""Metres by which the lowest joint must be nearer to 0 along another axis, for that one to be up: who lies is on the
ground as he is."""
FLOOR = 0.15
"""Metres that the lowest joint may be off 0, at the median, along the axis that is up."""
SUNK, RISEN = 0.25, 0.30
"""Metres under z = 0 that the lowest joint may be at the median, and over it in all but one of twenty frames; standing
on obstacles the median is over 0.7 m, but the feet were on the ground."""
STILL = 1e-3
"""Metres from the origin within which a root that was left out stays."""
RATIOS = {
    "thigh to shin": (0.6, 1.6),
    "upper arm to forearm": (0.5, 2.4),
    "arm to leg": (0.4, 0.95),
    "pelvis to neck over leg": (0.3, 0.9),
    "between the hips over leg": (0.07, 0.45),
    "left to right limb": (0.7, 1.45),
}
"""Least and most of a person. All published sets here, generated ones too, lie well within."""
WAVER = 0.35
"""Share of its length by which a limb's may vary, as a standard deviation; generators' joints reach 0.19."""
BEYOND_RANGE, OFTEN = 1.5, 0.2
"""Radians beyond a hinge's range that no retargeting makes, and the share of frames in which one hinge may be."""
_ROBUST = 5.0


@dataclass(frozen=True)
class Doubt:
    """What looks wrong with a motion. field: the quantity; found, expected: in words, with the flag that mends it."""

    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field}: {self.found}, expected {self.expected}"


def doubts(motion: Clip | JointTrack, robot: Robot | None = None) -> list[Doubt]:
    """What looks wrong with a motion, the cause before what follows from it; empty where nothing does.

    robot: whose motion it is, where that is known.
    """
    known = None if robot is not None else known_joints(motion)
    unit = (
        1.0 if motion.provenance.notes.get("length_unit") != "unknown" else _DEFAULT_REACH / max(_reach(motion), 1e-9)
    )
    found = _size(motion) if unit == 1.0 else []
    if found:
        return found
    up = _up(motion, known, robot)
    found = [] if up is None else _turned(motion, up, unit)
    if not found and (known is not None or is_robot_track(motion) or "robot" in motion.provenance.notes):
        found = _ground(motion, unit)
    if known is not None:
        found += _limbs(motion, known)
    return found + _hinges(motion, robot)


def known_joints(motion: Clip | JointTrack) -> dict[str, int] | None:
    """Index of each default joint that the motion has under some known name; None for an unknown skeleton."""
    names = motion.skeleton.names if isinstance(motion, Clip) else motion.names
    own = {name: j for j, name in enumerate(names) if name in DEFAULT_SKELETON.names}
    if isinstance(motion, JointTrack):
        return own if set(HUMANML3D_JOINTS) <= own.keys() else None
    if {"pelvis", "head", "left_ankle"} <= own.keys():
        return own
    try:
        known = find_map(motion.skeleton, motion.name)
    except MotionError:
        return None
    pairs = known.joints.items()
    joints = {joint: name for name, joint in pairs} if isinstance(known, PositionMap) else dict(pairs)
    return {joint: names.index(name) for joint, name in joints.items()}


def metres_a_length(motion: Clip | JointTrack) -> float:
    """Metres in a length of the motion: 1, but where its file's unit is unknown what brings it to a person's size."""
    unknown = motion.provenance.notes.get("length_unit") == "unknown"
    return _DEFAULT_REACH / max(_reach(motion), 1e-9) if unknown else 1.0


def _reach(motion: Clip | JointTrack) -> float:
    """Metres from the root to the farthest joint, at the median frame."""
    return float(np.median(np.linalg.norm(motion.positions - motion.positions[:, :1], axis=-1).max(axis=1)))


_DEFAULT_REACH = float(np.linalg.norm(DEFAULT_SKELETON.rest_positions, axis=-1).max())


def _size(motion: Clip | JointTrack) -> list[Doubt]:
    reach, (low, high) = _reach(motion), SIZES
    if not low * _DEFAULT_REACH < reach < high * _DEFAULT_REACH:
        expected = f"metres: a reach of about {_DEFAULT_REACH:.1f}"
        return [_in_unit("joint positions", f"{reach:.3g}", reach / _DEFAULT_REACH, expected)]
    height = float(np.median(motion.positions[:, 0, 2]))
    if abs(height) > MAX_ROOT_HEIGHT:
        return [_in_unit("root height", f"{height:.3g}", abs(height) / 0.9, f"metres, at most {MAX_ROOT_HEIGHT:g}")]
    return []


def _in_unit(field: str, found: str, times: float, expected: str) -> Doubt:
    """A doubt about a length that is so many times too large, with the unit in which it would be."""
    for unit, word in (("cm", "centimetres"), ("mm", "millimetres"), ("inch", "inches")):
        if 0.5 < times * METRES[unit] < 2.0:
            return Doubt(field, f"{found}, which looks like {word}", f"{expected}, or --units {unit}")
    return Doubt(field, found, expected)


def _up(motion: Clip | JointTrack, known: dict[str, int] | None, robot: Robot | None) -> np.ndarray | None:
    """(T, 3) where the body's own up points: from feet to head; a robot's is up as it was built. None where unknown."""
    if known is not None and {"left_ankle", "right_ankle"} <= known.keys() and known.keys() & {"head", "neck"}:
        head = motion.positions[:, known.get("head", known.get("neck", 0))]
        line = head - 0.5 * (motion.positions[:, known["left_ankle"]] + motion.positions[:, known["right_ankle"]])
        return line / np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), 1e-9)
    if isinstance(motion, Clip) and "robot" in motion.provenance.notes:
        built = np.array([0.0, 0.0, 1.0]) if robot is None else quat_rotate(quat_conj(robot.rest[0]), np.eye(3)[2])
        return quat_rotate(motion.rotations[:, 0], np.broadcast_to(built, (motion.num_frames, 3)))
    return None


def _turned(motion: Clip | JointTrack, up: np.ndarray, unit: float) -> list[Doubt]:
    """A body that does not stand along Z, but would with its root's quaternion in the other order, or along another
    axis of its file, with its feet at 0 there."""
    mean = up.mean(axis=0)
    if mean[2] > NOT_UPRIGHT:
        return []
    off = abs(_floor(motion.positions[..., 2])) * unit
    order = str(motion.provenance.notes.get("quaternion_order", ""))[:4]
    if isinstance(motion, Clip) and order in ("wxyz", "xyzw") and "robot" in motion.provenance.notes:
        stored = motion.rotations[:, 0]
        # what is w x y z now was stored x y z w and should not have been, or the other way round
        root = stored[:, [1, 2, 3, 0]] if order == "xyzw" else stored[:, [3, 0, 1, 2]]
        other = "xyzw" if order == "wxyz" else "wxyz"
        rotations = np.concatenate([root[:, None], motion.rotations[:, 1:]], axis=1)
        positions, _ = forward_kinematics(motion.skeleton, motion.root_pos, rotations)
        built = quat_rotate(quat_conj(stored), up)
        stands = quat_rotate(root, built)[:, 2].mean()
        if stands > UPRIGHT and abs(_floor(positions[..., 2])) < min(FLOOR, off - NEARER):
            found = f"a robot that stands along Z by {mean[2]:.2f} (mean cosine), with {other} by {stands:.2f}"
            return [Doubt("quaternion order", found, f"root quaternions {order}, or --quat {other}")]
    axis = int(np.abs(mean).argmax())
    sign = 1.0 if mean[axis] > 0 else -1.0
    if abs(mean[axis]) < UPRIGHT:
        return []
    along = abs(_floor(sign * motion.positions[..., axis])) * unit
    if along > FLOOR or along > off - NEARER:
        return []
    name = f"{'-' if sign < 0 else ''}{'XYZ'[axis]}"
    file_axis = FRAMES[read_in(motion)].T @ (sign * np.eye(3)[axis])
    flag = f"--up={'-' if file_axis.min() < -0.5 else ''}{'xyz'[int(np.abs(file_axis).argmax())]}"
    found = f"a body along {name} ({mean[axis] * sign:.2f}) with its feet at 0 there"
    return [Doubt("up axis", found, f"one along Z, Z up: another axis of the file is, {flag}")]


def _floor(heights: np.ndarray) -> float:
    """Median over frames of the lowest joint's height. heights: (T, J)."""
    return float(np.median(heights.min(axis=1)))


def _ground(motion: Clip | JointTrack, unit: float) -> list[Doubt]:
    lowest = unit * motion.positions[..., 2].min(axis=1)
    middle, low = float(np.median(lowest)), float(np.percentile(lowest, _ROBUST))
    expected = "feet near z = 0 for most of the clip; --ground robust measures over the clip's own ground"
    if middle < -SUNK:
        at_origin = float(np.abs(motion.positions[:, 0, 2]).max()) * unit < STILL
        why = ", the root at 0 in every frame: positions relative to the root?" if at_origin else ""
        return [Doubt("ground", f"the lowest joint {-middle:.2f} m under z = 0{why}", expected)]
    if low > RISEN:
        return [Doubt("ground", f"the lowest joint never under {low:.2f} m over z = 0", expected)]
    return []


def _limbs(motion: Clip | JointTrack, known: dict[str, int]) -> list[Doubt]:
    """Proportions that no person has, and left and right exchanged."""
    lengths: dict[str, list[np.ndarray]] = {}
    for name, (upper, lower) in _LIMBS.items():
        pairs = [(known.get(f"{side}_{upper}"), known.get(f"{side}_{lower}")) for side in SIDES]
        lengths[name] = [_length(motion, a, b) for a, b in pairs if a is not None and b is not None]
    if any(len(both) < 2 for both in lengths.values()):
        return []
    size = {name: [float(np.median(one)) for one in both] for name, both in lengths.items()}
    leg = 0.5 * (sum(size["thigh"]) + sum(size["shin"]))
    arm = 0.5 * (sum(size["upper arm"]) + sum(size["forearm"]))
    if min(leg, *(one for both in size.values() for one in both)) < 1e-6:
        return [Doubt("limbs", "a limb without length", "joints of a person")]
    found = {
        "thigh to shin": [t / s for t, s in zip(size["thigh"], size["shin"], strict=True)],
        "upper arm to forearm": [u / f for u, f in zip(size["upper arm"], size["forearm"], strict=True)],
        "arm to leg": [arm / leg],
        "left to right limb": [left / right for left, right in size.values()],
        "between the hips over leg": [float(np.median(_length(motion, known["left_hip"], known["right_hip"]))) / leg],
    }
    if known.keys() >= {"pelvis", "neck"}:
        found["pelvis to neck over leg"] = [float(np.median(_length(motion, known["pelvis"], known["neck"]))) / leg]
    for name, values in found.items():
        low, high = RATIOS[name]
        odd = next((value for value in values if not low <= value <= high), None)
        if odd is not None:
            return [Doubt("limbs", f"{name} {odd:.2f}: joints in another order?", f"a person's, {low:g} to {high:g}")]
    waver = max(float(one.std() / np.median(one)) for both in lengths.values() for one in both)
    if waver > WAVER:
        return [Doubt("limbs", f"a limb whose length varies by {100 * waver:.0f} %", "limbs that keep their lengths")]
    if isinstance(motion, JointTrack) and is_mirrored(motion.positions[:, [known[name] for name in HUMANML3D_JOINTS]]):
        return [Doubt("limbs", "toes and head point backward: left and right exchanged?", "HumanML3D's joint order")]
    return []


_LIMBS = {
    "thigh": ("hip", "knee"),
    "shin": ("knee", "ankle"),
    "upper arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
}


def _length(motion: Clip | JointTrack, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(motion.positions[:, a] - motion.positions[:, b], axis=-1)


def _hinges(motion: Clip | JointTrack, robot: Robot | None) -> list[Doubt]:
    """Hinges far beyond their ranges for much of the clip, as degrees that were read as radians are."""
    if robot is None or not isinstance(motion, Clip) or motion.skeleton != robot.skeleton:
        return []
    angles = robot.angles(motion.rotations)
    low = np.array([hinge.low for hinge in robot.hinges]) - BEYOND_RANGE
    high = np.array([hinge.high for hinge in robot.hinges]) + BEYOND_RANGE
    share = ((angles < low) | (angles > high)).mean(axis=0)
    worst = int(share.argmax()) if len(share) else 0
    if not len(share) or share[worst] <= OFTEN:
        return []
    found = f"{robot.hinges[worst].name} beyond its range in {100 * share[worst]:.0f} % of the frames"
    return [Doubt("hinge angles", found, "radians within the range, or --units deg, or this robot's order of joints")]


def gathered(found: Iterable[tuple[str, Doubt]]) -> list[str]:
    """A line for each quantity that is in doubt: the first motion's, by its name, and how many more there are."""
    first: dict[str, str] = {}
    count: Counter[str] = Counter()
    for name, doubt in found:
        first.setdefault(doubt.field, f"{name}: {doubt}")
        count[doubt.field] += 1
    return [line + (f" (and {count[field] - 1} more)" if count[field] > 1 else "") for field, line in first.items()]
