"""What a robot's poses may not do: hinges beyond their ranges or faster than their motors, links in the ground or in
other links. Each is a limit of mink's quadratic programs, rows times the change of pose at most so much."""

from __future__ import annotations

import mink
import mujoco
import numpy as np

from ..bodies.description import Dof
from ..bodies.mjcf_body import RobotBody
from .rest import rest_pose

LARGEST_STEP = 0.5
"""Radians that a hinge turns in one step."""
SPEED_SHARE = 0.999
"""Of a motor's speed that is used, so that a clip in single precision keeps to it."""
UNLIMITED = 1e3
"""Radians; the range of a hinge that has none."""
NEAR_GROUND_M = 0.05
POINTS = 4
"""Of a link that are kept over the ground at a time."""
NEAR_LINKS_M, LINKS_APART_M = 0.04, 0.002
"""Metres at which the ground and other links begin to count, and that links stay apart."""


class Hinges(mink.Limit):
    """Hinges stay within their ranges and within what their motors turn them to from the frame before; elbows and knees
    on the side on which they bend."""

    def __init__(self, body: RobotBody):
        model, hinges = body.model, body.robot.hinges
        self.qpos = model.jnt_qposadr[body.hinge_ids]
        own = np.eye(model.nv)[model.jnt_dofadr[body.hinge_ids]]
        self._rows = np.concatenate([own, -own])
        self._range = np.clip([[h.low for h in hinges], [h.high for h in hinges]], -UNLIMITED, UNLIMITED)
        for hinge, (straight, sign) in rest_pose(body).bends.items():
            low, high = self._range[:, hinge]
            self._range[0 if sign > 0.0 else 1, hinge] = np.clip(straight, low, high)
        known = [body.description.dofs.get(hinge.name, Dof()).speed for hinge in hinges]
        self._speed = SPEED_SHARE * np.array([np.inf if speed is None else speed for speed in known])
        self._low, self._high = self._range

    def hold(self, qpos: np.ndarray | None, seconds: float) -> None:
        """Let hinges turn from pose (nq,) for so long, as far as they can without one."""
        self._low, self._high = self._range
        if qpos is not None:
            angles, most = qpos[self.qpos], self._speed * seconds
            self._low, self._high = np.maximum(self._low, angles - most), np.minimum(self._high, angles + most)

    def clip(self, qpos: np.ndarray) -> None:
        """Put a pose (nq,) within the limits, in place."""
        qpos[self.qpos] = np.clip(qpos[self.qpos], self._low, self._high)

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        angles = configuration.data.qpos[self.qpos]
        room = np.concatenate([self._high - angles, angles - self._low])
        return mink.Constraint(self._rows, np.clip(room, 0.0, LARGEST_STEP))


class Obstacle(mink.Limit):
    """What links may not get into. push: metres that what is in it must come out in this step."""

    push = 0.0

    def near(self, configuration: mink.Configuration) -> tuple[list[np.ndarray], list[float]]:
        """Rows (nv,) by which a change of pose comes nearer, and how much nearer it may come, metres; negative where
        it is inside already."""
        raise NotImplementedError

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        rows, room = self.near(configuration)
        return mink.Constraint(np.array(rows), np.maximum(room, -self.push)) if rows else mink.Constraint()


class Ground(Obstacle):
    """Links stay over z = 0."""

    def __init__(self, body: RobotBody):
        surface = body.surface
        self._body = body.body_ids[surface.joint]
        self._local = surface.local - body.origins[surface.joint]
        self._radius = surface.radius
        self._jacobian = np.empty((3, body.model.nv))

    def near(self, configuration: mink.Configuration) -> tuple[list[np.ndarray], list[float]]:
        data, model = configuration.data, configuration.model
        centres = data.xpos[self._body] + np.einsum("pij,pj->pi", data.xmat[self._body].reshape(-1, 3, 3), self._local)
        heights = centres[:, 2] - self._radius
        rows, room = [], []
        for point in self._lowest(heights):
            mujoco.mj_jac(model, data, self._jacobian, None, centres[point], self._body[point])
            rows.append(-self._jacobian[2])
            room.append(heights[point])
        return rows, room

    def _lowest(self, heights: np.ndarray) -> np.ndarray:
        """The few points near the ground that tell how each link lies on it: the lowest ones, of which a mesh has many
        more than are needed."""
        near = np.flatnonzero(heights < NEAR_GROUND_M)
        near = near[np.lexsort((heights[near], self._body[near]))]
        _, first, count = np.unique(self._body[near], return_index=True, return_counts=True)
        return near[np.arange(len(near)) - np.repeat(first, count) < POINTS]


class Links(Obstacle):
    """Links stay out of each other, but for neighbours, what the robot's file excludes, and what touches as built."""

    def __init__(self, body: RobotBody):
        model, own = body.model, set(body.body_ids.tolist())
        self._fromto, self._jacobians = np.empty(6), np.empty((2, 3, model.nv))
        built = mujoco.MjData(model)
        mujoco.mj_kinematics(model, built)
        solid = [g for g in range(model.ngeom) if model.geom_bodyid[g] in own and model.geom_contype[g]]
        pairs = [
            (a, b)
            for k, a in enumerate(solid)
            for b in solid[k + 1 :]
            if _strangers(model, int(model.geom_bodyid[a]), int(model.geom_bodyid[b]))
            and mujoco.mj_geomDistance(model, built, a, b, NEAR_LINKS_M, self._fromto) > LINKS_APART_M
        ]
        self._first, self._second = np.array(pairs, int).reshape(-1, 2).T
        self._reach = (model.geom_rbound[self._first] + model.geom_rbound[self._second] + NEAR_LINKS_M) ** 2

    def near(self, configuration: mink.Configuration) -> tuple[list[np.ndarray], list[float]]:
        data, model = configuration.data, configuration.model
        apart = data.geom_xpos[self._first] - data.geom_xpos[self._second]
        rows, room = [], []
        for pair in np.flatnonzero(np.einsum("pi,pi->p", apart, apart) < self._reach):
            ends = int(self._first[pair]), int(self._second[pair])
            distance = mujoco.mj_geomDistance(model, data, *ends, NEAR_LINKS_M, self._fromto)
            if distance >= NEAR_LINKS_M:
                continue
            start, end = self._fromto[:3], self._fromto[3:]
            for jacobian, at, geom in zip(self._jacobians, (start, end), ends, strict=True):
                mujoco.mj_jac(model, data, jacobian, None, at, model.geom_bodyid[geom])
            away = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
            rows.append(np.copysign(1.0, distance) * away @ (self._jacobians[0] - self._jacobians[1]))
            room.append(distance - LINKS_APART_M)
        return rows, room


def _strangers(model: mujoco.MjModel, a: int, b: int) -> bool:
    """Whether two bodies are neither one nor neighbours and not excluded."""
    excluded = (min(a, b) << 16) + max(a, b) in model.exclude_signature
    return a != b and model.body_parentid[a] != b and model.body_parentid[b] != a and not excluded
