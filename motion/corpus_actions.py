"""The actions of the corpus: parameters are drawn, feet and load planned, arms and trunk posed.

An action is a function from a `Draw` to a `Score`: the plan, the frames of it to keep, its parameters for the record
and the words that its captions may use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .corpus_balance import FPS, GRAVITY, Plan
from .corpus_gait import (
    LEFT,
    RIGHT,
    SHIFT_S,
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
from .corpus_gestures import arm, gait_upper_body, hanging_arms, merge, quiet_upper_body, trunk
from .leg_ik import SIDES, FootTrack

CELLS = 40
"""Every drawn interval is cut into this many cells; each fifth belongs to the test split alone."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
T = TypeVar("T")


class Draw:
    """Random parameters of one clip; the two splits draw from different cells of every interval."""

    def __init__(self, rng: np.random.Generator, split: str):
        self.rng = rng
        cells = np.arange(CELLS)
        self.cells = cells[(cells % 5 == 2) == (split == "test")]

    def between(self, low: float, high: float) -> float:
        """A number of [low, high) in one of the split's cells, rounded to six digits for the record."""
        cell = int(self.cells[self.rng.integers(len(self.cells))])
        return round(float(low + (high - low) * (cell + self.rng.random()) / CELLS), 6)

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]


@dataclass(frozen=True)
class Score:
    """An action ready to be solved. keep: frames of the plan that become the clip."""

    plan: Plan
    params: dict[str, Any]
    words: dict[str, str]
    keep: slice = field(default_factory=lambda: slice(None))


def _stand(draw: Draw) -> list[tuple[float, float, float]]:
    """Feet of a standing person, a hand's breadth apart and a little turned out."""
    half, out = 0.5 * draw.between(0.15, 0.21), draw.between(0.03, 0.14)
    return [(0.0, half, out), (0.0, -half, -out)]


def _plan(
    t: np.ndarray,
    feet: FootTrack,
    cop: np.ndarray,
    upper: dict[str, np.ndarray],
    tilt: np.ndarray | None = None,
    crouch: np.ndarray | None = None,
    rise: np.ndarray | None = None,
) -> Plan:
    heading = gaussian_filter1d(feet.yaw.mean(axis=1), 0.1 * FPS, mode="nearest")
    tilt = np.zeros((len(t), 3)) if tilt is None else tilt
    return Plan(feet, cop, heading, tilt, np.zeros(len(t)) if crouch is None else crouch, upper, rise)


def _standing_cop(draw: Draw, t: np.ndarray, feet: FootTrack, load: np.ndarray | None = None) -> np.ndarray:
    """Zero-moment point of standing on both feet, with the slow sway of a few millimetres that people have."""
    base = zero_moment_point(t, feet, [], np.full(len(t), 0.5) if load is None else load)
    sway = np.zeros_like(base)
    for axis, size in ((0, 0.006), (1, 0.008)):
        rate, phase = draw.between(0.2, 0.4), draw.between(0.0, 2 * np.pi)
        sway[:, axis] = size * np.sin(2 * np.pi * rate * t + phase)
    return base + sway


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
    plan = _plan(t, feet, cop, {})
    tilt, upper = gait_upper_body(feet, plan.heading, swing, lean, elbow)
    words = {
        "speed": {"slow": " slowly", "normal": "", "fast": " quickly"}[pace],
        "pace": {"slow": "slow", "normal": "normal", "fast": "fast"}[pace],
        "curve": "" if curve == "straight" else f" while curving to the {curve}",
        "curve_ahead": " in a straight line" if curve == "straight" else f" in a curve to the {curve}",
    }
    crouch = np.full(len(t), 0.012 if pace != "fast" else 0.022)
    return Score(_plan(t, feet, cop, upper, tilt, crouch), params | {"pace": pace, "curve": curve}, words, keep)


