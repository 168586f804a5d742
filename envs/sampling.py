"""Which clip and which second of it an episode starts in: where bodies fail, and a little before it.

Every second of a clip has a failure rate, smoothed exponentially over what became of the episodes that played it: those
that failed in it and those that passed. Starts are aimed at seconds in proportion to it, with a floor that is spread
evenly and a cap on the largest share, as BeyondMimic does (Liao et al., arXiv 2508.08241). Departures: a
rate counts passes too, where theirs counts failures alone, so that it does not grow with how often a second is played;
and a start lies up to half a second before the second that it is aimed at, where theirs spreads failures over the bins
before.
"""

from __future__ import annotations

from typing import Any

import torch

from .config import FLOOR
from .reference import MotionLibrary

CAP = 200.0
"""Largest share of the other starts that are aimed at one segment, in even shares."""
LEAD = 0.5
"""Seconds before their segment that aimed starts begin: who fails at a moment had begun to fall before it. Of 453
bodies of an untrained network that failed on 48 clips, half were a tenth of a metre off 13 steps at 30 Hz earlier, four
of five 7 to 22."""
MEMORY = 50.0
"""Outcomes that a segment's running failure rate remembers."""
UNSEEN, UNSEEN_OUTCOMES = 0.5, 2.0
"""Failure rate of a segment that nobody has played, and how many outcomes that counts for."""


