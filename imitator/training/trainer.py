"""What a trainer is: it improves a policy an update at a time, and can be stopped and taken up between two of them."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from morphloop.base import MotionError
from morphloop.base.random_streams import own_streams
from morphloop.envs import StepResult, TrackingEnv

from .checkpoint import (
    Checkpoint,
    Tensors,
    as_part,
    env_tensors,
    optimiser_tensors,
    restore_env,
    restore_optimiser,
    seed_streams,
)
from .policy import Policy
from .priors import Prior

WORLD_VARIABLES = (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))


@dataclass(frozen=True)
class World:
    """Where this process stands among those that torchrun started; one alone without it.

    rank: of all; local: on this machine; size: how many
    """

    rank: int
    local: int
    size: int

    @classmethod
    def here(cls) -> World:
        """From torchrun's environment variables."""
        return cls(*(int(os.environ.get(name, default)) for name, default in WORLD_VARIABLES))

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0


MAX_WEIGHT = 1e6


def check_sound(net: nn.Module) -> None:
    """MotionError if a network holds a number that is none, or larger than a network that learns ever does."""
    if not all(bool((p.abs() < MAX_WEIGHT).all()) for p in net.parameters()):
        raise MotionError(f"training diverged: a weight is NaN or over {MAX_WEIGHT:.0e}; lower the learning rate")


class StepFigures:
    """Means over control steps, summed on the device and read once an update."""

    def __init__(self, device: torch.device, control_hz: float):
        self.sums, self.control_hz = torch.zeros(5, device=device), control_hz

    def see(self, result: StepResult) -> None:
        """Add one control step's outcome."""
        terminated = result.terminated.to(result.reward.dtype)
        parts = [torch.ones_like(terminated), result.reward, result.error, result.slide, terminated]
        self.sums += torch.stack([part.sum() for part in parts]).to(self.sums)

    def take(self) -> dict[str, float]:
        """What was seen since the last call."""
        count, reward, error, slide, terminated = self.sums.tolist()
        self.sums.zero_()
        return {
            "reward": reward / count,
            "error_mm": 1000.0 * error / count,
            "slide_mm_s": 1000.0 * slide / count,
            "terminated_per_s": self.control_hz * terminated / count,
        }


class Trainer(ABC):
    """What improves a policy in place, an update at a time, and can be stopped and taken up between two of them.

    policy: the policy; env: the task; prior: the task's, if it learns or is told of; seed: of exploration and starts;
    env_steps: control steps so far, all environments together; updates: updates so far
    """

    def __init__(self, policy: Policy, env: TrackingEnv, seed: int):
        self.policy, self.env, self.seed = policy, env, seed
        self.prior = env.prior if isinstance(env.prior, Prior) else None
        self.figures = StepFigures(env.clip.device, env.body.control_hz)
        self.env_steps = self.updates = 0

    def update(self) -> dict[str, float]:
        """One rollout of all environments and its gradient steps; returns figures. MotionError if it diverges."""
        began = time.perf_counter()
        with own_streams():
            seed_streams(self.seed, self.updates)
            steps, losses = self._improve()
        self.updates += 1
        self.env_steps += steps
        check_sound(self.policy)
        row = {"env_steps": float(self.env_steps), **self.figures.take(), **losses}
        row |= self._learn_prior()
        weights = self.env.sampler.weights
        row |= {
            "std": float(self.policy.log_std.detach().exp().mean()),
            "entropy": float((self.policy.log_std.detach() + 0.5 * np.log(2.0 * np.pi * np.e)).sum()),
            "weights_spread": float(weights.std(correction=0) / weights.mean()),
            "failure": float(self.env.sampler.failure.mean()),
            "diverged": float(self.env.physics.diverged),
            "overflow": float(getattr(self.env.physics, "overflow", 0)),
        }
        return row | {"steps_per_s": steps / (time.perf_counter() - began)}

    def agreed(self, flag: bool) -> bool:
        """A decision that all processes of a training take together; here there is one."""
        return flag

    def checkpoint(self, numbers: dict[str, Any]) -> Checkpoint:
        """All that the next update depends on, and `numbers` beside it."""
        tensors = as_part("policy", self.policy.state_dict()) | as_part("env", env_tensors(self.env))
        tensors |= as_part("optimiser", optimiser_tensors(self._optimiser())) | as_part("trainer", self._tensors())
        if self.prior is not None:
            tensors |= as_part("prior", self.prior.state_dict())
            tensors["prior_generator"] = self.prior.generator.get_state()
            if self.prior.optimiser is not None:
                tensors |= as_part("prior_optimiser", optimiser_tensors(self.prior.optimiser))
        rate = self._optimiser().param_groups[0]["lr"]
        counters = {"env_steps": self.env_steps, "updates": self.updates, "learning_rate": rate}
        return Checkpoint(tensors, numbers | counters)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same configuration."""
        numbers = checkpoint.numbers
        self.env_steps, self.updates = int(numbers["env_steps"]), int(numbers["updates"])
        self.policy.load_state_dict(checkpoint.part("policy"))
        self._take_policy()
        restore_optimiser(self._optimiser(), checkpoint.part("optimiser"), numbers["learning_rate"])
        if self.prior is not None:
            self.prior.load_state_dict(checkpoint.part("prior"))
            self.prior.generator.set_state(checkpoint.tensors["prior_generator"])
            if self.prior.optimiser is not None:
                restore_optimiser(self.prior.optimiser, checkpoint.part("prior_optimiser"))
        started = restore_env(self.env, checkpoint.part("env"))
        own = checkpoint.part("trainer")
        if started is not None:
            ones = torch.ones(self.env.num_envs, dtype=torch.bool)
            own |= {"obs": self.policy.normalise(started), "starts": ones}
        self._restore(own)

    def files(self) -> dict[str, bytes]:
        """What others may read beside the policy, as it is now, by the file's name."""
        return {}

    def _learn_prior(self) -> dict[str, float]:
        return {} if self.prior is None else self.prior.learn()

    @abstractmethod
    def _improve(self) -> tuple[int, dict[str, float]]:
        """Rollout and gradient steps, the policy's weights taken; returns control steps done and losses."""

    @abstractmethod
    def _optimiser(self) -> torch.optim.Optimizer:
        """Of actor and critic."""

    @abstractmethod
    def _take_policy(self) -> None:
        """Copy the policy's weights into the library's networks."""

    @abstractmethod
    def _tensors(self) -> Tensors:
        """`obs` (N, D), normalised, and `starts` (N,), whose episode has just begun: what the next update acts on; and
        whatever else it depends on."""

    @abstractmethod
    def _restore(self, tensors: Tensors) -> None:
        """Inverse of `_tensors`; `env_steps` is as it was already."""
