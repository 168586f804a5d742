"""A stage of the loop: a pure function of its inputs and config, run once, kept by content, finished or absent.

A stage works in a hidden `.NAME.partial` folder beside its place and is renamed into it when everything is there.
Its key is that of `base/still_valid.py`: inputs (each by hash), config, seed, threads, code and versions; a folder
whose manifest carries the same key, and whose outputs are as it left them, is finished and never run again. A partial
folder with the same key is handed to the work again, which may go on from what it holds; one with another key is of no
use to anybody and is removed. A finished folder with another key is not thrown away but moved to `superseded/`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from morphloop.base import MotionError, write_json
from morphloop.base.opening import read_json
from morphloop.base.still_valid import Basis, basis, difference, hash_file, hash_json, result_key
from morphloop.base.threads import held_threads
from morphloop.base.writing import sync_folder

from .ledger import append_event, count_events, last_event
from .timing import TIMING, append_timing, read_timing

MANIFEST = "manifest.json"
KEY = ".key"
"""Of a folder that is worked in: the key that the work is for. It stays until the ledger was told that it is done."""
ATTIC = "superseded"


@dataclass(frozen=True)
class Stage:
    """One stage of a round; what it does stands in `steps/NAME.py`.

    code: folders whose code belongs to its key, for code that changed makes another result; made_from: its inputs that
    are outputs, by name the stage that put them out; takes: its inputs that are models of the round, "generator",
    "policy" or "start"; gives: the model that it may put a better one in place of.
    """

    name: str
    code: tuple[str, ...]
    made_from: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    gives: str | None = None


PHYSICS = ("motion", "sim", "metrics")
STAGES = {
    stage.name: stage
    for stage in (
        Stage("generate", ("language", "motion", "metrics", "generator"), takes=("generator",)),
        Stage("imitate", (*PHYSICS, "envs", "imitator"), {"clips": "generate"}, ("policy",), gives="policy"),
        Stage("project", (*PHYSICS, "envs", "imitator"), {"clips": "generate"}, ("policy",)),
        Stage("measure", PHYSICS, {"projected": "project"}),
        Stage("select", PHYSICS, {"measured": "measure"}),
        Stage("robot", (*PHYSICS, "envs", "imitator"), {"selected": "select", "projected": "project"}),
        Stage(
            "finetune",
            (*PHYSICS, "language", "generator"),
            {"selected": "select", "projected": "project", "robot": "robot"},
            ("generator", "start"),
            gives="generator",
        ),
    )
}
"""The stages of a round in order; another one is an entry here and its file."""

TELLING = (
    "__init__.py",
    "ancestry.py",
    "estimates/__init__.py",
    "estimates/parts.py",
    "estimates/projection.py",
    "estimates/run.py",
    "figures.py",
    "guard_chart.py",
    "ledger.py",
    "links.py",
    "report.py",
    "status.py",
    "timing.py",
    "verification.py",
)
"""Files of this folder that only tell of results: they may change without running a stage again."""
_HERE = Path(__file__).parent
OWN_CODE = tuple(
    f"refinement_loop/{name}"
    for name in sorted(str(path.relative_to(_HERE)) for path in _HERE.rglob("*.py"))
    if name not in TELLING
)
"""Files of this folder that belong to every key."""


@dataclass(frozen=True)
class Finished:
    """A finished stage: its folder, its manifest, and whether it was there already."""

    folder: Path
    manifest: dict[str, Any]
    reused: bool

    @property
    def hash(self) -> str:
        """Hash of everything that the stage put out."""
        return hash_json(self.manifest["outputs"])

    @property
    def wall_s(self) -> float | None:
        """Seconds that the stage took, None if nobody noted it."""
        return read_timing(self.folder, "stage").get(self.folder.name)


def hash_outputs(folder: Path) -> dict[str, str]:
    """Hash of every file under a stage's folder by relative path; its manifest, key and timing are no outputs.

    Links are not followed: the hash of one is of where it points to, so that no file passes for one.
    """
    hashes = {}
    for place, names, files in os.walk(folder, followlinks=False):
        for name in [*files, *(name for name in names if Path(place, name).is_symlink())]:
            path = Path(place, name)
            told = str(path.relative_to(folder))
            if told in (MANIFEST, KEY, TIMING):
                continue
            if path.is_symlink():
                hashes[told] = hash_json(["link", os.readlink(path)])
            else:
                hashes[told] = hash_file(path) if path.is_file() else "no file"
    return dict(sorted(hashes.items()))


def changed_outputs(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Names of a finished stage's outputs that are not what its manifest says: missing, replaced or added, sorted."""
    told, found = manifest["outputs"], hash_outputs(folder)
    return sorted(name for name in told.keys() | found.keys() if told.get(name) != found.get(name))


