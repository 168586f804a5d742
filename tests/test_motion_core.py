"""Rotations, skeleton, clip and clip files: identities, known answers, and files that must be refused or left whole."""

import json
import os
import pickle
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from morphloop.base import MotionError, write_atomic, write_json
from morphloop.motion import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    Provenance,
    Skeleton,
    forward_kinematics,
    load_clip,
    read_manifest,
    save_clip,
    write_manifest,
)
from morphloop.motion import rotations as rot
from morphloop.motion.files import read_npy, read_npz
from morphloop.motion.skeleton import Y_UP_TO_Z_UP, local_rotations

TOLERANCE = 1e-9


def random_quats(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    quats = np.random.default_rng(seed).normal(size=(*shape, 4))
    return quats / np.linalg.norm(quats, axis=-1, keepdims=True)


def random_clip(frames: int = 7, seed: int = 0) -> Clip:
    root = np.random.default_rng(seed).normal(size=(frames, 3))
    return Clip(30.0, DEFAULT_SKELETON, root, random_quats((frames, 24), seed), ("a walk",), "sample")


def scipy(quats: np.ndarray) -> Rotation:
    return Rotation.from_quat(quats, scalar_first=True)


def test_quaternion_algebra_agrees_with_scipy():
    a, b = random_quats((50,), 1), random_quats((50,), 2)
    vectors = np.random.default_rng(3).normal(size=(50, 3))
    product = scipy(a) * scipy(b)
    assert np.allclose(np.abs((rot.quat_mul(a, b) * product.as_quat(scalar_first=True)).sum(-1)), 1.0, atol=TOLERANCE)
    assert np.allclose(rot.quat_rotate(a, vectors), scipy(a).apply(vectors), atol=TOLERANCE)
    assert np.allclose(rot.quat_to_matrix(a), scipy(a).as_matrix(), atol=TOLERANCE)
    assert np.allclose(rot.quat_to_rotvec(a), scipy(a).as_rotvec(), atol=1e-7)
    assert np.allclose(rot.quat_angle(a, b), (scipy(a).inv() * scipy(b)).magnitude(), atol=1e-7)


@pytest.mark.parametrize(
    ("to", "back"),
    [
        (rot.quat_to_matrix, rot.quat_from_matrix),
        (rot.quat_to_rotvec, rot.quat_from_rotvec),
        (rot.quat_to_6d, rot.quat_from_6d),
    ],
)
def test_rotation_forms_round_trip(to, back):
    half_turns = np.concatenate([np.zeros((3, 1)), np.eye(3)], axis=1)
    quats = np.concatenate([random_quats((200,), 4), half_turns, [[1.0, 0, 0, 0], [1.0, 1e-9, 0, 0]]])
    assert np.abs((back(to(quats)) * quats).sum(-1)).min() > 1 - 1e-7


def test_torch_and_numpy_agree():
    quats = random_quats((20, 24), 5)
    root = np.random.default_rng(6).normal(size=(20, 3))
    expected = forward_kinematics(DEFAULT_SKELETON, root, quats)
    found = forward_kinematics(DEFAULT_SKELETON, torch.tensor(root), torch.tensor(quats))
    for e, f in zip(expected, found, strict=True):
        assert np.allclose(e, f.numpy(), atol=TOLERANCE)


def test_quat_between_takes_one_direction_to_the_other_even_when_opposite():
    u = np.concatenate([np.random.default_rng(7).normal(size=(50, 3)), np.eye(3), -np.eye(3)])
    v = np.concatenate([np.random.default_rng(8).normal(size=(50, 3)), -np.eye(3), np.eye(3)])
    turned = rot.quat_rotate(rot.quat_between(u, v), u)
    assert np.allclose(
        turned / np.linalg.norm(turned, axis=-1, keepdims=True),
        v / np.linalg.norm(v, axis=-1, keepdims=True),
        atol=1e-7,
    )


def test_slerp_goes_half_way_along_the_shorter_arc():
    a, b = random_quats((50,), 9), random_quats((50,), 10)
    middle = rot.quat_slerp(a, b, np.full(50, 0.5))
    assert np.allclose(rot.quat_angle(a, middle), 0.5 * rot.quat_angle(a, b), atol=1e-7)
    assert np.allclose(rot.quat_angle(middle, b), 0.5 * rot.quat_angle(a, b), atol=1e-7)


def test_angular_velocity_of_a_steady_turn_and_of_one_frame():
    turn = rot.quat_from_heading(np.arange(10) * 0.1)
    assert np.allclose(rot.angular_velocity(turn, 20.0), [0.0, 0.0, 2.0], atol=1e-7)
    assert np.allclose(rot.heading(turn), np.arange(10) * 0.1, atol=TOLERANCE)
    assert (rot.angular_velocity(turn[:1], 20.0) == 0).all()


def test_forward_kinematics_of_a_known_pose():
    arm = Skeleton(("a", "b", "c"), (-1, 0, 1), np.array([[0.0, 0, 0], [0, 1, 0], [0, 1, 0]]))
    quarter = np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)])
    local = np.stack([[1.0, 0, 0, 0], quarter, [1.0, 0, 0, 0]])[None]
    positions, globals_ = forward_kinematics(arm, np.array([[1.0, 2, 3]]), local)
    assert np.allclose(positions[0], [[1, 2, 3], [1, 3, 3], [0, 3, 3]], atol=TOLERANCE)
    assert np.allclose(globals_[0, 2], quarter, atol=TOLERANCE)


