"""Clips between their frames, at other speeds, for bodies of other sizes, and resets by mask."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.envs import TaskConfig, TrackingEnv, build_library, prepare, reference
from morphloop.envs.playback import Playback
from morphloop.motion import Clip, make_corpus
from morphloop.motion.rotations import quat_angle
from morphloop.sim import Body, CpuPhysics, Variation, default_body, make_physics

BACKENDS = [
    "cpu",
    pytest.param("warp", marks=pytest.mark.skipif(not importlib.util.find_spec("mujoco_warp"), reason="mujoco_warp")),
]
VARIED = Variation((0.8, 1.2), (0.9, 1.1), (0.95, 1.05), (0.9, 1.1), (0.9, 1.1), (0.96, 1.04))


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def walk(body: Body) -> Clip:
    return prepare(next(c for c in make_corpus(40, seed=4) if c.provenance.notes["action"] == "walk"), body)


def test_between_frames_is_the_resampled_clip(body: Body, walk: Clip):
    """Half frames against the clip resampled to twice the rate, which turns joints and so goes along arcs: a chord is
    off by a h^2 / 8 at most."""
    library, fine = build_library([walk], body), walk.resampled(2.0 * walk.fps)
    count = min(fine.num_frames, 2 * walk.num_frames - 1)
    phase = torch.arange(count) / 2.0
    found = library.joints_between(library.between(torch.zeros(count, dtype=torch.long), phase))
    off = np.linalg.norm(found.pos.numpy() - fine.positions[:count], axis=-1)
    acceleration = np.linalg.norm(np.diff(fine.positions[:count], 2, axis=0), axis=-1).max() * fine.fps**2
    assert off.max() < acceleration / walk.fps**2 / 8.0
    assert off.mean() < 5e-4
    assert quat_angle(found.rot.numpy().astype(float), fine.global_rotations[:count]).max() < 5e-3
    speed = np.gradient(fine.positions[:count], 1.0 / fine.fps, axis=0)[2:-2]
    assert np.abs(found.vel.numpy()[2:-2] - speed).mean() < 0.02 < np.abs(speed).mean()


def test_whole_frames_are_the_rows_and_the_end_holds(body: Body, walk: Clip):
    library = build_library([walk, walk], body)
    clip, frame = torch.tensor([0, 1, 1]), torch.tensor([0, 7, 10_000])
    rows, at = library.rows(clip, frame), library.between(clip, frame.float())
    assert torch.equal(at.nearest, rows)
    assert torch.equal(library.joints_between(at).pos, library.state.pos[rows])
    np.testing.assert_allclose(library.qpos_between(at), library.qpos[rows], atol=1e-6)


def test_rotations_go_the_short_way_at_unit_length(body: Body, walk: Clip):
    library = build_library([walk], body)
    library.state.rot[1] *= -1.0  # the same rotation
    at = library.between(torch.tensor([0]), torch.tensor([0.5]))
    turn = library.joints_between(at).rot
    np.testing.assert_allclose(turn.norm(dim=-1), 1.0, atol=1e-6)
    ends = [quat_angle(turn[0].numpy(), walk.global_rotations[frame]) for frame in (0, 1)]
    np.testing.assert_allclose(*ends, atol=1e-3)


def test_a_faster_clip_has_faster_joints_and_targets_that_lead_more(body: Body, walk: Clip):
    env = TrackingEnv([walk], body, 1)
    clip, phase = torch.tensor([0]), torch.tensor([10.0])
    plain, fast = Playback(torch.ones(1), torch.ones(1)), Playback(torch.tensor([1.5]), torch.ones(1))
    slow, quick = (play.joints(env.library, clip, phase) for play in (plain, fast))
    assert torch.equal(slow.pos, quick.pos)
    np.testing.assert_allclose(quick.vel, 1.5 * slow.vel, atol=1e-6)
    np.testing.assert_allclose(quick.ang, 1.5 * slow.ang, atol=1e-6)
    targets = [play.target(env.library, clip, phase, env.observer.lead)[1] for play in (plain, fast)]
    rate = env.library.qvel[10:11, env.library.coordinates.servo_dofs]
    np.testing.assert_allclose(targets[1] - targets[0], 0.5 * env.observer.lead * rate, atol=1e-6)


def test_playing_at_its_own_speed_is_what_whole_frames_are(body: Body, walk: Clip):
    """The same observations, rewards and targets from both paths."""
    plain, played = (TrackingEnv([walk], body, 3, TaskConfig(random_start=False)) for _ in range(2))
    played.play = played.task.play = Playback(torch.ones(3), torch.ones(3))
    played.frame = torch.zeros(3)
    clip = torch.zeros(3, dtype=torch.long)
    np.testing.assert_allclose(plain.reset(clip=clip), played.reset(clip=clip), atol=1e-5)
    for _ in range(3):
        a, b = (env.step(torch.zeros(3, env.action_size)) for env in (plain, played))
        np.testing.assert_allclose(a.obs, b.obs, atol=1e-3)
        np.testing.assert_allclose(a.reward, b.reward, atol=1e-4)


def test_speeds_are_drawn_and_clips_end_sooner(body: Body, walk: Clip):
    env = TrackingEnv([walk], body, 64, TaskConfig(speed=(1.5, 2.0)), seed=0)
    env.reset()
    assert env.play is not None
    assert 1.5 <= float(env.play.speed.min()) < float(env.play.speed.max()) <= 2.0
    assert bool((env.frame % 1.0 != 0).any()), "starts fall between frames"
    before, speed = env.frame.clone(), env.play.speed.clone()
    result = env.step(torch.zeros(64, env.action_size))
    going = ~(result.terminated | result.truncated)
    np.testing.assert_allclose(env.frame[going], (before + speed)[going], atol=1e-5)
    assert float(result.error.mean()) < 0.05
    with pytest.raises(MotionError, match=r"speed is \(0, 1\), expected 0 < low <= high < 4"):
        TaskConfig(speed=(0.0, 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_bodies_of_other_sizes_masses_and_gains_follow_a_clip_scaled_to_them(backend: str, body: Body, walk: Clip):
    models = VARIED.sample(body, 4, seed=1)
    physics = make_physics(body, 4, backend, "cpu", models)  # pyright: ignore[reportArgumentType]  # a parameter
    env = TrackingEnv([walk], body, 4, TaskConfig(random_start=False), physics=physics)
    env.reset()
    size = torch.as_tensor(models.drawn["size"]).float()
    np.testing.assert_allclose(env.physics.qpos[:, 2], size * env.library.qpos[0, 2], rtol=1e-5)
    np.testing.assert_allclose(env.state.pos, size[:, None, None] * env.library.state.pos[:1], atol=1e-5)
    for env_id in range(4):  # MuJoCo's own kinematics of the model that was drawn
        data = _forward(models.model(body, env_id), env.physics.qpos[env_id].double().numpy())
        np.testing.assert_allclose(env.state.pos[env_id], data.xpos[body.body_ids], atol=1e-5)
    gains = models.fields["actuator_gainprm"][:, :, 0]
    np.testing.assert_allclose(env.task.servos.stiffness, gains, rtol=1e-6)
    results = [env.step(torch.zeros(4, env.action_size)) for _ in range(10)]
    assert not any(result.terminated.any() for result in results)
    assert (results[-1].error < 0.1).all()


def _forward(model, qpos: np.ndarray):
    import mujoco

    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    return data


class ByMask(CpuPhysics):
    """The CPU backend as one that must not be asked who ended."""

    def set_where(self, which: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        ids = torch.nonzero(which).flatten()
        self.set_state(ids, qpos[ids], qvel[ids])


@pytest.mark.parametrize("speed", [(1.0, 1.0), (0.9, 1.1)])
def test_resets_by_mask_are_those_by_row(body: Body, walk: Clip, speed: tuple[float, float]):
    """Step by step until the streams of draws part: a mask draws at every step, rows only where one ended."""
    config = TaskConfig(max_steps=1, speed=speed, push=0.1)
    rows = TrackingEnv([walk], body, 6, config, seed=3)
    mask = TrackingEnv([walk], body, 6, config, seed=3, physics=ByMask(body, 6))
    assert torch.equal(rows.reset(), mask.reset())
    for _ in range(3):  # all end at every step, so that both draw as often
        a, b = (env.step(torch.zeros(6, env.action_size)) for env in (rows, mask))
        assert a.truncated.all()
        np.testing.assert_allclose(a.obs, b.obs, atol=1e-6)
        np.testing.assert_allclose(a.final_obs, b.final_obs, atol=1e-6)
        assert torch.equal(rows.frame, mask.frame)
        assert torch.equal(rows.sampler.failure, mask.sampler.failure)


def test_who_did_not_end_goes_on_under_a_mask(body: Body, walk: Clip):
    env = TrackingEnv([walk], body, 3, TaskConfig(random_start=False, max_steps=50), physics=ByMask(body, 3))
    env.want_final = False
    env.reset()
    env.step(torch.zeros(3, env.action_size))
    env.steps[1] = 49
    result = env.step(torch.zeros(3, env.action_size))
    assert result.truncated.tolist() == [False, True, False]
    assert env.steps.tolist() == [2, 0, 2]
    assert env.frame.tolist() == [2, 0, 2]
    assert result.final_obs.shape == (0, env.observation_size)
    np.testing.assert_allclose(env.physics.qpos[1].float(), env.library.qpos[0], atol=1e-6)


def test_clips_too_long_for_memory_are_refused_with_what_they_need(body: Body, walk: Clip, monkeypatch):
    monkeypatch.setattr(reference, "free_memory", lambda device: 1_000_000)
    with pytest.raises(MotionError, match=r"^40 clips: \d+ frames need 0\.0\d* GB on cpu, 0\.0 GB are free; expected"):
        build_library([walk] * 40, body)
