"""The imitator's bench: what becomes of every clip of some sets in physics, a row a clip and column.

Columns: `no_network` (PD targets with balance feedback, nothing learned), `policy` (the policy alone) and `auto`
(the policy, then the trajectory optimiser for what it failed); beside them what the input itself scores and what a
frozen pose does. A row is appended as soon as it is final, so that a bench that was killed goes on. A clip that
failed is measured up to where it failed; one that could not be prepared fails as well and has no figures.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from morphloop.base import MachineFault, MotionError, write_json
from morphloop.base.still_valid import basis, result_key
from morphloop.base.threads import fixed_threads, held_threads
from morphloop.base.writing import copy_file
from morphloop.envs import prepare
from morphloop.metrics import frozen_pose, measure, track_errors
from morphloop.motion import Clip
from morphloop.motion.files import load_rollout, save_rollout
from morphloop.sim import Body, default_body

from ..optimal_control.many_clips import Tracked
from ..projection.config import ProjectionConfig
from ..projection.project import Projection, project_clips
from ..training.policy import Policy, new_policy
from .config import COLUMNS, BenchConfig, Column
from .sets import BenchSet, cut

CONTROL = "control"
"""Column of the rows of the untouched input and of the frozen pose."""
ROWS_FILE, OPTIMISED = "rows.jsonl", "optimised"
PHYSICS = (
    "physdiff_penetrate_mm",
    "physdiff_float_mm",
    "physdiff_skate_mm",
    "physdiff_phys_err_mm",
    "slide_mean_mm_s",
    "unsupported_ratio",
)
"""Metrics that are reported before and after."""
FORCES = ("slide_loaded_mm_s", "restep_per_s", "restep_mm")
"""Metrics of what physics did, which need its forces."""
TRACKING = ("success", "success_strict", "skill", "e_mpjpe_mm", "e_g_mpjpe_mm")
CODE = ("motion", "sim", "metrics", "envs", "imitator")
"""Folders whose code a row rests on."""

Row = dict[str, Any]
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BenchRun:
    """What a bench found. config: of it; policy: its hash, None for none; sets: of it; rows: by (clip id, column), of
    this run's clips."""

    config: BenchConfig
    policy: str | None
    sets: tuple[BenchSet, ...]
    rows: dict[tuple[str, str], Row]

    def clips(self, found: BenchSet, column: Column) -> list[Clip]:
        """The clips of a set as a column tracks them."""
        return [cut(clip, self.config.seconds_of(column)) for clip in found.clips]

    @property
    def unreplayed(self) -> list[str]:
        """Clips whose rollout did not replay, by column."""
        return [f"{r['column']} {r['name']}: {r['unreplayed']}" for r in self.rows.values() if r.get("unreplayed")]


