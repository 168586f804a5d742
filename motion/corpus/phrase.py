"""A verb phrase of the lexicon.

`<walk>` is a verb that the grammar inflects, `{their}` a pronoun, `{side}` a setting that the phrase tells, `{mods}`
the place of adverbs for the settings that are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Phrase:
    """text: a verb phrase; when: settings that it needs and tells; terse: whether it fits a label of a few words."""

    text: str
    when: Mapping[str, Any] = field(default_factory=dict)
    terse: bool = False


def some(*texts: str, **when: Any) -> list[Phrase]:
    """Phrases that need the same settings."""
    return [Phrase(text, when) for text in texts]


def terse(*texts: str, **when: Any) -> list[Phrase]:
    """The same, for labels."""
    return [Phrase(text, when, True) for text in texts]
