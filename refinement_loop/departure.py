"""Where a clip leaves what it tracked: which part of the body, by how much and when, and how it stands at its end.

A mean over bodies hides a fold at the waist, a mean over time a stumble, and the largest error of a single frame is one
hand's flick. So each part's error is averaged over a short window, and the worst window of the worst part counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.motion import Clip
from morphloop.sim import Body

WINDOW_S = 0.2
"""Seconds over which a part's error is averaged: shorter is not seen as a fault of the motion."""


@dataclass(frozen=True)
class Departure:
    """The worst window of the worst part.

    part: the joint that is farthest from the reference's; error_m: its mean distance over the window, metres; at_s: the
    window's middle, seconds; lean_deg: angle between the line from the feet to the head and the reference's at the last
    frame of both; drop_m: how much lower the head is there than the reference's.
    """

    part: str
    error_m: float
    at_s: float
    lean_deg: float
    drop_m: float


def departure(clip: Clip, reference: Clip, body: Body) -> Departure:
    """How a clip leaves its reference; both at one frame rate and on the body's skeleton, paired from the start."""
    frames = min(clip.num_frames, reference.num_frames)
    apart = np.linalg.norm(clip.positions[:frames] - reference.positions[:frames], axis=-1)
    window = min(max(1, round(WINDOW_S * clip.fps)), frames)
    summed = np.concatenate([np.zeros((1, apart.shape[1])), np.cumsum(apart, axis=0)])
    means = (summed[window:] - summed[:-window]) / window
    start, part = np.unravel_index(int(means.argmax()), means.shape)
    (head,) = body.joint_ids([body.description.head])
    ours, theirs = (_stance(each.positions[frames - 1], body.legs[:, 2], head) for each in (clip, reference))
    lean = np.arctan2(np.linalg.norm(np.cross(ours, theirs)), ours @ theirs)
    return Departure(
        part=clip.skeleton.names[part],
        error_m=float(means[start, part]),
        at_s=float((start + 0.5 * (window - 1)) / clip.fps),
        lean_deg=float(np.degrees(lean)),
        drop_m=float(reference.positions[frames - 1, head, 2] - clip.positions[frames - 1, head, 2]),
    )


def _stance(positions: np.ndarray, ankles: np.ndarray, head: int) -> np.ndarray:
    """(3,) from the middle of the ankles to the head of one frame (J, 3), metres."""
    return positions[head] - positions[ankles].mean(axis=0)
