"""Motion of another skeleton onto the default one, by named joint maps.

A mapped joint takes its source's world rotation G times a constant C, the default joint's frame seen from the source's:
C = F for torso, feet and hands, and for limbs F turned by the smallest angle that lays the default bone on the source's
bone. F is the identity where the source rests in a T-pose with frames along the world axes (CMU) and a table where its
frames follow the bones (Bandai Namco). Lengths are scaled by leg length, thigh plus shin.

Feet. The source's floor is taken from its toes (a low percentile of their height, each foot its own where the two
agree): toe joints stand over the floor by an amount that depends on the subject's markers, and captures are not
levelled. Skeletons of one family differ in what they call a flat foot, so the median pitch of the soles while they
stand still is taken out. Over the floor the clearance of each foot is kept: the ankle is put where the default foot,
turned like the source's, has the same lowest point and its toe joint over the source's; the leg reaches it by two-bone
inverse kinematics about the knee's own axis. Toes that would dip into the floor as the heel rises are bent up to lie on
it, as toes are; captures have one marker there and their toe angles are guesses.

Ground. The floor so found is put at z = 0, which training and tracking want. Measuring wants the file's own z = 0
(`keep_floor`): the clip is moved back by what its floor is off. How high a subject's toe joints stand is not in a file,
so a floor within `TOE_OVER_FLOOR` of z = 0 is taken for level and only what is beyond counts.

Rest pose. A skeleton that does not rest upright (LAFAN1 lays every bone along X) says nothing by its rest pose: C is
then what takes each joint's rotation to the one that the directions of its bones have, over the clip. Skeletons with no
rotations to speak of (BVH exports of HumanML3D joints) go through `fit_joints` by their positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, JointTrack
from ..rotations import (
    linear_velocity,
    quat_between,
    quat_conj,
    quat_from_matrix,
    quat_from_rotvec,
    quat_mul,
    quat_rotate,
    quat_slerp,
)
from ..skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, Skeleton, local_rotations
from .fit import DEFAULT_LEG, TOE_HEIGHT, fit_joints, frame_along
from .leg_clearance import LegPaths, make_room
from .limb_turns import (
    hinge_toes,
    rotations_from_positions,
    share_forearm_turns,
    turn_feet_over,
    turns_from_positions,
)
from .skeleton_maps import SIDES, SkeletonMap, find_map

FLOOR_PERCENTILE = 5.0
SAME_FLOOR = 0.025
"""Metres; two feet whose low percentiles differ by more do not both touch the floor, and the lower one tells it."""
HEEL_BEHIND = 0.06
"""Metres from the ankle back to the end of the default foot."""
TOE_AHEAD, TOE_HALF_WIDTH, TOE_RADIUS = 0.055, 0.030, 0.020
"""Metres: the default body's toes are a capsule across, this far ahead of the toe joint."""
TOE_OVER_FLOOR = (0.0, 0.060)
"""Metres that standing toe joints may be over the floor: exporters put them at 0, level captures of CMU and of Bandai
Namco have them at 20 to 60 mm."""
STANDING_SPEED = 0.15
"""Metres a second under which ankle and toe of a foot on the floor are standing."""
STANDING_S = 0.1
"""Seconds that a foot must stand in all for its sole to be levelled."""
PLANTED_SPEED = 0.8
"""Metres a second of the toe joint under which a foot near the floor is still held by it or just leaving; swinging
toes go at 2 to 5."""
STILL_SPEED = 0.3
"""Metres a second under which it is held at any height: captured floors tilt by up to 20 mm a metre."""
MAX_SOLE_PITCH = np.radians(25.0)
"""A foot that stands steeper than this stands on its toes and means it."""
REACH = 0.9995
"""Share of the straight leg that inverse kinematics may use."""
MAX_DROP = 0.03
"""Metres by which the pelvis may be lowered, once for the clip, so that straight legs reach their feet."""
RIGID_PELVIS = np.radians(15.0)
"""Median angle between the hips' line and where the pelvis has it at rest; beyond it the rotations say nothing."""
T_POSE_JUMP = 0.6
"""Radians that some joint turns between frame 0 and frame 1 where frame 0 is a T-pose put before the motion."""
T_POSE_RESIDUE = 0.45
"""Radians that no joint exceeds in such a T-pose; hands are not quite straight in it."""

