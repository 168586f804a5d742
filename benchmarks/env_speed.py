"""How much of raw stepping of a physics backend is left as environment steps a second, and where the rest goes.

    python benchmarks/env_speed.py [--envs 256] [--steps 40] [--backend cpu|warp] [--device cuda:0] [--json FILE]

Raw stepping replays the environment's own states and controls, because a body that fell is cheaper to step. Blocks of
both take turns, so that the load of the machine weighs on both alike.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from morphloop.envs import TrackingEnv, prepare
from morphloop.motion import make_corpus, write_json
from morphloop.sim import SUBSTEPS, CpuPhysics, Physics, default_body, make_physics

CLIPS = 16
BLOCK = 10
"""Steps between a change from environment to replay and back."""
ACTION = 0.3
"""Standard deviation of the random actions."""
PACKAGES = {"cpu": "mujoco", "warp": "mujoco-warp"}
PARTS = {"_state": "joint states", "_reward": "reward", "_observe": "observations", "_start": "resets"}


def wait(device: torch.device) -> float:
    """The time, once the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def live_state(physics: Any) -> list[torch.Tensor]:
    """Views of all that a step starts from: state, controls and the solver's warm start, (N, .) each."""
    if isinstance(physics, CpuPhysics):
        return [torch.from_numpy(physics.state)]
    import warp as wp  # there if the backend is

    return [physics.qpos, physics.qvel, physics.ctrl, wp.to_torch(physics.data.qacc_warmstart)]


def raw_step(physics: Any) -> None:
    """One control step of the simulator alone."""
    if isinstance(physics, CpuPhysics):
        physics.batch.step(nstep=SUBSTEPS)
    else:
        physics.advance()


class Tape:
    """Keeps what every step of a backend started from; the seconds that takes are counted apart."""

    def __init__(self, physics: Physics):
        self.states: list[list[torch.Tensor]] = []
        self.keeping = self.stepping = 0.0
        self.step, self.physics = physics.step, physics
        physics.step = self.run  # pyright: ignore[reportAttributeAccessIssue]  # wrapped, to be timed

    def run(self) -> torch.Tensor:
        began = wait(self.physics.device)
        self.states.append([values.clone() for values in live_state(self.physics)])
        kept = wait(self.physics.device)
        failed = self.step()
        self.keeping += kept - began
        self.stepping += wait(self.physics.device) - kept
        return failed


def timed_parts(env: TrackingEnv) -> dict[str, float]:
    """Wrap the parts of a step; the dictionary returned grows by the seconds spent in each."""
    spent: dict[str, float] = defaultdict(float)
    for name, label in PARTS.items():
        part = getattr(env, name)

        def run(*args: Any, part: Any = part, label: str = label) -> Any:
            began = wait(env.physics.device)
            result = part(*args)
            spent[label] += wait(env.physics.device) - began
            return result

        setattr(env, name, run)
    return spent


def replay(physics: Physics, tape: list[list[torch.Tensor]]) -> float:
    """Seconds that raw stepping takes from each of the recorded states, which hold their controls."""
    spent, live = 0.0, live_state(physics)
    for state in tape:
        for values, recorded in zip(live, state, strict=True):
            values.copy_(recorded)
        began = wait(physics.device)
        raw_step(physics)
        spent += wait(physics.device) - began
    return spent


def measure(env: TrackingEnv, raw: Physics, steps: int) -> tuple[float, float, dict[str, float]]:
    """Seconds of `steps` environment steps, of as many raw ones, and of the parts of the former."""
    device, tape = env.physics.device, Tape(env.physics)
    generator = torch.Generator(device=device).manual_seed(0)
    shape = (BLOCK, env.num_envs, env.action_size)
    for action in ACTION * torch.randn(shape, generator=generator, device=device):
        env.step(action)  # an episode's first steps are not typical
    parts = timed_parts(env)
    whole = bare = tape.stepping = 0.0
    for _ in range(steps // BLOCK):
        tape.states.clear()
        tape.keeping = 0.0
        actions = ACTION * torch.randn(shape, generator=generator, device=device)
        began = wait(device)
        for action in actions:
            env.step(action)
        whole += wait(device) - began - tape.keeping
        bare += replay(raw, tape.states)
    profile = {"physics": tape.stepping} | parts
    return whole, bare, profile | {"rest": whole - sum(profile.values())}


def run(envs: int, steps: int, backend: Any = "cpu", device: str | None = None) -> dict[str, Any]:
    """Measure; rates in steps a second, parts in milliseconds a step."""
    torch.set_num_threads(1)
    body = default_body()
    clips = [prepare(clip, body) for clip in make_corpus(CLIPS, seed=0, defects=True)]
    physics, raw = (make_physics(body, envs, backend, device) for _ in range(2))
    env = TrackingEnv(clips, body, envs, seed=0, physics=physics)
    env.reset()
    count = BLOCK * max(1, steps // BLOCK)
    whole, bare, profile = measure(env, raw, count)
    name = torch.cuda.get_device_name(physics.device) if physics.device.type == "cuda" else "cpu"
    return {
        "envs": envs,
        "backend": backend,
        "device": name,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "simulator": " ".join((PACKAGES[backend], version(PACKAGES[backend]))),
        "diverged": physics.diverged,
        "overflow": getattr(physics, "overflow", 0),
        "env_steps_per_s": envs * count / whole,
        "raw_steps_per_s": envs * count / bare,
        "ratio": bare / whole,
        "ms_per_step": {part: 1e3 * seconds / count for part, seconds in profile.items()},
        "share": {part: seconds / whole for part, seconds in profile.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--backend", choices=("cpu", "warp"), default="cpu")
    parser.add_argument("--device", help="for --backend warp: cuda:0 if not given, cpu to see that it runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = run(args.envs, args.steps, args.backend, args.device)
    print(
        f"{result['envs']} environments, {result['simulator']} on {result['device']}, {result['cores']} cores, "
        f"load {result['load']}, {result['diverged']} diverged, {result['overflow']} buffers overflowed"
    )
    print(f"environment {result['env_steps_per_s']:8.0f} steps/s")
    print(f"raw         {result['raw_steps_per_s']:8.0f} steps/s")
    print(f"ratio       {result['ratio']:8.2f}")
    for name, ms in result["ms_per_step"].items():
        print(f"  {name:14s} {ms:7.2f} ms a step  {100 * result['share'][name]:5.1f} %")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
