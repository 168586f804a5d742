"""The prompts that a generator is benched on, each with the facts that a clip must show."""

from __future__ import annotations

from dataclasses import replace

from morphloop.motion.corpus.described import described_captions, paraphrases

from ..asked import Asked, by_facts, by_words

SECONDS = {"templates": (2.5, 5.0), "paraphrases": (2.0, 10.0), "test": (2.0, 10.0), "combinations": (2.0, 10.0)}
"""Bounds of what is generated for each set."""

TEMPLATES: dict[str, tuple[str, str]] = {
    "walk forward": ("a person walks forward", "someone is walking ahead"),
    "walk forward slowly": ("a person walks forward slowly", "a man is walking slowly"),
    "curve left": ("a person walks forward in a curve to the left", "a man walks while curving to the left"),
    "curve right": ("a person walks forward in a curve to the right", "a man walks while curving to the right"),
    "walk backward": ("a person walks backwards", "someone steps backward"),
    "side step left": ("a person steps sideways to the left", "a man shuffles to the left"),
    "side step right": ("a person steps sideways to the right", "a man shuffles to the right"),
    "turn left": ("a person stands and turns left", "someone turns around to the left with small steps"),
    "turn right": ("a person stands and turns right", "someone turns around to the right with small steps"),
    "squat": ("a person squats down and stands back up", "a man does one squat"),
    "wave left": ("a person waves with their left hand", "someone raises the left hand and waves"),
    "wave right": ("a person waves with their right hand", "someone raises the right hand and waves"),
    "raise both arms": ("a person raises both arms above their head", "someone lifts both arms above their head"),
    "kick left": ("a person kicks with their left leg", "a man kicks forward with the left foot"),
    "kick right": ("a person kicks with their right leg", "a man kicks forward with the right foot"),
    "bow": ("a person bows", "someone bends forward at the waist and stands up straight again"),
    "jump": ("a person jumps in place", "a man jumps up once"),
    "jump forward": ("a person jumps forward", "a man hops forward with both feet"),
    "punch left": ("a person punches with their left hand", "someone is punching forward with the left arm"),
    "reach right": (
        "a person reaches forward with their right hand",
        "someone extends the right arm to reach for something",
    ),
    "stand": ("a person stands still and shifts their weight", "someone stands idle"),
}
"""Two phrasings each of one thing, by what it is."""


def bench_prompts(name: str, count: int, seed: int) -> list[Asked]:
    """The prompts of one of `config.PROMPT_SETS`; templates are always all of them."""
    if name == "templates":
        return [replace(by_words(text), kind=kind) for kind, texts in TEMPLATES.items() for text in texts]
    if name == "paraphrases":
        return [by_facts(prompt) for prompt in paraphrases(count, seed)]
    return [by_facts(said[0]) for said in described_captions(count, seed, name)]
