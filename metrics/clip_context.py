"""A motion made ready to measure: what several metrics need, computed once and shared between them.

The definitions themselves are pure functions over arrays; `measure` hands them what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from morphloop.motion import Clip, JointTrack, Rollout
from morphloop.sim import SmplBody, worn
from morphloop.sim.bodies.body import Body
from morphloop.sim.bodies.built_in import default_body
from morphloop.sim.rollouts.loads import FootLoads, foot_loads

from .contact import Contacts, find_contacts
from .points import Points, ground_offset, motion_points
from .signals import on_grid
from .vertices import vertex_points


@dataclass(frozen=True, eq=False)
class Context:
    """A motion, its body and its points over the chosen ground.

    motion: as it was given; body: the one it is measured on; ground: as-is, lowest or robust; offset: metres that this
    choice takes off (as-is: what `robust` would take off, while `points` keep the file's heights); points: at the
    clip's own rate, with the ground at z = 0; rollout: what physics did to make the motion, None where its forces are
    unknown; reference: what the rollout tracked; wrench: whether the residual wrench is asked for.
    """

    motion: Clip | JointTrack
    body: Body
    ground: str
    offset: float
    points: Points
    rollout: Rollout | None = None
    reference: Clip | None = None
    wrench: bool = True

    @property
    def smooth_joints(self) -> np.ndarray:
        """(T, J, 3) joint positions after the 6 Hz low-pass, at the clip's own rate, metres."""
        return self.points.smooth_and_grid[0]

    @property
    def grid_joints(self) -> np.ndarray:
        """(T', J, 3) joint positions on the 30 Hz grid, metres."""
        return self.points.smooth_and_grid[1]

    @cached_property
    def grid_com(self) -> np.ndarray | None:
        """(T', 3) centre of mass on the 30 Hz grid, metres, None where it is unknown."""
        return None if self.points.com is None else on_grid(self.points.com, self.points.fps)

    @cached_property
    def loads(self) -> FootLoads | None:
        """What the feet bore and the servos gave, by replaying the rollout; None without one of a control step."""
        if self.rollout is None or self.rollout.num_frames < 2:
            return None
        return foot_loads(self.rollout, self.body)

    @cached_property
    def contacts(self) -> Contacts:
        """Contact on the 30 Hz grid."""
        return find_contacts(self.points)

    @cached_property
    def _rates(self) -> dict[float, Points]:
        return {}

    def resampled(self, fps: float) -> Points:
        """The points, unfiltered, at the rate that a legacy metric assumes; each rate is computed once."""
        if fps not in self._rates:
            self._rates[fps] = self.points.at(fps)
        return self._rates[fps]


def context(motion: Clip | JointTrack, body: Body | None = None, ground: str = "as-is") -> Context:
    """A motion ready to measure. body: the default body if not given; a SMPL model's takes on the clip's shape.

    Raises MotionError for an unknown ground, and as `SmplBody.wear` does.
    """
    motion, body = worn(motion, body or default_body())
    if isinstance(motion, Clip) and isinstance(body, SmplBody):
        points = vertex_points(motion, body)
    else:
        points = motion_points(motion, body)
    offset = ground_offset(points, ground)
    return Context(motion, body, ground, offset, points if ground == "as-is" else points.lowered(offset))


def contact_frames(motion: Clip | JointTrack, body: Body | None = None, ground: str = "as-is") -> Contacts:
    """Contact of a motion under the measurement contract; see `Contacts`. Arguments and errors as for `context`."""
    return context(motion, body, ground).contacts
