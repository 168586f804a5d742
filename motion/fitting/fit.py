"""Joint positions to rotations: what HumanML3D-style generators emit becomes a Clip on the default skeleton.

Positions do not determine a pose (bones turn about themselves) and the emitted bone lengths are not the default body's,
so the fit is a maximum a posteriori estimate: a Gaussian on every joint position, a Gaussian on every joint's rotation
vector (knees and elbows bend about one axis, everything else stays near rest) and one on its deviation from the mean of
the two neighbouring frames. An analytic guess from limb directions and bend planes, then Gauss-Newton steps on all
frames at once. Leaf joints (head, toes, wrists, hands) keep their rest rotation: nothing was said about them.

Lengths: the whole track is scaled by one factor, default leg length over the track's median leg length, so that
planted feet stay planted. Ground: a joints-only file puts its floor under the joints, while the soles of the default
body lie `TOE_HEIGHT` under its toe joints. The clip is raised by exactly that; nothing measured in the clip moves it,
so that its own float and penetration survive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import FITTED, Clip, JointTrack
from ..rotations import (
    quat_between,
    quat_conj,
    quat_from_matrix,
    quat_from_rotvec,
    quat_mul,
    quat_normalize,
    quat_rotate,
    quat_slerp,
    quat_to_matrix,
    quat_to_rotvec,
)
from ..skeleton import DEFAULT_SKELETON, HUMANML3D_JOINTS, Skeleton, forward_kinematics, local_rotations

TOE_HEIGHT = 0.0246
"""Height of the toe joints over the soles of the default body, metres."""

ITERATIONS = 10
BLOCK = 128
"""Frames in one batch of normal equations: what fits into the processor's cache."""
POSITION_SIGMA = 0.010
"""Metres; about what the bone lengths of two bodies differ by."""
FOOT_SIGMA = (0.003, 0.003, 0.001)
"""Ankles and toes, X Y Z, metres: a foot of another length may not change its height over the ground."""
SMOOTH_SIGMA = 0.06
"""Radians from the mean of the neighbouring frames."""
MAX_STEP = 0.6
"""Radians that one step may turn a joint."""

PRIOR: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "hip": ((0.0, 0.0, 0.0), (0.6, 1.2, 0.5)),
    "knee": ((0.0, 0.3, 0.0), (0.12, 1.5, 0.12)),
    "ankle": ((0.0, 0.0, 0.0), (0.3, 0.5, 0.3)),
    "spine1": ((0.0, 0.0, 0.0), (0.3, 0.4, 0.3)),
    "spine2": ((0.0, 0.0, 0.0), (0.3, 0.4, 0.3)),
    "spine3": ((0.0, 0.0, 0.0), (0.3, 0.4, 0.3)),
    "neck": ((0.0, 0.0, 0.0), (0.4, 0.5, 0.3)),
    "collar": ((0.0, 0.0, 0.0), (0.3, 0.2, 0.3)),
    "shoulder": ((0.0, 0.0, 0.0), (1.2, 0.8, 1.2)),
    "elbow": ((0.0, 0.0, -0.4), (0.25, 0.4, 1.5)),
}
"""Mean and standard deviation of a left joint's rotation vector, radians; the right side mirrors X and Z."""

JOINTS = tuple(range(len(HUMANML3D_JOINTS)))
_OTHER_SIDE = {"left": "right", "right": "left"}
MIRROR = tuple(
    HUMANML3D_JOINTS.index("_".join(_OTHER_SIDE.get(word, word) for word in name.split("_")))
    for name in HUMANML3D_JOINTS
)
"""For each joint the one of the other side."""
_BODY = Skeleton(
    DEFAULT_SKELETON.names[: len(JOINTS)],
    DEFAULT_SKELETON.parents[: len(JOINTS)],
    DEFAULT_SKELETON.offsets[: len(JOINTS)],
)
_TURNING = np.array([j for j in JOINTS if _BODY.children[j]])
"""Joints that carry another one; the rest cannot be seen in positions."""


def _descendants() -> np.ndarray:
    mask = np.zeros((len(JOINTS), len(JOINTS)))
    for j in JOINTS[1:]:
        parent = _BODY.parents[j]
        mask[j] = mask[parent]
        mask[j, parent] = 1.0
    return mask[:, _TURNING]


def _prior() -> tuple[np.ndarray, np.ndarray]:
    mean, weight = np.zeros((len(_TURNING), 3)), np.zeros((len(_TURNING), 3))
    for k, j in enumerate(_TURNING[1:], 1):
        side, _, base = _BODY.names[j].rpartition("_")
        mirror = np.array([-1.0, 1.0, -1.0]) if side == "right" else np.ones(3)
        mean[k] = mirror * PRIOR[base][0]
        weight[k] = 1.0 / np.square(PRIOR[base][1])
    return mean, weight


