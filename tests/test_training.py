"""Training: what a checkpoint holds, that a killed run goes on exactly, what is logged; the trainer on the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.envs import PREPROCESSING, TaskConfig, TrackingEnv, prepare, preprocessed
from morphloop.imitator import (
    ImitatorConfig,
    PpoConfig,
    PriorConfig,
    RslConfig,
    hardest_segments,
    load_policy,
    load_prior,
    new_policy,
    read_log,
    train_imitator,
)
from morphloop.imitator.training import train as training
from morphloop.imitator.training.checkpoint import (
    CHECKPOINT_FILE,
    PREVIOUS_FILE,
    load_checkpoint,
    save_checkpoint,
)
from morphloop.imitator.training.policy import HIDDEN
from morphloop.imitator.training.ppo import Sb3Trainer, fit_normaliser
from morphloop.imitator.training.trainer import Trainer, World
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, Variation, default_body

PPO = PpoConfig(steps=4, minibatch=16, epochs=2)
TINY_RSL = RslConfig(steps=4, minibatches=2, epochs=2)
SMALL = ImitatorConfig(
    envs=4, steps=64, limit_s=600.0, checkpoint_s=0.0, ppo=PPO, rsl=TINY_RSL, task=TaskConfig(push=0.15, max_steps=6)
)
"""Four updates of sixteen control steps; episodes end within them, so that starts are drawn."""
ADVERSARIAL = PriorConfig("adversarial", batch=16, online_steps=2)


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def squat(body: Body) -> Clip:
    """One second of a squat."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    return replace(clip.slice(10, 40), name="squat")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The policy that a checkpoint holds."""
    found = load_checkpoint(folder)
    assert found is not None
    return found.part("policy")


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


# -- going on exactly ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [PriorConfig(), ADVERSARIAL], ids=lambda p: p.kind)
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    body: Body, squat: Clip, tmp_path: Path, prior: PriorConfig
):
    config = replace(SMALL, prior=prior)
    straight = train_imitator([squat], [], tmp_path / "straight", replace(config, checkpoint_s=1e9), body=body)
    half = train_imitator([squat], [], tmp_path / "halves", replace(config, steps=32), body=body)
    again = train_imitator([squat], [squat], tmp_path / "halves", config, body=body)
    assert half.hash != straight.hash
    assert again.hash == straight.hash
    one, two = (load_checkpoint(tmp_path / name) for name in ("straight", "halves"))
    assert one is not None
    assert two is not None
    assert_same(one.tensors, two.tensors)
    for part in ("optimiser", "env", "trainer") + (("prior", "prior_optimiser") if prior.kind != "none" else ()):
        assert one.part(part), f"{part} is in the checkpoint"
    assert one.numbers["env_steps"] == two.numbers["env_steps"] == 64


def test_a_training_on_bodies_that_differ_resumes_bit_for_bit(body: Body, squat: Clip, tmp_path: Path):
    vary = Variation(friction=(0.7, 1.3), mass=(0.9, 1.1), stiffness=(0.9, 1.1), size=(0.95, 1.05))
    config = replace(SMALL, vary=vary, task=replace(SMALL.task, speed=(0.9, 1.1)), steps=48)
    train_imitator([squat], [], tmp_path / "whole", config, body=body)
    for steps in (16, 48):
        train_imitator([squat], [], tmp_path / "parts", replace(config, steps=steps), body=body)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    with pytest.raises(
        MotionError, match=r"holds a training with vary\.mass = \[0\.9, 1\.1\], asked for \[1\.0, 1\.0\]"
    ):
        train_imitator([squat], [], tmp_path / "parts", replace(config, vary=replace(vary, mass=(1.0, 1.0))), body=body)


@pytest.mark.parametrize("part", ["code", "versions"])
def test_a_training_by_other_code_is_not_gone_on_from(body: Body, squat: Clip, tmp_path: Path, part: str):
    train_imitator([squat], [], tmp_path, replace(SMALL, steps=16), body=body)
    found = load_checkpoint(tmp_path)
    assert found is not None
    other = (
        {"code": "older"} if part == "code" else {"versions": found.numbers["config"]["versions"] | {"torch": "1.0"}}
    )
    save_checkpoint(tmp_path, replace(found, numbers=found.numbers | {"config": found.numbers["config"] | other}))
    with pytest.raises(MotionError, match=r"holds a training with (code = older|versions.torch = 1.0), asked for "):
        train_imitator([squat], [], tmp_path, replace(SMALL, steps=32), body=body)


