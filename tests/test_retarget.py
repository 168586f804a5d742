"""Retargeting: one motion through two file formats, planted feet, forward knees, heading, unknown skeletons."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.metrics import measure
from morphloop.metrics.self_penetration import deepest, geom_pairs
from morphloop.motion import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    TOE_HEIGHT,
    Clip,
    JointTrack,
    Skeleton,
    read_motion,
    to_default,
)
from morphloop.motion.fitting.leg_clearance import LegPaths, closest, make_room, moved, room_wanted
from morphloop.motion.fitting.limb_turns import hinge_toes, share_forearm_turns, turn_feet_over
from morphloop.motion.fitting.skeleton_maps import MAPS, SIDES, SkeletonMap, find_map
from morphloop.motion.rotations import (
    heading,
    quat_angle,
    quat_from_rotvec,
    quat_mul,
    quat_rotate,
    quat_to_matrix,
    quat_to_rotvec,
)
from morphloop.motion.skeleton import forward_kinematics, local_rotations
from morphloop.sim import default_body

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FEET = ("left_foot", "right_foot")


def shared(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"no {path}: set MORPHLOOP_SHARED")
    return path


def packed_amc(name: str, frames: int, folder: Path) -> Path:
    """The first frames of a packed CMU trial as the AMC it was, its ASF beside it."""
    pack = np.load(shared("cmu", "amc_npz", f"{name}.npz"))
    (folder / f"{name[:2]}.asf").write_bytes(shared("cmu", f"{name[:2]}.asf").read_bytes())
    edges = np.concatenate([[0], np.cumsum(pack["dims"])])
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for number, row in enumerate(pack["data"][:frames], 1):
        lines.append(str(number))
        for k, bone in enumerate(pack["bones"]):
            lines.append(f"{bone} " + " ".join(f"{v:.6g}" for v in row[edges[k] : edges[k + 1]]))
    path = folder / f"{name}.amc"
    path.write_text("\n".join(lines) + "\n")
    return path


def bandai(name: str) -> Clip:
    """One packed Bandai Namco clip, as its BVH reads: hips under a resting root, frames along the bones."""
    pack = np.load(shared("bandai_namco", "dataset2.npz"))
    k = list(pack["names"]).index(name)
    rows = slice(pack["starts"][k], pack["starts"][k + 1])
    joints, parents = [str(j) for j in pack["joint_names"]], pack["parents"]
    degrees, order = pack["rot_centideg"][rows] / 100.0, "".join(str(a) for a in pack["rot_order"])
    lines = ["HIERARCHY"]

    def block(j: int) -> list[int]:
        lines.append(f"{'ROOT' if parents[j] < 0 else 'JOINT'} {joints[j]}\n{{")
        lines.append("OFFSET " + " ".join(f"{v:.6f}" for v in pack["offsets_cm"][j]))
        places = "Xposition Yposition Zposition " if j < 2 else ""
        lines.append(f"CHANNELS {6 if j < 2 else 3} {places}" + " ".join(f"{a}rotation" for a in order))
        visited = [j]
        for child in np.flatnonzero(parents == j):
            visited += block(int(child))
        lines.append("}")
        return visited

    visited = block(0)
    columns = [
        np.concatenate([pack["pos_root_hips_cm"][rows, j], degrees[:, j]], 1) if j < 2 else degrees[:, j]
        for j in visited
    ]
    table = np.concatenate(columns, axis=1)
    lines += ["MOTION", f"Frames: {len(table)}", f"Frame Time: {1 / float(pack['fps']):.8f}"]
    lines += [" ".join(f"{v:.4f}" for v in row) for row in table]
    path = Path(os.environ["PYTEST_TMP"]) / f"{name}.bvh"
    path.write_text("\n".join(lines) + "\n")
    clip = read_motion(path)
    assert isinstance(clip, Clip)
    return clip


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path))


def source_of(name: str, tmp_path: Path) -> Clip:
    if name == "amc":
        clip = read_motion(shared("cmu", "02_01.amc"), 120)
    elif name == "bandai":
        clip = bandai("dataset-2_walk_normal_001")
    else:
        clip = read_motion(shared(*name.split("/")))
    assert isinstance(clip, Clip)
    return clip


WALKS = ("amc", "cmu/bvh/12_01.bvh", "bandai", "xia_style_bvh/neutral_01_000.bvh")


@pytest.mark.parametrize("name", WALKS)
def test_walks_stay_walks(name, tmp_path):
    source = source_of(name, tmp_path)
    clip = to_default(source)
    at = {joint: clip.positions[:, j] for j, joint in enumerate(DEFAULT_SKELETON.names)}
    knees = quat_to_rotvec(clip.rotations[:, [4, 5]])[..., 1]
    assert np.median(knees) > 0.05
    assert knees.min() > -0.2
    forward = quat_rotate(clip.rotations[:, 0], np.broadcast_to([1.0, 0, 0], (clip.num_frames, 3)))
    velocity = np.gradient(clip.root_pos, axis=0) * clip.fps
    speed = np.linalg.norm(velocity[:, :2], axis=-1)
    moving = speed > 0.5
    assert moving.mean() > 0.5
    assert ((velocity * forward).sum(-1)[moving] / speed[moving]).mean() > 0.9, "moves along its heading"
    for side in ("left", "right"):
        toes = at[f"{side}_foot"] - at[f"{side}_ankle"]
        assert ((toes * forward).sum(-1) > 0).mean() > 0.85
        assert ((at[f"{side}_wrist"] - at[f"{side}_shoulder"])[:, 2]).mean() < -0.2, "arms hang"
    lateral = at["left_shoulder"] - at["right_shoulder"]
    assert ((lateral * (at["left_hip"] - at["right_hip"])).sum(-1) > 0).all()
    assert (at["head"][:, 2] - at["pelvis"][:, 2]).min() > 0.4
    assert abs(np.percentile(np.minimum(*(at[foot][:, 2] for foot in FEET)), 5) - TOE_HEIGHT) < 0.008


@pytest.mark.parametrize("name", WALKS)
def test_feet_gain_no_slide_and_keep_their_height(name, tmp_path):
    source = source_of(name, tmp_path)
    clip = to_default(source)
    known = find_map(source.skeleton, name)
    assert isinstance(known, SkeletonMap)
    source = source.slice(source.num_frames - clip.num_frames, source.num_frames)
    notes = clip.provenance.notes
    for k, foot in enumerate(FEET):
        before = notes["scale"] * source.positions[:, source.skeleton.index(known.joints[foot])]
        after = clip.positions[:, DEFAULT_SKELETON.index(foot)]
        contact = before[:, 2] < notes["floor_m"][k] + 0.012
        assert contact.mean() > 0.1
        speeds = [
            np.linalg.norm(np.gradient(x[:, :2], axis=0), axis=-1)[contact].mean() * clip.fps for x in (before, after)
        ]
        assert speeds[1] < speeds[0] + 0.005
        error = np.abs((after[:, 2] - TOE_HEIGHT) - (before[:, 2] - notes["floor_m"][k]))[contact]
        assert 1000 * error.mean() < 6.0


def lateral_gap(clip: Clip, left: str, right: str, hips: tuple[str, str]) -> np.ndarray:
    """(T,) distance of two joints along the level line of the hips."""
    at = {name: clip.positions[:, clip.skeleton.index(name)] for name in (left, right, *hips)}
    across = (at[hips[0]] - at[hips[1]]) * [1.0, 1.0, 0.0]
    return ((at[left] - at[right]) * across).sum(-1) / np.linalg.norm(across, axis=-1)


@pytest.mark.parametrize("name", WALKS)
def test_ankles_keep_their_distance_and_legs_pass_each_other(name, tmp_path):
    """The default toe joint lies 12 degrees outward of its foot: with the toes alone in place, the ankles of these
    walks came 41 to 57 mm nearer to each other and the shins up to 76 mm into each other."""
    source = source_of(name, tmp_path)
    clip = to_default(source)
    known = find_map(source.skeleton, name)
    assert isinstance(known, SkeletonMap)
    joints = {joint: known.joints[joint] for joint in ("left_ankle", "right_ankle", "left_hip", "right_hip")}
    source = source.slice(source.num_frames - clip.num_frames, source.num_frames)
    hips = (joints["left_hip"], joints["right_hip"])
    before = clip.provenance.notes["scale"] * lateral_gap(source, joints["left_ankle"], joints["right_ankle"], hips)
    after = lateral_gap(clip, "left_ankle", "right_ankle", ("left_hip", "right_hip"))
    wider = np.median(after) - np.median(before)
    assert -0.01 < wider < 0.03, "no nearer, and wider by no more than thicker shins need"
    assert measure(clip, wrench=False).values["joint_limit_ratio"] == 0.0
    assert leg_depth(clip) < 0.008


def leg_depth(clip: Clip) -> float:
    """Deepest that parts of the left leg stand in the right one, metres."""
    body = default_body()
    pairs = geom_pairs(body)
    depth = deepest(body.model, pairs, clip.positions, quat_to_matrix(clip.global_rotations))
    legs = [body.skeleton.index(f"{side}_{part}") for side in SIDES for part in ("hip", "knee", "ankle", "foot")]
    both = np.isin(pairs.joint[pairs.first], legs) & np.isin(pairs.joint[pairs.second], legs)
    return float(depth[both].max())


def test_bones_that_were_placed_one_by_one_are_read_by_their_positions():
    """These files' hips turn against the pelvis; by their rotations every frame was 80 degrees over some limit."""
    for name in ("comp_3d_1_fixed.bvh", "demo_video_1_raw.bvh"):
        clip = to_default(read_motion(shared("generated", "footfix_pairs", name)))
        assert clip.provenance.notes["rotations"].startswith("from positions")
        assert measure(clip, wrench=False).values["joint_limit_ratio"] == 0.0


