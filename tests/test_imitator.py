"""Policies and their file, the bridge to Stable-Baselines3, the trajectory optimiser's labels, training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from stable_baselines3 import PPO
from torch import nn

from morphloop.base import MotionError
from morphloop.envs import Observer, TrackingEnv, build_library, observation_size, prepare
from morphloop.envs.sb3_adapter import TrackingVecEnv
from morphloop.imitator import (
    Ilqr,
    IlqrConfig,
    Policy,
    load_policy,
    new_policy,
)
from morphloop.imitator.training.policy import OBSERVATION_CLIP
from morphloop.imitator.training.ppo import fit_normaliser, give_to_sb3, take_from_sb3
from morphloop.metrics import track_errors
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, certify, default_body

SMALL = IlqrConfig(horizon=8, replan=4, iterations=1, hard_iterations=2)
"""An effort that a test can pay for."""
MOVING_MM = 20.0
"""A frozen pose must be further off than this, or tracking the clip shows nothing."""


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def squat(body: Body) -> Clip:
    """One second of a squat in which the pose changes most."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    speed = np.abs(np.gradient(clip.root_pos[:, 2]))
    start = int(np.argmax(np.convolve(speed, np.ones(31), mode="valid")))
    return replace(clip.slice(start, start + 31), name="squat")


