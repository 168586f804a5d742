"""Projection: a clip goes in, what physics made of it comes out, with the evidence.

The policy tracks clips together on one batch; what it failed goes to the trajectory optimiser, model-predictive iLQR, a
clip a process. Both follow the reference after the preprocessing of `ProjectionConfig.conditioning`; errors are taken
against the reference as it was prepared, and `before` figures on the untouched input. The rollout that is kept ran on
CPU in double precision and is replayed open loop before anything is claimed. What comes out of a clip does not depend
on the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from morphloop.base import MotionError
from morphloop.base.threads import fixed_threads
from morphloop.envs import Reference, prepare, reference_of
from morphloop.metrics import measure_rollout, track_errors
from morphloop.motion import Clip, Rollout
from morphloop.sim import (
    Body,
    Certificate,
    certify,
    default_body,
    simulator_name,
)

from ..optimal_control.many_clips import Tracked, too_large, track_clips
from ..training.policy import Policy
from .config import ProjectionConfig
from .rollouts import batches, policy_rollouts

SLIDE_WEIGHT = 0.004
"""Of two results that both got to the end: skill that a mm/s of slide is worth."""
MAX_BALANCED_S = 60.0
"""Balancing a reference solves for all of its frames at once: time grows with the cube of its length."""


@dataclass(frozen=True)
class Projection:
    """One clip's way through physics.

    source: the untouched input; reference: what it is compared with, None if it could not be prepared; clip: what
    physics did, at the control rate, up to where it failed; rollout: how to do it again; projector: who made it;
    tracking: errors against the reference; certificate: of the replay; reason: why there is nothing; wall_s: seconds
    spent, its share of what a batch took; sim_metrics: contact as the simulator saw it; fault: the machine failed (a
    worker was killed, memory ran out) and the clip was not tried: no verdict, it is to be tried again.
    """

    source: Clip
    reference: Clip | None
    clip: Clip | None
    rollout: Rollout | None
    projector: str
    tracking: dict[str, float | None]
    certificate: Certificate | None
    reason: str | None
    wall_s: float
    sim_metrics: dict[str, float | None]
    fault: bool = False

    @property
    def rank(self) -> tuple[float, float, float]:
        """Better is larger: success, length survived, skill less what the feet slide."""
        frames, skill = self.clip.num_frames if self.clip else 0, self.tracking.get("skill")
        if skill is None:
            return self.tracking.get("success") or 0.0, frames, -np.inf
        return self.tracking.get("success") or 0.0, frames, skill - SLIDE_WEIGHT * self.slide_mm_s

    @property
    def slide_mm_s(self) -> float:
        """How fast loaded feet slide, mm/s; 0 where none was loaded."""
        return self.sim_metrics.get("sim_slide_mean_mm_s") or 0.0


class Kept(Protocol):
    """What iLQR made of clips before; it rests on clip and options, not on the policy."""

    def find(self, clip: Clip) -> Tracked | None:
        """What it made of an untouched input, None if that is not known."""
        ...

    def keep(self, clip: Clip, tracked: Tracked) -> None:
        """Take what it made of an untouched input."""
        ...


@dataclass(frozen=True)
class Job:
    """A clip on its way: its place, the input, and what is tracked of it."""

    place: int
    source: Clip
    reference: Reference


@fixed_threads()
def project_clips(
    clips: Sequence[Clip],
    policy: Policy | None = None,
    config: ProjectionConfig | None = None,
    on_done: Callable[[Projection], None] | None = None,
    body: Body | None = None,
    workers: int | None = None,
    kept: Kept | None = None,
) -> list[Projection]:
    """Project clips on the body's skeleton; one Projection a clip, in order, whatever happened to it.

    on_done: called with each as it is final; kept: what iLQR made of clips before, takes what it makes now; workers:
    processes that iLQR works in, one a core if None, this one alone if 0 (as Python's multiprocessing they import the
    main script again: call this under `if __name__ == "__main__":`).
    MotionError if the projector asked for has no policy, the policy is another body's, or the body has no feet.
    """
    config, body = config or ProjectionConfig(), body or default_body()
    _check(policy, config, body, workers)
    done: dict[int, Projection] = {}

    def finish(place: int, projection: Projection) -> None:
        done[place] = projection
        if on_done is not None:
            on_done(projection)

    jobs: list[Job] = []
    for place, clip in enumerate(clips):
        try:
            jobs.append(job_of(place, clip, config, body))
        except MotionError as error:
            finish(place, Projection(clip, None, None, None, "none", {}, None, str(error), 0.0, {}))
        except MemoryError:
            finish(place, Projection(clip, None, None, None, "none", {}, None, too_large(clip), 0.0, {}, fault=True))
    tried: dict[int, Projection] = {}
    if policy is not None and config.projector != "optimiser":
        for job, result in _by_policy(jobs, policy, body):
            tried[job.place] = result
            if result.fault or config.projector == "policy" or is_good(result, config):
                finish(job.place, result)
    left = [job for job in jobs if job.place not in done]

    def better(job: Job, optimised: Projection) -> None:
        other = tried.get(job.place)
        if other is not None and not optimised.fault:
            wall_s = optimised.wall_s + other.wall_s
            optimised = replace(max(other, optimised, key=lambda p: p.rank), wall_s=wall_s)
        finish(job.place, optimised)

    _by_ilqr(left, config, body, workers, kept, better)
    return [done[place] for place in range(len(clips))]


def _check(policy: Policy | None, config: ProjectionConfig, body: Body, workers: int | None) -> None:
    """MotionError for what no clip could be projected with."""
    if workers is not None and workers < 0:
        raise MotionError(f"{workers} workers, expected 0 for this process alone, or more")
    if policy is None and config.projector == "policy":
        raise MotionError("projector 'policy' needs a policy file, give --policy or choose 'optimiser'")
    if policy is not None and not body.driven_by(policy.spec.body_hash):
        raise MotionError(
            f"the policy was made for body '{policy.spec.body}' ({policy.spec.body_hash}), "
            f"asked to drive '{body.name}' ({body.hash})"
        )
    try:
        _ = body.feet
    except MotionError as error:
        raise MotionError(f"{error}; tracking needs feet") from None


def job_of(place: int, source: Clip, config: ProjectionConfig, body: Body) -> Job:
    """What is to be tracked of a clip. MotionError if there is nothing."""
    prepared = prepare(source, body)
    if config.conditioning.balance and prepared.duration > MAX_BALANCED_S:
        raise MotionError(
            f"{source.name}: {prepared.duration:.0f} s long, a reference of at most {MAX_BALANCED_S:.0f} s can be "
            "balanced, cut it or switch balancing off"
        )
    return Job(place, source, reference_of(prepared, body, config.conditioning))


def is_good(projection: Projection, config: ProjectionConfig) -> bool:
    """Whether a policy's result needs no trajectory optimiser."""
    skill = projection.tracking.get("skill") or 0.0
    sound = bool(projection.tracking.get("success")) and skill >= config.min_skill
    return sound and projection.slide_mm_s <= config.max_slide_mm_s


