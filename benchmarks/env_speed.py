"""How much of raw `mujoco.batch` stepping is left as environment steps a second, and where the rest goes.

    python benchmarks/env_speed.py [--envs 256] [--steps 40] [--json FILE]

Raw stepping replays the environment's own states and controls, because a body that fell is cheaper to step. Blocks of
both take turns, so that the load of the machine weighs on both alike.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from morphloop.envs import TrackingEnv, prepare
from morphloop.motion import make_corpus, write_json
from morphloop.sim import SUBSTEPS, CpuPhysics, default_body

CLIPS = 16
BLOCK = 10
"""Steps between a change from environment to replay and back."""
ACTION = 0.3
"""Standard deviation of the random actions."""
PARTS = {"_state": "joint states", "_reward": "reward", "_observe": "observations", "_start": "resets"}


class RecordingPhysics(CpuPhysics):
    """Keeps state (N, S) and controls (N, nu) before each step; the time that takes is counted apart."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.tape: list[np.ndarray] = []
        self.keeping = self.stepping = 0.0

    def step(self) -> torch.Tensor:
        began = time.perf_counter()
        self.tape.append(self.state.copy())
        kept = time.perf_counter()
        failed = super().step()
        self.keeping += kept - began
        self.stepping += time.perf_counter() - kept
        return failed


def timed_parts(env: TrackingEnv) -> dict[str, float]:
    """Wrap the parts of a step; the dictionary returned grows by the seconds spent in each."""
    spent: dict[str, float] = defaultdict(float)
    for name, label in PARTS.items():
        part = getattr(env, name)

        def run(*args: Any, part: Any = part, label: str = label) -> Any:
            began = time.perf_counter()
            result = part(*args)
            spent[label] += time.perf_counter() - began
            return result

        setattr(env, name, run)
    return spent


def replay(batch: Batch, tape: list[np.ndarray]) -> float:
    """Seconds that raw stepping takes from each of the recorded states, which hold their controls."""
    spent = 0.0
    for state in tape:
        batch.state[:] = state
        began = time.perf_counter()
        batch.step(nstep=SUBSTEPS)
        spent += time.perf_counter() - began
    return spent


def run(envs: int, steps: int) -> dict[str, Any]:
    """Measure; rates in steps a second, parts in milliseconds a step."""
    torch.set_num_threads(1)
    body = default_body()
    clips = [prepare(clip, body) for clip in make_corpus(CLIPS, seed=0, defects=True)]
    physics = RecordingPhysics(body, envs)
    env = TrackingEnv(clips, body, envs, seed=0, physics=physics)
    env.reset()
    batch = Batch(body.model, envs)
    batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
    generator = torch.Generator().manual_seed(0)
    for _ in range(BLOCK):  # an episode's first steps are not typical
        env.step(ACTION * torch.randn(envs, env.action_size, generator=generator))
    parts = timed_parts(env)
    whole = raw = 0.0
    physics.stepping = 0.0
    for _ in range(max(1, steps // BLOCK)):
        physics.tape.clear()
        physics.keeping = 0.0
        actions = ACTION * torch.randn(BLOCK, envs, env.action_size, generator=generator)
        began = time.perf_counter()
        for action in actions:
            env.step(action)
        whole += time.perf_counter() - began - physics.keeping
        raw += replay(batch, physics.tape)
    count = BLOCK * max(1, steps // BLOCK)
    profile = {"physics": physics.stepping} | parts
    profile["rest"] = whole - sum(profile.values())
    return {
        "envs": envs,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "mujoco": mujoco.__version__,
        "env_steps_per_s": envs * count / whole,
        "raw_steps_per_s": envs * count / raw,
        "ratio": raw / whole,
        "ms_per_step": {name: 1e3 * seconds / count for name, seconds in profile.items()},
        "share": {name: seconds / whole for name, seconds in profile.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = run(args.envs, args.steps)
    print(f"{result['envs']} environments, {result['cores']} cores, load {result['load']}, MuJoCo {result['mujoco']}")
    print(f"environment {result['env_steps_per_s']:8.0f} steps/s")
    print(f"raw         {result['raw_steps_per_s']:8.0f} steps/s")
    print(f"ratio       {result['ratio']:8.2f}")
    for name, ms in result["ms_per_step"].items():
        print(f"  {name:14s} {ms:7.2f} ms a step  {100 * result['share'][name]:5.1f} %")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