STANDING_REST = 0.7
"""Cosine with our axes that trunk, legs and the lines of hips and shoulders have in a rest pose that stands."""
JUDGED_FRAMES = 500
"""Frames, spread over the clip, by which the frames of joints are found where the rest pose does not tell them."""

ALIGNED = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
"""Joints whose bone, to the joint named, is laid on the source's."""


MOST_KEPT = 64
_KEPT: dict[tuple[str, tuple[str, ...], bytes], np.ndarray] = {}


def _over_sole(joint: str) -> float:
    """Height of a default joint over the soles at rest, metres."""
    rest = DEFAULT_SKELETON.rest_positions[:, 2]
    toes = [rest[DEFAULT_SKELETON.index(f"{side}_foot")] for side in SIDES]
    return float(rest[DEFAULT_SKELETON.index(joint)] - min(toes) + TOE_HEIGHT)


def to_default(motion: Clip | JointTrack, keep_floor: bool = False) -> Clip:
    """Anything that was read as a Clip on DEFAULT_SKELETON: fitted, retargeted, or as it is when it already is one.

    keep_floor: leave a retargeted clip where its file has it over z = 0, for measuring; otherwise its floor comes to
    z = 0. Raises MotionError for joints that no map knows.
    """
    if isinstance(motion, JointTrack):
        return fit_joints(motion)
    if motion.skeleton == DEFAULT_SKELETON:
        return motion
    known = find_map(motion.skeleton, motion.name)
    if isinstance(known, SkeletonMap):
        return retarget(motion, known, keep_floor)
    names = [source for joint in HUMANML3D_JOINTS for source, target in known.joints.items() if target == joint]
    track = JointTrack(
        fps=motion.fps,
        names=HUMANML3D_JOINTS,
        positions=motion.positions[:, [motion.skeleton.index(name) for name in names]],
        texts=motion.texts,
        name=motion.name,
        provenance=replace(motion.provenance, notes={**motion.provenance.notes, "map": known.name}),
    )
    return fit_joints(track)


def retarget(clip: Clip, known: SkeletonMap, keep_floor: bool = False) -> Clip:
    """A clip of a mapped skeleton on DEFAULT_SKELETON; keep_floor as for `to_default`.

    Notes hold the map, the scale, the height of each foot's standing toe joint in the file (at the default size), how
    far its floor is off z = 0, and dropped frames.
    """
    source, notes = clip, dict(clip.provenance.notes)
    if known.t_pose and _starts_in_t_pose(clip):
        source, notes["dropped_frames"] = clip.slice(1, clip.num_frames), "frame 0, a T-pose"
    at = {joint: source.positions[:, source.skeleton.index(name)] for joint, name in known.joints.items()}
    turns = None
    if _hips_turn(source, known):
        rest = {joint: source.skeleton.rest_positions[source.skeleton.index(n)] for joint, n in known.joints.items()}
        turns, notes["rotations"] = turns_from_positions(at, rest), "from positions: the hips turn against the pelvis"
    constants = _constants(source.skeleton, known)
    if turns is None and not known.frames and not _rests_standing(source.skeleton, known):
        constants, notes["rest_pose"] = _constants_by_bones(source, known, at), "none that stands: by bone directions"
    world = _world_rotations(source, known, turns, constants)
    turn_feet_over(world)
    hinge_toes(world)
    share_forearm_turns(world)
    scale = DEFAULT_LEG / _rest_leg(source.skeleton, known)
    feet = _Feet(*(np.stack([scale * at[f"{side}_{part}"] for side in SIDES], 1) for part in ("hip", "ankle", "foot")))
    floor, ankle_rest = _floor(feet)
    rest = DEFAULT_SKELETON.rest_positions
    hips = np.mean([rest[DEFAULT_SKELETON.index(f"{side}_hip")] for side in SIDES], axis=0)
    root = feet.hips.mean(axis=1) - quat_rotate(world[:, 0], np.broadcast_to(hips, (len(world), 3)))
    root[:, 2] += np.mean([_over_sole(f"{side}_ankle") for side in SIDES] - ankle_rest)
    pitches = _level_soles(world, feet, floor, source.fps)
    targets = [
        _ankle_target(feet.ankles[:, k], feet.toes[:, k], floor[k], ankle_rest[k], world, side)
        for k, side in enumerate(SIDES)
    ]
    excess = [_excess(world, root, side, target) for side, target in zip(SIDES, targets, strict=True)]
    root[:, 2] -= np.clip(np.percentile(np.maximum(*excess), 98.0), 0.0, MAX_DROP)
    planted = _planted(feet, floor, source.fps)
    targets = _with_room(world, root, targets, planted, source.fps)
    for k, (side, target) in enumerate(zip(SIDES, targets, strict=True)):
        clearance = np.minimum(feet.toes[:, k, 2] - floor[k], feet.ankles[:, k, 2] - ankle_rest[k])
        _lay_toes(world, target, np.minimum(clearance, 0.0), side)
    off = float(np.mean(floor - np.clip(floor, *TOE_OVER_FLOOR)))
    root[:, 2] += off if keep_floor else 0.0
    notes |= {"map": known.name, "scale": scale, "floor_m": [float(f) for f in floor], "floor_off_m": off}
    notes["sole_pitch_removed"] = pitches
    return Clip(
        fps=source.fps,
        skeleton=DEFAULT_SKELETON,
        root_pos=root,
        rotations=local_rotations(DEFAULT_SKELETON, world),
        texts=source.texts,
        name=source.name,
        provenance=replace(source.provenance, stage="retarget", parent=clip.id, notes=notes),
    )


