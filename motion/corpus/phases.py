"""What legs and trunk do in a described clip: phases that begin and end standing, in the frame of their first stance.

A phase is drawn from a few settings ("side": "left", "pace": "slow") and can follow any other, because it takes the
feet where they stand. `compose` puts phases one after the other and lays gestures over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..fitting.leg_ik import SIDES, FootTrack
from .balance import FPS, GRAVITY
from .draw import Draw
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
from .posture import ABDUCTION, ELBOW, FLEXION, TWIST, Posture
from .travel import TIPTOE, quintic

Settings = Mapping[str, Any]
Places = Sequence[tuple[float, float, float]]
"""(x, y, yaw) of the left and the right foot, metres and radians."""


@dataclass
class Phase:
    """A stretch of a clip. t: (T,) seconds from its start; feet, cop (T, 2), crouch (T,), rise (T,): as in
    `balance.Plan`; end: where the feet stand after it; busy: seconds from and to which it does what it is named for;
    lead, trail: frames before and after the clip, of a walk that is cut at its ends."""

    t: np.ndarray
    feet: FootTrack
    cop: np.ndarray
    posture: Posture
    end: Places
    busy: tuple[float, float]
    crouch: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rise: np.ndarray | None = None
    lead: int = 0
    trail: int = 0
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.crouch):
            self.crouch = np.zeros(len(self.t))


def _number(side: str) -> int:
    return SIDES.index(side)


def _sign(side: str) -> float:
    return 1.0 if side == "left" else -1.0


@dataclass(frozen=True)
class Style:
    """How somebody goes. pace: range of speeds, m/s; lift: of the sole, metres; crouch: metres; lean: of pelvis and
    trunk, head: pitch, radians; swing: of the arms, radians a metre of foot separation; arms: abduction, flexion and
    elbow added, radians; twist: how much of the trunk's turning is left; stride: share of the usual step length."""

    pace: tuple[float, float]
    lift: tuple[float, float] = (0.042, 0.05)
    crouch: tuple[float, float] = (0.012, 0.02)
    lean: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, float] = (0.0, 0.0)
    swing: tuple[float, float] = (0.55, 0.85)
    arms: tuple[float, float, float] = (0.0, 0.0, 0.0)
    twist: float = 1.0
    stride: tuple[float, float] = (1.0, 1.0)


STYLES = {
    "sneaking": Style(
        (0.4, 0.6), (0.08, 0.11), (0.12, 0.17), (0.28, 0.4), (-0.4, -0.25), (0.15, 0.25), (0.1, 0.35, 1.1)
    ),
    "tired": Style(
        (0.45, 0.65), (0.03, 0.036), (0.03, 0.05), (0.34, 0.46), (0.3, 0.45), (0.12, 0.25), (-0.03, 0.1, 0.0)
    ),
    "cheerful": Style(
        (1.0, 1.25), (0.055, 0.07), (0.015, 0.02), (-0.06, 0.0), (-0.2, -0.1), (1.25, 1.5), (0.1, 0.0, 0.3)
    ),
    "stiff": Style((0.6, 0.85), lean=(-0.02, 0.02), swing=(0.0, 0.03), arms=(-0.02, 0.0, -0.15), twist=0.1),
    "high knees": Style(
        (0.55, 0.75), (0.24, 0.30), lean=(-0.03, 0.0), swing=(0.9, 1.2), arms=(0.0, 0.1, 1.0), twist=0.5
    ),
    "small steps": Style((0.4, 0.55), stride=(0.5, 0.6)),
    "big steps": Style((0.85, 1.05), (0.05, 0.07), (0.04, 0.06), swing=(0.7, 0.9), stride=(1.28, 1.4)),
}
"""Styles of going; without one a walk is plain."""
PACES = {"slow": (0.5, 0.75), "normal": (0.9, 1.1), "fast": (1.25, 1.5)}
"""Speeds of a plain walk, m/s."""
TEMPO = {"slow": (1.45, 1.8), "normal": (0.95, 1.1), "fast": (0.7, 0.78)}
"""How long a movement takes against the usual."""
CURVES = {"straight": (0.0, 0.0), "curve": (0.28, 0.55), "circle": (0.75, 0.88)}
"""Turning while walking, rad/s."""


