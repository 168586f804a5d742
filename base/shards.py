"""A part of a batch for one of several machines, by `--shard 2/5`: every fifth member, from the second on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .errors import MotionError

Member = TypeVar("Member")
MOST = 10_000
"""Parts that a batch may be shared among."""


@dataclass(frozen=True)
class Shard:
    """part: which, from 1 to `of`."""

    part: int
    of: int

    def __str__(self) -> str:
        return f"{self.part}/{self.of}"

    def take(self, members: Sequence[Member]) -> list[Member]:
        """This part of a batch; the parts together are the batch, none is in two."""
        return list(members[self.part - 1 :: self.of])


WHOLE = Shard(1, 1)


def read_shard(text: str) -> Shard:
    """The shard that a flag names. MotionError for anything but i/n with 1 <= i <= n."""
    found = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text.strip())
    part, of = (int(number) for number in found.groups()) if found else (0, 0)
    if not 1 <= part <= of <= MOST:
        raise MotionError(f"--shard {text[:20]}: expected i/n, such as 2/5, with i from 1 to n and n at most {MOST}")
    return Shard(part, of)
