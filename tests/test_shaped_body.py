"""Bodies in the shape of a SMPL model file, driven: a person made up around the built-in body's own geoms, in the
published layout of such files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli.project import Project
from morphloop.cli.train_imitator import TrainImitator
from morphloop.envs import TaskConfig, TrackingEnv, prepare
from morphloop.envs.reference import lowest_height
from morphloop.imitator import ProjectionConfig, load_policy, new_policy
from morphloop.motion import DEFAULT_SKELETON, Clip, make_corpus
from morphloop.motion.files import load_clip, read_manifest, save_clip
from morphloop.motion.skeleton import SMPL_PARENTS, Y_UP_TO_Z_UP
from morphloop.sim import Body, ShapedBody, SmplBody, carry, default_body, driven_body, load_body, many_bodies
from morphloop.sim.bodies.build import body_geoms

POINTS = 80
PELVIS = np.array([-0.002, -0.22, 0.03])
TALL = 1.08


def person(size: float, joints: int = 24) -> dict[str, Any]:
    """A model file of the built-in body's geoms, each as points on its surface, everything `size` times as long."""
    rng, skeleton = np.random.default_rng(0), DEFAULT_SKELETON
    rest, vertices, owner = size * skeleton.rest_positions, [], []
    for j, name in enumerate(skeleton.names):
        (geom,) = body_geoms(skeleton)[name]
        start, end = np.array(geom.start), np.array(geom.end)
        if geom.radius:
            out = rng.normal(size=(POINTS, 3))
            out *= geom.radius / np.linalg.norm(out, axis=1, keepdims=True)
            if base_is_limb := np.linalg.norm(end - start) > 0.2:
                along = (end - start) / np.linalg.norm(end - start)
                out -= out @ along[:, None] * along
                out *= geom.radius / np.linalg.norm(out, axis=1, keepdims=True)
            ends = rng.integers(0, 2, (POINTS, 1)) if not base_is_limb else rng.uniform(0, 1, (POINTS, 1))
            points = start + ends * (end - start) + out
        else:
            points = np.array([np.where(pick, end, start) for pick in np.ndindex(2, 2, 2)]).repeat(POINTS // 8, axis=0)
        points = points.copy()
        if name.endswith(("ankle", "foot")):  # the lowest point of a foot is its sole
            points[0, 2] = min(start[2], end[2]) - geom.radius
        vertices.append(rest[j] + size * points)
        owner += [j] * POINTS
    vertices, owner = np.concatenate(vertices), np.array(owner)
    regressor = np.zeros((24, len(owner)))
    for j in range(24):
        near = np.flatnonzero(owner == j)
        regressor[j, near] = np.linalg.pinv(np.concatenate([vertices[near].T, np.ones((1, POINTS))])) @ [*rest[j], 1.0]
    return {
        "v_template": vertices @ Y_UP_TO_Z_UP + PELVIS,
        "shapedirs": 0.002 * rng.normal(size=(len(owner), 3, 10)),
        "posedirs": np.zeros((len(owner), 3, 9 * 23)),
        "J_regressor": regressor,
        "weights": np.eye(24)[owner],
        "kintree_table": np.array([[2**32 - 1, *SMPL_PARENTS[1:]], range(24)], dtype=np.uint32),
        "f": np.array([[0, 1, 2]], np.uint32),
    }


def write(folder: Path, size: float, name: str = "PERSON", **changes: Any) -> Path:
    np.savez(folder / f"{name}.npz", **(person(size) | changes))
    return folder / f"{name}.npz"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write(tmp_path_factory.mktemp("models"), TALL)


@pytest.fixture(scope="module")
def tall(file: Path) -> ShapedBody:
    body = driven_body(file)
    assert isinstance(body, ShapedBody)
    return body


@pytest.fixture(scope="module")
def clips() -> dict[str, Clip]:
    found: dict[str, Clip] = {}
    for clip in make_corpus(48, seed=4):
        found.setdefault(clip.provenance.notes["action"], clip)
    return found


def test_geoms_are_those_that_the_mesh_was_made_around(tall: ShapedBody):
    for name, (expected,) in body_geoms(DEFAULT_SKELETON).items():
        found = tall.geoms[name]
        if expected.radius:
            assert found.radius == pytest.approx(TALL * expected.radius, rel=0.3), name
        middle = 0.5 * TALL * (np.array(expected.start) + expected.end)
        np.testing.assert_allclose(0.5 * (np.array(found.start) + found.end), middle, atol=0.03, err_msg=name)
    assert tall.stature == pytest.approx(0.945 * TALL, abs=1e-3)


def test_masses_grow_with_volume_and_servos_with_mass(tall: ShapedBody, tmp_path: Path):
    model = default_body().model
    (foot,) = body_geoms(DEFAULT_SKELETON)["left_ankle"]
    sides = TALL * np.subtract(foot.end, foot.start)
    assert tall.joint_masses[tall.skeleton.index("left_ankle")] == pytest.approx(1000.0 * np.prod(sides), rel=1e-6)
    twice = driven_body(write(tmp_path, 2.0 ** (1 / 3) * TALL))
    np.testing.assert_allclose(twice.joint_masses, 2.0 * tall.joint_masses, rtol=1e-6)
    strength = tall.mass / default_body().mass
    for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
        np.testing.assert_allclose(getattr(tall.model, name), strength * getattr(model, name), rtol=1e-9)
        np.testing.assert_allclose(getattr(twice.model, name), 2.0 * getattr(tall.model, name), rtol=1e-6)
    servos, step = tall.coordinates.servo_dofs, model.opt.timestep
    more = -step * (tall.model.actuator_biasprm - model.actuator_biasprm)[:, 2]
    np.testing.assert_allclose((tall.model.dof_armature - model.dof_armature)[servos], more, rtol=1e-6)


def test_soles_stand_on_the_ground_and_are_felt(tall: ShapedBody):
    data = mujoco.MjData(tall.model)
    data.ctrl[:] = 0.0
    forces = []
    for _ in range(60):
        mujoco.mj_step(tall.model, data)
        forces.append(data.sensordata[tall.touch_ids].sum())
    assert np.mean(forces[30:]) == pytest.approx(9.81 * tall.mass, rel=0.1)
    rest = Clip(30.0, tall.skeleton, np.array([[0.0, 0.0, tall.stature]]), np.eye(4)[None, :1].repeat(24, axis=1))
    assert lowest_height(rest, tall)[0] == pytest.approx(0.0, abs=1e-6)


def test_the_measured_body_has_the_same_masses(file: Path, tall: ShapedBody):
    measured = load_body(file)
    np.testing.assert_array_equal(measured.joint_masses, tall.joint_masses)
    assert len(measured.surface.joint) > len(tall.surface.joint)
    assert measured.hash != tall.hash


def test_shapes_of_one_model_run_side_by_side(file: Path, tall: ShapedBody):
    measured = load_body(file)
    assert isinstance(measured, SmplBody)
    other = measured.shaped((2.0, -1.0))
    models = many_bodies([tall, other], np.array([1, 0, 1]))
    assert not np.array_equal(models.model(tall, 0).body_mass, tall.model.body_mass)
    np.testing.assert_array_equal(models.model(tall, 2).geom_size, other.model.geom_size)


def follow(body: Body, clips: list[Clip], seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """(T, N) joint errors in metres and heights of the pelvis under targets and balance alone, without a policy."""
    config = TaskConfig(random_start=False, max_steps=10_000, termination_distance=10.0)
    count = len(clips)
    env = TrackingEnv([prepare(carry(clip, body), body) for clip in clips], body, count, config)
    env.reset(clip=torch.arange(count))
    rows = []
    for _ in range(round(30 * seconds)):
        rows.append((env.step(torch.zeros(count, env.action_size)).error, env.physics.qpos[:, 2].clone()))
    error, height = (torch.stack(part).numpy() for part in zip(*rows, strict=True))
    return error, height


def test_it_stands_for_two_seconds(tall: ShapedBody):
    rotations = np.eye(4)[None, :1].repeat(90, axis=0).repeat(24, axis=1)
    still = Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, 0.945], (90, 1)), rotations, name="still")
    error, height = follow(tall, [still], 2.0)
    assert error.max() < 0.03
    assert abs(height - tall.stature).max() < 0.03


