"""Partial rescue: the longest good segment of a clip that failed as a whole, kept as a clip of its own.

A fall at the end must not cost the seconds before it. Good is tighter than the error bound of success, which a body
that has begun to fall still keeps. The segment is cut out of the rollout with the integration state that it starts in,
so that it replays by itself. What a segment shows is no longer what the prompt asked for: it carries no text.
"""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.metrics import measure_rollout, track_errors
from morphloop.metrics.loaded import loaded_speeds
from morphloop.motion import Clip, Rollout
from morphloop.sim import Body, certify
from morphloop.sim.rollouts.loads import foot_loads

from .config import RescueConfig
from .project import Projection

SUFFIX = "_rescued"


def good_steps(clip: Clip, reference: Clip, body: Body, config: RescueConfig) -> np.ndarray:
    """(T,) bool: where a clip is near its reference and has not begun to fall; both at the control rate."""
    frames, (head,) = min(clip.num_frames, reference.num_frames), body.joint_ids([body.description.head])
    apart = clip.positions[:frames] - reference.positions[:frames]
    near = np.linalg.norm(apart, axis=-1).mean(axis=1) < config.error_m
    return near & (-apart[:, head, 2] < config.head_drop_m)


def longest_segment(good: np.ndarray, speed: np.ndarray, shortest: int, max_speed: float) -> tuple[int, int] | None:
    """First and last control step + 1 of the longest segment that is good throughout and whose mean slide is in bounds.

    good: (T,) bool; speed: (T, 2) slide of each foot, NaN where it bears no load; shortest: control steps; max_speed:
    in the unit of `speed`. None if there is none.
    """
    frames = len(good)
    bad = np.concatenate([[0], np.cumsum(~good)])
    over = np.where(np.isnan(speed), 0.0, speed - max_speed).sum(axis=1)
    excess = np.concatenate([[0.0], np.cumsum(over)])
    for length in range(frames, max(shortest, 2) - 1, -1):
        starts = np.arange(frames - length + 1)
        fits = (bad[starts + length] == bad[starts]) & (excess[starts + length] <= excess[starts])
        if fits.any():
            start = int(starts[fits][0])
            return start, start + length
    return None


def cut_rollout(rollout: Rollout, start: int, stop: int, body: Body) -> Rollout:
    """Control steps `start` to `stop` - 1 of a rollout, from the integration state that it has at `start`.

    MotionError if replaying up to there does not reach the stored state: on another build it cannot be cut.
    """
    kind, data = mujoco.mjtState.mjSTATE_INTEGRATION, mujoco.MjData(body.model)
    mujoco.mj_setState(body.model, data, rollout.start, kind)
    for ctrl in rollout.ctrl[:start]:
        data.ctrl[:] = ctrl
        mujoco.mj_step(body.model, data, rollout.substeps)
    if not np.array_equal(data.qpos, rollout.qpos[start]):
        raise MotionError(f"{rollout.name}: does not replay to control step {start}, expected the build that made it")
    state = np.empty_like(rollout.start)
    mujoco.mj_getState(body.model, data, state, kind)
    force, contact = rollout.foot_force[start:stop].copy(), rollout.foot_contact[start:stop].copy()
    force[0], contact[0] = 0.0, False  # as of every first control step: no step of this rollout went before it
    return replace(
        rollout,
        start=state,
        qpos=rollout.qpos[start:stop],
        qvel=rollout.qvel[start:stop],
        ctrl=rollout.ctrl[start : stop - 1],
        foot_contact=contact,
        foot_force=force,
    )


def rescue(
    whole: Projection, body: Body, max_slide_mm_s: float, config: RescueConfig | None = None
) -> Projection | None:
    """The longest good segment of a projection as one of its own, None if there is none or it does not replay.

    max_slide_mm_s: largest mean slide of loaded feet over it, as the verdict on a clip has it.
    Its source and reference are cut to the same seconds; its provenance says which; it has neither text nor prompt.
    """
    config = config or RescueConfig()
    clip, reference, rollout = whole.clip, whole.reference, whole.rollout
    if clip is None or reference is None or rollout is None or whole.certificate is None:
        return None
    if not whole.certificate.bit_equal:
        return None
    good = good_steps(clip, reference, body, config)
    shortest = round(config.shortest_s * clip.fps) + 1
    if len(good) < shortest:
        return None
    slide = 1e3 * loaded_speeds(foot_loads(rollout, body))  # of each control step, at whose end a control step is
    speed = np.concatenate([np.full((1, 2), np.nan), slide])[: len(good)]
    found = longest_segment(good, speed, shortest, max_slide_mm_s)
    if found is None:
        return None
    return _cut(whole, clip, reference, rollout, *found, body)


def _cut(
    whole: Projection, clip: Clip, reference: Clip, rollout: Rollout, start: int, stop: int, body: Body
) -> Projection | None:
    name, span = whole.source.name + SUFFIX, (start / clip.fps, (stop - 1) / clip.fps)
    notes = {"rescued": {"of": whole.source.name, "from_s": round(span[0], 4), "to_s": round(span[1], 4)}}
    source = _between(whole.source, *span)
    origin = replace(source.provenance, parent=whole.source.id, stage="cut", prompt=None)
    origin = replace(origin, notes=origin.notes | notes)
    source = replace(source, name=name, texts=(), provenance=origin)
    part = replace(cut_rollout(rollout, start, stop, body), name=name)
    certificate = certify(part, body)
    if not certificate.passed:
        return None
    moved = clip.slice(start, stop)
    made = replace(clip.provenance, parent=source.id, prompt=None, notes=clip.provenance.notes | notes)
    moved = replace(moved, name=name, texts=(), provenance=made)
    wanted = replace(reference.slice(start, stop), name=name, texts=(), provenance=origin)
    return replace(
        whole,
        source=source,
        reference=wanted,
        clip=moved,
        rollout=part,
        tracking=track_errors(moved, wanted, completed=True),
        certificate=certificate,
        wall_s=0.0,
        sim_metrics=measure_rollout(part, body),
    )


def _between(clip: Clip, start_s: float, stop_s: float) -> Clip:
    """The frames of a clip from one second to another, the nearest ones at its own frame rate."""
    return clip.slice(round(start_s * clip.fps), min(round(stop_s * clip.fps) + 1, clip.num_frames))
