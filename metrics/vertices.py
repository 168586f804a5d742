"""Motion measured on the mesh of a SMPL model file, and the rules that SMPLSim measures meshes by.

The lowest vertex is found among all of them: heights without the pose's corrections are one matrix product, and only
those vertices whose correction could make them the lowest are posed in full. Contact and slide see the extremes of each
segment near the ground (`SmplBody.support`); they are a mean over points, which need not be thousands. Clips are posed
in blocks, so memory grows with the points that are kept and not with the mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from morphloop.motion import Clip
from morphloop.sim.bodies.smpl_body import SmplBody

from .points import Points, lowest_between, surface_points
from .signals import on_grid, resample_linear, velocity

BLOCK = 256
"""Frames that are posed at a time."""
KEPT_M = 0.25
"""A vertex is followed through a clip if it ever comes this near to the ground, or to the lowest one of that frame;
contact looks at segments within 0.1 m."""

SMPLSIM_HZ = 30.0
"""Frames a second of the motions that SMPLSim evaluates; its code has no frame rate."""
SMPLSIM_FLOOR = 0.0
"""Height under which a vertex counts, metres: `floor_z` in SMPLSim's smpl_eval.py, without tolerance."""

Values = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class VertexPoints(Points):
    """Vertices of a mesh over time, in place of points on rigid segments.

    vertices: (T, P, 3) world positions, single precision; deepest: (T,) height of the lowest vertex of the whole mesh;
    body, clip: what was posed; ground: metres that have been taken off its heights.
    """

    vertices: np.ndarray
    deepest: np.ndarray
    body: SmplBody
    clip: Clip
    ground: float = 0.0

    @cached_property
    def heights(self) -> np.ndarray:
        """(T, P) height of each vertex over z = 0, metres."""
        return self.vertices[..., 2].astype(float)

    @cached_property
    def lowest(self) -> np.ndarray:
        """(T,) h(t): height of the lowest vertex of the mesh, metres."""
        return self.deepest

    @cached_property
    def clear(self) -> np.ndarray:
        """(T,) the same: a surface has no clearance."""
        return self.deepest

    @cached_property
    def dense_lowest(self) -> np.ndarray:
        """(T',) h(t) between the frames too: that of the vertices that are followed, less what the mesh's lowest lies
        under them at the frames."""
        dense = lowest_between(self.heights, self.fps)
        over = self.heights.min(axis=1) - self.deepest
        return dense - np.interp(np.linspace(0, self.num_frames - 1, len(dense)), np.arange(self.num_frames), over)

    def track(self, points: np.ndarray) -> np.ndarray:
        """(T, K, 3) the vertices with these (K,) indices."""
        return self.vertices[:, points].astype(float)

    def grid_track(self, points: np.ndarray) -> np.ndarray:
        """(T', K, 3) the same after the low-pass on the 30 Hz grid: skin follows no one segment."""
        return on_grid(self.track(points), self.fps)

    def grid_motion(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As for points on rigid segments."""
        centres = self.grid_track(points)
        flow = velocity(centres) if len(centres) > 1 else np.zeros(centres.shape)
        return centres[..., 2], np.moveaxis(flow[..., :2], -1, 0)

    def at(self, fps: float) -> VertexPoints:
        """Linearly resampled."""
        base = super().at(fps)
        assert isinstance(base, VertexPoints)
        vertices = resample_linear(self.vertices, self.fps, fps)
        return replace(base, vertices=vertices, deepest=resample_linear(self.deepest, self.fps, fps))

    def lowered(self, height: float) -> VertexPoints:
        """The motion moved down by `height` metres."""
        base = super().lowered(height)
        assert isinstance(base, VertexPoints)
        vertices = self.vertices - np.array([0.0, 0.0, height], np.float32)
        return replace(base, vertices=vertices, deepest=self.deepest - height, ground=self.ground + height)


def vertex_points(clip: Clip, body: SmplBody) -> VertexPoints:
    """A clip on the body's skeleton as vertices of its mesh."""
    rigid, support = surface_points(clip, body), body.support
    deepest, near = [], np.zeros(len(support), bool)
    for part in _blocks(clip):
        rough = body.rough_heights(part)
        lowest = _lowest(part, body, rough)
        floor = np.maximum(lowest, 0.0)[:, None] + KEPT_M
        near |= (rough[:, support] - body.reach[support] < floor).any(axis=0)
        deepest.append(lowest)
    kept = np.flatnonzero(near)
    return VertexPoints(
        variant="surface",
        fps=clip.fps,
        names=rigid.names,
        positions=rigid.positions,
        matrices=rigid.matrices,
        joint=rigid.joint[kept],
        local=rigid.local[kept],
        radius=rigid.radius[kept],
        foot=rigid.foot[kept],
        clearance=rigid.clearance[kept],
        standing=rigid.standing,
        com=rigid.com,
        vertices=np.concatenate([body.vertices(part, support[kept]) for part in _blocks(clip)]),
        deepest=np.concatenate(deepest),
        body=body,
        clip=clip,
    )


def _blocks(clip: Clip, overlap: int = 0) -> Iterator[Clip]:
    """The clip in segments of at most `BLOCK` frames and the `overlap` frames after them."""
    for start in range(0, clip.num_frames, BLOCK):
        yield clip.slice(start, start + BLOCK + overlap)


def _lowest(clip: Clip, body: SmplBody, rough: np.ndarray) -> np.ndarray:
    """(T,) height of the lowest vertex, metres, from the heights (T, V) of all before the pose's corrections."""
    surely = (rough + body.reach).min(axis=1)[:, None]
    candidates = np.flatnonzero((rough - body.reach <= surely).any(axis=0))
    return body.heights(clip, candidates).min(axis=1).astype(float)


def smplsim(points: Points) -> Values:
    """`smplsim_penetration_mm` and `smplsim_skate_mm` as in SMPLSim's smpl_eval.py (Luo et al., github.com/ZhengyiLuo/
    SMPLSim; the same rules as in UHC and PHC), at 30 fps, over every vertex of the mesh.

    penetration = mean over frames of the mean depth of the vertices under the floor, 0 in a frame that has none;
    skate = mean over steps of the mean horizontal displacement of the vertices that are under the floor or on it at
    both of its ends, 0 where there are none, mm a step of 1/30 s. None for points that are no mesh, for a mean over
    vertices means something else on them; skate is None for a single frame.
    """
    if not isinstance(points, VertexPoints):
        return {"smplsim_penetration_mm": None, "smplsim_skate_mm": None}
    clip, body, floor = points.clip.resampled(SMPLSIM_HZ), points.body, points.ground + SMPLSIM_FLOOR
    depths, steps = [], []
    for part in _blocks(clip, overlap=1):
        under = np.flatnonzero((body.rough_heights(part) - body.reach <= floor).any(axis=0))
        vertices = body.vertices(part, under)
        heights = vertices[..., 2] - floor
        depth, skate = mean_depth(heights), mean_skate(vertices[..., :2], heights <= 0.0)
        depths.append(depth[:BLOCK])
        steps.append(skate)
    skates = np.concatenate(steps)
    return {
        "smplsim_penetration_mm": float(1e3 * np.concatenate(depths).mean()),
        "smplsim_skate_mm": float(1e3 * skates.mean()) if len(skates) else None,
    }


def mean_depth(heights: np.ndarray) -> np.ndarray:
    """(T,) mean depth of the vertices that are under the floor, 0 where none is. heights: (T, N) over it, metres."""
    under = heights < 0.0
    return np.where(under, -heights, 0.0).sum(axis=1) / np.maximum(under.sum(axis=1), 1)


def mean_skate(places: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(T - 1,) mean horizontal displacement, metres, of the vertices that are down at both ends of a step, 0 where none
    is. places: (T, N, 2) metres; down: (T, N) bool."""
    both = down[:-1] & down[1:]
    moved = np.linalg.norm(np.diff(places, axis=0), axis=-1)
    return (both * moved).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
