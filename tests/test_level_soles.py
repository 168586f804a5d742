"""Soles of standing feet are level where a file does not say how feet are turned; what a file says stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morphloop.envs import make_reference, prepare
from morphloop.envs.config import ConditioningConfig
from morphloop.envs.level_soles import MOST, level_soles, sole_angles
from morphloop.motion import Clip, make_corpus
from morphloop.motion.clip import FITTED
from morphloop.motion.rotations import quat_from_rotvec, quat_mul
from morphloop.sim import Body, default_body
from morphloop.sim.bodies.stances import planted_feet

AS_IT_IS = ConditioningConfig(level_soles=False, hold_feet=False)
LEVEL = ConditioningConfig(hold_feet=False)


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


@pytest.fixture(scope="module")
def walk(body: Body) -> Clip:
    """Two seconds of a walk, prepared."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "walk")
    return prepare(clip.slice(0, round(2 * clip.fps)), body)


def tilted(clip: Clip, body: Body, pitch: float, roll: float, stage: str = FITTED) -> Clip:
    """The clip with feet turned by so many degrees all the time, as a fit to joint positions may leave them."""
    rotations = clip.rotations.copy()
    for side, leg in zip((1.0, -1.0), body.legs, strict=True):
        turn = quat_from_rotvec(np.radians([side * roll, -pitch, 0.0]))
        rotations[:, leg[2]] = quat_mul(rotations[:, leg[2]], turn)
    return replace(clip, rotations=rotations, provenance=replace(clip.provenance, stage=stage))


def standing_angles(clip: Clip, body: Body, planted: np.ndarray) -> np.ndarray:
    """(2, 2) degrees by foot: the median of a standing foot's pitch, the largest of its roll."""
    found = []
    for foot, leg in enumerate(body.legs):
        pitch, roll, _ = sole_angles(clip.global_rotations[:, leg[2]])
        own = planted[:, foot]
        found.append([np.median(pitch[own]), np.abs(roll[own]).max()])
    return np.degrees(found)


def test_standing_soles_become_level_and_still_roll_from_heel_to_toes(walk: Clip, body: Body):
    crooked = tilted(walk, body, pitch=15.0, roll=8.0)
    planted = planted_feet(crooked, body)
    assert (np.abs(standing_angles(crooked, body, planted)) > 5.0).all(), "they are not level to begin with"
    mended = level_soles(crooked, planted, body)
    assert (np.abs(standing_angles(mended, body, planted)) < [0.1, 2.0]).all()
    for foot, leg in enumerate(body.legs):
        meant, got = (sole_angles(clip.global_rotations[:, leg[2]])[0] for clip in (walk, mended))
        own = planted[:, foot]
        assert np.ptp(got[own]) == pytest.approx(np.ptp(meant[own]), rel=0.1), "its roll from heel to toes is no fault"
    ankles = body.legs[:, 2]
    np.testing.assert_allclose(mended.positions[:, ankles], crooked.positions[:, ankles], atol=1e-9)


def test_what_is_tracked_of_joint_positions_stands_on_level_soles(walk: Clip, body: Body):
    crooked = tilted(walk, body, pitch=15.0, roll=8.0)
    reference = make_reference(crooked, body, LEVEL)
    planted = planted_feet(reference.clip, body)
    assert planted.any(axis=0).all()
    assert (np.abs(standing_angles(reference.clip, body, planted)) < 5.0).all()
    left = make_reference(crooked, body, AS_IT_IS)
    np.testing.assert_array_equal(reference.prepared.rotations, left.prepared.rotations, "errors are against the file")
    assert (np.abs(standing_angles(left.clip, body, planted)) > 7.0).all()


@pytest.mark.parametrize("stage", ["import", "retarget", "generate", "corpus"])
def test_a_file_that_says_how_feet_are_turned_is_left_to_the_bit(walk: Clip, body: Body, stage: str):
    crooked = tilted(walk, body, 15.0, 8.0, stage)
    first, second = (make_reference(crooked, body, config) for config in (LEVEL, AS_IT_IS))
    np.testing.assert_array_equal(first.qpos, second.qpos)
    np.testing.assert_array_equal(first.target, second.target)


def test_who_stands_on_tiptoe_does_so_still(walk: Clip, body: Body):
    tiptoe = tilted(walk, body, pitch=-np.degrees(MOST) - 10.0, roll=0.0)
    everywhere = np.ones((walk.num_frames, 2), bool)
    before, after = (
        standing_angles(c, body, everywhere)[:, 0] for c in (tiptoe, level_soles(tiptoe, everywhere, body))
    )
    np.testing.assert_allclose(after, before, atol=1.0)
    assert (after < -30.0).all()


def test_feet_that_never_stand_are_left(walk: Clip, body: Body):
    crooked = tilted(walk, body, 15.0, 8.0)
    nowhere = np.zeros((walk.num_frames, 2), bool)
    np.testing.assert_array_equal(level_soles(crooked, nowhere, body).rotations, crooked.rotations)
