"""Gestures of arms and head, laid over whatever legs and trunk do between two times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .draw import Draw
from .gait import LEFT, RIGHT, ease
from .phases import Settings, tempo
from .posture import ELBOW, FLEXION, Posture

Window = tuple[float, float]
"""Seconds from and to which a gesture lasts, rising and falling included."""

SIDE_NUMBERS = {"left": (LEFT,), "right": (RIGHT,), "both": (LEFT, RIGHT)}
WAYS = {"to the side": (1.5, 0.0), "in front": (0.12, 1.5), "overhead": (2.8, 0.0)}
"""Abduction and flexion of a raised arm, radians."""
SALUTE = (0.93, 1.508, -0.28, 2.116, -0.108)
"""Arm whose hand is at the forehead, as `gestures.arm` takes it; this and the next from inverse kinematics."""
HANDS_MET, HANDS_APART = (0.286, 0.681, -0.848, 1.377, 0.075), (0.594, 0.539, -0.63, 1.511, -0.073)
"""Arms before the chest, palms together and a shoulder's breadth apart."""
ON_HIP = (0.834, 0.0, -1.059, 1.56, -0.6)
POINTED = {
    "ahead": (0.10, 1.42, 0.0, 0.06, 0.0),
    "to the side": (1.42, 0.15, 0.0, 0.06, 0.0),
    "up": (0.5, 2.2, 0.0, 0.06, 0.0),
}


def held(t: np.ndarray, window: Window, rise: float) -> np.ndarray:
    """(T,) 0 outside the window, 1 in its middle."""
    rise = min(rise, 0.45 * (window[1] - window[0]))
    return ease(t, window[0], window[0] + rise) - ease(t, window[1] - rise, window[1])