def test_a_training_that_a_time_limit_ends_says_so(body: Body, squat: Clip, tmp_path: Path):
    train_imitator([squat], [], tmp_path, replace(SMALL, limit_s=0.0), body=body)
    told = json.loads((tmp_path / "config.json").read_text())
    assert told["stopped"] == "0 of 64 control steps, stopped by the limit of 0 s"
    assert told["envs"] == 4


def test_a_finished_training_does_nothing_more(body: Body, squat: Clip, tmp_path: Path):
    first = train_imitator([squat], [], tmp_path, replace(SMALL, steps=16), body=body)
    before = (tmp_path / CHECKPOINT_FILE).read_bytes()
    rows: list[dict[str, Any]] = []
    again = train_imitator([squat], [], tmp_path, replace(SMALL, steps=16), rows.append, body)
    assert rows == []
    assert again.hash == first.hash
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == before


def test_a_kill_after_the_last_checkpoint_leaves_nothing_stale(body: Body, squat: Clip, tmp_path: Path):
    config = replace(SMALL, steps=32, prior=ADVERSARIAL)
    trained = train_imitator([squat], [], tmp_path, config, body=body)
    files = {name: tmp_path / name for name in ("policy.safetensors", "prior.safetensors", "weights.json")}
    whole = {name: path.read_bytes() for name, path in files.items()}
    new_policy(body, hidden=(8,)).save(files["policy.safetensors"])  # as of an earlier update
    files["prior.safetensors"].unlink()
    files["weights.json"].unlink()
    train_imitator([squat], [], tmp_path, config, body=body)
    assert {name: path.read_bytes() for name, path in files.items()} == whole
    assert load_policy(files["policy.safetensors"], body).hash == trained.hash


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    body: Body, squat: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    straight = train_imitator([squat], [], tmp_path, replace(SMALL, steps=48), body=body)
    latest = tmp_path / CHECKPOINT_FILE
    latest.write_bytes(latest.read_bytes()[:-500])
    again = train_imitator([squat], [], tmp_path, replace(SMALL, steps=48), body=body)
    assert "the checkpoint before the last one" in caplog.text
    assert again.hash == straight.hash
    assert [row["env_steps"] for row in read_log(tmp_path)] == [16, 32, 48]
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(MotionError, match=r"checkpoint\.safetensors: not a checkpoint .*remove it to train anew"):
        train_imitator([squat], [], tmp_path, SMALL, body=body)


def test_another_configuration_is_refused_by_name(body: Body, squat: Clip, tmp_path: Path):
    train_imitator([squat], [], tmp_path, replace(SMALL, steps=16), body=body)
    with pytest.raises(MotionError, match=r"holds a training with envs = 4, asked for 8; expected the same"):
        train_imitator([squat], [], tmp_path, replace(SMALL, envs=8), body=body)
    with pytest.raises(MotionError, match=r"ppo\.epochs = 2, asked for 5"):
        train_imitator([squat], [], tmp_path, replace(SMALL, ppo=replace(PPO, epochs=5)), body=body)
    with pytest.raises(MotionError, match=r"holds a training with clips = "):
        train_imitator([squat.slice(0, 20)], [], tmp_path, SMALL, body=body)


def test_kills_at_any_moment_lose_nothing_but_time(body: Body, squat: Clip, tmp_path: Path, killed_trainings: Any):
    config = replace(SMALL, steps=16 * 80)
    straight = train_imitator([squat], [], tmp_path / "straight", replace(config, checkpoint_s=1e9), body=body)
    folder = tmp_path / "killed"

    def sound() -> None:
        for path in folder.glob("checkpoint*"):
            assert load_checkpoint(folder) is not None, f"{path} is sound"

    killed = killed_trainings(squat, folder, config, 10, 0.4, sound)
    assert killed >= 5
    again = train_imitator([squat], [], folder, config, body=body)
    assert again.hash == straight.hash
    assert [row["env_steps"] for row in read_log(folder)] == [16 * k for k in range(1, 81)]
    assert not list(folder.glob(".*.tmp"))


# -- what is started from, and what is written -----------------------------------------------------------------------


