"""The few points of a shape that can be its lowest: ends, corners, and extremes in many directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DIRECTIONS = 320
"""Directions that extremes are looked for in. The lowest of them lies at most 1 % of the surface's radius of curvature
over the true lowest point: half a millimetre on a heel of 50 mm."""


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """The body's surface as points with a radius: capsule ends and box corners, the only candidates for lowest point.

    joint: (P,) index of the joint that carries each point; local: (P, 3) in that joint's frame, metres;
    radius: (P,) metres. Height of the lowest surface over ground is min over P of z - radius.
    foot: (P,) 0 for the left foot (ankle and toe), 1 for the right, -1 for the rest of the body.
    """

    joint: np.ndarray
    local: np.ndarray
    radius: np.ndarray
    foot: np.ndarray


@lru_cache(maxsize=4)
def sphere_directions(count: int = DIRECTIONS) -> np.ndarray:
    """(count, 3) unit vectors spread evenly, a Fibonacci lattice."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    around = np.pi * (1.0 + 5.0**0.5) * k
    across = np.sqrt(1.0 - z**2)
    return np.stack([across * np.cos(around), across * np.sin(around), z], axis=1)


def support_ids(points: np.ndarray) -> np.ndarray:
    """Sorted indices of the points (N, 3) that are the extreme one in some direction; the six axes are among them."""
    directions = np.concatenate([sphere_directions(), np.eye(3), -np.eye(3)])
    return np.unique((points @ directions.T).argmax(axis=0))
