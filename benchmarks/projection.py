"""Real clips projected by policy and by iLQR apart: `python benchmarks/projection.py PATH... --json out.json`.

Each path is a set (a folder or a file) of motion that morphloop reads. For every set and projector the table gives the
means over clips of success, success_strict, skill, E_mpjpe over all clips and over successes, foot slide and PhysDiff's
figures before (the untouched input, ground as it is) and after, and wall and processor seconds for a second of motion,
of one clip after another or of all clips together (`--together`, the throughput). The frozen pose's score stands beside
them as a control. `--seconds` takes so many seconds of every clip from `--start` on; before figures are of the same
segment. `--fixed` takes the ten clips on which the optimiser's mechanisms were chosen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morphloop.base import write_json
from morphloop.envs import prepare
from morphloop.envs.config import ConditioningConfig
from morphloop.imitator import Policy, Projection, ProjectionConfig, load_policy, project_clips
from morphloop.metrics import frozen_pose, measure, track_errors
from morphloop.motion import Clip, find_motions, make_corpus, read_motion, to_default
from morphloop.sim import default_body

TRACKING = ("success", "success_strict", "skill", "e_mpjpe_mm", "e_g_mpjpe_mm")
PHYSICS = ("slide_mean_mm_s", "physdiff_phys_err_mm", "physdiff_skate_mm", "physdiff_float_mm", "physdiff_penetrate_mm")
FIXED = (
    "asap_video_smpl/video_walk_level1_filter_amass.npz",
    "asap_video_smpl/video_kick_level1_filter_amass.npz",
    "asap_video_smpl/video_squat_level2_filter_amass.npz",
    "asap_video_smpl/video_single_foot_balance_level2_filter_amass.npz",
    "generated/joints22/mdm_hlcdyy_03.npz",
    "generated/joints22/mdm_ciroanni_a0.npz",
    "generated/joints22/t2mgpt_apersonwalkingtotheside.npz",
    "generated/joints22/t2mgpt_a_person_celebrating_joyfully.npz",
)
"""Below the data folder; three seconds from the half second on, and two walks of the corpus's test split."""


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of what is not None."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def fixed_set(data: Path) -> list[Clip]:
    """The clips on which the optimiser's mechanisms are chosen."""
    clips = []
    for name in FIXED:
        clip = replace(to_default(read_motion(data / name)), name=Path(name).stem)
        clips.append(crop(clip, 0.5, 3.0))
    walks = [c for c in make_corpus(40, seed=11, split="test") if c.provenance.notes["action"] == "walk"][:2]
    return clips + [replace(crop(clip, 0.0, 3.0), name=f"corpus_walk{k}") for k, clip in enumerate(walks)]


def crop(clip: Clip, start: float, seconds: float | None) -> Clip:
    """So many seconds of a clip from a second on."""
    first = min(round(start * clip.fps), clip.num_frames - 1)
    return clip.slice(first, clip.num_frames if seconds is None else first + round(seconds * clip.fps) + 1)


def row_of(clip: Clip, projection: Projection) -> dict[str, Any]:
    """What became of a clip, as figures."""
    row: dict[str, Any] = {"name": clip.name, "seconds": clip.duration, "projector": projection.projector}
    if projection.clip is None:
        return row | {"reason": projection.reason, "success": 0.0, "success_strict": 0.0}
    before, after = measure(clip).values, measure(projection.clip).values
    row |= {name: projection.tracking[name] for name in TRACKING}
    row["e_mpjpe_mm_success"] = row["e_mpjpe_mm"] if row["success"] else None
    row["survived"] = projection.clip.duration / max(clip.duration, 1e-9)
    row |= {f"{name}_before": before[name] for name in PHYSICS} | {f"{name}_after": after[name] for name in PHYSICS}
    return row


def measured(
    clips: list[Clip], policy: Policy | None, config: ProjectionConfig, together: bool
) -> tuple[list[dict[str, Any]], dict[str, float | None]]:
    """A row a clip, and means with wall and processor seconds for a second of motion."""
    wall, processor = time.monotonic(), time.process_time()
    if together:
        projections = project_clips(clips, policy, config)
    else:
        projections = [project_clips([clip], policy, config)[0] for clip in clips]
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    rows = [row_of(clip, projection) for clip, projection in zip(clips, projections, strict=True)]
    names = dict.fromkeys(name for row in rows for name in row if name not in ("name", "projector", "reason"))
    means = {name: mean([row.get(name) for row in rows]) for name in names}
    seconds = max(sum(clip.duration for clip in clips), 1e-9)
    slide = (means["slide_mean_mm_s_after"], means["slide_mean_mm_s_before"])
    means["slide_ratio"] = slide[0] / slide[1] if slide[0] is not None and slide[1] else None
    return rows, means | {"wall_s_per_s": wall / seconds, "processor_s_per_s": processor / seconds}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--fixed", type=Path, default=None, help="the data folder: take its ten chosen clips")
    parser.add_argument("--projectors", nargs="+", default=["policy", "ilqr"], choices=["policy", "ilqr"])
    parser.add_argument("--policy", type=Path, default=Path("assets/imitator/policy.safetensors"))
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--only", default="", help="comma-separated parts of file names; all files if empty")
    parser.add_argument("--together", action="store_true", help="all clips of a set in one batch")
    parser.add_argument("--preprocessing", nargs="*", default=None, choices=["smooth", "hold_feet", "balance"])
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def sets(args: argparse.Namespace) -> dict[str, list[Clip]]:
    """The clips of each set by its name."""
    wanted = [part for part in args.only.split(",") if part]
    found = {} if args.fixed is None else {"fixed": fixed_set(args.fixed)}
    for path in args.paths:
        files = find_motions([path])
        clips = [replace(to_default(read_motion(f)), name=f.stem) for f in files if _asked(f.name, wanted)]
        found[path.name] = [crop(clip, args.start, args.seconds) for clip in clips]
    return {name: [c for c in clips if _asked(c.name, wanted)] for name, clips in found.items()}


def _asked(name: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(part in name for part in wanted)


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    body, config = default_body(), ProjectionConfig()
    if args.preprocessing is not None:
        steps = {name: name in args.preprocessing for name in ("smooth", "hold_feet", "balance")}
        config = replace(config, conditioning=ConditioningConfig(**steps))
    result: dict[str, Any] = {}
    for name, clips in sets(args).items():
        references = [prepare(clip, body) for clip in clips]
        frozen = [track_errors(frozen_pose(reference), reference) for reference in references]
        entry: dict[str, Any] = {"clips": len(clips), "frozen_success": mean([f["success"] for f in frozen])}
        for projector in args.projectors:
            policy = load_policy(args.policy) if projector == "policy" else None
            chosen = {"projector": "policy"} if policy else {"projector": "optimiser"}
            rows, means = measured(clips, policy, replace(config, **chosen), args.together)
            entry[projector] = {"means": means, "rows": rows}
            for row in rows:
                print(f"  {projector} " + " ".join(f"{k} {_shown(v)}" for k, v in row.items()), flush=True)
            shown = " ".join(f"{k} {_shown(v)}" for k, v in means.items())
            print(f"{name} {projector}: {len(rows)} clips, frozen success {entry['frozen_success']:.2f}; {shown}")
        result[name] = entry
    if args.json is not None:
        write_json(args.json, result)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
