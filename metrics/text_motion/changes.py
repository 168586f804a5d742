"""Motions that are wrong for a caption in one known way: the other side, backwards in time, too fast, frozen.

A change counts as wrong only where the caption names what it changes and the motion shows it. All of them work on
joints (T, 22, 3) as `motion_input.motion_joints` gives them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from morphloop.motion import HUMANML3D_JOINTS

from .captions import names, rests
from .motion_input import travel

SIDES = {"left": "right", "right": "left"}
MIRROR = [
    HUMANML3D_JOINTS.index(name.replace(side, SIDES[side]) if (side := name.partition("_")[0]) in SIDES else name)
    for name in HUMANML3D_JOINTS
]
"""Each joint's counterpart on the other side."""
FORWARD_M, ASIDE_M, TURN_RAD = 0.2, 0.15, 0.4
"""Travel or turn from which on a motion backwards in time goes the other way to see."""


def mirrored(joints: np.ndarray) -> np.ndarray:
    """Left and right changed for each other."""
    return joints[:, MIRROR] * np.array([1.0, -1.0, 1.0])


def reverse(joints: np.ndarray) -> np.ndarray:
    """Backwards in time."""
    return joints[::-1]


def twice_as_fast(joints: np.ndarray) -> np.ndarray:
    """Every second frame."""
    return joints[::2]


def frozen(joints: np.ndarray) -> np.ndarray:
    """The first pose held for as long."""
    return np.repeat(joints[:1], len(joints), axis=0)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": mirrored,
    "reversed": reverse,
    "twice as fast": twice_as_fast,
    "frozen": frozen,
}


def wrong_changes(caption: str, joints: np.ndarray) -> dict[str, tuple[str, ...]]:
    """Changes that make a motion wrong for its caption, each with what the caption names of it: side, order,
    direction or speed, or motion at all."""
    named = names(caption)
    forward, aside, turn = travel(joints)
    goes = abs(forward) > FORWARD_M or abs(aside) > ASIDE_M or abs(turn) > TURN_RAD
    found = {
        "mirrored": named & {"side"},
        "reversed": named & ({"order", "direction"} if goes else {"order"}),
        "twice as fast": named & {"speed"},
        "frozen": named | (frozenset() if rests(caption) else {"motion"}),
    }
    return {change: tuple(sorted(what)) for change, what in found.items() if what}
