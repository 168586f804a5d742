"""Projection of real clips by policy and refiner apart: `python benchmarks/projection.py PATH... --json out.json`.

Each path is a set (a folder or a file) of motion that morphloop reads. For every set and projector the table gives the
means over clips of success, success_strict, skill, E_mpjpe, foot slide and Phys-Err before (the untouched input, ground
as it is) and after, and wall seconds for a second of motion; the frozen pose's score stands beside them as a control.
`--seconds` takes the first so many seconds of every clip. Before figures are of the same stretch.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morphloop.envs import prepare
from morphloop.imitator import ProjectionConfig, load_policy, project_clips
from morphloop.metrics import frozen_pose, measure, track_errors
from morphloop.motion import Clip, find_motions, read_motion, to_default, write_json
from morphloop.sim import default_body

TRACKING = ("success", "success_strict", "skill", "e_mpjpe_mm")
PHYSICS = ("slide_mean_mm_s", "physdiff_phys_err_mm", "physdiff_skate_mm", "physdiff_penetrate_mm")


def mean(values: list[float | None]) -> float | None:
    """Mean of what is not None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def rows_of(clips: list[Clip], projector: str, policy_file: Path) -> list[dict[str, Any]]:
    """A row a clip."""
    policy = None if projector == "refiner" else load_policy(policy_file)
    rows = []
    for clip in clips:
        began = time.monotonic()
        projection = project_clips([clip], policy, ProjectionConfig(projector=projector))[0]  # type: ignore[arg-type]
        row: dict[str, Any] = {"name": clip.name, "seconds": clip.duration, "wall_s": time.monotonic() - began}
        if projection.clip is None:
            row |= {"reason": projection.reason, "success": 0.0}
        else:
            before, after = measure(clip).values, measure(projection.clip).values
            row |= {name: projection.tracking[name] for name in TRACKING}
            row |= {f"{name}_before": before[name] for name in PHYSICS}
            row |= {f"{name}_after": after[name] for name in PHYSICS}
            row["survived"] = projection.clip.duration / max(clip.duration, 1e-9)
            row["projector"] = projection.projector
        rows.append(row)
        print(f"  {projector} {row}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--projectors", nargs="+", default=["policy", "refiner"])
    parser.add_argument("--policy", type=Path, default=Path("assets/imitator/policy.safetensors"))
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--only", default="", help="comma-separated parts of file names; all files if empty")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    body, wanted = default_body(), [part for part in args.only.split(",") if part]
    result: dict[str, Any] = {}
    for path in args.paths:
        files = [f for f in find_motions([path]) if not wanted or any(part in f.name for part in wanted)]
        clips = [replace(to_default(read_motion(f)), name=f.stem) for f in files]
        if args.seconds is not None:
            clips = [clip.slice(0, round(args.seconds * clip.fps) + 1) for clip in clips]
        references = [prepare(clip, body) for clip in clips]
        frozen = [track_errors(frozen_pose(reference), reference) for reference in references]
        entry: dict[str, Any] = {"clips": len(clips), "frozen_success": mean([f["success"] for f in frozen])}
        for projector in args.projectors:
            rows = rows_of(clips, projector, args.policy)
            names = [k for k in rows[0] if k not in ("name", "projector", "reason")]
            means = {k: mean([row.get(k) for row in rows]) for k in names}
            means["wall_s_per_s"] = sum(r["wall_s"] for r in rows) / max(sum(r["seconds"] for r in rows), 1e-9)
            entry[projector] = {"means": means, "rows": rows}
            shown = " ".join(f"{k} {v:.3g}" for k, v in means.items() if v is not None)
            print(f"{path.name} {projector}: {len(rows)} clips, frozen success {entry['frozen_success']:.2f}; {shown}")
        result[path.name] = entry
    if args.json is not None:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
