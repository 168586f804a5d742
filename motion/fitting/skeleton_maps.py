"""Which joint of a foreign skeleton each default joint follows: CMU in three spellings, Bandai Namco, BVH exports, SOMA
(Kimodo), SMPL-X, the 15-body humanoid of DeepMimic and AMP, and the names that motion capture and games use in BVH.

A prefix that all joints of a file share (`mixamorig:Hips`, `Skeleton_Hips`) is no part of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from morphloop.base.errors import MotionError

from ..skeleton import HUMANML3D_JOINTS, SMPL_JOINTS, Skeleton

SIDES = ("left", "right")


@dataclass(frozen=True)
class SkeletonMap:
    """Which source joint each default joint follows.

    joints: default joint to source joint; a default joint without one keeps its rest rotation. frames: default joint to
    F, (3, 3), identity where absent. feet_with_shins: F of ankles and toes is the turn of the resting shin from the
    vertical (a rest pose with spread legs has its feet turned with them). t_pose: frame 0 may be an added T-pose.
    upright: the map holds only where the skeleton rests on its feet; some exporters lay the same joints along one axis.
    """

    name: str
    joints: dict[str, str]
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    feet_with_shins: bool = False
    t_pose: bool = False
    upright: bool = False


@dataclass(frozen=True)
class PositionMap:
    """A skeleton whose joint positions are HumanML3D's: source name to HumanML3D name, read by positions alone."""

    name: str
    joints: dict[str, str]


def _both_sides(rows: dict[str, str], left: str, right: str) -> dict[str, str]:
    """Rows for both sides; '*' in a source name stands for the side."""
    return {
        f"{side}_{base}": source.replace("*", word)
        for base, source in rows.items()
        for side, word in zip(SIDES, (left, right), strict=True)
    }


_ASF = SkeletonMap(
    "CMU ASF",
    {"pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax", "neck": "upperneck"}
    | {"head": "head"}
    | _both_sides(
        {"hip": "*femur", "knee": "*tibia", "ankle": "*foot", "foot": "*toes", "collar": "*clavicle"}
        | {"shoulder": "*humerus", "elbow": "*radius", "wrist": "*hand"},
        "l",
        "r",
    ),
    feet_with_shins=True,
)
_CGSPEED = SkeletonMap(
    "CMU BVH (cgspeed, MotionBuilder)",
    {"pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck1", "head": "Head"}
    | _both_sides(
        {"hip": "*UpLeg", "knee": "*Leg", "ankle": "*Foot", "foot": "*ToeBase", "collar": "*Shoulder"}
        | {"shoulder": "*Arm", "elbow": "*ForeArm", "wrist": "*FingerBase"},
        "Left",
        "Right",
    ),
    feet_with_shins=True,
    t_pose=True,
)
_CGSPEED_MAX = SkeletonMap(
    "CMU BVH (cgspeed, 3ds Max)",
    {"pelvis": "Hips", "spine1": "lowerback", "spine2": "Chest", "spine3": "Chest2", "neck": "Neck"}
    | {"head": "Head", "left_wrist": "lhand", "right_wrist": "rhand"}
    | _both_sides(
        {"hip": "*Hip", "knee": "*Knee", "ankle": "*Ankle", "foot": "*Toe", "collar": "*Collar"}
        | {"shoulder": "*Shoulder", "elbow": "*Elbow"},
        "Left",
        "Right",
    ),
    feet_with_shins=True,
    t_pose=True,
)
_SMPL = SkeletonMap("SMPL joint names", {name: name for name in SMPL_JOINTS})
_SMPL_X = SkeletonMap("SMPL-X joint names", {name: name for name in HUMANML3D_JOINTS})
_SOMA_TORSO = {"pelvis": "Hips", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Chest", "neck": "Neck1"} | {
    "head": "Head"
}
_SOMA_LIMBS = {"hip": "*Leg", "knee": "*Shin", "ankle": "*Foot", "foot": "*ToeBase", "collar": "*Shoulder"} | {
    "shoulder": "*Arm",
    "elbow": "*ForeArm",
    "wrist": "*Hand",
}
_SOMA = SkeletonMap(
    "SOMA (Kimodo)",
    _SOMA_TORSO | _both_sides(_SOMA_LIMBS, "Left", "Right"),
    feet_with_shins=True,
    upright=True,
)
_ARMS_DOWN = {
    f"{side}_{joint}": np.array([[1.0, 0, 0], [0, 0, sign], [0, -sign, 0]])
    for side, sign in (("left", 1.0), ("right", -1.0))
    for joint in ("shoulder", "elbow", "wrist")
}
"""The humanoid rests with its arms down: F turns the default arm, which points sideways, by a quarter about X."""
_HUMANOID15 = SkeletonMap(
    "15-body humanoid (DeepMimic, AMP)",
    {"pelvis": "root", "spine1": "chest", "neck": "neck"}
    | _both_sides(
        {"hip": "*_hip", "knee": "*_knee", "ankle": "*_ankle", "foot": "*_toe", "shoulder": "*_shoulder"}
        | {"elbow": "*_elbow", "wrist": "*_wrist"},
        "left",
        "right",
    ),
    frames=_ARMS_DOWN,
)

