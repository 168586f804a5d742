"""Clean motion is clean and defects have the size that they say: the two halves of what the bench takes for truth."""

from __future__ import annotations

import numpy as np
import pytest

from morphloop.metrics.defect_bench.clean_motion import (
    CLEAN_MOTIONS,
    FLIGHT_S,
    GRAVITY,
    SOURCE_HZ,
    TAKE_OFF_S,
    clean_motion,
    thinned,
)
from morphloop.metrics.defect_bench.defects import (
    DEFECTS,
    FLIP_S,
    JITTER_BAND,
    foot_flip,
    hover,
    hover_height,
    inject,
    jitter,
    lift,
    seconds,
    slide,
    slide_for_a_while,
    time_warp,
)
from morphloop.metrics.points import Points, motion_points
from morphloop.motion import Clip
from morphloop.motion.rotations import quat_angle

RATES = (20.0, 30.0, 60.0, 120.0)


def feet(points: Points) -> np.ndarray:
    return np.flatnonzero(points.foot >= 0)


def planted_speeds(clip: Clip) -> np.ndarray:
    """Horizontal speeds, m/s, of the points of the feet that are on the ground in two adjacent frames."""
    points = motion_points(clip)
    own = feet(points)
    down = points.heights[:, own] < 1e-6
    speed = np.linalg.norm(np.diff(points.track(own)[..., :2], axis=0), axis=-1) * clip.fps
    return speed[down[1:] & down[:-1]]


@pytest.mark.parametrize("name", CLEAN_MOTIONS)
def test_soles_are_on_the_ground_and_never_under_it(name: str) -> None:
    clip = clean_motion(name, 120.0)
    lowest = motion_points(clip).lowest
    assert lowest.min() > -1e-9
    flying = (seconds(clip) > TAKE_OFF_S) & (seconds(clip) < TAKE_OFF_S + FLIGHT_S)
    grounded = ~flying if name == "jump" else np.full(len(lowest), True)
    assert np.abs(lowest[grounded]).max() < 1e-9
    assert name != "jump" or lowest[flying].max() > 0.19


@pytest.mark.parametrize("name", ["stand", "step", "jump"])
def test_planted_feet_are_exactly_still(name: str) -> None:
    speeds = planted_speeds(clean_motion(name, 120.0))
    assert len(speeds) > 1000
    assert speeds.max() < 1e-6


def test_both_feet_of_the_step_leave_the_ground_and_move_on() -> None:
    clip = clean_motion("step", 60.0)
    points = motion_points(clip)
    for side in (0, 1):
        own = np.flatnonzero(points.foot == side)
        assert points.heights[:, own].min(axis=1).max() > 0.08
        assert np.ptp(points.track(own)[..., 0]) > 0.3


def test_flight_of_the_jump_is_a_parabola() -> None:
    clip = clean_motion("jump", 120.0)
    flying = (seconds(clip) > TAKE_OFF_S) & (seconds(clip) < TAKE_OFF_S + FLIGHT_S)
    com = motion_points(clip).com
    assert com is not None
    falling = np.diff(com[flying], n=2, axis=0) * clip.fps**2
    assert np.abs(falling - [0.0, 0.0, -GRAVITY]).max() < 1e-6


@pytest.mark.parametrize("fps", RATES)
def test_rates_share_their_frames(fps: float) -> None:
    source = clean_motion("walk")
    clip, stride = thinned(source, fps), round(SOURCE_HZ / fps)
    assert clip.fps == fps
    np.testing.assert_array_equal(clip.rotations, source.rotations[::stride])
    np.testing.assert_array_equal(clip.root_pos, source.root_pos[::stride])


def test_a_rate_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="50 fps does not divide the clip's 480"):
        thinned(clean_motion("stand"), 50.0)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("name", ["stand", "step"])
def test_slide_moves_every_planted_foot_by_that_speed(name: str, fps: float) -> None:
    speeds = planted_speeds(thinned(slide(clean_motion(name), 0.1), fps))
    assert len(speeds) > 100
    np.testing.assert_allclose(speeds, 0.1, atol=1e-6)


def test_slide_goes_the_way_it_is_told() -> None:
    clip = clean_motion("stand", 30.0)
    moved = slide(clip, 0.2, direction=np.pi / 2).root_pos - clip.root_pos
    np.testing.assert_allclose(moved[-1], [0.0, 0.2 * clip.duration, 0.0], atol=1e-12)


def test_slide_for_a_while_is_that_fast_in_the_middle_and_still_elsewhere() -> None:
    clip = slide_for_a_while(clean_motion("stand"), 0.1)
    times = seconds(clip)[:-1]
    speed = np.linalg.norm(np.diff(clip.root_pos - clean_motion("stand").root_pos, axis=0), axis=1) * clip.fps
    np.testing.assert_allclose(speed[(times > 1.95) & (times < 3.05)], 0.1, atol=1e-9)
    assert speed[(times < 1.45) | (times > 3.55)].max() < 1e-9


@pytest.mark.parametrize("height", [0.03, -0.012])
def test_lift_raises_the_lowest_point_by_that_much(height: float) -> None:
    np.testing.assert_allclose(motion_points(lift(clean_motion("walk", 30.0), height)).lowest, height, atol=1e-9)


