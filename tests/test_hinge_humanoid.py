"""A small humanoid of hinges, made here, goes through all that drives the built-in body; and no code there names that
body's joints."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from morphloop.base import MotionError, write_json
from morphloop.envs import (
    Balance,
    Observer,
    TaskConfig,
    TrackingEnv,
    build_library,
    default_gains,
    feedback_entries,
    observation_size,
    prepare,
)
from morphloop.envs.balance import gains_from_terms
from morphloop.envs.feedforward import feedforward_torques
from morphloop.envs.reference import generalised_velocity, lowest_height, pd_targets, reference_of
from morphloop.imitator import (
    DemonstrationConfig,
    DistilConfig,
    IlqrConfig,
    ImitatorConfig,
    ProjectionConfig,
    distil,
    load_demonstration,
    load_policy,
    new_policy,
    project_clips,
    record_demonstrations,
    train_imitator,
    variations,
)
from morphloop.imitator.projection.rollouts import policy_rollouts
from morphloop.metrics import measure
from morphloop.metrics.points import joint_points, surface_points
from morphloop.motion import SMPL_JOINTS, Clip, JointTrack, load_rollout, make_corpus, write_manifest
from morphloop.motion.own_outputs import CONFIG
from morphloop.refinement_loop import ProjectFolder, verify
from morphloop.sim import (
    BUILT_IN,
    BodyDescription,
    CpuPhysics,
    DrivenRobot,
    Variation,
    certify,
    default_body,
    driven_body,
    load_body,
)
from morphloop.sim.bodies.description import BalanceServos, Dof
from morphloop.sim.drawing.figure import LEFT_COLOUR, RIGHT_COLOUR, TRUNK_COLOUR, make_scene
from morphloop.sim.rollouts.loads import foot_loads

HOUSE = Path(__file__).parents[1]
FPS = 50.0
LEG = """
<body name="{s}_thigh" pos="0 {y} -0.04">
  <joint name="{s}_hip_pitch" axis="0 1 0" range="-2 1"/>
  <joint name="{s}_hip_roll" axis="1 0 0" range="-1 1"/>
  <joint name="{s}_hip_yaw" axis="0 0 1" range="-1 1"/>
  <geom type="capsule" fromto="0 0 0 0 0 -0.30" size="0.05" mass="4"/>
  <body name="{s}_shin" pos="0 0 -0.34">
    <joint name="{s}_knee" axis="0 1 0" range="0 2.4"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.30" size="0.04" mass="2.5"/>
    <body name="{s}_foot" pos="0 0 -0.34">
      <joint name="{s}_ankle_pitch" axis="0 1 0" range="-1 0.8" pos="0 0 0"/>
      <joint name="{s}_ankle_roll" axis="1 0 0" range="-0.5 0.5"/>
      <geom type="box" pos="0.03 0 -0.035" size="0.10 0.045 0.015" mass="0.8"/>
    </body>
  </body>
</body>"""
ARM = """
<body name="{s}_upper_arm" pos="0 {y} 0.25">
  <joint name="{s}_shoulder_pitch" axis="0 1 0"/>
  <joint name="{s}_shoulder_roll" axis="1 0 0"/>
  <geom type="capsule" fromto="0 0 0 0 0 -0.22" size="0.035" mass="1.2" contype="0" conaffinity="0"/>
  <body name="{s}_forearm" pos="0 0 -0.24">
    <joint name="{s}_elbow" axis="0 1 0"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.03" mass="0.8" contype="0" conaffinity="0"/>
  </body>
</body>"""
HUMANOID = """<mujoco>
<compiler angle="radian"/>
<default><joint armature="0.02"/></default>
<worldbody>
  <body name="hips" pos="0 0 0.77">
    <freejoint/>
    <geom type="capsule" fromto="0 -0.07 0 0 0.07 0" size="0.07" mass="6"/>
    <body name="chest" pos="0 0 0.1">
      <joint name="waist" axis="0 1 0" range="-0.5 1"/>
      <geom type="capsule" fromto="0 -0.08 0.15 0 0.08 0.15" size="0.09" mass="12"/>
      {arms}
      <body name="skull" pos="0 0 0.35">
        <joint name="nod" axis="0 1 0"/>
        <geom type="sphere" size="0.08" mass="3"/>
      </body>
    </body>
    {legs}
  </body>
