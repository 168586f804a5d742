"""Reference preprocessing, before physics sees it and without inventing motion: smooth it, hold its feet, balance it.

Estimators' and generators' clips shake, slide and lean over no foot; a body that tries to do as they say falls. Each
step here changes a clip by centimetres and can be switched off; figures called `before` are always those of the
untouched input, and errors that count are taken against the clip as `prepare` left it.

Balancing is a dynamics filter (Yamane and Nakamura 2003) on the cart-table model (Kajita et al. 2003): the least
horizontal shift of the body whose zero moment point stays over the feet that stand; the feet stay where they are.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import cast

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.signal import butter, filtfilt
from scipy.spatial import ConvexHull, QhullError

from morphloop.base.runs import keep_long, runs
from morphloop.motion import Clip
from morphloop.motion.rotations import (
    quat_continuous,
    quat_normalize,
    quat_rotate,
)
from morphloop.sim import FEET, Body
from morphloop.sim.bodies.stances import LEFT_ALONE_M, between_stances, foot_motion

from .config import ConditioningConfig
from .leg_reach import leg_lengths, reach

log = logging.getLogger("morphloop.envs")

GRAVITY = 9.81
HOVER_M, CREEP_SPEED = 0.06, 0.5
"""Metres over the ground and m/s up to which a foot may yet mean to carry."""
AS_SLOW = 0.02
"""m/s; of two feet that differ by less none is the slower one."""
SHORTEST_CARRY_S = 0.1
FALLS = 0.5
"""Share of gravity from which a body that touches nothing flies."""
GROUNDING_S = 0.15
"""Standard deviation of the smoothing of how the body is put on the ground, seconds."""
LONGEST_LEG = 0.998
"""Share of a leg's length that a standing one is stretched to."""
DROP_M = 0.06
"""Most that a body comes down so that both feet reach the ground."""
DROPPING_S = 0.1
"""Standard deviation of the smoothing of that, seconds."""
SKIM_M = 0.007
"""A swing that is lower than this but for its beginning and end skims. Clean walks clear 10 mm."""
CLEAR_M = 0.045
"""Clearance of one that is lifted: a body's foot comes out up to 20 mm lower, and contact ends at 25 mm."""
LIFT_FRAMES = 0.7
"""Standard deviation of the smoothing of that lift, frames."""
RAMP_S = 0.1
"""From the ground to that clearance and back, seconds."""
ENDS = 2
"""Frames that a central second difference does not reach."""
SWING_SPEED = 0.3
"""m/s; what moves faster does not mean to stand."""


def condition(clip: Clip, planted: np.ndarray, body: Body, config: ConditioningConfig | None = None) -> Clip:
    """A prepared clip (at the control rate, on the ground) that a body can follow more easily.

    planted: (T, 2) bool, which feet the clip means to stand, left first.
    """
    config = config or ConditioningConfig()
    if clip.num_frames < 2:
        return clip
    if config.smooth:
        clip = body.within_reach(smoothed(clip, config.smooth_hz))
    if config.hold_feet:
        planted = planted | carrying_feet(clip, planted, body)
        wrong = wrong_stances(clip, planted, body)
        clip = _grounded(clip, planted, body)
        clip = _held(clip, feet_correction(clip, planted, body), body, planted)
        lift = swing_lift(clip, planted, wrong, body)
        clip = _held(clip, np.concatenate([np.zeros((*lift.shape, 2)), lift[..., None]], axis=-1), body)
    if config.balance:
        shift = np.zeros((clip.num_frames, 3))
        ankles = np.stack([clip.positions[:, leg[2]] for leg in body.legs], axis=1)
        shift[:, :2] = balancing_shift(clip, ankles, planted, body, config)
        clip = _moved(clip, shift, ankles, body)
    return clip


def _grounded(clip: Clip, planted: np.ndarray, body: Body) -> Clip:
    """A clip whose whole body rises or sinks so that the lower standing foot is on the ground."""
    shift = np.zeros((clip.num_frames, 3))
    shift[:, 2] = grounding_shift(clip, planted, body)
    return replace(clip, root_pos=clip.root_pos + shift)


