"""Codebook interleaving as one object: which token of which stream stands at which step.

After audiocraft's pattern provider (Copet et al. 2023): a pattern is a delay for every stream and a stride, the steps
from one time to the next. `delay_pattern` shifts stream l by l steps (MusicGen, MotionVerse), so that a token sees all
coarser ones of its own time; `parallel_pattern` shifts none; `flatten_pattern` puts one token at a step, time by time
and coarse to fine. The language model sees steps only and does not know which pattern it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.base import MotionError


@dataclass(frozen=True)
class Pattern:
    """delays: (L,) steps by which each stream is shifted to the right; stride: steps from one time to the next.

    No stream ends before a coarser one, so that the last one's end is the sequence's.
    """

    delays: tuple[int, ...]
    stride: int = 1

    @property
    def streams(self) -> int:
        return len(self.delays)

    def num_steps(self, times: int) -> int:
        """Steps that `times` tokens a stream take."""
        return max(self.delays) + 1 + (times - 1) * self.stride

    def times(self, steps: int) -> torch.Tensor:
        """(L, steps) time of the token at each place; negative where the stream has none."""
        since = torch.arange(steps)[None] - torch.tensor(self.delays)[:, None]
        return torch.where(since % self.stride == 0, since.div(self.stride, rounding_mode="floor"), -1)

    def interleave(self, codes: torch.Tensor, blank: int) -> torch.Tensor:
        """Codes (..., L, n) to steps (..., L, num_steps(n)); `blank` where a stream has no token."""
        self._check(codes)
        times = self.times(self.num_steps(codes.shape[-1]))
        valid = (times >= 0) & (times < codes.shape[-1])
        index = times.clamp(0, codes.shape[-1] - 1).to(codes.device).expand(*codes.shape[:-2], *times.shape)
        return torch.where(valid.to(codes.device), codes.gather(-1, index), blank)

    def deinterleave(self, steps: torch.Tensor) -> torch.Tensor:
        """Inverse of `interleave`: (..., L, S) to codes (..., L, n), n the times that S steps complete."""
        self._check(steps)
        count = (steps.shape[-1] - max(self.delays) + self.stride - 1) // self.stride
        if count < 0:
            raise MotionError(f"pattern with delays {self.delays} needs {max(self.delays)} steps at least")
        places = [slice(delay, delay + count * self.stride, self.stride) for delay in self.delays]
        return torch.stack([steps[..., i, place][..., :count] for i, place in enumerate(places)], dim=-2)

    def _check(self, tokens: torch.Tensor) -> None:
        if tokens.ndim < 2 or tokens.shape[-2] != self.streams:
            raise MotionError(f"tokens {tuple(tokens.shape)}, expected (..., {self.streams}, steps)")


def delay_pattern(streams: int) -> Pattern:
    """Stream l begins l steps late."""
    return Pattern(tuple(range(streams)))


def parallel_pattern(streams: int) -> Pattern:
    """All streams begin at once."""
    return Pattern((0,) * streams)


def flatten_pattern(streams: int) -> Pattern:
    """One token a step: all streams of a time, coarse to fine, then those of the next."""
    return Pattern(tuple(range(streams)), stride=streams)


PATTERNS = {"delay": delay_pattern, "parallel": parallel_pattern, "flatten": flatten_pattern}