</worldbody>
<actuator>
  <position joint="waist" kp="400" kv="40" forcerange="-200 200"/>
  <motor joint="nod" ctrlrange="-15 15"/>
</actuator>
</mujoco>"""
SIDES = {"l": 1, "r": -1}
GAINS = {
    "hip_pitch": (400, 40, 200), "hip_roll": (400, 40, 200), "hip_yaw": (300, 30, 150), "knee": (400, 40, 200),
    "ankle_pitch": (300, 30, 120), "ankle_roll": (200, 20, 100),
    "shoulder_pitch": (80, 8, 50), "shoulder_roll": (80, 8, 50), "elbow": (50, 5, 30),
}  # fmt: skip
SHAKEN = {"hip_pitch": 1.0, "hip_roll": 1.0, "ankle_pitch": 1.0, "ankle_roll": 0.7, "knee": 1.0}
LEG_DOFS = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
QUICK = IlqrConfig(horizon=16, threads=1, retries=0)


def described() -> BodyDescription:
    """What the humanoid knows of itself; the head's gains stand here, the waist's in its file."""
    dofs = {
        f"{side}_{name}": Dof(0.2, SHAKEN.get(name, 0.0), *map(float, gains))
        for side in SIDES
        for name, gains in GAINS.items()
    }
    return BodyDescription(
        feet=(("l_foot",), ("r_foot",)),
        legs=(("l_thigh", "l_shin", "l_foot"), ("r_thigh", "r_shin", "r_foot")),
        torso="chest",
        head="skull",
        lower=("hips", *(f"{side}_{part}" for side in SIDES for part in ("thigh", "shin", "foot"))),
        preview=("hips", "l_foot", "r_foot", "skull", "l_forearm", "r_forearm"),
        dofs=dofs | {"nod": Dof(0.1, 0.0, 30.0, 3.0), "waist": Dof(0.2, 0.3)},
        balance=BalanceServos(
            names=LEG_DOFS,
            legs=(tuple(f"l_{dof}" for dof in LEG_DOFS), tuple(f"r_{dof}" for dof in LEG_DOFS)),
            mirror=(1, -1, -1, 1, 1, -1),
        ),
        standing_height=0.4,
    )


def mjcf(**changed: str) -> str:
    legs = "".join(LEG.format(s=side, y=0.09 * sign) for side, sign in SIDES.items())
    arms = "".join(ARM.format(s=side, y=0.16 * sign) for side, sign in SIDES.items())
    text = HUMANOID.format(legs=legs, arms=arms)
    for old, new in changed.items():
        text = text.replace(old, new)
    return text


def driven(text: str | None = None, description: BodyDescription | None = None) -> DrivenRobot:
    return DrivenRobot(mujoco.MjSpec.from_string(text or mjcf()), description or described(), "hinges")


@pytest.fixture(scope="module")
def body() -> DrivenRobot:
    torch.set_num_threads(1)
    return driven()


def posed(body: DrivenRobot, angles: dict[str, np.ndarray], name: str) -> Clip:
    """A motion of hinge angles (T,) by name, its left foot where it is and its lowest point on the ground."""
    frames = len(next(iter(angles.values())))
    qpos = np.tile(body.model.qpos0, (frames, 1))
    for hinge, values in angles.items():
        qpos[:, body.model.joint(hinge).qposadr[0]] = values
    clip = body.clip_from_qpos(qpos, FPS, name)
    foot = clip.positions[:, body.skeleton.index("l_foot")]
    root = clip.root_pos - (foot - foot[0]) * [1.0, 1.0, 0.0]
    clip = replace(clip, root_pos=root)
    return replace(clip, root_pos=root - lowest_height(clip, body)[:, None] * [0.0, 0.0, 1.0])


def squat_and_wave(body: DrivenRobot, seconds: float = 2.4) -> Clip:
    """A squat with a raised arm, the weight swaying from leg to leg."""
    time = np.arange(round(seconds * FPS) + 1) / FPS
    ease = np.minimum(1.0, time / 0.4)
    bend = 0.35 * (1.0 - np.cos(2.0 * np.pi * time / seconds))
    sway = 0.06 * ease * np.sin(2.0 * np.pi * time / 1.2)
    legs: dict[str, np.ndarray] = {}
    for side in SIDES:
        legs |= {f"{side}_hip_pitch": -bend, f"{side}_knee": 2.0 * bend, f"{side}_ankle_pitch": -bend}
        legs |= {f"{side}_hip_roll": sway, f"{side}_ankle_roll": -sway}
    arms = {
        "r_shoulder_roll": -1.2 * bend - 0.1,
        "r_elbow": -0.8 * ease * np.sin(2.0 * np.pi * time / 0.8) - 0.8 * bend,
    }
    return posed(body, legs | arms | {"waist": 0.4 * bend, "nod": 0.3 * bend}, "squat and wave")


@pytest.fixture(scope="module")
def squat(body: DrivenRobot) -> Clip:
    return squat_and_wave(body)


def test_a_driven_robot_has_servos_sensors_and_a_floor(body: DrivenRobot) -> None:
    model = body.model
    assert model.nu == model.nv - 6 == 20
    assert 35.0 < body.mass < 50.0
    assert sorted(body.servo_names) == sorted(body.robot.hinge_names)
    names = list(body.servo_names)
    for hinge, gains in {"waist": (400, 40, 200), "nod": (30, 3, 15), "l_knee": (400, 40, 200)}.items():
        k = names.index(hinge)
        found = model.actuator_gainprm[k, 0], -model.actuator_biasprm[k, 2], model.actuator_forcerange[k, 1]
        assert found == pytest.approx(gains)
    assert body.touch_ids.shape == body.feet.shape == (2, 1)
    assert body.force_unit == pytest.approx(9.81 * body.mass)


def test_it_stands_on_its_pd_targets_alone(body: DrivenRobot) -> None:
    """3 s, and what its feet bear is its weight."""
    stand = prepare(posed(body, {"l_knee": np.zeros(151)}, "stand"), body)
    physics, observer = CpuPhysics(body, 1), Observer(body, build_library([stand], body))
    index = torch.zeros(1, dtype=torch.long)
    physics.set_state(index, observer.library.qpos[:1], observer.library.qvel[:1])
    for frame in range(stand.num_frames - 1):
        state = observer.kinematics(physics.qpos, physics.qvel)
        physics.ctrl[:] = observer.base(state, index, index + frame).double()
        assert not physics.step().any()
    assert stand.num_frames == 91
    end = observer.kinematics(physics.qpos, physics.qvel).pos[0].numpy()
    assert np.linalg.norm(end - stand.positions[-1], axis=-1).max() < 0.03
    assert float(physics.foot_force.sum()) == pytest.approx(9.81 * body.mass, rel=0.05)


def test_feedforward_spares_the_servos_their_errors(body: DrivenRobot, squat: Clip) -> None:
    """Its torques are nearly what holds the squat; without them knees must err by far more to find it."""
    clip = prepare(squat, body)
    torque = feedforward_torques(clip, generalised_velocity(clip, body), body)
    knee, deep = body.servo_names.index("l_knee"), int(clip.root_pos[:, 2].argmin())
    assert np.abs(torque[deep, knee]) > 20.0
    errors = {}
    for with_it in (True, False):
        target = pd_targets(clip, body) - (0.0 if with_it else torque / body.model.actuator_gainprm[:, 0])
        data = mujoco.MjData(body.model)
        data.qpos[:] = body.qpos_from_clip(clip)[0]
        for frame in range(deep):
            data.ctrl[:] = target[frame + 1]
            mujoco.mj_step(body.model, data, 10)
        reached = body.coordinates.servo_angles(data.qpos[None])[0]
        errors[with_it] = abs(reached - body.coordinates.servo_angles(body.qpos_from_clip(clip))[deep])[knee]
    assert errors[True] < 0.5 * errors[False]


def test_it_tracks_a_clip_that_moves_and_replays_to_the_bit(
    body: DrivenRobot, squat: Clip, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "morphloop.envs"):
        (made,) = project_clips(
            [squat], config=ProjectionConfig(projector="optimiser", ilqr=QUICK), body=body, workers=0
        )
    assert made.reason is None
    assert made.tracking["success"] == 1.0
    assert (made.tracking["skill"] or 0.0) > 0.5
    assert made.clip is not None
    assert made.rollout is not None
    assert made.reference is not None
    assert made.clip.num_frames == made.reference.num_frames
    certificate = made.certificate
    assert certificate is not None
    assert certificate.passed
    assert certificate.bit_equal
    assert certificate.torque_ok
    assert certificate.no_external_forces
    again = certify(made.rollout, body)
    assert (again.max_error, again.hand_force) == (0.0, certificate.hand_force)
    assert again.hand_force < 1e-6 * 9.81 * body.mass
    loads = foot_loads(made.rollout, body)
    assert loads.load.shape == (made.clip.num_frames - 1, 2, 1)
    assert float(loads.load.sum(axis=(1, 2)).mean()) == pytest.approx(9.81 * body.mass, rel=0.1)


def test_a_body_that_is_registered_is_driven_by_its_name(
    squat: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry of the table: whoever names it gets it, workers and whoever verifies by its hash too."""
    monkeypatch.setitem(BUILT_IN, "hinges", driven)
    registered = load_body("hinges")
    assert registered is driven_body("hinges")
    clips = [replace(squat.slice(start, start + 9), name=f"squat{start}") for start in (0, 12)]
    config = ProjectionConfig(projector="optimiser", ilqr=replace(QUICK, iterations=1, horizon=6))
    folder = ProjectFolder(tmp_path, registered, projection=config)
    write_json(tmp_path / CONFIG, folder.settings())
    rows, faults = folder.project(clips, workers=2)
    write_manifest(tmp_path, rows)
    assert not faults
    rollout = load_rollout(tmp_path / "rollouts" / "squat0.npz")
    assert certify(rollout, load_body("hinges")).bit_equal
    for checked in (verify(tmp_path), verify(tmp_path / "rollouts" / "squat12.npz")):
        assert checked.faults == []
        assert all(certificate.bit_equal for certificate in checked.certificates.values())
    alone = project_clips(clips, config=config, body=registered, workers=0)[0].rollout
    assert alone is not None
    np.testing.assert_array_equal(alone.qpos, rollout.qpos)


