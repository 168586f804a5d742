"""`morphloop evaluate`: how bad is this motion?"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from morphloop.base import MotionError, write_atomic
from morphloop.base.names import shown
from morphloop.base.shards import WHOLE, read_shard
from morphloop.base.terminal import complain, say
from morphloop.metrics.config import EvaluateConfig, RankingConfig

from .config import CONFIG, body_named, resolved
from .console import BAD_INPUT, DONE, progress_bars, writable_files
from .engine import EngineConfig

if TYPE_CHECKING:
    from morphloop.metrics.report import Comparison, Evaluation
    from morphloop.metrics.report.evaluate import Watch
    from morphloop.metrics.report.text import TextScores


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
    shard: str | None = None
    """Measure a part of the files alone, such as 2/5, for --merge: each of five machines has its own and a table of its
    own for --json."""
    merge: tuple[Path, ...] = ()
    """Tables of all shards of this command, each made with the same paths and flags: nothing is measured here."""
    cluster: Annotated[EngineConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=EngineConfig)
    """Who does the clips."""
    drop: Path | None = None
    """File for the names of what --rank says to drop, one a line, worst first; `drop.txt` here if left out."""
    ranking: RankingConfig = field(default_factory=RankingConfig)
    """How --rank orders, and what of it to drop."""

    SHORT: ClassVar[dict[str, str]] = {name: f"ranking.{name}" for name in ("rank_by", "drop_share", "drop_under")}

    def run(self) -> int:
        from morphloop.metrics import report
        from morphloop.metrics.report.measuring import OF_A_ROBOT
        from morphloop.metrics.report.shards import FIELD
        from morphloop.motion.plausible import gathered

        paths, others = self._sides()
        if self.shard is not None or self.merge:
            self._check_shards(others)
        shard = WHOLE if self.shard is None else read_shard(self.shard)
        if self.rank and others:
            raise MotionError("--rank: orders one data set, expected no --compare")
        drop = (self.drop or Path("drop.txt")) if self.rank and self.shard is None else None
        writable_files(self.json, self.html, drop)
        config = EvaluateConfig(**{field.name: getattr(self, field.name) for field in fields(EvaluateConfig)})
        with self.cluster.at_work(self.workers, self.merge), progress_bars() as watch:
            if self.merge:
                result = report.merge_shards(paths, config, self.merge)
            else:
                result = report.evaluate(paths, config, watch, shard)
            comparison = report.compare(result, report.evaluate(others, config, watch)) if others else None
            text = self._text_scores(paths, others, config, watch)
            if self.html is not None:
                report.write_evaluation_page(self.html, result, comparison, watch)
        ranked = report.rank_clips(result, self.ranking) if self.rank and self.shard is None else None
        more: dict[str, Any] = {} if ranked is None else {"ranking": report.ranking_facts(ranked, self.ranking)}
        if text is not None:
            more |= {"text": text.facts()}
        if self.shard is not None:
            more |= {FIELD: report.shard_facts(result, shard)}
        if self.json is not None:
            self._write_json(result, comparison, more)
        if comparison is None:
            report.print_evaluation(result)
        else:
            report.print_comparison(comparison)
        if text is not None:
            from morphloop.metrics.report.text import print_text_scores

            print_text_scores(text)
        if ranked is not None and drop is not None:
            report.print_ranking(ranked, self.ranking)
            names = report.dropped(ranked)
            write_atomic(drop, lambda stream: stream.write("".join(f"{shown(name)}\n" for name in names).encode()))
            say(f"{drop}: {len(names)} of {len(result.rows)} clips")
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

    def _check_shards(self, others: tuple[Path, ...]) -> None:
        """MotionError for what a part of a batch cannot be asked for."""
        if self.shard is not None and self.merge:
            raise MotionError("--shard and --merge: expected one of them")
        if others or self.text:
            raise MotionError("--shard and --merge are of one set, expected neither --compare nor --text")
        if self.shard is not None and (self.json is None or self.html is not None):
            raise MotionError("--shard: expected --json FILE for --merge to take, and no --html before that")

    def _sides(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """What is measured, and what it is compared with."""
        if len(self.compare) == 2 and not self.paths:
            return self.compare[:1], self.compare[1:]
        if len(self.compare) > 1 or (self.compare and not self.paths):
            raise MotionError("--compare: expected `evaluate A --compare B` or `evaluate --compare A B`")
        return self.paths, self.compare

    def _text_scores(
        self, paths: tuple[Path, ...], others: tuple[Path, ...], config: EvaluateConfig, watch: Watch
    ) -> TextScores | None:
        """Scores against captions, where they were asked for."""
        if not self.text:
            if self.evaluator is not None or self.real is not None:
                raise MotionError("--evaluator and --real are for --text, which was not given")
            return None
        from morphloop.metrics.report.text import text_scores  # loads torch

        return text_scores({"A": paths, "B": others} if others else {"clips": paths}, config, watch)

    def _write_json(self, result: Evaluation, comparison: Comparison | None, more: dict[str, Any]) -> None:
        from morphloop.metrics import report

        if self.json is None:
            return
        if comparison is not None:
            more = {"compare": report.comparison_facts(comparison)} | more
        more = more | {CONFIG: resolved(self, body=body_named(self.body))}
        report.write_evaluation(self.json, result, more, None if comparison is None else comparison.b)
