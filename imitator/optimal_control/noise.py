"""Which PD targets a demonstration shakes, and by how much: those that the body says its balance depends on."""

from __future__ import annotations

import numpy as np

from morphloop.sim import Body


def noise_scale(body: Body) -> np.ndarray:
    """(nu,) share of the noise that each PD target gets."""
    return np.array([dof.shake for dof in body.dofs])
