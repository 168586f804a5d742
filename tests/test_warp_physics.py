"""The mujoco_warp backend on Warp's CPU device, against MuJoCo in double precision; CUDA where there is one."""

from __future__ import annotations

import importlib.util
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("mujoco_warp")

from morphloop.base import MotionError
from morphloop.envs import TaskConfig, TrackingEnv, prepare
from morphloop.imitator import PriorConfig, make_prior
from morphloop.motion import make_corpus
from morphloop.sim import Body, CpuPhysics, Variation, default_body, make_physics
from morphloop.sim.physics.protocol import KEEP_DIVERGED, DivergedStates
from morphloop.sim.physics.warp import WarpPhysics, buffer_sizes

EVERYTHING = Variation((0.5, 1.5), (0.8, 1.2), (0.9, 1.1), (0.8, 1.2), (0.8, 1.2), (0.95, 1.05))

STATES, SEED = 200, 0
ENV_TOLERANCE = 1e-4
"""Observations and rewards of both backends on identical states, absolute and relative."""
ROUNDING, JUMP = 3e-7, 1.0
"""Of positions and velocities in single precision; newtons, of a force that they decide."""


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


agreement = benchmark("backend_agreement")


@pytest.fixture(scope="module")
def converged() -> Body:
    return agreement.converged_body()


@pytest.fixture(scope="module")
def states(converged: Body):
    return agreement.contact_states(converged, STATES, SEED)


@pytest.fixture(scope="module")
def result(converged: Body, states):
    return agreement.compare(converged, states)


def put(physics: CpuPhysics | WarpPhysics, states) -> None:
    """Environments of a backend into the first states."""
    count = physics.num_envs
    physics.set_state(torch.arange(count), states.qpos[:count], states.qvel[:count])
    physics.ctrl[:] = states.ctrl[:count].to(physics.ctrl.dtype)


def steady(states, count: int, ctrl: torch.Tensor | None = None) -> np.ndarray:
    """(count,) bool: states whose foot forces on the CPU stay what they are where the state is off by a few roundings
    of single precision. In the others a contact is about to begin or to end: no two backends agree on what it bears."""
    forces, random = [], torch.Generator().manual_seed(SEED)
    for size in (0.0, *[ROUNDING] * 5):
        physics = CpuPhysics(default_body(), count)
        off = [size * torch.randn(x.shape, generator=random, dtype=torch.float64) for x in (states.qpos, states.qvel)]
        put(physics, replace(states, qpos=states.qpos + off[0], qvel=states.qvel + off[1]))
        if ctrl is not None:
            physics.ctrl[:] = ctrl
        physics.step()
        forces.append(physics.foot_force.numpy().copy())
    own = np.ptp(forces, axis=0).max(axis=1) < JUMP
    assert own.mean() > 0.9
    return own


def test_a_control_step_agrees_with_double_precision_on_contact_states(result):
    assert np.percentile(result.qpos, 99) <= agreement.QPOS_BOUND
    assert np.percentile(result.qvel, 99) <= agreement.QVEL_BOUND
    assert result.qpos.max() > 0.0  # single against double precision: no difference at all means nothing was compared


def test_a_control_step_agrees_where_every_environment_has_its_own_model(converged: Body, states, result):
    models = EVERYTHING.sample(converged, STATES, SEED)
    found = agreement.compare(converged, states, models=models)
    assert np.percentile(found.qpos, 99) <= agreement.QPOS_BOUND
    assert np.percentile(found.qvel, 99) <= agreement.QVEL_BOUND
    ends = []
    for own in (None, models):
        cpu = CpuPhysics(converged, STATES, models=own)
        put(cpu, states)
        cpu.step()
        ends.append(cpu.qvel)
    apart = (ends[0] - ends[1]).abs().amax(dim=1)
    assert apart.median() > 10 * agreement.QVEL_BOUND  # the models do differ


def test_every_outlier_is_listed_with_the_contacts_that_differ(converged: Body, states):
    """A sole laid on the ground to a tenth of a micrometre touches on one side and not on the other."""
    rest = torch.from_numpy(converged.model.qpos0).float()[None]
    rest[0, 2] = converged.model.qpos0[2]
    edge = agreement.States(rest, torch.zeros(1, 75), torch.zeros(1, 69), np.zeros(1))
    both = agreement.States(
        torch.cat([states.qpos[:1], edge.qpos]),
        torch.cat([states.qvel[:1], edge.qvel]),
        torch.cat([states.ctrl[:1], edge.ctrl]),
        np.zeros(2),
    )
    (outlier,) = agreement.compare(converged, both).outliers
    assert outlier.state == 1
    assert outlier.qvel > agreement.QVEL_BOUND
    assert any("ankle_0 on floor" in pair for pair in outlier.contacts_only_cpu + outlier.contacts_only_warp)


