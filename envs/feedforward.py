"""Feedforward: the joint torques that a clip itself asks for, so that the servos need not err to produce them.

Inverse dynamics (MuJoCo's `mj_inverse`, contacts off) gives what all joints and the root would have to apply. What the
root asks for must come from the ground: non-negative least squares over friction cone edges at the feet's points finds
the contact forces, and their share is taken off the joints' torques (Wensing and Orin 2013 split it the same way). What
no contact force explains is dropped: the simulator gets no invisible hand.

All frames of a clip are solved at once. With a cost on every force the problem is strictly convex and its dual has six
unknowns, the root's residual, however many edges there are: Newton's method ends at the exact solution in a few steps
(Hintermueller, Ito and Kunisch 2003, "The primal-dual active set strategy as a semismooth Newton method").
"""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.signal import butter, filtfilt

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_conj, quat_rotate
from morphloop.sim import Body

LOW_PASS_HZ = 6.0
"""Accelerations of a generator's clip are noise above this; the analysis band of the metrics."""
FRICTION = 0.8
"""Less than the body's own on the floor, so that what is asked for can be had."""
REACH_M = 0.04
"""A foot's point lower than this may carry load: generators' feet hover by a few centimetres."""
MOMENT_ARM_M = 0.3
"""Metres that weigh an error of moment against one of force."""
LOAD_COST, LOAD_COST_HEIGHT, LOAD_COST_SPEED = 0.02, 0.2, 0.2
"""Weight of load on a point, on one at `REACH_M`, on one that moves at 1 m/s: low and still points carry first."""
EDGES = np.array([[FRICTION, 0, 1], [-FRICTION, 0, 1], [0, FRICTION, 1], [0, -FRICTION, 1]])
NEWTON_STEPS, HALVINGS = 100, 30
TOLERANCE = 1e-12
"""Of the dual's gradient, shares of body weight."""


def feedforward_torques(clip: Clip, qvel: np.ndarray, body: Body) -> np.ndarray:
    """(T, nu) joint torques that a prepared clip asks of the servos, N m, within their limits.

    qvel: (T, nv) generalised velocity of the clip. Zero for clips too short to take an acceleration from.
    """
    model, frames = body.model, clip.num_frames
    b, a = np.asarray(butter(2, LOW_PASS_HZ / (clip.fps / 2.0)))
    if frames <= 3 * len(b) + 3:
        return np.zeros((frames, model.nu))
    qvel = filtfilt(b, a, qvel, axis=0)
    qacc = filtfilt(b, a, np.gradient(qvel, 1.0 / clip.fps, axis=0), axis=0)
    qpos = body.qpos_from_clip(clip)
    need = _inverse_dynamics(body, qpos, qvel, qacc)
    soles, joints, height, speed = _sole_points(clip, body)
    cost_weight = LOAD_COST + LOAD_COST_HEIGHT * np.maximum(height, 0.0) / REACH_M + LOAD_COST_SPEED * speed
    forces = _ground_forces(clip, need[:, :6], soles, np.where(height < REACH_M, cost_weight, np.inf), body.mass * 9.81)
    carried = body.coordinates.torques(qpos, _joint_moments(clip, soles, joints, forces))
    torques = need[:, body.coordinates.servo_dofs] - carried
    limit = model.actuator_forcerange[:, 1]
    return np.clip(torques, -limit, limit)


def _inverse_dynamics(body: Body, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray) -> np.ndarray:
    """(T, nv) generalised forces that make the motion, nothing touching the ground."""
    model = body.model.__copy__()
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    data, need = mujoco.MjData(model), np.empty_like(qvel)
    for t in range(len(qpos)):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[t], qvel[t], qacc[t]
        mujoco.mj_inverse(model, data)
        need[t] = data.qfrc_inverse
    return need


