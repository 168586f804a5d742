"""Files as trainers load them: keys, types, shapes, order and rate of each, and back through our own readers."""

import pickle
import pickletools
from dataclasses import replace

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, FORMATS, HUMANML3D_JOINTS, Clip, as_format, make_corpus, read_motion
from morphloop.motion.robot import Robot
from morphloop.motion.rotations import quat_from_rotvec, quat_rotate
from morphloop.motion.writers import FootContact, write_motion
from morphloop.motion.writers.smplx import SMPLX_SCALE, on_smplx
from morphloop.sim import driven_body, standing

FRAMES, FPS = 41, 50.0
EXACT = 1e-6
"""Metres, radians and parts of a quaternion that a file may be off the clip."""
ROBOT_FORMATS = ("mjlab", "wbt", "holosoma", "unitree-csv", "gmr", "protomotions")
ISAAC_JOINTS = (
    "left_hip_pitch_joint", "right_hip_pitch_joint", "waist_yaw_joint", "left_hip_roll_joint", "right_hip_roll_joint",
    "waist_roll_joint", "left_hip_yaw_joint", "right_hip_yaw_joint", "waist_pitch_joint", "left_knee_joint",
    "right_knee_joint", "left_shoulder_pitch_joint", "right_shoulder_pitch_joint", "left_ankle_pitch_joint",
    "right_ankle_pitch_joint", "left_shoulder_roll_joint", "right_shoulder_roll_joint",
)  # fmt: skip
"""The first joints of the G1 as whole_body_tracking's policies are deployed with them."""
XYZW = [1, 2, 3, 0]


@pytest.fixture(scope="module")
def g1():
    return driven_body("g1")


@pytest.fixture(scope="module")
def robot(g1) -> Robot:
    return g1.robot


@pytest.fixture(scope="module")
def clip(g1) -> Clip:
    """The G1 on a curve, turning and swinging every hinge, upright and near the origin."""
    time, stand = np.arange(FRAMES) / FPS, standing(g1, 0.0, FPS)
    qpos = np.repeat(g1.qpos_from_clip(stand), FRAMES, axis=0)
    qpos[:, :2] += np.stack([0.4 * time, 0.1 * np.sin(3.0 * time)], axis=1)
    qpos[:, 3:7] = quat_from_rotvec(np.outer(np.sin(2.0 * time), [0.05, 0.1, 0.6]))
    phases = np.arange(qpos.shape[1] - 7)
    qpos[:, 7:] += 0.15 * np.sin(4.0 * time[:, None] + phases)
    made = g1.clip_from_qpos(qpos, FPS, "swing")
    return replace(made, texts=("it swings",))


@pytest.fixture(scope="module")
def contact() -> FootContact:
    stands = np.zeros((FRAMES, 2), bool)
    stands[:20, 0] = stands[10:, 1] = True
    return FootContact(stands, (("left_ankle_roll_link",), ("right_ankle_roll_link",)))


def arrays(path) -> dict[str, np.ndarray]:
    return dict(np.load(path, allow_pickle=False))


def same(a: Clip, b: Clip) -> None:
    """Places, turns and hinges of two clips on one robot are the same."""
    assert (a.num_frames, a.fps) == (b.num_frames, b.fps)
    assert a.skeleton == b.skeleton
    assert np.abs(a.positions - b.positions).max() < EXACT
    apart = np.abs((a.rotations * b.rotations).sum(-1))
    assert np.abs(1.0 - apart).max() < EXACT


@pytest.mark.parametrize("to", ["mjlab", "wbt", "holosoma", "unitree-csv", "gmr"])
def test_our_readers_give_the_clip_back(tmp_path, clip, robot, contact, to):
    path = write_motion(tmp_path / f"swing{FORMATS[to].suffix}", clip, to, robot, contact)
    back = read_motion(path, FPS if to == "unitree-csv" else None, robot)
    same(clip, back)
    assert back.texts == (clip.texts if to in ("mjlab", "wbt", "holosoma") else ())


