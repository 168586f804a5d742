"""The measurement contract: one function for before and after, kinematic clips and rollouts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack, Rollout
from morphloop.motion.robot import is_robot_track
from morphloop.sim.bodies.body import Body

from .clip_context import context
from .points import Variant
from .registry import METRICS, WITHOUT_SOLES

FILE_PRECISION = 1e-5
"""Metres, and parts of unit quaternions, by which a clip read from its file may differ from the rollout's states."""


@dataclass(frozen=True)
class Measurement:
    """What `measure` found. variant: surface or joints; ground: as-is, lowest or robust; values: a number by metric
    name (see `METRICS`), None where the clip has no frames that the metric speaks of; body: whose surface it is, by
    name and hash, None in the joints variant: figures of two surfaces do not compare."""

    variant: Variant
    ground: str
    values: dict[str, float | None]
    body: str | None


def measure(
    motion: Clip | JointTrack,
    body: Body | None = None,
    ground: str = "as-is",
    wrench: bool = True,
    rollout: Rollout | None = None,
    reference: Clip | None = None,
) -> Measurement:
    """Every metric that needs the motion alone, and those that need its forces.

    motion: a Clip on the body's skeleton is measured on the body's surface, anything else on its joints; of a robot's
    bodies without the robot, whose soles are unknown, nothing is told that rests on the ground.
    body: the default body if not given. ground: where z = 0 is put, `as-is` leaves the file's.
    wrench: False leaves `residual_wrench_ratio` and its parts None, which saves half of the time.
    rollout: what physics did to make this motion, whose forces are read; without it what rests on forces is None;
    reference: what the rollout tracked.
    Raises MotionError for an unknown ground, or if the rollout is another body's or another motion's.
    """
    seen = replace(context(motion, body, ground), rollout=rollout, reference=reference, wrench=wrench)
    if rollout is not None and not made(motion, rollout, seen.body):
        raise MotionError(f"{motion.name}: rollout '{rollout.name}' did not make it, expected the clip's own")
    values: dict[str, float | None] = {}
    soles_unknown = is_robot_track(motion)
    for metric in METRICS.measured:
        if soles_unknown and metric.of not in WITHOUT_SOLES:
            values[metric.name] = None
        elif metric.of is not None and metric.name not in values:
            values |= metric.of(seen)
    surface = f"{seen.body.name} {seen.body.hash}" if seen.points.variant == "surface" else None
    return Measurement(seen.points.variant, ground, values, surface)


def made(motion: Clip | JointTrack, rollout: Rollout, body: Body) -> bool:
    """Whether a rollout of this body is what the motion was made by, but for the single precision of files."""
    if (
        not isinstance(motion, Clip)
        or not body.answers_to(rollout.model_hash)
        or rollout.num_frames != motion.num_frames
    ):
        return False
    clip = body.clip_from_qpos(rollout.qpos, rollout.fps)
    pairs = ((clip.root_pos, motion.root_pos), (clip.rotations, motion.rotations))
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=FILE_PRECISION) for a, b in pairs)
