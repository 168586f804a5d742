"""Training through a learned model of the world: the simulator gives data alone, and the policy is improved by
gradients through roll-outs that the model imagines (SuperTrack, Fussell et al. 2021; SuperMimic, arXiv 2610.28480).

An update acts in the simulator for a window of control steps, teaches the world model the latest windows, and then, but
for the first updates, the policy in what the model imagines from recorded states. What training results in is the
average of the policy over its gradient steps. Where numbers stop being sound, or most of what is imagined leaves all
bounds, the update is counted and everything that learns goes back to what it was before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from morphloop.base import MotionError
from morphloop.base.random_streams import own_streams
from morphloop.base.tensors import MAX_MODEL
from morphloop.envs import TrackingEnv
from morphloop.envs.reference import free_memory
from morphloop.envs.sampling import ReturnSampler
from morphloop.sim import Body, CpuPhysics

from ..training.checkpoint import Tensors, as_part, optimiser_tensors, restore_optimiser
from ..training.policy import Policy
from ..training.trainer import MAX_WEIGHT, Trainer, World
from .config import WorldModelConfig
from .foresight import window_errors, window_loss
from .imagination import imagine
from .model import WorldModel, load_world_model, new_world_model
from .windows import Replay, Windows, empty_windows, window_widths

WORLD_MODEL_FILE = "world_model.safetensors"
STILL_SPEED = 0.02
"""m/s; where no clip's joints ever go faster on average there is nothing to learn of the world."""
MOST_DIVERGED = 0.5
"""Share of imagined roll-outs that may diverge in a sound update."""
MOST_ROLLED_BACK = 8
"""Updates in a row that may be rolled back before training has diverged."""
SHOWN_WINDOWS = 64
"""Windows that the world model's error is told of."""
NUMBERS_PER_WIDTH = 20
"""Numbers that a control step keeps for gradients, times what it observes; measured on the built-in body, see
`tests/test_world_model.py`."""


