"""Clean motion made in code, the zero of the defect bench: known feet, known flight, at any frame rate.

Each motion is a function of time alone, sampled finely and then thinned: the clips at 20, 30, 60 and 120 fps are the
same motion and not each other's interpolations. Planted feet stand exactly still (two-bone inverse kinematics of
`motion.leg_ik` puts them there), soles touch z = 0, and the flight of the jump is a parabola. `walk` is the corpus's
gait from heel to toe, whose soles are stiff boxes that tip: its feet are as honest as a walk's on this body can be,
and are not exactly still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from morphloop.motion import DEFAULT_SKELETON, Clip
from morphloop.motion.corpus.gait import LEFT, Step, ease, load_share, sample_feet, walk_steps
from morphloop.motion.fitting.leg_ik import LEG_JOINTS, SOLE_HEIGHT, FootTrack, ankle_poses, leg_rotations, solve_legs
from morphloop.motion.rotations import quat_from_rotvec, quat_mul

SOURCE_HZ = 480.0
"""Rate of the finely sampled motion; 20, 30, 60 and 120 divide it."""
SECONDS = 5.0
WIDTH = 0.18
"""Between the feet, metres."""
CROUCH = 0.07
"""How far the pelvis stands under its height on straight legs, metres, so that a stride is in reach."""
GRAVITY = 9.81
TAKE_OFF, TAKE_OFF_S = 2.0, 2.0
"""Upward speed at the start of the jump's flight, m/s, and when that is, seconds. It lasts 0.41 s and rises 0.20 m."""
FLIGHT_S = 2.0 * TAKE_OFF / GRAVITY
BEND = 0.20
"""How far the jump bends before the flight and after it, metres."""


def clean_motion(name: str, fps: float = SOURCE_HZ) -> Clip:
    """One of `CLEAN_MOTIONS` at a rate that divides `SOURCE_HZ`. KeyError for an unknown name."""
    times = np.arange(round(SECONDS * SOURCE_HZ) + 1) / SOURCE_HZ
    return thinned(CLEAN_MOTIONS[name](times), fps)


def thinned(clip: Clip, fps: float) -> Clip:
    """Every k-th frame of a clip, bytes unchanged. ValueError unless `fps` divides the clip's rate."""
    stride = round(clip.fps / fps)
    if stride < 1 or abs(stride * fps - clip.fps) > 1e-9 * clip.fps:
        raise ValueError(f"{fps:g} fps does not divide the clip's {clip.fps:g}")
    return replace(clip, fps=fps, root_pos=clip.root_pos[::stride], rotations=clip.rotations[::stride])


def stand(times: np.ndarray) -> Clip:
    """Both feet planted throughout; the weight shifts, the knees bend, the arms swing."""
    feet = sample_feet(times, [(0.0, 0.5 * WIDTH, 0.1), (0.0, -0.5 * WIDTH, -0.1)], [])
    pelvis = np.stack([_wave(0.015, 0.3, times), _wave(0.035, 0.25, times), 0.02 * np.cos(np.pi * times)], axis=1)
    return _clip("stand", times, feet, pelvis)


def step(times: np.ndarray) -> Clip:
    """Steps with flat soles, forward and to the side: every foot is planted or swings, and nothing tips."""
    places = [(0.0, 0.5 * WIDTH, 0.0), (0.0, -0.5 * WIDTH, 0.0)]
    steps: list[Step] = []
    for k in range(5):
        foot = (LEFT + k) % 2
        x, y, yaw = places[foot]
        places[foot] = (x + (0.18 if k in (0, 4) else 0.36), y + 0.04 * (k > 1), yaw)
        steps.append(Step(foot, 0.5 + 0.8 * k, 1.0 + 0.8 * k, places[foot], height=0.10, off=0.0))
    return _gait("step", times, [(0.0, 0.5 * WIDTH, 0.0), (0.0, -0.5 * WIDTH, 0.0)], steps)


def walk(times: np.ndarray) -> Clip:
    """The corpus's walk at 0.9 m/s, heel strike to toe-off."""
    start, steps = walk_steps(0.9, 0.0, WIDTH, 0.4, SECONDS - 0.5, LEFT)
    return _gait("walk", times, start, steps)


def jump(times: np.ndarray) -> Clip:
    """Bend, push off, fly a parabola with the pose held, land, rise; soles flat."""
    flight = np.clip(times - TAKE_OFF_S, 0.0, FLIGHT_S)
    height = TAKE_OFF * flight - 0.5 * GRAVITY * flight**2
    feet = sample_feet(times, [(0.0, 0.5 * WIDTH, 0.0), (0.0, -0.5 * WIDTH, 0.0)], [])
    lifted = feet.ground + height[:, None, None] * [0.0, 0.0, 1.0]
    bend = _bend(TAKE_OFF_S - times) + _bend(times - TAKE_OFF_S - FLIGHT_S)
    pelvis = np.stack([0 * times, 0 * times, height - bend], axis=1)
    return _clip("jump", times, replace(feet, ground=lifted), pelvis, swing=0.0)


CLEAN_MOTIONS: dict[str, Callable[[np.ndarray], Clip]] = {"stand": stand, "step": step, "walk": walk, "jump": jump}
"""By name; each takes the times (T,) of a `SOURCE_HZ` clip, seconds."""


def _bend(before: np.ndarray) -> np.ndarray:
    """(T,) depth of the bend, metres, `before` (T,) seconds from the flight: a push of constant force to `TAKE_OFF`,
    a tenth of a second held, and the way down from standing; 0 in the flight."""
    push = 2.0 * BEND / TAKE_OFF
    pushed = BEND - 0.5 * TAKE_OFF / push * np.clip(push - before, 0.0, push) ** 2
    return np.where(before > 0, pushed - BEND * ease(before, push + 0.1, push + 0.8), 0.0)


def _wave(size: float, hertz: float, times: np.ndarray) -> np.ndarray:
    return size * np.sin(2.0 * np.pi * hertz * times)


def _gait(name: str, times: np.ndarray, start: Sequence[tuple[float, float, float]], steps: Sequence[Step]) -> Clip:
    """A gait whose pelvis stays between the feet and sways half-way to the one that carries the load."""
    feet = sample_feet(times, start, steps)
    pelvis = feet.ground.mean(axis=1) * [1.0, 1.0, 0.0]
    pelvis[:, 1] += 0.5 * WIDTH * (load_share(times, steps) - 0.5)
    return _clip(name, times, feet, pelvis)


def _clip(name: str, times: np.ndarray, feet: FootTrack, pelvis: np.ndarray, swing: float = 0.35) -> Clip:
    """The body over these feet. pelvis: (T, 3) from its height `CROUCH` under straight legs, metres; swing: radians
    of the arms."""
    root = pelvis - [0.0, 0.0, SOLE_HEIGHT + CROUCH]
    rotations = np.zeros((len(times), DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    ankles, foot_rot = ankle_poses(feet)
    legs = solve_legs(root, rotations[:, 0], ankles, foot_rot, feet.toe)
    rotations[:, LEG_JOINTS] = leg_rotations(legs, rotations[:, 0])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        down = quat_from_rotvec(np.tile([-1.25 * sign, 0.0, 0.0], (len(times), 1)))
        angle = sign * _wave(swing, 0.6, times)
        ahead = quat_from_rotvec(np.stack([0 * angle, angle, 0 * angle], axis=1))
        rotations[:, DEFAULT_SKELETON.index(f"{side}_shoulder")] = quat_mul(ahead, down)
    return Clip(fps=SOURCE_HZ, skeleton=DEFAULT_SKELETON, root_pos=root, rotations=rotations, name=name)
