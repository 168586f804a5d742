"""How fast the imitator is: environment and PPO over raw physics, the trajectory optimiser over the clock.

Raw stepping replays the environment's own states and controls, because a body that fell is cheaper to step. Blocks of
both take turns, so that the load of the machine weighs on both alike.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from morphloop.base.still_valid import basis, difference, hash_file
from morphloop.base.threads import fixed_threads, held_threads
from morphloop.envs import TrackingEnv, prepare
from morphloop.imitator.bench.bench import CODE
from morphloop.imitator.bench.sets import cut
from morphloop.imitator.projection.config import ProjectionConfig
from morphloop.imitator.projection.project import project_clips
from morphloop.imitator.training.config import PpoConfig
from morphloop.imitator.training.policy import new_policy
from morphloop.imitator.training.ppo import Sb3Trainer, fit_normaliser
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, CpuPhysics, Physics, default_body, make_physics
from morphloop.sim.physics.config import Backend

CLIPS = 16
BLOCK = 10
"""Steps between a change from environment to replay and back."""
ACTION = 0.3
"""Standard deviation of the random actions."""
PACKAGES = {"cpu": "mujoco", "warp": "mujoco-warp"}
PARTS = {"joints": "joint states", "task.judge": "reward", "observe": "observations", "_start": "resets"}
AIM_CPU, AIM_CUDA, AIM_CUDA_STEPS, AIM_OPTIMISER = 0.8, 0.85, 150_000.0, 6.0
"""Environment over raw on CPU and on CUDA, environment steps a second there, the optimiser's seconds for a
second of walking."""
NO_CUDA = "no CUDA device"


@dataclass(frozen=True)
class SpeedConfig:
    """What is timed."""

    envs: int = 256
    steps: int = 40
    """Control steps of the environment."""
    updates: int = 2
    """PPO iterations."""
    walks: int = 4
    """Walking clips that the trajectory optimiser takes one after another."""
    together: int = 32
    """Clips that it takes at once."""
    seconds: float = 3.0
    """Of each of those clips."""
    cuda_envs: tuple[int, ...] = (4096, 8192)
    cuda_steps: int = 100
    workers: int | None = None
    """Processes of the trajectory optimiser, as `project_clips` has them."""
    seed: int = 0


class StateRecorder:
    """Keeps what every step of a backend started from; the seconds that takes are counted apart."""

    def __init__(self, physics: Physics):
        self.states: list[list[torch.Tensor]] = []
        self.keeping = self.stepping = 0.0
        self.step, self.physics = physics.step, physics
        physics.step = self.run  # pyright: ignore[reportAttributeAccessIssue]  # wrapped, to be timed

    def run(self) -> torch.Tensor:
        began = _now(self.physics.device)
        self.states.append([values.clone() for values in _live_state(self.physics)])
        kept = _now(self.physics.device)
        failed = self.step()
        self.keeping += kept - began
        self.stepping += _now(self.physics.device) - kept
        return failed

    def clear(self) -> None:
        """Forget states and the seconds that keeping them took."""
        self.states.clear()
        self.keeping = 0.0


def _now(device: torch.device) -> float:
    """The time, once the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _live_state(physics: Any) -> list[torch.Tensor]:
    """Views of all that a step starts from: state, controls and the solver's warm start, (N, .) each."""
    if isinstance(physics, CpuPhysics):
        return [torch.from_numpy(physics.state)]
    import warp as wp  # there if the backend is

    return [physics.qpos, physics.qvel, physics.ctrl, wp.to_torch(physics.data.qacc_warmstart)]


def _raw_step(physics: Any) -> None:
    """One control step of the simulator alone."""
    if isinstance(physics, CpuPhysics):
        physics.batch.step(nstep=physics.body.substeps)
    else:
        physics.advance()


def _replay(physics: Physics, states: Sequence[list[torch.Tensor]]) -> float:
    """Seconds that raw stepping takes from each of the recorded states, which hold their controls."""
    spent, live = 0.0, _live_state(physics)
    for state in states:
        for values, recorded in zip(live, state, strict=True):
            values.copy_(recorded)
        began = _now(physics.device)
        _raw_step(physics)
        spent += _now(physics.device) - began
    return spent


