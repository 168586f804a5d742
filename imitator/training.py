"""Training an imitator on clips that the generator or the corpus made, with checkpoints and a log.

The folder holds `policy.safetensors` (the latest), `log.jsonl` (a row an update), `weights.json` (failure rate of every
one-second segment) and `config.json`; a training that finds a policy there goes on from it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from morphloop.envs import TaskConfig, TrackingEnv, prepare
from morphloop.motion import Clip, MotionError, find_motions, make_corpus, read_motion, to_default, write_json
from morphloop.sim import Body, default_body

from .cloning import evaluate_policy
from .policy import Policy, load_policy, new_policy
from .ppo import PpoConfig, fit_normaliser, train_ppo

POLICY_FILE = "policy.safetensors"


@dataclass(frozen=True)
class ImitatorConfig:
    """How an imitator is trained."""

    envs: int = 256
    """Parallel environments."""
    steps: int = 20_000_000
    """Control steps at most."""
    budget_s: float = 3600.0
    """Seconds at most."""
    seed: int = 0
    checkpoint_s: float = 120.0
    """Seconds between checkpoints."""
    ppo: PpoConfig = field(default_factory=PpoConfig)
    task: TaskConfig = field(default_factory=lambda: TaskConfig(push=0.15))


def train_imitator(
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    out: Path | str,
    config: ImitatorConfig | None = None,
    on_update: Callable[[dict[str, Any]], None] = lambda row: None,
    body: Body | None = None,
) -> Policy:
    """Train on `clips` by PPO, evaluate on `held_out` at each checkpoint, go on from what `out` holds.

    Clips that cannot be prepared raise MotionError: a training set is chosen, not found.
    """
    config, body, out = config or ImitatorConfig(), body or default_body(), Path(out)
    env = TrackingEnv([prepare(c, body) for c in clips], body, config.envs, config.task, config.seed)
    tests = [prepare(c, body) for c in held_out]
    if (out / POLICY_FILE).exists():
        policy = load_policy(out / POLICY_FILE, body)
    else:
        policy = new_policy(body, seed=config.seed)
        fit_normaliser(policy, env)
    write_json(out / "config.json", asdict(config))
    saved = time.monotonic()

    def checkpoint(row: dict[str, Any], policy: Policy) -> None:
        policy.save(out / POLICY_FILE)
        rates = env.sampler.failure.tolist()
        write_json(out / "weights.json", {"clip": env.sampler.clip.tolist(), "failure": rates})
        if tests:
            row |= {f"test_{k}": v for k, v in evaluate_policy(policy, tests, body).items()}

    def after_update(row: dict[str, float], policy: Policy) -> None:
        nonlocal saved
        full: dict[str, Any] = dict(row)
        if time.monotonic() - saved > config.checkpoint_s:
            checkpoint(full, policy)
            saved = time.monotonic()
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(full) + "\n")
        on_update(full)

    policy = train_ppo(policy, env, config.steps, config.budget_s, config.ppo, config.seed, after_update)
    final: dict[str, Any] = {}
    checkpoint(final, policy)
    on_update(final)
    return policy


def training_clips(count: int, seed: int, split: str, folder: Path | None) -> list[Clip]:
    """Clips to train on: a folder of a generator's output if given, else the corpus with a generator's faults."""
    if folder is None:
        return make_corpus(count, seed, split, defects=True)
    clips = [to_default(read_motion(path)) for path in find_motions([folder])]
    if not clips:
        raise MotionError(f"{folder}: no clips to train on")
    return clips