def test_it_is_drawn_by_what_it_knows_of_itself(body: DrivenRobot, squat: Clip) -> None:
    scene = make_scene(squat, body)
    by_name = dict(zip(body.skeleton.names, scene.colours, strict=True))
    for side, colour in {"l": LEFT_COLOUR, "r": RIGHT_COLOUR}.items():
        assert {by_name[f"{side}_{part}"] for part in ("thigh", "shin", "foot", "forearm")} == {colour}
    assert by_name["hips"] == by_name["chest"] == by_name["skull"] == TRUNK_COLOUR
    assert scene.head == body.skeleton.index("skull")
    assert scene.feet == ((), ()), "a foot of one piece is drawn with the bone that leads to it"


def test_its_joints_alone_are_measured_too(body: DrivenRobot, squat: Clip) -> None:
    """Positions by its own names: its feet are known, and stand where those of its surface do."""
    track = JointTrack(squat.fps, body.skeleton.names, squat.positions)
    points = joint_points(track, body)
    left = body.skeleton.index("l_foot")
    assert points.foot.tolist() == [{"l_foot": 0, "r_foot": 1}.get(name, -1) for name in body.skeleton.names]
    surface = surface_points(squat, body)
    lowest = surface.heights[:, surface.foot == 0].min(axis=1)
    assert np.abs((points.heights - points.rest_height)[:, left] - lowest).max() < 0.02
    assert measure(track, body).values["unsupported_ratio"] == 0.0


