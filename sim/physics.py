"""Batched physics behind one small protocol, and the CPU backend on `mujoco.batch`.

Callers see torch tensors on one device and never loop over environments.
"""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError

from .body import SUBSTEPS, Body

DIVERGED = [
    int(kind)
    for kind in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
    )
]
"""MuJoCo's warnings of a simulation that is lost. It resets such a one by itself, so that its state tells nothing."""


class Physics(Protocol):
    """N copies of one body, advanced together by control steps.

    body: the model; num_envs: N; device: where the tensors live
    qpos: (N, nq), qvel: (N, nv) state, float64 on CPU; ctrl: (N, nu) PD targets, written before `step`
    foot_force: (N, 2) normal force on left and right foot during the last substep, newtons
    diverged: how many environments were put back to rest because their state was not finite, so far
    """

    body: Body
    num_envs: int
    device: torch.device
    qpos: torch.Tensor
    qvel: torch.Tensor
    ctrl: torch.Tensor
    diverged: int

    @property
    def foot_force(self) -> torch.Tensor: ...

    def step(self) -> torch.Tensor:
        """Advance every environment by one control step; returns (N,) bool, which ones diverged."""
        ...

    def set_state(self, ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """Put environments `ids` (K,) into qpos (K, nq), qvel (K, nv) with cold solver and zero time."""
        ...


class CpuPhysics:
    """`mujoco.batch.Batch`: double precision on all cores, tensors are zero-copy views of its state rows."""

    def __init__(self, body: Body, num_envs: int, threads: int = 0):
        self.body, self.num_envs, self.device, self.diverged = body, num_envs, torch.device("cpu"), 0
        self.batch = Batch(body.model, num_envs, threads)
        self.batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.qpos = torch.from_numpy(self.batch.bind("qpos"))
        self.qvel = torch.from_numpy(self.batch.bind("qvel"))
        self.ctrl = torch.from_numpy(self.batch.bind("ctrl"))
        self._sensors = self.batch.bind("sensordata")
        self._rest = np.array(self.batch.state[0])

    @property
    def foot_force(self) -> torch.Tensor:
        return torch.from_numpy(self._sensors[:, self.body.touch_ids].sum(axis=2))

    @property
    def state(self) -> np.ndarray:
        """(N, S) live integration states (mjSTATE_INTEGRATION), solver warm start included."""
        return self.batch.state

    def step(self) -> torch.Tensor:
        failed = np.zeros(self.num_envs, bool)
        self.batch.warning[:] = 0
        try:
            self.batch.step(nstep=SUBSTEPS)
        except SimulationError as error:
            failed[error.ids] = True
        failed |= self._warned() | ~np.isfinite(self.batch.state).all(axis=1)
        if failed.any():
            self.batch.state[failed] = self._rest
            self.diverged += int(failed.sum())
        return torch.from_numpy(failed)

    def _warned(self) -> np.ndarray:
        """(N,) bool: simulations that MuJoCo gave up in the last call."""
        return np.asarray(self.batch.warning[:, DIVERGED, 1].any(axis=1))

    def rollout(self, state: np.ndarray, ctrl: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run H control steps at once from one integration state (S,) under ctrl (N, H, nu), without Python between.

        Returns qpos (N, H, nq), qvel (N, H, nv) after each control step and foot_force (N, H, 2); all of a
        simulation that diverged is NaN.
        """
        self.batch.state[:] = state
        self.batch.warning[:] = 0
        horizon = ctrl.shape[1]
        record = self.batch.rollout(
            horizon * SUBSTEPS, np.repeat(ctrl, SUBSTEPS, axis=1), record=("qpos", "qvel", "sensordata")
        )
        failed = self._warned()
        for values in record.values():
            values[failed] = np.nan
        last = slice(SUBSTEPS - 1, None, SUBSTEPS)
        force = record["sensordata"][:, last][:, :, self.body.touch_ids].sum(axis=-1)
        return (
            torch.from_numpy(record["qpos"][:, last]),
            torch.from_numpy(record["qvel"][:, last]),
            torch.from_numpy(force),
        )

    def set_state(self, ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        rows = ids.numpy()
        self.batch.state[rows] = self._rest
        self.qpos[ids], self.qvel[ids] = qpos.to(self.qpos.dtype), qvel.to(self.qvel.dtype)
