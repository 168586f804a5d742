"""Checkpoints of a training: everything that the next update depends on, in one safetensors file.

A killed training that goes on from one equals an uninterrupted one bit for bit on the CPU backend, whose integration
states are kept. Other backends do not hand theirs out: there every environment starts a new episode.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from morphloop.base import MotionError, write_atomic
from morphloop.base.tensors import MAX_MODEL, header_json, read_tensors
from morphloop.envs import TrackingEnv
from morphloop.envs.sampling import MEMORY
from morphloop.sim import CpuPhysics, JointState

log = logging.getLogger("morphloop.training")

CHECKPOINT_FILE = "checkpoint.safetensors"
PREVIOUS_FILE = "checkpoint.previous.safetensors"
NEXT_FILE = "checkpoint.next.safetensors"
"""A whole checkpoint that is about to take the latest one's place."""
SCHEMA = 1

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """State of a training between two updates.

    tensors: by name, parts of a whole as `part.name`; numbers: what JSON holds, counters and the configuration.
    """

    tensors: Tensors
    numbers: dict[str, Any]

    def part(self, name: str) -> Tensors:
        """Tensors of one part by their own names."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


def as_part(name: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Tensors under the names that `Checkpoint.part` finds them by."""
    return {f"{name}.{key}": value for key, value in tensors.items()}


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a folder's checkpoint atomically; the one before stays as the previous one."""
    path = folder / CHECKPOINT_FILE
    header = json.dumps({"schema": SCHEMA, **checkpoint.numbers}, sort_keys=True)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in sorted(checkpoint.tensors.items())}
    data = save(tensors, metadata={"checkpoint": header})
    written = write_atomic(folder / NEXT_FILE, lambda stream: stream.write(data))
    if path.exists():
        os.replace(path, folder / PREVIOUS_FILE)
    os.replace(written, path)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """A folder's latest sound checkpoint, None if it never had one.

    The previous one is taken, and said so, where the latest is missing or damaged; MotionError if both are damaged.
    """
    reasons = []
    for path in (folder / CHECKPOINT_FILE, folder / PREVIOUS_FILE):
        if not path.exists():
            continue
        try:
            found = _read(path)
        except MotionError as error:
            reasons.append(str(error))
            continue
        if path.name == PREVIOUS_FILE:
            log.warning("%s: going on from the checkpoint before the last one", path)
        return found
    if reasons:
        raise MotionError(f"{reasons[0]}; remove it to train anew")
    return None


def _read(path: Path) -> Checkpoint:
    tensors, metadata = read_tensors(path, MAX_MODEL, "checkpoint", finite=False)
    header = header_json(metadata, "checkpoint", path)
    if not isinstance(header, dict) or header.pop("schema", None) != SCHEMA:
        raise MotionError(f"{path}: has no checkpoint header of schema {SCHEMA}")
    return Checkpoint(tensors, header)


def clear_leftovers(folder: Path) -> None:
    """Remove temporary files of writes that were killed halfway."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def seed_streams(seed: int, update: int) -> None:
    """Seed torch's and numpy's global streams for one update, so that what it draws depends on these two alone."""
    mixed = int(np.random.SeedSequence([seed, update]).generate_state(1)[0])
    torch.manual_seed(mixed)
    np.random.seed(mixed)  # Stable-Baselines3 shuffles minibatches with the global stream


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """An optimiser's state by parameter and name."""
    state = optimiser.state_dict()["state"]
    return {f"{place}.{name}": value for place, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors, learning_rate: float | None = None) -> None:
    """Inverse of `optimiser_tensors`; with a learning rate where it changes in training."""
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        place, name = key.split(".", 1)
        state.setdefault(int(place), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    if learning_rate is not None:
        groups = [group | {"lr": learning_rate} for group in groups]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def env_tensors(env: TrackingEnv) -> Tensors:
    """The stream of starts and what failed so far; on the CPU backend also where every episode is."""
    sampler = env.sampler
    tensors = {"generator": env.generator.get_state(), "failure": sampler.failure, "seen": sampler.seen}
    if isinstance(env.physics, CpuPhysics):
        tensors |= {"physics": torch.from_numpy(env.physics.state), "foot_force": env.foot_force}
        tensors |= {"clip": env.clip, "frame": env.frame, "steps": env.steps}
        if env.play is not None:
            tensors["speed"] = env.play.speed
        tensors |= as_part("state", vars(env.state))
    return tensors


def restore_env(env: TrackingEnv, tensors: Tensors) -> torch.Tensor | None:
    """Put environments where they were; where their backend cannot, start them anew and return what they see (N, D)."""
    device = env.clip.device
    env.generator.set_state(tensors["generator"])
    env.sampler.failure = tensors["failure"].to(device)
    # a checkpoint of before outcomes were counted holds rates that rest on as many as are remembered
    env.sampler.seen = tensors.get("seen", torch.full_like(env.sampler.failure, MEMORY)).to(device)
    if not (isinstance(env.physics, CpuPhysics) and "physics" in tensors):
        return env.reset()
    env.physics.state[:] = tensors["physics"].numpy()
    env.foot_force = tensors["foot_force"]
    env.clip, env.frame, env.steps = tensors["clip"], tensors["frame"], tensors["steps"]
    if env.play is not None:
        env.play.speed.copy_(tensors["speed"])
    env.state = JointState(**{name: tensors[f"state.{name}"] for name in vars(env.state)})
    return None
