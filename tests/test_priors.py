"""Learned priors: real transitions score higher than spoilt ones, nothing saturates, the discriminator separates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.envs import MotionLibrary, TaskConfig, TrackingEnv, build_library, prepare
from morphloop.imitator import Prior, PriorConfig, load_policy, load_prior, make_prior
from morphloop.imitator.training.priors import (
    AdversarialPrior,
    VaePrior,
    clip_transitions,
    pose_and_change,
    shaken,
    state_difference,
)
from morphloop.motion import make_corpus
from morphloop.motion.rotations import quat_from_heading, quat_mul, quat_rotate
from morphloop.sim import Body, JointState, default_body

VAE = PriorConfig("vae", steps=300, batch=128)
ADVERSARIAL = PriorConfig("adversarial", batch=128, online_steps=60)


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def clips(body: Body) -> list:
    """Two seconds of each of eight actions."""
    corpus = make_corpus(24, seed=6, split="train")
    first = {c.provenance.notes["action"]: c for c in reversed(corpus)}
    return [prepare(c.slice(10, 70), body) for c in list(first.values())[:8]]


@pytest.fixture(scope="module")
def library(body: Body, clips: list) -> MotionLibrary:
    return build_library(clips, body)


@pytest.fixture(scope="module")
def vae(library: MotionLibrary) -> VaePrior:
    prior = make_prior(VAE, library)
    assert isinstance(prior, VaePrior)
    return prior


def real(library: MotionLibrary) -> tuple[JointState, JointState]:
    return clip_transitions(library, seed=1, most=300)


def jittered(state: JointState, metres: float) -> JointState:
    return shaken(state, metres, 30.0, torch.Generator().manual_seed(0))


def other_order(state: JointState) -> JointState:
    return state.rows(torch.randperm(len(state.pos), generator=torch.Generator().manual_seed(0)))


def turned(state: JointState, yaw: float, shift: tuple[float, float, float]) -> JointState:
    """The same state elsewhere and another way round."""
    turn = torch.from_numpy(np.asarray(quat_from_heading(np.array(yaw)))).float()
    spun = {name: quat_rotate(turn.expand_as(state.rot), getattr(state, name)) for name in ("pos", "vel", "ang")}
    spun["pos"] = spun["pos"] + torch.tensor(shift)
    return JointState(rot=quat_mul(turn.expand_as(state.rot), state.rot), **spun)


@pytest.mark.parametrize("features", [state_difference, pose_and_change])
def test_features_do_not_know_where_and_which_way(library: MotionLibrary, features: Any):
    before, after = real(library)
    here = features(before, after)
    there = features(turned(before, 2.0, (3.0, -1.0, 0.0)), turned(after, 2.0, (3.0, -1.0, 0.0)))
    assert here.std() > 0.01
    torch.testing.assert_close(there, here, atol=2e-5, rtol=1e-4)
    lifted = features(turned(before, 0.0, (0.0, 0.0, 0.1)), turned(after, 0.0, (0.0, 0.0, 0.1)))
    assert (lifted - here).abs().max() < (0.11 if features is pose_and_change else 1e-4)


def test_a_state_difference_is_what_changed(library: MotionLibrary):
    before, _ = real(library)
    joints = before.pos.shape[1]
    after = replace(before, pos=before.pos + torch.tensor([0.0, 0.0, 0.02]), ang=before.ang + torch.tensor([0, 0, 1.0]))
    parts = state_difference(before, after).unflatten(1, (4, joints, 3))
    torch.testing.assert_close(parts[:, 0], torch.tensor([0.0, 0.0, 0.02]).expand_as(parts[:, 0]), atol=1e-6, rtol=0)
    assert parts[:, 1].abs().max() < 1e-3
    assert parts[:, 2].abs().max() == 0.0
    torch.testing.assert_close(parts[:, 3], torch.tensor([0.0, 0.0, 1.0]).expand_as(parts[:, 3]))


def test_the_vae_prefers_how_the_clips_move(library: MotionLibrary, vae: VaePrior):
    before, after = real(library)
    good = vae(before, after)
    shaken = vae(before, jittered(after, 0.005))
    mixed = vae(before, other_order(after))
    assert good.shape == (300,)
    assert (good > shaken).float().mean() > 0.99
    assert (good > mixed).float().mean() > 0.95
    assert good.mean() - 0.05 > shaken.mean() > mixed.mean()


def test_the_vaes_reward_is_not_at_an_end_of_its_sigmoid(body: Body, clips: list, vae: VaePrior):
    """Over clips, shaken clips and what an untrained policy does with its noise; the figures are the spread."""
    top = 0.5 * VAE.weight
    env = TrackingEnv(clips, body, 16, TaskConfig(push=0.15))
    before, after = real(env.library)
    rewards = [vae(before, after), vae(before, jittered(after, 0.005))]
    vae.learn()
    env.prior = vae
    env.reset()
    for _ in range(8):
        env.step(0.135 * torch.randn(16, env.action_size, generator=env.generator))
    simulated = vae.learn()
    middle = [float(reward.median()) / top for reward in rewards] + [simulated["prior_reward"] / top]
    assert middle[0] == pytest.approx(0.96, abs=0.04)
    assert middle[1] == pytest.approx(0.54, abs=0.02), "where the unit is taken"
    assert 0.05 < middle[2] < 0.9
    assert all(float(reward.std()) > 0.003 * top for reward in rewards)
    assert simulated["prior_spread"] > 0.02 * top


def test_a_vae_is_the_same_under_a_seed_and_read_back(library: MotionLibrary, vae: VaePrior, tmp_path: Path):
    small = PriorConfig("vae", steps=5, batch=32)
    torch.manual_seed(1)
    one = make_prior(small, library)
    torch.manual_seed(2)
    assert make_prior(small, library).to_bytes() == one.to_bytes()
    assert make_prior(replace(small, seed=1), library).to_bytes() != one.to_bytes()
    back = load_prior(vae.save(tmp_path / "prior.safetensors"), library)
    assert back.config == VAE
    assert torch.equal(back(*real(library)), vae(*real(library)))


def learned(prior: Prior, before: JointState, after: JointState) -> dict[str, float]:
    """Show a discriminator transitions as the policy's and let it learn."""
    prior(before, after)
    return prior.learn()


