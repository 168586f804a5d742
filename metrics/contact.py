"""Which parts of the body touch the ground, when, and how fast they slide.

Contact is decided by height with hysteresis, vertical speed and duration, on the 30 Hz grid; horizontal speed never
decides, for it is what is measured. Slide is the velocity of the body's material point at the contact, v + w x r:
the mean over the segment's points near the ground, so that the density of points cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter1d

from morphloop.base.runs import keep_long, latch, shrink

from .plausibility import GRAVITY
from .points import ANKLES, TOES, Points
from .signals import GRID_HZ, velocity

ENTER_M = 0.010
LEAVE_M = 0.025
"""Hysteresis of the contact height."""
SETTLED_SPEED = 0.05
VERTICAL_SPEED = 0.15
"""m/s; a part that has come down slower than the first is on the ground, one that rises or falls faster than the second
is passing. The first is calibrated: a heel skims the last 100 ms of its swing under 10 mm (`docs/contact.md`)."""
SUNK_M = 0.025
"""A part deeper in the ground than this touches it however fast it rises or falls (a joint: the joint itself)."""
HANG_M, POINTED_S = 0.012, 0.2
"""Toes hang where their joint is this much higher over their lowest point than on a flat sole, and the heel as much
higher than the joint: they do not come into contact so, and leave it when they stay so for that long. A toe-off takes
less; a foot that swings with its tips at the ground, as retargeted ones do, takes more (`docs/contact.md`)."""
SHORTEST_S = 0.1
LANDING = 3
LEAVING = 2
"""Samples at the beginning and at the end of a contact whose speed is not taken, 0.10 and 0.07 s: there the low-pass,
whose step takes 0.06 s from 10 to 90 %, lets the swing into the contact, and a landing foot brakes."""
SLIDE_FAST = 0.050
"""m/s; a contact frame faster than this counts as sliding."""
SKIM_M = 0.050
"""Feet under this height are looked at for skimming, whether they touch or not."""
SKIM_FAST = 0.2
"""m/s; travel on feet that nowhere stand still, faster than clean runs read, is plain to see."""
SKIM_REACH = 3
"""Samples to either side, 0.1 s, of which the slowest speed counts: a foot that stands in between carries the body."""
NEAR_M = 0.10
"""A segment that never comes this near to the ground is not looked at."""

GROUPS = ("left", "right", "other")


@dataclass(frozen=True, eq=False)
class Contacts:
    """Contact on the 30 Hz grid.

    fps: 30; segments: (S,) joint names of the segments that came near the ground; group: (S,) 0 left foot, 1 right
    foot, 2 the rest of the body; height: (T', S) of each segment's lowest point over the ground less its clearance,
    metres; speed: (T', S) horizontal material speed at the contact, m/s; touching: (T', S) bool; settled: (T', S)
    bool, touching less landing and leaving, where slide is read.
    """

    fps: float
    segments: tuple[str, ...]
    group: np.ndarray
    height: np.ndarray
    speed: np.ndarray
    touching: np.ndarray
    settled: np.ndarray

    def group_touching(self) -> np.ndarray:
        """(T', 3) bool: left foot, right foot, rest of the body."""
        return np.stack([self.touching[:, self.group == g].any(axis=1) for g in range(len(GROUPS))], axis=1)

    def group_height(self) -> np.ndarray:
        """(T', 3) height of the lowest segment of each group, metres; infinite for a group never near the ground."""
        lowest = [self.height[:, self.group == g].min(axis=1, initial=np.inf) for g in range(len(GROUPS))]
        return np.stack(lowest, axis=1)

    def group_speed(self) -> np.ndarray:
        """(T', 3) slide speed of each group, the mean over its settled segments, m/s; NaN where none is settled."""
        speeds = np.full((len(self.speed), len(GROUPS)), np.nan)
        for g in range(len(GROUPS)):
            settled, speed = self.settled[:, self.group == g], self.speed[:, self.group == g]
            some = settled.any(axis=1)
            speeds[some, g] = (speed * settled).sum(axis=1)[some] / settled.sum(axis=1)[some]
        return speeds


def find_contacts(points: Points) -> Contacts:
    """Contact of points whose ground is at z = 0. Under two frames on the 30 Hz grid nothing touches."""
    near = np.unique(points.joint[points.heights.min(axis=0) - points.rest_height < NEAR_M])
    height, speed = _segments(points, near)
    touching, settled = np.zeros(height.shape, bool), np.zeros(height.shape, bool)
    for s, joint in enumerate(near):
        clearance = float(points.rest_height[points.joint == joint].max())
        touching[:, s] = touches(height[:, s], clearance, _pointed(points, joint, height[:, s]))
        settled[:, s] = shrink(touching[:, s], LANDING, LEAVING)
    foot = np.array([points.foot[points.joint == j].max() for j in near], int)
    return Contacts(
        fps=GRID_HZ,
        segments=tuple(points.names[j] for j in near),
        group=np.where(foot < 0, 2, foot),
        height=height,
        speed=speed,
        touching=touching,
        settled=settled,
    )


def touches(height: np.ndarray, clearance: float = 0.0, pointed: np.ndarray | None = None) -> np.ndarray:
    """(T',) bool from the height of a segment's lowest point over the ground, less its clearance, on the 30 Hz grid.

    clearance: how far that point may be below its usual height before it is in the ground itself; metres both.
    pointed: (T',) bool, toes that hang from a pointed foot.
    """
    if len(height) < 2:
        return np.zeros(len(height), bool)
    speed, sunk = np.abs(velocity(height)), height < -SUNK_M - clearance
    enters = (height < ENTER_M) & (speed < SETTLED_SPEED)
    leaves = (height > LEAVE_M) | (speed >= VERTICAL_SPEED)
    if pointed is None:
        pointed = np.zeros(len(height), bool)
    low = latch(on=enters & ~pointed | sunk, off=leaves & ~sunk)
    low &= ~keep_long(low & pointed, round(POINTED_S * GRID_HZ)) | sunk
    return keep_long(low, round(SHORTEST_S * GRID_HZ))


def _pointed(points: Points, joint: int, tip: np.ndarray) -> np.ndarray | None:
    """(T',) bool: the toes of this joint hang from a foot whose heel is up. tip: (T',) height of their lowest point,
    metres. None for a joint that carries no toes, or whose soles are unknown."""
    name = points.names[joint]
    if name not in TOES or not np.isfinite(points.standing[joint]):
        return None
    ankle = points.names.index(ANKLES[TOES.index(name)])
    heel, toe = (points.smooth_and_grid[1][:, j, 2] - points.standing[j] for j in (ankle, joint))
    return (toe - tip > HANG_M) & (heel - toe > HANG_M)


def _segments(points: Points, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the segments carried by the joints `near` (S,): height (T', S) of the lowest point, and horizontal speed
    (T', S) of the mean of the material points near the ground."""
    own = np.flatnonzero(np.isin(points.joint, near))
    heights, flow = points.grid_motion(own)
    heights = heights - points.radius[own] - points.rest_height[own]
    round_ = np.unique(points.joint[own][points.radius[own] > 0])
    if points.grid_matrices is not None and len(round_) and len(heights) > 1:
        # The point that touches lies a radius under the centre: d/dt (R l) with l = R^T (0, 0, -radius) held.
        turn = points.grid_matrices[:, round_]
        spin = np.einsum("tjik,tjk->tji", velocity(turn)[:, :, :2], turn[:, :, 2])
        for k, joint in enumerate(round_):
            mine = points.joint[own] == joint
            flow[:, :, mine] -= points.radius[own][mine] * spin[:, k].T[..., None]
    lowest, speed = np.zeros((len(heights), len(near))), np.zeros((len(heights), len(near)))
    for s, joint in enumerate(near):
        mine = points.joint[own] == joint
        lowest[:, s] = heights[:, mine].min(axis=1)
        low = heights[:, mine] <= np.maximum(lowest[:, s], LEAVE_M)[:, None]
        mean = (flow[:, :, mine] * low).sum(axis=-1) / low.sum(axis=-1)
        speed[:, s] = np.linalg.norm(mean, axis=0)
    return lowest, speed


def slide(contacts: Contacts) -> dict[str, float | None]:
    """`slide_mean_mm_s` and `slide_ratio` over all contact frames, one value for each foot and the rest of the body."""
    speeds = contacts.group_speed()
    speeds = speeds[np.isfinite(speeds)]
    if not len(speeds):
        return {"slide_mean_mm_s": None, "slide_ratio": None}
    return {"slide_mean_mm_s": float(1e3 * speeds.mean()), "slide_ratio": float((speeds > SLIDE_FAST).mean())}


def skim(contacts: Contacts, com: np.ndarray | None) -> dict[str, float | None]:
    """`skim_mm_s`: how fast the body travels over the ground on feet that nowhere stand still.

    At each sample in which a foot is under 50 mm and no other part of the body is: the horizontal speed of the slowest
    foot segment under that height, the slowest within 0.1 s. The mean is weighted by the vertical force that the centre
    of mass com (T', 3) on the 30 Hz grid asks of the ground, so that free fall counts for nothing; evenly if None. It
    asks for no contact: a body that skates a little over the ground, bobs, or touches now and then reads its speed; one
    that walks, runs or turns has a foot that stands. None where no foot carries the body alone.
    """
    feet, low = contacts.group < 2, contacts.height < SKIM_M
    alone = low[:, feet].any(axis=1) & ~low[:, ~feet].any(axis=1)
    slowest = np.where(low, contacts.speed, np.inf)[:, feet].min(axis=1, initial=np.inf)
    slowest = minimum_filter1d(slowest, 2 * SKIM_REACH + 1, mode="nearest")
    weight = alone.astype(float)
    if com is not None and len(com) > 1:
        weight *= np.maximum(1.0 + velocity(velocity(com[:, 2])) / np.linalg.norm(GRAVITY), 0.0)
    if not weight.any() or len(slowest) < 2:
        return {"skim_mm_s": None}
    return {"skim_mm_s": float(1e3 * (slowest[alone] * weight[alone]).sum() / weight.sum())}
