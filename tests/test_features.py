"""Features: the round trip, the canonical start, and what each channel means."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Clip, Skeleton, forward_kinematics
from morphloop.motion.features import (
    CONTACTS,
    FEATURE_SIZE,
    HEIGHT,
    VELOCITY,
    YAW_RATE,
    clip_to_features,
    features_to_clip,
    features_to_motion,
    features_to_positions,
)
from morphloop.motion.rotations import (
    quat_angle,
    quat_conj,
    quat_from_heading,
    quat_from_rotvec,
    quat_mul,
    quat_normalize,
    quat_rotate,
)

POSITION_MM = 1e-3
ANGLE_RAD = np.radians(0.01)


def wild_clip(frames: int = 90, seed: int = 0) -> Clip:
    """Smooth random rotations in every joint, a root that turns more than once around and travels."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    phase, speed = rng.uniform(0, 6, (2, 1, 24, 3))
    rotations = quat_from_rotvec(0.8 * np.sin(phase + speed * time))
    yaw = quat_from_heading(np.linspace(1.0, 9.0, frames))
    rotations[:, 0] = quat_mul(yaw, quat_from_rotvec(0.4 * np.sin(time[:, 0] * speed[0, 0])))
    root = np.cumsum(rng.normal(0, 0.01, (frames, 3)), axis=0) + np.array([3.0, -2.0, 0.9])
    return Clip(30.0, DEFAULT_SKELETON, root, rotations)


def canonical(clip: Clip) -> Clip:
    """The clip turned and moved so that it starts over the origin facing X, by an independent route."""
    forward = quat_rotate(clip.rotations[0, 0], np.array([1.0, 0.0, 0.0]))
    turn = quat_from_heading(-np.arctan2(forward[1], forward[0]))
    root = quat_rotate(np.broadcast_to(turn, (clip.num_frames, 4)), clip.root_pos - clip.root_pos[0] * [1, 1, 0])
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_mul(np.broadcast_to(turn, (clip.num_frames, 4)), rotations[:, 0])
    return replace(clip, root_pos=root, rotations=rotations)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_round_trip_is_exact(seed: int) -> None:
    clip = wild_clip(seed=seed)
    back, wanted = features_to_clip(clip_to_features(clip)), canonical(clip)
    assert np.abs(back.positions - wanted.positions).max() * 1000 < POSITION_MM
    assert quat_angle(back.rotations, wanted.rotations).max() < ANGLE_RAD


def test_round_trip_in_single_precision_on_torch() -> None:
    clip = wild_clip()
    features = torch.from_numpy(clip_to_features(clip).astype(np.float32))
    root, rotations = features_to_motion(features[None].repeat(2, 1, 1))
    wanted = canonical(clip)
    assert np.abs(root[1].numpy() - wanted.root_pos).max() < 1e-3
    assert quat_angle(rotations[1].double().numpy(), wanted.rotations).max() < np.radians(0.05)


def test_positions_straight_from_features_are_those_of_the_motion() -> None:
    features = clip_to_features(wild_clip())
    features += np.random.default_rng(1).normal(0, 0.1, features.shape)
    wanted = forward_kinematics(DEFAULT_SKELETON, *features_to_motion(features))[0]
    assert np.abs(features_to_positions(features) - wanted).max() < 1e-9
    batch = torch.from_numpy(features.astype(np.float32))[None].repeat(2, 1, 1)
    assert np.abs(features_to_positions(batch)[1].numpy() - wanted).max() < 1e-3


def test_features_do_not_know_place_or_heading() -> None:
    clip = wild_clip()
    assert np.allclose(clip_to_features(clip), clip_to_features(canonical(clip)), atol=1e-9)


def test_channels_mean_what_they_say() -> None:
    frames = 31
    yaw = 2.0 + 0.5 * np.arange(frames) / 30
    rotations = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 24, 1))
    rotations[:, 0] = quat_from_heading(yaw)
    left = quat_rotate(rotations[:, 0], np.broadcast_to([0.0, 1.2, 0.0], (frames, 3)))
    root = np.concatenate([np.zeros((1, 3)), np.cumsum(left[:-1] / 30, axis=0)]) + np.array([0, 0, 0.945])
    features = clip_to_features(Clip(30.0, DEFAULT_SKELETON, root, rotations))
    assert features.shape == (frames, FEATURE_SIZE)
    assert np.allclose(features[:, YAW_RATE], 0.5)
    assert np.allclose(features[:, VELOCITY], [0.0, 1.2])
    assert np.allclose(features[:, HEIGHT], 0.945)
    assert (features[:, CONTACTS] == 1).all(), "standing height, however the feet slide"
    up = clip_to_features(Clip(30.0, DEFAULT_SKELETON, root + np.array([0, 0, 0.2]), rotations))
    assert (up[:, CONTACTS] == 0).all()


def test_other_frame_rate_is_resampled() -> None:
    clip = wild_clip(frames=61)
    assert len(clip_to_features(replace(clip, fps=60.0))) == 31


def test_single_frame_stands_still() -> None:
    features = clip_to_features(wild_clip().slice(0, 1))
    assert (features[:, :3] == 0).all()
    assert features_to_clip(features).num_frames == 1


def test_bad_input_is_refused() -> None:
    clip = wild_clip(frames=4)
    other = Skeleton(DEFAULT_SKELETON.names, DEFAULT_SKELETON.parents, DEFAULT_SKELETON.offsets * 1.1)
    with pytest.raises(MotionError, match="default skeleton"):
        clip_to_features(replace(clip, skeleton=other))
    with pytest.raises(MotionError, match=r"features \(4, 3\)"):
        features_to_clip(np.zeros((4, 3)))
    with pytest.raises(MotionError, match="NaN"):
        features_to_clip(np.full((4, FEATURE_SIZE), np.nan))


def test_rotations_of_decoded_features_are_unit() -> None:
    features = np.random.default_rng(0).normal(size=(20, FEATURE_SIZE))
    rotations = features_to_motion(features)[1]
    assert np.allclose(rotations, quat_normalize(rotations))
    assert np.allclose(quat_mul(rotations, quat_conj(rotations))[..., 0], 1.0)
