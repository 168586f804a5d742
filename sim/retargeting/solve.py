"""The robot's poses for its targets: differential inverse kinematics frame after frame, by mink (Zakka 2025) on MuJoCo.

Every step is a quadratic program: links towards their targets, each at its cost, hinges within their ranges and within
what their motors turn from one frame to the next, no link that is no foot into the ground and none into another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import mink
import numpy as np
from scipy.ndimage import gaussian_filter1d

from morphloop.motion.rotations import quat_rotate

from ..bodies.body import FEET
from ..bodies.mjcf_body import RobotBody
from .feet import FootTarget
from .limits import Ground, Hinges, Links, Obstacle
from .point_task import PointTask
from .rest import rest_pose
from .shoulders import Shoulder, shoulders
from .targets import Targets
from .tasks import ON_EDGE, STANDING

SOLVER = "daqp"
FIRST_STEPS, STEPS = 200, 6
"""Most steps for the first frame and for every later one."""
SETTLED = 2e-3
"""Largest change, radians and metres, at which steps end."""
POSTURE_COST, SPEED_COST = 0.01, 0.05
"""Of a radian away from the pose as built, and of one radian a thirtieth of a second: what no target decides stays put,
and hinges that would have to turn fast for little take their time."""
COST_HZ = 30.0
LEAD_COST = 0.3
"""Of a radian away from where hinges are led."""
STUCK_M = 0.04
"""Metres of an elbow or a wrist off its target from which the shoulder's other way is tried."""
BETTER, BETTER_M = 0.5, 0.02
"""It is taken where it leaves at most this share of the error, and so many metres less."""
RETRY_S, LOOK_BACK_S = 0.3, 1.0
"""Seconds until it is tried again, and before that moment in which it may begin."""
CHANGING_STEPS = 20
GOOD_COST, STUCK_COST, INSIDE_COST = 0.01, 0.05, 30.0
"""Of a first pose that is not looked at further, of a later one that is looked at again, and of a metre in the ground
or in another link."""
SWITCHING_S = 0.1
"""Standard deviation of the smoothing of hinges from the one way to the other, seconds."""
MOST_PUSH_M = 0.01
"""Metres that what is in the ground or in another link is pushed out in one step."""


def solve(body: RobotBody, targets: Targets, fps: float) -> np.ndarray:
    """(T, nq) poses of the robot, each from the one before.

    A shoulder of three hinges has two ways to every pose of its arm, and each ends at a range somewhere. Where an arm
    is off its targets the other way is tried; if it is better, it is taken from where both are nearest, and the frames
    are followed once more, led from the one way to the other in time.
    """
    solver = _Solver(body, targets, fps)
    poses, jumps = solver.follow()
    if not jumps:
        return poses
    lead = poses.copy()
    lead[:, solver.hinges.qpos] = gaussian_filter1d(
        poses[:, solver.hinges.qpos], SWITCHING_S * fps, axis=0, mode="nearest"
    )
    return solver.follow(lead)[0]


