"""`morphloop validate PATH...`: what is wrong with these files, and `--fix` for what can be mended without guessing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from morphloop.base.terminal import say
from morphloop.motion.config import ReadingConfig

from .console import (
    BAD_INPUT,
    DONE,
    FAILED,
    files_below,
    progress_bars,
    robot_named,
    told,
    writable_files,
    writable_folder,
)

if TYPE_CHECKING:
    from morphloop.motion.problems import Problem
    from morphloop.motion.robot import WhoseMotion

SHOWN = 100
"""Problems that are printed; the JSON file holds all."""


@dataclass
class _Batch:
    """Rows of the JSON file: a file each, and what could not be looked at or written."""

    files: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Validate(ReadingConfig):
    """Name every problem of motion files: the field, what was expected and what was found.

    Numbers that are none, quaternions of other lengths and signs, missing or impossible frame rates, roots faster than
    15 m/s, unknown joints, lengths that are not metres, Y up, no frames, frames out of order. Exit code 0 if all files
    are clean, 1 if one has a problem that --fix did not mend, 2 for a path that is not there and a file that --fix
    could not write.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them."""
    fix: bool = False
    """Write mended copies to --out: quaternion sign and length, and the frame rate of --fps where a file has none, or
    with --overrule-fps another one."""
    out: Path | None = None
    """Folder for mended copies; never the folder of the files."""
    body: str | None = None
    """MJCF (.xml) of the robot whose motions these are."""
    json: Path | None = None
    """Write every problem here."""

    def run(self) -> int:
        from morphloop.base import MotionError, write_json

        if self.fix and self.out is None:
            raise MotionError("--fix writes new files: give their folder with --out DIR")
        writable_files(self.json)
        out = writable_folder(self.out) if self.fix and self.out is not None else None
        robot, batch = robot_named(self.body), _Batch()
        files = files_below(self.paths, batch.failed)
        with progress_bars() as watch:
            for done, (file, below) in enumerate(files.items(), 1):
                self._one(file, None if out is None else out / below, robot, batch)
                watch("checking", done, len(files))
        _print(batch)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "files": batch.files, "failed": batch.failed})
        if batch.failed:
            return BAD_INPUT
        return FAILED if any(row["problems"] for row in batch.files) else DONE

    def _one(self, path: Path, out: Path | None, robot: WhoseMotion, batch: _Batch) -> None:
        from morphloop.base import MotionError
        from morphloop.base.opening import reading
        from morphloop.motion.repair import repair

        problems = self._problems(path, robot)
        row: dict[str, Any] = {"path": str(path), "out": None, "mended": []}
        if out is not None and problems:
            try:
                with reading(path):
                    made = repair(path, out, problems, ReadingConfig.of(self), robot)
            except MotionError as error:
                batch.failed.append(told(path, error))
            else:
                problems, row["mended"] = made.left, _rows(made.mended)
                row["out"] = None if made.out is None else str(made.out)
        batch.files.append(row | {"problems": _rows(problems)})

    def _problems(self, path: Path, robot: WhoseMotion) -> list[Problem]:
        """Of --fix also that a file lacks the rate of --fps, or says another one that is to be overruled: it mends
        that."""
        from morphloop.motion.problems import find_problems

        how = ReadingConfig.of(self)
        if not self.fix or self.fps is None:
            return find_problems(path, None, robot, how)
        found = find_problems(path, None, robot, replace(how, fps=None))
        if any(problem.field == "fps" for problem in found):
            return found
        found = find_problems(path, None, robot, replace(how, overrule_fps=False))
        return [replace(p, fixable=True) if p.field == "fps" and self.overrule_fps else p for p in found]


def _rows(problems: list[Problem]) -> list[dict[str, Any]]:
    return [asdict(problem) for problem in problems]


def _print(batch: _Batch) -> None:
    """A line a problem under the name of its file, then one of totals."""
    lines: list[str] = []
    for row in batch.files:
        states = [(p, ", --fix mends it" if p["fixable"] else "") for p in row["problems"]]
        states += [(p, f", mended in {row['out']}") for p in row["mended"]]
        lines += [f"{p['path']}: {p['field']}: found {p['found']}, expected {p['expected']}{s}" for p, s in states]
    for line in lines[:SHOWN]:
        say(line)
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN} more (--json FILE holds all)")
    bad = sum(bool(row["problems"]) for row in batch.files)
    written = sum(row["out"] is not None for row in batch.files)
    mended = f", {written} mended cop{'y' if written == 1 else 'ies'} written" if written else ""
    count = f"{len(batch.files)} file{'' if len(batch.files) == 1 else 's'}"
    print(f"{count}: {len(batch.files) - bad} clean, {bad} with problems{mended}")
