"""What a policy makes of references: all of a batch at once, each to its end or until it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from morphloop.base.threads import fixed_threads
from morphloop.envs import EVALUATION_DISTANCE, Law, Observer, Reference, Simulation, follow, stack
from morphloop.motion import Rollout
from morphloop.sim import Body, CpuPhysics, Physics, simulator_name

from ..training.policy import Policy

BATCH_ROWS = 100_000
"""Control steps times clips that one batch of policy rollouts may hold: about 400 MB."""


def policy_law(policy: Policy) -> Law:
    """A policy drives, without exploration. Offsets are in double precision, as the physics of a kept rollout."""

    def law(simulation: Simulation) -> torch.Tensor:
        return simulation.observer.offsets(policy.act(simulation.observe())).double()

    return law


def at_first_frames(references: Sequence[Reference], physics: Physics) -> Simulation:
    """A body a reference, each where that begins, on a backend for as many, computed in whole blocks."""
    library = stack(references, physics.body, physics.device)
    simulation = Simulation(physics, Observer(physics.body, library, physics.device), in_blocks=True)
    clip = torch.arange(len(references), device=physics.device)
    frame = torch.zeros_like(clip)
    simulation.place(clip, clip, frame, *simulation.start_states(clip, frame))
    return simulation


@fixed_threads()
def policy_rollouts(
    policy: Policy, references: Sequence[Reference], body: Body, distance: float = EVALUATION_DISTANCE
) -> list[Rollout]:
    """Track references with a policy, all on one batch, each to its end or to where it failed: where its mean joint
    error comes to `distance`, metres."""
    physics = CpuPhysics(body, len(references))
    simulation = at_first_frames(references, physics)
    start = physics.state.copy()
    steps: list[tuple[np.ndarray, ...]] = []

    def keep() -> None:
        parts = (physics.qpos, physics.qvel, simulation.foot_force[: physics.num_envs], physics.ctrl)
        steps.append(tuple(part.numpy().copy() for part in parts))

    found = follow(simulation, policy_law(policy), distance, keep)
    qpos, qvel, force, ctrl = (np.stack(part, axis=1) for part in zip(*steps, strict=True))
    return [
        Rollout(
            fps=body.control_hz,
            substeps=body.substeps,
            body=body.name,
            model_hash=body.hash,
            start=start[i],
            qpos=qpos[i, :n],
            qvel=qvel[i, :n],
            ctrl=ctrl[i, 1:n],
            foot_contact=force[i, :n] > body.contact_force,
            foot_force=force[i, :n],
            simulator=simulator_name(),
            seed=0,
            name=references[i].name,
        )
        for i, n in enumerate(found.length.tolist())
    ]


def rollouts_in_batches(policy: Policy, references: Sequence[Reference], body: Body) -> list[Rollout]:
    """`policy_rollouts` of however many references, in their order, in batches."""
    found: dict[int, Rollout] = {}
    for group in batches(references):
        rollouts = policy_rollouts(policy, [references[place] for place in group], body)
        found.update(zip(group, rollouts, strict=True))
    return [found[place] for place in range(len(references))]


def batches(references: Sequence[Reference]) -> Iterator[list[int]]:
    """Places of references in groups that keep to `BATCH_ROWS`, one at least, the short ones first: in a batch every
    one takes as much as the longest."""
    group: list[int] = []
    for place in sorted(range(len(references)), key=lambda k: references[k].num_frames):
        if group and references[place].num_frames * (len(group) + 1) > BATCH_ROWS:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