def _held(clip: Clip, moved: np.ndarray, body: Body, planted: np.ndarray | None = None) -> Clip:
    """A clip whose ankles stand (T, 2, 3) metres further; the body about as much lower as standing legs, planted (T, 2)
    bool, have to reach, if they are given."""
    goals = np.stack([clip.positions[:, leg[2]] for leg in body.legs], axis=1) + moved
    drop = np.zeros((clip.num_frames, 3))
    if planted is not None:
        drop[:, 2] = -reaching_drop(clip, goals, planted & moved.any(axis=-1), body)
    return _moved(clip, drop, goals, body)


def _moved(clip: Clip, shift: np.ndarray, goals: np.ndarray, body: Body) -> Clip:
    """A clip whose root stands (T, 3) metres further and whose ankles, (T, 2, 3), where they are to be; frames in which
    neither moves stay to the bit."""
    rotations = clip.rotations.copy()
    for foot, leg in enumerate(body.legs):
        moves = shift.any(axis=1) | (goals[:, foot] != clip.positions[:, leg[2]]).any(axis=1)
        if moves.any():
            rotations[moves] = reach(clip, rotations, leg, shift, goals[:, foot], body)[moves]
    return replace(clip, root_pos=clip.root_pos + shift, rotations=rotations)


def reaching_drop(clip: Clip, goals: np.ndarray, planted: np.ndarray, body: Body) -> np.ndarray:
    """(T,) metres that the body has to come down so that standing legs all but reach where their ankles are to be.

    goals: (T, 2, 3) of the left and the right ankle. A foot that cannot reach the ground hangs over it, and what hangs
    there unloaded skims. Blended in and out; `DROP_M` at most.
    """
    need = np.zeros(clip.num_frames)
    for foot, (hip, _, _) in enumerate(body.legs):
        length = LONGEST_LEG * leg_lengths(body)[foot]
        gap = clip.positions[:, hip] - goals[:, foot]
        high = np.sqrt(np.maximum(length**2 - (gap[:, :2] ** 2).sum(axis=1), 0.0))
        need = np.maximum(need, np.where(planted[:, foot], gap[:, 2] - high, 0.0))
    around = round(2.0 * DROPPING_S * clip.fps)
    envelope = maximum_filter1d(np.minimum(need, DROP_M), 2 * around + 1)
    return gaussian_filter1d(envelope, DROPPING_S * clip.fps, mode="nearest") if need.any() else need


def smoothed(clip: Clip, corner_hz: float) -> Clip:
    """Zero-phase second-order low-pass of root and rotations; clips too short for the filter stay as they are."""
    b, a = cast("tuple[np.ndarray, np.ndarray]", butter(2, corner_hz / (clip.fps / 2.0)))
    if clip.num_frames <= 3 * len(b) + 3:
        return clip
    quats = quat_continuous(clip.rotations)
    return replace(
        clip,
        root_pos=filtfilt(b, a, clip.root_pos, axis=0),
        rotations=quat_normalize(filtfilt(b, a, quats, axis=0)),
    )


def wrong_stances(clip: Clip, planted: np.ndarray, body: Body) -> np.ndarray:
    """(T, 2) bool: stances whose point of contact travels, hovers or sinks by more than `LEFT_ALONE_M`."""
    return np.asarray(feet_correction(clip, planted, body, between=False).any(axis=-1))


def feet_correction(clip: Clip, planted: np.ndarray, body: Body, between: bool = True) -> np.ndarray:
    """(T, 2, 3) metres by which ankles have to move so that standing feet neither travel nor hover nor sink.

    What stands is the point of contact, from heel to toes as the foot rolls. A stance in which it travels, hovers and
    sinks by no more than `LEFT_ALONE_M` is left as it is. Between two stances the correction goes smoothly from one to
    the other, if it is asked for.
    """
    frames = clip.num_frames
    correction = np.zeros((frames, 2, 3))
    for foot in range(len(FEET)):
        motion = foot_motion(clip, foot, body)
        for start, stop in runs(planted[:, foot]):
            path, lowest = motion.path[start:stop], motion.lowest[start:stop]
            path = path.mean(axis=0) - path
            if max(np.linalg.norm(path, axis=1).max(), np.abs(lowest).max()) > LEFT_ALONE_M:
                correction[start:stop, foot] = np.column_stack([path, -lowest])
        if between:
            correction[:, foot] = between_stances(correction[:, foot], planted[:, foot])
    return correction


