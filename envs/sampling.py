"""Which clip and which second of it an episode starts in: in proportion to failure, with a floor."""

from __future__ import annotations

from typing import Any

import torch

from morphloop.sim import CONTROL_HZ

from .reference import MotionLibrary

SEGMENT_STEPS = round(CONTROL_HZ)
"""One second."""
FLOOR = 0.1
"""Share of the starts that is spread evenly whatever failed."""
SMOOTHING = 0.02
"""Weight of a new outcome in a segment's running failure rate."""


def smoothed_rates(
    rates: torch.Tensor, rows: torch.Tensor, failed: torch.Tensor, weight: float, told: torch.Tensor | None = None
) -> torch.Tensor:
    """Exponentially smoothed failure rates (S,) after outcomes (K,), of those alone for which `told` (K,) bool is set.

    rows: (K,) whose rate each moves; several outcomes of one row count as that many, taken at their mean; weight: of
    one new outcome.
    """
    counts = torch.ones(len(rows), device=rates.device) if told is None else told.to(rates.dtype)
    seen = torch.zeros_like(rates).scatter_add_(0, rows, counts)
    bad = torch.zeros_like(rates).scatter_add_(0, rows, counts * failed)
    keep = (1.0 - weight) ** seen
    return torch.where(seen > 0, keep * rates + (1.0 - keep) * bad / torch.clamp(seen, min=1.0), rates)


class StartSampler:
    """Running failure rate of every one-second segment of every clip, and starts drawn from it.

    library: the clips; generator: torch generator on the library's device; floor: share of the starts that is spread
    evenly whatever failed, 1 for all of them.
    """

    def __init__(self, library: MotionLibrary, generator: torch.Generator, floor: float = FLOOR):
        self.library, self.generator, self.floor = library, generator, floor
        device = library.start.device
        counts = torch.clamp((library.length - 1) // SEGMENT_STEPS, min=1)
        self.clip = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)
        first = torch.cumsum(counts, 0) - counts
        self.first = first
        self.segment = torch.arange(len(self.clip), device=device) - first[self.clip]
        self.restart()

    def restart(self) -> None:
        """Forget every outcome."""
        self.failure = torch.full((len(self.clip),), 0.5, device=self.clip.device)

    @property
    def weights(self) -> torch.Tensor:
        """(S,) probability that a start falls into each segment."""
        return self.failure / self.failure.sum() * (1.0 - self.floor) + self.floor / len(self.failure)

    def table(self) -> dict[str, list[Any]]:
        """All segments as JSON holds them: names of the C clips, and of every segment its clip's place among them, the
        second it begins with, its failure rate and its weight."""
        return {
            "names": [clip.name for clip in self.library.clips],
            "clip": self.clip.tolist(),
            "start_s": (self.segment * SEGMENT_STEPS / CONTROL_HZ).tolist(),
            "failure": self.failure.tolist(),
            "weight": self.weights.tolist(),
        }

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(count,) clips and (count,) frames to start from."""
        weight = self.weights
        pick = torch.multinomial(weight, count, replacement=True, generator=self.generator)
        clip = self.clip[pick]
        jitter = torch.rand(count, generator=self.generator, device=weight.device)
        frame = self.segment[pick] * SEGMENT_STEPS + (jitter * SEGMENT_STEPS).long()
        return clip, torch.minimum(frame, torch.clamp(self.library.length[clip] - 2, min=0))

    def record(
        self, clip: torch.Tensor, frame: torch.Tensor, failed: torch.Tensor, told: torch.Tensor | None = None
    ) -> None:
        """Tell the outcome of passing or failing in the segments of (clip, frame), each (K,); of those alone for which
        `told` (K,) bool is set."""
        last = torch.clamp((self.library.length[clip] - 1) // SEGMENT_STEPS, min=1) - 1
        rows = self.first[clip] + torch.minimum(frame.long() // SEGMENT_STEPS, last)
        self.failure = smoothed_rates(self.failure, rows, failed, SMOOTHING, told)
