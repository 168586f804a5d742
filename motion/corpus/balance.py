"""From a plan to a clip whose balance is right: feet and load are planned, the centre of mass follows from physics.

The cart-table model (Kajita et al. 2003, "Biped walking pattern generation by using preview control of zero-moment
point"): with the zero-moment point p under the loaded foot and the centre of mass c at height h,
(g + h'') (c - p) = h c''. Here p is known over the whole clip, so the equation is one banded linear system per axis
instead of a preview controller. It gives the sway over the stance foot, the lean into a start and a stop, and in the
flight of a jump, where g + h'' is zero, a straight line. The pelvis is then moved until the body's centre of mass is
where the model wants it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_banded
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from ..fitting.leg_clearance import LegPaths, make_room
from ..fitting.leg_ik import (
    ANKLES,
    BALL,
    HIPS,
    LEG_JOINTS,
    LEG_LENGTHS,
    TOES,
    FootTrack,
    Legs,
    ankle_poses,
    leg_rotations,
    solve_legs,
)
from ..rotations import quat_from_heading, quat_from_rotvec, quat_mul, quat_rotate
from ..skeleton import DEFAULT_SKELETON, forward_kinematics

GRAVITY = 9.81
FPS = 30.0
COM_HEIGHT = 0.95
"""Height of the centre of mass while standing, metres, for the cart-table model."""
REACH = 0.988
"""Share of its stretched length that a leg uses at most; knees stay a little bent."""

ROUNDS, CORRECTED = 6, (2, 4)
"""Passes of fitting the pelvis to the centre of mass, and those before which the model is corrected for what swinging
limbs do to the zero-moment point (the second stage of Kajita's generator)."""
ON_GROUND = 1e-6
"""Lift of the sole, metres, under which a foot stands."""
MAX_SHIFT = 0.10
"""Largest such correction, metres."""

MASSES = {
    "pelvis": 7.0, "hip": 9.0, "knee": 3.1, "ankle": 0.8, "foot": 0.2, "spine1": 7.0, "spine2": 6.5, "spine3": 8.0,
    "neck": 1.0, "head": 4.4, "collar": 1.5, "shoulder": 1.9, "elbow": 1.1, "wrist": 0.3, "hand": 0.15,
}  # fmt: skip
"""Segment masses, kg, of the default body (`sim.table`, after de Leva 1996)."""
CENTRES = {
    "pelvis": (-0.01, 0.0, -0.03), "spine1": (0.0, 0.0, 0.03), "spine2": (0.0, 0.0, 0.03), "spine3": (0.0, 0.0, 0.08),
    "head": (0.01, 0.0, 0.075), "ankle": (0.03, 0.0, -0.05), "foot": (0.055, 0.0, -0.005),
}  # fmt: skip
"""Centre of mass of segments that are no plain link to a child, in the joint's frame, metres."""


def _segments() -> tuple[np.ndarray, np.ndarray]:
    skeleton = DEFAULT_SKELETON
    masses, centres = [], []
    for j, name in enumerate(skeleton.names):
        base = name.split("_")[-1]
        masses.append(MASSES[base])
        link = 0.5 * skeleton.offsets[skeleton.children[j][0]] if skeleton.children[j] else np.zeros(3)
        centres.append(CENTRES.get(base, tuple(link)))
    return np.array(masses), np.array(centres)


SEGMENT_MASSES, SEGMENT_CENTRES = _segments()
MASS_SHARES = SEGMENT_MASSES / SEGMENT_MASSES.sum()


@dataclass(frozen=True)
class Plan:
    """What an action decides; times and frames at `FPS`.

    feet: both feet; cop: (T, 2) wanted zero-moment point on the ground, metres; heading: (T,) of the pelvis;
    tilt: (T, 3) rotation vector of the pelvis in its heading frame; crouch: (T,) metres the pelvis goes below what the
    legs allow; upper: local rotations (T, 4) by joint name above the pelvis; rise: (T,) height of the centre of mass
    over standing, given only by jumps, where it replaces the legs' reach; jumps: first frame, first frame after, of
    each segment that `rise` rules, none for the whole clip. A stretch begins and ends standing.
    """

    feet: FootTrack
    cop: np.ndarray
    heading: np.ndarray
    tilt: np.ndarray
    crouch: np.ndarray
    upper: dict[str, np.ndarray]
    rise: np.ndarray | None = None
    jumps: tuple[tuple[int, int], ...] = ()


def trunk_centres(rotations: np.ndarray) -> np.ndarray:
    """(T, 24, 3) centres of mass of the segments with the root at the origin; local rotations (T, 24, 4)."""
    positions, turned = forward_kinematics(DEFAULT_SKELETON, np.zeros((len(rotations), 3)), rotations)
    return positions + quat_rotate(turned, np.broadcast_to(SEGMENT_CENTRES, positions.shape))


def segment_centres(trunk: np.ndarray, root_pos: np.ndarray, legs: Legs) -> np.ndarray:
    """(T, 24, 3) world centres of mass: what hangs on the pelvis (`trunk_centres`) moves with it, legs as solved."""
    segments = trunk + root_pos[:, None]
    foot = np.stack([SEGMENT_CENTRES[ANKLES], BALL + SEGMENT_CENTRES[TOES]])
    ankle, toe = (quat_rotate(legs.foot_rot, np.broadcast_to(local, legs.ankles.shape)) for local in foot)
    pairs = (0.5 * (legs.hips + legs.knees), 0.5 * (legs.knees + legs.ankles), legs.ankles + ankle, legs.ankles + toe)
    segments[:, LEG_JOINTS] = np.concatenate(pairs, axis=1)
    return segments


def centre_of_mass(segments: np.ndarray) -> np.ndarray:
    """(T, 3) of the whole body from its segments' centres (T, 24, 3)."""
    return np.einsum("j,tjc->tc", MASS_SHARES, segments)


def zero_moment(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zero-moment point (T, 2) of moving point masses at the segments' centres (T, 24, 3), and their vertical
    acceleration plus gravity (T,), m/s2: the model's answer with the swing of arms and legs in it."""
    pull = np.zeros_like(segments)
    pull[1:-1] = np.diff(segments, 2, axis=0) * FPS**2
    pull[..., 2] += GRAVITY
    weight = np.einsum("j,tj->t", MASS_SHARES, pull[..., 2])
    lever = segments[..., :2] * pull[..., 2:] - segments[..., 2:] * pull[..., :2]
    return np.einsum("j,tjc->tc", MASS_SHARES, lever) / np.clip(weight, 1.0, None)[:, None], weight


def cart_table(cop: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Horizontal path (T, 2) of the centre of mass that keeps the zero-moment point at `cop` (T, 2).

    height: (T,) of the centre of mass, metres. Both ends rest on the zero-moment point.
    """
    frames = len(cop)
    lift = np.zeros(frames)
    lift[1:-1] = np.diff(height, 2) * FPS**2
    weight = np.clip(GRAVITY + lift, 0.0, None)
    side = height * FPS**2
    bands = np.zeros((3, frames))
    bands[1] = weight + 2 * side
    bands[0, 2:], bands[2, :-2] = -side[1:-1], -side[1:-1]
    bands[1, [0, -1]] = 1.0
    right = weight[:, None] * cop
    right[[0, -1]] = cop[[0, -1]]
    return solve_banded((1, 1), bands, right)


def _hip_offsets(root_rot: np.ndarray) -> np.ndarray:
    """(T, 2, 3) hips relative to the root in world axes; root_rot (T, 4)."""
    root = np.repeat(root_rot[:, None], 2, axis=1)
    return quat_rotate(root, np.broadcast_to(DEFAULT_SKELETON.offsets[HIPS], (len(root_rot), 2, 3)))


def _reach_height(root_xy: np.ndarray, hips: np.ndarray, ankles: np.ndarray) -> np.ndarray:
    """(T,) highest pelvis from which both ankles can be reached, smoothed without rising above it by much."""
    flat = ankles[..., :2] - root_xy[:, None] - hips[..., :2]
    leg = REACH * LEG_LENGTHS
    drop = np.sqrt(np.clip(leg**2 - np.sum(flat**2, axis=-1), 0.05, None))
    highest = (ankles[..., 2] + drop - hips[..., 2]).min(axis=1)
    return gaussian_filter1d(minimum_filter1d(highest, 5, mode="nearest"), 1.7, mode="nearest")


def solve_plan(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Root positions (T, 3) and local rotations (T, 24, 4) of a plan, balanced over its zero-moment point."""
    frames = len(plan.cop)
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    rotations[:, 0] = quat_mul(quat_from_heading(plan.heading), quat_from_rotvec(plan.tilt))
    for name, turn in plan.upper.items():
        rotations[:, DEFAULT_SKELETON.index(name)] = turn
    ankles, foot_rot = ankle_poses(plan.feet)
    height = COM_HEIGHT - plan.crouch + (0.0 if plan.rise is None else plan.rise)
    target = cart_table(plan.cop, height)
    root = np.concatenate([target, np.full((frames, 1), COM_HEIGHT)], axis=1)
    trunk, hips = trunk_centres(rotations), _hip_offsets(rotations[:, 0])
    standing = _reach_height(root[:, :2], hips, ankles)[0]
    lifted = np.zeros(frames)
    for turn in range(ROUNDS):
        if plan.rise is None or plan.jumps:
            root[:, 2] = _reach_height(root[:, :2], hips, ankles) - plan.crouch + lifted
        segments = segment_centres(trunk, root, solve_legs(root, rotations[:, 0], ankles, foot_rot, plan.feet.toe))
        if turn in CORRECTED:
            target = target + cart_table(_missing_moment(plan.cop, segments), height)
        centre = centre_of_mass(segments)
        root[:, :2] += target - centre[:, :2]
        if plan.jumps:
            more = _still_to_lift(plan, centre[:, 2])
            lifted += more
            root[:, 2] += more
        elif plan.rise is not None:
            root[:, 2] += standing + centre[0, 2] - root[0, 2] + plan.rise - centre[:, 2]
    legs = _apart(plan, root, rotations[:, 0], ankles, foot_rot)
    rotations[:, LEG_JOINTS] = leg_rotations(legs, rotations[:, 0])
    return root, rotations


TAKE_OVER_S = 0.2
"""Seconds of standing at either end of a jump in which its height takes over from what the legs reach."""


def _still_to_lift(plan: Plan, centre_z: np.ndarray) -> np.ndarray:
    """(T,) metres that the pelvis is from where the jumps want it; centre_z: (T,) height of the centre of mass.

    A jump counts its height from the centre of mass as it stands in the jump's first frame and, towards its end, as it
    stands in the last: arms may hang otherwise.
    """
    assert plan.rise is not None
    missing = np.zeros(len(centre_z))
    for first, stop in plan.jumps:
        u = np.linspace(0.0, 1.0, stop - first)
        ground = centre_z[first] + (centre_z[stop - 1] - centre_z[first]) * u
        time = np.arange(stop - first) / FPS
        share = np.clip(np.minimum(time, time[::-1]) / TAKE_OVER_S, 0.0, 1.0)
        missing[first:stop] = share**2 * (3 - 2 * share) * (ground + plan.rise[first:stop] - centre_z[first:stop])
    return missing


def _apart(plan: Plan, root: np.ndarray, root_rot: np.ndarray, ankles: np.ndarray, foot_rot: np.ndarray) -> Legs:
    """The legs as planned, but a swinging foot led around the other leg where they would meet. root: (T, 3); root_rot:
    (T, 4); ankles: (T, 2, 3); foot_rot: (T, 2, 4)."""
    legs = solve_legs(root, root_rot, ankles, foot_rot, plan.feet.toe)
    ball = legs.ankles + quat_rotate(foot_rot, np.broadcast_to(BALL, ankles.shape))
    planted = plan.feet.ground[..., 2] < ON_GROUND
    moves = make_room(LegPaths(legs.hips, legs.knees, legs.ankles, ball, planted), FPS)
    return solve_legs(root, root_rot, ankles + moves, foot_rot, plan.feet.toe) if moves.any() else legs


def _missing_moment(cop: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """(T, 2) how far the body's zero-moment point is from where it should be, as input to another cart-table; nothing
    in flight, where there is no such point, and no more than a hand's breadth."""
    actual, weight = zero_moment(segments)
    missing = np.where((weight > 0.3 * GRAVITY)[:, None], cop - actual, 0.0)
    missing[[0, -1]] = 0.0
    return gaussian_filter1d(np.clip(missing, -MAX_SHIFT, MAX_SHIFT), 1.0, axis=0, mode="nearest")
