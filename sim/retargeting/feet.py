"""Where a robot's feet go: over the ground as far as the person's are, flat where those are flat, and in a stance as
something that rolls without sliding.

A person's foot bends at its toes and a robot's does not, so as the heel rises a robot's sole tips over its front edge.
What must not move is the point of contact; the ankle goes where that asks it to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.base.runs import runs
from morphloop.motion import Clip
from morphloop.motion.rotations import (
    heading,
    quat_between,
    quat_conj,
    quat_from_heading,
    quat_from_rotvec,
    quat_mul,
    quat_rotate,
    quat_to_rotvec,
)

from ..bodies.body import FEET, Body
from ..bodies.mjcf_body import RobotBody
from ..bodies.stances import GIVE_M, FootMotion, between_stances, foot_motion, points_motion
from .rest import RestPose, toe_heading
from .tasks import built_pose

FLAT, TIPPED = np.radians(6.0), np.radians(20.0)
"""A standing sole that is tipped by less than the first lies flat, by more than the second is tipped as it is."""
SAME_HEADING = np.radians(12.0)
"""A stance over which a foot turns by less is one that does not turn."""
LOW_M = 0.05
"""Metres up to which a robot's foot clears the ground by as much as the person's, whatever its size."""
HELD_M, HELD_SPEED = 0.025, 0.2
"""Metres over the ground and m/s of a contact that is held level where it comes down or leaves, too."""
SWING_CLEAR_M, SWING_SPEEDS = 0.04, (0.3, 0.8)
"""Metres that a swinging foot clears the ground, all of them at the second speed of its lowest point, m/s."""
RAMP_S = 0.1
"""Seconds before and after a stance in which a foot comes to it and leaves it."""


@dataclass(frozen=True)
class FootTarget:
    """One foot over time. place: (T, 3) of its link, metres; turn: (T, 4) world rotation of its link; stands: (T,)
    0 to 1; flat: (T,) 0 to 1, whether it stands on its sole and not on an edge; contact: (T, 3) in the link's frame,
    metres, the point that has to be where it is to be, that of contact while it stands; moved: (T, 2) metres that it
    stands off the person's scaled foot, level."""

    place: np.ndarray
    turn: np.ndarray
    stands: np.ndarray
    flat: np.ndarray
    contact: np.ndarray
    moved: np.ndarray


def foot_target(
    clip: Clip, human: Body, body: RobotBody, rest: RestPose, foot: int, planted: np.ndarray, place: np.ndarray,
    scale: float,
) -> FootTarget:  # fmt: skip
    """The target of a foot (0 left, 1 right).

    planted: (T,) bool, where it stands; place: (T, 2) scaled place of the person's ankle, metres.
    """
    ankle, motion = f"{FEET[foot]}_ankle", foot_motion(clip, foot, human)
    stands = _ramped(planted, clip.fps)
    held = planted | ((motion.lowest < HELD_M) & (motion.speed(clip.fps) < HELD_SPEED))
    world, flat = _levelled(clip.global_rotations[:, clip.skeleton.index(ankle)], FEET[foot], planted, stands)
    turn = quat_mul(world, np.broadcast_to(rest.offset[ankle], world.shape))
    local, radius = sole(body, rest, foot)
    arms = quat_rotate(turn[:, None], np.broadcast_to(local, (len(turn), *local.shape)))
    clear = np.maximum(motion.lowest, 0.0)
    clear = (1.0 - stands) * (scale * clear + (1.0 - scale) * np.minimum(clear, LOW_M))
    clear = np.maximum(clear, _swing_clearance(motion, held, clip.fps))
    height = clear - (arms[..., 2] - radius).min(axis=1)
    centres = np.column_stack([place, height])[:, None] + arms
    path = points_motion(centres, np.repeat(turn[:, None], len(radius), axis=1), radius).path
    moved = np.zeros_like(place)
    for start, stop in runs(held):
        moved[start:stop] = path[start:stop].mean(axis=0) - path[start:stop]
    moved = between_stances(moved, held)
    carries = np.maximum(stands, held)
    over = centres[..., 2] - radius
    load = np.maximum(GIVE_M - (over - over.min(axis=1, keepdims=True)), 0.0)
    contact = carries[:, None] * (load @ local) / load.sum(axis=1, keepdims=True)
    return FootTarget(np.column_stack([place + moved, height]), turn, carries, stands * flat, contact, moved)


def _ramped(planted: np.ndarray, fps: float) -> np.ndarray:
    """(T,) 1 in stances, smoothly up to them and down from them."""
    away = np.full(len(planted), np.inf)
    frames = np.arange(len(planted))
    for start, stop in runs(planted):
        away = np.minimum(away, np.maximum(np.maximum(start - frames, frames - (stop - 1)), 0))
    share = np.clip(1.0 - away / (RAMP_S * fps), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _swing_clearance(motion: FootMotion, held: np.ndarray, fps: float) -> np.ndarray:
    """(T,) metres that a foot has to be over the ground because it swings: one that skims at speed would drag."""
    low, high = SWING_SPEEDS
    pace = np.clip((motion.speed(fps) - low) / (high - low), 0.0, 1.0)
    away = 1.0 - _ramped(held, fps)
    return SWING_CLEAR_M * pace * away


def _levelled(world: np.ndarray, side: str, planted: np.ndarray, stands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World rotations (T, 4) of a person's foot, its sole level and its heading the same while it stands, unless it
    means to tip or to turn, and how far it is meant to be flat (T,), 0 to 1."""
    up = np.array([0.0, 0.0, 1.0])
    tilt = quat_between(np.broadcast_to(up, (len(world), 3)), quat_rotate(world, np.broadcast_to(up, (len(world), 3))))
    yaw = np.unwrap(heading(quat_mul(quat_conj(tilt), world)))
    along = toe_heading(side)
    foot = quat_from_heading(yaw + np.arctan2(along[1], along[0]))
    roll, pitch, _ = quat_rotate(quat_conj(foot), quat_to_rotvec(tilt)).T
    steep = np.clip((np.abs(pitch) - FLAT) / (TIPPED - FLAT), 0.0, 1.0)
    flat = 1.0 - steep * steep * (3.0 - 2.0 * steep)
    kept = 1.0 - stands * flat
    tipped = np.stack([kept * roll, kept * pitch, np.zeros_like(roll)], axis=1)
    turned = np.zeros((len(yaw), 1))
    for start, stop in runs(planted):
        own = yaw[start:stop]
        if np.ptp(own) < SAME_HEADING:
            turned[start:stop, 0] = own.mean() - own
    turned = between_stances(turned, planted)[:, 0]
    level = quat_mul(quat_from_rotvec(quat_rotate(foot, tipped)), quat_from_heading(yaw))
    return quat_mul(quat_from_heading(turned), level), flat


def sole(body: RobotBody, rest: RestPose, foot: int) -> tuple[np.ndarray, np.ndarray]:
    """Surface points (P, 3) of a foot in the frame of its link, as built, and their radii (P,), metres."""
    ankle, surface = rest.joint[f"{FEET[foot]}_ankle"], body.surface
    own = surface.foot == foot
    places, turns = built_pose(body)
    joint = surface.joint[own]
    at = places[joint] + quat_rotate(turns[joint], surface.local[own])
    return quat_rotate(quat_conj(turns[ankle]), at - places[ankle]), surface.radius[own]