@dataclass(frozen=True)
class _Feet:
    """Source joints at the default body's size, each (T, 2, 3), left and right."""

    hips: np.ndarray
    ankles: np.ndarray
    toes: np.ndarray


def _starts_in_t_pose(clip: Clip) -> bool:
    if clip.num_frames < 2:
        return False
    angle = 2.0 * np.arccos(np.clip(np.abs(clip.rotations[0, :, 0]), 0.0, 1.0))
    turn = 2.0 * np.arccos(np.clip(np.abs((clip.rotations[0] * clip.rotations[1]).sum(-1)), 0.0, 1.0))
    return bool(angle.max() < T_POSE_RESIDUE and turn.max() > T_POSE_JUMP)


def _hips_turn(clip: Clip, known: SkeletonMap) -> bool:
    """Whether the line of the hips moves in the pelvis, as it does where bones were placed one by one."""
    left, right, pelvis = (clip.skeleton.index(known.joints[joint]) for joint in ("left_hip", "right_hip", "pelvis"))
    line = quat_rotate(quat_conj(clip.global_rotations[:, pelvis]), clip.positions[:, left] - clip.positions[:, right])
    rest = clip.skeleton.rest_positions[left] - clip.skeleton.rest_positions[right]
    lengths = np.linalg.norm(line, axis=-1) * np.linalg.norm(rest)
    return bool(np.median(line @ rest / np.maximum(lengths, 1e-12)) < np.cos(RIGID_PELVIS))


def _rest_leg(skeleton: Skeleton, known: SkeletonMap) -> float:
    rest = skeleton.rest_positions
    total = 0.0
    for side in SIDES:
        hip, knee, ankle = (rest[skeleton.index(known.joints[f"{side}_{part}"])] for part in ("hip", "knee", "ankle"))
        total += 0.5 * float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
    if not total > 0:
        raise MotionError(f"legs have no length on the skeleton '{known.name}', expected thighs and shins")
    return total


def _world_rotations(source: Clip, known: SkeletonMap, turns: np.ndarray | None, constants: np.ndarray) -> np.ndarray:
    """(T, 24, 4) world rotations of the default joints; turns: (T, 24, 4) those of the source's joints that they
    follow, where they are not the file's; constants: (24, 4) C of each."""
    mapped = [j for j, joint in enumerate(DEFAULT_SKELETON.names) if joint in known.joints]
    if turns is None:
        follows = [source.skeleton.index(known.joints[DEFAULT_SKELETON.names[j]]) for j in mapped]
        own = source.global_rotations[:, follows]
    else:
        own = turns[:, mapped]
    world = np.zeros((source.num_frames, DEFAULT_SKELETON.num_joints, 4))
    world[:, mapped] = quat_mul(own, np.broadcast_to(constants[mapped], own.shape))
    for j in range(DEFAULT_SKELETON.num_joints):
        if j not in mapped:
            world[:, j] = world[:, DEFAULT_SKELETON.parents[j]]
    return world