def test_local_rotations_invert_forward_kinematics():
    clip = random_clip()
    local = local_rotations(DEFAULT_SKELETON, clip.global_rotations)
    assert np.abs((local * clip.rotations).sum(-1)).min() > 1 - 1e-9


def test_default_skeleton_stands_upright_and_faces_forward():
    rest = dict(zip(DEFAULT_SKELETON.names, DEFAULT_SKELETON.rest_positions, strict=True))
    assert rest["head"][2] > 0.4 > -0.8 > rest["left_foot"][2]
    assert rest["left_hand"][1] > 0.6
    assert rest["right_hand"][1] < -0.6
    assert rest["left_foot"][0] > rest["left_ankle"][0] + 0.1
    assert np.allclose(Y_UP_TO_Z_UP @ Y_UP_TO_Z_UP.T, np.eye(3))
    assert np.linalg.det(Y_UP_TO_Z_UP) == pytest.approx(1.0)


def test_skeleton_refuses_a_child_before_its_parent():
    with pytest.raises(MotionError, match="parent before"):
        Skeleton(("a", "b", "c"), (-1, 2, 0), np.zeros((3, 3)))


def test_clip_refuses_what_is_no_motion():
    good = random_clip()
    nan = good.root_pos.copy()
    nan[3, 1] = np.nan
    for changes, message in (
        ({"root_pos": nan}, "frame 3"),
        ({"root_pos": np.zeros((0, 3)), "rotations": np.zeros((0, 24, 4))}, "0 frames"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"rotations": np.zeros((7, 24, 4))}, "zero quaternion"),
        ({"rotations": good.rotations[:, :20]}, "expected"),
    ):
        with pytest.raises(MotionError, match=message):
            replace(good, **changes)


def test_resampling_keeps_time_and_first_frame():
    root = np.stack([np.linspace(0, 1, 61), np.zeros(61), np.ones(61)], axis=1)
    turn = np.zeros((61, 24, 4))
    turn[..., 0] = 1.0
    turn[:, 0] = rot.quat_from_heading(np.linspace(0, 1.2, 61))
    clip = Clip(60.0, DEFAULT_SKELETON, root, turn)
    slow = clip.resampled(20.0)
    assert slow.num_frames == 21
    assert slow.duration == pytest.approx(clip.duration)
    assert np.allclose(slow.root_pos[:, 0], np.linspace(0, 1, 21), atol=1e-9)
    assert np.allclose(rot.heading(slow.rotations[:, 0]), np.linspace(0, 1.2, 21), atol=1e-9)


