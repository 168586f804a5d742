"""How fast a data set opens: prepared for the first time, and from the cache; and what a batch of windows costs.

    python benchmarks/data_sets.py DATA [--captions FILE] [--limit N] [--json FILE]

The limit links the first N files of a folder of clips into one of their own. Times are the processor's, of one process:
what other work on the machine does not change. The disk's are not in them.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from morphloop.generator.training import draw_windows
from morphloop.motion import find_motions
from morphloop.motion.datasets import MotionSet, open_motion_set

BATCH, WINDOW, STEPS = 64, 64, 100


def opened(data: Path, options: argparse.Namespace, cache: Path) -> tuple[MotionSet, float]:
    """The set, and the processor's seconds that it took."""
    start = time.process_time()
    found = open_motion_set(data, options.split, captions=options.captions, captioned=False, workers=0, cache=cache)
    return found, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--split", nargs="+", default=["train"])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data.parent) as scratch:
        data: Path = options.data
        if options.limit is not None:
            data = Path(scratch) / "data"
            data.mkdir()
            for path in list(find_motions(options.data))[: options.limit]:
                (data / path.name).hardlink_to(path)
        cache = Path(scratch) / "cache"
        first, cold = opened(data, options, cache)
        again, warm = opened(data, options, cache)
        start = time.process_time()
        for step in range(STEPS):
            draw_windows(again.features, BATCH, WINDOW, np.random.default_rng(step))
        batch = (time.process_time() - start) / STEPS
        rows = sum(path.stat().st_size for path in cache.rglob("*.rows"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {
        "clips": len(first),
        "hours": round(first.hours, 3),
        "cold_clips_s": round(len(first) / cold, 1),
        "warm_clips_s": round(len(again) / warm, 1),
        "ratio": round(cold / warm, 1),
        "batch_ms": round(1000 * batch, 2),
        "cache_mb": round(rows / 1e6, 1),
        "peak_mb": round(peak),
        "failed": len(first.failed),
    }
    print(json.dumps(figures, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