def _constants(skeleton: Skeleton, known: SkeletonMap) -> np.ndarray:
    """(24, 4) C of every default joint, the identity where it has none; kept, since a set's clips share a skeleton."""
    key = (known.name, skeleton.names, skeleton.offsets.tobytes())
    if key not in _KEPT:
        if len(_KEPT) >= MOST_KEPT:
            _KEPT.clear()
        turns = np.zeros((DEFAULT_SKELETON.num_joints, 4))
        turns[:, 0] = 1.0
        for j, joint in enumerate(DEFAULT_SKELETON.names):
            if joint in known.joints:
                turns[j] = _constant(joint, skeleton, known)
        _KEPT[key] = turns
    return _KEPT[key]


def _rests_standing(skeleton: Skeleton, known: SkeletonMap) -> bool:
    """Whether a skeleton rests as a T-pose or an A-pose does: upright, looking ahead, left on its left."""

    def at(joint: str) -> np.ndarray:
        return skeleton.rest_positions[skeleton.index(known.joints[joint])]

    bones = {
        (2, 1.0): [(at("head") if "head" in known.joints else at("neck")) - at("pelvis")],
        (2, -1.0): [at(f"{side}_ankle") - at(f"{side}_hip") for side in SIDES],
        (1, 1.0): [at(f"left_{part}") - at(f"right_{part}") for part in ("hip", "shoulder")],
    }
    sides = [sign * (at(f"{side}_wrist") - at(f"{side}_shoulder")) for side, sign in (("left", 1.0), ("right", -1.0))]
    straight = all(
        sign * b[axis] > STANDING_REST * np.linalg.norm(b) for (axis, sign), found in bones.items() for b in found
    )
    ahead = all((at(f"{side}_foot") - at(f"{side}_ankle"))[0] >= 0 for side in SIDES)
    return straight and ahead and all(b[1] > -STANDING_REST * np.linalg.norm(b) for b in sides)