@pytest.mark.parametrize("to", ["mjlab", "wbt"])
def test_state_files_of_mjlab_and_isaac(tmp_path, clip, robot, contact, to):
    data = arrays(write_motion(tmp_path / "a.npz", clip, to, robot, contact))
    shapes = {
        "fps": (1,), "joint_pos": (FRAMES, 29), "joint_vel": (FRAMES, 29), "body_pos_w": (FRAMES, 30, 3),
        "body_quat_w": (FRAMES, 30, 4), "body_lin_vel_w": (FRAMES, 30, 3), "body_ang_vel_w": (FRAMES, 30, 3),
    }  # fmt: skip
    for key, shape in shapes.items():
        assert (data[key].shape, data[key].dtype) == (shape, np.float32), key
    assert data.keys() == {*shapes, "joint_names", "body_names", "foot_contact", "morphloop", "texts"}
    assert data["fps"].tolist() == [50.0]
    assert np.array_equal(data["foot_contact"], contact.stands)
    names, bodies = data["joint_names"].tolist(), data["body_names"].tolist()
    if to == "mjlab":
        assert names == list(robot.hinge_names)
        assert bodies == list(robot.skeleton.names)
    else:
        assert tuple(names[: len(ISAAC_JOINTS)]) == ISAAC_JOINTS
        assert bodies[:7] == [
            "pelvis", "left_hip_pitch_link", "right_hip_pitch_link", "waist_yaw_link", "left_hip_roll_link",
            "right_hip_roll_link", "waist_roll_link",
        ]  # fmt: skip
    angles = robot.angles(clip.rotations)
    assert np.allclose(data["joint_pos"], angles[:, [robot.hinge_names.index(n) for n in names]], atol=EXACT)
    order = [robot.skeleton.index(name) for name in bodies]
    assert np.allclose(data["body_quat_w"][0], clip.global_rotations[0, order], atol=EXACT)


def test_velocities_are_of_frames_in_mjlab_and_of_centres_of_mass_in_isaac(tmp_path, clip, robot, g1):
    """Against MuJoCo's own velocities of the same motion."""
    import mujoco

    mjlab = arrays(write_motion(tmp_path / "a.npz", clip, "mjlab", robot))
    wbt = arrays(write_motion(tmp_path / "b.npz", clip, "wbt", robot))
    holosoma = arrays(write_motion(tmp_path / "c.npz", clip, "holosoma", robot))
    frame, model = 20, g1.model
    qpos = g1.qpos_from_clip(clip)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos[frame], g1.coordinates.velocity(qpos, clip.fps)[frame]
    mujoco.mj_forward(model, data)
    mujoco.mj_rnePostConstraint(model, data)
    found = np.zeros(6)
    apart = 0.0
    for name in ("torso_link", "left_knee_link", "right_wrist_yaw_link"):
        body = model.body(name).id
        for kind, values, names in (
            (mujoco.mjtObj.mjOBJ_XBODY, mjlab, mjlab["body_names"]),
            (mujoco.mjtObj.mjOBJ_BODY, wbt, wbt["body_names"]),
            (mujoco.mjtObj.mjOBJ_BODY, holosoma, holosoma["body_names"]),
        ):
            k = names.tolist().index(name)
            mujoco.mj_objectVelocity(model, data, kind, body, found, 0)
            assert np.allclose(values["body_ang_vel_w"][frame, k], found[:3], atol=0.02)
            assert np.allclose(values["body_lin_vel_w"][frame, k], found[3:], atol=0.01)
        frames, centres = (
            values["body_lin_vel_w"][frame, values["body_names"].tolist().index(name)] for values in (mjlab, wbt)
        )
        apart = max(apart, np.linalg.norm(frames - centres))
    assert apart > 0.05  # the two differ by more than the tolerance


