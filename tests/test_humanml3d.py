"""HumanML3D's 263 numbers: the published pair to 1e-5, the quirks that it takes, and the way back."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.motion import HUMANML3D_JOINTS, JointTrack, make_corpus, read_motion
from morphloop.motion.humanml3d import (
    BONE_LENGTHS,
    GROUPS,
    canonical_joints,
    joints_from_features,
    joints_to_features,
    track_from_features,
    track_to_features,
)
from morphloop.motion.rotations import quat_rotate
from morphloop.motion.skeleton import SMPL_PARENTS, Y_UP_TO_Z_UP

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def sample() -> tuple[Path, Path]:
    folder = SHARED / "data" / "humanml3d"
    if not folder.exists():
        pytest.skip(f"no {folder}: set MORPHLOOP_SHARED")
    return folder / "new_joints" / "012314.npy", folder / "new_joint_vecs" / "012314.npy"


def with_closing_frame(joints: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The published joints with the frame that upstream had and did not publish, from the last row's velocities."""
    half = rows[:-1, 0].sum()
    back = np.broadcast_to([np.cos(half), 0.0, -np.sin(half), 0.0], (22, 4))
    last = joints[-1] + quat_rotate(back, rows[-1, GROUPS["velocities"]].reshape(22, 3))
    return np.concatenate([joints, last[None]])


def test_published_pair():
    joints, rows = (np.load(path).astype(float) for path in sample())
    ours = joints_to_features(with_closing_frame(joints, rows))
    assert ours.shape == rows.shape == (170, 263)
    for name, columns in GROUPS.items():
        assert np.abs(ours[:, columns] - rows[:, columns]).max() < 1e-5, name


def test_without_the_frame_that_was_not_published_only_the_tail_differs():
    joints, rows = (np.load(path).astype(float) for path in sample())
    ours = joints_to_features(joints)
    assert ours.shape == (169, 263)
    # the Gaussian over the facing direction reaches 80 frames
    assert np.abs(ours[:89] - rows[:89]).max() < 1e-5
    assert 1e-3 < np.abs(ours - rows[:-1]).max() < 0.05


def test_published_joints_are_what_recovery_makes_of_the_rows():
    joints, rows = (np.load(path).astype(float) for path in sample())
    assert np.abs(joints_from_features(rows) - joints).max() < 1e-6
    assert np.abs(canonical_joints(joints) - joints).max() < 1e-5


def test_reader_takes_rows_as_joints_at_20_fps():
    joints_file, rows_file = sample()
    track = read_motion(rows_file)
    assert isinstance(track, JointTrack)
    assert (track.fps, track.num_frames, track.names) == (20.0, 170, HUMANML3D_JOINTS)
    assert np.abs(track.positions - read_motion(joints_file, 20).positions).max() < 1e-6
    assert np.abs(np.load(joints_file)[:, :, 1] - track.positions[:, :, 2]).max() < 1e-6
    with pytest.raises(MotionError, match="20 fps and --fps 30"):
        read_motion(rows_file, 30)


def corpus_track(seed: int = 3) -> JointTrack:
    clip = make_corpus(1, seed)[0]
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, :22], name=clip.name)


@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_way_back_ends_on_the_canonical_joints(seed):
    track = corpus_track(seed)
    wanted = canonical_joints(track.resampled(20.0).positions @ Y_UP_TO_Z_UP)
    rows = track_to_features(track)
    assert len(rows) == len(wanted) - 1
    found = track_from_features(rows)
    assert np.abs(found.positions @ Y_UP_TO_Z_UP - wanted[:-1]).max() < 1e-4


def test_canonical_joints_stand_on_the_floor_and_face_z_with_the_data_sets_bones():
    made = canonical_joints(corpus_track().resampled(20.0).positions @ Y_UP_TO_Z_UP)
    bones = np.linalg.norm(made[:, 1:] - made[:, list(SMPL_PARENTS[1:22])], axis=-1)
    assert np.abs(bones - BONE_LENGTHS[1:]).max() < 1e-9
    assert abs(made[..., 1].min()) < 1e-12
    assert np.abs(made[0, 0, [0, 2]]).max() < 1e-12
    left = made[0, 1] - made[0, 2] + made[0, 16] - made[0, 17]
    assert left[0] > 0
    assert abs(left[2]) < 1e-9


def test_place_heading_and_size_of_the_input_do_not_matter():
    track = corpus_track()
    c, s = np.cos(2.0), np.sin(2.0)
    turned = 1.3 * track.positions @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + np.array([3.0, -2.0, 0.4])
    assert np.abs(track_to_features(track) - track_to_features(replace(track, positions=turned))).max() < 1e-4


def test_turning_past_the_back_keeps_upstreams_wrong_sign():
    rest = corpus_track().positions[0] @ Y_UP_TO_Z_UP
    rest = rest - rest[0] * [1, 0, 1]
    angles = np.linspace(0.0, 2.0 * np.pi, 200)
    turns = np.stack([np.cos(angles / 2), 0 * angles, np.sin(angles / 2), 0 * angles], -1)
    joints = quat_rotate(np.broadcast_to(turns[:, None], (200, 22, 4)), np.broadcast_to(rest, (200, 22, 3)))
    turn = joints_to_features(joints)[20:-20, 0]
    assert (turn > 0).sum() == 1
    assert (turn < 0).sum() == len(turn) - 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: rows[:, :262], r"expected \(T, 263\)"),
        (lambda rows: rows[:0], r"expected \(T, 263\)"),
        (lambda rows: rows - rows.mean(0), "Std.npy"),
        (lambda rows: rows + 2.0, "Std.npy"),
    ],
)
def test_rows_refused(change, match):
    with pytest.raises(MotionError, match=match):
        track_from_features(change(track_to_features(corpus_track())))


def test_tracks_refused():
    track = corpus_track()
    with pytest.raises(MotionError, match="1 frame at 20 fps"):
        track_to_features(replace(track, positions=track.positions[:1]))
    with pytest.raises(MotionError, match="coincide at frame 0"):
        track_to_features(replace(track, positions=np.zeros((5, 22, 3))))
    with pytest.raises(MotionError, match="22 in its order"):
        track_to_features(replace(track, names=HUMANML3D_JOINTS[::-1]))


def test_features_of_our_clips_lie_where_the_data_sets_do():
    folder = sample()[0].parent.parent
    mean, std = np.load(folder / "Mean.npy"), np.load(folder / "Std.npy")
    rows = [track_to_features(corpus_track(seed)) for seed in range(3)]
    scores = np.abs((np.concatenate(rows) - mean) / std)
    for name, columns in GROUPS.items():
        assert scores[:, columns].mean() < 2.0, name
