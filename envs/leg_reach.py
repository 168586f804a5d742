"""Legs that put their ankles where they are asked to, the feet keeping their turn in the world.

Legs whose joints turn freely are solved in closed form (law of cosines). Legs of hinges are solved numerically, all
frames at once: damped least squares on position and turn of the ankle (Wampler 1986, Nakamura and Hanafusa 1986), from
the angles that the clip has, within the hinges' ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.rotations import (
    quat_between,
    quat_conj,
    quat_from_rotvec,
    quat_mul,
    quat_rotate,
    quat_to_rotvec,
)
from morphloop.motion.skeleton import forward_kinematics
from morphloop.sim import Body

ITERATIONS = 25
DAMPING = 1e-3
"""Of the squares: metres for the position, `TURN_WEIGHT` metres for a radian of turn."""
TURN_WEIGHT = 0.15
"""About the length of a foot: the turn counts as its ends' travel does."""
REACHED = 1e-5
"""Largest residual at which the iterations end."""
LARGEST_STEP = 0.3
"""Radians that a hinge turns in one iteration."""
KNEE_SAMPLES = 181


def reach(
    clip: Clip, rotations: np.ndarray, leg: np.ndarray, shift: np.ndarray, goal: np.ndarray, body: Body
) -> np.ndarray:
    """Local rotations (T, J, 4), those given with one leg moved so that its ankle reaches `goal` from the shifted root.

    leg: (3,) hip, knee and ankle; shift: (T, 3) of the root; goal: (T, 3), both metres. What is out of reach leaves the
    leg stretched towards it.
    """
    if body.turns_freely[leg].all():
        return _reach_freely(clip, rotations, leg, shift, goal)
    return _reach_by_hinges(clip, rotations, leg, shift, goal, body)


@lru_cache(maxsize=8)
def leg_lengths(body: Body) -> tuple[float, ...]:
    """Largest distance of the hip to the ankle that each leg stretches to, metres, left first."""
    offsets = body.skeleton.offsets
    if body.turns_freely[body.legs].all():
        return tuple(float(np.linalg.norm(offsets[[knee, ankle]], axis=1).sum()) for _, knee, ankle in body.legs)
    found = []
    for hip, knee, ankle in body.legs:
        chain = _chain(body, int(ankle))
        angles = np.tile(np.clip(0.0, chain.low, chain.high), (KNEE_SAMPLES, 1))
        for own in np.flatnonzero(chain.joint == knee):
            low, high = max(chain.low[own], -np.pi), min(chain.high[own], np.pi)
            angles[:, own] = np.linspace(low, high, KNEE_SAMPLES)
        local = np.tile(body.rest, (KNEE_SAMPLES, 1, 1))
        chain.turn(local, angles)
        positions, _ = forward_kinematics(body.skeleton, np.zeros((KNEE_SAMPLES, 3)), local)
        found.append(float(np.linalg.norm(positions[:, ankle] - positions[:, hip], axis=1).max()))
    return tuple(found)


