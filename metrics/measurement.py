"""The measurement contract: one function for before and after, kinematic clips and rollouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack, Rollout
from morphloop.sim.bodies.body import Body

from .clip_context import context
from .contact import skim, slide
from .joint_limits import joint_limits
from .legacy import GMD_HZ, PFC_HZ, PHYSDIFF_HZ, edge_pfc, gmd_skating, physdiff
from .loaded import NO_LOADS, measure_loads
from .plausibility import floating, joint_speed, penetration, smoothness, unsupported
from .points import Variant
from .self_penetration import self_penetration
from .vertices import smplsim
from .wrench import NO_WRENCH, residual_wrench

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

    motion: a Clip on the body's skeleton is measured on the body's surface, anything else on its joints.
    body: the default body if not given. ground: where z = 0 is put, `as-is` leaves the file's.
    wrench: False leaves `residual_wrench_ratio` and its parts None, which saves half of the time.
    rollout: what physics did to make this motion, whose forces are read; without it what rests on forces is None;
    reference: what the rollout tracked.
    Raises MotionError for an unknown ground, or if the rollout is another body's or another motion's.
    """
    seen = context(motion, body, ground)
    points = seen.points
    values: dict[str, float | None] = {"ground_offset_mm": 1e3 * seen.offset}
    values |= penetration(points.dense_lowest) | floating(points.dense_lowest, points.dense_clear)
    values |= unsupported(points.clear, points.com, points.fps, points.dense_clear)
    values |= slide(seen.contacts) | skim(seen.contacts, seen.grid_com)
    values |= smoothness(points.positions, seen.smooth_joints, seen.grid_joints)
    values |= physdiff(seen.resampled(PHYSDIFF_HZ)) | gmd_skating(seen.resampled(GMD_HZ))
    values |= edge_pfc(seen.resampled(PFC_HZ))
    rotations = motion.rotations if isinstance(motion, Clip) else None
    values |= {"joint_speed_max_rad_s": None} if rotations is None else joint_speed(rotations, motion.fps)
    values |= self_penetration(seen) | joint_limits(seen.motion, seen.body)
    values |= residual_wrench(seen) if wrench else NO_WRENCH
    values |= smplsim(points)
    values |= NO_LOADS if rollout is None else _loads(rollout, motion, seen.body, reference)
    surface = f"{seen.body.name} {seen.body.hash}" if points.variant == "surface" else None
    return Measurement(points.variant, ground, values, surface)


def _loads(rollout: Rollout, motion: Clip | JointTrack, body: Body, reference: Clip | None) -> dict[str, float | None]:
    """What rests on the forces of a rollout. MotionError if it did not make this motion."""
    if not made(motion, rollout, body):
        raise MotionError(f"{motion.name}: rollout '{rollout.name}' did not make it, expected the clip's own")
    return measure_loads(rollout, body, reference)


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
