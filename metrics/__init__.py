"""Metrics: what is measured, under one contract for before and after; pure functions over arrays."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .clip_context import Context, contact_frames, context
    from .contact import Contacts
    from .controls import CLEAN_WALK, CLEAN_WALK_NAME
    from .feet import foot_states
    from .measurement import Measurement, measure
    from .metric import Metric
    from .registry import METRICS
    from .simulated import measure_rollout
    from .summary import Summary, bootstrap_mean, paired_difference, summarise
    from .timelines import Timeline, timeline
    from .tracking import frozen_pose, position_errors, track_errors
else:
    __getattr__ = names_of(
        __name__,
        {
            "clip_context": (
                "Context",
                "contact_frames",
                "context",
            ),
            "contact": ("Contacts",),
            "controls": (
                "CLEAN_WALK",
                "CLEAN_WALK_NAME",
            ),
            "feet": ("foot_states",),
            "measurement": (
                "Measurement",
                "measure",
            ),
            "metric": ("Metric",),
            "registry": ("METRICS",),
            "simulated": ("measure_rollout",),
            "summary": (
                "Summary",
                "bootstrap_mean",
                "paired_difference",
                "summarise",
            ),
            "timelines": (
                "Timeline",
                "timeline",
            ),
            "tracking": (
                "frozen_pose",
                "position_errors",
                "track_errors",
            ),
        },
    )

__all__ = [
    "CLEAN_WALK",
    "CLEAN_WALK_NAME",
    "METRICS",
    "Contacts",
    "Context",
    "Measurement",
    "Metric",
    "Summary",
    "Timeline",
    "bootstrap_mean",
    "contact_frames",
    "context",
    "foot_states",
    "frozen_pose",
    "measure",
    "measure_rollout",
    "paired_difference",
    "position_errors",
    "summarise",
    "timeline",
    "track_errors",
]
