"""Robot files: what they say comes back, and what they leave open is found out or refused."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.metrics.config import EvaluateConfig
from morphloop.metrics.points import motion_points
from morphloop.metrics.report import evaluate
from morphloop.motion import DEFAULT_SKELETON, Clip, JointTrack, Provenance, Skeleton, find_motions, read_motion
from morphloop.motion.config import ReadingConfig
from morphloop.motion.robot import Hinge, Robot
from morphloop.motion.rotations import quat_from_rotvec, quat_rotate
from morphloop.sim import RobotBody, load_body

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
FPS = 50.0
THIGH, SHIN = 0.4, 0.4
Y = (0.0, 1.0, 0.0)
NAMES = ("pelvis", "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot")
LEG = [(0.0, 0.0, -THIGH), (0.0, 0.0, -SHIN)]
ROBOT = Robot(
    name="walker",
    skeleton=Skeleton(
        NAMES,
        (-1, 0, 1, 2, 0, 4, 5),
        np.array([(0.0, 0.0, 0.0), (0.0, 0.1, 0.0), *LEG, (0.0, -0.1, 0.0), *LEG]),
    ),
    rest=np.tile([1.0, 0.0, 0.0, 0.0], (7, 1)),
    hinges=tuple(Hinge(f"{NAMES[j]}_joint", j, Y) for j in range(1, 7)),
    origins=np.zeros((7, 3)),
)
"""Two legs of thigh, shin and foot, all hinges sideways; files breadth first have its hinges in another order."""


def walk(steps: int = 4, heading: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root positions (T, 3), root rotations (T, 4) w x y z and angles (T, 6) of a walk on stiff stance legs: the
    standing foot stays exactly where it is, the swinging leg bends its knee."""
    half, count = 0.3, 25
    lean = np.linspace(half, -half, count, endpoint=False)
    leg = THIGH + SHIN
    roots, angles = [], []
    foot = 0.0
    for step in range(steps):
        swing, bend = -lean, 0.8 * np.sin(np.linspace(0, np.pi, count, endpoint=False))
        stance = [-lean, 0 * lean, lean]
        other = [-swing - bend, 2 * bend, swing - bend]
        roots.append(np.stack([foot - leg * np.sin(lean), 0 * lean, leg * np.cos(lean)], axis=1))
        angles.append(np.stack(stance + other if step % 2 == 0 else other + stance, axis=1))
        foot += 2 * leg * np.sin(half)
    turn = quat_from_rotvec(np.array([[0.0, 0.0, heading]]))
    root_pos = quat_rotate(np.repeat(turn, steps * count, axis=0), np.concatenate(roots))
    return root_pos, np.repeat(turn, steps * count, axis=0), np.concatenate(angles)


def expected(root_pos: np.ndarray, root: np.ndarray, angles: np.ndarray) -> Clip:
    return ROBOT.clip(FPS, root_pos, root, angles, "a", Provenance())


def same(found: Clip | JointTrack, wanted: Clip, atol: float = 1e-6) -> None:
    assert isinstance(found, Clip)
    assert found.skeleton == wanted.skeleton
    assert found.fps == wanted.fps
    np.testing.assert_allclose(found.positions, wanted.positions, atol=atol)
    np.testing.assert_allclose(np.abs((found.rotations * wanted.rotations).sum(-1)), 1.0, atol=atol)


def write_csv(path: Path, table: np.ndarray, header: str = "") -> Path:
    np.savetxt(path, table, delimiter=",", header=header, comments="")
    return path


@pytest.mark.parametrize("order", ["xyzw", "wxyz"])
@pytest.mark.parametrize("heading", [0.0, 0.3, 1.5, 3.1, -2.0])
def test_csv_quaternion_order_is_found_whatever_the_heading(tmp_path: Path, order: str, heading: float) -> None:
    """A root that turns about the vertical alone is upright in both orders for some headings: the feet tell."""
    root_pos, root, angles = walk(heading=heading)
    stored = root if order == "wxyz" else root[:, [1, 2, 3, 0]]
    path = write_csv(tmp_path / "a.csv", np.concatenate([root_pos, stored, angles], axis=1))
    found = read_motion(path, FPS, ROBOT)
    same(found, expected(root_pos, root, angles))
    assert found.provenance.notes["quaternion_order"].startswith(order)