def test_capsules_near_the_vertical_slide_as_in_mujoco(converged: Body):
    """mujoco_warp 3.17 turns the friction pyramid of such contacts: 2 rad/s apart after one substep."""
    qpos = np.array(converged.model.qpos0)
    qpos[3:7] = np.array([np.cos(0.1), np.sin(0.1) * 0.6, np.sin(0.1) * 0.8, 0.0])
    qpos[2] -= 0.5  # shins reach through the ground
    warp, data = WarpPhysics(converged, 1, "cpu"), mujoco.MjData(converged.model)
    data.qpos[:] = qpos
    mujoco.mj_step(converged.model, data)
    warp.set_state(torch.zeros(1, dtype=torch.long), torch.from_numpy(qpos)[None], torch.zeros(1, 75))
    agreement.mjw.step(warp.model, warp.data)
    count = int(warp.data.nacon.numpy()[0])
    frames = {int(g): f for g, f in zip(data.contact.geom[:, 1], data.contact.frame.reshape(-1, 9), strict=True)}
    capsules = [g for g in frames if converged.model.geom_type[g] == mujoco.mjtGeom.mjGEOM_CAPSULE]
    assert any(np.cos(np.pi / 6) < abs(data.geom_xmat[g, 8]) < 0.999 for g in capsules)
    for geom, frame in zip(warp.data.contact.geom.numpy()[:count, 1], warp.data.contact.frame.numpy(), strict=False):
        np.testing.assert_allclose(frame.reshape(9), frames[int(geom)], atol=1e-5)


class Leading(CpuPhysics):
    """Keeps the state after a step, before what ended starts anew."""

    after: tuple[torch.Tensor, torch.Tensor]

    def step(self) -> torch.Tensor:
        failed = super().step()
        self.after = self.qpos.clone(), self.qvel.clone()
        return failed


class Following(WarpPhysics):
    """Steps by itself, then takes the state of another backend: what follows sees identical states."""

    leader: Leading

    def step(self) -> torch.Tensor:
        failed = super().step()
        self.qpos.copy_(self.leader.after[0])
        self.qvel.copy_(self.leader.after[1])
        return failed


def test_observations_rewards_and_terminations_agree_on_identical_states(states):
    body = default_body()
    clips = [prepare(clip, body) for clip in make_corpus(4, SEED)]
    leader, follower = Leading(body, STATES), Following(body, STATES, "cpu")
    follower.leader = leader
    config = TaskConfig(termination_distance=1.0)
    envs = [TrackingEnv(clips, body, STATES, config, SEED, physics) for physics in (leader, follower)]
    np.testing.assert_allclose(envs[0].reset(), envs[1].reset(), atol=ENV_TOLERANCE)
    for physics in (leader, follower):
        put(physics, states)
    action = torch.randn(STATES, envs[0].action_size, generator=torch.Generator().manual_seed(SEED))
    mine, other = (env.step(action) for env in envs)
    own = steady(states, STATES, leader.ctrl)
    for a, b in ((mine.final_obs, other.final_obs), (mine.obs, other.obs)):
        np.testing.assert_allclose(a[own], b[own], atol=ENV_TOLERANCE, rtol=ENV_TOLERANCE)
    np.testing.assert_allclose(mine.reward, other.reward, atol=ENV_TOLERANCE)
    np.testing.assert_allclose(mine.error, other.error, atol=ENV_TOLERANCE)
    np.testing.assert_allclose(mine.slide, other.slide, atol=ENV_TOLERANCE)
    assert torch.equal(mine.terminated, other.terminated)
    assert torch.equal(mine.truncated, other.truncated)
    assert 0 < int(mine.terminated.sum()) < STATES
    assert float(envs[1].foot_force.max()) > 100.0


def test_a_diverging_world_is_reset_counted_and_kept_and_others_are_untouched(states):
    body, count, failing = default_body(), 6, 2
    good, bad = WarpPhysics(body, count, "cpu"), WarpPhysics(body, count, "cpu")
    for physics in (good, bad):
        put(physics, states)
        physics.step()
    before = bad.qpos[failing].clone(), bad.qvel[failing].clone()
    bad.qvel[failing, 7] = float("nan")
    bad.ctrl[failing, 3] = 0.25
    good.step()
    failed = bad.step()
    assert failed.tolist() == [env == failing for env in range(count)]
    assert (bad.diverged, good.diverged) == (1, 0)
    others = ~failed
    assert torch.equal(bad.qpos[others], good.qpos[others])
    assert torch.equal(bad.qvel[others], good.qvel[others])
    np.testing.assert_allclose(bad.qpos[failing], body.model.qpos0, atol=1e-6)
    assert not bad.qvel[failing].any()
    assert not bad.foot_force[failing].any()
    assert torch.equal(bad.foot_force[others], good.foot_force[others])
    (kept,) = bad.diverged_states.states()
    assert (kept.env, kept.step) == (failing, 2)
    np.testing.assert_array_equal(kept.qpos, before[0])
    np.testing.assert_array_equal(kept.qvel, before[1])
    assert kept.ctrl[3] == 0.25
    for _ in range(3):
        assert not bad.step().any()
    assert bool(torch.isfinite(bad.qpos).all())


