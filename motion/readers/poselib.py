"""poselib's SkeletonMotion (.npy), as Isaac Gym's AMP, PHC and ProtoMotions have it: a file with its whole skeleton.

Quaternions are x y z w, the world is Z up, the skeleton stands along the world's axes at rest. The AMP humanoid's 15
bodies get toes as DeepMimic's have them; SMPL's 24 bodies get SMPL's names; any other skeleton keeps its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, check_finite, check_timing
from ..config import ReadingConfig
from ..reading_limits import MAX_JOINTS
from ..skeleton import SMPL_JOINTS, Skeleton, local_rotations
from .humanoid15 import AMP_NAMES, UNIT, check_unit, with_toes
from .quaternions import in_order
from .timing import resolve_fps
from .values import Values, bounded, file_fps, imported, numbers

_SIDES = (("left", "L"), ("right", "R"))
SMPL_BODIES = (
    {"Pelvis": "pelvis", "Torso": "spine1", "Spine": "spine2", "Chest": "spine3", "Neck": "neck"}
    | {"Head": "head"}
    | {
        f"{letter}_{body}": f"{side}_{joint}"
        for side, letter in _SIDES
        for body, joint in {"Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Toe": "foot", "Thorax": "collar"}.items()
        | {"Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist", "Hand": "hand"}.items()
    }
)
"""Bodies of the SMPL humanoid's MJCF by the joint that they turn about."""


def is_poselib(values: Any) -> bool:
    """Whether a pickled value is poselib's SkeletonMotion."""
    return isinstance(values, Mapping) and {"rotation", "root_translation", "skeleton_tree"} <= values.keys()


def read_poselib(values: Values, how: ReadingConfig, path: Path) -> Clip:
    """A SkeletonMotion, from a safely read pickle, as a Clip on its own skeleton. Raises MotionError, one line."""
    tree = values["skeleton_tree"]
    bodies = tree.get("node_names") if isinstance(tree, Mapping) else None
    if not isinstance(bodies, list) or not 1 <= len(bodies) <= MAX_JOINTS:
        raise MotionError(f"{path}: skeleton_tree has no node_names, expected a SkeletonMotion")
    bodies = tuple(str(body) for body in bodies)
    offsets = how.metres * bounded(
        numbers(_tensors(tree), "local_translation", (len(bodies), 3), path), f"{path}: local_translation"
    )
    parents = numbers(_tensors(tree), "parent_indices", (len(bodies),), path)
    offsets[0] = 0.0
    root = how.metres * bounded(
        numbers(_tensors(values), "root_translation", (None, 3), path), f"{path}: root_translation"
    )
    rotation = numbers(_tensors(values), "rotation", (len(root), len(bodies), 4), path)
    rate = resolve_fps(file_fps(values, path), how, path)
    check_timing(rate, len(root), str(path), len(bodies) + 2)
    check_finite(rotation, f"{path}: rotation")
    names = AMP_NAMES if set(AMP_NAMES) == set(bodies) else SMPL_BODIES if set(SMPL_BODIES) == set(bodies) else {}
    skeleton = Skeleton(tuple(names.get(b, b) for b in bodies), tuple(parents.astype(int).tolist()), offsets)
    rotations = in_order(rotation, how.quat or "xyzw")
    check_unit(rotations, UNIT, path)
    if not values.get("is_local"):
        rotations = local_rotations(skeleton, rotations)
    if names is AMP_NAMES:
        skeleton = with_toes(skeleton.names, skeleton.parents, offsets)
        still = np.zeros((len(root), skeleton.num_joints - len(bodies), 4))
        still[..., 0] = 1.0
        rotations = np.concatenate([rotations, still], axis=1)
    form = "isaac amp" if names is AMP_NAMES else "poselib"
    clip = Clip(rate, skeleton, root, rotations, name=path.stem, provenance=imported(path, (), {"format": form}))
    return clip.reordered(SMPL_JOINTS) if names is SMPL_BODIES else clip


def _tensors(values: Values) -> dict[str, Any]:
    """poselib stores a tensor as {'arr': array, 'context': ..}."""
    return {
        key: value["arr"] if isinstance(value, Mapping) and "arr" in value else value for key, value in values.items()
    }
