"""One vocabulary for text and motion, and the sequences that the language model reads.

Every step has L ids, one a stream. Text and marks stand in stream 0 and leave the others blank; motion fills all
streams as the pattern says. A stream's last token is END, so that length is learnt and no pattern needs a rule for it.

    text to motion:  TO_MOTION text ... MOTION codes ... END
    motion to text:  TO_TEXT codes ... END TEXT text ... END
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .patterns import Pattern

IGNORE = -100
"""Target of a place that is not trained (PyTorch's default)."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids: text first (text_size), then five marks, then streams x codebook motion codes."""

    text_size: int
    streams: int
    codebook: int

    MARKS = ("blank", "end", "to_motion", "to_text", "motion", "text")

    def mark(self, name: str) -> int:
        """Id of a mark of MARKS."""
        return self.text_size + self.MARKS.index(name)

    @property
    def blank(self) -> int:
        return self.mark("blank")

    @property
    def end(self) -> int:
        return self.mark("end")

    @property
    def first_code(self) -> int:
        return self.text_size + len(self.MARKS)

    @property
    def size(self) -> int:
        return self.first_code + self.streams * self.codebook

    def code_ids(self, codes: torch.Tensor) -> torch.Tensor:
        """Ids of codes (..., L, n)."""
        return codes + self.first_code + torch.arange(self.streams)[:, None] * self.codebook

    def codes(self, ids: torch.Tensor) -> torch.Tensor:
        """Inverse of `code_ids`."""
        return ids - self.first_code - torch.arange(self.streams)[:, None] * self.codebook

    def allowed_codes(self) -> torch.Tensor:
        """(L, size) bool: the ids that each stream's codes have."""
        owner = (torch.arange(self.size) - self.first_code).div(self.codebook, rounding_mode="floor")
        return owner[None] == torch.arange(self.streams)[:, None]

    def text_steps(self, ids: Sequence[int]) -> torch.Tensor:
        """(L, n) steps of ids that stand in stream 0 alone."""
        steps = torch.full((self.streams, len(ids)), self.blank)
        steps[0] = torch.tensor(list(ids), dtype=torch.long)
        return steps

    def motion_steps(self, codes: torch.Tensor, pattern: Pattern) -> torch.Tensor:
        """Codes (L, n) and their END as steps (L, num_steps(n + 1))."""
        ids = torch.cat([self.code_ids(codes), torch.full((self.streams, 1), self.end)], dim=1)
        return pattern.interleave(ids, self.blank)

    def motion_prompt(self, text: Sequence[int]) -> torch.Tensor:
        """(L, S) steps that ask for motion."""
        return self.text_steps([self.mark("to_motion"), *text, self.mark("motion")])

    def text_prompt(self, codes: torch.Tensor, pattern: Pattern) -> torch.Tensor:
        """(L, S) steps that ask for a caption of codes (L, n)."""
        middle = self.motion_steps(codes, pattern)
        return torch.cat([self.text_steps([self.mark("to_text")]), middle, self.text_steps([self.mark("text")])], dim=1)


@dataclass(frozen=True)
class Batch:
    """ids: (B, L, S) steps, blank on the right; targets: (B, L, S) ids of the next step, IGNORE where untrained."""

    ids: torch.Tensor
    targets: torch.Tensor


def training_pair(prompt: torch.Tensor, answer: torch.Tensor, blank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, both (L, S), of a prompt and its answer; only the answer's tokens are trained."""
    whole = torch.cat([prompt, answer], dim=1)
    targets = torch.where(whole == blank, IGNORE, whole)
    targets[:, : prompt.shape[1]] = IGNORE
    return whole[:, :-1], targets[:, 1:]


def text_to_motion(
    vocabulary: Vocabulary, pattern: Pattern, text: Sequence[int], codes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Training pair of one caption's ids and codes (L, n)."""
    answer = vocabulary.motion_steps(codes, pattern)
    return training_pair(vocabulary.motion_prompt(text), answer, vocabulary.blank)


def motion_to_text(
    vocabulary: Vocabulary, pattern: Pattern, text: Sequence[int], codes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Training pair of the other direction."""
    answer = vocabulary.text_steps([*text, vocabulary.end])
    return training_pair(vocabulary.text_prompt(codes, pattern), answer, vocabulary.blank)


def collate(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], blank: int) -> Batch:
    """Training pairs of different lengths as one batch, filled up on the right."""
    longest = max(ids.shape[1] for ids, _ in pairs)
    streams = pairs[0][0].shape[0]
    all_ids = torch.full((len(pairs), streams, longest), blank)
    all_targets = torch.full((len(pairs), streams, longest), IGNORE)
    for row, (ids, targets) in enumerate(pairs):
        all_ids[row, :, : ids.shape[1]] = ids
        all_targets[row, :, : ids.shape[1]] = targets
    return Batch(all_ids, all_targets)