def _timed_parts(env: TrackingEnv) -> dict[str, float]:
    """Wrap the parts of a step; the dictionary returned grows by the seconds spent in each."""
    spent: dict[str, float] = defaultdict(float)
    for name, label in PARTS.items():
        path, _, last = name.rpartition(".")
        owner = getattr(env, path) if path else env
        part = getattr(owner, last)

        def run(*args: Any, part: Any = part, label: str = label) -> Any:
            began = _now(env.physics.device)
            result = part(*args)
            spent[label] += _now(env.physics.device) - began
            return result

        setattr(owner, last, run)
    return spent


def _measure(env: TrackingEnv, raw: Physics, steps: int) -> tuple[float, float, dict[str, float]]:
    """Seconds of `steps` environment steps, of as many raw ones, and of the parts of the former."""
    device, recorder = env.physics.device, StateRecorder(env.physics)
    generator = torch.Generator(device=device).manual_seed(0)
    shape = (BLOCK, env.num_envs, env.action_size)
    for action in ACTION * torch.randn(shape, generator=generator, device=device):
        env.step(action)  # an episode's first steps are not typical
    parts = _timed_parts(env)
    whole = bare = recorder.stepping = 0.0
    for _ in range(steps // BLOCK):
        recorder.clear()
        actions = ACTION * torch.randn(shape, generator=generator, device=device)
        began = _now(device)
        for action in actions:
            env.step(action)
        whole += _now(device) - began - recorder.keeping
        bare += _replay(raw, recorder.states)
    profile = {"physics": recorder.stepping} | parts
    return whole, bare, profile | {"rest": whole - sum(profile.values())}


def _task(envs: int, backend: Backend, device: str | None) -> tuple[TrackingEnv, Physics]:
    """An environment on clips with faults, and a second backend like its own."""
    body = default_body()
    clips = [prepare(clip, body) for clip in make_corpus(CLIPS, seed=0, defects=True)]
    physics, raw = (make_physics(body, envs, backend, device) for _ in range(2))
    env = TrackingEnv(clips, body, envs, seed=0, physics=physics)
    env.reset()
    return env, raw


def env_over_raw(envs: int, steps: int, backend: Backend = "cpu", device: str | None = None) -> dict[str, Any]:
    """Environment steps over raw ones: rates in steps a second, parts in milliseconds a step."""
    env, raw = _task(envs, backend, device)
    physics, count = env.physics, BLOCK * max(1, steps // BLOCK)
    whole, bare, profile = _measure(env, raw, count)
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


def ppo_over_raw(envs: int, updates: int, seed: int = 0) -> dict[str, Any]:
    """Whole PPO iterations, rollout and gradient steps, over raw physics alone."""
    env, raw = _task(envs, "cpu", None)
    policy, config = new_policy(env.body, seed=seed), PpoConfig()
    fit_normaliser(policy, env, steps=4)
    trainer = Sb3Trainer(policy, env, config, seed)
    recorder = StateRecorder(env.physics)
    whole = bare = steps = 0.0
    for update in range(updates + 1):
        recorder.clear()
        before, began = trainer.env_steps, time.perf_counter()
        trainer.update()
        spent = time.perf_counter() - began - recorder.keeping
        if update:  # the first one builds what the others have
            whole += spent
            steps += trainer.env_steps - before
            bare += _replay(raw, recorder.states)
    return {
        "envs": envs,
        "network": list(policy.spec.hidden),
        "epochs": config.epochs,
        "steps_per_env": config.steps,
        "minibatch": config.minibatch,
        "updates": updates,
        "env_steps_per_s": steps / whole,
        "raw_steps_per_s": steps / bare,
        "ratio": bare / whole,
        "torch_threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
    }


def optimiser_speed(clips: Sequence[Clip], together: bool, body: Body, workers: int | None = None) -> dict[str, Any]:
    """Wall seconds of the trajectory optimiser alone for a second of motion, one clip after another or all at once.

    Preparing, replaying and measuring errors are counted in.
    """
    config = ProjectionConfig(projector="optimiser")
    began = time.monotonic()
    if together:
        found = project_clips(clips, None, config, body=body, workers=workers)
    else:
        found = [project_clips([clip], None, config, body=body, workers=workers)[0] for clip in clips]
    wall = time.monotonic() - began
    seconds = sum(clip.duration for clip in clips)
    return {
        "clips": len(clips),
        "seconds": seconds,
        "wall_s": wall,
        "wall_s_per_s": wall / seconds,
        "clips_per_minute": 60.0 * len(clips) / wall,
        "success": sum(p.tracking.get("success") or 0.0 for p in found) / len(clips),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def walking_clips(count: int, seconds: float) -> list[Clip]:
    """Walks of the corpus' test split, cut."""
    clips = make_corpus(24 * count, 3, "test")
    return [cut(clip, seconds) for clip in clips if clip.provenance.notes["action"] == "walk"][:count]


@fixed_threads()
def measure_speed(
    config: SpeedConfig | None = None,
    watch: Callable[[str, int, int], None] = lambda label, done, total: None,
    keep: Callable[[dict[str, Any]], None] = lambda told: None,
    known: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """All timings. keep: sees them after each; known: what it saw last, of a run that was killed: it is gone on from
    where it rests on the same."""
    config, body = config or SpeedConfig(), default_body()
    walks = walking_clips(config.walks, config.seconds)
    many = [cut(clip, config.seconds) for clip in make_corpus(config.together, 3, "test")]
    parts: dict[str, Callable[[], Any]] = {
        "environment": lambda: env_over_raw(config.envs, config.steps),
        "ppo": lambda: ppo_over_raw(config.envs, config.updates, config.seed),
        "optimiser_walking": lambda: optimiser_speed(walks, False, body, config.workers),
        "optimiser_together": lambda: optimiser_speed(many, True, body, config.workers),
        "cuda": lambda: _cuda(config),
    }
    told = basis(CODE, {"speed.py": hash_file(Path(__file__))}, asdict(config) | {"threads": held_threads()})
    if known is not None and difference({name: known.get(name) for name in told}, told) is None:
        told = dict(known)
    for number, (name, run) in enumerate(parts.items()):
        watch("speed", number, len(parts))
        if name not in told:
            told[name] = run()
            keep(told)
    watch("speed", len(parts), len(parts))
    return told


def _cuda(config: SpeedConfig) -> str | list[dict[str, Any]]:
    """The environment over raw mujoco_warp at every size, or why there is nothing."""
    if not torch.cuda.is_available():
        return NO_CUDA
    return [env_over_raw(envs, config.cuda_steps, "warp", "cuda:0") for envs in config.cuda_envs]


def page(told: dict[str, Any]) -> str:
    """The timings' part of the page in Markdown."""
    rows = []
    for part in (told["environment"], *(told["cuda"] if isinstance(told["cuda"], list) else ())):
        aim = AIM_CPU if part["backend"] == "cpu" else AIM_CUDA
        where = f"{part['envs']} environments, {part['simulator']}, {part['device']}"
        rows.append((f"environment over raw physics, {where}", f"{part['ratio']:.2f}", _aim(part["ratio"], aim, True)))
        fast = _aim(part["env_steps_per_s"], AIM_CUDA_STEPS, True) if part["backend"] == "warp" else ""
        rows.append((f"environment steps a second, {where}", f"{part['env_steps_per_s']:.0f}", fast))
    ppo, walking, many = told["ppo"], told["optimiser_walking"], told["optimiser_together"]
    net = f"network {' x '.join(map(str, ppo['network']))}, {ppo['epochs']} epochs of {ppo['steps_per_env']} steps"
    net += f", {ppo['torch_threads']} torch threads"
    rows.append((f"PPO iteration over raw physics, {ppo['envs']} environments, {net}", f"{ppo['ratio']:.2f}", ""))
    rows.append(("PPO, environment steps a second", f"{ppo['env_steps_per_s']:.0f}", ""))
    slow = _aim(walking["wall_s_per_s"], AIM_OPTIMISER, False)
    told_at = f"success {100 * walking['success']:.0f} % of {walking['clips']}"
    rows.append(
        (f"trajectory optimiser, seconds for a second of walking, {told_at}", f"{walking['wall_s_per_s']:.2f}", slow)
    )
    at = f"{many['clips']} clips at once, success {100 * many['success']:.0f} %"
    rows.append((f"trajectory optimiser, seconds for a second of motion, {at}", f"{many['wall_s_per_s']:.2f}", ""))
    rows.append((f"trajectory optimiser, clips a minute, {at}", f"{many['clips_per_minute']:.1f}", ""))
    if isinstance(told["cuda"], str):
        rows.append(("environment over raw mujoco_warp", told["cuda"], ""))
    load = f"{told['environment']['cores']} cores, load {told['environment']['load']} as it began"
    head = f"## Speed\n\n{load}.\n\n| | | aim |\n|---|---|---|\n"
    return head + "\n".join(f"| {what} | {value} | {aim} |" for what, value, aim in rows)


def _aim(value: float, bound: float, least: bool) -> str:
    met = value >= bound if least else value <= bound
    return f"{'>=' if least else '<='} {bound:g}: {'met' if met else '**missed**'}"
