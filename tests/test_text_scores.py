"""Scores of text-motion embeddings: against hand-made cases and plain references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from morphloop.metrics.text_motion.scores import (
    FID_SAMPLES,
    POOL,
    Matched,
    diversity,
    draw_pools,
    fid,
    frechet_distance,
    mm_dist,
    multimodality,
    r_precision,
    ranks,
)

RNG = np.random.default_rng(0)


def plain_fid(a: np.ndarray, b: np.ndarray) -> float:
    """The published formula as every repository has it."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.asarray(sqrtm(cov_a @ cov_b)).real
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root))


def matched(motions: np.ndarray, texts: np.ndarray, classes: np.ndarray | None = None) -> Matched:
    """Motions of one caption each; a caption fits all motions of its class."""
    kinds = np.arange(len(motions)) if classes is None else classes
    return Matched(motions, [text[None] for text in texts], lambda i, _, j: kinds[i] == kinds[j])


def test_fid_is_that_of_the_published_formula() -> None:
    a, b = RNG.normal(size=(500, 8)) @ RNG.normal(size=(8, 8)), RNG.normal(1.0, 2.0, size=(400, 8))
    assert frechet_distance(a, b) == pytest.approx(plain_fid(a, b), rel=1e-6)


def test_fid_of_a_shift_is_its_square_and_of_a_set_with_itself_zero() -> None:
    a = RNG.normal(size=(300, 5))
    assert frechet_distance(a, a + np.array([3.0, 0, 4.0, 0, 0])) == pytest.approx(25.0)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a - a.mean(0), 3 * (a - a.mean(0))) == pytest.approx(4 * np.trace(np.cov(a.T)))


def test_fid_of_too_few_motions_is_null_and_says_why() -> None:
    enough = RNG.normal(size=(4 * FID_SAMPLES, 4))
    assert fid(enough, enough).value is not None
    for made, real in ((enough[:-1], enough), (enough, enough[:-1])):
        score = fid(made, real)
        assert score.value is None
        assert "expected 16 or more for 4 dimensions" in score.why


def test_a_tie_counts_against_the_right_motion() -> None:
    assert list(ranks(np.zeros((4, 3)), np.zeros((4, 3)))) == [3, 3, 3, 3]


def test_r_precision_of_known_ranks() -> None:
    """Each caption lies nearest to its neighbour's motion and second nearest to its own."""
    motions = 2.0 * np.arange(POOL)[:, None]
    one, two, three = r_precision(matched(motions, motions + 1.2))
    assert (one.value, two.value, three.value) == (pytest.approx(1 / POOL), 1.0, 1.0)  # the last has no neighbour
    assert [score.value for score in r_precision(matched(motions, motions + 0.2))] == [1.0, 1.0, 1.0]


def test_r_precision_of_chance_is_k_of_32() -> None:
    motions, texts = RNG.normal(size=(1600, 6)), RNG.normal(size=(1600, 6))
    for k, score in enumerate(r_precision(matched(motions, texts)), 1):
        assert score.value == pytest.approx(k / POOL, abs=0.015)
        assert score.sd is not None
        assert 0 < score.sd < 0.02


def test_no_pool_holds_two_motions_that_a_caption_fits() -> None:
    """40 classes of 10: fewer pools than motions would fill, and every one of 32 different classes."""
    kinds = np.repeat(np.arange(40), 10)
    pools = draw_pools(matched(RNG.normal(size=(400, 3)), RNG.normal(size=(400, 3)), kinds), np.random.default_rng(0))
    assert len(pools) >= 8
    for pool in pools:
        assert len({kinds[motion] for motion, _ in pool}) == POOL


def test_a_caption_that_fits_everything_shares_no_pool() -> None:
    """Fitting goes one way: "moves" fits a walk, "walks" does not fit all that moves."""
    motions = RNG.normal(size=(33, 3))
    vague = Matched(motions, [motions[i : i + 1] for i in range(33)], lambda i, _, j: i == 0)
    for repeat in range(5):
        (pool,) = draw_pools(vague, np.random.default_rng(repeat))[:1] or [[]]
        assert 0 not in [motion for motion, _ in pool]


def test_r_precision_without_32_different_captions_is_null() -> None:
    kinds = np.arange(640) % 31
    for score in r_precision(matched(RNG.normal(size=(640, 2)), RNG.normal(size=(640, 2)), kinds)):
        assert score.value is None
        assert "no 32 motions" in score.why


def test_mm_dist_is_the_distance_of_pairs() -> None:
    motions = RNG.normal(size=(50, 4))
    score = mm_dist(matched(motions, motions + np.array([0, 3.0, 0, 4.0])))
    assert score.value == pytest.approx(5.0)
    assert score.sd == pytest.approx(0.0, abs=1e-9)
    assert mm_dist(Matched(motions, [np.zeros((0, 4))] * 50, lambda *_: False)).value is None


def test_diversity_of_two_points_is_the_share_of_unlike_pairs() -> None:
    motions = np.repeat([[0.0], [1.0]], 500, axis=0)
    assert diversity(motions).value == pytest.approx(0.5, abs=0.03)
    assert diversity(np.zeros((10, 2))).value == 0.0
    assert diversity(np.zeros((1, 2))).value is None


def test_multimodality_looks_within_a_prompt_only() -> None:
    motions = np.array([[0.0], [3.0], [100.0], [100.0], [7.0]])
    score = multimodality(motions, ["walk", "walk", "jump", "jump", "bow"])
    assert score.value == pytest.approx(1.5)
    assert score.samples == 4
    assert multimodality(motions[:2], ["walk", "jump"]).value is None
