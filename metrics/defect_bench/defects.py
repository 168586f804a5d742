"""Defects of known size, injected into clean motion: what a metric ought to read is known before it is asked.

Every defect is a function of time in seconds. Inject into the finely sampled clips of `clean_motion` and thin them
afterwards, and the defect is the same at every frame rate. `DEFECTS` lists them with the sizes that the bench tries;
`inject` also says what each implies for the metrics whose reading follows from its size alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.corpus.gait import ease
from morphloop.motion.rotations import quat_from_heading, quat_mul, quat_slerp

from ..contact import SLIDE_FAST
from ..legacy import GMD_SPEED, PHYSDIFF_HZ, PHYSDIFF_TOLERANCE
from ..plausibility import AIRBORNE_M, DEEP_M, FREE_FALL_ERROR, GRAVITY
from .clean_motion import FLIGHT_S, TAKE_OFF, TAKE_OFF_S

JITTER_BAND = (7.0, 9.5)
"""Hz; above the 6 Hz low-pass and under half of the lowest frame rate, so that all four rates can carry it."""
JITTER_WAVES = 24
HOVER_SHARE, HOVER_RAMP_S = (0.3, 0.7), 0.4
"""Where in the clip a hover begins and ends, and how long its rise and its fall take: slow enough not to be mistaken
for free fall up to 100 mm."""
OVER_M, OVER_SWAY_M, OVER_SWAY_HZ = 0.015, 0.004, 0.7
"""A body that skates over the ground: mean height, half of what it rises and falls, and how often."""
BOB_HZ = 4.0
TOUCH_M, TOUCH_EVERY_S, TOUCH_S = 0.040, 1.0 / 6.0, 1.0 / 15.0
"""A body that floats and touches now and then: its height, how often it comes down (every fifth frame of 30 a second),
and for how long it is away from that height, a frame to either side."""
FLIP_S, FLIP_EVERY_S = 0.1, 1.0
WARP_MARGIN_S = 0.02
"""How far a time-warp reaches over the jump's flight at both ends, seconds."""

Expected = dict[str, float]
MM = 1e3


@dataclass(frozen=True)
class Injected:
    """What was put in. size: in `unit`; metric: the one of ours that answers for it; expected: the reading by metric
    name, for those whose reading follows from the size and the clean clip's heights."""

    name: str
    size: float
    unit: str
    metric: str
    expected: Expected = field(default_factory=dict)


@dataclass(frozen=True)
class Defect:
    """One defect of the bench. motions: names in `clean_motion.CLEAN_MOTIONS`; sizes: in `unit`; inject: (clip, size,
    seed) to the spoiled clip; expected: (spoiled clip, size, resting) to readings, see `inject`; metric: the one of
    ours that answers for it; gated: whether that metric must read the size, and does not merely move."""

    name: str
    unit: str
    motions: tuple[str, ...]
    sizes: tuple[float, ...]
    inject: Callable[[Clip, float, int], Clip]
    expected: Callable[[Clip, float, np.ndarray], Expected]
    metric: str
    gated: bool = False


def inject(
    name: str, clip: Clip, size: float, seed: int = 0, resting: np.ndarray | None = None
) -> tuple[Clip, Injected]:
    """The clip with the named defect of `DEFECTS` in it, and what that implies. KeyError for an unknown name.

    resting: (T,) height of the lowest point of the clean clip, metres, where it is not always 0, as for joints.
    """
    defect = DEFECTS[name]
    spoiled = defect.inject(clip, size, seed)
    resting = np.zeros(clip.num_frames) if resting is None else resting
    return spoiled, Injected(name, size, defect.unit, defect.metric, defect.expected(spoiled, size, resting))


def seconds(clip: Clip) -> np.ndarray:
    """(T,) time of each frame."""
    return np.arange(clip.num_frames) / clip.fps


def slide(clip: Clip, speed: float, direction: float = 0.5) -> Clip:
    """The whole body drifts at `speed` m/s towards `direction` radians, so that every planted foot slides with it."""
    way = np.array([np.cos(direction), np.sin(direction), 0.0])
    return replace(clip, root_pos=clip.root_pos + speed * seconds(clip)[:, None] * way)