def walk_wave(draw: Draw) -> Score:
    side = draw.one_of((LEFT, RIGHT))
    t, feet, cop, params, keep = _walk(draw, draw.one_of(("slow", "normal")), "straight")
    tilt, upper = gait_upper_body(feet, _plan(t, feet, cop, {}).heading, 0.55, 0.03, 0.3)
    start, stop = draw.between(0.1, 0.4), t[keep][-1] - draw.between(0.1, 0.4)
    waved, wave_params = _waving(draw, t, side, start, stop)
    words = {"side": SIDES[side]}
    return Score(_plan(t, feet, cop, merge(upper, waved), tilt), params | wave_params, words, keep)


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
    return Score(_plan(t, feet, cop, upper, tilt), {"speed": speed, "steps": len(steps)}, words)


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
    return Score(_plan(t, feet, cop, quiet_upper_body(len(t))), params, words)


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
    return Score(_plan(t, feet, cop, quiet_upper_body(len(t))), {"side": SIDES[side], "degrees": degrees}, words)


def squat(draw: Draw) -> Score:
    count, deep = draw.one_of((1, 2)), draw.one_of((True, False))
    depth = draw.between(0.36, 0.48) if deep else draw.between(0.18, 0.28)
    down, hold, up = draw.between(0.75, 1.0), draw.between(0.05, 0.3), draw.between(0.65, 0.9)
    times, values, clock = [0.0], [0.0], draw.between(0.25, 0.4)
    for _ in range(count):
        times += [clock, clock + down, clock + down + hold, clock + down + hold + up]
        values += [0.0, 1.0, 1.0, 0.0]
        clock += down + hold + up + 0.15
    t = frame_times(max(2.5, clock + 0.3))
    half, out = 0.5 * draw.between(0.22, 0.30), draw.between(0.12, 0.28)
    feet = sample_feet(t, [(0.0, half, out), (0.0, -half, -out)], [])
    bend = through(t, times, values)
    pitch = (0.25 + 0.45 * depth) * bend
    tilt = np.stack([0 * t, pitch, 0 * t], axis=1)
    reach = draw.between(1.2, 1.5) * bend + pitch
    arms = merge(*(arm(s, 0 * t + 0.12, reach, 0 * t, 0.25 + 0 * t) for s in (LEFT, RIGHT)))
    upper = trunk(0.25 * bend, 0 * t, 0 * t, -0.35 * bend) | arms
    words = {
        "count_squats": "one squat" if count == 1 else "two squats",
        "depth": " low" if deep else " slightly",
        "times": "" if count == 1 else " twice",
    }
    params = {"count": count, "depth": depth}
    return Score(_plan(t, feet, _standing_cop(draw, t, feet), upper, tilt, depth * bend), params, words)


