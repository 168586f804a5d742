"""Projection: a clip goes in, what physics made of it comes out, with the evidence.

The policy tracks all clips together on one batch; what it failed goes to the training-free refiner. The rollout that is
kept ran on CPU in double precision and is replayed open loop before anything is claimed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from morphloop.envs import EVALUATION_DISTANCE, Observer, build_library, prepare
from morphloop.envs.terminations import lost
from morphloop.metrics import measure_rollout, track_errors
from morphloop.motion import Clip, MotionError, Rollout
from morphloop.sim import (
    CONTACT_FORCE,
    CONTROL_HZ,
    SUBSTEPS,
    Body,
    Certificate,
    CpuPhysics,
    certify,
    default_body,
    simulator_name,
)

from .policy import Policy
from .refiner import Refiner, RefinerConfig

Projector = Literal["auto", "policy", "refiner"]


@dataclass(frozen=True)
class ProjectionConfig:
    """How clips are projected."""

    projector: Projector = "auto"
    """auto: the policy first, the refiner for what it failed; or one of them alone."""
    min_skill: float = 0.3
    """A policy's result under this skill goes to the refiner as well."""
    guided: bool = True
    """Let the policy drive inside the refiner's candidates, so that the search looks for what to add to it."""
    seed: int = 0
    """Of the refiner's noise."""
    refiner: RefinerConfig = field(default_factory=RefinerConfig)


@dataclass(frozen=True)
class Projection:
    """One clip's way through physics.

    source: the untouched input; reference: what was tracked, None if it could not be prepared; clip: what physics did,
    30 fps, up to where it was lost; rollout: how to do it again; projector: who made it; tracking: errors against the
    reference; certificate: of the replay; reason: why there is nothing; wall_s: seconds spent; sim_metrics: contact as
    the simulator saw it.
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

    @property
    def rank(self) -> tuple[float, float, float]:
        """Better is larger: success, length survived, skill."""
        frames = self.clip.num_frames if self.clip else 0
        return (self.tracking.get("success") or 0.0, frames, self.tracking.get("skill") or -np.inf)


def project_clips(
    clips: Sequence[Clip],
    policy: Policy | None = None,
    config: ProjectionConfig | None = None,
    on_done: Callable[[Projection], None] | None = None,
    body: Body | None = None,
) -> list[Projection]:
    """Project clips on the body's skeleton; one Projection a clip, in order, whatever happened to it.

    on_done: called with each as it is final. MotionError if the projector asked for has no policy.
    """
    config, body = config or ProjectionConfig(), body or default_body()
    if policy is None and config.projector == "policy":
        raise MotionError("projector 'policy' needs a policy file, give --policy or choose 'refiner'")
    done: dict[int, Projection] = {}

    def finish(place: int, projection: Projection) -> None:
        done[place] = projection
        if on_done is not None:
            on_done(projection)

    prepared: dict[int, Clip] = {}
    for place, clip in enumerate(clips):
        try:
            prepared[place] = prepare(clip, body)
        except MotionError as error:
            finish(place, Projection(clip, None, None, None, "none", {}, None, str(error), 0.0, {}))
    tried: dict[int, Projection] = {}
    if policy is not None and config.projector != "refiner" and prepared:
        began = time.monotonic()
        rollouts = policy_rollouts(policy, list(prepared.values()), body)
        share = (time.monotonic() - began) / len(prepared)
        for place, rollout in zip(prepared, rollouts, strict=True):
            tried[place] = _projection(clips[place], prepared[place], rollout, "policy", policy.hash, share, body)
    for place, reference in prepared.items():
        result = tried.get(place)
        good = result is not None and result.tracking["success"] and (result.tracking["skill"] or 0) >= config.min_skill
        if result is None or (config.projector == "auto" and not good):
            refined = refine(clips[place], reference, config, policy, body)
            if result is not None:
                refined = replace(refined, wall_s=refined.wall_s + result.wall_s)
                result = replace(result, wall_s=refined.wall_s)
            result = refined if result is None else max(result, refined, key=lambda p: p.rank)
        finish(place, result)
    return [done[place] for place in range(len(clips))]


def refine(source: Clip, reference: Clip, config: ProjectionConfig, policy: Policy | None, body: Body) -> Projection:
    """Project one prepared clip by the refiner, the policy in its loop if one is given and wanted.

    The noise depends on the clip and the seed, not on the clip's place in a batch.
    """
    began = time.monotonic()
    guide = policy if config.guided else None
    seed = config.seed + int(source.id[:7], 16)
    refiner = Refiner(body, build_library([reference], body), config.refiner, seed, guide)
    rollout = refiner.track(0).recorder.rollout(seed, source.name)
    guide_hash = guide.hash if guide else None
    return _projection(source, reference, rollout, "refiner", guide_hash, time.monotonic() - began, body)


@torch.no_grad()
def policy_rollouts(policy: Policy, references: Sequence[Clip], body: Body) -> list[Rollout]:
    """Track prepared clips with a policy, all on one batch, each to its end or to where it is lost."""
    library = build_library(references, body)
    count = len(references)
    physics, observer = CpuPhysics(body, count), Observer(body, library)
    clip = torch.arange(count)
    frame = torch.zeros(count, dtype=torch.long)
    physics.set_state(clip, library.qpos[library.start], library.qvel[library.start])
    start = physics.state.copy()
    alive = library.length > 1
    lived = torch.ones(count, dtype=torch.long)
    tape = [(physics.qpos.numpy().copy(), physics.qvel.numpy().copy(), np.zeros((count, 2)))]
    controls: list[np.ndarray] = []
    while alive.any():
        state = observer.kinematics(physics.qpos, physics.qvel)
        force = torch.from_numpy(tape[-1][2])
        action = policy.act(observer.observe(state, physics.qvel, force, clip, frame))
        physics.ctrl[:] = observer.controls(action, state, clip, frame).double()
        controls.append(physics.ctrl.numpy().copy())
        diverged = physics.step()
        frame += 1
        tape.append((physics.qpos.numpy().copy(), physics.qvel.numpy().copy(), physics.foot_force.numpy()))
        alive &= ~diverged
        lived += alive
        here = observer.kinematics(physics.qpos, physics.qvel)
        alive &= ~lost(here, observer.reference(clip, frame), EVALUATION_DISTANCE)
        alive &= frame < library.length - 1
    qpos, qvel, force = (np.stack(part, axis=1) for part in zip(*tape, strict=True))
    ctrl = np.stack(controls, axis=1) if controls else np.zeros((count, 0, body.model.nu))
    return [
        Rollout(
            fps=CONTROL_HZ,
            substeps=SUBSTEPS,
            body=body.name,
            model_hash=body.hash,
            start=start[i],
            qpos=qpos[i, :n],
            qvel=qvel[i, :n],
            ctrl=ctrl[i, : n - 1],
            foot_contact=force[i, :n] > CONTACT_FORCE,
            foot_force=force[i, :n],
            simulator=simulator_name(),
            seed=0,
            name=references[i].name,
        )
        for i, n in enumerate(lived.tolist())
    ]


def _projection(
    source: Clip, reference: Clip, rollout: Rollout, projector: str, policy_hash: str | None, wall_s: float, body: Body
) -> Projection:
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
        certificate=certify(rollout, body),
        reason=None,
        wall_s=wall_s,
        sim_metrics=measure_rollout(rollout, body),
    )
