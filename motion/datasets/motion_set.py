"""A data set as trainers take it: a sequence of captioned clips, read from the disk when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, Provenance
from ..config import AS_FILES_SAY, ReadingConfig
from ..corpus.described import DescribedClips
from ..features import FEATURE_FPS, clip_to_features, features_to_clip
from .captions import Caption, Report, usable
from .layouts import TRAIN, Layout, layout_of
from .prepared import Motion, Rows, Watch, prepare_files

LEAST_FRAMES = 2
"""Of a segment with captions of its own."""


@dataclass(frozen=True)
class Sample:
    """A motion, or a segment of one that has captions of its own. path: its file."""

    name: str
    path: Path
    texts: tuple[str, ...]
    rows: Rows


class FeatureRows(Sequence[np.ndarray]):
    """Features of each motion of a set, (T, FEATURE_SIZE) single precision, mapped from the disk one at a time."""

    def __init__(self, rows: Sequence[Rows]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> FeatureRows: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | FeatureRows:
        return FeatureRows(self._rows[index]) if isinstance(index, slice) else self._rows[index].read()

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) frames of each, without a look at the disk."""
        return np.array([rows.frames for rows in self._rows])


class MotionSet(Sequence[Clip]):
    """Clips of a data set at FEATURE_FPS on the default skeleton, over the origin and facing X in their first frame.

    A clip is made from its features when it is asked for, so a set takes the memory of its captions. failed: what of
    the set could not be used, {"path", "reason"} each.
    """

    def __init__(self, samples: Sequence[Sample], failed: Sequence[dict[str, str]] = ()) -> None:
        self.samples, self.failed = samples, list(failed)

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> MotionSet: ...
    def __getitem__(self, index: int | slice) -> Clip | MotionSet:
        if isinstance(index, slice):
            return MotionSet(self.samples[index], self.failed)
        sample = self.samples[index]
        clip = features_to_clip(sample.rows.read(), sample.name, sample.texts)
        prompt = sample.texts[0] if sample.texts else None
        return replace(clip, provenance=Provenance(source=str(sample.path), prompt=prompt))

    @cached_property
    def features(self) -> FeatureRows:
        """Features of each clip."""
        return FeatureRows([sample.rows for sample in self.samples])

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """Captions of each clip, without its motion."""
        return [sample.texts for sample in self.samples]

    @property
    def ids(self) -> list[str]:
        """What each clip is known by: a hash of the bytes that it was made from, and the segment of them."""
        return [sample.rows.id for sample in self.samples]

    @property
    def hours(self) -> float:
        """Length of all clips together."""
        return float(self.features.lengths.sum()) / FEATURE_FPS / 3600.0


def features_of(clips: Sequence[Clip]) -> Sequence[np.ndarray]:
    """Features (T, FEATURE_SIZE) of each clip in single precision; those of a set stay on the disk."""
    return clips.features if isinstance(clips, MotionSet) else [clip_to_features(c).astype(np.float32) for c in clips]


def lengths_of(features: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) frames of each."""
    return features.lengths if isinstance(features, FeatureRows) else np.array([len(rows) for rows in features])


def ids_of(clips: Sequence[Clip]) -> list[str]:
    """What a training's basis knows each clip by."""
    return clips.ids if isinstance(clips, MotionSet) else [clip.id for clip in clips]


def texts_of(clips: Sequence[Clip]) -> list[tuple[str, ...]]:
    """Captions of each clip."""
    return clips.texts if isinstance(clips, MotionSet | DescribedClips) else [clip.texts for clip in clips]


