"""The policy learns on this round's clips."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.imitator import Policy, load_policy, update_policy
from morphloop.motion import read_manifest

from ..config import LoopConfig
from ..records import finite
from ..round_state import RoundState, Tick
from ..stages import Finished
from .generate import generated_clips

POLICY_FILE = "policy.safetensors"
UPDATE_FILE = "update.json"


def settings(state: RoundState) -> dict[str, Any]:
    """How it learns."""
    config = state.config
    conditioning = asdict(config.projection.conditioning)
    return asdict(config.imitate) | {"conditioning": conditioning, "limit_s": config.imitate_budget_s}


def idle(policy: Policy | None, config: LoopConfig, clips: int) -> str | None:
    """Why nothing is taught on so many clips; None where something is."""
    if policy is None:
        return "no policy: the trajectory optimiser projects every clip"
    if 0 in (config.imitate.distil.updates, config.imitate.demonstrations, config.imitate_budget_s):
        return "the budget is 0"
    return "a single clip: none could be held out" if clips < 2 else None


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """Update the policy; the report says how it did on clips held out."""
    policy, config = state.policy, state.config
    why = idle(policy, config, len(read_manifest(state.folder("generate"))))
    if policy is None or why is not None:
        return {"skipped": why}
    clips, how, limit_s = generated_clips(state.folder("generate")), config.imitate, config.imitate_budget_s
    conditioning = config.projection.conditioning
    updated, report = update_policy(policy, clips, seed, how, folder=folder, limit_s=limit_s, conditioning=conditioning)
    write_json(folder / UPDATE_FILE, finite(report))
    updated.save(folder / POLICY_FILE)
    stopped = report.get("stopped")
    return {"policy": updated.hash} | ({} if stopped is None else {"stopped": stopped})


def hand_on(state: RoundState, done: Finished) -> RoundState:
    """The updated policy goes on, if there is one."""
    path = done.folder / POLICY_FILE
    return replace(state, policy=load_policy(path)) if path.exists() else state
