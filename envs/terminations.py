"""When an episode ends."""

from __future__ import annotations

import torch

from morphloop.sim import JointState

EVALUATION_DISTANCE = 0.5
"""Mean joint distance to the reference at which a body has failed, metres (PHC's and Morph's evaluation)."""
TRAINING_DISTANCE = 0.25
"""The same in training (PHC's configuration)."""


def mean_distance(state: JointState, reference: JointState) -> torch.Tensor:
    """(N,) mean distance of all joints to the reference, metres."""
    return (state.pos - reference.pos).norm(dim=-1).mean(-1)


def failed(state: JointState, reference: JointState, distance: float) -> torch.Tensor:
    """(N,) bool: mean distance of all joints to the reference is over `distance` metres."""
    return mean_distance(state, reference) > distance
