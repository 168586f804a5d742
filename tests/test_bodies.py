"""Bodies to measure on: robots from MJCF against MuJoCo itself, SMPL model files against smplx itself."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import scipy.sparse

from morphloop.base import MotionError
from morphloop.metrics import contact_frames, measure, timeline
from morphloop.metrics.contact import find_contacts
from morphloop.metrics.points import motion_points
from morphloop.metrics.vertices import VertexPoints, smplsim, vertex_points
from morphloop.motion import DEFAULT_SKELETON, Clip, JointTrack, Provenance, load_clip, save_clip
from morphloop.motion.readers.smpl import SMPL_PELVIS, SMPLX_REST, SMPLX_SKELETON
from morphloop.motion.rotations import quat_from_matrix, quat_from_rotvec, quat_mul, quat_rotate
from morphloop.motion.skeleton import SMPL_PARENTS, Y_UP_TO_Z_UP
from morphloop.sim import RobotBody, SmplBody, default_body, load_body, on_body, worn
from morphloop.sim.bodies.smpl_model import load_smpl_model

ROBOT = """
<mujoco model="made_up">
  <compiler angle="radian"/>
  <asset><mesh name="toe" vertex="0 0 0  .1 0 0  0 .04 0  .1 .04 0  0 0 .03  .1 .04 .03"/></asset>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body name="crate" pos="3 0 .2"><freejoint/><geom type="box" size=".2 .2 .2"/></body>
    <body name="pelvis" pos="0 0 .9">{free}
      <geom type="box" size=".1 .15 .08" mass="8"/>
      <body name="torso" pos="0 0 .1" euler="0 .1 .2">
        <joint name="waist" axis="0 0 1" range="-1 1" limited="true" pos=".01 0 -.05"/>
        <geom type="ellipsoid" size=".1 .15 .25" pos="0 0 .25" mass="12"/>
      </body>
      {left}{right}
    </body>
  </worldbody>
</mujoco>
"""
LEG = """
<body name="{side}_thigh" pos="0 {y} -.05" euler="0 0 .3">
  <joint name="{side}_hip_roll" axis="1 0 0"/><joint name="{side}_hip_pitch" axis="0 1 0"/>
  <geom type="capsule" fromto="0 0 0 0 0 -.35" size=".05" mass="4"/>
  <body name="{side}_shin" pos="0 0 -.4">
    <joint name="{side}_knee" axis="0 1 0" ref=".2" range="0 2" limited="true" pos="0 0 .01"/>
    <geom type="cylinder" fromto="0 0 0 0 0 -.3" size=".04" mass="2"/>
    <geom type="mesh" mesh="toe" contype="0" conaffinity="0" pos="0 0 -.9" mass="0"/>
    <body name="{side}_foot" pos="0 0 -.4">
      <joint name="{side}_ankle" axis="0 1 0"/>
      <geom type="mesh" mesh="toe" pos="-.03 -.02 -.05" mass="1"/>
    </body>
  </body>
