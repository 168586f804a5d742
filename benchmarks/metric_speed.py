"""Frames a second of the metrics, against baselines in the same run, and a folder from file to figures.

    python benchmarks/metric_speed.py [--robot FILE.xml] [--folder FOLDER [--profile N]] [--seconds S] [--json FILE]

Rates are frames of motion over processor seconds of one core, times two: what two cores do that have nothing else to
do. Ratios compare with baselines that take turns with what is measured: the same clips through the plain loop that one
would write first (`mj_forward` frame by frame, no metric computed), and through forward kinematics alone. A robot of
meshes, the G1 with an ellipsoid of 300 vertices on every link or the one of `--robot`, is measured beside a low-pass of
each of its surface points, which took most of its time once. `--folder` runs `morphloop evaluate` on a folder with a
worker a core and takes its time and memory; `--profile` says where the time of N of its files goes.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from morphloop.base import write_json
from morphloop.metrics import measure
from morphloop.metrics.clip_context import context
from morphloop.metrics.report import EvaluateConfig, evaluate
from morphloop.metrics.signals import on_grid
from morphloop.metrics.wrench import residual_wrench
from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack, find_motions, forward_kinematics, make_corpus
from morphloop.motion.rotations import quat_from_rotvec, quat_mul, quat_to_matrix
from morphloop.sim import Body, RobotBody, default_body, load_body
from morphloop.sim.bodies.support import sphere_directions

CLIPS = 24
CORES = 2
ROBOT_SECONDS, ROBOT_HZ = 60.0, 50.0
"""Length and rate of the robot's motion."""
VERTICES, MIN_RADIUS = 300, 0.02
"""Of the mesh of each of its links, metres."""
PROFILED = 40
"""Functions that a profile names."""
AIMS = {"joints variant": 40_000, "surface variant, without the wrench": 6_000, "residual wrench alone": 500}
"""Frames a second on two cores that are asked for."""


def fresh(clip: Clip) -> Clip:
    """The clip without what it keeps from being asked before."""
    return replace(clip)


def as_joints(clip: Clip) -> JointTrack:
    """What a generator of HumanML3D's joints would emit."""
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, : len(HUMANML3D_JOINTS)])


def forward_loop(clip: Clip) -> float:
    """The plain loop: place the body frame by frame, let MuJoCo compute everything, take the lowest geom's centre."""
    body = default_body()
    data, lowest = mujoco.MjData(body.model), np.inf
    for qpos in body.qpos_from_clip(clip):
        data.qpos[:] = qpos
        mujoco.mj_forward(body.model, data)
        lowest = min(lowest, float(data.geom_xpos[1:, 2].min()))
    return lowest


@dataclass(frozen=True)
class Task:
    """Something to time. prepare: what it is given, made from a clip outside the clock."""

    name: str
    prepare: Callable[[Clip], Any]
    work: Callable[[Any], Any]


TASKS = (
    Task("joints variant", as_joints, lambda track: measure(track, wrench=False)),
    Task("surface variant, without the wrench", fresh, lambda clip: measure(clip, wrench=False)),
    Task("surface variant, all", fresh, measure),
    Task("residual wrench alone", lambda clip: context(fresh(clip)), residual_wrench),
    Task("baseline: mj_forward frame by frame", fresh, forward_loop),
    Task(
        "baseline: forward kinematics alone",
        fresh,
        lambda clip: forward_kinematics(clip.skeleton, clip.root_pos, clip.rotations),
    ),
)


def rates(seconds: float) -> dict[str, float]:
    """Frames a second on two cores of each task, every task given about `seconds` of processor time in turns."""
    clips = make_corpus(CLIPS, seed=0)
    spent: dict[str, float] = defaultdict(float)
    frames: dict[str, int] = defaultdict(int)
    for task in TASKS:
        task.work(task.prepare(clips[0]))  # what is made once a process is not counted
    while min(spent[task.name] for task in TASKS) < seconds:
        for task in TASKS:
            if spent[task.name] >= seconds:
                continue
            for clip in clips:
                given = task.prepare(clip)
                began = time.process_time()
                task.work(given)
                spent[task.name] += time.process_time() - began
                frames[task.name] += clip.num_frames
    return {task.name: CORES * frames[task.name] / spent[task.name] for task in TASKS}


def meshed_g1() -> RobotBody:
    """The G1 with an ellipsoid mesh about the centre of every link, as large as its inertia says."""
    text = (files("morphloop.assets") / "bodies" / "g1.xml").read_text(encoding="utf-8")
    spec, plain = mujoco.MjSpec.from_string(text), mujoco.MjSpec.from_string(text).compile()
    for body in spec.bodies[1:]:
        for geom in body.geoms:
            spec.delete(geom)
        link = plain.body(body.name).id
        moments, mass = plain.body_inertia[link], plain.body_mass[link]
        radii = np.sqrt(np.maximum(2.5 * (moments.sum() - 2.0 * moments) / mass, MIN_RADIUS**2))
        mesh = spec.add_mesh(name=f"{body.name}_mesh", uservert=(radii * sphere_directions(VERTICES)).ravel())
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=mesh.name,
            pos=plain.body_ipos[link],
            quat=plain.body_iquat[link],
        )
    return RobotBody.of_model(spec.compile(), "g1_meshes", "g1.xml")