def carrying_feet(clip: Clip, planted: np.ndarray, body: Body) -> np.ndarray:
    """(T, 2) bool: the slower foot where the clip slides on both or hovers over the ground, so that none is planted.

    A body that neither stands nor flies has to stand: a foot lower than `HOVER_M` and slower than `CREEP_SPEED` does.
    It flies where it falls, on the mean, by over `FALLS` of gravity.
    """
    motions = [foot_motion(clip, foot, body) for foot in range(len(FEET))]
    height = np.stack([motion.lowest for motion in motions], axis=1)
    pace = np.stack([np.linalg.norm(motion.steps, axis=1) * clip.fps for motion in motions], axis=1)
    slower = pace <= pace.min(axis=1, keepdims=True) + AS_SLOW
    none = ~(planted[:, 0] | planted[:, 1])
    rise = np.gradient(clip.root_pos[:, 2], 1.0 / clip.fps)
    for start, stop in runs(none):
        first, last = max(start - 1, 0), min(stop, len(rise) - 1)
        none[start:stop] = rise[last] - rise[first] > -FALLS * GRAVITY * (last - first) / clip.fps
    carries = slower & (height < HOVER_M) & (pace < CREEP_SPEED) & none[:, None]
    return np.stack([keep_long(row, round(SHORTEST_CARRY_S * clip.fps)) for row in carries.T], axis=1)


def grounding_shift(clip: Clip, planted: np.ndarray, body: Body) -> np.ndarray:
    """(T,) metres that the whole body has to rise so that the lower standing foot is on the ground, smooth over time.

    Nothing is asked for by stances that hover and sink by no more than `LEFT_ALONE_M`.
    """
    low = np.full(clip.num_frames, np.inf)
    for foot in range(len(FEET)):
        lowest = foot_motion(clip, foot, body).lowest
        for start, stop in runs(planted[:, foot]):
            own = lowest[start:stop]
            own = own if np.abs(own).max() > LEFT_ALONE_M else np.zeros_like(own)
            low[start:stop] = np.minimum(low[start:stop], own)
    stands = planted[:, 0] | planted[:, 1]
    if not low[stands].any():
        return np.zeros(clip.num_frames)
    rise = between_stances(np.where(stands, -low, 0.0)[:, None].repeat(3, axis=1), stands)[:, 0]
    return gaussian_filter1d(rise, GROUNDING_S * clip.fps, mode="nearest")


def swing_lift(clip: Clip, planted: np.ndarray, wrong: np.ndarray, body: Body) -> np.ndarray:
    """(T, 2) metres by which ankles have to rise so that a foot which swings while the other stands clears the ground.

    Estimators and generators let feet skim: low enough to count as standing, and as fast as a swing. One faster than
    `SWING_SPEED` that skims, or beside which a stance of either foot had to be held (`wrong`, (T, 2) bool), rises to
    `CLEAR_M` within `RAMP_S` of its beginning and stays there until as long before its end.
    """
    lift = np.zeros((clip.num_frames, 2))
    for foot in range(len(FEET)):
        motion = foot_motion(clip, foot, body)
        fast = np.linalg.norm(motion.steps, axis=1) * clip.fps > SWING_SPEED
        swings, beside = ~planted[:, foot], np.zeros(clip.num_frames, bool)
        for start, stop in runs(swings):
            beside[start:stop] = wrong[max(start - 1, 0) : stop + 1].any()
        for start, stop in runs(swings & planted[:, 1 - foot] & fast):
            edge = np.minimum(np.arange(stop - start) + 1, np.arange(stop - start, 0, -1)) / (RAMP_S * clip.fps)
            lowest = motion.lowest[start:stop]
            if beside[start] or lowest[edge >= 1.0].min(initial=np.inf) < SKIM_M:
                ramp = np.clip(edge, 0.0, 1.0)
                lift[start:stop, foot] = np.maximum(0.0, CLEAR_M * ramp * ramp * (3.0 - 2.0 * ramp) - lowest)
        lift[:, foot] = gaussian_filter1d(lift[:, foot], LIFT_FRAMES)
    return lift


