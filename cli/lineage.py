"""`morphloop lineage CLIP`: where a clip came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from morphloop.base.terminal import Terminal

from .console import DONE


@dataclass(frozen=True)
class Lineage:
    """Walk a clip back to its prompt, parent by parent."""

    clip: Annotated[Path, tyro.conf.Positional]
    """Clip file that morphloop wrote."""
    root: Path | None = None
    """Folder to look for the parents in; the clip's run if left out."""
    json: Path | None = None
    """Write the steps as JSON here."""

    def run(self) -> int:
        from morphloop.base import write_json
        from morphloop.refinement_loop import lineage

        steps = lineage(self.clip, self.root)
        table = Table("id", "stage", "round", "prompt", "by", "models", "file")
        rows = []
        for step in steps:
            if step.motion is None:
                table.add_row(step.id, Text("no file holds it", "yellow"), "", "", "", "", "")
                rows.append({"id": step.id, "path": None, "provenance": None})
                continue
            origin = step.motion.provenance
            models = ", ".join(f"{name} {value[:8]}" for name, value in origin.models.items())
            by = origin.projector or origin.source or ""
            round_ = "" if origin.round is None else str(origin.round)
            table.add_row(step.id, origin.stage, round_, origin.prompt or "", by, models, str(step.path))
            rows.append({"id": step.id, "path": str(step.path), "provenance": asdict(origin)})
        Terminal().print(table)
        if self.json is not None:
            write_json(self.json, {"schema": 1, "steps": rows})
        return DONE
