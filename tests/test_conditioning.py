"""Help for a reference: feet that stand, a body on the ground, swings that clear it; what is clean stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morphloop.envs import conditioning, prepare
from morphloop.envs.conditioning import (
    CLEAR_M,
    LEFT_ALONE_M,
    ConditioningConfig,
    carrying_feet,
    condition,
    grounding_shift,
    swing_lift,
)
from morphloop.envs.reference import lowest_height, planted_feet
from morphloop.metrics import measure
from morphloop.motion import Clip, make_corpus
from morphloop.motion.rotations import quat_from_rotvec, quat_mul
from morphloop.sim import Body, default_body

HOLD = ConditioningConfig(smooth=False, hold_feet=True, balance=False)
FORWARD = np.array([1.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


@pytest.fixture(scope="module")
def clips(body: Body) -> dict[str, Clip]:
    """Two seconds of some actions, prepared."""
    found = {}
    for clip in make_corpus(64, 3, "test"):
        found.setdefault(clip.provenance.notes["action"], prepare(clip.slice(0, round(2 * clip.fps)), body))
    return found


def slide(clip: Clip, body: Body) -> float:
    value = measure(clip, body, wrench=False).values["slide_mean_mm_s"]
    assert value is not None
    return value


def foot_heights(clip: Clip, body: Body) -> np.ndarray:
    """(T, 2) height of each foot's lowest point, metres."""
    return np.stack([conditioning._foot_motion(clip, foot, body)[0] for foot in (0, 1)], axis=1)


def held(clip: Clip, body: Body) -> Clip:
    return condition(clip, planted_feet(clip, body), body, HOLD)


@pytest.mark.parametrize("action", ["kick", "jump_forward", "squat"])
def test_clean_clips_stay_as_they_are(body: Body, clips: dict[str, Clip], action: str):
    np.testing.assert_array_equal(held(clips[action], body).root_pos, clips[action].root_pos)
    np.testing.assert_allclose(held(clips[action], body).positions, clips[action].positions, atol=1e-9)


def test_feet_that_slide_are_held(body: Body, clips: dict[str, Clip]):
    kick = clips["kick"]
    moving = replace(kick, root_pos=kick.root_pos + np.linspace(0.0, 0.2, kick.num_frames)[:, None] * FORWARD)
    still = held(moving, body)
    assert slide(moving, body) > 80.0
    assert slide(still, body) < 0.25 * slide(moving, body)
    np.testing.assert_array_equal(still.root_pos[:, :2], moving.root_pos[:, :2])
    assert np.abs(still.root_pos - moving.root_pos).max() < LEFT_ALONE_M
    assert np.linalg.norm(still.positions - moving.positions, axis=-1).max() < 0.15


def test_a_body_that_hovers_comes_down_smoothly(body: Body, clips: dict[str, Clip]):
    squat = clips["squat"]
    wave = 0.02 + 0.02 * np.sin(np.linspace(0.0, 2.0 * np.pi, squat.num_frames))
    hovers = squat.moved(np.zeros(3))
    hovers = replace(hovers, root_pos=hovers.root_pos + wave[:, None] * [0.0, 0.0, 1.0])
    planted = np.ones((squat.num_frames, 2), bool)
    rise = grounding_shift(hovers, planted, body)
    np.testing.assert_allclose(rise, -wave, atol=0.01)
    down = condition(hovers, planted, body, HOLD)
    assert np.abs(lowest_height(down, body)).max() < 0.004
    assert not grounding_shift(squat.moved(np.array([0.0, 0.0, 0.5 * LEFT_ALONE_M])), planted, body).any()


def test_a_body_comes_down_until_both_standing_feet_reach(
    body: Body, clips: dict[str, Clip], monkeypatch: pytest.MonkeyPatch
):
    wave = clips["wave"]
    roll = quat_from_rotvec(np.array([np.radians(8.0), 0.0, 0.0]))
    turned = replace(wave, rotations=np.concatenate([quat_mul(roll, wave.rotations[:, :1]), wave.rotations[:, 1:]], 1))
    planted = np.ones((wave.num_frames, 2), bool)
    apart = np.ptp(foot_heights(turned, body), axis=1)
    assert apart.min() > 0.02, "one foot hangs over the other"
    down = condition(turned, planted, body, HOLD)
    assert np.abs(foot_heights(down, body)).max() < 0.004
    assert np.abs(down.root_pos - turned.root_pos).max() < conditioning.DROP_M
    monkeypatch.setattr(conditioning, "DROP_M", 0.0)
    assert foot_heights(condition(turned, planted, body, HOLD), body).max() > 0.006, "the leg alone is too short"


def test_a_swing_that_skims_is_lifted_while_the_other_foot_stands(body: Body, clips: dict[str, Clip]):
    walk = clips["walk"]
    planted = planted_feet(walk, body)
    lift = swing_lift(walk, planted, body)
    assert CLEAR_M > lift.max() > 0.01
    assert not lift[planted[:, 0] & np.roll(planted[:, 0], 3) & np.roll(planted[:, 0], -3), 0].any()
    assert not swing_lift(walk, np.zeros_like(planted), body).any(), "in flight nothing is lifted"
    assert not swing_lift(walk.moved(np.array([0.0, 0.0, 0.1])), planted, body).any(), "it clears the ground already"


def test_where_both_feet_slide_the_slower_one_carries(body: Body, clips: dict[str, Clip]):
    kick = clips["kick"].slice(0, 20)
    fast = replace(kick, root_pos=kick.root_pos + np.linspace(0.0, 0.25, 20)[:, None] * FORWARD)
    planted = planted_feet(fast, body)
    assert not planted.any()
    carries = carrying_feet(fast, planted, body)
    assert carries.any(axis=1).sum() > 10
    assert not carrying_feet(fast.moved(np.array([0.0, 0.0, 0.2])), planted, body).any(), "in flight none does"
    assert not carrying_feet(fast, np.ones_like(planted), body).any(), "one is planted"
