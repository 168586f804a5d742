"""Batched physics: the protocol of its backends, and the last states of simulations that diverged.

Callers see torch tensors on one device and never loop over environments. `backends.make_physics` picks the backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
import torch

from ..bodies.body import Body
from .variation import ModelFields

DIVERGED = [
    int(kind)
    for kind in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
    )
]
"""MuJoCo's warnings of a simulation that diverged. It resets such a one by itself, so that its state tells nothing."""


KEEP_DIVERGED = 16
"""How many diverged environments a backend remembers."""


class Physics(Protocol):
    """N copies of one body, advanced together by control steps.

    body: the model; num_envs: N; device: where the tensors live
    qpos: (N, nq), qvel: (N, nv) state, float64 with `mujoco.batch`, float32 with `mujoco_warp`
    ctrl: (N, nu) PD targets, written before `step`
    models: what differs from env to env, None if nothing does; diverged_states: the last ones before a divergence
    foot_force: (N, 2) normal force on left and right foot during the last substep, newtons
    diverged: how many environments were put back to rest because their state was not finite, so far
    """

    body: Body
    num_envs: int
    device: torch.device
    qpos: torch.Tensor
    qvel: torch.Tensor
    ctrl: torch.Tensor
    models: ModelFields | None
    diverged_states: DivergedStates

    @property
    def foot_force(self) -> torch.Tensor: ...

    @property
    def diverged(self) -> int: ...

    def step(self) -> torch.Tensor:
        """Advance every environment by one control step; returns (N,) bool, which ones diverged."""
        ...

    def set_state(self, ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put environments `ids` (K,) into qpos (K, nq), qvel (K, nv) with cold solver and zero time."""
        ...


@dataclass(frozen=True)
class DivergedState:
    """The last good state of an environment before it diverged, one control step earlier.

    env: which; step: how many control steps the backend had done; qpos: (nq,); qvel: (nv,); ctrl: (nu,) the targets
    under which it diverged
    """

    env: int
    step: int
    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray


class DivergedStates:
    """The last states of the environments that diverged most recently, kept on the device without waiting for it.

    keep: how many.
    """

    def __init__(self, qpos: torch.Tensor, qvel: torch.Tensor, ctrl: torch.Tensor, keep: int = KEEP_DIVERGED):
        self.keep, self.steps = keep, 0
        self._good = torch.cat([qpos, qvel], dim=1)
        self._parts = [qpos.shape[1], self._good.shape[1]]
        self._rows = torch.zeros(keep + 1, self._good.shape[1] + ctrl.shape[1], dtype=qpos.dtype, device=qpos.device)
        self._where = torch.zeros(keep + 1, 2, dtype=torch.long, device=qpos.device)
        self._envs = torch.arange(len(qpos), device=qpos.device)
        self._total = torch.zeros((), dtype=torch.long, device=qpos.device)

    @property
    def total(self) -> int:
        """Divergences so far."""
        return int(self._total)

    def remember(self, qpos: torch.Tensor, qvel: torch.Tensor, ids: torch.Tensor | None = None) -> None:
        """Take the states (K, nq), (K, nv) of environments `ids` (K,), of all if None, as their last good ones."""
        if ids is None:
            torch.cat([qpos, qvel], dim=1, out=self._good)
        else:
            self._good[ids] = torch.cat([qpos, qvel], dim=1)

    def add(self, failed: torch.Tensor, ctrl: torch.Tensor) -> None:
        """After a step: keep what went before in environments `failed` (N,) bool under ctrl (N, nu)."""
        self.steps += 1
        order = torch.cumsum(failed, 0) - 1 + self._total
        self._total = self._total + failed.sum()
        newest = failed & (order >= self._total - self.keep)
        slot = torch.where(newest, order % self.keep, self.keep)  # the row after the last takes what is not kept
        self._rows[slot] = torch.cat([self._good, ctrl], dim=1)
        self._where[slot] = torch.stack([self._envs, torch.full_like(self._envs, self.steps)], dim=1)

    def states(self) -> list[DivergedState]:
        """What was kept, oldest first; at most `keep`."""
        rows, where, total = self._rows.cpu().numpy(), self._where.cpu().numpy(), self.total
        kept = [k % self.keep for k in range(max(0, total - self.keep), total)]
        return [DivergedState(*where[k].tolist(), *np.split(rows[k], self._parts)) for k in kept]


def model_values(physics: Physics, name: str) -> torch.Tensor:
    """(N or 1, ...) float32 values of a field of mjModel as each environment has them, one row where it does not vary,
    on the device of the physics."""
    own = physics.models.fields.get(name) if physics.models else None
    values = getattr(physics.body.model, name)[None] if own is None else own
    return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=physics.device)