def _constants_by_bones(source: Clip, known: SkeletonMap, at: dict[str, np.ndarray]) -> np.ndarray:
    """(24, 4) C of every default joint where the rest pose tells nothing: over the clip, what takes each joint's own
    rotation to the one that the directions of its bones have. Neck, head and collars are in line with the chest on
    average, feet are flat where they are down."""
    some = slice(None, None, 1 + source.num_frames // JUDGED_FRAMES)
    at = {joint: positions[some] for joint, positions in at.items()}
    posed = rotations_from_positions(at)
    for joint, turns in _trunk(at).items():
        posed[:, DEFAULT_SKELETON.index(joint)] = turns
    constants = np.tile([1.0, 0.0, 0.0, 0.0], (DEFAULT_SKELETON.num_joints, 1))
    for j, joint in enumerate(DEFAULT_SKELETON.names):
        if joint not in known.joints:
            continue
        own = source.global_rotations[some, source.skeleton.index(known.joints[joint])]
        side, _, part = joint.rpartition("_")
        stands, wanted = slice(None), posed[:, j]
        if part in ("ankle", "foot"):
            stands, wanted = _flat(at[f"{side}_ankle"], at[f"{side}_foot"], side)
        constants[j] = _mean_rotation(quat_mul(quat_conj(own[stands]), wanted))
    return constants


def _trunk(at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rotations (T, 4) of the trunk's joints by the lines of hips and shoulders and the spine, which stand along our
    axes in a T-pose whatever the default body's own spine does."""
    high = at.get("neck", at.get("head", at["pelvis"]))
    pelvis = frame_along(at["left_hip"] - at["right_hip"], at.get("spine1", high) - at["pelvis"])
    chest = frame_along(at["left_shoulder"] - at["right_shoulder"], high - at.get("spine3", at["pelvis"]))
    third = np.full(len(pelvis), 1.0 / 3.0)
    return {
        "pelvis": pelvis,
        "spine1": quat_slerp(pelvis, chest, third),
        "spine2": quat_slerp(pelvis, chest, 2.0 * third),
    } | dict.fromkeys(("spine3", "neck", "head", "left_collar", "right_collar"), chest)


def _flat(ankle: np.ndarray, toe: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Where a foot with joints (T, 3) is down, (T,) bool, and how the default foot turns there when it lies flat under
    the same toe, (N, 4)."""
    low = [z < np.percentile(z, FLOOR_PERCENTILE) + SAME_FLOOR for z in (ankle[:, 2], toe[:, 2])]
    down = low[0] & low[1] if (low[0] & low[1]).any() else low[1]
    ahead, ours = (toe - ankle)[down], DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(f"{side}_foot")]
    yaw = np.arctan2(ahead[:, 1], ahead[:, 0]) - np.arctan2(ours[1], ours[0])
    return down, quat_from_rotvec(yaw[:, None] * np.array([0.0, 0.0, 1.0]))


def _mean_rotation(quats: np.ndarray) -> np.ndarray:
    """(4,) the mean of rotations (N, 4): the eigenvector of sum q q^T (Markley et al. 2007)."""
    return np.linalg.eigh(quats.T @ quats)[1][:, -1]


def _constant(joint: str, skeleton: Skeleton, known: SkeletonMap) -> np.ndarray:
    """C of one joint, (4,)."""
    frame = quat_from_matrix(known.frames.get(joint, np.eye(3)))
    side, _, base = joint.rpartition("_")
    if base in ("ankle", "foot"):
        if known.feet_with_shins:
            shin = _bone(skeleton, known, f"{side}_knee", f"{side}_ankle")
            frame = quat_between(np.array([0.0, 0.0, -1.0]), shin)
        return quat_mul(frame, _foot_splay(frame, skeleton, known, side))
    if base == "wrist":
        return quat_mul(_laid(f"{side}_elbow", f"{side}_wrist", skeleton, known), frame)
    if base not in ALIGNED:
        return frame
    return quat_mul(_laid(joint, f"{side}_{ALIGNED[base]}", skeleton, known), frame)


def _laid(joint: str, child: str, skeleton: Skeleton, known: SkeletonMap) -> np.ndarray:
    """(4,) the smallest turn that lays the default bone, under F of its joint, on the source's."""
    frame = quat_from_matrix(known.frames.get(joint, np.eye(3)))
    bone = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(child)]
    return quat_between(quat_rotate(frame, bone), _bone(skeleton, known, joint, child))


def _foot_splay(frame: np.ndarray, skeleton: Skeleton, known: SkeletonMap, side: str) -> np.ndarray:
    """(4,) the turn about a foot's own vertical that brings the default toe joint, which is 12 degrees outward of
    ahead, where the source's is: else the ankles come 30 to 60 mm nearer to each other than they were."""
    ankle_frame = frame if known.feet_with_shins else quat_from_matrix(known.frames.get(f"{side}_ankle", np.eye(3)))
    theirs = quat_rotate(quat_conj(ankle_frame), _bone(skeleton, known, f"{side}_ankle", f"{side}_foot"))
    ours = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(f"{side}_foot")]
    angle = np.arctan2(theirs[1], theirs[0]) - np.arctan2(ours[1], ours[0])
    return quat_from_rotvec(np.array([0.0, 0.0, angle]))


def _bone(skeleton: Skeleton, known: SkeletonMap, joint: str, child: str) -> np.ndarray:
    rest = skeleton.rest_positions
    return rest[skeleton.index(known.joints[child])] - rest[skeleton.index(known.joints[joint])]


def _floor(feet: _Feet) -> tuple[np.ndarray, np.ndarray]:
    """Height of each foot's toe joint and of its ankle when it stands, (2,) and (2,), metres at the default size."""
    low = np.percentile(feet.toes[..., 2], FLOOR_PERCENTILE, axis=0)
    floor = low if abs(low[0] - low[1]) < SAME_FLOOR else np.full(2, low.min())
    standing = feet.toes[..., 2] < floor + SAME_FLOOR
    ankles = [
        np.percentile(feet.ankles[standing[:, k], k, 2], FLOOR_PERCENTILE) if standing[:, k].any() else np.inf
        for k in range(2)
    ]
    return floor, np.where(np.isfinite(ankles), ankles, np.min(ankles))


def _level_soles(world: np.ndarray, feet: _Feet, floor: np.ndarray, fps: float) -> list[float]:
    """Turn each foot and its toes, in place, by the median pitch of each while it stands; returns the pitches, radians:
    left foot, left toes, right foot, right toes."""
    pitches = []
    for k, side in enumerate(SIDES):
        ankle, toe = (DEFAULT_SKELETON.index(f"{side}_{part}") for part in ("ankle", "foot"))
        speeds = [np.linalg.norm(linear_velocity(x[:, k], fps), axis=-1) for x in (feet.ankles, feet.toes)]
        standing = (np.maximum(*speeds) < STANDING_SPEED) & (feet.toes[:, k, 2] < floor[k] + SAME_FLOOR)
        for joint in (ankle, toe):
            pitch = _median_pitch(world[standing, joint]) if standing.sum() >= max(STANDING_S * fps, 1) else 0.0
            pitch = pitch if abs(pitch) < MAX_SOLE_PITCH else 0.0
            back = quat_from_rotvec(np.array([0.0, -pitch, 0.0]))
            world[:, joint] = quat_mul(world[:, joint], np.broadcast_to(back, world[:, joint].shape))
            pitches.append(pitch)
    return pitches


def _median_pitch(world: np.ndarray) -> float:
    """Median angle by which X points down under rotations (N, 4), radians."""
    return float(np.median(np.arcsin(-quat_rotate(world, np.broadcast_to([1.0, 0.0, 0.0], (len(world), 3)))[:, 2])))


def _ankle_target(
    ankle: np.ndarray, toe: np.ndarray, floor: float, ankle_rest: float, world: np.ndarray, side: str
) -> np.ndarray:
    """Where the default ankle goes, (T, 3): toe joint above the source's, same clearance of the foot's lowest point."""
    turn = world[:, DEFAULT_SKELETON.index(f"{side}_ankle")]
    foot = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(f"{side}_foot")]
    to_toe = quat_rotate(turn, np.broadcast_to(foot, ankle.shape))
    to_heel = quat_rotate(turn, np.broadcast_to([-HEEL_BEHIND, 0.0, -_over_sole(f"{side}_ankle")], ankle.shape))
    clearance = np.minimum(toe[:, 2] - floor, ankle[:, 2] - ankle_rest)
    toe_sole = to_toe[:, 2] - _over_sole(f"{side}_foot")
    target = toe - to_toe
    target[:, 2] = clearance - np.minimum(to_heel[:, 2], toe_sole)
    return target


