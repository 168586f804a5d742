"""What is measured: a motion as points over time, in one of two variants that are never mixed.

`surface`: a clip on a body's skeleton; the points are the body's capsule ends and box corners, so the lowest surface
is min(z - radius). `joints`: positions alone (a JointTrack, or a clip on another skeleton); the points are the joints.
A joint lies inside the flesh, so what counts as ground contact for it starts at its `clearance`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack
from morphloop.motion.rotations import quat_to_matrix
from morphloop.sim.bodies.body import Body
from morphloop.sim.bodies.built_in import default_body
from morphloop.sim.bodies.support import SurfacePoints

from .signals import between_frames, on_grid, resample_linear, smooth_and_grid, velocity

Variant = Literal["surface", "joints"]
GROUNDS = ("as-is", "lowest", "robust")
ROBUST_PERCENTILE = 5.0
"""Percentile of the lowest point's height that `robust` takes for the ground: one bad frame in twenty may dig in."""
NEAR_LOWEST = 0.020
"""Metres; a point that in no frame is this near to the lowest one is not asked for between frames."""

MANY, KEPT_M = 500, 0.25
"""Surface points over which those that stay high are left out, and how near the others come to the ground, metres."""
BLOCK = 512
"""Frames at a time where an intermediate result has a figure for every point."""

