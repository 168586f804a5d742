"""Editing by instruction: pairs of the corpus as training examples, and what an instruction cannot be about."""

from __future__ import annotations

import re
from itertools import islice

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.corpus.described import draw_script
from morphloop.motion.corpus.edits import EditPairs, possible_edits

from .adherence import NEGATION
from .facts import fact
from .task_templates import About, edit_words
from .text import TextTokenizer
from .tokenizer import MotionTokenizer
from .training import Example, ReadTexts

INSTRUCTIONS = 4
"""Different instructions of a pair, at most."""
SCRIPTS = 500
"""Scripts whose edits a text tokenizer is shown."""
REPLACED = re.compile(r"\b(?:instead of|rather than|add|also|then)\b")
"""Words after which an instruction may name what a motion does not do yet."""
WINDOWS_S, STRIDE_S = (2.5, 5.0), 1.0
"""Lengths of the segments of a motion that are searched for a deed, and the time between them, seconds."""


def pairs_for(share: float, examples: int, seed: int) -> EditPairs:
    """The pairs of the training split that make `share` of a training beside so many other examples; MotionError for a
    share that leaves nothing beside them."""
    if not 0 < share < 1:
        raise MotionError(f"editing: a share of {share:g}, expected over 0 and under 1")
    return EditPairs(max(1, round(examples * share / (1 - share))), seed)


def make_edit_examples(
    pairs: EditPairs, tokenizer: MotionTokenizer, text: TextTokenizer, read: ReadTexts | None = None
) -> list[Example]:
    """Tokens of each pair's clips, and instructions from the one to the other as prompts."""
    words, codes, asked = edit_words(), [], []
    for number in range(len(pairs)):
        pair, rng = pairs[number], np.random.default_rng([pairs.seed, number])
        asked.append(words.instructions(pair.edit, INSTRUCTIONS, rng))
        codes.append((tokenizer.encode_clip(pair.source), tokenizer.encode_clip(pair.edited)))
    prompts = iter((read or text)([one for own in asked for one in own]))  # many at once: faster
    return [
        Example(edited, (), tuple(islice(prompts, len(own))), source)
        for (source, edited), own in zip(codes, asked, strict=True)
    ]


def sample_instructions(seed: int) -> list[str]:
    """Instructions on some scripts of the training split, for a text tokenizer to know their words."""
    rng, words = np.random.default_rng([seed, SCRIPTS]), edit_words()
    edits = [edit for _ in range(SCRIPTS) for edit, _ in possible_edits(draw_script(rng, "train"))]
    return [words.instruction(edit, rng) for edit in edits]


def check_instruction(clip: Clip, instruction: str) -> None:
    """MotionError if an instruction names something that the clip does at no time, by the checks of `facts`.

    Only what is sure is refused: an instruction that names nothing known passes, and so does one that says what is not
    to be done or what something is to be replaced by.
    """
    text, words = instruction.lower(), edit_words()
    if NEGATION.search(text) or REPLACED.search(text):
        return
    named = {name: about for name, about in words.deeds.items() if re.search(rf"\b(?:{about.words})", text)}
    if not named:
        named = {f"other {k}": about for k, about in words.limbs.items() if re.search(rf"\b(?:{about.words})", text)}
    if not named:
        return
    pieces = _pieces(clip)
    for name, about in named.items():
        if not _does(pieces, about):
            raise MotionError(
                f"{clip.name}: nothing in it is '{name}', which the instruction '{instruction[:60]}' is about"
            )


def _does(pieces: list[Clip], about: About) -> bool:
    return any(fact(name).passes(piece) for piece in pieces for name in about.shows)


def _pieces(clip: Clip) -> list[Clip]:
    """The clip, and segments of it: what another part does would hide a deed in the whole."""
    found, stride = [clip], max(round(STRIDE_S * clip.fps), 1)
    for seconds in WINDOWS_S:
        frames = round(seconds * clip.fps)
        if frames < clip.num_frames:
            starts = [*range(0, clip.num_frames - frames, stride), clip.num_frames - frames]
            found += [clip.slice(start, start + frames) for start in starts]
    return found
