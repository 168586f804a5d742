"""A task of mink: a point of a link to a place, another point and at another cost in every frame."""

from __future__ import annotations

import mink
import mujoco
import numpy as np


class PointTask(mink.Task):
    """link: MuJoCo's index of its body; points: (T, 3) in its frame and goals: (T, 3) in the world, metres; costs: (T,)
    of a metre off."""

    def __init__(self, link: int, points: np.ndarray, goals: np.ndarray, costs: np.ndarray):
        super().__init__(np.full(3, costs[0]))
        self._link, self._points, self._goals, self._costs = link, points, goals, costs
        self._frame = 0

    def aim(self, frame: int) -> None:
        """Take the point, the goal and the cost of a frame."""
        self._frame = frame
        self.cost[:] = self._costs[frame]

    def _at(self, configuration: mink.Configuration) -> np.ndarray:
        data = configuration.data
        return data.xpos[self._link] + data.xmat[self._link].reshape(3, 3) @ self._points[self._frame]

    def compute_error(self, configuration: mink.Configuration) -> np.ndarray:
        return self._at(configuration) - self._goals[self._frame]

    def compute_jacobian(self, configuration: mink.Configuration) -> np.ndarray:
        rows = np.empty((3, configuration.nv))
        mujoco.mj_jac(configuration.model, configuration.data, rows, None, self._at(configuration), self._link)
        return rows