class WorldModelTrainer(Trainer):
    """Back-propagation through a learned world model, on the task's device.

    policy: the averaged policy, continued in place; env: the task, of bodies that are all alike and clips at their own
    speed; config: options; seed: of weights, exploration, starts and what is drawn.
    model: the world model; learner: the policy that acts and learns; replay: what it learns from; sampler: the task's
    starts; rolled_back: updates so far that were not sound.
    MotionError for a task that it cannot learn, or more than there is memory for.
    """

    @own_streams()
    def __init__(self, policy: Policy, env: TrackingEnv, config: WorldModelConfig | None = None, seed: int = 0):
        self.config = config or WorldModelConfig()
        _check_task(env)
        super().__init__(policy.to(env.clip.device), env, seed)
        config, device, body = self.config, env.clip.device, env.body
        _check_memory(env, policy, config)
        env.want_final = False
        self.sampler = env.sampler = ReturnSampler(env.library, env.generator, env.config.start_floor)
        servos = env.task.servos
        self.model: WorldModel = (
            new_world_model(body, servos, config.hidden, seed)
            if config.begin is None
            else load_world_model(config.begin, body, servos)
        )
        self.learner = policy.copy().to(device)
        self.replay = Replay(body, env.num_envs, config.window, config.kept, device)
        self.model_optimiser = torch.optim.Adam(self.model.parameters(), config.model_learning_rate)
        self.optimiser = torch.optim.Adam(self.learner.actor.parameters(), config.learning_rate)
        self.rolled_back = self.in_a_row = 0
        env.seed(seed)
        self.obs = self.learner.normalise(env.reset())
        self.fresh = torch.ones(env.num_envs, dtype=torch.bool, device=device)

    def files(self) -> dict[str, bytes]:
        return {WORLD_MODEL_FILE: self.model.to_bytes()}

    def _improve(self) -> tuple[int, dict[str, float]]:
        try:
            return self._update()
        except (torch.OutOfMemoryError, MemoryError):
            config = self.config
            raise MotionError(
                f"out of memory with --worldmodel.model-batch {config.model_batch} and --worldmodel.policy-batch "
                f"{config.policy_batch} on {self.env.clip.device}; expected fewer"
            ) from None

    def _update(self) -> tuple[int, dict[str, float]]:
        config = self.config
        self.replay.add(self._act())
        if self.updates == 0 and config.begin is None:
            self.model.fit_units(*self.replay.draw(len(self.replay)).transitions())
        before = {name: value.detach().clone() for name, value in self._learned().items()}
        with _repeatable(self.env.clip.device):
            model_loss = self._teach_model()
            figures = self._teach_policy() if self.updates >= config.updates_alone else {}
        sound = _sound(self.model, self.learner, self.policy)
        sound = sound and model_loss < float("inf") and figures.get("imagined_diverged", 0.0) <= MOST_DIVERGED
        if not sound:
            self._take_learned(before)
            self._roll_back()
        else:
            self.in_a_row = 0
        figures |= {"model_loss": model_loss, "rolled_back": float(self.rolled_back)}
        shown = self.replay.draw(min(SHOWN_WINDOWS, len(self.replay)))
        return config.window * self.env.num_envs, figures | window_errors(self.model, shown)

    def _roll_back(self) -> None:
        self.rolled_back += 1
        self.in_a_row += 1
        if self.in_a_row > MOST_ROLLED_BACK:
            raise MotionError(
                f"training diverged: {self.in_a_row} updates in a row were rolled back; lower the learning rates"
            )

    @torch.no_grad()
    def _act(self) -> Windows:
        """A window of every environment under the learner with exploration noise."""
        env, config = self.env, self.config
        told = empty_windows(env.body, config.window, env.num_envs, env.clip.device)
        noise = self.learner.log_std.exp()
        for t in range(config.window):
            self._write(told, t)
            action = self.learner.actor(self.obs)
            result = env.step(action + noise * torch.randn_like(action))
            told.ctrl[t] = env.physics.ctrl
            self.figures.see(result)
            self.sampler.earned(told.clip[t], told.frame[t], result.reward, result.terminated)
            self.fresh = result.terminated | result.truncated
            self.obs = self.learner.normalise(result.obs)
        self._write(told, config.window)
        return told

    def _write(self, told: Windows, t: int) -> None:
        now = self.env.moment()
        told.qpos[t], told.qvel[t], told.foot_force[t] = now.qpos, now.qvel, now.foot_force
        told.clip[t], told.frame[t] = now.clip, now.frame
        told.steps[t], told.fresh[t] = self.env.steps, self.fresh

    def _teach_model(self) -> float:
        """Gradient steps of the world model; its mean loss."""
        config, total = self.config, self.model.mean.new_zeros(())
        for _ in range(config.model_steps):
            seen = self.replay.draw(config.model_batch, config.foresight)
            loss = window_loss(self.model, seen, config.state_gradient)
            self._descend(loss, self.model_optimiser, self.model)
            total += loss.detach()
        return float(total) / config.model_steps

    def _teach_policy(self) -> dict[str, float]:
        """Gradient steps of the learner in imagination, each averaged into the policy; means over them."""
        config, sums = self.config, self.model.mean.new_zeros(3)
        self.model.requires_grad_(False)
        for _ in range(config.policy_steps):
            start = self.replay.draw_states(config.policy_batch)
            found = imagine(
                self.model, self.env.task, self.learner, start, config.horizon, config.gamma, config.state_gradient
            )
            self._descend(-found.returns.mean(), self.optimiser, self.learner.actor)
            self._average()
            parts = (found.returns.detach(), found.alive, found.diverged.float())
            sums += torch.stack([part.mean() for part in parts])
        self.model.requires_grad_(True)
        names = ("imagined_return", "imagined_alive", "imagined_diverged")
        return dict(zip(names, (sums / config.policy_steps).tolist(), strict=True))

    def _descend(self, loss: torch.Tensor, optimiser: torch.optim.Optimizer, net: nn.Module) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), self.config.weight_gradient)
        optimiser.step()

    @torch.no_grad()
    def _average(self) -> None:
        for kept, own in zip(self.policy.actor.parameters(), self.learner.actor.parameters(), strict=True):
            kept.lerp_(own, 1.0 - self.config.ema)

    def _learned(self) -> Tensors:
        """All that gradient steps change, by name."""
        parts = {
            "model": self.model.state_dict(),
            "learner": self.learner.state_dict(),
            "average": self.policy.state_dict(),
            "model_adam": optimiser_tensors(self.model_optimiser),
            "adam": optimiser_tensors(self.optimiser),
        }
        return {name: value for part, tensors in parts.items() for name, value in as_part(part, tensors).items()}

    def _take_learned(self, tensors: Tensors) -> None:
        """Inverse of `_learned`."""
        for name, net in (("model", self.model), ("learner", self.learner), ("average", self.policy)):
            net.load_state_dict(_part(name, tensors))
        for name, optimiser in (("model_adam", self.model_optimiser), ("adam", self.optimiser)):
            restore_optimiser(optimiser, _part(name, tensors))

    def _optimiser(self) -> torch.optim.Optimizer:
        return self.optimiser

    def _take_policy(self) -> None:
        self.learner.load_state_dict(self.policy.state_dict())

    def _tensors(self) -> Tensors:
        """What learned and, where episodes are kept too, what was recorded."""
        counts = {"rolled_back": torch.tensor(self.rolled_back), "in_a_row": torch.tensor(self.in_a_row)}
        told = self._learned() | counts | {"obs": self.obs, "starts": self.fresh}
        if isinstance(self.env.physics, CpuPhysics):
            told |= as_part("replay", self.replay.tensors())
        return told

    def _restore(self, tensors: Tensors) -> None:
        device = self.env.clip.device
        self._take_learned(tensors)
        self.rolled_back, self.in_a_row = int(tensors["rolled_back"]), int(tensors["in_a_row"])
        self.obs, self.fresh = tensors["obs"].to(device), tensors["starts"].to(device)
        replay = _part("replay", tensors)
        if replay:
            self.replay.restore(replay)