_MASK = _descendants()
_PRIOR_MEAN, _PRIOR_WEIGHT = _prior()
_POSITION_WEIGHT = np.array(
    [
        1.0 / np.square(FOOT_SIGMA if name.endswith(("ankle", "foot")) else (POSITION_SIGMA,) * 3)
        for name in HUMANML3D_JOINTS
    ]
)

Points = dict[str, np.ndarray]
Put = Callable[[str, np.ndarray], None]


@dataclass
class _State:
    root: np.ndarray
    local: np.ndarray


def leg_length(positions: np.ndarray, names: tuple[str, ...]) -> float:
    """Median over frames of thigh plus shin, mean of both legs, metres. positions: (T, J, 3)."""
    total = np.zeros(len(positions))
    for side in ("left", "right"):
        hip, knee, ankle = (positions[:, names.index(f"{side}_{part}")] for part in ("hip", "knee", "ankle"))
        total += np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    return 0.5 * float(np.median(total))


DEFAULT_LEG = leg_length(DEFAULT_SKELETON.rest_positions[None], DEFAULT_SKELETON.names)
"""Thigh plus shin of the default skeleton, metres."""


def is_mirrored(positions: np.ndarray) -> bool:
    """Whether left and right are exchanged in (T, 22, 3) positions: toes and head all point behind the hips' front."""
    at = {name: positions[:, j] for j, name in enumerate(HUMANML3D_JOINTS)}
    forward = np.cross(at["left_hip"] - at["right_hip"], at["neck"] - at["pelvis"])
    pairs = (("left_ankle", "left_foot"), ("right_ankle", "right_foot"), ("neck", "head"))
    return all(((at[tip] - at[base]) * forward).sum(-1).mean() < 0 for base, tip in pairs)


def scaled_track(track: JointTrack) -> tuple[np.ndarray, float]:
    """What `fit_joints` fits: (T, 22, 3) positions scaled by leg length and raised by TOE_HEIGHT, and the scale.

    A mirrored track, which no body can follow, has its left and right joints exchanged.
    """
    if track.names != HUMANML3D_JOINTS:
        raise MotionError(
            f"{track.name}: joints {', '.join(track.names[:4])} ..., expected the 22 joints of HumanML3D in its order"
        )
    leg = leg_length(track.positions, track.names)
    if not 1e-3 < leg < 1e4:
        raise MotionError(f"{track.name}: legs are {leg:.3g} m long, expected joint positions of a person")
    scale = DEFAULT_LEG / leg
    order = MIRROR if is_mirrored(track.positions) else JOINTS
    return scale * track.positions[:, order] + np.array([0.0, 0.0, TOE_HEIGHT]), scale


def fit_joints(track: JointTrack) -> Clip:
    """A joint track as rotations on the default skeleton.

    Mean joint error is measured against `scaled_track`, the track at the default body's size. Raises MotionError unless
    the joints are HumanML3D's 22. The provenance notes hold the scale, the height added and the mean error, mm.
    """
    target, scale = scaled_track(track)
    root, local = solve(target)
    clip = Clip(
        fps=track.fps,
        skeleton=DEFAULT_SKELETON,
        root_pos=root,
        rotations=local,
        texts=track.texts,
        name=track.name,
    )
    error = np.linalg.norm(clip.positions[:, : len(JOINTS)] - target, axis=-1).mean()
    notes: dict[str, Any] = {"scale": scale, "raised_m": TOE_HEIGHT, "fit_error_mm": 1000.0 * float(error)}
    if is_mirrored(track.positions):
        notes["mirrored"] = "toes and head pointed backward: left and right joints were exchanged"
    provenance = replace(track.provenance, stage=FITTED, parent=track.id, notes={**track.provenance.notes, **notes})
    return replace(clip, provenance=provenance)


