"""Scores of motions against captions and of one set of motions against another, from embeddings alone.

FID, R-precision, MM-Dist, diversity and multimodality as Guo et al. 2022 define them ("Generating Diverse and Natural
3D Human Motions from Text"). Where this departs: a pool of R-precision never holds two motions that one of its captions
fits (they would count against whoever ranks them right), FID of fewer than `FID_SAMPLES` motions a dimension is null (a
covariance of fewer is mostly noise), and every score comes with its spread over repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

POOL = 32
"""Motions that a caption ranks in R-precision."""
TOPS = (1, 2, 3)
"""R-precision's k: the right motion is among the k nearest."""
REPEATS = 20
"""Draws of captions, pools, pairs and resamples that a score is the mean of, or its spread is from."""
FID_SAMPLES = 4
"""Motions a dimension of the embedding that each set needs."""
DIVERSITY_PAIRS = 300
"""Pairs of motions that diversity is the mean of, or half of the motions where they are fewer than twice that."""
RANK_TOLERANCE = 1e-9
"""Squared distances nearer than this are a tie, which counts against the right motion."""


@dataclass(frozen=True)
class Score:
    """A score over a set. value: None where it cannot be had; sd: its standard deviation over the repeats; repeats:
    their number; samples: motions that went into each; why: what is missing, in words, where value is None."""

    value: float | None
    sd: float | None
    repeats: int
    samples: int
    why: str = ""


def missing(why: str, samples: int = 0) -> Score:
    """A score that cannot be had."""
    return Score(None, None, 0, samples, why)


def over_repeats(draw: Callable[[np.random.Generator], float], samples: int, seed: int, repeats: int) -> Score:
    """Mean and spread of a score that is drawn `repeats` times."""
    values = [draw(np.random.default_rng([seed, repeat])) for repeat in range(repeats)]
    return Score(float(np.mean(values)), float(np.std(values)), repeats, samples)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance of the normal distributions fitted to samples (N, D) and (M, D).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^1/2) of the covariances A, B (Dowson and Landau 1982; Heusel et al. 2017).
    The trace of the root is that of the symmetric A^1/2 B A^1/2, which has no complex part to be cut off.
    """
    gap = a.mean(axis=0) - b.mean(axis=0)
    cov_a, cov_b = (np.atleast_2d(np.cov(side, rowvar=False)) for side in (a, b))
    sizes, axes = eigh(cov_a)
    root = (axes * np.sqrt(np.clip(sizes, 0.0, None))) @ axes.T
    both = np.sqrt(np.clip(eigh(root @ cov_b @ root, eigvals_only=True), 0.0, None)).sum()
    return float(max(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2.0 * both, 0.0))


def fid(made: np.ndarray, real: np.ndarray, seed: int = 0, repeats: int = REPEATS) -> Score:
    """FID of motion embeddings (N, D) against real ones (M, D); null under `FID_SAMPLES` D motions on either side.

    The value is that of all motions; its spread is that of bootstrap resamples of both sets.
    """
    least = FID_SAMPLES * made.shape[1]
    if min(len(made), len(real)) < least:
        few = min(len(made), len(real))
        return missing(f"{few} motions, expected {least} or more for {made.shape[1]} dimensions", few)

    def resampled(rng: np.random.Generator) -> float:
        return frechet_distance(*(side[rng.integers(len(side), size=len(side))] for side in (made, real)))

    spread = over_repeats(resampled, len(made), seed, repeats)
    return Score(frechet_distance(made, real), spread.sd, repeats, len(made))


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) squared Euclidean distances of (N, D) and (M, D)."""
    return np.square(a[:, None] - b[None]).sum(axis=-1)