def run_stage(
    round_dir: Path,
    name: str,
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    seed: int,
    work: Callable[[Path], dict[str, Any] | None],
) -> Finished:
    """Run a stage unless it is finished.

    inputs: name to hash; config: plain JSON values; work: fills the folder that it is given and returns notes for the
    manifest (what is worth knowing at a glance; a "skipped" note says why nothing was done).
    """
    run, folder, partial = round_dir.parent, round_dir / name, round_dir / f".{name}.partial"
    for place in (round_dir, folder, partial, round_dir / ATTIC):
        refuse_links(place)
    made = _basis(name, inputs, config, seed)
    key = result_key(made)
    done = read_finished(folder)
    if done is not None and _holds(done, key):
        _tell_finished(run, done)
        return done
    attic = round_dir / ATTIC
    if folder.exists():
        why = "its manifest was gone" if done is None else difference(_basis_of(done.manifest), made)
        attic.mkdir(exist_ok=True)
        folder.rename(attic / f"{name}_{len(_superseded(attic, name)):02d}")
    else:
        why = None
    stage = {"round": round_dir.name, "stage": name}
    untold = len(_superseded(attic, name)) - count_events(run, "superseded", stage)  # a kill may have kept one back
    for _ in range(untold):
        append_event(run, "superseded", **stage, why=why)
    _open_partial(partial, key)
    append_event(run, "started", round=round_dir.name, stage=name, key=key)
    started = time.perf_counter()
    notes = work(partial) or {}
    append_timing(partial, "stage", name, time.perf_counter() - started)
    manifest = {
        "schema": 1,
        "stage": name,
        "seed": seed,
        "key": key,
        **made,
        "notes": notes,
        "outputs": hash_outputs(partial),
    }
    write_json(partial / MANIFEST, manifest)
    partial.rename(folder)
    sync_folder(round_dir)
    done = Finished(folder, manifest, reused=False)
    _tell_finished(run, done)
    return done


def find_stage(
    round_dir: Path, name: str, inputs: Mapping[str, Any], config: Mapping[str, Any], seed: int
) -> Finished | None:
    """What `run_stage` would find finished, None where it would do work; nothing is written. MotionError as there."""
    for place in (round_dir, round_dir / name):
        refuse_links(place)
    done = read_finished(round_dir / name)
    return done if done is not None and _holds(done, result_key(_basis(name, inputs, config, seed))) else None


def _basis(name: str, inputs: Mapping[str, Any], config: Mapping[str, Any], seed: int) -> Basis:
    """What a stage's result rests on."""
    settings = dict(config) | {"stage": name, "seed": seed, "threads": held_threads()}
    return basis((*STAGES[name].code, *OWN_CODE), inputs, settings)


def _holds(done: Finished, key: str) -> bool:
    """Whether a finished stage is what this key asks for. MotionError if somebody changed what it left."""
    if done.manifest["key"] != key:
        return False
    _check_unchanged(done)
    return True


def _tell_finished(run: Path, done: Finished) -> None:
    """Tell the ledger once that a stage is finished; the key file stays until it was told, whatever is killed when."""
    mark, round_dir = done.folder / KEY, done.folder.parent
    if not mark.exists():
        return
    stage = {"round": round_dir.name, "stage": done.folder.name}
    if last_event(run, stage) != "finished":
        append_event(run, "finished", **stage, notes=done.manifest["notes"])
    mark.unlink()


def _superseded(attic: Path, name: str) -> list[Path]:
    """The folders of a stage that others took the place of."""
    return sorted(attic.glob(f"{name}_*"))


def refuse_links(place: Path) -> None:
    """MotionError if a place of morphloop's own is a link: nothing is read or written through it."""
    if place.is_symlink():
        raise MotionError(f"{place}: is a link, expected a folder of this run; put the folder itself there")


def _basis_of(manifest: Mapping[str, Any]) -> Basis:
    """What a finished stage rests on, as far as its manifest says."""
    return {name: manifest.get(name, {}) for name in ("code", "versions", "inputs", "config")}


def read_finished(folder: Path) -> Finished | None:
    """A stage's folder if it is finished. MotionError if its manifest was damaged from outside."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = read_json(path)
    except MotionError:
        manifest = None
    if not isinstance(manifest, dict) or not _is_manifest(manifest):
        raise MotionError(f"{path}: not a stage's manifest; remove the folder to run the stage again")
    return Finished(folder, manifest, reused=True)


def _is_manifest(value: dict[str, Any]) -> bool:
    """Whether an object read from a manifest has what the loop reads of it."""
    kinds = {"key": str, "outputs": dict, "notes": dict, "inputs": dict, "config": dict, "versions": dict}
    if any(not isinstance(value.get(name), kind) for name, kind in kinds.items()):
        return False
    return all(isinstance(text, str) for text in value["outputs"].values())


def _check_unchanged(done: Finished) -> None:
    """MotionError naming the first output of a finished stage that somebody changed since."""
    changed = changed_outputs(done.folder, done.manifest)
    if changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise MotionError(
            f"{done.folder / changed[0]}{more}: not as the stage '{done.folder.name}' left it (replaced, removed or "
            f"added since); put it back, or remove {done.folder} to run the stage again"
        )


def _open_partial(partial: Path, key: str) -> None:
    """An empty partial folder, or the one that an interrupted run with the same key left."""
    mark = partial / KEY
    if partial.exists() and (not mark.is_file() or mark.is_symlink() or mark.read_bytes() != key.encode()):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    for place, names, files in os.walk(partial, followlinks=False):
        for found in (Path(place, name) for name in (*names, *files)):
            refuse_links(found)
            if found.match(".*.tmp"):
                found.unlink()
    mark.write_text(key)
