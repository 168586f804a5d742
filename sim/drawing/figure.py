"""A body drawn as a stick figure: orthographic camera, ground grid, shadow, feet coloured by contact.

Pillow lines on a canvas of twice the size, then halved: no GL, no figure objects, hundreds of frames a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter1d

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack
from morphloop.motion.rotations import heading, quat_rotate

from ..bodies.body import Body
from .feet import COLOURS, FootStates, states_by_height

OVERSAMPLE = 2
BACKGROUND, GRID, SHADOW, INK = (250, 250, 252), (222, 225, 232), (205, 208, 216), (60, 64, 74)
LEFT_COLOUR, RIGHT_COLOUR, TRUNK_COLOUR = (43, 108, 176), (192, 97, 34), (74, 80, 94)
LIMB_WIDTH, TRUNK_WIDTH, HEAD_RADIUS, SOLE_WIDTH = 0.045, 0.07, 0.095, 0.02
"""Metres; the last around a sole, which seen from the side may be a line."""
TRUNK_HALF = 0.03
"""Metres to the side of the middle, as a body is built, up to which a joint is of the trunk."""


@dataclass(frozen=True)
class Scene:
    """What is drawn of a clip, computed once.

    positions: (T, J, 3) joints, metres; soles: (T, 2, P, 3) surface points of both feet less their radius, of each foot
    as many (P) as the larger has, none for joints alone; states: (T, 2) what each foot does; parents: of each joint, -1
    for the root; colours and widths by joint: of the bone from its parent; feet: the joints of each foot, whose bones
    the sole stands for, or which have its colour where there is none; head: the joint under the head, None for a body
    without one.
    """

    positions: np.ndarray
    soles: np.ndarray
    states: np.ndarray
    parents: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...]
    widths: tuple[float, ...]
    feet: tuple[tuple[int, ...], tuple[int, ...]]
    head: int | None


@dataclass(frozen=True)
class Camera:
    """An orthographic camera. centre: (T, 3) point it looks at, metres; azimuth: direction it looks along, radians;
    elevation: downwards, radians; span: metres over the height of the picture."""

    centre: np.ndarray
    azimuth: float
    elevation: float = 0.2
    span: float = 2.3

    def axes(self) -> np.ndarray:
        """(2, 3) world directions of the picture's right and up."""
        a, e = self.azimuth, self.elevation
        right = np.array([np.sin(a), -np.cos(a), 0.0])
        up = np.array([np.sin(e) * np.cos(a), np.sin(e) * np.sin(a), np.cos(e)])
        return np.stack([right, up])


def make_scene(motion: Clip | JointTrack, body: Body, feet: FootStates | None = None) -> Scene:
    """Joints and soles of a clip on this body's skeleton, or a track of some of its joints; MotionError for others.

    feet: what they do; where nobody says, the soles' height tells, and the feet of a track are drawn as its legs.
    """
    states = None if feet is None else feet.at(np.arange(motion.num_frames) / motion.fps)
    if isinstance(motion, JointTrack):
        return _track_scene(motion, body, states)
    body.check(motion)
    surface, skeleton = body.surface, motion.skeleton
    soles = []
    most = max(int((surface.foot == side).sum()) for side in (0, 1))
    for side in (0, 1):
        mine = np.resize(np.flatnonzero(surface.foot == side), most)
        local = np.broadcast_to(surface.local[mine], (motion.num_frames, most, 3))
        points = motion.positions[:, surface.joint[mine]] + quat_rotate(
            motion.global_rotations[:, surface.joint[mine]], local
        )
        soles.append(points - surface.radius[mine][:, None] * [0.0, 0.0, 1.0])
    both = np.stack(soles, axis=1)
    if states is None:
        states = states_by_height(both[..., 2].min(axis=2))
    joints = range(skeleton.num_joints)
    return _scene(body, motion.positions, both, states, joints, skeleton.parents)


def _track_scene(track: JointTrack, body: Body, states: np.ndarray | None) -> Scene:
    """A track's joints, each hung on the nearest of its ancestors on the body that the track has."""
    skeleton, names = body.skeleton, track.names
    unknown = sorted(set(names) - set(skeleton.names))
    if unknown or names[0] != skeleton.names[0]:
        raise MotionError(f"{track.name}: joints {', '.join(unknown) or 'without a root'} cannot be drawn")
    parents = [-1]
    for name in names[1:]:
        above = skeleton.parents[skeleton.index(name)]
        while skeleton.names[above] not in names:
            above = skeleton.parents[above]
        parents.append(names.index(skeleton.names[above]))
    joints = [skeleton.index(name) for name in names]
    none = np.zeros((track.num_frames, 2, 0, 3))
    return _scene(body, track.positions, none, states, joints, tuple(parents))


def _scene(
    body: Body,
    positions: np.ndarray,
    soles: np.ndarray,
    states: np.ndarray | None,
    joints: Sequence[int],
    parents: tuple[int, ...],
) -> Scene:
    """What is drawn of these joints of a body, of which `parents` are places among them."""
    names, across = [body.skeleton.names[j] for j in joints], body.skeleton.rest_positions[list(joints), 1]
    colours = tuple(
        LEFT_COLOUR if y > TRUNK_HALF else RIGHT_COLOUR if y < -TRUNK_HALF else TRUNK_COLOUR for y in across
    )
    head, toes = _head_and_toes(body)
    left, right = (tuple(k for k, name in enumerate(names) if name in side) for side in toes)
    return Scene(
        positions=positions,
        soles=soles,
        states=np.zeros((len(positions), 2), int) if states is None else states,
        parents=parents,
        colours=colours,
        widths=tuple(TRUNK_WIDTH if c == TRUNK_COLOUR else LIMB_WIDTH for c in colours),
        feet=((), ()) if states is None else (left, right),
        head=names.index(head) if head in names else None,
    )


