"""PPO of Stable-Baselines3, the trainer on the CPU, and the options of both trainers (the other is `rsl`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from morphloop.base import MotionError
from morphloop.base.random_streams import own_streams
from morphloop.base.threads import fixed_threads
from morphloop.envs import TrackingEnv
from morphloop.envs.sb3_adapter import TrackingVecEnv

from .checkpoint import Tensors
from .config import PpoConfig
from .policy import Policy
from .trainer import Trainer, check_sound

SB3_KL_SLACK = 1.5
"""Times its `target_kl` at which Stable-Baselines3 stops."""
LOSSES = {
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "value_loss",
    "train/approx_kl": "kl",
    "train/clip_fraction": "clip_fraction",
    "train/explained_variance": "explained_variance",
}
"""Stable-Baselines3's names of what an update tells, and ours."""


class Sb3Trainer(Trainer):
    """PPO of Stable-Baselines3, on the CPU.

    policy: continued in place; env: the task; config: PPO's options; seed: of exploration and starts.
    MotionError for a task on another device.
    """

    @own_streams()  # Stable-Baselines3 seeds all of them
    def __init__(self, policy: Policy, env: TrackingEnv, config: PpoConfig | None = None, seed: int = 0):
        super().__init__(policy, env, seed)
        if env.clip.device.type != "cpu":
            raise MotionError(f"trainer 'sb3' runs on the CPU, got a task on {env.clip.device}; expected trainer 'rsl'")
        config, hidden = config or PpoConfig(), list(policy.spec.hidden)
        self.model = PPO(
            "MlpPolicy",
            TrackingVecEnv(env, policy.normalise, self.figures.see),
            n_steps=config.steps,
            batch_size=config.minibatch,
            n_epochs=config.epochs,
            learning_rate=config.learning_rate,
            target_kl=config.target_kl / SB3_KL_SLACK or None,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.entropy,
            policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": nn.ELU},
            seed=seed,
            device="cpu",
        )
        give_to_sb3(policy, self.model)

    def _improve(self) -> tuple[int, dict[str, float]]:
        before = self.model.num_timesteps
        try:
            self.model.learn(1, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]  # None: never
        except ValueError:  # torch refuses a distribution of NaN
            check_sound(_actor_critic(self.model))
            raise
        take_from_sb3(self.model, self.policy)
        told = self.model.logger.name_to_value
        return self.model.num_timesteps - before, {ours: float(told[name]) for name, ours in LOSSES.items()}

    def _optimiser(self) -> torch.optim.Optimizer:
        return _actor_critic(self.model).optimizer

    def _take_policy(self) -> None:
        give_to_sb3(self.policy, self.model)

    def _tensors(self) -> Tensors:
        if self.model._last_obs is None:
            raise MotionError("a training has nothing to keep before its first update")
        starts = self.model._last_episode_starts
        return {"obs": torch.as_tensor(self.model._last_obs), "starts": torch.as_tensor(starts)}

    def _restore(self, tensors: Tensors) -> None:
        self.model.num_timesteps = self.env_steps
        self.model._last_obs = tensors["obs"].numpy()
        self.model._last_episode_starts = tensors["starts"].numpy()


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
    actor = [*linear_layers(net.mlp_extractor.policy_net), *linear_layers(net.action_net)]
    critic = [*linear_layers(net.mlp_extractor.value_net), *linear_layers(net.value_net)]
    return list(zip([*linear_layers(policy.actor), *linear_layers(policy.critic)], actor + critic, strict=True))


def linear_layers(net: nn.Module) -> list[nn.Linear]:
    """Linear layers of a network, first to last."""
    return [m for m in net.modules() if isinstance(m, nn.Linear)]


def fit_normaliser(policy: Policy, env: TrackingEnv, steps: int = 24) -> None:
    """Set the policy's observation mean and deviation from random behaviour; they stay as they are afterwards."""
    mean, std = observed_spread(env, steps)
    policy.mean.copy_(mean)
    policy.std.copy_(std)


def observed_spread(env: TrackingEnv, steps: int = 24, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (D,) of what bodies observe under random actions of that deviation."""
    generator = torch.Generator().manual_seed(0)
    seen = [env.reset()]
    for _ in range(steps):
        action = noise * torch.randn(env.num_envs, env.action_size, generator=generator)
        seen.append(env.step(action.to(env.clip.device)).obs)
    obs = torch.cat(seen)
    return obs.mean(0), obs.std(0).clamp(min=0.02)


@fixed_threads()
def train_ppo(
    policy: Policy,
    env: TrackingEnv,
    total_steps: int,
    config: PpoConfig | None = None,
    seed: int = 0,
    on_update: Callable[[dict[str, float], Policy], None] = lambda row, policy: None,
) -> Policy:
    """Continue a policy with PPO until `total_steps` control steps, whole updates.

    The given policy is updated in place and returned; `on_update` sees a row of figures after every update.
    """
    trainer = Sb3Trainer(policy, env, config, seed)
    while trainer.env_steps < total_steps:
        on_update(trainer.update(), policy)
    return policy
