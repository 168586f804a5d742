"""`morphloop project PATH...`: make motion physical; what the simulator did is the new clip."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from .console import BAD_INPUT, DONE, FAILED, one_line, policy_file, progress_bars, writable_folder

if TYPE_CHECKING:
    from morphloop.motion import Clip

REPORTED = ("physdiff_phys_err_mm", "slide_mean_mm_s", "penetration_mean_mm", "unsupported_ratio")


@dataclass(frozen=True)
class Project:
    """Track motion in physics and write what the simulator did, with a verdict for every clip.

    The policy goes first, the refiner takes what it failed. Exit code 1 if every clip was rejected, 2 if a file could
    not be read; the others are done all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them."""
    out: Path
    """Folder for projected clips, rollouts and manifest.jsonl."""
    fps: float | None = None
    """Frame rate of files that cannot tell theirs."""
    policy: str = "shipped"
    """File of the imitator, `shipped`, or `none`."""
    projector: Literal["auto", "policy", "refiner"] = "auto"
    """Which projector; auto is the policy first and the refiner for what it failed."""
    seed: int = 0
    """Seed of the refiner."""
    json: Path | None = None
    """Write the figures here."""

    def run(self) -> int:
        from morphloop.imitator import ProjectionConfig, load_policy, project_clips
        from morphloop.motion import find_motions, write_json, write_manifest
        from morphloop.refinement_loop import SelectionConfig, evidence, judge, measured, save_projection, summaries

        policy_path = None if self.projector == "refiner" else policy_file(self.policy)
        files = list(find_motions(self.paths))
        out = writable_folder(self.out)
        policy = None if policy_path is None else load_policy(policy_path)
        models = {} if policy is None else {"policy": policy.hash}
        config = ProjectionConfig(projector=self.projector, seed=self.seed)
        records: list[dict[str, Any]] = []
        with progress_bars() as watch:
            clips, failed = read_all(files, self.fps, lambda done: watch("read", done, len(files)))

            if not clips:
                return report_failures(failed)

            def keep(projection: Any) -> None:
                records.append(save_projection(out, projection))
                watch("project", len(records), len(clips))

            watch("project", 0, len(clips))
            project_clips(clips, policy, config, keep)
            rows = []
            for record in sorted(records, key=lambda record: record["name"]):
                row = record | measured(out, record["name"])
                rows.append(row | asdict(judge(evidence(row), SelectionConfig())))
                watch("measure", len(rows), len(clips))
        write_manifest(out, rows)
        write_json(
            out / "config.json",
            {"projection": asdict(config), "selection": asdict(SelectionConfig()), "models": models},
        )
        if self.json is not None:
            write_json(self.json, {"schema": 1, "clips": rows, "summary": summaries(rows), "failed": failed})
        return _finish(rows, failed, out)


def read_all(
    files: Sequence[Path], fps: float | None, tick: Callable[[int], None]
) -> tuple[list[Clip], list[dict[str, str]]]:
    """Clips on the default skeleton, each with a name of its own, and the files that could not be read with reasons."""
    from morphloop.motion import MotionError, read_motion, to_default

    clips: list[Clip] = []
    failed: list[dict[str, str]] = []
    taken: set[str] = set()
    for done, path in enumerate(files, 1):
        try:
            clip = to_default(read_motion(path, fps))
        except MotionError as error:
            failed.append({"path": str(path), "reason": one_line(str(error))})
        else:
            name = path.stem
            while name in taken:
                name += "_2"
            taken.add(name)
            clips.append(replace(clip, name=name))
        tick(done)
    return clips, failed


def report_failures(failed: list[dict[str, str]]) -> int:
    """One line on stderr for every file that could not be used; the exit code of bad input."""
    for failure in failed:
        print(f"morphloop: {failure['reason']}", file=sys.stderr)
    return BAD_INPUT


def _finish(rows: list[dict[str, Any]], failed: list[dict[str, str]], out: Path) -> int:
    table = Table("clip", "verdict", "by", *(f"{name} before > after" for name in REPORTED), title=str(out))
    for row in rows:
        figures = (f"{_figure(row['before'].get(n))} > {_figure(row['after'].get(n))}" for n in REPORTED)
        verdict = row["verdict"] if row["reason"] is None else f"{row['verdict']}: {row['reason']}"
        table.add_row(row["name"], verdict, row["projector"], *figures)
    Console().print(table)
    if failed:
        return report_failures(failed)
    return DONE if any(row["verdict"] == "accepted" for row in rows) else FAILED


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
