"""Scores of written captions, on captions of which they can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.generator.bench.captions import bench_captions
from morphloop.language import TextStates
from morphloop.metrics import caption_scores as module
from morphloop.metrics.caption_scores import bleu, caption_scores, cider_d, rouge_l, token_match
from morphloop.motion import Clip, make_described

WORDS = ("walk", "fast", "slowly", "jump", "wave")


class OneHot:
    """An encoder whose words are at right angles, between two marks that are all alike."""

    name, width, hash = "one-hot", len(WORDS) + 1, "0"

    def encode(self, texts: Sequence[str]) -> TextStates:
        said = [[WORDS.index(word) for word in text.split()] for text in texts]
        if not all(said):
            raise MotionError("prompt is empty, expected a description of a motion")
        mask = torch.zeros(len(texts), max(map(len, said)) + 2, dtype=torch.bool)
        states = torch.zeros(*mask.shape, self.width)
        for row, words in enumerate(said):
            mask[row, : len(words) + 2] = True
            states[row, range(len(words) + 2), [len(WORDS), *words, len(WORDS)]] = 3.0
        return TextStates(states, mask)


def test_bleu_counts_words_and_what_follows_them() -> None:
    pytest.importorskip("sacrebleu")
    assert bleu(["A person walks forward"], [["a person walks backward"]], 1) == pytest.approx(3 / 4)
    assert bleu(["a b c d e"], [["a b c d f"]], 4) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    assert bleu(["walks walks"], [["a person walks"]], 1) == pytest.approx(1 / 2 * math.exp(1 - 3 / 2))
    uneven = [["a person walks", "a man walks"], ["someone jumps"]]
    assert bleu(["a man walks", "someone jumps"], uneven, 1) == pytest.approx(1.0)


def test_rouge_l_is_the_longest_common_subsequence_with_the_best_reference() -> None:
    pytest.importorskip("rouge_score")
    said = ["a person walks then waves"]
    assert rouge_l(said, [["a person waves"]]) == pytest.approx(2 * (3 / 5) * 1 / (3 / 5 + 1))
    assert rouge_l(said, [["someone jumps", "a person waves"]]) == rouge_l(said, [["a person waves"]])


def test_cider_weighs_what_few_clips_say_and_nothing_that_all_say() -> None:
    told = [["a walk"], ["a jump"]]
    right = 10 * (1 + 1 + 0 + 0) / 4  # single words and pairs; nothing of three
    assert cider_d(["a walk", "a jump"], told) == pytest.approx(right)
    assert cider_d(["A walk.", "jump"], told) == pytest.approx((right + 10 / 4 * math.exp(-1 / 72)) / 2)
    assert cider_d(["a jump", "a walk"], told) == 0.0
    assert cider_d(["a", ""], told) == 0.0
    twice = 10 / 4 * (1 / 2) * math.exp(-1 / 72)  # twice the word is half as like, and a word too long
    assert cider_d(["walk walk", "jump jump"], [["walk"], ["jump"]]) == pytest.approx(twice)
    assert cider_d(["walk", "jump"], [["walk", "jump"], ["jump"]]) == pytest.approx(10 / 4 / 4), "jump is in all"


def test_tokens_match_the_nearest_of_the_other_caption() -> None:
    assert token_match(["walk fast"], [["walk"]], OneHot()) == pytest.approx(2 * (1 / 2) * 1 / (1 / 2 + 1))
    assert token_match(["walk fast"], [["jump", "fast walk"]], OneHot()) == pytest.approx(1.0)
    assert token_match(["walk"], [["jump"]], OneHot()) == 0.0, "marks of begin and end are no words"
    assert token_match(["", "walk"], [["walk"], ["walk"]], OneHot()) == pytest.approx(1 / 2)


def test_without_the_packages_there_is_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    scores = caption_scores(["walk", "jump"], [["walk"], ["jump"]], OneHot())
    assert scores == {"bleu_1": None, "bleu_4": None, "rouge_l": None, "cider_d": 2.5, "token_match": 1.0}


@pytest.mark.parametrize(("said", "told"), [([], []), (["walk"], []), (["walk"], [[]])])
def test_a_clip_without_a_reference_is_refused(said: list[str], told: list[list[str]]) -> None:
    with pytest.raises(MotionError, match="a reference"):
        caption_scores(said, told, OneHot())


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_described(24, 5, "test")


def test_who_knows_the_clip_is_above_who_does_not(clips: list[Clip]) -> None:
    """References that are read out stand above a caption of the same clip, and one sentence for all at the floor."""

    def read_out(seen: Sequence[Clip]) -> list[str]:
        rng = np.random.default_rng(0)
        held = [int(rng.integers(len(clip.texts))) for clip in seen]
        return [clip.texts[place - 1] for clip, place in zip(seen, held, strict=True)]

    knows = bench_captions(read_out, clips, 0)["rows"]
    parrot = bench_captions(lambda seen: ["a person walks"] * len(seen), clips, 0)["rows"]
    for score in ("cider_d", "token_match"):
        assert knows["written"][score] > knows["same clip"][score] > knows["other clip"][score]
        assert parrot["written"][score] < parrot["same clip"][score]
        for row in ("same clip", "other clip"):
            assert knows[row] == parrot[row]
