"""A stage of the loop: a pure function of its inputs and config, run once, kept by content, finished or absent.

A stage works in a hidden `.NAME.partial` folder beside its place and is renamed into it when everything is there.
Its key is the hash of its inputs (each by hash), its config and the code that it runs; a folder whose manifest carries
the same key is finished and never run again. A partial folder with the same key is handed to the work again, which may
go on from what it holds; one with another key is of no use to anybody and is removed. A finished folder with another
key is not thrown away but moved to `superseded/`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from morphloop.motion import MotionError, write_json

from .ledger import append_event

STAGES = ("generate", "imitate", "project", "measure", "select", "finetune")
MANIFEST = "manifest.json"
TIMING = "timing.jsonl"
"""Wall times of a stage's parts. A clock is not a result: the one output that no hash covers."""
KEY = ".key"

VERSIONED = ("numpy", "torch", "mujoco", "transformers")

CODE = {
    "generate": ("motion", "metrics", "generator"),
    "imitate": ("motion", "sim", "metrics", "envs", "imitator"),
    "project": ("motion", "sim", "metrics", "envs", "imitator"),
    "measure": ("motion", "sim", "metrics"),
    "select": (),
    "finetune": ("motion", "sim", "metrics", "generator"),
}
"""Folders whose source belongs to each stage's key: code that changed makes another result."""

OWN_CODE = tuple(f"refinement_loop/{name}.py" for name in ("steps", "selection", "guard", "guard_samples"))
"""Files of this folder that belong to every key; the report and the like may change without running a stage again."""


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


def hash_json(value: Any) -> str:
    """Short hash of plain JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Short hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


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


@cache
def hash_code(folders: tuple[str, ...]) -> str:
    """Hash of the Python sources of some of morphloop's folders and of the loop's own steps."""
    digest = hashlib.sha256()
    house = Path(__file__).resolve().parent.parent
    for name in (*folders, *OWN_CODE):
        place = house / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(str(path.relative_to(house)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {name: version(name) for name in VERSIONED}
    return {"morphloop": version("morphloop"), "python": platform.python_version()} | found


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
    code_hash = hash_code(CODE[name])
    key = hash_json({"stage": name, "inputs": inputs, "config": config, "seed": seed, "code": code_hash})
    done = read_finished(folder)
    if done is not None and done.manifest["key"] == key:
        _check_unchanged(done)
        return done
    if folder.exists():
        _supersede(folder, round_dir / "superseded")
        append_event(run, "superseded", round=round_dir.name, stage=name)
    _open_partial(partial, key)
    append_event(run, "started", round=round_dir.name, stage=name, key=key)
    started = time.perf_counter()
    notes = work(partial) or {}
    manifest = {
        "schema": 1,
        "stage": name,
        "key": key,
        "inputs": dict(inputs),
        "config": dict(config),
        "seed": seed,
        "code": code_hash,
        "versions": versions(),
        "wall_s": round(time.perf_counter() - started, 3),
        "notes": notes,
        "outputs": hash_outputs(partial),
    }
    write_json(partial / MANIFEST, manifest)
    partial.rename(folder)
    (folder / KEY).unlink()
    append_event(run, "finished", round=round_dir.name, stage=name, wall_s=manifest["wall_s"], notes=notes)
    return Finished(folder, manifest, reused=False)


def read_finished(folder: Path) -> Finished | None:
    """A stage's folder if it is finished. MotionError if its manifest was damaged from outside."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
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
    if partial.exists() and (not mark.is_file() or mark.read_text() != key):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    for leftover in partial.rglob(".*.tmp"):
        leftover.unlink()
    mark.write_text(key)


def _supersede(folder: Path, attic: Path) -> None:
    attic.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in attic.glob(f"{folder.name}_*"))
    folder.rename(attic / f"{folder.name}_{number:02d}")
