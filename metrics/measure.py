"""The measurement contract: one function for before and after, kinematic clips and rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from morphloop.motion import Clip, JointTrack
from morphloop.sim.body import Body

from .contact import slide
from .context import context
from .joint_limits import joint_limits
from .legacy import GMD_HZ, PFC_HZ, PHYSDIFF_HZ, edge_pfc, gmd_skating, physdiff
from .plausibility import floating, joint_speed, penetration, smoothness, unsupported
from .points import Variant
from .self_penetration import self_penetration
from .vertices import smplsim
from .wrench import NO_WRENCH, residual_wrench


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
    motion: Clip | JointTrack, body: Body | None = None, ground: str = "as-is", wrench: bool = True
) -> Measurement:
    """Every metric that needs the motion alone.

    motion: a Clip on the body's skeleton is measured on the body's surface, anything else on its joints.
    body: the default body if not given. ground: where z = 0 is put, `as-is` leaves the file's.
    wrench: False leaves `residual_wrench_ratio` and its parts None, which saves half of the time.
    Raises MotionError for an unknown ground.
    """
    seen = context(motion, body, ground)
    points = seen.points
    values: dict[str, float | None] = {"ground_offset_mm": 1e3 * seen.offset}
    values |= penetration(points.dense_lowest) | floating(points.dense_lowest)
    values |= unsupported(points.clear, points.com, points.fps, points.dense_clear)
    values |= slide(seen.contacts) | smoothness(points.positions, seen.smooth_joints, seen.grid_joints)
    values |= physdiff(seen.resampled(PHYSDIFF_HZ)) | gmd_skating(seen.resampled(GMD_HZ))
    values |= edge_pfc(seen.resampled(PFC_HZ))
    rotations = motion.rotations if isinstance(motion, Clip) else None
    values |= {"joint_speed_max_rad_s": None} if rotations is None else joint_speed(rotations, motion.fps)
    values |= self_penetration(seen) | joint_limits(seen.motion, seen.body)
    values |= residual_wrench(seen) if wrench else NO_WRENCH
    values |= smplsim(points)
    surface = f"{seen.body.name} {seen.body.hash}" if points.variant == "surface" else None
    return Measurement(points.variant, ground, values, surface)