def _lay_toes(world: np.ndarray, ankle: np.ndarray, level: np.ndarray, side: str) -> None:
    """Bend the toes up, in place, about their own lateral axis where they dip under `level`.

    world: (T, 24, 4); ankle: (T, 3) where the ankle is; level: (T,) height that the toes' underside may not go below.
    """
    joint = DEFAULT_SKELETON.index(f"{side}_foot")
    offset = np.broadcast_to(DEFAULT_SKELETON.offsets[joint], ankle.shape)
    height = ankle[:, 2] + quat_rotate(world[:, DEFAULT_SKELETON.index(f"{side}_ankle")], offset)[:, 2]
    forward, lateral, up = (
        quat_rotate(world[:, joint], np.broadcast_to(axis, ankle.shape))[:, 2] for axis in np.eye(3)
    )
    # The capsule's axis is at (ahead, +-half width, -below): its height is size * reach * sin(pitch - droop).
    below = _over_sole(f"{side}_foot") - TOE_RADIUS
    size, reach, droop = np.hypot(forward, up), np.hypot(TOE_AHEAD, below), np.arctan2(below, TOE_AHEAD)
    wanted = level - height + TOE_RADIUS + TOE_HALF_WIDTH * np.abs(lateral)
    lowest = droop + np.arcsin(np.clip(wanted / np.maximum(size * reach, 1e-9), -1.0, 1.0))
    bend = np.where(up > 0, np.maximum(lowest - np.arctan2(forward, up), 0.0), 0.0)
    axis = np.array([0.0, 1.0, 0.0])
    world[:, joint] = quat_mul(world[:, joint], quat_from_rotvec(-bend[:, None] * axis))


def _planted(feet: _Feet, floor: np.ndarray, fps: float) -> np.ndarray:
    """(T, 2) bool: the toes are on the floor and stay, or are still at any height, as on a floor that tilts."""
    speed = np.linalg.norm(linear_velocity(feet.toes, fps), axis=-1)
    return ((feet.toes[..., 2] < floor + SAME_FLOOR) & (speed < PLANTED_SPEED)) | (speed < STILL_SPEED)