def test_training_writes_its_folder_and_its_curve(body: Body, squat: Clip, tmp_path: Path):
    rows: list[dict[str, Any]] = []
    config = replace(SMALL, steps=32, prior=PriorConfig("vae", steps=5, batch=16))
    trained = train_imitator([squat], [squat], tmp_path, config, rows.append, body)
    files = {p.name for p in tmp_path.iterdir()} - {"tensorboard"}
    assert files == {
        *(f"{name}.safetensors" for name in ("policy", "prior", "checkpoint", "checkpoint.previous")),
        *("log.jsonl", "weights.json", "config.json"),
    }
    assert load_policy(tmp_path / "policy.safetensors", body).hash == trained.hash
    logged = read_log(tmp_path)
    assert [row["env_steps"] for row in logged] == [16, 32]
    assert [row["env_steps"] for row in rows] == [16, 32]
    curve = {"seconds", "steps_per_s", "error_mm", "slide_mm_s", "std", "entropy", "terminated_per_s", "weights_spread"}
    losses = {"policy_loss", "value_loss", "kl", "prior_reward", "prior_spread", "test_success", "test_skill"}
    assert curve | losses <= set(logged[0])
    assert all(row["steps_per_s"] > 0 for row in logged)
    assert logged[0]["seconds"] < logged[1]["seconds"]
    assert 0.0 < logged[0]["prior_reward"] < 0.25
    table = json.loads((tmp_path / "weights.json").read_text())
    assert sum(table["weight"]) == pytest.approx(1.0)
    hardest = hardest_segments(tmp_path, 2)
    assert [(segment.clip, segment.start_s) for segment in hardest] == [(squat.name, 0.0)]
    assert hardest[0].failure == max(table["failure"])
    assert hardest[0].weight == pytest.approx(1.0)
    assert hardest_segments(tmp_path / "nowhere") == []
    assert json.loads((tmp_path / "config.json").read_text())["prior"]["kind"] == "vae"
    env = TrackingEnv([prepare(squat, body)], body, 2)
    assert load_prior(tmp_path / "prior.safetensors", env.library).config == config.prior


