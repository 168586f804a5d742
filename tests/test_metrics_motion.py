"""Metrics of a motion alone, each against a clip whose answer is known by construction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.metrics import METRICS, contact_frames, measure
from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, Clip, JointTrack, Skeleton
from morphloop.motion.rotations import quat_from_heading, quat_from_rotvec
from morphloop.sim import default_body
from morphloop.sim.bodies.smpl_table import SOLE_HEIGHT, TOE_RADIUS, TOE_REACH

RATES = (20.0, 30.0, 60.0, 120.0)


def standing(path: Callable[[np.ndarray], np.ndarray], fps: float = 30.0, seconds: float = 3.0) -> Clip:
    """Rest pose, soles on the ground, moved along path(t) -> (T, 3)."""
    times = np.arange(round(seconds * fps) + 1) / fps
    rotations = np.zeros((len(times), 24, 4))
    rotations[..., 0] = 1.0
    return Clip(fps, DEFAULT_SKELETON, path(times) - [0.0, 0.0, SOLE_HEIGHT], rotations)


def still(times: np.ndarray) -> np.ndarray:
    return np.zeros((len(times), 3))


def joint_track(clip: Clip, drop: float = 0.0) -> JointTrack:
    """The clip as a generator would emit it: HumanML3D's 22 joints."""
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, :22] - [0.0, 0.0, drop])