def swinging(body: Body, seconds: float, fps: float, wide: float = 0.3) -> Clip:
    """A body whose joints swing by `wide` radians, each at a rate of its own, while it drifts forward."""
    rng, times = np.random.default_rng(0), np.arange(round(seconds * fps)) / fps
    joints = body.skeleton.num_joints
    clip = body.clip_from_qpos(np.tile(body.model.qpos0, (len(times), 1)), fps, "swinging")
    root = clip.root_pos + np.stack([0.3 * times, 0 * times, 0.01 * np.sin(4.0 * times)], axis=1)
    axes = np.zeros((joints, 3))
    for hinge in body.hinges:
        axes[hinge.joint] = hinge.axis
    if not body.hinges:
        axes[1:, 0] = 1.0
    angle = wide * np.sin(rng.uniform(2.0, 9.0, joints) * times[:, None] + rng.uniform(0.0, 6.0, joints))
    return replace(clip, root_pos=root, rotations=quat_mul(clip.rotations, quat_from_rotvec(angle[..., None] * axes)))


def robot_rates(robot: Path | None, seconds: float) -> dict[str, Any]:
    """Frames a processor second of a robot of meshes: every metric, and the baseline."""
    body = meshed_g1() if robot is None else load_body(robot)
    clip = swinging(body, ROBOT_SECONDS, ROBOT_HZ)
    tasks = {
        "every metric": lambda: measure(fresh(clip), body),
        "baseline: low-pass of every surface point": lambda: on_grid(surface_track(fresh(clip), body), clip.fps),
    }
    measure(clip.slice(0, 20), body)  # what is made once a process is not counted
    spent, rounds = dict.fromkeys(tasks, 0.0), 0
    while min(spent.values()) < seconds:
        for name, task in tasks.items():
            began = time.process_time()
            task()
            spent[name] += time.process_time() - began
        rounds += 1
    rates = {name: rounds * clip.num_frames / took for name, took in spent.items()}
    return {"body": body.name, "surface points": len(body.surface.joint), "frames a processor second": rates}


def surface_track(clip: Clip, body: Body) -> np.ndarray:
    """(T, P, 3) every surface point in the world, metres."""
    turned, joint = quat_to_matrix(clip.global_rotations), body.surface.joint
    return clip.positions[:, joint] + np.einsum("tpij,pj->tpi", turned[:, joint], body.surface.local)


def end_to_end(folder: Path) -> dict[str, float]:
    """`morphloop evaluate FOLDER` with a worker a core: wall seconds, and of it and its workers together the processor
    seconds and the largest memory, looked at twice a second."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            str(Path(sys.executable).with_name("morphloop")),
            "evaluate",
            str(folder),
            "--json",
            f"{out}/it.json",
        ]
        began = time.perf_counter()
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        processor: dict[int, float] = {}
        memory = 0.0
        while running.poll() is None:
            found = _family(running.pid)
            processor |= {pid: seconds for pid, (seconds, _) in found.items()}
            memory = max(memory, sum(size for _, size in found.values()))
            time.sleep(0.5)
        wall = time.perf_counter() - began
    files, spent = len(list(find_motions(folder))), sum(processor.values())
    return {
        "exit code": running.returncode,
        "files": files,
        "wall s": wall,
        "processor s": spent,
        "files a processor second": files / spent,
        "memory of all processes MiB": memory / 2**20,
        "load": os.getloadavg()[0],
    }


def _family(root: int) -> dict[int, tuple[float, float]]:
    """(Processor seconds, resident bytes) of a process and of all below it, by process id. Linux."""
    parents, found = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
        found[pid] = (ticks / os.sysconf("SC_CLK_TCK"), float(pages * os.sysconf("SC_PAGE_SIZE")))
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: found[pid] for pid in family if pid in found}


def profile(folder: Path, files: int) -> list[tuple[str, float, float]]:
    """(function, share with what it calls, share of its own) of those that take most of the time over some files."""
    found = list(find_motions(folder))
    chosen = found[:: max(1, len(found) // files)][:files]
    watched = cProfile.Profile()
    watched.runcall(evaluate, chosen, EvaluateConfig(workers=0))
    stats = pstats.Stats(watched)
    total = stats.total_tt  # type: ignore[attr-defined]  # the stubs leave it out
    rows = [
        (f"{_short(file)}:{name}", below / total, own / total)
        for (file, _, name), (_, _, own, below, _) in stats.stats.items()  # type: ignore[attr-defined]
    ]
    return sorted(rows, key=lambda row: -row[1])[:PROFILED]


def _short(file: str) -> str:
    root = str(Path(__file__).resolve().parent.parent)
    return file.removeprefix(root + "/") if file.startswith(root + "/") and ".venv" not in file else Path(file).name


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robot", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--profile", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    result: dict[str, Any] = {"load": os.getloadavg()[0], "frames a second on two cores": rates(args.seconds)}
    found = result["frames a second on two cores"]
    loop, kinematics = (found[task.name] for task in TASKS[-2:])
    print(f"load {result['load']:.1f}; frames a second on two cores, by processor time")
    for name, rate in found.items():
        aim = f"aim {AIMS[name]}" if name in AIMS else ""
        print(f"  {name:40s} {rate:9.0f}   {rate / loop:6.2f} x mj_forward   {rate / kinematics:5.2f} x FK   {aim}")
    result["robot"] = robot_rates(args.robot, args.seconds)
    ours, baseline = result["robot"]["frames a processor second"].values()
    print(f"{result['robot']['body']}, {result['robot']['surface points']} surface points; frames a processor second")
    print(f"  every metric {ours:.0f}, low-pass of every surface point alone {baseline:.0f}: {ours / baseline:.2f} x")
    if args.folder:
        result["folder"] = end_to_end(args.folder)
        print("  ".join(f"{name} {value:.1f}" for name, value in result["folder"].items()))
        if args.profile:
            result["profile"] = profile(args.folder, args.profile)
            for name, below, own in result["profile"]:
                print(f"  {100 * below:5.1f} %  own {100 * own:5.1f} %  {name}")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