def test_both_backends_keep_the_same_diverged_state(states):
    kept = []
    for physics in (CpuPhysics(default_body(), 3), WarpPhysics(default_body(), 3, "cpu")):
        put(physics, states)
        physics.qvel[1] = float("nan")
        assert physics.step().tolist() == [False, True, False]
        kept.append(physics.diverged_states.states()[0])
    assert kept[0].env == kept[1].env == 1
    assert kept[0].qpos.shape == kept[1].qpos.shape == (99,)
    np.testing.assert_array_equal(kept[0].ctrl.astype(np.float32), kept[1].ctrl)


def test_diverged_states_keep_the_newest_and_count_all():
    count = KEEP_DIVERGED + 5
    numbers = torch.arange(count)[:, None].float()
    kept = DivergedStates(numbers, 10 * numbers, 100 * numbers)
    assert kept.states() == []
    kept.add(torch.arange(count) == 3, 100 * numbers)
    kept.add(torch.ones(count, dtype=torch.bool), 100 * numbers)
    assert kept.total == count + 1
    found = kept.states()
    assert [state.env for state in found] == list(range(5, count))
    assert all(state.qvel[0] == 10 * state.env and state.ctrl[0] == 100 * state.env for state in found)
    assert all(state.step == 2 for state in found)


def test_buffers_hold_every_contact_and_too_small_ones_are_counted(states, caplog):
    body, count = default_body(), 16
    enough, small = WarpPhysics(body, count, "cpu"), WarpPhysics(body, count, "cpu", contacts=1)
    for physics in (enough, small):
        put(physics, states)
        physics.step()
    with caplog.at_level(logging.WARNING, "morphloop.physics"):
        assert enough.overflow == 0
        assert not caplog.records
        assert small.overflow > 0
    (record,) = caplog.records
    assert "contacts were left out" in record.getMessage()


def test_overflow_is_reported_without_being_asked_for(states, caplog, monkeypatch):
    monkeypatch.setattr("morphloop.sim.physics.warp.OVERFLOW_LOOK", 2)
    physics = WarpPhysics(default_body(), 16, "cpu", contacts=1)
    with caplog.at_level(logging.WARNING, "morphloop.physics"):
        for _ in range(2):
            put(physics, states)
            physics.step()
    assert len(caplog.records) == 1


def test_buffer_sizes_are_what_the_model_can_make_at_most():
    spheres, capsules, boxes = 2, 20, 2
    contacts, rows = buffer_sizes(default_body().model)
    assert contacts == spheres + 2 * capsules + 8 * boxes
    assert rows == 4 * contacts


SELF_TOUCHING = """<mujoco><worldbody><geom type="plane" size="1 1 1"/>
<body><freejoint/><geom size=".1"/>
  <body pos="1 0 0"><joint range="0 1" limited="true"/><geom size=".1"/>
    <body pos="1 0 0"><joint/><geom type="box" size=".1 .1 .1" condim="6"/></body></body></body>
</worldbody></mujoco>"""


def test_buffer_sizes_leave_out_pairs_that_mujoco_never_tests():
    contacts, rows = buffer_sizes(mujoco.MjModel.from_xml_string(SELF_TOUCHING))
    assert contacts == (1 + 1 + 8) + 1  # the plane with each, and the first sphere with the box: the others are parents
    assert rows == 10 * contacts + 2  # dimension 6, and a limited hinge


def test_set_state_forgets_what_was_before_and_leaves_others(states):
    body = default_body()
    used, fresh = WarpPhysics(body, 4, "cpu"), WarpPhysics(body, 4, "cpu")
    put(used, states)
    for _ in range(3):
        used.step()
    kept = used.qpos[[0, 2]].clone()
    ids = torch.tensor([3, 1])
    for physics in (used, fresh):
        physics.set_state(ids, states.qpos[10:12], states.qvel[10:12])
        assert torch.equal(physics.qpos[3], states.qpos[10])
        assert not physics.ctrl[ids].any()
    assert torch.equal(used.qpos[[0, 2]], kept)
    used.step()
    fresh.step()
    assert torch.equal(used.qpos[ids], fresh.qpos[ids])
    assert torch.equal(used.qvel[ids], fresh.qvel[ids])


