"""The policy learns on this round's clips."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.imitator import load_policy, update_policy

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


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """Update the policy; the report says how it did on clips held out."""
    policy, config = state.policy, state.config
    if policy is None:
        return {"skipped": "no policy: the trajectory optimiser projects every clip"}
    how, limit_s = config.imitate, config.imitate_budget_s
    if 0 in (how.distil.updates, how.demonstrations, limit_s):
        return {"skipped": "the budget is 0"}
    clips = generated_clips(state.folder("generate"))
    if len(clips) < 2:
        return {"skipped": "a single clip: none could be held out"}
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
