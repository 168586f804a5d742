"""What the feet of a drawn body do, and its colours: on the ground, sliding on it, sunk into it, in the air.

Whoever knows the contacts of a motion says so (`metrics.foot_states`, by which `morphloop view` colours feet too); of
others the height of the soles tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from ..bodies.body import Body

AIR, TOUCH, SLIDE, SUNK = range(4)
COLOURS = ((165, 170, 180), (36, 150, 80), (224, 138, 0), (205, 40, 50))
"""Of each state, as the page of `view` has them."""
HIDDEN_GROUP = 3
"""Groups of geoms from here on are not drawn, as in MuJoCo's own viewer."""
POINT_RADIUS = 0.02
"""Metres: spheres under it at a foot are where it touches, not what it looks like."""
CONTACT_M, SUNK_M = 0.010, -0.005
"""A sole under 10 mm is taken for one in contact, deeper than 5 mm for sunk, where nothing but its height is known."""


@dataclass(frozen=True, eq=False)
class FootStates:
    """fps: samples a second, the first at the motion's first frame; states: (T, 2) of the left and the right foot."""

    fps: float
    states: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """(N, 2) states nearest to these times (N,), seconds."""
        nearest = np.rint(times * self.fps).astype(int)
        return self.states[np.clip(nearest, 0, len(self.states) - 1)]


def states_by_height(soles: np.ndarray) -> np.ndarray:
    """States of feet whose soles have these heights over the ground, metres, of the same shape."""
    return np.select([soles < SUNK_M, soles < CONTACT_M], [SUNK, TOUCH], AIR)


def foot_of_bodies(body: Body) -> np.ndarray:
    """(nbody,) of MuJoCo's bodies: 0 a part of the left foot, 1 of the right, -1 of none."""
    surface, found = body.surface, np.full(body.model.nbody, -1)
    for side in (0, 1):
        found[body.body_ids[np.unique(surface.joint[surface.foot == side])]] = side
    return found


@dataclass(frozen=True, eq=False)
class Sole:
    """A box around the points at which a foot touches, for a foot that is nothing but those. part: the body of MuJoCo's
    that carries it; foot: 0 the left, 1 the right; at, half: (3,) its middle and half its sides in that body's frame,
    metres."""

    part: int
    foot: int
    at: np.ndarray
    half: np.ndarray


def sole_points(body: Body) -> np.ndarray:
    """(ngeom,) which geoms are points of a sole."""
    model = body.model
    of_foot = foot_of_bodies(body)[model.geom_bodyid] >= 0
    spheres = (model.geom_type == mujoco.mjtGeom.mjGEOM_SPHERE) & (model.geom_size[:, 0] < POINT_RADIUS)
    return of_foot & spheres & (model.geom_group < HIDDEN_GROUP)


def soles(body: Body) -> list[Sole]:
    """A box for each part of a foot that has points of a sole."""
    model, foot, points, found = body.model, foot_of_bodies(body), sole_points(body), []
    for part in np.unique(model.geom_bodyid[points]):
        own = points & (model.geom_bodyid == part)
        radius = model.geom_size[own, 0].max()
        low, high = model.geom_pos[own].min(axis=0) - radius, model.geom_pos[own].max(axis=0) + radius
        found.append(Sole(int(part), int(foot[part]), (low + high) / 2, (high - low) / 2))
    return found
