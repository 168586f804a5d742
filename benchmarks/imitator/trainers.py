"""Three ways to teach a policy, at equal processor time on one thread: PPO, gradients through a learned model of the
world, and distillation of an expert's demonstrations.

    python benchmarks/imitator/trainers.py OUT [--ways ppo worldmodel distilled] [--sizes 1 8] [--seeds 0 1 2]

Each begins with a new network and is taught, and measured, on the same clips: the first ones of the corpus' training
split, with a generator's faults, and of their variations, that balance feedback without a network does not track to the
end. The world model's reward is without the penalties on slide and energy. A run is a process of its own; evaluations
and the recording of demonstrations count. OUT keeps a curve a run, and what is there is not run again; `trainers.json`
has them all, `trainers.png` draws them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import write_json
from morphloop.base.threads import fixed_threads
from morphloop.envs import RewardConfig, TaskConfig
from morphloop.imitator import (
    DistilConfig,
    ImitatorConfig,
    ProjectionConfig,
    WarmStartConfig,
    WorldModelConfig,
    project_clips,
    variations,
    warm_start,
)
from morphloop.imitator.bench.bench import zero_policy
from morphloop.imitator.bench.sets import cut
from morphloop.imitator.training.train import train_imitator
from morphloop.motion import Clip, make_corpus
from morphloop.sim import default_body

WAYS = ("ppo", "worldmodel", "distilled")
CORPUS, CORPUS_SEED, SECONDS = 60, 11, 4.0
ENVS = 64
FIGURES = {"success": "success", "survived": "share of the clip", "skill": "skill"}
ENDLESS = 10**12
DISTIL = DistilConfig(updates=24, envs=ENVS, batches=200, minibatch=256)
"""About four minutes of a core beside the recording of eight clips."""
WORLD = WorldModelConfig(
    hidden=(256, 256),
    foresight=8,
    horizon=8,
    warm_up=8,
    model_batch=128,
    model_steps=24,
    policy_batch=64,
    learning_rate=1e-4,
)
"""Smaller batches, narrower networks, shorter roll-outs: with those for a GPU a core makes an update a minute."""
UNPENALISED = TaskConfig(reward=RewardConfig(slide=0.0, energy=0.0))
"""Of the world model's task: feet that stand and bear load slide three to ten times as fast as they do in the eyes of a
model that a core has taught for minutes, and a policy that avoids it falls."""


class Spent(Exception):
    """The processor time of a run is used up."""


def hard_clips(count: int) -> list[Clip]:
    """The first so many clips, 4 s of each, that fail without a network: corpus and variations by turns."""
    body, corpus = default_body(), make_corpus(CORPUS, CORPUS_SEED, "train", defects=True)
    pairs = zip(corpus, variations(corpus, CORPUS, CORPUS_SEED), strict=True)
    asked = [replace(cut(clip, SECONDS), name=f"{k:03}") for k, clip in enumerate(c for pair in pairs for c in pair)]
    done = project_clips(asked, zero_policy(body), ProjectionConfig(projector="policy"))
    failed = [each.source for each in done if each.tracking and not each.tracking["success"]]
    if len(failed) < count:
        raise SystemExit(f"{len(failed)} clips fail without a network, {count} are asked for")
    return failed[:count]


def teach(way: str, count: int, seed: int, minutes: float, out: Path) -> list[dict[str, Any]]:
    """Teach a policy and return its curve: a row a measurement, with processor seconds since clips were ready."""
    clips, body = hard_clips(count), default_body()
    began, curve, steps = time.process_time(), list[dict[str, Any]](), 0

    def note(row: dict[str, Any]) -> None:
        nonlocal steps
        spent, steps = time.process_time() - began, int(row.get("env_steps", steps + DISTIL.envs * DISTIL.steps))
        if "test_success" in row:
            curve.append({"processor_s": spent, "env_steps": steps} | {k: row[f"test_{k}"] for k in FIGURES})
        if spent > 60.0 * minutes:
            raise Spent

    try:
        if way == "distilled":
            config = WarmStartConfig(variations=0.0, seed=seed, workers=0, distil=DISTIL)
            warm_start(clips, clips, out, body, config, on_update=note)
        else:
            trainer = "sb3" if way == "ppo" else "worldmodel"
            task = TaskConfig() if way == "ppo" else UNPENALISED
            config = ImitatorConfig(
                ENVS, ENDLESS, seed=seed, checkpoint_s=15.0, trainer=trainer, worldmodel=WORLD, task=task
            )
            train_imitator(clips, clips, out, config, note, body)
    except Spent:
        pass
    return curve


def told(curves: dict[str, list[dict[str, Any]]], sizes: list[int], seeds: list[int]) -> list[str]:
    """A row a way and size: the last figures of a run, mean over seeds and their range."""
    lines = ["| clips | way | seeds | processor s | control steps | " + " | ".join(FIGURES.values()) + " |"]
    lines.append("|---|---|---|---|---|" + "---|" * len(FIGURES))
    for count, way in product(sizes, WAYS):
        ends = [curve[-1] for seed in seeds if (curve := curves.get(f"{way}-{count}-{seed}"))]
        if not ends:
            continue
        cells = [f"{np.mean([end[key] for end in ends]):.0f}" for key in ("processor_s", "env_steps")]
        for key in FIGURES:
            values = [end[key] for end in ends if end[key] is not None]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-")
        lines.append(f"| {count} | {way} | {len(ends)} | {' | '.join(cells)} |")
    return lines


def draw(curves: dict[str, list[dict[str, Any]]], sizes: list[int], path: Path) -> None:
    """Success and share of the clips over processor time and control steps, a line a run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(10.0, 3.0 * len(sizes)), dpi=90, layout="constrained")
    FigureCanvasAgg(picture)
    grid = picture.subplots(len(sizes), 3, squeeze=False)
    shown = (("processor_s", "success"), ("env_steps", "success"), ("processor_s", "skill"))
    for (row, count), (column, (across, up)) in product(enumerate(sizes), enumerate(shown)):
        axes = grid[row, column]
        for name, curve in curves.items():
            way, size, seed = name.split("-")
            if int(size) == count:
                label = way if seed == "0" else None
                points = [(each[across], each[up]) for each in curve if each[up] is not None]
                axes.plot(*zip(*points, strict=True), "-o", ms=2, lw=1, color=f"C{WAYS.index(way)}", label=label)
        axes.set(title=f"{count} clips" if count > 1 else "one clip", xlabel=across.replace("_", " "), ylabel=up)
        if across == "env_steps":
            axes.set_xscale("log")
        axes.grid(alpha=0.25)
    grid[0, 0].legend(fontsize=8, frameon=False)
    picture.savefig(path, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=5.0, help="processor time of a run")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.one is not None:
        way, count, seed = args.one.split("-")
        with fixed_threads(1):
            curve = teach(way, int(count), int(seed), args.minutes, args.out / args.one)
        write_json(args.out / f"{args.one}.json", curve)
        return
    for seed, count, way in product(args.seeds, args.sizes, args.ways):
        name = f"{way}-{count}-{seed}"
        if not (args.out / f"{name}.json").exists():
            command = [sys.executable, __file__, str(args.out), "--minutes", str(args.minutes), "--one", name]
            subprocess.run(command, check=True)
        print(name, json.loads((args.out / f"{name}.json").read_text())[-1], flush=True)
    kept = sorted(path for path in args.out.glob("*-*-*.json"))
    curves = {path.stem: json.loads(path.read_text()) for path in kept}
    write_json(args.out / "trainers.json", curves)
    draw(curves, args.sizes, args.out / "trainers.png")
    print("\n".join(told(curves, args.sizes, args.seeds)))


if __name__ == "__main__":
    main()
