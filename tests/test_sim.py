"""Bodies, batched physics, kinematics and replay against MuJoCo itself."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from mujoco.batch import Batch

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, TOE_HEIGHT, Clip, Rollout, make_corpus
from morphloop.motion.rotations import quat_angle, quat_from_rotvec
from morphloop.sim import Body, CpuPhysics, JointState, Kinematics, Recorder, certify, default_body, replay
from morphloop.sim.bodies import smpl_table as table
from morphloop.sim.bodies.build import build_spec

POSITION_TOLERANCE = 1e-6
VELOCITY_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


def random_states(body: Body, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Valid qpos (N, nq) anywhere in space and qvel (N, nv) of a few rad/s."""
    rng = np.random.default_rng(seed)
    qpos = np.empty((count, body.model.nq))
    qpos[:, :3] = rng.normal(size=(count, 3))
    quats = rng.normal(size=(count, body.skeleton.num_joints, 4))
    qpos[:, body.qpos_ids] = quats / np.linalg.norm(quats, axis=-1, keepdims=True)
    return qpos, 3.0 * rng.normal(size=(count, body.model.nv))


def standing(body: Body) -> np.ndarray:
    """(nq,) rest pose with the soles on the ground."""
    return body.qpos_from_clip(rest_clip())[0]


def rest_clip(frames: int = 1) -> Clip:
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    return Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, -table.SOLE_HEIGHT], (frames, 1)), rotations)


def wiggle(body: Body, steps: int, seed: int = 1) -> np.ndarray:
    """(steps, nu) small controls around the rest pose."""
    return 0.1 * np.random.default_rng(seed).normal(size=(steps, body.model.nu))


def roll(body: Body, controls: np.ndarray) -> Rollout:
    recorder = Recorder(body, standing(body), np.zeros(body.model.nv))
    for ctrl in controls:
        assert recorder.step(ctrl)
    return recorder.rollout(seed=0)


def test_kinematics_equal_mujocos(body: Body):
    qpos, qvel = random_states(body, 40)
    kinematics = Kinematics(body, dtype=torch.float64)
    state = kinematics(torch.from_numpy(qpos), torch.from_numpy(qvel))
    data, velocity = mujoco.MjData(body.model), np.empty(6)
    for k in range(len(qpos)):
        data.qpos[:], data.qvel[:] = qpos[k], qvel[k]
        mujoco.mj_forward(body.model, data)
        mujoco.mj_comVel(body.model, data)
        np.testing.assert_allclose(state.pos[k], data.xpos[body.body_ids], atol=POSITION_TOLERANCE)
        alike = np.abs(np.sum(state.rot[k].numpy() * data.xquat[body.body_ids], axis=-1))
        np.testing.assert_allclose(alike, 1.0, atol=POSITION_TOLERANCE)
        for j, number in enumerate(body.body_ids):
            mujoco.mj_objectVelocity(body.model, data, mujoco.mjtObj.mjOBJ_XBODY, number, velocity, 0)
            np.testing.assert_allclose(state.ang[k, j], velocity[:3], atol=VELOCITY_TOLERANCE)
            np.testing.assert_allclose(state.vel[k, j], velocity[3:], atol=VELOCITY_TOLERANCE)


def test_single_precision_kinematics_stay_under_a_tenth_of_a_millimetre(body: Body):
    qpos, qvel = (torch.from_numpy(x) for x in random_states(body, 40))
    single, double = Kinematics(body)(qpos, qvel), Kinematics(body, dtype=torch.float64)(qpos, qvel)
    assert single.pos.dtype == torch.float32
    for name, tolerance in {"pos": 1e-5, "rot": 1e-5, "vel": 1e-4, "ang": 1e-4}.items():
        np.testing.assert_allclose(getattr(single, name), getattr(double, name), atol=tolerance)


def test_rows_of_a_joint_state_are_those_asked_for():
    tag = torch.arange(5.0)[:, None, None]
    state = JointState(tag.expand(5, 2, 3), tag.expand(5, 2, 4), -tag.expand(5, 2, 3), tag.expand(5, 2, 3) + 10)
    picked = state.rows(torch.tensor([3, 1]))
    assert picked.pos[:, 0, 0].tolist() == [3.0, 1.0]
    assert picked.rot.shape == (2, 2, 4)
    assert picked.vel[:, 1, 2].tolist() == [-3.0, -1.0]
    assert picked.ang[:, 0, 0].tolist() == [13.0, 11.0]


