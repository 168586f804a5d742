"""iLQR on sets of motion: `python benchmarks/ilqr.py corpus PATH... --seconds 3 --set joint_velocity=0.2`.

A row a clip and the means of each set: success, strict success, skill, E_mpjpe, slide and PhysDiff's Penetrate, Float
and Skate before (the untouched input) and after, the share of the clip that was reached, and wall and processor seconds
for a second of motion of one clip after another in this process; `--workers N` gives the throughput of all clips of a
set at once instead. `corpus` is the synthetic corpus' test split (walks, jumps forward, kicks). `--set` changes
`IlqrConfig`, `--free-feet` leaves sliding feet of what is tracked as they are.
"""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from morphloop.base import write_json
from morphloop.envs.config import ConditioningConfig
from morphloop.imitator import IlqrConfig, Projection, ProjectionConfig, project_clips
from morphloop.metrics import measure
from morphloop.motion import Clip, find_motions, make_corpus, read_motions, to_default
from morphloop.sim import default_body

ACTIONS = ("walk", "jump_forward", "kick")
TRACKING = ("success", "success_strict", "skill", "e_mpjpe_mm")
FEET = ("slide_mean_mm_s", "physdiff_penetrate_mm", "physdiff_float_mm", "physdiff_skate_mm")
Row = dict[str, float | None]


def clips_of(path: str, wanted: list[str]) -> list[Clip]:
    """Clips of the corpus, or of the files under a path whose names hold one of the wanted parts."""
    if path == "corpus":
        return [c for c in make_corpus(64, 3, "test") if c.provenance.notes["action"] in ACTIONS]
    files = [f for f in find_motions([Path(path)]) if not wanted or any(part in f.name for part in wanted)]
    return [replace(to_default(read()), name=Path(key).stem) for f in files for key, read in read_motions(f)]


def row_of(projection: Projection) -> Row:
    """Figures of one clip."""
    clip, reference = projection.clip, projection.reference
    if clip is None or reference is None:
        return {"success": 0.0, "success_strict": 0.0, "reached": 0.0}
    before, after = (measure(c, default_body(), wrench=False).values for c in (projection.source, clip))
    return {
        **{name: projection.tracking[name] for name in TRACKING},
        **{f"{name}_before": before[name] for name in FEET},
        **{name: after[name] for name in FEET},
        "reached": clip.num_frames / reference.num_frames,
    }


def rows_of(clips: Sequence[Clip], config: ProjectionConfig, workers: int) -> tuple[list[Row], Row]:
    """A row a clip, and their means."""
    rows: list[Row] = []
    total = sum(clip.duration for clip in clips)
    began, processor = time.monotonic(), time.process_time()
    for group in [clips] if workers else [[clip] for clip in clips]:
        for projection in project_clips(group, config=config, workers=workers):
            rows.append(row_of(projection) | {"wall_s_per_s": projection.wall_s / projection.source.duration})
            print(projection.source.name[-40:], _shown(rows[-1]), flush=True)
    wall, processor = time.monotonic() - began, time.process_time() - processor
    table = {name: [v for row in rows if (v := row.get(name)) is not None] for row in rows for name in row}
    means: Row = {name: float(np.mean(values)) if values else None for name, values in table.items()}
    return rows, means | {"wall_s_per_s": wall / total, "processor_s_per_s": None if workers else processor / total}


def _shown(row: Row) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in row.items() if value is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", help="'corpus', folders or files")
    parser.add_argument("--seconds", type=float, default=3.0, help="how much of every clip")
    parser.add_argument("--count", type=int, default=4, help="clips of a set, evenly spread")
    parser.add_argument("--only", default="", help="comma-separated parts of file names")
    parser.add_argument("--free-feet", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of IlqrConfig")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = ProjectionConfig(
        projector="optimiser",
        ilqr=IlqrConfig(**{name: ast.literal_eval(value) for name, value in (pair.split("=") for pair in args.set)}),
        conditioning=ConditioningConfig(smooth=False, hold_feet=not args.free_feet, balance=False),
    )
    result = {}
    for path in args.paths:
        clips = clips_of(path, [part for part in args.only.split(",") if part])
        clips = clips[:: max(1, len(clips) // args.count)][: args.count]
        rows, means = rows_of([clip.slice(0, round(args.seconds * clip.fps)) for clip in clips], config, args.workers)
        print(path, len(rows), "clips:", _shown(means), flush=True)
        result[path] = {"means": means, "rows": dict(zip([clip.name for clip in clips], rows, strict=True))}
    if args.json is not None:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