def test_csv_with_a_tilted_root(tmp_path: Path) -> None:
    root_pos, _, angles = walk()
    root = quat_from_rotvec(np.random.default_rng(0).normal(0, 0.2, (len(angles), 3)))
    path = write_csv(tmp_path / "a.csv", np.concatenate([root_pos, root, angles], axis=1))
    same(read_motion(path, FPS, ROBOT), expected(root_pos, root, angles))


def test_csv_columns_go_by_their_names(tmp_path: Path) -> None:
    root_pos, root, angles = walk(heading=0.3)
    shuffled = [3, 0, 5, 1, 4, 2]
    names = ["x", "y", "z", "qx", "qy", "qz", "qw", *(ROBOT.hinge_names[k] for k in shuffled)]
    table = np.concatenate([root_pos, root[:, [1, 2, 3, 0]], angles[:, shuffled]], axis=1)
    same(
        read_motion(write_csv(tmp_path / "a.csv", table, ",".join(names)), FPS, ROBOT), expected(root_pos, root, angles)
    )
    names[-1] = "tail"
    with pytest.raises(MotionError, match="no column 'left_foot_joint'"):
        read_motion(write_csv(tmp_path / "b.csv", table, ",".join(names)), FPS, ROBOT)


def csv_table() -> np.ndarray:
    root_pos, root, angles = walk(1)
    return np.concatenate([root_pos, root, angles], axis=1)


def _columns(table: np.ndarray) -> np.ndarray:
    return table[:, :-2]


def _degrees(table: np.ndarray) -> np.ndarray:
    return np.concatenate([table[:, :7], np.degrees(table[:, 7:])], axis=1)


def _not_unit(table: np.ndarray) -> np.ndarray:
    table[7, 3:7] *= 2.0
    return table


def _nan(table: np.ndarray) -> np.ndarray:
    table[4, 9] = np.nan
    return table


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_columns, "11 columns, expected 13: root position 3, quaternion 4 and the 6 hinges of 'walker'"),
        (_degrees, "expected radians"),
        (_not_unit, "a quaternion of frame 7 is 1 off length 1, expected unit ones"),
        (_nan, "NaN or infinity at frame 4"),
        (lambda table: table[:0], "no rows"),
    ],
)
def test_csv_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, spoil: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    path = write_csv(tmp_path / "a.csv", spoil(csv_table()))
    with pytest.raises(MotionError, match=message) as error:
        read_motion(path, FPS, ROBOT)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["1,2,3\n4,5\n", "a,b\nc,d\n", "1;2;3\n", "", "\x00\x01"])
def test_csv_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(MotionError, match=r"a\.csv"):
        read_motion(tmp_path / "a.csv", FPS, ROBOT)


