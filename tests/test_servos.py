"""The servo law outside the simulator, against what MuJoCo's own servos do."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from morphloop.envs import TrackingEnv, prepare
from morphloop.imitator.optimal_control.linear_model import (
    Lineariser,
    constraint_rows,
    sliding_rows,
    state_of,
    velocity_derivatives,
)
from morphloop.motion import make_corpus
from morphloop.motion.rotations import quat_from_rotvec
from morphloop.sim import Body, CpuPhysics, Physics, Servos, default_body

ROBOT = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005" integrator="implicitfast" jacobian="{layout}" tolerance="0"/>
  <default><joint armature="0.02" damping="0.1"/></default>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body name="trunk" pos="0 0 {height}">
      <freejoint/>
      <geom type="box" size="0.12 0.1 0.08" mass="4"/>
      {legs}
    </body>
  </worldbody>
  <actuator>{servos}</actuator>
</mujoco>
"""
LEG = """
      <body pos="{x} {y} -0.08">
        <joint name="hip_{k}" axis="0 1 0" range="-1 1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.03" mass="0.8"/>
        <body pos="0 0 -0.2">
          <joint name="knee_{k}" axis="0 1 0" range="-1 1"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.025" mass="0.4"/>
        </body>
      </body>
"""
SERVO = '<position joint="{joint}_{k}" kp="40" kv="2" forcerange="-30 30" ctrlrange="-0.6 0.6"/>'


def robot(layout: str, height: float) -> mujoco.MjModel:
    """A small robot of hinges, eight of them on four legs."""
    places = [(k, x, y) for k, (x, y) in enumerate([(0.1, 0.1), (0.1, -0.1), (-0.1, 0.1), (-0.1, -0.1)])]
    legs = "".join(LEG.format(k=k, x=x, y=y) for k, x, y in places)
    servos = "".join(SERVO.format(k=k, joint=joint) for k, _, _ in places for joint in ("hip", "knee"))
    return mujoco.MjModel.from_xml_string(ROBOT.format(layout=layout, height=height, legs=legs, servos=servos))


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


