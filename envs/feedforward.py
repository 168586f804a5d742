"""Feedforward: the joint torques that a clip itself asks for, so that the servos need not err to produce them.

Inverse dynamics (MuJoCo's `mj_inverse`, contacts off) gives what all joints and the root would have to apply. What the
root asks for must come from the ground: non-negative least squares over friction cone edges at the feet's points finds
the contact forces, and their share is taken off the joints' torques (Wensing and Orin 2013 split it the same way). What
no contact force explains is dropped: the simulator gets no invisible hand.
"""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.optimize import nnls
from scipy.signal import butter, filtfilt

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_rotate
from morphloop.sim import Body

LOW_PASS_HZ = 6.0
"""Accelerations of a generator's clip are noise above this; the analysis band of the metrics."""
FRICTION = 0.8
"""Less than the body's own on the floor, so that what is asked for can be had."""
REACH_M = 0.04
"""A foot's point lower than this may carry load: generators' feet hover by a few centimetres."""
MOMENT_ARM_M = 0.3
"""Metres that weigh an error of moment against one of force."""
PRICE, PRICE_HEIGHT, PRICE_SPEED = 0.02, 0.2, 0.2
"""Price of load on a point, on one at `REACH_M`, on one that moves at 1 m/s: low and still points carry first."""
EDGES = np.array([[FRICTION, 0, 1], [-FRICTION, 0, 1], [0, FRICTION, 1], [0, -FRICTION, 1]])


def feedforward_torques(clip: Clip, qvel: np.ndarray, body: Body) -> np.ndarray:
    """(T, nu) joint torques that a prepared clip asks of the servos, N m, within their limits.

    qvel: (T, nv) generalised velocity of the clip. Zero for clips too short to take an acceleration from.
    """
    model, frames = body.model, clip.num_frames
    torques = np.zeros((frames, model.nu))
    filter_ = butter(2, LOW_PASS_HZ / (clip.fps / 2.0))
    if frames <= 3 * len(filter_[0]) + 3:
        return torques
    qvel = filtfilt(*filter_, qvel, axis=0)
    qacc = filtfilt(*filter_, np.gradient(qvel, 1.0 / clip.fps, axis=0), axis=0)
    qpos = body.qpos_from_clip(clip)
    soles, joints, height, speed = _sole_points(clip, body)
    inverse = _InverseDynamics(body)
    for t in range(frames):
        near = np.flatnonzero(height[t] < REACH_M)
        price = PRICE + PRICE_HEIGHT * np.maximum(height[t, near], 0.0) / REACH_M + PRICE_SPEED * speed[t, near]
        torques[t] = inverse(qpos[t], qvel[t], qacc[t], soles[t, near], joints[near], price)
    limit = model.actuator_forcerange[:, 1]
    return np.clip(torques, -limit, limit)


def _sole_points(clip: Clip, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lowest surface (T, P, 3) of the feet's points, their joints (P,), heights (T, P) m and speeds (T, P) m/s."""
    surface = body.surface
    own = surface.foot >= 0
    joints = surface.joint[own]
    centres = clip.positions[:, joints] + quat_rotate(clip.global_rotations[:, joints], surface.local[own])
    soles = centres - surface.radius[own, None] * np.array([0.0, 0.0, 1.0])
    speed = np.linalg.norm(np.gradient(centres, 1.0 / clip.fps, axis=0), axis=-1)
    return soles, joints, soles[..., 2], speed


class _InverseDynamics:
    """`mj_inverse` of one body without contacts, and the share of the ground taken off."""

    def __init__(self, body: Body):
        self.body, self.data = body, mujoco.MjData(body.model)
        self.weight = body.mass * 9.81
        self.scale = np.repeat([1.0 / self.weight, 1.0 / (self.weight * MOMENT_ARM_M)], 3)
        self.joint_dofs = body.dof_ids[1:].reshape(-1)

    def __call__(
        self,
        qpos: np.ndarray,
        qvel: np.ndarray,
        qacc: np.ndarray,
        soles: np.ndarray,
        joints: np.ndarray,
        price: np.ndarray,
    ) -> np.ndarray:
        """(nu,) torques for one frame; soles (P, 3) points that may carry load, on joints (P,), at price (P,)."""
        model, data = self.body.model, self.data
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos, qvel, qacc
        flags = model.opt.disableflags
        model.opt.disableflags = flags | mujoco.mjtDisableBit.mjDSBL_CONTACT
        try:
            mujoco.mj_inverse(model, data)
        finally:
            model.opt.disableflags = flags
        need = data.qfrc_inverse.copy()
        if len(soles):
            need -= self._ground(need, soles, joints, price)
        return need[self.joint_dofs]

    def _ground(self, need: np.ndarray, soles: np.ndarray, joints: np.ndarray, price: np.ndarray) -> np.ndarray:
        """(nv,) generalised force of the contact forces that best supply the root's share of `need`."""
        jacobian = np.zeros((3, self.body.model.nv))
        columns = []
        for point, joint in zip(soles, joints, strict=True):
            mujoco.mj_jac(self.body.model, self.data, jacobian, None, point, int(self.body.body_ids[joint]))
            columns.append(jacobian.T @ EDGES.T)
        edges = np.concatenate(columns, axis=1)
        system = np.vstack([edges[:6] * self.scale[:, None], np.diag(np.repeat(price, len(EDGES))) / self.weight])
        goal = np.concatenate([need[:6] * self.scale, np.zeros(edges.shape[1])])
        load, _ = nnls(system * self.weight, goal)
        return edges @ (load * self.weight)
