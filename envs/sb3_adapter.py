"""The tracking task as a Stable-Baselines3 VecEnv; the one place that makes a list over environments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv

from .observer import ACTION_LIMIT
from .tracking import StepResult, TrackingEnv


class TrackingVecEnv(VecEnv):
    """N tracking environments behind Stable-Baselines3's interface.

    env: the task; normalise: maps observations (N, D) to what the network reads; on_step: sees every StepResult.
    """

    def __init__(
        self,
        env: TrackingEnv,
        normalise: Callable[[torch.Tensor], torch.Tensor] | None = None,
        on_step: Callable[[StepResult], None] | None = None,
    ):
        self.env, self.normalise, self.on_step = env, normalise or (lambda obs: obs), on_step
        self.render_mode = None
        box = gym.spaces.Box
        super().__init__(
            env.num_envs,
            box(-np.inf, np.inf, (env.observation_size,), np.float32),
            box(-ACTION_LIMIT, ACTION_LIMIT, (env.action_size,), np.float32),
        )
        self._action = torch.zeros(env.num_envs, env.action_size)

    def reset(self) -> np.ndarray:
        if self._seeds[0] is not None:
            self.env.seed(int(self._seeds[0]))
            self._reset_seeds()
        return self.normalise(self.env.reset()).numpy()

    def step_async(self, actions: np.ndarray) -> None:
        self._action = torch.from_numpy(actions).float()

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        result = self.env.step(self._action)
        if self.on_step is not None:
            self.on_step(result)
        done = result.terminated | result.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        last = self.normalise(result.final_obs).numpy()
        for i in torch.nonzero(done).flatten().tolist():
            infos[i] = {"terminal_observation": last[i], "TimeLimit.truncated": bool(result.truncated[i])}
        return self.normalise(result.obs).numpy(), result.reward.numpy(), done.numpy(), infos

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.env, method_name)(*args, **kwargs)] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * self._count(indices)

    def _count(self, indices: int | Iterable[int] | None) -> int:
        return self.num_envs if indices is None else len(np.atleast_1d(np.asarray(indices)))
