"""PPO of rsl-rl-lib: the trainer for CUDA, with every tensor on the device, and for several GPUs by torchrun.

Our policy is the master: its fixed normaliser is applied before rsl_rl sees an observation, and its weights are copied
in and out, so that whoever trained a policy, the file is the same. rsl_rl's own files, which are pickles, are not
written. With `torchrun --nproc_per_node K` every process simulates its share on its own device, gradients are averaged,
and the process of rank 0 alone evaluates, logs and keeps checkpoints.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict
from torch import nn

from morphloop.base.random_streams import own_streams
from morphloop.envs import StepResult, TrackingEnv

from .checkpoint import Tensors
from .config import RslConfig
from .policy import Policy
from .ppo import linear_layers
from .trainer import Trainer, World

GROUP = "policy"
"""Name of the one group of observations, which actor and critic both read."""


class RslVecEnv(VecEnv):
    """N tracking environments behind rsl_rl's interface.

    env: the task; normalise: maps observations (N, D) to what the network reads; on_step: sees every StepResult.
    """

    def __init__(
        self,
        env: TrackingEnv,
        normalise: Callable[[torch.Tensor], torch.Tensor],
        on_step: Callable[[StepResult], None],
    ):
        self.env, self.normalise, self.on_step = env, normalise, on_step
        self.num_envs, self.num_actions, self.device = env.num_envs, env.action_size, env.clip.device
        self.max_episode_length = env.config.max_steps
        self.cfg = {}
        env.want_final = False  # rsl_rl bootstraps a cut episode from the value before its last step
        self.obs = normalise(env.reset())

    @property
    def episode_length_buf(self) -> torch.Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """(N,) control steps since each environment started; rsl_rl only reads it."""
        return self.env.steps

    def get_observations(self) -> TensorDict:
        return TensorDict({GROUP: self.obs}, batch_size=[self.num_envs], device=self.device)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        # rsl_rl steps in inference mode, whose tensors nobody may change or learn from afterwards
        with torch.inference_mode(False), torch.no_grad():
            result = self.env.step(actions.clone())
            self.on_step(result)
            self.obs = self.normalise(result.obs)
            done = result.terminated | result.truncated
        return self.get_observations(), result.reward, done, {"time_outs": result.truncated}


class _Ppo(PPO):
    """rsl_rl's PPO that keeps what its last update told."""

    losses: dict[str, float]

    def update(self) -> dict[str, float]:
        self.losses = super().update()
        return self.losses


class _Runner(OnPolicyRunner):
    """rsl_rl's runner, whose processes can also meet on CPUs."""

    def _configure_multi_gpu(self) -> None:
        world = World.here()
        self.gpu_world_size, self.gpu_global_rank, self.gpu_local_rank = world.size, world.rank, world.local
        self.is_distributed = world.size > 1
        self.cfg["multi_gpu"] = None
        if not self.is_distributed:
            return
        self.cfg["multi_gpu"] = {"global_rank": world.rank, "local_rank": world.local, "world_size": world.size}
        cuda = torch.device(self.device).type == "cuda"
        if cuda:
            torch.cuda.set_device(torch.device(self.device))
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if cuda else "gloo", rank=world.rank, world_size=world.size)