def mean_and_std(features: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(D,) mean and standard deviation over all frames of (T, D) each, one motion in memory at a time.

    Chan, Golub and LeVeque 1983: means and sums of squares of parts are joined, in double precision.
    """
    count, mean, squares = 0, np.zeros(features[0].shape[1]), np.zeros(features[0].shape[1])
    for rows in features:
        rows = np.asarray(rows, dtype=float)
        ahead = rows.mean(axis=0) - mean
        total = count + len(rows)
        squares += np.square(rows - rows.mean(axis=0)).sum(axis=0) + np.square(ahead) * count * len(rows) / total
        count, mean = total, mean + ahead * len(rows) / total
    return mean, np.sqrt(squares / count)


def no_watch(label: str, done: int, total: int) -> None:
    """Nobody watches."""


def open_motion_set(
    data: Path,
    splits: Sequence[str] = (TRAIN,),
    *,
    captions: Path | None = None,
    how: ReadingConfig = AS_FILES_SAY,
    captioned: bool = True,
    workers: int | None = None,
    cache: Path | None = None,
    watch: Watch = no_watch,
) -> MotionSet:
    """The motions of some splits of a data set: a folder of motion files with captions, or HumanML3D as published.

    captions: a table of captions that lies elsewhere; how: how files are read; captioned: leave out, and report, what
    has no caption, and make a clip of every segment that has captions of its own; else captions are not looked at;
    workers: processes that prepare what the cache has not, None for one a core; cache: where, if not in the cache
    folder. What cannot be used is in `failed` of the result. MotionError, one line, for a set of which nothing can be
    used, an unknown split, and a cache that cannot be written.
    """
    failed: list[dict[str, str]] = []

    def report(path: Path, reason: str) -> None:
        failed.append({"path": str(path), "reason": " ".join(reason.split()).removeprefix(f"{path}: ")})

    layout = layout_of(data, how, captions, report)
    if captioned:
        layout.check_captions()
    files = list(layout.files(splits, report))
    samples: list[Sample] = []
    for path, made in zip(files, prepare_files(files, layout.reading, workers, cache, watch), strict=True):
        if isinstance(made, MotionError):
            report(path, str(made))
            continue
        for key, reason in made.failed:
            report(path, f"{key}: {reason}" if key else reason)
        for motion in made.motions:
            samples += _samples_of(layout, path, motion, splits, captioned, report)
    layout.report_missing(splits, report)
    if not samples:
        first = f", such as {failed[0]['path']}: {failed[0]['reason']}" if failed else ""
        raise MotionError(f"{data}: no motion of {' and '.join(splits)} can be used{first}")
    return MotionSet(samples, failed)


def _unsaid(path: Path, reason: str) -> None:
    """Faults of captions that nobody reads."""


def _samples_of(
    layout: Layout, path: Path, motion: Motion, splits: Sequence[str], captioned: bool, report: Report
) -> Iterator[Sample]:
    """A motion of the splits as a whole, and each segment of it that has captions of its own."""
    said = layout.said_of(path, motion.key, report if captioned else _unsaid)
    name = f"{path.stem}:{motion.key}" if motion.key else path.stem
    if said.split not in splits:
        return
    if not captioned:
        yield Sample(name, path, (), motion.rows)
        return
    captions = said.captions
    if captions is None:
        captions = usable(map(Caption, motion.texts), path, report)
    if not captions:
        report(path, f"{motion.key}: has no caption" if motion.key else "has no caption, expected at least one text")
    segments: dict[tuple[float, float], list[str]] = {}
    for caption in captions:
        segments.setdefault((caption.start, caption.end), []).append(caption.text)
    for (start, end), texts in segments.items():
        if end == 0.0:
            yield Sample(name, path, tuple(texts), motion.rows)
            continue
        first, stop = round(start * FEATURE_FPS), min(round(end * FEATURE_FPS), motion.rows.frames)
        if stop - first < LEAST_FRAMES:
            ends = f"the motion ends at {motion.rows.frames / FEATURE_FPS:.2f} s"
            report(path, f"has a caption from {start:g} to {end:g} s, {ends}")
            continue
        yield Sample(f"{name}@{start:g}-{end:g}", path, tuple(texts), motion.rows.cut(first, stop))