def test_a_foot_half_a_turn_about_its_bone_is_turned_back():
    world = forward_kinematics(DEFAULT_SKELETON, np.zeros((4, 3)), t_pose_clip(4).rotations)[1]
    spun = world.copy()
    bone = DEFAULT_SKELETON.offsets[10] * [1.0, 1.0, 0.0]
    half = quat_from_rotvec(np.pi * bone / np.linalg.norm(bone))
    for joint in (7, 10):
        spun[2:, joint] = quat_mul(spun[2:, joint], np.broadcast_to(half, (2, 4)))
    turn_feet_over(spun)
    assert quat_angle(spun, world).max() < 1e-6


def test_toes_become_hinges_and_hands_share_their_turn_with_forearms():
    rng = np.random.default_rng(3)
    local = quat_from_rotvec(0.4 * rng.normal(size=(20, 24, 3)))
    positions, world = forward_kinematics(DEFAULT_SKELETON, np.zeros((20, 3)), local)
    wrist = world[:, [20, 21]].copy()
    hinge_toes(world)
    share_forearm_turns(world)
    after = local_rotations(DEFAULT_SKELETON, world)
    assert np.abs(quat_to_rotvec(after[:, [10, 11]])[..., [0, 2]]).max() < 1e-9
    assert np.abs(quat_to_rotvec(after[:, [10, 11]])[..., 1]).max() > 0.1
    moved = forward_kinematics(DEFAULT_SKELETON, np.zeros((20, 3)), after)[0]
    assert np.abs(moved - positions)[:, :22].max() < 1e-9
    assert quat_angle(world[:, [20, 21]], wrist).max() < 1e-6
    for elbow, hand in ((18, 20), (19, 21)):
        bone = DEFAULT_SKELETON.offsets[hand] / np.linalg.norm(DEFAULT_SKELETON.offsets[hand])
        was, now = (2 * np.arctan2(q[:, hand, 1:] @ bone, q[:, hand, 0]) for q in (local, after))
        assert np.abs(now - 0.5 * was).max() < 1e-6, elbow


