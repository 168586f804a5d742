"""References for training: what projection would track, the same whoever made it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.envs import PREPROCESSING, TrackingEnv, prepare, preprocessed, reference, stack
from morphloop.envs.config import ConditioningConfig
from morphloop.envs.feedforward import feedforward_torques
from morphloop.envs.reference import pd_targets
from morphloop.imitator import (
    DemonstrationConfig,
    DistilConfig,
    IlqrConfig,
    ProjectionConfig,
    UpdateConfig,
    new_policy,
    project_clips,
    update_policy,
)
from morphloop.imitator.training.references import make_references
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, default_body

NOTHING = ConditioningConfig(smooth=False, hold_feet=False, balance=False)


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Clips with a generator's faults, one second each."""
    return [clip.slice(0, 31) for clip in make_corpus(5, 2, "train", defects=True)]


def test_workers_make_what_one_process_makes(body: Body, clips: list[Clip]):
    here, there = (make_references(clips, body, PREPROCESSING, workers) for workers in (0, 2))
    for one, other, clip in zip(here, there, clips, strict=True):
        assert one.clip.name == other.clip.name == clip.name
        assert one.prepared.name == other.prepared.name
        for mine, theirs in ((one.clip, other.clip), (one.prepared, other.prepared)):
            np.testing.assert_array_equal(mine.rotations, theirs.rotations)
            np.testing.assert_array_equal(mine.root_pos, theirs.root_pos)
        assert other.planted.dtype == bool
        np.testing.assert_array_equal(one.planted, other.planted)
        for name in ("qpos", "qvel", "target"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-6)


def test_they_are_what_projection_tracks(body: Body, clips: list[Clip]):
    for clip, made in zip(clips, make_references(clips, body, PREPROCESSING), strict=True):
        ready = preprocessed(prepare(clip, body), body, PREPROCESSING)
        np.testing.assert_array_equal(made.clip.positions, ready.positions)
        np.testing.assert_array_equal(made.target, pd_targets(ready, body).astype(np.float32))
        np.testing.assert_array_equal(made.prepared.positions, prepare(clip, body).positions)
    (bare,) = make_references(clips[:1], body, NOTHING)
    np.testing.assert_array_equal(bare.clip.positions, prepare(clips[0], body).positions)


def slow(clip: Clip, frames: int, name: str) -> Clip:
    """The first pose of a clip held for so many frames, one a second."""
    held = np.zeros(frames, int)
    return replace(clip, fps=1.0, root_pos=clip.root_pos[held], rotations=clip.rotations[held], name=name)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_cannot_be_prepared_is_named(body: Body, clips: list[Clip], workers: int):
    endless = slow(clips[0], 602, "endless")
    with pytest.raises(MotionError, match=r"endless: .* s long"):
        make_references([clips[1], endless], body, PREPROCESSING, workers=workers)


def test_inverse_dynamics_are_not_computed_again(body: Body, clips: list[Clip], calls: Counter[str]):
    made = make_references(clips, body, PREPROCESSING)
    assert set(calls.values()) == {1}
    known = TrackingEnv(made, body, 4, seed=3)
    stacked = stack(made, body)
    assert calls == {clip.name: 1 for clip in clips}
    own = TrackingEnv([each.clip for each in made], body, 4, seed=3)
    for name in ("qpos", "qvel", "target", "planted"):
        for other in (known.library, stacked):
            assert torch.equal(getattr(other, name), getattr(own.library, name))
    assert torch.equal(known.library.state.pos, own.library.state.pos)
    (moved,) = (replace(each, target=each.target + 1.0) for each in made[:1])
    torch.testing.assert_close(stack([moved], body).target, stack(made[:1], body).target + 1.0)


def test_a_round_computes_a_clips_inverse_dynamics_once_a_stage(body: Body, calls: Counter[str]):
    """`imitate` tracks clips before and after, records and distils; `project` has the policy, then iLQR."""
    clips = [replace(clip.slice(0, 24), name=f"clip{k}") for k, clip in enumerate(make_corpus(4, 4))]
    policy = new_policy(body, (16,))
    quick = IlqrConfig(horizon=6, iterations=1, hard_iterations=1, dampings=(0.0,), retries=0, threads=1)
    distil = DistilConfig(updates=1, envs=4, steps=2, batches=1, minibatch=8, memory=64)
    _, report = update_policy(
        policy, clips, 0, UpdateConfig(expert=DemonstrationConfig(quick), distil=distil), workers=0
    )
    assert report["updates"] == 1
    assert calls == {clip.name: 1 for clip in clips}
    calls.clear()
    config = ProjectionConfig(min_skill=2.0, ilqr=quick)
    found = project_clips(clips, policy, config, body=body, workers=0)
    assert all(projection.rollout is not None for projection in found)
    assert calls == {clip.name: 1 for clip in clips}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often inverse dynamics was computed, by the clip's name."""
    counted: Counter[str] = Counter()

    def counting(clip: Clip, qvel: np.ndarray, body: Body) -> np.ndarray:
        counted[clip.name] += 1
        return feedforward_torques(clip, qvel, body)

    monkeypatch.setattr(reference, "feedforward_torques", counting)
    return counted