def along_x(speed: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: np.stack([speed * t, 0 * t, 0 * t], axis=1)


def along_z(height: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: np.stack([0 * t, 0 * t, height(t)], axis=1)


def number(value: float | None) -> float:
    assert value is not None
    return value


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("variant", ["surface", "joints"])
def test_sliding_rest_pose_reads_its_speed_at_every_rate(fps: float, variant: str) -> None:
    clip = standing(along_x(0.1), fps)
    found = measure(clip if variant == "surface" else joint_track(clip))
    assert found.variant == variant
    assert found.values["slide_mean_mm_s"] == pytest.approx(100.0, abs=0.5)
    assert found.values["slide_ratio"] == 1.0
    assert found.values["jitter_rms_mm"] == pytest.approx(0.0, abs=1e-6)


def test_slow_slide_is_no_fast_slide() -> None:
    values = measure(standing(along_x(0.04))).values
    assert values["slide_mean_mm_s"] == pytest.approx(40.0, abs=0.2)
    assert values["slide_ratio"] == 0.0


@pytest.mark.parametrize("fps", RATES)
def test_swaying_agrees_across_rates(fps: float) -> None:
    values = measure(standing(lambda t: np.stack([0.05 * np.sin(2 * np.pi * t), 0 * t, 0 * t], 1), fps, 4.0)).values
    assert values["slide_mean_mm_s"] == pytest.approx(1e3 * 0.05 * 2 * np.pi * 2 / np.pi, rel=0.02)


def test_turning_on_the_spot_slides_by_radius_times_angular_speed() -> None:
    clip = standing(still)
    times = np.arange(clip.num_frames) / clip.fps
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_from_heading(1.0 * times)
    turned = Clip(clip.fps, clip.skeleton, clip.root_pos, rotations)
    value = number(measure(turned).values["slide_mean_mm_s"])
    surface, radii = default_body().surface, []
    for name in ("left_foot", "right_foot", "left_ankle", "right_ankle"):
        joint = DEFAULT_SKELETON.index(name)
        points = clip.positions[0, joint] + surface.local[surface.joint == joint]
        sole = points[points[:, 2] - surface.radius[surface.joint == joint] < 0.025]
        radii.append(np.linalg.norm(sole.mean(axis=0)[:2]))
    assert value == pytest.approx(1e3 * np.mean(radii), rel=0.01)


def test_rolling_toe_capsule_does_not_slide() -> None:
    """A capsule that rolls without slipping: its centre moves at radius x angular speed, its contact point rests."""
    clip = standing(still, seconds=1.0)
    angle = 0.2 * np.arange(clip.num_frames) / clip.fps
    toe = clip.positions[0, DEFAULT_SKELETON.index("left_foot")]
    centre = np.array([toe[0] + TOE_REACH, 0.0, TOE_RADIUS])
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_from_rotvec(np.stack([0 * angle, angle, 0 * angle], 1))
    arm = clip.root_pos[0] - centre
    c, s = np.cos(angle), np.sin(angle)
    swung = np.stack([c * arm[0] + s * arm[2], 0 * c + arm[1], c * arm[2] - s * arm[0]], 1)
    root = centre + swung + np.stack([TOE_RADIUS * angle, 0 * angle, 0 * angle], 1)
    contacts = contact_frames(Clip(clip.fps, clip.skeleton, root, rotations))
    column = contacts.segments.index("left_foot")
    assert contacts.touching[:, column].all()
    assert contacts.speed[3:-3, column].max() < 2e-4


@pytest.mark.parametrize(("metres", "name"), [(0.030, "float_mean_mm"), (-0.012, "penetration_mean_mm")])
def test_raised_floats_and_lowered_penetrates_by_that_much(metres: float, name: str) -> None:
    values = measure(standing(along_z(lambda t: 0 * t + metres))).values
    assert values[name] == pytest.approx(1e3 * abs(metres), abs=1e-6)
    assert values["ground_offset_mm"] == pytest.approx(1e3 * metres, abs=1e-6)
    assert values["penetration_ratio"] == (1.0 if metres < 0 else 0.0)
    assert values["penetration_max_mm"] == pytest.approx(max(0.0, -1e3 * metres), abs=1e-6)
    assert values["physdiff_phys_err_mm"] == pytest.approx(1e3 * abs(metres) - 5.0, abs=1e-6)


def test_ground_choice_moves_the_floor_and_is_stated() -> None:
    clip = standing(along_z(lambda t: 0.03 + np.where(t == 0, -0.05, 0.0)), seconds=4.0)
    as_is, lowest, robust = (measure(clip, ground=g) for g in ("as-is", "lowest", "robust"))
    assert (as_is.ground, lowest.ground, robust.ground) == ("as-is", "lowest", "robust")
    assert as_is.values["penetration_max_mm"] == pytest.approx(20.0)
    assert lowest.values["penetration_max_mm"] == pytest.approx(0.0)
    assert lowest.values["ground_offset_mm"] == pytest.approx(-20.0)
    assert robust.values["float_mean_mm"] == pytest.approx(0.0, abs=1e-9)
    assert robust.values["ground_offset_mm"] == as_is.values["ground_offset_mm"] == pytest.approx(30.0)


def test_unknown_ground_is_refused() -> None:
    with pytest.raises(MotionError, match="as-is, lowest, robust"):
        measure(standing(still), ground="floor")


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("variant", ["surface", "joints"])
def test_rest_jump_and_hover(fps: float, variant: str) -> None:
    def hop(t: np.ndarray) -> np.ndarray:
        flight = t - 1.0
        return np.maximum(0.0, 2.5 * flight - 0.5 * 9.81 * flight**2) * (flight > 0)

    def unsupported(height: Callable[[np.ndarray], np.ndarray]) -> float | None:
        clip = standing(along_z(height), fps)
        return measure(clip if variant == "surface" else joint_track(clip)).values["unsupported_ratio"]

    assert unsupported(lambda t: 0 * t) == 0.0
    assert unsupported(hop) == 0.0
    assert unsupported(lambda t: 0 * t + 0.1) == 1.0
    assert unsupported(lambda t: 0.1 * (t >= 1.5)) == pytest.approx(0.5, abs=0.02)


def test_a_flight_too_short_to_judge_is_left_out() -> None:
    blip = measure(standing(along_z(lambda t: 0.1 * (np.abs(t - 1.0) < 0.04))))
    assert blip.values["unsupported_ratio"] == 0.0
    short = measure(standing(along_z(lambda t: 0 * t + 0.1), seconds=0.1))
    assert short.values["unsupported_ratio"] is None


def test_no_contact_frames_is_null_not_zero() -> None:
    values = measure(standing(along_z(lambda t: 0 * t + 0.5))).values
    assert values["slide_mean_mm_s"] is None
    assert values["slide_ratio"] is None


def test_single_frame_has_heights_and_no_rates() -> None:
    values = measure(standing(still, seconds=0.0)).values
    assert values["float_mean_mm"] == pytest.approx(0.0, abs=1e-9)
    rates = ("slide_mean_mm_s", "jerk_mean_m_s3", "physdiff_skate_mm", "gmd_skating_ratio", "edge_pfc", "jitter_rms_mm")
    assert [values[name] for name in rates] == [None] * len(rates)


@pytest.mark.parametrize("frames", [2, 3, 4, 5, 7])
def test_very_short_clips_are_measured(frames: int) -> None:
    values = measure(standing(along_x(0.1), 120.0, (frames - 1) / 120)).values
    assert set(values) <= set(METRICS)
    assert all(v is None or np.isfinite(v) for v in values.values())


def test_every_motion_metric_is_registered_and_present() -> None:
    """What rests on forces is there too, as null."""
    names = {metric.name for metric in METRICS.measured}
    assert names >= {name for name, metric in METRICS.items() if metric.needs == "motion"}
    for motion in (standing(still), joint_track(standing(still))):
        values = measure(motion).values
        assert set(values) == names
        assert all(values[metric.name] is None for metric in METRICS.measured if metric.needs == "rollout")


def test_stepping_foot_is_off_the_ground_while_it_is() -> None:
    """The left knee bends from 1.0 to 2.0 s and lifts the foot; the right foot stays."""
    clip = standing(still, seconds=3.0)
    times = np.arange(clip.num_frames) / clip.fps
    lift = 1.2 * np.clip(np.sin(np.pi * (times - 1.0)), 0, None) * ((times >= 1) & (times <= 2))
    rotations = clip.rotations.copy()
    rotations[:, DEFAULT_SKELETON.index("left_hip")] = quat_from_rotvec(np.stack([0 * lift, -lift, 0 * lift], 1))
    rotations[:, DEFAULT_SKELETON.index("left_knee")] = quat_from_rotvec(np.stack([0 * lift, lift, 0 * lift], 1))
    contacts = contact_frames(Clip(clip.fps, clip.skeleton, clip.root_pos, rotations))
    left, right, _ = contacts.group_touching().T
    assert right.all()
    assert not left[(times > 1.25) & (times < 1.75)].any()
    assert left[(times < 0.8) | (times > 2.2)].all()
    assert number(measure(Clip(clip.fps, clip.skeleton, clip.root_pos, rotations)).values["slide_mean_mm_s"]) < 20.0


def test_touching_for_less_than_a_tenth_of_a_second_is_no_contact() -> None:
    clip = standing(along_z(lambda t: 0.2 * np.abs(np.cos(2 * np.pi * t))), seconds=2.0)
    assert not contact_frames(clip).touching.any()


def test_a_body_on_its_back_is_in_contact_apart_from_its_feet() -> None:
    clip = standing(still)
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_from_rotvec(np.array([0.0, -np.pi / 2, 0.0]))
    lying = Clip(clip.fps, clip.skeleton, clip.root_pos, rotations)
    contacts = contact_frames(lying, ground="lowest")
    assert contacts.group_touching()[:, 2].all()
    assert measure(lying, ground="lowest").values["unsupported_ratio"] == 0.0


def test_physdiff_by_hand() -> None:
    heights, forward = [0.004, 0.0, 0.020, -0.012], [0.0, 0.010, 0.020, 0.030]
    track = JointTrack(30.0, ("heel",), np.array([[[x, 0.0, z]] for x, z in zip(forward, heights, strict=True)]))
    values = measure(track).values
    assert values["physdiff_penetrate_mm"] == pytest.approx((12 - 5) / 4)
    assert values["physdiff_float_mm"] == pytest.approx((20 - 5) / 4)
    assert values["physdiff_skate_mm"] == pytest.approx(10 / 3)
    assert values["physdiff_phys_err_mm"] == pytest.approx(1.75 + 3.75 + 10 / 3)


@pytest.mark.parametrize("fps", RATES)
def test_physdiff_skate_is_per_frame_of_a_thirtieth(fps: float) -> None:
    assert measure(standing(along_x(0.3), fps)).values["physdiff_skate_mm"] == pytest.approx(10.0, rel=1e-6)


def test_gmd_by_hand() -> None:
    """Left toe low throughout, 1 m/s for 10 of 20 steps at 20 fps."""
    step = np.repeat([0.0, 0.05, 0.0], [5, 10, 5])
    x = np.concatenate([[0.0], np.cumsum(step)])
    toes = np.zeros((21, 2, 3))
    toes[:, 0, 0], toes[:, 1, 2] = x, 1.0
    values = measure(JointTrack(20.0, ("left_foot", "right_foot"), toes)).values
    # Within the fast segment the mean over 5 steps is 3/5 at its first and last step, more inside: all 10 skate.
    assert values["gmd_skating_ratio"] == pytest.approx(10 / 20)
    toes[:, 0, 2] = 0.06
    assert measure(JointTrack(20.0, ("left_foot", "right_foot"), toes)).values["gmd_skating_ratio"] == 0.0


def test_pfc_by_hand() -> None:
    """Root accelerates once, feet slide 10 and 20 mm a frame: one of three frames counts, with weight 1."""
    names = ("pelvis", "left_ankle", "left_foot", "right_ankle", "right_foot")
    positions = np.zeros((5, 5, 3))
    positions[:, 0, 0] = [0.0, 0.0, 0.0, 0.1, 0.2]
    positions[:, 1:3, 0] = 0.010 * np.arange(5)[:, None]
    positions[:, 3:5, 1] = 0.020 * np.arange(5)[:, None]
    values = measure(JointTrack(30.0, names, positions)).values
    assert values["edge_pfc"] == pytest.approx(1e4 * 0.010 * 0.020 / 3)


def test_downward_acceleration_counts_for_nothing_in_pfc() -> None:
    names = ("pelvis", "left_ankle", "left_foot", "right_ankle", "right_foot")
    positions = np.zeros((5, 5, 3))
    positions[:, 0, 2] = [1.0, 1.0, 1.0, 0.9, 0.8]
    assert measure(JointTrack(30.0, names, positions)).values["edge_pfc"] is None


def test_jitter_is_what_the_low_pass_takes_and_slide_ignores_it() -> None:
    """20 Hz shaking of 2 mm at 120 fps on a still body."""
    values = measure(standing(lambda t: np.stack([0.002 * np.sin(40 * np.pi * t), 0 * t, 0 * t], 1), 120.0)).values
    assert values["jitter_rms_mm"] == pytest.approx(2 / np.sqrt(2), rel=0.05)
    assert number(values["slide_mean_mm_s"]) < 0.05 * 0.002 * 40 * np.pi * 1e3


def test_jerk_of_a_slow_sine() -> None:
    wave, size = 2 * np.pi * 0.5, 0.1
    values = measure(standing(lambda t: np.stack([size * np.sin(wave * t), 0 * t, 0 * t], 1), 120.0, 8.0)).values
    assert values["jerk_mean_m_s3"] == pytest.approx(size * wave**3 * 2 / np.pi, rel=0.03)


def test_joint_speed_of_a_turning_arm() -> None:
    clip = standing(still, 60.0)
    times = np.arange(clip.num_frames) / clip.fps
    rotations = clip.rotations.copy()
    rotations[:, DEFAULT_SKELETON.index("left_shoulder")] = quat_from_heading(2.0 * times)
    rotations[::2] *= -1.0
    turning = Clip(clip.fps, clip.skeleton, clip.root_pos, rotations)
    assert measure(turning).values["joint_speed_max_rad_s"] == pytest.approx(2.0, rel=0.02)


def test_a_clip_on_another_skeleton_is_measured_on_its_joints() -> None:
    skeleton = Skeleton(("hips", "knee"), (-1, 0), np.array([[0, 0, 0], [0, 0, -0.5]]))
    rotations = np.tile([1.0, 0.0, 0.0, 0.0], (4, 2, 1))
    found = measure(Clip(30.0, skeleton, np.tile([0.0, 0.0, 0.6], (4, 1)), rotations))
    assert found.variant == "joints"
    assert found.values["float_mean_mm"] == pytest.approx(100.0)
    assert found.values["unsupported_ratio"] is None
    assert found.values["gmd_skating_ratio"] is None
