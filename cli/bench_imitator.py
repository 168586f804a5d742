"""`morphloop bench imitator`: the figures of the imitator on four sets of motion, its ablations and its speed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from morphloop.base.terminal import Terminal

from .console import DONE, FAILED, policy_file, progress_bars, writable_files, writable_folder

if TYPE_CHECKING:
    from morphloop.imitator import Policy
    from morphloop.imitator.bench.bench import BenchConfig

RESULT_FILE, SPEED_FILE = "imitator.json", "speed.json"
SPEED_PART_FILE = "speed.part.json"
"""Timings of a run that is not done, or was killed."""
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
    """Track four sets of moving clips by policy and refiner, and set every figure beside its aim and the input's own.

    A: the corpus' test split; B: ASAP and CMU without props; C: outputs of T2M-GPT, MDM, GMD and OmniControl; D: Bandai
    Namco's test split. Columns: no_network, policy, auto (the policy, then the refiner for what it failed). Run it
    again on the same folder to go on where it was interrupted. An aim that is missed is shown and is no failure; exit
    code 1 if a rollout did not replay.
    """

    out: Path
    """Work folder: a row a clip and column (rows.jsonl), imitator.json, and what --speed and --ablations write."""
    data: Path | None = None
    """Folder of the data sets; $MORPHLOOP_SHARED/data or ../shared/data if not given. Without it only set A is run."""
    policy: str = "shipped"
    """File of the imitator, `shipped`, `zero` for an untrained one that does nothing, or `none`."""
    sets: str | None = None
    """Sets to run, such as A,B; those that have their data if not given. An empty text for none."""
    columns: str = "no_network,policy,auto"
    """Columns to run."""
    limit: int | None = None
    """Clips of a set at most."""
    seconds: float = 10.0
    """How much of every clip is tracked."""
    refiner_seconds: float = 10.0
    """The same in column auto."""
    workers: int | None = None
    """Processes of the refiner; one a core if not given, none of its own if 0."""
    seed: int = 0
    """Of the draw of clips, of the refiner, and of the ablations."""
    ablations: Path | None = None
    """Train the ablations in this folder: six short PPO runs."""
    ablation_steps: int = 200_000
    """Control steps of each."""
    speed: bool = False
    """Time environment, PPO and refiner too."""
    backends: bool = False
    """Track whole clips of set A (--limit of them, 16 if not given) with the policy on both physics backends too."""
    json: Path | None = None
    """Write the figures here as well."""
    markdown: Path | None = None
    """Write the page here, and the chart of the ablations beside it (.png)."""

    def run(self) -> int:
        from morphloop.base import write_atomic, write_json
        from morphloop.imitator.bench.bench import data_folder, run_bench
        from morphloop.imitator.bench.table import result

        self._check()
        writable_files(self.json, self.markdown)
        data, (policy, start) = data_folder(self.data), self._policy()
        config = self._config(data)
        out = writable_folder(self.out)
        with progress_bars() as watch:
            backends = self._backends(policy, watch)  # first: what it may lack is told before hours of work
            bench = run_bench(policy, out, data, config, watch, workers=self.workers)
            told: dict[str, Any] = {"schema": 1} | result(bench)
            told["speed"] = self._speed(out, watch)
            told["ablations"] = self._ablations(start, watch)
        told["backends"] = backends
        write_json(out / RESULT_FILE, told)
        if self.json is not None:
            write_json(self.json, told)
        _print(told)
        if self.markdown is not None:
            text = self._page(told)
            write_atomic(self.markdown, lambda stream: stream.write(text.encode()))
        return FAILED if told["unreplayed"] else DONE

    def _check(self) -> None:
        """MotionError for a number that is none of use."""
        from morphloop.base import MotionError

        for name in ("limit", "seconds", "refiner_seconds", "ablation_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise MotionError(f"--{name.replace('_', '-')}: {value}, expected more than 0")

    def _policy(self) -> tuple[Policy | None, Path | None]:
        """The policy that is asked for, and its file if it has one."""
        from morphloop.imitator import load_policy
        from morphloop.imitator.bench.bench import zero_policy
        from morphloop.sim import default_body

        if self.policy == ZERO:
            return zero_policy(default_body()), None
        path = policy_file(self.policy)
        return (None if path is None else load_policy(path)), path

    def _config(self, data: Path | None) -> BenchConfig:
        """What to run. MotionError if a set was asked for by name that has no data."""
        from morphloop.base import MotionError
        from morphloop.imitator.bench.bench import BenchConfig
        from morphloop.imitator.bench.sets import SETS, missing_data

        sets = tuple(SETS) if self.sets is None else _words(self.sets)
        for letter in sets if self.sets is not None else ():
            lacking = missing_data(letter, data) if letter in SETS else None
            if lacking is not None:
                raise MotionError(lacking)
        columns: Any = _words(self.columns)
        return BenchConfig(sets, columns, self.limit, self.seconds, self.refiner_seconds, self.seed)

    def _speed(self, out: Path, watch: Any) -> dict[str, Any] | None:
        """Timings, measured now if asked for (what a kill left is gone on from), else those of an earlier run on the
        folder; None without any."""
        from morphloop.base import write_json
        from morphloop.imitator.bench.speed import SpeedConfig, measure_speed

        path, part = out / SPEED_FILE, out / SPEED_PART_FILE
        if self.speed:
            known = json.loads(part.read_text()) if part.is_file() else None
            config = SpeedConfig(seed=self.seed, workers=self.workers)

            def keep(told: dict[str, Any]) -> None:
                write_json(part, told)

            write_json(path, measure_speed(config, watch, keep, known))
            part.unlink()
        return json.loads(path.read_text()) if path.is_file() else None

    def _backends(self, policy: Policy | None, watch: Any) -> dict[str, Any] | None:
        """The policy on both physics backends, None if that is not asked for."""
        from morphloop.base import MotionError
        from morphloop.imitator.bench.backends import measure_backends

        if not self.backends:
            return None
        if policy is None:
            raise MotionError("--backends: needs a policy, give --policy a file, shipped or zero")
        return measure_backends(policy, self.limit, self.seconds, self.seed, watch)

    def _ablations(self, start: Path | None, watch: Any) -> dict[str, Any] | None:
        """Curves of the ablations, None if none are asked for."""
        from morphloop.imitator.bench.ablations import AblationConfig, run_ablations

        if self.ablations is None:
            return None
        config = AblationConfig(steps=self.ablation_steps, seed=self.seed)
        return run_ablations(writable_folder(self.ablations), start, config, watch)

    def _asked(self) -> str:
        """The flags that a page rests on: policy and columns, and what is not as it is by default."""
        words = [f"--policy {quote(self.policy)} --columns {quote(self.columns)}"]
        for name in ("sets", "limit", "seconds", "refiner_seconds", "seed", "ablation_steps"):
            value = getattr(self, name)
            if value != getattr(BenchImitator, name):
                words.append(f"--{name.replace('_', '-')} {quote(str(value))}")
        words += ["--ablations DIR"] if self.ablations is not None else []
        return " ".join(words + [f"--{name}" for name in ("speed", "backends") if getattr(self, name)])

    def _page(self, told: dict[str, Any]) -> str:
        """The page in Markdown; draws the chart of the ablations."""
        from morphloop.imitator.bench import ablations as bench_ablations
        from morphloop.imitator.bench import backends as bench_backends
        from morphloop.imitator.bench import speed as bench_speed
        from morphloop.imitator.bench import table as bench_table

        assert self.markdown is not None
        nothing = " That policy is an untrained network that does nothing: the baseline." if self.policy == ZERO else ""
        parts = [TITLE, f"Made by `morphloop bench imitator {self._asked()}`.{nothing}", bench_table.page(told)]
        if told["speed"] is not None:
            parts.append(bench_speed.page(told["speed"]))
        if told["backends"] is not None:
            parts.append(bench_backends.page(told["backends"]))
        if told["ablations"] is not None:
            picture = self.markdown.with_suffix(".png")
            bench_ablations.draw(told["ablations"], picture)
            parts.append(bench_ablations.page(told["ablations"], picture.name))
        return "\n\n".join(parts) + "\n"


def _words(text: str) -> tuple[str, ...]:
    """Parts of a text between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _print(told: dict[str, Any]) -> None:
    """A line a set and column, and how many aims are met."""
    from morphloop.imitator.bench.table import TITLES, written

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    table.add_column("set")
    table.add_column("column", no_wrap=True)
    for title in SHOWN.values():
        table.add_column(title, justify="right", no_wrap=True)
    for letter, part in told["sets"].items():
        columns = {TITLES[column]: cells["all"] for column, cells in part["columns"].items()}
        for title, cells in ({"frozen pose": part["frozen"]} | columns).items():
            table.add_row(letter, title, *(written(cell, cells.get(cell)) for cell in SHOWN))
    console = Terminal()
    if told["sets"]:
        console.print(table)
    for line in told["missing"]:
        console.print(f"missing: {line}", highlight=False, soft_wrap=True)
    if told["aims"]:
        console.print(f"aims: {sum(aim['met'] for aim in told['aims'])} of {len(told['aims'])} met")
    for name, part in (told["backends"] or {"backends": {}})["backends"].items():
        console.print(f"backend {name}: success {100 * part['success']:.1f} %, {part['steps_per_s']:.0f} steps/s")
