"""`morphloop bench imitator`: the figures of the imitator on the corpus or on clips of yours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from morphloop.base import MotionError
from morphloop.base.former import Former
from morphloop.base.shards import WHOLE, read_shard
from morphloop.base.terminal import Terminal
from morphloop.imitator.bench.config import COLUMNS, BenchConfig
from morphloop.imitator.projection.config import ProjectionConfig
from morphloop.motion.config import ReadingConfig

from .config import CONFIG, resolved
from .console import (
    BAD_INPUT,
    DONE,
    FAILED,
    files_below,
    policy_file,
    policy_named,
    progress_bars,
    writable_files,
    writable_folder,
)
from .engine import EngineConfig

if TYPE_CHECKING:
    from morphloop.imitator import Policy
    from morphloop.imitator.bench.bench import Watch
    from morphloop.imitator.bench.sets import BenchSet

RESULT_FILE = "imitator.json"
TITLE = "# The imitator's bench"
ZERO = "zero"
SHOWN = {
    "clips": "clips",
    "success": "success",
    "skill_mean": "skill",
    "e_mpjpe_mm": "E_mpjpe",
    "physdiff_float_mm_after": "Float",
    "physdiff_skate_mm_after": "Skate",
    "slide_loaded_mm_s_after": "loaded",
    "seconds_per_second": "s/s",
}
"""Cells that the terminal shows of every set and column, over all clips; the loaded slide is in mm/s."""


@dataclass(frozen=True)
class BenchImitator:
    """Track clips by the policy and as `project` comes, each figure beside the input's own and those of a frozen pose.

    The clips are yours (--clips), or the corpus' test split. Columns: no_network, policy, auto (the policy, then the
    trajectory optimiser for what it failed). Run it again on the same folder to go on where it was interrupted. Exit
    code 1 if a rollout did not replay, 2 if a file of --clips could not be read; the others are done all the same.
    """

    MOVED: ClassVar[dict[str, str]] = dict.fromkeys(
        ("--data", "--sets", "--ablations", "--ablation-steps", "--speed", "--backends"),
        "sets of development data, ablations, speed and backends are measured in a checkout by `python "
        "benchmarks/imitator/run.py`, which takes this flag; --clips PATH benches clips of your own here",
    )
    """Flags that this command had once, and what is said to whoever gives one."""

    out: Path
    """Work folder: a row a clip and column (rows.jsonl), imitator.json, and what the trajectory optimiser made."""
    clips: tuple[Path, ...] = ()
    """Motion files, or folders of them, moving or not, instead of the corpus."""
    fps: float | None = None
    """Frame rate of files of --clips that cannot tell theirs."""
    policy: str = "shipped"
    """File of the imitator, `shipped`, `zero` for an untrained one that does nothing, or `none`."""
    columns: str = ",".join(COLUMNS)
    """Columns to run."""
    limit: int | None = BenchConfig.limit
    """Clips at most, drawn by the seed."""
    seconds: float = BenchConfig.seconds
    """How much of every clip is tracked."""
    optimiser_seconds: float = BenchConfig.optimiser_seconds
    """The same in column auto."""
    shard: str | None = None
    """Track a part of the clips alone, such as 2/5: each of five machines has its own and its own --out."""
    merge: tuple[Path, ...] = ()
    """Work folders of all shards of this command, each made with the same flags: nothing is tracked here."""
    workers: int | None = None
    """Processes of the trajectory optimiser; one a core if not given, none of its own if 0."""
    cluster: Annotated[EngineConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=EngineConfig)
    """Who does the clips."""
    seed: int = BenchConfig.seed
    """Of the draw of clips."""
    json: Path | None = None
    """Write the figures here as well."""
    markdown: Path | None = None
    """Write the page here."""
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    """How clips are tracked; the projector is the column's."""

    FORMER: ClassVar[Former] = Former(names={"refiner_seconds": "optimiser_seconds"})

    def run(self) -> int:
        from morphloop.base import write_atomic, write_json
        from morphloop.imitator.bench.bench import run_bench
        from morphloop.imitator.bench.table import page, result

        check_more_than_nothing(limit=self.limit, seconds=self.seconds, optimiser_seconds=self.optimiser_seconds)
        writable_files(self.json, self.markdown)
        policy, _ = chosen_policy(self.policy)
        columns: Any = words(self.columns)
        config = BenchConfig(columns, self.limit, self.seconds, self.optimiser_seconds, self.seed, self.projection)
        if self.shard is not None and self.merge:
            raise MotionError("--shard and --merge: expected one of them")
        shard = WHOLE if self.shard is None else read_shard(self.shard)
        nothing = None if "auto" in columns else f"columns {self.columns} are tracked in this process, expected auto"
        with self.cluster.at_work(self.workers, self.merge, nothing), progress_bars() as watch:
            found = self._set(config.longest, watch)
            found = replace(found, clips=tuple(shard.take(found.clips)))
            out = writable_folder(self.out)
            bench = run_bench(policy, out, [found], config, watch, workers=self.workers, shards=self.merge)
        told: dict[str, Any] = (
            {"schema": 1} | result(bench) | {CONFIG: resolved(self, policy=policy_named(self.policy))}
        )
        write_json(self.out / RESULT_FILE, told)
        if self.json is not None:
            write_json(self.json, told)
        show(told)
        if self.markdown is not None:
            text = f"{TITLE}\n\n{page(told)}\n"
            write_atomic(self.markdown, lambda stream: stream.write(text.encode()))
        return FAILED if told["unreplayed"] else BAD_INPUT if found.failed else DONE

    def _set(self, seconds: float, watch: Watch) -> BenchSet:
        """The corpus, or the clips that were given. MotionError if none of them can be read."""
        from morphloop.imitator.bench.sets import corpus_set, given_set
        from morphloop.sim import default_body

        from .project import read_all, report_failures

        if not self.clips:
            return corpus_set(seconds, self.limit, self.seed, lambda done, total: watch("read", done, total))
        failed: list[dict[str, str]] = []
        files = list(files_below(self.clips, failed))
        how = ReadingConfig(self.fps)
        clips, _, unreadable = read_all(files, how, default_body(), lambda done: watch("read", done, len(files)))
        failed += unreadable
        report_failures(unreadable)
        if not clips:
            raise MotionError(f"{', '.join(map(str, self.clips))}: no clip that can be read")
        return given_set(clips, {row["path"]: row["reason"] for row in failed}, self.limit, self.seed)


