"""What a projection will take, in time and on the disk, from some seconds of doing it on a part of the clips.

Clips are drawn evenly. As many as the time allows go through the policy, which tells the share that the trajectory
optimiser will get; that is timed plan by plan on parts of those; some are measured and written into a folder that goes
again. Nothing is written anywhere else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from morphloop.base import MotionError
from morphloop.base.threads import fixed_threads
from morphloop.imitator import Policy, Projection
from morphloop.imitator.optimal_control.pace import measure_pace
from morphloop.imitator.projection.project import Job, is_good, job_of, projection_of
from morphloop.imitator.projection.rollouts import policy_rollouts
from morphloop.motion import Clip, Rollout

from ..project_folder import ProjectFolder
from .parts import SECONDS, Estimate, Part, batch_cost, makespan

READ_SHARE, POLICY_SHARE, KEEP_SHARE, OPTIMISER_SHARE = 0.1, 0.3, 0.2, 0.4
FIRST_BATCH = 2
"""Clips; each further batch is three times as large, so that what a batch costs by itself can be told from its size."""
FAR = 1e3
"""Metres: no body is further from its reference, so that every rollout gets to the end."""


@fixed_threads()
def estimate_projection(
    clips: Sequence[Clip], rules: ProjectFolder, workers: int | None = None, seconds: float = SECONDS, of: float = 1.0
) -> Estimate:
    """What `rules.project(clips, workers=workers)` will take and write.

    of: how many clips there will be for each that is given, where not all were read. MotionError if no clip can be
    prepared for tracking.
    """
    drawn = [clips[place] for place in np.random.default_rng(0).permutation(len(clips))]
    sample = _sampled(drawn, rules, POLICY_SHARE * seconds)
    body, config = rules.body, rules.projection
    optimised = [job for job in sample.jobs if not sample.is_done(job, rules)]
    pace = None
    if optimised:
        references = [job.reference for job in optimised]
        pace = measure_pace(references, body, config.ilqr, workers, OPTIMISER_SHARE * seconds)
    keep_s, kept_bytes, kept_motion_s = _kept(sample, rules, KEEP_SHARE * seconds)

    motion_s = of * sum(clip.duration for clip in clips)
    scale = motion_s / sample.motion_s
    count, slow = round(of * len(clips)), scale * len(optimised)
    keep_clip_s = keep_s / kept_motion_s * motion_s / max(count, 1)
    parts = [Part("prepare", count, scale * sample.prepare_s)]
    if sample.batches:
        parts.append(Part("policy", count, sample.policy_s(count)))
    if pace is not None:
        ilqr = config.ilqr.at(body.control_hz)
        each = [pace.clip_s(job.reference.num_frames, ilqr.replan) for job in optimised]
        # meanwhile this process measures and writes what is done, on the cores that the workers use
        wall_s = pace.start_s + makespan(each, pace.workers, scale) + slow * keep_clip_s / pace.workers
        parts.append(Part("optimiser", round(slow), wall_s))
    parts.append(Part("measure and write", count, (count - slow) * keep_clip_s))
    return Estimate(tuple(parts), round(kept_bytes / kept_motion_s * motion_s), len(sample.jobs))


@dataclass
class _Sample:
    """Clips on their way: jobs, their seconds and those of preparing them; by name what the policy made of each;
    batches: clips, control steps of the longest, and seconds of each."""

    jobs: list[Job]
    motion_s: float
    prepare_s: float
    tried: dict[str, tuple[Rollout, Projection]]
    batches: list[tuple[int, int, float]]

    def is_done(self, job: Job, rules: ProjectFolder) -> bool:
        """Whether the policy's result needs no trajectory optimiser."""
        found = self.tried.get(job.source.name)
        return found is not None and (rules.projection.projector == "policy" or is_good(found[1], rules.projection))

    def policy_s(self, count: int) -> float:
        """Seconds of the policy's batch of so many clips: a step costs something by itself, and for each clip."""
        steps = max(steps for _, steps, _ in self.batches)
        if sum(size for size, _, _ in self.batches) == count and len(self.batches) == 1:
            return self.batches[0][2]
        alone, per_clip = batch_cost([(size, wall_s / steps) for size, steps, wall_s in self.batches])
        return steps * (alone + per_clip * count)


def _sampled(clips: Sequence[Clip], rules: ProjectFolder, seconds: float) -> _Sample:
    """Clips prepared, and tried by the policy if there is one, until the time is up."""
    sample, began, size, waiting = _Sample([], 0.0, 0.0, {}, []), time.monotonic(), FIRST_BATCH, list(clips)
    by_policy = rules.policy is not None and rules.projection.projector != "optimiser"
    while waiting and (not sample.jobs or time.monotonic() - began < seconds):
        if sample.batches and 3 * sample.batches[-1][2] > 2 * (seconds - (time.monotonic() - began)):
            break
        group, waiting = waiting[:size], waiting[size:]
        started = time.monotonic()
        jobs = []
        for clip in group:
            sample.motion_s += clip.duration
            try:
                jobs.append(job_of(len(sample.jobs) + len(jobs), clip, rules.projection, rules.body))
            except (MotionError, MemoryError):
                continue  # it takes no time in earnest either
        sample.prepare_s += time.monotonic() - started
        sample.jobs += jobs
        if by_policy and jobs:
            _try(jobs, sample, rules)
        size *= 3
    if not sample.jobs:
        raise MotionError("none of the clips that were tried can be prepared for tracking")
    return sample


def _try(jobs: Sequence[Job], sample: _Sample, rules: ProjectFolder) -> None:
    policy, body = rules.policy, rules.body
    assert policy is not None
    started = time.monotonic()
    try:
        rollouts = policy_rollouts(policy, [job.reference for job in jobs], body)
    except (MotionError, MemoryError):
        return
    wall_s = time.monotonic() - started
    sample.batches.append((len(jobs), max(job.reference.num_frames for job in jobs), wall_s))
    for job, rollout in zip(jobs, rollouts, strict=True):
        made = projection_of(job, rollout, "policy", policy.hash, 0.0, body, certified=False)
        sample.tried[job.source.name] = rollout, made


def _kept(sample: _Sample, rules: ProjectFolder, seconds: float) -> tuple[float, int, float]:
    """Seconds and bytes of certifying, measuring and writing some clips, and the seconds of motion that they have."""
    began, motion_s, body = time.monotonic(), 0.0, rules.body
    with TemporaryDirectory(prefix="morphloop-estimate-") as name:
        folder = replace(rules, folder=Path(name), broken=[])
        jobs = sorted(sample.jobs, key=lambda job: not sample.is_done(job, rules))
        for job in jobs:
            if motion_s and time.monotonic() - began > seconds:
                break
            rollout = sample.tried[job.source.name][0] if job.source.name in sample.tried else None
            if rollout is None or rollout.num_frames < job.reference.num_frames:
                started = time.monotonic()
                (rollout,) = policy_rollouts(_nobody(rules), [job.reference], body, FAR)
                began += time.monotonic() - started
            folder.keep(projection_of(job, rollout, "policy", None, 0.0, body))
            motion_s += job.source.duration
        wall_s = time.monotonic() - began
        size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
    return wall_s, size, motion_s


def _nobody(rules: ProjectFolder) -> Policy:
    """A policy to roll clips out with from end to end where there is none: what is measured then is the time."""
    from morphloop.imitator.bench.bench import zero_policy

    return rules.policy or zero_policy(rules.body)
