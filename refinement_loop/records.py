"""One projected clip on disk: its files, its record, and the figures before and after.

Whoever projects, measures or reports shares these, so that a clip looks the same wherever it was made:
`sources/` (what came in, on the default skeleton), `references/` (what was tracked), `clips/` (what physics did),
`rollouts/`, and `records/NAME.json`, written last: a clip with a record is finished. A record holds the hash of each
of its files and of itself, so that what was changed afterwards is named (`broken_links`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from morphloop.base import MotionError, write_json
from morphloop.base.opening import read_json
from morphloop.base.still_valid import hash_file, hash_json
from morphloop.imitator import Projection
from morphloop.metrics import frozen_pose, measure, track_errors
from morphloop.motion import Clip, load_clip, load_rollout, save_clip, save_rollout
from morphloop.sim import Body

from .departure import Departure, departure
from .selection import Evidence, head_drop, out_of_range_ratio

SOURCES, REFERENCES, CLIPS, ROLLOUTS, RECORDS = "sources", "references", "clips", "rollouts", "records"
ASKED = ("unsupported_ratio", "residual_wrench_ratio")
"""Figures of a reference whose tracking failed: what it asks for that nobody can do."""
AROUND_S = (1.0, 0.5)
"""Seconds before and after a failure that are looked at for its cause: a body that fails had begun to fall before."""
Record = dict[str, Any]


def finite(value: Any) -> Any:
    """Plain JSON values with NaN and infinity as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def sealed(record: Record, folder: Path | None = None) -> Record:
    """The record with the hash of itself, and, where a folder is given, with those of its files there as they are."""
    if folder is not None:
        places = (f"{place}/{record['name']}.npz" for place in (SOURCES, REFERENCES, CLIPS, ROLLOUTS))
        record = record | {
            "files": {place: hash_file(folder / place) for place in places if (folder / place).is_file()}
        }
    return record | {"hash": _own_hash(record)}


def is_sealed(record: Record) -> bool:
    """Whether a record is as it was when its hash was taken; a table may add the seconds that it took, which no hash
    covers."""
    return record.get("hash") == _own_hash(record)


def _own_hash(record: Record) -> str:
    return hash_json({name: value for name, value in record.items() if name not in ("hash", "wall_s")})


def is_part(record: Record) -> bool:
    """Whether a record is of a segment that was rescued of a clip, not of a whole one."""
    return "rescued_of" in record


def hash_rows(rows: Sequence[Record]) -> str:
    """What a table made of records is chained to: a hash over those of its rows, in order."""
    return hash_json([row.get("hash") for row in rows])


def broken_links(folder: Path, record: Record) -> list[str]:
    """What is no longer as it was when the record was written: the record itself, or files of its clip, each named."""
    name, files = record.get("name"), record.get("files")
    if not is_sealed(record):
        return [f"{RECORDS}/{name}.json: changed since it was written"]
    if not isinstance(files, dict):
        return [f"{RECORDS}/{name}.json: tells no files"]
    broken = []
    for place in (SOURCES, REFERENCES, CLIPS, ROLLOUTS):
        path = f"{place}/{name}.npz"
        there = (folder / path).is_file()
        if path in files and not there:
            broken.append(f"{path}: is missing")
        elif path in files and hash_file(folder / path) != files[path]:
            broken.append(f"{path}: changed since it was written")
        elif there and path not in files:
            broken.append(f"{path}: was added since")
    return broken


