"""The tracking task and its adapters for Gymnasium and Stable-Baselines3; importing it registers
`morphloop/Tracking-v0`."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

from .registration import register

if TYPE_CHECKING:
    from .balance import Balance, BalanceGains, default_gains
    from .config import EVALUATION_DISTANCE, PREPROCESSING, RewardConfig, TaskConfig
    from .observer import (
        Observer,
        action_scale,
        feedback_entries,
        measurable_entries,
        observation_layout,
        observation_size,
        observation_terms,
    )
    from .reference import (
        MotionLibrary,
        Reference,
        build_library,
        make_reference,
        prepare,
        preprocessed,
        reference_of,
        stack,
    )
    from .simulation import Law, Simulation, base_targets, follow
    from .task import Judgement, Moment, TrackingTask
    from .tracking import StepResult, TrackingEnv
else:
    __getattr__ = names_of(
        __name__,
        {
            "balance": (
                "Balance",
                "BalanceGains",
                "default_gains",
            ),
            "config": (
                "EVALUATION_DISTANCE",
                "PREPROCESSING",
                "RewardConfig",
                "TaskConfig",
            ),
            "observer": (
                "Observer",
                "action_scale",
                "feedback_entries",
                "measurable_entries",
                "observation_layout",
                "observation_size",
                "observation_terms",
            ),
            "reference": (
                "MotionLibrary",
                "Reference",
                "build_library",
                "make_reference",
                "prepare",
                "preprocessed",
                "reference_of",
                "stack",
            ),
            "simulation": (
                "Law",
                "Simulation",
                "base_targets",
                "follow",
            ),
            "task": (
                "Judgement",
                "Moment",
                "TrackingTask",
            ),
            "tracking": (
                "StepResult",
                "TrackingEnv",
            ),
        },
    )

__all__ = [
    "EVALUATION_DISTANCE",
    "PREPROCESSING",
    "Balance",
    "BalanceGains",
    "Judgement",
    "Law",
    "Moment",
    "MotionLibrary",
    "Observer",
    "Reference",
    "RewardConfig",
    "Simulation",
    "StepResult",
    "TaskConfig",
    "TrackingEnv",
    "TrackingTask",
    "action_scale",
    "base_targets",
    "build_library",
    "default_gains",
    "feedback_entries",
    "follow",
    "make_reference",
    "measurable_entries",
    "observation_layout",
    "observation_size",
    "observation_terms",
    "prepare",
    "preprocessed",
    "reference_of",
    "stack",
]

register()
