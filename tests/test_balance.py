"""What lies beneath every policy: the torques a clip asks for, and the feedback that keeps the balance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from morphloop.envs import Balance, BalanceGains, Observer, build_library, default_gains, prepare
from morphloop.envs.balance import FEATURES, MIRROR_FEATURES, OFFSET_LIMIT, gains_from_terms
from morphloop.envs.feedforward import _least_load, feedforward_torques
from morphloop.envs.reference import generalised_velocity, planted_feet
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, CpuPhysics, JointState, default_body

MOVING = ("kick", "walk_backward", "squat")


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


@pytest.fixture(scope="module")
def clips(body: Body) -> list[Clip]:
    found: dict[str, Clip] = {}
    for clip in make_corpus(60, 3, "test"):
        found.setdefault(clip.provenance.notes["action"], clip)
    return [prepare(found[action], body) for action in MOVING]


def track(body: Body, clip: Clip, feedback: bool, feedforward: bool) -> np.ndarray:
    """(T,) mean joint error, metres, of a body that nobody drives."""
    library = build_library([clip], body)
    if not feedforward:
        torques = feedforward_torques(clip, generalised_velocity(clip, body), body)
        library.target[:] -= torch.as_tensor(torques / body.model.actuator_gainprm[:, 0], dtype=torch.float32)
    observer, physics = Observer(body, library), CpuPhysics(body, 1)
    if not feedback:
        observer.balance = Balance(body, gains=gains_from_terms([], body))
    index = torch.zeros(1, dtype=torch.long)
    physics.set_state(index, library.qpos[:1], library.qvel[:1])
    errors = []
    for frame in range(clip.num_frames - 1):
        state = observer.kinematics(physics.qpos, physics.qvel)
        physics.ctrl[:] = observer.base(state, index, index + frame).double()
        assert not physics.step().any()
        state = observer.kinematics(physics.qpos, physics.qvel)
        errors.append((state.pos - observer.reference(index, index + frame + 1).pos).norm(dim=-1).mean().item())
    return np.array(errors)


def test_feedback_and_feedforward_carry_moving_clips_that_fall_without(body: Body, clips: list[Clip]):
    for clip in clips:
        assert clip.positions[:, :, :2].std(axis=0).max() > 0.05  # it moves
        alone, both = track(body, clip, False, False), track(body, clip, True, True)
        assert both.max() < 0.15, clip.name
        assert both.mean() < 0.5 * alone.mean(), clip.name
    fallen = [track(body, clip, False, False).max() > 0.5 for clip in clips]
    assert sum(fallen) >= 2


def test_feedforward_lets_a_squat_sink_less_than_servos_alone(body: Body, clips: list[Clip]):
    squat = clips[MOVING.index("squat")]
    assert track(body, squat, True, True).mean() < 0.7 * track(body, squat, True, False).mean()


def test_feedforward_of_standing_carries_the_body_symmetrically(body: Body):
    pose = body.clip_from_qpos(np.repeat(body.model.qpos0[None], 40, axis=0), 30.0)
    pose = prepare(pose, body)
    torques = feedforward_torques(pose, generalised_velocity(pose, body), body)[20].reshape(-1, 3)
    names = body.skeleton.names[1:]
    left, right = (torques[[names.index(f"{s}_{j}") for j in ("hip", "knee", "ankle")]] for s in ("left", "right"))
    np.testing.assert_allclose(left, right * np.array([-1.0, 1.0, -1.0]), atol=0.15 * np.abs(left).max())
    arm = abs(torques[names.index("left_shoulder"), 0])
    share = body.joint_masses[[body.skeleton.index(f"left_{j}") for j in ("shoulder", "elbow", "wrist", "hand")]]
    assert 0.1 * 9.81 * share.sum() < arm < 0.5 * 9.81 * share.sum()  # a T-pose's arm hangs 0.1 to 0.5 m out


def test_feedforward_keeps_the_servos_limits_and_leaves_short_clips_alone(body: Body, clips: list[Clip]):
    limit = body.model.actuator_forcerange[:, 1]
    fast = replace(clips[0], fps=120.0)
    torques = feedforward_torques(fast, generalised_velocity(fast, body), body)
    assert (np.abs(torques) <= limit + 1e-9).all()
    assert (np.abs(torques) > 0.9 * limit).any()
    stub = (
        clips[0].window(0, 5)
        if hasattr(clips[0], "window")
        else replace(clips[0], root_pos=clips[0].root_pos[:5], rotations=clips[0].rotations[:5])
    )
    assert not feedforward_torques(stub, generalised_velocity(stub, body), body).any()


def mirrored(state: JointState, body: Body) -> JointState:
    """A state seen in the mirror of the plane y = 0."""
    names = body.skeleton.names
    swap = [names.index(n.replace("left_", "*").replace("right_", "left_").replace("*", "right_")) for n in names]
    flip = torch.tensor([1.0, -1.0, 1.0])
    turn = torch.tensor([1.0, -1.0, 1.0, -1.0])
    return JointState(
        state.pos[:, swap] * flip, state.rot[:, swap] * turn, state.vel[:, swap] * flip, state.ang[:, swap] * -flip
    )


def test_feedback_of_a_mirrored_state_is_the_mirrored_feedback(body: Body, clips: list[Clip]):
    library = build_library(clips, body)
    balance, rows = Balance(body), torch.tensor([10, 40])
    reference, state = library.joints(rows), library.joints(rows + 3)
    planted = torch.tensor([[True, False], [True, True]])
    plain = balance(state, reference, planted)
    twin = balance(mirrored(state, body), mirrored(reference, body), planted.flip(1))
    names = body.skeleton.names[1:]
    for side, other in (("left", "right"), ("right", "left")):
        for joint in ("hip", "knee", "ankle"):
            here = [3 * names.index(f"{side}_{joint}") + k for k in range(3)]
            there = [3 * names.index(f"{other}_{joint}") + k for k in range(3)]
            np.testing.assert_allclose(twin[:, there], plain[:, here] * torch.tensor([-1, 1, -1]), atol=1e-5)
    assert plain.abs().max() > 0.01


def test_feedback_of_no_error_is_none_and_of_any_error_bounded(body: Body, clips: list[Clip]):
    library = build_library(clips, body)
    balance, rows = Balance(body), torch.tensor([10, 40])
    reference, planted = library.joints(rows), torch.ones(2, 2, dtype=torch.bool)
    assert balance(reference, reference, planted).abs().max() < 1e-5
    far = JointState(reference.pos + 100.0, reference.rot, reference.vel + 100.0, reference.ang)
    assert balance(far, reference, planted).abs().max() <= OFFSET_LIMIT


def test_one_set_of_gains_an_environment_is_the_same_as_each_alone(body: Body, clips: list[Clip]):
    library = build_library(clips, body)
    rows = torch.tensor([10, 40])
    reference, state = library.joints(rows), library.joints(rows + 3)
    planted = torch.tensor([[True, False], [True, True]])
    one, two = (
        default_gains(body),
        gains_from_terms([("single", "hip_y", "com_x", 0.3), (None, "spine1_x", "tilt_x", 0.2)], body),
    )
    both = Balance(body, gains=BalanceGains(torch.cat([one.leg, two.leg]), torch.cat([one.spine, two.spine])))
    apart = [Balance(body, gains=g)(state, reference, planted)[i] for i, g in enumerate((one, two))]
    np.testing.assert_allclose(both(state, reference, planted), torch.stack(apart), atol=1e-6)


def test_tables_of_the_law_fit_together(body: Body):
    assert len(FEATURES) == len(MIRROR_FEATURES) == default_gains(body).leg.shape[-1]
    assert default_gains(body).leg.abs().max() > 0.1
    assert default_gains(body).hash != gains_from_terms([], body).hash


def test_a_foot_that_flickers_is_planted_through(body: Body):
    walk = next(c for c in make_corpus(60, 3, "test") if c.provenance.notes["action"] == "walk")
    planted = planted_feet(prepare(walk, body), body)
    for foot in range(2):
        edges = np.flatnonzero(np.diff(planted[:, foot].astype(int)))
        assert len(edges) >= 2
        assert np.diff(edges).min() >= 3


def test_contact_loads_are_those_of_non_negative_least_squares():
    rng = np.random.default_rng(0)
    system, goal = 30.0 * rng.normal(size=(40, 6, 24)), rng.normal(size=(40, 6))
    system[7] = 0.0  # a frame in the air
    load = _least_load(system, goal)
    for a, b, found in zip(system, goal, load, strict=True):
        expected, _ = nnls(np.vstack([a, np.eye(24)]), np.concatenate([b, np.zeros(24)]))
        np.testing.assert_allclose(found, expected, atol=1e-10)
    assert not load[7].any()
    assert ((load > 0).sum(axis=1) > 0)[np.arange(40) != 7].all()
