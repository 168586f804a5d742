"""A body standing by itself, as a clip: the pose that its description gives, on the ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_rotate

from .body import Body


def standing(body: Body, seconds: float, fps: float) -> Clip:
    """The pose of `BodyDescription.stand` held still, its lowest point at zero; the pose as built where there is none.
    Hinges are turned by it; of a body of ball joints it is the rest pose."""
    qpos = body.model.qpos0.copy()
    for hinge, angle in body.description.stand.items():
        qpos[body.model.joint(hinge).qposadr[0]] = angle
    clip = body.clip_from_qpos(np.tile(qpos, (round(seconds * fps) + 1, 1)), fps, "stand")
    surface = body.surface
    turned = quat_rotate(clip.global_rotations[0, surface.joint], surface.local)
    lowest = (clip.positions[0, surface.joint, 2] + turned[:, 2] - surface.radius).min()
    return replace(clip, root_pos=clip.root_pos - [0.0, 0.0, lowest])
