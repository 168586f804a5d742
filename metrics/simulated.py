"""What the simulator itself counted as contact, apart from the measurement contract and under names of its own."""

from __future__ import annotations

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Rollout
from morphloop.sim.bodies.body import Body
from morphloop.sim.bodies.built_in import default_body

from .clip_context import contact_frames
from .contact import SLIDE_FAST
from .plausibility import GRAVITY
from .signals import GRID_HZ, grid_frames


def measure_rollout(rollout: Rollout, body: Body | None = None) -> dict[str, float | None]:
    """`sim_contact_ratio`, `sim_slide_mean_mm_s`, `sim_slide_ratio` and `sim_force_peak_bw` of a rollout of the body.

    Step 0 is the start, before the simulator has computed a force, and is left out. The slide is read as in the
    contract, at the lowest segment of each foot, but over the control steps at which the simulator reports that foot
    to carry load. None where there is no such step. Raises MotionError if the rollout is another body's.
    """
    body = body or default_body()
    if rollout.qpos.shape[1] != body.model.nq:
        raise MotionError(f"{rollout.name}: {rollout.qpos.shape[1]} positions a control step, body has {body.model.nq}")
    stepped, speeds = rollout.num_frames > 1, _loaded_speeds(rollout, body)
    weight = -GRAVITY[2] * body.mass
    return {
        "sim_contact_ratio": float(rollout.foot_contact[1:].any(axis=1).mean()) if stepped else None,
        "sim_slide_mean_mm_s": float(1e3 * speeds.mean()) if len(speeds) else None,
        "sim_slide_ratio": float((speeds > SLIDE_FAST).mean()) if len(speeds) else None,
        "sim_force_peak_bw": float(rollout.foot_force[1:].sum(axis=1).max() / weight) if stepped else None,
    }


def _loaded_speeds(rollout: Rollout, body: Body) -> np.ndarray:
    """(K,) horizontal speed of a foot's lowest segment at samples of the 30 Hz grid at which it carries load, m/s."""
    samples = np.arange(grid_frames(rollout.num_frames, rollout.fps, GRID_HZ))
    steps = np.rint(samples * rollout.fps / GRID_HZ).astype(int)
    if len(steps) < 2:
        return np.zeros(0)
    contacts, speeds = contact_frames(body.clip_from_qpos(rollout.qpos, rollout.fps, rollout.name), body), [np.zeros(0)]
    for foot in (0, 1):
        own, loaded = contacts.group == foot, rollout.foot_contact[steps, foot].astype(bool)
        loaded[0] = False
        if own.any():
            lowest = contacts.height[:, own].argmin(axis=1)
            speeds.append(contacts.speed[:, own][samples, lowest][loaded])
    return np.concatenate(speeds)