def straight_legs(gap: float, planted: np.ndarray) -> LegPaths:
    """Legs with slightly bent knees, ankles `gap` metres apart half-way in 60 frames, as the right one passes."""
    hips = np.zeros((60, 2, 3))
    hips[:, :, 1] = [0.09, -0.09]
    hips[..., 2] = 0.85
    ankles = hips * [1.0, 0.0, 0.0]
    ankles[:, :, 1] = [0.5 * gap, -0.5 * gap]
    ankles[:, 1, 0] = np.linspace(-0.6, 0.6, 60)
    knees = 0.5 * (hips + ankles) + np.array([0.08, 0.0, 0.0])
    return LegPaths(hips, knees, ankles, ankles + np.array([0.17, 0.0, -0.06]), planted)


def test_a_swinging_foot_is_led_around_the_standing_one():
    planted = np.zeros((60, 2), dtype=bool)
    planted[:, 0] = True
    legs = straight_legs(0.05, planted)

    assert room_wanted(legs).max() > 0.03
    moves = make_room(legs, 30.0)
    after = moved(legs, moves)
    assert room_wanted(after).max() < 0.008
    assert np.abs(after.ankles - legs.ankles - moves).max() < 1e-9
    assert np.abs(moves[:, 0]).max() < 1e-6, "the standing foot stays"
    assert 0.04 < -moves[:, 1, 1].min() < 0.11
    assert np.abs(moves[[0, -1]]).max() < 0.012
    assert np.abs(moves[..., [0, 2]]).max() < 1e-9
    assert not make_room(straight_legs(0.3, planted), 30.0).any()


