"""Distillation: one policy learns from demonstrations of an optimal-control expert, in states that it gets into itself.

DAgger (Ross et al., arXiv 1011.0686) asks the expert wherever the learner goes. Here the answer costs a matrix product:
near a demonstration the expert's controls are those that it showed less its gains times how far the body is from it. So
the learner drives a whole batch of bodies, each along a demonstration, pushed and disturbed, and every control step is
a label. A body that has left the tube in which the gains hold starts anew elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.base.random_streams import own_streams
from morphloop.base.threads import fixed_threads
from morphloop.envs import Observer, Simulation, feedback_entries, stack
from morphloop.envs.observer import ACTION_LIMIT
from morphloop.envs.sampling import outcomes
from morphloop.envs.terminations import failed
from morphloop.sim import Body, CpuPhysics

from ..training.policy import HIDDEN, Policy
from .config import DistilConfig
from .demonstrations import Demonstration

KNEE = 0.3
"""Error of an action beyond which its loss grows linearly: at some control steps the onset of a contact makes gains far
too large, and nobody should learn those."""
LABEL_LIMIT = 1.0
"""Largest action that is learned."""
SMOOTHING = 0.05
"""Weight of a body's outcome in the running rate at which its demonstration is left."""


class DemonstrationDeck:
    """Demonstrations as stacked tensors, and the expert's answers beside them.

    library: the clips of the demonstrations, in order; `start`, `length`: (C,) rows and control steps of each.
    """

    def __init__(self, demonstrations: Sequence[Demonstration], body: Body):
        if not demonstrations:
            raise MotionError("no demonstrations to learn from, expected at least one")
        self.body = body
        self.library = stack([each.reference for each in demonstrations], body)
        self.length = torch.tensor([len(each) for each in demonstrations])
        self.start = torch.cumsum(self.length, 0) - self.length
        self.qpos, self.qvel, self.force, self.ctrl = (
            torch.from_numpy(np.concatenate([getattr(each, name) for each in demonstrations]))
            for name in ("qpos", "qvel", "force", "ctrl")
        )
        self.gain = torch.from_numpy(np.concatenate([each.gain for each in demonstrations]))
        self.coordinates = self.library.coordinates

    def tangent(self, row: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> torch.Tensor:
        """(N, 2 nv) from the states that were shown at rows (N,) to qpos (N, nq), qvel (N, nv)."""
        return torch.cat([self.coordinates.difference(self.qpos[row], qpos), qvel - self.qvel[row]], dim=1)

    def expert(self, row: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> torch.Tensor:
        """(N, nu) PD targets that the expert asks for in states beside the demonstration at rows (N,)."""
        off = self.tangent(row, qpos, qvel).float()
        return self.ctrl[row].float() - torch.einsum("nuk,nk->nu", self.gain[row].float(), off)


class Collector(Simulation):
    """A batch of bodies, each along a demonstration: `clip` is which, `frame` where on it."""

    def __init__(self, deck: DemonstrationDeck, body: Body, config: DistilConfig):
        super().__init__(CpuPhysics(body, config.envs), Observer(body, deck.library))
        self.deck, self.config = deck, config
        self.draw = torch.Generator().manual_seed(config.seed)
        count = config.envs
        self.steps = torch.zeros(count, dtype=torch.long)
        self.failure = torch.full((len(deck.length),), 0.5)
        self.left_tube = 0
        self.begin(torch.arange(count))

    def begin(self, ids: torch.Tensor) -> None:
        """Start bodies `ids` (K,) at drawn frames of drawn demonstrations, more often of those that are left more."""
        deck, config, draw = self.deck, self.config, self.draw
        weight = deck.length * (0.2 + self.failure)
        clip = torch.multinomial(weight.float(), len(ids), replacement=True, generator=draw)
        frame = (torch.rand(len(ids), generator=draw) * (deck.length[clip] - 8).clamp(min=1)).long()
        frame = torch.where(torch.rand(len(ids), generator=draw) < 0.2, torch.zeros_like(frame), frame)
        row = deck.start[clip] + frame
        qpos, qvel = deck.qpos[row].clone(), deck.qvel[row].clone()
        noise = torch.randn(len(ids), 2, qvel.shape[1] - 6, generator=draw, dtype=torch.double)
        turn = torch.zeros_like(qvel)
        turn[:, deck.coordinates.servo_dofs] = config.disturb * noise[:, 0]
        qpos = deck.coordinates.integrate(qpos, turn)
        qvel[:, 6:] += 10.0 * config.disturb * noise[:, 1]
        push = torch.randn(len(ids), 6, generator=draw, dtype=torch.double)
        qvel[:, :6] += config.push * push * push.new_tensor([1.0, 1.0, 0.3, 2.0, 2.0, 2.0])
        self.steps[ids] = 0
        self.place(ids, clip, frame, qpos, qvel, deck.force[row])

    @torch.no_grad()
    def step(self, policy: Policy, driven: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One control step; `driven`: (N,) 1 where the expert drives. Returns observations (N, D), labels (N, A)."""
        deck, config, observer, physics = self.deck, self.config, self.observer, self.physics
        obs, base = self.observe(), self.base()
        asked = deck.expert(deck.start[self.clip] + self.frame, physics.qpos, physics.qvel)
        wanted = ((asked - base) / observer.scale).clamp(-ACTION_LIMIT, ACTION_LIMIT)
        action = torch.where(driven[:, None], wanted, policy.act(obs))
        action = action + config.noise * torch.randn(action.shape, generator=self.draw)
        diverged = self.advance(observer.offsets(action), base)
        self.steps += 1
        ended = (self.frame >= deck.length[self.clip]) | (self.steps >= config.max_steps)
        row = deck.start[self.clip] + torch.minimum(self.frame, deck.length[self.clip] - 1)
        there = observer.kinematics(deck.qpos[row], deck.qvel[row])
        left = failed(self.state, there, config.tube) | diverged
        over = left | ended
        if over.any():
            ids = over.nonzero().flatten()
            count, rate = outcomes(self.clip[ids], left[ids], len(self.failure))
            keep = (1.0 - SMOOTHING) ** count
            self.failure = keep * self.failure + (1.0 - keep) * rate
            self.left_tube += int(left.sum())
            self.begin(ids)
        return obs, wanted.clamp(-LABEL_LIMIT, LABEL_LIMIT)


class _Memory:
    """The latest labelled states, in a ring."""

    def __init__(self, size: int, observation: int, action: int):
        self.obs, self.label = torch.zeros(size, observation), torch.zeros(size, action)
        self.size, self.at, self.count = size, 0, 0

    def add(self, obs: torch.Tensor, label: torch.Tensor) -> None:
        rows = (self.at + torch.arange(len(obs))) % self.size
        self.obs[rows], self.label[rows] = obs, label
        self.at = (self.at + len(obs)) % self.size
        self.count = min(self.count + len(obs), self.size)


@own_streams()
@fixed_threads()
def distil(
    policy: Policy,
    demonstrations: Sequence[Demonstration],
    body: Body,
    config: DistilConfig | None = None,
    on_update: Callable[[dict[str, Any]], None] = lambda row: None,
    go_on: Callable[[], bool] = lambda: True,
) -> Policy:
    """Teach `policy`, in place, what the demonstrations' expert does, for `config.updates` updates; returns it.

    on_update: told of every update: env_steps, loss, and left_per_s, how often a second a body left its tube; go_on:
    asked before each update, so that a caller can give up early. MotionError if there are no demonstrations.
    """
    config = config or DistilConfig()
    collector = Collector(DemonstrationDeck(demonstrations, body), body, config)
    memory = _Memory(config.memory, policy.spec.observation, policy.spec.action)
    torch.manual_seed(config.seed)  # of dropout
    optimiser = torch.optim.AdamW(policy.actor.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    for update in range(config.updates):
        if not go_on():
            break
        share = 0.5 if update < config.expert_updates else config.expert_share
        driven = torch.arange(config.envs) < share * config.envs
        collector.left_tube = 0
        for _ in range(config.steps):
            memory.add(*collector.step(policy, driven))
        if update == 0 and bool((policy.std == 1.0).all()):
            _fit_normaliser(policy, memory.obs[: memory.count], feedback_entries(body))
        rate = config.learning_rate * (config.last_learning_rate / config.learning_rate) ** (update / config.updates)
        loss = _regress(policy, memory, optimiser, rate, config, collector.draw)
        row = {"update": update + 1, "env_steps": (update + 1) * config.steps * config.envs, "loss": loss}
        on_update(row | {"left_per_s": collector.left_tube * body.control_hz / (config.steps * config.envs)})
    return policy.eval()


def _fit_normaliser(policy: Policy, seen: torch.Tensor, entries: torch.Tensor) -> None:
    """Mean and spread of what is seen (K, D); all but `entries` (D,) are hidden."""
    policy.mean.copy_(torch.where(entries, seen.mean(0), 0.0))
    policy.std.copy_(torch.where(entries, seen.std(0).clamp(min=1e-2), HIDDEN))


def _noisy(policy: Policy, obs: torch.Tensor, config: DistilConfig, draw: torch.Generator) -> torch.Tensor:
    """(N, A) actions of a network with noise on its inputs and gaps in its layers."""
    x = policy.normalise(obs)
    x = x + config.input_noise * torch.randn(x.shape, generator=draw) * (policy.std < HIDDEN)
    for layer in policy.actor:
        x = layer(x)
        if not isinstance(layer, torch.nn.Linear):
            x = torch.nn.functional.dropout(x, config.dropout)
    return x


def _regress(
    policy: Policy,
    memory: _Memory,
    optimiser: torch.optim.Optimizer,
    rate: float,
    config: DistilConfig,
    draw: torch.Generator,
) -> float:
    """Gradient steps on drawn labels; returns the mean loss."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    total = 0.0
    for _ in range(config.batches):
        rows = torch.randint(memory.count, (config.minibatch,), generator=draw)
        loss = torch.nn.functional.smooth_l1_loss(
            _noisy(policy, memory.obs[rows], config, draw), memory.label[rows], beta=KNEE
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), 1.0)
        optimiser.step()
        total += float(loss.detach())
    return total / config.batches
