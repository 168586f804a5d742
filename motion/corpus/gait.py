"""Where the feet go: footsteps in time, and the gaits made of them (walking, stepping, turning).

A gait is a list of `Step`s; `sample_feet` turns it into smooth foot paths with heel strike and toe-off, and
`load_share` into the share of weight on each foot. Everything else follows in `balance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..fitting.leg_ik import FootTrack
from .balance import FPS

LEFT, RIGHT = 0, 1
STAND_COP = 0.035
"""Where a standing foot carries its load, metres before the ankle."""
ROLL_COP = (-0.04, 0.13)
"""How far before the ankle the load travels during a stance of walking, metres."""
ROLL_SMOOTH = 0.3
"""Standard deviation of the smoothing of that path in step periods. It evens out the forward speed, which the model
without angular momentum would let surge by a third, and leaves two thirds of the sway, inside the standing foot."""
SHIFT_S = 0.55
"""Seconds a standing person takes to bring the weight over one foot."""


@dataclass(frozen=True)
class Step:
    """One foot's swing from `lift` to `land` (seconds) to a new place.

    foot: LEFT or RIGHT; place: x, y, yaw of the flat foot; height: lift of the sole at mid-swing, metres;
    off: pitch of the foot at toe-off; strike: pitch at landing, negative is heel first, radians.
    """

    foot: int
    lift: float
    land: float
    place: tuple[float, float, float]
    height: float = 0.06
    off: float = 0.25
    strike: float = 0.0


def ease(t: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Minimum-jerk rise from 0 at `start` to 1 at `stop` (Flash and Hogan 1985); constant outside."""
    u = np.clip((t - start) / (stop - start), 0.0, 1.0)
    return u**3 * (10.0 - 15.0 * u + 6.0 * u**2)


def through(t: np.ndarray, times: Sequence[float], values: Sequence[float]) -> np.ndarray:
    """Values over time (T,) that pass the keys (times rising), at rest at each, minimum jerk between."""
    track = np.full_like(t, values[0], dtype=float)
    for (t0, v0), (t1, v1) in zip(
        zip(times, values, strict=True), zip(times[1:], values[1:], strict=False), strict=False
    ):
        if v1 != v0:
            track += (v1 - v0) * ease(t, t0, t1)
    return track


def _glide(t: np.ndarray, start: float, stop: float, ramp: float = 0.38) -> np.ndarray:
    """Rise from 0 to 1 whose speed climbs and falls as raised cosines over `ramp` of the time: a lower top speed than
    minimum jerk has."""
    u = np.clip((t - start) / (stop - start), 0.0, 1.0)

    def climb(v: np.ndarray) -> np.ndarray:
        return 0.5 * (v - ramp / np.pi * np.sin(np.pi * v / ramp))

    area = np.where(
        u < ramp,
        climb(np.minimum(u, ramp)),
        np.where(u < 1 - ramp, 0.5 * ramp + (u - ramp), (1 - ramp) - climb(np.minimum(1 - u, ramp))),
    )
    return area / (1 - ramp)


def sample_feet(t: np.ndarray, start: Sequence[tuple[float, float, float]], steps: Sequence[Step]) -> FootTrack:
    """Foot paths at times `t` (T,); start: (x, y, yaw) of the left and the right foot before the first step."""
    ground, yaw, pitch = np.zeros((len(t), 2, 3)), np.zeros((len(t), 2)), np.zeros((len(t), 2))
    pivot, toe = np.zeros((len(t), 2)), np.zeros((len(t), 2))
    for foot in (LEFT, RIGHT):
        mine = sorted((s for s in steps if s.foot == foot), key=lambda s: s.lift)
        place = np.array(start[foot], dtype=float)
        ground[:, foot, :2], yaw[:, foot] = place[:2], place[2]
        flat = np.zeros(len(t))
        for k, step in enumerate(mine):
            swing = step.land - step.lift
            u = np.clip((t - step.lift) / swing, 0.0, 1.0)
            moved = _glide(t, step.lift + 0.05 * swing, step.land - 0.03 * swing)
            ground[:, foot, :2] += moved[:, None] * (np.array(step.place[:2]) - place[:2])
            ground[:, foot, 2] += step.height * 16 * (u * (1 - u)) ** 2
            yaw[:, foot] += moved * (step.place[2] - place[2])
            place = np.array(step.place, dtype=float)
            before = step.lift - mine[k - 1].land if k else 1.0
            after = mine[k + 1].lift - step.land if k + 1 < len(mine) else 1.0
            roll, settle = min(0.34, 0.42 * before), min(0.13, 0.25 * after)
            times = [step.lift - roll, step.lift + 0.10 * swing, step.land, step.land + settle]
            pitch[:, foot] += through(t, times, [0.0, step.off, step.strike, 0.0])
            heel_first = 1.0 if step.strike < 0 else 0.0
            late = (t >= step.land) & (t < step.land + settle)
            pivot[:, foot] += heel_first * np.where(late, 1.0, (u < 1) * ease(u, 0.2, 0.9))
            flat += (u > 0) * (u < 1) * ease(u, 0.12, 0.72) * (1 - (1 - heel_first) * ease(u, 0.6, 1.0))
        toe[:, foot] = -np.clip(pitch[:, foot], 0.0, None) * (1 - flat)
    return FootTrack(ground, yaw, pitch, pivot, toe)


