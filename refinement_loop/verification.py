"""Verification: physics is done again, what was derived from it is derived again, and every hash is looked at.

A rollout is replayed and held to its certificate. A `project` folder is walked clip by clip: source, reference,
rollout, clip, figures, verdict, each from the one before; a run besides from the prompt on and to the summary. Hashes
tell that somebody changed a file; what is derived again tells it too where the hashes were made anew with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from morphloop.base import MotionError
from morphloop.base.opening import read_json
from morphloop.base.still_valid import hash_json
from morphloop.envs import prepare
from morphloop.metrics import measure_rollout, track_errors
from morphloop.metrics.measurement import made
from morphloop.motion import Clip, load_rollout, read_manifest
from morphloop.sim import Body, Certificate, RobotBody, certify, default_body, driven_body
from morphloop.sim.bodies.built_in import built_in_of

from .config import SelectionConfig, read_config
from .links import run_faults
from .project_folder import MADE_WITH, RULES
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
    hash_rows,
    is_part,
    is_sealed,
    load_motion,
    measured,
)
from .selection import head_drop, judge, out_of_range_ratio
from .stages import MANIFEST
from .status import CONFIG, RoundResult, finished_rounds
from .steps.generate import generated_clips
from .steps.select import SUMMARY_FILE, summaries

Tick = Callable[[int, int], None]
MAX_TABLE = 1 << 28
"""Bytes of a JSON file that is verified: a table of figures has some thousand a clip."""
FIGURE_TOLERANCE = 1e-6
"""Share by which a figure that is measured again may differ: another processor adds in another order."""
SINGLE_TOLERANCE = 1e-3
"""The same for figures that were taken before clips were written in single precision, and metres for references."""


@dataclass(frozen=True)
class Checked:
    """What was verified.

    path: as it was given; kind: rollout, project, table or run; clips: how many were walked; faults: what is wrong, a
    line each that begins with the file, from the path on; certificates: of each rollout by clip.
    """

    path: Path
    kind: str
    clips: int
    faults: list[str]
    certificates: dict[str, Certificate] = field(default_factory=dict)


def verify(path: Path, body: Body | None = None, tick: Tick = lambda done, total: None) -> Checked:
    """Verify a rollout file, a folder or a table (`--json`) that `project` wrote, or a loop's run.

    body: that it was simulated on; if None the built-in one whose hash the file carries. MotionError for a path that is
    none of these.
    """
    path = Path(path)
    if path.is_file():
        return _verify_table(path) if path.suffix.lower() == ".json" else _verify_rollout(path, body)
    if not path.is_dir():
        raise MotionError(f"{path}: no such file or folder, expected a rollout, a folder of `project`, or a run")
    settings = _read_json(path / CONFIG)
    if not isinstance(settings, dict):
        raise MotionError(f"{path}: holds no {CONFIG}, expected a folder that `project` or `loop run` wrote")
    if "projection" in settings and "rounds" in settings:
        return _verify_run(path, tick)
    return _verify_project(path, settings, body, tick)


def _verify_rollout(path: Path, body: Body | None) -> Checked:
    rollout = load_rollout(path)
    certificate = certify(rollout, body or _built_in(str(rollout.model_hash)))
    faults = [] if certificate.passed else [f"{path.name}: {certificate.reason}"]
    return Checked(path, "rollout", 1, faults, {path.stem: certificate})


def _verify_table(path: Path) -> Checked:
    """A table holds its rows as they were written, and their summary."""
    table = _read_json(path)
    if not isinstance(table, dict) or not {"clips", "rows", "summary"} <= table.keys():
        raise MotionError(f"{path}: not a table that `project --json` wrote, expected clips, rows and summary")
    try:
        rows = table["clips"]
        faults = [f"{path.name}: {row['name']} changed since it was written" for row in rows if not is_sealed(row)]
        if hash_rows(rows) != table["rows"]:
            faults.append(f"{path.name}: holds other clips than it was written with")
        summary = summaries(rows)
        told = {group: table["summary"][group] for group in summary}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Checked(path, "table", 0, [f"{path.name}: malformed ({type(error).__name__}: {error})"])
    if not _same(told, summary, FIGURE_TOLERANCE):
        faults.append(f"{path.name}: its summary is not that of its clips")
    return Checked(path, "table", len(rows), faults)


def _built_in(stored: str) -> Body:
    """The built-in body of a stored hash; the default one if it is none's, which then says so."""
    return built_in_of(stored) or default_body()