class _Solver:
    """Tasks, limits and state of one robot's inverse kinematics."""

    def __init__(self, body: RobotBody, targets: Targets, fps: float):
        model, rest = body.model, rest_pose(body)
        self._fps, self._frames = fps, len(targets.place["pelvis"])
        self._configuration = mink.Configuration(model)
        self._frame_tasks: dict[str, mink.FrameTask] = {}
        self._point_tasks: dict[str, PointTask] = {}
        self._goals: dict[str, np.ndarray] = {}
        for joint, task in rest.tasks.items():
            link, origin = int(body.body_ids[rest.joint[joint]]), body.origins[rest.joint[joint]]
            turn, place = targets.turn[joint], targets.place[joint]
            if any(task.point):
                points, costs = np.tile(task.point - origin, (self._frames, 1)), np.full(self._frames, task.position)
                self._point_tasks[joint] = PointTask(link, points, place, costs)
            elif task.position or task.rotation:
                self._frame_tasks[joint] = mink.FrameTask(link, "body", task.position, task.rotation)
                at = place + quat_rotate(turn, np.broadcast_to(origin, place.shape))
                self._goals[joint] = np.concatenate([turn, at], axis=1)
        self._turn_costs = {}
        for side, foot in zip(FEET, targets.feet, strict=True):
            self._stand(body, f"{side}_ankle", foot, targets)
        self._posture = mink.PostureTask(model, POSTURE_COST)
        self._posture.set_target(model.qpos0)
        self._steady = mink.PostureTask(model, SPEED_COST * fps / COST_HZ)
        self._lead = mink.PostureTask(model, LEAD_COST)
        self.hinges, self._obstacles = Hinges(body), (Ground(body), Links(body))
        self._shoulders = shoulders(body)
        self._starts = np.stack([model.qpos0, model.qpos0])
        self._starts[1, self.hinges.qpos] = rest.angles
        root = model.jnt_qposadr[model.body_jntadr[body.body_ids[0]]]
        self._starts[:, root : root + 3] = targets.place["pelvis"][0]
        self._starts[:, root + 3 : root + 7] = targets.turn["pelvis"][0]

    def _stand(self, body: RobotBody, ankle: str, foot: FootTarget, targets: Targets) -> None:
        """Tasks of a foot: the point that carries where it is to be, and how strongly the foot is turned."""
        joint, task = rest_pose(body).joint[ankle], rest_pose(body).tasks[ankle]
        costs = task.position + foot.stands * (STANDING[0] - task.position)
        goals = targets.place[ankle] + quat_rotate(foot.turn, foot.contact)
        self._point_tasks[ankle] = PointTask(
            int(body.body_ids[joint]), foot.contact - body.origins[joint], goals, costs
        )
        self._frame_tasks[ankle].set_position_cost(0.0)
        standing = ON_EDGE + foot.flat * (STANDING[1] - ON_EDGE)
        self._turn_costs[ankle] = task.rotation + foot.stands * (standing - task.rotation)

    @property
    def _tasks(self) -> list[mink.FrameTask | PointTask]:
        return [*self._frame_tasks.values(), *self._point_tasks.values()]

    def follow(self, lead: np.ndarray | None = None) -> tuple[np.ndarray, bool]:
        """(T, nq) poses of all frames, and whether a shoulder changed its way between two of them.

        lead: (T, nq) poses that hinges are led to; none changes its way then.
        """
        poses, jumps = np.empty((self._frames, self._starts.shape[1])), False
        rested, freed = np.zeros(len(self._shoulders), int), 0
        for frame in range(len(poses)):
            self._aim(frame)
            if lead is not None:
                self._lead.set_target(lead[frame])
            if frame:
                self._hold(poses[frame - 1])
                poses[frame] = self._settle(STEPS, steady=True, led=lead is not None)
                if frame >= freed and self._cost() > STUCK_COST:
                    poses[frame] = self._freed(poses[frame], lead is not None)
                    freed = frame + round(RETRY_S * self._fps)
            else:
                poses[0] = self._first(self._starts if lead is None else lead[:1])
            for k, shoulder in enumerate(self._shoulders if lead is None else ()):
                if frame >= rested[k] and self._off(shoulder, frame) > STUCK_M:
                    rested[k] = frame + round(RETRY_S * self._fps)
                    jumps |= self._change_way(shoulder, frame, poses)
        return poses, jumps

    def _first(self, starts: np.ndarray) -> np.ndarray:
        """(nq,) the best pose for the targets at hand that starts (N, nq) come to, each straight through the robot's
        own links first, so that hands come to the right side of it, or around them all the way."""
        self._hold(None)
        found = []
        for start, through in product(starts, (True, False)):
            self.hinges.clip(start)
            self._configuration.update(start)
            if through:
                self._settle(FIRST_STEPS, obstacles=())
            pose = self._settle(FIRST_STEPS)
            found.append((self._cost(), pose))
            if found[-1][0] < GOOD_COST:
                break
        best = min(found, key=lambda one: one[0])[1]
        self._configuration.update(best)
        return best

    def _freed(self, here: np.ndarray, led: bool) -> np.ndarray:
        """(nq,) the pose that the targets at hand come to through the robot's own links, if it is better than `here`
        (nq,): a hand or a foot may have come to the wrong side of another link."""
        cost = self._cost()
        self._settle(STEPS, steady=True, led=led, obstacles=())
        found = self._settle(STEPS, steady=True, led=led)
        if self._cost() < BETTER * cost:
            return found
        self._configuration.update(here)
        return here

    def _cost(self) -> float:
        """Of what tasks are off in the configuration's pose, and of what is in the ground or in another link."""
        off = [task.cost * task.compute_error(self._configuration) for task in self._tasks]
        inside = [INSIDE_COST * min(room, 0.0) for one in self._obstacles for room in one.near(self._configuration)[1]]
        return float(sum((error**2).sum() for error in off) + sum(depth**2 for depth in inside))

    def _aim(self, frame: int) -> None:
        """Give all tasks the targets of a frame."""
        for joint, task in self._frame_tasks.items():
            task.transform_target_to_world = mink.SE3(self._goals[joint][frame])
        for joint, costs in self._turn_costs.items():
            self._frame_tasks[joint].cost[3:] = costs[frame]
        for task in self._point_tasks.values():
            task.aim(frame)

    def _hold(self, before: np.ndarray | None) -> None:
        """Let hinges move from the pose (nq,) of the frame before, anywhere without one."""
        self.hinges.hold(before, 1.0 / self._fps)
        if before is not None:
            self._steady.set_target(before)

    def _settle(
        self, steps: int, steady: bool = False, led: bool = False, obstacles: Sequence[Obstacle] | None = None
    ) -> np.ndarray:
        """(nq,) the pose that the targets at hand come to from the configuration's. obstacles: all if not given."""
        obstacles = self._obstacles if obstacles is None else obstacles
        tasks: list[mink.Task] = [*self._tasks, self._posture]
        tasks += [self._steady] if steady else []
        tasks += [self._lead] if led else []
        for _ in range(steps):
            change = _step(self._configuration, tasks, self.hinges, obstacles)
            self._configuration.integrate_inplace(change, 1.0)
            if np.abs(change).max() < SETTLED:
                break
        pose = self._configuration.data.qpos.copy()
        self.hinges.clip(pose)
        return pose

    def _off(self, shoulder: Shoulder, frame: int) -> float:
        """Metres that the elbow or the wrist of an arm is off its target, the larger, in the configuration's pose."""
        errors = [
            self._point_tasks[joint].compute_error(self._configuration)
            if joint in self._point_tasks
            else self._configuration.data.xpos[self._frame_tasks[joint].frame_name] - self._goals[joint][frame, 4:]
            for joint in shoulder.arm
        ]
        return max(float(np.linalg.norm(error)) for error in errors)

    def _change_way(self, shoulder: Shoulder, frame: int, poses: np.ndarray) -> bool:
        """Put a shoulder's other way into poses (T, nq), in place, if its arm gets nearer so: from the frame before
        this one on at which the way between both is shortest."""
        here, off = poses[frame].copy(), self._off(shoulder, frame)
        self._hold(None)
        for start in shoulder.other_ways(here):
            self._configuration.update(start)
            found = self._settle(CHANGING_STEPS)
            if self._off(shoulder, frame) < min(BETTER * off, off - BETTER_M):
                break
        else:
            self._configuration.update(here)
            return False
        poses[frame] = found
        others, between = {}, {}
        for earlier in range(frame - 1, max(frame - round(LOOK_BACK_S * self._fps), 0) - 1, -1):
            self._aim(earlier)
            others[earlier] = self._settle(STEPS)
            if self._off(shoulder, earlier) > STUCK_M:
                break
            middle = poses[earlier].copy()
            middle[shoulder.qpos] = 0.5 * (middle[shoulder.qpos] + others[earlier][shoulder.qpos])
            self._configuration.update(middle)
            between[earlier] = self._off(shoulder, earlier)
            self._configuration.update(others[earlier])
        first = min(between, key=lambda earlier: between[earlier], default=frame)
        for earlier in range(first, frame):
            poses[earlier, shoulder.arm_qpos] = others[earlier][shoulder.arm_qpos]
        self._aim(frame)
        self._configuration.update(found)
        return True


def _step(
    configuration: mink.Configuration,
    tasks: Sequence[mink.Task],
    hinges: Hinges,
    obstacles: Sequence[Obstacle],
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
