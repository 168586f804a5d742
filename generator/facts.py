"""Facts of a clip by name: "wave left", "squat twice", "walk forward and sneaking, then wave left".

Each is a plain geometric check against the body itself, so a clip need not begin at the origin facing X, and means
what captions of `make_described` state. "A and B" asks both of the same motion; "A, then B" asks for a time before
which A holds and after which B does, while B before it and A after it do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.rotations import heading, quat_conj, quat_from_heading, quat_mul, quat_rotate, quat_to_rotvec

from .adherence import (
    SIDES,
    Fact,
    dip,
    goes,
    hops,
    joint,
    kicks,
    lean,
    other,
    raises,
    reaches,
    rise,
    stands,
    steps_aside,
    travel,
    turned,
    waves,
)

SPLITS_S = 0.4
"""Seconds between the times at which "A, then B" is tried."""
MOVING = 0.25
"""Speed of an ankle along the ground, m/s, over which a foot is on its way."""


@dataclass(frozen=True)
class Seen:
    """A clip as checks see it. fps; place: (T, J, 3) joints about the pelvis, forward, left, and height over the
    ground, metres."""

    clip: Clip
    place: np.ndarray

    def at(self, name: str) -> np.ndarray:
        return self.place[:, self.clip.skeleton.index(name)]


@lru_cache(maxsize=64)
def seen(clip: Clip) -> Seen:
    """The joints of a clip in its body's heading frame."""
    place = clip.positions - clip.root_pos[:, None] * [1.0, 1.0, 0.0]
    turn = np.repeat(quat_from_heading(-heading(clip.rotations[:, 0]))[:, None], place.shape[1], axis=1)
    return Seen(clip, quat_rotate(turn, place))


