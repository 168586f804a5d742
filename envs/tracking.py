"""The tracking task: N bodies follow N clips, all tensors, no loop over environments.

The reward, the cost of power and the 0.5 m rule are Morph's (arXiv 2411.14951) and PHC's. Departures: actions are
offsets on PD targets that already follow the clip and keep the balance (`Observer.base`), and loaded feet that slide
cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from morphloop.motion import Clip
from morphloop.sim import Body, CpuPhysics, JointState, Physics, Servos

from .config import TaskConfig
from .observer import Observer, observation_size
from .playback import Playback
from .reference import Reference, build_library
from .sampling import StartSampler
from .simulation import Simulation
from .task import Moment, TrackingTask

PriorReward = Callable[[JointState, JointState], torch.Tensor]
"""Maps the joint states before and after a step to a reward (N,): a learned prior, handed in by the imitator."""


@dataclass
class StepResult:
    """One control step of N environments.

    obs: (N, D) after resets; reward: (N,); terminated: (N,) failed or diverged; truncated: (N,) clip or time at its
    end; final_obs: (N, D) before resets, no rows where nobody wants them; error: (N,) mean joint distance, metres;
    slide: (N,) m/s of loaded feet, summed
    """

    obs: torch.Tensor
    reward: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    final_obs: torch.Tensor
    error: torch.Tensor
    slide: torch.Tensor


@runtime_checkable
class MaskedPhysics(Protocol):
    """A backend on a device that must not be asked how many environments ended."""

    def set_where(self, which: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put environments `which` (N,) bool into their rows of qpos (N, nq), qvel (N, nv)."""
        ...