def test_hover_is_off_the_ground_in_the_middle_alone() -> None:
    clip = clean_motion("step", 120.0)
    lowest = motion_points(hover(clip, 0.05)).lowest
    np.testing.assert_allclose(lowest, hover_height(clip, 0.05), atol=1e-9)
    times = seconds(clip)
    assert np.abs(lowest[(times < 1.5) | (times > 3.5)]).max() < 1e-9
    np.testing.assert_allclose(lowest[(times > 1.9) & (times < 3.1)], 0.05, atol=1e-9)


def test_jitter_has_its_size_and_its_band() -> None:
    clip = clean_motion("stand")
    shake = jitter(clip, 0.004, seed=3).root_pos - clip.root_pos
    assert np.sqrt((shake**2).sum(axis=1).mean()) == pytest.approx(0.004, rel=1e-9)
    power = (np.abs(np.fft.rfft(shake * np.hanning(len(shake))[:, None], axis=0)) ** 2).sum(axis=1)
    hertz = np.fft.rfftfreq(len(shake), 1.0 / clip.fps)
    inside = (hertz > JITTER_BAND[0] - 0.5) & (hertz < JITTER_BAND[1] + 0.5)
    assert power[inside].sum() / power.sum() > 0.999


def test_jitter_is_its_seed() -> None:
    clip = clean_motion("stand", 60.0)
    assert jitter(clip, 0.004, seed=1).id == jitter(clip, 0.004, seed=1).id != jitter(clip, 0.004, seed=2).id


@pytest.mark.parametrize("fps", RATES)
def test_foot_flip_turns_one_ankle_for_a_tenth_of_a_second(fps: float) -> None:
    source = clean_motion("stand")
    clean, spoiled = thinned(source, fps), thinned(foot_flip(source, np.radians(50.0)), fps)
    turned = quat_angle(clean.rotations, spoiled.rotations)
    ankle = clean.skeleton.index("left_ankle")
    assert set(np.round(np.degrees(turned[:, ankle]), 6)) == {0.0, 50.0}
    assert np.delete(turned, ankle, axis=1).max() < 1e-9
    flips = int((np.diff(turned[:, ankle]) > 0.5).sum())
    assert flips == 4
    assert (turned[:, ankle] > 0.5).sum() == round(flips * FLIP_S * fps)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_time_warp_changes_when_and_not_where(factor: float) -> None:
    clip = clean_motion("step")
    warped = time_warp(clip, factor, 1.0, 2.0)
    assert warped.duration == pytest.approx(clip.duration - 1.0 + 1.0 / factor, abs=2 / clip.fps)
    before, within, after = (round(t * clip.fps) for t in (0.9, 1.0 + 0.5 / factor, 1.5 + 1.0 / factor))
    np.testing.assert_allclose(warped.root_pos[before], clip.root_pos[before], atol=1e-12)
    np.testing.assert_allclose(warped.root_pos[within], clip.root_pos[round(1.5 * clip.fps)], atol=1e-4)
    np.testing.assert_allclose(warped.root_pos[after], clip.root_pos[round(2.5 * clip.fps)], atol=1e-4)
    assert quat_angle(warped.rotations[after], clip.rotations[round(2.5 * clip.fps)]).max() < 1e-3


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_is_one_motion_at_all_rates(name: str) -> None:
    defect = DEFECTS[name]
    spoiled, injected = inject(name, clean_motion(defect.motions[0]), defect.sizes[-1])
    assert (injected.name, injected.size, injected.unit) == (name, defect.sizes[-1], defect.unit)
    slow, fast = thinned(spoiled, 20.0), thinned(spoiled, 120.0)
    shared = fast.root_pos[:: round(120.0 / 20.0)]
    np.testing.assert_array_equal(slow.root_pos, shared[: len(slow.root_pos)])
    clean = clean_motion(defect.motions[0], 20.0)
    same = len(clean.root_pos) == len(slow.root_pos)
    assert not same or slow.id != clean.id


def test_expected_readings_by_hand() -> None:
    source = clean_motion("step")
    slid = inject("slide", source, 300.0)[1].expected
    assert slid["slide_mean_mm_s"] == 300.0
    assert slid["physdiff_skate_mm"] == pytest.approx(10.0)
    assert (slid["slide_ratio"], slid["gmd_skating_ratio"]) == (1.0, 0.0)
    raised = inject("float", source, 15.0)[1].expected
    assert (raised["float_mean_mm"], raised["physdiff_float_mm"], raised["penetration_mean_mm"]) == pytest.approx(
        (15.0, 10.0, 0.0)
    )
    sunk = inject("penetration", source, 15.0, resting=np.full(source.num_frames, 0.025))[1].expected
    assert (sunk["penetration_mean_mm"], sunk["float_mean_mm"]) == pytest.approx((0.0, 10.0))
    hovered = inject("hover for a while", source, 100.0)[1].expected
    # Up from 1.5 to 3.5 s with ramps of 0.4 s: 1.6 s of 100 mm in 5 s.
    assert hovered["float_mean_mm"] == pytest.approx(100.0 * 1.6 / 5.0, rel=1e-3)
    warped = inject("time-warp of a flight", clean_motion("jump"), 0.5)[1].expected
    # 0.41 s less the two 0.010 s under 20 mm, twice as long, in a clip that is that much longer.
    assert warped["unsupported_ratio"] == pytest.approx(2 * (FLIGHT_S - 0.0206) / (5.0 + FLIGHT_S + 0.04), rel=0.01)


def test_unknown_defect_is_an_error() -> None:
    with pytest.raises(KeyError):
        inject("wobble", clean_motion("stand"), 1.0)