def _with_room(
    world: np.ndarray, root: np.ndarray, targets: list[np.ndarray], planted: np.ndarray, fps: float
) -> list[np.ndarray]:
    """Legs put, in place, where their ankles reach the targets, (T, 3) each, or as near to them as the other leg leaves
    room; returns where the ankles are sent."""
    legs = []
    for side, target in zip(SIDES, targets, strict=True):
        _reach(world, root, side, target)
        legs.append(_leg_path(world, _hip(world, root, side), side))
    hips, knees, ankles, toes = (np.stack(part, axis=1) for part in zip(*legs, strict=True))
    moves = make_room(LegPaths(hips, knees, ankles, toes, planted), fps)
    targets = [target + moves[:, k] for k, target in enumerate(targets)]
    for k, side in enumerate(SIDES):
        if moves[:, k].any():
            _reach(world, root, side, targets[k])
    return targets


def _leg_path(world: np.ndarray, hip: np.ndarray, side: str) -> tuple[np.ndarray, ...]:
    """Hip, knee, ankle and tip of the toes, (T, 3) each. hip: (T, 3)."""
    at, path = hip, [hip]
    for joint, child in (("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"), ("foot", "")):
        ahead = np.array([TOE_AHEAD, 0.0, 0.0])
        bone = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(f"{side}_{child}")] if child else ahead
        turn = world[:, DEFAULT_SKELETON.index(f"{side}_{joint}")]
        at = at + quat_rotate(turn, np.broadcast_to(bone, at.shape))
        path.append(at)
    return path[0], path[1], path[2], path[4]


def _hip(world: np.ndarray, root: np.ndarray, side: str) -> np.ndarray:
    offset = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(f"{side}_hip")]
    return root + quat_rotate(world[:, 0], np.broadcast_to(offset, root.shape))


def _leg(side: str) -> tuple[float, float]:
    """Lengths of thigh and shin, metres."""
    knee, ankle = (DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(f"{side}_{part}")] for part in ("knee", "ankle"))
    return float(np.linalg.norm(knee)), float(np.linalg.norm(ankle))


def _excess(world: np.ndarray, root: np.ndarray, side: str, target: np.ndarray) -> np.ndarray:
    """(T,) metres that the target is out of the leg's reach, negative within it."""
    return np.linalg.norm(target - _hip(world, root, side), axis=-1) - REACH * sum(_leg(side))


def _reach(world: np.ndarray, root: np.ndarray, side: str, target: np.ndarray) -> None:
    """Turn hip and knee, in place, so that the ankle reaches the target; the ankle's world rotation stays.

    world: (T, 24, 4); root, target: (T, 3). The knee bends about its own Y and never backward; what it is turned
    sideways stays.
    """
    hip, knee, ankle = (DEFAULT_SKELETON.index(f"{side}_{part}") for part in ("hip", "knee", "ankle"))

    def carried(joint: int, by: int) -> np.ndarray:
        return quat_rotate(world[:, by], np.broadcast_to(DEFAULT_SKELETON.offsets[joint], root.shape))

    thigh, shin = carried(knee, hip), carried(ankle, knee)
    start = _hip(world, root, side)
    a, b = _leg(side)
    wanted = np.clip(np.linalg.norm(target - start, axis=-1), abs(a - b) + 1e-3, REACH * (a + b))
    bend = np.arccos(np.clip((wanted**2 - a**2 - b**2) / (2.0 * a * b), -1.0, 1.0))
    along = thigh / a
    hinge = quat_rotate(world[:, knee], np.broadcast_to([0.0, 1.0, 0.0], root.shape))
    hinge -= (hinge * along).sum(-1, keepdims=True) * along
    hinge /= np.linalg.norm(hinge, axis=-1, keepdims=True)
    sideways = (shin * hinge).sum(-1) / b
    now = np.arctan2((np.cross(along, shin) * hinge).sum(-1), (along * shin).sum(-1))
    new = np.arccos(np.clip(np.cos(bend) / np.sqrt(1.0 - sideways**2), -1.0, 1.0))
    knee_turn = quat_from_rotvec(hinge * (new - now)[:, None])
    reached = thigh + quat_rotate(knee_turn, shin)
    swing = quat_between(reached, target - start)
    world[:, hip] = quat_mul(swing, world[:, hip])
    world[:, knee] = quat_mul(swing, quat_mul(knee_turn, world[:, knee]))
