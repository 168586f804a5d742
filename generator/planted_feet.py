"""Planted feet: the last layer of the motion decoder, through which it is trained.

What a decoder says of root and joints never agrees to the millimetre, so its feet slide. Here each foot is three points
of the sole (heel, ball, toe tip), and the decoder says beside the pose how surely each of them stands on its spot. The
points' paths are those of the pose, changed as little as it takes for sure points to stand (a least-squares problem
over the whole clip), and the legs follow by inverse kinematics that keeps the knees' planes. It is footskate cleanup
(Kovar et al. 2002) made differentiable: the decoder learns what to plant, and a foot it does not plant keeps its swing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.motion.features import (
    FEATURE_FPS,
    HEIGHT,
    JOINTS_6D,
    SOLE_BELOW_TOE,
    VELOCITY,
    features_to_frames,
    features_yaw,
    heading_matrices,
)
from morphloop.motion.fitting import leg_ik
from morphloop.motion.fitting.leg_ik import BALL, HEEL, LEG_JOINTS
from morphloop.motion.skeleton import DEFAULT_SKELETON

HIPS, KNEES, ANKLES, TOES = (
    slice(int(pair[0]), int(pair[1]) + 1) for pair in (leg_ik.HIPS, leg_ik.KNEES, leg_ik.ANKLES, leg_ik.TOES)
)
"""Joints of the left and of the right leg, which stand side by side."""
TIP = (0.055, 0.0, -SOLE_BELOW_TOE)
"""Sole under the toes, in the toe joint's frame."""
POINTS = 2 * 3
"""Heel, ball and toe tip of the left foot, then of the right one."""
STANDS = 0.06
"""Metres per second under which a point of the sole stands on its spot."""
LOW = 0.04
"""Metres over its height on a flat sole under which it can."""
FLAT = torch.tensor([0.0, SOLE_BELOW_TOE, 0.0])
"""(3,) heights of heel, ball and tip on a flat sole, metres."""
HOLD = 200.0
"""Stiffness, against a spring of one between the frames of a swing, of a point that surely stands."""
PULL = 0.02
"""Stiffness that draws every point to where the pose has it: a correction fades over about seven frames of swing."""
LEGS = torch.as_tensor(LEG_JOINTS)
"""Hips, knees, ankles and toes."""
STRAIGHT = 0.9995
"""Of a leg's length, no longer does inverse kinematics stretch it."""


