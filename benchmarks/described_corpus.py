"""What the described corpus is: actions, lengths, how clean it is, and whether clips do what their captions state.

    python benchmarks/described_corpus.py [--clips 400] [--measured 200] [--json FILE]

The last is the ceiling of adherence: what real motion scores on its own captions. Chance is what clips score on facts
of other clips' captions. docs/corpus.md has the tables.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import write_json
from morphloop.generator.facts import fact
from morphloop.metrics import measure
from morphloop.motion import Clip, make_corpus, make_described
from morphloop.motion.rotations import quat_angle, quat_to_rotvec
from morphloop.sim import default_body

SEED = 11
FIGURES = ("slide_mean_mm_s", "penetration_mean_mm", "float_mean_mm", "physdiff_phys_err_mm", "self_penetration_max_mm")
CHANCE_CLIPS = 160


def quality(clips: Sequence[Clip]) -> dict[str, float]:
    """Means of the clean clips' figures, the worst self-penetration, and how many leave a joint's range."""
    ranges = default_body().ranges[1:]
    rows, out, fastest = defaultdict(list), 0, 0.0
    for clip in clips:
        values = measure(clip, wrench=False).values
        for name in FIGURES:
            value = values[name]
            if value is not None:
                rows[name].append(value)
        turns = quat_to_rotvec(clip.rotations)[:, 1:]
        out += bool((turns < ranges[..., 0]).any() or (turns > ranges[..., 1]).any())
        fastest = max(fastest, float(quat_angle(clip.rotations[:-1], clip.rotations[1:]).max() * clip.fps))
    means = {name: round(float(np.mean(values)), 3) for name, values in rows.items()}
    worst = round(float(max(rows["self_penetration_max_mm"])), 2)
    return means | {"self_penetration_worst_mm": worst, "clips_out_of_range": out, "fastest_joint_rad_s": fastest}


def adherence(clips: Sequence[Clip]) -> dict[str, Any]:
    """Share of captions whose facts all hold, and of each fact: how often it holds where it is stated, and elsewhere.

    Facts of order stand together as "..., then ...".
    """
    stated = [clip.provenance.notes["facts"] for clip in clips]
    whole, own, chance = [], defaultdict(list), {}
    for clip, captions in zip(clips, stated, strict=True):
        known = {name: fact(name).passes(clip) for name in {name for names in captions for name in names}}
        whole += [all(known[name] for name in names) for names in captions]
        for name, passed in known.items():
            own["..., then ..." if ", then " in name else name].append(passed)
    others = [k for k, captions in enumerate(stated) if not any(", then " in n for names in captions for n in names)]
    for name in sorted(own):
        if name != "..., then ...":
            tried = [k for k in others if all(name not in names for names in stated[k])][:CHANCE_CLIPS]
            chance[name] = round(float(np.mean([fact(name).passes(clips[k]) for k in tried])), 3)
    order = [names[0] for names in (captions[0] for captions in stated) if ", then " in names[0]]
    asked = [
        (clips[k], name)
        for n, name in enumerate(order)
        for k in range(n, len(clips), 97)
        if all(name not in names for names in stated[k])
    ]
    chance["..., then ..."] = round(float(np.mean([fact(name).passes(clip) for clip, name in asked[:300]])), 3)
    rows = {
        name: {"stated": len(passed), "holds": round(float(np.mean(passed)), 3), "chance": chance[name]}
        for name, passed in sorted(own.items())
    }
    other = [(clip, names) for n, clip in enumerate(clips) for names in stated[(n + 7) % len(clips)][:1]]
    swapped = [all(fact(name).passes(clip) for name in names) for clip, names in other]
    shares = {"hold": round(float(np.mean(whole)), 3), "of_another_clip": round(float(np.mean(swapped)), 3)}
    return {"captions": len(whole)} | shares | {"facts": rows}


def timed(make: Callable[[int, int], Sequence[Clip]], count: int) -> tuple[Sequence[Clip], float]:
    """Clips and the processor seconds that one takes."""
    begun = time.process_time()
    clips = make(count, SEED)
    return clips, (time.process_time() - begun) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--measured", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    described, seconds = timed(make_described, args.clips)
    plain, plain_seconds = timed(make_corpus, args.measured)
    lengths = [clip.duration for clip in described]
    deeds = Counter(deed["action"] for clip in described for part in clip.provenance.notes["script"] for deed in part)
    parts = Counter(len(clip.provenance.notes["script"]) for clip in described)
    result = {
        "cpu_s_per_clip": {"described": round(seconds, 4), "plain": round(plain_seconds, 4)},
        "lengths_s": {"mean": float(np.mean(lengths)), "min": min(lengths), "max": max(lengths)},
        "captions_per_clip": float(np.mean([len(clip.texts) for clip in described])),
        "deeds": dict(deeds.most_common()),
        "parts": {str(k): parts[k] for k in sorted(parts)},
        "parallel": sum(any(len(part) == 2 for part in clip.provenance.notes["script"]) for clip in described),
        "quality": {"described": quality(described[: args.measured]), "plain": quality(plain)},
        "adherence": adherence(described),
    }
    if args.json:
        write_json(args.json, result)
    for name, value in result.items():
        print(name, value)


if __name__ == "__main__":
    main()
