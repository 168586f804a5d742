"""Layouts as people have them: each file is made here, and what it must be read as is known."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.motion import DEFAULT_SKELETON, Clip, JointTrack, find_motions, read_motion, read_motions, to_default
from morphloop.motion.config import ReadingConfig
from morphloop.motion.fitting.skeleton_maps import MAPS
from morphloop.motion.readers.joint_map import read_joint_map
from morphloop.motion.readers.poselib import SMPL_BODIES
from morphloop.motion.readers.smpl import SMPL_PELVIS, SMPLX_REST
from morphloop.motion.skeleton import Y_UP_TO_Z_UP

pytestmark = pytest.mark.filterwarnings("ignore:Gimbal lock")

T = 12
QUARTER = np.pi / 2
UPRIGHT = np.zeros((T, 55, 3))
UPRIGHT[:, 0, 0] = QUARTER
"""Poses (T, 55, 3) of a body upright in a world with Z up."""
PLACE = np.array([0.3, -0.2, 1.4])
TRANS = np.tile(PLACE, (T, 1))
STAND = DEFAULT_SKELETON.rest_positions[:22] - [0.0, 0.0, DEFAULT_SKELETON.rest_positions[:, 2].min()]
JOINTS = np.tile(STAND, (T, 1, 1)) + 0.05 * np.arange(T)[:, None, None] * [1.0, 0.0, 0.0]
HUMANML3D = JOINTS @ Y_UP_TO_Z_UP
"""The same in HumanML3D's axes."""


def clip(path: Path, fps: float | None = None, **how) -> Clip:
    found = read_motion(path, fps, how=ReadingConfig(**how))
    assert isinstance(found, Clip)
    return found


def track(path: Path, fps: float = 20.0) -> JointTrack:
    found = read_motion(path, fps)
    assert isinstance(found, JointTrack)
    return found


def stands(found: Clip, root: np.ndarray, frames: int = T) -> None:
    """Head over the root over the feet, the root at `root` in every frame."""
    at = dict(zip(found.skeleton.names, found.positions.swapaxes(0, 1), strict=True))
    np.testing.assert_allclose(found.root_pos, np.tile(root, (frames, 1)), atol=1e-6)
    assert (at["head"][:, 2] - at["pelvis"][:, 2] > 0.5).all()
    assert (at["pelvis"][:, 2] - at["left_foot"][:, 2] > 0.7).all()


# arrays of objects


def stageii(path: Path, **more) -> Path:
    np.savez(
        path,
        surface_model_type=np.array("smplx"),
        mocap_frame_rate=np.array(30.0),
        poses=UPRIGHT.reshape(T, 165),
        trans=TRANS,
        **more,
    )
    return path


class Runs:
    def __reduce__(self):
        return (pytest.fail, ("what a file holds was executed",))


@pytest.mark.parametrize("value", [{"A": 1}, Runs(), [Runs()]])
def test_an_array_of_objects_beside_the_motion_is_passed_over_unread(tmp_path, value):
    found = clip(stageii(tmp_path / "a.npz", markers_latent_vids=np.array(value, dtype=object)))
    assert found.id == clip(stageii(tmp_path / "b.npz")).id


def test_a_motion_that_is_objects_is_named_with_what_was_passed_over(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.array([{}], dtype=object), trans=TRANS)
    with pytest.raises(MotionError, match="passed over unread, being pickled objects: poses"):
        read_motion(tmp_path / "a.npz")


def test_names_that_are_stored_as_objects_are_read(tmp_path):
    names = np.array(["pelvis", "head"], dtype=object)
    turns = np.tile([1.0, 0, 0, 0], (T, 2, 1))
    np.savez(
        tmp_path / "a.npz", joint_pos=np.zeros((T, 1)), body_pos_w=JOINTS[:, [0, 15]], body_quat_w=turns,
        body_names=names, fps=50.0,
    )  # fmt: skip
    assert track(tmp_path / "a.npz", 50.0).names == ("pelvis", "head")


# a folder's files