@pytest.fixture
def policy(body: Body) -> Policy:
    """A policy whose answers and normaliser are not trivial."""
    made = new_policy(body, hidden=(32, 16), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        made.mean.copy_(torch.randn(made.mean.shape, generator=generator))
        made.std.copy_(torch.rand(made.std.shape, generator=generator) + 0.5)
        made.log_std.fill_(-1.3)
        last = made.actor[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(100.0)
    return made.eval()


def some_obs(body: Body, count: int = 8) -> torch.Tensor:
    return torch.randn(count, observation_size(body), generator=torch.Generator().manual_seed(5))


# -- the policy and its file -----------------------------------------------------------------------------------------


def test_a_new_policy_asks_for_almost_nothing_and_repeats_under_a_seed(body: Body):
    policy = new_policy(body, seed=3)
    assert policy.act(some_obs(body)).abs().max() < 0.1
    assert new_policy(body, seed=3).to_bytes() == policy.to_bytes()
    assert new_policy(body, seed=4).hash != policy.hash


def test_a_policy_file_comes_back_to_the_bit(body: Body, policy: Policy, tmp_path: Path):
    path = policy.save(tmp_path / "policy.safetensors")
    back = load_policy(path, body)
    obs = some_obs(body)
    assert torch.equal(back.act(obs), policy.act(obs))
    assert back.spec == policy.spec
    assert back.hash == policy.hash
    assert torch.equal(back.log_std, policy.log_std)
    assert path.read_bytes() == back.to_bytes()


def test_observations_are_normalised_and_cut(policy: Policy):
    obs = policy.mean + 2.0 * policy.std
    np.testing.assert_allclose(policy.normalise(obs[None])[0].detach(), 2.0, atol=1e-5)
    assert policy.normalise(obs[None] + 1e6).max() == OBSERVATION_CLIP


def test_a_copy_learns_for_itself(policy: Policy):
    twin, before = policy.copy(), policy.hash
    assert twin.hash == before
    with torch.no_grad():
        twin.log_std.add_(1.0)
    assert policy.hash == before != twin.hash


def test_a_policy_of_another_body_is_refused(policy: Policy, tmp_path: Path):
    path = policy.save(tmp_path / "policy.safetensors")
    with pytest.raises(MotionError, match=r"made for body 'smpl24'.*asked to drive 'smpl24_hinge'"):
        load_policy(path, default_body("hinge"))


def rewritten(policy: Policy, path: Path, **changes: object) -> Path:
    """The policy's file with fields of its header changed, or left out where None."""
    header = {"schema": 2, **policy.spec.__dict__} | changes
    text = json.dumps({k: v for k, v in header.items() if v is not None})
    path.write_bytes(save_tensors(load_tensors(policy.to_bytes()), metadata={"policy": text}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": 704}, "reads 704 numbers of observation, this task gives"),
        ({"layout": "height, then feet"}, r"reads \(height, then feet\), this task gives \(root height, "),
        ({"joints": ["left_hip"]}, "drives left_hip, body 'smpl24' has left_hip, "),
        ({"schema": 1}, "no policy header of schema 2"),
        ({"balance": "0" * 16}, "trained over balance gains 0000000000000000, this version has [0-9a-f]{16}"),
        ({"joints": "left_hip"}, "joints = left_hip, expected a list of names"),
        ({"hidden": [32, -1]}, "hidden = .*expected a list of numbers"),
        ({"action": 10**9}, "action = 1000000000, expected a number from 1"),
        ({"body": None}, "body = None, expected text"),
        ({"notes": []}, "notes = .*expected an object"),
        ({"hidden": [32, 8]}, "tensor 'actor.2.weight' is"),
    ],
)
def test_a_wrong_header_is_one_clear_line(body: Body, policy: Policy, tmp_path: Path, changes: dict, message: str):
    path = rewritten(policy, tmp_path / "policy.safetensors", **changes)
    with pytest.raises(MotionError, match=message) as caught:
        load_policy(path, body)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_no_policy_file_is_refused(body: Body, policy: Policy, tmp_path: Path):
    garbage, cut, plain = (tmp_path / name for name in ("garbage", "cut", "plain"))
    garbage.write_bytes(b"\x80\x04K\x01.")
    cut.write_bytes(policy.to_bytes()[:-1000])
    plain.write_bytes(save_tensors({"x": torch.zeros(1)}))
    for path, message in ((garbage, "not a policy file"), (cut, "not a policy file"), (plain, "no policy header")):
        with pytest.raises(MotionError, match=message) as caught:
            load_policy(path, body)
        assert "\n" not in str(caught.value)
    with pytest.raises(MotionError, match="no such policy file"):
        load_policy(tmp_path / "absent", body)


# -- the bridge to Stable-Baselines3 ---------------------------------------------------------------------------------


def test_weights_go_to_stable_baselines_and_back(body: Body, squat: Clip, policy: Policy):
    vec = TrackingVecEnv(TrackingEnv([prepare(squat, body)], body, 2), policy.normalise)
    hidden = list(policy.spec.hidden)
    layout = {"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": nn.ELU}
    model = PPO("MlpPolicy", vec, n_steps=4, batch_size=8, policy_kwargs=layout, device="cpu", seed=0)
    give_to_sb3(policy, model)
    obs = some_obs(body, 2)
    read = policy.normalise(obs)
    theirs, _ = model.predict(read.numpy(), deterministic=True)
    limit = model.action_space.high[0]
    np.testing.assert_allclose(theirs, policy.act(obs).clamp(-limit, limit), atol=1e-5)
    np.testing.assert_allclose(model.policy.predict_values(read).detach(), policy.critic(read).detach(), atol=1e-5)
    back = new_policy(body, hidden=policy.spec.hidden, seed=9)
    back.mean.copy_(policy.mean)
    back.std.copy_(policy.std)
    take_from_sb3(model, back)
    assert back.hash == policy.hash


# -- the trajectory optimiser ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracked(body: Body, squat: Clip):
    optimiser = Ilqr(body, build_library([prepare(squat, body)], body), SMALL)
    return optimiser, optimiser.track(0)


def test_the_optimiser_tracks_a_clip_that_moves(body: Body, squat: Clip, tracked):
    optimiser, track = tracked
    reference = prepare(squat, body)
    rollout = track.recorder.rollout(0)
    clip = body.clip_from_qpos(rollout.qpos, rollout.fps)
    errors = track_errors(clip, reference, track.completed)
    frozen = errors["e_mpjpe_mm"] / (1.0 - errors["skill"])
    assert frozen > MOVING_MM
    assert track.completed
    assert errors["success"] == 1.0
    assert errors["skill"] > 0.4
    assert rollout.num_frames == reference.num_frames
    assert optimiser.steps_simulated == track.steps > 0
    assert certify(rollout, body).bit_equal


def test_labels_say_what_was_done_where(body: Body, squat: Clip, tracked):
    optimiser, track = tracked
    assert [label.frame for label in track.labels] == list(range(30))
    assert np.array_equal(track.labels[7].qpos, track.recorder.qpos[7])
    observer, index = Observer(body, optimiser.library), torch.zeros(1, dtype=torch.long)
    state = observer.kinematics(*(torch.from_numpy(x[7][None]) for x in (track.recorder.qpos, track.recorder.qvel)))
    base = observer.base(state, index, index + 7)[0].double().numpy()
    np.testing.assert_allclose(track.recorder.ctrl[7] - track.labels[7].offset, base, atol=1e-6)
    assert (np.abs(track.labels[7].offset) > 1e-6).any()


def test_a_clip_that_fails_goes_back_and_is_planned_harder(body: Body, squat: Clip):
    library = build_library([prepare(squat, body)], body)
    config = replace(SMALL, horizon=4, fall_distance=0.004, retries=0)
    given_up = Ilqr(body, library, config).track(0)
    tries = Ilqr(body, library, replace(config, retries=2, back=6)).track(0)
    assert not given_up.completed
    assert tries.steps > given_up.steps
    assert tries.completed or len(tries.labels) >= len(given_up.labels)
    for track in (given_up, tries):
        rollout = track.recorder.rollout(0)
        assert [label.frame for label in track.labels] == list(range(rollout.num_frames - 1))
        assert np.array_equal(np.array([label.qpos for label in track.labels]), rollout.qpos[:-1])
        assert certify(rollout, body).bit_equal, "also where an attempt was cut off and another put on"


# -- training --------------------------------------------------------------------------------------------------------


def test_the_normaliser_is_fitted_to_what_the_task_shows(body: Body, squat: Clip):
    policy = new_policy(body, hidden=(8,), seed=0)
    env = TrackingEnv([prepare(squat, body)], body, 16, seed=0)
    fit_normaliser(policy, env)
    read = policy.normalise(env.reset())
    assert read.abs().mean() < 1.5
    assert float(policy.mean[0]) == pytest.approx(float(env.library.qpos[:, 2].mean()), abs=0.15)
    assert (policy.std >= 0.02 - 1e-6).all()
