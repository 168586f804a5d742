"""The few points of a shape that can be its lowest: its extremes in many directions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

DIRECTIONS = 320
"""Directions that extremes are looked for in. The lowest of them lies at most 1 % of the surface's radius of curvature
over the true lowest point: half a millimetre on a heel of 50 mm."""


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
