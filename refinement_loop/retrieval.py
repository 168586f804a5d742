"""R-precision of a generator's samples, prompt by prompt, so that the guard can pair it between generators.

Each sample is held against its own prompt and 31 others that name other facts. Which 31 is not drawn: with r of the m
admissible prompts nearer to the sample than its own, the chance that at most k - 1 of 31 drawn without replacement are
nearer is the hypergeometric distribution's, which is the mean over all pools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import hypergeom

from morphloop.generator.asked import Asked
from morphloop.metrics.text_motion.evaluator import Evaluator
from morphloop.metrics.text_motion.scores import POOL, RANK_TOLERANCE, squared_distances
from morphloop.motion import Clip

TOP = 3
"""k of the R-precision that the guard asks for."""
CHANCE = TOP / POOL


class Retrieval:
    """Held-out prompts as an evaluator embeds them."""

    def __init__(self, evaluator: Evaluator, questions: Sequence[Asked]) -> None:
        self.evaluator = evaluator
        texts = [asked.text for asked in questions]
        self._texts = evaluator.embed_texts(texts) if texts else np.zeros((0, evaluator.dimensions))
        facts = [frozenset(fact.name for fact in asked.parts) for asked in questions]
        self._others = np.array([[not (a <= b or b <= a) for b in facts] for a in facts]).reshape(len(texts), -1)

    def precision(self, place: int, clips: Sequence[Clip]) -> float | None:
        """Mean R-precision@3, 0 to 1, of samples of the prompt at a place; None if fewer than 31 prompts differ."""
        others = self._texts[self._others[place]]
        if len(others) < POOL - 1:
            return None
        motions = self.evaluator.embed_motions(clips)
        own = squared_distances(motions, self._texts[[place]])
        nearer = (squared_distances(motions, others) <= own + RANK_TOLERANCE).sum(axis=1)
        return float(hypergeom.cdf(TOP - 1, len(others), nearer, POOL - 1).mean())
