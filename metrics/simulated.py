"""What the simulator itself counted as contact, apart from the measurement contract and under names of its own."""

from __future__ import annotations

import numpy as np

from morphloop.motion import MotionError, Rollout
from morphloop.sim.body import Body, default_body

from .contact import contact_frames
from .plausibility import GRAVITY
from .signals import GRID_HZ, grid_frames


def measure_rollout(rollout: Rollout, body: Body | None = None) -> dict[str, float | None]:
    """`sim_contact_ratio`, `sim_slide_mean_mm_s` and `sim_force_peak_bw` of a rollout of the body.

    The slide is read as in the contract, but over the ticks at which the simulator reports contact forces between that
    foot and the ground. None where it reports none. Raises MotionError if the rollout is another body's.
    """
    body = body or default_body()
    if rollout.qpos.shape[1] != body.model.nq:
        raise MotionError(f"{rollout.name}: {rollout.qpos.shape[1]} positions a tick, body has {body.model.nq}")
    contacts = contact_frames(body.clip_from_qpos(rollout.qpos, rollout.fps, rollout.name), body)
    ticks = np.rint(np.arange(grid_frames(rollout.num_frames, rollout.fps, GRID_HZ)) * rollout.fps / GRID_HZ).astype(
        int
    )
    speeds = []
    for foot in (0, 1):
        own, touching = contacts.group == foot, rollout.foot_contact[ticks, foot].astype(bool)
        if own.any() and touching.any() and len(ticks) > 1:
            lowest = contacts.height[:, own].argmin(axis=1)
            speeds.append(contacts.speed[:, own][np.arange(len(ticks)), lowest][touching])
    weight = -GRAVITY[2] * body.mass
    return {
        "sim_contact_ratio": float(rollout.foot_contact.any(axis=1).mean()),
        "sim_slide_mean_mm_s": float(1e3 * np.concatenate(speeds).mean()) if speeds else None,
        "sim_force_peak_bw": float(rollout.foot_force.sum(axis=1).max() / weight),
    }
