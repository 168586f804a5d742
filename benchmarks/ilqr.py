"""The iLQR refiner on sets of motion: `python benchmarks/ilqr.py corpus PATH... --seconds 3 --set slip=0.003`.

A row a clip and the means of each set: success, strict success, skill, E_mpjpe, slide before and after, PhysDiff's
Penetrate, Float and Skate after, the share of the clip that was reached, and wall and processor seconds for a second of
motion. `corpus` is the synthetic corpus' test split (walks, jumps forward, kicks). `--set` changes `IlqrConfig`.
"""

from __future__ import annotations

import argparse
import ast
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from morphloop.envs import build_library, prepare
from morphloop.imitator.ilqr import IlqrConfig, IlqrRefiner
from morphloop.metrics import measure, track_errors
from morphloop.motion import Clip, find_motions, make_corpus, read_motion, to_default, write_json
from morphloop.sim import Body, default_body

ACTIONS = ("walk", "jump_forward", "kick")
AFTER = ("slide_mean_mm_s", "physdiff_penetrate_mm", "physdiff_float_mm", "physdiff_skate_mm")


def clips_of(path: str, wanted: list[str]) -> list[Clip]:
    """Clips of the corpus, or of the files under a path whose names hold one of the wanted parts."""
    if path == "corpus":
        return [c for c in make_corpus(64, 3, "test") if c.provenance.notes["action"] in ACTIONS]
    files = [f for f in find_motions([Path(path)]) if not wanted or any(part in f.name for part in wanted)]
    return [replace(to_default(read_motion(f)), name=f.stem) for f in files]


def row_of(clip: Clip, config: IlqrConfig, body: Body) -> dict[str, float | None]:
    """Figures of one clip."""
    reference = prepare(clip, body)
    wall, processor = time.monotonic(), time.process_time()
    track = IlqrRefiner(body, build_library([reference], body), config).track(0)
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    after = body.clip_from_qpos(np.array(track.recorder.qpos), reference.fps)
    errors, measured = track_errors(after, reference, track.completed), measure(after, body, wrench=False).values
    return {
        **{name: errors[name] for name in ("success", "success_strict", "skill", "e_mpjpe_mm")},
        "slide_before": measure(clip, body, wrench=False).values["slide_mean_mm_s"],
        **{name: measured[name] for name in AFTER},
        "reached": after.num_frames / reference.num_frames,
        "wall_s_per_s": wall / after.duration,
        "cpu_s_per_s": processor / after.duration,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", help="'corpus', folders or files")
    parser.add_argument("--seconds", type=float, default=3.0, help="how much of every clip")
    parser.add_argument("--count", type=int, default=4, help="clips of a set, evenly spread")
    parser.add_argument("--only", default="", help="comma-separated parts of file names")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of IlqrConfig")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = IlqrConfig(**{name: ast.literal_eval(value) for name, value in (pair.split("=") for pair in args.set)})
    body, result = default_body(), {}
    for path in args.paths:
        clips = clips_of(path, [part for part in args.only.split(",") if part])
        clips = clips[:: max(1, len(clips) // args.count)][: args.count]
        rows = {}
        for clip in clips:
            rows[clip.name] = row_of(clip.slice(0, round(args.seconds * clip.fps)), config, body)
            print(clip.name[-40:], *(f"{k} {v:.3g}" for k, v in rows[clip.name].items() if v is not None), flush=True)
        table = {name: [row[name] for row in rows.values() if row[name] is not None] for name in rows[clips[0].name]}
        means = {name: float(np.mean(values)) if values else None for name, values in table.items()}
        print(path, len(rows), "clips:", *(f"{k} {v:.3g}" for k, v in means.items() if v is not None), flush=True)
        result[path] = {"means": means, "rows": rows}
    if args.json is not None:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
