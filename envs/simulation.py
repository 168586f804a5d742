"""Bodies that follow clips in physics, a control step at a time.

Training, rollouts of a policy, distillation and the tuning of gains differ in who says what is added to the PD targets,
and in what becomes of a body that fails. What a control step is stands here once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from morphloop.sim import JointState, Physics

from .observer import Observer
from .playback import Playback
from .terminations import failed, mean_distance

BLOCK = 32
"""Rows that torch's matrix products treat alike: in whole blocks of them a row's result does not depend on its
neighbours, while a shorter batch goes other ways through them."""


def whole_blocks(count: int) -> torch.Tensor:
    """(M,) row numbers 0 .. count - 1, the last one repeated up to the next whole number of blocks."""
    return torch.arange(-(-count // BLOCK) * BLOCK).clamp(max=count - 1)


class Simulation:
    """N bodies on a physics backend, each along a clip of a library.

    physics: the backend; observer: of the library, on the same device; play: how clips are played, None where they run
    at their own speed to the body they were made for; in_blocks: whether torch computes in whole blocks of rows, so
    that what comes out of a body is the same, to the byte, in any company.

    clip: (M,) which clip; frame: (M,) where in it, which need not be whole where `play` is there; state: M rows, of all
    joints; foot_force: (M, 2) newtons during the last substep. M is N, in blocks the next whole number of them, whose
    last rows repeat the last body.
    """

    def __init__(self, physics: Physics, observer: Observer, play: Playback | None = None, in_blocks: bool = False):
        self.physics, self.observer, self.library, self.play = physics, observer, observer.library, play
        self.num_envs, device = physics.num_envs, physics.device
        self.rows = whole_blocks(self.num_envs).to(device) if in_blocks else None
        count = self.num_envs if self.rows is None else len(self.rows)
        self.clip = torch.zeros(count, dtype=torch.long, device=device)
        self.frame = self.clip.clone() if play is None else torch.zeros(count, device=device)
        self.state, self.foot_force = self.joints(), self._of(physics.foot_force)

    def start_states(
        self, clip: torch.Tensor, frame: torch.Tensor, ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """qpos (K, nq), qvel (K, nv) of bodies `ids` (K,), all if None, that move as clips (K,) do at frames (K,)."""
        if self.play is not None:
            play = self.play if ids is None else self.play.of(ids)
            return play.start(self.library, clip, frame)
        rows = self.library.rows(clip, frame)
        return self.library.qpos[rows], self.library.qvel[rows]

    def place(
        self,
        ids: torch.Tensor,
        clip: torch.Tensor,
        frame: torch.Tensor,
        qpos: torch.Tensor,
        qvel: torch.Tensor,
        foot_force: torch.Tensor | None = None,
    ) -> None:
        """Put bodies `ids` (K,) into qpos (K, nq), qvel (K, nv), at frames (K,) of clips (K,).

        foot_force: (K, 2) newtons if known; of no step yet, and so nothing, if None.
        """
        self.clip[ids], self.frame[ids] = clip, frame
        self.physics.set_state(ids, qpos, qvel)
        self.foot_force[ids] = 0.0 if foot_force is None else foot_force  # the backend still holds the last step's
        play = None if self.play is None else self.play.of(ids)
        for name, value in vars(self._joints(qpos, qvel, play)).items():
            getattr(self.state, name)[ids] = value
        if self.rows is not None:
            self.clip, self.frame = self.clip[self.rows], self.frame[self.rows]
            self.foot_force, self.state = self.foot_force[self.rows], self.state.rows(self.rows)

    def base(self) -> torch.Tensor:
        """(M, nu) PD targets of bodies that nobody drives: the clip's next ones, and the balance feedback."""
        return self.observer.base(self.state, self.clip, self.frame, self.play)

    def advance(self, offsets: torch.Tensor | None = None, base: torch.Tensor | None = None) -> torch.Tensor:
        """One control step with offsets (M, nu), radians, on the PD targets; (N,) bool, which bodies diverged.

        offsets: None for none: feedback alone; base: where it is known already. They are added up in the wider of their
        types.
        """
        target = self.base() if base is None else base
        target = target if offsets is None else target + offsets
        self.physics.ctrl[:] = target[: self.num_envs].to(self.physics.ctrl.dtype)
        diverged = self.physics.step()
        self.frame += self.speed
        self.state, self.foot_force = self.joints(), self._of(self.physics.foot_force)
        return diverged

    @property
    def speed(self) -> torch.Tensor | int:
        """Frames of its clip that pass for a body in a control step."""
        return 1 if self.play is None else self.play.speed

    def observe(self, ids: torch.Tensor | None = None) -> torch.Tensor:
        """(K, D) what bodies `ids` (K,) see, (M, D) of all if None."""
        qvel = self._of(self.physics.qvel)
        if ids is None:
            return self.observer.observe(self.state, qvel, self.foot_force, self.clip, self.frame, self.play)
        play = None if self.play is None else self.play.of(ids)
        state, force = self.state.rows(ids), self.foot_force[ids]
        return self.observer.observe(state, qvel[ids], force, self.clip[ids], self.frame[ids], play)

    def joints(self) -> JointState:
        """M rows: where the backend has all joints now."""
        return self._joints(self._of(self.physics.qpos), self._of(self.physics.qvel), self.play)

    def reference(self) -> JointState:
        """Where the clips are, M rows."""
        return self.observer.reference(self.clip, self.frame, self.play)

    def distance(self) -> torch.Tensor:
        """(N,) mean distance of all joints from the reference, metres."""
        return mean_distance(self.state, self.reference())[: self.num_envs]

    def failed(self, distance: float) -> torch.Tensor:
        """(N,) bool: further from the reference than that, metres."""
        return failed(self.state, self.reference(), distance)[: self.num_envs]

    def ended(self) -> torch.Tensor:
        """(N,) bool: at the last frame of the clip."""
        return (self.frame >= self.library.length[self.clip] - 1)[: self.num_envs]

    def _joints(self, qpos: torch.Tensor, qvel: torch.Tensor, play: Playback | None) -> JointState:
        kinematics = self.observer.kinematics
        return kinematics(qpos, qvel) if play is None else play.kinematics(kinematics, qpos, qvel)

    def _of(self, values: torch.Tensor) -> torch.Tensor:
        """(M, ...) of a backend's values (N, ...)."""
        return values if self.rows is None else values[self.rows]


