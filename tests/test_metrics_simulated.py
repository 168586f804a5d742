"""The simulator's own contacts against a rollout whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.metrics import METRICS, measure_rollout
from morphloop.motion import Rollout
from morphloop.sim import default_body
from morphloop.sim.bodies.smpl_table import SOLE_HEIGHT


def rollout(contact: np.ndarray, speed: float = 0.2) -> Rollout:
    """Rest pose slid forward, with whatever the simulator said of its feet (T, 2)."""
    body, frames = default_body(), len(contact)
    qpos = np.tile(body.model.qpos0, (frames, 1))
    qpos[:, 0], qpos[:, 2] = speed * np.arange(frames) / 30.0, -SOLE_HEIGHT
    return Rollout(
        fps=30.0,
        substeps=5,
        body=body.name,
        model_hash=body.hash,
        start=np.zeros(1),
        qpos=qpos,
        qvel=np.zeros((frames, body.model.nv)),
        ctrl=np.zeros((frames - 1, body.model.nu)),
        foot_contact=contact,
        foot_force=contact * 0.75 * body.mass * 9.81,
        simulator="none",
        seed=0,
    )


def test_contact_slide_and_force_are_the_simulators() -> None:
    contact = np.zeros((60, 2), bool)
    contact[:15, 0] = contact[5:20, 1] = True
    values = measure_rollout(rollout(contact))
    assert values["sim_contact_ratio"] == pytest.approx(19 / 59)
    assert values["sim_slide_mean_mm_s"] == pytest.approx(200.0, rel=1e-3)
    assert values["sim_slide_ratio"] == 1.0
    assert values["sim_force_peak_bw"] == pytest.approx(1.5)
    assert {METRICS[name].needs for name in values} == {"rollout"}


def test_no_contact_is_null_slide() -> None:
    values = measure_rollout(rollout(np.zeros((30, 2), bool)))
    assert values["sim_slide_mean_mm_s"] is values["sim_slide_ratio"] is None
    assert values["sim_contact_ratio"] == 0.0


def test_the_start_is_no_step_of_the_simulator() -> None:
    contact = np.ones((40, 2), bool)
    contact[0] = False
    values = measure_rollout(rollout(contact, speed=0.03))
    assert values["sim_contact_ratio"] == 1.0
    assert values["sim_slide_ratio"] == 0.0
    assert set(measure_rollout(rollout(contact[:1])).values()) == {None}


def test_another_bodys_rollout_is_refused() -> None:
    with pytest.raises(MotionError, match="positions a control step"):
        measure_rollout(rollout(np.zeros((30, 2), bool)), default_body("hinge"))