class RslTrainer(Trainer):
    """PPO of rsl_rl on the task's device.

    policy: continued in place, moved to the device; env: the task; config: PPO's options; seed: of exploration and
    starts, to which the rank is added.
    """

    @own_streams()
    def __init__(self, policy: Policy, env: TrackingEnv, config: RslConfig | None = None, seed: int = 0):
        self.world = World.here()
        super().__init__(policy.to(env.clip.device), env, seed + self.world.rank)
        self.config = config or RslConfig()
        env.seed(self.seed)
        self.vec = RslVecEnv(env, policy.normalise, self.figures.see)
        with contextlib.redirect_stdout(io.StringIO()):  # rsl_rl prints its networks, standard output is the result's
            self.runner = _Runner(self.vec, runner_options(policy, self.config), None, str(env.clip.device))
        self._take_policy()
        if self.world.size > 1:
            for statistic in policy.buffers():
                torch.distributed.broadcast(statistic, src=0)
            self.vec.obs = policy.normalise(env.reset())

    def agreed(self, flag: bool) -> bool:
        """The first process's answer, for all of them: whoever stops alone leaves the others waiting."""
        if self.world.size == 1:
            return flag
        told = torch.tensor(float(flag), device=self.env.clip.device)
        torch.distributed.broadcast(told, src=0)
        return bool(told)

    def _improve(self) -> tuple[int, dict[str, float]]:
        with contextlib.redirect_stdout(io.StringIO()):
            self.runner.learn(1)
        for theirs, ours in self._pairs():
            ours.load_state_dict(theirs.state_dict())
        self.policy.log_std.data.copy_(self._log_std().data)
        steps = self.world.size * self.env.num_envs * self.config.steps
        losses = self._algorithm().losses
        rate = self._algorithm().learning_rate
        return steps, {"policy_loss": losses["surrogate"], "value_loss": losses["value"], "learning_rate": rate}

    def _learn_prior(self) -> dict[str, float]:
        """Also average what the processes' priors learned."""
        figures = super()._learn_prior()
        if self.prior is not None and self.prior.optimiser is not None and self.world.size > 1:
            for parameter in self.prior.parameters():
                torch.distributed.all_reduce(parameter.data)
                parameter.data /= self.world.size
        return figures

    def _algorithm(self) -> _Ppo:
        assert isinstance(self.runner.alg, _Ppo)
        return self.runner.alg

    def _optimiser(self) -> torch.optim.Optimizer:
        return self._algorithm().optimizer

    def _log_std(self) -> nn.Parameter:
        (found,) = (p for name, p in self._algorithm().actor.named_parameters() if name.endswith("log_std_param"))
        return found

    def _pairs(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """Each linear layer of rsl_rl's networks with its like in the policy."""
        theirs = [*linear_layers(self._algorithm().actor), *linear_layers(self._algorithm().critic)]
        ours = [*linear_layers(self.policy.actor), *linear_layers(self.policy.critic)]
        return list(zip(theirs, ours, strict=True))

    def _take_policy(self) -> None:
        for theirs, ours in self._pairs():
            theirs.load_state_dict(ours.state_dict())
        self._log_std().data.copy_(self.policy.log_std.data)

    def _tensors(self) -> Tensors:
        return {"obs": self.vec.obs}

    def _restore(self, tensors: Tensors) -> None:
        self.vec.obs = tensors["obs"].to(self.vec.device)
        if not self.world.first:  # the checkpoint holds the first process's episodes, the others begin their own
            self.env.generator.manual_seed(self.seed + self.env_steps)
            self.vec.obs = self.policy.normalise(self.env.reset())
        self._algorithm().learning_rate = self._optimiser().param_groups[0]["lr"]


def runner_options(policy: Policy, config: RslConfig) -> dict[str, Any]:
    """rsl_rl's configuration for networks of a policy's layout."""
    network = {
        "class_name": "MLPModel",
        "hidden_dims": list(policy.spec.hidden),
        "activation": "elu",
        "obs_normalization": False,
    }
    return {
        "num_steps_per_env": config.steps,
        "save_interval": 0,
        "check_for_nan": False,  # it waits for the device at every step; weights are checked once an update
        "obs_groups": {"actor": [GROUP], "critic": [GROUP]},
        "actor": network | {"distribution_cfg": {"class_name": "GaussianDistribution", "std_type": "log"}},
        "critic": dict(network),
        "algorithm": {
            "class_name": _Ppo,
            "num_learning_epochs": config.epochs,
            "num_mini_batches": config.minibatches,
            "learning_rate": config.learning_rate,
            "schedule": "adaptive" if config.desired_kl else "fixed",
            "desired_kl": config.desired_kl or None,
            "gamma": config.gamma,
            "lam": config.gae_lambda,
            "clip_param": config.clip,
            "entropy_coef": config.entropy,
        },
    }
