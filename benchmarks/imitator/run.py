"""The imitator on four sets of motion, its aims, its ablations, its speed, and both physics backends.

    python benchmarks/imitator/run.py --out work [--sets A,B] [--speed] [--backends] [--ablations DIR] [--markdown FILE]

The sets beyond the corpus need this project's development data; `morphloop bench imitator --clips PATH` measures the
same on clips of anybody's.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import ablations
import aims
import backends
import speed
import tyro
from ablations import AblationConfig
from clip_sets import SETS, data_folder, load_set, missing_data

from morphloop.base import MotionError, write_atomic, write_json
from morphloop.base.former import Former
from morphloop.base.terminal import Terminal
from morphloop.cli.bench_imitator import (
    RESULT_FILE,
    TITLE,
    ZERO,
    check_more_than_nothing,
    chosen_policy,
    show,
    words,
)
from morphloop.cli.checks import check
from morphloop.cli.config import spelt_out
from morphloop.cli.console import DONE, FAILED, guarded, progress_bars, writable_files, writable_folder
from morphloop.imitator import Policy
from morphloop.imitator.bench.bench import Watch, run_bench
from morphloop.imitator.bench.config import BenchConfig
from morphloop.imitator.bench.sets import BenchSet
from morphloop.imitator.bench.table import head, result, set_tables

SPEED_FILE, SPEED_PART_FILE = "speed.json", "speed.part.json"
"""Timings, and those of a run that is not done or was killed."""
PROGRAM = "python benchmarks/imitator/run.py"


@dataclass(frozen=True)
class ImitatorBench:
    """Track four sets of moving clips by the policy and as `project` comes, each figure beside its aim and the input's.

    A: the corpus' test split; B: ASAP and CMU without props; C: outputs of T2M-GPT, MDM, GMD and OmniControl; D: Bandai
    Namco's test split. Columns: no_network, policy, auto (the policy, then the trajectory optimiser where it failed).
    Run it again on the same folder to go on where it was interrupted. An aim that is missed is shown and no failure;
    exit code 1 if a rollout did not replay.
    """

    out: Path
    """Work folder: a row a clip and column (rows.jsonl), imitator.json, and what --speed and --ablations write."""
    data: Path | None = None
    """Folder of the data sets; $MORPHLOOP_SHARED/data or ../shared/data if not given. Without it only set A is run."""
    policy: str = "shipped"
    """File of the imitator, `shipped`, `zero` for an untrained one that does nothing, or `none`."""
    sets: str | None = None
    """Sets to run, such as A,B; those that have their data if not given. An empty text for none."""
    columns: str = ",".join(BenchConfig.columns)
    """Columns to run."""
    limit: int | None = BenchConfig.limit
    """Clips of a set at most."""
    seconds: float = BenchConfig.seconds
    """How much of every clip is tracked."""
    optimiser_seconds: float = BenchConfig.optimiser_seconds
    """The same in column auto."""
    workers: int | None = None
    """Processes of the trajectory optimiser; one a core if not given, none of its own if 0."""
    seed: int = BenchConfig.seed
    """Of the draw of clips, of the policy that is timed, and of the ablations."""
    ablations: Path | None = None
    """Train the ablations in this folder: six short PPO runs."""
    ablation_steps: int = AblationConfig.steps
    """Control steps of each."""
    speed: bool = False
    """Time environment, PPO and trajectory optimiser too."""
    backends: bool = False
    """Track whole clips of set A (--limit of them, 16 if not given) with the policy on both physics backends too."""
    json: Path | None = None
    """Write the figures here as well."""
    markdown: Path | None = None
    """Write the page here, and the chart of the ablations beside it (.png)."""

    FORMER: ClassVar[Former] = Former(names={"refiner_seconds": "optimiser_seconds"})

    def run(self) -> int:
        numbers = ("limit", "seconds", "optimiser_seconds", "ablation_steps")
        check_more_than_nothing(**{name: getattr(self, name) for name in numbers})
        writable_files(self.json, self.markdown)
        data, (policy, start) = data_folder(self.data), chosen_policy(self.policy)
        letters = self._letters(data)
        missing = {letter: missing_data(letter, data) for letter in letters}
        columns: Any = words(self.columns)
        config = BenchConfig(columns, self.limit, self.seconds, self.optimiser_seconds, self.seed)
        out = writable_folder(self.out)
        with progress_bars() as watch:
            compared = self._backends(policy, watch)  # first: what it may lack is told before hours of work
            sets = self._sets([letter for letter in letters if missing[letter] is None], data, config.longest, watch)
            bench = run_bench(policy, out, sets, config, watch, workers=self.workers)
            told: dict[str, Any] = {"schema": 1} | result(bench)
            told |= {"missing": [line for line in missing.values() if line], "aims": aims.all_verdicts(told)}
            told["speed"] = self._speed(out, watch)
            told["ablations"] = self._ablations(start, watch)
        told["backends"] = compared
        write_json(out / RESULT_FILE, told)
        if self.json is not None:
            write_json(self.json, told)
        show(told)
        _show_more(told)
        if self.markdown is not None:
            text = self._page(told)
            write_atomic(self.markdown, lambda stream: stream.write(text.encode()))
        return FAILED if told["unreplayed"] else DONE

    def _letters(self, data: Path | None) -> tuple[str, ...]:
        """The sets to run. MotionError for one that was asked for by name and is none, or has no data."""
        asked = tuple(SETS) if self.sets is None else words(self.sets)
        for letter in asked if self.sets is not None else ():
            if letter not in SETS:
                raise MotionError(f"no set '{letter}', expected some of {', '.join(SETS)}")
            lacking = missing_data(letter, data)
            if lacking is not None:
                raise MotionError(lacking)
        return asked

    def _sets(self, letters: Sequence[str], data: Path | None, seconds: float, watch: Watch) -> Iterator[BenchSet]:
        """The sets, each read when the one before is done."""
        for letter in letters:

            def tick(done: int, total: int, letter: str = letter) -> None:
                watch(f"{letter} read", done, total)

            yield load_set(letter, data, seconds, self.limit, self.seed, tick)

    def _speed(self, out: Path, watch: Watch) -> dict[str, Any] | None:
        """Timings, measured now if asked for (what a kill left is gone on from), else those of an earlier run on the
        folder; None without any."""
        path, part = out / SPEED_FILE, out / SPEED_PART_FILE
        if self.speed:
            known = _timings(part)
            config = speed.SpeedConfig(seed=self.seed, workers=self.workers)

            def keep(told: dict[str, Any]) -> None:
                write_json(part, told)

            write_json(path, speed.measure_speed(config, watch, keep, known))
            part.unlink()
        return _timings(path)

    def _backends(self, policy: Policy | None, watch: Watch) -> dict[str, Any] | None:
        """The policy on both physics backends, None if that is not asked for."""
        if not self.backends:
            return None
        if policy is None:
            raise MotionError("--backends: needs a policy, give --policy a file, shipped or zero")
        return backends.measure_backends(policy, self.limit, self.seconds, self.seed, watch)

    def _ablations(self, start: Path | None, watch: Watch) -> dict[str, Any] | None:
        """Curves of the ablations, None if none are asked for."""
        if self.ablations is None:
            return None
        config = AblationConfig(steps=self.ablation_steps, seed=self.seed)
        return ablations.run_ablations(writable_folder(self.ablations), start, config, watch)

    def _asked(self) -> str:
        """The flags that a page rests on: policy and columns, and what is not as it is by default."""
        words = [f"--policy {quote(self.policy)} --columns {quote(self.columns)}"]
        for name in ("sets", "limit", "seconds", "optimiser_seconds", "seed", "ablation_steps"):
            value = getattr(self, name)
            if value != getattr(ImitatorBench, name):
                words.append(f"--{name.replace('_', '-')} {quote(str(value))}")
        words += ["--ablations DIR"] if self.ablations is not None else []
        return " ".join(words + [f"--{name}" for name in ("speed", "backends") if getattr(self, name)])

    def _page(self, told: dict[str, Any]) -> str:
        """The page in Markdown; draws the chart of the ablations."""
        assert self.markdown is not None
        nothing = " That policy is an untrained network that does nothing: the baseline." if self.policy == ZERO else ""
        missing = "".join(f"\n- Missing: {line}" for line in told["missing"])
        parts = [TITLE, f"Made by `{PROGRAM} {self._asked()}`.{nothing}", head(told) + missing, aims.page(told)]
        parts += set_tables(told)
        if told["speed"] is not None:
            parts.append(speed.page(told["speed"]))
        if told["backends"] is not None:
            parts.append(backends.page(told["backends"]))
        if told["ablations"] is not None:
            picture = self.markdown.with_suffix(".png")
            ablations.draw(told["ablations"], picture)
            parts.append(ablations.page(told["ablations"], picture.name))
        return "\n\n".join(part for part in parts if part) + "\n"


def _timings(path: Path) -> dict[str, Any] | None:
    """Timings of a file, None if it is not there; those of the trajectory optimiser had other names once."""
    if not path.is_file():
        return None
    return {name.replace("refiner_", "optimiser_"): value for name, value in json.loads(path.read_text()).items()}


def _show_more(told: dict[str, Any]) -> None:
    """What is missing, how many aims are met, and what the backends did."""
    console = Terminal()
    for line in told["missing"]:
        console.print(f"missing: {line}", highlight=False, soft_wrap=True)
    if told["aims"]:
        console.print(f"aims: {sum(aim['met'] for aim in told['aims'])} of {len(told['aims'])} met")
    for name, part in (told["backends"] or {"backends": {}})["backends"].items():
        console.print(f"backend {name}: success {100 * part['success']:.1f} %, {part['steps_per_s']:.0f} steps/s")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exit codes as `morphloop` has them."""
    args = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        about = inspect.getdoc(ImitatorBench)
        chosen = tyro.cli(ImitatorBench, prog=PROGRAM, args=spelt_out(ImitatorBench, args), description=about)
        check(chosen)
        return chosen.run()

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