def tempo(draw: Draw, says: Settings) -> float:
    """Share of the usual time that a movement takes."""
    return draw.between(*TEMPO[says.get("tempo", "normal")])


def _gait_posture(
    draw: Draw, feet: FootTrack, style: Style, envelope: np.ndarray, elbow: float, lean: float
) -> tuple[Posture, np.ndarray]:
    """What pelvis, trunk and arms do with where the feet are (as `gestures.gait_upper_body`), in a style that comes and
    goes with `envelope` (T,); and the crouch (T,)."""
    frames = len(envelope)
    heading = feet.yaw.mean(axis=1)
    ahead = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    apart = np.sum((feet.ground[:, 0, :2] - feet.ground[:, 1, :2]) * ahead, axis=1)
    lift = feet.ground[:, 0, 2] - feet.ground[:, 1, 2]
    posture = Posture.standing(frames)
    turn = -0.12 * style.twist * apart
    roll = -0.054 * np.tanh(lift / 0.06)
    stoop, nod = draw.between(*style.lean) * envelope, draw.between(*style.head) * envelope
    tipped = lean * envelope + 0.3 * stoop
    posture.tilt = np.stack([roll, tipped, turn], axis=1)
    posture.trunk = np.stack([0.3 * lean * envelope + 0.7 * stoop, -roll, -2.0 * turn], axis=1)
    posture.head = np.stack([nod - lean * envelope, turn], axis=1)
    swing = draw.between(*style.swing) * np.stack([-apart, apart], axis=1)
    hang = (0.5 * lean * envelope + 0.9 * stoop)[:, None]
    posture.arms[..., FLEXION] = swing + hang + style.arms[1] * envelope[:, None]
    posture.arms[..., ABDUCTION] += style.arms[0] * envelope[:, None]
    bent = (elbow + style.arms[2] - posture.arms[0, 0, ELBOW]) * envelope[:, None]
    posture.arms[..., ELBOW] += bent + 0.35 * np.clip(swing, 0.0, None) + 0.1 * swing
    return posture, draw.between(*style.crouch) * envelope


def _envelope(t: np.ndarray, busy: tuple[float, float], rise: float = 0.55) -> np.ndarray:
    """(T,) 0 at rest, 1 while busy."""
    return ease(t, busy[0] - 0.25, busy[0] + rise - 0.25) * (1 - ease(t, busy[1] - rise + 0.35, busy[1] + 0.35))


def _widened(steps: list[Step], width: float, wanted: float) -> list[Step]:
    """The last step of each foot set apart by what standing wants over the gait's width, toes a little out."""
    done: set[int] = set()
    steps = steps.copy()
    for k in range(len(steps) - 1, -1, -1):
        step = steps[k]
        if step.foot in done:
            continue
        done.add(step.foot)
        side = 1.0 if step.foot == LEFT else -1.0
        x, y, yaw = step.place
        out = 0.5 * (wanted - width) * side
        place = (x - out * np.sin(yaw), y + out * np.cos(yaw), yaw + 0.06 * side)
        steps[k] = Step(step.foot, step.lift, step.land, place, step.height, step.off, step.strike)
    return steps


def _ends(feet: Places, steps: Sequence[Step]) -> Places:
    """Where the feet stand after the steps."""
    places = list(feet)
    for step in sorted(steps, key=lambda s: s.land):
        places[step.foot] = step.place
    return places


