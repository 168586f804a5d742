"""Names where there is little room: two clips that differ still look different, a metric's breaks between its words."""

from __future__ import annotations

from collections.abc import Sequence

from morphloop.metrics.registry import METRICS

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


def in_lines(metric: str, width: int) -> str:
    """A metric's name in lines of at most `width` characters, if no word is longer: broken between words alone, the
    unit at its end whole, as "slide_mean_" and "mm_s"."""
    unit = "_" + METRICS[metric].unit.replace("/", "_")
    stem = metric.removesuffix(unit)
    words = [f"{word}_" for word in stem.split("_")]
    words = [*words, unit[1:]] if stem != metric else [*words[:-1], words[-1][:-1]]
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)
