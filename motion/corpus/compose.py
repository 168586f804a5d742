"""Phases one after the other with gestures over them, as one plan: nothing stops or jumps at a seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..fitting.leg_ik import FootTrack
from .balance import FPS, Plan
from .draw import Draw
from .overlays import OVERLAYS
from .phases import PHASES, Phase, Places
from .posture import joined


@dataclass(frozen=True)
class Deed:
    """Something that a clip does. action: a name of `PHASES` or `OVERLAYS`; says: its settings, which captions tell."""

    action: str
    says: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What goes on at a time: what the legs do and a gesture over it, either may be None; standing then carries the
    gesture. seconds: of a gesture that has no legs' deed."""

    legs: Deed | None
    gesture: Deed | None = None
    seconds: float = 2.5

    @property
    def deeds(self) -> tuple[Deed, ...]:
        return tuple(deed for deed in (self.legs, self.gesture) if deed is not None)


@dataclass(frozen=True)
class Composed:
    """A plan, the frames of it that become the clip, where one part follows another (frames of the clip), and what was
    drawn for each deed."""

    plan: Plan
    keep: slice
    seams: tuple[int, ...]
    params: tuple[dict[str, Any], ...]


def compose(draw: Draw, start: Places, parts: Sequence[Part]) -> Composed:
    """One plan of the parts in their order, from a first stance."""
    feet, phases, windows, clock, places = [], [], [], 0, start
    params: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        centre, yaw = _frame(places)
        if part.legs is None:
            phase = PHASES["stand"](draw, _into(places, centre, yaw), {"seconds": part.seconds})
        else:
            phase = PHASES[part.legs.action](draw, _into(places, centre, yaw), part.legs.says)
            params.append(phase.params)
        places = _out_of(phase.end, centre, yaw)
        feet.append(_moved(phase, centre, yaw))
        phases.append(phase)
        if part.gesture is not None:
            first, last = (clock + k / FPS for k in _window(draw, phase, part, number > 0))
            windows.append((part.gesture, (first, last)))
        clock += len(phase.t) / FPS
    return _assembled(draw, feet, phases, windows, params)


def _window(draw: Draw, phase: Phase, part: Part, follows: bool) -> tuple[float, float]:
    """Frames from and to which a gesture lasts, from the phase's start: of all of standing, from a little before it if
    something went before; of most of a gait."""
    first, last = phase.lead, len(phase.t) - phase.trail
    if part.legs is None:
        early = draw.between(0.0, 0.06) if follows else -draw.between(0.1, 0.3)
        return first - early * FPS, last - draw.between(0.1, 0.25) * FPS
    begin, end = phase.busy[0] * FPS, phase.busy[1] * FPS
    begin = max(begin - draw.between(0.1, 0.4) * FPS, first + draw.between(0.05, 0.3) * FPS)
    return begin, min(end + draw.between(0.1, 0.4) * FPS, last - draw.between(0.05, 0.2) * FPS)


def _assembled(draw, feet, phases, windows, params) -> Composed:
    track = FootTrack(
        *(np.concatenate([getattr(f, name) for f, _ in feet]) for name in ("ground", "yaw", "pitch", "pivot", "toe"))
    )
    posture = joined([phase.posture for phase in phases])
    frames = len(track.yaw)
    t = np.arange(frames) / FPS
    for deed, window in windows:
        params.append(OVERLAYS[deed.action](draw, t, window, posture, deed.says))
    lengths = np.cumsum([0, *(len(phase.t) for phase in phases)])
    jumps = tuple((int(lengths[k]), int(lengths[k + 1])) for k, phase in enumerate(phases) if phase.rise is not None)
    rise = None
    if jumps:
        rise = np.concatenate([np.zeros(len(p.t)) if p.rise is None else p.rise for p in phases])
    plan = Plan(
        feet=track,
        cop=np.concatenate([cop for _, cop in feet]) + _sway(draw, t),
        heading=gaussian_filter1d(track.yaw.mean(axis=1), 0.1 * FPS, mode="nearest"),
        tilt=posture.tilt,
        crouch=np.concatenate([phase.crouch for phase in phases]),
        upper=posture.upper(),
        rise=rise,
        jumps=jumps,
    )
    lead = phases[0].lead
    keep = slice(lead, frames - phases[-1].trail)
    return Composed(plan, keep, tuple(int(k) - lead for k in lengths[1:-1]), tuple(params))


def _sway(draw: Draw, t: np.ndarray) -> np.ndarray:
    """(T, 2) the slow sway of a few millimetres that people have, metres."""
    rates, phases = [draw.between(0.2, 0.4) for _ in range(2)], [draw.between(0.0, 2 * np.pi) for _ in range(2)]
    return np.array([0.006, 0.008]) * np.sin(2 * np.pi * np.array(rates) * t[:, None] + phases)


def _frame(places: Places) -> tuple[np.ndarray, float]:
    """Middle (2,) between the feet and their mean yaw."""
    return np.mean([p[:2] for p in places], axis=0), float(np.mean([p[2] for p in places]))


def _turned(points: np.ndarray, yaw: float) -> np.ndarray:
    """Points (..., 2) turned about the origin."""
    c, s = np.cos(yaw), np.sin(yaw)
    return points @ np.array([[c, s], [-s, c]])


def _into(places: Places, centre: np.ndarray, yaw: float) -> Places:
    """World places seen from a frame."""
    return [(*map(float, _turned(np.array(p[:2]) - centre, -yaw)), p[2] - yaw) for p in places]  # type: ignore[misc]


def _out_of(places: Places, centre: np.ndarray, yaw: float) -> Places:
    """A frame's places in the world."""
    return [(*map(float, _turned(np.array(p[:2]), yaw) + centre), p[2] + yaw) for p in places]  # type: ignore[misc]


def _moved(phase: Phase, centre: np.ndarray, yaw: float) -> tuple[FootTrack, np.ndarray]:
    """The feet and the zero-moment point of a phase in the world."""
    f, ground = phase.feet, phase.feet.ground.copy()
    ground[..., :2] = _turned(ground[..., :2], yaw) + centre
    return FootTrack(ground, f.yaw + yaw, f.pitch, f.pivot, f.toe), _turned(phase.cop, yaw) + centre