def test_the_discriminator_separates_clips_from_a_policy(library: MotionLibrary):
    prior = make_prior(ADVERSARIAL, library)
    assert isinstance(prior, AdversarialPrior)
    before, after = real(library)
    fake = jittered(after, 0.02)
    first = learned(prior, before, fake)
    for _ in range(3):
        last = learned(prior, before, fake)
    assert last["discriminator_loss"] < 0.6 * first["discriminator_loss"]
    assert last["discriminator_real"] > last["discriminator_policy"] + 1.0
    clips, policy = prior(before, after), prior(before, fake)
    prior.learn()
    assert clips.mean() > policy.mean() + 0.2 * ADVERSARIAL.weight
    assert 0.0 <= policy.min() <= clips.max() <= ADVERSARIAL.weight


def test_a_discriminators_reward_tells_the_policys_own_steps_apart(library: MotionLibrary):
    prior = make_prior(replace(ADVERSARIAL, online_steps=8), library)
    before, after = real(library)
    mixed = torch.linspace(0.0, 0.01, 300)[:, None, None]
    fake = replace(after, pos=after.pos + mixed * torch.randn(after.pos.shape, generator=prior.generator))
    for _ in range(4):
        learned(prior, before, fake)
    reward = prior(before, fake)
    assert reward.std() / ADVERSARIAL.weight > 0.02
    assert reward[:100].mean() > reward[200:].mean()