def test_the_captured_step_is_the_steps_one_by_one(states):
    captured, launched = WarpPhysics(default_body(), 4, "cpu"), WarpPhysics(default_body(), 4, "cpu")
    for physics in (captured, launched):
        put(physics, states)
    captured.advance()
    for _ in range(launched.body.substeps):
        agreement.mjw.step(launched.model, launched.data)
    assert torch.equal(captured.qpos, launched.qpos)
    assert torch.equal(captured.qvel, launched.qvel)
    assert not torch.equal(captured.qpos, states.qpos[:4])


def test_tensors_are_views_of_warps_arrays():
    physics = WarpPhysics(default_body(), 3, "cpu")
    assert (physics.qpos.dtype, physics.qvel.dtype, physics.ctrl.dtype) == (torch.float32,) * 3
    physics.ctrl[1, 5] = 0.5
    physics.qpos[2, 0] = 7.0
    assert physics.data.ctrl.numpy()[1, 5] == 0.5
    assert physics.data.qpos.numpy()[2, 0] == 7.0


def test_foot_force_is_that_of_the_cpu(states):
    forces = []
    for physics in (CpuPhysics(default_body(), 32), WarpPhysics(default_body(), 32, "cpu")):
        put(physics, states)
        physics.step()
        forces.append(physics.foot_force.numpy())
    own = steady(states, 32)
    assert forces[0][own].max() > 100.0
    np.testing.assert_allclose(forces[1][own], forces[0][own], rtol=1e-3, atol=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is not there")
@pytest.mark.parametrize("device", [None, "cuda", "cuda:7"])
def test_cuda_without_a_gpu_is_one_line(device: str | None):
    with pytest.raises(MotionError, match=r"^no device 'cuda.*' on this machine, expected one of cpu$"):
        make_physics(default_body(), 2, "warp", device)


def test_a_body_that_mujoco_warp_cannot_simulate_is_one_line():
    body = Body()
    body.model.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    with pytest.raises(MotionError, match="mujoco_warp cannot simulate it, Dense is unsupported") as error:
        WarpPhysics(body, 1, "cpu")
    assert "\n" not in str(error.value)


def test_the_factory_refuses_what_does_not_exist():
    with pytest.raises(MotionError, match="unknown physics backend 'mjx', expected 'cpu' or 'warp'"):
        make_physics(default_body(), 1, "mjx")  # pyright: ignore[reportArgumentType]  # what a user may type
    with pytest.raises(MotionError, match="backend 'cpu' runs on the CPU, got device 'cuda:0'"):
        make_physics(default_body(), 1, "cpu", "cuda:0")
    assert isinstance(make_physics(default_body(), 1), CpuPhysics)


class NoWaiting(TorchDispatchMode):
    """Raises at what makes a host wait for its device: a number or a size read back, or data sent there."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "is_nonzero", "_unique2")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().split("::")[1].split(".")[0]
        if name in self.WAITS or (name.startswith("index") and _by_mask(args)):
            raise AssertionError(f"{func.name()} waits for the device")
        return func(*args, **(kwargs or {}))


def _by_mask(args: tuple[Any, ...]) -> bool:
    indices = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else []
    return any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)


@pytest.mark.parametrize(
    "config", [TaskConfig(push=0.1), TaskConfig(push=0.1, speed=(0.9, 1.1))], ids=["whole frames", "speeds"]
)
@pytest.mark.parametrize("prior", ["none", "vae", "adversarial"])
def test_a_step_never_waits_for_the_device(config: TaskConfig, prior: Any):
    """Not even where episodes end: on CUDA a wait a step costs more than the step."""
    body = default_body()
    clips = [prepare(clip, body) for clip in make_corpus(2, SEED)]
    env = TrackingEnv(clips, body, 4, replace(config, max_steps=2), SEED, WarpPhysics(body, 4, "cpu"))
    if prior != "none":
        env.prior = make_prior(PriorConfig(prior, steps=2, batch=8), env.library)
    env.want_final = False
    env.reset()
    action = torch.zeros(4, env.action_size)
    with NoWaiting():
        ends = [env.step(action).truncated for _ in range(4)]
    assert torch.stack(ends).sum() == 8
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        float(env.foot_force.sum())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_step_never_waits_on_cuda():
    """As torch itself sees it."""
    body = default_body()
    env = TrackingEnv([prepare(make_corpus(1, SEED)[0], body)], body, 64, physics=WarpPhysics(body, 64, "cuda:0"))
    env.reset()
    action = torch.zeros(64, env.action_size, device="cuda:0")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            env.step(action)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_captured_step_agrees_on_cuda(converged: Body, states):
    found = agreement.compare(converged, states, "cuda:0")
    assert np.percentile(found.qpos, 99) <= agreement.QPOS_BOUND
    assert np.percentile(found.qvel, 99) <= agreement.QVEL_BOUND
