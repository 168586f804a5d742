"""How much motion moves, and how far samples of one prompt lie apart.

A generator that is tuned on what physics accepts drifts to what is easy to track: standing, and one way of doing each
thing. Both figures rest on joints low-passed at 6 Hz, so that jitter is no energy and no diversity.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from morphloop.metrics.signals import GRID_HZ, on_grid
from morphloop.motion import Clip
from morphloop.motion.rotations import heading, quat_from_heading, quat_rotate

STRIDE_S = 0.5
"""Root travel is measured in pieces of this length: sway from foot to foot and what jitter is left go nowhere."""


def joint_speed(clip: Clip) -> float:
    """Mean speed of the joints about the root's place, m/s, over frames of the 30 Hz grid; 0 for a single frame."""
    joints = on_grid(clip.positions - clip.root_pos[:, None], clip.fps)
    return float(np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean() * GRID_HZ) if len(joints) > 1 else 0.0


def root_travel(clip: Clip) -> float:
    """Horizontal way of the root over time, m/s, in straight pieces of half a second."""
    root = on_grid(clip.root_pos[:, :2], clip.fps)
    corners = root[np.unique(np.append(np.arange(0, len(root), round(STRIDE_S * GRID_HZ)), len(root) - 1))]
    way = float(np.linalg.norm(np.diff(corners, axis=0), axis=-1).sum())
    return way * GRID_HZ / (len(root) - 1) if len(root) > 1 else 0.0


def diversity(clips: Sequence[Clip]) -> float | None:
    """Mean distance between the joints of any two clips, metres, frame by frame over the shorter one's length.

    Joints are taken about the root's place in their own frame, and each clip is turned to face X at first. Where the
    root goes is left out: a body that floats or drifts does the same thing elsewhere, and taking such faults away, as
    the loop does, is no loss. None for fewer than two clips.
    """
    laid = [_laid(clip) for clip in clips]
    apart = [np.linalg.norm(a[: len(b)] - b[: len(a)], axis=-1).mean() for a, b in combinations(laid, 2)]
    return float(np.mean(apart)) if apart else None


def _laid(clip: Clip) -> np.ndarray:
    """(T, J, 3) joints about the root on the 30 Hz grid, facing X at first."""
    joints = on_grid(clip.positions - clip.root_pos[:, None], clip.fps)
    turn = quat_from_heading(-heading(clip.rotations[0, 0]))
    return quat_rotate(np.broadcast_to(turn, (*joints.shape[:-1], 4)), joints)