def test_holosoma_layout(tmp_path, clip, robot, contact):
    data = arrays(write_motion(tmp_path / "a.npz", clip, "holosoma", robot, contact))
    shapes = {
        "fps": (1,), "joint_pos": (FRAMES, 36), "joint_vel": (FRAMES, 35), "body_pos_w": (FRAMES, 31, 3),
        "body_quat_w": (FRAMES, 31, 4), "body_lin_vel_w": (FRAMES, 31, 3), "body_ang_vel_w": (FRAMES, 31, 3),
    }  # fmt: skip
    for key, shape in shapes.items():
        assert (data[key].shape, data[key].dtype) == (shape, np.float32), key
    assert data["joint_names"].tolist() == list(robot.hinge_names)
    assert data["body_names"].tolist() == ["world", *robot.skeleton.names]
    assert not data["body_pos_w"][:, 0].any()
    assert np.array_equal(data["body_quat_w"][:, 0], np.tile([1, 0, 0, 0], (FRAMES, 1)))
    assert np.allclose(data["joint_pos"][:, :3], clip.root_pos, atol=EXACT)
    assert np.allclose(data["joint_pos"][:, 3:7], clip.rotations[:, 0], atol=EXACT)
    assert np.allclose(data["joint_pos"][:, 7:], robot.angles(clip.rotations), atol=EXACT)
    assert np.allclose(data["joint_vel"][5, :3], (clip.root_pos[6] - clip.root_pos[4]) * FPS / 2, atol=1e-5)
    assert np.array_equal(data["joint_vel"][:, 3:6], data["body_ang_vel_w"][:, 1])


def test_unitree_csv_layout(tmp_path, clip, robot):
    made = as_format(clip, "unitree-csv", robot=robot)
    assert made.fps == 30.0  # its readers take that for granted
    text = write_motion(tmp_path / "a.csv", clip, "unitree-csv", robot).read_text()
    table = np.array([[float(word) for word in line.split(",")] for line in text.splitlines()])
    assert table.shape == (FRAMES, 7 + 29)
    assert np.allclose(table[:, :3], clip.root_pos, atol=EXACT)
    assert np.allclose(table[:, 3:7], clip.rotations[:, 0][:, XYZW], atol=EXACT)
    assert np.allclose(table[:, 7:], robot.angles(clip.rotations), atol=EXACT)


def test_gmr_pickle_names_arrays_and_nothing_else(tmp_path, clip, robot, contact):
    path = write_motion(tmp_path / "a.pkl", clip, "gmr", robot, contact)
    named = {arg for op, arg, _ in pickletools.genops(path.read_bytes()) if "GLOBAL" in op.name}
    assert named == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
    data = pickle.loads(path.read_bytes())
    assert list(data) == [
        "fps", "root_pos", "root_rot", "dof_pos", "local_body_pos", "link_body_list", "joint_names", "foot_contact"
    ]  # fmt: skip
    assert (data["fps"], type(data["fps"])) == (50, int)
    for key, shape in {"root_pos": (3,), "root_rot": (4,), "dof_pos": (29,), "local_body_pos": (30, 3)}.items():
        assert (data[key].shape, data[key].dtype) == ((FRAMES, *shape), np.float64), key
    assert data["foot_contact"].dtype == bool
    assert np.array_equal(data["foot_contact"], contact.stands)
    assert data["link_body_list"] == list(robot.skeleton.names)
    assert data["joint_names"] == list(robot.hinge_names)
    assert np.allclose(data["root_rot"], clip.rotations[:, 0][:, XYZW], atol=EXACT)
    turns = np.repeat(clip.rotations[:, :1], 30, axis=1)
    world = data["root_pos"][:, None] + quat_rotate(turns, data["local_body_pos"])
    mjlab = arrays(write_motion(tmp_path / "a.npz", clip, "mjlab", robot))
    assert np.allclose(world, mjlab["body_pos_w"], atol=EXACT)
    data["root_pos"][0] = 1.0  # arrays that their reader may write to, as NumPy's own pickles give


