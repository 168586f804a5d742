"""What each of the six stages does in the folder that it is given. All of them can be taken up where they were left."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from morphloop.base import MachineFault, write_json
from morphloop.generator import FolderGenerator, Generator, Seconds, adheres, load_generator
from morphloop.imitator import Policy, load_policy, update_policy
from morphloop.metrics import summarise
from morphloop.motion import Clip, make_corpus, read_manifest, save_clip, write_manifest
from morphloop.sim import default_body

from .config import LoopConfig
from .guard import compare_generators
from .guard_samples import HeldOut
from .project_folder import ProjectFolder
from .records import CLIPS, Record, finite, hash_rows, is_part, load_motion
from .selection import Verdict, tally

Tick = Callable[[int, int], None]
"""Told of progress: how many are done, of how many."""

POLICY_FILE = "policy.safetensors"
GENERATOR_FOLDER = "generator"
GUARD_FILE = "guard.json"
UPDATE_FILE = "update.json"
FINETUNE_FILE = "finetune.json"
SUMMARY_FILE = "summary.json"
REPLAY_POOL = 2400
"""Corpus clips that a fine-tuning replays at most, half a minute's making; up to there none is seen twice."""


def slug(text: str, limit: int = 32) -> str:
    """Text as a piece of a file name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:limit].strip("_") or "clip"


def generate(
    folder: Path, generator: Generator, prompts: Sequence[str], seconds: Seconds, number: int, seed: int, tick: Tick
) -> dict[str, Any]:
    """Prompts to clips; a clip is named by its place and what it shows. Unreadable files are noted."""
    clips = generator.generate(prompts, seed, seconds)
    rows = []
    for place, clip in enumerate(clips):
        name = f"{place:03d}_{slug(clip.provenance.prompt or clip.name)}"
        clip = replace(clip, name=name).with_provenance(round=number)
        save_clip(folder / CLIPS / f"{name}.npz", clip)
        rows.append({"name": name, "id": clip.id, "prompt": clip.provenance.prompt, "texts": list(clip.texts)})
        tick(place + 1, len(clips))
    write_manifest(folder, rows)
    notes: dict[str, Any] = {"clips": len(rows), "generator": generator.hash(), "failed": {}}
    if isinstance(generator, FolderGenerator):
        notes |= {"failed": generator.failed, "passed_over": [str(path) for path in generator.passed_over]}
    return notes


def generated_clips(folder: Path) -> list[Clip]:
    """The clips of a generate stage in order."""
    return [load_motion(folder / CLIPS / f"{row['name']}.npz") for row in read_manifest(folder)]


def imitate(
    folder: Path, clips: Sequence[Clip], policy: Policy | None, config: LoopConfig, seed: int
) -> dict[str, Any]:
    """Update the policy on this round's clips; the report says how it did on clips held out."""
    if policy is None:
        return {"skipped": "no policy: the trajectory optimiser projects every clip"}
    how, limit_s = config.imitate, config.imitate_budget_s
    if 0 in (how.distil.updates, how.demonstrations, limit_s):
        return {"skipped": "the budget is 0"}
    if len(clips) < 2:
        return {"skipped": "a single clip: none could be held out"}
    conditioning = config.projection.conditioning
    updated, report = update_policy(policy, clips, seed, how, folder=folder, limit_s=limit_s, conditioning=conditioning)
    write_json(folder / UPDATE_FILE, finite(report))
    updated.save(folder / POLICY_FILE)
    stopped = report.get("stopped")
    return {"policy": updated.hash} | ({} if stopped is None else {"stopped": stopped})


def project(
    folder: Path, sources: Sequence[Clip], policy: Policy | None, config: LoopConfig, number: int, tick: Tick
) -> dict[str, Any]:
    """Physics tracks every clip; each is kept as soon as it is done, and one that is kept already is not done again."""
    rules = (config.projection, config.selection, config.rescue)
    rows, faults = ProjectFolder(folder, default_body(), policy, *rules, number).project(sources, tick)
    if faults:
        why = next(iter(faults.values()))
        raise MachineFault(
            f"{len(faults)} of {len(sources)} clips were not tried, the machine failed ({why}); the others are "
            "kept, `morphloop loop resume` tries again"
        )
    write_manifest(folder, rows)
    simulated = sum(row["id"] is not None for row in rows if not is_part(row))
    return {"clips": len(sources), "simulated": simulated}


