"""The physical quality score that LIMMT filters data sets by: 100 less a weighted sum of six defects.

Definitions, thresholds and weights are those of its published code (any4hdmi, `limmt/physical_filter.py`), which knows
the G1 alone and keeps clips from 90 up. Three words have a wider sense here, the same on the G1: a foot is near the
ground where the origin of its first segment is less than 15 mm higher than on a flat sole (50 mm on the G1); a ball
joint counts as one joint by its speed; joints whose limit nobody tells have 30 rad/s. Contacts are those of the body's
own model, so a body without self-collision has none. The score is taken at the clip's own rate, as there.
"""

from __future__ import annotations

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.rotations import quat_conj, quat_mul, quat_to_rotvec
from morphloop.sim.bodies.body import Body

from .clip_context import Context
from .dynamics import built_pose

WEIGHTS = {
    "slide": 1.70,
    "speed": 44.22,
    "self-contact": 0.17,
    "jerk": 0.28,
    "penetration": 216.62,
    "float": 24.19,
}
"""Points that one of each defect costs."""
FOOT_LIFT_M = 0.015
SLIDE_SPEED, SLIDE_SCALE = 0.10, 5.0
"""m/s a foot near the ground may move at, and what each m/s over it counts."""
SPEED_LIMIT = 30.0
"""rad/s, of joints whose limit nobody tells."""
JERK_SCALE = 0.01
MOST_CONTACTS = 10
DEEP_M = 0.01
FLOAT_M, FLOAT_S = 0.05, 1.0
KEPT = 90.0
"""LIMMT keeps a clip of this score or more."""
DEFINITIONS = {
    "slide": f"mean over frames of {SLIDE_SCALE:g} x the sum over feet near the ground of what exceeds "
    f"{SLIDE_SPEED:g} m/s",
    "speed": "mean over frames and joints of what exceeds the joint's speed limit, rad/s",
    "self-contact": f"mean number of contacts of the body with itself, at most {MOST_CONTACTS}",
    "jerk": f"mean of {JERK_SCALE:g} x the size of the generalised acceleration",
    "penetration": f"mean of the depth beyond {1e3 * DEEP_M:g} mm, metres",
    "float": f"share of frames that are {1e3 * FLOAT_M:g} mm or more over the ground for {FLOAT_S:g} s around",
}

Values = dict[str, float | None]


def limmt_score(seen: Context) -> Values:
    """`limmt_score`: 100 less the defects by their weights, 0 at worst; None in the joints variant, and of fewer than
    three frames."""
    found = limmt_defects(seen)
    if found is None:
        return {"limmt_score": None}
    return {"limmt_score": max(0.0, 100.0 - sum(WEIGHTS[name] * defect for name, defect in found.items()))}


def limmt_defects(seen: Context) -> dict[str, float] | None:
    """Every defect of `WEIGHTS` by its definition; None where the score is."""
    clip, points, body = seen.motion, seen.points, seen.body
    if points.matrices is None or not isinstance(clip, Clip) or clip.num_frames < 3:
        return None
    spins = _spins(clip)
    speeds = np.linalg.norm(spins[:, 1:], axis=-1)
    moves = np.concatenate([np.diff(clip.root_pos, axis=0)[:, None] * clip.fps, spins], axis=1)
    turns = np.linalg.norm(np.diff(moves, axis=0).reshape(len(moves) - 1, -1), axis=1) * clip.fps
    return {
        "slide": _slide(seen),
        "speed": float(np.maximum(speeds - _limits(body), 0.0).mean()),
        "self-contact": _self_contacts(body, clip),
        "jerk": float(JERK_SCALE * turns.mean()),
        "penetration": float(np.maximum(-points.lowest - DEEP_M, 0.0).mean()),
        "float": _afloat(points.lowest, clip.fps),
    }


def _spins(clip: Clip) -> np.ndarray:
    """(T - 1, J, 3) angular velocity of each joint in its own frame from frame to frame, rad/s."""
    return quat_to_rotvec(quat_mul(quat_conj(clip.rotations[:-1]), clip.rotations[1:])) * clip.fps


def _limits(body: Body) -> np.ndarray:
    """(J - 1,) speed limit of each joint but the root, rad/s; of several hinges, which turn about axes at right angles,
    that of all of them at their own."""
    try:
        dofs = body.description.dofs
    except MotionError:  # a robot that is measured and not driven tells none
        dofs = {}
    squares = np.zeros(body.skeleton.num_joints)
    for hinge in body.hinges:
        told = dofs[hinge.name].speed if hinge.name in dofs else None
        squares[hinge.joint] += (SPEED_LIMIT if told is None else told) ** 2
    return np.where(squares > 0.0, np.sqrt(squares), SPEED_LIMIT)[1:]


def _slide(seen: Context) -> float:
    points, (rest, turn) = seen.points, built_pose(seen.body)
    slid = np.zeros(points.num_frames)
    for side in (0, 1):
        own = np.flatnonzero(points.foot == side)
        heel = int(points.joint[own].min())
        joint = points.joint[own]
        sole = rest[joint, 2] + np.einsum("pi,pi->p", turn[joint, 2], points.local[own]) - points.radius[own]
        place = points.positions[:, heel]
        near = place[:, 2] < rest[heel, 2] - sole.min() + FOOT_LIFT_M
        speed = np.linalg.norm(np.gradient(place[:, :2], 1.0 / points.fps, axis=0), axis=1)
        slid += near * np.maximum(speed - SLIDE_SPEED, 0.0)
    return float(SLIDE_SCALE * slid.mean())


def _self_contacts(body: Body, clip: Clip) -> float:
    model = body.model
    own = np.flatnonzero(model.geom_bodyid > 0)
    kind, affinity = model.geom_contype[own], model.geom_conaffinity[own]
    if not ((kind[:, None] & affinity) != 0).any():
        return 0.0
    data, counts = mujoco.MjData(model), np.zeros(clip.num_frames)
    for frame, qpos in enumerate(body.qpos_from_clip(clip)):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        counts[frame] = (model.geom_bodyid[data.contact.geom] > 0).all(axis=1).sum()
    return float(np.minimum(counts, MOST_CONTACTS).mean())


def _afloat(lowest: np.ndarray, fps: float) -> float:
    window = max(1, int(FLOAT_S * fps))
    up = np.convolve(lowest > FLOAT_M, np.ones(window), mode="same")
    return float((up >= window - 0.1).mean())