def test_a_hand_is_found_on_it_too(body: DrivenRobot, squat: Clip) -> None:
    """The same body with its gravity halved in one segment: the certificate names the help."""
    light = driven(mjcf(**{'<body name="chest"': '<body name="chest" gravcomp="0.5"'}))
    stand = prepare(posed(light, {"l_knee": np.zeros(26)}, "stand"), light)
    (made,) = project_clips([stand], config=ProjectionConfig(projector="optimiser", ilqr=QUICK), body=light, workers=0)
    assert made.certificate is not None
    assert not made.certificate.no_external_forces
    assert "gravity compensation" in (made.certificate.reason or "")


def test_the_task_runs_on_it(body: DrivenRobot, squat: Clip) -> None:
    """Random actions, at other speeds and sizes too; the same seed gives the same bytes."""
    clip, seen = prepare(squat, body), []
    varied = Variation((0.8, 1.2), (0.9, 1.1), (0.95, 1.05), (0.9, 1.1), (0.9, 1.1), (0.98, 1.02)).sample(body, 4, 0)
    for models in (None, None, varied):
        config = TaskConfig(speed=(0.9, 1.1)) if models else TaskConfig()
        env = TrackingEnv([clip], body, 4, config, seed=1, physics=CpuPhysics(body, 4, models=models))
        rows, draw = [env.reset()], torch.Generator().manual_seed(0)
        assert rows[0].shape == (4, observation_size(body)) == (4, env.observation_size)
        for _ in range(30):
            result = env.step(0.3 * torch.randn(4, env.action_size, generator=draw))
            assert torch.isfinite(result.obs).all()
            assert torch.isfinite(result.reward).all()
            rows.append(result.obs)
        seen.append(torch.stack(rows))
    assert torch.equal(seen[0], seen[1])
    assert int(feedback_entries(body).sum()) == 1 + 2 + 15 * body.skeleton.num_joints + 8


