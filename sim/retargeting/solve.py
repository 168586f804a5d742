"""The robot's poses for its targets: differential inverse kinematics frame after frame, by mink (Zakka 2025) on MuJoCo.

Every step is a quadratic program: links towards their targets, each at its cost, hinges within their ranges and within
what their motors turn from one frame to the next, no link that is no foot into the ground and none into another.
"""

from __future__ import annotations

from collections.abc import Sequence

import mink
import mujoco
import numpy as np

from morphloop.motion.rotations import quat_rotate

from ..bodies.body import FEET
from ..bodies.description import Dof
from ..bodies.mjcf_body import RobotBody
from .rest import rest_pose
from .targets import Targets
from .tasks import STANDING

SOLVER = "daqp"
FIRST_STEPS, STEPS = 200, 6
"""Most steps for the first frame and for every later one."""
SETTLED = 2e-3
"""Largest change, radians and metres, at which steps end."""
LARGEST_STEP = 0.5
"""Radians that a hinge turns in one step."""
POSTURE_COST, DAMPING_COST = 0.01, 0.02
"""Of a radian away from the pose as built, and of a radian in one step: what no target decides stays put."""
SPEED_SHARE = 0.999
"""Of a motor's speed that is used, so that a clip in single precision keeps to it."""
UNLIMITED = 1e3
"""Radians; the range of a hinge that has none."""
NEAR_GROUND_M = 0.05
NEAR_LINKS_M, LINKS_APART_M = 0.03, 0.002
"""Metres at which the ground and other links begin to count, and that links stay apart."""
MOST_PUSH_M = 0.01
"""Metres that what is in the ground or in another link is pushed out in one step."""


def solve(body: RobotBody, targets: Targets, fps: float) -> np.ndarray:
    """(T, nq) poses of the robot, each from the one before."""
    model, rest = body.model, rest_pose(body)
    configuration = mink.Configuration(model)
    tasks = {
        joint: mink.FrameTask(int(body.body_ids[rest.joint[joint]]), "body", task.position, task.rotation)
        for joint, task in rest.tasks.items()
        if task.position or task.rotation
    }
    feet = [tasks[f"{side}_ankle"] for side in FEET]
    swinging, standing = feet[0].cost.copy(), np.repeat(STANDING, 3)
    posture, damping = mink.PostureTask(model, POSTURE_COST), mink.DampingTask(model, DAMPING_COST)
    posture.set_target(model.qpos0)
    goals = {joint: _goals(body, targets, rest.joint[joint], joint) for joint in tasks}
    hinges, obstacles = _Hinges(body), (_Ground(body), _Links(body))
    configuration.update(_start(body, targets, hinges))
    poses = np.empty((len(targets.stands), model.nq))
    for frame, stands in enumerate(targets.stands):
        for joint, task in tasks.items():
            task.transform_target_to_world = mink.SE3(goals[joint][frame])
        for task, share in zip(feet, stands, strict=True):
            task.cost[:] = swinging + share * (standing - swinging)
        if frame:
            hinges.hold(poses[frame - 1], 1.0 / fps)
        for _ in range(STEPS if frame else FIRST_STEPS):
            change = _step(configuration, [*tasks.values(), posture, damping], hinges, obstacles)
            configuration.integrate_inplace(change, 1.0)
            if np.abs(change).max() < SETTLED:
                break
        poses[frame] = configuration.data.qpos
        hinges.clip(poses[frame])
    return poses


def _step(
    configuration: mink.Configuration,
    tasks: Sequence[mink.Task],
    hinges: _Hinges,
    obstacles: Sequence[_Obstacle],
) -> np.ndarray:
    """(nv,) change of pose. What cannot come out of the ground or of another link goes no deeper: to stay where it is
    keeps all limits."""
    for push in (MOST_PUSH_M, 0.0):
        for obstacle in obstacles:
            obstacle.push = push
        try:
            return mink.solve_ik(configuration, tasks, 1.0, SOLVER, damping=1e-6, limits=[hinges, *obstacles])
        except mink.NoSolutionFound:
            continue
    return np.zeros(configuration.nv)


