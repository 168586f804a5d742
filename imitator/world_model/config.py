"""How a policy is trained through a learned model of the world."""

from __future__ import annotations

from dataclasses import dataclass

from morphloop.base import MotionError

MOST_STEPS = 1024
"""Longest window or horizon."""


@dataclass(frozen=True)
class WorldModelConfig:
    """Options of trainer worldmodel; window and horizon as SuperMimic's (arXiv 2610.28480)."""

    hidden: tuple[int, ...] = (512, 512)
    """Widths of the world model's layers."""
    window: int = 32
    """Control steps of every environment between updates."""
    foresight: int | None = None
    """Control steps that the world model has to foresee in one go, at most a window; if not given a whole window."""
    warm_up: int = 4
    """Updates at first in which the world model learns alone, none where it begins with another's: a policy that is
    improved in a world that is not known yet learns what the model has wrong."""
    horizon: int = 32
    """Control steps of an imagined roll-out."""
    kept: int = 8
    """Windows of every environment that are learned from, the latest ones."""
    model_batch: int = 256
    """Windows in a gradient step of the world model."""
    model_steps: int = 16
    """Gradient steps of the world model an update."""
    policy_batch: int = 256
    """Imagined roll-outs in a gradient step of the policy."""
    policy_steps: int = 8
    """Gradient steps of the policy an update."""
    model_learning_rate: float = 1e-3
    """Of the world model's Adam."""
    learning_rate: float = 2e-4
    """Of the policy's Adam."""
    gamma: float = 0.97
    """Discount: about one second at 30 Hz."""
    ema: float = 0.99
    """Share of the averaged policy, which is what training results in, that a gradient step leaves."""
    state_gradient: float = 100.0
    """Largest gradient that a roll-out hands back from one state to the one before."""
    weight_gradient: float = 1.0
    """Largest gradient of all weights of a network together in a step."""
    measurable: bool | None = None
    """Whether a new policy sees no more than a robot can measure of itself: not where in the world it is nor how fast
    it goes there. If not given, robots do and people's bodies, which never leave the simulator, do not."""
    begin: str | None = None
    """World model file to begin with, world_model.safetensors of another training of the same body."""

    @property
    def updates_alone(self) -> int:
        """Updates at first in which the policy does not learn."""
        return self.warm_up if self.begin is None else 0

    def sees_what_a_robot_measures(self, robot: bool) -> bool:
        """Whether a new policy of a robot, or of another body, is kept to that."""
        return robot if self.measurable is None else self.measurable

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise MotionError(f"worldmodel.hidden: {self.hidden}, expected one width or more, of 1 or more")
        for name in ("window", "horizon", "kept", "model_batch", "model_steps", "policy_batch", "policy_steps"):
            if getattr(self, name) < 1:
                raise MotionError(f"worldmodel.{name}: {getattr(self, name)}, expected 1 or more")
        for name in ("window", "horizon"):
            if getattr(self, name) > MOST_STEPS:
                raise MotionError(f"worldmodel.{name}: {getattr(self, name)}, expected at most {MOST_STEPS}")
        if self.foresight is not None and not 1 <= self.foresight <= self.window:
            raise MotionError(f"worldmodel.foresight: {self.foresight}, expected 1 to the window of {self.window}")
        if self.warm_up < 0:
            raise MotionError(f"worldmodel.warm_up: {self.warm_up}, expected 0 or more")
        for name in ("model_learning_rate", "learning_rate", "state_gradient", "weight_gradient"):
            if not getattr(self, name) > 0.0:
                raise MotionError(f"worldmodel.{name}: {getattr(self, name):g}, expected more than 0")
        for name in ("gamma", "ema"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise MotionError(f"worldmodel.{name}: {getattr(self, name):g}, expected 0 to 1")