def true_torques(body: Body, physics: Physics) -> np.ndarray:
    """(N, nu) N m that MuJoCo's servos give in the states and for the targets of `physics`."""
    found = []
    for qpos, qvel, ctrl in zip(physics.qpos, physics.qvel, physics.ctrl, strict=True):
        data = mujoco.MjData(body.model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos.numpy(), qvel.numpy(), ctrl.numpy()
        mujoco.mj_forward(body.model, data)
        found.append(data.actuator_force.copy())
    return np.array(found)


def test_the_energy_term_pays_for_the_torque_that_mujoco_applies(body: Body) -> None:
    """For targets within, a little and far beyond the servos' range, some of them more than half a turn away."""
    env = TrackingEnv([prepare(make_corpus(1, seed=4)[0], body)], body, 3)
    env.reset()
    asked = np.random.default_rng(0).normal(size=(3, env.action_size)) * [[0.3], [2.0], [8.0]]
    env.physics.ctrl[:] = torch.from_numpy(asked)
    torque = env.task.torque(env.moment(), env.physics.ctrl)
    np.testing.assert_allclose(torque, true_torques(body, env.physics), atol=1e-3)
    low, high = body.model.actuator_ctrlrange.T
    assert (((asked < low) | (asked > high)).sum(1) >= [1, 20, 40]).all(), "targets do leave the range"


def test_servos_that_nothing_limits_are_not_clamped() -> None:
    """The hinge body's targets have no range, and MuJoCo leaves its torques' range alone."""
    body = default_body("hinge")
    physics = CpuPhysics(body, 2)
    physics.ctrl[:] = torch.linspace(-4.0, 4.0, body.model.nu)
    angle, speed = physics.qpos[:, 7:], physics.qvel[:, 6:]
    order = torch.as_tensor(body.model.jnt_qposadr[body.model.actuator_trnid[:, 0]] - 7).long()
    found = Servos(physics).torque(physics.ctrl.float(), angle[:, order].float(), speed[:, order].float())
    np.testing.assert_allclose(found, true_torques(body, physics), atol=1e-3)


@pytest.mark.parametrize("beyond", [False, True])
def test_a_linear_model_answers_targets_as_mujoco_does(body: Body, beyond: bool) -> None:
    """At rest in the air, each servo asked in turn for a little less or a little more than its range."""
    model, nv = body.model, body.model.nv
    data = mujoco.MjData(model)
    data.qpos[2] += 1.0
    lineariser, slopes = Lineariser(body, 1), []
    for servo in range(0, model.nu, 5):
        data.qpos[7:] = np.tile([1.0, 0.0, 0.0, 0.0], model.njnt - 1)
        end_of_range, axis = model.actuator_ctrlrange[servo, 1], np.eye(3)[servo % 3]
        data.qpos[body.qpos_ids[1 + servo // 3]] = quat_from_rotvec((end_of_range - 0.02) * axis)
        ctrl = np.eye(model.nu)[servo] * (end_of_range + (0.01 if beyond else -0.01))
        mujoco.mj_forward(model, data)
        state = state_of(model, data)
        told = lineariser(state[None], ctrl[None])[1][0, nv:, servo]
        change = 1e-4 * np.eye(model.nu)[servo]
        ends = [velocity_after(model, state, ctrl + sign * change) for sign in (1.0, -1.0)]
        true = (ends[0] - ends[1]) / 2e-4
        slopes.append(np.abs(true).max())
        np.testing.assert_allclose(told, true, atol=0.05 * slopes[-1])
    assert (np.array(slopes) == 0.0).all() if beyond else (np.array(slopes) > 1.0).all()


def velocity_after(model: mujoco.MjModel, state: np.ndarray, ctrl: np.ndarray, steps: int = 10) -> np.ndarray:
    """(nv,) velocity some steps of physics after a state under `ctrl`."""
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    data.ctrl[:] = ctrl
    mujoco.mj_step(model, data, steps)
    return data.qvel.copy()


@pytest.mark.parametrize("height", [0.6, 0.505], ids=["in the air", "on its feet"])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_a_robot_of_few_joints_has_a_linear_model_too(layout: str, height: float) -> None:
    """MuJoCo lays constraints out dense under 60 degrees of freedom; derivatives are those of its step in both."""
    model, rng = robot(layout, height), np.random.default_rng(5)
    assert model.nv == 14
    assert mujoco.mj_isSparse(model) == (layout == "sparse")
    data = mujoco.MjData(model)
    data.ctrl[:] = 0.03 * rng.normal(size=model.nu)
    mujoco.mj_step(model, data, 200 if height < 0.6 else 10)
    mujoco.mj_forward(model, data)
    assert (data.nefc > 0) == (height < 0.6), "feet carry the robot in one case alone"
    state, ctrl, qvel = state_of(model, data), data.ctrl.copy(), data.qvel.copy()
    rates, controls = velocity_derivatives(model, data)

    def ends(change: np.ndarray, more: np.ndarray) -> np.ndarray:
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        data.qvel[:], data.ctrl[:] = qvel + change, ctrl + more
        mujoco.mj_step(model, data)
        return data.qvel.copy()

    for told, sizes in ((rates, (model.nv, 0)), (controls, (0, model.nu))):
        width = sum(sizes)
        for row in range(width):
            move = 1e-6 * np.eye(width)[row]
            change, more = (move, np.zeros(model.nu)) if sizes[0] else (np.zeros(model.nv), move)
            true = (ends(change, more) - ends(-change, -more)) / 2e-6
            np.testing.assert_allclose(told[model.nv :, row], true, atol=0.02 * np.abs(true).max())


@pytest.mark.parametrize("speed", [0.0, 0.8], ids=["feet stand", "feet slide"])
def test_feet_in_elliptic_cones_have_a_linear_model_too(speed: float) -> None:
    """Of what slides friction turns with the velocity and grows with the load."""
    model, rng = robot("dense", 0.505), np.random.default_rng(5)
    model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    data = mujoco.MjData(model)
    data.ctrl[:] = 0.03 * rng.normal(size=model.nu)
    mujoco.mj_step(model, data, 200)
    data.qvel[:2] += speed, 0.4 * speed
    mujoco.mj_forward(model, data)
    slides = [sliding_rows(data, k, constraint_rows(model, data)) is not None for k in range(data.ncon)]
    assert data.ncon
    assert any(slides) == (speed > 0.0)
    state, qvel = state_of(model, data), data.qvel.copy()
    rates, _ = velocity_derivatives(model, data)

    def end(change: np.ndarray) -> np.ndarray:
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        data.qvel[:] = qvel + change
        mujoco.mj_step(model, data)
        return data.qvel.copy()

    moves = 1e-6 * np.eye(model.nv)
    true = np.stack([(end(move) - end(-move)) / 2e-6 for move in moves], axis=1)
    np.testing.assert_allclose(rates[model.nv :], true, atol=0.02 * np.abs(true).max())
