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
        counts = torch.ones_like(self.failure[rows]) if told is None else told.to(self.failure.dtype)
        seen = torch.zeros_like(self.failure).scatter_add_(0, rows, counts)
        bad = torch.zeros_like(self.failure).scatter_add_(0, rows, counts * failed)
        rate = bad / torch.clamp(seen, min=1.0)
        keep = (1.0 - SMOOTHING) ** seen
        self.failure = torch.where(seen > 0, keep * self.failure + (1.0 - keep) * rate, self.failure)