def test_it_tracks_corpus_clips_carried_over_to_it(tall: ShapedBody):
    clips = [clip for clip in make_corpus(12, seed=4) if clip.duration > 2.1]
    error, _ = follow(tall, clips, 2.0)
    assert (error.max(axis=0) < 0.25).sum() >= len(clips) - 1 >= 8
    assert np.median(error) < 0.03


def test_a_carried_clip_goes_as_far_as_the_body_is_large(tall: ShapedBody, clips: dict[str, Clip]):
    walk = clips["walk"]
    there = carry(walk, tall)
    np.testing.assert_allclose(there.root_pos, TALL * walk.root_pos, rtol=1e-3)
    np.testing.assert_array_equal(there.rotations, walk.rotations)
    assert carry(there, tall) is there
    assert carry(walk, default_body()) is walk
    other = Clip(30.0, replace(DEFAULT_SKELETON, offsets=0.9 * DEFAULT_SKELETON.offsets), walk.root_pos, walk.rotations)
    for body in (tall, default_body()):
        with pytest.raises(MotionError, match="skeleton differs from body 'smpl24', retarget the clip first"):
            carry(other, body)


def test_a_policy_for_another_body_is_refused_by_both_names(tall: ShapedBody, tmp_path: Path):
    path = new_policy(default_body()).save(tmp_path / "policy.safetensors")
    with pytest.raises(MotionError, match=r"made for body 'smpl24' \(\w+\), asked to drive 'PERSON, mean shape' \("):
        load_policy(path, tall)


