"""Small valid files of every layout that a reader takes, made in code: what `fuzz_readers.py` mutates."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack, as_format, load_rollout, make_corpus, read_motions
from morphloop.motion.files import save_clip, save_rollout
from morphloop.motion.readers.pickled import read_pickle
from morphloop.motion.robot import Hinge, Robot
from morphloop.motion.rotations import quat_to_matrix
from morphloop.motion.skeleton import SMPL_PARENTS, Y_UP_TO_Z_UP, Skeleton
from morphloop.motion.writers import (
    Extras,
    write_amass,
    write_bvh,
    write_humanml3d_features,
    write_humanml3d_joints,
    write_mjlab,
)

FRAMES = 12
ASF = """:units
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 2
    axis 0 0 90 XYZ
    dof rx ry
  end
  begin
    id 2
    name shin
    direction 0 -1 0
    length 1
    axis 0 0 0 XYZ
    dof rx
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
ROBOT = Robot(
    "two_link",
    Skeleton(("base", "arm", "hand"), (-1, 0, 1), np.array([[0, 0, 0], [0, 0, 0.2], [0.3, 0, 0]])),
    np.tile([1.0, 0, 0, 0], (3, 1)),
    (Hinge("lift", 1, (0.0, 1.0, 0.0)), Hinge("roll", 2, (1.0, 0.0, 0.0))),
    np.zeros((3, 3)),
)


@dataclass(frozen=True)
class Seed:
    """A layout. data: a valid file; suffix: of its name; read: the reader, which returns what it took; beside: other
    files that it needs, by name."""

    data: bytes
    suffix: str
    read: Callable[[Path], object]
    beside: dict[str, bytes]


def _all_motions(fps: float | None = None, robot: Robot | None = None) -> Callable[[Path], object]:
    return lambda path: [read() for _, read in read_motions(path, fps, robot)]


