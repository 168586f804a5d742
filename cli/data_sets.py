"""Data sets that commands train on: what of them cannot be used is said, counted, and shows in the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morphloop.base.terminal import complain
from morphloop.motion.config import ReadingConfig

from .config import DATA_SET
from .console import BAD_INPUT, DONE, progress_bars

if TYPE_CHECKING:
    from morphloop.motion import Clip
    from morphloop.motion.datasets import MotionSet

SHOWN = 100
"""Lines of what cannot be used that stderr shows; the training's JSON file has all."""


def open_data_set(
    data: Path,
    splits: Sequence[str],
    captions: Path | None,
    how: ReadingConfig,
    workers: int | None,
    captioned: bool,
) -> MotionSet:
    """The motions of some splits of a data set, prepared; a line on stderr for what cannot be used, and their number.

    MotionError for a set of which nothing can be used.
    """
    from morphloop.motion.datasets import open_motion_set

    with progress_bars() as watch:
        found = open_motion_set(
            data, splits, captions=captions, how=how, workers=workers, captioned=captioned, watch=watch
        )
    for failure in found.failed[:SHOWN]:
        complain(f"{failure['path']}: {failure['reason']}")
    if len(found.failed) > SHOWN:
        complain(f"{data}: and {len(found.failed) - SHOWN} more, which the training's JSON file names")
    if found.failed:
        plural = "" if len(found.failed) == 1 else "s"
        complain(f"{data}: {len(found.failed)} fault{plural}; {len(found)} clips, {found.hours:.2f} h, are used")
    return found


def told_of(clips: Sequence[Clip]) -> dict[str, Any]:
    """What a training's JSON file says of its data set; nothing for the built-in corpus."""
    from morphloop.motion.datasets import MotionSet

    if not isinstance(clips, MotionSet):
        return {}
    return {DATA_SET: {"clips": len(clips), "hours": round(clips.hours, 4), "failed": clips.failed}}


def data_exit_code(clips: Sequence[Clip]) -> int:
    """`BAD_INPUT` where something of the data set could not be used."""
    from morphloop.motion.datasets import MotionSet

    return BAD_INPUT if isinstance(clips, MotionSet) and clips.failed else DONE