def test_clip_file_round_trip(tmp_path):
    clip = random_clip().with_provenance(prompt="a walk", seed=3, notes={"x": 1})
    loaded = load_clip(save_clip(tmp_path / "clip.npz", clip))
    assert isinstance(loaded, Clip)
    assert (loaded.fps, loaded.texts, loaded.name) == (30.0, ("a walk",), "sample")
    assert loaded.provenance == clip.provenance
    assert loaded.skeleton == clip.skeleton
    assert np.allclose(loaded.positions, clip.positions, atol=1e-5)


def test_joint_track_file_round_trip(tmp_path):
    positions = np.random.default_rng(0).normal(size=(5, 22, 3))
    track = JointTrack(20.0, HUMANML3D_JOINTS, positions, ("x",), provenance=Provenance(source="s"))
    loaded = load_clip(save_clip(tmp_path / "joints.npz", track))
    assert isinstance(loaded, JointTrack)
    assert loaded.id == track.id
    assert np.allclose(loaded.positions, positions, atol=1e-6)


def test_id_follows_the_motion_and_nothing_else():
    clip = random_clip()
    assert replace(clip, name="other", texts=()).id == clip.id
    assert clip.moved(np.array([0.0, 0.0, 0.01])).id != clip.id


def test_atomic_write_leaves_nothing_behind_on_failure(tmp_path):
    target = tmp_path / "file.bin"
    write_atomic(target, lambda stream: stream.write(b"old"))

    def fail(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(target, fail)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_unwritable_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MotionError, match="cannot write"):
        write_json(tmp_path / "file" / "x.json", {})


def test_json_refuses_nan_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_of_a_clip_file_is_a_motion_error(tmp_path):
    data = save_clip(tmp_path / "clip.npz", random_clip()).read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        part = tmp_path / "part.npz"
        part.write_bytes(data[: int(share * len(data))])
        with pytest.raises(MotionError, match=r"part\.npz"):
            load_clip(part)


def test_damaged_bytes_are_a_motion_error_or_the_same_clip(tmp_path):
    clip = random_clip()
    data = save_clip(tmp_path / "clip.npz", clip).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 0xFF
        (tmp_path / "broken.npz").write_bytes(bytes(broken))
        try:
            assert np.allclose(load_clip(tmp_path / "broken.npz").rotations, clip.rotations, atol=1e-6)
        except MotionError:
            refused += 1
    assert refused > 20


class Bomb:
    fired = False

    def __reduce__(self):
        return (setattr, (Bomb, "fired", True))


def test_pickles_are_not_executed(tmp_path):
    """An array of objects by itself is refused; beside others it is passed over unread."""
    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "bomb.npz", meta=np.array([Bomb()], dtype=object))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(MotionError, match="pickled"):
        read_npy(tmp_path / "bomb.npy")
    assert read_npz(tmp_path / "bomb.npz") == {}
    with pytest.raises(MotionError, match="not a readable npz"):
        read_npz(tmp_path / "raw.npz")
    assert not Bomb.fired


def test_header_announcing_a_huge_array_is_refused_before_allocation(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000, 22, 3), }"
    header += b" " * (117 - len(header)) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("joints.npy", npy)
    with pytest.raises(MotionError, match="announces"):
        read_npz(tmp_path / "huge.npz")


def test_foreign_and_later_schemas_are_refused(tmp_path):
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    with pytest.raises(MotionError, match="no morphloop meta"):
        load_clip(tmp_path / "foreign.npz")
    np.savez(tmp_path / "later.npz", meta=np.array(json.dumps({"schema": 99, "kind": "clip"})))
    with pytest.raises(MotionError, match="schema 99"):
        load_clip(tmp_path / "later.npz")


def test_manifest_round_trip_and_broken_line(tmp_path):
    rows = [{"id": "a", "fps": 20.0}, {"id": "b", "fps": 30.0}]
    write_manifest(tmp_path, rows)
    assert read_manifest(tmp_path) == rows
    (tmp_path / "manifest.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(MotionError, match="line 2"):
        read_manifest(tmp_path)


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, {"a": 1})
    assert json.loads(os.read(reader, 100)) == {"a": 1}
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(MotionError, match="is a folder"):
        write_json(tmp_path, {})
