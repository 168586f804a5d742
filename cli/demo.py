"""`morphloop demo`: one full round of the loop on the shipped weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .console import SHIPPED_GENERATOR, SHIPPED_POLICY, progress_bars, shipped, writable_folder
from .loop import finish

DEMO_PROMPTS = (
    "a person walks forward.",
    "a person walks forward slowly.",
    "someone is walking ahead and waving with their left arm.",
    "a person walks forward while curving to the left.",
    "a person steps sideways to the right.",
    "a person walks backward slowly.",
    "a person turns around to the left with small steps.",
    "a person does two squats.",
    "a person waves with their right hand.",
    "a person raises both arms above their head.",
    "a person raises their left arm to the side.",
    "a person kicks forward with the right foot.",
    "a person bows deeply.",
    "a person throws two punches with the left fist.",
    "a person reaches forward with their right hand.",
    "a person jumps in place.",
)
DEMO_SEED = 7
DEMO_GUARD_PROMPTS = 64
DEMO_GUARD_SAMPLES = 4
"""Fewer than the 256 prompts that a run should have: the demo ends in time, and the report says so."""
DEMO_FINETUNE_STEPS = 100
DEMO_DEMONSTRATIONS = 6


@dataclass(frozen=True)
class Demo:
    """One full round of the loop on the shipped weights: 16 prompts, some five minutes on two cores.

    Prompts become clips, clips are tracked in physics, what physics did is measured and selected, the generator is
    fine-tuned on it, and a report shows before and after. Run it again to go on where it was interrupted.
    """

    out: Path = Path("demo_run")
    """Folder of the run."""

    def run(self) -> int:
        from morphloop.generator import FinetuneConfig
        from morphloop.imitator.demonstrations.config import UpdateConfig
        from morphloop.refinement_loop import LoopConfig, start_run

        config = LoopConfig(
            generator=str(shipped(SHIPPED_GENERATOR)),
            prompts=DEMO_PROMPTS,
            policy=str(shipped(SHIPPED_POLICY)),
            seed=DEMO_SEED,
            imitate=UpdateConfig(demonstrations=DEMO_DEMONSTRATIONS),
            finetune=FinetuneConfig(steps=DEMO_FINETUNE_STEPS),
            guard_prompts=DEMO_GUARD_PROMPTS,
            guard_samples=DEMO_GUARD_SAMPLES,
        )
        writable_folder(self.out)
        with progress_bars() as watch:
            rounds = start_run(self.out, config, watch)
        return finish(self.out, rounds, None)
