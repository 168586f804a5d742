"""Readers of human motion formats: known answers on files written here, the published sets, and what is refused."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphloop.base import MotionError
from morphloop.motion import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    find_motions,
    make_corpus,
    read_motion,
    read_motions,
    save_clip,
    to_default,
)
from morphloop.motion.fitting.fit import DEFAULT_LEG
from morphloop.motion.fitting.skeleton_maps import PositionMap, SkeletonMap, find_map
from morphloop.motion.readers import formats
from morphloop.motion.readers.humanoid15 import HUMANOID3D
from morphloop.motion.readers.kimodo import TREES
from morphloop.motion.readers.smpl import PHC_ORDER, SMPLX_REST
from morphloop.motion.skeleton import SMPL_JOINTS, Y_UP_TO_Z_UP, Skeleton

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
RNG = np.random.default_rng(0)
POSES, TRANS = 0.3 * RNG.normal(size=(5, 165)), RNG.normal(size=(5, 3))


def shared(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"no {path}: set MORPHLOOP_SHARED")
    return path


def saved(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def pickled(path: Path, value) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


def clip_of(path: Path, fps: float | None = None) -> Clip:
    clip = read_motion(path, fps)
    assert isinstance(clip, Clip)
    return clip


def refused(path: Path, match: str, fps: float | None = None) -> None:
    with pytest.raises(MotionError, match=match) as caught:
        read_motion(path, fps)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


# SMPL


def smpl_body(path: Path) -> Path:
    return saved(path, poses=POSES[:, :66], trans=TRANS, mocap_framerate=30.0)


def test_smplh_is_the_smpl_body_and_keeps_its_shape_in_the_notes(tmp_path):
    betas = np.arange(16.0)
    path = saved(
        tmp_path / "h.npz", poses=POSES[:, :156], trans=TRANS, mocap_framerate=30.0, betas=betas, gender="male"
    )
    clip = clip_of(path)
    assert np.allclose(clip.positions, clip_of(smpl_body(tmp_path / "b.npz")).positions)
    assert (clip.provenance.notes["betas"], clip.provenance.notes["gender"]) == (betas.tolist(), "male")


def test_smplx_stands_on_its_own_rest_joints_and_stageii_says_the_same(tmp_path):
    whole = saved(tmp_path / "x.npz", poses=0 * POSES, trans=TRANS, mocap_frame_rate=120)
    parts = saved(
        tmp_path / "stageii.npz",
        root_orient=0 * TRANS,
        pose_body=np.zeros((5, 63)),
        pose_hand=np.zeros((5, 90)),
        trans=TRANS,
        surface_model_type="smplx",
        mocap_frame_rate=120,
    )
    clip = clip_of(whole)
    assert clip.fps == 120.0
    assert np.allclose(clip.positions, SMPLX_REST + TRANS[:, None], atol=1e-9)
    assert np.allclose(clip_of(parts).positions, clip.positions, atol=1e-12)
    assert to_default(clip).skeleton == DEFAULT_SKELETON


def test_aist_is_turned_from_y_up_and_scaled_by_its_own_unit(tmp_path):
    z_up = clip_of(smpl_body(tmp_path / "z.npz"))
    y_up = clip_of(
        pickled(
            tmp_path / "aist.pkl",
            {"smpl_poses": np.pad(POSES[:, :66], ((0, 0), (0, 6))), "smpl_trans": 93.0 * TRANS, "smpl_scaling": [93.0]},
        )
    )
    assert y_up.fps == 60.0
    # what AMASS has in a world with Z up, AIST++ has in the same numbers with Y up
    assert np.allclose(y_up.positions, z_up.positions @ Y_UP_TO_Z_UP.T, atol=1e-9)


def phc_clip(poses: np.ndarray, trans: np.ndarray, tmp_path: Path) -> tuple[Clip, dict]:
    clip = clip_of(saved(tmp_path / "same.npz", poses=poses, trans=trans, mocap_framerate=30.0))
    order = [SMPL_JOINTS.index(name) for name in PHC_ORDER]
    world = clip.global_rotations[:, order][..., [1, 2, 3, 0]]
    return clip, {
        "pose_quat_global": world,
        "root_trans_offset": clip.root_pos,
        "pose_aa": poses,
        "trans_orig": trans,
        "beta": np.zeros(16),
        "gender": "neutral",
        "fps": 30,
    }


def test_phc_file_of_many_is_read_by_name_and_a_bad_motion_hides_no_other(tmp_path):
    clip, entry = phc_clip(np.pad(POSES[:, :66], ((0, 0), (0, 6))), TRANS, tmp_path)
    poses_only = {key: entry[key] for key in ("pose_aa", "trans_orig", "fps")}
    bad = entry | {"root_trans_offset": np.full((5, 3), np.nan)}
    path = pickled(tmp_path / "phc.pkl", {"0-A": entry, "bad": bad, "1-B": poses_only})
    motions = dict(read_motions(path))
    assert list(motions) == ["phc:0-A", "phc:bad", "phc:1-B"]
    for name in ("phc:0-A", "phc:1-B"):
        read = motions[name]()
        assert read.name == name
        assert np.allclose(read.positions, clip.positions, atol=1e-9)
    with pytest.raises(MotionError, match=r"phc\.pkl:bad.*frame 0"):
        motions["phc:bad"]()
    assert read_motion(f"{path}:1-B").name == "phc:1-B"
    refused(path, "holds 3 motions")
    with pytest.raises(MotionError, match="no motion 'none'"):
        read_motion(f"{path}:none")
    assert list(find_motions([f"{path}:0-A"])) == [Path(f"{path}:0-A")]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"poses": POSES[:, :100]}, "three numbers a joint"),
        ({"trans": TRANS[:3]}, "trans"),
        ({"poses": POSES[:0], "trans": TRANS[:0]}, "0 frames"),
        ({"poses": 1e9 * POSES}, "above"),
        ({"poses": POSES.astype(complex)}, "numbers"),
        ({"mocap_framerate": 0.0}, "fps"),
        ({"mocap_framerate": "thirty"}, "one number"),
    ],
)
def test_smpl_refused(tmp_path, changes, match):
    refused(saved(tmp_path / "bad.npz", **({"poses": POSES, "trans": TRANS, "mocap_framerate": 30.0} | changes)), match)


# DeepMimic and AMP


def deepmimic(path: Path, frames: list, **changes) -> Path:
    path.write_text(json.dumps({"Loop": "wrap", "Frames": frames} | changes))
    return path


def frame(duration: float, height: float = 0.9, **joints: list[float]) -> list[float]:
    """44 numbers of the humanoid standing in its rest pose, with the joints named turned."""
    quats = ["chest", "neck", "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow"]
    quats += ["left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow"]
    row = [duration, 0.0, height, 0.0, *joints.get("root", [1, 0, 0, 0])]
    for name in quats:
        row += joints.get(name, [0.0] if name.endswith(("knee", "elbow")) else [1, 0, 0, 0])
    return row


def test_deepmimic_known_answer(tmp_path):
    bent = frame(0.05, left_knee=[-np.pi / 2], right_elbow=[np.pi / 2])
    clip = clip_of(deepmimic(tmp_path / "a.txt", [frame(0.05), bent, frame(0.0)]))
    assert clip.fps == 20.0
    at = dict(zip(clip.skeleton.names, clip.positions.swapaxes(0, 1), strict=True))
    assert np.allclose(at["root"], [0, 0, 0.9])
    assert np.allclose(at["right_hip"][0], [0, -0.084887, 0.9])  # its Z to the right is our -Y
    assert at["neck"][0][2] > at["chest"][0][2] > 0.9
    assert np.allclose(at["left_ankle"][1] - at["left_knee"][1], [-0.40987, 0, 0])  # knees bend backward
    assert np.allclose(at["right_wrist"][1] - at["right_elbow"][1], [0.258947, 0, 0])  # elbows forward
    assert at["left_toe"][0][0] > at["left_ankle"][0][0]


def test_deepmimic_quaternions_are_normalised_and_uneven_durations_resampled(tmp_path):
    rows = [frame(0.1, 1.0, chest=[0.6, 0, 0, 0]), frame(0.1, 2.0), frame(0.2, 3.0), frame(0.1, 5.0), frame(0.0, 6.0)]
    clip = clip_of(deepmimic(tmp_path / "a.json", rows))
    assert np.allclose(np.linalg.norm(clip.rotations, axis=-1), 1.0)
    assert np.allclose(clip.root_pos[:, 2], [1, 2, 3, 4, 5, 6])
    assert "resampled" in clip.provenance.notes


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "Frames"),
        ('{"Frames": []}', "0 frames"),
        ('{"Frames": [[1, 2]]}', "44 numbers"),
        (json.dumps({"Frames": [frame(0.1), [*frame(0.1)[:-1], None]]}), "frame 1"),
        (json.dumps({"Frames": [frame(0.1), [*frame(0.1)[:-1], True]]}), "frame 1"),
        (json.dumps({"Frames": [frame(-0.1), frame(0.1)]}), "lasts"),
        (json.dumps({"Frames": [frame(0.0), frame(0.0)]}), "lasts"),
        (json.dumps({"Frames": [frame(0.1, chest=[0, 0, 0, 0])]}), "length 1"),
        (json.dumps({"Frames": [frame(0.1, 1.0)]}).replace("1.0", "NaN"), "NaN"),
        (json.dumps({"Frames": [frame(0.1, 7.0)]}).replace("7.0", "1e999"), "infinity"),
        (json.dumps({"Frames": [frame(0.1, 7.0)]}).replace("7.0", "9" * 5000), "infinity"),
        ('{"Frames": ' + "[" * 100_000, "nested too deep"),
    ],
)
def test_deepmimic_refused(tmp_path, text, match):
    path = tmp_path / "bad.json"
    path.write_text(text)
    refused(path, match)


def joint_agreement_mm(source: Clip, pairs: dict[str, str]) -> float:
    """Mean distance of limb joints to the source's at the default size, both seen from the hips' middle."""
    default = to_default(source)
    scale = DEFAULT_LEG / 0.831416

    def seen(clip: Clip, names: list[str], hips: tuple[str, str]) -> np.ndarray:
        at = clip.positions
        middle = np.mean([at[:, clip.skeleton.index(h)] for h in hips], axis=0)
        return np.stack([at[:, clip.skeleton.index(n)] for n in names], 1) - middle[:, None]

    ours = seen(default, list(pairs), ("left_hip", "right_hip"))
    theirs = scale * seen(source, list(pairs.values()), ("left_hip", "right_hip"))
    return 1000.0 * float(np.linalg.norm(ours - theirs, axis=-1).mean())


@pytest.mark.parametrize("name", ["deepmimic/humanoid3d_walk.npz", "deepmimic/humanoid3d_spinkick.npz"])
def test_deepmimic_clips_keep_their_legs_on_the_default_body(name):
    clip = clip_of(shared(*name.split("/")))
    assert clip.skeleton == HUMANOID3D
    pairs = {f"{side}_{part}": f"{side}_{part}" for side in ("left", "right") for part in ("knee", "ankle")}
    assert joint_agreement_mm(clip, pairs) < 60.0


@pytest.mark.parametrize("name", ["walk", "cartwheel"])
def test_amp_clips_are_the_same_humanoid(name):
    clip = clip_of(shared("isaac_amp", f"amp_humanoid_{name}.npy"))
    assert set(clip.skeleton.names) == set(HUMANOID3D.names)
    for joint in HUMANOID3D.names[1:]:
        ours = clip.skeleton.offsets[clip.skeleton.index(joint)]
        assert np.allclose(ours, HUMANOID3D.offsets[HUMANOID3D.index(joint)], atol=1e-5)
    default = to_default(clip)
    feet = default.positions[:, [10, 11], 2].min(axis=1)
    assert -0.02 < np.percentile(feet, 5) < 0.06


def test_every_published_clip_of_the_15_body_humanoid_is_read():
    paths = [*find_motions(shared("deepmimic")), *find_motions(shared("isaac_amp"))]
    assert len(paths) == 32
    for path in paths:
        assert np.isfinite(clip_of(path).positions).all()


# Kimodo


def kimodo(path: Path, count: int = 77, **changes) -> tuple[Path, np.ndarray]:
    parents = TREES[count][1]
    offsets = 0.1 * RNG.normal(size=(count, 3))
    local = Rotation.from_rotvec(0.3 * RNG.normal(size=(4 * count, 3))).as_matrix().reshape(4, count, 3, 3)
    world, at = local.copy(), np.tile(RNG.normal(size=(4, 1, 3)), (1, count, 1))
    for j, parent in enumerate(parents[1:], 1):
        world[:, j] = world[:, parent] @ local[:, j]
        at[:, j] = at[:, parent] + world[:, parent] @ offsets[j]
    arrays = {"posed_joints": at, "global_rot_mats": world, "local_rot_mats": local, "root_positions": at[:, 0]}
    return saved(path, **(arrays | changes)), at


@pytest.mark.parametrize("count", [22, 30, 77])
def test_kimodo_joints_are_where_the_file_has_them(tmp_path, count):
    path, at = kimodo(tmp_path / "k.npz", count)
    clip = clip_of(path)
    assert clip.fps == 30.0
    assert clip.skeleton.names == TREES[count][0]
    assert np.allclose(clip.positions, at @ Y_UP_TO_Z_UP.T, atol=1e-6)
    assert clip_of(path, 20).fps == 20.0


def test_soma_joints_laid_along_one_axis_are_mapped_by_their_positions():
    names, parents = TREES[77]
    lying = Skeleton(names, parents, np.tile([0.1, 0.0, 0.0], (77, 1)))
    standing = Skeleton(names, parents, np.where(np.char.find(names, "Sh") >= 0, -1.0, 0.1)[:, None] * np.eye(3)[2])
    assert isinstance(find_map(lying, "x"), PositionMap)
    assert isinstance(find_map(standing, "x"), SkeletonMap)


def test_kimodo_refused(tmp_path):
    refused(kimodo(tmp_path / "a.npz", posed_joints=RNG.normal(size=(4, 77, 3)))[0], "moves against its parent")
    refused(kimodo(tmp_path / "b.npz", global_rot_mats=np.zeros((4, 77, 3, 3)))[0], "not rotations")
    refused(saved(tmp_path / "c.npz", posed_joints=np.zeros((4, 34, 3)), global_rot_mats=np.zeros(1)), "CSV")


# batches of joints, folders


def test_action2motion_samples_stand_upright():
    path = shared("generated", "action2motion", "humanact12_vanila_vae_tf.npz")
    motions = dict(read_motions(path, 15))
    assert len(motions) == 20
    for read in motions.values():
        track = read()
        assert isinstance(track, JointTrack)
        assert track.names == HUMANML3D_JOINTS
        assert np.median(track.positions[:, 12, 2] - track.positions[:, 0, 2]) > 0.3
    refused(Path(f"{path}:0"), "--fps")


def test_aist_dance_is_a_person_dancing_above_its_files_floor():
    clip = clip_of(shared("aistpp", "gBR_sBM_cAll_d04_mBR0_ch01.npz"))
    feet = clip.positions[:, [10, 11], 2].min(axis=1)
    assert np.median(clip.positions[:, 15, 2] - feet) > 1.2
    assert 0.5 < np.percentile(feet, 5) < 0.9  # as published: its floor is not at 0, and no reader moves it


def test_find_motions_passes_over_what_lies_beside_motions(tmp_path):
    clip = make_corpus(1, 1)[0].slice(0, 4)
    save_clip(tmp_path / "clip.npz", clip)
    for name, text in {
        "LICENSE.txt": "free",
        "notes.json": '{"a": [1]}',
        "manifest.json": "{}",
        "manifest.jsonl": "{}\n",
        "captions.jsonl": "{}",
        "index.csv": "name,start,end\nabc,1,2\n",
        "train.txt": "000001\n",
    }.items():
        (tmp_path / name).write_text(text)
    np.save(tmp_path / "Mean.npy", np.zeros(263))
    saved(tmp_path / "shape.npz", betas=np.zeros(16))
    saved(tmp_path / "broken.npz", joints=np.zeros((4, 22, 3)))
    (tmp_path / "broken.npz").write_bytes((tmp_path / "broken.npz").read_bytes()[:100])
    pickled(tmp_path / "SMPL_NEUTRAL.pkl", {"v_template": np.zeros((2, 3))})
    pickled(tmp_path / "walk.pkl", {"pose_aa": 1})
    deepmimic(tmp_path / "dm.txt", [frame(0.1)])
    np.save(tmp_path / "joints.npy", np.zeros((4, 22, 3)))
    found = find_motions(tmp_path)
    assert not isinstance(found, list)
    assert [p.name for p in found] == ["broken.npz", "clip.npz", "dm.txt", "joints.npy", "walk.pkl"]
    with pytest.raises(MotionError, match="not JSON"):
        read_motion(tmp_path / "LICENSE.txt")


def test_find_motions_knows_the_sets_of_shared_data():
    assert [p.name for p in find_motions(shared("humanml3d"))] == ["012314.npy", "012314.npy"]
    with pytest.raises(MotionError, match="no motion file"):
        list(find_motions(shared("smpl_humanoid")))


def test_of_two_formats_with_one_ending_the_look_decides_and_the_last_refuses(tmp_path, monkeypatch):
    clip = make_corpus(1, 0)[0]
    tracks = formats.Format("tracks", (".csv",), lambda head: head.startswith(b"tracks"), lambda path, fps, _: clip)
    monkeypatch.setattr(formats, "FORMATS", (tracks, *formats.FORMATS))
    (tmp_path / "a.csv").write_text("tracks\n")
    (tmp_path / "b.csv").write_text("anything\n")
    assert read_motion(tmp_path / "a.csv") is clip
    assert list(find_motions(tmp_path)) == [tmp_path / "a.csv"]
    with pytest.raises(MotionError, match="a CSV does not name its joints"):
        read_motion(tmp_path / "b.csv")


def test_a_file_of_no_known_layout_is_told_them_all(tmp_path):
    np.savez(tmp_path / "a.npz", something=np.zeros(3))
    with pytest.raises(MotionError, match="expected those of") as error:
        read_motion(tmp_path / "a.npz")
    assert all(layout.name in str(error.value) for layout in formats.LAYOUTS)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("cmu/bvh/01_01.bvh", "CMU unit (inch / 0.45)"),
        ("xia_style_bvh/old_13_000.bvh", "CMU unit (inch / 0.45)"),
        ("generated/bvh/output_gmd_anim0.bvh", "m"),
    ],
)
def test_bvh_lengths_are_metres_by_the_legs(path, unit):
    clip = clip_of(shared(*path.split("/")))
    assert clip.provenance.notes["length_unit"] == unit
    assert 1.0 < np.ptp(clip.positions[:, :, 2], axis=1).max() < 2.2