</body>
"""
HINGES = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("hip_roll", "hip_pitch", "knee", "ankle"))


def robot_xml(free: bool = True) -> str:
    legs = {side: LEG.format(side=side, y=y) for side, y in (("left", 0.1), ("right", -0.1))}
    return ROBOT.format(free="<freejoint/>" if free else "", **legs)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> RobotBody:
    path = tmp_path_factory.mktemp("robot") / "made_up.xml"
    path.write_text(robot_xml())
    body = load_body(path)
    assert isinstance(body, RobotBody)
    return body


def standing_robot(body: RobotBody, drift: float = 0.0, sink: float = 0.0, frames: int = 61) -> Clip:
    """As built, soles on the ground, moved along x at `drift` m/s."""
    zero = np.array([[hinge.zero for hinge in body.robot.hinges]])
    root = np.array([[1.0, 0.0, 0.0, 0.0]])
    at = body.robot.clip(30.0, np.zeros((1, 3)), root, zero, "as_built", Provenance())
    low = measure(at, body, ground="lowest").values["ground_offset_mm"]
    assert low is not None
    times = np.arange(frames) / 30.0
    path = np.stack([drift * times, 0 * times, np.full(frames, -1e-3 * low - sink)], axis=1)
    rotations = np.repeat(at.rotations, frames, axis=0)
    return replace(at, root_pos=path, rotations=rotations)


def test_spec_none_and_smpl_are_the_built_in_body() -> None:
    assert load_body() is default_body()
    assert load_body("smpl") is default_body()


@pytest.mark.parametrize("free", [True, False])
def test_robot_stands_where_mujoco_puts_it(tmp_path: Path, free: bool) -> None:
    """The clip's forward kinematics against mj_kinematics: turned bodies, anchors off the origin, two hinges a body."""
    path = tmp_path / "robot.xml"
    path.write_text(robot_xml(free))
    body = RobotBody(path)
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1.2, 1.2, (20, len(body.robot.hinges)))
    root = quat_from_rotvec(rng.uniform(-1, 1, (20, 3)))
    clip = body.robot.clip(30.0, rng.normal(size=(20, 3)), root, angles, "random", Provenance())
    qpos = body.qpos_from_clip(clip)
    data = mujoco.MjData(body.model)
    origins = np.full(clip.positions.shape, np.inf)
    for frame, state in enumerate(qpos):
        data.qpos[:] = state
        mujoco.mj_kinematics(body.model, data)
        origins[frame] = data.xpos[body.body_ids]
        for h, hinge in enumerate(body.robot.hinges):
            assert data.qpos[body.model.joint(hinge.name).qposadr[0]] == pytest.approx(angles[frame, h], abs=1e-9)
            anchor = data.xanchor[body.model.joint(hinge.name).id]
            np.testing.assert_allclose(clip.positions[frame, hinge.joint], anchor, atol=1e-9)
    ours = clip.positions + quat_rotate(clip.global_rotations, np.broadcast_to(body.robot.origins, origins.shape))
    np.testing.assert_allclose(ours, origins, atol=1e-9)
    np.testing.assert_allclose(body.clip_from_qpos(qpos, 30.0).positions, clip.positions, atol=1e-9)


def test_robot_knows_its_tree_hinges_and_ranges(robot: RobotBody) -> None:
    assert robot.skeleton.names[0] == "pelvis"
    assert "crate" not in robot.skeleton.names
    assert set(robot.robot.hinge_names) == {"waist", *HINGES}
    knee = next(hinge for hinge in robot.robot.hinges if hinge.name == "left_knee")
    assert (knee.low, knee.high, knee.zero) == pytest.approx((0.0, 2.0, 0.2))
    assert robot.joint_masses.sum() == pytest.approx(8 + 12 + 2 * (4 + 2 + 1))


def test_robot_surface_is_that_of_its_geoms(robot: RobotBody) -> None:
    """The lowest surface point of random poses against every vertex, corner and rim that MuJoCo's model has."""
    rng = np.random.default_rng(1)
    angles = rng.uniform(-1.5, 1.5, (40, len(robot.robot.hinges)))
    root = quat_from_rotvec(rng.normal(size=(40, 3)))
    clip = robot.robot.clip(30.0, rng.normal(size=(40, 3)), root, angles, "random", Provenance())
    lowest, data = motion_points(clip, robot).lowest, mujoco.MjData(robot.model)
    for frame, state in enumerate(robot.qpos_from_clip(clip)):
        data.qpos[:] = state
        mujoco.mj_kinematics(robot.model, data)
        truth = min(_lowest(robot.model, data, g) for g in range(robot.model.ngeom) if _own(robot, g))
        assert truth - 1e-9 <= lowest[frame] <= truth + 2e-3


def _own(body: RobotBody, geom: int) -> bool:
    return bool(body.model.geom_bodyid[geom] in body.body_ids and body.model.geom_contype[geom])


