"""A policy is taught on given clips within a budget: the expert's demonstrations of them, then distillation.

This is the loop's `imitate` stage (Morph, arXiv 2411.14951, trains its imitator on each round's synthetic clips). What
it did is told on clips that were held out, and an update that does worse is not kept.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.base.threads import fixed_threads
from morphloop.base.time_limit import TimeLimit
from morphloop.envs import Reference, make_reference
from morphloop.envs.config import PREPROCESSING, ConditioningConfig
from morphloop.metrics import measure, track_errors
from morphloop.motion import Clip
from morphloop.sim import Body, default_body

from ..projection.rollouts import rollouts_in_batches
from ..training.policy import Policy
from .config import UpdateConfig
from .demonstrations import load_demonstrations, record_demonstrations
from .distil import distil

HELD_OUT_SHARE = 0.25


def evaluate_policy(policy: Policy, references: Sequence[Reference], body: Body) -> dict[str, float | None]:
    """Mean tracking figures of a policy; errors are taken as in projection, against the clips as they were prepared."""
    rows = []
    for rollout, reference in zip(rollouts_in_batches(policy, references, body), references, strict=True):
        clip = body.clip_from_qpos(rollout.qpos, rollout.fps)
        row = track_errors(clip, reference.prepared, clip.num_frames == reference.num_frames)
        row["survived"] = (clip.num_frames - 1) / max(reference.num_frames - 1, 1)
        rows.append(row | {"slide_mean_mm_s": measure(clip, body, wrench=False).values["slide_mean_mm_s"]})
    means = {}
    for name in rows[0]:
        known = [row[name] for row in rows if row[name] is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


@fixed_threads()
def update_policy(
    policy: Policy,
    clips: Sequence[Clip],
    seed: int,
    config: UpdateConfig | None = None,
    on_round: Callable[[dict[str, Any]], None] = lambda row: None,
    body: Body | None = None,
    folder: Path | None = None,
    limit_s: float | None = None,
    workers: int | None = None,
    conditioning: ConditioningConfig = PREPROCESSING,
) -> tuple[Policy, dict[str, Any]]:
    """Teach a copy of the policy on clips within the budget of `config`; returns it and a report.

    A quarter of the clips, at least one, is held out: the report's before and after are on those. If the update does
    worse over all clips, in success or at equal success in global error, or if there was nothing to learn from, the old
    policy is returned and the report says so; its rounds are the distillation's first update and its last. on_round:
    told of every one; folder: where demonstrations are kept meanwhile, so that a killed update need not record them; a
    temporary one if None; limit_s: seconds after which it is cut short, which the report's `stopped` says, and which
    makes it another one every time; workers: processes that record, one a core if None; conditioning: what is done to
    the clips before they are tracked, as in projection. MotionError if fewer than two clips can be tracked;
    MachineFault if a process that recorded was killed.
    """
    config, body = config or UpdateConfig(), body or default_body()
    limit = TimeLimit(limit_s)
    references = _trackable(clips, body, conditioning)
    if len(references) < 2:
        raise MotionError(f"imitate: {len(references)} clips can be tracked, expected at least 2")
    order = np.random.default_rng(seed).permutation(len(references))
    held = [references[i] for i in order[: max(1, round(HELD_OUT_SHARE * len(order)))]]
    learned = [references[i] for i in order[len(held) :]]

    def figures(of: Policy) -> dict[str, dict[str, float | None]]:
        groups = {"held_out": held, "learned": learned}
        return {name: evaluate_policy(of, group, body) for name, group in groups.items()}

    before = figures(policy)
    student, rounds = policy.copy(), []
    asked = learned[: config.demonstrations]
    with _demonstrations_folder(folder) as kept_in:
        paths = record_demonstrations(
            asked,
            kept_in,
            body,
            config.expert,
            workers,
            go_on=lambda: limit.go_on(config.recording),
        )
        demonstrations = load_demonstrations(asked, kept_in, body)
    cut_short = limit.told(len(paths), len(asked), "demonstrations")
    if demonstrations:

        def told(row: dict[str, Any]) -> None:
            rounds.append(row)
            on_round(row)

        limit.struck = False
        distil(student, demonstrations, body, replace(config.distil, seed=seed), told, limit.go_on)
    stops = [cut_short, limit.told(len(rounds), config.distil.updates, "updates") if demonstrations else None]
    after = figures(student)
    share = len(held) / len(references)
    worse = not rounds or _standing(after, share) < _standing(before, share)
    report = {
        "held_out_clips": [each.name for each in held],
        "learned_clips": [each.name for each in learned],
        "demonstrations": len(asked),
        "recorded": len(demonstrations),
        "updates": len(rounds),
        "stopped": "; ".join(stop for stop in stops if stop is not None) or None,
        "rounds": rounds[:1] + rounds[1:][-1:],
        "before": before["held_out"],
        "after": after["held_out"],
        "learned_before": before["learned"],
        "learned_after": after["learned"],
        "kept": "old" if worse else "new",
    }
    return (policy if worse else student.eval()), report


@contextmanager
def _demonstrations_folder(folder: Path | None) -> Iterator[Path]:
    """A folder for demonstrations that is gone when they were used."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
        return
    yield folder / "demonstrations"
    shutil.rmtree(folder / "demonstrations", ignore_errors=True)


def _standing(figures: dict[str, dict[str, float | None]], held_out: float) -> tuple[float, float]:
    """What decides between two policies on the same clips: success, then global error. Larger is better.

    figures: of clips held out and learned; held_out: share of the former.
    """

    def mean(name: str) -> float:
        return held_out * (figures["held_out"][name] or 0.0) + (1.0 - held_out) * (figures["learned"][name] or 0.0)

    return mean("success"), -mean("e_g_mpjpe_mm")


def _trackable(clips: Sequence[Clip], body: Body, preprocessing: ConditioningConfig) -> list[Reference]:
    references = []
    for clip in clips:
        try:
            references.append(make_reference(clip, body, preprocessing))
        except MotionError:
            continue  # the project stage gives this clip its verdict and reason
    return [each for each in references if each.num_frames > 2]
