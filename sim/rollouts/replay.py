"""Recording what physics did, and doing it again: open loop, from the stored integration state and controls.

The rollout that is kept runs here, in double precision on one MjData; `certify` says whether a replay bears it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Rollout

from ..bodies.body import Body
from ..physics.protocol import DIVERGED

RESTART_S = 1.0
"""Seconds after which the replay of another build's rollout begins anew in the recorded state."""
RATE_SLACK = 1e-9
"""By how much, of itself, a control step may differ from the frame rate's."""
ARRAYS = {
    "start": "64-bit floats",
    "qpos": "64-bit floats",
    "qvel": "64-bit floats",
    "ctrl": "64-bit floats",
    "foot_contact": "booleans",
    "foot_force": "64-bit floats",
}
"""The arrays of a rollout and what they hold."""


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
        mujoco.mj_step(self.body.model, self.data, self.body.substeps)
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
            fps=self.body.control_hz,
            substeps=self.body.substeps,
            body=self.body.name,
            model_hash=self.body.hash,
            start=self.start,
            qpos=np.array(self.qpos),
            qvel=np.array(self.qvel),
            ctrl=np.array(self.ctrl).reshape(-1, self.body.model.nu),
            foot_contact=force > self.body.contact_force,
            foot_force=force,
            simulator=simulator_name(),
            seed=seed,
            name=name,
        )


class Substep(NamedTuple):
    """A physics step of a replay, just done.

    control_step: the one that it belongs to, 0 .. T-2; qvel: (nv,) before it; data: after it. Positions and velocities
    in `data` are the new ones; forces, contacts and everything else derived are those that the step was made with, of
    the state before it. Both are overwritten by the next step.
    """

    control_step: int
    qvel: np.ndarray
    data: mujoco.MjData


def replay(rollout: Rollout, body: Body) -> Iterator[Substep]:
    """Do a rollout again, physics step by physics step: (T-1) times `rollout.substeps` of them.

    On another build than the rollout's each `RESTART_S` begins in the state that was recorded, so that what two builds
    round differently does not grow from second to second. MotionError if the rollout is another body's or malformed.
    """
    fault = rollout_fault(rollout, body)
    if fault is not None:
        raise MotionError(f"{rollout.name}: {fault}")
    model, data = body.model, mujoco.MjData(body.model)
    mujoco.mj_setState(model, data, rollout.start, mujoco.mjtState.mjSTATE_INTEGRATION)
    before, resets = np.empty(model.nv), rollout.simulator != simulator_name()
    every = round(rollout.fps * RESTART_S)
    for number, ctrl in enumerate(rollout.ctrl):
        if resets and number and number % every == 0:
            data.qpos[:], data.qvel[:] = rollout.qpos[number], rollout.qvel[number]
        data.ctrl[:] = ctrl
        for _ in range(rollout.substeps):
            before[:] = data.qvel
            mujoco.mj_step(model, data)
            yield Substep(number, before, data)


def rollout_fault(rollout: Rollout, body: Body) -> str | None:
    """Why a rollout cannot be replayed on a body at all: types, shapes, lengths, rates; None if it can."""
    model = body.model
    if not isinstance(rollout.model_hash, str) or not body.answers_to(rollout.model_hash):
        return f"rollout of model {rollout.model_hash}, body '{body.name}' is {body.hash}"
    for name in ("body", "simulator", "name"):
        if not isinstance(getattr(rollout, name), str):
            return f"{name} is {getattr(rollout, name)!r}, expected text"
    for name in ("fps", "substeps", "seed"):
        value = getattr(rollout, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            return f"{name} is {value!r}, expected a number"
    for name in (field.name for field in fields(rollout) if field.name in ARRAYS):
        array = getattr(rollout, name)
        wanted = "b" if name == "foot_contact" else "f"
        if not isinstance(array, np.ndarray) or array.dtype.kind != wanted or (wanted == "f" and array.itemsize < 8):
            return f"{name} is {getattr(array, 'dtype', type(array).__name__)}, expected {ARRAYS[name]}"
        if not np.isfinite(array).all():
            return f"{name} holds NaN or infinity"
    frames = len(rollout.qpos) if rollout.qpos.ndim else 0
    if frames < 2:
        return f"{frames} frames, expected at least one control step"
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
    shapes = {
        "start": (size,),
        "qpos": (frames, model.nq),
        "qvel": (frames, model.nv),
        "ctrl": (frames - 1, model.nu),
        "foot_contact": (frames, 2),
        "foot_force": (frames, 2),
    }
    for name, shape in shapes.items():
        if getattr(rollout, name).shape != shape:
            return f"{name} has shape {getattr(rollout, name).shape}, expected {shape}"
    if rollout.substeps != int(rollout.substeps) or rollout.substeps < 1:
        return f"{rollout.substeps} physics steps a control step, expected a whole number from 1 on"
    told, done = 1.0 / rollout.fps if rollout.fps > 0 else np.inf, rollout.substeps * model.opt.timestep
    if abs(told - done) > RATE_SLACK * done:
        return (
            f"{rollout.substeps} steps of {1e3 * model.opt.timestep:.3f} ms make {1.0 / done:.4g} control steps a "
            f"second, the file says {rollout.fps:g} fps"
        )
    return None