_FLAT_FOOT = np.radians(39.6)
"""How far Bandai Namco's foot bone points down in a flat foot (median over stance frames of six walks)."""
_FLAT_TOES = np.radians(22.9)
"""How far its toe bone does (median of both feet over 22 clips of both sets)."""


def _sole_frame(pitch: float) -> np.ndarray:
    """F of a left foot or its toes whose bone points down by `pitch` where the sole is flat."""
    s, c = np.sin(pitch), np.cos(pitch)
    return np.array([[s, 0, c], [c, 0, -s], [0, 1, 0]])


def _bandai_frames() -> dict[str, np.ndarray]:
    """F of Bandai Namco's skeleton: every joint's X (our Y) runs along its bone, away from it on the right arm."""
    hips = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    up = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    frames = {"pelvis": hips} | dict.fromkeys(("spine1", "spine2", "spine3", "neck", "head"), up)
    leg = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    foot, toes = _sole_frame(_FLAT_FOOT), _sole_frame(_FLAT_TOES)
    for base, left in {"hip": leg, "knee": leg, "ankle": foot, "foot": toes}.items():
        frames[f"left_{base}"] = left
        frames[f"right_{base}"] = np.diag([-1.0, -1.0, 1.0]) @ left
    for base in ("collar", "shoulder", "elbow", "wrist"):
        frames[f"right_{base}"] = np.diag([-1.0, 1.0, -1.0])
    return frames


