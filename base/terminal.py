"""Lines and tables for a terminal, in which names from outside stand as they are.

rich takes `[b]` in a cell for markup and passes escapes on; a folder called `m[/b]` ended a command, a joint called
`\\x1b[2J` cleared the screen. A `Terminal` reads no markup, no emoji codes, and shows control characters as escapes;
what is to have a colour is a `rich.text.Text`.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from .names import shown

MAX_LINE = 1_000


class Terminal(Console):
    """A console for tables and lines with names from outside; `stderr=True` for the other stream."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Every text without a style of its own comes by here: cells, titles, headings, lines."""
        return super().render_str("\n".join(map(shown, text.split("\n"))), **settings)


def say(text: str) -> None:
    """A line of results, to stdout."""
    print(shown(text))


def complain(text: str) -> None:
    """What went wrong, in one line on stderr, cut where it is longer than anybody reads."""
    line = shown(" ".join(text.split()))
    print(f"morphloop: {line if len(line) <= MAX_LINE else line[:MAX_LINE] + ' ...'}", file=sys.stderr)
