"""The tangent space of a body's coordinates against MuJoCo's own, for balls, hinges in a row and a robot's."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from morphloop.sim import Body, Kinematics, RobotBody, default_body

ROBOT = """<mujoco><worldbody><body name="trunk" pos="0 0 1" quat="0.9 0.1 0.3 0.2">
  <freejoint/><geom type="sphere" size="0.1"/>
  <body name="left" pos="0 0.1 -0.1">
    <joint name="a" axis="1 0 0" pos="0.01 0.02 0.03"/><joint name="b" axis="0 0.6 0.8" pos="0.01 0.02 0.03"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.9" size="0.03"/>
    <body name="tip" pos="0 0 -0.88" quat="0.8 0.2 -0.4 0.3">
      <joint name="c" axis="0 0 1" ref="0.3"/><geom type="sphere" size="0.05"/></body>
  </body>
  <body name="right" pos="0 -0.1 -0.1">
    <joint name="d" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -0.9" size="0.03"/>
  </body></body></worldbody>
  <actuator><position joint="d"/><position joint="c"/><position joint="a"/><position joint="b"/></actuator></mujoco>"""
"""Hinges two to a body off its origin, one with a reference angle; servos in another order."""
COUNT = 40


@pytest.fixture(scope="module", params=["ball", "hinge", "robot"])
def body(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Body:
    torch.set_num_threads(1)
    if request.param != "robot":
        return default_body(request.param)
    path: Path = tmp_path_factory.mktemp("robot") / "robot.xml"
    path.write_text(ROBOT)
    return RobotBody(path)


def states(body: Body, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """qpos (COUNT, nq), at random, and tangents (COUNT, nv)."""
    rng, model = np.random.default_rng(seed), body.model
    qpos, change = np.tile(model.qpos0, (COUNT, 1)), rng.normal(size=(COUNT, model.nv))
    for row in qpos:
        mujoco.mj_integratePos(model, row, rng.normal(size=model.nv), 1.0)
    return qpos, change


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_differences_and_steps_are_those_of_mujoco(body: Body, kind: str) -> None:
    (start, change), (end, _) = states(body), states(body, 1)
    own, as_is = body.coordinates, np.asarray
    if kind == "torch":
        own, as_is = own.to("cpu"), torch.from_numpy
    off, moved = own.difference(as_is(start), as_is(end)), own.integrate(as_is(start), as_is(change))
    for row in range(COUNT):
        wanted = np.empty(body.model.nv)
        mujoco.mj_differentiatePos(body.model, wanted, 1.0, start[row], end[row])
        np.testing.assert_allclose(off[row], wanted, atol=1e-9)
        there = start[row].copy()
        mujoco.mj_integratePos(body.model, there, change[row], 1.0)
        np.testing.assert_allclose(moved[row], there, atol=1e-9)


def test_servos_see_the_angles_that_mujoco_gives_them(body: Body) -> None:
    qpos, qvel = states(body)
    found, data = body.coordinates.servo_angles(qpos), mujoco.MjData(body.model)
    for row in range(COUNT):
        data.qpos[:], data.qvel[:] = qpos[row], qvel[row]
        mujoco.mj_forward(body.model, data)
        np.testing.assert_allclose(found[row], data.actuator_length, atol=1e-9)
        np.testing.assert_allclose(qvel[row, body.coordinates.servo_dofs], data.actuator_velocity, atol=1e-9)


def test_the_velocity_of_a_steady_motion_is_its_own(body: Body) -> None:
    """Hinges, places and rotations about one axis each move by the same tangent step a frame."""
    (qpos, change), fps = states(body), 50.0
    path = [qpos[0]]
    for _ in range(10):
        path.append(body.coordinates.integrate(path[-1][None], 0.02 * change[:1])[0])
    found = body.coordinates.velocity(np.array(path), fps)
    np.testing.assert_allclose(found, np.tile(fps * 0.02 * change[0], (11, 1)), atol=1e-6)
    assert not body.coordinates.velocity(qpos[:1], fps).any()


def test_halfway_is_half_the_tangent_for_a_small_one(body: Body) -> None:
    qpos, change = states(body)
    own, start = body.coordinates.to("cpu"), torch.from_numpy(qpos)
    end = own.integrate(start, torch.from_numpy(0.01 * change))
    half = own.between(start, end, torch.full((COUNT,), 0.5, dtype=torch.double))
    np.testing.assert_allclose(own.difference(start, half), 0.005 * change, atol=1e-9)


def test_joint_states_are_those_of_mujoco(body: Body) -> None:
    """World places, turns and velocities of the joints' frames, which need not stand at the bodies' origins."""
    qpos, qvel = states(body)
    found = Kinematics(body, dtype=torch.double)(torch.from_numpy(qpos), torch.from_numpy(qvel))
    model, data, twist = body.model, mujoco.MjData(body.model), np.empty(6)
    for row in range(0, COUNT, 5):
        data.qpos[:], data.qvel[:] = qpos[row], qvel[row]
        mujoco.mj_forward(model, data)
        for j, k in enumerate(body.body_ids):
            turn = data.xmat[k].reshape(3, 3)
            anchor = data.xpos[k] - turn @ body.origins[j]
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, int(k), twist, 0)
            np.testing.assert_allclose(found.pos[row, j], anchor, atol=1e-9)
            same = abs(float(found.rot[row, j] @ torch.from_numpy(data.xquat[k])))
            assert same == pytest.approx(1.0, abs=1e-9)
            np.testing.assert_allclose(found.ang[row, j], twist[:3], atol=1e-8)
            np.testing.assert_allclose(
                found.vel[row, j], twist[3:] + np.cross(twist[:3], anchor - data.xpos[k]), atol=1e-8
            )


def test_torques_of_moments_are_those_of_a_jacobian(body: Body) -> None:
    """A moment at one joint, in its own frame, against MuJoCo's angular Jacobian of the joint less its parent's."""
    qpos, _ = states(body)
    moments = np.random.default_rng(2).normal(size=(COUNT, body.skeleton.num_joints, 3))
    found, model, data = body.coordinates.torques(qpos, moments), body.model, mujoco.MjData(body.model)
    for row in range(0, COUNT, 5):
        data.qpos[:] = qpos[row]
        mujoco.mj_forward(model, data)
        wanted = np.zeros(model.nv)
        for j, k in enumerate(body.body_ids):
            turns = np.zeros((2, 3, model.nv))
            for side, owner in enumerate((int(k), int(model.body_parentid[k]))):
                mujoco.mj_jacBody(model, data, None, turns[side], owner)
            wanted += (turns[0] - turns[1]).T @ data.xmat[k].reshape(3, 3) @ moments[row, j]
        np.testing.assert_allclose(found[row], wanted[body.coordinates.servo_dofs], atol=1e-9)