def load_share(t: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """(T,) share of the weight on the left foot: on the standing foot during a swing, half before and after it."""
    keys = [(-1e3, 0.5)]
    for step in sorted(steps, key=lambda s: s.lift):
        standing = 0.0 if step.foot == LEFT else 1.0
        gap = step.lift - keys[-1][0]
        if gap > 2 * SHIFT_S:
            if len(keys) > 1:
                keys.append((keys[-1][0] + SHIFT_S, 0.5))
            keys.append((step.lift - SHIFT_S, 0.5))
        keys += [(step.lift, standing), (step.land, standing)]
    if len(keys) > 1:
        keys.append((keys[-1][0] + SHIFT_S, 0.5))
    times, values = zip(*keys, strict=True)
    return through(t, times, values)


def zero_moment_point(
    t: np.ndarray, feet: FootTrack, steps: Sequence[Step], load: np.ndarray, rolling: bool = False
) -> np.ndarray:
    """(T, 2) load-weighted point under the feet; `rolling` lets it travel from heel to ball during each stance."""
    ahead = np.full((len(t), 2), STAND_COP)
    if rolling:
        for foot in (LEFT, RIGHT):
            mine = sorted((s for s in steps if s.foot == foot), key=lambda s: s.lift)
            times, values = [-1e3], [STAND_COP]
            for k, step in enumerate(mine):
                times += [step.lift, step.land]
                values += [ROLL_COP[1], ROLL_COP[0] if k + 1 < len(mine) else STAND_COP]
            ahead[:, foot] = np.interp(t, times, values) if mine else STAND_COP
            if mine:
                ahead[t < mine[0].lift, foot] = through(
                    t[t < mine[0].lift], [mine[0].lift - SHIFT_S, mine[0].lift], [STAND_COP, ROLL_COP[1]]
                )
    direction = np.stack([np.cos(feet.yaw), np.sin(feet.yaw)], axis=-1)
    points = feet.ground[..., :2] + ahead[..., None] * direction
    share = np.stack([load, 1 - load], axis=1)
    point = np.sum(share[..., None] * points, axis=1)
    if not rolling or len(steps) < 2:
        return point
    lands = sorted(step.land for step in steps)
    period = (lands[-1] - lands[0]) / (len(lands) - 1)
    return gaussian_filter1d(point, ROLL_SMOOTH * period * FPS, axis=0, mode="nearest")


def walk_steps(
    speed: float,
    turn_rate: float,
    width: float,
    begin: float,
    stop: float,
    first: int,
    backward: bool = False,
    stride: float = 1.0,
    lift: float = 0.042,
) -> tuple[list[tuple[float, float, float]], list[Step]]:
    """Footsteps along an arc from `begin` to `stop` seconds, from standing to standing.

    speed: m/s, of the pelvis; turn_rate: rad/s, left positive; width: between the ankles, metres; first: foot;
    stride: share of the usual step length; lift: of the sole at mid-swing of a slow walk, metres.
    Step length and rate share the speed as in human walking: length grows with its square root (Grieve 1968).
    Returns where the feet stand before, and the steps.
    """
    length = stride * (0.44 if backward else 0.55) * np.sqrt(speed)
    period = length / speed
    share = 0.4 if backward else 0.46 - 0.19 * speed
    double = share * period
    sign = -1.0 if backward else 1.0
    count = max(2, round((stop - begin) / period))
    brisk = float(np.clip((speed - 0.5) / 1.0, 0.0, 1.0))
    off, strike = (0.12, 0.10) if backward else (0.62 + 0.32 * brisk, -0.22 - 0.16 * brisk)

    def place(distance: float, foot: int) -> tuple[float, float, float]:
        curvature = turn_rate / speed
        yaw = curvature * distance
        if abs(curvature) < 1e-6:
            x, y = distance, 0.0
        else:
            x, y = np.sin(yaw) / curvature, (1 - np.cos(yaw)) / curvature
        out = 0.5 * width * (1 if foot == LEFT else -1)
        return float(x - out * np.sin(yaw)), float(y + out * np.cos(yaw)), float(yaw)

    off, strike = min(stride, 1.0) * off, min(stride, 1.0) * strike
    first_gain = 0.8 - 0.25 * brisk  # nobody starts or stops at full stride
    steps, distance = [], 0.0
    for k in range(count):
        foot, last = (first + k) % 2, k == count - 1
        gain = min(1.0, first_gain + 0.25 * k, first_gain + 0.25 * (count - 2 - k))
        distance += 0.0 if last else sign * gain * length
        off_ground, land = begin + k * period + double, begin + (k + 1) * period
        end = place(distance, foot)
        steps.append(
            Step(foot, off_ground, land, end, lift + 0.012 * brisk, off * max(gain, 0.4), strike * max(gain, 0.4))
        )
    return [place(0.0, LEFT), place(0.0, RIGHT)], steps


def frame_times(duration: float) -> np.ndarray:
    """(T,) seconds of the frames of a clip."""
    return np.arange(round(duration * FPS) + 1) / FPS