def walk(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Forward or backward; settings: pace, style, curve with side, way "backward", seconds, starts and stops "moving"
    or "standing"."""
    backward = says.get("way") == "backward"
    style = STYLES.get(says.get("style", ""), Style(PACES[says.get("pace", "normal")]))
    low, high = style.pace
    speed = draw.between(*((0.55 * low, 0.55 * high) if backward else (low, high)))
    seconds = says["seconds"]
    rate = draw.between(*CURVES[says.get("curve", "straight")]) * _sign(says.get("side", "left"))
    moving = [says.get(end) == "moving" for end in ("starts", "stops")]
    lead, trail = (1.8 if m else 0.0 for m in moving)
    pad, tail = round(lead * FPS), round(trail * FPS)
    count = len(frame_times(seconds))
    t = np.arange(-pad, count + tail) / FPS
    begin = -lead + draw.between(0.1, 0.3)
    wide = backward or says.get("style") == "high knees"
    if says.get("curve") == "circle":
        width = draw.between(0.15, 0.18)
    else:
        width = draw.between(0.12, 0.15) if wide else draw.between(0.10, 0.135)
    first, stride = draw.one_of((LEFT, RIGHT)), draw.between(*style.stride)
    lift = draw.between(*style.lift)
    _, steps = walk_steps(speed, rate, width, begin, seconds + trail - 0.75, first, backward, stride, lift)
    steps = _widened(steps, width, draw.between(0.15, 0.18))
    track = sample_feet(t, feet, steps)
    cop = zero_moment_point(t, track, steps, load_share(t, steps), rolling=not backward)
    busy = (max(steps[0].lift, t[0]) + lead, min(steps[-1].land, t[-1]) + lead)
    envelope = _envelope(t, (steps[0].lift, steps[-1].land))
    lean = draw.between(0.03, 0.08) if backward else draw.between(0.02, 0.07)
    posture, crouch = _gait_posture(draw, track, style, envelope, draw.between(0.25, 0.5), lean)
    params = {"speed": speed, "turn_rate": rate, "step_width": width}
    return Phase(t + lead, track, cop, posture, _ends(feet, steps), busy, crouch, None, pad, tail, params)


def side_step(draw: Draw, feet: Places, says: Settings) -> Phase:
    """To a side; settings: side, count, style, tempo."""
    side, count = _number(says["side"]), says["count"]
    style = STYLES.get(says.get("style", ""), Style((1, 1), (0.05, 0.055)))
    slow = tempo(draw, says) * (1.25 if says.get("style") in ("sneaking", "tired") else 1.0)
    length, pause, swing = draw.between(0.22, 0.36), slow * draw.between(0.12, 0.18), slow * draw.between(0.34, 0.40)
    clock = begin = draw.between(0.5, 0.7)
    steps, lift = [], draw.between(*style.lift)
    for k in range(1, count + 1):
        for foot in (side, 1 - side):
            x, y, yaw = feet[foot]
            place = (x, y + _sign(says["side"]) * k * length, yaw)
            steps.append(Step(foot, clock, clock + swing, place, lift, 0.08, 0.0))
            clock += swing + pause
    return _stepped(draw, feet, steps, frame_times(clock + 0.55), style, (begin, clock - pause), {"length": length})


def _stepped(
    draw: Draw, feet: Places, steps: list[Step], t: np.ndarray, style: Style, busy: tuple[float, float], params: dict
) -> Phase:
    """Steps without the roll of walking, arms quiet but for the style."""
    track = sample_feet(t, feet, steps)
    cop = zero_moment_point(t, track, steps, load_share(t, steps))
    posture, crouch = _gait_posture(draw, track, style, _envelope(t, busy), 0.26, 0.0)
    return Phase(t, track, cop, posture, _ends(feet, steps), busy, crouch, params=params)


AMOUNTS = {"a little": 45, "quarter": 90, "half": 180, "full": 360}
"""Degrees of a turn."""


def turn(draw: Draw, feet: Places, says: Settings) -> Phase:
    """On the spot; settings: side, amount, style, tempo."""
    degrees, side = AMOUNTS[says["amount"]], _number(says["side"])
    style = STYLES.get(says.get("style", ""), Style((1, 1), (0.05, 0.055), (0.0, 0.0), swing=(0.0, 0.0)))
    slow = tempo(draw, says) * (1.2 if says.get("style") in ("sneaking", "tired") else 1.0)
    per_pair = draw.one_of((30, 45)) if degrees == 90 else 45
    swing, pause = slow * draw.between(0.29, 0.34), slow * draw.between(0.10, 0.14)
    clock = begin = draw.between(0.5, 0.65)
    spread = 3.0 if degrees == 45 else 8.0
    angle = _sign(says["side"]) * np.radians(draw.between(degrees - spread, degrees + spread))
    steps, pairs, lift = [], degrees // per_pair, draw.between(*style.lift)
    for k in range(1, pairs + 1):
        yaw = angle * k / pairs
        for foot in (side, 1 - side):
            x, y, out = feet[foot]
            place = (x * np.cos(yaw) - y * np.sin(yaw), x * np.sin(yaw) + y * np.cos(yaw), yaw + out)
            steps.append(Step(foot, clock, clock + swing, place, lift, 0.08, 0.0))
            clock += swing + pause
    params = {"degrees": float(np.degrees(angle))}
    return _stepped(draw, feet, steps, frame_times(clock + 0.5), style, (begin, clock - pause), params)


def step(draw: Draw, feet: Places, says: Settings) -> Phase:
    """One or two steps; settings: way "forward" or "backward", count, lead (side of the first foot)."""
    sign = -1.0 if says["way"] == "backward" else 1.0
    length, swing, pause = draw.between(0.3, 0.42), draw.between(0.45, 0.55), draw.between(0.15, 0.22)
    clock = begin = draw.between(0.5, 0.65)
    first, count, steps = _number(says["lead"]), says["count"], []
    for k in range(count + 1):
        foot = (first + k) % 2
        x, y, yaw = feet[foot]
        place = (x + sign * length * min(k + 1, count), y, yaw)
        off, strike = (0.1, 0.06) if sign < 0 else (0.3, -0.12)
        steps.append(Step(foot, clock, clock + swing, place, 0.05, off, strike))
        clock += swing + pause
    style = Style((1, 1), swing=(0.4, 0.6))
    return _stepped(draw, feet, steps, frame_times(clock + 0.5), style, (begin, clock - pause), {"length": length})


def march(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Steps in place; settings: style "high knees" or none, steps, tempo."""
    style = STYLES.get(says.get("style", ""), Style((1, 1), (0.09, 0.12), swing=(0.0, 0.0), arms=(0, 0, 0.3)))
    slow = tempo(draw, says)
    swing, pause, lift = slow * draw.between(0.42, 0.48), slow * draw.between(0.10, 0.14), draw.between(*style.lift)
    clock = begin = draw.between(0.5, 0.65)
    foot, steps = draw.one_of((LEFT, RIGHT)), []
    for _ in range(says["steps"]):
        steps.append(Step(foot, clock, clock + swing, feet[foot], lift, 0.2, 0.1))
        clock += swing + pause
        foot = 1 - foot
    t = frame_times(clock + 0.5)
    phase = _stepped(draw, feet, steps, t, style, (begin, clock - pause), {"lift": lift})
    up = phase.feet.ground[..., 2] / lift
    size = 0.55 if says.get("style") == "high knees" else 0.25
    phase.posture.arms[..., FLEXION] += size * (up[:, ::-1] - 0.5 * up)
    return phase


def stand(draw: Draw, feet: Places, says: Settings) -> Phase:
    """On both feet; settings: seconds, sway True to shift the weight from foot to foot."""
    t = frame_times(says["seconds"])
    track = sample_feet(t, feet, [])
    load = np.full(len(t), 0.5)
    posture = Posture.standing(len(t))
    if says.get("sway"):
        times, values, clock, sign = [0.0], [0.5], draw.between(0.1, 0.4), draw.one_of((1, -1))
        while clock + 1.6 < t[-1]:
            clock += draw.between(0.9, 1.4)
            times.append(clock)
            values.append(0.5 + sign * draw.between(0.12, 0.3))
            sign = -sign
        load = through(t, [*times, max(t[-1], times[-1] + 0.6)], [*values, 0.5])
        roll = -0.12 * (load - 0.5)
        posture.tilt[:, 0], posture.trunk[:, 1] = roll, -roll
    return Phase(t, track, zero_moment_point(t, track, [], load), posture, list(feet), (0.0, t[-1]))


def _repeated(clock: float, parts: Sequence[tuple[float, float]], count: int, gap: float) -> tuple[list, list, float]:
    """Keys of a movement done `count` times: parts are (seconds, value) one after the other; and when it ends."""
    times, values = [0.0, clock], [0.0, 0.0]
    for k in range(count):
        for seconds, value in parts:
            clock += seconds
            times.append(clock)
            values.append(value)
        if k + 1 < count:
            clock += gap
            times.append(clock)
            values.append(values[-1])
    return times, values, clock


def squat(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Settings: depth "low" or "slight", count, tempo, hold True to stay down."""
    slow = tempo(draw, says)
    depth = draw.between(0.36, 0.46) if says["depth"] == "low" else draw.between(0.18, 0.26)
    hold = draw.between(1.3, 2.0) if says.get("hold") else draw.between(0.05, 0.3)
    parts = [(slow * draw.between(0.75, 1.0), 1.0), (hold, 1.0), (slow * draw.between(0.7, 0.9), 0.0)]
    begin = draw.between(0.2, 0.35)
    times, values, clock = _repeated(begin, parts, says["count"], 0.12)
    t = frame_times(clock + 0.3)
    bend = through(t, times, values)
    track = sample_feet(t, feet, [])
    pitch, posture = (0.25 + 0.45 * depth) * bend, Posture.standing(len(t))
    posture.tilt[:, 1], posture.trunk[:, 0], posture.head[:, 0] = pitch, 0.25 * bend, -0.35 * bend
    posture.arms[..., FLEXION] = (draw.between(1.15, 1.4) * bend + pitch)[:, None]
    cop = zero_moment_point(t, track, [], np.full(len(t), 0.5))
    return Phase(t, track, cop, posture, list(feet), (begin, clock), depth * bend, params={"depth": depth})


LEG_STANDING = 0.766
"""Hip to ankle while standing, metres."""


def _on_one_leg(
    draw: Draw,
    feet: Places,
    says: Settings,
    swing: np.ndarray,
    bent: np.ndarray,
    t: np.ndarray,
    up: tuple[float, float],
) -> Phase:
    """The leg of settings' side swings by an angle (T,) with its ankle drawn up by `bent` (T,) metres, between two
    times; the weight is on the other leg."""
    side = _number(says["side"])
    track = sample_feet(t, feet, [])
    length = LEG_STANDING - bent
    yaw = track.yaw[0, side]
    track.ground[:, side, 0] += length * np.sin(swing) * np.cos(yaw)
    track.ground[:, side, 1] += length * np.sin(swing) * np.sin(yaw)
    track.ground[:, side, 2] += LEG_STANDING - length * np.cos(swing)
    track.pitch[:, side], track.pivot[:, side] = -0.75 * swing, 0.5
    standing = 0.0 if side == LEFT else 1.0
    load = through(t, [up[0] - 0.65, up[0] - 0.02, up[1] + 0.02, up[1] + 0.7], [0.5, standing, standing, 0.5])
    still = sample_feet(t, feet, [])
    cop = zero_moment_point(t, still, [], load)
    balance, posture = np.abs(load - 0.5), Posture.standing(len(t))
    posture.arms[..., ABDUCTION] += balance[:, None]
    for foot in (LEFT, RIGHT):
        posture.arms[:, foot, FLEXION] = (0.35 if foot != side else -0.2) * balance
    posture.tilt[:, 1] = -0.12 * np.clip(swing, 0, None)
    posture.trunk[:, 0] = 0.036 * np.clip(swing, 0, None)
    return Phase(t, track, cop, posture, list(feet), up)


def kick(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Forward; settings: side, level "low" or "high", count, tempo."""
    slow = max(tempo(draw, says), 0.9)
    height = draw.between(0.70, 0.82) if says["level"] == "low" else draw.between(1.12, 1.32)
    back, forth, home = slow * draw.between(0.4, 0.5), slow * draw.between(0.4, 0.46), slow * draw.between(0.7, 0.85)
    begin = clock = draw.between(0.75, 0.9)
    swing_keys, bent_keys = [(0.0, 0.0)], [(0.0, 0.0)]
    for _ in range(says["count"]):
        low, apex = clock + back, clock + back + forth
        land = apex + home
        swing_keys += [(clock + 0.1, 0.0), (low, -0.3), (apex, height), (land - 0.12, 0.0)]
        bent_keys += [(clock, 0.0), (clock + 0.25, 0.07), (low, 0.10), (apex, 0.03), (land - 0.2, 0.07), (land, 0.0)]
        clock = land + 0.14
    end = clock - 0.14
    t = frame_times(end + 0.85)
    swing, bent = through(t, *zip(*swing_keys, strict=True)), through(t, *zip(*bent_keys, strict=True))
    phase = _on_one_leg(draw, feet, says, swing, bent, t, (begin, end))
    phase.params = {"angle": height}
    return phase


def raise_knee(draw: Draw, feet: Places, says: Settings) -> Phase:
    """A knee comes up to hip height; settings: side, hold True to balance on one leg, tempo."""
    slow = tempo(draw, says)
    begin = draw.between(0.75, 0.9)
    hold = draw.between(1.2, 2.0) if says.get("hold") else draw.between(0.1, 0.3)
    lift, down, height = slow * draw.between(0.6, 0.75), slow * draw.between(0.6, 0.75), draw.between(0.30, 0.38)
    end = begin + lift + hold + down
    t = frame_times(end + 0.8)
    up = through(t, [begin, begin + lift, begin + lift + hold, end], [0.0, 1.0, 1.0, 0.0])
    phase = _on_one_leg(draw, feet, says, 0.3 * up, height * up, t, (begin, end))
    phase.feet.pitch[:, _number(says["side"])] = 0.25 * up
    phase.params = {"lift": height}
    return phase


def lunge(draw: Draw, feet: Places, says: Settings) -> Phase:
    """A long step forward, down, and back again; settings: side, tempo."""
    slow, side = tempo(draw, says), _number(says["side"])
    length, depth = draw.between(0.55, 0.66), draw.between(0.20, 0.25)
    begin = draw.between(0.6, 0.7)
    land = begin + 0.6
    bottom = land + slow * draw.between(0.6, 0.8)
    up = bottom + draw.between(0.2, 0.8)
    back = up + slow * draw.between(0.6, 0.8)
    end = back + 0.6
    x, y, yaw = feet[side]
    steps = [
        Step(side, begin, land, (x + length, y, yaw), 0.07, 0.3, -0.15),
        Step(side, back, end, feet[side], 0.07, 0.1, 0.1),
    ]
    t = frame_times(end + 0.7)
    down = through(t, [land - 0.1, bottom, up, back], [0.0, 1.0, 1.0, 0.0])
    track = sample_feet(t, feet, steps)
    heel = through(t, [begin + 0.2, bottom, up, back + 0.4], [0.0, 0.95, 0.95, 0.0])
    track.pitch[:, 1 - side] += heel
    track.toe[:, 1 - side] -= heel
    load = load_share(t, steps)
    between = through(t, [land, land + 0.3, back - 0.3, back], [0.0, 1.0, 1.0, 0.0])
    front = 0.68 if side == LEFT else 0.32
    load += between * (front - load)
    cop = zero_moment_point(t, track, steps, load)
    rear = load if side == RIGHT else 1 - load
    cop[:, 0] += 0.085 * np.clip(heel / 0.3, 0.0, 1.0) * rear  # who stands on the ball of the foot bears its load there
    posture = Posture.standing(len(t))
    posture.tilt[:, 1] = 0.08 * down
    posture.arms[..., ABDUCTION] += 0.1 * down[:, None]
    return Phase(t, track, cop, posture, list(feet), (begin, end), depth * down, params={"length": length})


def bow(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Settings: depth "deep" or "slight", count, tempo."""
    slow = tempo(draw, says)
    depth = draw.between(0.95, 1.2) if says["depth"] == "deep" else draw.between(0.5, 0.7)
    parts = [(slow * draw.between(0.8, 1.0), 1.0), (draw.between(0.1, 0.6), 1.0), (slow * draw.between(0.8, 1.0), 0.0)]
    begin = draw.between(0.2, 0.4)
    times, values, clock = _repeated(begin, parts, says["count"], 0.2)
    t = frame_times(clock + 0.25)
    bend = depth * through(t, times, values)
    track, posture = sample_feet(t, feet, []), Posture.standing(len(t))
    posture.tilt[:, 1], posture.trunk[:, 0], posture.head[:, 0] = 0.5 * bend, 0.5 * bend, 0.15 * bend
    posture.arms[..., FLEXION] = 0.85 * bend[:, None]
    cop = zero_moment_point(t, track, [], np.full(len(t), 0.5))
    return Phase(t, track, cop, posture, list(feet), (begin, clock), params={"depth": depth})


def lean(draw: Draw, feet: Places, says: Settings) -> Phase:
    """The trunk bends to a side; settings: side, tempo."""
    slow, sign = tempo(draw, says), -_sign(says["side"])
    begin, go, back = draw.between(0.2, 0.4), slow * draw.between(0.8, 1.0), slow * draw.between(0.8, 1.0)
    hold = draw.between(0.3, 1.0)
    end = begin + go + hold + back
    t = frame_times(end + 0.25)
    bend = draw.between(0.5, 0.72) * through(t, [begin, begin + go, begin + go + hold, end], [0.0, 1.0, 1.0, 0.0])
    track, posture = sample_feet(t, feet, []), Posture.standing(len(t))
    posture.tilt[:, 0], posture.trunk[:, 1] = 0.15 * sign * bend, 0.85 * sign * bend
    low, high = _number(says["side"]), 1 - _number(says["side"])
    posture.arms[:, low, ABDUCTION] += 0.5 * bend
    posture.arms[:, high, ABDUCTION] += 0.1 * bend
    cop = zero_moment_point(t, track, [], np.full(len(t), 0.5))
    return Phase(t, track, cop, posture, list(feet), (begin, end))


def punch(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Settings: side, count, tempo."""
    side, slow, sign = _number(says["side"]), max(tempo(draw, says), 0.9), _sign(says["side"])
    guard, out, back = draw.between(0.45, 0.6), slow * draw.between(0.36, 0.44), slow * draw.between(0.45, 0.55)
    begin = 0.15 + guard + 0.1
    times, values, clock = _repeated(begin, [(out, 1.0), (back, 0.0)], says["count"], 0.1)
    t = frame_times(clock + 0.8)
    ready = ease(t, 0.15, 0.15 + guard) - ease(t, t[-1] - 0.65, t[-1] - 0.05)
    hit = through(t, times, values)
    twist, posture = -sign * 0.45 * hit, Posture.standing(len(t))
    posture.tilt[:, 1], posture.tilt[:, 2] = 0.08 * ready, 0.3 * twist
    posture.trunk[:, 0], posture.trunk[:, 2], posture.head[:, 1] = 0.05 * ready, 0.7 * twist, -0.8 * twist
    for s in (LEFT, RIGHT):
        strike = hit if s == side else 0 * t
        arm = posture.arms[:, s]
        arm[:, FLEXION], arm[:, TWIST] = 0.45 * ready + 0.95 * strike, 0.25 * (ready - strike) - 0.3 * ready
        arm[:, ELBOW] += 1.75 * ready - 1.75 * strike
    track = sample_feet(t, feet, [])
    cop = zero_moment_point(t, track, [], np.full(len(t), 0.5))
    return Phase(t, track, cop, posture, list(feet), (begin, clock), 0.03 * ready)


def jump(draw: Draw, feet: Places, says: Settings) -> Phase:
    """Both feet; settings: count, way "up", "forward" or "small" (low bounces one after the other)."""
    small, way = says["way"] == "small", says["way"]
    height, dip = (draw.between(0.062, 0.075), 0.14) if small else (draw.between(0.06, 0.13), draw.between(0.20, 0.27))
    distance = draw.between(0.18, 0.36) if way == "forward" else 0.0
    speed = float(np.sqrt(2 * GRAVITY * height))
    flight, soft = 2 * speed / GRAVITY, dip if small else draw.between(0.20, 0.27)
    low = draw.between(0.8, 0.95)
    offs, lands, clock = [], [], low
    pieces: list[tuple[float, float, tuple[float, float, float], tuple[float, float, float]]] = []
    start = -dip
    for _ in range(says["count"]):
        off = clock + 2.1 * (-start + TIPTOE) / speed
        pieces.append((clock, off, (start, 0, 0), (TIPTOE, speed, -GRAVITY)))
        land = off + flight
        bottom = land + 2.1 * (soft + TIPTOE) / speed
        pieces.append((land, bottom, (TIPTOE, -speed, -GRAVITY), (-soft, 0, 0)))
        offs.append(off)
        lands.append(land)
        clock, start = bottom, -soft
    t = frame_times(clock + 1.1)
    rise = through(t, [low - 0.6, low], [0.0, -dip])
    for t0, t1, a, b in pieces:
        rise = np.where(t > t0, quintic(t, t0, t1, a, b), rise)
        if t1 in offs:
            air = np.clip(t - t1, 0, None)
            rise = np.where(t > t1, TIPTOE + speed * air - 0.5 * GRAVITY * air**2, rise)
    rise = np.where(t > clock, -soft + soft * ease(t, clock, clock + 0.75), rise)
    track = sample_feet(t, feet, [])
    reach = 0.55 if small else 0.85
    pitch, toe, lean_to = np.zeros(len(t)), np.zeros(len(t)), np.zeros(len(t))
    arms_keys, size = [(low - 0.55, 0.0), (low - 0.05, -0.35)], (0.35 if small else 0.6)
    for off, land in zip(offs, lands, strict=True):
        flying = (t > off) & (t < land)
        track.ground[:, :, 2] += np.where(
            flying, (rise - TIPTOE) * ease(t, off, off + 0.06) * (1 - ease(t, land - 0.06, land)), 0
        )[:, None]
        track.ground[:, :, 0] += distance * ease(t, off, land)[:, None]
        tip = through(t, [off - 0.2, off + 0.04, land - 0.02, land + 0.12], [0.0, reach, 0.65 * reach, 0.0])
        pitch = np.maximum(pitch, tip)
        air_share = np.clip((t - off) / flight, 0, 1)
        toe = np.minimum(toe, -(tip * (1 - 0.5 * np.sin(np.pi * air_share) ** 2)))
        lean_to = np.maximum(lean_to, ease(t, off - 0.2, off) - ease(t, land, land + 0.3))
        arms_keys += [(off + 0.06, size), (land, 0.75 * size)]
        if land != lands[-1]:
            arms_keys.append((land + 0.5 * (offs[offs.index(off) + 1] - land), 0.1))
    arms_keys.append((lands[-1] + 0.6, 0.0))
    track.pitch[:], track.toe[:] = pitch[:, None], toe[:, None]
    cop = track.ground[..., :2].mean(axis=1)
    cop[:, 0] += STAND_COP + 0.05 * lean_to
    arms = through(t, *zip(*arms_keys, strict=True))
    bend = 0.5 * (np.sqrt(rise**2 + 0.08**2) - 0.08 - rise)  # a crouch's depth, without a corner at standing
    posture = Posture.standing(len(t))
    posture.tilt[:, 1], posture.trunk[:, 0], posture.head[:, 0] = bend, 0.9 * bend, -0.7 * bend
    posture.arms[..., FLEXION] = (arms + 1.2 * bend)[:, None]
    posture.arms[..., ELBOW] += 0.35 * np.clip(arms, 0, None)[:, None]
    gone = distance * says["count"]
    end = [(x + gone, y, yaw) for x, y, yaw in feet]
    params = {"height": height, "distance": distance, "takeoff_s": offs, "flight_s": flight}
    return Phase(t, track, cop, posture, end, (low, lands[-1]), rise=rise, params=params)


PHASES: dict[str, Callable[[Draw, Places, Settings], Phase]] = {
    "walk": walk,
    "side step": side_step,
    "turn": turn,
    "step": step,
    "march": march,
    "stand": stand,
    "squat": squat,
    "kick": kick,
    "raise knee": raise_knee,
    "lunge": lunge,
    "bow": bow,
    "lean": lean,
    "punch": punch,
    "jump": jump,
}
