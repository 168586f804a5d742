"""Where a clip's feet touch the ground, and when they stand.

A foot rolls: heel, sole and toes carry one after the other, and no joint of it is still throughout. What is still is
the material point on the surface that touches, so its travel says whether a stance slides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter1d

from morphloop.base.runs import keep_long, runs
from morphloop.motion import Clip
from morphloop.motion.rotations import quat_conj, quat_mul, quat_rotate

from .body import FEET, Body

GIVE_M = 0.002
"""How far a sole gives: points of a foot share its load by how much lower they are than this over its lowest one."""
LEFT_ALONE_M = 0.003
"""A stance that travels, hovers or sinks by no more than this is good enough as it is."""
PLANTED_HEIGHT = 0.035
PLANTED_SPEED = 0.35
"""A foot whose lowest point is under this height, metres, and whose point of contact is under this speed, m/s, is meant
to stand: a generator's feet hover and creep, so the bounds are wider than those of the contact metric."""
SHORTEST_SWING_S = 0.12
SHORTEST_STANCE_S = 0.1
"""A foot that is down moves for a moment, and a swinging one may be still for a moment."""
LANDING_SPEED = 0.02
"""m/s; a foot over where it stands that sinks faster at the beginning is yet coming down, one that rises faster at the
end is going up."""
STEP_RISE_M, STEP_TRAVEL_M, STEP_S = 0.010, 0.030, 0.5
"""A slow foot that rises by so much over where it stood within so many seconds before and after, and is so much further
when it comes down again, has made a step; one that comes down where it was has hovered."""


@dataclass(frozen=True)
class FootMotion:
    """lowest: (T,) height of a foot's lowest point, metres; steps: (T, 2) what its point of contact travels until the
    next frame, metres, 0 in the last frame."""

    lowest: np.ndarray
    steps: np.ndarray

    @property
    def path(self) -> np.ndarray:
        """(T, 2) what the point of contact has travelled since the first frame, metres."""
        return np.concatenate([np.zeros((1, 2)), np.cumsum(self.steps[:-1], axis=0)])

    def speed(self, fps: float) -> np.ndarray:
        """(T,) speed of the point of contact with its rise and fall, m/s, over the frame before and the one after."""
        track = np.column_stack([self.path, self.lowest])
        return np.linalg.norm(np.gradient(track, 1.0 / fps, axis=0), axis=1) if len(track) > 1 else np.zeros(1)


def foot_motion(clip: Clip, foot: int, body: Body) -> FootMotion:
    """How a foot (0 left, 1 right) moves over the ground.

    The point of contact moves as the points that touch do, on the mean weighted by how far each presses into a sole
    that gives by `GIVE_M`: what rolls or tips stays where it is. A round point touches a radius under its centre.
    """
    surface = body.surface
    own = surface.foot == foot
    joint = surface.joint[own]
    turns = clip.global_rotations[:, joint]
    return points_motion(clip.positions[:, joint] + quat_rotate(turns, surface.local[own]), turns, surface.radius[own])


def points_motion(centres: np.ndarray, turns: np.ndarray, radius: np.ndarray) -> FootMotion:
    """`foot_motion` of a foot's P surface points: centres (T, P, 3) metres, world rotations (T, P, 4) of what carries
    them, radius (P,) metres."""
    heights = centres[..., 2] - radius
    lowest = heights.min(axis=1)
    steps = np.zeros((len(centres), 2))
    if len(centres) < 2:
        return FootMotion(lowest, steps)
    down = np.zeros((len(radius), 3))
    down[:, 2] = -radius
    turned = quat_rotate(quat_mul(turns[1:], quat_conj(turns[:-1])), np.broadcast_to(down, centres[1:].shape))
    travel = (np.diff(centres, axis=0) + turned - down)[..., :2]
    over = heights - lowest[:, None]
    over = np.maximum(over[:-1], over[1:])
    load = np.maximum(0.0, GIVE_M - (over - over.min(axis=1, keepdims=True)))
    steps[:-1] = (load[..., None] * travel).sum(axis=1) / load.sum(axis=1)[:, None]
    return FootMotion(lowest, steps)


def planted_feet(clip: Clip, body: Body) -> np.ndarray:
    """(T, 2) bool: which feet the clip means to stand.

    A foot whose point of contact is low and slow stands, with what it moves for a moment; not while it comes down or
    goes up at either end, nor where it rises and comes down elsewhere, which is a step however slow.
    """
    motions = [foot_motion(clip, foot, body) for foot in range(len(FEET))]
    return np.stack([_stands(motion, clip.fps) for motion in motions], axis=1)


def _stands(motion: FootMotion, fps: float) -> np.ndarray:
    moves = (motion.lowest >= PLANTED_HEIGHT) | (motion.speed(fps) >= PLANTED_SPEED)
    stands = ~moves
    for start, stop in runs(moves):
        stands[start:stop] = start > 0 and stop < len(moves) and stop - start < round(SHORTEST_SWING_S * fps)
    for start, stop in runs(stands):
        stands[start:stop] &= ~_steps(motion.lowest[start:stop], motion.path[start:stop], fps)
    for start, stop in runs(stands):
        lowest = motion.lowest[start:stop]
        high = lowest > lowest.min() + 0.5 * LEFT_ALONE_M
        rise = np.gradient(lowest, 1.0 / fps) if stop - start > 1 else np.zeros(1)
        landing = np.logical_and.accumulate(high & (rise < -LANDING_SPEED))
        leaving = np.logical_and.accumulate((high & (rise > LANDING_SPEED))[::-1])[::-1]
        stands[start:stop] = ~landing & ~leaving
    return keep_long(stands, round(SHORTEST_STANCE_S * fps))


def _steps(lowest: np.ndarray, path: np.ndarray, fps: float) -> np.ndarray:
    """(T,) bool: where a foot that is low and slow rises and comes down elsewhere. lowest (T,) and path (T, 2), m."""
    size = round(STEP_S * fps) + 1
    before = minimum_filter1d(lowest, size, mode="nearest", origin=(size - 1) // 2)
    after = minimum_filter1d(lowest, size, mode="nearest", origin=-(size // 2))
    rise = lowest - np.maximum(before, after)
    steps = np.zeros(len(lowest), bool)
    for start, stop in runs(rise > LEFT_ALONE_M):
        first, last = max(start - 1, 0), min(stop, len(path) - 1)
        if rise[start:stop].max() > STEP_RISE_M and np.linalg.norm(path[last] - path[first]) > STEP_TRAVEL_M:
            steps[start:stop] = True
    return steps


def between_stances(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(T, C) values where known, blended from one segment to the next elsewhere, held before the first and after the
    last; zero where nothing is known."""
    filled = values.copy()
    for start, stop in runs(~known):
        before = values[start - 1] if start else None
        after = values[stop] if stop < len(values) else None
        u = np.linspace(0.0, 1.0, stop - start + 2)[1:-1, None]
        u = u * u * (3.0 - 2.0 * u)
        first, last = (after if before is None else before), (before if after is None else after)
        if first is None or last is None:
            continue
        filled[start:stop] = first + u * (last - first)
    return filled