Law = Callable[[Simulation], torch.Tensor | None]
"""Who drives: offsets (M, nu), radians, on the PD targets of bodies as they are; None for feedback alone."""


@dataclass(frozen=True)
class Followed:
    """length: (N,) frames of each body, the start counted in, up to the one in which its clip was at its end or it had
    failed; diverged: (N,) bool; steps: control steps done until the last one was there."""

    length: torch.Tensor
    diverged: torch.Tensor
    steps: int


@torch.no_grad()
def follow(simulation: Simulation, law: Law, distance: float, watch: Callable[[], None] = lambda: None) -> Followed:
    """Drive bodies from where they are, each to the end of its clip or until it fails: further than `distance` metres
    from the reference, or diverged. All are stepped until the last one is there.

    watch: called at the start and after each control step.
    """
    going, steps = ~simulation.ended(), 0
    length, diverged = torch.ones_like(simulation.clip[: simulation.num_envs]), torch.zeros_like(going)
    watch()
    while going.any():
        gave_up = simulation.advance(law(simulation)) & going
        watch()
        going, diverged, steps = going & ~gave_up, diverged | gave_up, steps + 1
        length += going
        going = going & ~simulation.failed(distance) & ~simulation.ended()
    return Followed(length, diverged, steps)


def base_targets(
    observer: Observer, qpos: np.ndarray, qvel: np.ndarray, clip: np.ndarray, frame: np.ndarray
) -> np.ndarray:
    """(K, nu) PD targets, double precision, of bodies that nobody drives in states (K, nq), (K, nv) at frames (K,) of
    clips (K,), computed in whole blocks."""
    count = len(qpos)
    rows = whole_blocks(count).numpy()
    qpos_, qvel_, clip_, frame_ = (torch.from_numpy(values[rows]) for values in (qpos, qvel, clip, frame))
    return observer.base(observer.kinematics(qpos_, qvel_), clip_, frame_).double()[:count].numpy()
