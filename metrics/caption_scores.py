"""Scores of captions that a model writes for motion, each against several captions that the motion has.

BLEU is sacrebleu's and ROUGE-L rouge-score's, of the extra `morphloop[captions]`. CIDEr-D (Vedantam et al. 2015,
"CIDEr: Consensus-based Image Description Evaluation", section 6) is written out here: the packages that hold it bring a
hundred megabytes of Java or models of speech. It reads as coco-caption's does on the same words; words are letters and
digits in lower case here, and there what Stanford's tokenizer makes. Token match is the greedy matching of BERTScore
(Zhang et al. 2020, section 3), without idf and rescaling, over the states of a text encoder that is at hand. It is no
BERTScore of roberta-large and compares with none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F

from morphloop.base import MotionError
from morphloop.language import TextEncoder

PACKAGES = ("sacrebleu", "rouge_score")
"""What `morphloop[captions]` brings."""
ORDERS = (1, 2, 3, 4)
"""Words of the n-grams that CIDEr counts."""
LENGTH_SD = 6.0
"""Words of difference in length at which CIDEr-D takes off a factor of exp(-1/2)."""
TOGETHER = 64
"""Captions whose states are held at once, with those of their references."""

Gram = tuple[str, ...]


def caption_scores(
    candidates: Sequence[str], references: Sequence[Sequence[str]], encoder: TextEncoder
) -> dict[str, float | None]:
    """bleu_1, bleu_4, rouge_l, token_match (0 to 1) and cider_d (0 to 10) of a caption for each of a set's clips.

    bleu_1, bleu_4 and rouge_l are None where the extra is not installed. MotionError where a clip has no reference, and
    without a clip.
    """
    if not candidates or len(candidates) != len(references) or not all(references):
        raise MotionError(f"{len(candidates)} captions for {len(references)} clips, expected one each and a reference")
    scores: dict[str, float | None] = {"bleu_1": None, "bleu_4": None, "rouge_l": None}
    if len(installed()) == len(PACKAGES):
        scores = {f"bleu_{order}": bleu(candidates, references, order) for order in (1, 4)}
        scores["rouge_l"] = rouge_l(candidates, references)
    match = token_match(candidates, references, encoder)
    return scores | {"cider_d": cider_d(candidates, references), "token_match": match}


def installed() -> dict[str, str]:
    """Versions of PACKAGES that are here."""
    return {name: version(name) for name in PACKAGES if find_spec(name) is not None}


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]], order: int) -> float:
    """BLEU of a set, 0 to 1, of n-grams of up to `order` words (Papineni et al. 2002), without capitals."""
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    streams = [[texts[place] if place < len(texts) else None for texts in references] for place in range(most)]
    return BLEU(lowercase=True, max_ngram_order=order).corpus_score(candidates, streams).score / 100.0


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean F1 of the longest common subsequence (Lin 2004), 0 to 1, each with the reference that gives the most."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    pairs = zip(candidates, references, strict=True)
    return float(np.mean([scorer.score_multi(texts, said)["rougeL"].fmeasure for said, texts in pairs]))


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean CIDEr-D, 0 to 10: cosine of n-grams, each weighed by how few clips of this very set have it in a reference.

    Of one clip it is 0, for every n-gram is in the references of all clips.
    """
    said, told = [_words(text) for text in candidates], [[_words(text) for text in texts] for texts in references]
    clips_with = Counter(gram for texts in told for gram in {gram for words in texts for gram in _grams(words)})

    def weighed(words: list[str]) -> dict[Gram, float]:
        grams = _grams(words).items()
        return {gram: count * math.log(len(told) / max(1, clips_with[gram])) for gram, count in grams}

    def likeness(words: list[str], reference: list[str]) -> float:
        a, b = weighed(words), weighed(reference)
        cosines = [_clipped_cosine(_of_order(a, order), _of_order(b, order)) for order in ORDERS]
        longer = len(words) - len(reference)
        return float(np.mean(cosines)) * math.exp(-(longer**2) / (2.0 * LENGTH_SD**2))

    pairs = zip(said, told, strict=True)
    return 10.0 * float(
        np.mean([np.mean([likeness(words, reference) for reference in texts]) for words, texts in pairs])
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _grams(words: Sequence[str]) -> Counter[Gram]:
    places = ((start, order) for order in ORDERS for start in range(len(words) - order + 1))
    return Counter(tuple(words[start : start + order]) for start, order in places)


def _of_order(weights: dict[Gram, float], order: int) -> dict[Gram, float]:
    return {gram: weight for gram, weight in weights.items() if len(gram) == order}


def _clipped_cosine(a: dict[Gram, float], b: dict[Gram, float]) -> float:
    """Cosine of two weightings; what `a` has more than `b` counts as much as `b` has, so that to repeat a word does not
    pay. 0 if either has no weight."""
    norm = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
    return sum(min(a[gram], b[gram]) * b[gram] for gram in a.keys() & b.keys()) / norm if norm else 0.0


def token_match(candidates: Sequence[str], references: Sequence[Sequence[str]], encoder: TextEncoder) -> float:
    """Mean F1, -1 to 1, of tokens matched each with the nearest of the other caption, by the cosine of their states.

    Each caption with the reference that gives the most. The encoder's marks of begin and end are left out; a caption
    that it cannot read, as an empty one, scores 0.
    """
    scores: list[float] = []
    for start in range(0, len(candidates), TOGETHER):
        said, told = candidates[start : start + TOGETHER], references[start : start + TOGETHER]
        states = _states(encoder, list(dict.fromkeys([*said, *(text for texts in told for text in texts)])))
        for text, texts in zip(said, told, strict=True):
            scores.append(max(_matched(states[text], states[reference]) for reference in texts))
    return float(np.mean(scores))


def _matched(candidate: torch.Tensor, reference: torch.Tensor) -> float:
    """F1 of two captions' states (tokens, width) of unit length: the mean of the best cosines of either's tokens."""
    if not len(candidate) or not len(reference):
        return 0.0
    cosines = candidate @ reference.T
    precision, recall = float(cosines.amax(dim=1).mean()), float(cosines.amax(dim=0).mean())
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


def _states(encoder: TextEncoder, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """States (tokens, width) of unit length of each text; none of one that cannot be read."""
    try:
        found = encoder.encode(texts)
    except MotionError:
        if len(texts) == 1:
            return {texts[0]: torch.zeros(0, encoder.width)}
        half = len(texts) // 2
        return _states(encoder, texts[:half]) | _states(encoder, texts[half:])
    rows = zip(texts, found.states, found.mask, strict=True)
    return {text: F.normalize(states[mask][1:-1], dim=-1) for text, states, mask in rows}
