"""Room between the legs: a foot that swings is led around the leg that stands.

The default body's shins and feet are as thick as a strong adult's, its hips nearer to each other than most people's
hip joints. Where an actor's calves brush past each other, its legs would pass through each other. The remedy moves an
ankle sideways, by millimetres to a few centimetres, and only near the frames where something meets; a planted foot is
moved as a whole or not at all, so that nothing slides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

RADII = np.array([0.070, 0.050, 0.052])
"""Metres, of the capsules around thigh, shin and foot (`sim.table`); the foot's holds its box but for the corners."""
SHARES = np.array([[0.0, 0.5], [0.5, 0.5], [1.0, 0.0]])
"""How much of an ankle's sideways move the upper end of each makes, and how much more the lower end."""
LEFT, RIGHT = np.array([(a, b) for a in range(3) for b in range(3) if a or b]).T
"""(8,) and (8,) which part of one leg may meet which of the other; thighs do at rest."""
ROOM = 0.003
"""Metres to leave between two legs."""
MAX_ASIDE = 0.10
"""Metres that a frame may ask of an ankle in all, before the move is smoothed: who asks for more meant to touch."""
CROSSED = 0.05
"""Metres by which ankles that stand on each other's side are crossed legs, which are left alone."""
ROUNDS = 8
"""Looks at what still meets after a move."""
SMOOTH_S = 0.06
"""Seconds over which a move rises and falls."""
MIN_FRAMES = 3
NO_MOVE = 1e-5
"""Metres; a smaller move is none."""
LOCK, EASE = 1e6, 0.05
"""Weights, against 1 for a frame that needs room: of a planted foot's being still, of no move where none is needed."""


@dataclass(frozen=True)
class LegPaths:
    """Both legs over time, left first, in the world. hips, knees, ankles, toes: (T, 2, 3) metres, toes where the
    foot is to end; planted: (T, 2) bool, feet that the ground holds."""

    hips: np.ndarray
    knees: np.ndarray
    ankles: np.ndarray
    toes: np.ndarray
    planted: np.ndarray


def outward(hips: np.ndarray) -> np.ndarray:
    """(T, 2, 3) level unit vectors from each hip away from the other; hips: (T, 2, 3)."""
    across = (hips[:, 0] - hips[:, 1]) * [1.0, 1.0, 0.0]
    left = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    return np.stack([left, -left], axis=1)


def room_wanted(legs: LegPaths) -> np.ndarray:
    """(T, 2) metres that each ankle should go outward so that no part of one leg is in the other, 0 where none is.

    Capsules around bones; the lateral gap that two need is what their distance in the other two directions leaves.
    """
    out = outward(legs.hips)[:, 0]
    weight = np.where(legs.planted, 0.0, 1.0)
    weight = np.where(weight.sum(1, keepdims=True) > 0, weight / np.maximum(weight.sum(1, keepdims=True), 1), 0.5)
    ends = np.stack([legs.hips, legs.knees, legs.ankles, legs.toes])
    starts, bones = ends[:-1], ends[1:] - ends[:-1]
    start, bone, start_b, bone_b = starts[LEFT, :, 0], bones[LEFT, :, 0], starts[RIGHT, :, 1], bones[RIGHT, :, 1]
    s, t = closest(start, bone, start_b, bone_b)
    apart = start - start_b + s[..., None] * bone - t[..., None] * bone_b
    lateral = (apart * out).sum(-1)
    rest = (apart * apart).sum(-1) - lateral**2
    thick = (RADII[LEFT] + RADII[RIGHT])[:, None]
    need = np.sqrt(np.maximum((thick + ROOM) ** 2 - rest, 0.0)) - lateral
    need = np.where(rest < thick**2, np.maximum(need, 0.0), 0.0)
    along, along_b = (SHARES[side, :1] + x * SHARES[side, 1:] for side, x in ((LEFT, s), (RIGHT, t)))
    wanted = (need / np.maximum(weight[:, 0] * along + weight[:, 1] * along_b, 0.3)).max(axis=0)
    crossed = ((legs.ankles[:, 0] - legs.ankles[:, 1]) * out).sum(-1) < -CROSSED
    return np.where(crossed[:, None], 0.0, wanted[:, None] * weight)


