"""What physics makes of robots' and of people's clips on the G1: `python benchmarks/robots/run.py --out work`.

Three sets, each clip's first `--seconds`: what others retargeted to a G1 of 23 hinges (ASAP, GMT), mocap of people
(Bandai Namco, a clip an action, retargeted here) and joint positions of MDM and T2M-GPT (retargeted here). Each goes
through `morphloop project --body`; what is finished is not done again. The clips on which options were decided are in
no set: `DECIDED`. `--data` as in `benchmarks/imitator/run.py`; `--unpacked` what `unpack_data.py` made of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError, write_json
from morphloop.cli import main as morphloop
from morphloop.motion import read_motion, save_clip, to_default
from morphloop.sim import load_body, robot_of

sys.path.insert(0, str(Path(__file__).parents[1] / "imitator"))
from clip_sets import data_folder  # of the script beside

DECIDED = {
    "basic_walk",
    "kick_walk",
    "video_APT_level1_amass",
    "dataset-1_bow_normal_001",
    "dataset-1_walk_normal_001",
    "dataset-1_walk-back_normal_001",
    "dataset-1_kick_normal_001",
}
"""Deciding clips: horizon, effort and balance of robots' references were chosen on them."""
NO_MOCAP = {
    "dataset-1_bow",
    "dataset-1_kick",
    "dataset-1_walk",
    "dataset-1_walk-back",
    "dataset-1_respond",
    "dataset-2_walk",
}
"""Actions of deciding clips, and two more, so that twenty are left."""
GENERATED = 10
FIGURES = ("penetration_mean_mm", "float_mean_mm", "slide_mean_mm_s", "self_penetration_max_mm")
AFTER = (
    "slide_loaded_mm_s",
    "restep_per_s",
    "torque_limit_ratio",
    "torque_peak_ratio",
    "speed_peak_ratio",
    "impact_peak_bw",
)


def own(data: Path) -> list[Path]:
    """What others retargeted."""
    found = [path for name in ("asap_g1_23dof", "gmt_g1_23dof") for path in sorted((data / name).glob("*.npz"))]
    return [path for path in found if path.stem not in DECIDED]


def mocap(unpacked: Path) -> list[Path]:
    """A clip an action, the middle one by name."""
    by_action: dict[str, list[Path]] = {}
    for path in sorted((unpacked / "bandai_namco").glob("*.bvh")):
        by_action.setdefault(path.stem.rsplit("_", 2)[0], []).append(path)
    return [paths[len(paths) // 2] for action, paths in sorted(by_action.items()) if action not in NO_MOCAP]


def generated(data: Path) -> list[Path]:
    """Every other clip of two generators."""
    return sorted((data / "generated" / "joints22").glob("*.npz"))[::2][:GENERATED]


def cut(paths: Iterable[Path], spec: str, seconds: float, place: Path) -> list[str]:
    """The first seconds of every clip as files of ours; reasons of those that cannot be read."""
    robot, failed = robot_of(load_body(spec)), []
    for path in paths:
        target = place / f"{path.stem}.npz"
        if target.exists():
            continue
        try:
            motion = read_motion(path, None, robot)
            clip = (
                motion
                if robot is not None and getattr(motion, "skeleton", None) == robot.skeleton
                else to_default(motion)
            )
        except MotionError as error:
            failed.append(str(error))
            continue
        save_clip(target, clip.slice(0, min(clip.num_frames, round(seconds * clip.fps) + 1)))
    return failed


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares over all clips, means before and after."""
    whole = [row for row in rows if "rescued_of" not in row]

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    slides = [(row["before"].get(FIGURES[2]), row["after"].get(FIGURES[2])) for row in whole]
    both = [(before, after) for before, after in slides if before is not None and after is not None]
    return {
        "clips": len(whole),
        "accepted": mean(float(row["verdict"] == "accepted") for row in whole),
        "success": mean(row["tracking"].get("success") for row in whole),
        "skill": mean(row["tracking"].get("skill") for row in whole),
        "slides no more than before": mean(float(after <= before) for before, after in both),
        **{f"{name} before": mean(row["before"].get(name) for row in whole) for name in FIGURES},
        **{f"{name} after": mean(row["after"].get(name) for row in whole) for name in FIGURES},
        **{name: mean(row["after"].get(name) for row in whole) for name in AFTER},
        "wall s a s": mean(row["wall_s"] / row["seconds"] for row in whole if row.get("wall_s") and row["seconds"]),
        "rejected": {row["name"]: f"{row['reason']}: {row['detail']}" for row in whole if row["verdict"] != "accepted"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--unpacked", type=Path, help="what unpack_data.py wrote; without it the mocap is left out")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sets", default="own,mocap,generated")
    args = parser.parse_args()
    data = data_folder(args.data)
    if data is None:
        raise SystemExit("no data folder: give --data")
    sets = {"own": ("g1_23dof", own(data)), "generated": ("g1", generated(data))}
    if args.unpacked is not None:
        sets["mocap"] = ("g1", mocap(args.unpacked))
    told = {}
    for name in (name for name in args.sets.split(",") if name in sets):
        body, paths = sets[name]
        clips, place = args.out / name / "clips", args.out / name / "projected"
        failed = cut(paths, body, args.seconds, clips)
        figures = args.out / f"{name}.json"
        words = ["project", str(clips), "--body", body, "--out", str(place), "--json", str(figures)]
        morphloop([*words, "--workers", str(args.workers)])
        rows = json.loads(figures.read_text())["clips"]
        lengths = {path.stem: read_motion(path).duration for path in clips.glob("*.npz")}
        rows = [row | {"seconds": lengths.get(row["name"])} for row in rows]
        told[name] = {"body": body, "unreadable": failed, **summed(rows)}
        print(name, json.dumps(told[name], indent=1), flush=True)
        write_json(args.out / "robots.json", told)


if __name__ == "__main__":
    main()
