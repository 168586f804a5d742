"""What each of the six stages does in the folder that it is given. All of them can be taken up where they were left."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from morphloop.base import MachineFault, write_json
from morphloop.generator import FolderGenerator, Generator, Seconds, adheres, load_generator
from morphloop.imitator import Policy, Projection, UpdateConfig, load_policy, project_clips, update_policy
from morphloop.metrics import summarise
from morphloop.motion import Clip, make_corpus, read_manifest, save_clip, write_manifest

from .config import LoopConfig
from .guard import compare_generators
from .guard_samples import HeldOut
from .records import (
    CLIPS,
    Record,
    broken_links,
    evidence,
    finite,
    hash_rows,
    load_motion,
    load_record,
    measured,
    save_projection,
    sealed,
)
from .selection import Verdict, judge, tally
from .timing import append_timing

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
        return {"skipped": "no policy: the refiner projects every clip"}
    if 0 in (config.imitate_updates, config.imitate_demonstrations, config.imitate_budget_s):
        return {"skipped": "the budget is 0"}
    if len(clips) < 2:
        return {"skipped": "a single clip: none could be held out"}
    how = update_config(config)
    updated, report = update_policy(policy, clips, seed, how, folder=folder, limit_s=config.imitate_budget_s)
    write_json(folder / UPDATE_FILE, finite(report))
    updated.save(folder / POLICY_FILE)
    stopped = report.get("stopped")
    return {"policy": updated.hash} | ({} if stopped is None else {"stopped": stopped})


def update_config(config: LoopConfig) -> UpdateConfig:
    """How a run's policy is updated in each round."""
    base = UpdateConfig(conditioning=config.projection.conditioning, demonstrations=config.imitate_demonstrations)
    return replace(base, distil=replace(base.distil, updates=config.imitate_updates))


def project(
    folder: Path, sources: Sequence[Clip], policy: Policy | None, config: LoopConfig, number: int, tick: Tick
) -> dict[str, Any]:
    """Physics tracks every clip; each is kept as soon as it is done, and one that is kept already is not done again."""
    faults: list[str] = []
    found = {clip.name: record for clip in sources if (record := _whole(folder, clip)) is not None}
    tick(len(found), len(sources))

    def keep(projection: Projection) -> None:
        name = projection.source.name
        if projection.fault:
            faults.append(str(projection.reason))
            return
        append_timing(folder, "clip", name, projection.wall_s)
        found[name] = save_projection(folder, projection, number)
        tick(len(found), len(sources))

    project_clips([clip for clip in sources if clip.name not in found], policy, config.projection, keep)
    if faults:
        raise MachineFault(
            f"{len(faults)} of {len(sources)} clips were not tried, the machine failed ({faults[0]}); the others are "
            "kept, `morphloop loop resume` tries again"
        )
    records = [found[clip.name] for clip in sources]
    write_manifest(folder, records)
    return {"clips": len(records), "simulated": sum(record["id"] is not None for record in records)}


def _whole(folder: Path, clip: Clip) -> Record | None:
    """The record of a clip that was projected before a kill, None if there is none or its files are not as it tells."""
    try:
        record = load_record(folder, clip.name)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or (record.get("name"), record.get("source_id")) != (clip.name, clip.id):
        return None
    return None if broken_links(folder, record) else record


def measure_all(folder: Path, projected: Path, tick: Tick) -> dict[str, Any]:
    """Every clip's figures before and after, and of its frozen pose."""
    records = read_manifest(projected)
    rows = []
    for place, record in enumerate(records, 1):
        rows.append(sealed(record | measured(projected, record["name"])))
        tick(place, len(records))
    write_manifest(folder, rows)
    return {"clips": len(rows)}


def select(folder: Path, measured_folder: Path, config: LoopConfig) -> dict[str, Any]:
    """A verdict with a reason for every clip, and the figures over all clips and over accepted ones."""
    records = read_manifest(measured_folder)
    verdicts = [judge(evidence(record), config.selection) for record in records]
    rows = [sealed(record | asdict(verdict)) for record, verdict in zip(records, verdicts, strict=True)]
    write_manifest(folder, rows)
    write_json(folder / SUMMARY_FILE, summaries(rows) | {"rows": hash_rows(rows)})
    return tally(verdicts)


def summaries(rows: Sequence[Record]) -> dict[str, Any]:
    """Summary of every side over all clips and over accepted ones: {"all": {side: {metric: ...}}, "accepted": ...}."""
    groups = {"all": list(rows), "accepted": [row for row in rows if row["verdict"] == "accepted"]}
    sides = ("before", "after", "frozen", "tracking", "sim")
    return {
        group: {side: summarise([row[side] for row in members if row[side]]) for side in sides}
        for group, members in groups.items()
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
