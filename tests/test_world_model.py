"""Training through a learned model of the world: what it foresees, what gradients through it improve, exact resume."""

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
from morphloop.envs import TaskConfig, TrackingEnv, make_reference, measurable_entries, observation_terms
from morphloop.envs.sampling import ReturnSampler
from morphloop.imitator import (
    ImitatorConfig,
    PriorConfig,
    ProjectionConfig,
    WorldModelConfig,
    load_policy,
    new_policy,
    project_clips,
    read_log,
    train_imitator,
)
from morphloop.imitator.training.checkpoint import load_checkpoint
from morphloop.imitator.training.ppo import fit_normaliser
from morphloop.imitator.world_model import foresight
from morphloop.imitator.world_model import trainer as world_trainer
from morphloop.imitator.world_model.foresight import limit_gradient, window_errors, window_loss
from morphloop.imitator.world_model.imagination import imagine
from morphloop.imitator.world_model.model import Foreseen, WorldModel, load_world_model, new_world_model
from morphloop.imitator.world_model.trainer import MOST_ROLLED_BACK, WORLD_MODEL_FILE, WorldModelTrainer
from morphloop.imitator.world_model.windows import Replay, Windows, empty_windows
from morphloop.motion import Clip, make_corpus, save_clip
from morphloop.motion.rotations import quat_from_heading, quat_mul, quat_rotate
from morphloop.sim import Body, CpuPhysics, Servos, Variation, default_body, load_body

