"""The coordinates of a body with a free root, ball joints and hinges: what MuJoCo's qpos and qvel mean, joint by joint.

qpos lives on a manifold: places and hinge angles add up, the root's and ball joints' quaternions turn. Changes live in
its tangent space, laid out as qvel is: a quaternion's is a rotation vector in the turned frame (`mj_differentiatePos`,
`mj_integratePos`). Everything works on batches, in NumPy or in torch on one device, by few large operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import mujoco
import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.motion.robot import Hinge
from morphloop.motion.rotations import (
    Array,
    quat_conj,
    quat_from_rotvec,
    quat_mul,
    quat_normalize,
    quat_rotate,
    quat_to_rotvec,
)


@dataclass(frozen=True, eq=False)
class HingeRow:
    """At most one hinge of each joint, those that turn alike early in their joint's row of hinges.

    joint: (K,) of the skeleton; axis: (K, 3) in the joint's frame; zero: (K,) angle at
    which the joint stands as built, radians; qpos, qvel: (K,) where angle and speed stand.
    """

    joint: Array
    axis: Array
    zero: Array
    qpos: Array
    qvel: Array

    def turn(self, qpos: Array) -> Array:
        """(N, K, 4) rotations by these hinges of qpos (N, nq)."""
        angle = qpos[:, self.qpos] - _like(self.zero, qpos)
        return quat_from_rotvec(angle[..., None] * _like(self.axis, qpos))


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Where everything stands, of J joints; index arrays of NumPy, or of torch on the device of the states.

    place_qpos, place_qvel: (P,) of what adds up, the root's place and hinge angles; turn_joint: (B,) joints with a
    quaternion, the root first, turn_qpos: (B, 4), turn_qvel: (B, 3); rest: (J, 4) local rotations as built; hinge_rows:
    all hinges, see `HingeRow`; servo_dofs: (nu,) where the speed of each servo's degree of freedom stands in qvel.
    """

    nv: int
    joints: int
    place_qpos: Array
    place_qvel: Array
    turn_joint: Array
    turn_qpos: Array
    turn_qvel: Array
    rest: Array
    hinge_rows: tuple[HingeRow, ...]
    servo_dofs: Array

    def to(self, device: torch.device | str) -> Coordinates:
        """For torch states on a device."""

        def moved(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(HingeRow(**{f.name: moved(getattr(row, f.name)) for f in fields(row)}) for row in value)
            return torch.as_tensor(value, device=device) if isinstance(value, np.ndarray) else value

        return Coordinates(**{f.name: moved(getattr(self, f.name)) for f in fields(self)})

    def difference(self, start: Array, end: Array) -> Array:
        """(N, nv) tangent from qpos `start` to qpos `end`, (N, nq) each."""
        turned = quat_mul(quat_conj(start[:, self.turn_qpos]), end[:, self.turn_qpos])
        return self._tangent(end[:, self.place_qpos] - start[:, self.place_qpos], quat_to_rotvec(turned))

    def integrate(self, qpos: Array, change: Array) -> Array:
        """(N, nq) of qpos (N, nq) moved by a tangent (N, nv)."""
        out = qpos.clone() if isinstance(qpos, torch.Tensor) else qpos.copy()
        out[:, self.place_qpos] += change[:, self.place_qvel]
        out[:, self.turn_qpos] = quat_mul(qpos[:, self.turn_qpos], quat_from_rotvec(change[:, self.turn_qvel]))
        return out

    def between(self, start: torch.Tensor, end: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """(N, nq) a `share` (N,) of the way from one qpos to another: what adds up on a line, quaternions on the line
        between them the short way, normalised."""
        out = torch.lerp(start, end, share[:, None])
        first, last = start[:, self.turn_qpos], end[:, self.turn_qpos]
        near = torch.where((first * last).sum(-1, keepdim=True) < 0, -last, last)
        out[:, self.turn_qpos] = quat_normalize(torch.lerp(first, near, share[:, None, None]))
        return out

    def velocity(self, qpos: np.ndarray, fps: float) -> np.ndarray:
        """(T, nv) qvel of a motion qpos (T, nq) by central differences in the tangent space, one-sided at the ends."""
        frames = len(qpos)
        if frames < 2:
            return np.zeros((frames, self.nv))
        turns = np.ascontiguousarray(qpos[:, self.turn_qpos])
        before, after = np.concatenate([turns[:1], turns[:-1]]), np.concatenate([turns[1:], turns[-1:]])
        span = np.full(frames, 2.0 / fps)
        span[[0, -1]] = 1.0 / fps
        spin = quat_to_rotvec(quat_mul(quat_conj(before), after)) / span[:, None, None]
        return self._tangent(np.gradient(qpos[:, self.place_qpos], 1.0 / fps, axis=0), spin)

    def servo_angles(self, qpos: Array) -> Array:
        """(N, nu) the angle that each servo sees in qpos (N, nq), radians: a hinge's own, a component of a ball joint's
        rotation vector."""
        return self._tangent(qpos[:, self.place_qpos], quat_to_rotvec(qpos[:, self.turn_qpos]))[:, self.servo_dofs]

    def local_rotations(self, qpos: Array) -> Array:
        """(N, J, 4) local rotations of the joints, the root's in the world, of qpos (N, nq)."""
        turns = qpos[:, self.turn_qpos]
        if not self.hinge_rows:
            return turns
        local = _zeros(qpos, self.joints, 4) + _like(self.rest, qpos)
        local[:, self.turn_joint] = turns
        for row in self.hinge_rows:
            local[:, row.joint] = quat_mul(local[:, row.joint], row.turn(qpos))
        return local

    def local_spins(self, qpos: Array, qvel: Array) -> Array:
        """(N, J, 3) angular velocity of each joint against its parent, in the joint's own turned frame, rad/s."""
        spins = qvel[:, self.turn_qvel]
        if not self.hinge_rows:
            return spins
        local = _zeros(qpos, self.joints, 3)
        local[:, self.turn_joint] = spins
        for row in self.hinge_rows:
            own = _like(row.axis, qpos) * qvel[:, row.qvel][..., None]
            local[:, row.joint] = quat_rotate(quat_conj(row.turn(qpos)), local[:, row.joint]) + own
        return local

    def torques(self, qpos: Array, moments: Array) -> Array:
        """(N, nu) what moments (N, J, 3) at the joints, in the joints' own turned frames, do to the servos' degrees of
        freedom, N m."""
        out = self._tangent(_zeros(qpos, len(self.place_qpos)), moments[:, self.turn_joint])
        after = _zeros(qpos, self.joints, 4)
        after[..., 0] = 1.0
        for row in reversed(self.hinge_rows):
            axis = quat_rotate(quat_conj(after[:, row.joint]), _like(row.axis, qpos))
            out[:, row.qvel] = (axis * moments[:, row.joint]).sum(-1)
            after[:, row.joint] = quat_mul(row.turn(qpos), after[:, row.joint])
        return out[:, self.servo_dofs]

    def _tangent(self, places: Array, turns: Array) -> Array:
        """(N, nv) of places (N, P) and turns (N, B, 3)."""
        out = _zeros(places, self.nv)
        out[:, self.place_qvel] = places
        out[:, self.turn_qvel] = turns
        return out


def coordinates(
    model: mujoco.MjModel, bodies: np.ndarray, rest: np.ndarray, hinges: Sequence[Hinge], hinge_ids: np.ndarray
) -> Coordinates:
    """The coordinates of a model's only tree, whose first joint is free.

    bodies: (J,) MuJoCo's body of each joint; rest: (J, 4); hinges: with MuJoCo's joint of each, hinge_ids (H,).
    """
    first = model.body_jntadr[bodies]
    kinds = np.where(first >= 0, model.jnt_type[np.maximum(first, 0)], -1)
    balls = np.flatnonzero(kinds == mujoco.mjtJoint.mjJNT_BALL)
    turn_joint = np.concatenate([[0], balls]).astype(int)
    joints = first[turn_joint]
    root = joints[0]
    turn_qpos, turn_qvel = model.jnt_qposadr[joints].astype(int), model.jnt_dofadr[joints].astype(int)
    place_qpos = np.concatenate([turn_qpos[0] + np.arange(3), model.jnt_qposadr[hinge_ids]]).astype(int)
    place_qvel = np.concatenate([turn_qvel[0] + np.arange(3), model.jnt_dofadr[hinge_ids]]).astype(int)
    assert model.jnt_type[root] == mujoco.mjtJoint.mjJNT_FREE
    turn_qpos[0] += 3
    turn_qvel[0] += 3
    return Coordinates(
        nv=model.nv,
        joints=len(bodies),
        place_qpos=place_qpos,
        place_qvel=place_qvel,
        turn_joint=turn_joint,
        turn_qpos=turn_qpos[:, None] + np.arange(4),
        turn_qvel=turn_qvel[:, None] + np.arange(3),
        rest=rest,
        hinge_rows=_hinge_rows(model, hinges, hinge_ids),
        servo_dofs=servo_dofs(model),
    )


def _hinge_rows(model: mujoco.MjModel, hinges: Sequence[Hinge], ids: np.ndarray) -> tuple[HingeRow, ...]:
    """The first hinge of every joint, then the second ones, and so on."""
    seen: dict[int, int] = {}
    rank = []
    for hinge in hinges:
        rank.append(seen.get(hinge.joint, 0))
        seen[hinge.joint] = rank[-1] + 1
    rows = []
    for k in range(max(rank, default=-1) + 1):
        own = [h for h, place in enumerate(rank) if place == k]
        rows.append(
            HingeRow(
                joint=np.array([hinges[h].joint for h in own]),
                axis=np.array([hinges[h].axis for h in own], float),
                zero=np.array([hinges[h].zero for h in own], float),
                qpos=model.jnt_qposadr[ids[own]].astype(int),
                qvel=model.jnt_dofadr[ids[own]].astype(int),
            )
        )
    return tuple(rows)


def servo_dofs(model: mujoco.MjModel) -> np.ndarray:
    """(nu,) the degree of freedom that each servo drives. MotionError for an actuator that drives more or less than
    one, or through a gear: PD targets are angles."""
    found = []
    for k in range(model.nu):
        joint, gear = model.actuator_trnid[k, 0], model.actuator_gear[k]
        width = 3 if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL else 1
        on_joint = model.actuator_trntype[k] == mujoco.mjtTrn.mjTRN_JOINT
        if not on_joint or np.count_nonzero(gear[:width]) != 1 or gear[:width].max() != 1.0:
            raise MotionError(f"actuator '{model.actuator(k).name}': expected a servo of one joint, without a gear")
        found.append(model.jnt_dofadr[joint] + gear[:width].argmax())
    return np.array(found, int)


def _zeros(like: Array, *shape: int) -> Array:
    """(N, *shape) zeros of the kind of `like` (N, ...)."""
    if isinstance(like, torch.Tensor):
        return like.new_zeros(len(like), *shape)
    return np.zeros((len(like), *shape), like.dtype)


def _like(values: Array, like: Array) -> Array:
    """Values in the precision of `like`."""
    return values.to(like.dtype) if isinstance(values, torch.Tensor) else values.astype(like.dtype, copy=False)