def measure_all(folder: Path, projected: Path, tick: Tick) -> dict[str, Any]:
    """The table of every clip's figures before and after, and of its frozen pose. They were taken as each clip was
    done: whether a part of it is to be rescued rests on them."""
    rows = read_manifest(projected)
    write_manifest(folder, rows)
    tick(len(rows), len(rows))
    return {"clips": len(rows)}


def select(folder: Path, measured_folder: Path) -> dict[str, Any]:
    """A verdict with a reason for every clip, and the figures over all clips, over accepted ones and over parts."""
    rows = read_manifest(measured_folder)
    write_manifest(folder, rows)
    write_json(folder / SUMMARY_FILE, summaries(rows) | {"rows": hash_rows(rows)})
    return tally(verdicts(folder))


def summaries(rows: Sequence[Record]) -> dict[str, Any]:
    """Summary of every side over all clips and over accepted ones, and over what was rescued where anything was:
    {"all": {side: {metric: ...}}, "accepted": ..., "rescued": ...}."""
    whole, parts = [row for row in rows if not is_part(row)], [row for row in rows if is_part(row)]
    groups = {"all": whole, "accepted": [row for row in whole if row["verdict"] == "accepted"]}
    sides = ("before", "after", "frozen", "tracking", "sim")
    return {
        group: {side: summarise([row[side] for row in members if row[side]]) for side in sides}
        for group, members in (groups | ({"rescued": parts} if parts else {})).items()
    }


def verdicts(folder: Path) -> list[Verdict]:
    """The verdicts of a select stage."""
    return [Verdict(r["name"], r["verdict"], r["reason"], r["detail"]) for r in read_manifest(folder)]


def accepted_clips(projected: Path, selected: Path) -> list[Clip]:
    """What a select stage accepted of a project stage."""
    names = [verdict.name for verdict in verdicts(selected) if verdict.verdict == "accepted"]
    return [load_motion(projected / CLIPS / f"{name}.npz") for name in names]


def fitting(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that do what their captions say, as far as that can be told."""
    return [clip for clip in clips if all(adheres(clip, text) is not False for text in clip.texts)]


def finetune(
    folder: Path,
    projected: Path,
    selected: Path,
    generator: Generator,
    start: Generator,
    held_out: HeldOut,
    config: LoopConfig,
    seed: int,
    tick: Tick,
) -> dict[str, Any]:
    """Fine-tune on accepted projections and a replay share, compare on held-out prompts, roll back if it got worse.

    Physics accepts what stays on its feet, whatever the prompt was: a jump that never left the ground, a turn to the
    wrong side. Learnt under its caption it is what makes a generator forget its words, so it is left out.
    start: the run's first generator, with which the tuned one is compared as with `generator`, the round before.
    """
    if not generator.can_finetune:
        return {"skipped": "this generator cannot be fine-tuned: it is a folder of outputs"}
    accepted = accepted_clips(projected, selected)
    if not accepted:
        return {"skipped": "no clip was accepted: nothing to learn from"}
    learnt = fitting(accepted)
    if not learnt:
        return {"skipped": "no accepted clip does what its prompt says: nothing to learn from"}
    home = folder / GENERATOR_FOLDER
    replay_count = min(config.finetune.steps * config.finetune.from_replay, REPLAY_POOL)
    if not home.exists():
        replay = make_corpus(replay_count, seed, "train") if replay_count else []
        tuned = generator.finetune(learnt, replay, replace(config.finetune, seed=seed))
        if tuned.report is not None:
            write_json(folder / FINETUNE_FILE, finite(asdict(tuned.report)))
        half_written = folder / f"{GENERATOR_FOLDER}.partial"
        tuned.save(half_written)
        half_written.rename(home)
    tuned = load_generator(home)
    notes: dict[str, Any] = {"accepted": len(accepted), "learnt": len(learnt), "replay": replay_count}
    notes["generator"] = tuned.hash()
    if config.guard_prompts == 0:
        return notes | {"rolled_back": False, "guard": "no held-out prompts were asked for"}
    guard = compare_generators(start, generator, tuned, held_out, tick)
    write_json(folder / GUARD_FILE, guard)
    return notes | {"rolled_back": guard["rolled_back"]}


def open_policy(path: Path | str | None) -> Policy | None:
    """The imitator of a file, None for none."""
    return None if path is None else load_policy(Path(path))
