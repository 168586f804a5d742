"""The trajectory optimiser: linear models, the backward pass, and what it makes of clips."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are

from morphloop.base import MotionError
from morphloop.envs import Observer, base_targets, build_library, prepare
from morphloop.imitator.optimal_control.config import IlqrConfig
from morphloop.imitator.optimal_control.cost import difference
from morphloop.imitator.optimal_control.ilqr import Ilqr
from morphloop.imitator.optimal_control.linear_model import (
    Lineariser,
    LinearModel,
    StageCost,
    backward,
    chained,
    mended,
    state_of,
)
from morphloop.imitator.optimal_control.segments import Segment
from morphloop.motion import Clip, make_corpus
from morphloop.motion.rotations import quat_from_rotvec
from morphloop.sim import Body, certify, default_body
from morphloop.sim import standing as stand
from morphloop.sim.bodies.built_in import built_in

QUICK = IlqrConfig(horizon=10, iterations=1, hard_iterations=1, dampings=(0.0,))


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def walk(body: Body) -> Clip:
    """A second of a walk."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "walk")
    return replace(prepare(clip, body).slice(20, 51), name="walk")


def moved(body: Body, state: np.ndarray, ctrl: np.ndarray, change: np.ndarray, more: np.ndarray) -> np.ndarray:
    """(nq + nv,) where a control step leads from a state changed by `change` (2 nv,) under `ctrl + more`."""
    model, data = body.model, mujoco.MjData(body.model)
    mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    qpos = data.qpos.copy()
    mujoco.mj_integratePos(model, qpos, change[: model.nv], 1.0)
    data.qpos[:] = qpos
    data.qvel[:] += change[model.nv :]
    data.ctrl[:] = ctrl + more
    mujoco.mj_step(model, data, body.substeps)
    return np.concatenate([data.qpos, data.qvel])


def standing(body: Body, height: float) -> np.ndarray:
    """(S,) at rest, soles at a height."""
    data = mujoco.MjData(body.model)
    data.qpos[2] += height
    mujoco.mj_forward(body.model, data)
    return state_of(body.model, data)


def test_chained_is_the_product() -> None:
    rng = np.random.default_rng(0)
    a, b = np.eye(4) + 0.1 * rng.normal(size=(4, 4)), rng.normal(size=(4, 2))
    for steps in range(1, 12):
        whole_a, whole_b = np.eye(4), np.zeros((4, 2))
        for _ in range(steps):
            whole_a, whole_b = a @ whole_a, a @ whole_b + b
        got = chained(a, b, steps)
        np.testing.assert_allclose(got[0], whole_a, rtol=1e-12)
        np.testing.assert_allclose(got[1], whole_b, rtol=1e-12)


@pytest.mark.parametrize(("height", "tolerance"), [(0.3, 0.02), (-0.001, 0.05)])
def test_a_linear_model_foretells_a_control_step(body: Body, height: float, tolerance: float) -> None:
    """In the air to two per cent; on soles that sink in by a millimetre, as standing ones do, to five."""
    model, rng = body.model, np.random.default_rng(1)
    state, ctrl = standing(body, height), np.zeros(model.nu)
    (a,), (b,) = Lineariser(body)(state[None], ctrl[None])
    change, more = 1e-4 * rng.normal(size=2 * model.nv), 1e-3 * rng.normal(size=model.nu)
    change[2] = 0.0
    still = moved(body, state, ctrl, 0 * change, 0 * more)
    there = moved(body, state, ctrl, change, more)
    true = difference(model, *np.split(still, [model.nq]), *np.split(there, [model.nq]))
    told = a @ change + b @ more
    assert np.linalg.norm(told - true) < tolerance * np.linalg.norm(true)


def test_the_linear_model_of_a_standing_robot_is_its_physics() -> None:
    """A G1 of 33 kg on eight points sinks in by 0.05 mm: every column of a control step, to three per cent."""
    body = built_in("g1")
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:] = body.qpos_from_clip(stand(body, 0.0, body.control_hz))[0]
    ctrl = data.qpos[model.jnt_qposadr[model.actuator_trnid[:, 0]]].copy()
    for step in range(60):  # sways, so that the solver has work
        data.ctrl[:] = ctrl + 0.05 * np.sin(step / 5)
        mujoco.mj_step(model, data, 1)
    ctrl, state = data.ctrl.copy(), state_of(model, data)
    (a,), _ = Lineariser(body, 1)(state[None], ctrl[None])
    true = np.empty_like(a)
    for column in range(2 * model.nv):
        change = 1e-6 * np.eye(2 * model.nv)[column]
        ends = [np.split(moved(body, state, ctrl, sign * change, 0 * ctrl), [model.nq]) for sign in (1.0, -1.0)]
        true[:, column] = difference(model, *ends[1], *ends[0]) / 2e-6
    assert np.linalg.norm(a - true) < 0.03 * np.linalg.norm(true)