def test_joint_tables_follow_names_not_mujocos_depth_first_numbers(body: Body):
    assert [body.model.body(int(i)).name for i in body.body_ids] == list(body.skeleton.names)
    assert not np.array_equal(body.body_ids, np.arange(1, 25)), "the orders differ, or this test shows nothing"
    for j, name in enumerate(body.skeleton.names[1:], 1):
        assert body.model.joint(name).qposadr[0] == body.qpos_ids[j, 0]
        assert body.model.joint(name).dofadr[0] == body.dof_ids[j, 0]
    assert body.qpos_ids[0].tolist() == [3, 4, 5, 6]
    assert body.dof_ids[0].tolist() == [3, 4, 5]
    assert sorted(body.qpos_ids.ravel().tolist()) == list(range(3, body.model.nq))


def test_mass_gains_limits_and_ranges_are_the_tables(body: Body):
    assert body.mass == pytest.approx(70.0, abs=1e-9)
    assert body.joint_masses.sum() == pytest.approx(70.0, abs=1e-9)
    for j, name in enumerate(body.skeleton.names[1:], 1):
        base, side = table.base_name(name)
        row = table.JOINTS[base]
        for axis, letter in enumerate("xyz"):
            actuator = body.model.actuator(f"{name}_{letter}")
            assert actuator.gainprm[0] == row.kp
            assert actuator.biasprm[1:3].tolist() == [-row.kp, -row.kd]
            assert actuator.forcerange.tolist() == [-row.torque, row.torque]
            assert actuator.gear[axis] == 1.0
            low, high = np.radians(getattr(row, letter))
            if side < 0 and letter in "xz":
                low, high = -high, -low
            np.testing.assert_allclose(body.ranges[j, axis], [low, high])
            np.testing.assert_allclose(actuator.ctrlrange, [low, high])


def test_left_and_right_weigh_the_same_and_nearly_mirror_each_other(body: Body):
    """SMPL's own rest offsets differ by a few millimetres between the sides."""
    for j, name in enumerate(body.skeleton.names):
        if name.startswith("left_"):
            other = body.skeleton.index(name.replace("left_", "right_"))
            assert body.joint_masses[j] == body.joint_masses[other]
            np.testing.assert_allclose(body.joint_coms[j], body.joint_coms[other] * [1, -1, 1], atol=0.012)


@pytest.mark.parametrize("joints", ["ball", "hinge"])
def test_clip_and_qpos_are_each_others_inverse(joints):
    body = default_body(joints)
    clip = next(c for c in make_corpus(30, 2) if c.provenance.notes["action"] == "kick")
    back = body.clip_from_qpos(body.qpos_from_clip(clip), clip.fps, "back")
    np.testing.assert_allclose(back.root_pos, clip.root_pos, atol=1e-12)
    assert quat_angle(back.rotations, clip.rotations).max() < 1e-6
    np.testing.assert_allclose(back.positions, clip.positions, atol=1e-6)


def test_qpos_of_another_skeleton_is_refused(body: Body):
    other = replace(DEFAULT_SKELETON, offsets=DEFAULT_SKELETON.offsets * 1.1)
    clip = rest_clip()
    with pytest.raises(MotionError, match="retarget"):
        body.qpos_from_clip(Clip(30.0, other, clip.root_pos, clip.rotations))


def test_toe_height_of_joint_only_clips_is_this_bodys(body: Body):
    toes = body.feet[:, -1]
    assert body.skeleton.rest_positions[toes, 2].min() - table.SOLE_HEIGHT == pytest.approx(TOE_HEIGHT, abs=1e-9)


def test_surface_points_touch_the_ground_at_rest(body: Body):
    clip, surface = rest_clip(), body.surface
    height = clip.positions[0, surface.joint, 2] + surface.local[:, 2] - surface.radius
    for foot in (0, 1):
        assert height[surface.foot == foot].min() == pytest.approx(0.0, abs=1e-9)
    assert height.min() == pytest.approx(0.0, abs=1e-9)
    assert set(surface.foot) == {-1, 0, 1}


def test_a_standing_body_stays_on_its_feet_and_barely_sinks(body: Body):
    recorder = Recorder(body, standing(body), np.zeros(body.model.nv))
    deepest = 0.0
    for _ in range(30):
        assert recorder.step(np.zeros(body.model.nu))
        deepest = min([deepest, *(contact.dist for contact in recorder.data.contact)])
    assert recorder.data.ncon > 0
    assert -0.003 < deepest < 0.0
    assert np.abs(recorder.qvel[-1]).max() < 2.0
    weight = 9.81 * body.mass
    assert recorder.force[-1].sum() == pytest.approx(weight, rel=0.2)