def balancing_shift(
    clip: Clip, ankles: np.ndarray, planted: np.ndarray, body: Body, config: ConditioningConfig, rounds: int = 40
) -> np.ndarray:
    """(T, 2) least horizontal shift of the body that keeps the zero moment point over the standing feet.

    ankles: (T, 2, 3) where the ankles will be; planted: (T, 2) bool. Least squares whose goal, the nearest point over
    the soles, is found anew in every round; frames without a standing foot, and the clip's first and last `ENDS`, whose
    acceleration nobody knows, ask for nothing but smoothness.
    """
    frames = clip.num_frames
    height, moment_point = zero_moment_point(clip, body)
    second = np.zeros((frames, frames))
    inner = np.arange(1, frames - 1)
    for offset, factor in ((-1, 1.0), (0, -2.0), (1, 1.0)):
        second[inner, inner + offset] = factor * clip.fps**2
    cart = np.eye(frames) - (height / GRAVITY) * second
    soles = [_support(clip, ankles, planted, frame, body, config.margin_m) for frame in range(frames)]
    stands = np.array([len(sole) > 0 for sole in soles])
    stands[:ENDS] = stands[-ENDS:] = False
    system = cart[stands].T @ cart[stands] + config.shift_weight * np.eye(frames) + 1e-6 * second.T @ second
    inverse = np.linalg.inv(system)
    shift = np.zeros((frames, 2))
    for _ in range(rounds):
        point = moment_point + cart @ shift
        goal = np.array([_nearest(point[t], soles[t]) for t in np.flatnonzero(stands)]).reshape(-1, 2)
        fresh = inverse @ (cart[stands].T @ (goal - moment_point[stands]))
        if np.abs(fresh - shift).max() < 1e-4:
            return fresh
        shift = fresh
    return shift


def zero_moment_point(clip: Clip, body: Body) -> tuple[float, np.ndarray]:
    """Mean height of the centre of mass, metres, and the cart-table zero moment point (T, 2) on the ground."""
    share = body.joint_masses / body.mass
    arms = np.broadcast_to(body.joint_coms, clip.positions.shape)
    centres = clip.positions + quat_rotate(clip.global_rotations, arms)
    com = np.einsum("j,tji->ti", share, centres)
    acceleration = np.gradient(np.gradient(com, 1.0 / clip.fps, axis=0), 1.0 / clip.fps, axis=0)
    height = float(com[:, 2].mean())
    return height, com[:, :2] - height / GRAVITY * acceleration[:, :2]


def _support(clip: Clip, ankles: np.ndarray, planted: np.ndarray, frame: int, body: Body, margin: float) -> np.ndarray:
    """(K, 2) corners, in order, of the ground under the standing feet, drawn in by `margin`; empty if none stands."""
    surface = body.surface
    points = []
    for foot in range(len(FEET)):
        if planted[frame, foot]:
            own = surface.foot == foot
            joint = surface.joint[own]
            moved = ankles[frame, foot] - clip.positions[frame, body.legs[foot, 2]]
            turned = quat_rotate(clip.global_rotations[frame, joint], surface.local[own])
            points.append((clip.positions[frame, joint] + turned + moved)[:, :2])
    if not points:
        return np.zeros((0, 2))
    corners = np.concatenate(points)
    middle = corners.mean(axis=0)
    try:
        corners = corners[ConvexHull(corners).vertices]
    except QhullError:
        return middle[None]
    away = corners - middle
    length = np.linalg.norm(away, axis=1, keepdims=True)
    return middle + away * np.maximum(length - margin, 0.0) / np.maximum(length, 1e-9)


def _nearest(point: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The point of a convex polygon (corners (K, 2), counter-clockwise) that is nearest to `point` (2,)."""
    if len(corners) < 3:
        return corners[0]
    edge = np.roll(corners, -1, axis=0) - corners
    to = point - corners
    if (edge[:, 0] * to[:, 1] - edge[:, 1] * to[:, 0] >= 0).all():
        return point
    along = np.clip((edge * to).sum(1) / np.maximum((edge**2).sum(1), 1e-12), 0.0, 1.0)
    nearest = corners + along[:, None] * edge
    return nearest[np.linalg.norm(nearest - point, axis=1).argmin()]