def head_turn(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """(T,) pitch down and (T,) yaw to the left of the head against the chest, radians."""
    name = clip.skeleton.index
    chest, head = clip.global_rotations[:, name("spine3")], clip.global_rotations[:, name("head")]
    turn = quat_to_rotvec(quat_mul(quat_conj(chest), head))
    return turn[:, 1], turn[:, 2]


def peaks(signal: np.ndarray, high: float, low: float) -> int:
    """How often a signal (T,) rises over `high` after it was under `low`; the first rise counts."""
    count, armed = 0, True
    for value in signal:
        if armed and value > high:
            count, armed = count + 1, False
        elif not armed and value < low:
            armed = True
    return count


def swings(clip: Clip, side: str) -> int:
    """How many steps a foot takes: stretches of moving along the ground by over 8 cm."""
    ankle = joint(clip, f"{side}_ankle")[:, :2]
    if len(ankle) < 4:
        return 0
    speed = np.convolve(np.linalg.norm(np.diff(ankle, axis=0), axis=1) * clip.fps, np.ones(3) / 3, "same")
    moving = np.concatenate([[False], speed > MOVING, [False]])
    edges = np.flatnonzero(np.diff(moving.astype(int)))
    ways = (ankle[min(b, len(ankle) - 1)] - ankle[a] for a, b in edges.reshape(-1, 2))
    return sum(bool(np.linalg.norm(way) > 0.08) for way in ways)


def stepping(clip: Clip) -> np.ndarray:
    """(T,) frames in which a foot is on its way, or was within a quarter of a second."""
    ankles = np.stack([joint(clip, f"{side}_ankle") for side in SIDES], axis=1)
    if len(ankles) < 2:
        return np.zeros(len(ankles), dtype=bool)
    speed = np.linalg.norm(np.diff(ankles, axis=0), axis=2).max(axis=1) * clip.fps
    near = np.convolve(np.append(speed, speed[-1]) > MOVING, np.ones(2 * round(0.25 * clip.fps) + 1), "same")
    return near > 0


def over_stepping(clip: Clip, signal: np.ndarray, share: float) -> float:
    """A quantile of a signal (T,) over the frames of stepping; NaN without any."""
    frames = stepping(clip)
    return float(np.quantile(signal[frames], share)) if frames.any() else float("nan")


def pelvis(clip: Clip) -> np.ndarray:
    """(T,) height of the pelvis, metres."""
    return clip.root_pos[:, 2]


def pace(clip: Clip) -> float:
    """Fastest mean speed of the root over a second, m/s."""
    n = max(min(round(clip.fps), clip.num_frames - 1), 1)
    flat = clip.root_pos[:, :2]
    return float(np.linalg.norm(flat[n:] - flat[:-n], axis=1).max() * clip.fps / n) if clip.num_frames > 1 else 0.0


def first_rise_s(clip: Clip, signal: np.ndarray) -> float:
    """Seconds that a signal (T,) takes from a tenth to nine tenths of its largest rise; infinite if it never rises."""
    up = signal - signal[0]
    if up.max() <= 1e-3:
        return float("inf")
    late = int(np.argmax(up > 0.9 * up.max()))
    early = late - int(np.argmax(up[: late + 1][::-1] < 0.1 * up.max()))
    return (late - early) / clip.fps


def both(check: Callable[[str], bool]) -> bool:
    return all(check(side) for side in SIDES)


def either(check: Callable[[str], bool]) -> bool:
    return any(check(side) for side in SIDES)


def knee_up(clip: Clip, side: str) -> np.ndarray:
    """(T,) the knee within 0.25 m of the hip's height while the pelvis is up."""
    s = seen(clip)
    return (s.at(f"{side}_hip")[:, 2] - s.at(f"{side}_knee")[:, 2] < 0.25) & (pelvis(clip) > 0.78)


def lifts(clip: Clip, side: str) -> int:
    """How often a foot leaves the ground by 4 cm."""
    height = joint(clip, f"{side}_ankle")[:, 2]
    return peaks(height - height.min(), 0.04, 0.02)


def marches(clip: Clip) -> bool:
    """Each foot is lifted twice or more, and the root stays within 0.35 m and 0.6 rad."""
    away = np.linalg.norm(clip.root_pos[:, :2] - clip.root_pos[0, :2], axis=1).max()
    return both(lambda side: lifts(clip, side) >= 2) and away < 0.35 and abs(turned(clip)) < 0.6


def lunges(clip: Clip, side: str) -> bool:
    """That foot is over 0.4 m ahead of the other while the pelvis is 0.18 m down."""
    s = seen(clip)
    ahead = s.at(f"{side}_ankle")[:, 0] - s.at(f"{other(side)}_ankle")[:, 0]
    return bool(((ahead > 0.4) & (pelvis(clip)[0] - pelvis(clip) > 0.18)).any())


def leans(clip: Clip, side: str) -> bool:
    """The head goes over 0.15 m to that side of the pelvis, more than to the front."""
    head = seen(clip).at("head")
    aside = (head[:, 1] - head[0, 1]) * (1 if side == "left" else -1)
    return bool(aside.max() > 0.15)


def arm_length(clip: Clip, side: str) -> np.ndarray:
    """(T,) metres from the shoulder to the hand."""
    s = seen(clip)
    return np.linalg.norm(s.at(f"{side}_hand") - s.at(f"{side}_shoulder"), axis=1)


def arm_ahead(clip: Clip, side: str) -> bool:
    """The stretched arm is level and in front."""
    s = seen(clip)
    link = s.at(f"{side}_hand") - s.at(f"{side}_shoulder")
    return bool(((link[:, 0] > 0.42) & (np.abs(link[:, 2]) < 0.3) & (np.abs(link[:, 1]) < 0.3)).any())


def arm_aside(clip: Clip, side: str) -> bool:
    """The stretched arm is level and out to its side at some time, and never overhead."""
    s = seen(clip)
    link = s.at(f"{side}_hand") - s.at(f"{side}_shoulder")
    out = link[:, 1] * (1 if side == "left" else -1)
    return bool(((out > 0.42) & (np.abs(link[:, 2]) < 0.25)).any() and link[:, 2].max() < 0.35)


def arm_up(clip: Clip, side: str) -> bool:
    """The hand is over the head."""
    s = seen(clip)
    return bool((s.at(f"{side}_hand")[:, 2] > s.at("head")[:, 2] + 0.15).any())


def points(clip: Clip, side: str) -> bool:
    """The hand rises by 0.35 m, 0.2 m more than the other, on a stretched arm."""
    up = rise(clip, f"{side}_hand")
    return bool(up > max(0.35, rise(clip, f"{other(side)}_hand") + 0.2) and arm_length(clip, side).max() > 0.5)


def salutes(clip: Clip, side: str) -> bool:
    """The hand comes within 0.25 m of the head, and the other does not."""
    s = seen(clip)
    near = [np.linalg.norm(s.at(f"{k}_hand") - s.at("head") - [0, 0, 0.08], axis=1).min() for k in (side, other(side))]
    return bool(near[0] < 0.25 < near[1])


def hands_apart(clip: Clip) -> np.ndarray:
    """(T,) metres between the hands where both are over the pelvis; 1 elsewhere."""
    s = seen(clip)
    left, right = s.at("left_hand"), s.at("right_hand")
    up = np.minimum(left[:, 2], right[:, 2]) > pelvis(clip) + 0.05
    return np.where(up, np.linalg.norm(left - right, axis=1), 1.0)


def claps(clip: Clip) -> int:
    """How often the hands meet before the chest."""
    return peaks(-hands_apart(clip), -0.17, -0.24)


def hands_on_hips(clip: Clip) -> bool:
    """For 0.3 s both hands are near the hips and the elbows are out."""
    s = seen(clip)
    near = np.ones(clip.num_frames, dtype=bool)
    for side in SIDES:
        hand, elbow = s.at(f"{side}_hand"), s.at(f"{side}_elbow")
        near &= (np.abs(hand[:, 2] - pelvis(clip)) < 0.2) & (np.abs(elbow[:, 1]) > 0.31) & (np.abs(hand[:, 1]) < 0.3)
    return bool(near.sum() > 0.3 * clip.fps)


def nods(clip: Clip) -> int:
    """How often the head tips forward against the chest."""
    pitch = head_turn(clip)[0]
    return peaks(pitch - np.median(pitch[:3]), 0.25, 0.15)


def shakes(clip: Clip) -> bool:
    """The head turns to both sides of the chest, three times or more in all."""
    yaw = head_turn(clip)[1]
    return peaks(yaw, 0.2, 0.0) + peaks(-yaw, 0.2, 0.0) >= 3


def looks(clip: Clip, side: str) -> bool:
    """The head turns over 0.45 rad to that side, and not to the other."""
    yaw = head_turn(clip)[1] * (1 if side == "left" else -1)
    return bool(yaw.max() > 0.45 and yaw.min() > -0.3)


def forearm(clip: Clip, side: str) -> np.ndarray:
    """How far outward a raised hand is of its elbow, metres, in the frames in which it is raised."""
    s = seen(clip)
    hand, elbow = s.at(f"{side}_hand"), s.at(f"{side}_elbow")
    return (hand - elbow)[hand[:, 2] > s.at("neck")[:, 2] - 0.15, 1] * (1 if side == "left" else -1)


def extremes(signal: np.ndarray, size: float) -> list[int]:
    """Where a signal (T,) turns back, by `size` or more each time."""
    found, k, way = [], 0, 0
    for n, value in enumerate(signal):
        ahead = value - signal[k]
        if way == 0 and abs(ahead) > size:
            found, way, k = [k], int(np.sign(ahead)), n
        elif way * ahead > 0:
            k = n
        elif way and -way * ahead > size:
            found.append(k)
            way, k = -way, n
    return [*found, k] if way else []


def beats(clip: Clip, side: str) -> int:
    """How often a raised forearm swings outward and back, its way up and down left out."""
    swing = forearm(clip, side)
    found = swing[extremes(swing, 0.035)] if len(swing) else swing
    return int(((found[1:-1] > found[:-2]) & (found[1:-1] > found[2:])).sum()) if len(found) > 2 else 0


def half_period_s(clip: Clip, signal: np.ndarray, size: float) -> float:
    """Median seconds from one turning point of a signal (T,) to the next; infinite for fewer than two."""
    found = extremes(signal, size)
    return float(np.median(np.diff(found)) / clip.fps) if len(found) > 1 else float("inf")


def flights(clip: Clip) -> int:
    """How often both feet leave the ground at once."""
    feet = np.stack([joint(clip, f"{side}_foot")[:, 2] for side in SIDES])
    return peaks((feet - feet.min(axis=1, keepdims=True)).min(axis=0), 0.03, 0.015)


def kicked(clip: Clip, side: str) -> int:
    """How often a foot swings up before the body."""
    s = seen(clip)
    ankle, rest = s.at(f"{side}_ankle"), s.at(f"{other(side)}_ankle")
    return peaks(np.where(ankle[:, 2] - rest[:, 2] > 0.05, ankle[:, 0] - rest[:, 0], 0.0), 0.25, 0.1)


def punched(clip: Clip, side: str) -> int:
    """How often a hand shoots forward."""
    link = seen(clip).at(f"{side}_hand") - seen(clip).at(f"{side}_shoulder")
    return peaks(link[:, 0], 0.42, 0.36)


def squatted(clip: Clip) -> int:
    """How often the pelvis goes down by 0.12 m."""
    return peaks(pelvis(clip)[0] - pelvis(clip), 0.12, 0.06)


def bowed(clip: Clip) -> int:
    """How often the head comes over 0.12 m further in front of the pelvis."""
    head = seen(clip).at("head")[:, 0]
    return peaks(head - head[0], 0.12, 0.08)


def most(count: Callable[[Clip, str], int]) -> Callable[[Clip], int]:
    """The larger count of the two sides."""
    return lambda clip: max(count(clip, side) for side in SIDES)


def swing_range(clip: Clip, side: str) -> float:
    """How far a hand swings fore and aft while stepping, metres."""
    x = seen(clip).at(f"{side}_hand")[:, 0]
    return over_stepping(clip, x, 0.95) - over_stepping(clip, x, 0.05)


def stride(clip: Clip) -> float:
    """Metres between the ankles at the wider steps."""
    s = seen(clip)
    apart = np.linalg.norm((s.at("left_ankle") - s.at("right_ankle"))[:, :2], axis=1)
    return over_stepping(clip, apart, 0.93)


def stoop(clip: Clip) -> float:
    """Metres that the head is in front of the pelvis, half of the time of stepping."""
    return over_stepping(clip, seen(clip).at("head")[:, 0], 0.5)


def low_going(clip: Clip) -> float:
    """Height of the pelvis, half of the time of stepping, metres."""
    return over_stepping(clip, pelvis(clip), 0.5)


PLAIN: dict[str, Callable[[Clip], bool]] = {
    "walk forward": lambda c: travel(c)[0] > 0.6,
    "walk backward": lambda c: travel(c)[0] < -0.3,
    "walk slowly": lambda c: 0.1 < pace(c) < 0.8,
    "walk normally": lambda c: 0.8 < pace(c) < 1.2,
    "walk quickly": lambda c: pace(c) > 1.08,
    "walk backward slowly": lambda c: 0.1 < pace(c) < 0.5,
    "walk backward normally": lambda c: pace(c) > 0.42,
    "straight": lambda c: abs(turned(c)) < 0.25,
    "step forward": lambda c: 0.2 < travel(c)[0] < 1.1,
    "step backward": lambda c: -1.1 < travel(c)[0] < -0.2,
    "step once": lambda c: sum(swings(c, side) for side in SIDES) == 2,
    "step twice": lambda c: sum(swings(c, side) for side in SIDES) == 3,
    "march": marches,
    "high knees": lambda c: both(lambda side: bool(knee_up(c, side).any())),
    "sneaking": lambda c: low_going(c) < 0.87,
    "tired": lambda c: stoop(c) > 0.16,
    "cheerful": lambda c: both(lambda side: swing_range(c, side) > 0.5),
    "stiff": lambda c: both(lambda side: swing_range(c, side) < 0.16),
    "small steps": lambda c: stride(c) < 0.42,
    "big steps": lambda c: stride(c) > 0.6,
    "turn a little": lambda c: 0.4 < abs(turned(c)) < 1.15,
    "turn quarter": lambda c: 1.1 < abs(turned(c)) < 2.1,
    "turn half": lambda c: 2.4 < abs(turned(c)) < 4.0,
    "turn full": lambda c: abs(turned(c)) > 5.2,
    "stand": stands,
    "squat": lambda c: dip(c, "pelvis") > 0.12,
    "squat low": lambda c: dip(c, "pelvis") > 0.3,
    "squat slight": lambda c: 0.12 < dip(c, "pelvis") < 0.32,
    "hold squat": lambda c: bool((pelvis(c) < pelvis(c)[0] - 0.8 * dip(c, "pelvis")).sum() > 1.2 * c.fps),
    "kick high": lambda c: max(rise(c, f"{side}_ankle") for side in SIDES) > 0.28,
    "kick low": lambda c: max(rise(c, f"{side}_ankle") for side in SIDES) < 0.29,
    "hold raise knee": lambda c: either(lambda side: knee_up(c, side).sum() > 0.9 * c.fps),
    "bow": lambda c: lean(c) > 0.12,
    "bow deep": lambda c: dip(c, "head") > 0.2,
    "bow slight": lambda c: dip(c, "head") < 0.22,
    "jump": hops,
    "jump forward": lambda c: hops(c) and travel(c)[0] > 0.1,
    "clap": lambda c: claps(c) >= 1,
    "hands on hips": hands_on_hips,
    "nod": lambda c: nods(c) >= 1,
    "shake head": shakes,
    "look around": lambda c: bool(head_turn(c)[1].max() > 0.4 and head_turn(c)[1].min() < -0.4),
    "raise both arms": lambda c: both(lambda side: rise(c, f"{side}_hand") > 0.35),
}
"""Facts without a side."""

SIDED: dict[str, Callable[[Clip, str], bool]] = {
    "curve": lambda c, side: goes(c, side, 0.25),
    "circle": lambda c, side: goes(c, side, 4.0),
    "side step": steps_aside,
    "turn": lambda c, side: goes(c, side, 0.4),
    "kick": kicks,
    "raise knee": lambda c, side: bool(knee_up(c, side).any()) and not knee_up(c, other(side)).any(),
    "lunge": lunges,
    "lean": leans,
    "punch": reaches,
    "reach": reaches,
    "wave": waves,
    "raise arm": raises,
    "point": points,
    "salute": salutes,
    "look": looks,
}
"""Facts of a side: "wave left"; without the side, of either."""

ARMS: dict[str, Callable[[Clip, str], bool]] = {
    "ahead": arm_ahead,
    "in front": arm_ahead,
    "to the side": arm_aside,
    "overhead": arm_up,
    "up": arm_up,
}
"""Where a raised arm is: "arm overhead", "arms to the side"."""

COUNTS: dict[str, Callable[[Clip], int]] = {
    "side step": most(swings),
    "squat": squatted,
    "kick": most(kicked),
    "bow": bowed,
    "punch": most(punched),
    "jump": flights,
    "wave": most(beats),
    "clap": claps,
    "nod": nods,
}
"""What can be counted: "jump twice"."""
NUMBERS = {"once": 1, "twice": 2, "three times": 3, "four times": 4, "five times": 5}


def _hand(name: str, axis: int) -> Callable[[Clip], np.ndarray]:
    """The larger of both sides' coordinates of a joint."""
    return lambda c: np.max([np.abs(seen(c).at(f"{side}_{name}")[:, axis]) for side in SIDES], axis=0)


def _head(axis: int) -> Callable[[Clip], np.ndarray]:
    return lambda c: np.abs(seen(c).at("head")[:, axis] - seen(c).at("head")[0, axis])


RISES: dict[str, tuple[Callable[[Clip], np.ndarray], float, float]] = {
    "squat": (lambda c: -pelvis(c), 0.6, 0.42),
    "bow": (_head(0), 0.6, 0.45),
    "lean": (_head(1), 0.62, 0.45),
    "raise knee": (_hand("knee", 2), 0.48, 0.32),
    "lunge": (lambda c: -pelvis(c), 1.0, 0.75),
    "reach": (_hand("hand", 0), 0.52, 0.37),
    "point": (_hand("hand", 2), 0.35, 0.25),
    "salute": (_hand("hand", 2), 0.37, 0.28),
    "raise arm": (_hand("hand", 2), 0.5, 0.42),
    "raise arms": (_hand("hand", 2), 0.5, 0.42),
    "hands on hips": (_hand("elbow", 1), 0.53, 0.37),
    "look": (lambda c: np.abs(head_turn(c)[1]), 0.47, 0.35),
    "look around": (lambda c: np.abs(head_turn(c)[1]), 0.55, 0.42),
    "nod": (lambda c: head_turn(c)[0], 0.4, 0.29),
}
"""How fast a movement is: what rises in it, and the seconds of rising over which it is slow, under which quick."""


def waving_half_s(clip: Clip) -> float:
    """Half a period of the hand that waves, seconds."""
    return min(half_period_s(clip, forearm(clip, side), 0.06) for side in SIDES)


def yaw_rate(clip: Clip) -> float:
    """Mean speed of turning between a tenth and nine tenths of the turn, rad/s."""
    yaw = np.unwrap(heading(clip.rotations[:, 0]))
    seconds = first_rise_s(clip, yaw * np.sign(yaw[-1] - yaw[0]))
    return 0.8 * abs(yaw[-1] - yaw[0]) / max(seconds, 1 / clip.fps)


PACED: dict[str, tuple[Callable[[Clip], float], float, float]] = {
    "wave": (waving_half_s, 0.38, 0.3),
    "clap": (lambda c: half_period_s(c, np.minimum(hands_apart(c), 0.4), 0.08), 0.38, 0.31),
    "shake head": (lambda c: half_period_s(c, head_turn(c)[1], 0.3), 0.53, 0.39),
    "turn": (lambda c: 1 / max(yaw_rate(c), 1e-3), 1.3, 0.95),
}
"""How fast what repeats is: seconds that grow with slowness, over which it is slow, under which quick."""
SIDE_NAME = re.compile(r"^(.*) (left|right)$")
SPEED_NAME = re.compile(r"^(.*) (slowly|quickly)$")
ARM_NAME = re.compile(r"^(arms?) (.*)$")
COUNT_NAME = re.compile(rf"^(.*) ({'|'.join(NUMBERS)})$")


@cache
def fact(name: str) -> Fact:
    """The fact of a name, which may join others by " and " and ", then ". MotionError for a name that is none."""
    if ", then " in name:
        stages = [fact(stage) for stage in name.split(", then ")]
        return Fact(name, lambda clip: in_order(clip, [stage.passes for stage in stages]))
    if " and " in name:
        parts = [fact(part) for part in name.split(" and ")]
        return Fact(name, lambda clip: all(part.passes(clip) for part in parts))
    passes = _plain(name)
    if passes is None:
        raise MotionError(f"fact '{name}' is unknown")
    return Fact(name, passes)


def _plain(name: str) -> Callable[[Clip], bool] | None:
    if name in PLAIN:
        return PLAIN[name]
    if name in SIDED:
        return lambda clip: either(lambda side: SIDED[name](clip, side))
    if (match := SIDE_NAME.match(name)) and match[1] in SIDED:
        check, side = SIDED[match[1]], match[2]
        return lambda clip: check(clip, side)
    if (match := ARM_NAME.match(name)) and match[2] in ARMS:
        check, some = ARMS[match[2]], both if match[1] == "arms" else either
        return lambda clip: some(lambda side: check(clip, side))
    if (match := COUNT_NAME.match(name)) and match[1] in COUNTS:
        count, wanted = COUNTS[match[1]], NUMBERS[match[2]]
        return lambda clip: count(clip) == wanted
    if (match := SPEED_NAME.match(name)) and match[1] in RISES | PACED:
        if match[1] in PACED:
            seconds, slow, quick = PACED[match[1]]
        else:
            signal, slow, quick = RISES[match[1]]
            seconds = lambda clip: first_rise_s(clip, signal(clip))  # noqa: E731
        if match[2] == "slowly":
            return lambda clip: slow < seconds(clip) < float("inf")
        return lambda clip: seconds(clip) < quick
    return None


def holds(clip: Clip, names: tuple[str, ...]) -> bool:
    """Whether all facts of these names hold of a clip."""
    return all(fact(name).passes(clip) for name in names)


def in_order(clip: Clip, stages: list[Callable[[Clip], bool]]) -> bool:
    """Whether there are times that cut a clip so that each stage holds of its piece and no neighbours are swapped."""
    first, *rest = stages
    if not rest:
        return first(clip)
    stride = max(round(SPLITS_S * clip.fps), 1)
    for frame in range(2 * stride, clip.num_frames - stride, stride):
        before, after = clip.slice(0, frame), clip.slice(frame, clip.num_frames)
        if first(before) and in_order(after, rest) and not (first(after) and rest[0](before)):
            return True
    return False
