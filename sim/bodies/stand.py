"""A body standing by itself, as a clip: the pose that its description gives, on the ground; and the way from there to a
clip and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_continuous, quat_mul, quat_normalize, quat_rotate

from .body import Body

NO_HEADING = 1e-3
"""Length of a turn's part about the vertical under which a body that lies looks nowhere."""


def standing(body: Body, seconds: float, fps: float) -> Clip:
    """The pose of `BodyDescription.stand` held still, its lowest point at zero; the pose as built where there is none.
    Hinges are turned by it; of a body of ball joints it is the rest pose."""
    qpos = body.model.qpos0.copy()
    for hinge, angle in body.description.stand.items():
        qpos[body.model.joint(hinge).qposadr[0]] = angle
    clip = body.clip_from_qpos(np.tile(qpos, (round(seconds * fps) + 1, 1)), fps, "stand")
    return replace(clip, root_pos=clip.root_pos - [0.0, 0.0, float(_lowest(clip.slice(0, 1), body)[0])])


def blended(clip: Clip, body: Body, seconds: float) -> Clip:
    """A clip on a body's skeleton, untouched, with a way of so many seconds from the body's stand and one back to it.

    Each way runs in the tangent space of the body's coordinates from the stand, at rest, to the clip's end pose at its
    speed (a cubic in time); hinges stay within their range. The stand looks where the end looks, its root is level, and
    it is so far away that the root speeds up evenly. The lowest point goes from the ground to where the end has it.
    MotionError for another skeleton and a body without a description.
    """
    frames = round(seconds * clip.fps)
    if frames < 1:
        return clip
    qpos = body.qpos_from_clip(clip)
    qvel = body.coordinates.velocity(qpos, clip.fps)
    there = _way(qpos[:1], qvel[:1], frames, clip.fps, body)
    back = _way(qpos[-1:], -qvel[-1:], frames, clip.fps, body)
    provenance = replace(
        clip.provenance, parent=clip.id, notes={**clip.provenance.notes, "blended_s": frames / clip.fps}
    )
    return replace(
        clip,
        root_pos=np.concatenate([there.root_pos, clip.root_pos, back.root_pos[::-1]]),
        rotations=quat_continuous(np.concatenate([there.rotations, clip.rotations, back.rotations[::-1]])),
        provenance=provenance,
    )


def _way(end: np.ndarray, speed: np.ndarray, frames: int, fps: float, body: Body) -> Clip:
    """So many frames from the stand up to the one before the end pose (1, nq), which has a speed (1, nv)."""
    coords, stand = body.coordinates, body.qpos_from_clip(standing(body, 0.0, fps))
    place, turn, seconds = coords.place_qpos[:2], coords.turn_qpos[0], frames / fps
    begin = stand.copy()
    begin[:, place] = end[:, place] - 0.5 * seconds * speed[:, coords.place_qvel[:2]]
    heading = end[:, turn] * [1.0, 0.0, 0.0, 1.0]
    if np.linalg.norm(heading) > NO_HEADING:
        begin[:, turn] = quat_mul(quat_normalize(heading), stand[:, turn])
    u = np.arange(frames)[:, None] / frames
    near = 3.0 * u**2 - 2.0 * u**3
    away = (1.0 - near) * coords.difference(end, begin) + (u**3 - u**2) * seconds * speed
    qpos = coords.integrate(np.repeat(end, frames, axis=0), away)
    for hinge, at in zip(body.hinges, body.model.jnt_qposadr[body.hinge_ids], strict=True):
        ends = (float(begin[0, at]), float(end[0, at]))
        qpos[:, at] = np.clip(qpos[:, at], min(hinge.low, *ends), max(hinge.high, *ends))
    way, last = body.clip_from_qpos(qpos, fps), body.clip_from_qpos(end, fps)
    root = way.root_pos.copy()
    root[:, 2] += near[:, 0] * _lowest(last, body) - _lowest(way, body)
    return replace(way, root_pos=root)


def _lowest(clip: Clip, body: Body) -> np.ndarray:
    """(T,) height of the lowest point of the body, metres."""
    surface = body.surface
    turns = clip.global_rotations[:, surface.joint]
    turned = quat_rotate(turns, np.broadcast_to(surface.local, (*turns.shape[:2], 3)))
    return (clip.positions[:, surface.joint, 2] + turned[..., 2] - surface.radius).min(axis=1)
