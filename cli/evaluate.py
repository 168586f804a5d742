"""`morphloop evaluate`: how bad is this motion?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from morphloop.base import MotionError
from morphloop.base.terminal import complain
from morphloop.metrics.config import EvaluateConfig

from .config import CONFIG, body_named, resolved
from .console import BAD_INPUT, DONE, progress_bars, writable_files

if TYPE_CHECKING:
    from morphloop.metrics.report import Comparison, Evaluation


@dataclass(frozen=True, kw_only=True)
class Evaluate(EvaluateConfig):
    """Measure how bad motion is: foot slide, float, penetration, unsupported flight, and errors against a reference.

    Clips with rotations are measured on the body's surface, joint positions on the joints; the two are never mixed.
    Exit code 2 if a file could not be read, or nothing to compare pairs up; the others are measured all the same.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Motion files, or folders of them."""
    compare: tuple[Path, ...] = ()
    """A second folder, `evaluate A --compare B`, or both, `evaluate --compare A B`: B - A over clips of one name."""
    html: Path | None = None
    """Write a page with plots, pictures and timelines here."""
    json: Path | None = None
    """Write every figure here."""

    def run(self) -> int:
        from morphloop.metrics import report
        from morphloop.metrics.report.measuring import OF_A_ROBOT
        from morphloop.motion.plausible import gathered

        paths, others = self._sides()
        writable_files(self.json, self.html)
        config = EvaluateConfig(**{field.name: getattr(self, field.name) for field in fields(EvaluateConfig)})
        with progress_bars() as watch:
            result = report.evaluate(paths, config, watch)
            comparison = report.compare(result, report.evaluate(others, config, watch)) if others else None
            if self.html is not None:
                report.write_evaluation_page(self.html, result, comparison, watch)
        if self.json is not None:
            self._write_json(result, comparison)
        if comparison is None:
            report.print_evaluation(result)
        else:
            report.print_comparison(comparison)
        without_soles = sum(len(result.rows.variants[name]) for name in result.variants if name.endswith(OF_A_ROBOT))
        if without_soles:
            complain(
                f"{without_soles} clips of a robot's bodies: where its soles are is unknown, give its MJCF with --body"
            )
        for line in gathered(result.doubts + ([] if comparison is None else comparison.b.doubts)):
            complain(line)
        failed = result.failed + ([] if comparison is None else comparison.b.failed)
        for row in failed:
            complain(f"{row['path']}: {row['reason']}")
        if comparison is not None and not comparison.pairs:
            complain("no clip of A pairs with one of B, expected one name and variant")
            return BAD_INPUT
        return BAD_INPUT if failed else DONE

    def _sides(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """What is measured, and what it is compared with."""
        if len(self.compare) == 2 and not self.paths:
            return self.compare[:1], self.compare[1:]
        if len(self.compare) > 1 or (self.compare and not self.paths):
            raise MotionError("--compare: expected `evaluate A --compare B` or `evaluate --compare A B`")
        return self.paths, self.compare

    def _write_json(self, result: Evaluation, comparison: Comparison | None) -> None:
        from morphloop.metrics import report

        if self.json is None:
            return
        if comparison is None:
            report.write_evaluation(self.json, result, {CONFIG: resolved(self, body=body_named(self.body))})
        else:
            more = {"compare": report.comparison_facts(comparison), CONFIG: resolved(self, body=body_named(self.body))}
            report.write_evaluation(self.json, result, more, comparison.b)