def test_the_hash_tells_bodies_apart_and_repeats(body: Body):
    assert Body().hash == body.hash
    assert default_body("hinge").hash != body.hash
    spec = build_spec()
    spec.body("head").add_geom(size=[0.01, 0, 0], mass=0.1)
    heavier = Body()
    heavier.model = spec.compile()
    assert heavier.hash != body.hash


def test_batch_is_bit_equal_to_a_loop_over_mjdata(body: Body):
    count, steps = 6, 8
    qpos, qvel = np.tile(standing(body), (count, 1)), 0.3 * random_states(body, count)[1]
    controls = wiggle(body, steps * count).reshape(steps, count, -1)
    batch = Batch(body.model, count, 2)
    batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
    batch.bind("qpos")[:], batch.bind("qvel")[:] = qpos, qvel
    for step in range(steps):
        batch.bind("ctrl")[:] = controls[step]
        batch.step(nstep=body.substeps)
    for k in range(count):
        data = mujoco.MjData(body.model)
        data.qpos[:], data.qvel[:] = qpos[k], qvel[k]
        for step in range(steps):
            data.ctrl[:] = controls[step, k]
            mujoco.mj_step(body.model, data, body.substeps)
        assert np.array_equal(batch.bind("qpos")[k], data.qpos)
        assert np.array_equal(batch.bind("qvel")[k], data.qvel)


def test_rollout_equals_stepping(body: Body):
    count, steps = 4, 6
    controls = wiggle(body, count * steps).reshape(count, steps, -1)
    start = Recorder(body, standing(body), np.zeros(body.model.nv)).state()
    qpos, qvel, force = CpuPhysics(body, count).rollout(start, controls)
    stepped = CpuPhysics(body, count)
    stepped.state[:] = start
    for step in range(steps):
        stepped.ctrl[:] = torch.from_numpy(controls[:, step])
        assert not stepped.step().any()
        assert torch.equal(qpos[:, step], stepped.qpos)
        assert torch.equal(qvel[:, step], stepped.qvel)
        np.testing.assert_allclose(force[:, step], stepped.foot_force)


def test_a_diverged_simulation_is_put_back_and_counted(body: Body):
    physics = CpuPhysics(body, 3)
    ids = torch.arange(3)
    qpos = torch.from_numpy(np.tile(standing(body), (3, 1)))
    physics.set_state(ids, qpos, torch.zeros(3, body.model.nv, dtype=torch.float64))
    physics.qvel[1] = float("nan")
    assert physics.step().tolist() == [False, True, False]
    assert physics.diverged == 1
    assert np.isfinite(physics.state).all()
    assert not physics.step().any()
    assert physics.diverged == 1


def test_a_diverged_rollout_is_nan_and_the_others_are_not(body: Body):
    start = Recorder(body, standing(body), np.zeros(body.model.nv)).state()
    controls = np.zeros((3, 4, body.model.nu))
    controls[1, 2] = np.nan
    qpos, qvel, force = CpuPhysics(body, 3).rollout(start, controls)
    for values in (qpos, qvel, force):
        assert values[1].isnan().all()
        assert values[[0, 2]].isfinite().all()


def test_set_state_leaves_the_others_alone_and_starts_cold(body: Body):
    physics = CpuPhysics(body, 2)
    both = torch.arange(2)
    qpos = torch.from_numpy(np.tile(standing(body), (2, 1)))
    still = torch.zeros(2, body.model.nv, dtype=torch.float64)
    physics.set_state(both, qpos, still)
    cold = physics.state[0].copy()
    physics.step()
    other = physics.state[1].copy()
    physics.set_state(both[:1], qpos[:1], still[:1])
    assert np.array_equal(physics.state[0], cold)
    assert np.array_equal(physics.state[1], other)


@pytest.fixture(scope="module")
def rollout(body: Body) -> Rollout:
    return roll(body, wiggle(body, 30))


def test_an_honest_rollout_is_certified_bit_equal(body: Body, rollout: Rollout):
    certificate = certify(rollout, body)
    assert certificate.passed
    assert certificate.bit_equal
    assert certificate.max_error == 0.0
    assert certificate.torque_ok
    assert certificate.no_external_forces
    assert certificate.reason is None


def test_a_rollout_goes_on_from_a_stored_state(body: Body, rollout: Rollout):
    first = Recorder(body, standing(body), np.zeros(body.model.nv))
    for ctrl in rollout.ctrl[:10]:
        first.step(ctrl)
    rest = Recorder(body, rollout.qpos[0], rollout.qvel[0], first.state())
    for ctrl in rollout.ctrl[10:]:
        rest.step(ctrl)
    assert np.array_equal(rest.qpos[-1], rollout.qpos[-1])


