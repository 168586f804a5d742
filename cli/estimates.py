"""What `--dry-run` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from morphloop.base.terminal import Terminal, say

if TYPE_CHECKING:
    from morphloop.refinement_loop.estimates.parts import Estimate
    from morphloop.refinement_loop.estimates.run import RunEstimate


def print_estimate(title: str, found: Estimate, clips: int, done: int = 0) -> None:
    """The parts of the work with clips and time, and the disk; done: clips of `clips` that are finished already."""
    _print_parts(title, found, str(clips - done))
    finished = f", {done} are done already" if done else ""
    say(f"{clips} clips{finished}; {_on_disk(found)}")


def print_run_estimate(title: str, found: RunEstimate) -> None:
    """The same of a run of the loop: parts of its stages, over all rounds."""
    _print_parts(title, found, "")
    rounds = "1 round" if found.rounds == 1 else f"{found.rounds} rounds"
    finished = f", {found.done} are done already" if found.done else ""
    stages = found.stages + found.done
    say(f"{rounds} of {found.clips} clips, {stages} stages{finished}; {_on_disk(found)}")


def _print_parts(title: str, found: Estimate, clips: str) -> None:
    table = Table("part", "clips", "expected", title=title)
    for part in found.parts:
        expected = "-" if part.clips == 0 else "unknown" if part.wall_s is None else duration(part.wall_s)
        table.add_row(part.name, str(part.clips), expected)
    table.add_section()
    unknown = any(part.wall_s is None for part in found.parts)
    table.add_row("all", clips, duration(found.wall_s) + (" and more" if unknown else ""))
    Terminal().print(table)


def _on_disk(found: Estimate) -> str:
    return f"{size(found.size)} on the disk; tried on {found.sampled} clips, nothing was written"


def estimate_json(found: Estimate) -> dict[str, Any]:
    """The same as plain JSON values."""
    parts = [{"name": part.name, "clips": part.clips, "wall_s": part.wall_s} for part in found.parts]
    return {"schema": 1, "parts": parts, "wall_s": found.wall_s, "bytes": found.size, "sampled": found.sampled}


def run_estimate_json(found: RunEstimate) -> dict[str, Any]:
    """The same of a run of the loop."""
    run = {"rounds": found.rounds, "clips": found.clips, "stages": found.stages, "done": found.done}
    return estimate_json(found) | run


def duration(seconds: float) -> str:
    """Seconds for people: `14 s`, `3 min 20 s`, `5 h 7 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 1)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
