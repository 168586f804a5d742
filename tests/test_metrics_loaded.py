"""Slide and restepping over load: against rollouts and loads whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.metrics import METRICS, measure
from morphloop.metrics.config import EvaluateConfig
from morphloop.metrics.loaded import LOADED_SHARE, LOST_SHARE, NO_LOADS, loaded_speeds, measure_loads, resteps
from morphloop.metrics.report.evaluate import evaluate
from morphloop.motion import DEFAULT_SKELETON, Clip, Rollout, save_clip, save_rollout
from morphloop.motion.rotations import quat_from_rotvec
from morphloop.sim import Recorder, default_body
from morphloop.sim.bodies.smpl_table import SOLE_HEIGHT
from morphloop.sim.rollouts.loads import FootLoads, foot_loads

FPS = 30.0
FINE = 300.0
"""Steps of physics a second: at this control rate a rollout may go where it likes at every one of them."""


def standing(frames: int, x: np.ndarray | float = 0.0, sunk: float = 5e-4) -> Clip:
    """Rest pose half a millimetre in the ground, so that its soles are pressed on it; moved along x (T,)."""
    root, rotations = np.zeros((frames, 3)), np.zeros((frames, 24, 4))
    root[:, 0], root[:, 2], rotations[..., 0] = x, -SOLE_HEIGHT - sunk, 1.0
    return Clip(FINE, DEFAULT_SKELETON, root, rotations)


def played(clip: Clip) -> Rollout:
    """A clip as a rollout of one physics step a control step, at the clip's own velocities."""
    body = default_body()
    qpos = body.qpos_from_clip(clip)
    qvel = np.zeros((len(qpos), body.model.nv))
    for t in range(len(qpos) - 1):
        mujoco.mj_differentiatePos(body.model, qvel[t], 1.0 / FINE, qpos[t], qpos[t + 1])
    qvel[-1] = qvel[-2]
    start = Recorder(body, qpos[0], qvel[0]).start
    feet = np.zeros((len(qpos), 2))
    ctrl = np.zeros((len(qpos) - 1, body.model.nu))
    return Rollout(FINE, 1, body.name, body.hash, start, qpos, qvel, ctrl, feet > 0, feet, "none", 0)


def loads(load: np.ndarray, slip: np.ndarray, x: np.ndarray | None = None) -> FootLoads:
    """load: (N, 2, 2) in body weights; slip: (N, 2, 2) m/s along x; x: (N, 2) where each foot is."""
    steps = len(load)
    place = np.zeros((steps, 2, 2, 3))
    place[..., 0] = 0.0 if x is None else x[..., None]
    return FootLoads(
        fps=FPS,
        weight=700.0,
        load=700.0 * load,
        slip=np.stack([slip, 0 * slip], axis=-1),
        point=np.zeros((steps, 2, 2, 3)),
        place=place,
        peak=np.zeros((steps, 2)),
        torque=np.zeros((steps, 69)),
        spin=np.zeros((steps, 69)),
        turn=np.broadcast_to(np.eye(3), (steps, 2, 2, 3, 3)),
    )


def number(value: float | None) -> float:
    assert value is not None
    return value


def test_feet_that_slide_under_load_read_their_speed() -> None:
    found = measure_loads(
        foot_loads(played(standing(300, 0.2 * np.arange(300) / FINE)), default_body()), default_body()
    )
    assert found["slide_loaded_mm_s"] == pytest.approx(200.0, rel=1e-3)


def test_speed_of_a_foot_that_touches_nothing_is_no_slide() -> None:
    """On the right foot, the left swinging with up to 0.4 m/s some 6 mm over the ground: the height rule calls that
    sliding."""
    clip = standing(600)
    rotations, leg = clip.rotations.copy(), 0.05 * np.sin(2.0 * np.pi * 1.5 * np.arange(600) / FINE)
    bent = 0.13
    for joint, angle in (("hip", leg - bent), ("knee", np.full(600, 2.0 * bent)), ("ankle", -leg - bent)):
        turn = np.stack([0 * angle, angle, 0 * angle], axis=1)
        rotations[:, DEFAULT_SKELETON.index(f"left_{joint}")] = quat_from_rotvec(turn)
    clip = Clip(FINE, DEFAULT_SKELETON, clip.root_pos, rotations)
    rollout, body = played(clip), default_body()
    assert not foot_loads(rollout, body).load[:, 0].any(), "the left foot is in the air"
    found = measure(clip, rollout=rollout, reference=clip).values
    assert number(found["slide_mean_mm_s"]) > 50.0
    assert number(found["slide_loaded_mm_s"]) < 1.0


def test_a_foot_that_turns_on_the_spot_moves_as_its_contacts_do() -> None:
    """v + w x r: a body that turns about the vertical axis at 1 rad/s moves its soles at their distance from it."""
    frames = 40
    rest = standing(frames)
    turn = np.stack([0 * np.arange(frames), 0 * np.arange(frames), np.arange(frames) / FINE], axis=1)
    rotations = rest.rotations.copy()
    rotations[:, 0] = quat_from_rotvec(turn)
    seen = foot_loads(played(Clip(FINE, DEFAULT_SKELETON, rest.root_pos, rotations)), default_body())
    where = seen.place + np.einsum("nfpij,nfpj->nfpi", seen.turn, seen.point)
    distance = np.linalg.norm(where[..., :2], axis=-1)
    assert np.linalg.norm(seen.slip, axis=-1)[seen.load > 0] == pytest.approx(distance[seen.load > 0], rel=2e-2)


