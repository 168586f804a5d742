"""`evaluate --text`: the clips of a batch against their captions, and as a set against real motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from morphloop.base import MotionError
from morphloop.base.terminal import Terminal, complain
from morphloop.metrics.text_motion.evaluator import SCALES, Evaluator, load_evaluator
from morphloop.metrics.text_motion.scores import FID_SAMPLES, Score, fid
from morphloop.metrics.text_motion.scoring import NAMES, EmbeddedSet, embed_set, score_set
from morphloop.motion import Clip, JointTrack, make_corpus, read_motions
from morphloop.motion.config import ReadingConfig

from ..config import EvaluateConfig
from .evaluate import motion_files

Watch = Callable[[str, int, int], None]
REAL_CLIPS, REAL_SEED = 256, 2000
"""Clips of the corpus's held-out split that stand for real motion unless somebody names a folder."""


@dataclass(frozen=True)
class TextScores:
    """Scores of one or two batches and of the real motion beside them, all of one evaluator. kind, hash: of it;
    columns: by the batch's label, "real" among them; failed: {"name", "reason"}; clips: embedded of each."""

    kind: str
    hash: str
    real: str
    columns: dict[str, dict[str, Score]]
    clips: dict[str, int]
    failed: list[dict[str, str]]

    def facts(self) -> dict[str, Any]:
        """All of it as plain JSON values; each batch's scores say whose scale they are on."""
        columns = {
            label: {name: asdict(score) for name, score in scores.items()} for label, scores in self.columns.items()
        }
        evaluator = {"kind": self.kind, "hash": self.hash, "scale": SCALES[self.kind]}
        return {
            "evaluator": evaluator,
            "real": self.real,
            "clips": self.clips,
            "scores": columns,
            "failed": self.failed,
        }


def text_scores(batches: dict[str, Sequence[Path]], config: EvaluateConfig, watch: Watch | None = None) -> TextScores:
    """Scores of each batch, files and folders by its label. What cannot be read is left to `evaluate` to name."""
    evaluator = load_evaluator(config.evaluator)
    how = ReadingConfig.of(config)
    if config.real is None:
        source, real = "the corpus's test split", _corpus(evaluator)
    else:
        source, real = str(config.real), embed_set(evaluator, _motions([config.real], how, watch))
        if not len(real.motions):
            raise MotionError(f"{config.real}: no motion that the evaluator can see, expected real motion")
    made = {label: embed_set(evaluator, _motions(paths, how, watch)) for label, paths in batches.items()}
    sets = made | {"real": real}
    columns = {label: score_set(one, real) for label, one in made.items()} | {"real": _of_real(real)}
    failed = [row for one in sets.values() for row in one.failed]
    clips = {label: len(one.motions) for label, one in sets.items()}
    return TextScores(evaluator.kind, evaluator.hash, source, columns, clips, failed)


def _of_real(real: EmbeddedSet) -> dict[str, Score]:
    """Scores of real motion itself; its FID is that of its two halves, every second motion."""
    return score_set(real) | {"fid": fid(real.motions[::2], real.motions[1::2])}


def _corpus(evaluator: Evaluator) -> EmbeddedSet:
    count = max(REAL_CLIPS, 2 * FID_SAMPLES * evaluator.dimensions)
    return embed_set(evaluator, make_corpus(count, REAL_SEED, split="test"))


def _motions(paths: Sequence[Path], how: ReadingConfig, watch: Watch | None) -> Iterator[Clip | JointTrack]:
    """The motions of files and folders that can be read."""
    files = motion_files(paths, [])
    for number, path in enumerate(files, 1):
        for _, read in read_motions(path, None, None, how):
            try:
                yield read()
            except MotionError:
                continue
        if watch is not None:
            watch("reading against captions", number, len(files))


def print_text_scores(found: TextScores, console: Terminal | None = None) -> None:
    """A table of the scores, a column a batch and one for real motion."""
    console = console or Terminal()
    table = Table(
        title=f"against captions, {SCALES[found.kind]} {found.hash}",
        caption=f"mean ± deviation of repeats; real: {found.real}",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("score", no_wrap=True)
    for label in found.columns:
        table.add_column(f"{label}\n{found.clips[label]} clips", justify="right")
    for name in NAMES:
        table.add_row(name, *(_cell(scores[name]) for scores in found.columns.values()))
    console.print(table)
    for label, scores in found.columns.items():
        for why in dict.fromkeys(score.why for score in scores.values() if score.why):
            names = ", ".join(name for name, score in scores.items() if score.why == why)
            console.print(f"{label}: no {names}: {why}", style="dim", highlight=False)
    for reason in dict.fromkeys(row["reason"] for row in found.failed):
        names = list(dict.fromkeys(row["name"] for row in found.failed if row["reason"] == reason))
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        complain(f"{names[0]}{more}: not against captions: {reason}")


def _cell(score: Score) -> str:
    return "-" if score.value is None else f"{score.value:.3f} ± {score.sd or 0.0:.3f}"