def test_a_changed_control_is_found(body: Body, rollout: Rollout):
    ctrl = rollout.ctrl.copy()
    ctrl[12, 3] += 1e-3
    certificate = certify(replace(rollout, ctrl=ctrl), body)
    assert not certificate.passed
    assert not certificate.bit_equal
    assert "replay differs" in str(certificate.reason)


def test_a_changed_start_is_found(body: Body, rollout: Rollout):
    start = rollout.start.copy()
    start[3] += 1e-4  # time first, then the root's position
    certificate = certify(replace(rollout, start=start), body)
    assert not certificate.passed
    assert "replay differs" in str(certificate.reason)


def test_a_helping_hand_is_found_even_where_the_states_agree(body: Body):
    data = mujoco.MjData(body.model)
    data.qpos[:] = standing(body)
    data.qfrc_applied[2] = 50.0
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    start = np.empty(mujoco.mj_stateSize(body.model, kind))
    mujoco.mj_getState(body.model, data, start, kind)
    recorder = Recorder(body, data.qpos, data.qvel, start)
    for ctrl in wiggle(body, 5):
        recorder.step(ctrl)
    certificate = certify(recorder.rollout(0), body)
    assert certificate.bit_equal
    assert not certificate.no_external_forces
    assert not certificate.passed
    assert "external force" in str(certificate.reason)


def test_a_rollout_of_another_body_is_refused(rollout: Rollout):
    with pytest.raises(MotionError, match="smpl24_hinge"):
        certify(rollout, default_body("hinge"))


def test_dense_and_sparse_jacobians_agree_in_contact(body: Body):
    """MuJoCo issue 3767: the two gave different accelerations in contact."""
    found = []
    for kind in (mujoco.mjtJacobian.mjJAC_DENSE, mujoco.mjtJacobian.mjJAC_SPARSE):
        spec = build_spec()
        spec.option.jacobian = kind
        spec.option.iterations, spec.option.tolerance = 100, 1e-14
        model = spec.compile()
        data = mujoco.MjData(model)
        data.qpos[:] = standing(body)
        data.qpos[2] -= 0.002
        data.qvel[:] = 0.2 * np.random.default_rng(3).normal(size=model.nv)
        mujoco.mj_forward(model, data)
        assert data.ncon > 4
        found.append(data.qacc.copy())
    np.testing.assert_allclose(found[0], found[1], atol=1e-8 * np.abs(found[0]).max())


def test_a_servo_that_would_need_too_much_torque_is_limited(body: Body):
    recorder = Recorder(body, standing(body), np.zeros(body.model.nv))
    recorder.step(np.full(body.model.nu, 3.0))
    limit = body.model.actuator_forcerange[:, 1]
    assert (np.abs(recorder.data.actuator_force) <= limit + 1e-9).all()
    assert (np.abs(recorder.data.actuator_force) > 0.99 * limit).any()


def test_recorder_tells_when_a_state_is_no_longer_finite(body: Body):
    recorder = Recorder(body, standing(body), np.full(body.model.nv, np.nan))
    assert not recorder.step(np.zeros(body.model.nu))
    assert recorder.rollout(0).num_frames == 1


def test_a_ball_joint_takes_a_clips_rotation_as_it_is(body: Body):
    clip = rest_clip()
    rotations = clip.rotations.copy()
    shoulder = body.skeleton.index("left_shoulder")
    rotations[0, shoulder] = quat_from_rotvec(np.array([1.2, 0.3, -0.4]))
    qpos = body.qpos_from_clip(replace(clip, rotations=rotations))
    assert np.array_equal(qpos[0, body.qpos_ids[shoulder]], rotations[0, shoulder])


def test_a_replay_passes_through_the_recorded_states(body: Body, rollout: Rollout):
    """Substep by substep, with the contacts that bore the body: their sum is what the feet were told to bear."""
    steps, weight = [], []
    for step in replay(rollout, body):
        steps.append(step.control_step)
        weight.append(sum(step.data.efc_force[c.efc_address] for c in step.data.contact))
        if len(steps) % body.substeps == 0:
            assert np.array_equal(step.data.qpos, rollout.qpos[step.control_step + 1])
            assert weight[-1] == pytest.approx(rollout.foot_force[step.control_step + 1].sum(), rel=1e-6)
    assert steps == [k for k in range(30) for _ in range(body.substeps)]
    with pytest.raises(MotionError, match="60 fps"):
        next(replay(replace(rollout, fps=60.0), body))
