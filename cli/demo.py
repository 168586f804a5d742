"""`morphloop demo`: one full round of the loop on the shipped weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .console import SHIPPED_GENERATOR, SHIPPED_POLICY, progress_bars, shipped, writable_folder
from .loop import finish

DEMO_PROMPTS = (
    "a person walks forward",
    "a person walks forward slowly",
    "a person walks forward quickly",
    "a person walks in a curve to the left",
    "a person walks in a curve to the right",
    "a person steps sideways to the left",
    "a person steps sideways to the right",
    "a person walks backward",
    "a person squats down and stands up again",
    "a person waves with the right hand",
    "a person waves with the left hand",
    "a person raises both arms",
    "a person kicks with the right leg",
    "a person bows",
    "a person turns around on the spot",
    "a person jumps in place",
)
DEMO_SEED = 7
DEMO_BUDGET_S = 120.0
DEMO_GUARD_PROMPTS = 48
"""Fewer than the 256 that a run should have, so that the demo ends in time; the report says so."""
DEMO_FINETUNE_STEPS = 100


@dataclass(frozen=True)
class Demo:
    """One full round of the loop on the shipped weights: 16 prompts, at most 12 minutes on two cores.

    Prompts become clips, clips are tracked in physics, what physics did is measured and selected, the generator is
    fine-tuned on it, and a report shows before and after. Run it again to go on where it was interrupted.
    """

    out: Path = Path("demo_run")
    """Folder of the run."""

    def run(self) -> int:
        from morphloop.generator import FinetuneConfig
        from morphloop.refinement_loop import LoopConfig, start_run

        config = LoopConfig(
            generator=str(shipped(SHIPPED_GENERATOR)),
            prompts=DEMO_PROMPTS,
            policy=str(shipped(SHIPPED_POLICY)),
            seed=DEMO_SEED,
            imitate_budget_s=DEMO_BUDGET_S,
            finetune=FinetuneConfig(steps=DEMO_FINETUNE_STEPS),
            guard_prompts=DEMO_GUARD_PROMPTS,
        )
        writable_folder(self.out)
        with progress_bars() as watch:
            rounds = start_run(self.out, config, watch)
        return finish(self.out, rounds, None)