def test_a_folder_names_every_array_file_that_it_cannot_read(tmp_path, capsys):
    np.save(tmp_path / "a.npy", HUMANML3D)
    np.save(tmp_path / "b_24_joints.npy", np.zeros((T, 24, 3)))
    np.savez(tmp_path / "c_other.npz", something=np.zeros((T, 40)))
    np.save(tmp_path / "d_272.npy", np.zeros((T, 272)))
    torch.save({"anything": torch.zeros(T, 3)}, tmp_path / "e.pt")
    np.save(tmp_path / "Mean.npy", np.zeros(263))
    torch.save({"layer.weight": torch.zeros(3, 3)}, tmp_path / "weights.pt")
    assert main(["validate", str(tmp_path), "--fps", "20"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line.split(": ")[0]).stem for line in lines[:-1]] == ["b_24_joints", "c_other", "d_272", "e"]
    assert lines[-1] == "5 files: 1 clean, 4 with problems"
    assert main(["evaluate", str(tmp_path), "--fps", "20", "--no-wrench", "--workers", "0"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4


# joints


def test_results_of_a_generator_are_cut_at_their_lengths_and_keep_their_texts(tmp_path):
    motion = np.stack([HUMANML3D, np.where(np.arange(T)[:, None, None] < 7, HUMANML3D, 0.0)])
    batch = {"motion": motion.transpose(0, 2, 3, 1), "text": ["long", "short"], "lengths": np.array([T, 7])}
    np.save(tmp_path / "results.npy", {**batch, "num_samples": 2}, allow_pickle=True)  # type: ignore[arg-type]
    found = {name: read() for name, read in read_motions(tmp_path / "results.npy", 20.0)}
    assert {name: (m.num_frames, m.texts) for name, m in found.items()} == {
        "results:0": (T, ("long",)),
        "results:1": (7, ("short",)),
    }
    np.testing.assert_allclose(found["results:1"].positions, JOINTS[:7], atol=1e-6)
    assert list(find_motions(tmp_path)) == [tmp_path / "results.npy"]


def test_a_batch_of_one_is_one_motion_and_of_two_two(tmp_path):
    np.save(tmp_path / "one.npy", HUMANML3D[None])
    np.savez(tmp_path / "two.npz", joints=np.stack([HUMANML3D, HUMANML3D + 1.0]))
    np.testing.assert_allclose(track(tmp_path / "one.npy").positions, JOINTS, atol=1e-6)
    assert [name for name, _ in read_motions(tmp_path / "two.npz", 20.0)] == ["two:0", "two:1"]


# SMPL under other names


def test_poses_in_three_axes(tmp_path):
    np.savez(tmp_path / "a.npz", poses=UPRIGHT, trans=TRANS, mocap_frame_rate=30.0)
    assert clip(tmp_path / "a.npz").id == clip(stageii(tmp_path / "b.npz")).id


@pytest.mark.parametrize(("joints", "rest"), [(21, SMPLX_REST[0]), (23, SMPL_PELVIS)])
@pytest.mark.parametrize("turn", [QUARTER, 0.0, np.pi])
def test_the_smplx_packages_names_whichever_axis_is_up(tmp_path, joints, rest, turn):
    root = np.tile([turn, 0.0, 0.0], (T, 1))
    np.savez(tmp_path / "a.npz", global_orient=root, body_pose=np.zeros((T, 3 * joints)), transl=TRANS, fps=30.0)
    to_ours = {QUARTER: np.eye(3), 0.0: Y_UP_TO_Z_UP, np.pi: Y_UP_TO_Z_UP @ np.diag([1.0, -1.0, -1.0])}[turn]
    stands(clip(tmp_path / "a.npz"), to_ours @ (PLACE + rest))


def test_a_body_that_stands_along_no_axis_asks_for_up(tmp_path):
    root = np.tile([0.0, 0.0, QUARTER], (T, 1))
    np.savez(tmp_path / "a.npz", global_orient=root, body_pose=np.zeros((T, 63)), transl=TRANS, fps=30.0)
    with pytest.raises(MotionError, match="--up"):
        read_motion(tmp_path / "a.npz")
    assert clip(tmp_path / "a.npz", up="y").num_frames == T


def test_people_estimated_from_video(tmp_path):
    person = {"pose": np.zeros((T, 72)), "trans": TRANS, "pose_world": UPRIGHT[:, :24].reshape(T, 72)}
    two = {0: person | {"trans_world": TRANS}, 1: person | {"trans_world": TRANS + 1.0}}
    (tmp_path / "wham.pkl").write_bytes(pickle.dumps(two))
    found = dict(read_motions(tmp_path / "wham.pkl", 30.0))
    assert list(found) == ["wham:0", "wham:1"]
    stands(found["wham:1"](), PLACE + 1.0 + SMPL_PELVIS)  # type: ignore[arg-type]


def test_gvhmr_is_read_from_what_torch_saved_without_executing_it(tmp_path):
    world = {"body_pose": torch.zeros(T, 63), "global_orient": torch.zeros(T, 3), "transl": torch.tensor(TRANS)}
    torch.save({"smpl_params_global": world, "smpl_params_incam": world, "other": {}}, tmp_path / "a.pt")
    stands(clip(tmp_path / "a.pt", 30.0), Y_UP_TO_Z_UP @ (PLACE + SMPLX_REST[0]))
    torch.save({"smpl_params_global": world, "evil": Runs()}, tmp_path / "evil.pt")
    with pytest.raises(MotionError, match="never run"):
        read_motion(tmp_path / "evil.pt", 30.0)
    (tmp_path / "old.pt").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    with pytest.raises(MotionError, match=r"torch 1\.6"):
        read_motion(tmp_path / "old.pt", 30.0)


def test_tram_is_brought_into_the_world_by_its_camera(tmp_path):
    """The camera lies on its side and moves along: in the world the body stands still."""
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    move = 0.1 * np.arange(T + 3)[:, None] * [1.0, 0.0, 0.0]
    root = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    frames = np.arange(T) + 2
    world = TRANS + SMPL_PELVIS
    track_ = {
        "pred_rotmat": torch.tensor(np.tile(np.eye(3), (T, 24, 1, 1))),
        "pred_trans": torch.tensor((world - move[frames]) @ turn - SMPL_PELVIS)[:, None],
        "frame": torch.tensor(frames),
    }
    track_["pred_rotmat"][:, 0] = torch.tensor(turn.T @ root)
    (tmp_path / "hps").mkdir()
    np.save(tmp_path / "hps" / "hps_track_0.npy", track_, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(MotionError, match=r"camera\.npy"):
        read_motion(tmp_path / "hps" / "hps_track_0.npy", 30.0)
    camera = {"world_cam_R": torch.tensor(np.tile(turn, (T + 3, 1, 1))), "world_cam_T": torch.tensor(move)}
    np.save(tmp_path / "camera.npy", camera, allow_pickle=True)  # type: ignore[arg-type]
    assert [path.name for path in find_motions(tmp_path)] == ["hps_track_0.npy"]
    stands(clip(tmp_path / "hps" / "hps_track_0.npy", 30.0), PLACE + SMPL_PELVIS)


def test_full_pose_proves_the_axes_of_a_dance_and_its_rate_is_asked_for(tmp_path):
    """As EDGE writes it: AIST++'s names, but Z up and the place is the pelvis's."""
    np.savez(tmp_path / "smpl.npz", poses=UPRIGHT[:, :24], trans=TRANS - SMPL_PELVIS, mocap_frame_rate=30.0)
    known = clip(tmp_path / "smpl.npz")
    dance = {"smpl_poses": UPRIGHT[:, :24].reshape(T, 72), "smpl_trans": TRANS, "full_pose": known.positions}
    (tmp_path / "dance.pkl").write_bytes(pickle.dumps(dance))
    with pytest.raises(MotionError, match="--fps"):
        read_motion(tmp_path / "dance.pkl")
    assert clip(tmp_path / "dance.pkl", 30.0).id == known.id
    dance["full_pose"] = known.positions + 0.3
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(dance))
    with pytest.raises(MotionError, match="full_pose"):
        read_motion(tmp_path / "other.pkl", 30.0)


# poselib


def test_poselib_with_smpls_bodies_is_the_default_skeleton(tmp_path):
    names = list(SMPL_BODIES)
    order = sorted(range(24), key=lambda k: DEFAULT_SKELETON.index(SMPL_BODIES[names[k]]))
    bodies = [names[k] for k in order]
    wrap = lambda array: {"arr": np.asarray(array, np.float32), "context": {"dtype": "float32"}}  # noqa: E731
    turn = np.zeros((T, 24, 4))
    turn[..., 3] = 1.0
    tree = OrderedDict(
        node_names=bodies,
        parent_indices={"arr": np.array(DEFAULT_SKELETON.parents)},
        local_translation=wrap(DEFAULT_SKELETON.offsets),
    )
    value = OrderedDict(rotation=wrap(turn), root_translation=wrap(TRANS), skeleton_tree=tree, is_local=True, fps=30)
    np.save(tmp_path / "a.npy", value, allow_pickle=True)  # type: ignore[arg-type]
    found = clip(tmp_path / "a.npy")
    assert found.skeleton == DEFAULT_SKELETON
    assert found.fps == 30.0
    stands(found, PLACE)


# BVH: names, rest poses, texts, positions of joints


HIERARCHY = (
    ("pelvis", None, (0, 0, 0)), ("spine1", "pelvis", (0, 0.10, 0)), ("spine2", "spine1", (0, 0.13, 0)),
    ("spine3", "spine2", (0, 0.12, 0)), ("neck", "spine3", (0, 0.20, 0)), ("head", "neck", (0, 0.09, 0)),
    *(
        row
        for side, x in (("left", 1.0), ("right", -1.0))
        for row in (
            (f"{side}_collar", "spine3", (0.05 * x, 0.15, 0)), (f"{side}_shoulder", f"{side}_collar", (0.13 * x, 0, 0)),
            (f"{side}_elbow", f"{side}_shoulder", (0.28 * x, 0, 0)),
            (f"{side}_wrist", f"{side}_elbow", (0.25 * x, 0, 0)),
            (f"{side}_hip", "pelvis", (0.09 * x, -0.05, 0)), (f"{side}_knee", f"{side}_hip", (0, -0.41, 0)),
            (f"{side}_ankle", f"{side}_knee", (0, -0.40, 0)), (f"{side}_foot", f"{side}_ankle", (0, -0.06, 0.13)),
        )
    ),
)  # fmt: skip
"""A person in a T-pose: joint, parent, offset in metres, Y up, looking along Z; toe joints 20 mm over the floor."""
CMU = dict(MAPS[1].joints)


def bvh_text(names: dict[str, str], unit: float = 0.01, along: bool = False, wobble: float = 0.0) -> str:
    """The person carried ahead at 0.1 m/s, the left forearm waving, frames at 30 fps. names: the file's of our joints;
    unit: metres of a length; along: every bone lies along its joint's X at rest, the channels make the T-pose; wobble:
    metres by which six channels of every joint waver."""
    kids = {n: [m for m, p, _ in HIERARCHY if p == n and m in names] for n, _, _ in HIERARCHY}
    parent = {n: p for n, p, _ in HIERARCHY}
    offset = {n: np.array(o, float) for n, _, o in HIERARCHY}
    own = {n: Rotation.identity() for n, _, _ in HIERARCHY}
    for name in names if along else ():
        main = [k for k in kids[name] if not k.endswith(("collar", "hip"))] or kids[name]
        if name != "pelvis" and main:
            bone = offset[main[0]] / np.linalg.norm(offset[main[0]])
            y = np.cross([0, 0, 1.0] if abs(bone[2]) < 0.9 else [1.0, 0, 0], bone)
            own[name] = Rotation.from_matrix(
                np.stack([bone, y / np.linalg.norm(y), np.cross(bone, y / np.linalg.norm(y))], 1)
            )
    rng, order, lines = np.random.default_rng(0), [], ["HIERARCHY"]

    def local(name: str) -> np.ndarray:
        above = parent[name]
        return (own[above].inv().apply(offset[name]) if above else offset[name]) / unit

    def write(name: str, depth: int) -> None:
        order.append(name)
        moves = "6 Xposition Yposition Zposition " if depth == 0 or wobble else "3 "
        place = " ".join(f"{v:.6f}" for v in local(name))
        lines.extend([f"{'JOINT' if depth else 'ROOT'} {names[name]}", "{", f"OFFSET {place}"])
        lines.append(f"CHANNELS {moves}Zrotation Yrotation Xrotation")
        for kid in kids[name]:
            write(kid, depth + 1)
        if not kids[name]:
            lines.extend(["End Site", "{", "OFFSET 0 0.1 0", "}"])
        lines.append("}")

    write("pelvis", 0)
    lines += ["MOTION", f"Frames: {3 * T}", f"Frame Time: {1 / 30:.6f}"]
    for frame in range(3 * T):
        row: list[float] = []
        for name in order:
            if name == "pelvis":
                row += list(np.array([0.0, 0.94, 0.1 * frame / 30]) / unit)
            elif wobble:
                row += list(local(name) + rng.normal(0.0, wobble / unit, 3))
            wave = -30 * np.sin(2 * np.pi * frame / 30) if name == "left_elbow" else 0.0
            above = own[parent[name]] if parent[name] else Rotation.identity()
            turn = above.inv() * Rotation.from_euler("Y", wave, degrees=True) * own[name]
            row += list(turn.as_euler("ZYX", degrees=True))
        lines.append(" ".join(f"{v:.6f}" for v in row))
    return "\n".join(lines) + "\n"


def on_default(path: Path, **how) -> Clip:
    return to_default(read_motion(path, how=ReadingConfig(**how)), keep_floor=True)


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Clip:
    path = tmp_path_factory.mktemp("known") / "a.bvh"
    path.write_text(bvh_text(CMU))
    return on_default(path)


def agrees(found: Clip, wanted: Clip, metres: float) -> None:
    assert found.num_frames == wanted.num_frames
    assert np.linalg.norm(found.positions[:, :22] - wanted.positions[:, :22], axis=-1).max() < metres
    toes = [found.skeleton.index(f"{side}_foot") for side in ("left", "right")]
    np.testing.assert_allclose(found.positions[:, toes, 2], wanted.positions[:, toes, 2], atol=0.5e-3)


@pytest.mark.parametrize("named", MAPS[-8:], ids=lambda named: named.name)
@pytest.mark.parametrize("along", [False, True])
def test_skeletons_of_motion_capture_are_known_by_their_names_whatever_their_rest_pose(tmp_path, known, named, along):
    names = dict(named.joints)
    if names["spine2"] in (names["spine1"], names["spine3"]):
        del names["spine2"]  # a skeleton with a spine joint less
    (tmp_path / "a.bvh").write_text(bvh_text(_chained(names), along=along))
    found = on_default(tmp_path / "a.bvh")
    assert found.provenance.notes["map"] == named.name
    assert ("rest_pose" in found.provenance.notes) is along
    if set(names) == set(CMU):
        agrees(found, known, 2e-3)


def _chained(names: dict[str, str]) -> dict[str, str]:
    """Names of all joints that the hierarchy needs to reach the others."""
    return {joint: names.get(joint, f"between_{joint}") for joint, _, _ in HIERARCHY}


@pytest.mark.parametrize("prefix", ["mixamorig:", "mixamorig1:", "Skeleton_"])
def test_a_prefix_is_no_part_of_a_name(tmp_path, known, prefix):
    mixamo = next(named for named in MAPS if named.name == "Mixamo")
    (tmp_path / "a.bvh").write_text(bvh_text({joint: prefix + name for joint, name in mixamo.joints.items()}))  # type: ignore[union-attr]
    agrees(on_default(tmp_path / "a.bvh"), known, 1e-9)


def test_the_error_of_an_unknown_skeleton_names_what_is_missing_and_no_end_site(tmp_path):
    (tmp_path / "a.bvh").write_text(bvh_text(CMU | {"neck": "Nacken", "left_wrist": "Hand_links"}))
    with pytest.raises(
        MotionError, match="joints LeftFingerBase, Neck1 are missing for a skeleton of CMU BVH"
    ) as error:
        on_default(tmp_path / "a.bvh")
    assert "_end" not in str(error.value)
    assert "--joint-map" in str(error.value)


@pytest.mark.parametrize("along", [False, True])
def test_a_joint_map_names_any_skeleton(tmp_path, known, along):
    strange = {joint: f"j{k}:{joint[::-1]}" for k, (joint, _, _) in enumerate(HIERARCHY)}
    (tmp_path / "a.bvh").write_text(bvh_text(strange, along=along))
    lines = ["# a line a joint", *(f"{joint}: {name}" for joint, name in strange.items())]
    (tmp_path / "map.yaml").write_text("\n".join(lines))
    agrees(on_default(tmp_path / "a.bvh", joint_map=str(tmp_path / "map.yaml")), known, 2e-3)
    for text, match in (
        ("pelvis Hips", "line 1"),
        ("elbow: x", "line 1"),
        ("pelvis: j0:sivlep", "no head"),
        ("\n".join([*lines, "left_hand: nobody"]), "no joint 'nobody'"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        read_joint_map.cache_clear()
        with pytest.raises(MotionError, match=match):
            on_default(tmp_path / "a.bvh", joint_map=str(tmp_path / "bad.yaml"))


def test_joints_that_wobble_are_bones_and_ones_that_stretch_are_refused(tmp_path, known):
    (tmp_path / "a.bvh").write_text(bvh_text(CMU, wobble=0.0005))
    found = on_default(tmp_path / "a.bvh")
    assert "mm off their bones' medians" in found.provenance.notes["wobble"]
    agrees(found, known, 2e-3)
    (tmp_path / "b.bvh").write_text(bvh_text(CMU, wobble=0.02))
    with pytest.raises(MotionError, match=r"moves along its bone by up to \d+\.?\d* mm, expected .* within 10 mm"):
        read_motion(tmp_path / "b.bvh")


def test_encodings_of_a_bvh(tmp_path, known):
    text = bvh_text(CMU).replace("Hips", "Hüfte左").replace("\n", "\r\n")
    (tmp_path / "map.yaml").write_text("\n".join(f"{j}: {n}" for j, n in CMU.items()))
    for name, data in {
        "mark": b"\xef\xbb\xbf" + bvh_text(CMU).encode(),
        "utf16": bvh_text(CMU).encode("utf-16"),
        "latin": bvh_text(CMU).replace("HIERARCHY", "HIERARCHY\n").encode("cp1252"),
    }.items():
        (tmp_path / f"{name}.bvh").write_bytes(data)
        agrees(on_default(tmp_path / f"{name}.bvh"), known, 1e-9)
    for encoding in ("utf-8", "gb18030"):
        (tmp_path / f"{encoding}.bvh").write_bytes(text.encode(encoding))
    one, other = (read_motion(tmp_path / f"{encoding}.bvh") for encoding in ("utf-8", "gb18030"))
    np.testing.assert_allclose(one.positions, other.positions)


def test_a_bad_frame_is_named_with_its_line_and_count(tmp_path):
    lines = bvh_text(CMU).splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    numbers = lines[first + 3].split()
    lines[first + 3] = " ".join([numbers[0] + numbers[1], *numbers[2:]])
    lines.insert(first, "")
    (tmp_path / "a.bvh").write_text("\n".join(lines))
    count = len(numbers)
    with pytest.raises(MotionError, match=f"line {first + 5}: frame 3: {count - 1} words for {count} numbers"):
        read_motion(tmp_path / "a.bvh")
