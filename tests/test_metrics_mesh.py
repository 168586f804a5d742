"""Robots of meshes: thousands of surface points, measured in the time of few and to the same figures."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np
import pytest

from morphloop.metrics import measure, points
from morphloop.metrics.points import motion_points, surface_points
from morphloop.metrics.self_penetration import deepest, geom_pairs
from morphloop.metrics.signals import on_grid, velocity
from morphloop.motion import Clip
from morphloop.motion.rotations import quat_from_rotvec, quat_mul, quat_to_matrix
from morphloop.sim import default_body
from morphloop.sim.bodies.mjcf_body import RobotBody

PATH = Path(__file__).resolve().parent.parent / "benchmarks" / "metric_speed.py"
SPEC = importlib.util.spec_from_file_location("metric_speed", PATH)
assert SPEC is not None
assert SPEC.loader is not None
metric_speed = sys.modules["metric_speed"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(metric_speed)
meshed_g1, swinging = metric_speed.meshed_g1, metric_speed.swinging


@lru_cache
def robot() -> RobotBody:
    return meshed_g1()


def lying(clip: Clip) -> Clip:
    """On the back, a hand's breadth over the ground."""
    turn = quat_from_rotvec(np.array([0.0, -0.5 * np.pi, 0.0]))
    rotations, root = clip.rotations.copy(), clip.root_pos.copy()
    rotations[:, 0] = quat_mul(np.broadcast_to(turn, rotations[:, 0].shape), rotations[:, 0])
    root[:, 2] = 0.15
    return replace(clip, rotations=rotations, root_pos=root)


def jumping(clip: Clip) -> Clip:
    root = clip.root_pos.copy()
    root[:, 2] += np.maximum(0.0, 1.2 * np.sin(np.linspace(0.0, 4.0 * np.pi, len(root))))
    return replace(clip, root_pos=root)


@pytest.mark.parametrize("body", [default_body, robot], ids=["smpl", "meshes"])
def test_the_low_pass_of_a_point_is_the_point_in_the_low_passed_frame(body) -> None:
    clip = swinging(body(), 2.0, 50.0)
    seen = motion_points(clip, body())
    own = np.arange(0, len(seen.joint), 3)
    plain = on_grid(seen.track(own), seen.fps)
    np.testing.assert_allclose(seen.grid_track(own), plain, atol=1e-12)
    heights, flow = seen.grid_motion(own)
    np.testing.assert_allclose(heights, plain[..., 2], atol=1e-12)
    np.testing.assert_allclose(np.moveaxis(flow, 0, -1), velocity(plain)[..., :2], atol=1e-10)


@pytest.mark.parametrize("way", [lambda clip: clip, lying, jumping], ids=["stands", "lies", "jumps"])
@pytest.mark.parametrize("ground", ["as-is", "robust"])
def test_points_that_stay_high_change_no_figure(way, ground: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = robot()
    clip = way(swinging(body, 2.0, 50.0))
    if ground == "robust":
        clip = clip.moved(np.array([0.0, 0.0, 2.0]))
    assert len(surface_points(clip, body).joint) <= len(body.surface.joint)
    found = measure(clip, body, ground).values
    monkeypatch.setattr(points, "MANY", 10**9)
    assert len(surface_points(clip, body).joint) == len(body.surface.joint)
    assert measure(clip, body, ground).values == found


def test_of_one_who_stands_the_upper_body_is_left_out() -> None:
    body = robot()
    kept = surface_points(swinging(body, 1.0, 50.0), body)
    assert 2 * len(kept.joint) < len(body.surface.joint)
    assert set(kept.foot) >= {0, 1}


def test_the_deepest_of_all_pairs_is_that_of_asking_every_frame() -> None:
    body = robot()
    clip, pairs, data = swinging(body, 3.0, 30.0, wide=1.2), geom_pairs(body), mujoco.MjData(body.model)
    turned, most = quat_to_matrix(clip.global_rotations), 0.0
    for frame in range(clip.num_frames):
        for g, geom in enumerate(pairs.ids):
            data.geom_xpos[geom] = (
                clip.positions[frame, pairs.joint[g]] + turned[frame, pairs.joint[g]] @ pairs.origin[g]
            )
            data.geom_xmat[geom] = (turned[frame, pairs.joint[g]] @ pairs.turn[g]).ravel()
        for a, b in zip(pairs.first, pairs.second, strict=True):
            ends = int(pairs.ids[a]), int(pairs.ids[b])
            most = max(most, -mujoco.mj_geomDistance(body.model, data, *ends, 0.0, np.zeros(6)))
    assert most > 0.005
    assert deepest(body.model, pairs, clip.positions, turned, 0.0).max() == pytest.approx(most, abs=1e-6)
    assert deepest(body.model, pairs, clip.positions, turned).max() == pytest.approx(most, abs=1e-6)
