"""Projecting clips into a folder that can be killed and taken up: the project stage, of the loop and of `project`.

A clip is finished when its record carries the key of its input, of the config and of the code; the record is written
last, after every other file of the clip, and each file atomically. What has another key is done anew. Of a clip that is
rejected the longest good segment is kept as a clip of its own, which has no text and which nobody learns from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from morphloop.base import MotionError, write_json
from morphloop.base.still_valid import Basis, basis, hash_json, result_key
from morphloop.base.threads import held_threads
from morphloop.base.writing import copy_file
from morphloop.imitator import Policy, Projection, ProjectionConfig, project_clips
from morphloop.imitator.projection.config import RescueConfig
from morphloop.imitator.projection.rescue import SUFFIX, rescue
from morphloop.metrics import measure
from morphloop.motion import Clip, JointTrack, save_clip
from morphloop.sim import Body, RobotBody

from .config import SelectionConfig
from .records import (
    CLIPS,
    RECORDS,
    REFERENCES,
    ROLLOUTS,
    SOURCES,
    Record,
    broken_links,
    evidence,
    finite,
    load_record,
    measured,
    save_projection,
    sealed,
)
from .selection import judge
from .stages import OWN_CODE, STAGES
from .timing import append_timing, read_timing

FOLDERS = (SOURCES, REFERENCES, CLIPS, ROLLOUTS, RECORDS)
"""What projecting writes into its folder."""
RULES, MADE_WITH = ("projection", "selection", "rescue"), "made_with"
"""Parts of the settings that a folder's clips were made by."""


