"""Can the ground do it? The wrench that the motion asks for against what friction allows at the parts that touch.

The required wrench comes from `dynamics`, on the 30 Hz grid after the 6 Hz low-pass. At every sample it is compared
with the forces that a ground of friction 1 can apply to the touching points of the body: non-negative least squares
over the edges of their friction cones. What is left over is the residual: in a hover the whole weight, in free flight
nothing. In biomechanics the same residual at the pelvis grades a motion capture (Hicks et al. 2015, "Is my model good
enough?", J. Biomech. Eng. 137), and physics-based pose estimation minimises it (PhysCap, arXiv 2008.08880).

A low-pass spreads an impact over a few samples on either side of it. A smoothed wrench is a positive mixture of the
wrenches around it, so a point that touched a moment ago, or is about to, still counts, at the place where it touches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from morphloop.sim.bodies.body import Body

from .clip_context import Context
from .dynamics import Segments, built_pose, external_wrench, segments
from .plausibility import AIRBORNE_M, GRAVITY
from .signals import GRID_HZ

FRICTION = 1.0
"""Coefficient of Coulomb friction, rubber on a dry floor."""
CONE_EDGES = 8
"""Edges of the pyramid inscribed in a friction cone; it holds at least 92 % of the cone's horizontal force."""
DIRECTIONS = 16
"""Of the touching points only those farthest out in one of so many horizontal directions are kept: points on a plane
have no more to give than the corners of their hull."""
PATCH_M = AIRBORNE_M
"""A point lower than this touches; the height over which `unsupported_ratio` calls the body airborne."""
SPREAD = 2
"""Samples before and after a touch at which it still counts: 0.067 s, half the width of the low-pass' main lobe."""
INNER = 4
"""The first and last samples that are not read: a second difference has none at the very ends, and in the three samples
after that the low-pass sees the clip's mirror image, whose acceleration has the wrong sign."""

Values = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class WrenchFit:
    """The wrench over time and how much of it the ground explains, at K inner samples of the 30 Hz grid.

    The first of them is sample `INNER`. required: (K, 6) force over body weight, moment about the centre of mass over
    body weight x height; residual: (K, 6) what of it no contact force explains; touching: (K,) bool, some point can
    carry a force.
    """

    required: np.ndarray
    residual: np.ndarray
    touching: np.ndarray

    def ratio(self) -> np.ndarray:
        """(K,) size of the residual, force and moment together."""
        return np.linalg.norm(self.residual, axis=1)


NO_WRENCH: Values = dict.fromkeys(("residual_wrench_ratio", "residual_force_ratio", "residual_moment_ratio"))


def body_height(body: Body) -> float:
    """Height of the body as it was built, metres, from its lowest to its highest surface point."""
    surface, (positions, matrices) = body.surface, built_pose(body)
    z = positions[surface.joint, 2] + np.einsum("pi,pi->p", matrices[surface.joint, 2], surface.local)
    return float((z + surface.radius).max() - (z - surface.radius).min())


def residual_wrench(seen: Context) -> Values:
    """`residual_wrench_ratio` and its two parts, `residual_force_ratio` and `residual_moment_ratio`.

    Each is a mean over the inner samples of the grid: of the size of the residual's six numbers together, of the size
    of its force over body weight, of the size of its moment over body weight x height. None in the joints variant, for
    a clip of no more than twice `INNER` samples, 0.3 s, and where it is not asked for.
    """
    fit = fit_wrench(seen) if seen.wrench else None
    if fit is None:
        return dict(NO_WRENCH)
    return {
        "residual_wrench_ratio": float(fit.ratio().mean()),
        "residual_force_ratio": float(np.linalg.norm(fit.residual[:, :3], axis=1).mean()),
        "residual_moment_ratio": float(np.linalg.norm(fit.residual[:, 3:], axis=1).mean()),
    }


