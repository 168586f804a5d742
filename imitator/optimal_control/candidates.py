"""Rolling out candidates of several clips together: one batch of simulations, feedback and policy inside the loop.

What torch computes is padded to whole blocks of rows, where a row's result does not depend on its neighbours: so a
clip comes out the same, to the byte, whatever company it is searched in (`tests/test_projection.py` holds this).
"""

from __future__ import annotations

import numpy as np
import torch
from mujoco.batch import SimulationError

from morphloop.envs import Observer
from morphloop.sim import SUBSTEPS, CpuPhysics, JointState

from ..training.policy import Policy

BLOCK = 32
"""Rows that torch's matrix products treat alike; a shorter batch goes other ways through them."""


def padded(count: int) -> int:
    """The next whole number of blocks."""
    return -(-count // BLOCK) * BLOCK


class PartPhysics(CpuPhysics):
    """CPU physics of which the first so many simulations can be stepped alone."""

    def step_first(self, count: int) -> np.ndarray:
        """Advance simulations 0 .. count - 1 by one control step; (count,) bool, which diverged."""
        failed = np.zeros(count, bool)
        self.batch.warning[:count] = 0
        try:
            self.batch.step(ids=np.arange(count), nstep=SUBSTEPS)
        except SimulationError as error:
            failed[error.ids] = True
        failed |= self._warned()[:count] | ~np.isfinite(self.batch.state[:count]).all(axis=1)
        self.batch.state[:count][failed] = self._rest
        return failed


class Guidance:
    """Servo targets before anything is searched: the clip's with balance feedback, and what a policy adds to them.

    observer: of the library that is tracked; policy: None for feedback alone.
    """

    def __init__(self, observer: Observer, policy: Policy | None):
        self.observer, self.policy = observer, policy

    def __call__(
        self, state: JointState, qvel: torch.Tensor, force: torch.Tensor, clip: torch.Tensor, frame: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets (N, nu) without policy and what the policy adds (N, nu), double precision. N: whole blocks."""
        base = self.observer.base(state, clip, frame).double()
        if self.policy is None:
            return base, torch.zeros_like(base)
        obs = self.observer.observe(state, qvel, force, clip, frame)
        return base, self.observer.offsets(self.policy.act(obs)).double()

    def alone(
        self, qpos: np.ndarray, qvel: np.ndarray, force: np.ndarray, clip: np.ndarray, frame: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same for states (N, nq), (N, nv), (N, 2) of any number, padded here."""
        count = len(qpos)
        rows = np.minimum(np.arange(padded(count)), count - 1)
        qpos_, qvel_, force_, clip_, frame_ = (torch.from_numpy(x[rows]) for x in (qpos, qvel, force, clip, frame))
        base, added = self(self.observer.kinematics(qpos_, qvel_), qvel_, force_, clip_, frame_)
        return base[:count].numpy(), added[:count].numpy()