def _waving(
    draw: Draw, t: np.ndarray, side: int, start: float, stop: float
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """An arm that rises, waves from the elbow and comes down again."""
    rate, size = draw.between(1.3, 2.2), draw.between(0.25, 0.42)
    raised = ease(t, start, start + 0.7) - ease(t, stop - 0.7, stop)
    waving = ease(t, start + 0.5, start + 0.9) - ease(t, stop - 0.9, stop - 0.5)
    side_lift, forward = draw.between(1.1, 1.5), draw.between(0.1, 0.5)
    elbow = 0.25 + (draw.between(1.4, 1.8) - 0.25) * raised + size * waving * np.sin(2 * np.pi * rate * (t - start))
    turns = arm(side, 0.16 + (side_lift - 0.16) * raised, forward * raised, 1.35 * raised, elbow)
    count = max(1, round((stop - start - 1.4) * rate))
    return turns, {"side": SIDES[side], "rate": rate, "waves": count}


def wave(draw: Draw) -> Score:
    side, t = draw.one_of((LEFT, RIGHT)), frame_times(draw.between(2.8, 4.5))
    feet = sample_feet(t, _stand(draw), [])
    waved, params = _waving(draw, t, side, draw.between(0.1, 0.4), t[-1] - draw.between(0.05, 0.3))
    words = {"side": SIDES[side], "times_waved": "several times" if params["waves"] > 2 else "a few times"}
    upper = merge(quiet_upper_body(len(t)), waved)
    return Score(_plan(t, feet, _standing_cop(draw, t, feet), upper), params, words)


WAYS = {"to the side": (1.5, 0.0), "in front of them": (0.12, 1.5), "above their head": (2.85, 0.0)}
"""Abduction and flexion of an arm raised, radians."""


def _raising(draw: Draw, sides: Sequence[int]) -> Score:
    way, t = draw.one_of(tuple(WAYS)), frame_times(draw.between(2.5, 4.2))
    rise = draw.between(0.7, 1.0) * (1.3 if way == "above their head" else 1.0)
    feet = sample_feet(t, _stand(draw), [])
    start, stop, share = draw.between(0.1, 0.35), t[-1] - draw.between(0.05, 0.2), draw.between(0.93, 1.05)
    up = ease(t, start, start + rise) - ease(t, stop - rise, stop)
    abduction, flexion = WAYS[way]
    hang = 0.16
    arms = [arm(s, hang + (share * abduction - hang) * up, share * flexion * up, 0 * t, 0.2 + 0 * t) for s in sides]
    upper = merge(quiet_upper_body(len(t)), *arms)
    names = "both" if len(sides) == 2 else SIDES[sides[0]]
    way_text = way.replace("the side", "the sides") if len(sides) == 2 else way
    params = {"side": names, "way": way, "rise_s": rise}
    return Score(_plan(t, feet, _standing_cop(draw, t, feet), upper), params, {"side": names, "way": way_text})


def raise_arm(draw: Draw) -> Score:
    return _raising(draw, (draw.one_of((LEFT, RIGHT)),))


def raise_arms(draw: Draw) -> Score:
    return _raising(draw, (LEFT, RIGHT))


LEG_STANDING = 0.766
"""Hip to ankle while standing, metres."""


def kick(draw: Draw) -> Score:
    side, level = draw.one_of((LEFT, RIGHT)), draw.one_of(("low", "medium"))
    height = draw.between(0.62, 0.8) if level == "low" else draw.between(0.95, 1.15)
    lift = draw.between(0.75, 0.95)
    back, forth, home = lift + draw.between(0.4, 0.5), draw.between(0.4, 0.46), draw.between(0.7, 0.85)
    apex, land = back + forth, back + forth + home
    t = frame_times(max(2.6, land + 0.85))
    feet = sample_feet(t, _stand(draw), [])
    swing = through(t, [lift + 0.1, back, apex, land - 0.12], [0.0, -0.3, height, 0.0])
    bent = through(t, [lift, lift + 0.25, back, apex, land - 0.2, land], [0.0, 0.07, 0.10, 0.03, 0.07, 0.0])
    length = LEG_STANDING - bent
    feet.ground[:, side, 0] += length * np.sin(swing)
    feet.ground[:, side, 2] += LEG_STANDING - length * np.cos(swing)
    feet.pitch[:, side], feet.pivot[:, side] = -0.75 * swing, 0.5
    standing = 0.0 if side == LEFT else 1.0
    load = through(t, [lift - 0.65, lift - 0.02, land + 0.02, land + 0.7], [0.5, standing, standing, 0.5])
    cop = zero_moment_point(t, feet, [], np.full(len(t), 0.5))
    planted = 1 - side
    home_cop = np.array([STAND_COP * np.cos(feet.yaw[0, 0]), 0.0])
    over = feet.ground[0, planted, :2] + [STAND_COP, 0.0]
    share = np.abs(2 * load - 1)[:, None]
    cop = home_cop + share * (over - home_cop)
    balance = 0.5 * share[:, 0]
    arms = [arm(s, 0.16 + balance, (0.35 if s != side else -0.2) * balance, 0 * t, 0.3 + 0 * t) for s in (LEFT, RIGHT)]
    lean = -0.12 * np.clip(swing, 0, None)
    tilt = np.stack([0 * t, lean, 0 * t], axis=1)
    upper = merge(trunk(-0.3 * lean, 0 * t, 0 * t), *arms)
    params = {"side": SIDES[side], "level": level, "angle": height}
    return Score(_plan(t, feet, cop, upper, tilt), params, {"side": SIDES[side], "level": level})


def bow(draw: Draw) -> Score:
    deep = draw.one_of((True, False))
    depth = draw.between(0.95, 1.25) if deep else draw.between(0.45, 0.7)
    down, hold, up = draw.between(0.8, 1.1), draw.between(0.1, 0.6), draw.between(0.8, 1.1)
    start = draw.between(0.25, 0.5)
    t = frame_times(max(2.5, start + down + hold + up + 0.3))
    feet = sample_feet(t, _stand(draw), [])
    bend = through(t, [start, start + down, start + down + hold, start + down + hold + up], [0.0, depth, depth, 0.0])
    tilt = np.stack([0 * t, 0.5 * bend, 0 * t], axis=1)
    upper = trunk(0.5 * bend, 0 * t, 0 * t, 0.15 * bend) | hanging_arms(len(t), None, 0.2, 0.85 * bend)
    words = {"bow_depth": " deeply" if deep else " slightly"}
    return Score(_plan(t, feet, _standing_cop(draw, t, feet), upper, tilt), {"depth": depth, "deep": deep}, words)


def idle(draw: Draw) -> Score:
    t = frame_times(draw.between(2.8, 5.0))
    feet = sample_feet(t, _stand(draw), [])
    times, values, clock, sign = [0.0], [0.5], draw.between(0.1, 0.4), draw.one_of((1, -1))
    while clock + 1.0 < t[-1]:
        clock += draw.between(0.9, 1.4)
        times.append(clock)
        values.append(0.5 + sign * draw.between(0.12, 0.3))
        sign = -sign
    load = through(t, times, values)
    look, roll = draw.between(-0.3, 0.3), -0.12 * (load - 0.5)
    yaw = look * through(t, [0.3, 1.3, 2.0, t[-1]], [0.0, 1.0, 1.0, 0.2])
    tilt = np.stack([roll, 0 * t, 0.15 * yaw], axis=1)
    upper = trunk(0 * t, -roll, 0.1 * yaw, None, yaw) | hanging_arms(len(t))
    return Score(_plan(t, feet, _standing_cop(draw, t, feet, load), upper, tilt), {"look": look}, {})


def punch(draw: Draw) -> Score:
    side, count = draw.one_of((LEFT, RIGHT)), draw.one_of((1, 2))
    sign = 1 if side == LEFT else -1
    guard, out, back = draw.between(0.45, 0.6), draw.between(0.36, 0.44), draw.between(0.45, 0.55)
    times, values, clock = [0.0], [0.0], 0.2 + guard + 0.1
    for _ in range(count):
        times += [clock, clock + out, clock + out + back]
        values += [0.0, 1.0, 0.0]
        clock += out + back + 0.1
    t = frame_times(max(2.5, clock + 0.8))
    stagger = draw.between(0.12, 0.2)
    ahead = [(-stagger if foot == side else stagger) * 0.5 for foot in (LEFT, RIGHT)]
    half = 0.5 * draw.between(0.2, 0.28)
    feet = sample_feet(t, [(ahead[0], half, 0.1), (ahead[1], -half, -0.1)], [])
    ready = ease(t, 0.15, 0.15 + guard) - ease(t, t[-1] - 0.65, t[-1] - 0.05)
    hit = through(t, times, values)
    twist = -sign * 0.45 * hit
    tilt = np.stack([0 * t, 0.08 * ready, 0.3 * twist], axis=1)
    upper = trunk(0.05 * ready, 0 * t, 0.7 * twist, None, -0.8 * twist)
    for s in (LEFT, RIGHT):
        strike = hit if s == side else 0 * t
        flexion = 0.45 * ready + 0.95 * strike
        elbow = 0.25 + 1.75 * ready - 1.75 * strike
        upper |= arm(s, 0.16 + 0 * t, flexion, 0.25 * (ready - strike) - 0.3 * ready, elbow)
    words = {"side": SIDES[side], "count_punches": "one punch" if count == 1 else "two punches"}
    crouch = 0.03 * ready
    cop = _standing_cop(draw, t, feet)
    return Score(_plan(t, feet, cop, upper, tilt, crouch), {"side": SIDES[side], "count": count}, words)


def reach(draw: Draw) -> Score:
    side, t = draw.one_of((LEFT, RIGHT)), frame_times(draw.between(2.6, 4.0))
    sign, height = (1 if side == LEFT else -1), draw.between(1.1, 1.65)
    feet = sample_feet(t, _stand(draw), [])
    start, stop, slow = draw.between(0.15, 0.4), t[-1] - draw.between(0.05, 0.2), draw.between(0.75, 1.0)
    out = ease(t, start, start + slow) - ease(t, stop - slow, stop)
    lean, yaw = 0.28 * out, -sign * 0.3 * out
    tilt = np.stack([0 * t, 0.5 * lean, 0.3 * yaw], axis=1)
    upper = trunk(lean, 0 * t, 0.7 * yaw, -0.5 * lean) | hanging_arms(len(t), None, 0.25, 1.2 * lean)
    upper |= arm(side, 0.16 + 0 * t, (height + 0.4) * out, 0 * t, 0.25 - 0.1 * out)
    params = {"side": SIDES[side], "height": height}
    return Score(_plan(t, feet, _standing_cop(draw, t, feet), upper, tilt), params, {"side": SIDES[side]})


def _quintic(t: np.ndarray, t0: float, t1: float, start: Sequence[float], stop: Sequence[float]) -> np.ndarray:
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
    rise = np.where(t > low, _quintic(t, low, off, (-dip, 0, 0), (TIPTOE, speed, -GRAVITY)), rise)
    air = np.clip(t - off, 0, None)
    rise = np.where(t > off, TIPTOE + speed * air - 0.5 * GRAVITY * air**2, rise)
    bottom = land + absorb
    rise = np.where(t > land, _quintic(t, land, bottom, (TIPTOE, -speed, -GRAVITY), (-soft, 0, 0)), rise)
    rise = np.where(t > bottom, -soft + soft * ease(t, bottom, bottom + 0.75), rise)
    feet = sample_feet(t, _stand(draw), [])
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
    bend = np.clip(-rise, 0, None)
    tilt = np.stack([0 * t, 1.0 * bend, 0 * t], axis=1)
    upper = trunk(0.9 * bend, 0 * t, 0 * t, -0.7 * bend)
    upper |= hanging_arms(len(t), np.stack([arms, arms], axis=1), 0.35, 1.2 * bend)
    params = {"height": height, "distance": distance, "takeoff_s": off, "flight_s": flight}
    return Score(_plan(t, feet, cop, upper, tilt, None, rise), params, {})


def jump(draw: Draw) -> Score:
    return _jump(draw, 0.0)


def jump_forward(draw: Draw) -> Score:
    return _jump(draw, draw.between(0.18, 0.38))


ACTIONS: dict[str, Callable[[Draw], Score]] = {
    "walk": walk,
    "walk_backward": walk_backward,
    "side_step": side_step,
    "turn": turn,
    "squat": squat,
    "wave": wave,
    "raise_arm": raise_arm,
    "raise_arms": raise_arms,
    "kick": kick,
    "bow": bow,
    "jump": jump,
    "jump_forward": jump_forward,
    "idle": idle,
    "punch": punch,
    "reach": reach,
    "walk_wave": walk_wave,
}

__all__ = ["ACTIONS", "SHIFT_S", "Draw", "Score"]
