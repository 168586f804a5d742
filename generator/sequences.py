"""One vocabulary for text and motion, and the sequences that the language model reads.

Every step has L ids, one a stream. Text and marks stand in stream 0 and leave the others blank; motion fills all
streams as the pattern says. A stream's last token is END, so that length is learnt and no pattern needs a rule for it.

    text to motion:  TO_MOTION text ... MOTION codes ... END
    motion to text:  TO_TEXT [instruction ...] codes ... END TEXT text ... END
    in between:      TO_MOTION text ... TEXT codes of the ending ... END MOTION codes ... END
    editing:         TO_MOTION instruction ... TO_TEXT codes of the source ... END MOTION codes ... END

A text is either ids of this vocabulary or the states of a text encoder, one a step (`Steps.states`): such a step has no
id, its vector is projected into the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .patterns import Pattern

IGNORE = -100
"""Target of a place that is not trained (PyTorch's default)."""


@dataclass(frozen=True)
class Steps:
    """ids: (L, S), blank where nothing stands; states: (S, W) of a text encoder, zero where an id stands, or None."""

    ids: torch.Tensor
    states: torch.Tensor | None = None


Text = Sequence[int] | torch.Tensor
"""A prompt's text: ids, or states (n, W) of a text encoder."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids: text first (text_size), then the marks, then streams x codebook motion codes."""

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

    def motion_prompt(
        self, text: Text, ending: torch.Tensor | None = None, source: torch.Tensor | None = None
    ) -> Steps:
        """Steps that ask for motion; `motion_steps` (L, k) that are shown beside the text, if any: of an ending, the
        codes that it shall end in, or of a source, which the text then says how to change."""
        first, last = self.mark("to_motion"), self.mark("motion")
        behind, codes = ("text", ending) if source is None else ("to_text", source)
        if codes is not None:
            asked = self.motion_prompt(text)
            shown = torch.cat([self.text_steps([self.mark(behind)]), codes], dim=1)
            ids = torch.cat([asked.ids[:, :-1], shown, asked.ids[:, -1:]], dim=1)
            return Steps(ids, None if asked.states is None else F.pad(asked.states, (0, 0, 0, shown.shape[1])))
        if not isinstance(text, torch.Tensor):
            return Steps(self.text_steps([first, *text, last]))
        return Steps(self.text_steps([first, *[self.blank] * len(text), last]), F.pad(text, (0, 0, 1, 1)))

    def text_prompt(self, codes: torch.Tensor, pattern: Pattern, instruction: Text = ()) -> Steps:
        """Steps that ask for a caption of codes (L, n); instruction: words that ask for it, behind the first mark."""
        first, last = (self.text_steps([self.mark(name)]) for name in ("to_text", "text"))
        words = self.motion_prompt(instruction)
        shown = torch.cat([self.motion_steps(codes, pattern), last], dim=1)
        ids = torch.cat([first, words.ids[:, 1:-1], shown], dim=1)
        return Steps(ids, None if words.states is None else F.pad(words.states[:-1], (0, 0, 0, shown.shape[1])))


@dataclass(frozen=True)
class Pair:
    """A prompt with its answer: steps (L, S), and targets (L, S), the ids of the next step, IGNORE where untrained."""

    steps: Steps
    targets: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """ids: (B, L, S), blank on the right; states: (B, S, W) or None; targets: (B, L, S)."""

    ids: torch.Tensor
    states: torch.Tensor | None
    targets: torch.Tensor


def training_pair(prompt: Steps, answer: torch.Tensor, blank: int) -> Pair:
    """Inputs and targets of a prompt and its answer (L, n); only the answer's tokens are trained."""
    whole = torch.cat([prompt.ids, answer], dim=1)
    targets = torch.where(whole == blank, IGNORE, whole)
    targets[:, : prompt.ids.shape[1]] = IGNORE
    states = None if prompt.states is None else F.pad(prompt.states, (0, 0, 0, answer.shape[1] - 1))
    return Pair(Steps(whole[:, :-1], states), targets[:, 1:])


def text_to_motion(vocabulary: Vocabulary, pattern: Pattern, text: Text, codes: torch.Tensor, ending: int = 0) -> Pair:
    """Training pair of one caption and codes (L, n), the last `ending` of which are shown beside it."""
    answer = vocabulary.motion_steps(codes, pattern)
    shown = vocabulary.motion_steps(codes[:, -ending:], pattern) if ending else None
    return training_pair(vocabulary.motion_prompt(text, shown), answer, vocabulary.blank)


def edited_motion(
    vocabulary: Vocabulary, pattern: Pattern, instruction: Text, source: torch.Tensor, codes: torch.Tensor
) -> Pair:
    """Training pair of an instruction, the codes (L, m) that it is about and the codes (L, n) that it makes of them."""
    prompt = vocabulary.motion_prompt(instruction, source=vocabulary.motion_steps(source, pattern))
    return training_pair(prompt, vocabulary.motion_steps(codes, pattern), vocabulary.blank)


def motion_to_text(
    vocabulary: Vocabulary, pattern: Pattern, text: Sequence[int], codes: torch.Tensor, instruction: Text = ()
) -> Pair:
    """Training pair of the other direction; instruction: as in `Vocabulary.text_prompt`."""
    answer = vocabulary.text_steps([*text, vocabulary.end])
    return training_pair(vocabulary.text_prompt(codes, pattern, instruction), answer, vocabulary.blank)


def with_instruction(instruction: Text, prompt: Text) -> Text:
    """A prompt behind an instruction, both as ids or both as states."""
    if isinstance(instruction, torch.Tensor):
        assert isinstance(prompt, torch.Tensor)
        return torch.cat([instruction, prompt])
    assert not isinstance(prompt, torch.Tensor)
    return [*instruction, *prompt]


def collate(pairs: Sequence[Pair], blank: int) -> Batch:
    """Training pairs of different lengths as one batch, filled up on the right."""
    steps = [pair.steps for pair in pairs]
    ids, _ = pad(steps, blank, left=False)
    targets, _ = pad([Steps(pair.targets) for pair in pairs], IGNORE, left=False)
    return Batch(ids, pad_states(steps, left=False), targets)


def pad(steps: Sequence[Steps], blank: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, L, S) of steps of different lengths and the mask (B, S), 1 where a step counts."""
    longest = max(one.ids.shape[1] for one in steps)
    missing = [longest - one.ids.shape[1] for one in steps]
    sides = [(n, 0) if left else (0, n) for n in missing]
    ids = torch.stack([F.pad(one.ids, side, value=blank) for one, side in zip(steps, sides, strict=True)])
    mask = torch.stack([F.pad(torch.ones(longest - sum(side), dtype=torch.long), side) for side in sides])
    return ids, mask


def pad_states(steps: Sequence[Steps], left: bool) -> torch.Tensor | None:
    """States (B, S, W), zero where a sequence has none; None if none has any."""
    widths = {one.states.shape[1] for one in steps if one.states is not None}
    if not widths:
        return None
    longest = max(one.ids.shape[1] for one in steps)
    whole = torch.zeros(len(steps), longest, widths.pop())
    for row, one in zip(whole, steps, strict=True):
        if one.states is not None:
            count = len(one.states)
            (row[longest - count :] if left else row[:count])[:] = one.states
    return whole