def _reach_freely(
    clip: Clip, rotations: np.ndarray, leg: np.ndarray, shift: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """The knee bends about its own axis and the hip swings the shortest way, so that the leg keeps its plane."""
    hip, knee, ankle = (clip.positions[:, j] + shift for j in leg)
    world = [clip.global_rotations[:, j] for j in leg]
    upper, lower = knee - hip, ankle - knee
    a, b = np.linalg.norm(upper, axis=-1), np.linalg.norm(lower, axis=-1)
    stretched = np.linalg.norm(upper + lower, axis=-1)  # a leg that is straighter yet may stay as straight
    shortest, longest = np.minimum(np.abs(a - b) + 0.05, stretched), np.maximum(0.9995 * (a + b), stretched)
    wanted = np.clip(np.linalg.norm(goal - hip, axis=-1), shortest, longest)
    bent = np.arccos(np.clip((upper * lower).sum(-1) / (a * b), -1.0, 1.0))
    asked = np.arccos(np.clip((wanted**2 - a**2 - b**2) / (2.0 * a * b), -1.0, 1.0))
    side = quat_rotate(world[1], np.broadcast_to([0.0, 1.0, 0.0], upper.shape))
    normal = np.cross(upper, lower)
    normal = np.where(bent[:, None] > 0.05, normal, side * a[:, None] * b[:, None] * 0.05)
    axis = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    fold = quat_from_rotvec(axis * (asked - bent)[:, None])
    lower = quat_rotate(fold, lower)
    swing = quat_between(upper + lower, goal - hip)
    parent = clip.global_rotations[:, clip.skeleton.parents[leg[0]]]
    new_hip = quat_mul(swing, world[0])
    new_knee = quat_mul(swing, quat_mul(fold, world[1]))
    out = rotations.copy()
    out[:, leg[0]] = quat_mul(quat_conj(parent), new_hip)
    out[:, leg[1]] = quat_mul(quat_conj(new_hip), new_knee)
    out[:, leg[2]] = quat_mul(quat_conj(new_knee), world[2])
    return out


@dataclass(frozen=True)
class _Chain:
    """The N joints of one leg alone, down to its ankle, and their H hinges in the order in which they turn.

    base: the joint that it hangs on, which both legs share; joints: (N,) of the skeleton; joint: (H,) that each hinge
    turns; axis: (H, 3) in it; zero, low, high: (H,) radians; index: (H,) among all of the body's hinges; rest: (J, 4).
    """

    base: int
    joints: tuple[int, ...]
    joint: np.ndarray
    axis: np.ndarray
    zero: np.ndarray
    low: np.ndarray
    high: np.ndarray
    index: np.ndarray
    rest: np.ndarray

    def turn(self, local: np.ndarray, angles: np.ndarray) -> None:
        """Put angles (T, H) into local rotations (T, J, 4)."""
        for joint in self.joints:
            local[:, joint] = self.rest[joint]
        for h, joint in enumerate(self.joint):
            turn = quat_from_rotvec((angles[:, h, None] - self.zero[h]) * self.axis[h])
            local[:, joint] = quat_mul(local[:, joint], turn)


def _chain(body: Body, ankle: int) -> _Chain:
    """The chain that ends in an ankle. What the other leg hangs on as well, as a waist under the root, is not in it."""
    mine, other = (_ancestors(body, int(end)) for end in (ankle, next(leg[2] for leg in body.legs if leg[2] != ankle)))
    joints = [joint for joint in mine if joint not in other]
    own = [h for h, hinge in enumerate(body.hinges) if hinge.joint in joints]
    hinges = [body.hinges[h] for h in own]
    return _Chain(
        body.skeleton.parents[joints[0]],
        tuple(joints),
        np.array([hinge.joint for hinge in hinges]),
        np.array([hinge.axis for hinge in hinges]),
        np.array([hinge.zero for hinge in hinges]),
        np.array([hinge.low for hinge in hinges]),
        np.array([hinge.high for hinge in hinges]),
        np.array(own),
        body.rest,
    )


def _ancestors(body: Body, joint: int) -> list[int]:
    """Joints from under the root down to `joint`."""
    found = []
    while joint > 0:
        found.append(joint)
        joint = body.skeleton.parents[joint]
    return found[::-1]


def _reach_by_hinges(
    clip: Clip, rotations: np.ndarray, leg: np.ndarray, shift: np.ndarray, goal: np.ndarray, body: Body
) -> np.ndarray:
    ankle = int(leg[2])
    chain = _chain(body, ankle)
    angles = body.qpos_from_clip(clip)[:, body.model.jnt_qposadr[body.hinge_ids[chain.index]]]
    low, high = np.minimum(chain.low, angles), np.maximum(chain.high, angles)  # a clip that is beyond them stays there
    base, turned = clip.positions[:, chain.base] + shift, clip.global_rotations[:, ankle]
    square = DAMPING * np.eye(6)
    for _ in range(ITERATIONS):
        end, facing, columns = _ends(chain, body, base, clip.global_rotations[:, chain.base], angles)
        short = quat_to_rotvec(quat_mul(turned, quat_conj(facing)))
        residual = np.concatenate([goal - end, TURN_WEIGHT * short], axis=1)
        if np.abs(residual).max() < REACHED:
            break
        columns[:, 3:] *= TURN_WEIGHT
        inner = columns @ columns.transpose(0, 2, 1) + square
        step = np.einsum("tih,ti->th", columns, np.linalg.solve(inner, residual[..., None])[..., 0])
        angles = np.clip(angles + np.clip(step, -LARGEST_STEP, LARGEST_STEP), low, high)
    out = rotations.copy()
    chain.turn(out, angles)
    return out


def _ends(
    chain: _Chain, body: Body, base: np.ndarray, facing: np.ndarray, angles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place (T, 3), turn (T, 4) and Jacobian (T, 6, H) of a chain's end, of its base's place, turn and angles."""
    place, turn, points, axes = base, facing, [], []
    for joint in chain.joints:
        place = place + quat_rotate(turn, np.broadcast_to(body.skeleton.offsets[joint], place.shape))
        turn = quat_mul(turn, np.broadcast_to(chain.rest[joint], turn.shape))
        for h in np.flatnonzero(chain.joint == joint):
            axes.append(quat_rotate(turn, np.broadcast_to(chain.axis[h], place.shape)))
            points.append(place)
            turn = quat_mul(turn, quat_from_rotvec((angles[:, h, None] - chain.zero[h]) * chain.axis[h]))
    axis = np.stack(axes, axis=2)
    arm = place[..., None] - np.stack(points, axis=2)
    return place, turn, np.concatenate([np.cross(axis, arm, axis=1), axis], axis=1)