def ranks(texts: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """(N,) how many of the motions (N, D) lie as near to each caption (N, D) as its own does, without its own."""
    distances = squared_distances(texts, motions)
    own = np.diagonal(distances)[:, None]
    return (distances <= own + RANK_TOLERANCE).sum(axis=1) - 1


@dataclass(frozen=True)
class Matched:
    """Motions with captions, embedded. motions: (N, D); captions: of each motion, (its captions, D); fits: whether a
    caption, named by motion and place, fits another motion as well."""

    motions: np.ndarray
    captions: Sequence[np.ndarray]
    fits: Callable[[int, int, int], bool]


def draw_pools(matched: Matched, rng: np.random.Generator, size: int = POOL) -> list[list[tuple[int, int]]]:
    """Full pools of (motion, caption): in none does a caption fit a second motion. Motions in a random order, each with
    one of its captions, go to the first pool that has room for them; pools that stay short are left out."""
    pools: list[list[tuple[int, int]]] = []
    for motion in rng.permutation(len(matched.motions)):
        count = len(matched.captions[motion])
        if count == 0:
            continue
        place = int(rng.integers(count))
        for pool in pools:
            if len(pool) < size and not any(
                matched.fits(int(motion), place, other) or matched.fits(other, said, int(motion))
                for other, said in pool
            ):
                pool.append((int(motion), place))
                break
        else:
            pools.append([(int(motion), place)])
    return [pool for pool in pools if len(pool) == size]


def r_precision(matched: Matched, seed: int = 0, repeats: int = REPEATS, size: int = POOL) -> tuple[Score, ...]:
    """R-precision at each k of `TOPS`: share of captions whose own motion is among the k nearest of its pool.

    Null where no pool of `size` can be filled. Chance is k / size.
    """
    hits = []
    for repeat in range(repeats):
        pools = draw_pools(matched, np.random.default_rng([seed, repeat]), size)
        found = [ranks(*_embedded(matched, pool)) for pool in pools]
        if found:
            joined = np.concatenate(found)
            hits.append([len(joined), *((joined < top).mean() for top in TOPS)])
    if not hits:
        why = f"no {size} motions whose captions tell them apart"
        return tuple(missing(why, len(matched.motions)) for _ in TOPS)
    samples, *shares = np.array(hits).T
    return tuple(Score(float(s.mean()), float(s.std()), len(hits), round(samples.mean())) for s in shares)


def _embedded(matched: Matched, pool: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Captions and motions of a pool, both (size, D)."""
    texts = np.stack([matched.captions[motion][place] for motion, place in pool])
    return texts, matched.motions[[motion for motion, _ in pool]]


def mm_dist(matched: Matched, seed: int = 0, repeats: int = REPEATS) -> Score:
    """Mean Euclidean distance of motions from one of their captions each."""
    told = [index for index, captions in enumerate(matched.captions) if len(captions)]
    if not told:
        return missing("no motion has a caption")

    def draw(rng: np.random.Generator) -> float:
        pairs = [(index, int(rng.integers(len(matched.captions[index])))) for index in told]
        texts, motions = _embedded(matched, pairs)
        return float(np.linalg.norm(texts - motions, axis=1).mean())

    return over_repeats(draw, len(told), seed, repeats)


def diversity(motions: np.ndarray, seed: int = 0, repeats: int = REPEATS) -> Score:
    """Mean Euclidean distance of random pairs of motions (N, D), `DIVERSITY_PAIRS` of them or N / 2, none twice."""
    pairs = min(DIVERSITY_PAIRS, len(motions) // 2)
    if pairs == 0:
        return missing("fewer than two motions", len(motions))

    def draw(rng: np.random.Generator) -> float:
        order = rng.permutation(len(motions))
        a, b = motions[order[:pairs]], motions[order[pairs : 2 * pairs]]
        return float(np.linalg.norm(a - b, axis=1).mean())

    return over_repeats(draw, len(motions), seed, repeats)


def multimodality(motions: np.ndarray, prompts: Sequence[str], seed: int = 0, repeats: int = REPEATS) -> Score:
    """Mean Euclidean distance of two random motions (N, D) of one prompt, the mean over prompts that have two or more;
    null where none has."""
    groups: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(index)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return missing("no prompt has two motions")

    def draw(rng: np.random.Generator) -> float:
        pairs = np.array([rng.choice(group, size=2, replace=False) for group in several])
        return float(np.linalg.norm(motions[pairs[:, 0]] - motions[pairs[:, 1]], axis=1).mean())

    return over_repeats(draw, sum(map(len, several)), seed, repeats)
