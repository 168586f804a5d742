"""Bodies and poses as numbers for a page: shapes once a body, the place of each part at 30 frames a second.

Places are 16-bit integers, half a millimetre apart in position; a page of a hundred clips stays some ten megabytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from morphloop.base import MotionError
from morphloop.metrics.clip_context import context
from morphloop.metrics.contact import SLIDE_FAST
from morphloop.metrics.measurement import measure
from morphloop.metrics.report.worst import KEY_METRICS
from morphloop.metrics.signals import GRID_HZ
from morphloop.metrics.timelines import Timeline, context_timeline
from morphloop.motion import Clip, JointTrack, load_rollout, read_motions
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig
from morphloop.sim import Body
from morphloop.sim.drawing.feet import HIDDEN_GROUP, foot_of_bodies, sole_points, soles
from morphloop.sim.drawing.figure import make_scene
from morphloop.sim.drawing.shown import Shown, shown_motions

from .entries import Bodies, Entry

MOST_S = 120.0
"""A longer clip is cut: the page says so."""
UNIT_M = 5e-4
REACH_M = 16.0
"""Metres from a clip's middle that 16 bits of `UNIT_M` reach."""
COARSE_FACES = 1500
"""A mesh of more faces is drawn as its convex hull."""
BONE_RADIUS = 0.028
LEFT, RIGHT = 1, 2
KINDS = {
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "sphere",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_MESH: "mesh",
}
Payload = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """A clip for the page, and the bodies that it needs. bodies: by key."""

    clip: Payload
    bodies: dict[str, Payload]


def key_figures(entry: Entry, bodies: Bodies, how: ReadingConfig = AS_FILES_SAY) -> dict[str, float | None]:
    """The figures that the list shows of a clip: its record's, or measured now, without the residual wrench."""
    values = entry.metrics
    if not values:
        shown = _only(entry, bodies, how)
        values = measure(shown.motion, shown.body, wrench=False).values
    return {metric.name: _rounded(values.get(metric.name)) for metric in KEY_METRICS}


def clip_scene(entry: Entry, bodies: Bodies, how: ReadingConfig = AS_FILES_SAY) -> Scene:
    """Everything that the page shows of a clip. MotionError for a file or a body that cannot be used."""
    shown = _only(entry, bodies, how)
    parts: dict[str, Payload] = {}
    sides = {"clip": _side(shown, parts)}
    for name in ("before", "reference"):
        if name in entry.sides:
            sides[name] = _side(next(shown_motions(entry.sides[name], bodies[entry.body], how)), parts)
    if "rollout" in entry.sides:
        sides["clip"]["force"] = _forces(entry, shown, sides["clip"]["frames"])
    whole = shown.motion.num_frames / shown.motion.fps
    clip = {"sides": sides, "fps": GRID_HZ, "texts": list(shown.motion.texts), "source_fps": shown.motion.fps}
    motions = sum(1 for _ in read_motions(entry.path, how=how)) if ":" in shown.name else 1
    return Scene(clip | {"cut_s": MOST_S if whole > MOST_S else None, "motions": motions}, parts)


def _only(entry: Entry, bodies: Bodies, how: ReadingConfig) -> Shown:
    """The first motion of an entry's file."""
    for shown in shown_motions(entry.path, bodies[entry.body], how):
        return shown
    raise MotionError(f"{entry.path}: holds no motion")


def _side(shown: Shown, parts: dict[str, Payload]) -> Payload:
    """Places of a motion's parts, what its feet do, and its timeline."""
    motion, body = shown.motion, shown.body
    line = context_timeline(context(motion, body))
    motion = motion.resampled(GRID_HZ)
    if isinstance(motion, JointTrack):
        key = "joints of " + ",".join(motion.names)
        if key not in parts:
            parts[key] = _stick_parts(motion, body)
        turns = np.zeros((*motion.positions.shape[:2], 4))
        turns[..., 0] = 1.0
        places = motion.positions
    else:
        key = body.hash
        if key not in parts:
            parts[key] = _body_parts(body)
        places, turns = _poses(motion, body)
    most = round(MOST_S * GRID_HZ)
    places, turns = places[:most], turns[:most]
    middle = places.reshape(-1, 3).mean(axis=0)
    if np.abs(places - middle).max() > REACH_M:
        middle = places[0, 0]
    moved = np.clip(np.rint((places - middle) / UNIT_M), -32767, 32767)
    numbers = np.concatenate([moved, np.rint(32767 * turns)], axis=-1)
    return {
        "body": key,
        "frames": len(places),
        "parts": places.shape[1],
        "middle": [round(float(x), 4) for x in middle],
        "unit": UNIT_M,
        "places": _packed(numbers, "<i2"),
        "line": _line(line, len(places)),
    }


