"""Fitting joint positions: error, speed, smoothness, bend directions, and a ground that is never measured."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, TOE_HEIGHT, Clip, JointTrack, fit_joints, read_motion
from morphloop.motion.fitting.fit import MIRROR, is_mirrored, scaled_track
from morphloop.motion.rotations import angular_velocity, quat_from_rotvec, quat_to_rotvec

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
ODD_BODIES = ("mdm_ciroanni_a0", "mdm_ciroanni_b0")
"""Clips of an MDM whose collars and spine are 25 to 50 mm off anybody's: their error is the bones'."""


def generated() -> list[Path]:
    folder = SHARED / "data" / "generated" / "joints22"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set MORPHLOOP_SHARED")
    return sorted(folder.glob("*.npz"))


def made_clip(frames: int = 80, fps: float = 20.0) -> Clip:
    """A body of default size that squats, reaches and turns smoothly, walking along a curve."""
    phase = np.linspace(0, 2 * np.pi, frames)
    turns = np.zeros((frames, 24, 3))
    name = DEFAULT_SKELETON.index
    turns[:, 0, 2] = 0.8 * np.sin(phase)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = np.sin(2 * phase) * sign
        turns[:, name(f"{side}_hip"), 1] = -0.5 - 0.4 * swing
        turns[:, name(f"{side}_knee"), 1] = 0.8 + 0.5 * swing
        turns[:, name(f"{side}_ankle"), 1] = -0.2
        turns[:, name(f"{side}_shoulder"), 0] = -sign * (0.9 + 0.4 * np.cos(phase))
        turns[:, name(f"{side}_elbow"), 2] = -sign * (0.7 + 0.4 * np.sin(phase))
    turns[:, name("spine2"), 1] = 0.2 * np.sin(phase)
    root = np.stack([np.sin(phase), 0.3 * phase, 0.9 + 0.05 * np.cos(phase)], axis=1)
    return Clip(fps, DEFAULT_SKELETON, root, quat_from_rotvec(turns), name="made")


def track_of(clip: Clip, scale: float = 1.0) -> JointTrack:
    return JointTrack(clip.fps, HUMANML3D_JOINTS, scale * clip.positions[:, :22], ("made",), "made")


@pytest.mark.parametrize("scale", [1.0, 0.01, 1.3])
def test_recovers_a_pose_of_the_default_body_at_any_scale(scale):
    clip = made_clip()
    fitted = fit_joints(track_of(clip, scale))
    assert fitted.provenance.notes["scale"] == pytest.approx(1.0 / scale, rel=1e-6)
    error = np.linalg.norm(fitted.positions[:, :22] - clip.positions[:, :22] - [0, 0, TOE_HEIGHT], axis=-1)
    assert 1000 * error.mean() < 4.0
    knees = [DEFAULT_SKELETON.index(f"{side}_knee") for side in ("left", "right")]
    bend = quat_to_rotvec(fitted.rotations[:, knees])[..., 1] - quat_to_rotvec(clip.rotations[:, knees])[..., 1]
    assert np.degrees(np.abs(bend)).max() < 6.0


def test_raises_by_the_constant_and_never_by_the_clip():
    track = track_of(made_clip())
    fitted = fit_joints(track)
    floated = fit_joints(replace(track, positions=track.positions + np.array([0.0, 0.0, 0.2])))
    assert fitted.provenance.notes["raised_m"] == TOE_HEIGHT
    assert np.abs(floated.positions - fitted.positions - [0, 0, 0.2]).max() < 1e-3
    feet = [7, 8, 10, 11]
    assert np.abs(fitted.positions[:, feet, 2] - track.positions[:, feet, 2] - TOE_HEIGHT).max() < 2e-3


def test_one_frame_and_static_tracks():
    track = track_of(made_clip())
    single = fit_joints(replace(track, positions=track.positions[:1]))
    assert single.num_frames == 1
    assert single.provenance.notes["fit_error_mm"] < 5
    still = fit_joints(replace(track, positions=np.repeat(track.positions[:1], 10, axis=0)))
    assert np.abs(angular_velocity(still.rotations, 20.0)).max() < 0.05


def test_same_input_same_bytes():
    track = track_of(made_clip())
    assert fit_joints(track).rotations.tobytes() == fit_joints(track).rotations.tobytes()


def test_provenance_and_texts():
    track = track_of(made_clip())
    fitted = fit_joints(track)
    assert (fitted.texts, fitted.fps) == (("made",), 20.0)
    assert (fitted.provenance.stage, fitted.provenance.parent) == ("fit", track.id)
    assert "mirrored" not in fitted.provenance.notes


def test_mirrored_track_gets_its_sides_back():
    track = track_of(made_clip())
    assert not is_mirrored(track.positions)
    mirrored = replace(track, positions=track.positions[:, list(MIRROR)])
    assert is_mirrored(mirrored.positions)
    fitted = fit_joints(mirrored)
    assert "mirrored" in fitted.provenance.notes
    assert np.allclose(fitted.positions, fit_joints(track).positions)


def test_refuses_other_joints_and_points():
    with pytest.raises(MotionError, match="22 joints"):
        fit_joints(JointTrack(20.0, ("a", "b"), np.zeros((3, 2, 3))))
    with pytest.raises(MotionError, match="legs"):
        fit_joints(JointTrack(20.0, HUMANML3D_JOINTS, np.zeros((3, 22, 3))))


def test_generated_clips():
    """15 mm mean error, feet at their height, knees that bend forward, no limb that spins, 300 frames a second."""
    frames, seconds = 0, 0.0
    for path in generated():
        track = read_motion(path)
        assert isinstance(track, JointTrack)
        start = time.process_time()
        clip = fit_joints(track)
        seconds += time.process_time() - start
        frames += track.num_frames
        target, scale = scaled_track(track)
        assert 0.9 < scale < 1.0
        error = np.linalg.norm(clip.positions[:, :22] - target, axis=-1)
        assert 1000 * error.mean() < (20.0 if path.stem in ODD_BODIES else 15.0), path.stem
        assert np.abs(clip.positions[:, [7, 8, 10, 11], 2] - target[:, [7, 8, 10, 11], 2]).max() < 5e-3, path.stem
        knees = quat_to_rotvec(clip.rotations[:, [4, 5]])
        assert knees[..., 1].min() > -0.35, path.stem
        assert np.abs(knees[..., [0, 2]]).max() < 0.3, path.stem
        speed = np.linalg.norm(angular_velocity(clip.rotations, clip.fps), axis=-1)
        assert np.percentile(speed, 99) < 10.0, path.stem
        assert speed.max() < 25.0, path.stem
        assert np.allclose(clip.rotations[:, 20:, 0], 1.0), "wrists and hands are neutral"
    assert frames / seconds > 300
