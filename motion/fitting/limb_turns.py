"""What positions cannot show of a captured limb, put right: turns about a bone, and rotations that are none.

A solver that fits a skeleton to markers leaves three things open, and files have them in many ways. A foot or a hand
with one marker may be half a turn about its own bone from where it was (CMU 01_12, 05_06: the sole points up). The turn
of a hand against its upper arm lies in the forearm, but stands in whichever joint the format has for it. Toes bend as
one hinge, whatever three angles a file gives them. And bones placed by inverse kinematics, one by one, have no turn
about themselves at all (the hips of such a file turn against its pelvis): there the positions speak alone.
"""

from __future__ import annotations

import numpy as np

from ..rotations import quat_conj, quat_from_rotvec, quat_mul, quat_rotate
from ..skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, forward_kinematics
from .fit import guess_rotations

SIDES = ("left", "right")
TOE_FOLD = np.radians(75.0)
"""The most that toes bend, up or down; what a solver says beyond is no bend."""
COINCIDENT = 1e-6
"""Metres; joints nearer to each other than this have no bone between them."""


def _axis(world: np.ndarray, joint: int, axis: int) -> np.ndarray:
    """(T, 3) where a joint's own axis points; world: (T, 24, 4)."""
    return quat_rotate(world[:, joint], np.broadcast_to(np.eye(3)[axis], (len(world), 3)))


def turn_feet_over(world: np.ndarray) -> None:
    """Half a turn about its bone, in place, for every foot whose outer side points inward. world: (T, 24, 4).

    Outward is the knee's: no ankle turns a foot by more than a quarter against the shin.
    """
    for side in SIDES:
        knee, ankle, toe = (DEFAULT_SKELETON.index(f"{side}_{part}") for part in ("knee", "ankle", "foot"))
        over = (_axis(world, knee, 1) * _axis(world, ankle, 1)).sum(-1) < 0
        bone = DEFAULT_SKELETON.offsets[toe] * [1.0, 1.0, 0.0]
        half = np.broadcast_to(quat_from_rotvec(np.pi * bone / np.linalg.norm(bone)), (int(over.sum()), 4))
        for joint in (ankle, toe):
            world[over, joint] = quat_mul(world[over, joint], half)


def hinge_toes(world: np.ndarray) -> None:
    """Toes at the pitch that they have against their foot and no other turn, in place. world: (T, 24, 4)."""
    for side in SIDES:
        ankle, toe = (DEFAULT_SKELETON.index(f"{side}_{part}") for part in ("ankle", "foot"))
        ahead = quat_rotate(quat_conj(world[:, ankle]), _axis(world, toe, 0))
        bend = np.clip(np.arctan2(-ahead[:, 2], ahead[:, 0]), -TOE_FOLD, TOE_FOLD)
        world[:, toe] = quat_mul(world[:, ankle], quat_from_rotvec(bend[:, None] * [0.0, 1.0, 0.0]))


def share_forearm_turns(world: np.ndarray) -> None:
    """The turn of each hand about its forearm, in place: half of it in the elbow, half in the wrist; joints stay where
    they are. world: (T, 24, 4)."""
    for side in SIDES:
        elbow, wrist = (DEFAULT_SKELETON.index(f"{side}_{part}") for part in ("elbow", "wrist"))
        bone = DEFAULT_SKELETON.offsets[wrist] / np.linalg.norm(DEFAULT_SKELETON.offsets[wrist])
        bend = quat_mul(quat_conj(world[:, elbow]), world[:, wrist])
        bend = np.where(bend[:, :1] < 0, -bend, bend)
        half = 0.5 * 2.0 * np.arctan2(bend[:, 1:] @ bone, bend[:, 0])
        world[:, elbow] = quat_mul(world[:, elbow], quat_from_rotvec(half[:, None] * bone))


def turns_from_positions(at: dict[str, np.ndarray], rest: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 24, 4) turns in the world, away from a skeleton's rest pose, of the joints that the default ones follow.

    at: (T, 3) position of each by the default joint's name, metres at any scale; rest: (3,) the same at rest. A joint
    that is missing is where its parent is. Turns about bones are those of hips, shoulders and of the planes in which
    knees and elbows bend.
    """
    posed, resting = rotations_from_positions(at), rotations_from_positions({name: x[None] for name, x in rest.items()})
    return quat_mul(posed, np.broadcast_to(quat_conj(resting), posed.shape))


def rotations_from_positions(at: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 24, 4) world rotations of the default joints by the directions of bones between the joints that they follow.

    at: as in `turns_from_positions`.
    """
    return _posed(_all_joints(at))


def _all_joints(at: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 22, 3) with missing joints at their parents, and a spine joint without a bone below it at the next one."""
    found: list[np.ndarray] = []
    for j, name in enumerate(HUMANML3D_JOINTS):
        found.append(at[name] if name in at else found[DEFAULT_SKELETON.parents[j]])
    for lower, upper in (("spine2", "spine3"), ("spine1", "spine2")):
        j = DEFAULT_SKELETON.index(lower)
        if np.abs(found[j] - found[DEFAULT_SKELETON.parents[j]]).max() < COINCIDENT:
            found[j] = found[DEFAULT_SKELETON.index(upper)]
    return np.stack(found, axis=1)


def _posed(positions: np.ndarray) -> np.ndarray:
    """(T, 24, 4) world rotations of the default joints for positions (T, 22, 3)."""
    root, local = guess_rotations(positions)
    padded = np.zeros((len(root), DEFAULT_SKELETON.num_joints, 4))
    padded[..., 0] = 1.0
    padded[:, : local.shape[1]] = local
    return forward_kinematics(DEFAULT_SKELETON, root, padded)[1]