def slide_for_a_while(clip: Clip, speed: float, direction: float = 0.5) -> Clip:
    """As `slide`, in the middle of the clip alone: the speed rises and falls as the height of `hover` does."""
    way = np.array([np.cos(direction), np.sin(direction), 0.0])
    speeds = hover_height(clip, speed)
    moved = np.concatenate([[0.0], np.cumsum(0.5 * (speeds[1:] + speeds[:-1])) / clip.fps])
    return replace(clip, root_pos=clip.root_pos + moved[:, None] * way)


def lift(clip: Clip, height: float) -> Clip:
    """The whole clip raised by `height` metres; lowered, and so sunk into the ground, where it is negative."""
    return clip.moved(np.array([0.0, 0.0, height]))


def hover(clip: Clip, height: float) -> Clip:
    """Raised by `height` metres (lowered where negative) for the middle of the clip, with a smooth way up and down."""
    return replace(clip, root_pos=clip.root_pos + hover_height(clip, height)[:, None] * [0.0, 0.0, 1.0])


def hover_height(clip: Clip, height: float) -> np.ndarray:
    """(T,) metres by which `hover` raises each frame."""
    times = seconds(clip)
    start, stop = (share * clip.duration for share in HOVER_SHARE)
    return height * (ease(times, start, start + HOVER_RAMP_S) - ease(times, stop - HOVER_RAMP_S, stop))


def skate_over(clip: Clip, speed: float) -> Clip:
    """As `slide`, 11 to 19 mm over the ground, so that nothing is in contact."""
    sway = OVER_M + OVER_SWAY_M * np.sin(2.0 * np.pi * OVER_SWAY_HZ * seconds(clip))
    return _raised_by(slide(clip, speed), sway)


def skate_bobbing(clip: Clip, speed: float, rise: float = 0.020) -> Clip:
    """As `slide`, bobbing between the ground and `rise` metres at 4 Hz, so that no contact lasts."""
    return _raised_by(slide(clip, speed), 0.5 * rise * (1.0 - np.cos(2.0 * np.pi * BOB_HZ * seconds(clip))))


def skate_touching(clip: Clip, speed: float) -> Clip:
    """As `slide`, floating at 40 mm and touching the ground for a moment six times a second, so that no flight is long
    enough to be judged."""
    since = np.abs((seconds(clip) + 0.5 * TOUCH_EVERY_S) % TOUCH_EVERY_S - 0.5 * TOUCH_EVERY_S)
    return _raised_by(slide(clip, speed), TOUCH_M * np.clip(since / (0.5 * TOUCH_S), 0.0, 1.0))


def _raised_by(clip: Clip, heights: np.ndarray) -> Clip:
    """Raised by heights (T,), metres."""
    return replace(clip, root_pos=clip.root_pos + heights[:, None] * [0.0, 0.0, 1.0])


def jitter(clip: Clip, rms: float, seed: int, band: tuple[float, float] = JITTER_BAND) -> Clip:
    """The body shakes as a whole in all three directions, by `rms` metres over time, in `band` Hz."""
    rng = np.random.default_rng(seed)
    hertz, phase = rng.uniform(*band, JITTER_WAVES), rng.uniform(0.0, 2.0 * np.pi, (3, JITTER_WAVES))
    shake = np.cos(2.0 * np.pi * hertz * seconds(clip)[:, None, None] + phase).sum(axis=-1)
    shake *= rms / np.sqrt((shake**2).sum(axis=-1).mean())
    return replace(clip, root_pos=clip.root_pos + shake)