def make_seeds(folder: Path) -> dict[str, Seed]:
    """Every layout by name; `folder` is for files on the way."""
    clip = replace(make_corpus(1, 1)[0].slice(0, FRAMES), texts=("a person walks",))
    track = as_format(clip, "humanml3d-joints")
    assert isinstance(track, JointTrack)
    told, needs_fps, robotic = _all_motions(), _all_motions(20.0), _all_motions(30.0, ROBOT)

    def seed(path: Path, read: Callable[[Path], object] = told, **beside: bytes) -> Seed:
        return Seed(path.read_bytes(), path.suffix, read, beside)

    def npz(**arrays: object) -> Path:
        np.savez(folder / "a.npz", **arrays)  # type: ignore[arg-type]
        return folder / "a.npz"

    def pickled(value: object) -> Path:
        (folder / "a.pkl").write_bytes(pickle.dumps(value, 4))
        return folder / "a.pkl"

    def text(name: str, content: str) -> Path:
        (folder / name).write_text(content)
        return folder / name

    poses = np.zeros((FRAMES, 24, 3))
    poses[:, 0, 0] = np.pi / 2
    flat, trans = poses.reshape(FRAMES, 72), clip.root_pos
    angles = np.zeros((FRAMES, 2))
    unit = np.tile([0.0, 0, 0, 1.0], (FRAMES, 1))
    moved = ROBOT.clip(30.0, trans, unit[:, [3, 0, 1, 2]], angles, "robot", clip.provenance)
    amc = ":FULLY-SPECIFIED\n:DEGREES\n" + "".join(
        f"{k}\nroot 0 3 0 0 {k} 0\nthigh {k} 0\nshin 5\n" for k in range(1, 9)
    )
    rows = np.concatenate([trans, unit, angles], axis=1)
    return {
        "clip": seed(save_clip(folder / "a.npz", clip)),
        "joint clip": seed(save_clip(folder / "a.npz", track)),
        "rollout": Seed(_rollout(folder), ".npz", load_rollout, {}),
        "joints npy": seed(write_humanml3d_joints(folder / "a.npy", track), needs_fps),
        "joints npz": seed(npz(joints=track.positions @ Y_UP_TO_Z_UP, fps=20.0, text="a person walks")),
        "joints batch": seed(npz(joints=np.zeros((2, FRAMES, 24, 3)), classes=np.zeros(2)), needs_fps),
        "humanml3d 263": seed(write_humanml3d_features(folder / "a.npy", track)),
        "amass smpl-h": seed(write_amass(folder / "a.npz", clip)),
        "smpl 72": seed(npz(poses=flat, trans=trans, mocap_framerate=30.0, betas=np.zeros(10), gender="male")),
        "amass smpl-x": seed(
            npz(
                pose_body=flat[:, 3:66],
                root_orient=flat[:, :3],
                trans=trans,
                mocap_frame_rate=30.0,
                pose_jaw=flat[:, :3],
            )
        ),
        "aist++ pkl": seed(pickled({"smpl_poses": flat, "smpl_trans": 90 * trans, "smpl_scaling": np.array([90.0])})),
        "dance pkl": seed(pickled({"smpl_poses": flat, "smpl_trans": trans}), needs_fps),
        "smplx names": seed(npz(global_orient=flat[:, :3], body_pose=flat[:, 3:66], transl=trans, fps=30.0)),
        "wham pkl": seed(pickled({0: {"pose_world": flat, "trans_world": trans}}), needs_fps),
        "gvhmr pt": seed(torch_saved(folder / "a.pt", flat, trans), needs_fps),
        "mdm results": seed(results(folder / "a.npy", track), needs_fps),
        "qpos npz": seed(npz(qpos=rows, frequency=30.0), robotic),
        "array a joint": seed(
            npz(
                q_pelvis_tx=rows[:, 0],
                q_pelvis_tz=rows[:, 1],
                q_pelvis_ty=rows[:, 2],
                q_lift=rows[:, 7],
                q_roll=rows[:, 8],
            ),
            robotic,
        ),
        "phc pkl": seed(pickled({"0-walk": _phc(clip), "0-run": _phc(clip)})),
        "amp npy": seed(_amp(folder, clip)),
        "deepmimic json": seed(text("a.json", _deepmimic())),
        "deepmimic npz": seed(npz(frames=np.array(json.loads(_deepmimic())["Frames"]), loop="none")),
        "kimodo npz": seed(npz(**_kimodo(clip))),
        "mjlab npz": seed(write_mjlab(folder / "a.npz", clip)),
        "mjlab robot npz": seed(write_mjlab(folder / "a.npz", moved, Extras(ROBOT)), robotic),
        "robot arrays npz": seed(npz(root_pos=trans, root_quat_xyzw=unit, dof=angles, fps=30.0), robotic),
        "gmr pkl": seed(pickled({"fps": 30, "root_pos": trans, "root_rot": unit, "dof_pos": angles}), robotic),
        "asap pkl": seed(
            pickled({"clip": {"fps": 30, "root_trans_offset": trans, "root_rot": unit, "dof": angles}}), robotic
        ),
        "robot csv": seed(text("a.csv", "".join(",".join(f"{v:.6f}" for v in row) + "\n" for row in rows)), robotic),
        "bvh": seed(write_bvh(folder / "a.bvh", clip)),
        "amc": Seed(amc.encode(), ".amc", _all_motions(120.0), {"07.asf": ASF.encode()}),
        "asf": Seed(ASF.encode(), ".asf", _beside_amc, {"07_01.amc": amc.encode()}),
        "smpl model pkl": seed(pickled(_smpl_model()), lambda path: read_pickle(path, smpl=True)),
    }


def torch_saved(path: Path, poses: np.ndarray, trans: np.ndarray) -> Path:
    """GVHMR's results."""
    import torch

    body = {"global_orient": poses[:, :3], "body_pose": poses[:, 3:66], "transl": trans}
    torch.save({"smpl_params_global": {name: torch.tensor(part) for name, part in body.items()}}, path)
    return path


