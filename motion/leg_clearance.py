"""Room between the legs: a foot that swings is led around the leg that stands.

The default body's shins and feet are as thick as a strong adult's, its hips nearer to each other than most people's
hip joints. Where an actor's calves brush past each other, its legs would pass through each other. The remedy moves an
ankle sideways, by millimetres to a few centimetres, and only near the frames where something meets; a planted foot is
moved as a whole or not at all, so that nothing slides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

THIGH, SHIN, FOOT = 0.070, 0.050, 0.052
"""Radii, metres, of the capsules around the bones (`sim.table`); the foot's encloses its box but for the corners."""
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
    bones = (
        (legs.hips, legs.knees, THIGH, (0.0, 0.5)),
        (legs.knees, legs.ankles, SHIN, (0.5, 1.0)),
        (legs.ankles, legs.toes, FOOT, (1.0, 1.0)),
    )
    wanted = np.zeros(len(out))
    for a, (start, stop, radius, (low, high)) in enumerate(bones):
        for b, (start_b, stop_b, radius_b, (low_b, high_b)) in enumerate(bones):
            if a == b == 0:
                continue
            s, t = closest(start[:, 0], stop[:, 0], start_b[:, 1], stop_b[:, 1])
            apart = start[:, 0] - start_b[:, 1] + s[:, None] * (stop - start)[:, 0]
            apart -= t[:, None] * (stop_b - start_b)[:, 1]
            lateral = (apart * out).sum(-1)
            rest = (apart * apart).sum(-1) - lateral**2
            need = np.sqrt(np.maximum((radius + radius_b + ROOM) ** 2 - rest, 0.0)) - lateral
            need = np.where(rest < (radius + radius_b) ** 2, np.maximum(need, 0.0), 0.0)
            share = weight[:, 0] * (low + s * (high - low)) + weight[:, 1] * (low_b + t * (high_b - low_b))
            wanted = np.maximum(wanted, need / np.maximum(share, 0.3))
    crossed = ((legs.ankles[:, 0] - legs.ankles[:, 1]) * out).sum(-1) < -CROSSED
    return np.where(crossed[:, None], 0.0, wanted[:, None] * weight)


def closest(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T,) and (T,) shares along segments a b and c d, (T, 3) each, of their closest points (Ericson 2005, 5.1.9)."""
    first, second, between = b - a, d - c, a - c
    aa, bb, ab = ((x * y).sum(-1) for x, y in ((first, first), (second, second), (first, second)))
    aa, bb = np.maximum(aa, 1e-12), np.maximum(bb, 1e-12)
    ac, bc = (first * between).sum(-1), (second * between).sum(-1)
    square = aa * bb - ab * ab
    s = np.where(square > 1e-9 * aa * bb, np.clip((ab * bc - ac * bb) / np.maximum(square, 1e-24), 0.0, 1.0), 0.5)
    t = np.clip((ab * s + bc) / bb, 0.0, 1.0)
    return np.clip((ab * t - ac) / aa, 0.0, 1.0), t


def make_room(legs: LegPaths, solve: Callable[[np.ndarray], LegPaths], fps: float) -> np.ndarray:
    """(T, 2, 3) moves of the ankles, metres, under which the legs pass each other; zeros where they already do, and for
    a clip too short to move in.

    legs: as they are; solve: as they are when their ankles are moved by (T, 2, 3).
    """
    out, moves = outward(legs.hips), np.zeros_like(legs.ankles)
    if len(moves) < MIN_FRAMES:
        return moves
    wanted = np.zeros(legs.planted.shape)
    for _ in range(ROUNDS):
        more = room_wanted(legs)
        if not more.any():
            break
        wanted = np.minimum(wanted + more, MAX_ASIDE)
        moves = _eased(wanted, out, legs.planted, fps)
        legs = solve(moves)
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
