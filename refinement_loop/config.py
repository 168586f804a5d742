"""The configuration of a run, resolved once and written beside its outputs; `resume` reads it from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from morphloop.base import MotionError, write_json
from morphloop.base.opening import read_json
from morphloop.base.threads import THREADS
from morphloop.base.typed import from_dict
from morphloop.generator import FinetuneConfig
from morphloop.imitator import ProjectionConfig
from morphloop.imitator.demonstrations.update import DEMONSTRATIONS, UPDATES
from morphloop.imitator.projection.rescue import RescueConfig

from .selection import SelectionConfig
from .status import CONFIG, MAX_ROUNDS

MAX_PROMPTS = 100_000
RANGES = (
    ("rounds", 1, MAX_ROUNDS),
    ("seed", 0, 1 << 62),
    ("fps", 1, 1000),
    ("imitate_updates", 0, 1_000_000),
    ("imitate_demonstrations", 0, MAX_PROMPTS),
    ("imitate_budget_s", 0, 1e9),
    ("guard_prompts", 0, MAX_PROMPTS),
    ("guard_samples", 2, 1000),
    ("threads", 1, 256),
)
"""Least and largest of each number of a run."""


@dataclass(frozen=True)
class LoopConfig:
    """What a run is made of. Paths are absolute, so that a run can be resumed from anywhere.

    generator: folder of weights of our own generator; clips, fps: instead of it a folder of somebody else's outputs
    and the frame rate of files that cannot tell theirs; prompts: what to generate, in order; seconds: shortest and
    longest motion of a clip; policy: file of the imitator, None to project by the refiner alone;
    rounds: how many; seed: of everything;
    imitate_updates: updates of the policy a round, 0 for none; imitate_demonstrations: clips of a round that the expert
    shows at most; imitate_budget_s: seconds after which its update is cut short, None for never: such a round says so
    in its report and does not repeat to the byte;
    finetune: budget, rates and replay share of the fine-tuning (its seed is the round's);
    guard_prompts: held-out prompts on which a tuned generator is compared with the one before and the first, 0 for no
    comparison; guard_samples: samples of each, at least 2, since one tells nothing of diversity;
    threads: of torch and BLAS inside every stage: another number gives other last bits.
    """

    generator: str | None = None
    clips: str | None = None
    fps: float | None = None
    prompts: tuple[str, ...] = ()
    seconds: tuple[float, float] = (3.0, 4.0)
    policy: str | None = None
    rounds: int = 1
    seed: int = 0
    imitate_updates: int = UPDATES
    imitate_demonstrations: int = DEMONSTRATIONS
    imitate_budget_s: float | None = None
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    guard_prompts: int = 256
    guard_samples: int = 4
    threads: int = THREADS
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    rescue: RescueConfig = field(default_factory=RescueConfig)

    def __post_init__(self) -> None:
        if (self.generator is None) == (self.clips is None):
            raise MotionError("loop: expected either a generator or a folder of clips, and not both")
        if self.generator is not None and not self.prompts:
            raise MotionError("loop: no prompts, expected at least one")
        if len(self.prompts) > MAX_PROMPTS:
            raise MotionError(f"loop: {len(self.prompts)} prompts, expected at most {MAX_PROMPTS}")
        for name, low, high in RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise MotionError(f"loop: {name} is {value}, expected {low} to {high}")
        if not 0 <= self.finetune.replay_share < 1:
            raise MotionError(f"loop: replay share is {self.finetune.replay_share}, expected at least 0 and under 1")
        if not 0 < self.seconds[0] <= self.seconds[1]:
            raise MotionError(f"loop: seconds are {self.seconds}, expected shortest and longest, both over 0")


def write_config(run: Path, config: LoopConfig) -> None:
    """Write a run's config; if the run holds another already, only the number of rounds may grow."""
    path = run / CONFIG
    if path.exists():
        present = read_config(run)
        if replace(present, rounds=config.rounds) != config or config.rounds < present.rounds:
            raise MotionError(
                f"{run}: holds a run with another config, choose another folder or `morphloop loop resume`"
            )
    write_json(path, asdict(config))


def read_config(run: Path) -> LoopConfig:
    """The config that a run was started with. MotionError if the folder holds no run."""
    path = run / CONFIG
    try:
        path.stat()
    except OSError:
        raise MotionError(f"{run}: holds no run, expected a folder that `morphloop loop run` made") from None
    values = read_json(path, expected="the config of a run")
    return from_dict(LoopConfig, values, path)