def test_it_is_driven_at_fifty_hertz_where_its_description_says_so(squat: Clip, tmp_path: Path) -> None:
    """References, rollouts, the task and policies go by the body's own rate, on 300 steps of physics a second."""
    quick = driven(description=replace(described(), control_hz=50.0, substeps=6))
    assert quick.model.opt.timestep == driven().model.opt.timestep
    assert quick.contact_force == pytest.approx(0.03 * 9.81 * quick.mass)
    clip = squat.slice(0, 31)
    assert prepare(clip, quick).fps == 50.0
    config = ProjectionConfig(projector="optimiser", ilqr=QUICK)
    (made,) = project_clips([clip], config=config, body=quick, workers=0)
    assert made.rollout is not None
    assert (made.rollout.fps, made.rollout.substeps, made.rollout.num_frames) == (50.0, 6, 31)
    assert made.certificate is not None
    assert made.certificate.passed
    assert made.certificate.bit_equal
    assert made.tracking["success"] == 1.0
    assert foot_loads(made.rollout, quick).fps == 50.0
    env = TrackingEnv([prepare(clip, quick)], quick, 2, TaskConfig(random_start=False))
    assert env.sampler.steps == 50
    env.reset()
    env.step(torch.zeros(2, env.action_size))
    np.testing.assert_allclose(env.physics.batch.bind("time"), 0.02)
    policy = train_imitator([clip], [clip], tmp_path, ImitatorConfig(steps=64, envs=2, hidden=(8,)), body=quick)
    (rollout,) = policy_rollouts(policy, [reference_of(prepare(clip, quick), quick)], quick)
    assert certify(rollout, quick).bit_equal
    path = policy.save(tmp_path / "policy.safetensors")
    assert load_policy(path, quick).hash == policy.hash
    with pytest.raises(MotionError, match="acts 50 times a second, body 'hinges' is driven at 30 Hz"):
        load_policy(path, driven())
    with pytest.raises(MotionError, match="50 frames a second, body 'hinges' is driven at 30 Hz; prepare"):
        build_library([prepare(clip, quick)], driven())


def test_its_own_balance_gains_move_its_own_servos(body: DrivenRobot, squat: Clip) -> None:
    library = build_library([prepare(squat, body)], body)
    assert not default_gains(body).leg.any()
    assert default_gains(body).hash != default_gains(default_body()).hash
    balance = Balance(body, gains=gains_from_terms([("double", "ankle_pitch", "com_x", 0.5)], body))
    reference = library.joints(torch.tensor([0]))
    ahead = replace(reference, pos=reference.pos + torch.tensor([0.02, 0.0, 0.0]))
    moved = balance(ahead, reference, torch.ones(1, 2, dtype=torch.bool))[0]
    hit = {body.servo_names[k] for k in torch.nonzero(moved).flatten().tolist()}
    assert hit == {"l_ankle_pitch", "r_ankle_pitch"}
    assert moved.max() == pytest.approx(body.softness * 0.5 * 5.0 * 0.02, rel=1e-3)


