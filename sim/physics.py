"""Batched physics behind one small protocol, and the CPU backend on `mujoco.batch`.

Callers see torch tensors on one device and never loop over environments. `make_physics` picks the backend; the one on
`mujoco_warp` is in `warp_physics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError

from morphloop.motion import MotionError

from .body import SUBSTEPS, Body
from .variation import ModelFields

Backend = Literal["cpu", "warp"]

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


KEEP_LOST = 16
"""How many lost environments a backend remembers."""


class Physics(Protocol):
    """N copies of one body, advanced together by control steps.

    body: the model; num_envs: N; device: where the tensors live
    qpos: (N, nq), qvel: (N, nv) state, float64 with `mujoco.batch`, float32 with `mujoco_warp`
    ctrl: (N, nu) PD targets, written before `step`
    models: what differs from env to env, None if nothing does; lost: the last states before a divergence
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
    lost: LostStates

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
class LostState:
    """The last good state of an environment before it diverged, one control step earlier.

    env: which; step: how many control steps the backend had done; qpos: (nq,); qvel: (nv,); ctrl: (nu,) the targets
    under which it was lost
    """

    env: int
    step: int
    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray


class LostStates:
    """The last states of the environments that diverged most recently, kept on the device without waiting for it.

    keep: how many.
    """

    def __init__(self, qpos: torch.Tensor, qvel: torch.Tensor, ctrl: torch.Tensor, keep: int = KEEP_LOST):
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

    def states(self) -> list[LostState]:
        """What was kept, oldest first; at most `keep`."""
        rows, where, total = self._rows.cpu().numpy(), self._where.cpu().numpy(), self.total
        kept = [k % self.keep for k in range(max(0, total - self.keep), total)]
        return [LostState(*where[k].tolist(), *np.split(rows[k], self._parts)) for k in kept]


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
        self.lost = LostStates(self.qpos, self.qvel, self.ctrl)

    @property
    def diverged(self) -> int:
        return self.lost.total

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
            self.batch.step(nstep=SUBSTEPS)
        except SimulationError as error:
            failed[error.ids] = True
        failed |= self._warned() | ~np.isfinite(self.batch.state).all(axis=1)
        self.lost.add(torch.from_numpy(failed), ctrl)
        self.batch.state[failed] = self._rest
        self.lost.remember(self.qpos, self.qvel)
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
        self.lost.remember(self.qpos[ids], self.qvel[ids], ids)


def model_values(physics: Physics, name: str) -> torch.Tensor:
    """(N or 1, ...) float32 values of a field of mjModel as each environment has them, one row where it does not vary,
    on the device of the physics."""
    own = physics.models.fields.get(name) if physics.models else None
    values = getattr(physics.body.model, name)[None] if own is None else own
    return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=physics.device)


def make_physics(
    body: Body,
    num_envs: int,
    backend: Backend = "cpu",
    device: str | None = None,
    models: ModelFields | None = None,
) -> Physics:
    """N bodies on a backend: "cpu" is `mujoco.batch` in double precision, "warp" `mujoco_warp` in single precision on
    `device`, "cuda:0" if None, where "cpu" serves tests.

    Raises MotionError for another backend, a device that is not there, or a body that the backend cannot simulate.
    """
    if backend == "cpu":
        if device not in (None, "cpu"):
            raise MotionError(f"backend 'cpu' runs on the CPU, got device '{device}'; expected backend 'warp' for it")
        return CpuPhysics(body, num_envs, models=models)
    if backend != "warp":
        raise MotionError(f"unknown physics backend '{backend}', expected 'cpu' or 'warp'")
    try:
        from .warp_physics import WarpPhysics  # loads Warp, which only this backend needs
    except ImportError as error:
        raise MotionError(
            f"backend 'warp' is not installed ({error}), expected: pip install 'morphloop[gpu]'"
        ) from None
    return WarpPhysics(body, num_envs, device or "cuda:0", models=models)
