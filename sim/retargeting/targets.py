"""What the robot is asked for: a person's motion at its own size, body part by body part.

Legs give the scale of the path, of heights and of steps; the hips keep the robot's width. Every limb is laid along the
person's bones at the robot's lengths, from its own shoulders and hips, so that each target can be reached by itself.
The pelvis comes down where legs would not reach the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_from_matrix, quat_mul, quat_rotate

from ..bodies.body import FEET
from ..bodies.built_in import default_body
from ..bodies.mjcf_body import RobotBody
from ..bodies.stances import planted_feet
from .feet import FootTarget, foot_target, sole
from .rest import RestPose, human_rest, rest_pose

FLOOR_PERCENTILE = 5.0
"""Of the person's lowest point: the ground that the robot stands on."""
LONGEST_LEG = 0.99
"""Share of a leg's length that a standing one is stretched to: straight knees turn fast for little."""
MOST_DROP_M = 0.08
"""Metres that the pelvis comes down at most for it, before scaling."""
DROPPING_S, FOLLOWING_S = 0.1, 0.2
"""Standard deviation of the smoothing of that, and of how the pelvis follows feet that were moved, seconds."""
PLANE_SHARE = 0.3
"""A bent arm lies in the plane of its bones; how far the upper arm's own turn decides where it is all but straight."""


@dataclass(frozen=True)
class Targets:
    """What the robot is asked for over T frames.

    place: (T, 3) metres and turn: (T, 4) world rotation of links, by the default skeleton's joint; feet: left, right;
    scale: of legs, robot's over person's; floor: height of the person's ground, metres.
    """

    place: dict[str, np.ndarray]
    turn: dict[str, np.ndarray]
    feet: tuple[FootTarget, FootTarget]
    scale: float
    floor: float


def make_targets(clip: Clip, body: RobotBody) -> Targets:
    """Targets of a clip on the default skeleton. MotionError as `rest_pose`."""
    rest, human = rest_pose(body), default_body()
    floor = _floor(clip)
    clip = clip.moved(np.array([0.0, 0.0, -floor]))
    planted = planted_feet(clip, human)
    scale = _leg(rest.place) / _leg({name: human_rest(name) for name in rest.place})
    pelvis = clip.global_rotations[:, 0]
    hips = [f"{side}_hip" for side in FEET]
    anchor = clip.root_pos[:1] * [1.0, 1.0, 0.0]

    def at(joint: str) -> np.ndarray:
        return clip.positions[:, clip.skeleton.index(joint)]

    def scaled(places: np.ndarray) -> np.ndarray:
        return anchor + scale * (places - anchor)

    feet = []
    for foot, side in enumerate(FEET):
        wider = rest.place[f"{side}_hip"] - scale * human_rest(f"{side}_hip")
        place = (scaled(at(f"{side}_ankle")) + quat_rotate(pelvis, np.broadcast_to(wider, at("pelvis").shape)))[:, :2]
        feet.append(foot_target(clip, human, body, rest, foot, planted[:, foot], place, scale))
    middle = scaled(np.mean([at(hip) for hip in hips], axis=0))
    middle[:, 2] += _ankle_height(body, rest) - scale * _human_ankle_height()
    follows = gaussian_filter1d(np.mean([foot.moved for foot in feet], axis=0), FOLLOWING_S * clip.fps, axis=0)
    middle[:, :2] += follows
    offset = np.mean([rest.place[hip] for hip in hips], axis=0)
    root = middle - quat_rotate(pelvis, np.broadcast_to(offset, middle.shape))
    root[:, 2] -= _drop(root, pelvis, feet, rest, clip.fps)
    place, turn = limbs(clip, rest, root)
    for side, foot in zip(FEET, feet, strict=True):
        place[f"{side}_ankle"], turn[f"{side}_ankle"] = _reached(place[f"{side}_hip"], side, foot, rest), foot.turn
    return Targets(place, turn, (feet[0], feet[1]), scale, floor)


