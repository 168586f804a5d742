"""Recording what physics did and certifying that it can be done again with nobody's help.

The rollout that is kept runs here, in double precision on one MjData. Its certificate replays the stored controls open
loop from the stored integration state: on the build that made it the states must come out bit-equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from morphloop.motion import MotionError, Rollout

from .body import CONTROL_HZ, SUBSTEPS, Body
from .physics import DIVERGED

CONTACT_FORCE = 20.0
"""A foot carries load above this normal force, newtons: three per cent of the default body's weight."""
OTHER_BUILD_TOLERANCE = 0.01
"""Largest state error over the first second that a replay on another MuJoCo build may show."""
TORQUE_SLACK = 1e-6


def simulator_name() -> str:
    """Simulator and version as it goes into files."""
    return f"mujoco {mujoco.__version__}"


class Recorder:
    """One simulation that keeps what a Rollout needs.

    body: the body; qpos (nq,), qvel (nv,): where it starts; state (S,): an integration state to start from instead.
    """

    def __init__(self, body: Body, qpos: np.ndarray, qvel: np.ndarray, state: np.ndarray | None = None):
        self.body, self.data = body, mujoco.MjData(body.model)
        if state is None:
            self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        else:
            mujoco.mj_setState(body.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        self.start = self.state()
        self.qpos, self.qvel, self.ctrl = [self.data.qpos.copy()], [self.data.qvel.copy()], []
        self.force = [np.zeros(2)]

    def state(self) -> np.ndarray:
        """(S,) full integration state now."""
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self.body.model, kind))
        mujoco.mj_getState(self.body.model, self.data, state, kind)
        return state

    def step(self, ctrl: np.ndarray) -> bool:
        """One control step with PD targets `ctrl` (nu,); False if the simulation diverged."""
        self.data.ctrl[:] = ctrl
        mujoco.mj_step(self.body.model, self.data, SUBSTEPS)
        if not np.isfinite(self.data.qpos).all() or any(self.data.warning[kind].number for kind in DIVERGED):
            return False
        self.ctrl.append(np.array(ctrl, dtype=float))
        self.qpos.append(self.data.qpos.copy())
        self.qvel.append(self.data.qvel.copy())
        self.force.append(self.data.sensordata[self.body.touch_ids].sum(axis=1))
        return True

    def rollout(self, seed: int, name: str = "clip") -> Rollout:
        """What happened so far."""
        force = np.array(self.force)
        return Rollout(
            fps=CONTROL_HZ,
            substeps=SUBSTEPS,
            body=self.body.name,
            model_hash=self.body.hash,
            start=self.start,
            qpos=np.array(self.qpos),
            qvel=np.array(self.qvel),
            ctrl=np.array(self.ctrl).reshape(-1, self.body.model.nu),
            foot_contact=force > CONTACT_FORCE,
            foot_force=force,
            simulator=simulator_name(),
            seed=seed,
            name=name,
        )


@dataclass(frozen=True)
class Certificate:
    """Result of an open-loop replay.

    passed: all checks; max_error: largest difference in qpos and qvel over the replay (over one second on another
    build); bit_equal: that difference is exactly zero; torque_ok: every actuator force within its limit;
    no_external_forces: the state carries no applied force, the model no equality constraint and no root actuator.
    """

    passed: bool
    max_error: float
    bit_equal: bool
    torque_ok: bool
    no_external_forces: bool
    simulator: str
    reason: str | None = None


def certify(rollout: Rollout, body: Body) -> Certificate:
    """Replay a rollout from its stored start and controls. MotionError if it belongs to another body."""
    model = body.model
    if not body.answers_to(rollout.model_hash):
        raise MotionError(f"{rollout.name}: rollout of model {rollout.model_hash}, body '{body.name}' is {body.hash}")
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, rollout.start, mujoco.mjtState.mjSTATE_INTEGRATION)
    unforced = _no_external_forces(model, data)
    same_build = rollout.simulator == simulator_name()
    steps = len(rollout.ctrl) if same_build else min(len(rollout.ctrl), round(rollout.fps))
    error, torque = 0.0, 0.0
    for tick in range(steps):
        data.ctrl[:] = rollout.ctrl[tick]
        for _ in range(rollout.substeps):
            mujoco.mj_step(model, data)
            torque = max(torque, float(np.max(np.abs(data.actuator_force) - model.actuator_forcerange[:, 1])))
        difference = max(
            np.abs(data.qpos - rollout.qpos[tick + 1]).max(), np.abs(data.qvel - rollout.qvel[tick + 1]).max()
        )
        error = max(error, float(difference)) if np.isfinite(difference) else np.inf
    torque_ok = torque <= TORQUE_SLACK
    replayed = error == 0.0 if same_build else error <= OTHER_BUILD_TOLERANCE
    reasons = [
        text
        for ok, text in (
            (replayed, f"replay differs by {error:.2e}"),
            (torque_ok, f"torque limit exceeded by {torque:.2e} N m"),
            (unforced, "external force, equality constraint or root actuator present"),
        )
        if not ok
    ]
    return Certificate(
        passed=not reasons,
        max_error=error,
        bit_equal=error == 0.0,
        torque_ok=torque_ok,
        no_external_forces=unforced,
        simulator=simulator_name(),
        reason="; ".join(reasons) or None,
    )


def _no_external_forces(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    root_dofs = set(range(6))
    moved = {int(model.jnt_dofadr[model.actuator_trnid[a, 0]]) for a in range(model.nu)}
    return not (
        np.any(data.qfrc_applied) or np.any(data.xfrc_applied) or model.neq or model.nmocap or moved & root_dofs
    )
