"""The way from a body's stand to a clip and back: level, on the ground, smooth, within ranges, the clip untouched."""

import numpy as np
import pytest

from morphloop.motion import Clip, make_corpus
from morphloop.motion.rotations import quat_from_rotvec, quat_mul, quat_to_matrix
from morphloop.sim import blended, default_body, driven_body, standing

FPS = 50.0


@pytest.fixture(scope="module")
def g1():
    return driven_body("g1")


@pytest.fixture(scope="module")
def walk(g1) -> Clip:
    """The G1 that slides along at 1 m/s, turned by 100 degrees, arms swinging."""
    time = np.arange(51) / FPS
    qpos = np.repeat(g1.qpos_from_clip(standing(g1, 0.0, FPS)), len(time), axis=0)
    heading = quat_from_rotvec(np.array([[0.0, 0.0, np.radians(100.0)]]))
    qpos[:, 3:7] = quat_mul(heading, qpos[:, 3:7])
    qpos[:, :2] = 3.0 + np.outer(time, [np.cos(np.radians(100.0)), np.sin(np.radians(100.0))])
    arm = g1.model.joint("left_shoulder_pitch_joint").qposadr[0]
    qpos[:, arm] += 0.5 * np.sin(6.0 * time)
    return g1.clip_from_qpos(qpos, FPS, "walk").with_provenance(simulator="MuJoCo")


def lowest(clip: Clip, body) -> np.ndarray:
    surface = body.surface
    turned = np.einsum("tpij,pj->tpi", quat_to_matrix(clip.global_rotations[:, surface.joint]), surface.local)
    return (clip.positions[:, surface.joint, 2] + turned[..., 2] - surface.radius).min(axis=1)


def test_the_clip_stays_and_the_ends_are_the_stand(g1, walk):
    made, stand = blended(walk, g1, 1.0), standing(g1, 0.0, FPS)
    assert made.num_frames == walk.num_frames + 100
    assert np.array_equal(made.root_pos[50:-50], walk.root_pos)
    assert np.allclose(np.abs((made.rotations[50:-50] * walk.rotations).sum(-1)), 1.0)
    for frame in (0, -1):
        assert np.allclose(np.abs((made.rotations[frame, 1:] * stand.rotations[0, 1:]).sum(-1)), 1.0, atol=1e-9)
        assert made.root_pos[frame, 2] == pytest.approx(stand.root_pos[0, 2], abs=1e-6)
    root = quat_to_matrix(made.rotations[0, 0])
    assert root[2, 2] == pytest.approx(1.0)  # level
    assert np.degrees(np.arctan2(root[1, 0], root[0, 0])) == pytest.approx(100.0, abs=0.1)
    assert made.provenance.parent == walk.id
    assert made.provenance.notes["blended_s"] == 1.0


def test_the_way_is_smooth_and_on_the_ground(g1, walk):
    made = blended(walk, g1, 1.0)
    assert np.abs(lowest(made, g1)).max() < 1e-6
    speed = np.linalg.norm(np.diff(made.root_pos[:, :2], axis=0), axis=1) * FPS
    assert speed[0] < 0.05
    assert speed[-1] < 0.05
    assert (np.diff(speed[:50]) > 0).all()  # it speeds up evenly and never goes back
    assert np.abs(np.diff(speed)).max() < 0.05
    angles = g1.robot.angles(made.rotations)
    hinge = g1.robot.hinge_names.index("left_shoulder_pitch_joint")
    rate = np.diff(angles[:, hinge]) * FPS
    assert np.abs(np.diff(rate)).max() < 0.5  # rad/s from a frame to the next; the swing itself has 0.36
    low, high = (np.array([getattr(h, side) for h in g1.robot.hinges]) for side in ("low", "high"))
    assert ((angles > low - 1e-6) & (angles < high + 1e-6)).all()


def test_a_clip_in_the_air_is_reached_evenly(g1, walk):
    made = blended(walk.moved(np.array([0.0, 0.0, 0.2])), g1, 0.5)
    heights = lowest(made, g1)
    assert heights[0] == pytest.approx(0.0, abs=1e-6)
    assert (np.diff(heights[:26]) >= -1e-9).all()
    assert heights[25] == pytest.approx(0.2, abs=1e-6)


def test_no_seconds_give_the_clip_and_a_person_is_blended_too(g1, walk):
    assert blended(walk, g1, 0.0) is walk
    person = make_corpus(1, 1)[0]
    made = blended(person, default_body(), 0.5)
    assert made.num_frames == person.num_frames + 2 * 15
    assert np.abs(lowest(made, default_body())[:15]).max() < 0.03
