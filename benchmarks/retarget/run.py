"""People's clips on the G1 by three ways: `python benchmarks/retarget/run.py --unpacked DIR --out work`.

`morphloop.sim.retarget`; the naive copy of joint angles, joint by joint and clipped to the hinges' ranges; and
OmniRetarget (holosoma-retargeting 0.1.0 from PyPI, arXiv 2509.26633), in an environment of its own that is made under
`--out` (`--omniretarget no` leaves it out; 1.2 GB). The clips are twenty of Bandai Namco, an action each, and ten of
MDM and T2M-GPT, the first `--seconds` of each; OmniRetarget gets every third one unless told otherwise, and the means
are over those that all ways made, beside those over all. All are measured on our G1, at the clips' own frame rates.
`--data` as in `benchmarks/imitator/run.py`; `--unpacked` what `unpack_data.py` made of it. OmniRetarget's finished
clips stay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base import write_json
from morphloop.metrics import measure
from morphloop.motion import DEFAULT_SKELETON, Clip, read_motion, to_default
from morphloop.motion.rotations import quat_conj, quat_from_rotvec, quat_mul, quat_rotate, quat_to_rotvec
from morphloop.sim import RobotBody, default_body, load_body, retarget, retarget_figures
from morphloop.sim.retargeting.rest import rest_pose
from morphloop.sim.retargeting.targets import make_targets

sys.path.insert(0, str(Path(__file__).parents[1] / "imitator"))
from clip_sets import data_folder  # of the script beside

MOCAP = (
    "1_bow_masculinity_001", "1_bye_old_001", "1_call_normal_002", "1_dance-short_normal_001",
    "1_dash_masculinity_001", "1_guide_childish_001", "1_kick_normal_001", "1_punch_normal_002",
    "1_respond_normal_001", "1_slash_normal_002", "1_walk-back_masculinity_001", "1_walk-left_childish_001",
    "1_walk-right_old_001", "2_raise-up-both-hands_feminine_019", "2_raise-up-left-hand_feminine_048",
    "2_run_masculine_002", "2_walk_exhausted_006", "2_walk-turn-left_normal_002",
    "2_walk-turn-right_exhausted_032", "2_wave-left-hand_masculine_001",
)  # fmt: skip
GENERATED = (
    "mdm_hlcdyy_00", "mdm_hlcdyy_03", "mdm_hlcdyy_06", "mdm_hlcdyy_09", "mdm_hlcdyy_12",
    "t2mgpt_a_person_celebrating_joyfully", "t2mgpt_a_person_is_playing_golf",
    "t2mgpt_a_person_raising_their_hands_forward", "t2mgpt_a_person_stepping_to_the_side",
    "t2mgpt_apersonwalkingtotheside",
)  # fmt: skip
METRICS = ("slide_mean_mm_s", "penetration_max_mm", "float_mean_mm", "self_penetration_max_mm")
OMNIRETARGET = ("numpy==2.3.5", "tqdm", "scipy", "trimesh", "jinja2", "mujoco==3.4.0", "viser", "yourdfpy", "cvxpy",
                "libigl", "tyro", "matplotlib")  # fmt: skip
"""What it imports, less torch and smplx: see `omniretarget.py`. MuJoCo is of its time: with 3.17 it takes no hinge for
one (`jnt_type in (mjJNT_HINGE, ...)` is false there) and moves the root alone."""
AS_IT_STANDS = 1e-3
"""mm/s; slides that differ by less are alike."""

Method = Callable[[Clip, RobotBody], Clip]


def clips(data: Path, unpacked: Path | None, seconds: float) -> dict[str, Clip]:
    """The clips on the default skeleton, by name."""
    paths = [data / "generated" / "joints22" / f"{name}.npz" for name in GENERATED]
    if unpacked is not None:
        paths = [unpacked / "bandai_namco" / f"dataset-{name}.bvh" for name in MOCAP] + paths
    found = {}
    for path in paths:
        clip = to_default(read_motion(path))
        found[path.stem] = clip.slice(0, min(clip.num_frames, round(seconds * clip.fps)))
    return found


def copied(clip: Clip, body: RobotBody) -> Clip:
    """The naive copy: each hinge gets the angle of the person's joint about its axis, the path is scaled by the legs,
    and the whole clip is put on the ground by its lowest point."""
    hinges, angles = body.robot.hinges, np.zeros((clip.num_frames, len(body.robot.hinges)))

    def turn(joint: str, on: str) -> np.ndarray:
        world = clip.global_rotations
        return quat_mul(quat_conj(world[:, DEFAULT_SKELETON.index(on)]), world[:, DEFAULT_SKELETON.index(joint)])

    def put(name: str, values: np.ndarray) -> None:
        angles[:, body.robot.hinge_names.index(f"{name}_joint")] = values

    def euler(rotations: np.ndarray, order: str, *names: str) -> None:
        for name, values in zip(names, Rotation.from_quat(rotations, scalar_first=True).as_euler(order).T, strict=True):
            put(name, np.unwrap(values))

    euler(turn("spine3", "pelvis"), "ZXY", "waist_yaw", "waist_roll", "waist_pitch")
    for side, sign in (("left", 1.0), ("right", -1.0)):
        euler(turn(f"{side}_hip", "pelvis"), "YXZ", f"{side}_hip_pitch", f"{side}_hip_roll", f"{side}_hip_yaw")
        put(f"{side}_knee", quat_to_rotvec(turn(f"{side}_knee", f"{side}_hip"))[:, 1])
        ankle = quat_to_rotvec(turn(f"{side}_ankle", f"{side}_knee"))
        put(f"{side}_ankle_pitch", ankle[:, 1])
        put(f"{side}_ankle_roll", ankle[:, 0])
        hanging = quat_from_rotvec(np.array([0.5 * np.pi * sign, 0.0, 0.0]))  # the robot's arms hang at zero
        arm = turn(f"{side}_shoulder", "spine3")
        parts = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw")
        euler(quat_mul(arm, np.broadcast_to(hanging, arm.shape)), "YXZ", *(f"{side}_{part}" for part in parts))
        bend = np.linalg.norm(quat_to_rotvec(turn(f"{side}_elbow", f"{side}_shoulder")), axis=1)
        put(f"{side}_elbow", 0.5 * np.pi - bend)  # and its forearms are bent by a right angle
    angles = np.clip(angles, [h.low for h in hinges], [h.high for h in hinges])
    scale = make_targets(clip, body).scale
    root = clip.root_pos[:1] * [1.0, 1.0, 0.0]
    root = root + scale * (clip.root_pos - root)
    rotations = body.robot.rotations(clip.rotations[:, 0], angles)
    return grounded(Clip(clip.fps, body.skeleton, root, rotations, name=clip.name), body)


def grounded(clip: Clip, body: RobotBody) -> Clip:
    """A clip moved up or down as a whole so that its lowest point is on the ground."""
    surface = body.surface
    arms = np.broadcast_to(surface.local, (clip.num_frames, *surface.local.shape))
    lifted = quat_rotate(clip.global_rotations[:, surface.joint], arms)[..., 2]
    lowest = float((clip.positions[:, surface.joint, 2] + lifted - surface.radius).min())
    return clip.moved(np.array([0.0, 0.0, -lowest]))


def made(method: Method, named: dict[str, Clip], body: RobotBody) -> dict[str, tuple[Clip, float]]:
    """What a method makes of the clips, with processor seconds."""
    found = {}
    for name, clip in named.items():
        started = time.process_time()
        found[name] = (method(clip, body), time.process_time() - started)
    return found


def omniretargeted(named: dict[str, Clip], body: RobotBody, out: Path) -> dict[str, tuple[Clip, float]]:
    """What OmniRetarget makes of them."""
    joints, results, venv = out / "joints", out / "omniretarget", out / "venv"
    joints.mkdir(parents=True, exist_ok=True)
    results.mkdir(exist_ok=True)
    surface, rest = default_body().surface, DEFAULT_SKELETON.rest_positions
    over = rest[surface.joint, 2] + surface.local[:, 2]
    height = float((over + surface.radius).max() - (over - surface.radius).min())
    for name, clip in named.items():
        np.savez(joints / f"{name}.npz", global_joint_positions=clip.positions[:, :22], height=height)
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *OMNIRETARGET], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--no-deps", "holosoma-retargeting==0.1.0"]
        subprocess.run(install, check=True)
    script = Path(__file__).with_name("omniretarget.py")
    with open(out / "omniretarget.log", "a") as log:
        one_thread = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        command = [str(python), str(script), str(joints), str(results)]
        subprocess.run(command, check=True, stdout=log, stderr=log, env=one_thread)
    times = json.loads((results / "times.json").read_text())
    order = [f"{name}" for name in json.loads((results / "hinges.json").read_text())]
    columns = [7 + order.index(name) for name in body.robot.hinge_names]
    found = {}
    for name, clip in named.items():
        if times.get(name) is None:
            continue
        with np.load(results / f"{name}.npz") as file:
            qpos = file["qpos"]
        if len(qpos) != clip.num_frames or not np.ptp(qpos[:, 7:], axis=0).any():
            raise SystemExit(f"{name}: OmniRetarget gave {len(qpos)} frames, or moved no hinge")
        rotations = body.robot.rotations(qpos[:, 3:7], qpos[:, columns])
        found[name] = (Clip(clip.fps, body.skeleton, qpos[:, :3], rotations, name=name), times[name])
    return found


def row(clip: Clip, result: Clip, seconds: float, body: RobotBody) -> dict[str, Any]:
    """The figures of a clip."""
    before, after = measure(clip, wrench=False).values, measure(result, body, wrench=False).values
    values = {f"{name} before": before[name] for name in METRICS} | {name: after[name] for name in METRICS}
    return values | asdict(retarget_figures(clip, result, body)) | {"frames_per_s": clip.num_frames / seconds}


def summed(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over clips, the worst peak, and on how many feet slide no more than the person's."""
    names = next(iter(rows.values())).keys()
    total = {
        name: float(np.mean([r[name] for r in rows.values() if r[name] is not None])) for name in names
    }  # fmt: skip
    slides = [(r["slide_mean_mm_s before"] or 0.0, r["slide_mean_mm_s"] or 0.0) for r in rows.values()]
    total["slides no more"] = sum(after <= before + AS_IT_STANDS for before, after in slides)
    total["over speed"] = sum(r["speed_peak_ratio"] > 1.0 for r in rows.values())
    total["speed_peak_ratio worst"] = max(r["speed_peak_ratio"] for r in rows.values())
    total["clips"] = len(rows)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--unpacked", type=Path, help="what unpack_data.py wrote; without it the mocap is left out")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--omniretarget", choices=("yes", "no"), default="yes")
    parser.add_argument("--every", type=int, default=3, help="OmniRetarget gets one clip of so many, at 40 s each")
    args = parser.parse_args()
    data = data_folder(args.data)
    if data is None:
        raise SystemExit("no data folder: give --data")
    body = load_body("g1")
    assert isinstance(body, RobotBody)
    rest_pose(body)
    named = clips(data, args.unpacked, args.seconds)
    ways = {"morphloop": made(retarget, named, body), "joint-angle copy": made(copied, named, body)}
    if args.omniretarget == "yes":
        some = dict(list(named.items())[:: args.every])
        ways["OmniRetarget"] = omniretargeted(some, body, args.out.resolve())
    told, by_all = {}, set.intersection(*(set(results) for results in ways.values()))
    for way, results in ways.items():
        rows = {name: row(named[name], clip, seconds, body) for name, (clip, seconds) in results.items()}
        same = {name: values for name, values in rows.items() if name in by_all}
        told[way] = {"summary": summed(rows), "the same clips": summed(same), "clips": rows}
        print(way, json.dumps(told[way]["the same clips"], indent=1))
    write_json(args.out / "retarget.json", told)


if __name__ == "__main__":
    main()