def test_feet_move_with_the_body(body: Body) -> None:
    model = body.model
    state = standing(body, 0.0)
    lineariser = Lineariser(body)
    (motion,) = lineariser.feet(state[None])
    data, change = mujoco.MjData(model), 1e-6 * np.random.default_rng(2).normal(size=model.nv)
    mujoco.mj_forward(model, data)
    before = lineariser.points.positions(data)
    mujoco.mj_integratePos(model, data.qpos, change, 1.0)
    mujoco.mj_kinematics(model, data)
    after = lineariser.points.positions(data)
    # the material point lies a radius under the centre, so centres are compared where there is no radius
    flat = np.flatnonzero(np.isclose(body.surface.radius[body.surface.foot >= 0], 0.0))
    assert len(flat)
    np.testing.assert_allclose(motion[flat] @ change, (after - before)[flat, :2], atol=1e-10)


def test_threads_change_nothing(body: Body, walk: Clip) -> None:
    library = build_library([walk], body)
    data, states = mujoco.MjData(body.model), []
    for row in range(3):
        data.qpos[:], data.qvel[:] = library.qpos[row].numpy(), library.qvel[row].numpy()
        states.append(state_of(body.model, data))
    ctrl = library.target[1:4].double().numpy()
    one, three = (Lineariser(body, threads)(np.array(states), ctrl) for threads in (1, 3))
    for alone, shared in zip(one, three, strict=True):
        assert alone.tobytes() == shared.tobytes()


def test_a_model_that_blew_up_is_replaced_by_the_nearest_sound_one() -> None:
    a, b = np.arange(5.0)[:, None, None] * np.ones((2, 2)), np.arange(5.0)[:, None, None] * np.ones((2, 1))
    a[3, 0, 1] = 1e6
    sound_a, sound_b = mended(a, b)
    assert sound_a[:, 1, 1].tolist() == sound_b[:, 0, 0].tolist() == [0.0, 1.0, 2.0, 2.0, 4.0]
    a[:] = 1e6
    assert mended(a, b)[0].tobytes() == a.tobytes(), "no model is sound: none is better than another"


def test_backward_comes_to_the_regulator() -> None:
    """Far from the end the gain is that of the algebraic Riccati equation; with cross terms the step is Newton's."""
    rng = np.random.default_rng(3)
    a, b = np.eye(4) + 0.1 * rng.normal(size=(4, 4)), rng.normal(size=(4, 2))
    weight, effort = np.array([1.0, 2.0, 0.5, 1.0]), np.array([0.3, 0.7])
    value = solve_discrete_are(a, b, np.diag(weight), np.diag(effort))
    want = np.linalg.solve(np.diag(effort) + b.T @ value @ b, b.T @ value @ a)
    model = LinearModel(np.array([a] * 400), np.array([b] * 400), np.zeros((401, 0, 2, 0)))
    cost = StageCost(weight, np.zeros(4), effort, np.zeros(2))
    step, gain, values = backward(model, [cost] * 400, np.eye(4), np.zeros(4))
    np.testing.assert_allclose(gain[0], want, rtol=1e-9)
    np.testing.assert_allclose(values[0], value, rtol=1e-9)
    assert not step.any()


