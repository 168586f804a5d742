"""Batch evaluation: files in, an `Evaluation` out that the terminal, the JSON file and the page are made from.

A folder of any size streams through worker processes; rows wait in a temporary file (`spool`), so memory holds 8 bytes
a figure and no clip. The result does not depend on the number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from morphloop import __version__
from morphloop.base import MotionError, write_atomic
from morphloop.base.plugins import METRICS as METRIC_GROUP
from morphloop.base.plugins import READERS, plugin_versions
from morphloop.base.pool import crew_size, run_tasks
from morphloop.base.shards import WHOLE, Shard
from morphloop.base.still_valid import hash_json
from morphloop.metrics.controls import CLEAN_WALK, CLEAN_WALK_FLOOR, control_of
from morphloop.metrics.registry import METRICS
from morphloop.metrics.summary import Summary, summarise_values
from morphloop.motion import find_motions
from morphloop.motion.config import ReadingConfig
from morphloop.motion.plausible import Doubt
from morphloop.sim import load_body
from morphloop.sim.bodies.built_in import DEFAULT_SPEC

from ..config import EvaluateConfig
from .measuring import CLIPS, Job, measure_file
from .pair_times import PairTimes, apart, apart_facts
from .spool import Row, Spool

Watch = Callable[[str, int, int], None]
"""Told label, done and total of long work."""
FROZEN_CLIPS = 256
"""Files whose frozen pose is measured for the control, spread evenly over the batch: enough for a mean, and a long
batch does not take twice the time."""
NOT_CLIPS = ("sources", "references", "rollouts")
"""Folders that `morphloop project` writes beside its `clips`; they are not results."""
SHOWN_PAIRS = 200
"""Clips unlike their reference in time that a result lists; their number is always told."""
FEW_FILES = 8
"""Files up to which starting workers takes longer than it saves: each imports for two to three seconds."""


Failure = tuple[int, int, str, str]
"""Number of a file, of a clip in it, path and reason."""


@dataclass
class Evaluation:
    """What a batch scored. paths: as they were given; body_hash: of the compiled body; rows: of all clips, on disk;
    failed: {"path", "reason"}; doubts: what looks wrong with a clip, by its path; failures: those of `failed` that were
    begun; files: hash of the paths of all files of the batch; times: by key of a row, those of the clip and of its
    reference where they differ."""

    config: EvaluateConfig
    paths: tuple[str, ...]
    body_hash: str
    rows: Spool = field(default_factory=Spool)
    failed: list[dict[str, str]] = field(default_factory=list)
    doubts: list[tuple[str, Doubt]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    files: str = ""
    times: dict[tuple[int, int], PairTimes] = field(default_factory=dict)
    _summaries: dict[tuple[str, str], dict[str, Summary]] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """What the batch is called: the name of its path, or of the first of many."""
        names = [Path(path).resolve().name for path in self.paths]
        return ", ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"

    def add(self, number: int, clip: int, row: Row, frozen: Mapping[str, float | None] | None) -> None:
        """A row, of a clip in the file of this number, and the figures of its control."""
        self.doubts += [(row["path"], Doubt(**doubt)) for doubt in row.get("doubts", [])]
        if (other := row.get("reference")) is not None:
            pair = PairTimes(row["name"], (row["fps"], other["fps"]), (row["frames"], other["frames"]))
            if pair.differs:
                self.times[number, clip] = pair
        self.rows.add(number, clip, row, frozen)

    def ended(self) -> Evaluation:
        """Itself, with what was begun and failed in `failed`, in the order of the files."""
        self.failed += [{"path": path, "reason": reason} for _, _, path, reason in sorted(self.failures)]
        return self

    @property
    def apart(self) -> list[PairTimes]:
        """Clips of another frame rate or length than their reference."""
        return apart(pair for _, pair in sorted(self.times.items()))

    @property
    def variants(self) -> list[str]:
        return sorted(self.rows.variants)

    def summary(self, variant: str, side: str = "metrics") -> dict[str, Summary]:
        """Mean, median and interval of each metric over the clips of a variant; side: metrics, before or frozen.

        Like `change` it is computed once: the rows of a finished evaluation do not change.
        """
        rows = self.rows.variants[variant]
        if (variant, side) not in self._summaries:
            found = {name: summarise_values(rows.column(name, side)) for name in rows.names(side)}
            self._summaries[variant, side] = found
        return self._summaries[variant, side]

    def clean(self, variant: str) -> dict[str, float]:
        """What clean capture scores, by metric. It was measured on the built-in body: nothing for other surfaces."""
        other_surface = variant == "surface" and self.body_hash != load_body().hash
        return {} if other_surface else CLEAN_WALK.get(self._control(variant), {})

    def clean_floor(self, variant: str) -> str:
        """Where that capture has its ground, in words."""
        return CLEAN_WALK_FLOOR.get(self._control(variant), "")

    def _control(self, variant: str) -> str:
        offset = self.summary(variant).get("ground_offset_mm")
        return control_of(variant, self.config.ground, (offset["median"] if offset else None) or 0.0)

    def change(self, variant: str) -> dict[str, Summary]:
        """Paired difference, clip minus what it was before, of the clips that have both."""
        rows = self.rows.variants[variant]
        if (variant, "change") not in self._summaries:
            found = {n: summarise_values(rows.column(n) - rows.column(n, "before")) for n in rows.names("before")}
            self._summaries[variant, "change"] = found
        return self._summaries[variant, "change"]


def evaluate(
    paths: Iterable[Path | str],
    config: EvaluateConfig | None = None,
    watch: Watch | None = None,
    shard: Shard = WHOLE,
) -> Evaluation:
    """Measure every clip of these files and folders. What cannot be read or measured stands in `failed`.

    watch: told the progress; shard: which of the files. MotionError for no path, workers under 0, or a reference folder
    that is none. Worker processes import the main script again, as Python's multiprocessing does: call this under
    `if __name__ == "__main__":`.
    """
    config = config or EvaluateConfig()
    if config.workers is not None and config.workers < 0:
        raise MotionError(f"{config.workers} workers, expected 0 for this process alone, or more")
    result, every = begin(paths, config)
    jobs = shard.take(list(enumerate(every)))
    workers, done = crew_size(config.workers, len(jobs), FEW_FILES), 0
    for place, message in run_tasks(measure_file, (job.message() for _, job in jobs), workers):
        number, job = jobs[place]
        if watch is not None and done == 0:
            watch("measuring", 0, len(jobs))
        if message is None:
            done += 1
            if watch is not None:
                watch("measuring", done, len(jobs))
        elif "row" in message:
            result.add(number, message["clip"], message["row"], message["frozen"])
        elif "died" in message:
            result.failures.append((number, 0, job.path, f"the worker that measured it died: {message['died']}"))
        else:
            result.failures.append((number, message["clip"], message["path"], message["failed"]))
    return result.ended()


def begin(paths: Iterable[Path | str], config: EvaluateConfig) -> tuple[Evaluation, list[Job]]:
    """An evaluation without rows yet, and what is to be measured. MotionError as `evaluate`."""
    named = [Path(path) for path in paths]
    result = Evaluation(config, tuple(str(path) for path in named), load_body(config.body).hash)
    files = motion_files(named, result.failed)
    references = None if config.reference is None else _references(config.reference)
    jobs = _jobs(files, references, config, result.failed)
    result.files = hash_json([job.path for job in jobs])
    return result, jobs


def motion_files(paths: Sequence[Path], failed: list[dict[str, str]]) -> list[Path]:
    """Motion files of all paths, each once; a path with none goes to `failed`. MotionError for no path at all.

    Of a folder that `morphloop project` or a loop wrote only the clips count, not what they were made from.
    """
    if not paths:
        raise MotionError("no motion file given, expected files or folders")
    files: list[Path] = []
    for path in paths:
        try:
            found = find_motions(path)
            files += [file for file in found if _is_result(file)] if path.is_dir() else found
        except MotionError as error:
            failed.append({"path": str(path), "reason": " ".join(str(error).split()).removeprefix(f"{path}: ")})
    return list(dict.fromkeys(files))


def _is_result(path: Path) -> bool:
    return path.parent.name not in NOT_CLIPS or not (path.parent.parent / CLIPS).is_dir()


def _references(folder: Path) -> dict[str, Path]:
    """Reference files by name; MotionError if there are none, or two of one name."""
    found: dict[str, Path] = {}
    for path in find_motions(folder):
        if path.stem in found:
            raise MotionError(f"{path}: a second reference named '{path.stem}', expected one")
        found[path.stem] = path
    return found


def _jobs(
    files: Sequence[Path],
    references: dict[str, Path] | None,
    config: EvaluateConfig,
    failed: list[dict[str, str]],
) -> list[Job]:
    """What is to be measured; a file without a reference where one is wanted goes to `failed`."""
    stride = -(-len(files) // FROZEN_CLIPS)
    jobs = []
    for number, path in enumerate(files):
        reference = None if references is None else references.get(path.stem)
        if references is not None and reference is None:
            failed.append({"path": str(path), "reason": f"no reference named '{path.stem}'"})
            continue
        jobs.append(
            Job(
                path=str(path),
                reading=ReadingConfig.of(config),
                ground=config.ground,
                body=config.body,
                reference=None if reference is None else str(reference),
                frozen=number % stride == 0,
                wrench=config.wrench,
                rank=config.rank,
            )
        )
    return jobs


def write_rows(stream: IO[bytes], name: str, result: Evaluation) -> None:
    """A field of the JSON file that holds all rows, a line each; they go from file to file, whatever their number."""
    stream.write(f'"{name}": ['.encode())
    for number, line in enumerate(result.rows.lines()):
        stream.write((b",\n  " if number else b"\n  ") + line)
    stream.write(b"],\n")


def write_evaluation(
    path: Path | str, result: Evaluation, more: dict[str, Any] | None = None, other: Evaluation | None = None
) -> Path:
    """The result as JSON (schema 1), a line a clip, atomically.

    more: further fields; other: a second batch whose rows are the field "clips_b".
    """
    tail = facts(result) | (more or {})

    def write(stream: IO[bytes]) -> None:
        stream.write(b'{"schema": 1,\n')
        write_rows(stream, "clips", result)
        if other is not None:
            write_rows(stream, "clips_b", other)
        for name, value in tail.items():
            last = name == list(tail)[-1]
            text = json.dumps({name: value}, allow_nan=False, indent=1)[1:-1].strip("\n")
            stream.write(text.encode() + (b"\n}\n" if last else b",\n"))

    return write_atomic(path, write)


def facts(result: Evaluation) -> dict[str, Any]:
    """All of the result but its rows, as plain JSON values."""
    variants = result.variants
    paired = [variant for variant in variants if result.rows.variants[variant].names("before")]
    return {
        "summary": {variant: result.summary(variant) for variant in variants},
        "before": {
            variant: {"summary": result.summary(variant, "before"), "change": result.change(variant)}
            for variant in paired
        },
        "controls": {
            "frozen_pose": {
                variant: result.summary(variant, "frozen")
                for variant in variants
                if result.rows.variants[variant].names("frozen")
            },
            "clean_mocap": {variant: result.clean(variant) for variant in variants},
            "clean_mocap_floor": {variant: result.clean_floor(variant) for variant in variants},
        },
        **({} if result.config.reference is None else {"reference": apart_facts(result.apart, SHOWN_PAIRS)}),
        "set": {},
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "versions": versions(result),
        "failed": result.failed,
    }


def versions(result: Evaluation) -> dict[str, str]:
    """What the figures depend on beside the clips."""
    body = {"body": str(result.config.body or DEFAULT_SPEC), "body hash": result.body_hash}
    ours = {"morphloop": __version__} | {name: version(name) for name in ("mujoco", "numpy", "scipy")}
    return ours | plugin_versions(READERS, METRIC_GROUP) | body
