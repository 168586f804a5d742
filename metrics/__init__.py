"""Metrics: what is measured, under one contract for before and after; pure functions over arrays."""

from .contact import Contacts
from .context import Context, contact_frames, context
from .controls import CLEAN_WALK, CLEAN_WALK_NAME
from .measure import Measurement, measure
from .registry import METRICS, Metric
from .simulated import measure_rollout
from .summary import Summary, bootstrap_mean, paired_difference, summarise
from .timeline import Timeline, timeline
from .tracking import frozen_pose, position_errors, track_errors

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
    "frozen_pose",
    "measure",
    "measure_rollout",
    "paired_difference",
    "position_errors",
    "summarise",
    "timeline",
    "track_errors",
]