def test_protomotions_layout(tmp_path, clip, robot, contact):
    path = write_motion(tmp_path / "a.motion", clip, "protomotions", robot, contact)
    data = torch.load(path, weights_only=True)
    shapes = {
        "dof_pos": (29,), "dof_vel": (29,), "rigid_body_pos": (30, 3), "rigid_body_rot": (30, 4),
        "rigid_body_vel": (30, 3), "rigid_body_ang_vel": (30, 3),
    }  # fmt: skip
    assert data.keys() == {"fps", *shapes, "rigid_body_contacts"}
    assert data["fps"] == 50.0
    for key, shape in shapes.items():
        assert (tuple(data[key].shape), data[key].dtype) == ((FRAMES, *shape), torch.float32), key
    assert np.allclose(data["rigid_body_rot"][0], clip.global_rotations[0][:, XYZW], atol=EXACT)
    touching = data["rigid_body_contacts"].numpy()
    left, right = (robot.skeleton.index(f"{side}_ankle_roll_link") for side in ("left", "right"))
    assert np.array_equal(touching[:, [left, right]], contact.stands)
    assert touching.sum() == contact.stands.sum()
    bare = torch.load(write_motion(tmp_path / "b.motion", clip, "protomotions", robot), weights_only=True)
    assert "rigid_body_contacts" not in bare


def test_smplx_layout_and_round_trip(tmp_path, contact):
    person = replace(make_corpus(1, 1)[0], texts=("a person walks",))
    stands = FootContact(np.ones((person.num_frames, 2), bool), (("left_ankle",), ("right_ankle",)))
    path = write_motion(tmp_path / "a.npz", as_format(person, "smplx"), "smplx", contact=stands)
    data, frames = arrays(path), person.num_frames
    shapes = {
        "poses": 165,
        "root_orient": 3,
        "pose_body": 63,
        "pose_hand": 90,
        "pose_jaw": 3,
        "pose_eye": 6,
        "trans": 3,
    }
    for key, columns in shapes.items():
        assert (data[key].shape, data[key].dtype) == ((frames, columns), np.float64), key
    assert data["betas"].shape == (16,)
    assert (data["gender"].item(), data["surface_model_type"].item()) == ("neutral", "smplx")
    assert data["mocap_frame_rate"].item() == person.fps
    parts = [data[key] for key in ("root_orient", "pose_body", "pose_jaw", "pose_eye", "pose_hand")]
    assert np.array_equal(data["poses"], np.concatenate(parts, axis=1))
    assert np.array_equal(data["foot_contact"], stands.stands)
    back = read_motion(path)
    made = on_smplx(person)
    assert back.texts == person.texts
    assert np.abs(back.positions - made.positions).max() < EXACT
    # again through the writer: a clip on SMPL-X's joints stays as it is
    again = read_motion(write_motion(tmp_path / "b.npz", as_format(back, "smplx"), "smplx"))
    assert np.abs(back.positions - again.positions).max() < EXACT
    assert 0.9 < SMPLX_SCALE < 1.1
    feet = [HUMANML3D_JOINTS.index(f"{side}_foot") for side in ("left", "right")]
    assert made.positions[:, feet, 2].min() == pytest.approx(person.positions[:, feet, 2].min(), abs=0.02)