def test_loads_are_those_of_the_touch_sensors_at_every_substep() -> None:
    """A body let go stands for half a second: the loads add up to its weight and to what the sensors measured."""
    body, rest = default_body(), standing(2)
    recorder = Recorder(body, body.qpos_from_clip(rest)[0], np.zeros(body.model.nv))
    for _ in range(15):
        recorder.step(np.zeros(body.model.nu))
    seen = foot_loads(recorder.rollout(0), body)
    assert seen.load[5:].sum(axis=(1, 2)).mean() == pytest.approx(seen.weight, rel=0.1)
    data = mujoco.MjData(body.model)
    mujoco.mj_setState(body.model, data, recorder.start, mujoco.mjtState.mjSTATE_INTEGRATION)
    for step, ctrl in enumerate(recorder.ctrl):
        data.ctrl[:], felt = ctrl, np.zeros((2, 2))
        for _ in range(10):
            mujoco.mj_step(body.model, data)
            felt += data.sensordata[body.touch_ids] / 10
        np.testing.assert_allclose(seen.load[step], felt, atol=1e-9)
    assert number(measure_loads(foot_loads(recorder.rollout(0), body), body)["slide_loaded_mm_s"]) < 5.0


def test_the_unloaded_half_of_a_loaded_foot_does_not_count() -> None:
    load, slip = np.zeros((20, 2, 2)), np.zeros((20, 2, 2))
    load[:, 0], slip[:, 0] = [0.9, 0.5 * LOADED_SHARE], [0.01, 2.0]
    assert loaded_speeds(loads(load, slip))[:, 0] == pytest.approx(0.01)
    load[:, 0, 1] = 0.5
    assert loaded_speeds(loads(load, slip))[:, 0] == pytest.approx(0.01), "the slower of two loaded segments"
    assert np.isnan(loaded_speeds(loads(load, slip))[:, 1]).all()


def test_landing_and_leaving_are_left_out() -> None:
    load, slip = np.zeros((20, 2, 2)), np.full((20, 2, 2), 0.02)
    load[5:15] = 0.25
    slip[[5, 14]] = 1.5
    found = loaded_speeds(loads(load, slip))
    assert np.isfinite(found).sum() == 2 * 8
    assert np.nanmax(found) == pytest.approx(0.02)


def test_a_planted_foot_that_lifts_and_steps_anew_is_seen() -> None:
    """Planted for 2 s; after 20 steps the left foot is up for 4 and comes down 50 mm ahead, and later 30 mm back."""
    load, x = np.full((60, 2, 2), 0.25), np.zeros((60, 2))
    load[20:24, 0] = load[40:43, 0] = 0.4 * LOST_SHARE
    x[22:, 0], x[41:, 0] = 0.05, 0.02
    planted = np.ones((60, 2), bool)
    found = resteps(loads(load, np.zeros((60, 2, 2)), x), planted)
    assert found == pytest.approx({"restep_per_s": 2 / 4.0, "restep_mm": 40.0})
    planted[20:24, 0] = planted[40:43, 0] = False
    assert resteps(loads(load, np.zeros((60, 2, 2)), x), planted) == {"restep_per_s": 0.0, "restep_mm": None}
    assert resteps(loads(load, np.zeros((60, 2, 2)), x), 0 * planted > 0) == {"restep_per_s": None, "restep_mm": None}


def test_weight_that_shifts_to_the_other_foot_is_no_restep() -> None:
    load = np.full((60, 2, 2), 0.25)
    load[20:40, 0], load[20:40, 1] = 0.5 * (LOST_SHARE + 0.01), 0.47
    assert resteps(loads(load, np.zeros((60, 2, 2))), np.ones((60, 2), bool))["restep_per_s"] == 0.0


def test_without_forces_it_is_null_and_another_motions_rollout_is_refused() -> None:
    clip = standing(60)
    found = measure(clip, wrench=False).values
    assert {name: found[name] for name in NO_LOADS} == NO_LOADS
    assert {METRICS[name].needs for name in NO_LOADS} == {"rollout"}
    measure(clip.moved(np.array([1e-7, 0.0, 0.0])), wrench=False, rollout=played(clip))  # a file's single precision
    with pytest.raises(MotionError, match="did not make it"):
        measure(clip.moved(np.array([0.1, 0.0, 0.0])), wrench=False, rollout=played(clip))
    failed = replace(played(clip), **{name: getattr(played(clip), name)[:1] for name in ("qpos", "qvel", "foot_force")})
    found = measure(clip.slice(0, 1), wrench=False, rollout=failed).values
    assert {name: found[name] for name in NO_LOADS} == NO_LOADS, "failed before a control step was done"
    with pytest.raises(MotionError, match="rollout of model"):
        foot_loads(played(clip), default_body("hinge"))


def test_evaluate_reads_the_rollout_beside_a_projected_clip(tmp_path: Path) -> None:
    clip = standing(300, 0.2 * np.arange(300) / FINE)
    rollout = played(clip)
    for place, name in (("clips", "slid"), ("references", "slid"), ("clips", "alone"), ("clips", "foreign")):
        save_clip(tmp_path / place / f"{name}.npz", clip if name != "foreign" else clip.slice(0, 100))
    for name in ("slid", "foreign"):
        save_rollout(tmp_path / "rollouts" / f"{name}.npz", rollout)
    result = evaluate([tmp_path / "clips"], EvaluateConfig(workers=0, wrench=False))
    rows = {row["name"]: row for row in result.rows.rows("surface")}
    assert rows["slid"]["metrics"]["slide_loaded_mm_s"] == pytest.approx(200.0, rel=1e-3)
    assert rows["slid"]["metrics"]["restep_per_s"] == 0.0
    assert rows["alone"]["metrics"]["slide_loaded_mm_s"] is None
    assert rows["foreign"]["metrics"]["slide_loaded_mm_s"] is None
