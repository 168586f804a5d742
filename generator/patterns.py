"""Codebook interleaving as one object: which token of which stream stands at which step.

After audiocraft's pattern provider (Copet et al. 2023): a pattern is a delay for every stream. `delay_pattern` shifts
stream l by l steps (MusicGen, MotionVerse), so that a token sees all coarser ones of its own time; `parallel_pattern`
shifts none. The language model sees steps only and does not know which pattern it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.base import MotionError


@dataclass(frozen=True)
class Pattern:
    """delays: (L,) steps by which each stream is shifted to the right."""

    delays: tuple[int, ...]

    @property
    def streams(self) -> int:
        return len(self.delays)

    def num_steps(self, times: int) -> int:
        """Steps that `times` tokens a stream take."""
        return times + max(self.delays)

    def times(self, steps: int) -> torch.Tensor:
        """(L, steps) time of the token at each place; negative where the stream has not begun."""
        return torch.arange(steps)[None] - torch.tensor(self.delays)[:, None]

    def interleave(self, codes: torch.Tensor, blank: int) -> torch.Tensor:
        """Codes (..., L, n) to steps (..., L, num_steps(n)); `blank` where a stream has no token."""
        self._check(codes)
        times = self.times(self.num_steps(codes.shape[-1]))
        valid = (times >= 0) & (times < codes.shape[-1])
        index = times.clamp(0, codes.shape[-1] - 1).to(codes.device).expand(*codes.shape[:-2], *times.shape)
        return torch.where(valid.to(codes.device), codes.gather(-1, index), blank)

    def deinterleave(self, steps: torch.Tensor) -> torch.Tensor:
        """Inverse of `interleave`: (..., L, S) to codes (..., L, S - max delay)."""
        self._check(steps)
        count = steps.shape[-1] - max(self.delays)
        if count < 0:
            raise MotionError(f"pattern with delays {self.delays} needs {max(self.delays)} steps at least")
        return torch.stack([steps[..., i, delay : delay + count] for i, delay in enumerate(self.delays)], dim=-2)

    def _check(self, tokens: torch.Tensor) -> None:
        if tokens.ndim < 2 or tokens.shape[-2] != self.streams:
            raise MotionError(f"tokens {tuple(tokens.shape)}, expected (..., {self.streams}, steps)")


def delay_pattern(streams: int) -> Pattern:
    """Stream l begins l steps late."""
    return Pattern(tuple(range(streams)))


def parallel_pattern(streams: int) -> Pattern:
    """All streams begin at once."""
    return Pattern((0,) * streams)


PATTERNS = {"delay": delay_pattern, "parallel": parallel_pattern}