def test_lafan_bvh_has_lafan_names_frames_and_the_same_places(tmp_path):
    person = make_corpus(1, 1)[0]
    made = as_format(person, "lafan-bvh")
    path = write_motion(tmp_path / "a.bvh", made, "lafan-bvh")
    text = path.read_text()
    lines = [line.strip() for line in text.splitlines()]
    names = [line.split()[1] for line in lines if line.startswith(("ROOT", "JOINT"))]
    assert names == [
        "Hips", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToe", "RightUpLeg", "RightLeg", "RightFoot", "RightToe",
        "Spine", "Spine1", "Spine2", "Neck", "Head", "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand",
        "RightShoulder", "RightArm", "RightForeArm", "RightHand",
    ]  # fmt: skip
    assert lines.count("CHANNELS 3 Zrotation Yrotation Xrotation") == 21
    assert "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation" in lines
    assert f"Frame Time: {1 / 30:.10f}" in lines
    at = lines.index("JOINT LeftLeg")
    along = np.array(lines[at + 2].split()[1:], float)
    thigh = DEFAULT_SKELETON.offsets[DEFAULT_SKELETON.index("left_knee")]
    assert np.allclose(along, [100 * np.linalg.norm(thigh), 0, 0], atol=1e-4)  # X along the bone, centimetres
    back = read_motion(path)
    order = [back.skeleton.index(name) for name in names]
    ours = ["pelvis", "left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle",
            "right_foot", "spine1", "spine2", "spine3", "neck", "head", "left_collar", "left_shoulder", "left_elbow",
            "left_wrist", "right_collar", "right_shoulder", "right_elbow", "right_wrist"]  # fmt: skip
    unit = 1.0 if back.provenance.notes["length_unit"] != "unknown" else 0.01
    theirs = unit * back.positions[:, order]
    assert np.abs(theirs - made.positions[:, [DEFAULT_SKELETON.index(name) for name in ours]]).max() < EXACT


def test_lafan_frames_are_those_of_a_published_frame():
    """World axes of LAFAN1's joints at rest: spine X up and Y forward, legs X down and Y forward, feet Y up, arms X
    outward and Y backward, found from dance1_subject2's first frame."""
    from morphloop.motion.writers.lafan import _frame

    forward, left, up = np.eye(3)
    for name, x, y in (
        ("pelvis", up, forward), ("spine2", up, forward), ("left_hip", -up, forward), ("right_knee", -up, forward),
        ("left_foot", forward, up), ("left_shoulder", left, -forward), ("right_elbow", -left, -forward),
    ):  # fmt: skip
        frame = _frame(name)
        assert np.allclose(frame.T @ frame, np.eye(3))
        assert np.linalg.det(frame) > 0
        assert frame[:, 0] @ x > 0.95
        assert frame[:, 1] @ y > 0.95


def test_rates_that_loaders_take_for_granted_and_what_is_interpolated(clip, robot):
    thirty = clip.resampled(30.0)
    for to in ROBOT_FORMATS:
        made = as_format(thirty, to, robot=robot)
        assert made.fps == (FORMATS[to].fps or 30.0)
        assert as_format(thirty, to, 60.0, robot).fps == 60.0
        assert "interpolated_from_fps" not in made.provenance.notes  # nobody drove it
    driven = thirty.with_provenance(simulator="MuJoCo")
    assert as_format(driven, "mjlab", robot=robot).provenance.notes["interpolated_from_fps"] == 30.0
    assert "interpolated_from_fps" not in as_format(driven, "gmr", robot=robot).provenance.notes
    at_rate = clip.with_provenance(simulator="MuJoCo")
    assert as_format(at_rate, "mjlab", robot=robot) is at_rate


def test_contact_masks_follow_the_rate():
    stands = np.zeros((31, 2), bool)
    stands[10:21, 0] = True
    masks = FootContact(stands, (("l",), ("r",))).resampled(30.0, 51, 50.0)
    assert masks.stands.shape == (51, 2)
    rows = np.flatnonzero(masks.stands[:, 0]) / 50.0
    assert rows.min() == pytest.approx(10 / 30, abs=1 / 30)
    assert rows.max() == pytest.approx(20 / 30, abs=1 / 30)
    assert not masks.stands[:, 1].any()


def test_a_persons_motion_is_refused_where_hinges_are_needed():
    person = make_corpus(1, 1)[0]
    for to in ROBOT_FORMATS[1:]:
        with pytest.raises(MotionError, match=f"layout '{to}' holds a robot's motion, expected --body or one of clip"):
            as_format(person, to)


def test_robot_is_refused_where_a_person_is_needed(clip, robot):
    for to in ("amass", "smplx", "lafan-bvh", "humanml3d-joints"):
        with pytest.raises(MotionError, match=f"no layout '{to}' for a robot, expected one of clip, bvh, mjlab, wbt"):
            as_format(clip, to, robot=robot)