def wave(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """An arm that rises and waves from the elbow; settings: side, count or none, tempo."""
    slow = tempo(draw, says)
    rise, size = max(0.6, 0.7 * slow), draw.between(0.26, 0.42)
    first, last = window[0] + rise - 0.1, window[1] - rise + 0.1
    rate = draw.between(1.4, 2.0) / slow
    if says.get("count"):
        rate = says["count"] / (last - first)
    swing = (ease(t, first, first + 0.3) - ease(t, last - 0.3, last)) * np.sin(2 * np.pi * rate * (t - first))
    angles = np.zeros((len(t), 5))
    angles[:] = (draw.between(1.1, 1.45), draw.between(0.1, 0.5), 1.35, draw.between(1.4, 1.75), 0.0)
    angles[:, ELBOW] += size * swing
    weight = held(t, window, rise)
    for side in SIDE_NUMBERS[says["side"]]:
        posture.blend_arm(side, angles, weight)
    return {"rate": rate}


def raise_arm(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """One or both arms go up and come down; settings: side or "both", way, tempo."""
    rise = tempo(draw, says) * draw.between(0.75, 0.95) * (1.3 if says["way"] == "overhead" else 1.0)
    share = draw.between(0.94, 1.04)
    abduction, flexion = WAYS[says["way"]]
    angles = np.array([share * abduction, share * flexion, 0.0, draw.between(0.08, 0.22), 0.0])
    for side in SIDE_NUMBERS[says["side"]]:
        posture.blend_arm(side, angles, held(t, window, rise))
    return {"rise_s": rise}


def point(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """A stretched arm, and eyes that follow it; settings: side, way, tempo."""
    rise = tempo(draw, says) * draw.between(0.5, 0.6) * (1.2 if says["way"] == "up" else 1.0)
    weight = held(t, window, max(rise, 0.45))
    (side,) = SIDE_NUMBERS[says["side"]]
    posture.blend_arm(side, np.array(POINTED[says["way"]]), weight)
    sign = 1.0 if side == LEFT else -1.0
    posture.head[:, 1] += weight * sign * (0.7 if says["way"] == "to the side" else 0.05)
    posture.head[:, 0] -= weight * (0.3 if says["way"] == "up" else 0.0)
    return {}


def salute(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """A hand to the forehead; settings: side, tempo."""
    (side,) = SIDE_NUMBERS[says["side"]]
    posture.blend_arm(side, np.array(SALUTE), held(t, window, max(0.6, tempo(draw, says) * draw.between(0.6, 0.75))))
    return {}


def clap(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """Palms meet before the chest; settings: count or none, tempo."""
    slow = tempo(draw, says)
    rise = 0.65
    first, last = window[0] + rise - 0.15, window[1] - rise + 0.15
    rate = draw.between(1.5, 2.0) / slow
    if says.get("count"):
        rate = says["count"] / (last - first)
    busy = ease(t, first, first + 0.1) - ease(t, last - 0.1, last)
    met = 0.5 * busy * (1 - np.cos(2 * np.pi * rate * (t - first)))
    angles = np.array(HANDS_APART) + met[:, None] * (np.array(HANDS_MET) - np.array(HANDS_APART))
    for side in (LEFT, RIGHT):
        posture.blend_arm(side, angles, held(t, window, rise))
    return {"rate": rate}


def hands_on_hips(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """Both hands on the hips, elbows out; settings: tempo."""
    for side in (LEFT, RIGHT):
        posture.blend_arm(side, np.array(ON_HIP), held(t, window, tempo(draw, says) * draw.between(0.7, 0.85)))
    return {}


def reach(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """A hand goes forward and the trunk follows a little; settings: side, tempo."""
    (side,) = SIDE_NUMBERS[says["side"]]
    sign = 1.0 if side == LEFT else -1.0
    weight = held(t, window, tempo(draw, says) * draw.between(0.75, 0.95))
    lean = draw.between(0.24, 0.32) * weight
    posture.tilt[:, 1] += 0.5 * lean
    posture.tilt[:, 2] -= 0.09 * sign * weight
    posture.trunk[:, 0] += lean
    posture.trunk[:, 2] -= 0.21 * sign * weight
    posture.head[:, 0] -= 0.5 * lean
    for other in (LEFT, RIGHT):
        posture.arms[:, other, FLEXION] += 1.2 * lean
    height = draw.between(1.2, 1.6)
    posture.blend_arm(side, np.array([0.16, height + 0.35, 0.0, 0.15, 0.0]), weight)
    return {"height": height}


def _oscillation(draw: Draw, t: np.ndarray, window: Window, count: int | None, slow: float, rate: float) -> np.ndarray:
    """(T,) sine of a head that moves to and fro a whole number of times within the window."""
    times = count or max(2, round((window[1] - window[0]) * rate / slow))
    u = np.clip((t - window[0]) / (window[1] - window[0]), 0.0, 1.0)
    return np.sin(2 * np.pi * times * u) * np.clip(8 * np.minimum(u, 1 - u), 0.0, 1.0)


def nod(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """The head goes down and up; settings: count or none, tempo."""
    times = says.get("count") or max(2, round((window[1] - window[0]) * 1.2 / tempo(draw, says)))
    u = np.clip((t - window[0]) / (window[1] - window[0]), 0.0, 1.0)
    posture.head[:, 0] += draw.between(0.4, 0.55) * 0.5 * (1 - np.cos(2 * np.pi * times * u))
    return {"times": times}


def shake_head(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """The head turns to and fro; settings: tempo."""
    posture.head[:, 1] += draw.between(0.42, 0.6) * _oscillation(draw, t, window, None, tempo(draw, says), 1.1)
    return {}


def look(draw: Draw, t: np.ndarray, window: Window, posture: Posture, says: Settings) -> dict[str, Any]:
    """The head turns to a side and stays there, or, side "both", to one and then the other; settings: side, tempo."""
    size, rise = draw.between(0.75, 1.0), tempo(draw, says) * draw.between(0.6, 0.8)
    if says["side"] == "both":
        sign = draw.one_of((1.0, -1.0))
        u = np.clip((t - window[0]) / (window[1] - window[0]), 0.0, 1.0)
        turn = sign * size * (ease(u, 0.0, 0.28) - 2 * ease(u, 0.36, 0.66) + ease(u, 0.72, 1.0))
    else:
        turn = (1.0 if says["side"] == "left" else -1.0) * size * held(t, window, rise)
    posture.head[:, 1] += 0.8 * turn
    posture.trunk[:, 2] += 0.25 * turn
    return {"angle": size}


OVERLAYS: dict[str, Callable[[Draw, np.ndarray, Window, Posture, Settings], dict[str, Any]]] = {
    "wave": wave,
    "raise arm": raise_arm,
    "point": point,
    "salute": salute,
    "clap": clap,
    "hands on hips": hands_on_hips,
    "reach": reach,
    "nod": nod,
    "shake head": shake_head,
    "look": look,
}
"""Gestures by name."""