def limbs(clip: Clip, rest: RestPose, root: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Places (T, 3) and turns (T, 4) of the table's joints with the robot's root at (T, 3): limbs along the person's
    bones from the robot's own hips and shoulders. clip: on the default skeleton."""
    turns = {name: clip.global_rotations[:, clip.skeleton.index(name)] for name in rest.joint}
    place = {"pelvis": root}

    def hung(joint: str, on: str) -> np.ndarray:
        arm = rest.place[joint] - rest.place[on]
        return place[on] + quat_rotate(turns[on], np.broadcast_to(arm, root.shape))

    def along(joint: str, on: str) -> np.ndarray:
        return place[on] + rest.length(on, joint) * _bones(clip, on, joint)

    place["spine3"] = hung("spine3", "pelvis")
    for side in FEET:
        hip, knee, ankle = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
        shoulder, elbow, wrist = f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"
        place[hip] = hung(hip, "pelvis")
        place[knee] = along(knee, hip)
        place[ankle] = along(ankle, knee)
        place[shoulder] = hung(shoulder, "spine3")
        place[elbow] = along(elbow, shoulder)
        if wrist in rest.joint:
            place[wrist] = along(wrist, elbow)
            if f"{side}_hand" in rest.joint:
                place[f"{side}_hand"] = hung(f"{side}_hand", wrist)
        turns[elbow] = _forearm(clip, side)
    return place, {name: quat_mul(turn, np.broadcast_to(rest.offset[name], turn.shape)) for name, turn in turns.items()}


def _bones(clip: Clip, start: str, end: str) -> np.ndarray:
    """(T, 3) unit vectors along a bone of the clip."""
    first, last = (clip.positions[:, clip.skeleton.index(joint)] for joint in (start, end))
    return (last - first) / np.linalg.norm(last - first, axis=-1, keepdims=True)


def _forearm(clip: Clip, side: str) -> np.ndarray:
    """(T, 4) turns of a forearm about which its elbow bends: its bone, and the axis square to the plane of the arm."""
    shoulder, elbow, wrist = (f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist"))
    upper, lower = _bones(clip, shoulder, elbow), _bones(clip, elbow, wrist)
    upper_rest, lower_rest = human_rest(elbow) - human_rest(shoulder), human_rest(wrist) - human_rest(elbow)
    bend = np.cross(upper_rest, [1.0, 0.0, 0.0])
    bend /= np.linalg.norm(bend)
    own = quat_rotate(clip.global_rotations[:, clip.skeleton.index(shoulder)], np.broadcast_to(bend, upper.shape))
    axis = np.cross(upper, lower) + PLANE_SHARE * own
    return quat_from_matrix(_frames(lower, axis) @ _frames(lower_rest, bend).T)


def _frames(along: np.ndarray, aside: np.ndarray) -> np.ndarray:
    """(..., 3, 3) with columns: along, what of `aside` is square to it, and their cross product."""
    along = along / np.linalg.norm(along, axis=-1, keepdims=True)
    aside = aside - (aside * along).sum(axis=-1, keepdims=True) * along
    aside = aside / np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-9)
    return np.stack([along, aside, np.cross(along, aside)], axis=-1)


def _floor(clip: Clip) -> float:
    surface = default_body().surface
    lifted = quat_rotate(clip.global_rotations[:, surface.joint], np.broadcast_to(
        surface.local, (clip.num_frames, *surface.local.shape)))[..., 2]  # fmt: skip
    lowest = (clip.positions[:, surface.joint, 2] + lifted - surface.radius).min(axis=1)
    return float(np.percentile(lowest, FLOOR_PERCENTILE))


def _leg(place: dict[str, np.ndarray]) -> float:
    """Mean length of thigh and shin, metres."""
    bones = [
        (f"{side}_{start}", f"{side}_{end}") for side in FEET for start, end in (("hip", "knee"), ("knee", "ankle"))
    ]
    return 0.5 * sum(float(np.linalg.norm(place[end] - place[start])) for start, end in bones)


def _human_ankle_height() -> float:
    surface, rest = default_body().surface, default_body().skeleton.rest_positions
    sole = (rest[surface.joint, 2] + surface.local[:, 2] - surface.radius)[surface.foot >= 0].min()
    return float(np.mean([human_rest(f"{side}_ankle")[2] for side in FEET]) - sole)


def _ankle_height(body: RobotBody, rest: RestPose) -> float:
    """Of the robot's ankles over level soles, metres."""
    heights = []
    for foot, side in enumerate(FEET):
        local, radius = sole(body, rest, foot)
        turn = np.broadcast_to(rest.offset[f"{side}_ankle"], (len(local), 4))
        heights.append(-(quat_rotate(turn, local)[:, 2] - radius).min())
    return float(np.mean(heights))


def _reached(hip: np.ndarray, side: str, foot: FootTarget, rest: RestPose) -> np.ndarray:
    """(T, 3) places of a foot, one in the air no farther from its hip (T, 3) than an all but straight leg is long."""
    away = foot.place - hip
    most = LONGEST_LEG * _lengths(side, rest) / np.maximum(np.linalg.norm(away, axis=1), 1e-9)
    share = foot.stands + (1.0 - foot.stands) * np.minimum(most, 1.0)
    return hip + share[:, None] * away


def _lengths(side: str, rest: RestPose) -> float:
    hip, knee, ankle = (f"{side}_{joint}" for joint in ("hip", "knee", "ankle"))
    return rest.length(hip, knee) + rest.length(knee, ankle)


def _drop(root: np.ndarray, pelvis: np.ndarray, feet: list[FootTarget], rest: RestPose, fps: float) -> np.ndarray:
    """(T,) metres that the root comes down so that legs all but reach where their standing feet are."""
    need = np.zeros(len(root))
    for side, foot in zip(FEET, feet, strict=True):
        length, offset = LONGEST_LEG * _lengths(side, rest), rest.place[f"{side}_hip"]
        gap = root + quat_rotate(pelvis, np.broadcast_to(offset, root.shape)) - foot.place
        high = np.sqrt(np.maximum(length**2 - (gap[:, :2] ** 2).sum(axis=1), 0.0))
        need = np.maximum(need, foot.stands * np.clip(gap[:, 2] - high, 0.0, MOST_DROP_M))
    if not need.any():
        return need
    envelope = maximum_filter1d(need, 2 * round(2.0 * DROPPING_S * fps) + 1)
    return gaussian_filter1d(envelope, DROPPING_S * fps, mode="nearest")