class TrackingEnv(Simulation):
    """N environments of the tracking task on one physics backend: bodies that are rewarded, and start anew at an end.

    clips: made ready by `prepare`, or references of clips; body: the body; num_envs: N; seed: of starts; physics: a
    backend, CPU if None, whose models may differ from environment to environment; prior: reward term handed in by the
    imitator.
    want_final: whether StepResult has `final_obs`, which costs a second observation where resets go by mask.
    play: how clips are played, None where they run at their own speed to the body they were made for; `frame` (N,) is
    then whole, else it need not be.
    task: what bodies see and what they are judged by, as functions of a moment.
    """

    def __init__(
        self,
        clips: Sequence[Clip | Reference],
        body: Body,
        num_envs: int,
        config: TaskConfig | None = None,
        seed: int = 0,
        physics: Physics | None = None,
        prior: PriorReward | None = None,
    ):
        self.config = config or TaskConfig()
        self.body, self.prior = body, prior
        physics = physics or CpuPhysics(body, num_envs)
        device = physics.device
        observer = Observer(body, build_library(clips, body, device), device)
        super().__init__(physics, observer, _playback(physics, self.config))
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.sampler = StartSampler(self.library, self.generator, self.config.start_floor)
        self.want_final = True
        self.task = TrackingTask(observer, Servos(physics), self.config, self.play)
        self.push_scale = torch.tensor([1.0, 1.0, 0.0, 2.0, 2.0, 2.0], device=device)
        self.steps = torch.zeros_like(self.clip)

    @property
    def observation_size(self) -> int:
        return observation_size(self.body)

    @property
    def action_size(self) -> int:
        return int(self.body.model.nu)

    def seed(self, seed: int) -> None:
        """Restart the stream of starts and forget what failed, so that what follows depends on the seed alone."""
        self.generator.manual_seed(seed)
        self.sampler.restart()

    def reset(self, ids: torch.Tensor | None = None, clip: torch.Tensor | None = None) -> torch.Tensor:
        """Start environments `ids` (K,), all if None, on drawn clips or on `clip` (K,). Returns obs of all (N, D)."""
        ids = torch.arange(self.num_envs, device=self.clip.device) if ids is None else ids
        self._start(ids, clip)
        return self.observe()

    def step(self, action: torch.Tensor) -> StepResult:
        """One control step with actions (N, nu); ended environments start anew."""
        before = self.state
        diverged, speed = self.advance(self.observer.offsets(action)), self.speed
        self.steps += 1
        judged = self.task.judge(self.moment(), self.physics.ctrl, self.steps)
        reward = judged.reward if self.prior is None else judged.reward + self.prior(before, self.state)
        terminated = judged.failed | diverged
        truncated = (judged.ended | (self.steps >= self.config.max_steps)) & ~terminated
        done, physics = terminated | truncated, self.physics
        self.sampler.record(self.clip, self.frame - speed, self.frame, self.steps * speed, terminated, truncated)
        if isinstance(physics, MaskedPhysics):
            final_obs = self.observe() if self.want_final else before.pos.new_empty(0, self.observation_size)
            self._restart_where(done, physics)
            obs = self.observe()
        else:
            final_obs = self.observe()
            obs = self._restart_rows(done, final_obs)
        return StepResult(obs, reward, terminated, truncated, final_obs, judged.error, judged.slide)

    def moment(self) -> Moment:
        """Where all bodies are, as the task judges them."""
        physics = self.physics
        return Moment(physics.qpos, physics.qvel, self.state, self.foot_force, self.clip, self.frame)

    def _restart_rows(self, done: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
        """Start environments `done` (N,) bool anew, looking up which they are: on a CPU the least work."""
        ids = torch.nonzero(done).flatten()
        if not len(ids):
            return obs
        self._start(ids)
        return obs.index_copy(0, ids, self.observe(ids))

    def _restart_where(self, done: torch.Tensor, physics: MaskedPhysics) -> None:
        """The same without asking the device which they are: every environment draws a start and some take it."""
        clip, frame, speed = self._draw()
        self.clip.copy_(torch.where(done, clip, self.clip))
        self.frame.copy_(torch.where(done, frame, self.frame))
        self.steps.masked_fill_(done, 0)
        if self.play is not None:
            self.play.speed.copy_(torch.where(done, speed, self.play.speed))
        physics.set_where(done, *self._start_states(self.clip, self.frame, None, self._push()))
        self.foot_force.masked_fill_(done[:, None], 0.0)
        self.state = self.joints()

    def _start(self, ids: torch.Tensor, clip: torch.Tensor | None = None) -> None:
        """Put environments `ids` (K,) into the reference state of a drawn start, or of the start of `clip` (K,)."""
        drawn, frame, speed = self._draw()
        self.steps[ids] = 0
        if self.play is not None:
            self.play.speed[ids] = speed[ids]
        if clip is None:
            push = self._push()
            clip, frame, push = drawn[ids], frame[ids], None if push is None else push[ids]
        else:
            frame, push = torch.zeros_like(frame[ids]), None
        self.place(ids, clip, frame, *self._start_states(clip, frame, ids, push))

    def _draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A start for every environment: clip, frame and speed, (N,) each."""
        clip, frame = self.sampler.draw(self.num_envs)
        speed = torch.ones(self.num_envs, device=clip.device)
        if self.play is not None:
            chance = torch.rand(2, self.num_envs, generator=self.generator, device=clip.device)
            low, high = self.config.speed
            speed = low + (high - low) * chance[0]
            frame = frame + (chance[1] if self.config.speed != (1.0, 1.0) else 0.0)
        return clip, frame if self.config.random_start else torch.zeros_like(frame), speed

    def _push(self) -> torch.Tensor | None:
        """What is added to the root's velocity (N, 6) of drawn starts, None for nothing."""
        if not (self.config.push and self.config.random_start):
            return None
        noise = torch.randn(self.num_envs, 6, generator=self.generator, device=self.clip.device)
        return self.config.push * noise * self.push_scale

    def _start_states(
        self, clip: torch.Tensor, frame: torch.Tensor, ids: torch.Tensor | None, push: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """qpos (K, nq) and qvel (K, nv) of starts with a push (K, 6)."""
        qpos, qvel = self.start_states(clip, frame, ids)
        if push is not None:
            qvel[:, :6] += push
        return qpos, qvel


def _playback(physics: Physics, config: TaskConfig) -> Playback | None:
    """How clips are played, if not all alike."""
    models, device = physics.models, physics.device
    size = None if models is None else models.drawn.get("size")
    if size is None and config.speed == (1.0, 1.0):
        return None
    ones = torch.ones(physics.num_envs, device=device)
    return Playback(ones, ones.clone() if size is None else torch.as_tensor(size).to(ones))
