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
from ..bodies.stances import between_stances, foot_motion, points_motion
from .rest import RestPose, toe_heading
from .tasks import built_pose

FLAT, TIPPED = np.radians(6.0), np.radians(20.0)
"""A standing sole that is tipped by less than the first lies flat, by more than the second is tipped as it is."""
SAME_HEADING = np.radians(12.0)
"""A stance over which a foot turns by less is one that does not turn."""
LOW_M = 0.05
"""Metres up to which a robot's foot clears the ground by as much as the person's, whatever its size."""
RAMP_S = 0.1
"""Seconds before and after a stance in which a foot comes to it and leaves it."""


@dataclass(frozen=True)
class FootTarget:
    """One foot over time. place: (T, 3) of its link, metres; turn: (T, 4) world rotation of its link; stands: (T,)
    0 to 1; moved: (T, 2) metres that it stands off the person's scaled foot, level."""

    place: np.ndarray
    turn: np.ndarray
    stands: np.ndarray
    moved: np.ndarray


def foot_target(
    clip: Clip, human: Body, body: RobotBody, rest: RestPose, foot: int, planted: np.ndarray, place: np.ndarray,
    scale: float,
) -> FootTarget:  # fmt: skip
    """The target of a foot (0 left, 1 right).

    planted: (T,) bool, where it stands; place: (T, 2) scaled place of the person's ankle, metres.
    """
    ankle = f"{FEET[foot]}_ankle"
    stands = _ramped(planted, clip.fps)
    world = _levelled(clip.global_rotations[:, clip.skeleton.index(ankle)], FEET[foot], planted, stands)
    turn = quat_mul(world, np.broadcast_to(rest.offset[ankle], world.shape))
    local, radius = sole(body, rest, foot)
    arms = quat_rotate(turn[:, None], np.broadcast_to(local, (len(turn), *local.shape)))
    clear = np.maximum(foot_motion(clip, foot, human).lowest, 0.0)
    clear = (1.0 - stands) * (scale * clear + (1.0 - scale) * np.minimum(clear, LOW_M))
    height = clear - (arms[..., 2] - radius).min(axis=1)
    centres = np.column_stack([place, height])[:, None] + arms
    path = points_motion(centres, np.repeat(turn[:, None], len(radius), axis=1), radius).path
    moved = np.zeros_like(place)
    for start, stop in runs(planted):
        moved[start:stop] = path[start:stop].mean(axis=0) - path[start:stop]
    moved = between_stances(moved, planted)
    return FootTarget(np.column_stack([place + moved, height]), turn, stands, moved)


def _ramped(planted: np.ndarray, fps: float) -> np.ndarray:
    """(T,) 1 in stances, smoothly up to them and down from them."""
    away = np.full(len(planted), np.inf)
    frames = np.arange(len(planted))
    for start, stop in runs(planted):
        away = np.minimum(away, np.maximum(np.maximum(start - frames, frames - (stop - 1)), 0))
    share = np.clip(1.0 - away / (RAMP_S * fps), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _levelled(world: np.ndarray, side: str, planted: np.ndarray, stands: np.ndarray) -> np.ndarray:
    """(T, 4) world rotations of a person's foot, its sole level and its heading the same while it stands, unless it
    means to tip or to turn."""
    up = np.array([0.0, 0.0, 1.0])
    tilt = quat_between(np.broadcast_to(up, (len(world), 3)), quat_rotate(world, np.broadcast_to(up, (len(world), 3))))
    yaw = np.unwrap(heading(quat_mul(quat_conj(tilt), world)))
    along = toe_heading(side)
    foot = quat_from_heading(yaw + np.arctan2(along[1], along[0]))
    roll, pitch, _ = quat_rotate(quat_conj(foot), quat_to_rotvec(tilt)).T
    steep = np.clip((np.abs(pitch) - FLAT) / (TIPPED - FLAT), 0.0, 1.0)
    kept = 1.0 - stands * (1.0 - steep * steep * (3.0 - 2.0 * steep))
    tipped = np.stack([(1.0 - stands) * roll, kept * pitch, np.zeros_like(roll)], axis=1)
    turned = np.zeros((len(yaw), 1))
    for start, stop in runs(planted):
        own = yaw[start:stop]
        if np.ptp(own) < SAME_HEADING:
            turned[start:stop, 0] = own.mean() - own
    turned = between_stances(turned, planted)[:, 0]
    level = quat_mul(quat_from_rotvec(quat_rotate(foot, tipped)), quat_from_heading(yaw))
    return quat_mul(quat_from_heading(turned), level)


def sole(body: RobotBody, rest: RestPose, foot: int) -> tuple[np.ndarray, np.ndarray]:
    """Surface points (P, 3) of a foot in the frame of its link, as built, and their radii (P,), metres."""
    ankle, surface = rest.joint[f"{FEET[foot]}_ankle"], body.surface
    own = surface.foot == foot
    places, turns = built_pose(body)
    joint = surface.joint[own]
    at = places[joint] + quat_rotate(turns[joint], surface.local[own])
    return quat_rotate(quat_conj(turns[ankle]), at - places[ankle]), surface.radius[own]
