"""Reference preprocessing: feet that stand, a body on the ground, swings that clear it; what is clean stays as it is.

Corpus clips are clean by construction: what touches does not move. Faults of known size are put into them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from morphloop.base.runs import runs
from morphloop.envs import conditioning, prepare
from morphloop.envs.conditioning import CLEAR_M, carrying_feet, condition, grounding_shift, swing_lift, wrong_stances
from morphloop.envs.config import ConditioningConfig
from morphloop.envs.reference import lowest_height
from morphloop.metrics import measure
from morphloop.metrics.defect_bench.defects import hover, lift, slide_for_a_while
from morphloop.motion import Clip, make_corpus
from morphloop.motion.rotations import quat_from_rotvec, quat_mul
from morphloop.sim import FEET, Body, default_body
from morphloop.sim.bodies.stances import LEFT_ALONE_M, foot_motion, planted_feet

HOLD = ConditioningConfig(smooth=False, hold_feet=True, balance=False)
BALANCE = ConditioningConfig(smooth=False, hold_feet=False, balance=True)
FORWARD = np.array([1.0, 0.0, 0.0])
STEPPING = ("walk", "walk_backward", "walk_wave", "turn", "side_step")
ACTIONS = (*STEPPING, "jump", "jump_forward", "kick", "squat", "wave", "idle")


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


@pytest.fixture(scope="module")
def corpus() -> list[Clip]:
    return make_corpus(64, 3, "test")


def of_each_action(corpus: list[Clip]) -> dict[str, Clip]:
    """The first clip of each action."""
    return {clip.provenance.notes["action"]: clip for clip in reversed(corpus)}


@pytest.fixture(scope="module")
def clips(body: Body, corpus: list[Clip]) -> dict[str, Clip]:
    """Two seconds of each action, prepared."""
    return {
        action: prepare(clip.slice(0, round(2 * clip.fps)), body) for action, clip in of_each_action(corpus).items()
    }


@pytest.fixture(scope="module")
def whole(body: Body, corpus: list[Clip]) -> dict[str, Clip]:
    """The same clips whole, prepared: with their closing steps."""
    return {action: prepare(clip, body) for action, clip in of_each_action(corpus).items()}


def slide(clip: Clip, body: Body) -> float:
    value = measure(clip, body, wrench=False).values["slide_mean_mm_s"]
    assert value is not None
    return value


def foot_heights(clip: Clip, body: Body) -> np.ndarray:
    """(T, 2) height of each foot's lowest point, metres."""
    return np.stack([foot_motion(clip, foot, body).lowest for foot in (0, 1)], axis=1)


def skate(clip: Clip, body: Body) -> float:
    """What the lowest point travels on the ground, mm a frame."""
    value = measure(clip, body, wrench=False).values["physdiff_skate_mm"]
    assert value is not None
    return value


def moved(clip: Clip, other: Clip) -> float:
    """Metres between the two, of the joint and frame where it is most."""
    return float(np.linalg.norm(clip.positions - other.positions, axis=-1).max())


def held(clip: Clip, body: Body) -> Clip:
    return condition(clip, planted_feet(clip, body), body, HOLD)


@pytest.mark.parametrize("action", ACTIONS)
def test_clean_clips_stay_as_they_are(body: Body, whole: dict[str, Clip], action: str):
    clean = whole[action]
    stays = held(clean, body)
    assert moved(stays, clean) < 1e-9
    assert skate(stays, body) <= skate(clean, body) + 1e-9


@pytest.mark.parametrize("action", ["walk", "turn", "side_step"])
def test_slow_steps_are_no_stances(body: Body, whole: dict[str, Clip], action: str):
    slow = prepare(replace(whole[action], fps=whole[action].fps / 3.0), body)
    assert moved(held(slow, body), slow) < LEFT_ALONE_M


def closing_step(clip: Clip, rise: float) -> Clip:
    """A standing clip whose left foot goes 80 mm towards the right one within 0.6 s, `rise` metres over the ground."""
    u = np.clip((np.arange(clip.num_frames) / clip.fps - 0.7) / 0.6, 0.0, 1.0)
    away = np.zeros((clip.num_frames, 2, 3))
    away[:, 0, 1] = 0.08 * (1.0 - u * u * (3.0 - 2.0 * u))
    away[:, 0, 2] = rise * 16.0 * u**2 * (1.0 - u) ** 2
    return conditioning._held(clip, away, default_body(), np.ones((clip.num_frames, 2), bool))


def test_a_slow_closing_step_is_not_swallowed_by_a_stance(body: Body, clips: dict[str, Clip]):
    steps, slides = closing_step(clips["wave"], 0.02), closing_step(clips["wave"], 0.0)
    assert planted_feet(steps, body)[:, 0].mean() < 0.9
    assert moved(held(steps, body), steps) < LEFT_ALONE_M
    assert planted_feet(slides, body).all()
    still = foot_motion(held(slides, body), 0, body).path
    assert np.ptp(foot_motion(slides, 0, body).path, axis=0).max() > 0.07
    assert np.ptp(still, axis=0).max() < 0.001, "a foot that goes the same way on the ground slides"


