"""Actions on the spot with the feet planted, and kicks: arms and trunk move, the load may go to one foot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..fitting.leg_ik import SIDES
from .draw import Draw, Score, make_plan, stand, standing_point
from .gait import LEFT, RIGHT, STAND_COP, ease, frame_times, sample_feet, through, zero_moment_point
from .gestures import arm, hanging_arms, merge, quiet_upper_body, trunk


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
    arms = merge(*(arm(s, 0 * t + 0.16, reach, 0 * t, 0.25 + 0 * t) for s in (LEFT, RIGHT)))
    upper = trunk(0.25 * bend, 0 * t, 0 * t, -0.35 * bend) | arms
    words = {
        "count_squats": "one squat" if count == 1 else "two squats",
        "depth": " low" if deep else " slightly",
        "times": "" if count == 1 else " twice",
    }
    params = {"count": count, "depth": depth}
    return Score(make_plan(t, feet, standing_point(draw, t, feet), upper, tilt, depth * bend), params, words)


def waving(
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
    feet = sample_feet(t, stand(draw), [])
    waved, params = waving(draw, t, side, draw.between(0.1, 0.4), t[-1] - draw.between(0.05, 0.3))
    words = {"side": SIDES[side], "times_waved": "several times" if params["waves"] > 2 else "a few times"}
    upper = merge(quiet_upper_body(len(t)), waved)
    return Score(make_plan(t, feet, standing_point(draw, t, feet), upper), params, words)


WAYS = {"to the side": (1.5, 0.0), "in front of them": (0.12, 1.5), "above their head": (2.85, 0.0)}
"""Abduction and flexion of an arm raised, radians."""


def _raising(draw: Draw, sides: Sequence[int]) -> Score:
    way, t = draw.one_of(tuple(WAYS)), frame_times(draw.between(2.5, 4.2))
    rise = draw.between(0.7, 1.0) * (1.3 if way == "above their head" else 1.0)
    feet = sample_feet(t, stand(draw), [])
    start, stop, share = draw.between(0.1, 0.35), t[-1] - draw.between(0.05, 0.2), draw.between(0.93, 1.05)
    up = ease(t, start, start + rise) - ease(t, stop - rise, stop)
    abduction, flexion = WAYS[way]
    hang = 0.16
    arms = [arm(s, hang + (share * abduction - hang) * up, share * flexion * up, 0 * t, 0.2 + 0 * t) for s in sides]
    upper = merge(quiet_upper_body(len(t)), *arms)
    names = "both" if len(sides) == 2 else SIDES[sides[0]]
    way_text = way.replace("the side", "the sides") if len(sides) == 2 else way
    params = {"side": names, "way": way, "rise_s": rise}
    return Score(make_plan(t, feet, standing_point(draw, t, feet), upper), params, {"side": names, "way": way_text})


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
    feet = sample_feet(t, stand(draw), [])
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
    return Score(make_plan(t, feet, cop, upper, tilt), params, {"side": SIDES[side], "level": level})


def bow(draw: Draw) -> Score:
    deep = draw.one_of((True, False))
    depth = draw.between(0.95, 1.25) if deep else draw.between(0.45, 0.7)
    down, hold, up = draw.between(0.8, 1.1), draw.between(0.1, 0.6), draw.between(0.8, 1.1)
    start = draw.between(0.25, 0.5)
    t = frame_times(max(2.5, start + down + hold + up + 0.3))
    feet = sample_feet(t, stand(draw), [])
    bend = through(t, [start, start + down, start + down + hold, start + down + hold + up], [0.0, depth, depth, 0.0])
    tilt = np.stack([0 * t, 0.5 * bend, 0 * t], axis=1)
    upper = trunk(0.5 * bend, 0 * t, 0 * t, 0.15 * bend) | hanging_arms(len(t), None, 0.2, 0.85 * bend)
    words = {"bow_depth": " deeply" if deep else " slightly"}
    return Score(make_plan(t, feet, standing_point(draw, t, feet), upper, tilt), {"depth": depth, "deep": deep}, words)


def idle(draw: Draw) -> Score:
    t = frame_times(draw.between(2.8, 5.0))
    feet = sample_feet(t, stand(draw), [])
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
    return Score(make_plan(t, feet, standing_point(draw, t, feet, load), upper, tilt), {"look": look}, {})


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
    cop = standing_point(draw, t, feet)
    return Score(make_plan(t, feet, cop, upper, tilt, crouch), {"side": SIDES[side], "count": count}, words)


def reach(draw: Draw) -> Score:
    side, t = draw.one_of((LEFT, RIGHT)), frame_times(draw.between(2.6, 4.0))
    sign, height = (1 if side == LEFT else -1), draw.between(1.1, 1.65)
    feet = sample_feet(t, stand(draw), [])
    start, stop, slow = draw.between(0.15, 0.4), t[-1] - draw.between(0.05, 0.2), draw.between(0.75, 1.0)
    out = ease(t, start, start + slow) - ease(t, stop - slow, stop)
    lean, yaw = 0.28 * out, -sign * 0.3 * out
    tilt = np.stack([0 * t, 0.5 * lean, 0.3 * yaw], axis=1)
    upper = trunk(lean, 0 * t, 0.7 * yaw, -0.5 * lean) | hanging_arms(len(t), None, 0.25, 1.2 * lean)
    upper |= arm(side, 0.16 + 0 * t, (height + 0.4) * out, 0 * t, 0.25 - 0.1 * out)
    params = {"side": SIDES[side], "height": height}
    return Score(make_plan(t, feet, standing_point(draw, t, feet), upper, tilt), params, {"side": SIDES[side]})
