"""When an episode ends."""

from __future__ import annotations

import torch

from morphloop.sim import JointState


def mean_distance(state: JointState, reference: JointState) -> torch.Tensor:
    """(N,) mean distance of all joints to the reference, metres."""
    return (state.pos - reference.pos).norm(dim=-1).mean(-1)


def failed(state: JointState, reference: JointState, distance: float) -> torch.Tensor:
    """(N,) bool: mean distance of all joints to the reference is over `distance` metres."""
    return mean_distance(state, reference) > distance