def _by_policy(jobs: Sequence[Job], policy: Policy, body: Body) -> Iterator[tuple[Job, Projection]]:
    """What the policy makes of each job, batch by batch; a clip that memory is too small for fails alone."""
    waiting = [*batches([job.reference for job in jobs])]
    while waiting:
        group, began = waiting.pop(0), time.monotonic()
        try:
            rollouts = policy_rollouts(policy, [jobs[place].reference for place in group], body)
        except (MotionError, MemoryError) as error:
            if len(group) > 1:
                waiting[:0] = [[place] for place in group]
            else:
                job = jobs[group[0]]
                fault = isinstance(error, MemoryError)
                reason = f"{job.source.name}: does not fit into memory, cut it into shorter clips"
                yield job, _nothing(job, "policy", reason if fault else str(error), time.monotonic() - began, fault)
            continue
        share = (time.monotonic() - began) / len(group)
        for place, rollout in zip(group, rollouts, strict=True):
            yield jobs[place], projection_of(jobs[place], rollout, "policy", policy.hash, share, body)


def _nothing(job: Job, projector: str, reason: str | None, wall_s: float, fault: bool) -> Projection:
    """A job of which nothing came."""
    return Projection(job.source, job.reference.prepared, None, None, projector, {}, None, reason, wall_s, {}, fault)


def _by_ilqr(
    jobs: Sequence[Job],
    config: ProjectionConfig,
    body: Body,
    workers: int | None,
    kept: Kept | None,
    on_done: Callable[[Job, Projection], None],
) -> None:
    """Track jobs by iLQR, those that are not kept yet, and hand each over as it is done."""

    def tell(job: Job, tracked: Tracked) -> None:
        if tracked.rollout is None:
            on_done(job, _nothing(job, "optimiser", tracked.reason, tracked.wall_s, tracked.fault))
        else:
            on_done(job, projection_of(job, tracked.rollout, "optimiser", None, tracked.wall_s, body))

    left: list[Job] = []
    for job in jobs:
        known = None if kept is None else kept.find(job.source)
        if known is None:
            left.append(job)
        else:
            tell(job, known)
    if not left:
        return
    for place, tracked in track_clips([job.reference for job in left], body, config.ilqr, workers):
        if kept is not None:
            kept.keep(left[place].source, tracked)
        tell(left[place], tracked)


def projection_of(
    job: Job,
    rollout: Rollout,
    projector: str,
    policy_hash: str | None,
    wall_s: float,
    body: Body,
    certified: bool = True,
) -> Projection:
    """What a rollout made of a job; without its certificate where that is not asked for."""
    source, reference = job.source, job.reference.prepared
    clip = body.clip_from_qpos(rollout.qpos, rollout.fps, source.name)
    models = dict(source.provenance.models) | ({"policy": policy_hash} if policy_hash else {})
    provenance = replace(
        source.provenance,
        parent=source.id,
        stage="project",
        models=models,
        simulator=simulator_name(),
        projector=projector,
    )
    clip = replace(clip, texts=source.texts, provenance=provenance)
    return Projection(
        source=source,
        reference=reference,
        clip=clip,
        rollout=rollout,
        projector=projector,
        tracking=track_errors(clip, reference, clip.num_frames == reference.num_frames),
        certificate=certify(rollout, body) if certified else None,
        reason=None,
        wall_s=wall_s,
        sim_metrics=measure_rollout(rollout, body),
    )
