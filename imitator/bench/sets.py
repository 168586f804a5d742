"""Sets of clips for the imitator's bench: the corpus' test split, and clips that somebody hands in.

The corpus counts where it moves: a clip of which no joint gets away from where it began is left out and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip, make_corpus

CORPUS, CORPUS_TITLE = "A", "corpus, test split"
CORPUS_CLIPS, CORPUS_SEED = 64, 3
MOVING_M = 0.15
"""A clip moves if some joint gets this far from where it was in the first frame, metres."""

Source = tuple[str, Callable[[], Clip]]
"""Name of a clip and how to read it."""
Tick = Callable[[int, int], None]
"""Told how many of how many are done."""


def unwatched(done: int, total: int) -> None:
    """A `Tick` that tells nobody."""


@dataclass(frozen=True)
class BenchSet:
    """Clips of a set on the default skeleton, each under a name of its own, and what was done to get them.

    name: short, of the set; clips: whole; static: names of those left out; failed: name and reason of those not
    readable.
    """

    name: str
    title: str
    clips: tuple[Clip, ...]
    static: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


def moves(clip: Clip) -> bool:
    """Whether some joint gets `MOVING_M` away from where it was in the first frame."""
    away = np.linalg.norm(clip.positions - clip.positions[:1], axis=-1)
    return bool(away.max() >= MOVING_M)


def cut(clip: Clip, seconds: float) -> Clip:
    """The clip's first so many seconds."""
    return clip.slice(0, min(clip.num_frames, round(seconds * clip.fps) + 1))


def drawn(count: int, seed: int) -> list[int]:
    """The order in which a set's clips are taken."""
    return np.random.default_rng(seed).permutation(count).tolist()


def moving_set(
    name: str,
    title: str,
    sources: Sequence[Source],
    seconds: float,
    most: int | None = None,
    seed: int = 0,
    watch: Tick = unwatched,
) -> BenchSet:
    """Clips that move in their first `seconds`, in an order drawn by the seed, at most `most` of them."""
    clips: list[Clip] = []
    static: list[str] = []
    failed: dict[str, str] = {}
    wanted = len(sources) if most is None else min(most, len(sources))
    for known, read in (sources[i] for i in drawn(len(sources), seed)):
        if len(clips) == wanted:
            break
        try:
            clip = replace(read(), name=known)
        except MotionError as error:
            failed[known] = str(error)
            continue
        if moves(cut(clip, seconds)):
            clips.append(clip)
        else:
            static.append(known)
        watch(len(clips), wanted)
    return BenchSet(name, title, tuple(clips), tuple(static), failed)


def corpus_set(seconds: float, limit: int | None = None, seed: int = 0, watch: Tick = unwatched) -> BenchSet:
    """Set A: the test split of the built-in corpus."""
    sources = [(clip.name, lambda clip=clip: clip) for clip in make_corpus(CORPUS_CLIPS, CORPUS_SEED, "test")]
    return moving_set(CORPUS, CORPUS_TITLE, sources, seconds, limit, seed, watch)


def given_set(clips: Sequence[Clip], failed: dict[str, str], limit: int | None = None, seed: int = 0) -> BenchSet:
    """Clips that were handed in, moving or not, in their order; of more than `limit` those that the seed draws.

    failed: name and reason of what was not readable.
    """
    kept = sorted(drawn(len(clips), seed)[:limit])
    return BenchSet("clips", "clips that were given", tuple(clips[i] for i in kept), (), failed)