def _lowest(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height of a geom's lowest point from its support function."""
    down, size = -data.geom_xmat[geom].reshape(3, 3)[2], model.geom_size[geom]
    kind = model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        reach = np.abs(down) @ size
    elif kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        reach = float(np.linalg.norm(down * size))
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        reach = size[0] + size[1] * abs(down[2])
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        reach = size[0] * np.hypot(*down[:2]) + size[1] * abs(down[2])
    else:
        first = model.mesh_vertadr[model.geom_dataid[geom]]
        count = model.mesh_vertnum[model.geom_dataid[geom]]
        reach = (model.mesh_vert[first : first + count] @ down).max()
    return float(data.geom_xpos[geom, 2] - reach)


def test_robot_feet_are_its_lowest_bodies_by_side(robot: RobotBody) -> None:
    feet = {int(f): {robot.skeleton.names[j] for j in robot.surface.joint[robot.surface.foot == f]} for f in (0, 1)}
    assert feet == {0: {"left_foot"}, 1: {"right_foot"}}


def test_robot_is_measured_like_anybody(robot: RobotBody) -> None:
    still = measure(standing_robot(robot), robot)
    assert still.variant == "surface"
    assert still.body == f"made_up {robot.hash}"
    assert still.values["float_mean_mm"] == pytest.approx(0.0, abs=1e-6)
    assert still.values["slide_mean_mm_s"] == pytest.approx(0.0, abs=1e-6)
    assert still.values["joint_limit_ratio"] == 0.0
    assert still.values["smplsim_skate_mm"] is None
    moving = measure(standing_robot(robot, drift=0.1, sink=0.012), robot).values
    assert moving["penetration_mean_mm"] == pytest.approx(12.0, abs=1e-6)
    assert moving["slide_mean_mm_s"] == pytest.approx(100.0, abs=0.5)


def test_robot_beyond_its_hinges_range_is_told(robot: RobotBody) -> None:
    clip = standing_robot(robot)
    angles = robot.robot.angles(clip.rotations)
    angles[:20, robot.robot.hinge_names.index("left_knee")] = 2.5
    bent = replace(clip, rotations=robot.robot.rotations(clip.rotations[:, 0], angles))
    assert measure(bent, robot).values["joint_limit_ratio"] == pytest.approx(20 / 61)


def test_robot_clip_survives_its_file(robot: RobotBody, tmp_path: Path) -> None:
    clip = standing_robot(robot, drift=0.1)
    found = on_body(load_clip(save_clip(tmp_path / "a.npz", clip)), robot, "a.npz")
    assert isinstance(found, Clip)
    assert measure(found, robot).variant == "surface"


def test_persons_motion_on_a_robot_is_refused(robot: RobotBody) -> None:
    person = Clip(30.0, DEFAULT_SKELETON, np.zeros((3, 3)), np.tile([1.0, 0, 0, 0], (3, 24, 1)))
    with pytest.raises(MotionError, match="not a motion of robot 'made_up'"):
        on_body(person, robot, "walk.npz")


BODY = '<mujoco><worldbody><body name="a" pos="0 0 1">{}</body></worldbody></mujoco>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<mujoco><worldbody><body/></mujoco>", "MuJoCo does not compile it"),
        ("not xml", "MuJoCo does not compile it"),
        (robot_xml().replace("left_knee", "left_kn\xe9e"), "not a text file"),
        ("<mujoco><worldbody/></mujoco>", "no bodies, expected a robot"),
        (BODY.format('<freejoint/><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>'), "have no geoms"),
        (BODY.format('<freejoint/><geom size=".1" pos="0 .2 0"/>'), "no two feet"),
        (
            BODY.format(
                '<freejoint/><geom size=".1"/><body name="b"><joint name="rail" type="slide"/><geom size=".1"/></body>'
            ),
            "joint 'rail' is of type slide, expected hinges",
        ),
        (
            BODY.format(
                '<freejoint/><geom size=".1"/><body name="b"><joint pos="0 0 .1" axis="1 0 0"/><joint axis="0 1 0"/>'
                '<geom size=".1"/></body>'
            ),
            "hinges of body 'b' turn about different points",
        ),
        (
            BODY.format(
                '<freejoint/><geom size=".1"/><body name="b"><joint axis="1 0 0"/><joint axis="1 1 0"/>'
                '<geom size=".1"/></body>'
            ),
            "not at right angles",
        ),
    ],
)
def test_robot_that_cannot_be_measured_on_is_refused_in_one_line(tmp_path: Path, xml: str, message: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(xml.encode("latin-1"))
    with pytest.raises(MotionError, match=message) as error:
        load_body(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nothing.xml", "robot.urdf"])
def test_unknown_bodies_are_refused(tmp_path: Path, name: str) -> None:
    if name.endswith("urdf"):
        (tmp_path / name).write_text("<robot/>")
    with pytest.raises(MotionError, match=r"expected 'smpl', .*'g1', .* a robot's MJCF"):
        load_body(tmp_path / name)


# SMPL model files, made up in the published layout


def made_up_model(joints: int = 24, seed: int = 0) -> dict[str, Any]:
    """Blobs around the bones of the default skeleton, weights that blend towards the parent, random shapes and
    corrections: the published keys, shapes and types."""
    rng = np.random.default_rng(seed)
    rest = DEFAULT_SKELETON.rest_positions @ Y_UP_TO_Z_UP + (SMPLX_REST[0] if joints == 55 else SMPL_PELVIS)
    parents = list(SMPL_PARENTS)
    if joints > 24:
        head = [] if joints == 52 else [15, 15, 15]
        first = 22 + len(head)
        fingers = [20 + side if k % 3 == 0 else first + 15 * side + k - 1 for side in (0, 1) for k in range(15)]
        parents = [*SMPL_PARENTS[:22], *head, *fingers]
        places = list(rest[:22])
        for parent in parents[22:]:
            places.append(places[parent] + 0.03 * rng.normal(size=3))
        rest = np.array(places)
    count = 60
    owner = np.repeat(np.arange(joints), count)
    toward = np.array([rest[j] - rest[max(parents[j], 0)] for j in range(joints)])[owner]
    along = rng.uniform(-0.5, 0.5, (len(owner), 1))
    vertices = rest[owner] + along * toward + 0.05 * rng.normal(size=(len(owner), 3))
    weights = np.zeros((len(owner), joints))
    share = np.clip(0.3 - along[:, 0], 0.0, 0.5) * (owner > 0)
    weights[np.arange(len(owner)), owner] = 1.0 - share
    weights[np.arange(len(owner)), np.array(parents)[owner]] += share
    regressor = np.zeros((joints, len(owner)))
    for j in range(joints):
        near = np.flatnonzero(owner == j)[:12]
        regressor[j, near] = np.linalg.pinv(np.concatenate([vertices[near].T, np.ones((1, 12))])) @ [*rest[j], 1.0]
    tree = np.array([[2**32 - 1, *parents[1:]], range(joints)], dtype=np.uint32)
    return {
        "v_template": vertices,
        "shapedirs": 0.004 * rng.normal(size=(len(owner), 3, 10)),
        "posedirs": 0.0008 * rng.normal(size=(len(owner), 3, 9 * (joints - 1))),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": tree,
        "f": np.array([[0, 1, 2]], np.uint32),
    }


def write_model(folder: Path, joints: int = 24, name: str = "SMPL_NEUTRAL", **changes: Any) -> Path:
    path = folder / f"{name}.npz"
    np.savez(path, **(made_up_model(joints) | changes))
    return path


def smpl_clip(poses: np.ndarray, trans: np.ndarray, skeleton: Any = DEFAULT_SKELETON, **notes: Any) -> Clip:
    """AMASS poses (T, J, 3) as the reader makes them: M R M^T, the root R M^T, the pelvis at trans + J0."""
    rotations = quat_from_rotvec(poses @ Y_UP_TO_Z_UP.T)
    turn = np.broadcast_to(quat_from_matrix(Y_UP_TO_Z_UP.T), (len(poses), 4))
    rotations[:, 0] = quat_mul(quat_from_rotvec(poses[:, 0]), turn)
    pelvis = SMPLX_REST[0] if skeleton is SMPLX_SKELETON else SMPL_PELVIS
    kind = "smpl-x" if skeleton is SMPLX_SKELETON else "smpl"
    provenance = Provenance(notes={"format": f"{kind} poses, Z up"} | notes)
    return Clip(30.0, skeleton, trans + pelvis, rotations, provenance=provenance)


def random_poses(frames: int, joints: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 0.6 * rng.normal(size=(frames, joints, 3)), rng.normal(size=(frames, 3))


def smplx_output(model: dict[str, Any], poses: np.ndarray, trans: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """(T, V, 3) what smplx itself makes of full poses (T, K, 3), in double precision."""
    import torch
    from smplx.lbs import lbs

    count = len(model["J_regressor"])
    tensor = {key: torch.as_tensor(np.asarray(value, float)) for key, value in model.items()}
    parents = torch.as_tensor([-1, *model["kintree_table"][0, 1:].astype(int).tolist()])
    directions = tensor["posedirs"].reshape(-1, 9 * (count - 1)).T
    vertices, _ = lbs(
        torch.as_tensor(np.tile(betas, (len(poses), 1))),  # pyright: ignore[reportArgumentType]
        torch.as_tensor(poses.reshape(len(poses), -1)),  # pyright: ignore[reportArgumentType]
        tensor["v_template"][None],  # pyright: ignore[reportArgumentType]
        tensor["shapedirs"],  # pyright: ignore[reportArgumentType]
        directions,  # pyright: ignore[reportArgumentType]
        tensor["J_regressor"],  # pyright: ignore[reportArgumentType]
        parents,  # pyright: ignore[reportArgumentType]
        tensor["weights"],  # pyright: ignore[reportArgumentType]
    )
    return np.asarray(vertices) + trans[:, None]


def posed(path: Path, clip: Clip) -> np.ndarray:
    """(T, V, 3) all vertices as our body poses them."""
    body = load_body(path)
    assert isinstance(body, SmplBody)
    clip_on, shaped = worn(clip, body)
    assert isinstance(clip_on, Clip)
    assert isinstance(shaped, SmplBody)
    return shaped.vertices(clip_on, np.arange(len(shaped.smpl.template)))


def test_smpl_vertices_are_those_of_the_smplx_model(tmp_path: Path) -> None:
    """smplx.SMPL's own forward pass, given the arrays and never the file."""
    import torch
    from smplx import SMPL
    from smplx.utils import Struct
    from smplx.vertex_ids import vertex_ids

    poses, trans = random_poses(12, 24)
    betas = np.linspace(-1.5, 2.0, 10)
    model = SMPL(
        "",
        data_struct=Struct(**made_up_model()),
        batch_size=12,
        vertex_ids=dict.fromkeys(vertex_ids["smplh"], 0),
        dtype=torch.float64,
    )
    theirs = model(
        betas=torch.as_tensor(np.tile(betas, (12, 1))),
        global_orient=torch.as_tensor(poses[:, 0]),
        body_pose=torch.as_tensor(poses[:, 1:].reshape(12, -1)),
        transl=torch.as_tensor(trans),
    ).vertices.detach()
    ours = posed(write_model(tmp_path), smpl_clip(poses, trans, betas=betas.tolist()))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("joints", [52, 55])
def test_smplh_and_smplx_vertices_with_resting_hands(tmp_path: Path, joints: int) -> None:
    poses, trans = random_poses(6, 22)
    full = np.concatenate([poses, np.zeros((6, joints - 22, 3))], axis=1)
    if joints == 55:
        clip = smpl_clip(poses, trans, SMPLX_SKELETON)
    else:
        clip = smpl_clip(np.concatenate([poses, np.zeros((6, 2, 3))], axis=1), trans)
    theirs = smplx_output(made_up_model(joints), full, trans, np.zeros(10))
    np.testing.assert_allclose(posed(write_model(tmp_path, joints), clip), theirs, atol=1e-5)


def test_shape_numbers_beyond_the_models_are_left_out(tmp_path: Path) -> None:
    poses, trans = random_poses(4, 24)
    path, betas = write_model(tmp_path), [0.5] * 16
    few, many = (posed(path, smpl_clip(poses, trans, betas=b)) for b in (betas[:10], betas))
    np.testing.assert_array_equal(few, many)
    assert np.abs(few - posed(path, smpl_clip(poses, trans))).max() > 1e-3


def smooth_clip(frames: int = 400, seed: int = 3) -> Clip:
    """Somebody who sways, kneels and rolls over: every side becomes the lowest once."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames)[:, None, None] / 30.0
    poses = 0.7 * np.sin(2 * np.pi * 0.3 * times + rng.uniform(0, 6, (1, 24, 3)))
    poses[:, 0] += [np.pi / 2, 0.0, 0.0]
    trans = np.zeros((frames, 3))
    trans[:, 2] = 0.6 + 0.3 * np.sin(times[:, 0, 0])
    return smpl_clip(poses, trans)


def mesh(folder: Path, clip: Clip) -> tuple[VertexPoints, np.ndarray]:
    """A clip as points, and all vertices (T, V, 3)."""
    body = load_body(write_model(folder))
    on, shaped = worn(clip, body)
    assert isinstance(on, Clip)
    assert isinstance(shaped, SmplBody)
    return vertex_points(on, shaped), shaped.vertices(on, np.arange(len(shaped.smpl.template)))


def test_lowest_vertex_is_that_of_the_whole_mesh(tmp_path: Path) -> None:
    points, vertices = mesh(tmp_path, smooth_clip())
    np.testing.assert_allclose(points.lowest, vertices[..., 2].min(axis=1), atol=1e-6)
    assert points.vertices.shape[1] < vertices.shape[1]
    lowered = points.lowered(0.1)
    np.testing.assert_allclose(lowered.lowest, points.lowest - 0.1)
    np.testing.assert_allclose(lowered.heights, points.heights - 0.1, atol=1e-6)
    np.testing.assert_allclose(points.at(15.0).lowest, points.lowest[::2])
    between = (len(points.dense_lowest) - 1) // (points.num_frames - 1)
    assert between > 1
    np.testing.assert_allclose(points.dense_lowest[::between], points.lowest, atol=1e-6)


def test_smplsim_rules_as_published(tmp_path: Path) -> None:
    """Both rules written out as their code has them, vertex by vertex, over a ground that is not at zero."""
    points, vertices = mesh(tmp_path, smooth_clip())
    floor = 0.15
    heights = vertices[..., 2] - floor
    depth = [-1e3 * h[h < 0].mean() if (h < 0).any() else 0.0 for h in heights]
    skate = []
    for now, then, at, to in zip(heights[:-1], heights[1:], vertices[:-1], vertices[1:], strict=True):
        down = (now <= 0) & (then <= 0)
        skate.append(1e3 * np.linalg.norm(to[down, :2] - at[down, :2], axis=1).mean() if down.any() else 0.0)
    assert 0 < np.count_nonzero(skate) < len(skate)
    found = smplsim(points.lowered(floor))
    assert found["smplsim_penetration_mm"] == pytest.approx(np.mean(depth), rel=1e-4)
    assert found["smplsim_skate_mm"] == pytest.approx(np.mean(skate), rel=1e-4)


def test_contact_on_a_mesh_is_that_of_its_vertices(tmp_path: Path) -> None:
    body = load_body(write_model(tmp_path))
    for depth in (0.1, 0.2, 0.4):
        clip = smooth_clip(40).moved(np.array([0.0, 0.0, -depth]))
        found, expected = contact_frames(clip, body), find_contacts(mesh(tmp_path, clip)[0])
        np.testing.assert_array_equal(found.height, expected.height)
        np.testing.assert_array_equal(found.group_touching(), timeline(clip, body).contact)
    assert found.touching.any()


def test_smplsim_rules_speak_of_a_mesh_alone(tmp_path: Path) -> None:
    clip = smooth_clip(40)
    on_mesh, on_geoms = measure(clip, load_body(write_model(tmp_path))), measure(clip)
    assert on_mesh.values["smplsim_penetration_mm"] is not None
    assert on_geoms.values["smplsim_penetration_mm"] is None
    assert (on_mesh.variant, on_geoms.variant) == ("surface", "surface")
    assert on_mesh.body is not None
    assert on_mesh.body.startswith("SMPL_NEUTRAL, mean shape ")
    assert on_mesh.body != on_geoms.body
    single = measure(clip.slice(0, 1), load_body(tmp_path / "SMPL_NEUTRAL.npz")).values
    assert single["smplsim_skate_mm"] is None


def test_sliding_mesh_reads_its_speed(tmp_path: Path) -> None:
    body = load_body(write_model(tmp_path))
    times = np.arange(91) / 30.0
    poses = np.zeros((91, 24, 3))
    poses[:, 0] = [np.pi / 2, 0, 0]
    clip = smpl_clip(poses, np.stack([0.1 * times, 0 * times, 0 * times], axis=1))
    found = measure(clip, body, ground="lowest").values
    assert found["slide_mean_mm_s"] == pytest.approx(100.0, abs=0.5)
    assert found["penetration_max_mm"] == pytest.approx(0.0, abs=1e-3)
    assert found["float_mean_mm"] == pytest.approx(0.0, abs=1e-3)


def test_clip_that_is_no_smpl_poses_keeps_its_feet_on_the_ground(tmp_path: Path) -> None:
    """A retargeted clip has the default body's legs; on a mesh with others it is scaled, so that standing stays so."""
    model = made_up_model()
    body = load_body(write_model(tmp_path, v_template=1.1 * model["v_template"]))
    rest = np.tile([1.0, 0, 0, 0], (31, 24, 1))
    standing = Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, 0.945], (31, 1)), rest)
    assert measure(standing).values["ground_offset_mm"] == pytest.approx(0.0, abs=1e-3)
    assert measure(standing, body).values["ground_offset_mm"] == pytest.approx(0.0, abs=1e-3)


def test_worn_clip_stays_as_it_is(tmp_path: Path) -> None:
    once, body = worn(smooth_clip(5), load_body(write_model(tmp_path)))
    twice, same = worn(once, body)
    assert twice is once
    assert same is body
    track = JointTrack(30.0, ("a",), np.zeros((2, 1, 3)))
    assert worn(track, body) == (track, body)


def test_shape_of_another_gender_is_refused(tmp_path: Path) -> None:
    body = load_body(write_model(tmp_path, name="SMPL_FEMALE"))
    poses, trans = random_poses(3, 24)
    with pytest.raises(MotionError, match="its shape is a male body's, the model file 'SMPL_FEMALE' is female"):
        worn(smpl_clip(poses, trans, betas=[1.0] * 10, gender="male"), body)
    mean, _ = worn(smpl_clip(poses, trans, betas=[0.0] * 10, gender="male"), body)
    assert isinstance(mean, Clip)


def test_model_pickle_gives_the_same_body(tmp_path: Path) -> None:
    """The published .pkl holds the regressor as a SciPy matrix; it is read without running anything."""
    model = made_up_model()
    model["J_regressor"] = scipy.sparse.csc_matrix(model["J_regressor"])
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(model, protocol=2))
    assert load_smpl_model(path).hash == load_smpl_model(write_model(tmp_path)).hash