def outcomes(
    rows: torch.Tensor, failed: torch.Tensor, size: int, weight: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """How many outcomes (size,) of K each row had, and what share (size,) of them failed, 0 where there was none.

    rows: (K,); failed: (K,) bool; weight: (K,) for how many each counts, one if None.
    """
    weight = torch.ones(len(rows), device=rows.device) if weight is None else weight
    count = weight.new_zeros(size).scatter_add_(0, rows, weight)
    bad = weight.new_zeros(size).scatter_add_(0, rows, weight * failed)
    return count, bad / torch.where(count > 0.0, count, 1.0)


def shares(failure: torch.Tensor, cap: float = CAP) -> torch.Tensor:
    """(S,) shares in proportion to failure rates (S,), none above `cap` even ones; what is cut off is spread evenly."""
    share = failure / failure.sum().clamp(min=torch.finfo(failure.dtype).tiny)
    share = share.clamp(max=cap / len(share))
    return share + (1.0 - share.sum()).clamp(min=0.0) / len(share)


class StartSampler:
    """Running failure rate of every one-second segment of every clip, and starts drawn from it.

    library: the clips; generator: torch generator on the library's device; floor: share of the starts that is spread
    evenly whatever failed, 1 for all of them.
    steps: control steps of a segment; lead: of `LEAD`; clip: (S,) of each segment; begin, end: (S,) its first frame and
    the one after its last, a clip's last segment goes to the clip's end; failure: (S,) rates; seen: (S,) outcomes that
    each rests on, up to `MEMORY`
    """

    def __init__(self, library: MotionLibrary, generator: torch.Generator, floor: float = FLOOR):
        self.library, self.generator, self.floor = library, generator, floor
        self.steps = round(library.fps)
        self.lead = int(LEAD * self.steps)
        device = library.start.device
        self.count = torch.clamp((library.length - 1) // self.steps, min=1)
        self.clip = torch.repeat_interleave(torch.arange(len(self.count), device=device), self.count)
        self.first = torch.cumsum(self.count, 0) - self.count
        segment = torch.arange(len(self.clip), device=device) - self.first[self.clip]
        self.begin = segment * self.steps
        last = segment == self.count[self.clip] - 1
        self.end = torch.where(last, library.length[self.clip] - 1, self.begin + self.steps).clamp(min=1)
        self.restart()

    def restart(self) -> None:
        """Forget every outcome."""
        self.failure = torch.full((len(self.clip),), UNSEEN, device=self.clip.device)
        self.seen = torch.zeros_like(self.failure)

    @property
    def weights(self) -> torch.Tensor:
        """(S,) probability that a start is aimed at each segment."""
        return shares(self.failure) * (1.0 - self.floor) + self.floor / len(self.failure)

    def table(self) -> dict[str, list[Any]]:
        """All segments as JSON holds them: names of the C clips, and of every segment its clip's place among them, the
        second it begins with, its failure rate, how many outcomes that rests on, and its weight."""
        return {
            "names": [clip.name for clip in self.library.clips],
            "clip": self.clip.tolist(),
            "start_s": (self.begin / self.library.fps).tolist(),
            "failure": self.failure.tolist(),
            "seen": self.seen.tolist(),
            "weight": self.weights.tolist(),
        }

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(count,) clips and (count,) frames to start from: anywhere in an even segment, or in a segment's length that
        begins `lead` before one that bodies fail in."""
        chance = torch.rand(3, count, generator=self.generator, device=self.clip.device)
        even = chance[0] < self.floor
        aimed = torch.multinomial(shares(self.failure), count, replacement=True, generator=self.generator)
        pick = torch.where(even, (chance[1] * len(self.clip)).long(), aimed)
        lead = torch.where(even, 0, self.lead)
        first = torch.clamp(self.begin[pick] - lead, min=0)
        width = torch.clamp(self.end[pick] - lead - first, min=1)
        return self.clip[pick], first + (chance[2] * width).long()

    def record(
        self,
        clip: torch.Tensor,
        before: torch.Tensor,
        after: torch.Tensor,
        played: torch.Tensor,
        failed: torch.Tensor,
        cut: torch.Tensor,
    ) -> None:
        """Tell a control step of N episodes on `clip`, from frame `before` to `after`, `played` frames after their
        start, (N,) each.

        A segment that an episode fails in, `failed` (N,) bool, has failed; one whose end it comes to was passed, and
        so was what it saw of the one that it is cut off in, `cut` (N,) bool. A pass counts for the share of the segment
        that the episode has played: who starts near its end tells little about it.
        """
        segment = torch.minimum(before.long() // self.steps, self.count[clip] - 1)
        rows = self.first[clip] + segment
        begin, end = self.begin[rows], self.end[rows]
        share = torch.minimum(played, after - begin) / (end - begin)
        told = failed | cut | (after >= end)
        weight = torch.where(failed, 1.0, share.clamp(max=1.0)) * told
        self._average(rows, failed, weight)

    def _average(self, rows: torch.Tensor, failed: torch.Tensor, weight: torch.Tensor) -> None:
        """Take K outcomes into the rates of segments `rows` (K,): by how much each failed, 0 to 1 or bool, and for how
        many it counts."""
        count, rate = outcomes(rows, failed, len(self.failure), weight)
        known = self.seen + UNSEEN_OUTCOMES
        keep = torch.minimum((1.0 - 1.0 / MEMORY) ** count, known / (known + count))
        self.failure = keep * self.failure + (1.0 - keep) * rate
        self.seen = torch.clamp(self.seen + count, max=MEMORY)


class ReturnSampler(StartSampler):
    """Starts where little is earned: a segment's rate is the running mean of what a control step in it falls short of a
    reward of one, and one where bodies failed.

    Of a learner that sees returns and few failures, as in SuperMimic (arXiv 2610.28480).
    """

    def record(
        self,
        clip: torch.Tensor,
        before: torch.Tensor,
        after: torch.Tensor,
        played: torch.Tensor,
        failed: torch.Tensor,
        cut: torch.Tensor,
    ) -> None:
        """Nothing: who failed or passed is in what was earned."""

    def earned(self, clip: torch.Tensor, frame: torch.Tensor, reward: torch.Tensor, failed: torch.Tensor) -> None:
        """Tell the rewards (N,) of a control step from frames (N,) of clips (N,), and who failed in it, (N,) bool.

        A step counts for its share of the segment, a failure for all of it.
        """
        rows = self.first[clip] + torch.minimum(frame.long() // self.steps, self.count[clip] - 1)
        short = torch.where(failed, 1.0, (1.0 - reward).clamp(0.0, 1.0))
        self._average(rows, short, torch.where(failed, 1.0, 1.0 / (self.end - self.begin)[rows]))
