"""Tracking errors and summaries against answers known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.metrics import bootstrap_mean, frozen_pose, measure, paired_difference, summarise, track_errors
from morphloop.motion import DEFAULT_SKELETON, Clip, JointTrack, Skeleton
from morphloop.motion.rotations import quat_from_rotvec


def waving(fps: float = 30.0, seconds: float = 2.0) -> Clip:
    """A body that walks its root forward, turns it and swings its arms."""
    times = np.arange(round(seconds * fps) + 1) / fps
    zero = np.zeros_like(times)
    rotations = np.zeros((len(times), 24, 4))
    rotations[..., 0] = 1.0
    rotations[:, 0] = quat_from_rotvec(np.stack([zero, zero, 0.5 * times], 1))
    for name, sign in (("left_shoulder", 1.0), ("right_shoulder", -1.0)):
        swing = sign * np.sin(2 * np.pi * times)
        rotations[:, DEFAULT_SKELETON.index(name)] = quat_from_rotvec(np.stack([zero, swing, zero], 1))
    return Clip(fps, DEFAULT_SKELETON, np.stack([0.5 * times, zero, zero + 0.945], 1), rotations)


def test_a_perfect_copy_has_no_error_and_full_skill() -> None:
    errors = track_errors(waving(), waving())
    assert errors.pop("success") == errors.pop("success_strict") == errors.pop("skill") == 1.0
    assert set(errors.values()) == {0.0}


@pytest.mark.parametrize("fps", [20.0, 30.0, 60.0])
def test_frozen_pose_has_no_skill_though_it_succeeds(fps: float) -> None:
    reference = waving(fps)
    frozen = frozen_pose(reference)
    errors = track_errors(frozen, reference)
    assert errors["skill"] == pytest.approx(0.0, abs=2e-3)
    assert errors["success"] == 1.0
    assert np.array_equal(frozen.rotations[:, 0], reference.rotations[:, 0])
    assert (frozen.rotations[:, 1:] == reference.rotations[:1, 1:]).all()


def test_joint_positions_freeze_as_their_clip_does() -> None:
    reference = waving()
    track = JointTrack(reference.fps, reference.skeleton.names, reference.positions)
    turned = 0.5 * np.arange(track.num_frames) / track.fps
    np.testing.assert_allclose(track.heading - track.heading[0], turned, atol=1e-9)
    assert track.heading[0] == pytest.approx(0.0, abs=0.03), "hips of the default skeleton are a degree off square"
    np.testing.assert_allclose(frozen_pose(track).positions, frozen_pose(reference).positions, atol=1e-9)


def test_a_reference_that_never_changes_its_pose_has_null_skill() -> None:
    reference = frozen_pose(waving())
    assert track_errors(reference, reference)["skill"] is None


@pytest.mark.parametrize(("offset", "success", "strict"), [(0.2, 1.0, 1.0), (0.3, 1.0, 0.0), (0.6, 0.0, 0.0)])
def test_a_constant_offset(offset: float, success: float, strict: float) -> None:
    errors = track_errors(waving().moved(np.array([0.0, offset, 0.0])), waving())
    assert errors["e_g_mpjpe_mm"] == pytest.approx(1e3 * offset)
    assert errors["e_mpjpe_mm"] == pytest.approx(0.0, abs=1e-9)
    assert errors["e_vel_mm_frame"] == pytest.approx(0.0, abs=1e-9)
    assert (errors["success"], errors["success_strict"]) == (success, strict)


def test_a_steady_drift_is_a_velocity_error_per_frame_of_a_thirtieth() -> None:
    reference = waving(60.0)
    times = np.arange(reference.num_frames) / 60.0
    drifting = replace(reference, root_pos=reference.root_pos + np.stack([0 * times, 0.03 * times, 0 * times], 1))
    errors = track_errors(drifting, reference)
    assert errors["e_vel_mm_frame"] == pytest.approx(1.0)
    assert errors["e_acc_mm_frame2"] == pytest.approx(0.0, abs=1e-9)
    assert errors["e_g_mpjpe_mm"] == pytest.approx(30.0)


def test_success_is_decided_at_the_worst_moment() -> None:
    reference = waving()
    root = reference.root_pos.copy()
    root[30, 1] += 0.6
    errors = track_errors(replace(reference, root_pos=root), reference)
    assert errors["success"] == errors["success_strict"] == 0.0
    assert errors["e_g_mpjpe_mm"] == pytest.approx(600.0 / reference.num_frames)


def test_one_stray_body_fails_the_strict_success_alone() -> None:
    reference = waving()
    rotations = reference.rotations.copy()
    rotations[30, DEFAULT_SKELETON.index("left_shoulder")] = quat_from_rotvec(np.array([0.0, 0.0, -1.5]))
    errors = track_errors(replace(reference, rotations=rotations), reference)
    assert (errors["success"], errors["success_strict"]) == (1.0, 0.0)


def test_a_clip_that_fell_early_fails_however_well_it_did_before() -> None:
    reference = waving()
    short = track_errors(reference.slice(0, 40), reference)
    assert short["success"] == short["success_strict"] == 0.0
    assert short["e_mpjpe_mm"] == 0.0
    assert track_errors(reference.slice(0, reference.num_frames - 1), reference)["success"] == 1.0
    assert track_errors(reference, reference, completed=False)["success"] == 0.0
    assert track_errors(reference.slice(0, 40), reference, completed=True)["success"] == 1.0


def test_rates_may_differ() -> None:
    errors = track_errors(waving(120.0), waving(20.0))
    assert errors["success"] == 1.0
    assert errors["e_mpjpe_mm"] < 5.0


def test_one_frame_has_no_velocity_error() -> None:
    errors = track_errors(waving().slice(0, 1), waving().slice(0, 1))
    assert errors["e_vel_mm_frame"] is None
    assert errors["e_acc_mm_frame2"] is None
    assert errors["e_g_mpjpe_mm"] == 0.0


def test_other_joints_are_refused() -> None:
    two = Skeleton(("hips", "knee"), (-1, 0), np.array([[0, 0, 0], [0, 0, -0.5]]))
    other = Clip(30.0, two, np.zeros((4, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (4, 2, 1)))
    with pytest.raises(MotionError, match="retarget"):
        track_errors(other, waving())


def test_summary_leaves_null_values_out() -> None:
    summary = summarise([{"a": 1.0, "b": None}, {"a": 2.0, "b": 5.0}, {"a": 6.0, "b": None}, {"c": None}])
    assert (summary["a"]["mean"], summary["a"]["median"]) == (3.0, 2.0)
    assert summary["b"] == {"mean": 5.0, "median": 5.0, "ci95": None}
    assert summary["c"] == {"mean": None, "median": None, "ci95": None}


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = sum(low <= 0.0 <= high for low, high in (bootstrap_mean(rng.normal(size=40), i) for i in range(200)))
    assert 0.88 <= hits / 200 <= 0.99


def test_interval_is_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert bootstrap_mean(values, 3) == bootstrap_mean(values, 3) != bootstrap_mean(values, 4)


def test_paired_differences_see_what_the_means_hide() -> None:
    rng = np.random.default_rng(0)
    before = [{"a": float(v), "b": 1.0} for v in rng.normal(0.0, 100.0, size=50)]
    after = [{"a": row["a"] + 1.0 + 0.1 * float(rng.normal()), "b": None} for row in before]
    found = paired_difference(before, after)
    assert found["a"]["ci95"] is not None
    assert 0.9 < found["a"]["ci95"][0] < 1.0 < found["a"]["ci95"][1] < 1.1
    assert found["b"]["mean"] is None
    with pytest.raises(ValueError, match="pairs"):
        paired_difference(before, after[:-1])


def test_before_and_after_pass_through_the_same_measurement() -> None:
    clip = waving()
    assert measure(clip).values == measure(replace(clip, name="again")).values
