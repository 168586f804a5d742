"""The generator learns on accepted projections and a replay share, and is rolled back if it got worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import write_json
from morphloop.generator import CommandFailed, adheres, load_tuned
from morphloop.motion import Clip, read_manifest
from morphloop.motion.corpus.described import described_clips

from ..config import SelectionConfig
from ..guard import DECISIVE, compare_generators
from ..records import Record, finite
from ..round_state import RoundState, Tick
from ..stages import Finished
from .accepted import able, accepted_clips

GENERATOR_FOLDER = "generator"
GUARD_FILE = "guard.json"
FINETUNE_FILE = "finetune.json"
REPLAY_POOL = 2400
"""Described clips that a fine-tuning replays at most, a minute's making; up to there none is seen twice."""


def settings(state: RoundState) -> dict[str, Any]:
    """How it is tuned and what the guard asks."""
    config = state.config
    guarded = {"guard_prompts": config.guard_prompts, "guard_samples": config.guard_samples}
    guarded |= {"seconds": list(config.seconds), "known": list(config.prompts)}
    tuning = config.outside.finetune_command
    return asdict(config.finetune) | guarded | ({} if tuning is None else {"finetune_command": tuning})


def work(state: RoundState, folder: Path, seed: int, tick: Tick) -> dict[str, Any]:
    """Fine-tune, compare on held-out prompts with the first generator and with the one before, roll back if worse.

    Physics accepts what stays on its feet, whatever the prompt was: a jump that never left the ground, a turn to the
    wrong side. Learnt under its caption it is what makes a generator forget its words, so it is left out. So is a clip
    that physics made no better than it was generated.
    """
    generator, config = state.generator, state.config
    if not generator.can_finetune:
        return {"skipped": "this generator cannot be fine-tuned: its weights are not here"}
    accepted = accepted_clips(state.folder("project"), state.folder("select"))
    if not accepted:
        return {"skipped": "no clip was accepted: nothing to learn from"}
    accepted = able(accepted, state.done["robot"])
    if not accepted:
        return {"skipped": "the robot was accepted with no clip: nothing to learn from"}
    fits = fitting(accepted)
    if not fits:
        return {"skipped": "no accepted clip does what its prompt says: nothing to learn from"}
    learnt = bettered(fits, read_manifest(state.folder("select")), config.selection)
    if not learnt:
        why = f"physics bettered none of the {len(fits)} accepted clips that do what they should: nothing to learn from"
        return {"skipped": why}
    home = folder / GENERATOR_FOLDER
    replay_count = min(config.finetune.steps * config.finetune.from_replay, REPLAY_POOL)
    if not home.exists():
        replay = replayed(replay_count, seed)
        try:
            tuned = generator.finetune(learnt, replay, replace(config.finetune, seed=seed))
        except CommandFailed as error:
            return {"skipped": str(error)}
        if tuned.report is not None:
            write_json(folder / FINETUNE_FILE, finite(asdict(tuned.report)))
        half_written = folder / f"{GENERATOR_FOLDER}.partial"
        tuned.save(half_written)
        half_written.rename(home)
    tuned = load_tuned(home, generator)
    notes: dict[str, Any] = {"accepted": len(accepted), "fitting": len(fits), "learnt": len(learnt)}
    notes["replay"] = replay_count
    notes["generator"] = tuned.hash()
    if config.guard_prompts == 0:
        return notes | {"rolled_back": False, "guard": "no held-out prompts were asked for"}
    guard = compare_generators(state.start, generator, tuned, state.held_out, tick)
    write_json(folder / GUARD_FILE, guard)
    return notes | {"rolled_back": guard["rolled_back"]}


def hand_on(state: RoundState, done: Finished) -> RoundState:
    """The tuned generator goes on, unless the guard rolled it back."""
    if done.manifest["notes"].get("rolled_back") is not False:
        return state
    return replace(state, generator=load_tuned(done.folder / GENERATOR_FOLDER, state.generator))


def replayed(count: int, seed: int) -> list[Clip]:
    """Clips of the described corpus with one caption each, since a fine-tuning sees each of them once."""
    clips = described_clips(count, seed, "train")
    chosen = np.random.default_rng([seed, count])
    return [replace(clip, texts=(clip.texts[int(chosen.integers(len(clip.texts)))],)) for clip in clips]


def fitting(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that do what their captions say, as far as that can be told."""
    return [clip for clip in clips if all(adheres(clip, text) is not False for text in clip.texts)]


def bettered(clips: Sequence[Clip], rows: Sequence[Record], rules: SelectionConfig) -> list[Clip]:
    """The clips that physics made better than they were generated: by Phys-Err, or of what could not stand by itself.

    A tracked foot is never as still as a drawn one, so that of a clean clip physics makes a slightly worse one, and a
    generator that learns it gets worse. rows: of these clips, with the figures `before` and `after`; one without
    Phys-Err on both sides counts as bettered, for nothing speaks against it.
    """
    figures = {row["name"]: row for row in rows}
    return [clip for clip in clips if _better(figures[clip.name], rules)]


def _better(row: Record, rules: SelectionConfig) -> bool:
    before, after = (row[side].get(DECISIVE) for side in ("before", "after"))
    leant = row["before"].get("residual_wrench_ratio")
    if before is None or after is None or (leant is not None and leant > rules.max_residual):
        return True
    return after < before