def test_a_policy_that_moves_as_the_clips_do_cannot_be_told_apart(library: MotionLibrary):
    prior = make_prior(ADVERSARIAL, library)
    assert isinstance(prior, AdversarialPrior)
    for _ in range(3):
        figures = learned(prior, *clip_transitions(library, seed=0))
    assert abs(figures["discriminator_real"] - figures["discriminator_policy"]) < 0.25


def test_the_gradient_penalty_flattens_the_discriminator(library: MotionLibrary):
    slopes = {}
    before, after = real(library)
    for penalty in (0.0, 50.0):
        prior = make_prior(replace(ADVERSARIAL, gradient_penalty=penalty), library)
        assert isinstance(prior, AdversarialPrior)
        for _ in range(2):
            learned(prior, before, jittered(after, 0.02))
        clips = prior.observe(before, after).requires_grad_()
        (slope,) = torch.autograd.grad(prior.score(clips).sum(), clips)
        slopes[penalty] = float(slope.square().sum(1).mean())
    assert slopes[50.0] < 0.2 * slopes[0.0]


@pytest.mark.parametrize("config", [PriorConfig("vae", steps=20, batch=32), replace(ADVERSARIAL, online_steps=1)])
def test_the_task_adds_the_priors_reward(body: Body, clips: list, config: PriorConfig):
    env = TrackingEnv(clips[:2], body, 4, TaskConfig(random_start=False), seed=0)
    env.reset()
    alone = env.step(torch.zeros(4, env.action_size)).reward
    prior = make_prior(config, env.library)
    env.prior = prior
    env.seed(0)
    env.reset()
    both = env.step(torch.zeros(4, env.action_size)).reward
    assert both.shape == (4,)
    added = both - alone
    assert (added > 0).all()
    assert (added <= config.weight).all()
    figures = prior.learn()
    assert figures["prior_reward"] == pytest.approx(float(added.mean()), abs=1e-5)
    assert prior.learn() == {}, "told once"


def test_bad_input_is_one_clear_line(body: Body, clips: list, library: MotionLibrary, vae: VaePrior, tmp_path: Path):
    still = build_library([clips[0].slice(0, 1)], body)
    with pytest.raises(MotionError, match="no clip has two frames"):
        make_prior(VAE, still)
    with pytest.raises(MotionError, match="prior 'none' has nothing to learn"):
        make_prior(PriorConfig(), library)
    with pytest.raises(MotionError, match="no such prior file"):
        load_prior(tmp_path / "absent", library)
    path = tmp_path / "prior.safetensors"
    path.write_bytes(vae.to_bytes()[:-50])
    with pytest.raises(MotionError, match="not a prior file"):
        load_prior(path, library)
    with pytest.raises(MotionError, match="weights of another prior than 'adversarial'"):
        make_prior(ADVERSARIAL, library, vae.state_dict())


@pytest.mark.parametrize("kind", ["vae", "adversarial"])
def test_a_prior_is_trained_from_the_command_line(kind: str, tmp_path: Path) -> None:
    flags = "--clips 2 --held-out 1 --envs 4 --steps 128 --minutes 5 --variations 0.5 --prior-steps 20 --hidden 16"
    assert main(["train", "imitator", "--out", str(tmp_path / "run"), "--prior", kind, *flags.split()]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["prior"]["kind"] == kind
    assert (tmp_path / "run" / "prior.safetensors").exists()
    assert load_policy(tmp_path / "run" / "policy.safetensors").spec.hidden == (16,)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--hidden", "0"], "--hidden: 0, expected widths of 1 to 8192"),
        (["--reveal"], "--reveal: nothing is hidden from a new policy, expected --start or --demonstrations"),
        (["--desired-kl", "0.1"], "--desired-kl: of trainer rsl, asked for sb3"),
        (["--hidden", "8", "--start", "p"], "--hidden and --start: a policy that is there has its widths"),
    ],
)
def test_flags_that_say_nothing_are_refused(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "imitator", "--out", str(tmp_path / "run"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
