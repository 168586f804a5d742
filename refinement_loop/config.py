"""The configuration of a run, resolved once and written beside its outputs; `resume` reads it from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from morphloop.base import MotionError, write_json
from morphloop.base.opening import read_json
from morphloop.base.threads import THREADS
from morphloop.base.typed import from_dict
from morphloop.generator import FinetuneConfig
from morphloop.generator.protocol import SECONDS
from morphloop.imitator import ProjectionConfig
from morphloop.imitator.demonstrations.update import DEMONSTRATIONS, UPDATES
from morphloop.imitator.projection.rescue import RescueConfig

from .guard import FULL_PROMPTS, FULL_SAMPLES
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


@dataclass(frozen=True, kw_only=True)
class LoopRules:
    """How a run goes, whatever it begins with."""

    fps: float | None = None
    """Frame rate of files that cannot tell theirs (HumanML3D joints: 20)."""
    rounds: int = 1
    """How many rounds."""
    seed: int = 0
    """Seed of everything."""
    seconds: tuple[float, float] = SECONDS
    """Shortest and longest motion of a generated clip."""
    imitate_updates: int = UPDATES
    """Updates of the policy in each round; 0 leaves it as it is. With its demonstrations 90 s on two cores."""
    imitate_demonstrations: int = DEMONSTRATIONS
    """Clips of a round that the expert demonstrates to the policy, at most."""
    imitate_budget_s: float | None = None
    """Seconds after which the policy's update is cut short; a round that it ends says so and does not repeat to the
    byte. 0 leaves the policy as it is."""
    guard_prompts: int = FULL_PROMPTS
    """Held-out prompts on which the tuned generator is compared with the first one and with the one before; 256 with 4
    samples each are enough for the intervals to decide, with fewer the report says what decided; 0 keeps it unseen."""
    guard_samples: int = FULL_SAMPLES
    """Samples of each, at least 2, since one tells nothing of diversity."""
    threads: int = THREADS
    """Threads of torch and BLAS inside every stage; another number gives other bytes."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """Budget and rates of the fine-tuning. Its seed is the round's."""
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    """How clips are tracked: policy, reference preprocessing and iLQR."""
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    """What a clip must be to be accepted."""
    rescue: RescueConfig = field(default_factory=RescueConfig)
    """What is kept of a clip that is rejected; it is shown, and nobody learns from it."""

    def __post_init__(self) -> None:
        for name, low, high in RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise MotionError(f"loop: {name} is {value}, expected {low} to {high}")
        if not 0 < self.seconds[0] <= self.seconds[1]:
            raise MotionError(f"loop: seconds are {self.seconds}, expected shortest and longest, both over 0")


@dataclass(frozen=True, kw_only=True)
class LoopConfig(LoopRules):
    """What a run is made of. Paths are absolute, so that a run can be resumed from anywhere."""

    generator: str | None = None
    """Folder of weights of our own generator."""
    clips: str | None = None
    """Instead of it a folder of somebody else's outputs."""
    prompts: tuple[str, ...] = ()
    """What to generate, in order."""
    policy: str | None = None
    """File of the imitator, None to project by the trajectory optimiser alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.generator is None) == (self.clips is None):
            raise MotionError("loop: expected either a generator or a folder of clips, and not both")
        if self.generator is not None and not self.prompts:
            raise MotionError("loop: no prompts, expected at least one")
        if len(self.prompts) > MAX_PROMPTS:
            raise MotionError(f"loop: {len(self.prompts)} prompts, expected at most {MAX_PROMPTS}")


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