def _verify_project(path: Path, settings: Mapping[str, Any], body: Body | None, tick: Tick) -> Checked:
    if MADE_WITH in settings:  # before that, everything stood side by side and nothing besides
        settings = {name: settings.get(name) for name in (*RULES, MADE_WITH)}
    try:
        selection = SelectionConfig(**settings["selection"])
        stored = str(settings.get(MADE_WITH, settings)["body"])
    except (KeyError, TypeError):
        raise MotionError(f"{path / CONFIG}: not the settings of `project`, expected selection and body") from None
    body = body or _built_in(stored)
    if not body.answers_to(stored):
        raise MotionError(f"{path}: made with body {stored}, '{body.name}' is {body.hash}; name it by --body")
    certificates, faults = dict[str, Certificate](), list[str]()
    try:
        rows = read_manifest(path)
    except MotionError as error:
        faults.append(f"{_within(path, error)}; looked at the records instead")
        found = [_read_json(record) for record in sorted((path / RECORDS).glob("[!.]*.json"))]
        rows = [row for row in found if isinstance(row, dict)]
    for place, row in enumerate(rows, 1):
        name = str(row.get("name"))
        if _read_json(path / RECORDS / f"{name}.json") != row:
            faults.append(f"manifest.jsonl: {name} is not its record")
        if row.get("settings") != hash_json(settings):
            faults.append(f"{CONFIG}: is not what {name} was made with")
        faults += broken_links(path, row)
        faults += _clip_faults(path, row, selection, body, certificates)
        tick(place, len(rows))
    return Checked(path, "project", len(rows), _unique(faults), certificates)


def _verify_run(path: Path, tick: Tick) -> Checked:
    config = read_config(path)
    try:
        rounds = finished_rounds(path)
    except MotionError as error:
        return Checked(path, "run", 0, [_within(path, error)])
    certificates, count = dict[str, Certificate](), 0
    faults = run_faults(path, rounds)
    tables = [(result, _last_rows(result)) for result in rounds if "project" in result.stages]
    on_robots = [(result.robot.folder, _robot_rows(result)) for result in rounds if result.robot is not None]
    total = sum(len(rows) for _, rows in (*tables, *on_robots))

    def check(folder: Path, rows: Sequence[Record], body: Body) -> None:
        nonlocal count
        where = folder.relative_to(path)
        for row in rows:
            own = dict[str, Certificate]()
            faults.extend(f"{where}/{line}" for line in _clip_faults(folder, row, config.selection, body, own))
            certificates.update({f"{where}/{name}": certificate for name, certificate in own.items()})
            count += 1
            tick(count, total)

    for folder, rows in on_robots:
        check(folder, rows, driven_body(config.body))
    for result, rows in tables:
        folder = result.stages["project"].folder
        where = folder.relative_to(path)
        faults += [f"{where.parent}/{line}" for line in _prompt_faults(result, rows, config.prompts)]
        check(folder, rows, default_body())
        if "select" in result.stages:
            faults += [f"{where.parent}/select/{line}" for line in _select_faults(result, rows, config.selection)]
    return Checked(path, "run", count, _unique(faults), certificates)