def _sole_points(clip: Clip, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lowest surface (T, P, 3) of the feet's points, their joints (P,), heights (T, P) m and speeds (T, P) m/s."""
    surface = body.surface
    own = surface.foot >= 0
    joints = surface.joint[own]
    centres = clip.positions[:, joints] + quat_rotate(clip.global_rotations[:, joints], surface.local[own])
    soles = centres - surface.radius[own, None] * np.array([0.0, 0.0, 1.0])
    speed = np.linalg.norm(np.gradient(centres, 1.0 / clip.fps, axis=0), axis=-1)
    return soles, joints, soles[..., 2], speed


def _ground_forces(
    clip: Clip, need: np.ndarray, soles: np.ndarray, cost_weight: np.ndarray, weight: float
) -> np.ndarray:
    """(T, P, 3) contact forces in newtons that best supply what the root needs.

    need: (T, 6) force and moment on the root in MuJoCo's frames; soles: (T, P, 3); cost_weight: (T, P), infinite for
    a point that carries nothing; weight: of the body, N.
    """
    frames, points = cost_weight.shape
    scale = np.repeat([1.0 / weight, 1.0 / (weight * MOMENT_ARM_M)], 3)
    edges = np.broadcast_to(EDGES, (frames, points, *EDGES.shape))
    moment = np.cross((soles - clip.root_pos[:, None])[:, :, None], edges)
    inward = quat_conj(clip.rotations[:, 0])[:, None, None]
    wrench = np.concatenate([edges, quat_rotate(inward, moment)], axis=-1).reshape(frames, -1, 6)
    cost = np.repeat(cost_weight, len(EDGES), axis=1) / weight
    load = _least_load((wrench * scale / cost[..., None]).swapaxes(1, 2), need * scale) / cost
    return np.einsum("tpe,ec->tpc", load.reshape(frames, points, -1), EDGES)


def _least_load(system: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """(T, E) loads g >= 0 that minimise |A g - b|^2 + |g|^2 for each A (6, E) of `system`, b (6,) of `goal`.

    The residual r = b - A g minimises |r|^2 / 2 + |max(0, A^T r)|^2 / 2 - b r, and g = max(0, A^T r).
    """
    residual = np.zeros_like(goal)

    def gradient(r: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        g = np.maximum(np.einsum("tie,ti->te", a, r), 0.0)
        value = 0.5 * (r**2).sum(1) + 0.5 * (g**2).sum(1) - (b * r).sum(1)
        return value, r + np.einsum("tie,te->ti", a, g) - b, g

    left = np.arange(len(goal))
    for _ in range(NEWTON_STEPS):
        a, b, r = system[left], goal[left], residual[left]
        value, slope, g = gradient(r, a, b)
        active = a * (g > 0)[:, None]
        step = -np.linalg.solve(np.eye(6) + active @ a.swapaxes(1, 2), slope[..., None])[..., 0]
        fall, length = (slope * step).sum(1), np.ones(len(left))
        for _ in range(HALVINGS):
            short = gradient(r + length[:, None] * step, a, b)[0] > value + 1e-4 * length * fall + TOLERANCE**2
            if not short.any():
                break
            length[short] *= 0.5
        residual[left] = r + length[:, None] * step
        left = left[np.abs(slope).max(axis=1) > TOLERANCE]
        if not len(left):
            break
    return np.maximum(np.einsum("tie,ti->te", system, residual), 0.0)


def _joint_moments(clip: Clip, soles: np.ndarray, joints: np.ndarray, forces: np.ndarray) -> np.ndarray:
    """(T, J, 3) moments of forces (T, P, 3) at `soles` on joints (P,) about the joints, in each joint's own frame; none
    about the root."""
    skeleton = clip.skeleton
    moments = np.zeros((clip.num_frames, skeleton.num_joints, 3))
    for joint in np.unique(joints):
        own = joints == joint
        above = int(joint)
        while above > 0:
            arm = soles[:, own] - clip.positions[:, above, None]
            moments[:, above] += np.cross(arm, forces[:, own]).sum(axis=1)
            above = skeleton.parents[above]
    moments[:, 1:] = quat_rotate(quat_conj(clip.global_rotations[:, 1:]), moments[:, 1:])
    return moments