def _part(name: str, tensors: Tensors) -> Tensors:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _sound(*nets: nn.Module) -> bool:
    """Whether all weights are numbers that a network which learns may have."""
    return all(bool((p.abs() < MAX_WEIGHT).all()) for net in nets for p in net.parameters())


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Sums in one order inside, however many threads there are: on the CPU, where a training is repeated to the bit."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(before or device.type == "cpu")
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _check_task(env: TrackingEnv) -> None:
    """MotionError for a task that a world model does not learn."""
    who = "trainer 'worldmodel'"
    if World.here().size > 1:
        raise MotionError(f"{who} runs in one process, expected none of torchrun's")
    if env.prior is not None:
        raise MotionError(f"{who} takes no prior, expected --prior none")
    if env.play is not None or env.physics.models is not None:
        raise MotionError(f"{who} learns one body and clips at their own speed, expected no --vary and no --speed")
    speed = float(env.library.state.vel.norm(dim=-1).mean(1).max())
    if speed < STILL_SPEED:
        names = [clip.name for clip in env.library.clips]
        whose = names[0] if len(names) == 1 else f"{len(names)} clips"
        raise MotionError(
            f"{whose}: stands still ({speed:.3f} m/s at most), there is nothing to learn a world model from; "
            "expected clips that move"
        )


def window_bytes(body: Body, config: WorldModelConfig) -> int:
    """Bytes of a window at most."""
    widths = window_widths(body)
    numbers = sum(torch.Size(width).numel() for width in widths.values()) + len(widths)  # some take two
    return 4 * (config.window + 1) * numbers


def memory_needed(env: TrackingEnv, policy: Policy, config: WorldModelConfig) -> int:
    """Bytes that windows, and the gradients of one roll-out, take at most."""
    windows = (config.kept * env.num_envs + config.model_batch) * window_bytes(env.body, config)
    width = NUMBERS_PER_WIDTH * env.observation_size + 2 * sum(policy.spec.hidden) + 2 * sum(config.hidden)
    steps = max(config.policy_batch * config.horizon, config.model_batch * config.window)
    return windows + 4 * steps * width


def _check_memory(env: TrackingEnv, policy: Policy, config: WorldModelConfig) -> None:
    needed, free = memory_needed(env, policy, config), free_memory(env.clip.device)
    if needed > free:
        raise MotionError(
            f"--envs {env.num_envs}, --worldmodel.model-batch {config.model_batch} and --worldmodel.policy-batch "
            f"{config.policy_batch} need {needed / 1e9:.1f} GB on {env.clip.device}, {free / 1e9:.1f} GB are free; "
            "expected fewer"
        )
    recorded = config.kept * env.num_envs * window_bytes(env.body, config)
    if isinstance(env.physics, CpuPhysics) and recorded > MAX_MODEL // 2:
        raise MotionError(
            f"--envs {env.num_envs} and --worldmodel.kept {config.kept}: {recorded / 1e9:.1f} GB of windows are more "
            "than a checkpoint holds; expected fewer"
        )