def test_backward_finds_the_least_cost() -> None:
    """Over two control steps with slopes and slip rows, against the whole problem solved at once."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 2))
    costs = [
        StageCost(rng.random(3), rng.normal(size=3), rng.random(2) + 0.5, rng.normal(size=2),
                  rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
        for _ in range(2)
    ]  # fmt: skip
    end, slope = np.eye(3), rng.normal(size=3)

    def cost(controls: np.ndarray) -> float:
        x, total = np.zeros(3), 0.0
        for k, u in enumerate(controls.reshape(2, 2)):
            stage = costs[k]
            assert stage.c is not None
            assert stage.d is not None
            rows = stage.c @ x + stage.d @ u
            total += 0.5 * (stage.state @ x**2 + stage.effort @ u**2 + rows @ rows)
            total += stage.state_slope @ x + stage.effort_slope @ u
            x = a[k] @ x + b[k] @ u
        return float(total + 0.5 * x @ end @ x + slope @ x)

    step, gain, _ = backward(LinearModel(a, b, np.zeros((3, 0, 2, 0))), costs, end, slope)
    first = -step[0]
    best = np.concatenate([first, -step[1] - gain[1] @ (b[0] @ first)])
    least = cost(best)
    assert all(cost(best + 1e-3 * rng.normal(size=4)) > least for _ in range(50))
    damped, _, _ = backward(LinearModel(a, b, np.zeros((3, 0, 2, 0))), costs, end, slope, np.full(3, 1e6))
    assert np.abs(b[1] @ damped[1]).max() < 1e-3 * np.abs(b[1] @ step[1]).max()


def test_a_walk_is_tracked_and_certified(body: Body, walk: Clip) -> None:
    library = build_library([walk], body)
    first, again = (Ilqr(body, library, QUICK).track(0) for _ in range(2))
    assert first.completed
    assert len(first.labels) == walk.num_frames - 1
    rollout = first.recorder.rollout(0)
    assert certify(rollout, body).bit_equal
    assert rollout.qpos.tobytes() == again.recorder.rollout(0).qpos.tobytes()
    assert np.linalg.norm(rollout.qpos[:, :3] - walk.root_pos, axis=1).max() < 0.05
    observer, first_clip = Observer(body, library), np.array([0])
    for label, ctrl in zip(first.labels[::10], rollout.ctrl[::10], strict=True):
        base = base_targets(observer, label.qpos[None], label.qvel[None], first_clip, np.array([label.frame]))
        np.testing.assert_allclose(base[0] + label.offset, ctrl, atol=1e-12)


def test_segments_start_and_stop_where_they_should(body: Body, walk: Clip) -> None:
    optimiser = Ilqr(body, build_library([walk], body), QUICK)
    start = optimiser.track(0, stop=6)
    assert start.completed
    assert len(start.recorder.ctrl) == 6
    told = {}
    segments = [Segment(0, 6, 10, start.recorder.state()), Segment(0, 6, 10, start.recorder.state(), 0.1, seed=1)]
    quiet, shaken = optimiser.track_many(segments, lambda place, track: told.update({place: track}))
    assert told == {0: quiet, 1: shaken}
    np.testing.assert_array_equal(quiet.recorder.qpos[0], start.recorder.qpos[-1])
    assert [label.frame for label in shaken.labels] == [6, 7, 8, 9]
    # the first step is meant alike, what is carried out is not
    np.testing.assert_array_equal(quiet.labels[0].offset, shaken.labels[0].offset)
    assert not np.array_equal(quiet.recorder.ctrl[0], shaken.recorder.ctrl[0])


def test_what_cannot_be_followed_fails(body: Body, walk: Clip) -> None:
    away = walk.root_pos + np.where(np.arange(walk.num_frames) < 8, 0.0, 3.0)[:, None] * [1.0, 0.0, 0.0]
    jump = replace(walk, root_pos=away, name="jump")
    track = Ilqr(body, build_library([jump], body), QUICK).track(0)
    assert not track.completed
    assert len(track.labels) == len(track.recorder.ctrl) == 8
    assert certify(track.recorder.rollout(0), body).bit_equal


def test_linear_models_are_used_again_where_a_plan_tracks_well_and_nowhere_else(
    body: Body, walk: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over half of them in a squat, at the same error; a jerk that no body follows is planned on fresh ones alone."""
    made: list[int] = []
    plain = Lineariser.__call__

    def counted(self: Lineariser, states: np.ndarray, ctrl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        made.append(len(ctrl))
        return plain(self, states, ctrl)

    monkeypatch.setattr(Lineariser, "__call__", counted)

    def tracked(clip: Clip, reuse: float) -> tuple[int, float]:
        made.clear()
        library = build_library([clip], body)
        recorder = Ilqr(body, library, replace(QUICK, horizon=20, reuse=reuse)).track(0).recorder
        wanted = library.qpos[: len(recorder.qpos)].double().numpy()
        return sum(made), float(np.abs(np.array(recorder.qpos) - wanted).mean())

    squat = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    squat = prepare(squat, body).slice(10, 41)
    (fresh, error), (fewer, as_near) = tracked(squat, 0.0), tracked(squat, IlqrConfig.reuse)
    assert fewer < 0.5 * fresh
    assert as_near < 1.1 * error
    away = walk.root_pos + np.where(np.arange(walk.num_frames) < 8, 0.0, 0.4)[:, None] * [1.0, 0.0, 0.0]
    jerk = replace(walk.slice(0, 12), root_pos=away[:12], name="jerk")
    assert tracked(jerk, IlqrConfig.reuse)[0] == tracked(jerk, 0.0)[0]


def test_slip_is_paid_for(body: Body, walk: Clip) -> None:
    """Feet that the reference drags apart travel less where that has a cost; friction holds most of it anyway."""
    angle = 0.15 * np.sin(np.linspace(0.0, np.pi, 16)) ** 2
    rotations = np.tile([1.0, 0.0, 0.0, 0.0], (16, walk.skeleton.num_joints, 1))
    for name, sign in (("left_hip", 1.0), ("right_hip", -1.0)):
        rotations[:, walk.skeleton.index(name)] = quat_from_rotvec(sign * angle[:, None] * [1.0, 0.0, 0.0])
    root = np.repeat([[0.0, 0.0, 1.0]], 16, axis=0)
    drag = prepare(replace(walk, root_pos=root, rotations=rotations, name="drag"), body)
    library, feet = build_library([drag], body), Lineariser(body, 1).points
    travel = []
    for slip in (0.0, 1.0):
        track = Ilqr(body, library, replace(QUICK, slip=slip)).track(0)
        data, path = mujoco.MjData(body.model), []
        for qpos in track.recorder.qpos:
            data.qpos[:] = qpos
            mujoco.mj_kinematics(body.model, data)
            path.append(feet.positions(data)[:, :2])
        travel.append(np.linalg.norm(np.diff(path, axis=0), axis=-1).mean())
    assert travel[1] < 0.85 * travel[0], travel


def test_no_more_of_a_plan_is_carried_out_than_it_has():
    with pytest.raises(MotionError, match="replan is 5, expected 1 to the horizon, 4 control steps"):
        IlqrConfig(horizon=4)
