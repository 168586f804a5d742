"""How the trajectory optimiser plans, and the weights of its cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from morphloop.base import MotionError
from morphloop.envs.config import EVALUATION_DISTANCE

STEPS_HZ = 30.0
"""Control steps a second that a number of steps here is meant for."""


@dataclass(frozen=True)
class IlqrConfig:
    """How to plan, and the cost weights: of halves of squared metres and radians and their rates, in every step.

    Steps are control steps of `STEPS_HZ`: a body of another rate is planned for as long, see `at`.
    """

    horizon: int = 24
    """Control steps planned ahead."""
    replan: int = 5
    """Control steps carried out before planning anew."""
    iterations: int = 1
    """Improvements of a plan."""
    hard_iterations: int = 5
    """Improvements of one that still costs more than `hard_cost`."""
    hard_cost: float = 0.5
    """Mean cost of a control step."""
    reuse: float = 0.03
    """Largest difference of a coordinate, radians or metres, and of its rate in as much a control step, at which the
    linear model of a control step is used again; in plans that cost less than `hard_cost` alone. 0 makes all anew."""
    root_position: float = 100.0
    root_rotation: float = 50.0
    joints: float = 5.0
    root_velocity: float = 1.0
    root_spin: float = 0.3
    joint_velocity: float = 0.2
    """A tenth of it lets stance feet chatter and balance by thrashing."""
    effort: float = 5.0
    """Of offsets on the PD targets that follow the clip, radians."""
    dampings: tuple[float, ...] = (0.0, 1.0, 10.0)
    """Weights of leaving the rollout that a linear model was taken along, in those of leaving the reference."""
    progress: float = 0.9
    """Share of a plan's cost under which an improvement needs no other damping."""
    slip: float = 0.0
    """Of what a loaded foot's points travel in a step, mean over the points, millimetres. None is best: at 0.02 a walk
    slides a seventh less, but a kick is held half as well and its feet slide more."""
    loaded_height: float = 0.012
    """A point of a loaded foot that is lower than this stands, metres."""
    terminal: float = 10.0
    """Weight of a plan's last step, in steps."""
    capture_point: float = 1000.0
    """Of its capture point there, metres."""
    bound: float = 1.0
    """Largest offset of a plan, radians."""
    retries: int = 1
    """How often a clip that failed goes back and is planned harder: `hard_iterations` wherever they help."""
    back: int = 30
    """Control steps that it goes back, the first time; twice as many the next."""
    threads: int = 2
    """That share the linear models."""
    fall_distance: float = EVALUATION_DISTANCE
    """Mean joint error at which a clip fails, metres."""

    def __post_init__(self) -> None:
        if not 1 <= self.replan <= self.horizon:
            raise MotionError(f"iLQR: replan is {self.replan}, expected 1 to the horizon, {self.horizon} control steps")

    def at(self, control_hz: float) -> IlqrConfig:
        """The same plan in seconds for a body of another control rate: as long, renewed and gone back as often, and its
        end weighs as much against the way there."""
        share = control_hz / STEPS_HZ
        if share == 1.0:
            return self
        horizon, replan, back = (max(1, round(share * steps)) for steps in (self.horizon, self.replan, self.back))
        ends = {"terminal": share * self.terminal, "capture_point": share * self.capture_point}
        return replace(self, horizon=horizon, replan=replan, back=back, **ends)
