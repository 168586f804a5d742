"""BVH as the LAFAN1 data set has it, which GMR and others read by its names: centimetres, channels Z Y X, 30 fps.

The joints are HumanML3D's 22 under LAFAN1's names. Every joint's frame has X along its limb and rests as LAFAN1's does,
found from a published frame of it: Y of the trunk and the legs looks forward, of feet upwards, of arms backwards.
Lengths stay those of the default skeleton.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip
from ..rotations import quat_conj, quat_from_matrix, quat_mul
from ..skeleton import DEFAULT_SKELETON, Y_UP_TO_Z_UP, Skeleton
from .bvh import write_bvh

LAFAN_FPS = 30.0
CENTIMETRE = 0.01
EULER = "ZYX"
_FORWARD, _LEFT, _UP = np.eye(3)
_SIDES = (("left", "Left", 1.0), ("right", "Right", -1.0))
_TRUNK = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
}
_LEG = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "Toe"}
_ARM = {"collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand"}
NAMES = {
    **{f"{side}_{ours}": f"{word}{theirs}" for side, word, _ in _SIDES for ours, theirs in _LEG.items()},
    **_TRUNK,
    **{f"{side}_{ours}": f"{word}{theirs}" for side, word, _ in _SIDES for ours, theirs in _ARM.items()},
}
"""Ours to LAFAN1's."""
_ORDER = (
    "pelvis", "left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle",
    "right_foot", "spine1", "spine2", "spine3", "neck", "head", "left_collar", "left_shoulder", "left_elbow",
    "left_wrist", "right_collar", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
"""Depth first, as LAFAN1's hierarchy goes."""
_ALONG = {
    f"{side}_{joint}": f"{side}_{child}"
    for side, _, _ in _SIDES
    for joint, child in (
        ("hip", "knee"),
        ("knee", "ankle"),
        ("ankle", "foot"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    )
}
"""Joints of limbs and the child that their X looks at; the others' looks along an axis of the body, since the short
bones of spine and collars lie more aslant here than there."""


def write_lafan_bvh(path: Path | str, clip: Clip) -> Path:
    """A clip on the default skeleton, hands left out; MotionError for a clip on another."""
    if clip.skeleton != DEFAULT_SKELETON:
        raise MotionError(
            f"{clip.name}: LAFAN1's joints need the default skeleton, retarget the clip first (to_default)"
        )
    return write_bvh(path, _on_lafan(clip), EULER, CENTIMETRE)


def _on_lafan(clip: Clip) -> Clip:
    """The clip with its joints' frames turned to LAFAN1's, on a skeleton of LAFAN1's names."""
    ours = [DEFAULT_SKELETON.index(name) for name in _ORDER]
    # the writer of BVH turns the axes of every frame from ours to the file's: here they are turned back
    frames = np.stack([_frame(name) @ Y_UP_TO_Z_UP.T for name in _ORDER])
    parents = [-1, *(_ORDER.index(DEFAULT_SKELETON.names[DEFAULT_SKELETON.parents[j]]) for j in ours[1:])]
    offsets = np.einsum("jba,jb->ja", frames[parents], DEFAULT_SKELETON.offsets[ours])
    offsets[0] = 0.0
    turns = quat_from_matrix(frames)
    world = quat_mul(clip.global_rotations[:, ours], np.broadcast_to(turns, (clip.num_frames, *turns.shape)))
    local = world.copy()
    local[:, 1:] = quat_mul(quat_conj(world[:, parents[1:]]), world[:, 1:])
    skeleton = Skeleton(tuple(NAMES[name] for name in _ORDER), tuple(parents), offsets)
    return Clip(clip.fps, skeleton, clip.root_pos, local, clip.texts, clip.name, clip.provenance)


def _frame(name: str) -> np.ndarray:
    """(3, 3) axes of a joint's frame in LAFAN1, as columns in our axes, at rest in a T-pose."""
    side = next((sign for word, _, sign in _SIDES if name.startswith(word)), 0.0)
    limb = name.partition("_")[2]
    if limb in _ARM:
        along, z = side * _LEFT, side * _UP
    elif limb == "foot":
        along, z = _FORWARD, -_LEFT
    elif limb in _LEG:
        along, z = -_UP, -_LEFT
    else:
        along, z = _UP, _LEFT
    if name in _ALONG:
        bone = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index(_ALONG[name])]
        along = bone / np.linalg.norm(bone)
    z = z - (z @ along) * along
    z /= np.linalg.norm(z)
    return np.stack([along, np.cross(z, along), z], axis=1)
