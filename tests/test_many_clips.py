"""iLQR on many clips: worker processes change nothing, and what goes wrong with one clip stays with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.envs import prepare, reference_of
from morphloop.imitator import IlqrConfig, ProjectionConfig, new_policy, project_clips
from morphloop.imitator.optimal_control import many_clips
from morphloop.imitator.optimal_control.many_clips import track_clips
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, certify, default_body

QUICK = IlqrConfig(horizon=6, iterations=1, hard_iterations=1, dampings=(0.0,), retries=0)
ALONE = ProjectionConfig(projector="optimiser", ilqr=QUICK)


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def squats() -> list[Clip]:
    """Three pieces of a squat, a quarter of a second each."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    return [replace(clip.slice(start, start + 9), name=f"squat{start}") for start in (0, 12, 24)]


@pytest.fixture(scope="module")
def by_two(body: Body, squats: list[Clip]) -> dict[int, many_clips.Tracked]:
    """What two workers make of them."""
    return dict(track_clips([reference_of(prepare(clip, body), body) for clip in squats], body, QUICK, workers=2))


def test_workers_change_nothing(body: Body, squats: list[Clip], by_two: dict[int, many_clips.Tracked]):
    references = [reference_of(prepare(clip, body), body) for clip in squats]
    (alone,) = dict(track_clips(references[1:2], body, QUICK, workers=1)).values()
    assert sorted(by_two) == [0, 1, 2]
    for place, tracked in by_two.items():
        assert tracked.reason is None
        assert tracked.rollout is not None
        assert tracked.rollout.name == squats[place].name
        assert tracked.rollout.num_frames == references[place].num_frames
        assert certify(tracked.rollout, body).bit_equal
    assert alone.rollout is not None
    assert by_two[1].rollout is not None
    for name, value in vars(alone.rollout).items():
        np.testing.assert_array_equal(value, getattr(by_two[1].rollout, name))


def test_workers_get_a_body_that_is_not_built_in(body: Body, squats: list[Clip]):
    longer = Body(replace(body.skeleton, offsets=1.02 * body.skeleton.offsets), name="longer")
    clip = replace(squats[0], skeleton=longer.skeleton)
    (here,), (there,) = (project_clips([clip], config=ALONE, body=longer, workers=workers) for workers in (0, 1))
    assert here.rollout is not None
    assert there.rollout is not None
    assert there.rollout.model_hash == longer.hash != body.hash
    np.testing.assert_array_equal(here.rollout.qpos, there.rollout.qpos)


def test_a_worker_that_dies_takes_its_clip_and_no_other(body: Body, squats: list[Clip], monkeypatch):
    def dying(work, tasks, workers):
        for place, task in enumerate(tasks):
            if place == 1:
                yield place, {"died": "killed by SIGKILL"}
            else:
                yield from ((place, message) for message in work(task))
            yield place, None

    monkeypatch.setattr(many_clips, "run_tasks", dying)
    done = []
    projections = project_clips(squats, config=ALONE, on_done=done.append, body=body)
    assert [p.source.name for p in projections] == [clip.name for clip in squats]
    assert len(done) == 3
    assert projections[1].clip is None
    assert projections[1].reason == "squat12: the process that tracked it died: killed by SIGKILL"
    for whole in (projections[0], projections[2]):
        assert whole.clip is not None
        assert whole.tracking["success"] == 1.0


def test_a_clip_too_large_for_memory_says_so(body: Body, squats: list[Clip], monkeypatch):
    def full(clips, body):
        raise MemoryError

    monkeypatch.setattr(many_clips, "stack", full)
    (projection,) = project_clips(squats[:1], config=ALONE, body=body, workers=0)
    assert projection.clip is None
    assert projection.reason == "squat0: 9 frames do not fit into memory, cut it into shorter clips"
    assert projection.fault, "the machine's, not the clip's"


def test_a_world_that_diverges_ends_alone(body: Body, squats: list[Clip]):
    root = squats[0].root_pos.copy()
    root[1::2] += 3000.0  # 90 km/s: MuJoCo gives the simulation up
    wild = replace(squats[0], root_pos=root, name="wild")
    failed, beside = project_clips([wild, squats[1]], config=ALONE, body=body, workers=0)
    assert failed.tracking["success"] == 0.0
    assert failed.clip is not None
    assert failed.clip.num_frames < wild.num_frames
    assert np.isfinite(failed.clip.root_pos).all()
    assert beside.tracking["success"] == 1.0


def test_what_the_policy_fails_goes_to_ilqr(body: Body, squats: list[Clip]):
    policy = new_policy(body, hidden=(8,), seed=0)
    config = replace(ALONE, projector="auto", min_skill=2.0)
    (projection,) = project_clips(squats[:1], policy, config, body=body, workers=0)
    assert projection.projector == "optimiser"
    assert projection.clip is not None
    assert "policy" not in projection.clip.provenance.models


def test_feet_that_slide_under_the_policy_go_to_ilqr_too(body: Body, squats: list[Clip]):
    policy = new_policy(body, hidden=(8,), seed=0)
    with torch.no_grad():
        policy.actor[-1].weight.zero_()
    config = replace(ALONE, projector="auto", min_skill=-100.0, max_slide_mm_s=1000.0)
    strict = replace(config, max_slide_mm_s=0.0)
    (kept,) = project_clips(squats[:1], policy, config, body=body, workers=0)
    (asked,) = project_clips(squats[:1], policy, strict, body=body, workers=0)
    assert kept.projector == "policy"
    assert kept.slide_mm_s > 0.0
    assert asked.rank >= kept.rank, "the better of the two is kept"
    assert asked.wall_s > kept.wall_s, "both were made"
    worse = replace(kept, sim_metrics=kept.sim_metrics | {"sim_slide_mean_mm_s": kept.slide_mm_s + 50.0})
    assert worse.rank < kept.rank


def test_fewer_than_no_workers_are_refused(body: Body, squats: list[Clip]):
    with pytest.raises(MotionError, match="-1 workers, expected 0 for this process alone, or more"):
        project_clips(squats[:1], config=ALONE, body=body, workers=-1)