def foot_flip(clip: Clip, angle: float, joint: str = "left_ankle") -> Clip:
    """The ankle turns by `angle` radians about the shin's rest axis for a tenth of a second, once a second."""
    rotations, turn = clip.rotations.copy(), quat_from_heading(np.array(angle))
    j = clip.skeleton.index(joint)
    for start in np.arange(FLIP_EVERY_S, clip.duration, FLIP_EVERY_S):
        frames = slice(round(start * clip.fps), round((start + FLIP_S) * clip.fps))
        rotations[frames, j] = quat_mul(rotations[frames, j], np.broadcast_to(turn, rotations[frames, j].shape))
    return replace(clip, rotations=rotations)


def time_warp(clip: Clip, factor: float, start: float, stop: float) -> Clip:
    """The clip played `factor` times as fast between `start` and `stop` seconds; where the body goes is unchanged."""
    source = seconds(clip)
    speed = np.where((source[:-1] >= start) & (source[:-1] < stop), factor, 1.0)
    played = np.concatenate([[0.0], np.cumsum(1.0 / (speed * clip.fps))])
    frames = int(played[-1] * clip.fps + 1e-6) + 1
    at = np.interp(np.arange(frames) / clip.fps, played, np.arange(clip.num_frames))
    low = np.minimum(at.astype(int), clip.num_frames - 2)
    weight = at - low
    root = clip.root_pos[low] + weight[:, None] * (clip.root_pos[low + 1] - clip.root_pos[low])
    turn = np.repeat(weight[:, None], clip.skeleton.num_joints, axis=1)
    return replace(clip, root_pos=root, rotations=quat_slerp(clip.rotations[low], clip.rotations[low + 1], turn))


def _slid(_clip: Clip, speed: float, _resting: np.ndarray) -> Expected:
    skate = speed / PHYSDIFF_HZ
    return {
        "slide_mean_mm_s": speed,
        "slide_ratio": float(speed > MM * SLIDE_FAST),
        "physdiff_skate_mm": skate,
        "physdiff_phys_err_mm": skate,
        "gmd_skating_ratio": float(speed > MM * GMD_SPEED),
    }


def _skated(_clip: Clip, speed: float, _resting: np.ndarray) -> Expected:
    return {"skim_mm_s": speed}


def _slid_in_part(clip: Clip, speed: float, _resting: np.ndarray) -> Expected:
    """Where both feet stand throughout: every frame counts, with the speed that it has."""
    speeds = hover_height(clip, speed)
    skate = float(speeds.mean() / PHYSDIFF_HZ)
    return {
        "slide_mean_mm_s": float(speeds.mean()),
        "slide_ratio": float((speeds > MM * SLIDE_FAST).mean()),
        "physdiff_skate_mm": skate,
        "physdiff_phys_err_mm": skate,
        "gmd_skating_ratio": float((speeds > MM * GMD_SPEED).mean()),
    }


def _heights(h: np.ndarray) -> Expected:
    """What follows from the height (T,) of the lowest point at `SOURCE_HZ`, metres."""
    over, under = (float(MM * np.maximum(0.0, side - PHYSDIFF_TOLERANCE).mean()) for side in (h, -h))
    return {
        "float_mean_mm": float(MM * np.maximum(0.0, h).mean()),
        "penetration_mean_mm": float(MM * np.maximum(0.0, -h).mean()),
        "penetration_max_mm": float(MM * np.maximum(0.0, -h).max()),
        "penetration_ratio": float((h < -DEEP_M).mean()),
        "physdiff_float_mm": over,
        "physdiff_penetrate_mm": under,
    }


def _raised(_clip: Clip, height: float, resting: np.ndarray) -> Expected:
    return _heights(resting + height / MM)


def _sunk(_clip: Clip, depth: float, resting: np.ndarray) -> Expected:
    return _heights(resting - depth / MM)


def _hovered(clip: Clip, height: float, resting: np.ndarray) -> Expected:
    raised = hover_height(clip, height / MM)
    return _heights(resting + raised) | {"unsupported_ratio": float((raised > AIRBORNE_M).mean())}


def _sunk_in_part(clip: Clip, depth: float, resting: np.ndarray) -> Expected:
    return _heights(resting - hover_height(clip, depth / MM))


def _shaken(_clip: Clip, rms: float, _resting: np.ndarray) -> Expected:
    return {"jitter_rms_mm": rms}


