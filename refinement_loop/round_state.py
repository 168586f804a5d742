"""What the stages of a round are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .config import LoopConfig
from .stages import Finished, Stage

if TYPE_CHECKING:
    from morphloop.generator import Generator
    from morphloop.imitator import Policy

    from .guard_samples import HeldOut

Tick = Callable[[int, int], None]
"""Told of progress: how many are done, of how many."""


@dataclass(frozen=True)
class RoundState:
    """What a stage may use.

    config: of the run; number: of the round; generator, policy: as they are now; start: the run's first generator;
    held_out: the guard's questions; done: the round's stages before this one.
    """

    config: LoopConfig
    number: int
    generator: Generator
    policy: Policy | None
    start: Generator
    held_out: HeldOut
    done: dict[str, Finished] = field(default_factory=dict)

    def folder(self, stage: str) -> Path:
        """Where the output of a stage of this round is."""
        return self.done[stage].folder

    def inputs(self, stage: Stage) -> dict[str, str | None]:
        """Hash of everything that a stage is made from, by the names of its entry."""
        models = {"policy": None if self.policy is None else self.policy.hash}
        models |= {name: getattr(self, name).hash() for name in ("generator", "start")}
        return {name: self.done[before].hash for name, before in stage.made_from.items()} | {
            name: models[name] for name in stage.takes
        }