def results(path: Path, track: JointTrack) -> Path:
    """A generator's batch of two."""
    motion = np.stack([track.positions @ Y_UP_TO_Z_UP] * 2).transpose(0, 2, 3, 1)
    value = {"motion": motion, "text": ["a", "b"], "lengths": np.array([FRAMES, FRAMES - 1])}
    np.save(path, value, allow_pickle=True)  # type: ignore[arg-type]
    return path


def _beside_amc(asf: Path) -> object:
    """The trial of a skeleton: the mutated file is the .asf."""
    return _all_motions(120.0)(asf.with_name("07_01.amc"))


def _rollout(folder: Path) -> bytes:
    from morphloop.motion import Rollout

    zeros = np.zeros((FRAMES, 4))
    rollout = Rollout(
        30.0, 5, "smpl24", "0" * 16, zeros[0], zeros, zeros, zeros[1:], zeros[:, :2] > 0, zeros[:, :2], "x", 0
    )
    return save_rollout(folder / "a.npz", rollout).read_bytes()


def _phc(clip: Clip) -> dict[str, object]:
    quats = np.tile([0.0, 0, 0, 1.0], (FRAMES, 24, 1))
    return {"pose_quat_global": quats, "root_trans_offset": clip.root_pos, "fps": 30, "beta": np.zeros(10)}


def _amp(folder: Path, clip: Clip) -> Path:
    """poselib's SkeletonMotion, as Isaac Gym publishes it."""
    sides = [f"{side}_{body}" for side in ("right", "left") for body in ("upper_arm", "lower_arm", "hand")]
    sides += [f"{side}_{body}" for side in ("right", "left") for body in ("thigh", "shin", "foot")]
    names, parents = ["pelvis", "torso", "head", *sides], [-1, 0, 1, 1, 3, 4, 1, 6, 7, 0, 9, 10, 0, 12, 13]

    def tensor(values: object, dtype: str = "float32") -> OrderedDict:
        return OrderedDict(arr=np.array(values, dtype), context=OrderedDict(dtype=dtype))

    value = OrderedDict(
        rotation=tensor(np.tile([0.0, 0, 0, 1.0], (FRAMES, 15, 1))),
        root_translation=tensor(clip.root_pos),
        skeleton_tree=OrderedDict(
            node_names=names,
            parent_indices=tensor(parents, "int64"),
            local_translation=tensor(np.full((15, 3), 0.2)),
        ),
        is_local=True,
        fps=np.array(60),
        __name__="SkeletonMotion",
    )
    np.save(folder / "a.npy", np.array(value, dtype=object), allow_pickle=True)
    return folder / "a.npy"


def _deepmimic() -> str:
    one, joint = [1.0, 0.0, 0.0, 0.0], [0.2]
    row = [0.0333, 0.0, 0.9, 0.0, *one, *one, *one, *one, *joint, *one, *one, *joint, *one, *joint, *one, *one, *joint]
    return json.dumps({"Loop": "wrap", "Frames": [row] * FRAMES}, indent=1)


def _kimodo(clip: Clip) -> dict[str, object]:
    body = len(HUMANML3D_JOINTS)
    names = Skeleton(HUMANML3D_JOINTS, SMPL_PARENTS[:body], clip.skeleton.offsets[:body])
    turned = Clip(30.0, names, clip.root_pos, clip.rotations[:, :body])
    matrices = quat_to_matrix(turned.global_rotations)
    return {
        "posed_joints": turned.positions @ Y_UP_TO_Z_UP,
        "global_rot_mats": Y_UP_TO_Z_UP.T @ matrices @ Y_UP_TO_Z_UP,
        "root_positions": clip.root_pos @ Y_UP_TO_Z_UP,
    }


def _smpl_model() -> dict[str, object]:
    """What a SMPL model file holds, small."""
    rng = np.random.default_rng(0)
    return {
        "v_template": rng.normal(size=(20, 3)),
        "shapedirs": rng.normal(size=(20, 3, 10)),
        "J_regressor": rng.random((24, 20)),
        "kintree_table": np.array([[-1, *range(23)], range(24)]),
        "weights": rng.random((20, 24)),
        "f": np.arange(12).reshape(4, 3),
        "bs_style": "lbs",
    }
