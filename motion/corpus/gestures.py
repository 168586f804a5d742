"""The upper body of the corpus: how arms hang, swing, rise, wave and punch, and how the trunk bows and turns.

Arms are described as a physiotherapist would, from hanging: abduction to the side, flexion to the front, twist of the
upper arm, flexion of the elbow; all radians, the same numbers for left and right.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..fitting.leg_ik import SIDES, FootTrack
from ..rotations import quat_from_rotvec, quat_mul

HANG = np.radians(9.0)
"""Abduction of a hanging arm: the hand clears the hip."""
HANG_ELBOW = np.radians(14.0)


def _turn(axis: int, angle: np.ndarray) -> np.ndarray:
    vector = np.zeros((len(angle), 3))
    vector[:, axis] = angle
    return quat_from_rotvec(vector)


def arm(
    side: int,
    abduction: np.ndarray,
    flexion: np.ndarray,
    twist: np.ndarray,
    elbow: np.ndarray,
    wave: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Local rotations (T, 4) of collar, shoulder, elbow and wrist; side: 0 left, 1 right; angles (T,).

    The collar takes a sixth of the elevation over 30 degrees, the rhythm of shoulder blade and arm.
    wave: swing of the hand in the wrist's plane.
    """
    sign, name = (1.0, -1.0)[side], SIDES[side]
    lifted = np.arccos(np.clip(np.cos(abduction) * np.cos(flexion), -1.0, 1.0))
    shrug = np.clip(lifted - np.pi / 6, 0.0, None) / 6
    raised = quat_mul(_turn(1, -flexion), _turn(0, sign * (abduction - np.pi / 2 - shrug)))
    turns = {
        f"{name}_collar": _turn(0, sign * shrug),
        f"{name}_shoulder": quat_mul(raised, _turn(1, -twist)),
        f"{name}_elbow": _turn(2, -sign * elbow),
    }
    if wave is not None:
        turns[f"{name}_wrist"] = _turn(0, sign * wave)
    return turns


def hanging_arms(
    frames: int, swing: np.ndarray | None = None, elbow: float = HANG_ELBOW, trunk: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Both arms at the sides; swing: (T, 2) flexion of left and right; trunk: (T,) forward lean they hang out of."""
    turns: dict[str, np.ndarray] = {}
    still = np.zeros(frames)
    for side in (0, 1):
        flexion = still if swing is None else swing[:, side]
        bend = elbow + 0.35 * np.clip(flexion, 0.0, None) + 0.1 * flexion
        turns |= arm(side, np.full(frames, HANG), flexion + (still if trunk is None else trunk), still, bend)
    return turns


def trunk(
    pitch: np.ndarray, roll: np.ndarray, yaw: np.ndarray, head_pitch: np.ndarray | None = None,
    head_yaw: np.ndarray | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Spine, neck and head (T, 4); pitch forward, roll to the right, yaw to the left, spread over three joints."""
    bend = np.stack([roll, pitch, yaw], axis=1)
    shares = {"spine1": 0.4, "spine2": 0.35, "spine3": 0.25}
    turns = {name: quat_from_rotvec(share * bend) for name, share in shares.items()}
    look = np.stack(
        [
            np.zeros_like(pitch),
            np.zeros_like(pitch) if head_pitch is None else head_pitch,
            np.zeros_like(pitch) if head_yaw is None else head_yaw,
        ],
        axis=1,
    )
    return turns | {"neck": quat_from_rotvec(0.5 * look), "head": quat_from_rotvec(0.5 * look)}


def gait_upper_body(
    feet: FootTrack, heading: np.ndarray, swing: float, lean: float, elbow: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What a walking trunk does with where the feet are: the pelvis turns with the leading leg, the chest and the arms
    go against it.

    swing: arm flexion in radians a metre of foot separation; lean: forward, radians; elbow: flexion, radians.
    Returns the pelvis's tilt (T, 3) and the local rotations above it.
    """
    ahead = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    apart = np.sum((feet.ground[:, 0, :2] - feet.ground[:, 1, :2]) * ahead, axis=1)
    frames = len(heading)
    pelvis_yaw = -0.12 * apart
    lift = feet.ground[:, 0, 2] - feet.ground[:, 1, 2]
    roll = -0.9 * lift
    tilt = np.stack([roll, np.full(frames, lean), pelvis_yaw], axis=1)
    turns = trunk(np.full(frames, 0.3 * lean), -roll, -2.0 * pelvis_yaw, np.full(frames, -lean), pelvis_yaw)
    arms = swing * np.stack([-apart, apart], axis=1)
    return tilt, turns | hanging_arms(frames, arms, elbow, np.full(frames, 0.5 * lean))


def quiet_upper_body(frames: int) -> dict[str, np.ndarray]:
    """Arms at the sides, trunk upright."""
    still = np.zeros(frames)
    return trunk(still, still, still) | hanging_arms(frames)


def merge(*parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Later parts win joint by joint."""
    return {name: turn for part in parts for name, turn in part.items()}