def fit_wrench(seen: Context) -> WrenchFit | None:
    """The wrench of a motion and its best explanation, sample by sample; None where it cannot be known."""
    points = seen.points
    if points.grid_matrices is None or len(seen.grid_joints) <= 2 * INNER:
        return None
    parts, turned = segments(seen.body), points.grid_matrices
    com, force, moment = external_wrench(parts, seen.grid_joints, turned, GRID_HZ)
    near = np.flatnonzero(points.heights.min(axis=0) < PATCH_M)
    patches = np.zeros((len(turned), 0, 3))
    if len(near):
        patches = points.grid_track(near) - points.radius[near, None] * [0.0, 0.0, 1.0]
    place, usable = _held(patches)
    read, inner = slice(INNER - 1, 1 - INNER), slice(INNER, -INNER)
    return explain(com[read], force[read], moment[read], place[inner], usable[inner], _scales(parts, seen.body))


def _scales(parts: Segments, body: Body) -> np.ndarray:
    """(6,) what one newton and one newton metre are in body weights and body weights x height."""
    weight = -GRAVITY[2] * parts.total
    return np.repeat([1.0 / weight, 1.0 / (weight * body_height(body))], 3)


def _held(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points touch, now or within `SPREAD` samples. patches: (T, P, 3) lowest surface of each point, metres.

    Returns (T, P, 3) the place of the touch nearest in time, and (T, P) bool, whether there is one.
    """
    touching = patches[..., 2] < PATCH_M
    place, usable = patches.copy(), touching.copy()
    for shift in range(1, SPREAD + 1):
        for now, then in ((slice(shift, None), slice(None, -shift)), (slice(None, -shift), slice(shift, None))):
            late = touching[then] & ~usable[now]
            place[now][late] = patches[then][late]
            usable[now] |= touching[then]
    return place, usable


def explain(
    com: np.ndarray, force: np.ndarray, moment: np.ndarray, place: np.ndarray, usable: np.ndarray, scales: np.ndarray
) -> WrenchFit:
    """Non-negative least squares over the friction cones of the usable points, sample by sample.

    com: (K, 3) m; force: (K, 3) N; moment: (K, 3) N m about com; place: (K, P, 3) m; usable: (K, P) bool;
    scales: (6,) what turns N and N m into ratios, in which the squares are summed.
    """
    required = np.concatenate([force, moment], axis=1) * scales
    residual, edges, compass = required.copy(), _cone_edges(), _compass(DIRECTIONS)
    levers = np.cross(np.eye(3)[:, None], edges).transpose(0, 2, 1) * (scales[3] / scales[0])
    touching: np.ndarray = np.any(usable, axis=1)
    for k in np.flatnonzero(touching):
        patches = place[k, usable[k]]
        corners = patches[np.unique((patches[:, :2] @ compass).argmax(axis=0))]
        cone = _generators(corners - com[k], edges, levers)
        residual[k] -= cone @ nnls(cone, required[k])[0]
    return WrenchFit(required, residual, touching)


def _compass(directions: int) -> np.ndarray:
    """(2, D) horizontal unit vectors all around."""
    turn = 2.0 * np.pi * np.arange(directions) / directions
    return np.stack([np.cos(turn), np.sin(turn)])


def _cone_edges() -> np.ndarray:
    """(CONE_EDGES, 3) forces along the edges of a friction pyramid on level ground, vertical part 1."""
    return np.concatenate([FRICTION * _compass(CONE_EDGES), np.ones((1, CONE_EDGES))]).T


def _generators(arms: np.ndarray, edges: np.ndarray, levers: np.ndarray) -> np.ndarray:
    """(6, C E) wrenches about the centre of mass of forces along E edges at C points.

    arms: (C, 3) from the centre of mass; edges: (E, 3); levers: (3, 3, E) scaled moment of every edge for a unit arm.
    """
    force = np.tile(edges.T, len(arms))
    moment = (arms @ levers.reshape(3, -1)).reshape(len(arms), 3, len(edges))
    return np.concatenate([force, moment.transpose(1, 0, 2).reshape(3, -1)])
