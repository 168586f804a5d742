"""Round trips through our own readers: joints within 0.1 mm, rotations within 0.01 degree, and known answers."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.motion import (
    DEFAULT_SKELETON,
    FORMATS,
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    Skeleton,
    as_format,
    find_motions,
    make_corpus,
    read_motion,
    to_default,
    write_motion,
)
from morphloop.motion.reading_limits import MAX_JOINTS
from morphloop.motion.robot import Hinge, Robot
from morphloop.motion.rotations import quat_from_rotvec
from morphloop.motion.writers import write_amass, write_bvh, write_humanml3d_joints, write_mjlab

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
JOINTS_MM, ROTATION_DEG = 0.1, 0.01
ROTATION_FORMATS = ("clip", "amass", "bvh", "mjlab")


def shared(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"no {path}: set MORPHLOOP_SHARED")
    return path


def errors(a: Clip, b: Clip) -> tuple[float, float]:
    """Largest joint distance, mm, and largest angle between world or local rotations, degrees, by joint name."""
    assert a.num_frames == b.num_frames
    assert a.fps == pytest.approx(b.fps, rel=1e-6)
    order = [b.skeleton.index(name) for name in a.skeleton.names]
    apart = np.linalg.norm(a.positions - b.positions[:, order], axis=-1).max()
    # from the sine of half the angle: the cosine's arc cosine is blind below 0.02 degree in single precision
    signed = np.where((a.rotations * b.rotations[:, order]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    turn = 4.0 * np.arcsin(np.linalg.norm(a.rotations - signed * b.rotations[:, order], axis=-1) / 2.0)
    return 1e3 * float(apart), float(np.degrees(turn.max()))


def round_trip(tmp_path: Path, motion, to: str, robot: Robot | None = None):
    """What was written and what our reader makes of it."""
    made = as_format(motion, to, robot=robot)
    path = write_motion(tmp_path / f"{motion.name}{FORMATS[to].suffix}", made, to, robot)
    return made, read_motion(path, 20 if to == "humanml3d-joints" else None, robot=robot)


def assert_round_trip(tmp_path: Path, motion, to: str, robot: Robot | None = None) -> None:
    made, back = round_trip(tmp_path, motion, to, robot)
    assert isinstance(made, Clip)
    assert isinstance(back, Clip)
    apart, turn = errors(made, back)
    assert apart < JOINTS_MM
    assert turn < ROTATION_DEG


def tumbling(frames: int = 60, seed: int = 0) -> Clip:
    """Every joint through large angles, Euler locks and all, far from the origin."""
    rng = np.random.default_rng(seed)
    rotvecs = rng.normal(size=(frames, 24, 3)) * 1.5
    rotvecs[0] = [np.pi / 2, 0, 0]
    rotvecs[1] = [0, np.pi / 2, 0]
    rotvecs[2] = [np.pi - 1e-9, 0, 0]
    root = rng.normal(size=(frames, 3)) * 20.0
    return Clip(29.97, DEFAULT_SKELETON, root, quat_from_rotvec(rotvecs), name="tumbling")


@pytest.mark.parametrize("to", ROTATION_FORMATS)
def test_corpus_round_trip(tmp_path, to):
    for clip in [*make_corpus(4, 2), tumbling()]:
        made, back = round_trip(tmp_path, clip, to)
        assert made is clip or to == "mjlab"  # whose loader takes 50 fps for granted
        assert back.skeleton == DEFAULT_SKELETON
        assert_round_trip(tmp_path, clip, to)
        assert to_default(back) is back


@pytest.mark.parametrize("to", ROTATION_FORMATS)
def test_cmu_round_trip(tmp_path, to):
    for path in (shared("cmu", "02_01.amc"), shared("cmu", "bvh", "02_01.bvh")):
        assert_round_trip(tmp_path, read_motion(path, 120), to)


@pytest.mark.parametrize("to", ROTATION_FORMATS)
def test_asap_round_trip(tmp_path, to):
    shared("README.md")
    command = [sys.executable, SHARED / "tools" / "unpack_data.py", tmp_path / "in", "asap"]
    subprocess.run(command, check=True, capture_output=True)
    for path in list(find_motions(tmp_path / "in"))[::10]:
        assert_round_trip(tmp_path, read_motion(path), to)


def test_other_bvh_skeleton_keeps_names_ends_and_unit(tmp_path):
    clip = read_motion(shared("xia_style_bvh", "neutral_01_000.bvh"))
    made, back = round_trip(tmp_path, clip, "bvh")
    assert made is clip
    assert back.skeleton.names == clip.skeleton.names
    assert np.abs(back.skeleton.offsets - clip.skeleton.offsets).max() < 1e-6
    assert errors(clip, back)[1] < ROTATION_DEG
    assert np.abs(back.positions - clip.positions).max() < 1e-3 * np.abs(clip.skeleton.offsets).max()


def test_joints_and_features_round_trip(tmp_path):
    clip = make_corpus(1, 7)[0]
    made, back = round_trip(tmp_path, clip, "humanml3d-joints")
    assert made.fps == back.fps == 20.0
    assert np.abs(back.positions - clip.resampled(20.0).positions[:, :22]).max() < 3e-3  # chords of arcs between frames
    assert np.abs(back.positions - made.positions).max() < 1e-6
    made, back = round_trip(tmp_path, clip, "humanml3d-263")
    assert back.num_frames == made.num_frames - 1
    pelvis = back.positions[:, :1]
    assert np.abs(np.linalg.norm(back.positions[:, 4] - back.positions[:, 1], axis=-1) - 0.393623).max() < 1e-5
    assert (back.positions[..., 2] > -1e-5).all()
    assert np.abs(pelvis[0, 0, :2]).max() < 1e-6


def test_joints_file_is_y_up_as_the_data_set_has_it(tmp_path):
    track = JointTrack(20.0, HUMANML3D_JOINTS, np.tile([1.0, 2.0, 3.0], (4, 22, 1)))
    stored = np.load(write_humanml3d_joints(tmp_path / "a.npy", track))
    assert stored.dtype == np.float32
    assert stored.shape == (4, 22, 3)
    assert np.allclose(stored, [2.0, 3.0, 1.0])  # left, up, forward


def test_track_is_fitted_where_rotations_are_needed_and_says_so(tmp_path):
    clip = make_corpus(1, 7)[0]
    track = as_format(clip, "humanml3d-joints")
    made = as_format(track, "amass")
    assert isinstance(made, Clip)
    assert made.provenance.stage == "fit"
    assert made.provenance.notes["fit_error_mm"] < 10
    _, back = round_trip(tmp_path, track, "amass")
    assert errors(made, back)[0] < JOINTS_MM


def test_amass_layout(tmp_path):
    clip = replace(make_corpus(1, 1)[0], texts=("a person walks",))
    data = np.load(write_amass(tmp_path / "a.npz", clip))
    assert data["poses"].shape == (clip.num_frames, 156)
    assert data["trans"].shape == (clip.num_frames, 3)
    assert str(data["gender"]) == "neutral"
    assert data["mocap_framerate"] == clip.fps
    assert not data["betas"].any()
    # a body that stands upright and looks along our X has AMASS's root turned by 120 degrees about (1, 1, 1)
    rest = Clip(30.0, DEFAULT_SKELETON, np.zeros((1, 3)), np.tile([1.0, 0, 0, 0], (1, 24, 1)))
    data = np.load(write_amass(tmp_path / "b.npz", rest))
    assert np.allclose(data["poses"][0, :3], np.full(3, 2 * np.pi / 3 / np.sqrt(3)))
    assert np.allclose(data["poses"][0, 3:], 0)
    hands = clip.rotations.copy()
    hands[:, 22] = quat_from_rotvec(np.array([0.1, 0.0, 0.0]))
    data = np.load(write_amass(tmp_path / "c.npz", replace(clip, rotations=hands)))
    assert data["poses"].shape == (clip.num_frames, 72)


def test_bvh_text_known_answer(tmp_path):
    skeleton = Skeleton(("Hips", "Knee", "Knee_end"), (-1, 0, 1), np.array([[0, 0, 0], [0, 0, -2.0], [0, 0, -1.0]]))
    turn = quat_from_rotvec(np.array([[[0, 0, np.pi / 2], [0, np.pi / 6, 0], [0, 0, 0]]]))
    text = write_bvh(tmp_path / "a.bvh", Clip(120.0, skeleton, np.array([[1.0, 2.0, 3.0]]), turn)).read_text()
    assert text.splitlines()[0] == "HIERARCHY"
    assert "OFFSET 0.000000 -2.000000 0.000000" in text
    assert text.count("JOINT") == 1
    assert text.count("End Site") == 1
    # ours X forward, Y left, Z up; the file's X left, Y up, Z forward; channels Z X Y
    assert text.splitlines()[-1].split() == [
        *("2.000000", "3.000000", "1.000000"),
        *("0.000000", "0.000000", "90.000000"),
        *("0.000000", "30.000000", "0.000000"),
    ]


def test_a_chain_of_as_many_joints_as_a_skeleton_may_have_is_written(tmp_path):
    joints = MAX_JOINTS - 1
    offsets = np.tile([0.0, 0.0, 1e-3], (joints, 1)) * (np.arange(joints) > 0)[:, None]
    skeleton = Skeleton(tuple(f"j{j}" for j in range(joints)), tuple(range(-1, joints - 1)), offsets)
    chain = Clip(30.0, skeleton, np.zeros((2, 3)), np.tile([1.0, 0, 0, 0], (2, joints, 1)))
    back = read_motion(write_bvh(tmp_path / "a.bvh", chain))
    assert back.skeleton.parents == skeleton.parents


def test_mjlab_layout_and_velocities(tmp_path):
    frames, fps, spin, speed = 30, 50.0, 1.2, 0.7
    time = np.arange(frames) / fps
    rotations = np.tile([1.0, 0, 0, 0], (frames, 24, 1))
    rotations[:, 0] = quat_from_rotvec(np.outer(spin * time, [0, 0, 1.0]))
    rotations[:, 4] = quat_from_rotvec(np.outer(spin * time, [0, 1.0, 0]))
    root = np.outer(speed * time, [1.0, 0, 0]) + np.array([0, 0, 0.95])
    data = np.load(write_mjlab(tmp_path / "a.npz", Clip(fps, DEFAULT_SKELETON, root, rotations)))
    assert data["fps"].tolist() == [50.0]
    assert data["joint_pos"].shape == data["joint_vel"].shape == (frames, 69)
    assert data["body_pos_w"].shape == data["body_lin_vel_w"].shape == data["body_ang_vel_w"].shape == (frames, 24, 3)
    assert data["body_quat_w"].shape == (frames, 24, 4)
    assert data["body_names"].tolist() == list(DEFAULT_SKELETON.names)
    knee = data["joint_names"].tolist().index("left_knee_y")
    assert np.allclose(data["joint_pos"][:, knee], spin * time, atol=1e-5)
    assert np.allclose(data["joint_vel"][:, knee], spin, atol=1e-4)
    assert np.allclose(data["body_ang_vel_w"][:, 0], [0, 0, spin], atol=1e-4)
    assert np.allclose(data["body_lin_vel_w"][:, 0], [speed, 0, 0], atol=1e-4)
    hip = DEFAULT_SKELETON.offsets[1]
    assert np.allclose(data["body_lin_vel_w"][0, 1], [speed - spin * hip[1], spin * hip[0], 0], atol=5e-3)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("to", ROTATION_FORMATS)
def test_short_clips(tmp_path, to, frames):
    clip = make_corpus(1, 1)[0].slice(0, frames)
    assert_round_trip(tmp_path, clip, to)


def two_link_robot() -> Robot:
    skeleton = Skeleton(("base", "arm", "hand"), (-1, 0, 1), np.array([[0, 0, 0], [0, 0, 0.2], [0.3, 0, 0]]))
    rest = np.tile([1.0, 0, 0, 0], (3, 1))
    rest[1] = quat_from_rotvec(np.array([0, 0, 0.5]))
    hinges = (Hinge("lift", 1, (0.0, 1.0, 0.0), 0.1), Hinge("roll", 2, (1.0, 0.0, 0.0)))
    return Robot("two_link", skeleton, rest, hinges, np.array([[0, 0, 0], [0.05, 0, 0], [0, 0, 0.0]]))


@pytest.mark.parametrize("to", ["clip", "bvh", "mjlab"])
def test_robot_round_trip(tmp_path, to):
    robot = two_link_robot()
    rng = np.random.default_rng(0)
    angles = np.cumsum(0.1 * rng.normal(size=(20, 2)), axis=0)
    root = np.tile([1.0, 0, 0, 0], (20, 1))
    clip = robot.clip(50.0, np.zeros((20, 3)), root, angles, "robot", make_corpus(1, 1)[0].provenance)
    assert_round_trip(tmp_path, clip, to, robot)
    if to == "mjlab":
        data = np.load(tmp_path / "robot.npz")
        assert data["joint_names"].tolist() == ["lift", "roll"]
        assert np.allclose(data["joint_pos"], angles, atol=1e-6)
        assert np.allclose(data["body_pos_w"][:, 1, 2], 0.2 - 0.05 * np.sin(angles[:, 0] - 0.1), atol=1e-6)


def test_refused(tmp_path):
    clip = make_corpus(1, 1)[0]
    robot = two_link_robot()
    for call, match in [
        (lambda: as_format(clip, "fbx"), "no layout 'fbx', expected one of clip"),
        (lambda: as_format(clip, "amass", robot=robot), "for a robot, expected one of clip, bvh, mjlab"),
        (lambda: as_format(clip, "mjlab", robot=robot), "not a motion of robot 'two_link'"),
        (lambda: as_format(clip, "humanml3d-263", 30.0), "at 30 fps, expected 20"),
        (lambda: as_format(clip, "clip", -1.0), "-1 fps asked for"),
        (lambda: write_motion(tmp_path / "a", as_format(clip, "humanml3d-joints"), "mjlab"), "expected rotations"),
        (lambda: write_amass(tmp_path / "a", replace(clip, skeleton=robot.skeleton, rotations=clip.rotations[:, :3])),
         "to_default"),
    ]:  # fmt: skip
        with pytest.raises(MotionError, match=match) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_resampling_is_said_and_keeps_the_lineage():
    clip = make_corpus(1, 1)[0]
    made = as_format(clip, "clip", 60.0)
    assert made.fps == 60.0
    assert (made.provenance.stage, made.provenance.parent) == ("convert", clip.id)
    assert made.provenance.notes["resampled_from_fps"] == clip.fps


@pytest.mark.parametrize("to", ["amass", "mjlab"])
def test_arrays_for_others_carry_texts_and_provenance_without_pickle(tmp_path, to):
    clip = replace(make_corpus(1, 1)[0], texts=("a person walks", "someone strolls")).with_provenance(prompt="walk")
    made, back = round_trip(tmp_path, clip, to)
    assert back.texts == clip.texts
    data = np.load(tmp_path / f"{clip.name}.npz", allow_pickle=False)
    carried = json.loads(str(data["morphloop"]))
    assert carried["id"] == made.id
    assert carried["provenance"]["prompt"] == "walk"


def test_length_unit_of_a_bvh_is_not_called_metres_unless_its_legs_tell(tmp_path):
    told = as_format(read_motion(shared("cmu", "bvh", "02_01.bvh")), "clip")
    untold = told.with_provenance(notes={**told.provenance.notes, "length_unit": "unknown"})
    for clip, words in ((told, "m, rad"), (untold, "length unit unknown, ")):
        path = write_motion(tmp_path / "a.npz", clip, "clip")
        assert json.loads(str(np.load(path)["meta"]))["units"].startswith(words)
        assert read_motion(path).provenance.notes["length_unit"] == clip.provenance.notes["length_unit"]
