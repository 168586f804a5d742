"""Margins: what a rollout leaves of torque limits, motor speeds and the strength of a landing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morphloop.metrics import METRICS, measure
from morphloop.metrics.margins import NO_MARGINS, ankle_servos, measure_margins
from morphloop.sim import Recorder, default_body, standing
from morphloop.sim.bodies.body import Body
from morphloop.sim.bodies.built_in import built_in
from morphloop.sim.rollouts.loads import foot_loads


def dropped(body: Body, height: float, ctrl: np.ndarray | None = None, steps: int = 30) -> Recorder:
    """The body as built let fall from a height over the ground, its servos holding the pose or asked for `ctrl`."""
    qpos = body.qpos_from_clip(standing(body, 0.0, 30.0))[0]
    qpos[2] += height
    recorder = Recorder(body, qpos, np.zeros(body.model.nv))
    held = body.coordinates.servo_angles(qpos[None])[0] if ctrl is None else ctrl
    for _ in range(steps):
        recorder.step(held)
    return recorder


def test_ankles_are_between_knee_and_foot() -> None:
    g1, person = built_in("g1"), default_body()
    names = [g1.servo_names[k] for k in ankle_servos(g1)]
    assert names == [f"{side}_ankle_{axis}_joint" for side in ("left", "right") for axis in ("pitch", "roll")]
    assert [person.servo_names[k] for k in ankle_servos(person)] == [
        f"{side}_ankle_{axis}" for side in ("left", "right") for axis in "xyz"
    ]


def test_a_servo_that_is_asked_for_the_impossible_is_at_its_limit() -> None:
    body = built_in("g1")
    asked = np.zeros(body.model.nu)
    asked[body.servo_names.index("left_elbow_joint")] = 50.0
    found = measure_margins(foot_loads(dropped(body, 1.0, asked, 5).rollout(0), body), body)
    assert found["torque_peak_ratio"] == pytest.approx(1.0)
    assert found["torque_limit_ratio"] == pytest.approx(1.0, abs=0.3)
    ankle = found["ankle_torque_peak_ratio"]
    assert ankle is not None
    assert ankle < 0.5


def test_speed_is_over_the_motors_limit_where_the_body_tells_it() -> None:
    body = built_in("g1")
    loads = foot_loads(dropped(body, 1.0, None, 5).rollout(0), body)
    wrist = body.servo_names.index("left_wrist_yaw_joint")
    fast = replace(loads, spin=np.zeros_like(loads.spin))
    fast.spin[2, wrist] = 33.0
    assert measure_margins(fast, body)["speed_peak_ratio"] == pytest.approx(33.0 / 22.0)
    person = default_body()
    assert (
        measure_margins(foot_loads(dropped(person, 1.0, None, 3).rollout(0), person), person)["speed_peak_ratio"]
        is None
    )


def test_a_higher_drop_lands_harder() -> None:
    body = built_in("g1")
    peaks = []
    for height in (0.02, 0.3):
        found = measure_margins(foot_loads(dropped(body, height).rollout(0), body), body)["impact_peak_bw"]
        assert found is not None
        peaks.append(found)
    assert peaks[0] > 0.5
    assert peaks[1] > 1.5 * peaks[0]


def test_they_need_a_rollout() -> None:
    clip = default_body().clip_from_qpos(np.tile(default_body().model.qpos0, (30, 1)), 30.0)
    values = measure(clip, wrench=False).values
    assert {name: values[name] for name in NO_MARGINS} == NO_MARGINS
    assert {METRICS[name].needs for name in NO_MARGINS} == {"rollout"}