def test_a_policy_is_trained_for_it_and_projects_on_it(file: Path, tall: ShapedBody, clips: dict[str, Clip], tmp_path):
    run, source, out = tmp_path / "run", tmp_path / "squat.npz", tmp_path / "out"
    train = TrainImitator(out=run, body=str(file), clips=2, held_out=1, envs=4, steps=1, vary_bodies=True)
    assert train.run() == 0
    assert load_policy(run / "policy.safetensors", tall).spec.body_hash == tall.hash
    save_clip(source, replace(clips["squat"].slice(0, 40), name="squat"))
    policy = str(run / "policy.safetensors")
    project = Project(paths=(source,), out=out, body=str(file), policy=policy, projection=ProjectionConfig("policy"))
    assert project.run() == 0
    (row,) = read_manifest(out)
    assert row["verdict"] == "accepted"
    assert row["certificate"]["bit_equal"]
    assert row["variant"] == "surface"
    assert row["after"]["penetration_mean_mm"] + row["after"]["float_mean_mm"] < 5.0
    done = load_clip(out / "clips" / "squat.npz")
    assert isinstance(done, Clip)
    assert done.skeleton == tall.skeleton
    with pytest.raises(MotionError, match="made for body 'PERSON, mean shape'"):
        replace(project, body=None, out=tmp_path / "other").run()


def test_what_cannot_be_driven_is_one_line(tmp_path: Path):
    weights = np.eye(24)[np.zeros(24 * POINTS, int)]
    with pytest.raises(MotionError, match="the left foot carries no vertices of the mesh, expected feet to stand on"):
        driven_body(write(tmp_path, 1.0, weights=weights))
    robot = tmp_path / "robot.xml"
    robot.write_text(ROBOT)
    with pytest.raises(MotionError, match=r"robot 'robot': no knee"):
        driven_body(robot)
    robot.write_text(ROBOT.replace("0 0.1 0", "0 0 0.9"))
    with pytest.raises(MotionError, match="no two feet"):
        driven_body(robot)


ROBOT = """<mujoco><worldbody><body name="trunk" pos="0 0 1"><freejoint/><geom size=".1"/>
<body name="left" pos="0 0.1 0"><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.8" size=".03"/></body>
<body name="right" pos="0 -0.1 0"><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.8" size=".03"/></body>
</body></worldbody></mujoco>"""
