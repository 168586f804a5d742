"""Behaviour cloning and DAgger: the refiner as the expert whom the policy learns from.

DAgger (Ross et al., arXiv 1011.0686) asks the expert in the states that the learner gets into. Asking the refiner for
one action costs as much as letting it drive for a moment, so it takes over where the policy goes astray and drives on,
and every control step of that is a label; noise on what is executed widens the tube (DART, arXiv 1703.09327).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from morphloop.envs import Observer, build_library, prepare
from morphloop.metrics import measure, track_errors
from morphloop.motion import Clip, MotionError, Rollout
from morphloop.sim import CONTROL_HZ, Body, Recorder, default_body

from .policy import Policy
from .projection import policy_rollouts
from .refiner import Label, Refiner, RefinerConfig

HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class CloningConfig:
    """How demonstrations are made and learned."""

    refiner: RefinerConfig = field(default_factory=RefinerConfig)
    stretch_s: float = 1.0
    """How long the expert drives from where the policy went astray."""
    astray: float = 0.12
    """Mean joint distance at which a policy counts as astray, metres."""
    shake: float = 0.05
    """Noise on what the expert executes, radians."""
    epochs: int = 40
    """Passes over the demonstrations after each round."""
    minibatch: int = 256
    learning_rate: float = 2e-4


@dataclass(frozen=True)
class Demonstrations:
    """Labelled states of one library: observations (N, D) and the actions (N, A) to take in them."""

    obs: torch.Tensor
    action: torch.Tensor

    def joined(self, other: Demonstrations) -> Demonstrations:
        """Both sets."""
        return Demonstrations(torch.cat([self.obs, other.obs]), torch.cat([self.action, other.action]))


def demonstrations(labels: Sequence[Label], observer: Observer) -> Demonstrations:
    """Labels of a refiner as a policy sees them."""
    qpos = torch.from_numpy(np.array([label.qpos for label in labels]))
    qvel = torch.from_numpy(np.array([label.qvel for label in labels]))
    force = torch.from_numpy(np.array([label.force for label in labels]))
    clip = torch.tensor([label.clip for label in labels])
    frame = torch.tensor([label.frame for label in labels])
    obs = observer.observe(observer.kinematics(qpos, qvel), qvel, force, clip, frame)
    offset = torch.from_numpy(np.array([label.offset for label in labels])).float()
    return Demonstrations(obs, offset / observer.scale)


def clone(policy: Policy, data: Demonstrations, config: CloningConfig, seed: int, deadline: float) -> float:
    """Regress a policy's actions onto demonstrations, in place, until done or `deadline` (monotonic seconds).

    Returns the last epoch's mean squared error.
    """
    optimiser = torch.optim.Adam(policy.actor.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    error = float("nan")
    for _ in range(config.epochs):
        total = 0.0
        for rows in torch.randperm(len(data.obs), generator=generator).split(config.minibatch):
            loss = torch.nn.functional.mse_loss(policy(data.obs[rows]), data.action[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        error = total / len(data.obs)
        if time.monotonic() > deadline:
            break
    return error


@torch.no_grad()
def own_behaviour(
    policy: Policy, observer: Observer, rollouts: Sequence[Rollout], until: Sequence[int]
) -> Demonstrations:
    """What the policy did before it went astray, as demonstrations to hold on to."""
    labels = []
    zero = np.zeros(len(observer.scale))
    for clip, (rollout, stop) in enumerate(zip(rollouts, until, strict=True)):
        for t in range(min(stop, len(rollout.ctrl))):
            labels.append(Label(clip, t, rollout.qpos[t], rollout.qvel[t], rollout.foot_force[t], zero))
    data = demonstrations(labels, observer)
    return Demonstrations(data.obs, policy.act(data.obs))


def evaluate_policy(policy: Policy, references: Sequence[Clip], body: Body) -> dict[str, float | None]:
    """Mean tracking figures of a policy on prepared clips."""
    rows = []
    for rollout, reference in zip(policy_rollouts(policy, references, body), references, strict=True):
        clip = body.clip_from_qpos(rollout.qpos, rollout.fps)
        row = track_errors(clip, reference, clip.num_frames == reference.num_frames)
        row["survived"] = (clip.num_frames - 1) / max(reference.num_frames - 1, 1)
        rows.append(row | {"slide_mean_mm_s": measure(clip, body).values["slide_mean_mm_s"]})
    means = {}
    for name in rows[0]:
        known = [row[name] for row in rows if row[name] is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def update_policy(
    policy: Policy,
    clips: Sequence[Clip],
    budget_s: float,
    seed: int,
    config: CloningConfig | None = None,
    on_round: Callable[[dict[str, Any]], None] = lambda row: None,
    body: Body | None = None,
) -> tuple[Policy, dict[str, Any]]:
    """Teach a copy of the policy on clips within a time budget; returns it and a report.

    A quarter of the clips, at least one, is held out: the report's before and after are on those. If the update does
    worse on the clips that it learned from, in success or at equal success in global error, the old policy is returned
    and the report says so. MotionError if fewer
    than two clips can be tracked.
    """
    config, body = config or CloningConfig(), body or default_body()
    deadline = time.monotonic() + budget_s
    references = _trackable(clips, body)
    if len(references) < 2:
        raise MotionError(f"imitate: {len(references)} clips can be tracked, expected at least 2")
    order = np.random.default_rng(seed).permutation(len(references))
    held = [references[i] for i in order[: max(1, round(HELD_OUT_SHARE * len(order)))]]
    learned = [references[i] for i in order[len(held) :]]
    before = {"held_out": evaluate_policy(policy, held, body), "learned": evaluate_policy(policy, learned, body)}
    student = policy.copy()
    observer = Observer(body, build_library(learned, body))
    refiner = Refiner(body, observer.library, config.refiner, seed, student)
    data: Demonstrations | None = None
    rounds: list[dict[str, Any]] = []
    while time.monotonic() < deadline - 0.25 * budget_s:
        rollouts = policy_rollouts(student, learned, body)
        strays = [_astray(rollout, observer, clip, config.astray) for clip, rollout in enumerate(rollouts)]
        share = (deadline - time.monotonic()) * (0.5 if not rounds else 0.4)
        labels = _ask_expert(refiner, rollouts, strays, config, time.monotonic() + share)
        if not labels:
            break
        new = demonstrations(labels, observer)
        kept = own_behaviour(student, observer, rollouts, strays)
        data = new if data is None else data.joined(new)
        error = clone(student, data.joined(kept), config, seed + len(rounds), deadline - 0.1 * budget_s)
        rounds.append(
            {
                "labels": len(data.obs),
                "stray": int(sum(s < r.num_frames - 1 for s, r in zip(strays, rollouts, strict=True))),
                "loss": error,
            }
        )
        on_round(rounds[-1])
    after = {"held_out": evaluate_policy(student, held, body), "learned": evaluate_policy(student, learned, body)}
    worse = _standing(after["learned"]) < _standing(before["learned"])
    report = {
        "held_out_clips": [c.name for c in held],
        "learned_clips": [c.name for c in learned],
        "rounds": rounds,
        "before": before["held_out"],
        "after": after["held_out"],
        "learned_before": before["learned"],
        "learned_after": after["learned"],
        "kept": "old" if worse else "new",
    }
    return (policy if worse else student.eval()), report


def _standing(figures: dict[str, float | None]) -> tuple[float, float]:
    """What decides between two policies on the same clips: success, then global error. Larger is better."""
    return figures["success"] or 0.0, -(figures["e_g_mpjpe_mm"] or 0.0)


def _trackable(clips: Sequence[Clip], body: Body) -> list[Clip]:
    references = []
    for clip in clips:
        try:
            references.append(prepare(clip, body))
        except MotionError:
            continue  # the project stage gives this clip its verdict and reason
    return [r for r in references if r.num_frames > 2]


def _astray(rollout: Rollout, observer: Observer, clip: int, distance: float) -> int:
    """First tick at which a rollout is further than `distance` from its reference, its length if never."""
    state = observer.kinematics(torch.from_numpy(rollout.qpos), torch.from_numpy(rollout.qvel))
    frames = torch.arange(rollout.num_frames)
    reference = observer.reference(torch.full_like(frames, clip), frames)
    far = (state.pos - reference.pos).norm(dim=-1).mean(-1) > distance
    return int(torch.argmax(far.int())) if far.any() else rollout.num_frames


def _ask_expert(
    refiner: Refiner, rollouts: Sequence[Rollout], strays: Sequence[int], config: CloningConfig, deadline: float
) -> list[Label]:
    """Let the expert drive from a little before each place where the policy went astray, the earliest first."""
    labels: list[Label] = []
    length = round(config.stretch_s * CONTROL_HZ)
    for clip in np.argsort(strays, kind="stable"):
        rollout, stray = rollouts[clip], strays[clip]
        if time.monotonic() > deadline:
            break
        if stray >= rollout.num_frames:
            continue
        frame = max(0, stray - length // 3)
        state = Recorder(refiner.body, rollout.qpos[frame], rollout.qvel[frame]).state()
        track = refiner.track(int(clip), frame, state, frame + length, shake=config.shake)
        if track.completed:
            labels += track.labels
    return labels
