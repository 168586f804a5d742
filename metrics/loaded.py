"""Slide and restepping where forces are known: read over load, not over height.

Contact by height begins before load and ends after it, and a foot that rolls rests on its heel or its toes while the
other end moves freely; read so, most of the slide of a simulated body is speed of what touches nothing. Here a segment
counts while it bears load, margins apart, and a foot's speed is that of its slower loaded segment: of a foot that rolls
or turns on the ground one end is held, of one that slides neither is.

What a foot does instead of sliding is lift and step anew. `restep_per_s` and `restep_mm` see that, against where the
reference has the foot planted. Thresholds were calibrated on rollouts of 16 corpus and 6 CMU clips of the training
split (`docs/lab/contact.md`).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from morphloop.base.runs import latch, runs, shrink
from morphloop.motion import Clip
from morphloop.sim import Body
from morphloop.sim.rollouts.loads import FootLoads

from .clip_context import contact_frames
from .signals import GRID_HZ

LOADED_SHARE = 0.10
"""Share of body weight from which a segment bears load, and from which a foot has taken it again."""
LOST_SHARE = 0.03
"""Share of body weight under which a foot has lost its load."""
MARGIN_S = 1.0 / 30.0
"""Left out at the beginning and at the end of load, seconds: there a foot lands and leaves."""

NO_LOADS: dict[str, float | None] = {"slide_loaded_mm_s": None, "restep_per_s": None, "restep_mm": None}
"""What is said of a motion whose forces are unknown."""


def measure_loads(loads: FootLoads | None, body: Body, reference: Clip | None = None) -> dict[str, float | None]:
    """`slide_loaded_mm_s`, `restep_per_s` and `restep_mm` of a rollout.

    loads: what its feet bore; reference: what it tracked, from its first frame on, on the body's skeleton; without it
    nothing is said of steps. All None without loads.
    """
    if loads is None:
        return NO_LOADS
    speeds = loaded_speeds(loads)
    speeds = speeds[np.isfinite(speeds)]
    steps = NO_LOADS if reference is None else resteps(loads, planted(reference, body, loads))
    return steps | {"slide_loaded_mm_s": float(1e3 * speeds.mean()) if len(speeds) else None}


def loaded_speeds(loads: FootLoads) -> np.ndarray:
    """(N, 2) horizontal speed of each foot's slower loaded segment in each control step, m/s; NaN where none is loaded
    or only within the margins. The speed is the size of the step's mean velocity: shaking within a step is no slide."""
    margin = max(1, round(MARGIN_S * loads.fps))
    bears = loads.load >= LOADED_SHARE * loads.weight
    speeds = np.linalg.norm(loads.slip, axis=-1)
    for foot in range(2):
        for part in range(bears.shape[2]):
            inside = shrink(bears[:, foot, part], margin, margin)
            speeds[~inside, foot, part] = np.inf
    slower = speeds.min(axis=2)
    return np.where(np.isfinite(slower), slower, np.nan)


def planted(reference: Clip, body: Body, loads: FootLoads) -> np.ndarray:
    """(N, 2) bool: control steps at whose end the reference has the foot on the ground, by the rule of heights; False
    after its end."""
    touching = contact_frames(reference, body).group_touching()[:, :2]
    sample = np.rint((np.arange(len(loads.load)) + 1) * GRID_HZ / loads.fps).astype(int)
    return touching[np.minimum(sample, len(touching) - 1)] & (sample < len(touching))[:, None]


def resteps(loads: FootLoads, planted: np.ndarray) -> dict[str, float | None]:
    """`restep_per_s` and `restep_mm` where the reference has feet planted (N, 2).

    A restep: within one planted segment a foot that bore load loses it and takes it again. Its length is how far the
    material point that bore the load last has moved over the ground when the foot takes load again. Null where no foot
    is planted; the length is null where nothing was stepped anew.
    """
    borne = loads.load.sum(axis=2) / loads.weight
    moved: list[float] = []
    for foot in range(2):
        has = latch(on=borne[:, foot] >= LOADED_SHARE, off=borne[:, foot] < LOST_SHARE)
        for start, end in runs(planted[:, foot]):
            held = runs(has[start:end])
            moved += [_moved(loads, foot, start + left - 1, start + back) for (_, left), (back, _) in pairwise(held)]
    seconds = planted.sum() / loads.fps
    return {
        "restep_per_s": len(moved) / float(seconds) if seconds else None,
        "restep_mm": float(1e3 * np.mean(moved)) if moved else None,
    }


def _moved(loads: FootLoads, foot: int, before: int, after: int) -> float:
    """Horizontal metres that the point which bore a foot's load in step `before` has moved at the end of `after`."""
    part = int(loads.load[before, foot].argmax())
    point = loads.point[before, foot, part]
    there = [loads.place[step, foot, part] + loads.turn[step, foot, part] @ point for step in (before, after)]
    return float(np.linalg.norm((there[1] - there[0])[:2]))
