"""Readers: known answers on files written here, real files of ../shared/data, and every kind of file to refuse."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphloop.base import MotionError
from morphloop.motion import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    find_motions,
    make_corpus,
    read_motion,
    save_clip,
)
from morphloop.motion.readers import bvh
from morphloop.motion.readers.smpl import SMPL_PELVIS
from morphloop.motion.skeleton import SMPL_PARENTS, Y_UP_TO_Z_UP
from morphloop.motion.writers import write_bvh

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Knee
  {
    OFFSET 0 -2 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -1 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0083333
0 3 0 0 0 0 0 0 0
0 3 1 0 0 90 0 90 0
"""

ASF = """:units
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 2
    axis 0 0 90 XYZ
    dof rx ry
  end
  begin
    id 2
    name shin
    direction 0 -1 0
    length 1
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
AMC = ":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 3 0 0 0 0\nthigh 0 0\n2\nroot 0 3 1 0 90 0\nthigh 90 0\n"


def shared(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"no {path}: set MORPHLOOP_SHARED")
    return path


def unpacked(name: str, tmp_path: Path) -> Path:
    """One of the packed sets of ../shared as its published files."""
    shared("README.md")
    subprocess.run(
        [sys.executable, SHARED / "tools" / "unpack_data.py", tmp_path, name], check=True, capture_output=True
    )
    return tmp_path / name


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refused(path: Path, match: str, fps: float | None = None) -> None:
    with pytest.raises(MotionError, match=match) as caught:
        read_motion(path, fps)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


# BVH


def test_angles_of_a_bvh_do_not_depend_on_how_many_are_turned_at_once(tmp_path, monkeypatch):
    path = write_bvh(tmp_path / "a.bvh", make_corpus(1, 0)[0])
    whole = read_motion(path)
    monkeypatch.setattr(bvh, "TURNS", 100)
    assert read_motion(path).id == whole.id


def test_bvh_known_answer(tmp_path):
    clip = read_motion(write(tmp_path / "a.bvh", BVH))
    assert isinstance(clip, Clip)
    assert clip.fps == 120.0
    assert clip.skeleton.names == ("Hips", "Knee", "Knee_end")
    # file axes X left, Y up, Z forward; ours X forward, Y left, Z up
    assert np.allclose(clip.positions[0], [[0, 0, 3], [0, 0, 1], [0, 0, 0]], atol=1e-9)
    # the knee turns about its own X, which the hips have turned by 90 degrees about the vertical: the shin points left
    # of the file's forward, -X, and the end site lies to the file's left by -1, our Y
    assert np.allclose(clip.positions[1], [[1, 0, 3], [1, 0, 1], [1, -1, 1]], atol=1e-9)


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_bvh_merges_a_root_that_only_carries_another(tmp_path):
    text = changed(
        BVH,
        ("    OFFSET 0 -2 0\n    CHANNELS 3", "    OFFSET 0 9 9\n    CHANNELS 6 Xposition Yposition Zposition"),
        ("0 3 0 0 0 0 0 0 0", "0 3 0 0 0 90 1 0 0 0 0 0"),
        ("0 3 1 0 0 90 0 90 0", "0 3 0 0 0 0 0 1 0 0 0 0"),
    )
    clip = read_motion(write(tmp_path / "a.bvh", text))
    assert clip.skeleton.names == ("Knee", "Knee_end")
    # first frame: one to the file's left, turned by 90 degrees about the vertical: one backward
    assert np.allclose(clip.root_pos, [[-1, 0, 3], [0, 0, 4]], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("Frames: 2", "Frames: 3", "announces 3 frames and holds 2"),
        ("Frames: 2", "Frames: 0", "announces 0 frames"),
        ("Frames: 2", "Frames: two", "expected 'Frames: N'"),
        ("Frames: 2", "Frames: 99999999999", "announces"),
        ("0 3 1 0 0 90 0 90 0\n", "0 3 1 0 0 90 0 90\n", "9 numbers"),
        ("0 3 1 0 0 90 0 90 0\n", "0 3 1 0 0 90 0 x 0\n", "9 numbers"),
        ("0 3 1 0 0 90 0 90 0\n", "0 3 nan 0 0 90 0 90 0\n", "frame 1"),
        ("Frame Time: 0.0083333", "Frame Time: 0", "frame time"),
        ("Frame Time: 0.0083333\n", "", "--fps"),
        ("OFFSET 0 -2 0", "OFFSET 0 -2", "malformed"),
        ("OFFSET 0 -2 0", "OFFSET 0 -2 inf", "finite"),
        ("CHANNELS 3", "CHANNELS 4", "malformed"),
        ("3 Zrotation", "3 Wrotation", "channel"),
        ("3 Zrotation", "3 Xrotation", "each axis once"),
        ("    }\n  }\n}\nMOTION", "    }\n  }\nMOTION", "closed"),
        ("MOTION", "NOTHING", "malformed"),
        ("  JOINT Knee\n", "ROOT Knee\n", "out of place"),
        (BVH, "", "no MOTION"),
    ],
)
def test_bvh_refused(tmp_path, old, new, match):
    assert old in BVH
    refused(write(tmp_path / "bad.bvh", BVH.replace(old, new, 1)), match)


def test_bvh_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "bad.bvh"
    path.write_bytes(b"\x01\x00\xff" * 10)
    refused(path, "not a text file")


def test_bvh_refuses_a_bone_that_stretches(tmp_path):
    text = changed(
        BVH,
        ("  JOINT Knee", "  JOINT Other\n  {\n    OFFSET 0 1 0\n  }\n  JOINT Knee"),
        ("CHANNELS 3", "CHANNELS 4 Yposition"),
        ("0 3 0 0 0 0 0 0 0", "0 3 0 0 0 0 -2 0 0 0"),
        ("0 3 1 0 0 90 0 90 0", "0 3 1 0 0 90 -3 0 90 0"),
    )
    refused(write(tmp_path / "bad.bvh", text), "moves along its bone")


# ASF and AMC


def test_amc_known_answer(tmp_path):
    write(tmp_path / "07.asf", ASF)
    clip = read_motion(write(tmp_path / "07_01.amc", AMC), 120)
    assert isinstance(clip, Clip)
    unit = 0.0254 / 0.45
    assert clip.skeleton.names == ("root", "thigh", "shin", "shin_end")
    assert np.allclose(clip.positions[0] / unit, [[0, 0, 3], [0, 0, 3], [0, 0, 1], [0, 0, 0]], atol=1e-9)
    # the thigh's axes are turned by 90 degrees about Z, so its rx turns about the file's Y, the bone: it stays down
    assert np.allclose(clip.positions[1] / unit, [[1, 0, 3], [1, 0, 3], [1, 0, 1], [1, 0, 0]], atol=1e-9)
    clip = read_motion(write(tmp_path / "07_02.amc", AMC.replace("thigh 90 0", "thigh 0 90")), 120)
    # its ry turns about the file's -X: the leg swings to the file's forward, then the root's 90 degrees take it left
    assert np.allclose(clip.positions[1] / unit, [[1, 0, 3], [1, 0, 3], [1, 2, 3], [1, 3, 3]], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("thigh 90 0", "thigh 90", "expected 2 values"),
        ("thigh 90 0", "tail 90 0", "not in its skeleton"),
        ("thigh 90 0\n", "", "truncated"),
        ("thigh 90 0", "thigh 90 nan", "frame 1"),
        ("thigh 90 0", "thigh 90 x", "not a number"),
        (":DEGREES", ":RADIANS", "radians"),
        (AMC, ":DEGREES\n", "0 frames"),
    ],
)
def test_amc_refused(tmp_path, old, new, match):
    write(tmp_path / "07.asf", ASF)
    refused(write(tmp_path / "07_01.amc", AMC.replace(old, new, 1)), match, 120)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  length 0.45\n", ""),
        ("length 0.45", "length 0"),
        ("direction 0 -1 0", "direction 0 -1"),
        ("axis 0 0 90 XYZ", "axis 0 0 XYZ"),
        ("dof rx ry", "dof rx bend"),
        ("    thigh shin\n", ""),
        ("    thigh shin\n", "    shin shin\n"),
        (":hierarchy", ":other"),
    ],
)
def test_asf_refused(tmp_path, old, new):
    write(tmp_path / "07.asf", ASF.replace(old, new, 1))
    path = write(tmp_path / "07_01.amc", AMC)
    with pytest.raises(MotionError, match=r"07\.asf"):
        read_motion(path, 120)


def test_amc_without_skeleton_or_fps_is_refused(tmp_path):
    path = write(tmp_path / "07_01.amc", AMC)
    refused(path, r"expected 07_01\.asf or 07\.asf", 120)
    write(tmp_path / "07.asf", ASF)
    refused(path, "--fps")


# arrays


def smpl_file(path: Path, **changes) -> Path:
    rng = np.random.default_rng(0)
    arrays = {"poses": 0.4 * rng.normal(size=(4, 72)), "trans": rng.normal(size=(4, 3)), "mocap_framerate": 30.0}
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


def test_amass_agrees_with_kinematics_in_the_models_own_axes(tmp_path):
    path = smpl_file(tmp_path / "a.npz")
    clip = read_motion(path)
    assert isinstance(clip, Clip)
    assert clip.skeleton == DEFAULT_SKELETON
    data = np.load(path)
    rest = DEFAULT_SKELETON.rest_positions @ Y_UP_TO_Z_UP + SMPL_PELVIS  # the resting body as the model has it, Y up
    for t in range(4):
        turns = Rotation.from_rotvec(data["poses"][t].reshape(24, 3))
        world, at = [turns[0]], [rest[0]]
        for j, parent in enumerate(SMPL_PARENTS[1:], 1):
            world.append(world[parent] * turns[j])
            at.append(at[parent] + world[parent].apply(rest[j] - rest[parent]))
        assert np.allclose(clip.positions[t], np.array(at) + data["trans"][t], atol=1e-9)


def test_amass_upright_body_stands_upright(tmp_path):
    poses = np.zeros((1, 72))
    poses[0, 0] = np.pi / 2  # AMASS's root orientation of a body standing upright: it looks along -Y
    clip = read_motion(smpl_file(tmp_path / "a.npz", poses=poses, trans=np.zeros((1, 3))))
    at = dict(zip(clip.skeleton.names, clip.positions[0], strict=True))
    assert at["head"][2] - at["pelvis"][2] > 0.4
    assert at["left_hand"][0] - at["right_hand"][0] > 1.2
    assert at["left_foot"][1] - at["left_ankle"][1] < -0.1


def test_smplh_fingers_are_not_taken_for_hands(tmp_path):
    poses = np.ones((4, 156))
    clip = read_motion(smpl_file(tmp_path / "a.npz", poses=poses))
    assert np.allclose(clip.rotations[:, 22:, 0], 1.0)
    assert not np.allclose(clip.rotations[:, 21, 0], 1.0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mocap_framerate": None}, "--fps"),
        ({"mocap_framerate": -1.0}, "fps"),
        ({"mocap_framerate": np.ones(3)}, "one number"),
        ({"poses": np.zeros((4, 63))}, "expected"),
        ({"trans": np.zeros((3, 3))}, "expected"),
        ({"poses": np.full((4, 72), np.nan)}, "frame 0"),
        ({"poses": np.zeros((0, 72)), "trans": np.zeros((0, 3))}, "0 frames"),
        ({"poses": np.full((4, 72), "x")}, "numbers"),
    ],
)
def test_amass_refused(tmp_path, changes, match):
    refused(smpl_file(tmp_path / "bad.npz", **changes), match)


def test_joints_are_turned_to_our_axes_and_keep_their_text(tmp_path):
    joints = np.zeros((3, 22, 3), np.float32)
    joints[:, 1] = [1, 2, 3]
    np.savez(tmp_path / "a.npz", joints=joints, fps=20.0, text="a person waves")
    track = read_motion(tmp_path / "a.npz")
    assert isinstance(track, JointTrack)
    assert (track.fps, track.names, track.texts) == (20.0, HUMANML3D_JOINTS, ("a person waves",))
    assert np.allclose(track.positions[:, 1], [3, 1, 2])
    np.save(tmp_path / "a.npy", joints)
    assert np.allclose(read_motion(tmp_path / "a.npy", 20).positions, track.positions)
    refused(tmp_path / "a.npy", "--fps")


@pytest.mark.parametrize(
    ("joints", "match"),
    [
        (np.zeros((3, 24, 3)), r"expected \(T, 22, 3\)"),
        (np.zeros((2, 3, 21, 3)), r"expected \(T, 22, 3\)"),
        (np.zeros((0, 22, 3)), "0 frames"),
        (np.full((3, 22, 3), np.inf), "frame 0"),
        (np.full((3, 22, 3), "a"), "numbers"),
    ],
)
def test_joints_refused(tmp_path, joints, match):
    np.savez(tmp_path / "bad.npz", joints=joints, fps=20.0)
    refused(tmp_path / "bad.npz", match)


def test_pickles_unknown_keys_and_truncation_are_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", joints=np.array([{}], dtype=object))
    refused(tmp_path / "pickled.npz", "pickled")
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1, 2, 3]))
    refused(tmp_path / "pickle.npy", "npy", 20)
    np.savez(tmp_path / "keys.npz", other=np.zeros(3))
    refused(tmp_path / "keys.npz", "other")
    whole = smpl_file(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz", "npz")


def test_given_fps_must_agree_with_the_file(tmp_path):
    path = smpl_file(tmp_path / "a.npz")
    assert read_motion(path, 30.2).fps == 30.0
    refused(path, "30 fps and --fps 20", 20)
    clip = read_motion(path)
    saved = save_clip(tmp_path / "clip.npz", clip)
    assert np.allclose(read_motion(saved).positions, clip.positions, atol=1e-5)
    refused(saved, "--fps 20", 20)


def test_unknown_extension_missing_file_and_folder(tmp_path):
    refused(write(tmp_path / "a.fbx", ""), "unknown extension")
    refused(tmp_path / "none.bvh", "no such file")
    (tmp_path / "dir.bvh").mkdir()
    refused(tmp_path / "dir.bvh", "a folder")


def test_find_motions(tmp_path):
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.bvh", "a.npz", "sub/c.amc", "notes.txt", "07.asf", ".hidden.npz"):
        write(folder / name, "")
    assert [p.relative_to(folder).as_posix() for p in find_motions(folder)] == ["a.npz", "b.bvh", "sub/c.amc"]
    assert list(find_motions([folder / "b.bvh", folder / "notes.txt"])) == [folder / "b.bvh", folder / "notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MotionError, match="no motion file"):
        list(find_motions([folder, tmp_path / "empty"]))
    with pytest.raises(MotionError, match="no such"):
        find_motions(tmp_path / "missing")
    with pytest.raises(MotionError, match="no motion file given"):
        find_motions([])


# real files


def test_every_asap_clip_stands_near_the_ground(tmp_path):
    paths = list(find_motions(unpacked("asap", tmp_path)))
    assert len(paths) == 51
    for path in paths:
        clip = read_motion(path)
        feet = clip.positions[:, [10, 11], 2].min(axis=1)
        assert clip.fps == 30.0
        assert -0.1 < np.percentile(feet, 5) < 0.15, path
        assert np.median(clip.positions[:, 15, 2] - feet) > 0.8, path


def test_cmu_trial_walks_at_human_size():
    clip = read_motion(shared("cmu", "02_01.amc"), 120)
    assert clip.num_frames == 343
    leg = np.linalg.norm(clip.skeleton.offsets[[clip.skeleton.index(b) for b in ("ltibia", "lfoot")]], axis=1)
    assert 0.75 < leg.sum() < 0.95
    assert 1.0 < np.linalg.norm(clip.root_pos[-1] - clip.root_pos[0]) / clip.duration < 1.6
    toes = clip.positions[:, [clip.skeleton.index(b) for b in ("ltoes", "rtoes")], 2]
    assert 0.0 < np.percentile(toes, 5) < 0.05


def test_t2mgpt_file_names_are_prompts():
    track = read_motion(shared("generated", "joints22", "t2mgpt_a_person_is_playing_golf.npz"))
    assert track.texts == ("a person is playing golf",)
    assert read_motion(shared("generated", "joints22", "mdm_hlcdyy_00.npz")).texts == ()