def test_closest_points_of_segments():
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 200, 3))
    s, t = closest(a, b - a, c, d - c)
    found = np.linalg.norm(a + s[:, None] * (b - a) - c - t[:, None] * (d - c), axis=-1)
    grid = np.linspace(0.0, 1.0, 41)
    first, second = (p[:, None] + grid[:, None] * (q - p)[:, None] for p, q in ((a, b), (c, d)))
    best = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1).min(axis=(1, 2))
    assert (found <= best + 1e-9).all()


def test_the_same_trial_as_amc_and_bvh_agrees(tmp_path):
    amc = to_default(read_motion(packed_amc("01_01", 300, tmp_path), 120))
    bvh = read_motion(shared("cmu", "bvh", "01_01.bvh"))
    assert isinstance(bvh, Clip)
    converted = to_default(bvh.slice(0, 301))
    assert converted.provenance.notes["dropped_frames"] == "frame 0, a T-pose"
    assert converted.num_frames == amc.num_frames == 300
    assert 1000 * np.linalg.norm(amc.positions - converted.positions, axis=-1).max() < 1.0


def test_another_solve_of_the_same_trial_is_close():
    amc = to_default(read_motion(shared("cmu", "02_01.amc"), 120))
    bvh = to_default(read_motion(shared("cmu", "bvh", "02_01.bvh")))
    assert "dropped_frames" not in bvh.provenance.notes
    difference = (amc.positions - amc.root_pos[:, None]) - (bvh.positions - bvh.root_pos[:, None])
    assert 1000 * np.linalg.norm(difference, axis=-1).mean() < 25.0


def test_exported_joints_go_through_the_fit():
    for name in ("output_gmd_anim0.bvh", "output_omni_anim0.bvh", "outputs_prova_0.bvh"):
        clip = to_default(read_motion(shared("generated", "bvh", name)))
        assert clip.skeleton == DEFAULT_SKELETON
        assert clip.provenance.stage == "fit"
        assert clip.provenance.notes["fit_error_mm"] < 20.0


def t_pose_clip(frames: int = 30) -> Clip:
    """The default skeleton under SMPL joint names but half as large, walking on the spot."""
    half = Skeleton(DEFAULT_SKELETON.names, DEFAULT_SKELETON.parents, 0.5 * DEFAULT_SKELETON.offsets)
    turns = np.zeros((frames, 24, 3))
    phase = np.linspace(0, 2 * np.pi, frames)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        lift = np.maximum(sign * np.sin(phase), 0.0)
        turns[:, half.index(f"{side}_hip"), 1] = -0.6 * lift
        turns[:, half.index(f"{side}_knee"), 1] = 1.1 * lift
        turns[:, half.index(f"{side}_ankle"), 1] = -0.5 * lift
    root = np.tile([0.0, 0.0, 0.5 * 0.9204 + 0.01], (frames, 1))
    return Clip(30.0, half, root, quat_from_rotvec(turns), ("marching",), "half")