class _Runs:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (f"touch {self.path}",)


def test_model_pickle_that_runs_code_is_refused_unrun(tmp_path: Path) -> None:
    trace, path = tmp_path / "ran", tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(made_up_model() | {"v_template": _Runs(trace)}))
    with pytest.raises(MotionError, match="system"):
        load_body(path)
    assert not trace.exists()


def test_other_arrays_of_a_model_file_are_passed_over(tmp_path: Path) -> None:
    """SMPL-X files hold pickled dictionaries beside the model."""
    path = write_model(tmp_path, 55, "SMPLX_NEUTRAL", joint2num=np.array({"a": 1}, dtype=object))
    assert load_smpl_model(path).kind == "SMPL-X"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones((3, 24)) / 24}, r"weights \(3, 24\) of float64, expected numbers \(1440, 24\)"),
        ({"weights": np.full((1440, 24), 0.5)}, "weights do not sum to 1"),
        ({"v_template": np.full((1440, 3), np.nan)}, "NaN or infinity in v_template"),
        ({"v_template": np.zeros((0, 3))}, "0 vertices"),
        ({"J_regressor": np.zeros((7, 1440))}, "7 joints"),
        ({"kintree_table": np.zeros((2, 24), np.uint32)}, "hang on others than SMPL's"),
        ({"posedirs": np.zeros((1440, 3, 9))}, "posedirs"),
        ({"f": np.array("faces")}, "f "),
        ({"weights": np.array({"a": 1}, dtype=object)}, "pickled objects"),
    ],
)
def test_model_file_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write_model(tmp_path, **changes)
    with pytest.raises(MotionError, match=message) as error:
        load_body(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_npz_that_is_no_model_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "clip.npz", poses=np.zeros((3, 72)))
    with pytest.raises(MotionError, match="no v_template, expected a SMPL model file"):
        load_body(tmp_path / "clip.npz")