def test_a_policy_is_trained_kept_and_refused_for_another_body(body: DrivenRobot, squat: Clip, tmp_path: Path) -> None:
    config = ImitatorConfig(steps=128, envs=4, hidden=(16,))
    policy = train_imitator([squat], [squat], tmp_path / "run", config, body=body)
    path = policy.save(tmp_path / "policy.safetensors")
    kept = load_policy(path, body)
    assert kept.hash == policy.hash
    assert kept.spec.joints == body.servo_names
    calmer = replace(described(), dofs={**described().dofs, "waist": Dof(0.1)})
    with pytest.raises(MotionError, match="actions are scaled otherwise"):
        load_policy(path, driven(description=calmer))
    with pytest.raises(MotionError, match=r"made for body 'hinges' .* asked to drive 'smpl24'"):
        load_policy(path)
    with pytest.raises(MotionError, match=r"made for body 'smpl24' .* asked to drive 'hinges'"):
        load_policy(HOUSE / "assets" / "imitator" / "policy.safetensors", body)


def test_a_demonstration_is_recorded_and_distilled(body: DrivenRobot, squat: Clip, tmp_path: Path) -> None:
    clip = reference_of(prepare(squat, body).slice(0, 40), body)
    paths = record_demonstrations([clip], tmp_path, body, DemonstrationConfig(QUICK), workers=0)
    demonstration = load_demonstration(paths[0], body)
    assert demonstration is not None
    assert len(demonstration) == 39
    assert demonstration.gain.shape == (39, body.model.nu, 2 * body.model.nv)
    with pytest.raises(MotionError, match="recorded with body"):
        load_demonstration(paths[0], default_body("hinge"))
    rows: list[dict] = []
    config = DistilConfig(updates=2, envs=16, steps=8, batches=40, minibatch=64, memory=2000)
    distil(new_policy(body, (16,)), [demonstration], body, config, rows.append)
    assert [row["update"] for row in rows] == [1, 2]
    assert all(0.0 < row["loss"] < 1.0 for row in rows)


def test_variations_stay_within_what_the_hinges_can_do(body: DrivenRobot, squat: Clip) -> None:
    for made in variations([squat], 3, 0, body=body):
        again = body.clip_from_qpos(body.qpos_from_clip(made), made.fps)
        np.testing.assert_allclose(again.positions, made.positions, atol=1e-9)
        assert np.abs(made.positions[: len(squat.positions)] - squat.positions[: made.num_frames]).max() > 0.01


def test_the_built_in_body_of_hinges_is_driven_too() -> None:
    """Three hinges a joint, which a PD target sees each by itself: the body holds a squat's first second."""
    hinge = default_body("hinge")
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    clip = prepare(clip, hinge).slice(0, 31)
    env = TrackingEnv([clip], hinge, 1, TaskConfig(random_start=False))
    env.reset()
    for _ in range(29):
        result = env.step(torch.zeros(1, env.action_size))
        assert float(result.error) < 0.02


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({'<position joint="waist" kp="400" kv="40" forcerange="-200 200"/>': ""}, "hinge 'waist' has stiffness None"),
        ({'ctrlrange="-15 15"': 'ctrlrange="0 0"'}, "hinge 'nod' has stiffness 30.0, damping 3.0 and torque None"),
        ({"</worldbody>": '<body name="ball"><freejoint/><geom size="0.1"/></body></worldbody>'}, "1 bodies beside"),
        ({"l_foot": "l_shoe"}, "body 'hinges' has no l_foot"),
        ({'name="waist" axis="0 1 0"': 'name="waist" type="slide" axis="0 1 0"'}, "of type slide"),
        (
            {"</actuator>": '</actuator><equality><weld body1="skull" body2="chest"/></equality>'},
            "equality constraints",
        ),
    ],
)
def test_what_cannot_be_driven_is_refused_in_a_line(changed: dict[str, str], said: str) -> None:
    with pytest.raises(MotionError, match=re.escape(said)):
        driven(mjcf(**changed))


FOLDERS = ("envs", "imitator", "sim/physics", "sim/rollouts")


def test_no_joint_of_the_built_in_body_is_named_where_bodies_are_driven() -> None:
    """Neither a joint nor a joint without its side stands as a literal there."""
    bare = {name.removeprefix("left_").removeprefix("right_") for name in SMPL_JOINTS}
    named = re.compile(rf"""["'](?:left_|right_|\{{\w+\}}_)?(?:{"|".join(sorted(bare))})(?:_[xyz])?["']""")
    found = [
        f"{path.relative_to(HOUSE)}:{number}: {line.strip()}"
        for folder in FOLDERS
        for path in sorted((HOUSE / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if named.search(line)
    ]
    assert not found
    assert named.search('k = index(f"{side}_ankle")')
    assert named.search('"spine1"')
