"""A foot that friction can hold stays where it stands, whatever its servos do; what touches nothing moves as ever."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from morphloop.metrics.loaded import loaded_speeds
from morphloop.sim import Body, Recorder, default_body
from morphloop.sim.bodies.body import JointModel
from morphloop.sim.rollouts.loads import foot_loads

ROTOR = 0.02
"""Armature of every joint while the integrator held the servos' damping, kg m2."""


def damped_by_the_integrator(joints: JointModel) -> Body:
    """The body as MuJoCo would have it: damping of servos in its implicit integrator, unseen by contacts."""
    body = Body(joints=joints)
    model = body.model
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model.dof_armature[6:] = ROTOR
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return body


@pytest.mark.parametrize("joints", ["ball", "hinge"])
def test_a_body_in_the_air_moves_as_with_implicit_servos(joints: JointModel):
    places = []
    for body in (default_body(joints), damped_by_the_integrator(joints)):
        model, data = body.model, mujoco.MjData(body.model)
        data.qpos[2] += 2.0
        data.ctrl[:] = 0.05 * np.random.default_rng(0).standard_normal(model.nu)
        data.qvel[6:] = 0.2 * np.random.default_rng(1).standard_normal(model.nv - 6)
        for _ in range(60):
            mujoco.mj_step(model, data)
        assert data.ncon == 0, "nothing is touched"
        places.append(data.xpos.copy())
    start = mujoco.MjData(default_body(joints).model)
    mujoco.mj_kinematics(default_body(joints).model, start)
    assert np.abs(places[0] - start.xpos).max() > 0.01, "it moves"
    np.testing.assert_allclose(places[0], places[1], atol=1e-6)


def test_feet_within_their_friction_stay_as_servos_jump():
    """Hips and ankles of a standing body are told to turn to and fro 30 times a second. No foot is asked for more than
    friction gives; with the damping in the integrator they creep all the same."""
    speeds = []
    for body in (default_body(), damped_by_the_integrator("ball")):
        recorder = Recorder(body, body.model.qpos0, np.zeros(body.model.nv))
        turned = [
            body.model.actuator(f"{side}_{joint}_z").id for side in ("left", "right") for joint in ("hip", "ankle")
        ]
        for step in range(15):
            ctrl = np.zeros(body.model.nu)
            ctrl[turned] = 0.05 * (-1) ** step
            assert recorder.step(ctrl)
        found = loaded_speeds(foot_loads(recorder.rollout(0), body))[3:]
        assert np.isfinite(found).all(), "both feet bear load throughout"
        speeds.append(1e3 * found.mean())
    held, crept = speeds
    assert held < 0.5 * crept


def test_the_integrator_adds_nothing_of_its_own():
    """What a contact is computed for is what moves: the servos' damping is in the inertia that contacts see."""
    model = default_body().model
    servos = default_body().coordinates.servo_dofs
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert model.opt.timestep * model.dof_damping.max() < 1e-9 * ROTOR, "what Euler's method adds at the end of a step"
    damping = -model.actuator_biasprm[:, 2]
    np.testing.assert_allclose(model.dof_armature[servos], ROTOR + damping * model.opt.timestep)