_BANDAI = SkeletonMap(
    "Bandai Namco",
    {"pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "Chest", "neck": "Neck", "head": "Head"}
    | _both_sides(
        {"hip": "UpperLeg_*", "knee": "LowerLeg_*", "ankle": "Foot_*", "foot": "Toes_*", "collar": "Shoulder_*"}
        | {"shoulder": "UpperArm_*", "elbow": "LowerArm_*", "wrist": "Hand_*"},
        "L",
        "R",
    ),
    frames=_bandai_frames(),
)


def _position_map(name: str, torso: dict[str, str], limbs: dict[str, str], left: str, right: str) -> PositionMap:
    return PositionMap(name, {source: joint for joint, source in (torso | _both_sides(limbs, left, right)).items()})


_EXPORTS = (
    _position_map(
        "BVH export, SMPL names",
        {"pelvis": "Pelvis", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck"}
        | {"head": "Neck_end"},
        {"hip": "*_Hip", "knee": "*_Knee", "ankle": "*_Ankle", "foot": "*_Ankle_end", "collar": "*_Collar"}
        | {"shoulder": "*_Shoulder", "elbow": "*_Elbow", "wrist": "*_Elbow_end"},
        "L",
        "R",
    ),
    _position_map(
        "BVH export, humanoid names",
        {"pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "UpperChest", "neck": "Neck"}
        | {"head": "Neck_end"},
        {"hip": "*UpperLeg", "knee": "*LowerLeg", "ankle": "*Foot", "foot": "*Foot_end", "collar": "*Shoulder"}
        | {"shoulder": "*UpperArm", "elbow": "*LowerArm", "wrist": "*LowerArm_end"},
        "Left",
        "Right",
    ),
)


def _named(name: str, torso: str, limbs: str, left: str = "Left", right: str = "Right") -> SkeletonMap:
    """A map from names in the order of `_TORSO` and `_LIMBS`."""
    rows: dict[str, str] = dict(zip(_LIMBS, limbs.split(), strict=True))
    return SkeletonMap(
        name,
        dict(zip(_TORSO, torso.split(), strict=True)) | _both_sides(rows, left, right),
        feet_with_shins=True,
    )


_TORSO = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_LIMBS: tuple[str, ...] = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_CAPTURE = (
    _named(
        "LAFAN1 (MoMask)", "Hips Spine Spine1 Spine2 Neck Head", "*UpLeg *Leg *Foot *Toe *Shoulder *Arm *ForeArm *Hand"
    ),
    _named("Mixamo", "Hips Spine Spine1 Spine2 Neck Head", "*UpLeg *Leg *Foot *ToeBase *Shoulder *Arm *ForeArm *Hand"),
    _named(
        "OptiTrack Motive",
        "Hips Spine Spine1 Spine1 Neck Head",
        "*UpLeg *Leg *Foot *ToeBase *Shoulder *Arm *ForeArm *Hand",
    ),
    _named(
        "OptiTrack Motive, its own names",
        "Hip Ab Chest Chest Neck Head",
        "*Thigh *Shin *Foot *Toe *Shoulder *UArm *FArm *Hand",
        "L",
        "R",
    ),
    _named("Rokoko", "Hips Spine1 Spine2 Spine4 Neck Head", "*Thigh *Shin *Foot *Toe *Shoulder *Arm *ForeArm *Hand"),
    _named(
        "Rokoko, upper and lower arms",
        "Hips Spine Spine Chest Neck Head",
        "*Thigh *Shin *Foot *Toe *Shoulder *UpperArm *LowerArm *Hand",
    ),
    _named(
        "Xsens (100STYLE)",
        "Hips Chest Chest2 Chest4 Neck Head",
        "*Hip *Knee *Ankle *Toe *Collar *Shoulder *Elbow *Wrist",
    ),
    _named(
        "CMU BVH, hands for fingers",
        "Hips LowerBack Spine Spine1 Neck1 Head",
        "*UpLeg *Leg *Foot *ToeBase *Shoulder *Arm *ForeArm *Hand",
    ),
)
"""A skeleton of the first three is one of the first that fits: Motive's has one spine joint less."""
_SOMA_POSITIONS = _position_map("SOMA (Kimodo), by positions", _SOMA_TORSO, _SOMA_LIMBS, "Left", "Right")
MAPS: tuple[SkeletonMap | PositionMap, ...] = (
    *(_ASF, _CGSPEED, _CGSPEED_MAX, _BANDAI),
    *_EXPORTS,
    *(_SMPL, _SMPL_X, _SOMA, _SOMA_POSITIONS, _HUMANOID15),
    *_CAPTURE,
)
NEEDED = frozenset(
    {"pelvis", "head"}
    | {f"{side}_{part}" for side in SIDES for part in ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")}
)
"""Our names of the joints without which no skeleton can be followed."""
NAMED_IN_ERRORS = 6


def find_map(skeleton: Skeleton, where: str) -> SkeletonMap | PositionMap:
    """The map whose source joints are all there, a prefix that all names share left aside; of a skeleton with our own
    names (`--joint-map`) those that it has. MotionError naming the joints that are missing from the nearest map."""
    prefix = _shared_prefix(skeleton.names)
    names = {name.removeprefix(prefix) for name in skeleton.names}
    for known in MAPS:
        if not _sources(known) <= names:
            continue
        named = _with_prefix(known, prefix)
        if isinstance(named, PositionMap) or not named.upright or _rests_upright(skeleton, named):
            return named
    if names >= NEEDED:
        own = SkeletonMap(
            "our joint names", {name: name for name in SMPL_JOINTS if name in names}, feet_with_shins=True
        )
        return _with_prefix(own, prefix)
    own = [name.removeprefix(prefix) for name in skeleton.names if not name.endswith("_end")]
    raise MotionError(f"{where}: {_what_is_missing(own)}")


def _sources(known: SkeletonMap | PositionMap) -> set[str]:
    return set(known.joints.keys() if isinstance(known, PositionMap) else known.joints.values())


def _with_prefix(known: SkeletonMap | PositionMap, prefix: str) -> SkeletonMap | PositionMap:
    if not prefix:
        return known
    if isinstance(known, PositionMap):
        return replace(known, joints={prefix + source: joint for source, joint in known.joints.items()})
    return replace(known, joints={joint: prefix + source for joint, source in known.joints.items()})


def _shared_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a colon or an underscore, nothing where that is no name of its own."""
    first, last = min(names), max(names)
    shared = first[: next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    return shared[: max(shared.rfind(":"), shared.rfind("_")) + 1]


def _what_is_missing(own: list[str]) -> str:
    """In words, what a skeleton of these joints lacks of the map that it has most of. own: without end sites."""
    nearest = max(MAPS, key=lambda known: len(_sources(known).intersection(own)) / len(_sources(known)))
    missing = sorted(_sources(nearest).difference(own))
    maps = "; ".join(known.name for known in MAPS)
    if len(missing) <= len(_sources(nearest)) / 2:
        shown = ", ".join(missing[:NAMED_IN_ERRORS]) + (" ..." if len(missing) > NAMED_IN_ERRORS else "")
        what = f"joints {shown} are missing for a skeleton of {nearest.name}"
    else:
        what = f"unknown joints {', '.join(own[:NAMED_IN_ERRORS])}{' ...' if len(own) > NAMED_IN_ERRORS else ''}"
    return f"{what}, expected a skeleton of: {maps}; or --joint-map"


def _rests_upright(skeleton: Skeleton, known: SkeletonMap) -> bool:
    """Whether the resting ankles are under the hips by most of the legs' length."""
    rest = skeleton.rest_positions
    legs = [
        rest[skeleton.index(known.joints[f"{side}_hip"])] - rest[skeleton.index(known.joints[f"{side}_ankle"])]
        for side in SIDES
    ]
    return all(leg[2] > 0.8 * np.linalg.norm(leg) for leg in legs)