def _line(seen: Timeline, frames: int) -> Payload:
    """What the feet and the whole body do, frame by frame, and when each is worst."""
    shown = min(frames, len(seen.times))
    speed = np.nan_to_num(seen.slide_speed[:shown])
    slide = 1000.0 * speed.max(axis=1)
    height = 1000.0 * seen.lowest[:shown]
    flags = (
        seen.contact[:shown, 0] * 1
        + seen.contact[:shown, 1] * 2
        + (speed[:, 0] > SLIDE_FAST) * 4
        + (speed[:, 1] > SLIDE_FAST) * 8
        + seen.floating[:shown] * 16
        + seen.penetrating[:shown] * 32
        + seen.unsupported[:shown] * 64
    )
    worst = {"slide": slide, "float": height, "penetration": -height}
    return {
        "slide": _packed(np.clip(np.rint(slide), 0, 32767), "<i2"),
        "height": _packed(np.clip(np.rint(10.0 * height), -32767, 32767), "<i2"),
        "flags": _packed(flags, "u1"),
        "worst": {name: [int(v.argmax()), round(float(v.max()), 1)] for name, v in worst.items() if len(v)},
    }


def _poses(clip: Clip, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """(T, B, 3) and (T, B, 4) place and turn of MuJoCo's bodies, the world left out."""
    data, qpos = mujoco.MjData(body.model), body.qpos_from_clip(clip)
    places = np.empty((len(qpos), body.model.nbody - 1, 3))
    turns = np.empty((len(qpos), body.model.nbody - 1, 4))
    for k, state in enumerate(qpos):
        data.qpos[:] = state
        mujoco.mj_kinematics(body.model, data)
        places[k], turns[k] = data.xpos[1:], data.xquat[1:]
    return places, turns


def _body_parts(body: Body) -> Payload:
    """The geoms of a body as shapes of its parts."""
    model, foot_of = body.model, foot_of_bodies(body) + LEFT
    points, shapes, meshes = sole_points(body), [], []
    for geom in range(model.ngeom):
        kind, owner = KINDS.get(int(model.geom_type[geom])), int(model.geom_bodyid[geom])
        if kind is None or owner == 0 or model.geom_group[geom] >= HIDDEN_GROUP or points[geom]:
            continue
        size, foot = model.geom_size[geom].tolist(), int(foot_of[owner])
        if kind == "sphere" and model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
            size = [size[0]] * 3
        shape = {"part": owner - 1, "kind": kind, "size": _short(size), "foot": foot}
        shape |= {"at": _short(model.geom_pos[geom]), "turn": _short(model.geom_quat[geom])}
        if kind == "mesh":
            shape["mesh"] = len(meshes)
            meshes.append(mesh_payload(model, int(model.geom_dataid[geom])))
        shapes.append(shape)
    for sole in soles(body):
        box = {"part": sole.part - 1, "kind": "box", "size": _short(sole.half), "foot": sole.foot + LEFT}
        shapes.append(box | {"at": _short(sole.at), "turn": [1, 0, 0, 0]})
    feet = [[int(k) - 1 for k in np.flatnonzero(foot_of == mark)] for mark in (LEFT, RIGHT)]
    return {"name": body.name, "shapes": shapes, "meshes": meshes, "feet": feet}


def _stick_parts(track: JointTrack, body: Body) -> Payload:
    """Joint positions as bones from each joint's parent."""
    parents = make_scene(track, body).parents
    sides = [LEFT if n.startswith("left") else RIGHT if n.startswith("right") else 0 for n in track.names]
    at_foot = [any(word in name for word in ("ankle", "foot", "toe")) for name in track.names]
    feet = [side if foot else 0 for side, foot in zip(sides, at_foot, strict=True)]
    shapes = [
        {"part": joint, "kind": "bone", "from": parent, "size": [BONE_RADIUS], "foot": feet[joint]}
        for joint, parent in enumerate(parents)
        if parent >= 0
    ]
    marked = [[joint for joint, foot in enumerate(feet) if foot == mark] for mark in (LEFT, RIGHT)]
    return {"name": "joints", "shapes": shapes, "meshes": [], "feet": marked}


def mesh_payload(model: mujoco.MjModel, mesh: int) -> Payload:
    """Vertices and faces of a mesh, of one with many its convex hull."""
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    points = np.asarray(model.mesh_vert[first : first + count], float)
    start, number = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    faces = np.asarray(model.mesh_face[start : start + number], int)
    if number > COARSE_FACES:
        hull = ConvexHull(points)
        order = {int(vertex): place for place, vertex in enumerate(hull.vertices)}
        inward = np.einsum(
            "fj,fj->f",
            np.cross(
                points[hull.simplices[:, 1]] - points[hull.simplices[:, 0]],
                points[hull.simplices[:, 2]] - points[hull.simplices[:, 0]],
            ),
            hull.equations[:, :3],
        )
        turned = np.where((inward < 0)[:, None], hull.simplices[:, ::-1], hull.simplices)
        faces = np.vectorize(order.__getitem__)(turned)
        points = points[hull.vertices]
    return {"points": _packed(points, "<f4"), "faces": _packed(faces, "<u2" if len(points) < 65536 else "<u4")}


def _forces(entry: Entry, shown: Shown, frames: int) -> str | None:
    """Vertical force of the ground on each foot over the body's weight, in hundredths, frame by frame."""
    rollout = load_rollout(entry.sides["rollout"])
    weight = shown.body.mass * float(np.linalg.norm(shown.body.model.opt.gravity))
    nearest = np.minimum(np.rint(np.arange(frames) * rollout.fps / GRID_HZ).astype(int), rollout.num_frames - 1)
    return _packed(np.clip(np.rint(100.0 * rollout.foot_force[nearest] / weight), 0, 255), "u1")


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def _short(values: Any) -> list[float]:
    return [round(float(value), 5) for value in values]


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")
