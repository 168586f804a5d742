"""Batched physics on `mujoco.batch`: double precision on all cores."""

from __future__ import annotations

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError

from ..bodies.body import Body
from .protocol import DIVERGED, DivergedStates
from .variation import ModelFields


class CpuPhysics:
    """`mujoco.batch.Batch`: double precision on all cores, tensors are zero-copy views of its state rows.

    body: the body; num_envs: N; threads: 0 for all cores; models: what differs from env to env.
    """

    def __init__(self, body: Body, num_envs: int, threads: int = 0, models: ModelFields | None = None):
        self.body, self.num_envs, self.device, self.models = body, num_envs, torch.device("cpu"), models
        self.batch = Batch(body.model, num_envs, threads)
        if models is not None:
            models.check(num_envs)
            for name, values in models.fields.items():
                field = self.batch.expand(name)
                field[:] = values.reshape(field.shape)
        self.batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.qpos = torch.from_numpy(self.batch.bind("qpos"))
        self.qvel = torch.from_numpy(self.batch.bind("qvel"))
        self.ctrl = torch.from_numpy(self.batch.bind("ctrl"))
        self._sensors = self.batch.bind("sensordata")
        self._rest = np.array(self.batch.state[0])
        self.diverged_states = DivergedStates(self.qpos, self.qvel, self.ctrl)

    @property
    def diverged(self) -> int:
        return self.diverged_states.total

    @property
    def foot_force(self) -> torch.Tensor:
        return torch.from_numpy(self._sensors[:, self.body.touch_ids].sum(axis=2))

    @property
    def state(self) -> np.ndarray:
        """(N, S) live integration states (mjSTATE_INTEGRATION), solver warm start included."""
        return self.batch.state

    def step(self) -> torch.Tensor:
        failed = np.zeros(self.num_envs, bool)
        ctrl = self.ctrl.clone()
        self.batch.warning[:] = 0
        try:
            self.batch.step(nstep=self.body.substeps)
        except SimulationError as error:
            failed[error.ids] = True
        failed |= self._warned() | ~np.isfinite(self.batch.state).all(axis=1)
        self.diverged_states.add(torch.from_numpy(failed), ctrl)
        self.batch.state[failed] = self._rest
        self.diverged_states.remember(self.qpos, self.qvel)
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
        horizon, substeps = ctrl.shape[1], self.body.substeps
        record = self.batch.rollout(
            horizon * substeps, np.repeat(ctrl, substeps, axis=1), record=("qpos", "qvel", "sensordata")
        )
        failed = self._warned()
        for values in record.values():
            values[failed] = np.nan
        last = slice(substeps - 1, None, substeps)
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
        self.diverged_states.remember(self.qpos[ids], self.qvel[ids], ids)