TINY = WorldModelConfig(
    hidden=(32,), window=4, horizon=4, kept=2, model_batch=4, model_steps=2, policy_batch=4, policy_steps=1, warm_up=0
)
SMALL = ImitatorConfig(
    envs=4, steps=64, checkpoint_s=0.0, hidden=(16,), trainer="worldmodel", worldmodel=TINY,
    task=TaskConfig(push=0.15, max_steps=6),
)  # fmt: skip
"""Four updates of sixteen control steps; episodes end within them, so that starts are drawn."""


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def squat() -> Clip:
    """One second of a squat."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    return replace(clip.slice(10, 40), name="squat")


def made_env(body: Body, clip: Clip, envs: int = 4, **task: Any) -> TrackingEnv:
    return TrackingEnv([make_reference(clip, body)], body, envs, TaskConfig(**task))


def made_trainer(body: Body, clip: Clip, config: WorldModelConfig = TINY, envs: int = 4) -> WorldModelTrainer:
    env, policy = made_env(body, clip, envs), new_policy(body, (16,))
    fit_normaliser(policy, env, 2)
    return WorldModelTrainer(policy, env, config)


# -- the model -------------------------------------------------------------------------------------------------------


def known_windows(model: WorldModel, count: int, steps: int, seed: int) -> Windows:
    """Windows of a world that is known: speeds fade, servos pull towards their targets, feet bear what height says."""
    rng, body = np.random.default_rng(seed), model.body
    windows = empty_windows(body, steps, count, torch.device("cpu"))
    noise = torch.from_numpy(0.3 * rng.normal(size=(count, model.nv))).float()
    qpos = model.coordinates.integrate(torch.from_numpy(np.tile(body.model.qpos0, (count, 1))).float(), noise)
    qvel = torch.from_numpy(rng.normal(size=(count, model.nv))).float()
    for t in range(steps + 1):
        force = body.force_unit * torch.stack([qpos[:, 2] > 1.0, qpos[:, 2] < 0.9], 1).float()
        windows.qpos[t], windows.qvel[t], windows.foot_force[t] = qpos, qvel, force
        if t < steps:
            ctrl = torch.from_numpy(0.5 * rng.normal(size=(count, body.model.nu))).float()
            windows.ctrl[t] = ctrl
            gap = model.servos.gap(ctrl, model.coordinates.servo_angles(qpos))
            qvel = 0.8 * qvel
            qvel[:, model.coordinates.servo_dofs] += 4.0 * gap
            qpos = model.coordinates.integrate(qpos, model.coasting(qvel))
    return windows


def taught(model: WorldModel, windows: Windows, steps: int, batch: int, rate: float) -> None:
    optimiser = torch.optim.Adam(model.parameters(), rate)
    torch.manual_seed(0)
    for _ in range(steps):
        pick = torch.randint(windows.qpos.shape[1], (batch,))
        loss = window_loss(model, Windows(**{name: value[:, pick] for name, value in vars(windows).items()}), 100.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_a_known_world_is_learned_far_better_than_by_going_on(body: Body, squat: Clip):
    model = new_world_model(body, made_env(body, squat).task.servos, (128,))
    windows = known_windows(model, 2048, 2, seed=0)
    model.fit_units(*windows.transitions())
    taught(model, windows, 60, 128, 5e-3)
    errors = window_errors(model, known_windows(model, 32, 2, seed=1))
    assert errors["model_error_mm"] < 0.35 * errors["coasting_error_mm"]
    assert errors["model_error_mm"] < 0.35 * errors["still_error_mm"]


def test_held_out_steps_of_the_simulator_are_foreseen_better_than_by_staying_or_going_on(body: Body, squat: Clip):
    trainer = made_trainer(body, squat, replace(TINY, window=6, kept=4), envs=24)
    for _ in range(4):
        trainer.replay.add(trainer._act())
    recorded = trainer.replay.windows
    trainer.model.fit_units(*recorded.transitions())
    taught(trainer.model, recorded, 40, 16, 3e-3)
    errors = window_errors(trainer.model, trainer._act())
    assert errors["model_error_mm"] < 0.9 * errors["coasting_error_mm"]
    assert errors["model_error_mm"] < 0.9 * errors["still_error_mm"]


def test_what_is_not_trained_yet_goes_on_as_it_moves(body: Body, squat: Clip):
    model = new_world_model(body, made_env(body, squat).task.servos, (8,))
    errors = window_errors(model, known_windows(model, 4, 3, seed=0))
    assert errors["model_error_mm"] == pytest.approx(errors["coasting_error_mm"], rel=1e-5)


@pytest.mark.parametrize("name", ["smpl", "g1"])
def test_where_and_which_way_a_body_goes_does_not_matter(name: str):
    body = load_body(name)
    model = new_world_model(body, Servos(CpuPhysics(body, 1)), (8,))
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    windows = known_windows(model, 3, 1, seed=0)
    qpos, qvel, force = windows.state(0)
    turn, shift = quat_from_heading(torch.tensor(1.1)).expand(3, 4), torch.tensor([2.0, -1.0, 0.0])

    def moved(qpos: torch.Tensor, qvel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        root = torch.cat([quat_rotate(turn, qpos[:, :3]) + shift, quat_mul(turn, qpos[:, 3:7]), qpos[:, 7:]], 1)
        return root, torch.cat([quat_rotate(turn, qvel[:, :3]), qvel[:, 3:]], 1)

    def after(qpos: torch.Tensor, qvel: torch.Tensor) -> Foreseen:
        return model(qpos, qvel, model.kinematics(qpos, qvel), force, windows.ctrl[0])

    here, there = after(qpos, qvel), after(*moved(qpos, qvel))
    for one, two in zip(moved(here.qpos, here.qvel), there[:2], strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(here.contact, there.contact, atol=1e-3, rtol=1e-3)
    assert float((here.qvel - qvel).detach().abs().max()) > 0.1


def test_a_start_within_a_window_is_foreseen_as_the_beginning_of_one(body: Body, squat: Clip):
    """A window with a start in it costs what its two parts cost apart; the step that no physics made costs nothing."""
    model = new_world_model(body, made_env(body, squat).task.servos, (16,))
    windows = known_windows(model, 6, 5, seed=0)
    windows.fresh[:] = False
    windows.fresh[3] = True
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))

    def cost(first: int, last: int) -> float:
        parts = {
            name: value[first:last] if name == "ctrl" else value[first : last + 1]
            for name, value in vars(windows).items()
        }
        return (last - first) * float(window_loss(model, Windows(**parts), 100.0).detach())

    assert cost(0, 5) == pytest.approx(cost(0, 3) + cost(3, 5), rel=1e-5)
    assert cost(3, 5) > 0.1 * cost(0, 5), "both parts count"


def test_steps_that_no_physics_made_teach_nothing(body: Body, squat: Clip):
    model = new_world_model(body, made_env(body, squat).task.servos, (8,))
    windows = known_windows(model, 4, 2, seed=0)
    windows.fresh[2, 1] = True
    before = float(window_loss(model, windows, 100.0))
    windows.qpos[2, 1, :3] += 100.0
    assert float(window_loss(model, windows, 100.0)) == before
    windows.fresh[2, 1] = False
    assert float(window_loss(model, windows, 100.0)) > before


def test_how_fast_feet_go_counts_once_more_while_they_bear_load(
    body: Body, squat: Clip, monkeypatch: pytest.MonkeyPatch
):
    trainer = made_trainer(body, squat)
    trainer.update()
    model, windows = trainer.model, trainer.replay.draw(4)

    def cost(force: float, weight: float) -> float:
        monkeypatch.setattr(foresight, "SLIP_WEIGHT", weight)
        return window_loss(model, replace(windows, foot_force=torch.full_like(windows.foot_force, force)), 1.0).item()

    assert cost(0.0, 1.0) == cost(0.0, 0.0)
    assert cost(400.0, 1.0) > cost(400.0, 0.0)


def test_gradients_between_states_are_cut_a_row_at_a_time():
    values = torch.zeros(3, 4, requires_grad=True)
    (limit_gradient(values * 1.0, 2.0) * torch.tensor([[0.1], [5.0], [0.0]])).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad.norm(dim=1), torch.tensor([0.2, 2.0, 0.0]))


def test_a_file_gives_the_same_model_back_and_is_refused_for_another_body(body: Body, squat: Clip, tmp_path: Path):
    servos = made_env(body, squat).task.servos
    model = new_world_model(body, servos, (8,))
    path = model.save(tmp_path / "world.safetensors")
    assert load_world_model(path, body, servos).to_bytes() == path.read_bytes()
    other = replace(SMALL, worldmodel=replace(TINY, begin=str(path)))
    robot = load_body("g1")
    with pytest.raises(MotionError, match=r"a world model of body 'smpl24' \(\w+\), asked to foresee '.*g1.*'"):
        load_world_model(path, robot, servos)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(MotionError, match="not a world model file"):
        train_imitator([squat], [], tmp_path / "out", other, body=body)


# -- imagination -----------------------------------------------------------------------------------------------------


class Perfect:
    """Foresees what the simulator did, which it is told; going: (B,) bool of each step, who has not failed yet."""

    def __init__(self, windows: Windows, going: list[torch.Tensor]):
        self.windows, self.going, self.step = windows, going, 0

    def __call__(self, *now: Any) -> Foreseen:
        rows = self.going[self.step]
        torch.testing.assert_close(now[-1][rows], self.windows.ctrl[self.step][rows], atol=1e-4, rtol=1e-4)
        self.step += 1
        qpos, qvel, force = self.windows.state(self.step)
        return Foreseen(qpos, qvel, force, force)

    def foot_force(self, foreseen: Foreseen) -> torch.Tensor:
        return foreseen.load


def test_who_foresees_what_the_simulator_does_imagines_what_it_pays(body: Body, squat: Clip):
    env = made_env(body, squat, envs=6, termination_distance=0.06)
    steps, gamma = 8, 0.9
    windows, torch_seed = empty_windows(body, steps, 6, torch.device("cpu")), torch.Generator().manual_seed(0)
    env.reset(clip=torch.zeros(6, dtype=torch.long))
    actions, goings, going = [], [], torch.ones(6, dtype=torch.bool)
    returns, alive = torch.zeros(6), torch.zeros(6)
    for t in range(steps + 1):
        now = env.moment()
        windows.qpos[t], windows.qvel[t], windows.foot_force[t] = now.qpos, now.qvel, now.foot_force
        windows.clip[t], windows.frame[t], windows.steps[t] = now.clip, now.frame, env.steps
        if t == steps:
            break
        actions.append(torch.linspace(0.0, 6.0, 6)[:, None] * torch.randn(6, env.action_size, generator=torch_seed))
        diverged = env.advance(env.observer.offsets(actions[-1]))  # nobody starts anew
        env.steps += 1
        windows.ctrl[t] = env.physics.ctrl
        judged = env.task.judge(env.moment(), env.physics.ctrl, env.steps)
        returns += gamma**t * torch.where(going, judged.reward, 0.0)
        alive += going
        goings.append(going)
        going = going & ~judged.failed & ~judged.ended & ~diverged
    told = iter(actions)
    perfect: Any = Perfect(windows, goings)
    start = Windows(**{name: value[:1] for name, value in vars(windows).items()})
    found = imagine(perfect, env.task, lambda obs: next(told), start, steps, gamma, 100.0)
    torch.testing.assert_close(found.returns, returns, atol=1e-3, rtol=1e-3)
    assert torch.equal(found.alive, alive)
    assert 0 < int((alive < steps).sum()) < 6, "some failed and some did not"


def test_gradients_through_imagination_improve_what_is_imagined(body: Body, squat: Clip):
    trainer = made_trainer(body, squat, replace(TINY, policy_batch=16))
    for _ in range(2):
        trainer.update()
    start, learner = trainer.replay.draw_states(16), trainer.learner
    optimiser = torch.optim.Adam(learner.actor.parameters(), 1e-3)
    returns = []
    for _ in range(12):
        found = imagine(trainer.model, trainer.env.task, learner, start, 4, 0.97, 100.0)
        optimiser.zero_grad()
        (-found.returns.mean()).backward()
        optimiser.step()
        returns.append(float(found.returns.mean()))
    assert returns[-1] > returns[0] + 0.01


@pytest.mark.parametrize("what", ["nan", "huge"])
def test_an_unsound_update_is_counted_and_undone_and_too_many_end_it(
    body: Body, squat: Clip, monkeypatch: pytest.MonkeyPatch, what: str
):
    trainer = made_trainer(body, squat)
    trainer.update()
    before = {name: value.clone() for name, value in trainer._learned().items()}
    average = trainer.policy.hash
    teach, bad = trainer._teach_model, float("nan") if what == "nan" else 1e5

    def spoiled() -> float:
        loss = teach()
        with torch.no_grad():
            trainer.model.net[-1].bias.fill_(bad)  # pyright: ignore[reportCallIssue]  # a linear layer's
        return loss

    monkeypatch.setattr(trainer, "_teach_model", spoiled)
    row = trainer.update()
    assert row["rolled_back"] == 1.0
    assert trainer.policy.hash == average
    for name, value in trainer._learned().items():
        assert torch.equal(value, before[name]), name
    for _ in range(MOST_ROLLED_BACK - 1):
        trainer.update()
    with pytest.raises(MotionError, match="training diverged: 9 updates in a row were rolled back; lower the"):
        trainer.update()
    monkeypatch.undo()
    trainer.in_a_row = 0
    assert trainer.update()["rolled_back"] == MOST_ROLLED_BACK + 1


def test_what_results_is_the_average_of_what_acts(body: Body, squat: Clip):
    trainer = made_trainer(body, squat, replace(TINY, ema=0.5))
    first = [p.clone() for p in trainer.policy.actor.parameters()]
    trainer.update()
    pairs = zip(first, trainer.policy.actor.parameters(), trainer.learner.actor.parameters(), strict=True)
    for old, kept, own in pairs:
        torch.testing.assert_close(kept, 0.5 * (old + own))
        assert not torch.equal(old, own)


def test_a_policy_learns_in_no_world_that_is_not_known_yet(body: Body, squat: Clip):
    trainer = made_trainer(body, squat, replace(TINY, warm_up=2))

    def weights() -> list[list[torch.Tensor]]:
        nets = trainer.model, trainer.learner.actor, trainer.policy.actor
        return [[p.clone() for p in net.parameters()] for net in nets]

    for warm in (True, True, False):
        before = weights()
        row = trainer.update()
        moved = [
            any(not torch.equal(*pair) for pair in zip(*both, strict=True))
            for both in zip(before, weights(), strict=True)
        ]
        assert moved == [True, not warm, not warm]
        assert ("imagined_return" in row) is not warm


def test_a_shorter_foresight_is_taught_stretches_from_all_over_the_windows(
    body: Body, squat: Clip, monkeypatch: pytest.MonkeyPatch
):
    trainer = made_trainer(body, squat, replace(TINY, window=6, foresight=2))
    drawn: list[Windows] = []

    def seen(model: WorldModel, windows: Windows, state_gradient: float) -> torch.Tensor:
        drawn.append(windows)
        return window_loss(model, windows, state_gradient)

    monkeypatch.setattr(world_trainer, "window_loss", seen)
    for _ in range(6):
        trainer.update()
    assert {windows.num_steps for windows in drawn} == {2}
    own = trainer.replay.windows
    starts = set[int]()
    for row in range(drawn[-1].qpos.shape[1]):
        mine = drawn[-1]
        where = [
            (first, window)
            for first, window in np.ndindex(5, own.qpos.shape[1])
            if all(
                torch.equal(
                    getattr(own, name)[first : first + 2 + (name != "ctrl"), window], getattr(mine, name)[:, row]
                )
                for name in vars(own)
            )
        ]
        assert where, "no stretch of a recorded window"
    for _ in range(40):
        starts |= set(trainer.replay.draw(8, 2).steps[0].tolist())
    assert len(starts) > 3


def test_starts_go_where_little_is_earned(body: Body, squat: Clip):
    env = made_env(body, squat)
    clip = TrackingEnv([make_reference(squat, body)] * 2, body, 4).library
    sampler = ReturnSampler(clip, env.generator, floor=0.0)
    which, frame = torch.tensor([0, 1]), torch.tensor([3, 3])
    for _ in range(1500):
        sampler.earned(which, frame, torch.tensor([0.9, 0.3]), torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(sampler.failure, torch.tensor([0.1, 0.7]), atol=0.03, rtol=0.0)
    sampler.record(which, frame, frame + 1, frame, frame > 0, frame > 0)
    assert float(sampler.weights[1]) > 4.0 * float(sampler.weights[0])
    for _ in range(200):
        sampler.earned(which, frame, torch.tensor([0.9, 0.3]), torch.tensor([True, False]))
    assert float(sampler.failure[0]) > 0.9


# -- training --------------------------------------------------------------------------------------------------------


def test_a_resumed_training_equals_an_uninterrupted_one_to_the_byte(body: Body, squat: Clip, tmp_path: Path):
    straight = train_imitator([squat], [], tmp_path / "straight", replace(SMALL, checkpoint_s=1e9), body=body)
    half = train_imitator([squat], [], tmp_path / "halves", replace(SMALL, steps=32), body=body)
    again = train_imitator([squat], [squat], tmp_path / "halves", SMALL, body=body)
    assert half.hash != straight.hash
    assert again.hash == straight.hash
    one, two = (load_checkpoint(tmp_path / name) for name in ("straight", "halves"))
    assert one is not None
    assert two is not None
    assert one.tensors.keys() == two.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, two.tensors[name]), name
    for name in ("replay.qpos", "model.net.0.weight", "learner.actor.0.weight", "model_adam.0.exp_avg", "obs"):
        assert f"trainer.{name}" in one.tensors
    files = [(tmp_path / name / WORLD_MODEL_FILE).read_bytes() for name in ("straight", "halves")]
    assert files[0] == files[1]


def test_kills_in_either_update_lose_nothing_but_time(body: Body, squat: Clip, tmp_path: Path, killed_trainings: Any):
    config = replace(SMALL, steps=16 * 8)
    straight = train_imitator([squat], [], tmp_path / "straight", replace(config, checkpoint_s=1e9), body=body)
    folder = tmp_path / "killed"
    killed = killed_trainings(squat, folder, config, 4, 0.3)
    assert killed >= 2
    again = train_imitator([squat], [], folder, config, body=body)
    assert again.hash == straight.hash
    assert [row["env_steps"] for row in read_log(folder)] == [16 * k for k in range(1, 9)]


def test_the_command_trains_and_what_it_makes_projects(
    body: Body, squat: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save_clip(tmp_path / "clips" / "squat.npz", squat)
    flags = ["--envs", "4", "--steps", "32", "--held-out", "0", "--variations", "0", "--hidden", "16"]
    names = ("window", "horizon", "model_batch", "policy_batch", "model_steps", "warm_up")
    tiny = {name: getattr(TINY, name) for name in names}
    flags += [word for name, value in tiny.items() for word in (f"--worldmodel.{name.replace('_', '-')}", str(value))]
    words = ["train", "imitator", "--data", str(tmp_path / "clips"), "--out", str(tmp_path / "run")]
    assert main([*words, "--trainer", "worldmodel", "--worldmodel.hidden", "32", *flags]) == 0
    policy = load_policy(tmp_path / "run" / "policy.safetensors", body)
    assert policy.hash in capsys.readouterr().out
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["worldmodel"]["window"] == TINY.window
    rows = read_log(tmp_path / "run")
    assert {"model_loss", "model_error_mm", "coasting_error_mm", "imagined_return", "rolled_back"} <= rows[-1].keys()
    found = project_clips([squat], policy, ProjectionConfig(projector="policy"), body=body)
    assert found[0].projector == "policy"


def test_a_robots_policy_acts_by_what_a_robot_can_measure():
    """Where it is and how fast it goes in the world changes nothing that it does; how its joints stand does."""
    torch.set_num_threads(1)
    body = load_body("g1")
    policy, seen = new_policy(body, (16,)), measurable_entries(body)
    policy.hide(~seen)
    torch.nn.init.normal_(policy.actor[-1].weight)  # pyright: ignore[reportArgumentType]  # a linear layer's
    obs = torch.randn(2, len(seen), generator=torch.Generator().manual_seed(0))
    other = torch.where(seen, obs, obs + 3.0)
    torch.testing.assert_close(policy.act(obs), policy.act(other), atol=1e-5, rtol=0.0)
    assert float((policy.act(obs) - policy.act(torch.where(seen, obs + 0.1, obs))).abs().max()) > 1e-3
    terms, first = observation_terms(body), 0
    for name, size in terms.items():
        told = seen[first : first + size]
        partly = name == "root_lin_and_ang_vel"
        assert told.tolist() == ([False] * 3 + [True] * 3 if partly else [bool(told[0])] * size), name
        first += size
    assert (WorldModelConfig().sees_what_a_robot_measures(True), WorldModelConfig().measurable) == (True, None)
    assert not WorldModelConfig(measurable=False).sees_what_a_robot_measures(True)


# -- what it refuses -------------------------------------------------------------------------------------------------


def still(clip: Clip) -> Clip:
    frames = np.zeros(clip.num_frames, int)
    return replace(clip, root_pos=clip.root_pos[frames], rotations=clip.rotations[frames], name="still")


def test_what_cannot_be_trained_on_is_one_line(body: Body, squat: Clip, tmp_path: Path):
    cases = {
        r"still: stands still \(0\.000 m/s at most\).*; expected clips that move": (still(squat), SMALL),
        "takes no prior, expected --prior none": (squat, replace(SMALL, prior=PriorConfig("vae", steps=1))),
        "learns one body and clips at their own speed": (squat, replace(SMALL, vary=Variation(mass=(0.9, 1.1)))),
        "--steps 64: the world model learns alone in the first 64 .*, expected more": (
            squat,
            replace(SMALL, worldmodel=replace(TINY, warm_up=4)),
        ),
        "1 control steps recorded.*; expected more --envs or a longer --worldmodel.window": (
            squat,
            replace(SMALL, envs=1, worldmodel=replace(TINY, window=1)),
        ),
    }
    for place, (told, (clip, config)) in enumerate(cases.items()):
        with pytest.raises(MotionError, match=told) as found:
            train_imitator([clip], [], tmp_path / str(place), config, body=body)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"window": 0}, "window: 0, expected 1 or more"),
        ({"horizon": 9999}, "at most 1024"),
        ({"foresight": 33}, "foresight: 33, expected 1 to the window of 32"),
        ({"warm_up": -1}, "warm_up: -1, expected 0 or more"),
        ({"ema": 2.0}, "0 to 1"),
        ({"hidden": ()}, "expected one"),
    ],
)
def test_options_that_are_none_are_refused_by_name(wrong: dict[str, Any], told: str):
    with pytest.raises(MotionError, match=rf"worldmodel\.\w+: .*{told}|{told}"):
        WorldModelConfig(**wrong)


def test_a_batch_that_memory_is_too_small_for_is_one_line(body: Body, squat: Clip, monkeypatch: pytest.MonkeyPatch):
    huge = replace(TINY, policy_batch=10_000_000)
    with pytest.raises(MotionError, match=r"--worldmodel.policy-batch 10000000 need \d+\.\d GB on cpu, .* are free"):
        made_trainer(body, squat, huge)
    monkeypatch.setattr(world_trainer, "MAX_MODEL", 1000)
    with pytest.raises(MotionError, match=r"--envs 4 and --worldmodel.kept 2: 0\.0 GB of windows are more than"):
        made_trainer(body, squat)
    monkeypatch.undo()
    trainer = made_trainer(body, squat)

    def full() -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nand more")

    monkeypatch.setattr(trainer, "_teach_model", full)
    with pytest.raises(MotionError, match=r"out of memory with --worldmodel.model-batch 4 and .* on cpu; expected"):
        trainer.update()


def test_the_memory_that_is_asked_for_is_what_gradients_keep(body: Body, squat: Clip):
    config = replace(TINY, policy_batch=64, model_batch=64)
    trainer = made_trainer(body, squat, config)
    trainer.update()
    told = world_trainer.memory_needed(trainer.env, trainer.policy, config)

    def kept(values: torch.Tensor) -> torch.Tensor:
        held[values.untyped_storage().data_ptr()] = values
        return values

    def imagined() -> torch.Tensor:
        start = trainer.replay.draw_states(64)
        return imagine(trainer.model, trainer.env.task, trainer.learner, start, 4, 0.97, 100.0).returns.sum()

    for work in (imagined, lambda: window_loss(trainer.model, trainer.replay.draw(64), 100.0)):
        held: dict[int, torch.Tensor] = {}
        with torch.autograd.graph.saved_tensors_hooks(kept, lambda values: values):
            work()
        needed = sum(values.untyped_storage().nbytes() for values in held.values())
        assert 0.2 * told < needed < told


def test_the_latest_windows_are_kept(body: Body):
    replay = Replay(body, 2, 3, 2, torch.device("cpu"))
    for value in (1, 2, 3):
        windows = empty_windows(body, 3, 2, torch.device("cpu"))
        windows.steps.fill_(value)
        replay.add(windows)
    assert len(replay) == 4
    assert set(replay.windows.steps.unique().tolist()) == {2, 3}
    assert replay.draw(5).qpos.shape == (4, 5, body.model.nq)
    states = replay.draw_states(7)
    assert (states.qpos.shape, states.num_steps) == ((1, 7, body.model.nq), 0)
    twin = Replay(body, 2, 3, 2, torch.device("cpu"))
    twin.restore(replay.tensors())
    assert torch.equal(twin.windows.steps, replay.windows.steps)
    with pytest.raises(MotionError, match="windows of 3 environments given, expected 2"):
        replay.add(empty_windows(body, 3, 3, torch.device("cpu")))