@dataclass(frozen=True)
class ProjectFolder:
    """Where projected clips go and by which rules.

    folder: the place; body: what they are tracked on; policy: what has a hand in it, None for none; projection,
    selection, rescue: how they are tracked, judged, and cut where they are rejected; number: of the loop's round;
    broken: files of finished clips that were found changed since.
    """

    folder: Path
    body: Body
    policy: Policy | None = None
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    rescue: RescueConfig = field(default_factory=RescueConfig)
    number: int | None = None
    broken: list[str] = field(default_factory=list)

    def project(
        self,
        clips: Sequence[Clip],
        tick: Callable[[int, int], None] = lambda done, total: None,
        joints: Mapping[str, JointTrack] | None = None,
        workers: int | None = None,
        on_broken: Callable[[str], None] = lambda link: None,
    ) -> tuple[list[Record], dict[str, str]]:
        """Project the clips that are not finished; the rows of all, in order, what was rescued of a clip after it, and
        by name why clips were not tried because the machine failed.

        joints: by name what was read as joint positions; on_broken: told of files of finished clips that were changed,
        whose clips are done again.
        """
        done = {clip.name: rows for clip in clips if (rows := self.finished(clip)) is not None}
        for link in self.broken:
            on_broken(link)
        faults: dict[str, str] = {}
        tick(len(done), len(clips))

        def keep(projection: Projection) -> None:
            name = projection.source.name
            if projection.fault:  # no verdict: the next run tries it again
                faults[name] = str(projection.reason)
                return
            append_timing(self.folder, "clip", name, projection.wall_s)
            done[name] = self.keep(projection, (joints or {}).get(name))
            tick(len(done), len(clips))

        left = [clip for clip in clips if clip.name not in done]
        project_clips(left, self.policy, self.projection, keep, self.body, workers)
        return [row for clip in clips for row in done.get(clip.name, [])], faults

    def settings(self) -> dict[str, Any]:
        """Everything but the input that a result depends on, as plain JSON values: the rules, and under `made_with`
        what they were applied with."""
        made = self._basis({})
        rules = {name: made["config"].pop(name) for name in RULES}
        return rules | {MADE_WITH: made["config"] | {"code": made["code"], "versions": made["versions"]}}

    def _basis(self, inputs: Mapping[str, Any]) -> Basis:
        settings = {
            "projection": asdict(self.projection),
            "selection": asdict(self.selection),
            "rescue": asdict(self.rescue),
            "models": {} if self.policy is None else {"policy": self.policy.hash},
            "body": self.body.hash,
            "control_hz": self.body.control_hz,
            "threads": held_threads(),
        }
        return basis((*STAGES["project"].code, *OWN_CODE), inputs, settings)

    def key(self, clip: Clip) -> str:
        """Key of what comes of a clip under these settings."""
        said = {"texts": list(clip.texts), "prompt": clip.provenance.prompt, "parent": clip.provenance.parent}
        return result_key(self._basis({"source": clip.id, "name": clip.name, "said": said}))

    def finished(self, clip: Clip) -> list[Record] | None:
        """The rows of a clip that is done already under the same key, its own first; None if it has to be done.

        One whose record or files somebody changed since has to be done, and is told in `broken`.
        """
        row = _read(self.folder, clip.name)
        if row is None and (self.folder / RECORDS / f"{clip.name}.json").exists():
            self.broken.append(f"{RECORDS}/{clip.name}.json: is damaged")
        if row is None or row.get("key") != self.key(clip):
            return None
        kept = row.get("rescued_as")
        rows = [row] if not isinstance(kept, str) else [row, _read(self.folder, kept)]
        found = [r for r in rows if r is not None]
        broken = [link for r in found for link in broken_links(self.folder, r)]
        if len(found) < len(rows):
            broken.append(f"{RECORDS}/{kept}.json: is missing or damaged")
        self.broken.extend(broken)
        return None if broken else found

    def take_over(self, clips: Sequence[Clip], others: Sequence[Path]) -> None:
        """Copy what became of these clips from folders that hold it, as shards do, whole and under the same settings.

        MotionError naming the first clip that none of them holds so, before anything is written.
        """
        found = [(clip.name, self._holder(clip, others)) for clip in clips if self.finished(clip) is None]
        for name, place in found:
            for stale in (name, name + SUFFIX):
                self._remove(stale)
            for part in (SUFFIX, ""):  # its own record last
                for kind in FOLDERS:
                    ending = ".json" if kind == RECORDS else ".npz"
                    path = place / kind / f"{name}{part}{ending}"
                    if path.is_file():
                        copy_file(path, self.folder / kind / path.name)
            wall_s = read_timing(place, "clip").get(name)
            if wall_s is not None:
                append_timing(self.folder, "clip", name, wall_s)
        self.broken.clear()

    def _holder(self, clip: Clip, others: Sequence[Path]) -> Path:
        """The folder that holds what became of a clip."""
        why = f"in none of {len(others)} folders; a shard is missing or not finished"
        for other in others:
            shard = replace(self, folder=other, broken=[])
            if shard.finished(clip) is not None:
                return other
            if shard.broken:
                raise MotionError(f"{other}/{shard.broken[0]}; run that shard again")
            if (other / RECORDS / f"{clip.name}.json").exists():
                why = f"made with other settings, input, code or versions in {other}"
        raise MotionError(f"--merge: clip '{clip.name}' is {why}")

    def sweep(self) -> None:
        """Take away what a run that was killed had half written."""
        for place in (".", *FOLDERS):
            for leftover in (self.folder / place).glob(".*.tmp"):
                leftover.unlink()

    def keep(self, projection: Projection, joints: JointTrack | None = None) -> list[Record]:
        """Write a projection, what can be rescued of it if it is rejected, and last its record; returns the rows.

        joints: what its file held where that are joint positions. `before` and `after` are read on the body's surface,
        `before_joints` is what the file's own joints score.
        """
        name = projection.source.name
        for stale in (name, name + SUFFIX):
            self._remove(stale)
        row = self._written(projection)
        row["before_joints"] = None if joints is None else finite(measure(joints).values)
        part = None
        if row["verdict"] == "rejected" and self.rescue.keep:
            part = self._rescued(projection)
        row |= {"rescued_as": None if part is None else part["name"], "key": self.key(projection.source)}
        row = sealed(row, self.folder)
        write_json(self.folder / RECORDS / f"{name}.json", row)
        return [row] if part is None else [row, part]

    def _written(self, projection: Projection) -> Record:
        """Write a projection's files; its row with figures and verdict."""
        record = save_projection(self.folder, projection, self.body, self.number)
        row = record | measured(self.folder, record["name"], self.body)
        row |= asdict(judge(evidence(row), self.selection, isinstance(self.body, RobotBody)))
        row["settings"] = hash_json(json.loads(json.dumps(self.settings())))
        return row

    def _rescued(self, projection: Projection) -> Record | None:
        """The row of the segment that was saved of a rejected clip, None if there is none that would be accepted."""
        part = rescue(projection, self.body, self.selection.max_slide_mm_s, self.rescue)
        if part is None:
            return None
        row = self._written(part)
        if row["verdict"] != "accepted":
            self._remove(part.source.name)
            return None
        assert part.clip is not None  # what was accepted was simulated
        span = part.clip.provenance.notes["rescued"]
        row |= {"verdict": "rescued", "rescued_of": span["of"], "from_s": span["from_s"], "to_s": span["to_s"]}
        kept = part.clip.with_provenance(verdict="rescued", round=self.number)
        save_clip(self.folder / CLIPS / f"{row['name']}.npz", kept)
        row = sealed(row, self.folder)
        write_json(self.folder / RECORDS / f"{row['name']}.json", row)
        return row

    def _remove(self, name: str) -> None:
        """Take away what an earlier run left of a clip, its record first."""
        (self.folder / RECORDS / f"{name}.json").unlink(missing_ok=True)
        for place in (SOURCES, REFERENCES, CLIPS, ROLLOUTS):
            (self.folder / place / f"{name}.npz").unlink(missing_ok=True)


def _read(folder: Path, name: str) -> Record | None:
    """A record, None if it is missing, damaged or of an older layout: then the clip is done again."""
    try:
        row = load_record(folder, name)
    except MotionError:
        return None
    whole = isinstance(row, dict) and {"id", "verdict"} <= row.keys() and row.get("name") == name
    return row if whole else None
