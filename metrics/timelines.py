"""Where in a clip the defects are: one mark a sample of the 30 Hz grid, by the thresholds of the metrics themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.motion import Clip, JointTrack
from morphloop.sim.bodies.body import Body

from .clip_context import Context, context
from .contact import SLIDE_FAST
from .plausibility import AIRBORNE_M, DEEP_M, hanging
from .points import Variant
from .signals import GRID_HZ, grid_frames, resample_linear


@dataclass(frozen=True, eq=False)
class Timeline:
    """Defects over time, T' samples on the 30 Hz grid, the first at the clip's first frame.

    fps: 30; variant, ground: as in a measurement; times: (T',) seconds; lowest: (T',) h(t), height of the lowest point
    over the ground (joints variant: of the lowest joint, its clearance not taken off), metres; penetrating: (T',) bool,
    h under -5 mm (`penetration_ratio`); floating: (T',) bool, h less clearance over 20 mm; unsupported: (T',) bool, of
    those the ones whose centre of mass is not in free fall (`unsupported_ratio`; none where it is unknown or the flight
    too short to judge); contact: (T', 3) bool, left foot, right foot, rest of the body; slide_speed: (T', 3) m/s, NaN
    where it is not read; sliding: (T',) bool, some slide speed over 50 mm/s (`slide_ratio`).
    """

    fps: float
    variant: Variant
    ground: str
    times: np.ndarray
    lowest: np.ndarray
    penetrating: np.ndarray
    floating: np.ndarray
    unsupported: np.ndarray
    contact: np.ndarray
    slide_speed: np.ndarray
    sliding: np.ndarray


def timeline(motion: Clip | JointTrack, body: Body | None = None, ground: str = "as-is") -> Timeline:
    """Defects over time. Arguments and errors as for `measure`."""
    return context_timeline(context(motion, body, ground))


def context_timeline(seen: Context) -> Timeline:
    """`timeline` of a motion that is ready to measure."""
    points, contacts = seen.points, seen.contacts
    dense = points.dense_fps
    hung = np.zeros(points.num_frames, bool)
    if points.com is not None:
        hung = hanging(points.clear, points.com, points.fps)[0]
    speed = contacts.group_speed()
    return Timeline(
        fps=GRID_HZ,
        variant=points.variant,
        ground=seen.ground,
        times=np.arange(len(speed)) / GRID_HZ,
        lowest=resample_linear(points.lowest, points.fps, GRID_HZ),
        penetrating=marks_on_grid(points.dense_lowest < -DEEP_M, dense),
        floating=marks_on_grid(points.dense_clear > AIRBORNE_M, dense),
        unsupported=marks_on_grid(hung, points.fps),
        contact=contacts.group_touching(),
        slide_speed=speed,
        sliding=np.any(np.nan_to_num(speed) > SLIDE_FAST, axis=1),
    )


def marks_on_grid(mask: np.ndarray, fps: float) -> np.ndarray:
    """(T,) marks at a rate of `fps` on the 30 Hz grid, (T',): a sample is marked if a frame nearest to it is, so that
    no marked frame is lost."""
    samples = grid_frames(len(mask), fps, GRID_HZ)
    marked = mask[np.minimum(np.rint(np.arange(samples) * fps / GRID_HZ).astype(int), len(mask) - 1)]
    nearest = np.minimum(np.rint(np.flatnonzero(mask) * GRID_HZ / fps).astype(int), samples - 1)
    marked[nearest] = True
    return marked
