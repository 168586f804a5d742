"""What `bench generator` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from morphloop.base import MotionError

PROMPT_SETS = ("templates", "paraphrases", "test", "combinations")
CAPTIONS = "captions"
"""The other way round: clips are described."""
EDITS = "edits"
"""Clips are changed by instruction."""


@dataclass(frozen=True)
class GeneratorBenchConfig:
    """How much is generated."""

    sets: tuple[str, ...] = (*PROMPT_SETS, CAPTIONS, EDITS)
    """templates: phrasings near the corpus's; paraphrases: words that no caption uses; test: captions of held-out
    clips; combinations: captions of clips whose pairs of actions no training clip shows; captions: held-out clips are
    described, by a generator that can; edits: held-out clips are changed by instruction, by a generator that was
    trained for it."""
    prompts: int = 200
    """Prompts of each set, the templates apart, of which there are 42; and clips that are described, and edited."""
    samples: int = 2
    """Clips of each prompt; of a template four times as many."""
    candidates: int = 1
    """Of which each clip is the nearest to its prompt by the evaluator, whose R-precision then flatters."""
    seed: int = 1000
    """Of prompts and samples."""
    speed: bool = True
    """Whether sampling is timed."""

    def __post_init__(self) -> None:
        known = (*PROMPT_SETS, CAPTIONS, EDITS)
        unknown = [name for name in self.sets if name not in known]
        if unknown or not self.sets:
            raise MotionError(f"sets {', '.join(unknown) or 'none'}, expected some of {', '.join(known)}")
        if not 2 <= self.prompts <= 10_000 or not 1 <= self.samples <= 100:
            raise MotionError(f"{self.prompts} prompts x {self.samples}, expected 2 to 10,000 and 1 to 100")
