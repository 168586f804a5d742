"""Actions that go somewhere: walking, stepping back and aside, turning on the spot, jumping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..fitting.leg_ik import SIDES, FootTrack
from .balance import FPS, GRAVITY
from .draw import Draw, Score, make_plan, stand
from .gait import (
    LEFT,
    RIGHT,
    STAND_COP,
    Step,
    ease,
    frame_times,
    load_share,
    sample_feet,
    through,
    walk_steps,
    zero_moment_point,
)
from .gestures import gait_upper_body, hanging_arms, merge, quiet_upper_body, trunk
from .in_place import waving

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PACES = {"slow": (0.6, 0.85), "normal": (0.9, 1.15), "fast": (1.2, 1.5)}


def _walk(draw: Draw, pace: str, curve: str) -> tuple[np.ndarray, FootTrack, np.ndarray, dict[str, Any], slice]:
    """Times, feet and zero-moment point of a walk that starts and stops standing or already moving."""
    speed = draw.between(*PACES[pace])
    turn = 0.0 if curve == "straight" else draw.between(0.28, 0.55) * (1 if curve == "left" else -1)
    starts, stops = draw.one_of(("standing", "moving")), draw.one_of(("standing", "moving"))
    standing = (starts == "standing") + (stops == "standing")
    duration = draw.between((2.8, 3.5, 4.4)[standing], 5.0)
    t = frame_times(duration)
    lead, trail = (1.8 if starts == "moving" else 0.0), (1.8 if stops == "moving" else 0.0)
    pad, tail = round(lead * FPS), round(trail * FPS)
    t = (np.arange(-pad, len(t) + tail)) / FPS
    begin = -lead + draw.between(0.1, 0.35)
    width, first = draw.between(0.10, 0.135), draw.one_of((LEFT, RIGHT))
    places, steps = walk_steps(speed, turn, width, begin, duration + trail - 0.75, first)
    feet = sample_feet(t, places, steps)
    cop = zero_moment_point(t, feet, steps, load_share(t, steps), rolling=True)
    params = {"speed": speed, "turn_rate": turn, "starts": starts, "stops": stops, "step_width": width}
    return t, feet, cop, params, slice(pad, len(t) - tail)


def walk(draw: Draw) -> Score:
    pace, curve = draw.one_of(tuple(PACES)), draw.one_of(("straight", "straight", "left", "right"))
    t, feet, cop, params, keep = _walk(draw, pace, curve)
    swing, lean, elbow = draw.between(0.55, 0.85), draw.between(0.0, 0.05) + 0.02, draw.between(0.25, 0.5)
    plan = make_plan(t, feet, cop, {})
    tilt, upper = gait_upper_body(feet, plan.heading, swing, lean, elbow)
    words = {
        "speed": {"slow": " slowly", "normal": "", "fast": " quickly"}[pace],
        "pace": {"slow": "slow", "normal": "normal", "fast": "fast"}[pace],
        "curve": "" if curve == "straight" else f" while curving to the {curve}",
        "curve_ahead": " in a straight line" if curve == "straight" else f" in a curve to the {curve}",
    }
    crouch = np.full(len(t), 0.012 if pace != "fast" else 0.022)
    return Score(make_plan(t, feet, cop, upper, tilt, crouch), params | {"pace": pace, "curve": curve}, words, keep)


def walk_wave(draw: Draw) -> Score:
    side = draw.one_of((LEFT, RIGHT))
    t, feet, cop, params, keep = _walk(draw, draw.one_of(("slow", "normal")), "straight")
    tilt, upper = gait_upper_body(feet, make_plan(t, feet, cop, {}).heading, 0.55, 0.03, 0.3)
    start, stop = draw.between(0.1, 0.4), t[keep][-1] - draw.between(0.1, 0.4)
    waved, wave_params = waving(draw, t, side, start, stop)
    words = {"side": SIDES[side]}
    return Score(make_plan(t, feet, cop, merge(upper, waved), tilt), params | wave_params, words, keep)


def walk_backward(draw: Draw) -> Score:
    speed, width = draw.between(0.3, 0.6), draw.between(0.12, 0.16)
    duration, first = draw.between(3.2, 5.0), draw.one_of((LEFT, RIGHT))
    t = frame_times(duration)
    places, steps = walk_steps(speed, 0.0, width, 0.3, duration - 0.8, first, backward=True)
    feet = sample_feet(t, places, steps)
    cop = zero_moment_point(t, feet, steps, load_share(t, steps))
    tilt, upper = gait_upper_body(feet, np.zeros(len(t)), 0.5, draw.between(0.03, 0.08), 0.3)
    slow = speed < 0.45
    words = {"speed": " slowly" if slow else "", "count": NUMBERS[min(len(steps), 9)]}
    return Score(make_plan(t, feet, cop, upper, tilt), {"speed": speed, "steps": len(steps)}, words)


def side_step(draw: Draw) -> Score:
    side, count = draw.one_of((LEFT, RIGHT)), draw.one_of((2, 3))
    length, pause = draw.between(0.22, 0.36), draw.between(0.12, 0.18)
    swing, begin = draw.between(0.34, 0.40), draw.between(0.65, 0.8)
    half, sign = 0.5 * draw.between(0.15, 0.19), 1 if side == LEFT else -1
    places = [(0.0, half, 0.05), (0.0, -half, -0.05)]
    steps, clock = [], begin
    for k in range(1, count + 1):
        for foot in (side, 1 - side):
            y = sign * k * length + (half if foot == LEFT else -half)
            steps.append(Step(foot, clock, clock + swing, (0.0, y, places[foot][2]), 0.05, 0.08, 0.0))
            clock += swing + pause
    t = frame_times(clock + 0.7)
    feet = sample_feet(t, places, steps)
    cop = zero_moment_point(t, feet, steps, load_share(t, steps))
    words = {"side": SIDES[side], "count": NUMBERS[count]}
    params = {"side": SIDES[side], "count": count, "length": length}
    return Score(make_plan(t, feet, cop, quiet_upper_body(len(t))), params, words)


def turn(draw: Draw) -> Score:
    side, degrees = draw.one_of((LEFT, RIGHT)), draw.one_of((90, 180))
    sign, per_pair = (1 if side == LEFT else -1), draw.one_of((30, 45)) if degrees == 90 else 45
    swing, pause = draw.between(0.29, 0.34), draw.between(0.10, 0.14)
    clock, half = draw.between(0.6, 0.7), 0.5 * draw.between(0.16, 0.20)
    angle = np.radians(draw.between(degrees - 8.0, degrees + 8.0))
    pairs = degrees // per_pair
    places, steps = [(0.0, half, 0.05), (0.0, -half, -0.05)], []
    for k in range(1, pairs + 1):
        yaw = sign * angle * k / pairs
        for foot in (side, 1 - side):
            out = half if foot == LEFT else -half
            place = (-out * np.sin(yaw), out * np.cos(yaw), yaw + places[foot][2])
            steps.append(Step(foot, clock, clock + swing, place, 0.05, 0.08, 0.0))
            clock += swing + pause
    t = frame_times(clock + 0.5)
    feet = sample_feet(t, places, steps)
    cop = zero_moment_point(t, feet, steps, load_share(t, steps))
    words = {
        "side": SIDES[side],
        "angle": "ninety degrees" if degrees == 90 else "around",
        "half": " to make a quarter turn" if degrees == 90 else " until facing the other way",
    }
    return Score(make_plan(t, feet, cop, quiet_upper_body(len(t))), {"side": SIDES[side], "degrees": degrees}, words)


def quintic(t: np.ndarray, t0: float, t1: float, start: Sequence[float], stop: Sequence[float]) -> np.ndarray:
    """Polynomial with position, velocity and acceleration given at both ends."""
    span = t1 - t0
    rows = []
    for u in (0.0, span):
        rows += [
            [u**k for k in range(6)],
            [k * u ** (k - 1) if k else 0.0 for k in range(6)],
            [k * (k - 1) * u ** (k - 2) if k > 1 else 0.0 for k in range(6)],
        ]
    return np.polynomial.polynomial.polyval(t - t0, np.linalg.solve(np.array(rows), np.array([*start, *stop])))


TIPTOE = 0.005
"""How far the centre of mass is over standing when the toes leave the ground, metres."""


def _jump(draw: Draw, distance: float) -> Score:
    height, dip = draw.between(0.05, 0.13), draw.between(0.20, 0.28)
    speed = float(np.sqrt(2 * GRAVITY * height))
    push, flight = 2.1 * (dip + TIPTOE) / speed, 2 * speed / GRAVITY
    low = draw.between(0.8, 1.0)
    off = low + push
    land, soft = off + flight, draw.between(0.20, 0.28)
    absorb = 2.1 * (soft + TIPTOE) / speed
    t = frame_times(land + absorb + 1.1)
    rise = through(t, [low - 0.6, low], [0.0, -dip])
    rise = np.where(t > low, quintic(t, low, off, (-dip, 0, 0), (TIPTOE, speed, -GRAVITY)), rise)
    air = np.clip(t - off, 0, None)
    rise = np.where(t > off, TIPTOE + speed * air - 0.5 * GRAVITY * air**2, rise)
    bottom = land + absorb
    rise = np.where(t > land, quintic(t, land, bottom, (TIPTOE, -speed, -GRAVITY), (-soft, 0, 0)), rise)
    rise = np.where(t > bottom, -soft + soft * ease(t, bottom, bottom + 0.75), rise)
    feet = sample_feet(t, stand(draw), [])
    flying = (t > off) & (t < land)
    feet.ground[:, :, 2] += np.where(
        flying, (rise - TIPTOE) * ease(t, off, off + 0.06) * (1 - ease(t, land - 0.06, land)), 0
    )[:, None]
    feet.ground[:, :, 0] += distance * ease(t, off, land)[:, None]
    pitch = through(t, [off - 0.2, off + 0.04, land - 0.02, land + 0.12], [0.0, 0.85, 0.55, 0.0])
    feet.pitch[:] = pitch[:, None]
    air_share = np.clip((t - off) / flight, 0, 1)
    feet.toe[:] = -(pitch * (1 - 0.5 * np.sin(np.pi * air_share) ** 2))[:, None]
    cop = np.stack([feet.ground[:, :, 0].mean(axis=1) + STAND_COP, 0 * t], axis=1)
    cop[:, 0] += 0.05 * (ease(t, off - 0.2, off) - ease(t, land, land + 0.3))
    arms = through(t, [low - 0.55, low - 0.05, off + 0.06, land, land + 0.6], [0.0, -0.35, 0.6, 0.45, 0.0])
    bend = 0.5 * (np.sqrt(rise**2 + 0.08**2) - 0.08 - rise)  # a crouch's depth, without a corner at standing
    tilt = np.stack([0 * t, 1.0 * bend, 0 * t], axis=1)
    upper = trunk(0.9 * bend, 0 * t, 0 * t, -0.7 * bend)
    upper |= hanging_arms(len(t), np.stack([arms, arms], axis=1), 0.35, 1.2 * bend)
    params = {"height": height, "distance": distance, "takeoff_s": off, "flight_s": flight}
    return Score(make_plan(t, feet, cop, upper, tilt, None, rise), params, {})


def jump(draw: Draw) -> Score:
    return _jump(draw, 0.0)


def jump_forward(draw: Draw) -> Score:
    return _jump(draw, draw.between(0.18, 0.38))
