"""Which servo targets a demonstration shakes, and by how much: those that balance depends on."""

from __future__ import annotations

import numpy as np

from morphloop.sim import Body

SHAKEN = {
    "hip": (1.0, 1.0, 0.6), "knee": (0.0, 1.0, 0.0), "ankle": (0.7, 1.0, 0.0), "foot": (0.0, 0.5, 0.0),
    "spine1": (0.6, 0.6, 0.4), "spine2": (0.3, 0.3, 0.2), "shoulder": (0.3, 0.3, 0.3),
}  # fmt: skip
"""Joints whose targets are shaken, with their share of the noise about x (roll), y (pitch) and z (yaw)."""


def noise_scale(body: Body) -> np.ndarray:
    """(nu,) share of the noise that each servo target gets."""
    names = [name.removeprefix("left_").removeprefix("right_") for name in body.skeleton.names[1:]]
    return np.array([SHAKEN.get(name, (0.0, 0.0, 0.0)) for name in names]).reshape(-1)
