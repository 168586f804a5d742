"""Names of clips where there is little room: two that differ still look different."""

from __future__ import annotations

from collections.abc import Sequence

LEAST = 9
"""Characters that a name is never cut under."""


def distinct(names: Sequence[str], width: int) -> list[str]:
    """Names of at most `width` characters (at least `LEAST`), cut in the middle: in a batch they differ at either end.
    Those that cut would be taken for one another are told apart by their place in the list."""
    width = max(width, LEAST)
    short = [_cut(name, width) for name in names]
    seen: dict[str, set[str]] = {}
    for name, cut in zip(names, short, strict=True):
        seen.setdefault(cut, set()).add(name)
    for place, (name, cut) in enumerate(zip(names, short, strict=True)):
        if len(seen[cut]) > 1:
            mark = f"#{place + 1}"
            short[place] = _cut(name, width - len(mark)) + mark
    return short


def _cut(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"