def solve(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root (T, 3) and local rotations (T, 24, 4) of the default skeleton nearest to targets (T, 22, 3), metres."""
    state = _State(*guess_rotations(target))
    for _ in range(ITERATIONS):
        smooth = _neighbours(state.local[:, _TURNING])
        for start in range(0, len(target), BLOCK):
            part = slice(start, start + BLOCK)
            block = _State(state.root[part], state.local[part])
            state.root[part], state.local[part] = _step(block, target[part], smooth[part])
    local = np.zeros((len(target), DEFAULT_SKELETON.num_joints, 4))
    local[..., 0] = 1.0
    local[:, : len(JOINTS)] = state.local
    return state.root, local


def _neighbours(local: np.ndarray) -> np.ndarray:
    """Mean rotation of the frames before and after; an end frame's is its one neighbour. (T, K, 4)."""
    if len(local) < 2:
        return local
    before = np.concatenate([local[1:2], local[:-1]])
    after = np.concatenate([local[1:], local[-2:-1]])
    sign = np.where((before * after).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return quat_normalize(before + sign * after)


def _step(state: _State, target: np.ndarray, smooth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step on a block of frames; unknowns are the root and a small turn of each joint in its frame."""
    frames, count = len(target), len(_TURNING)
    positions, globals_ = forward_kinematics(_BODY, state.root, state.local)
    axes = quat_to_matrix(globals_[:, _TURNING])
    arms = (positions[:, :, None] - positions[:, None, _TURNING]) * _MASK[:, :, None]
    jacobian = np.zeros((frames, len(JOINTS), 3, 3 * count + 3))
    jacobian[..., 3 * count :] = np.eye(3)
    turns = jacobian[..., : 3 * count].reshape(frames, len(JOINTS), 3, count, 3)
    for row, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
        turns[:, :, row] = axes[:, None, :, a] * arms[..., b, None] - axes[:, None, :, b] * arms[..., a, None]
    jacobian[..., : 3 * count] = turns.reshape(frames, len(JOINTS), 3, 3 * count)
    weighted = (jacobian * _POSITION_WEIGHT[:, :, None]).reshape(frames, -1, 3 * count + 3)
    jacobian = jacobian.reshape(frames, -1, 3 * count + 3)
    hessian = weighted.transpose(0, 2, 1) @ jacobian
    gradient = (weighted.transpose(0, 2, 1) @ (positions - target).reshape(frames, -1, 1))[..., 0]

    local = state.local[:, _TURNING]
    rotvec = quat_to_rotvec(local)
    chain = _rotvec_jacobian(rotvec)
    prior_hessian = chain.swapaxes(-1, -2) @ (chain * _PRIOR_WEIGHT[:, :, None])
    prior_gradient = (chain.swapaxes(-1, -2) @ (_PRIOR_WEIGHT * (rotvec - _PRIOR_MEAN))[..., None])[..., 0]
    weight = 1.0 / SMOOTH_SIGMA**2
    prior_hessian += weight * np.eye(3)
    prior_gradient += weight * quat_to_rotvec(quat_mul(quat_conj(smooth), local))
    blocks = hessian[:, : 3 * count, : 3 * count].reshape(frames, count, 3, count, 3)
    own = np.arange(count)
    blocks[:, own, :, own] += prior_hessian.swapaxes(0, 1)
    hessian[:, : 3 * count, : 3 * count] = blocks.reshape(frames, 3 * count, 3 * count)
    gradient[:, : 3 * count] += prior_gradient.reshape(frames, -1)

    move = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
    turn = move[:, : 3 * count].reshape(frames, count, 3)
    size = np.linalg.norm(turn, axis=-1, keepdims=True)
    turn = turn * np.minimum(1.0, MAX_STEP / np.maximum(size, 1e-9))
    updated = state.local.copy()
    updated[:, _TURNING] = quat_normalize(quat_mul(local, quat_from_rotvec(turn)))
    return state.root + move[:, 3 * count :], updated


def _rotvec_jacobian(rotvec: np.ndarray) -> np.ndarray:
    """Change of a rotation vector by a small turn in the joint's frame: the inverse right Jacobian of SO(3).

    (..., 3) to (..., 3, 3); I + K/2 + (1/a^2 - cot(a/2)/(2a)) K^2 with K the cross product matrix, a the angle.
    """
    angle = np.linalg.norm(rotvec, axis=-1)
    safe = np.maximum(angle, 1e-3)
    factor = np.where(angle < 1e-3, 1.0 / 12.0, 1.0 / safe**2 - 1.0 / (np.tan(0.5 * safe) * 2.0 * safe))
    x, y, z = np.moveaxis(rotvec, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*rotvec.shape, 3)
    return np.eye(3) + 0.5 * cross + factor[..., None, None] * (cross @ cross)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def frame_along(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Quaternion of the frame whose Y is `first` and whose Z is `second` made perpendicular. (..., 3) to (..., 4)."""
    y = _unit(first)
    x = _unit(np.cross(y, second))
    return quat_from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1))


def _turn(first: np.ndarray, second: np.ndarray, rest_first: np.ndarray, rest_second: np.ndarray) -> np.ndarray:
    """World rotation that takes the rest pair of directions to the posed pair, exact for the first."""
    rest = np.broadcast_to(quat_conj(frame_along(rest_first, rest_second)), (*first.shape[:-1], 4))
    return quat_mul(frame_along(first, second), rest)


def guess_rotations(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root (T, 3) and local rotations (T, 22, 4) from targets (T, 22, 3): limb directions, the planes of hips and
    shoulders and the bend planes of knees and elbows."""
    at: Points = {name: target[:, j] for j, name in enumerate(HUMANML3D_JOINTS)}
    rest: Points = dict(zip(HUMANML3D_JOINTS, _BODY.rest_positions, strict=True))
    world = np.zeros((len(target), len(JOINTS), 4))
    world[..., 0] = 1.0

    def put(name: str, rotation: np.ndarray) -> None:
        world[:, _BODY.index(name)] = rotation

    def torso(left: str, right: str, top: str, bottom: str) -> np.ndarray:
        def pair(where: Points) -> tuple[np.ndarray, np.ndarray]:
            return where[left] - where[right], where[top] - where[bottom]

        return _turn(*pair(at), *pair(rest))

    pelvis = torso("left_hip", "right_hip", "spine1", "pelvis")
    chest = torso("left_shoulder", "right_shoulder", "neck", "spine3")
    third = np.full(len(target), 1.0 / 3.0)
    put("pelvis", pelvis)
    put("spine1", quat_slerp(pelvis, chest, third))
    put("spine2", quat_slerp(pelvis, chest, 2.0 * third))
    put("spine3", chest)
    put("neck", _aim(chest, rest["head"] - rest["neck"], at["head"] - at["neck"]))
    put("head", world[:, _BODY.index("neck")])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _guess_leg(side, at, rest, pelvis, put)
        _guess_arm(side, sign, at, rest, chest, put)
    return target[:, 0].copy(), local_rotations(_BODY, world)


def _aim(base: np.ndarray, rest: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The base rotation turned by the smallest angle so that a rest direction points along `direction`."""
    return quat_mul(quat_between(quat_rotate(base, np.broadcast_to(rest, direction.shape)), direction), base)


def _guess_leg(side: str, at: Points, rest: Points, pelvis: np.ndarray, put: Put) -> None:
    hip, knee, ankle, foot = (f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot"))
    thigh, shin, sole = _unit(at[knee] - at[hip]), _unit(at[ankle] - at[knee]), _unit(at[foot] - at[ankle])
    lateral = quat_rotate(pelvis, np.broadcast_to([0.0, 1.0, 0.0], thigh.shape))
    # the bend plane where the knee is bent, the foot's and the pelvis' direction where it is not
    hinge = np.cross(thigh, shin) + 0.2 * np.cross(-shin, sole) + 0.1 * lateral
    axis = np.array([0.0, 1.0, 0.0])
    for name, direction, rest_direction in (
        (hip, thigh, rest[knee] - rest[hip]),
        (knee, shin, rest[ankle] - rest[knee]),
    ):
        put(name, _turn(-direction, hinge, -rest_direction, axis))
    calf = _turn(-shin, hinge, -(rest[ankle] - rest[knee]), axis)
    put(ankle, _aim(calf, rest[foot] - rest[ankle], at[foot] - at[ankle]))
    put(foot, _aim(calf, rest[foot] - rest[ankle], at[foot] - at[ankle]))


def _guess_arm(side: str, sign: float, at: Points, rest: Points, chest: np.ndarray, put: Put) -> None:
    collar, shoulder, elbow, wrist = (f"{side}_{part}" for part in ("collar", "shoulder", "elbow", "wrist"))
    girdle = _aim(chest, rest[shoulder] - rest[collar], at[shoulder] - at[collar])
    put(collar, girdle)
    upper, fore = _unit(at[elbow] - at[shoulder]), _unit(at[wrist] - at[elbow])
    straight = quat_rotate(
        _aim(girdle, rest[elbow] - rest[shoulder], upper), np.broadcast_to([0.0, 0.0, 1.0], upper.shape)
    )
    hinge = -sign * np.cross(upper, fore) + 0.2 * straight
    axis = np.array([0.0, 0.0, 1.0])
    put(shoulder, _turn(upper, hinge, rest[elbow] - rest[shoulder], axis))
    forearm = _turn(fore, hinge, rest[wrist] - rest[elbow], axis)
    put(elbow, forearm)
    put(wrist, forearm)
