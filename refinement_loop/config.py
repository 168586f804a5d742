"""The configuration of a run, resolved once and written beside its outputs; `resume` reads it from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import ClassVar

from morphloop.base import MotionError, write_json
from morphloop.base.former import Former
from morphloop.base.opening import read_json
from morphloop.base.threads import THREADS
from morphloop.base.typed import from_dict
from morphloop.generator.config import SECONDS, FinetuneConfig, OutsideConfig
from morphloop.imitator.demonstrations.config import UpdateConfig
from morphloop.imitator.projection.config import ProjectionConfig, RescueConfig
from morphloop.motion.config import ReadingConfig

from .status import CONFIG, MAX_ROUNDS

MAX_PROMPTS = 100_000
FULL_PROMPTS, FULL_SAMPLES = 256, 4
"""Held-out prompts and samples of each with which intervals decide, see `guard`."""
RANGES = (
    ("rounds", 1, MAX_ROUNDS),
    ("seed", 0, 1 << 62),
    ("fps", 1, 1000),
    ("imitate.distil.updates", 0, 1_000_000),
    ("imitate.demonstrations", 0, MAX_PROMPTS),
    ("imitate_budget_s", 0, 1e9),
    ("guard_prompts", 0, MAX_PROMPTS),
    ("guard_samples", 2, 1000),
    ("threads", 1, 256),
)
"""Least and largest of each number of a run."""


@dataclass(frozen=True)
class SelectionConfig:
    """Thresholds of the verdict.

    Part error, lean and residual were set on 24 rollouts of the policy alone, eight of each of the bench's sets A, B
    and D: of the 17 that track, the worst part is 0.03 to 0.20 m off, of the other 7 it is 0.63 to 1.1; those lean by
    up to 3 degrees, these by 22 to 54; references that stand on the ground need up to 0.03 where tracking failed.
    """

    min_skill: float = 0.3
    """Least skill, 0 is a frozen pose and 1 is perfect tracking."""
    still_mm: float = 20.0
    """Skill is not asked for where the frozen pose itself errs by no more than this, mm: the clip stands still."""
    still_error_mm: float = 60.0
    """But there the body may err by no more than this, mm: less than no skill is not standing still."""
    min_seconds: float = 0.5
    """Least length of what physics did, seconds."""
    max_part_error_m: float = 0.4
    """Largest error of any part of the body, averaged over `departure.WINDOW_S`, metres."""
    fall_drop_m: float = 0.2
    """A clip that left its reference fell if its head came this much under the reference's, metres."""
    fall_lean_deg: float = 20.0
    """Or if the line from its feet to its head ends at a larger angle to the reference's, degrees."""
    max_slide_mm_s: float = 150.0
    """Most mean slide of loaded feet, mm/s; of feet in contact by height where forces are unknown; the same of a
    segment that is rescued."""
    max_unsupported_ratio: float = 0.1
    """Largest share of frames off the ground without being in free flight."""
    max_out_of_range_ratio: float = 0.5
    """A failed clip whose reference leaves the anatomical range in a larger share of its frames than this asked for
    what the body cannot do."""
    max_residual: float = 0.08
    """A reference that, around where tracking failed, needs more than this from elsewhere than the ground leans on what
    is not there, in body weights (`residual_wrench_ratio`); sitting still on no chair is 0.1."""
    max_torque_peak_ratio: float | None = None
    """Most of this metric that is accepted. Where it and the four below are left out nothing is rejected for them: the
    verdict of a robot's clip warns from `metrics.margins.HARD` on."""
    max_torque_limit_ratio: float | None = None
    """The same of `torque_limit_ratio`."""
    max_ankle_torque_peak_ratio: float | None = None
    """The same of `ankle_torque_peak_ratio`."""
    max_speed_peak_ratio: float | None = None
    """The same of `speed_peak_ratio`."""
    max_impact_peak_bw: float | None = None
    """The same of `impact_peak_bw`, body weights."""


@dataclass(frozen=True, kw_only=True)
class LoopRules(ReadingConfig):
    """How a run goes, whatever it begins with, and how the files of --clips are read."""

    rounds: int = 1
    """How many rounds."""
    seed: int = 0
    """Seed of everything."""
    seconds: tuple[float, float] = SECONDS
    """Shortest and longest motion of a generated clip."""
    imitate: UpdateConfig = field(default_factory=UpdateConfig)
    """How the policy is taught in each round, 90 s on two cores; 0 demonstrations or 0 updates leave it as it is. The
    distillation's seed is the round's."""
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
    outside: OutsideConfig = field(default_factory=OutsideConfig)
    """How a generator that is a command is run."""
    body: str | None = None
    """A robot that has to be able to do it too: `g1`, `g1_23dof` or an MJCF (.xml). What the person's body is accepted
    with is retargeted and tracked on it, and the generator learns, of the person, what both were accepted with."""

    FORMER: ClassVar[Former] = Former(
        names={"imitate_updates": "imitate.distil.updates", "imitate_demonstrations": "imitate.demonstrations"}
    )

    def __post_init__(self) -> None:
        for name, low, high in RANGES:
            value = attrgetter(name)(self)
            if value is not None and not low <= value <= high:
                raise MotionError(f"loop: {name} is {value}, expected {low} to {high}")
        if not 0 < self.seconds[0] <= self.seconds[1]:
            raise MotionError(f"loop: seconds are {self.seconds}, expected shortest and longest, both over 0")


@dataclass(frozen=True, kw_only=True)
class LoopConfig(LoopRules):
    """What a run is made of. Paths are absolute, so that a run can be resumed from anywhere."""

    generator: str | None = None
    """Folder of weights of our own generator, a command, or the name of a package's."""
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
    """Write a run's config. MotionError as `check_config`."""
    check_config(run, config)
    write_json(run / CONFIG, asdict(config))


def check_config(run: Path, config: LoopConfig) -> None:
    """MotionError if a folder holds a run with another config; only the number of rounds may grow."""
    if (run / CONFIG).exists():
        present = read_config(run)
        if replace(present, rounds=config.rounds) != config or config.rounds < present.rounds:
            raise MotionError(
                f"{run}: holds a run with another config, choose another folder or `morphloop loop resume`"
            )


def read_config(run: Path) -> LoopConfig:
    """The config that a run was started with. MotionError if the folder holds no run."""
    path = run / CONFIG
    try:
        path.stat()
    except OSError:
        raise MotionError(f"{run}: holds no run, expected a folder that `morphloop loop run` made") from None
    values = read_json(path, expected="the config of a run")
    return from_dict(LoopConfig, values, path)