ANKLES, TOES = ("left_ankle", "right_ankle"), ("left_foot", "right_foot")
TOE_CLEARANCE = 0.030
ANKLE_CLEARANCE = 0.080
"""Most height of a toe and an ankle joint that counts as zero for contact, metres: where they stand over the soles of
the default body, 25 and 74 to 80 mm. Where the clip's own toes stand lower, as where the lowest joint was put on the
floor, both count from as much lower. On the training clips of the frozen splits, whose surface tells the truth, they
find contact as well as any from 15 to 40 and from 60 to 85 mm (`docs/lab/contact.md` has the test clips), both where
soles stand on the ground and where, as generators have it, the lowest joint does."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points over time.

    names: (J,) joint names; positions: (T, J, 3) joints, metres; matrices: (T, J, 3, 3) world rotations, None in the
    joints variant; joint: (P,) the joint that carries each point; local: (P, 3) in its frame; radius: (P,);
    foot: (P,) 0 left, 1 right, -1 neither; clearance: (P,) height of a point that touches the ground, 0 on a surface;
    standing: (J,) height of ankles and toe joints over the soles of a standing foot, metres, NaN for every other joint
    and where soles are unknown;
    masses: (J,) kg and coms: (J, 3), how the centre of mass follows, None where the joints have unknown names.
    """

    variant: Variant
    fps: float
    names: tuple[str, ...]
    positions: np.ndarray
    matrices: np.ndarray | None
    joint: np.ndarray
    local: np.ndarray
    radius: np.ndarray
    foot: np.ndarray
    clearance: np.ndarray
    standing: np.ndarray
    com: np.ndarray | None

    @property
    def num_frames(self) -> int:
        return len(self.positions)

    @cached_property
    def heights(self) -> np.ndarray:
        """(T, P) height of each point's lowest surface over z = 0, metres."""
        if self.matrices is None:
            return self.positions[:, self.joint, 2] - self.radius
        z = np.empty((self.num_frames, len(self.joint)))
        for joint, own in self._by_joint(np.arange(len(self.joint))):
            z[:, own] = self.positions[:, joint, 2, None] - self.radius[own]
            z[:, own] += np.einsum("ti,pi->tp", self.matrices[:, joint, 2], self.local[own])
        return z

    @cached_property
    def rest_height(self) -> np.ndarray:
        """(P,) height of each point when it rests on the ground, metres: its clearance, less for feet what the clip's
        own toes stand lower (the median over frames of the lower toe joint, no lower than the ground)."""
        toes = [j for j, name in enumerate(self.names) if name in TOES]
        if not self.clearance.any() or not toes:
            return self.clearance
        stands = float(np.median(self.positions[:, toes, 2].min(axis=1)))
        return self.clearance - (self.foot >= 0) * (TOE_CLEARANCE - np.clip(stands, 0.0, TOE_CLEARANCE))

    @cached_property
    def lowest(self) -> np.ndarray:
        """(T,) h(t): height of the lowest point, metres."""
        return self.heights.min(axis=1)

    @cached_property
    def clear(self) -> np.ndarray:
        """(T,) height of the lowest point over the ground, each less its rest height, metres; h(t) on a surface."""
        return (self.heights - self.rest_height).min(axis=1) if self.clearance.any() else self.lowest

    @cached_property
    def smooth_and_grid(self) -> tuple[np.ndarray, np.ndarray]:
        """(T, J, 3) and (T', J, 3) joints after the 6 Hz low-pass, at their own rate and on the 30 Hz grid, metres."""
        return smooth_and_grid(self.positions, self.fps)

    @cached_property
    def grid_matrices(self) -> np.ndarray | None:
        """(T', J, 3, 3) world rotations after the 6 Hz low-pass on the 30 Hz grid, no rotations any more; None in the
        joints variant."""
        return None if self.matrices is None else on_grid(self.matrices, self.fps)

    @cached_property
    def dense_lowest(self) -> np.ndarray:
        """(T',) h(t) between the frames too, at `dense_fps`, metres."""
        return lowest_between(self.heights, self.fps)

    @cached_property
    def dense_clear(self) -> np.ndarray:
        """(T',) `clear` between the frames too, at `dense_fps`, metres."""
        return lowest_between(self.heights - self.rest_height, self.fps) if self.clearance.any() else self.dense_lowest

    @property
    def dense_fps(self) -> float:
        """Rate of what is looked at between the frames, 120 Hz or more."""
        return self.fps * max(1, len(self.dense_lowest) - 1) / max(1, self.num_frames - 1)

    def track(self, points: np.ndarray) -> np.ndarray:
        """(T, K, 3) centres of the points with these (K,) indices."""
        joints = self.joint[points]
        centres = self.positions[:, joints]
        if self.matrices is not None:
            centres = centres + np.einsum("tpij,pj->tpi", self.matrices[:, joints], self.local[points])
        return centres

    def grid_track(self, points: np.ndarray) -> np.ndarray:
        """(T', K, 3) `track` after the 6 Hz low-pass on the 30 Hz grid.

        The low-pass is linear, so that of a point fixed in a segment is the point in the low-passed frame: a filter for
        each of a body's segments, and none for each of the thousands of points that meshes have.
        """
        centres = self.smooth_and_grid[1][:, self.joint[points]]
        if self.grid_matrices is not None:
            for joint, own in self._by_joint(points):
                centres[:, own] += np.einsum("tij,pj->tpi", self.grid_matrices[:, joint], self.local[points[own]])
        return centres

    def grid_motion(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the centres of points (K,) after the low-pass on the 30 Hz grid: heights (T', K), metres, and horizontal
        velocity (2, T', K), m/s, 0 for a single frame; see `grid_track`."""
        centres = self.smooth_and_grid[1]
        joint, flow = self.joint[points], np.zeros((2, len(centres), len(points)))
        heights = centres[:, joint, 2]
        if self.grid_matrices is not None:
            for own_joint, own in self._by_joint(points):
                heights[:, own] += self.grid_matrices[:, own_joint, 2] @ self.local[points[own]].T
        if len(centres) < 2:
            return heights, flow
        speeds = velocity(centres)
        turns = None if self.grid_matrices is None else velocity(self.grid_matrices)
        for axis in (0, 1):
            flow[axis] = speeds[:, joint, axis]
            if turns is not None:
                for own_joint, own in self._by_joint(points):
                    flow[axis][:, own] += turns[:, own_joint, axis] @ self.local[points[own]].T
        return heights, flow

    def _by_joint(self, points: np.ndarray) -> Iterator[tuple[int, np.ndarray | slice]]:
        """Every joint that carries some of these points (K,), with which of them it does."""
        joints = self.joint[points]
        for joint in np.unique(joints):
            own = np.flatnonzero(joints == joint)
            first, end = int(own[0]), int(own[-1]) + 1
            yield int(joint), slice(first, end) if end - first == len(own) else own

    def at(self, fps: float) -> Points:
        """Linearly resampled, for legacy metrics whose definition assumes a frame rate."""
        turned = None if self.matrices is None else resample_linear(self.matrices, self.fps, fps)
        com = None if self.com is None else resample_linear(self.com, self.fps, fps)
        positions = resample_linear(self.positions, self.fps, fps)
        return replace(self, fps=fps, positions=positions, matrices=turned, com=com)

    def lowered(self, height: float) -> Points:
        """The motion moved down by `height` metres."""
        shift = np.array([0.0, 0.0, height])
        com = None if self.com is None else self.com - shift
        return replace(self, positions=self.positions - shift, com=com)

    def joints(self, *names: str) -> list[int] | None:
        """Indices of these joints, or None if one of them is missing."""
        return [self.names.index(name) for name in names] if set(names) <= set(self.names) else None


def lowest_between(heights: np.ndarray, fps: float) -> np.ndarray:
    """(T',) height of the lowest of points (T, P) at frames and between them; see `between_frames`."""
    lowest = heights.min(axis=1, keepdims=True)
    blocks = (slice(start, start + BLOCK) for start in range(0, len(heights), BLOCK))
    low = np.min([(heights[own] - lowest[own]).min(axis=0) for own in blocks], axis=0) < NEAR_LOWEST
    return between_frames(heights[:, low], fps).min(axis=1)


def surface_points(clip: Clip, body: Body) -> Points:
    """A clip on the body's skeleton as the points of the body's surface."""
    body.check(clip)
    positions, matrices = clip.positions, quat_to_matrix(clip.global_rotations)
    share = body.joint_masses / body.joint_masses.sum()
    com = np.einsum("j,tji->ti", share, positions)
    com += np.einsum("tjik,jk->ti", matrices, share[:, None] * body.joint_coms)
    surface = body.surface
    kept = near_ground(surface, positions, matrices) if len(surface.joint) > MANY else np.arange(len(surface.joint))
    return Points(
        variant="surface",
        fps=clip.fps,
        names=clip.skeleton.names,
        positions=positions,
        matrices=matrices,
        joint=surface.joint[kept],
        local=surface.local[kept],
        radius=surface.radius[kept],
        foot=surface.foot[kept],
        clearance=np.zeros(len(kept)),
        standing=_standing_feet(body),
        com=com,
    )


def near_ground(surface: SurfacePoints, positions: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """(K,) indices of the points of all segments that ever come within `KEPT_M` of the ground, wherever it is put, or
    of the lowest point of that frame: no metric looks at those of the others.

    positions: (T, J, 3) joints, metres; matrices: (T, J, 3, 3) their world rotations. A segment's lowest point is over
    the bottom of its box, and under its points' mean.
    """
    bottoms, means = {}, []
    for joint in np.unique(surface.joint):
        own = surface.joint == joint
        local, height = surface.local[own], positions[:, joint, 2]
        low, high = local.min(axis=0), local.max(axis=0)
        up = matrices[:, joint, 2]
        reach = np.abs(up) @ (0.5 * (high - low)) + surface.radius[own].max()
        bottoms[joint] = height + up @ (0.5 * (low + high)) - reach
        means.append(height + up @ local.mean(axis=0))
    lowest = np.min(means, axis=0)
    ground = np.maximum(lowest, max(0.0, float(np.percentile(lowest, ROBUST_PERCENTILE))))
    near = [joint for joint, bottom in bottoms.items() if (bottom < ground + KEPT_M).any()]
    return np.flatnonzero(np.isin(surface.joint, near))


def _standing_feet(body: Body) -> np.ndarray:
    """(J,) height of the body's ankles and toe joints over the lowest point of their foot as the body is built, metres;
    NaN for other joints, and for the feet of a body that has no toes."""
    names, rest, surface = body.skeleton.names, body.skeleton.rest_positions, body.surface
    standing = np.full(len(names), np.nan)
    for side, pair in enumerate(zip(ANKLES, TOES, strict=True)):
        if set(pair) <= set(names):
            joints, own = [names.index(name) for name in pair], surface.foot == side
            lowest = (rest[surface.joint[own], 2] + surface.local[own, 2] - surface.radius[own]).min()
            standing[joints] = rest[joints, 2] - lowest
    return standing


def joint_points(motion: Clip | JointTrack, body: Body) -> Points:
    """Positions alone as points. Feet, clearance and masses are known where the joints have the body's names."""
    names = motion.names if isinstance(motion, JointTrack) else motion.skeleton.names
    count = len(names)
    foot, clearance = np.full(count, -1), np.zeros(count)
    for j, name in enumerate(names):
        side, _, part = name.partition("_")
        if part in ("ankle", "foot") and side in ("left", "right"):
            foot[j] = ("left", "right").index(side)
            clearance[j] = ANKLE_CLEARANCE if part == "ankle" else TOE_CLEARANCE
        elif name in body.skeleton.names:
            own = body.surface.joint == body.skeleton.index(name)
            radius, stands = body.surface.radius[own], body.surface.foot[own]
            clearance[j] = radius.max(initial=0.0)
            if (stands >= 0).any():  # the foot of a robot, by its own name
                foot[j], clearance[j] = stands.max(), (radius - body.surface.local[own, 2]).max()
    return Points(
        variant="joints",
        fps=motion.fps,
        names=names,
        positions=motion.positions,
        matrices=None,
        joint=np.arange(count),
        local=np.zeros((count, 3)),
        radius=np.zeros(count),
        foot=foot,
        clearance=clearance,
        standing=np.full(count, np.nan),
        com=_com_from_joints(names, motion.positions, body),
    )


def _com_from_joints(names: tuple[str, ...], positions: np.ndarray, body: Body) -> np.ndarray | None:
    """(T, 3) centre of mass: each segment's at its rest share along the bone to its first child.

    A segment whose joint is missing (HumanML3D has no hands) goes to its parent. None if any other joint is missing.
    """
    skeleton = body.skeleton
    known = {name: names.index(name) for name in skeleton.names if name in names}
    weight = np.zeros(len(names))
    for j, name in enumerate(skeleton.names):
        if name not in known and skeleton.children[j]:
            return None
        own = known.get(name, known.get(skeleton.names[skeleton.parents[j]]))
        child = known.get(skeleton.names[skeleton.children[j][0]]) if skeleton.children[j] else None
        if own is None:
            return None
        along = 0.0
        if child is not None and name in known:
            offset = skeleton.offsets[skeleton.children[j][0]]
            if offset.any():  # a robot's next link may turn at the same place
                along = float(np.clip(body.joint_coms[j] @ offset / (offset @ offset), 0.0, 1.0))
            weight[child] += along * body.joint_masses[j]
        weight[own] += (1.0 - along) * body.joint_masses[j]
    return np.einsum("j,tji->ti", weight / weight.sum(), positions)


def motion_points(motion: Clip | JointTrack, body: Body | None = None) -> Points:
    """The surface variant for a clip on the body's skeleton, the joints variant for everything else."""
    body = body or default_body()
    if isinstance(motion, Clip) and motion.skeleton == body.skeleton:
        return surface_points(motion, body)
    return joint_points(motion, body)


def ground_offset(points: Points, ground: str) -> float:
    """What a choice of ground subtracts from heights, metres; for `as-is` what `robust` would."""
    if ground not in GROUNDS:
        raise MotionError(f"ground '{ground}' is unknown, expected {', '.join(GROUNDS)}")
    if ground == "lowest":
        return float(points.dense_lowest.min())
    return float(np.percentile(points.dense_lowest, ROBUST_PERCENTILE))