def test_tensorboard_gets_the_curve_and_forgets_what_is_done_again(body: Body, squat: Clip, tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train_imitator([squat], [], tmp_path, replace(SMALL, steps=32), body=body)
    (tmp_path / CHECKPOINT_FILE).unlink()  # as if killed before its last checkpoint
    train_imitator([squat], [], tmp_path, replace(SMALL, steps=48), body=body)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    wanted = {"steps_per_s", "error_mm", "slide_mm_s", "entropy", "std", "weights_spread", "policy_loss", "value_loss"}
    assert {f"train/{name}" for name in wanted} <= set(events.Tags()["scalars"])
    assert "train/weights" in events.Tags()["histograms"]
    assert [event.step for event in events.Scalars("train/error_mm")] == [16, 32, 48]


def test_without_tensorboard_the_log_is_written_alone(
    body: Body, squat: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train_imitator([squat], [], tmp_path, replace(SMALL, steps=16), body=body)
    assert "TensorBoard is not installed, curves go to log.jsonl alone" in caplog.text
    assert len(read_log(tmp_path)) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_a_warm_start_begins_with_the_given_policy(body: Body, squat: Clip, tmp_path: Path):
    cloned = new_policy(body, hidden=(16,), seed=7)
    cloned.mean.fill_(0.5)
    path = cloned.save(tmp_path / "cloned.safetensors")
    config = replace(SMALL, steps=16, start=str(path))
    trained = train_imitator([squat], [], tmp_path / "out", config, body=body)
    assert trained.spec.hidden == (16,)
    assert torch.equal(trained.mean, cloned.mean), "the normaliser stays"
    moved = (trained.actor[0].weight - cloned.actor[0].weight).abs().max()  # type: ignore[union-attr]
    assert 0.0 < float(moved.detach()) < 0.01
    longer = replace(config, steps=32, start=None)
    assert train_imitator([squat], [], tmp_path / "out", longer, body=body).spec.hidden == (16,)


def test_what_a_policy_did_not_see_it_may_learn_to_use(body: Body, squat: Clip, tmp_path: Path):
    blind = new_policy(body)
    hidden = torch.zeros(blind.spec.observation, dtype=torch.bool)
    hidden[5:50] = True
    blind.std[hidden] = HIDDEN
    env = TrackingEnv([prepare(squat, body)], body, 4)
    obs = env.reset()
    acted, moved = blind.act(obs), obs.clone()
    moved[:, hidden] += 1.0
    torch.testing.assert_close(blind.act(moved), acted, atol=1e-6, rtol=0.0)
    path = blind.save(tmp_path / "blind.safetensors")
    seeing = train_imitator(
        [squat], [], tmp_path / "run", replace(SMALL, start=str(path), reveal=True, steps=16), body=body
    )
    assert bool((seeing.std < HIDDEN).all())
    assert torch.equal(seeing.std[~hidden], blind.std[~hidden])
    assert not torch.allclose(seeing.act(moved), seeing.act(obs), atol=1e-6), "it has begun to use what it sees"
    told = blind.copy()
    told.reveal(torch.zeros_like(told.mean), torch.ones_like(told.std))
    torch.testing.assert_close(told.act(moved), acted, atol=1e-6, rtol=0.0)


def test_a_policy_is_trained_on_what_projection_would_track(body: Body, squat: Clip, tmp_path: Path):
    wave = 0.02 * np.sin(np.linspace(0.0, 6.0, squat.num_frames))
    hovers = replace(squat, root_pos=squat.root_pos + wave[:, None] * [0.0, 0.0, 1.0])
    env = training._task([hovers], body, SMALL, World.here())
    expected = preprocessed(prepare(hovers, body), body, PREPROCESSING)
    np.testing.assert_array_equal(env.library.clips[0].positions, expected.positions)
    assert np.abs(expected.positions - prepare(hovers, body).positions).max() > 0.005


def test_the_last_states_of_bodies_that_diverged_are_kept_for_viewing(body: Body, squat: Clip, tmp_path: Path):
    trainer = Sb3Trainer(new_policy(body), TrackingEnv([prepare(squat, body)], body, 4), PPO)
    trainer.update()
    keeper = training._Keeper(trainer, [], tmp_path, {}, SMALL, None)
    keeper.write()
    assert not (tmp_path / training.DIVERGED_FILE).exists(), "nothing diverged"
    physics = trainer.env.physics
    physics.qvel[1, 0] = float("nan")
    before = physics.qpos[2].clone()
    physics.step()
    keeper.write()
    keeper.log.close()
    (row,) = json.loads((tmp_path / training.DIVERGED_FILE).read_text())
    assert (row["env"], len(row["qpos"]), len(row["ctrl"])) == (1, body.model.nq, body.model.nu)
    assert np.isfinite(row["qpos"]).all()
    assert not torch.equal(physics.qpos[2], before), "the others went on"


def test_failure_weighting_can_be_turned_off(body: Body, squat: Clip):
    envs = [TrackingEnv([prepare(squat.slice(0, 30), body)] * 3, body, 2, TaskConfig(start_floor=f)) for f in (0.1, 1)]
    for env in envs:
        env.sampler.failure = torch.tensor([0.9, 0.05, 0.05])
    assert float(envs[0].sampler.weights[0]) == pytest.approx(0.9 * 0.9 + 0.1 / 3)
    assert torch.allclose(envs[1].sampler.weights, torch.full((3,), 1 / 3))


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_diverged_training_is_one_clear_line(body: Body, squat: Clip, epochs: int):
    env = TrackingEnv([prepare(squat, body)], body, 2)
    config = PpoConfig(steps=2, minibatch=4, epochs=epochs, learning_rate=3e37)
    trainer = Sb3Trainer(new_policy(body, hidden=(8,)), env, config)

    def train() -> None:
        for _ in range(2):
            trainer.update()

    with pytest.raises(MotionError, match=r"diverged: a weight is NaN or over .*; lower the learning rate"):
        train()


# -- the trainer on the device ---------------------------------------------------------------------------------------


def rsl_trainer(body: Body, clip: Clip, **options: Any) -> Trainer:
    rsl = pytest.importorskip("morphloop.imitator.training.rsl")
    policy = new_policy(body, hidden=(16,), seed=1)
    env = TrackingEnv([prepare(clip, body)], body, 4, SMALL.task, **options)
    fit_normaliser(policy, env, steps=4)
    return rsl.RslTrainer(policy, env, TINY_RSL, seed=3)


def test_rsl_reads_our_policy_and_gives_it_back(body: Body, squat: Clip):
    trainer: Any = rsl_trainer(body, squat)
    policy, algorithm = trainer.policy, trainer.runner.alg
    obs = trainer.vec.get_observations()
    assert torch.allclose(algorithm.actor(obs), policy.actor(obs["policy"]), atol=1e-6)
    assert torch.allclose(algorithm.critic(obs), policy.critic(obs["policy"]), atol=1e-6)
    algorithm.actor(obs, stochastic_output=True)
    assert torch.allclose(algorithm.actor.output_std[0], policy.log_std.exp())
    before = policy.hash
    row = trainer.update()
    assert row["env_steps"] == 16
    assert {"policy_loss", "value_loss", "error_mm", "slide_mm_s", "learning_rate"} <= set(row)
    assert policy.hash != before
    obs = trainer.vec.get_observations()
    assert torch.allclose(algorithm.actor(obs), policy.actor(obs["policy"]), atol=1e-6)
    algorithm.actor(obs, stochastic_output=True)
    assert torch.allclose(algorithm.actor.output_std[0], policy.log_std.exp())


@pytest.fixture
def rsl_config() -> ImitatorConfig:
    pytest.importorskip("rsl_rl")
    return replace(SMALL, trainer="rsl", prior=ADVERSARIAL)


def test_rsl_resumes_bit_for_bit_on_the_cpu_backend(
    body: Body, squat: Clip, tmp_path: Path, rsl_config: ImitatorConfig, capsys: pytest.CaptureFixture[str]
):
    straight = train_imitator([squat], [], tmp_path / "straight", replace(rsl_config, checkpoint_s=1e9), body=body)
    train_imitator([squat], [], tmp_path / "halves", replace(rsl_config, steps=32), body=body)
    again = train_imitator([squat], [], tmp_path / "halves", rsl_config, body=body)
    assert again.hash == straight.hash
    assert load_policy(tmp_path / "halves" / "policy.safetensors", body).hash == again.hash
    assert capsys.readouterr().out == "", "standard output is the command's"


@pytest.mark.slow
def test_rsl_trains_on_warp(body: Body, squat: Clip, tmp_path: Path, rsl_config: ImitatorConfig):
    pytest.importorskip("mujoco_warp")
    config = replace(rsl_config, backend="warp", device="cpu", envs=8, steps=64)
    trained = train_imitator([squat], [], tmp_path, config, body=body)
    again = train_imitator([squat], [squat], tmp_path, replace(config, steps=96), body=body)
    assert [row["env_steps"] for row in read_log(tmp_path)] == [32, 64, 96]
    assert again.hash != trained.hash


@pytest.mark.slow
@pytest.mark.usefixtures("rsl_config")
def test_processes_of_torchrun_train_one_policy(tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(TORCHRUN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, str(script), str(tmp_path)], env=env, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    hashes = [(tmp_path / f"rank{rank}").read_text().split() for rank in (0, 1)]
    assert hashes[0][:2] == hashes[1][:2], "both hold the same policy and prior"
    assert hashes[0][2] != hashes[1][2], "and have seen different episodes"
    assert [row["env_steps"] for row in read_log(tmp_path / "out")] == [32, 64]


TORCHRUN = """
import sys
from pathlib import Path

import torch

from morphloop.envs import TaskConfig
from morphloop.imitator import ImitatorConfig, PriorConfig, RslConfig, train_imitator
from morphloop.imitator.training import train as training
from morphloop.imitator.training.trainer import World
from morphloop.motion import make_corpus

torch.set_num_threads(1)
folder, made, make = Path(sys.argv[1]), [], training._trainer
training._trainer = lambda *given: made.append(make(*given)) or made[-1]
config = ImitatorConfig(
    envs=4, steps=64, trainer="rsl", rsl=RslConfig(steps=4, minibatches=2, epochs=2), task=TaskConfig(max_steps=6),
    prior=PriorConfig("adversarial", batch=16, online_steps=2),
)
clip = make_corpus(1, seed=4)[0].slice(0, 30)
policy = train_imitator([clip], [], folder / "out", config)
prior = float(made[0].prior.net[0].weight.sum())
(folder / f"rank{World.here().rank}").write_text(f"{policy.hash} {prior} {float(made[0].env.state.pos.sum())}")
"""
