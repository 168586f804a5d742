"""How clips are projected, and what is kept of one that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from morphloop.base import MotionError
from morphloop.base.former import Former, Gone
from morphloop.envs.config import PREPROCESSING, ConditioningConfig

from ..optimal_control.config import IlqrConfig

Projector = Literal["auto", "policy", "optimiser"]


@dataclass(frozen=True)
class ProjectionConfig:
    """How clips are projected."""

    projector: Projector = "auto"
    """auto: the policy first, the trajectory optimiser for what it failed; or one of them alone."""
    min_skill: float = 0.3
    """A policy's result under this skill goes to the trajectory optimiser as well."""
    max_slide_mm_s: float = 40.0
    """So does one whose loaded feet slide faster than this (`sim_slide_mean_mm_s`)."""
    conditioning: ConditioningConfig = PREPROCESSING
    """What is done to the reference before it is tracked."""
    ilqr: IlqrConfig = field(default_factory=IlqrConfig)
    """Effort and cost weights of iLQR."""

    FORMER: ClassVar[Former] = Former(
        values={"projector": {"refiner": "optimiser"}},
        gone=(Gone("refiner", "ilqr", ("guided", "seed", "sampling")),),
    )

    def __post_init__(self) -> None:
        if self.projector not in get_args(Projector):
            raise MotionError(f"no projector '{self.projector}', expected one of {', '.join(get_args(Projector))}")


@dataclass(frozen=True)
class RescueConfig:
    """What a segment must be to be kept."""

    keep: bool = True
    """Keep the longest good segment of a clip that is rejected."""
    shortest_s: float = 1.0
    """Least length, seconds."""
    error_m: float = 0.25
    """Largest mean joint error of any control step, metres (PHC's bound in training)."""
    head_drop_m: float = 0.15
    """Most by which the head may be under the reference's, metres: from there on it falls."""

    FORMER: ClassVar[Former] = Former(gone=(Gone("max_slide_mm_s", 150.0),))