@pytest.mark.parametrize("action", STEPPING)
def test_a_rolling_foot_stands_from_heel_to_toe(body: Body, whole: dict[str, Clip], action: str):
    clip = whole[action]
    planted, on_ground = planted_feet(clip, body), foot_heights(clip, body) < 0.001
    assert planted[on_ground].mean() > 0.97
    for foot, side in enumerate(FEET):
        ends = clip.positions[:, [clip.skeleton.index(f"{side}_{part}") for part in ("ankle", "foot")], :2]
        path, slower = foot_motion(clip, foot, body).path, np.linalg.norm(np.diff(ends, axis=0), axis=-1).min(axis=1)
        for start, stop in runs(planted[:, foot]):
            assert np.linalg.norm(path[start:stop] - path[start:stop].mean(axis=0), axis=1).max() < LEFT_ALONE_M
            if action == "walk" and 0 < start < stop < len(path):
                assert slower[start : stop - 1].sum() > 3.0 * LEFT_ALONE_M, "its slower joint moves on"


@pytest.mark.parametrize("action", STEPPING)
def test_a_walk_that_slides_is_held_as_it_rolls(body: Body, whole: dict[str, Clip], action: str):
    clean = whole[action]
    slides = slide_for_a_while(clean, 0.1)
    assert skate(slides, body) > 0.5
    assert skate(held(slides, body), body) < 0.1 * skate(slides, body)


@pytest.mark.parametrize("action", STEPPING)
@pytest.mark.parametrize("height", [0.02, -0.02])
def test_a_walk_that_hovers_or_sinks_is_put_down(body: Body, whole: dict[str, Clip], action: str, height: float):
    wrong = hover(whole[action], height)
    stands = planted_feet(whole[action], body)
    assert np.abs(foot_heights(wrong, body)[stands]).mean() > 0.005
    assert np.abs(foot_heights(held(wrong, body), body)[stands]).mean() < 0.001


@pytest.mark.parametrize("action", STEPPING)
def test_what_is_within_the_bound_moves_by_nothing(body: Body, whole: dict[str, Clip], action: str):
    low = lift(whole[action], -0.8 * LEFT_ALONE_M)
    assert moved(held(low, body), low) < 1e-9
    lower = lift(whole[action], -2.0 * LEFT_ALONE_M)
    assert moved(held(lower, body), lower) > LEFT_ALONE_M


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
    clean, wrong = np.zeros_like(planted), np.ones_like(planted)
    low = walk.moved(np.array([0.0, 0.0, -0.01]))
    assert not swing_lift(walk, planted, clean, body).any(), "it clears the ground as walks do"
    for clip, held_stances in ((low, clean), (walk, wrong)):
        lift = swing_lift(clip, planted, held_stances, body)
        assert 1.3 * CLEAR_M > lift.max() > 0.01
        assert not lift[planted[:, 0] & np.roll(planted[:, 0], 3) & np.roll(planted[:, 0], -3), 0].any()
    assert not swing_lift(low, np.zeros_like(planted), wrong, body).any(), "in flight nothing is lifted"
    assert not swing_lift(walk.moved(np.array([0.0, 0.0, 0.1])), planted, wrong, body).any(), "it is high already"


def test_where_both_feet_slide_the_slower_one_carries(body: Body, clips: dict[str, Clip]):
    kick = clips["kick"].slice(0, 20)
    fast = replace(kick, root_pos=kick.root_pos + np.linspace(0.0, 0.25, 20)[:, None] * FORWARD)
    planted = planted_feet(fast, body)
    assert not planted.any()
    carries = carrying_feet(fast, planted, body)
    assert carries.any(axis=1).sum() > 10
    assert not carrying_feet(fast.moved(np.array([0.0, 0.0, 0.2])), planted, body).any(), "in flight none does"
    assert not carrying_feet(fast, np.ones_like(planted), body).any(), "one is planted"


def test_a_small_hop_is_no_stance(body: Body, corpus: list[Clip]):
    for hop in (prepare(clip, body) for clip in corpus if clip.provenance.notes["action"] == "jump"):
        assert not wrong_stances(hop, planted_feet(hop, body), body).any()
        assert not carrying_feet(hop, planted_feet(hop, body), body).any()


def outside(clip: Clip, planted: np.ndarray, body: Body) -> np.ndarray:
    """(T,) metres from the zero moment point to the soles that stand, but for the clip's ends; 0 where none does."""
    ankles = np.stack([clip.positions[:, leg[2]] for leg in body.legs], axis=1)
    _, point = conditioning.zero_moment_point(clip, body)
    away = np.zeros(clip.num_frames)
    for t in range(2, clip.num_frames - 2):
        sole = conditioning._support(clip, ankles, planted, t, body, 0.0)
        away[t] = np.linalg.norm(point[t] - conditioning._nearest(point[t], sole)) if len(sole) else 0.0
    return away


@pytest.mark.parametrize("action", STEPPING)
def test_balance_asks_for_what_the_feet_cannot_give_and_no_more(body: Body, whole: dict[str, Clip], action: str):
    clip = whole[action]
    planted = planted_feet(clip, body)
    away = outside(clip, planted, body)
    shifted = condition(clip, planted, body, BALANCE)
    assert moved(shifted, clip) < 0.01 + 0.25 * away.max()
    if away.max() > 0.02:
        assert outside(shifted, planted, body).mean() < 0.6 * away.mean()