def _flipped(_clip: Clip, _angle: float, _resting: np.ndarray) -> Expected:
    return {}


def _warped(clip: Clip, factor: float, _resting: np.ndarray) -> Expected:
    """In the flight gravity appears times the square of the speed; a judge of free fall calls that unsupported."""
    airborne = 2.0 * np.sqrt((TAKE_OFF / GRAVITY_SIZE) ** 2 - 2.0 * AIRBORNE_M / GRAVITY_SIZE) / factor
    seen = abs(factor**2 - 1.0) * GRAVITY_SIZE > FREE_FALL_ERROR
    return {"unsupported_ratio": seen * airborne / clip.duration, "slide_mean_mm_s": 0.0}


GRAVITY_SIZE = float(np.linalg.norm(GRAVITY))


def _warp_flight(clip: Clip, factor: float, _seed: int) -> Clip:
    return time_warp(clip, factor, TAKE_OFF_S - WARP_MARGIN_S, TAKE_OFF_S + FLIGHT_S + WARP_MARGIN_S)


ON_FEET = ("stand", "step", "walk")
STILL_FEET = ("stand", "step")
"""Motions whose planted feet are exactly still; the walk's soles tip from heel to toe, so its slide is not gated."""


def _listed(defects: Sequence[Defect]) -> dict[str, Defect]:
    return {defect.name: defect for defect in defects}


DEFECTS = _listed(
    (
        Defect(
            "slide",
            "mm/s",
            ON_FEET,
            (20.0, 100.0, 300.0, 700.0),
            lambda clip, size, _: slide(clip, size / MM),
            _slid,
            "slide_mean_mm_s",
            gated=True,
        ),
        Defect(
            "slide for a while",
            "mm/s",
            ("stand",),
            (100.0, 700.0),
            lambda clip, size, _: slide_for_a_while(clip, size / MM),
            _slid_in_part,
            "slide_mean_mm_s",
            gated=True,
        ),
        *(
            Defect(
                f"skate {how}",
                "mm/s",
                STILL_FEET,
                (1000.0,),
                lambda clip, size, _, inject=inject: inject(clip, size / MM),
                _skated,
                "skim_mm_s",
                gated=True,
            )
            for how, inject in (
                ("over the ground", skate_over),
                ("bobbing", skate_bobbing),
                ("touching now and then", skate_touching),
            )
        ),
        Defect(
            "float",
            "mm",
            ON_FEET,
            (3.0, 15.0, 60.0),
            lambda clip, size, _: lift(clip, size / MM),
            _raised,
            "float_mean_mm",
            gated=True,
        ),
        Defect(
            "penetration",
            "mm",
            ON_FEET,
            (3.0, 15.0, 60.0),
            lambda clip, size, _: lift(clip, -size / MM),
            _sunk,
            "penetration_mean_mm",
            gated=True,
        ),
        Defect(
            "sink for a while",
            "mm",
            ON_FEET,
            (15.0, 60.0),
            lambda clip, size, _: hover(clip, -size / MM),
            _sunk_in_part,
            "penetration_mean_mm",
            gated=True,
        ),
        Defect(
            "hover for a while",
            "mm",
            ON_FEET,
            (30.0, 100.0),
            lambda clip, size, _: hover(clip, size / MM),
            _hovered,
            "unsupported_ratio",
        ),
        Defect(
            "jitter",
            "mm rms",
            ON_FEET,
            (1.0, 4.0),
            lambda clip, size, seed: jitter(clip, size / MM, seed),
            _shaken,
            "jitter_rms_mm",
        ),
        Defect(
            "foot flip",
            "degrees",
            ON_FEET,
            (30.0, 120.0),
            lambda clip, size, _: foot_flip(clip, np.radians(size)),
            _flipped,
            "joint_speed_max_rad_s",
        ),
        Defect("time-warp of a flight", "x speed", ("jump",), (0.5, 1.5), _warp_flight, _warped, "unsupported_ratio"),
    )
)
"""By name, in the order that the bench prints."""