def _select_faults(result: RoundResult, rows: Sequence[Record], selection: SelectionConfig) -> list[str]:
    """Whether a round was selected by the run's rules, and is summed up by its clips."""
    done, faults = result.stages["select"], list[str]()
    if any(done.manifest["config"].get(name) != value for name, value in asdict(selection).items()):
        faults.append(f"{MANIFEST}: was judged by other rules than the run's {CONFIG} says")
    try:
        summary = summaries(rows) | {"rows": hash_rows(rows)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return faults  # the rows, which are told already
    if not _same(_read_json(done.folder / SUMMARY_FILE), summary, FIGURE_TOLERANCE):
        faults.append(f"{SUMMARY_FILE}: is not the summary of its clips")
    return faults


def _robot_rows(result: RoundResult) -> list[Record]:
    """The rows of a round's clips on the robot; none if its table cannot be read, which its stage's hash tells."""
    try:
        return [] if result.robot is None else read_manifest(result.robot.folder)
    except MotionError:
        return []


def _last_rows(result: RoundResult) -> list[Record]:
    """The rows of a round's clips from the last stage whose table can be read."""
    for name in ("select", "measure", "project"):
        try:
            if name in result.stages:
                return read_manifest(result.stages[name].folder)
        except MotionError:
            continue  # told by `run_faults`
    return []


def _prompt_faults(result: RoundResult, rows: Sequence[Record], prompts: Sequence[str]) -> list[str]:
    """Whether a round's sources are what its generator made of the run's prompts."""
    done = result.stages.get("generate")
    if done is None:
        return []  # told by `run_faults`
    try:
        made = {clip.name: clip for clip in generated_clips(done.folder)}
    except MotionError as error:
        return [_within(done.folder.parent, error)]
    faults = []
    for name, source in ((row.get("name"), row.get("source_id")) for row in rows if not is_part(row)):
        clip = made.get(str(name))
        if clip is None or clip.id != source:
            faults.append(f"project/{SOURCES}/{name}.npz: is not the clip that was generated")
        elif clip.provenance.models.get("generator") != done.manifest["inputs"].get("generator"):
            faults.append(f"generate/{CLIPS}/{name}.npz: is another generator's")
        elif prompts and clip.provenance.prompt not in prompts:
            faults.append(f"generate/{CLIPS}/{name}.npz: its prompt is not one of the run's")
    return faults


def _clip_faults(
    folder: Path, row: Record, selection: SelectionConfig, body: Body, certificates: dict[str, Certificate]
) -> list[str]:
    """Everything about one clip done again: what is not as its row says, the file first."""
    faults: list[str] = []
    try:
        for found in _walk(folder, row, selection, body, certificates):
            faults += found
    except MotionError as error:
        faults.append(_within(folder, error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        faults.append(f"{RECORDS}/{row.get('name')}.json: malformed ({type(error).__name__}: {error})")
    return faults


def _walk(
    folder: Path, row: Record, selection: SelectionConfig, body: Body, certificates: dict[str, Certificate]
) -> Iterator[list[str]]:
    """From the source to the verdict: what is wrong at each step."""
    name = row["name"]
    record = f"{RECORDS}/{name}.json"
    source = load_motion(folder / SOURCES / f"{name}.npz")
    if source.id != row["source_id"]:
        yield [f"{SOURCES}/{name}.npz: is not the clip that was projected"]
    if (row["prompt"], row["texts"]) != (source.provenance.prompt, list(source.texts)):
        yield [f"{record}: prompt and texts are not the source's"]
    if row["id"] is not None:
        yield from _projected_faults(folder, row, source, body, certificates)
    if "before" in row:
        yield _figure_faults(record, row, measured(folder, name, body), FIGURE_TOLERANCE)
    if "verdict" in row:
        said = row if row["id"] is not None else row | {"reason": row["detail"]}  # the projector's words stand there
        found = asdict(judge(evidence(said), selection, isinstance(body, RobotBody)))
        if row["verdict"] == "rescued" and found["verdict"] == "accepted":
            found["verdict"] = "rescued"
        if judged_otherwise(row, found):
            why = "" if found["reason"] is None else f", {found['reason']}"
            yield [f"{record}: verdict {row['verdict']}, its figures say {found['verdict']}{why}"]


def judged_otherwise(row: Record, found: Mapping[str, Any]) -> bool:
    """Whether a row's verdict is not the one found; until 2026-11-27 the detail of a clip that failed began with
    "lost", and until 2026-11-28 nothing was said of margins."""
    told = {"margins": found["margins"]} | row | {"detail": re.sub(r"^lost\b", "failed", row["detail"])}
    return any(told[key] != value for key, value in found.items())


def _projected_faults(
    folder: Path, row: Record, source: Clip, body: Body, certificates: dict[str, Certificate]
) -> Iterator[list[str]]:
    """The steps of a clip that physics made: reference, rollout, clip and what was told of them."""
    name = row["name"]
    rollout = load_rollout(folder / ROLLOUTS / f"{name}.npz")
    certificates[name] = certificate = certify(rollout, body)
    told = row["certificate"]
    same_build = told["simulator"] == certificate.simulator  # another one is never bit-equal
    if told["passed"] != certificate.passed or (same_build and told["bit_equal"] != certificate.bit_equal):
        why = f": {certificate.reason}" if certificate.reason else ""
        yield [f"{ROLLOUTS}/{name}.npz: does not replay as its record says{why}"]
    clip, reference = (load_motion(folder / place / f"{name}.npz") for place in (CLIPS, REFERENCES))
    if clip.id != row["id"] or not made(clip, rollout, body):
        yield [f"{CLIPS}/{name}.npz: is not what its rollout did"]
    if clip.provenance.parent != source.id:
        yield [f"{CLIPS}/{name}.npz: was made from {clip.provenance.parent}, its source is {source.id}"]
    yield _reference_faults(folder, row, source, reference, body)
    again = {
        "tracking": finite(track_errors(clip, reference, clip.num_frames == reference.num_frames)),
        "sim": finite(measure_rollout(rollout, body)),
        "head_drop_m": head_drop(clip, reference, body),
        "out_of_range_ratio": out_of_range_ratio(reference, body),
    }
    yield _figure_faults(f"{RECORDS}/{name}.json", row, again, SINGLE_TOLERANCE)


def _reference_faults(folder: Path, row: Record, source: Clip, reference: Clip, body: Body) -> list[str]:
    """Whether the reference is the source as physics should see it, of a rescued segment the whole's at that time."""
    name, wanted = row["name"], prepare(source, body)
    if is_part(row):
        whole, first = (
            load_motion(folder / REFERENCES / f"{row['rescued_of']}.npz"),
            round(row["from_s"] * reference.fps),
        )
        wanted = whole.slice(first, first + reference.num_frames)
    apart = np.inf
    if wanted.positions.shape == reference.positions.shape:
        apart = np.abs(wanted.positions - reference.positions).max()
    if apart <= SINGLE_TOLERANCE:
        return []
    return [f"{REFERENCES}/{name}.npz: is not its source prepared"]


def _figure_faults(record: str, row: Record, again: Mapping[str, Any], tolerance: float) -> list[str]:
    """Figures of a row that come out otherwise, the first of each kind."""
    faults = []
    for kind, found in again.items():
        told, values = (row[kind], found) if isinstance(found, dict) else ({"": row[kind]}, {"": found})
        for figure in [*told, *(name for name in values if name not in told)]:
            if not _same(told.get(figure), values.get(figure), tolerance):
                faults.append(f"{record}: {kind} {figure} {told.get(figure)}, measured again {values.get(figure)}")
                break
    return faults


def _same(told: Any, found: Any, tolerance: float) -> bool:
    """Whether plain JSON values are one but for rounding."""
    if isinstance(told, dict) and isinstance(found, dict):
        return told.keys() == found.keys() and all(_same(told[key], found[key], tolerance) for key in told)
    if isinstance(told, list | tuple) and isinstance(found, list | tuple):
        return len(told) == len(found) and all(_same(*both, tolerance) for both in zip(told, found, strict=True))
    if _is_number(told) and _is_number(found):
        return abs(told - found) <= tolerance * max(1.0, abs(told), abs(found))
    return type(told) is type(found) and told == found


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_json(path: Path) -> Any:
    """What a JSON file holds, None if it cannot be read."""
    try:
        return read_json(path, MAX_TABLE)
    except MotionError:
        return None


def _within(folder: Path, error: MotionError) -> str:
    """An error's line with its file told from the folder on."""
    return str(error).replace(f"{folder}/", "")


def _unique(lines: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(lines))
