"""The tracking task and its adapters for Gymnasium and Stable-Baselines3; importing it registers
`morphloop/Tracking-v0`."""

import gymnasium

from .balance import Balance, BalanceGains, default_gains
from .observer import Observer, action_scale, feedback_entries, observation_layout, observation_size
from .reference import (
    PREPROCESSING,
    MotionLibrary,
    Reference,
    build_library,
    make_reference,
    prepare,
    preprocessed,
    reference_of,
    stack,
)
from .rewards import RewardConfig
from .simulation import Law, Simulation, base_targets, follow
from .terminations import EVALUATION_DISTANCE
from .tracking import StepResult, TaskConfig, TrackingEnv

__all__ = [
    "EVALUATION_DISTANCE",
    "PREPROCESSING",
    "Balance",
    "BalanceGains",
    "Law",
    "MotionLibrary",
    "Observer",
    "Reference",
    "RewardConfig",
    "Simulation",
    "StepResult",
    "TaskConfig",
    "TrackingEnv",
    "action_scale",
    "base_targets",
    "build_library",
    "default_gains",
    "feedback_entries",
    "follow",
    "make_reference",
    "observation_layout",
    "observation_size",
    "prepare",
    "preprocessed",
    "reference_of",
    "stack",
]

gymnasium.register(
    id="morphloop/Tracking-v0",
    entry_point="morphloop.envs.gym_adapter:TrackingGymEnv",
    vector_entry_point="morphloop.envs.gym_adapter:TrackingVectorEnv",
)