def check_more_than_nothing(**values: float | None) -> None:
    """MotionError for a number of which 0 is of no use, by the name of its flag."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise MotionError(f"--{name.replace('_', '-')}: {value}, expected more than 0")


def chosen_policy(choice: str) -> tuple[Policy | None, Path | None]:
    """The policy that `--policy` names, `zero` among them, and its file if it has one."""
    from morphloop.imitator import load_policy
    from morphloop.imitator.bench.bench import zero_policy
    from morphloop.sim import default_body

    if choice == ZERO:
        return zero_policy(default_body()), None
    path = policy_file(choice)
    return (None if path is None else load_policy(path)), path


def words(text: str) -> tuple[str, ...]:
    """Parts of a text between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def show(told: dict[str, Any]) -> None:
    """A line a set and column on the terminal."""
    from morphloop.imitator.bench.table import TITLES, written

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    table.add_column("set")
    table.add_column("column", no_wrap=True)
    for title in SHOWN.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name, part in told["sets"].items():
        columns = {TITLES[column]: cells["all"] for column, cells in part["columns"].items()}
        for title, cells in ({"frozen pose": part["frozen"]} | columns).items():
            table.add_row(name, title, *(written(cell, cells.get(cell)) for cell in SHOWN))
    if told["sets"]:
        Terminal().print(table)
