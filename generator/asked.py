"""A prompt as a question: its words, and what a clip must do to answer it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from morphloop.motion import Clip
from morphloop.motion.corpus.grammar import Prompt

from .adherence import Fact, named_facts, prompt_class
from .facts import fact, holds


@dataclass(frozen=True)
class Asked:
    """A prompt: its words, what kind of thing it asks for, whether a clip does all of it, and each single thing."""

    text: str
    kind: str
    passes: Callable[[Clip], bool]
    parts: tuple[Fact, ...]

    def share(self, clip: Clip) -> float | None:
        """Share of the single things that a clip does, their order left out; None if the prompt names none."""
        return sum(part.passes(clip) for part in self.parts) / len(self.parts) if self.parts else None


def by_words(text: str) -> Asked:
    """A prompt whose facts its words name."""
    parts = named_facts(text)
    return Asked(text, prompt_class(text), lambda clip: all(part.passes(clip) for part in parts), parts)


def by_facts(prompt: Prompt) -> Asked:
    """A prompt of the grammar, whose facts are known."""
    single = [one for name in prompt.facts for stage in name.split(", then ") for one in stage.split(" and ")]
    parts = tuple(fact(name) for name in dict.fromkeys(single))
    return Asked(prompt.text, kind_of(prompt.facts), lambda clip: holds(clip, prompt.facts), parts)


def kind_of(facts: tuple[str, ...]) -> str:
    """First thing that facts ask for, without side and manner, as "walk forward"."""
    first = re.split(r",? (?:then|and) ", facts[0])[0] if facts else "other"
    return re.sub(r" (?:left|right|once|twice|\w+ times|slowly|quickly|normally)$", "", first)