def test_csv_needs_its_robot_and_its_rate(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", csv_table())
    with pytest.raises(MotionError, match="a CSV does not name its joints, give the robot's MJCF with --body"):
        read_motion(path, FPS)
    with pytest.raises(MotionError, match="does not tell its frame rate"):
        read_motion(path, None, ROBOT)


def mjlab_arrays(joint_names: bool = False, body_names: bool = False, breadth_first: bool = False) -> dict[str, Any]:
    root_pos, root, angles = walk(heading=0.4)
    clip = expected(root_pos, root, angles)
    bodies = [0, 1, 4, 2, 5, 3, 6] if breadth_first else list(range(7))
    hinges = [0, 3, 1, 4, 2, 5] if breadth_first else list(range(6))
    arrays: dict[str, Any] = {
        "fps": np.array([FPS]),
        "joint_pos": angles[:, hinges].astype(np.float32),
        "joint_vel": np.zeros((len(angles), 6), np.float32),
        "body_pos_w": clip.positions[:, bodies].astype(np.float32),
        "body_quat_w": clip.global_rotations[:, bodies].astype(np.float32),
    }
    if joint_names:
        arrays["joint_names"] = np.array([ROBOT.hinge_names[k] for k in hinges])
    if body_names:
        arrays["body_names"] = np.array([NAMES[k] for k in bodies])
    return arrays


@pytest.mark.parametrize("joint_names", [True, False])
@pytest.mark.parametrize("body_names", [True, False])
@pytest.mark.parametrize("breadth_first", [True, False])
def test_mjlab_joint_order_is_named_or_found(
    tmp_path: Path, joint_names: bool, body_names: bool, breadth_first: bool
) -> None:
    np.savez(tmp_path / "a.npz", **mjlab_arrays(joint_names, body_names, breadth_first))
    found = read_motion(tmp_path / "a.npz", None, ROBOT)
    same(found, expected(*walk(heading=0.4)), atol=1e-5)
    order = "by name" if joint_names else "breadth first" if breadth_first else "depth first"
    assert found.provenance.notes["joint_order"] == order


def test_mjlab_motion_of_another_robot_is_refused(tmp_path: Path) -> None:
    arrays = mjlab_arrays(body_names=True)
    arrays["joint_pos"] = arrays["joint_pos"] + 0.3
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(MotionError, match="mm off those of 'walker'"):
        read_motion(tmp_path / "a.npz", None, ROBOT)
    np.savez(tmp_path / "b.npz", **(arrays | {"joint_pos": arrays["joint_pos"][:, :5]}))
    with pytest.raises(MotionError, match="5 joints a frame, expected the 6 hinges of 'walker'"):
        read_motion(tmp_path / "b.npz", None, ROBOT)


def test_mjlab_without_a_robot_is_a_track_of_its_named_bodies(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **mjlab_arrays(body_names=True))
    found = read_motion(tmp_path / "a.npz")
    assert isinstance(found, JointTrack)
    assert found.names == NAMES
    np.testing.assert_allclose(found.positions, expected(*walk(heading=0.4)).positions, atol=1e-6)
    np.savez(tmp_path / "b.npz", **mjlab_arrays())
    with pytest.raises(MotionError, match="without body_names, give the robot's MJCF with --body"):
        read_motion(tmp_path / "b.npz")


def test_mjlab_of_the_default_skeleton_is_a_clip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clip = Clip(FPS, DEFAULT_SKELETON, rng.normal(size=(5, 3)), quat_from_rotvec(rng.normal(0, 0.5, (5, 24, 3))))
    order = rng.permutation(24)
    np.savez(
        tmp_path / "a.npz",
        fps=FPS,
        joint_pos=np.zeros((5, 69)),
        body_pos_w=clip.positions[:, order],
        body_quat_w=clip.global_rotations[:, order],
        body_names=np.array(DEFAULT_SKELETON.names)[order],
    )
    same(read_motion(tmp_path / "a.npz"), clip)


def gmr(**changes: Any) -> dict[str, Any]:
    root_pos, root, angles = walk(heading=0.4)
    local = ROBOT.clip(FPS, 0 * root_pos, np.tile([1.0, 0, 0, 0], (len(root), 1)), angles, "a", Provenance()).positions
    return {
        "fps": 50,
        "root_pos": root_pos,
        "root_rot": root[:, [1, 2, 3, 0]],
        "dof_pos": angles,
        "local_body_pos": local.astype(np.float32),
        "link_body_list": list(NAMES),
    } | changes


def dump(path: Path, value: Any) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


def test_gmr_pickle_with_its_robot_is_a_clip_and_without_a_track(tmp_path: Path) -> None:
    path, wanted = dump(tmp_path / "a.pkl", gmr()), expected(*walk(heading=0.4))
    same(read_motion(path, None, ROBOT), wanted)
    track = read_motion(path)
    assert isinstance(track, JointTrack)
    assert track.names == NAMES
    np.testing.assert_allclose(track.positions, wanted.positions, atol=1e-6)


def test_gmr_pickle_without_bodies_needs_its_robot(tmp_path: Path) -> None:
    path = dump(tmp_path / "a.pkl", gmr(local_body_pos=None, link_body_list=None))
    with pytest.raises(MotionError, match="gmr without its robot, give the robot's MJCF with --body"):
        read_motion(path)
    same(read_motion(path, None, ROBOT), expected(*walk(heading=0.4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": "fifty"}, "fps is not one number"),
        ({"root_pos": np.zeros((3, 3))}, r"root_rot \(100, 4\), expected \(3, 4\)"),
        ({"root_rot": np.zeros((100, 4))}, "off length 1"),
        ({"dof_pos": np.full((100, 6), np.inf)}, "NaN or infinity"),
        ({"dof_pos": np.zeros((100, 29))}, "29 joints a frame, expected the 6 hinges of 'walker'"),
        ({"dof_pos": np.full((100, 6), 90.0)}, "expected radians"),
        ({"dof_pos": [["a"] * 6] * 100}, "expected numbers"),
        ({"dof_pos": [[1.0] * 6, [1.0] * 5]}, "expected numbers"),
        ({"dof_pos": np.full((100, 6), 1e300)}, "a number above"),
        ({"root_pos": np.zeros((0, 3)), "root_rot": np.zeros((0, 4)), "dof_pos": np.zeros((0, 6))}, "0 frames"),
        ({"joint_names": ["a"] * 5}, "5 joint names for 6 joints"),
    ],
)
def test_gmr_pickle_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = dump(tmp_path / "a.pkl", gmr(**changes))
    with pytest.raises(MotionError, match=message) as error:
        read_motion(path, None, ROBOT)
    assert "\n" not in str(error.value)


class _Runs:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_robot_pickle_that_runs_code_is_refused_unrun(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    path = dump(tmp_path / "a.pkl", gmr(dof_pos=_Runs(trace)))
    with pytest.raises(MotionError, match="system"):
        read_motion(path, None, ROBOT)
    assert not trace.exists()


def test_asap_pickle_of_one_motion_by_name(tmp_path: Path) -> None:
    root_pos, root, angles = walk()
    motion = {"root_trans_offset": root_pos, "root_rot": root[:, [1, 2, 3, 0]], "dof": angles, "fps": 50}
    path = dump(tmp_path / "a.pkl", {"walk": motion})
    same(read_motion(path, None, ROBOT), expected(root_pos, root, angles))


def test_quaternions_interpolated_number_by_number_are_mended(tmp_path: Path) -> None:
    root_pos, root, angles = walk()
    np.savez(tmp_path / "a.npz", root_pos=root_pos, root_quat_xyzw=0.96 * root[:, [1, 2, 3, 0]], dof=angles, fps=FPS)
    same(read_motion(tmp_path / "a.npz", None, ROBOT), expected(root_pos, root, angles))


def test_hinge_angles_come_back_from_rotations() -> None:
    """Hinges that do not start at zero, three to a body, more than half a turn."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    hinges = (*(Hinge(f"h{k}", 1, tuple(axes[k]), 0.1 * k) for k in range(3)), Hinge("spin", 2, (0.0, 0.0, 1.0), -0.5))
    robot = Robot(
        "r", Skeleton(("a", "b", "c"), (-1, 0, 1), np.zeros((3, 3))), ROBOT.rest[:3], hinges, np.zeros((3, 3))
    )
    times = np.linspace(0, 1, 80)[:, None]
    angles = np.concatenate([np.sin(6 * times + [0, 1, 2]) * [1.0, 1.2, 1.0], 9.0 * times - 0.5], axis=1)
    rotations = robot.rotations(np.tile([1.0, 0, 0, 0], (80, 1)), angles)
    np.testing.assert_allclose(robot.angles(rotations), angles, atol=1e-9)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}: set MORPHLOOP_SHARED")
def test_shared_robot_files_name_what_they_need() -> None:
    for name in ("generated/g1_csv/output_walk.csv", "asap_g1_23dof/video_walk_level1_filter_amass.npz"):
        with pytest.raises(MotionError, match="give the robot's MJCF with --body"):
            read_motion(SHARED / name, 30.0)
    with pytest.raises(MotionError, match="36 columns, expected 13"):
        read_motion(SHARED / "generated/g1_csv/output_walk.csv", 30.0, ROBOT)


# bodies that are none of the robot's, whole qpos, known robots


def test_the_world_and_objects_are_no_part_of_the_robot(tmp_path: Path) -> None:
    arrays, count = mjlab_arrays(joint_names=True, body_names=True), len(walk()[0])
    still, box = np.zeros((count, 1, 3)), np.tile([2.0, 0.0, 0.2], (count, 1, 1))
    unturned = np.tile([1.0, 0, 0, 0], (count, 1, 1))
    arrays["body_pos_w"] = np.concatenate([still, arrays["body_pos_w"], box], axis=1)
    arrays["body_quat_w"] = np.concatenate([unturned, arrays["body_quat_w"], unturned], axis=1)
    arrays["body_names"] = np.array(["world", *NAMES, "largebox_link"])
    arrays["object_pos_w"] = box[:, 0]
    np.savez(tmp_path / "a.npz", **arrays)
    track = read_motion(tmp_path / "a.npz")
    assert isinstance(track, JointTrack)
    assert track.names == NAMES
    wanted = expected(*walk(heading=0.4))
    same(read_motion(tmp_path / "a.npz", None, ROBOT), wanted, atol=1e-5)
    root = [wanted.root_pos, wanted.rotations[:, 0]]
    arrays["joint_pos"] = np.concatenate([*root, arrays["joint_pos"]], axis=1)
    np.savez(tmp_path / "b.npz", **arrays)
    same(read_motion(tmp_path / "b.npz", None, ROBOT), wanted, atol=1e-5)


def protomotions(order: str) -> dict[str, Any]:
    clip, (_, _, angles) = expected(*walk(heading=0.4)), walk(heading=0.4)
    turns = clip.global_rotations
    return {
        "dof_pos": torch.tensor(angles),
        "rigid_body_pos": torch.tensor(clip.positions),
        "rigid_body_rot": torch.tensor(turns[..., [1, 2, 3, 0]] if order == "xyzw" else turns),
        "fps": FPS,
    }


def test_protomotions_file_and_the_order_that_is_said(tmp_path: Path) -> None:
    torch.save(protomotions("xyzw"), tmp_path / "a.motion")
    same(read_motion(tmp_path / "a.motion", None, ROBOT), expected(*walk(heading=0.4)), atol=1e-5)
    torch.save(protomotions("wxyz"), tmp_path / "b.motion")
    with pytest.raises(MotionError, match="--quat"):
        read_motion(tmp_path / "b.motion", None, ROBOT)
    found = read_motion(tmp_path / "b.motion", None, ROBOT, ReadingConfig(quat="wxyz"))
    same(found, expected(*walk(heading=0.4)), atol=1e-5)


@pytest.mark.parametrize("objects", [0, 2])
def test_qpos_and_its_names(tmp_path: Path, objects: int) -> None:
    root_pos, root, angles = walk(heading=0.4)
    things = np.zeros((len(angles), 7 * objects))
    np.savez(tmp_path / "a.npz", qpos=np.concatenate([root_pos, root, angles, things], axis=1), frequency=FPS)
    same(read_motion(tmp_path / "a.npz", None, ROBOT), expected(root_pos, root, angles))
    names = ["root", *reversed(ROBOT.hinge_names)]
    table = np.concatenate([root_pos, root, angles[:, ::-1]], axis=1)
    np.savez(tmp_path / "b.npz", qpos=table, frequency=FPS, joint_names=np.array(names))
    same(read_motion(tmp_path / "b.npz", None, ROBOT), expected(root_pos, root, angles))
    np.savez(tmp_path / "c.npz", qpos=table[:, :-1], frequency=FPS)
    with pytest.raises(MotionError, match=r"expected \(T, 13\) for 'walker'"):
        read_motion(tmp_path / "c.npz", None, ROBOT)


def test_qpos_of_an_any4hdmi_data_set_has_names_and_rate_in_its_manifest(tmp_path: Path) -> None:
    root_pos, root, angles = walk(heading=0.4)
    (tmp_path / "motions" / "set").mkdir(parents=True)
    table = np.concatenate([root_pos, root, angles[:, ::-1]], axis=1)
    np.savez(tmp_path / "motions" / "set" / "a.npz", qpos=table.astype(np.float32))
    free = ["root_tx", "root_ty", "root_tz", "root_qw", "root_qx", "root_qy", "root_qz"]
    manifest = {"timestep": 1 / FPS, "qpos_names": [*free, *reversed(ROBOT.hinge_names)]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    found = read_motion(tmp_path / "motions" / "set" / "a.npz", None, ROBOT)
    same(found, expected(root_pos, root, angles), atol=1e-5)


def test_an_array_a_joint(tmp_path: Path) -> None:
    root_pos, _, angles = walk()
    place = {"q_pelvis_tx": root_pos[:, 0], "q_pelvis_tz": root_pos[:, 1], "q_pelvis_ty": root_pos[:, 2]}
    joints = {f"q_{name}": angles[:, k] for k, name in enumerate(ROBOT.hinge_names)}
    np.savez(tmp_path / "a.npz", **joints, **place)
    same(read_motion(tmp_path / "a.npz", FPS, ROBOT), expected(*walk()))
    assert list(find_motions(tmp_path)) == [tmp_path / "a.npz"]
    yaw = quat_from_rotvec(np.tile([0.0, 0.0, 0.7], (len(angles), 1)))
    np.savez(tmp_path / "b.npz", **joints, **place, q_pelvis_rotation=np.full(len(angles), 0.7))
    same(read_motion(tmp_path / "b.npz", FPS, ROBOT), expected(root_pos, yaw, angles))


def lying(roll: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A walk's angles on the ground, rolled about X, looking along X: read in the other order it stands upright."""
    _, _, angles = walk(1)
    root = quat_from_rotvec(np.tile([np.radians(roll), 0.0, 0.0], (len(angles), 1)))
    return np.tile([0.0, 0.0, 0.14], (len(angles), 1)), root, angles


@pytest.mark.parametrize("roll", [90.0, 150.0, -90.0])
def test_a_second_of_lying_does_not_decide_for_the_upright_order(tmp_path: Path, roll: float) -> None:
    root_pos, root, angles = lying(roll)
    path = write_csv(tmp_path / "a.csv", np.concatenate([root_pos, root[:, [1, 2, 3, 0]], angles], axis=1))
    same(read_motion(path, FPS, ROBOT), expected(root_pos, root, angles))


def test_an_open_quaternion_order_is_asked_for_and_a_header_believed(tmp_path: Path) -> None:
    root_pos, root, angles = lying(90.0)
    root_pos = root_pos + np.array([0.0, 0.0, 0.2])  # in the air as one and in the ground as the other
    table = np.concatenate([root_pos, root[:, [1, 2, 3, 0]], angles], axis=1)
    path = write_csv(tmp_path / "a.csv", table)
    with pytest.raises(MotionError, match="give --quat xyzw or --quat wxyz"):
        read_motion(path, FPS, ROBOT)
    same(read_motion(path, FPS, ROBOT, ReadingConfig(quat="xyzw")), expected(root_pos, root, angles))
    words = ["x", "y", "z", "root_qx", "root_qy", "root_qz", "root_qw", *ROBOT.hinge_names]
    path = write_csv(tmp_path / "b.csv", table, ",".join(words))
    same(read_motion(path, FPS, ROBOT), expected(root_pos, root, angles))


def test_centimetres_and_degrees_that_are_said(tmp_path: Path) -> None:
    root_pos, root, angles = walk()
    table = np.concatenate([100.0 * root_pos, root, np.degrees(angles)], axis=1)
    path = write_csv(tmp_path / "a.csv", table)
    same(read_motion(path, FPS, ROBOT, ReadingConfig(quat="wxyz", units="cm,deg")), expected(root_pos, root, angles))
    with pytest.raises(MotionError, match="--units deg"):
        read_motion(path, FPS, ROBOT, ReadingConfig(quat="wxyz"))


def test_a_known_robot_is_known_by_its_joints_and_measured_on_its_body(tmp_path: Path) -> None:
    body = load_body("g1")
    assert isinstance(body, RobotBody)
    robot, frames = body.robot, 20
    angles, root = np.zeros((frames, 29)), np.tile([1.0, 0, 0, 0], (frames, 1))
    clip = robot.clip(FPS, np.zeros((frames, 3)), root, angles, "a", Provenance())
    clip = clip.moved(np.array([0.0, 0.0, -motion_points(clip, body).lowest.min()]))
    values = {"fps": 50, "root_pos": clip.root_pos, "root_rot": root[:, [1, 2, 3, 0]], "dof_pos": angles}
    local = clip.positions - clip.positions[:, :1]
    named = {"local_body_pos": local, "link_body_list": list(robot.skeleton.names)}
    for name, more in {"a": {"joint_names": list(robot.hinge_names)}, "b": named}.items():
        path = dump(tmp_path / f"{name}.pkl", values | more)
        result = evaluate([path], EvaluateConfig(workers=0, wrench=False))
        (row,) = result.rows.rows("surface of g1", [0])
        assert abs(row["metrics"]["float_mean_mm"]) < 1e-3
        assert result.clean("surface of g1") == {}
        page = tmp_path / "page.html"
        assert main(["evaluate", str(path), "--no-wrench", "--workers", "0", "--html", str(page)]) == 0
        assert "<h2>On the surface of g1</h2>" in page.read_text()


def test_a_robot_that_nobody_knows_has_no_figures_that_rest_on_the_ground(tmp_path: Path, capsys) -> None:
    result = evaluate([dump(tmp_path / "a.pkl", gmr())], EvaluateConfig(workers=0, wrench=False))
    (row,) = result.rows.rows("joints of a robot", [0])
    known = {name for name, value in row["metrics"].items() if value is not None}
    assert "jerk_mean_m_s3" in known
    assert not known & {"float_mean_mm", "penetration_max_mm", "slide_mean_mm_s", "unsupported_ratio", "skim_mm_s"}
    assert result.clean("joints of a robot") == {}
    assert main(["evaluate", str(tmp_path / "a.pkl"), "--no-wrench", "--workers", "0"]) == 0
    assert "give its MJCF with --body" in capsys.readouterr().err