def _head_and_toes(body: Body) -> tuple[str | None, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The joint that a head is drawn over, None for a body that has none of its own, and the joints of each foot before
    the heel's; a robot that is measured alone tells neither."""
    try:
        told = body.description
    except MotionError:
        return None, ((), ())
    left, right = told.feet
    return told.head if told.head != told.torso else None, (tuple(left[1:]), tuple(right[1:]))


def follow(motion: Clip | JointTrack, azimuth: float = 0.9, elevation: float = 0.2, span: float = 2.3) -> Camera:
    """A camera that follows the root smoothly; azimuth is counted from looking at the figure's front at the start:
    0 sees the face, pi / 2 the left side."""
    root = motion.root_pos if isinstance(motion, Clip) else motion.positions[:, 0]
    centre = gaussian_filter1d(root, 0.25 * motion.fps, axis=0, mode="nearest")
    centre[:, 2] = 0.88
    facing = float(heading(motion.rotations[0, 0]) if isinstance(motion, Clip) else motion.heading[0])
    return Camera(centre, facing + np.pi + azimuth, elevation, span)


def write_label(frames: np.ndarray, label: str) -> np.ndarray:
    """Frames (T, height, width, 3) uint8 with a line of text in the upper left corner."""
    if not label:
        return frames
    strip = Image.fromarray(np.zeros((28, frames.shape[2]), np.uint8))
    ImageDraw.Draw(strip).text((8, 6), label, 255, ImageFont.load_default(15))
    ink = np.asarray(strip)[None, ..., None] / 255.0
    top = frames[:, :28] * (1 - ink) + np.array(INK) * ink
    return np.concatenate([top.astype(np.uint8), frames[:, 28:]], axis=1)


def draw_figure(scene: Scene, camera: Camera, frame: int, size: tuple[int, int], label: str = "") -> np.ndarray:
    """One frame as (height, width, 3) uint8; size: width and height in pixels."""
    width, height = OVERSAMPLE * size[0], OVERSAMPLE * size[1]
    picture = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    axes, centre, scale = camera.axes(), camera.centre[frame], height / camera.span
    middle = np.array([width / 2, height / 2])

    def flat(points: np.ndarray) -> np.ndarray:
        return middle + scale * ((points - centre) @ axes.T) * [1.0, -1.0]

    _draw_ground(pen, flat, centre, camera.span * width / height)
    positions = scene.positions[frame]
    screen = flat(positions)
    shadow = flat(positions * [1.0, 1.0, 0.0])
    for j, parent in enumerate(scene.parents[1:], 1):
        _line(pen, shadow[parent], shadow[j], SHADOW, 0.8 * scale * scene.widths[j])
    depth = positions @ np.array([np.cos(camera.azimuth), np.sin(camera.azimuth), 0.0])
    bones = sorted(range(1, len(scene.parents)), key=lambda j: -(depth[j] + depth[scene.parents[j]]))
    feet = [COLOURS[state] for state in scene.states[frame]]
    toes = {joint: feet[side] for side, joints in enumerate(scene.feet) for joint in joints}
    for j in bones:
        if j not in toes or not scene.soles.size:
            colour = toes.get(j, scene.colours[j])
            _line(pen, screen[scene.parents[j]], screen[j], colour, scale * scene.widths[j])
        if j == scene.head:
            _disc(pen, flat(positions[j] + [0.0, 0.0, 0.075]), scale * HEAD_RADIUS, TRUNK_COLOUR)
    for side in (0, 1):
        if scene.soles.size:
            edge = _hull(flat(scene.soles[frame, side]))
            pen.polygon([tuple(corner) for corner in edge], fill=feet[side])
            for a, b in zip(edge, np.roll(edge, 1, axis=0), strict=True):
                _line(pen, a, b, feet[side], scale * SOLE_WIDTH)
    if label:
        pen.text((8 * OVERSAMPLE, 6 * OVERSAMPLE), label, INK, ImageFont.load_default(15 * OVERSAMPLE))
    return np.asarray(picture.reduce(OVERSAMPLE))


def _line(pen: ImageDraw.ImageDraw, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int], width: float) -> None:
    pen.line([tuple(a), tuple(b)], fill=colour, width=max(1, round(width)))
    _disc(pen, a, 0.5 * width, colour)
    _disc(pen, b, 0.5 * width, colour)


def _disc(pen: ImageDraw.ImageDraw, at: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    pen.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=colour)


def _draw_ground(pen: ImageDraw.ImageDraw, flat, centre: np.ndarray, span: float) -> None:
    """Half-metre grid on z = 0 around the figure, fixed in the world so that sliding shows."""
    reach = np.ceil(1.2 * span)
    ticks = np.arange(-reach, reach + 0.25, 0.5)
    origin = np.round(centre[:2] / 0.5) * 0.5
    for tick in ticks:
        for axis in (0, 1):
            ends = np.zeros((2, 3))
            ends[:, axis] = origin[axis] + tick
            ends[:, 1 - axis] = origin[1 - axis] + np.array([-reach, reach])
            a, b = flat(ends)
            pen.line([tuple(a), tuple(b)], fill=GRID, width=OVERSAMPLE)


def _hull(points: np.ndarray) -> np.ndarray:
    """Convex hull of a few points in the plane (Andrew's monotone chain)."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]

    def chain(sequence: np.ndarray) -> list[np.ndarray]:
        kept: list[np.ndarray] = []
        for p in sequence:
            while len(kept) > 1:
                u, v = kept[-1] - kept[-2], p - kept[-2]
                if u[0] * v[1] - u[1] * v[0] > 0:
                    break
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))
