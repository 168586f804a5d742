"""The tracking task of a moment, as pure functions of states: what bodies see, their PD targets, reward, and the end.

Simulated bodies and those that a learned model imagines are judged by the same functions, which torch differentiates:
a policy can be improved by gradients through them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.sim import JointState, Servos

from . import rewards
from .config import TaskConfig
from .observer import Observer
from .playback import Playback
from .terminations import mean_distance


@dataclass(frozen=True)
class Moment:
    """N bodies and where their clips are.

    qpos: (N, nq), qvel: (N, nv) in MuJoCo's layout; state: of all joints, that of qpos and qvel; foot_force: (N, 2)
    newtons; clip: (N,) which clip; frame: (N,) where in it.
    """

    qpos: torch.Tensor
    qvel: torch.Tensor
    state: JointState
    foot_force: torch.Tensor
    clip: torch.Tensor
    frame: torch.Tensor


@dataclass(frozen=True)
class Judgement:
    """Of a control step, by the moment after it, (N,) each.

    reward: without a learned prior's; slide: m/s of loaded feet, summed; error: mean joint distance, metres; failed:
    bool, further off than the task allows; ended: bool, at the last frame of the clip.
    """

    reward: torch.Tensor
    slide: torch.Tensor
    error: torch.Tensor
    failed: torch.Tensor
    ended: torch.Tensor


class TrackingTask:
    """The task for one body and its clips.

    observer: of the clips; servos: of the bodies; config: the task's options; play: how clips are played, None where
    they run at their own speed to the body they were made for.
    """

    def __init__(self, observer: Observer, servos: Servos, config: TaskConfig, play: Playback | None = None):
        self.observer, self.servos, self.config, self.play = observer, servos, config, play
        self.body, self.library = observer.body, observer.library

    def moment(
        self,
        qpos: torch.Tensor,
        qvel: torch.Tensor,
        foot_force: torch.Tensor,
        clip: torch.Tensor,
        frame: torch.Tensor,
    ) -> Moment:
        """A moment from qpos (N, nq), qvel (N, nv), foot_force (N, 2), at frames (N,) of clips (N,)."""
        kinematics, play = self.observer.kinematics, self.play
        state = kinematics(qpos, qvel) if play is None else play.kinematics(kinematics, qpos, qvel)
        return Moment(qpos, qvel, state, foot_force, clip, frame)

    def observe(self, now: Moment) -> torch.Tensor:
        """(N, D) what bodies see."""
        return self.observer.observe(now.state, now.qvel, now.foot_force, now.clip, now.frame, self.play)

    def targets(self, now: Moment, action: torch.Tensor) -> torch.Tensor:
        """(N, nu) PD targets under actions (N, nu)."""
        base = self.observer.base(now.state, now.clip, now.frame, self.play)
        return base + self.observer.offsets(action)

    def torque(self, now: Moment, ctrl: torch.Tensor) -> torch.Tensor:
        """(N, nu) N m that the servos give for PD targets ctrl (N, nu)."""
        angle = self.observer.kinematics.coordinates.servo_angles(now.qpos).float()
        return self.servos.torque(ctrl.float(), angle, self._speed(now))

    def judge(self, after: Moment, ctrl: torch.Tensor, steps: torch.Tensor) -> Judgement:
        """What a control step under PD targets ctrl (N, nu) was worth, `steps` (N,) after the start."""
        config, observer = self.config, self.observer
        reference = observer.reference(after.clip, after.frame, self.play)
        seen = rewards.Seen(
            state=after.state,
            reference=reference,
            foot_force=after.foot_force,
            feet=observer.feet,
            speed=self._speed(after),
            torque=self.torque(after, ctrl),
            steps=steps,
            body=self.body,
            library=self.library,
            clip=after.clip,
            frame=after.frame,
        )
        terms = rewards.terms(seen, config.reward)
        error, zero = mean_distance(after.state, reference), torch.zeros_like(terms["slide"])
        return Judgement(
            reward=sum(terms.values(), zero),
            slide=-terms["slide"] / config.reward.slide if config.reward.slide else zero,
            error=error,
            failed=error > config.termination_distance,
            ended=after.frame >= self.library.length[after.clip] - 1,
        )

    def _speed(self, now: Moment) -> torch.Tensor:
        """(N, nu) rad/s of the servos."""
        return now.qvel[:, self.observer.dof_ids].float()
