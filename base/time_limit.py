"""A time limit: the abort of work that is counted in updates or steps, never what decides how much of it is done."""

from __future__ import annotations

import time


class TimeLimit:
    """Asked between two pieces of counted work whether to go on; what it cuts short says so in its result.

    seconds: None for no limit; spent: seconds that count already, of a run before this one.
    """

    def __init__(self, seconds: float | None, spent: float = 0.0):
        self.seconds, self.struck = seconds, False
        self._began = time.monotonic() - spent

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began

    def go_on(self, share: float = 1.0) -> bool:
        """Whether less than a share of the limit is spent; remembers in `struck` that it was not."""
        if self.seconds is not None and self.spent >= share * self.seconds:
            self.struck = True
            return False
        return True

    def told(self, done: int, asked: int, what: str) -> str | None:
        """What was cut short in words, None if nothing was: `what` in the plural, "updates" say."""
        return f"{done} of {asked} {what}, stopped by the limit of {self.seconds:g} s" if self.struck else None
