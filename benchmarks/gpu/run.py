"""What one GPU is to tell, in one go of fifteen minutes at most: how fast the environment steps on it, what a learned
model of the world makes of a policy in the minutes that PPO has, and what both are worth on four sets of clips.

    python benchmarks/gpu/run.py --out work [--data DIR] [--markdown FILE]

Every stage runs in a process of its own, which is ended at the stage's limit, and writes what it has as it goes:
figures, curves, checkpoints and policies. The same command on the same folder goes on: with what is not there yet, and
with trainings where their last checkpoint was. `--device cpu` rehearses all of it on Warp's CPU device.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "imitator"))

from backends import compare_backends
from clip_sets import SETS, data_folder, load_set, missing_data
from speed import env_over_raw

from morphloop.base import MotionError, write_atomic, write_json
from morphloop.base.still_valid import basis, check_same
from morphloop.base.threads import THREADS, fixed_threads
from morphloop.cli.console import DONE, FAILED, guarded, writable_folder
from morphloop.envs import TaskConfig
from morphloop.imitator import (
    ImitatorConfig,
    RslConfig,
    WorldModelConfig,
    load_policy,
    read_log,
    train_imitator,
    variations,
)
from morphloop.imitator.training.train import CODE, POLICY_FILE, training_clips
from morphloop.sim import default_body

Stage = Literal["speed", "worldmodel", "rsl", "sets"]
STAGES: tuple[Stage, ...] = ("speed", "worldmodel", "rsl", "sets")
TRAININGS: tuple[Stage, ...] = ("worldmodel", "rsl")
PROGRAM = "python benchmarks/gpu/run.py"
CONFIG_FILE, RESULT_FILE = "gpu.json", "results.json"
ENDLESS = 10**12
"""Control steps that no training here comes to: its seconds end it."""
AIMS = {4096: 0.85, 8192: 0.92}
"""Environment over raw steps, by environments."""


@dataclass(frozen=True)
class GpuBench:
    """Time the environment on a GPU, train by a world model and by PPO for equal seconds, track sets A to D with both.

    Writes speed.json, sets.json, a folder a training, results.json. Exit code 1 if a stage failed or was cut short; the
    same command goes on with it.
    """

    out: Path
    """Work folder."""
    data: Path | None = None
    """Folder of the data sets, see benchmarks/imitator/run.py; without it only set A is tracked."""
    device: str = "cuda:0"
    """Of mujoco_warp; cpu to rehearse."""
    limit_s: float = 900.0
    """Seconds of all stages together."""
    stage_s: float = 600.0
    """Seconds of a stage at most."""
    train_s: float = 270.0
    """Seconds of each training, evaluations counted in, preparing clips not."""
    sizes: tuple[int, ...] = tuple(AIMS)
    """Environments that are timed."""
    speed_steps: int = 64
    """Control steps that each is timed for."""
    envs: int = 4096
    """Environments of the trainings."""
    clips: int = 400
    """Clips of the corpus that they train on."""
    variations: float = 1.0
    """Variations of each clip besides."""
    held_out: int = 24
    """Clips of the corpus's test split that checkpoints are evaluated on."""
    checkpoint_s: float = 60.0
    """Seconds between checkpoints."""
    start: str | None = None
    """Policy file that both trainings start from; an untrained one if not given."""
    hidden: tuple[int, ...] = ImitatorConfig.hidden
    """Widths of an untrained policy."""
    worldmodel: WorldModelConfig = field(default_factory=lambda: WorldModelConfig(model_batch=1024, policy_batch=2048))
    """Options of trainer worldmodel."""
    rsl: RslConfig = field(default_factory=RslConfig)
    """Options of PPO."""
    set_clips: int = 64
    """Clips of a set at most."""
    seconds: float = 10.0
    """In which a clip of a set has to move."""
    seed: int = 0
    """Of weights, starts, exploration, clips and draws."""
    markdown: Path | None = None
    """Write the page here."""
    stage: Stage | None = None
    """Run this stage alone, in this process and without a limit: what the whole starts for each."""

    def run(self, args: Sequence[str]) -> int:
        """Do the work that the words `args` ask for; returns the exit code."""
        if self.device != "cpu" and not torch.cuda.is_available():
            raise MotionError(f"no CUDA device here for --device {self.device}, expected cpu to rehearse")
        out = writable_folder(self.out)
        self._check_same(out)
        if self.stage is not None:
            with fixed_threads(THREADS):
                STAGE_WORK[self.stage](self, out)
            return DONE
        told = self._stages(out, args)
        if self.markdown is not None:
            text = page(told)
            write_atomic(self.markdown, lambda stream: stream.write(text.encode()))
        return DONE if all(stage["state"] == "done" for stage in told["stages"].values()) else FAILED

    def _check_same(self, out: Path) -> None:
        """MotionError for a folder of other options or other code; seconds and where data lies may differ."""
        free = ("out", "data", "limit_s", "stage_s", "train_s", "markdown", "stage")
        options = {name: value for name, value in asdict(self).items() if name not in free}
        told = basis(CODE, {}, options)
        if (out / CONFIG_FILE).exists():
            found = json.loads((out / CONFIG_FILE).read_text())
            check_same(out / CONFIG_FILE, found, told, "a run")
        else:
            write_json(out / CONFIG_FILE, told)

    def _stages(self, out: Path, args: Sequence[str]) -> dict[str, Any]:
        """What became of every stage, and all figures; written after each."""
        began = time.monotonic()
        name = torch.cuda.get_device_name(self.device) if self.device != "cpu" else "cpu"
        before = _read(out / RESULT_FILE).get("stages", {})
        told: dict[str, Any] = {"schema": 1, "device": name, "stages": {}}
        for stage in STAGES:
            known = before.get(stage, {})
            if known.get("state") != "done" or self._has_more(stage, known, out):
                left = min(self.stage_s, self.limit_s - (time.monotonic() - began))
                known = self._in_a_process(stage, out, left, args)
            told["stages"][stage] = known
            told |= self._figures(out)
            write_json(out / RESULT_FILE, told)
            print(f"{stage}: {known['state']}{known['why'] and ', ' + known['why']}", file=sys.stderr, flush=True)
        return told

    def _in_a_process(self, stage: Stage, out: Path, seconds: float, args: Sequence[str]) -> dict[str, Any]:
        """Run a stage and end it at its limit; how it ended and why."""
        if seconds <= 0.0:
            return {"state": "stopped", "why": f"no time was left of {self.limit_s:g} s", "wall_s": 0.0}
        began, words = time.monotonic(), [sys.executable, __file__, *args, "--stage", stage]
        try:
            with (out / f"{stage}.log").open("ab") as log:
                done = subprocess.run(words, stdout=log, stderr=log, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return {"state": "stopped", "why": f"at its limit of {seconds:.0f} s", "wall_s": time.monotonic() - began}
        wall_s = time.monotonic() - began
        if done.returncode != 0:
            lines = (out / f"{stage}.log").read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
            return {"state": "failed", "why": last.strip()[:200], "wall_s": wall_s}
        return {"state": "done", "why": "", "wall_s": wall_s, "train_s": self.train_s}

    def _has_more(self, stage: Stage, known: dict[str, Any], out: Path) -> bool:
        """Whether a stage that was done has more to do now: a longer training, the sets of data that was not there, and
        those of a policy that was trained on."""
        if stage in TRAININGS:
            return known.get("train_s", self.train_s) < self.train_s
        if stage != "sets":
            return False
        data, told = data_folder(self.data), _read(out / "sets.json")
        lacked = any("missing" in told[letter] and missing_data(letter, data) is None for letter in told)
        return lacked or known.get("train_s", self.train_s) < self.train_s

    def _figures(self, out: Path) -> dict[str, Any]:
        """What the stages have written so far."""
        curves = {name: read_log(out / name) for name in TRAININGS}
        last = {name: rows[-1] for name, rows in curves.items() if rows}
        return {"speed": _read(out / "speed.json"), "trainings": last, "sets": _read(out / "sets.json")}


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def time_sizes(bench: GpuBench, out: Path) -> None:
    """Stage speed: environment over raw steps at every size that is not there yet."""
    told = _read(out / "speed.json")
    for envs in bench.sizes:
        if str(envs) not in told:
            told[str(envs)] = env_over_raw(envs, bench.speed_steps, "warp", bench.device)
            write_json(out / "speed.json", told)


def train(trainer: Literal["worldmodel", "rsl"]) -> Callable[[GpuBench, Path], None]:
    """A stage that trains, from nothing or from its checkpoint, for the seconds that both trainings have."""

    def work(bench: GpuBench, out: Path) -> None:
        body = default_body()
        clips = training_clips(bench.clips, bench.seed, "train", None, body)
        clips += variations(clips, round(bench.variations * len(clips)), bench.seed, None, body)
        config = ImitatorConfig(
            envs=bench.envs,
            steps=ENDLESS,
            limit_s=bench.train_s,
            seed=bench.seed,
            checkpoint_s=bench.checkpoint_s,
            start=bench.start,
            hidden=bench.hidden,
            trainer=trainer,
            backend="warp",
            device=bench.device,
            worldmodel=bench.worldmodel,
            rsl=bench.rsl,
            task=TaskConfig(push=0.15),
        )
        held_out = training_clips(bench.held_out, bench.seed, "test", None, body)
        train_imitator(clips, held_out, out / trainer, config, lambda row: None, body)

    return work


def track_sets(bench: GpuBench, out: Path) -> None:
    """Stage sets: whole clips by each trained policy, on both physics backends."""
    data, body = data_folder(bench.data), default_body()
    told = _read(out / "sets.json")
    for letter in SETS:
        lacking = missing_data(letter, data)
        if lacking is not None:
            told[letter] = {"missing": lacking}
            write_json(out / "sets.json", told)
            continue
        clips = load_set(letter, data, bench.seconds, bench.set_clips, bench.seed).clips
        for trainer in TRAININGS:
            path = out / trainer / POLICY_FILE
            if not path.exists():
                raise MotionError(f"{path}: no policy yet, its training came to no checkpoint")
            policy = load_policy(path, body)
            known = told.get(letter, {}).get(trainer)
            if known is None or known["policy"] != policy.hash:
                found = compare_backends(policy, clips, body, bench.device, lambda done, total: None)
                told.setdefault(letter, {})
                told[letter].pop("missing", None)
                told[letter][trainer] = {"policy": policy.hash, "clips": len(clips)} | found
                write_json(out / "sets.json", told)


STAGE_WORK: dict[Stage, Callable[[GpuBench, Path], None]] = {
    "speed": time_sizes,
    "worldmodel": train("worldmodel"),
    "rsl": train("rsl"),
    "sets": track_sets,
}


def page(told: dict[str, Any]) -> str:
    """All of it in Markdown."""
    lines = [f"# On {told['device']}", "", "| stage | | seconds |", "|---|---|---|"]
    for name, stage in told["stages"].items():
        lines.append(f"| {name} | {stage['state']} {stage['why']} | {stage['wall_s']:.0f} |")
    lines += ["", "| environments | steps/s | over raw mujoco_warp | aim |", "|---|---|---|---|"]
    for envs, row in told["speed"].items():
        aim = AIMS.get(int(envs))
        rest = "-" if aim is None else f">= {aim}: {'met' if row['ratio'] >= aim else '**missed**'}"
        lines.append(f"| {envs} | {row['env_steps_per_s']:.0f} | {row['ratio']:.2f} | {rest} |")
    lines += ["", "| trainer | seconds | control steps | steps/s | reward | success | skill |", "|---" * 7 + "|"]
    for name, row in told["trainings"].items():
        cells = [row["seconds"], row["env_steps"], row["steps_per_s"], row["reward"]]
        cells += [row.get(f"test_{figure}") for figure in ("success", "skill")]
        lines.append(f"| {name} | {' | '.join('-' if cell is None else f'{cell:.4g}' for cell in cells)} |")
    lines += ["", "| set | trainer | backend | clips | success | success_strict | E_mpjpe, mm |", "|---" * 7 + "|"]
    for letter, rows in told["sets"].items():
        for name, row in ((name, row) for name, row in rows.items() if name != "missing"):
            for backend, part in row["backends"].items():
                cells = [part[figure] for figure in ("success", "success_strict", "e_mpjpe_mm")]
                known = " | ".join("-" if cell is None else f"{cell:.3g}" for cell in cells)
                lines.append(f"| {letter} | {name} | {backend} | {row['clips']} | {known} |")
    lacking = [rows["missing"] for rows in told["sets"].values() if "missing" in rows]
    return "\n".join([*lines, "", *(f"- Missing: {line}" for line in lacking)]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exit codes as `morphloop` has them."""

    def run() -> int:
        args = list(sys.argv[1:] if argv is None else argv)
        return tyro.cli(GpuBench, prog=PROGRAM, args=args, description=inspect.getdoc(GpuBench)).run(args)

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
