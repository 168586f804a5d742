"""Reinforcement learning of the policy: PPO from Stable-Baselines3 on the CPU backend."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from morphloop.envs import StepResult, TrackingEnv
from morphloop.envs.sb3_adapter import TrackingVecEnv

from .policy import Policy


@dataclass(frozen=True)
class PpoConfig:
    """PPO's own options; discount and clipping as in Morph's release."""

    steps: int = 32
    """Control steps of every environment between updates."""
    minibatch: int = 2048
    """Samples in a gradient step."""
    epochs: int = 3
    """Passes over the samples of an update."""
    learning_rate: float = 2e-4
    """Of Adam."""
    gamma: float = 0.97
    """Discount: about one second at 30 Hz."""
    gae_lambda: float = 0.95
    """Of the generalised advantage estimate."""
    clip: float = 0.2
    """Of the probability ratio."""
    entropy: float = 0.0
    """Price of low entropy."""


class Progress(BaseCallback):
    """Collects what happened between updates, hands it out as a row, and stops at the deadline."""

    def __init__(self, policy: Policy, deadline: float, on_update: Callable[[dict[str, float], Policy], None]):
        super().__init__()
        self.policy, self.deadline, self.on_update = policy, deadline, on_update
        self.sums: dict[str, float] = defaultdict(float)
        self.began = time.monotonic()

    def see(self, result: StepResult) -> None:
        """Add one control step's outcome."""
        self.sums["steps"] += len(result.reward)
        self.sums["reward"] += float(result.reward.sum())
        self.sums["error_mm"] += 1000.0 * float(result.error.sum())
        self.sums["slide_mm_s"] += 1000.0 * float(result.slide.sum())
        self.sums["lost"] += float(result.terminated.sum())

    def _on_step(self) -> bool:
        return time.monotonic() < self.deadline

    def _on_rollout_end(self) -> None:
        count = self.sums.pop("steps")
        row = {name: value / count for name, value in self.sums.items()}
        row["lost_per_s"] = 30.0 * row.pop("lost")
        row |= {"env_steps": float(self.num_timesteps), "seconds": time.monotonic() - self.began}
        self.sums.clear()
        take_from_sb3(self.model, self.policy)
        row["std"] = float(self.policy.log_std.detach().exp().mean())
        self.on_update(row, self.policy)


def give_to_sb3(policy: Policy, model: BaseAlgorithm) -> None:
    """Copy a policy's weights into a Stable-Baselines3 model of the same layout."""
    for ours, theirs in _paired_layers(policy, model):
        theirs.load_state_dict(ours.state_dict())
    _actor_critic(model).log_std.data.copy_(policy.log_std.data)


def take_from_sb3(model: BaseAlgorithm, policy: Policy) -> None:
    """Inverse of `give_to_sb3`."""
    for ours, theirs in _paired_layers(policy, model):
        ours.load_state_dict(theirs.state_dict())
    policy.log_std.data.copy_(_actor_critic(model).log_std.data)


def _actor_critic(model: BaseAlgorithm) -> ActorCriticPolicy:
    if not isinstance(model.policy, ActorCriticPolicy):
        raise TypeError(f"{type(model.policy).__name__} has no actor and critic of the policy's layout")
    return model.policy


def _paired_layers(policy: Policy, model: BaseAlgorithm) -> list[tuple[nn.Linear, nn.Linear]]:
    """Each linear layer of a policy with its like in a Stable-Baselines3 model."""
    net = _actor_critic(model)
    actor = [*_linears(net.mlp_extractor.policy_net), *_linears(net.action_net)]
    critic = [*_linears(net.mlp_extractor.value_net), *_linears(net.value_net)]
    return list(zip([*_linears(policy.actor), *_linears(policy.critic)], actor + critic, strict=True))


def _linears(net: nn.Module) -> list[nn.Linear]:
    return [m for m in net.modules() if isinstance(m, nn.Linear)]


def fit_normaliser(policy: Policy, env: TrackingEnv, steps: int = 24, noise: float = 0.3) -> None:
    """Set the policy's observation mean and deviation from random behaviour; they stay as they are afterwards."""
    generator = torch.Generator().manual_seed(0)
    seen = [env.reset()]
    for _ in range(steps):
        action = noise * torch.randn(env.num_envs, env.action_size, generator=generator)
        seen.append(env.step(action).obs)
    obs = torch.cat(seen)
    policy.mean.copy_(obs.mean(0))
    policy.std.copy_(obs.std(0).clamp(min=0.02))


def train_ppo(
    policy: Policy,
    env: TrackingEnv,
    total_steps: int,
    budget_s: float,
    config: PpoConfig | None = None,
    seed: int = 0,
    on_update: Callable[[dict[str, float], Policy], None] = lambda row, policy: None,
) -> Policy:
    """Continue a policy with PPO until `total_steps` control steps or `budget_s` seconds.

    The given policy is updated in place and returned; `on_update` sees a row of figures after every update.
    """
    config = config or PpoConfig()
    progress = Progress(policy, time.monotonic() + budget_s, on_update)
    vec = TrackingVecEnv(env, policy.normalise, progress.see)
    options = asdict(config)
    hidden = list(policy.spec.hidden)
    model = PPO(
        "MlpPolicy",
        vec,
        n_steps=options["steps"],
        batch_size=options["minibatch"],
        n_epochs=options["epochs"],
        learning_rate=options["learning_rate"],
        gamma=options["gamma"],
        gae_lambda=options["gae_lambda"],
        clip_range=options["clip"],
        ent_coef=options["entropy"],
        policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": nn.ELU},
        seed=seed,
        device="cpu",
    )
    give_to_sb3(policy, model)
    model.learn(total_steps, callback=progress)
    take_from_sb3(model, policy)
    if not all(np.isfinite(p.detach().numpy()).all() for p in policy.parameters()):
        raise FloatingPointError("PPO diverged: the policy holds NaN; lower the learning rate")
    return policy