def _goals(body: RobotBody, targets: Targets, link: int, joint: str) -> np.ndarray:
    """(T, 7) rotation w x y z and place of MuJoCo's frame of a link."""
    turn, place = targets.turn[joint], targets.place[joint]
    return np.concatenate([turn, place + quat_rotate(turn, np.broadcast_to(body.origins[link], place.shape))], axis=1)


def _start(body: RobotBody, targets: Targets, hinges: _Hinges) -> np.ndarray:
    """(nq,) the robot as built where the pelvis is asked to be first."""
    qpos = body.model.qpos0.copy()
    root = body.model.jnt_qposadr[body.model.body_jntadr[body.body_ids[0]]]
    qpos[root : root + 3], qpos[root + 3 : root + 7] = targets.place["pelvis"][0], targets.turn["pelvis"][0]
    hinges.clip(qpos)
    return qpos


class _Hinges(mink.Limit):
    """Hinges stay within their ranges and within what their motors turn them to from the frame before; elbows and knees
    on the side on which they bend."""

    def __init__(self, body: RobotBody):
        model, hinges = body.model, body.robot.hinges
        self._qpos = model.jnt_qposadr[body.hinge_ids]
        own = np.eye(model.nv)[model.jnt_dofadr[body.hinge_ids]]
        self._rows = np.concatenate([own, -own])
        self._range = np.clip([[h.low for h in hinges], [h.high for h in hinges]], -UNLIMITED, UNLIMITED)
        for hinge, (straight, sign) in rest_pose(body).bends.items():
            low, high = self._range[:, hinge]
            self._range[0 if sign > 0.0 else 1, hinge] = np.clip(straight, low, high)
        known = [body.description.dofs.get(hinge.name, Dof()).speed for hinge in hinges]
        self._speed = SPEED_SHARE * np.array([np.inf if speed is None else speed for speed in known])
        self._low, self._high = self._range

    def hold(self, qpos: np.ndarray, seconds: float) -> None:
        """Let hinges turn from pose (nq,) for so long."""
        angles, most = qpos[self._qpos], self._speed * seconds
        self._low, self._high = np.maximum(self._range[0], angles - most), np.minimum(self._range[1], angles + most)

    def clip(self, qpos: np.ndarray) -> None:
        """Put a pose (nq,) within the limits, in place."""
        qpos[self._qpos] = np.clip(qpos[self._qpos], self._low, self._high)

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        angles = configuration.data.qpos[self._qpos]
        room = np.concatenate([self._high - angles, angles - self._low])
        return mink.Constraint(self._rows, np.clip(room, 0.0, LARGEST_STEP))


class _Obstacle(mink.Limit):
    """What links may not get into. push: metres that what is in it must come out in this step."""

    push = 0.0

    def near(self, configuration: mink.Configuration) -> tuple[list[np.ndarray], list[float]]:
        """Rows (nv,) by which a change of pose comes nearer, and how much nearer it may come, metres; negative where
        it is inside already."""
        raise NotImplementedError

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        rows, room = self.near(configuration)
        return mink.Constraint(np.array(rows), np.maximum(room, -self.push)) if rows else mink.Constraint()


class _Ground(_Obstacle):
    """Links that are no feet stay over z = 0."""

    def __init__(self, body: RobotBody):
        surface = body.surface
        own = surface.foot < 0
        self._body = body.body_ids[surface.joint[own]]
        self._local = surface.local[own] - body.origins[surface.joint[own]]
        self._radius = surface.radius[own]
        self._jacobian = np.empty((3, body.model.nv))

    def near(self, configuration: mink.Configuration) -> tuple[list[np.ndarray], list[float]]:
        data, model = configuration.data, configuration.model
        centres = data.xpos[self._body] + np.einsum("pij,pj->pi", data.xmat[self._body].reshape(-1, 3, 3), self._local)
        heights = centres[:, 2] - self._radius
        rows, room = [], []
        for point in np.flatnonzero(heights < NEAR_GROUND_M):
            mujoco.mj_jac(model, data, self._jacobian, None, centres[point], self._body[point])
            rows.append(-self._jacobian[2])
            room.append(heights[point])
        return rows, room


class _Links(_Obstacle):
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
