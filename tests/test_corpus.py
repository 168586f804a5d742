"""The corpus against the default body: planted feet, balance, joint ranges, captions that say what happens."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from morphloop.base import MotionError
from morphloop.metrics import measure
from morphloop.motion import Clip, action_names, make_corpus
from morphloop.motion.corpus.balance import SEGMENT_CENTRES, SEGMENT_MASSES, cart_table, zero_moment
from morphloop.motion.fitting.leg_ik import HEEL_BEHIND_ANKLE, SOLE_HEIGHT
from morphloop.motion.rotations import heading, quat_angle, quat_rotate, quat_to_rotvec
from morphloop.sim import default_body
from morphloop.sim.bodies import smpl_table as table

STANDING = ("squat", "wave", "raise_arm", "raise_arms", "kick", "bow", "idle", "punch", "reach")
WALKING = ("walk", "walk_backward", "side_step", "turn", "walk_wave")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_corpus(72, seed=7)


def action(clip: Clip) -> str:
    return clip.provenance.notes["action"]


def parameter(clip: Clip, name: str):
    return clip.provenance.notes["parameters"][name]


def surface(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """World surface points (T, P, 3) less their radius, and which foot each belongs to (P,)."""
    points = default_body().surface
    local = np.broadcast_to(points.local, (clip.num_frames, *points.local.shape))
    world = clip.positions[:, points.joint] + quat_rotate(clip.global_rotations[:, points.joint], local)
    return world - points.radius[:, None] * [0.0, 0.0, 1.0], points.foot


def body_com(clip: Clip) -> np.ndarray:
    body = default_body()
    local = np.broadcast_to(body.joint_coms, clip.positions.shape)
    segments = clip.positions + quat_rotate(clip.global_rotations, local)
    return np.einsum("j,tjc->tc", body.joint_masses / body.mass, segments)


def outside_support(clip: Clip, points_xy: np.ndarray, frames: range) -> np.ndarray:
    """Distance of a ground point from the polygon of what touches the ground, negative inside, metres."""
    world, _ = surface(clip)
    distances = []
    for k in frames:
        touching = world[k, world[k, :, 2] < 0.008, :2]
        if len(touching) >= 3:
            edges = ConvexHull(touching).equations
            distances.append((edges[:, :2] @ points_xy[k] + edges[:, 2]).max())
    return np.array(distances)


def test_the_mass_model_is_the_default_bodys():
    body = default_body()
    assert np.allclose(SEGMENT_MASSES, body.joint_masses, atol=1e-9)
    assert np.abs(SEGMENT_CENTRES - body.joint_coms).max() < 0.03
    assert SOLE_HEIGHT == table.SOLE_HEIGHT
    assert -table.FOOT_HEEL == HEEL_BEHIND_ANKLE


def test_same_seed_same_bytes_and_other_seed_other_clips():
    first, again, other = make_corpus(8, 3), make_corpus(8, 3), make_corpus(8, 4)
    assert [c.root_pos.tobytes() + c.rotations.tobytes() for c in first] == [
        c.root_pos.tobytes() + c.rotations.tobytes() for c in again
    ]
    assert [c.texts for c in first] == [c.texts for c in again]
    assert not {c.id for c in first} & {c.id for c in other}
    assert [c.id for c in make_corpus(3, 3)] == [c.id for c in first[:3]]


def test_the_splits_share_no_clip_and_no_parameter(clips: list[Clip]):
    test = make_corpus(40, seed=7, split="test")
    assert not {c.id for c in clips} & {c.id for c in test}
    speeds = [{parameter(c, "speed") for c in some if action(c) == "walk"} for some in (clips, test)]
    assert speeds[0]
    assert speeds[1]
    assert not speeds[0] & speeds[1]


def test_every_action_appears_with_three_captions_and_a_record(clips: list[Clip]):
    assert {action(c) for c in clips} == set(action_names())
    for clip in clips:
        assert len(set(clip.texts)) == 3
        assert all("{" not in text and text.endswith(".") for text in clip.texts)
        assert clip.fps == 30.0
        assert 2.4 <= clip.duration <= 5.05, clip.name
        assert clip.provenance.stage == "corpus"
        assert np.allclose(clip.root_pos[0, :2], 0.0, atol=1e-9)
        assert abs(heading(clip.rotations[0, 0])) < 1e-6


def test_nothing_sinks_and_nothing_but_a_jump_leaves_the_ground(clips: list[Clip]):
    for clip in clips:
        lowest = surface(clip)[0][..., 2].min(axis=1)
        assert lowest.min() > -0.002, clip.name
        if not action(clip).startswith("jump"):
            assert lowest.max() < 0.002, clip.name


def test_planted_feet_stay_put(clips: list[Clip]):
    for clip in clips:
        world, foot = surface(clip)
        for side in (0, 1):
            sole = world[:, foot == side]
            low = np.sort(sole[..., 2], axis=1)[:, :6] < 0.002  # the four box corners under the foot and the toes
            flat = low.all(axis=1)
            still = flat[1:] & flat[:-1]
            speed = 30.0 * np.linalg.norm(np.diff(sole[..., :2], axis=0), axis=-1).max(axis=1)
            assert still.any(), clip.name
            assert speed[still].max() < 0.02, clip.name


def test_standing_actions_keep_the_centre_of_mass_over_the_feet(clips: list[Clip]):
    for clip in (c for c in clips if action(c) in STANDING):
        outside = outside_support(clip, body_com(clip)[:, :2], range(clip.num_frames))
        assert outside.max() < -0.008, clip.name


def true_zero_moment(clip: Clip) -> np.ndarray:
    """(T, 2) zero-moment point of the compiled body with every segment's spin, from MuJoCo's own momenta."""
    body, qpos = default_body(), default_body().qpos_from_clip(clip)
    model, data = body.model, mujoco.MjData(body.model)
    frames = len(qpos)
    com, linear, angular = np.zeros((frames, 3)), np.zeros((frames, 3)), np.zeros((frames, 3))
    for k in range(1, frames - 1):
        mujoco.mj_differentiatePos(model, data.qvel, 2 / clip.fps, qpos[k - 1], qpos[k + 1])
        data.qpos[:] = qpos[k]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        mujoco.mj_subtreeVel(model, data)
        com[k], linear[k], angular[k] = data.subtree_com[1], data.subtree_linvel[1], data.subtree_angmom[1]
    force, moment = body.mass * np.gradient(linear, 1 / clip.fps, axis=0), np.gradient(angular, 1 / clip.fps, axis=0)
    weight = np.maximum(force[:, 2] + body.mass * 9.81, 1.0)
    x = com[:, 0] - (com[:, 2] * force[:, 0] + moment[:, 1]) / weight
    y = com[:, 1] - (com[:, 2] * force[:, 1] - moment[:, 0]) / weight
    return np.stack([x, y], axis=1)


def test_gaits_push_where_there_is_a_foot(clips: list[Clip]):
    for name in WALKING:
        clip = next(c for c in clips if action(c) == name)
        outside = outside_support(clip, true_zero_moment(clip), range(3, clip.num_frames - 3))
        assert np.mean(outside > 0.02) < 0.08, clip.name


def test_joints_stay_in_range_and_under_ten_radians_a_second(clips: list[Clip]):
    ranges = default_body().ranges[1:]
    for clip in clips:
        turns = quat_to_rotvec(clip.rotations)[:, 1:]
        assert (turns > ranges[..., 0]).all(), clip.name
        assert (turns < ranges[..., 1]).all(), clip.name
        assert quat_angle(clip.rotations[:-1], clip.rotations[1:]).max() * clip.fps < 10.5, clip.name


def test_no_part_of_the_body_stands_in_another(clips: list[Clip]):
    """In half of the walks the shins passed through each other, by up to 58 mm."""
    for clip in clips:
        depth = measure(clip, wrench=False).values["self_penetration_max_mm"]
        assert depth is not None
        assert depth < 5.0, clip.name


def test_walking_goes_as_fast_and_where_the_caption_says(clips: list[Clip]):
    for clip in (c for c in clips if action(c) == "walk"):
        speeds = 30.0 * np.linalg.norm(np.diff(clip.root_pos[:, :2], axis=0), axis=1)
        speed = np.convolve(speeds, np.ones(30) / 30, "valid").max()
        assert speed == pytest.approx(parameter(clip, "speed"), rel=0.16), clip.name
        turned = np.unwrap(heading(clip.rotations[:, 0]))
        turned = turned[-1] - turned[0]
        curve = parameter(clip, "curve")
        assert {"left": turned > 0.35, "right": turned < -0.35, "straight": abs(turned) < 0.2}[curve], clip.name
        if curve != "straight":
            assert any(curve in text for text in clip.texts)
        elif any("quickly" in text for text in clip.texts):
            assert speed > 1.1


@pytest.mark.parametrize("name", ["wave", "raise_arm", "kick", "side_step", "turn"])
def test_left_and_right_are_what_the_caption_says(clips: list[Clip], name: str):
    for clip in (c for c in clips if action(c) == name):
        side, other = parameter(clip, "side"), {"left": "right", "right": "left"}[parameter(clip, "side")]
        sign = 1.0 if side == "left" else -1.0
        joint = clip.skeleton.index
        if name in ("wave", "raise_arm"):
            high = clip.positions[:, [joint(f"{side}_wrist"), joint(f"{other}_wrist")], 2].max(axis=0)
            assert high[0] > high[1] + 0.2, clip.name
        elif name == "kick":
            high = clip.positions[:, [joint(f"{side}_ankle"), joint(f"{other}_ankle")], 2].max(axis=0)
            assert high[0] > high[1] + 0.1, clip.name
        elif name == "side_step":
            assert sign * clip.root_pos[-1, 1] > 0.35, clip.name
        else:
            turned = np.unwrap(heading(clip.rotations[:, 0]))[-1]
            assert np.degrees(sign * turned) == pytest.approx(parameter(clip, "degrees"), abs=12), clip.name
        assert all(other not in text for text in clip.texts)


def test_a_jump_flies_as_gravity_says(clips: list[Clip]):
    for clip in (c for c in clips if action(c) == "jump"):
        start = parameter(clip, "takeoff_s")
        times = np.arange(clip.num_frames) / clip.fps
        air = (times > start + 0.02) & (times < start + parameter(clip, "flight_s") - 0.02)
        fit = np.polyfit(times[air], body_com(clip)[air, 2], 2)
        assert 2 * fit[0] == pytest.approx(-9.81, rel=0.08), clip.name
        apex = surface(clip)[0][air][..., 2].min(axis=1).max()
        assert apex > 0.02, clip.name


def test_cart_table_solves_its_own_equation():
    time = np.arange(120) / 30.0
    point = np.stack([0.3 * np.clip(time - 1.0, 0, 1.5), 0.06 * np.sign(np.sin(4 * time))], axis=1)
    height = 0.95 + 0.05 * np.sin(3 * time)
    path = cart_table(point, height)
    acceleration, lift = np.diff(path, 2, axis=0) * 900, np.diff(height, 2) * 900
    back = path[1:-1] - (height[1:-1] / (9.81 + lift))[:, None] * acceleration
    assert np.allclose(back, point[1:-1], atol=1e-9)


def test_zero_moment_of_a_still_body_is_under_its_centre():
    segments = np.repeat(np.random.default_rng(0).normal(size=(1, 24, 3)), 5, axis=0)
    point, weight = zero_moment(segments)
    centre = SEGMENT_MASSES @ segments[0] / SEGMENT_MASSES.sum()
    assert np.allclose(point, centre[:2])
    assert np.allclose(weight, 9.81)


def test_defects_are_of_the_size_that_the_record_says():
    clean, spoiled = make_corpus(60, 11), make_corpus(60, 11, defects=True)
    seen = set()
    for before, after in zip(clean, spoiled, strict=True):
        faults = after.provenance.notes["defects"]
        seen |= set(faults)
        if not faults:
            assert before.id == after.id
        if set(faults) == {"float"}:
            rise = after.root_pos[:, 2] - before.root_pos[:, 2]
            assert np.allclose(rise, faults["float"]["height_m"])
        if set(faults) == {"drift"}:
            gone = after.root_pos[-1, :2] - before.root_pos[-1, :2]
            assert np.linalg.norm(gone) == pytest.approx(faults["drift"]["speed_m_s"] * before.duration)
    assert seen == {"slide", "drift", "float", "penetration", "vertical_drift", "jitter"}
    share = np.mean([bool(c.provenance.notes["defects"]) for c in spoiled])
    assert 0.55 < share < 0.9


def test_bad_requests_are_refused_in_one_line():
    with pytest.raises(MotionError, match="expected one of train, test"):
        make_corpus(1, 0, split="val")
    with pytest.raises(MotionError, match="expected 0 or more"):
        make_corpus(-1, 0)
    assert make_corpus(0, 0) == []
