"""What a Ray cluster of this machine costs beside the process pool, on many short clips: seconds and their ratio.

    python benchmarks/ray_overhead.py [--clips 64] [--seconds 2] [--workers 2] [--turns 3] [--json FILE]

Both do the same with as many workers, in turns, so that what else the machine has to do falls on both: `evaluate` of a
folder, and the trajectory optimiser on the first fifth of a second of each clip. Workers start anew every time and
import for some seconds; the start of the cluster is told apart. Processor seconds are those of all processes that the
work needs, Ray's own too. Results are compared: they must be equal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.base.ray_cluster import ray_cluster
from morphloop.base.threads import fixed_threads
from morphloop.imitator import IlqrConfig, ProjectionConfig, project_clips
from morphloop.metrics.report import EvaluateConfig, evaluate
from morphloop.motion import Clip, make_corpus, save_clip

TRACKED_FRAMES = 6
QUICK = IlqrConfig(horizon=6, iterations=1, hard_iterations=1, dampings=(0.0,), retries=0)
LOOK_S = 0.2
"""Seconds between two looks at what processes have used; a process that ends is missed by that at most."""


def measured(folder: Path, workers: int) -> Any:
    """Rows of every clip of a folder."""
    return list(evaluate([folder], EvaluateConfig(workers=workers)).rows.lines())


def tracked(clips: Sequence[Clip], workers: int) -> Any:
    """Ids of what the optimiser makes of each clip's beginning."""
    starts = [replace(clip.slice(0, TRACKED_FRAMES), name=clip.name) for clip in clips]
    config = ProjectionConfig(projector="optimiser", ilqr=QUICK)
    return [
        None if made.clip is None else made.clip.id for made in project_clips(starts, None, config, workers=workers)
    ]


def used() -> dict[int, float]:
    """Processor seconds by process, of this one and all below it."""
    seconds, below = dict[int, float](), dict[int, list[int]]()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            told = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        seconds[int(place.name)] = (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
        below.setdefault(int(told[1]), []).append(int(place.name))
    family = [os.getpid()]
    for pid in family:
        family += below.get(pid, [])
    return {pid: seconds[pid] for pid in family if pid in seconds}


@contextmanager
def processor_seconds() -> Iterator[Callable[[], float]]:
    """Yields what tells how many were used since."""
    before, seen, ended = used(), dict[int, float](), threading.Event()

    def look() -> None:
        seen.update(used())

    def watch() -> None:
        while not ended.wait(LOOK_S):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: (look(), sum(seconds - before.get(pid, 0.0) for pid, seconds in seen.items()))[1]
    finally:
        ended.set()
        thread.join()


def timed(work: Callable[[int], Any], workers: int, ray: bool) -> tuple[Any, dict[str, float]]:
    """What comes of it; seconds until the engine is there, from then on, and of processors in all."""
    began = time.monotonic()
    with processor_seconds() as spent, ray_cluster(None, workers) if ray else nullcontext():
        started = time.monotonic()
        made = work(workers)
        ended = time.monotonic()
        return made, {"start": started - began, "work": ended - started, "processor": spent()}


def compared(work: Callable[[int], Any], workers: int, turns: int) -> dict[str, Any]:
    """Seconds of each turn, and the ratios of their medians."""
    seconds: dict[str, list[dict[str, float]]] = {"pool": [], "ray": []}
    for _ in range(turns):
        by_pool, took = timed(work, workers, ray=False)
        seconds["pool"].append(took)
        by_ray, took = timed(work, workers, ray=True)
        seconds["ray"].append(took)
        assert by_pool == by_ray, "the cluster made something else"
    pool, ray = (
        {name: statistics.median(took[name] for took in turn) for name in turn[0]} for turn in seconds.values()
    )
    ratios = {
        "work": ray["work"] / pool["work"],
        "work with start": (ray["work"] + ray["start"]) / pool["work"],
        "processor": ray["processor"] / pool["processor"],
    }
    return {"seconds": seconds, "ratios": ratios}


@fixed_threads()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0, help="most of each clip")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    clips = [
        replace(clip.slice(0, min(clip.num_frames, round(asked.seconds * clip.fps))), name=f"clip{k}")
        for k, clip in enumerate(make_corpus(asked.clips, 1))
    ]
    found: dict[str, Any] = {"clips": asked.clips, "workers": asked.workers}
    with tempfile.TemporaryDirectory() as place:
        for clip in clips:
            save_clip(Path(place) / f"{clip.name}.npz", clip)
        works = {"evaluate": lambda n: measured(Path(place), n), "optimiser": lambda n: tracked(clips, n)}
        for name, work in works.items():
            found[name] = compared(work, asked.workers, asked.turns)
            for engine, turns in found[name]["seconds"].items():
                for what in turns[0]:
                    print(f"{name:<10} {engine:<5} {what:<10} {' '.join(f'{took[what]:6.1f}' for took in turns)} s")
            for what, ratio in found[name]["ratios"].items():
                print(f"{name:<10} ray over pool, {what}: {ratio:.2f}", flush=True)
    if asked.json is not None:
        write_json(asked.json, found)


if __name__ == "__main__":
    main()