def sole_points(places: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Heel, ball and tip of both feet (..., T, 2, 3, 3), metres, from `features_to_frames`."""
    heel = places[..., ANKLES, :] + _carried(turns[..., ANKLES, :, :], HEEL)
    tip = places[..., TOES, :] + _carried(turns[..., TOES, :, :], [TIP, TIP])
    return torch.stack([heel, places[..., TOES, :], tip], dim=-2)


def _carried(turns: torch.Tensor, offsets: object) -> torch.Tensor:
    """Offsets (2, 3) carried by turns (..., 2, 3, 3)."""
    return (turns @ torch.as_tensor(offsets, dtype=turns.dtype)[..., None])[..., 0]


def standing(points: torch.Tensor) -> torch.Tensor:
    """(..., T, POINTS) one where a point (..., T, 2, 3, 3) stands on its spot until the next frame, else zero.

    The last frame repeats the one before it; a single one stands nowhere.
    """
    speed = points.diff(dim=-4).norm(dim=-1) * FEATURE_FPS
    low = (points[..., :-1, :, :, 2] - FLAT.to(points.dtype)).abs() < LOW
    steps = (low & (speed < STANDS)).to(points.dtype).flatten(-2)
    last = steps[..., -1:, :] if steps.shape[-2] else points.new_zeros(*points.shape[:-4], 1, POINTS)
    return torch.cat([steps, last], dim=-2)


@dataclass(frozen=True)
class Kinematics:
    """Features (B, T, FEATURE_SIZE), joint positions (B, T, 24, 3) and `sole_points` (B, T, 2, 3, 3), metres."""

    features: torch.Tensor
    positions: torch.Tensor
    soles: torch.Tensor


def kinematics(features: torch.Tensor) -> Kinematics:
    """Joints and soles of features as they are."""
    places, turns = features_to_frames(features)
    return Kinematics(features, places, sole_points(places, turns))


def plant(features: torch.Tensor, logits: torch.Tensor) -> Kinematics:
    """Features (B, T, FEATURE_SIZE) with feet planted where logits (B, T, POINTS) say so."""
    places, turns = features_to_frames(features)
    points = sole_points(places, turns)
    if features.shape[1] < 2:
        return Kinematics(features, places, points)
    sure = logits.to(features.dtype).reshape(*logits.shape[:2], 2, 3)
    moved = points + _corrections(points, sure)
    foot, toe, ankle = _feet(points, moved, turns, sure)
    shift = (ankle - places[..., ANKLES, :]).mean(dim=-2)
    thigh, shin = _bones(places, turns, shift, ankle, foot)
    legs = _local(places, turns, thigh, shin, foot, toe)
    positions = places + shift[..., None, :]
    hips = positions[..., HIPS, :]
    knees = hips + thigh
    ankles = knees + shin
    toes = ankles + _carried(foot, BALL)
    positions = positions.index_copy(2, LEGS, torch.cat([hips, knees, ankles, toes], dim=-2))
    heel, tip = ankles + _carried(foot, HEEL), toes + _carried(toe, [TIP, TIP])
    soles = torch.stack([heel, toes, tip], dim=-2)
    return Kinematics(_with_legs(features, shift, legs), positions, soles)


def _corrections(points: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """What moves points (B, T, 2, 3, 3) so that the sure ones stand: the least squares of

    sum hold |(p + d)' - (p + d)|^2 + swing |d' - d|^2 + PULL |d|^2, with hold the odds of standing up to HOLD.
    """
    steps = logits[:, :-1]
    hold = 1.0 / (torch.exp(-steps) + 1.0 / HOLD)
    spring = hold + torch.sigmoid(-steps)
    hold, spring = (x.flatten(2).transpose(1, 2) for x in (hold, spring))
    wanted = -points.diff(dim=1).flatten(2, 3).transpose(1, 2) * hold[..., None]
    ends = torch.zeros_like(spring[..., :1])
    diagonal = PULL + torch.cat([spring, ends], dim=-1) + torch.cat([ends, spring], dim=-1)
    matrix = torch.diag_embed(diagonal) - torch.diag_embed(spring, 1) - torch.diag_embed(spring, -1)
    none = torch.zeros_like(wanted[..., :1, :])
    right = torch.cat([none, wanted], dim=-2) - torch.cat([wanted, none], dim=-2)
    solved = torch.cholesky_solve(right, torch.linalg.cholesky(matrix))
    return solved.transpose(1, 2).reshape(points.shape)


def _feet(
    points: torch.Tensor, moved: torch.Tensor, turns: torch.Tensor, logits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """World turns of feet and toes (B, T, 2, 3, 3) and ankle places (B, T, 2, 3) whose points are the moved ones.

    A foot keeps its length: where heel and ball disagree, the surer of them is met.
    """
    foot = shortest_arc(points[..., 1, :] - points[..., 0, :], moved[..., 1, :] - moved[..., 0, :])
    foot = foot @ turns[..., ANKLES, :, :]
    by = torch.sigmoid(logits[..., :2]) + 0.01
    by = by / by.sum(dim=-1, keepdim=True)
    by_heel = moved[..., 0, :] - _carried(foot, HEEL)
    by_ball = moved[..., 1, :] - _carried(foot, BALL)
    ankle = by[..., :1] * by_heel + by[..., 1:] * by_ball
    ball = ankle + _carried(foot, BALL)
    toe = shortest_arc(points[..., 2, :] - points[..., 1, :], moved[..., 2, :] - ball) @ turns[..., TOES, :, :]
    return foot, toe, ankle


def _bones(
    places: torch.Tensor, turns: torch.Tensor, shift: torch.Tensor, ankle: torch.Tensor, foot: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Thighs and shins (B, T, 2, 3), hip to knee and knee to ankle, that bring the ankles there."""
    reach = ankle - places[..., HIPS, :] - shift[..., None, :]
    offsets = torch.as_tensor(DEFAULT_SKELETON.offsets, dtype=places.dtype)
    a, b = offsets[KNEES].norm(dim=-1, keepdim=True), offsets[ANKLES].norm(dim=-1, keepdim=True)
    line = _unit(reach)
    distance = torch.minimum(reach.norm(dim=-1, keepdim=True).clamp(min=0.1), STRAIGHT * (a + b))
    along = (a**2 + distance**2 - b**2) / (2 * distance)
    bend = places[..., KNEES, :] - places[..., HIPS, :]
    bend = bend + 0.02 * (turns[..., HIPS, :, 0] + foot[..., 0])  # a straight leg bends forward
    bend = _unit(bend - (bend * line).sum(dim=-1, keepdim=True) * line)
    thigh = along * line + (a**2 - along**2).clamp(min=1e-6).sqrt() * bend
    return thigh, distance * line - thigh


def _local(
    places: torch.Tensor,
    turns: torch.Tensor,
    thigh: torch.Tensor,
    shin: torch.Tensor,
    foot: torch.Tensor,
    toe: torch.Tensor,
) -> torch.Tensor:
    """Local turns (B, T, 8, 3, 3) of hips, knees, ankles and toes, left and right; the bones keep their twist."""
    hips, knees, ankles = (places[..., joints, :] for joints in (HIPS, KNEES, ANKLES))
    arcs = shortest_arc(torch.cat([knees - hips, ankles - knees], dim=-2), torch.cat([thigh, shin], dim=-2))
    bones = arcs @ torch.cat([turns[..., HIPS, :, :], turns[..., KNEES, :, :]], dim=-3)
    pelvis = turns[..., :1, :, :]
    children = torch.cat([bones, foot, toe], dim=-3)
    parents = torch.cat([pelvis, pelvis, bones, foot], dim=-3)
    return parents.transpose(-1, -2) @ children


def _with_legs(features: torch.Tensor, shift: torch.Tensor, legs: torch.Tensor) -> torch.Tensor:
    """Features with the root moved by shift (B, T, 3), metres, and with the legs' local turns (B, T, 8, 3, 3)."""
    facing = heading_matrices(features_yaw(features)[:, :-1])
    travel = shift.diff(dim=1) * FEATURE_FPS
    travel = (facing.transpose(-1, -2) @ travel[..., None])[..., :2, 0]
    travel = torch.cat([travel, torch.zeros_like(travel[:, :1])], dim=1)
    joints = features[..., JOINTS_6D].reshape(*features.shape[:2], -1, 6)
    joints = joints.index_copy(2, LEGS - 1, legs[..., :2].transpose(-1, -2).flatten(-2))
    before, between = features[..., : VELOCITY.start], features[..., HEIGHT.stop : JOINTS_6D.start]
    parts = [before, features[..., VELOCITY] + travel, features[..., HEIGHT] + shift[..., 2:], between]
    return torch.cat([*parts, joints.flatten(-2), features[..., JOINTS_6D.stop :]], dim=-1)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def shortest_arc(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Turn (..., 3, 3) by the least angle from the direction of a to that of b, both (..., 3)."""
    a, b = _unit(a), _unit(b)
    v, c = torch.linalg.cross(a, b), (a * b).sum(dim=-1)
    zero = torch.zeros_like(c)
    x, y, z = v.unbind(dim=-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    one = torch.eye(3, dtype=a.dtype)
    return one + cross + cross @ cross / (1.0 + c).clamp(min=1e-3)[..., None, None]