def save_projection(folder: Path, projection: Projection, body: Body, round_: int | None = None) -> Record:
    """Write the files of a projection on a body and, last, its record. Returns the record, sealed."""
    source, reference, clip = projection.source, projection.reference, projection.clip
    name = source.name
    save_clip(folder / SOURCES / f"{name}.npz", source)
    if reference is not None:
        save_clip(folder / REFERENCES / f"{name}.npz", reference)
    if projection.rollout is not None:
        save_rollout(folder / ROLLOUTS / f"{name}.npz", projection.rollout)
    if clip is not None:
        save_clip(folder / CLIPS / f"{name}.npz", clip.with_provenance(round=round_))
    record: Record = {
        "name": name,
        "id": None if clip is None else clip.id,
        "source_id": source.id,
        "prompt": source.provenance.prompt,
        "texts": list(source.texts),
        "projector": projection.projector,
        "seconds": source.duration,
        "tracking": finite(projection.tracking),
        "sim": finite(projection.sim_metrics),
        "certificate": None if projection.certificate is None else finite(asdict(projection.certificate)),
        "reason": projection.reason,
        "out_of_range_ratio": None if reference is None else out_of_range_ratio(reference, body),
        "head_drop_m": None if clip is None or reference is None else head_drop(clip, reference, body),
    }
    record = sealed(record, folder)
    write_json(folder / RECORDS / f"{name}.json", record)
    return record


def load_record(folder: Path, name: str) -> Record | None:
    """The record of a clip, None if it is not finished. MotionError if it is no JSON."""
    path = folder / RECORDS / f"{name}.json"
    return read_json(path, expected="the record of a clip") if path.is_file() else None


def load_motion(path: Path) -> Clip:
    """A clip file that must hold rotations."""
    clip = load_clip(path)
    if not isinstance(clip, Clip):
        raise MotionError(f"{path}: holds joint positions only, expected a clip with rotations")
    return clip


def measured(folder: Path, name: str, body: Body) -> Record:
    """A clip's figures by the one contract: before (source), after (what physics did, with the forces of its rollout),
    frozen (control), and reference (what was tracked) where tracking failed; on the body that it was projected on. With
    them what a verdict asks besides: lengths, and how the clip leaves its reference.
    """
    source = load_motion(folder / SOURCES / f"{name}.npz")
    before = measure(source, body)
    row: Record = {
        "variant": before.variant,
        "ground": before.ground,
        "before": finite(before.values),
        "after": {},
        "frozen": finite(measure(frozen_pose(source), body).values),
        "reference": {},
        "clip_seconds": None,
        "reference_seconds": None,
        "departure": None,
    }
    if not (folder / CLIPS / f"{name}.npz").is_file():
        return row
    clip, reference = (load_motion(folder / place / f"{name}.npz") for place in (CLIPS, REFERENCES))
    rollout = load_rollout(folder / ROLLOUTS / f"{name}.npz")
    success = track_errors(clip, reference, clip.num_frames == reference.num_frames)["success"]
    return row | {
        "after": finite(measure(clip, body, rollout=rollout, reference=reference).values),
        "reference": {} if success else _asked(reference, clip.num_frames, body),
        "clip_seconds": clip.duration,
        "reference_seconds": reference.duration,
        "departure": finite(asdict(departure(clip, reference, body))),
    }


def _asked(reference: Clip, failed: int, body: Body) -> dict[str, float | None]:
    """What a reference asks for around the frame where tracking failed: `ASKED` of that segment."""
    before, after = (round(seconds * reference.fps) for seconds in AROUND_S)
    segment = reference.slice(max(0, failed - before), min(reference.num_frames, failed + after))
    found = finite(measure(segment, body).values)
    return {name: found[name] for name in ASKED}


def evidence(record: Record) -> Evidence:
    """What a verdict rests on, from a record with its figures; of one that has a verdict, what it rested on."""
    certificate = record["certificate"]
    why_not = record["detail"] if "verdict" in record else record["reason"]
    return Evidence(
        name=record["name"],
        simulated=record["id"] is not None,
        why_not=why_not,
        replays=None if certificate is None else certificate["passed"],
        replay_reason=None if certificate is None else certificate["reason"],
        head_drop_m=record["head_drop_m"],
        out_of_range_ratio=record["out_of_range_ratio"],
        seconds=record["clip_seconds"],
        reference_seconds=record["reference_seconds"],
        departure=None if record["departure"] is None else Departure(**record["departure"]),
        reference=record["reference"],
        after=record["after"],
        tracking=record["tracking"],
    )
