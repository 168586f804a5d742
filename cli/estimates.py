"""What `--dry-run` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from morphloop.base.terminal import Terminal, say

if TYPE_CHECKING:
    from morphloop.refinement_loop.estimate import Estimate


def print_estimate(title: str, found: Estimate, clips: int, done: int = 0) -> None:
    """The parts of the work with clips and time, and the disk; done: clips of `clips` that are finished already."""
    table = Table("part", "clips", "expected", title=title)
    for part in found.parts:
        table.add_row(part.name, str(part.clips), "unknown" if part.wall_s is None else duration(part.wall_s))
    table.add_section()
    table.add_row("all", str(clips - done), duration(found.wall_s))
    Terminal().print(table)
    finished = f", {done} are done already" if done else ""
    say(f"{clips} clips{finished}; {size(found.size)} on the disk; tried on {found.sampled} clips, nothing was written")


def estimate_json(found: Estimate) -> dict[str, Any]:
    """The same as plain JSON values."""
    parts = [{"name": part.name, "clips": part.clips, "wall_s": part.wall_s} for part in found.parts]
    return {"schema": 1, "parts": parts, "wall_s": found.wall_s, "bytes": found.size, "sampled": found.sampled}


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
