"""A set of motions through an evaluator, and its scores: what `evaluate --text` shows, and what a bench or guard asks.

Motions are embedded one after another as they come, so a set of any length needs memory for its embeddings alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack

from .captions import Meaning, meaning
from .evaluator import TOGETHER, Evaluator
from .scores import TOPS, Matched, Score, diversity, fid, mm_dist, multimodality, r_precision

NAMES = ("fid", *(f"r_precision_{k}" for k in TOPS), "mm_dist", "diversity", "multimodality")
"""Scores of a set, in the order of tables."""
BETTER = {"fid": "lower", **{f"r_precision_{k}": "higher" for k in TOPS}, "mm_dist": "lower"}
"""Which way is good; diversity and multimodality are good where they are those of real motion."""


@dataclass(frozen=True)
class EmbeddedSet:
    """A set of motions as an evaluator sees it. motions: (N, D); captions: of each, (its captions, D); meanings: facts
    of each and of its captions; prompts: first caption of each, "" where it has none; failed: {"name", "reason"} of
    motions and captions that could not be embedded."""

    motions: np.ndarray
    captions: list[np.ndarray] = field(default_factory=list)
    meanings: list[Meaning] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    @property
    def matched(self) -> Matched:
        """The set as scores of motions against captions take it."""
        return Matched(self.motions, self.captions, lambda i, place, j: self.meanings[i].fits(place, self.meanings[j]))


def embed_set(evaluator: Evaluator, motions: Iterable[Clip | JointTrack]) -> EmbeddedSet:
    """Embed motions and their captions; one that cannot be embedded stands in `failed`, and the others go on."""
    found = EmbeddedSet(np.zeros((0, evaluator.dimensions)))
    rows, waiting = [found.motions], []
    for motion in motions:
        waiting.append(motion)
        if len(waiting) == TOGETHER:
            rows.append(_embed(evaluator, waiting, found))
            waiting = []
    rows.append(_embed(evaluator, waiting, found))
    return EmbeddedSet(np.concatenate(rows), found.captions, found.meanings, found.prompts, found.failed)


def _embed(evaluator: Evaluator, motions: Sequence[Clip | JointTrack], into: EmbeddedSet) -> np.ndarray:
    """(N, D) of a few motions; their captions go into the set, and what fails."""
    try:
        embedded = evaluator.embed_motions(motions)
    except MotionError as error:
        if len(motions) > 1:
            return np.concatenate([_embed(evaluator, [motion], into) for motion in motions])
        into.failed.append({"name": motions[0].name, "reason": str(error)})
        return np.zeros((0, evaluator.dimensions))
    texts = _embed_texts(evaluator, list(dict.fromkeys(text for motion in motions for text in motion.texts)))
    for motion in motions:
        said, whole = [], meaning(motion)
        for place, text in enumerate(motion.texts):
            found = texts[text]
            if isinstance(found, MotionError):
                into.failed.append({"name": motion.name, "reason": str(found)})
            else:
                said.append((place, text, found))
        into.meanings.append(Meaning(whole.facts, tuple(whole.named[place] for place, _, _ in said)))
        into.captions.append(np.array([one for _, _, one in said]).reshape(-1, evaluator.dimensions))
        into.prompts.append(said[0][1] if said else "")
    return embedded


def _embed_texts(evaluator: Evaluator, texts: Sequence[str]) -> dict[str, np.ndarray | MotionError]:
    """The embedding of each text, or why it has none; all together, which is faster, where none is at fault."""
    try:
        return dict(zip(texts, evaluator.embed_texts(texts), strict=True))
    except MotionError as error:
        if len(texts) == 1:
            return {texts[0]: error}
        half = len(texts) // 2
        return _embed_texts(evaluator, texts[:half]) | _embed_texts(evaluator, texts[half:])


def score_set(made: EmbeddedSet, real: EmbeddedSet | None = None, seed: int = 0) -> dict[str, Score]:
    """Every score of NAMES for a set; FID is against `real`, null without."""
    matched = made.matched
    told = [index for index, prompt in enumerate(made.prompts) if prompt]
    nobody = EmbeddedSet(np.zeros((0, made.motions.shape[1])))
    tops = zip(TOPS, r_precision(matched, seed), strict=True)
    return {
        "fid": fid(made.motions, (real or nobody).motions, seed),
        **{f"r_precision_{k}": score for k, score in tops},
        "mm_dist": mm_dist(matched, seed),
        "diversity": diversity(made.motions, seed),
        "multimodality": multimodality(made.motions[told], [made.prompts[index] for index in told], seed),
    }