def zero_policy(body: Body) -> Policy:
    """A policy that does nothing: PD targets and balance feedback are all that drives the body."""
    policy = new_policy(body)
    last = policy.actor[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
    return policy.eval()


@fixed_threads()
def run_bench(
    policy: Policy | None,
    out: Path,
    sets: Iterable[BenchSet],
    config: BenchConfig | None = None,
    watch: Watch = lambda label, done, total: None,
    body: Body | None = None,
    workers: int | None = None,
    shards: Sequence[Path] = (),
) -> BenchRun:
    """Run what is not in `out` yet. policy: None runs column `auto` with the optimiser alone; sets: of a generator each
    is read when the one before is done; watch: told of progress; workers: as `project_clips` has them; shards: work
    folders that hold all that is not in `out`, so that nothing is run.

    MotionError for a row that no shard has, and, before any set is read, for an unknown column and for column `policy`
    without a policy.
    """
    config, body = config or BenchConfig(), body or default_body()
    _check(config, policy)
    kept = Optimised(out / OPTIMISED, config.projection, body)
    rows = Rows(out, shards)
    maker, done = _Maker(policy, config, rows, body, watch, workers, kept), list[BenchSet]()
    for found in sets:
        done.append(found)
        for column in config.columns:
            clips = [cut(clip, config.seconds_of(column)) for clip in found.clips]
            maker.controls(found.name, clips)
            maker.column(found.name, column, clips)
    for shard in shards:
        kept.take_over(shard / OPTIMISED)
    return BenchRun(config, None if policy is None else policy.hash, tuple(done), maker.used)


def _check(config: BenchConfig, policy: Policy | None) -> None:
    for column in config.columns:
        if column not in COLUMNS:
            raise MotionError(f"no column '{column}', expected some of {', '.join(COLUMNS)}")
    if policy is None and "policy" in config.columns:
        raise MotionError("column 'policy' needs a policy, give one or leave the column out")


class Rows:
    """The rows of a work folder, by key; what a kill cut short is taken off before anything is appended.

    shards: work folders that hold what this one does not. MotionError for one that is none.
    """

    def __init__(self, folder: Path, shards: Sequence[Path] = ()):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ROWS_FILE
        self._known, whole = _rows_of(self.path) if self.path.exists() else ({}, None)
        if whole is not None and whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        for shard in shards:
            if not (shard / ROWS_FILE).is_file():
                raise MotionError(f"{shard}: no {ROWS_FILE} there, expected the work folder of a shard")
        self._shards = [_rows_of(shard / ROWS_FILE)[0] for shard in shards]

    def find(self, key: str) -> Row | None:
        """The row of a key, None if it is still to be made. MotionError where a shard should have it and none does."""
        row = self._known.get(key)
        if row is not None or not self._shards:
            return row
        for shard in self._shards:
            if key in shard:
                return self.add(shard[key])
        raise MotionError(
            f"--merge: a clip's row is in none of {len(self._shards)} work folders; a shard is missing, not finished "
            "or made with other settings, clips, code or versions"
        )

    def add(self, row: Row) -> Row:
        """Append a row; returns it as a reader will find it."""
        line = json.dumps(_finite(row), allow_nan=False)
        with self.path.open("a") as stream:
            stream.write(line + "\n")
        self._known[row["key"]] = json.loads(line)
        return self._known[row["key"]]


def _rows_of(path: Path) -> tuple[dict[str, Row], int]:
    """The rows of a file by key, and the bytes that whole lines take."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    known: dict[str, Row] = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
            known[row["key"]] = row
        except (ValueError, KeyError, TypeError):
            raise MotionError(
                f"{path}:{number}: not a row of the bench, take it out or choose another folder"
            ) from None
    return known, len(whole)


@dataclass(frozen=True)
class Optimised:
    """What iLQR made of clips, a file each: it does not rest on the policy, so that the bench of another one does not
    do it again.

    folder: where the files are; config: of the projection; body: that was driven
    """

    folder: Path
    config: ProjectionConfig
    body: Body

    def _path(self, clip: Clip) -> Path:
        settings = {name: asdict(self.config)[name] for name in ("conditioning", "ilqr")}
        return self.folder / f"{_key(clip, 'optimised', self.body, settings)}.npz"

    def find(self, clip: Clip) -> Tracked | None:
        """What was made of a clip; None if nothing was, or its file is damaged."""
        path = self._path(clip)
        try:
            return Tracked(load_rollout(path), None, float(self._told(clip)["wall_s"]))
        except (OSError, ValueError, KeyError, MotionError):
            return None

    def _told(self, clip: Clip) -> Row:
        return json.loads(self._path(clip).with_suffix(".json").read_text())

    def take_over(self, shard: Path) -> None:
        """What another work folder holds."""
        for path in sorted(shard.glob("*.*")):
            if path.suffix in (".npz", ".json") and not (self.folder / path.name).exists():
                copy_file(path, self.folder / path.name)

    def keep(self, clip: Clip, tracked: Tracked) -> None:
        """A clip of which nothing came is tried again next time: the machine may have been at fault."""
        if tracked.rollout is not None:
            path = self._path(clip)
            told = {"name": clip.name, "wall_s": tracked.wall_s}
            write_json(path.with_suffix(".json"), told)
            save_rollout(path, tracked.rollout)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _key(clip: Clip, column: str, body: Body, settings: Any) -> str:
    inputs = {"clip": clip.id, "body": body.hash}
    return result_key(basis(CODE, inputs, {"column": column, "settings": settings, "threads": held_threads()}))


def _control(clip: Clip, body: Body) -> Row:
    try:
        reference = prepare(clip, body)
        tracking = _picked(track_errors(frozen_pose(reference), reference), TRACKING)
    except MotionError:  # the columns have the reason in their rows
        tracking = {}
    return {
        "before": _picked(measure(clip, body, wrench=False).values, PHYSICS),
        "frozen": {
            "tracking": tracking,
            "after": _picked(measure(frozen_pose(clip), body, wrench=False).values, PHYSICS),
        },
    }


@dataclass
class _Maker:
    """Makes the rows that are not there yet. used: rows of this run by (clip id, column)."""

    policy: Policy | None
    config: BenchConfig
    rows: Rows
    body: Body
    watch: Watch
    workers: int | None
    kept: Optimised
    used: dict[tuple[str, str], Row] = field(default_factory=dict)

    def told(self, label: str) -> Callable[[int, int], None]:
        """`watch` for one label."""
        return lambda done, total: self.watch(label, done, total)

    def controls(self, name: str, clips: Sequence[Clip]) -> None:
        """Rows of what the untouched inputs score, and their frozen first poses."""
        for number, clip in enumerate(clips, 1):
            key = _key(clip, CONTROL, self.body, None)
            row = self.rows.find(key)
            if row is None:
                row = self.rows.add(_told(key, name, CONTROL, clip) | _control(clip, self.body))
            self.used[clip.id, CONTROL] = row
            self.watch(f"{name} input", number, len(clips))

    def column(self, name: str, column: Column, clips: Sequence[Clip]) -> None:
        """Rows of a set's clips in one column."""
        driver = zero_policy(self.body) if column == "no_network" else self.policy
        settings = projection_config(column, driver, self.config)
        told = [_of_use(settings), None if driver is None else driver.hash]
        keys = {clip.id: _key(clip, column, self.body, told) for clip in clips}
        found = {clip_id: row for clip_id, key in keys.items() if (row := self.rows.find(key)) is not None}
        watch, faults = self.told(f"{name} {column}"), list[str]()

        def keep(projection: Projection) -> None:
            clip = projection.source
            if projection.fault:
                faults.append(str(projection.reason))
                return
            row = _told(keys[clip.id], name, column, clip) | _projected(projection, self.body)
            found[clip.id] = self.rows.add(row)
            watch(len(found), len(keys))

        watch(len(found), len(keys))
        left = [clip for clip in {c.id: c for c in clips}.values() if clip.id not in found]
        if left:
            project_clips(left, driver, settings, keep, self.body, self.workers, self.kept)
        if faults:
            raise MachineFault(
                f"{len(faults)} of {len(left)} clips were not tried, the machine failed ({faults[0]}); run it again"
            )
        self.used |= {(clip_id, column): row for clip_id, row in found.items()}


def projection_config(column: Column, driver: Policy | None, config: BenchConfig) -> ProjectionConfig:
    """How a column projects."""
    projector = "policy" if column != "auto" else "auto" if driver is not None else "optimiser"
    return replace(config.projection, projector=projector)


def _of_use(config: ProjectionConfig) -> dict[str, Any]:
    """What of a projection's settings a row rests on: a policy alone asks nothing of the optimiser's."""
    settings = asdict(config)
    if config.projector == "policy":
        return {name: settings[name] for name in ("projector", "conditioning")}
    return settings


def _told(key: str, name: str, column: str, clip: Clip) -> Row:
    """What every row begins with."""
    return {
        "key": key,
        "set": name,
        "column": column,
        "name": clip.name,
        "id": clip.id,
        "seconds": clip.duration,
    }


def _projected(projection: Projection, body: Body) -> Row:
    """Figures of a projection."""
    clip, certificate = projection.clip, projection.certificate
    passed = certificate is None or certificate.passed
    return {
        "projector": projection.projector,
        "reason": projection.reason,
        "unreplayed": None if passed or certificate is None else certificate.reason or "does not replay",
        "reached": 0.0 if clip is None else clip.duration / max(projection.source.duration, 1e-9),
        "wall_s": projection.wall_s,
        "tracking": _picked(projection.tracking, TRACKING),
        "after": {} if clip is None else _picked(_measured(projection, clip, body), (*PHYSICS, *FORCES)),
    }


def _measured(projection: Projection, clip: Clip, body: Body) -> dict[str, float | None]:
    """Figures of what physics did, with the forces of its rollout."""
    rollout, reference = projection.rollout, projection.reference
    return measure(clip, body, wrench=False, rollout=rollout, reference=reference).values


def _picked(values: dict[str, float | None], names: Iterable[str]) -> dict[str, float | None]:
    return {name: values[name] for name in names if name in values}