def moved(legs: LegPaths, moves: np.ndarray) -> LegPaths:
    """The legs with their ankles and toes moved by (T, 2, 3), as far as they reach, and knees bent as they were."""
    thigh, shin = (
        np.linalg.norm(x, axis=-1, keepdims=True) for x in (legs.knees - legs.hips, legs.ankles - legs.knees)
    )
    line = legs.ankles + moves - legs.hips
    distance = np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), 1e-6)
    line = _unit(line)
    bend = legs.knees - legs.hips
    for straight in (_unit(legs.ankles - legs.hips), line):
        bend = bend - (bend * straight).sum(-1, keepdims=True) * straight
    bend = _unit(bend)
    reached = np.minimum(distance, thigh + shin)
    along = (thigh**2 + reached**2 - shin**2) / (2.0 * reached)
    knees = legs.hips + along * line + np.sqrt(np.maximum(thigh**2 - along**2, 0.0)) * bend
    ankles = legs.hips + reached * line
    return LegPaths(legs.hips, knees, ankles, ankles + legs.toes - legs.ankles, legs.planted)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)


def closest(a: np.ndarray, first: np.ndarray, c: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(...) and (...) shares along segments, from a by `first` and from c by `second`, (..., 3) each, of their closest
    points (Ericson 2005, 5.1.9)."""
    between = a - c
    aa, bb, ab = ((x * y).sum(-1) for x, y in ((first, first), (second, second), (first, second)))
    aa, bb = np.maximum(aa, 1e-12), np.maximum(bb, 1e-12)
    ac, bc = (first * between).sum(-1), (second * between).sum(-1)
    square = aa * bb - ab * ab
    s = np.where(square > 1e-9 * aa * bb, np.clip((ab * bc - ac * bb) / np.maximum(square, 1e-24), 0.0, 1.0), 0.5)
    t = np.clip((ab * s + bc) / bb, 0.0, 1.0)
    return np.clip((ab * t - ac) / aa, 0.0, 1.0), t


def make_room(legs: LegPaths, fps: float) -> np.ndarray:
    """(T, 2, 3) moves of the ankles, metres, under which the legs pass each other; zeros where they already do, and for
    a clip too short to move in.
    """
    out, moves = outward(legs.hips), np.zeros_like(legs.ankles)
    if len(moves) < MIN_FRAMES:
        return moves
    wanted, now = np.zeros(legs.planted.shape), legs
    for _ in range(ROUNDS):
        more = room_wanted(now)
        if not more.any():
            break
        wanted = np.minimum(wanted + more, MAX_ASIDE)
        moves = _eased(wanted, out, legs.planted, fps)
        now = moved(legs, moves)
    return moves


def _eased(wanted: np.ndarray, out: np.ndarray, planted: np.ndarray, fps: float) -> np.ndarray:
    """(T, 2, 3) moves: what is wanted (T, 2) along `out` (T, 2, 3), smooth over time, a planted foot's the same in
    every frame that it stands, none where nothing is wanted far and wide. The least sum of squares of what is missed,
    of speeds and of accelerations."""
    moves, inner = np.zeros_like(out), np.ones(len(out) - 2)
    scale = SMOOTH_S * fps
    stiff = EASE * scale**4
    for side in np.flatnonzero(wanted.any(axis=0)):
        weight = np.where(wanted[:, side] > 0, 1.0, EASE)
        held = np.where(planted[1:, side] & planted[:-1, side], LOCK, EASE * scale**2)
        bands = np.zeros((3, len(out)))
        bands[2] = weight + np.convolve(held, [1.0, 1.0]) + stiff * np.convolve(inner, [1.0, 4.0, 1.0])
        bands[1, 1:] = -held - stiff * np.convolve(inner, [2.0, 2.0])
        bands[0, 2:] = stiff
        moves[:, side] = solveh_banded(bands, weight[:, None] * wanted[:, side, None] * out[:, side])
    moves[np.abs(moves).max(axis=(1, 2)) < NO_MOVE] = 0.0
    return moves
