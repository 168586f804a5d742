"""How deep parts of the body stand in each other.

Depth is that of the body's geoms: the shortest way to pull two of them apart. Capsules and spheres have it in closed
form, the sum of radii less the distance of their axes (Ericson 2005, "Real-Time Collision Detection", section 5.1.9);
every other shape is enclosed in a capsule, and only where those overlap is MuJoCo asked (`mj_geomDistance`).
Neighbours in the tree overlap by construction, and some geoms do at rest; such pairs say nothing and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import mujoco
import numpy as np

from morphloop.motion.rotations import quat_to_matrix
from morphloop.sim.bodies.body import Body

from .clip_context import Context
from .dynamics import built_pose
from .signals import GRID_HZ, between_frames, resample_linear

CHUNK = 2048
"""Poses at a time: every pair of geoms takes 24 bytes a pose."""
FAR_M = 1.0
"""Metres up to which MuJoCo tells how far apart two geoms are."""
SLACK_M = 1e-5
"""Metres by which what MuJoCo finds may be off: ten times its tolerance."""

CAPSULE, SPHERE = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_SPHERE
Values = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class GeomPairs:
    """A body's G geoms as capsules, and the P pairs of them that may not meet.

    ids: (G,) index in the model; joint: (G,); in the joint's frame, metres: origin: (G, 3) and turn: (G, 3, 3) the
    geom's frame, centre: (G, 3) and half: (G, 3) centre and half axis of the capsule; radius: (G,); exact: (G,) bool,
    the geom is that capsule, else it lies inside; first, second: (P,) indices of geoms.
    """

    ids: np.ndarray
    joint: np.ndarray
    origin: np.ndarray
    turn: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    radius: np.ndarray
    exact: np.ndarray
    first: np.ndarray
    second: np.ndarray


def self_penetration(seen: Context) -> Values:
    """`self_penetration_max_mm`: largest depth over the 30 Hz grid, unfiltered, and over pairs; 0 where no two geoms
    meet. None in the joints variant and for a body of which no two geoms can be looked at."""
    points, pairs = seen.points, geom_pairs(seen.body)
    if points.matrices is None or not len(pairs.first):
        return {"self_penetration_max_mm": None}
    positions, matrices = _on_grid(points.positions, points.fps), _on_grid(points.matrices, points.fps)
    depth = 0.0
    for start in range(0, len(positions), CHUNK):
        poses = slice(start, start + CHUNK)
        depth = float(deepest(seen.body.model, pairs, positions[poses], matrices[poses], depth).max(initial=depth))
    return {"self_penetration_max_mm": 1e3 * depth}


def _on_grid(x: np.ndarray, fps: float) -> np.ndarray:
    """The unfiltered motion on the 30 Hz grid: frames of the clip where they fall on it, else a cubic between them.
    (T, ...) to (T', ...)."""
    if len(x) < 3 or round(fps / GRID_HZ) * GRID_HZ == fps:
        return resample_linear(x, fps, GRID_HZ)
    dense = between_frames(x.reshape(len(x), -1), fps)
    fine = (len(dense) - 1) // (len(x) - 1)
    return resample_linear(dense, fine * fps, GRID_HZ).reshape(-1, *x.shape[1:])


def deepest(
    model: mujoco.MjModel,
    pairs: GeomPairs,
    positions: np.ndarray,
    matrices: np.ndarray,
    least: float | None = None,
) -> np.ndarray:
    """(P,) largest depth of every pair over time, metres, 0 where it never meets.

    positions: (T, J, 3) joints, metres; matrices: (T, J, 3, 3) their world rotations; least: metres, where only the
    deepest of all pairs is asked for, and only if it is over this: others may be told less deep than they are.
    """
    centres = positions[:, pairs.joint] + np.einsum("tgij,gj->tgi", matrices[:, pairs.joint], pairs.centre)
    halves = np.einsum("tgij,gj->tgi", matrices[:, pairs.joint], pairs.half)
    reach = np.linalg.norm(pairs.half, axis=1) + pairs.radius
    apart = centres[:, pairs.first] - centres[:, pairs.second]
    limit = (reach[pairs.first] + reach[pairs.second]) ** 2
    frame, pair = np.nonzero(np.einsum("tpi,tpi->tp", apart, apart) < limit)
    a, b = pairs.first[pair], pairs.second[pair]
    depth = pairs.radius[a] + pairs.radius[b] - axis_distance(apart[frame, pair], halves[frame, a], halves[frame, b])
    meets = depth > 0
    frame, pair, depth = frame[meets], pair[meets], depth[meets]
    exact = (pairs.exact[pairs.first] & pairs.exact[pairs.second])[pair]
    found = np.zeros(len(pairs.first))
    np.maximum.at(found, pair[exact], depth[exact])
    if least is not None:
        least = max(least, float(found.max(initial=0.0)))
    _ask_mujoco(model, pairs, (frame[~exact], pair[~exact], depth[~exact]), positions, matrices, found, least)
    return found


def axis_distance(apart: np.ndarray, half_a: np.ndarray, half_b: np.ndarray) -> np.ndarray:
    """(N,) distance of two segments, metres. apart: (N, 3) centre of a less that of b; half_a, half_b: (N, 3)."""
    aa, bb, ab = (np.einsum("ni,ni->n", x, y) for x, y in ((half_a, half_a), (half_b, half_b), (half_a, half_b)))
    ad, bd = np.einsum("ni,ni->n", half_a, apart), np.einsum("ni,ni->n", half_b, apart)
    aa, bb = np.maximum(aa, 1e-12), np.maximum(bb, 1e-12)
    square = aa * bb - ab * ab
    s = np.where(square > 1e-9 * aa * bb, (ab * bd - bb * ad) / np.maximum(square, 1e-24), 0.0)
    t = np.clip((ab * np.clip(s, -1.0, 1.0) + bd) / bb, -1.0, 1.0)
    s = np.clip((ab * t - ad) / aa, -1.0, 1.0)
    return np.linalg.norm(apart + s[:, None] * half_a - t[:, None] * half_b, axis=1)


def _ask_mujoco(
    model: mujoco.MjModel,
    pairs: GeomPairs,
    bounds: tuple[np.ndarray, np.ndarray, np.ndarray],
    positions: np.ndarray,
    matrices: np.ndarray,
    found: np.ndarray,
    least: float | None,
) -> None:
    """Raise `found` (P,) to the true depths where the enclosing capsules meet, deepest bound first; `least` as for
    `deepest`. bounds: frame, pair and depth (N,) of those capsules.

    What MuJoCo says of one frame bounds the pair's other ones too: two convex shapes are no deeper in each other than
    by how far one has moved against the other since (conservative advancement, Mirtich 1996, "Impulse-based Dynamic
    Simulation of Rigid Body Systems", chapter 2). A bound that is no deeper than what is found cannot change it.
    """
    if not len(bounds[0]):
        return
    data, fromto = mujoco.MjData(model), np.zeros(6)
    order = np.lexsort((-bounds[2], bounds[1]))
    frames, pair, deep = (bound[order] for bound in bounds)
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    for start, end in sorted(zip(starts, [*starts[1:], len(pair)], strict=True), key=lambda run: -deep[run[0]]):
        p = int(pair[start])
        a, b = int(pairs.first[p]), int(pairs.second[p])
        frame, bound = frames[start:end], deep[start:end]
        place, turn = _relative(pairs, a, b, positions[frame], matrices[frame])
        reach = float(np.linalg.norm(pairs.half[b]) + pairs.radius[b])
        while len(bound):
            best = found[p] if least is None else max(least, found[p])
            left = bound > best
            if not left.all():
                frame, bound, place, turn = frame[left], bound[left], place[left], turn[left]
            if not len(bound):
                break
            k = int(bound.argmax())
            for g in (a, b):
                joint = pairs.joint[g]
                data.geom_xpos[pairs.ids[g]] = positions[frame[k], joint] + matrices[frame[k], joint] @ pairs.origin[g]
                data.geom_xmat[pairs.ids[g]] = (matrices[frame[k], joint] @ pairs.turn[g]).ravel()
            depth = -mujoco.mj_geomDistance(model, data, int(pairs.ids[a]), int(pairs.ids[b]), FAR_M, fromto)
            found[p] = max(found[p], depth)
            moved = np.linalg.norm(place - place[k], axis=1) + reach * np.linalg.norm(turn - turn[k], axis=(1, 2))
            bound = np.minimum(bound, depth + moved + SLACK_M)
            bound[k] = -np.inf
        if least is not None:
            least = max(least, found[p])


def _relative(
    pairs: GeomPairs, a: int, b: int, positions: np.ndarray, matrices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) centre of geom b in the frame of geom a's joint, metres, and (N, 3, 3) how b's joint is turned there. The
    turn's norm is at least that of what it does to a unit vector."""
    one, other = pairs.joint[a], pairs.joint[b]
    back = matrices[:, one].transpose(0, 2, 1)
    centre = positions[:, other] + matrices[:, other] @ pairs.centre[b]
    return np.einsum("nij,nj->ni", back, centre - positions[:, one]), back @ matrices[:, other]


@lru_cache(maxsize=4)
def geom_pairs(body: Body) -> GeomPairs:
    """The pairs of a body that self-penetration looks at: neither on one joint nor on neighbours, apart as built, and
    not excluded in the body's own description."""
    model = body.model
    owner = {int(b): j for j, b in enumerate(body.body_ids)}
    ids = np.array([g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in owner and _collides(model, g)], int)
    joint = np.array([owner[int(b)] for b in model.geom_bodyid[ids]], int)
    turn = quat_to_matrix(model.geom_quat[ids])
    origin = model.geom_pos[ids] + (body.joint_coms - model.body_ipos[body.body_ids])[joint]
    shapes = [_capsule(model, int(g)) for g in ids]
    centre, half = (np.array([shape[k] for shape in shapes]).reshape(-1, 3) for k in (0, 1))
    first, second = _strangers(body, ids, joint)
    pairs = GeomPairs(
        ids=ids,
        joint=joint,
        origin=origin,
        turn=turn,
        centre=origin + np.einsum("gij,gj->gi", turn, centre),
        half=np.einsum("gij,gj->gi", turn, half),
        radius=np.array([shape[2] for shape in shapes]),
        exact=np.isin(model.geom_type[ids], (CAPSULE, SPHERE)),
        first=first,
        second=second,
    )
    positions, matrices = built_pose(body)
    apart = deepest(model, pairs, positions[None], matrices[None]) == 0
    return replace(pairs, first=first[apart], second=second[apart])


def _strangers(body: Body, ids: np.ndarray, joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (P,) the pairs of geoms (G,) whose joints (G,) are neither one nor neighbours."""
    parents, owner = np.array(body.skeleton.parents), body.model.geom_bodyid[ids]
    first, second = np.triu_indices(len(ids), k=1)
    a, b = joint[first], joint[second]
    low, high = np.minimum(owner[first], owner[second]), np.maximum(owner[first], owner[second])
    excluded = np.isin((low << 16) + high, body.model.exclude_signature)
    free = (a != b) & (parents[a] != b) & (parents[b] != a) & ~excluded
    return first[free], second[free]


def _collides(model: mujoco.MjModel, geom: int) -> bool:
    """A geom that touches nothing is there to be looked at."""
    return bool(model.geom_contype[geom] or model.geom_conaffinity[geom])


def _capsule(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre (3,), half axis (3,) and radius, in the geom's frame, of the capsule that a geom is or that holds it."""
    size = model.geom_size[geom]
    if model.geom_type[geom] == SPHERE:
        return np.zeros(3), np.zeros(3), float(size[0])
    if model.geom_type[geom] == CAPSULE:
        return np.zeros(3), np.array([0.0, 0.0, size[1]]), float(size[0])
    centre, box = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    axis = int(box.argmax())
    return centre, np.eye(3)[axis] * box, float(np.linalg.norm(np.delete(box, axis)))