def test_a_body_of_half_size_comes_back_at_full_size():
    source = t_pose_clip()
    clip = to_default(source)
    assert clip.provenance.notes["scale"] == pytest.approx(2.0, rel=1e-6)
    full = replace(source, skeleton=DEFAULT_SKELETON, root_pos=2.0 * source.root_pos)
    # the floor is under the source's toes, the result's toes stand TOE_HEIGHT over it
    shift = TOE_HEIGHT - np.percentile(full.positions[:, [10, 11], 2], 5)
    assert np.abs(clip.positions - full.positions - [0, 0, shift]).max() < 0.015
    assert (clip.texts, clip.fps, clip.provenance.parent) == (("marching",), 30.0, source.id)


def test_a_raised_file_is_levelled_or_kept_as_its_floor_is():
    source = t_pose_clip()
    raised = source.moved(np.array([0.0, 0.0, 0.1]))
    level = to_default(source).positions
    assert np.abs(to_default(raised).positions - level).max() < 1e-9
    kept = to_default(raised, keep_floor=True)
    toes = 2.0 * source.positions[:, [10, 11], 2].min()
    expected = 2 * 0.1 + toes - 0.060
    assert np.allclose(kept.positions - level, [0.0, 0.0, expected], atol=0.002)
    assert kept.provenance.notes["floor_off_m"] == pytest.approx(expected, abs=0.002)
    assert np.abs(to_default(source, keep_floor=True).positions - level).max() < 1e-9


def test_toes_lie_on_the_floor_as_the_heel_rises():
    """Two seconds flat, then the feet pitch 40 degrees about the toe joints: the toes' underside stays on the floor."""
    angle = np.radians(40.0) * np.concatenate([np.zeros(60), np.linspace(0, 1, 15)])
    turns = np.zeros((75, 24, 3))
    turns[:, [7, 8], 1] = angle[:, None]
    foot = np.broadcast_to(DEFAULT_SKELETON.offsets[10], (75, 3))
    root = np.zeros((75, 3))
    root[:, 2] = foot[:, 2] - quat_rotate(quat_from_rotvec(turns[:, 7]), foot)[:, 2] + 1.0
    half = Skeleton(DEFAULT_SKELETON.names, DEFAULT_SKELETON.parents, 0.5 * DEFAULT_SKELETON.offsets)
    clip = to_default(Clip(30.0, half, 0.5 * root, quat_from_rotvec(turns), (), "tiptoe"))
    tip = np.tile([0.055, 0.0, 0.020 - TOE_HEIGHT], (75, 1))
    for toe in (10, 11):
        under = (clip.positions[:, toe] + quat_rotate(clip.global_rotations[:, toe], tip))[:, 2] - 0.020
        assert np.abs(under).max() < 0.003
    assert np.degrees(quat_to_rotvec(clip.rotations[-1, 10])[1]) < -30.0


def test_turning_the_source_turns_the_result():
    source = t_pose_clip()
    quarter = quat_from_rotvec(np.array([0.0, 0.0, np.pi / 2]))
    rotations = source.rotations.copy()
    rotations[:, 0] = quarter
    turned = to_default(replace(source, rotations=rotations))
    plain = to_default(source)
    expected = quat_rotate(np.broadcast_to(quarter, (*plain.positions.shape[:2], 4)), plain.positions)
    assert np.allclose(heading(turned.rotations[:, 0]), np.pi / 2)
    assert np.abs(turned.positions - expected).max() < 1e-6


def test_what_is_on_the_default_skeleton_passes_through():
    source = replace(t_pose_clip(), skeleton=DEFAULT_SKELETON)
    assert to_default(source) is source


def test_joint_tracks_are_fitted():
    full = replace(t_pose_clip(), skeleton=DEFAULT_SKELETON)
    clip = to_default(JointTrack(30.0, HUMANML3D_JOINTS, full.positions[:, :22]))
    assert clip.provenance.stage == "fit"


def test_unknown_skeletons_name_the_joints_and_the_maps():
    strange = Skeleton(("base", "arm_1"), (-1, 0), np.zeros((2, 3)))
    turns = np.zeros((2, 2, 4))
    turns[..., 0] = 1.0
    with pytest.raises(MotionError, match="unknown joints base, arm_1, expected a skeleton of: CMU ASF") as caught:
        to_default(Clip(30.0, strange, np.zeros((2, 3)), turns, name="robot"))
    assert all(known.name in str(caught.value) for known in MAPS)
