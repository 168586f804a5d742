"""How demonstrations are recorded, varied and distilled, and how a policy is taught by them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from morphloop.envs.config import PREPROCESSING, ConditioningConfig

from ..optimal_control.config import IlqrConfig
from ..training.config import WIDTHS


@dataclass(frozen=True)
class DemonstrationConfig:
    """How demonstrations are recorded."""

    ilqr: IlqrConfig = field(default_factory=lambda: IlqrConfig(threads=1, retries=0))
    """Effort of the expert: a clip that it fails is not tried again, for what went before is a demonstration too."""
    shake: float = 0.02
    """Noise on what the expert carries out, radians."""
    seed: int = 0


@dataclass(frozen=True)
class DistilConfig:
    """How a policy learns from demonstrations."""

    updates: int = 60
    """How many, half an hour on two cores; the learning rate falls from the first to the last."""
    envs: int = 256
    """Bodies that are driven at once."""
    steps: int = 60
    """Control steps of all of them before each update."""
    batches: int = 500
    """Gradient steps of an update."""
    minibatch: int = 512
    memory: int = 500_000
    """Labelled states kept, the oldest go first."""
    learning_rate: float = 1e-3
    last_learning_rate: float = 3e-5
    """At the last update."""
    input_noise: float = 0.7
    """Standard deviation of noise on what the network reads while it learns, in spreads: what it then relies on is what
    many inputs say together. Without it a policy did worse on clips of other makers than no policy."""
    dropout: float = 0.2
    """Share of each hidden layer that is left out while it learns."""
    weight_decay: float = 0.01
    expert_updates: int = 2
    """First updates in which the expert drives half of the bodies."""
    expert_share: float = 0.1
    """Share of bodies that the expert drives after that: states of a body that does well."""
    push: float = 0.1
    """Standard deviation of what is added to the root's horizontal velocity at a start, m/s; twice that to its spin."""
    disturb: float = 0.03
    """Standard deviation of the joints' angles at a start, radians; ten times that of their speed."""
    noise: float = 0.1
    """Standard deviation of the noise on what is carried out, in actions."""
    tube: float = 0.15
    """Mean joint distance from the demonstration beyond which its gains do not hold, metres."""
    max_steps: int = 150
    """Longest way along a demonstration, control steps."""
    seed: int = 0


FURTHER = DistilConfig(learning_rate=1e-4, last_learning_rate=2e-5)
"""For a policy that is taught further: small steps, for it holds more than these demonstrations."""
DEMONSTRATIONS, UPDATES = 12, 2
"""What takes a minute and a half on two cores."""
GENTLY = replace(
    FURTHER, updates=UPDATES, envs=64, expert_updates=1, batches=250, learning_rate=1e-5, last_learning_rate=1e-5
)
"""A dozen demonstrations hold little of what the policy knows: at ten times the rate it learnt them and fell on other
clips."""


@dataclass(frozen=True)
class UpdateConfig:
    """How a policy is taught."""

    demonstrations: int = DEMONSTRATIONS
    """Clips that the expert records a demonstration of, at most; the seed draws which."""
    expert: DemonstrationConfig = field(default_factory=DemonstrationConfig)
    distil: DistilConfig = GENTLY
    recording: float = 0.55
    """Share of a time limit after which no demonstration is begun."""


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges that a variation is drawn from."""

    tempo: tuple[float, float] = (0.75, 1.3)
    """Times the speed."""
    crouch: float = 0.3
    """Most that hips are bent throughout, radians, knees by twice that."""
    turn: float = 0.5
    """Most that a path curves, rad/s, either way."""
    swap: float = 0.5
    """How often the upper body is another clip's."""
    noise: float = 0.2
    """Standard deviation of the smooth offsets, radians."""
    noise_hz: float = 0.8
    """Knots of the smooth offsets a second."""
    lean: float = 0.06
    """Standard deviation of a smooth pitch and roll of the whole body about the ground beneath it, radians."""
    sway: float = 0.03
    """Standard deviation of a smooth horizontal offset of the root, metres, a third of it vertical."""
    stretch: tuple[float, float] = (0.75, 1.3)
    """Times the length of the path: the feet slide."""
    jitter: float = 0.015
    """Most of the standard deviation of white noise on joints, radians, and on the root in fifths of metres."""
    spoil: float = 0.6
    """How often lean, sway, stretch and jitter are there."""


@dataclass(frozen=True)
class WarmStartConfig:
    """How a first policy is made."""

    demonstrations: int | None = None
    """Clips and variations that the expert demonstrates at most, all if None."""
    record_s: float | None = None
    """Seconds after which recording is cut short, None for never."""
    distil_s: float | None = None
    """The same of distillation, whose budget is `DistilConfig.updates`."""
    variations: float = 1.0
    """Variations of clips, for each clip."""
    hidden: tuple[int, ...] = WIDTHS
    """Widths of the policy's layers."""
    seed: int = 0
    workers: int | None = None
    """Processes that record; one a core if None."""
    conditioning: ConditioningConfig = PREPROCESSING
    """What is done to the clips before they are tracked, as in projection."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    expert: DemonstrationConfig = field(default_factory=DemonstrationConfig)
    distil: DistilConfig | None = None
    """As `DistilConfig` has it if None, and as `FURTHER` where a policy that is there is taught."""
