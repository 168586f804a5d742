"""A cheap look at a file: is it a motion, or one of the files that lie beside motions, and of which format?

Only the beginning is read. Endings that many things have (.json, .txt, .csv) must look like a motion. A file of arrays
is passed over only where it is known to be something else (a body model, a rollout, weights) or holds no frames, so
that a damaged clip, and a layout that nobody reads, is reported and not overlooked.
"""

from __future__ import annotations

import sys
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import open_regular

from ..files import npz_members, npz_shapes
from ..reading_limits import LOOK_BYTES
from .arrays import CLIP_MARKS, holds_frames
from .formats import Format, formats_of, layouts

_BESIDE = ({"meta"}, {"v_template"}, {"J_regressor"}, {"qpos", "ctrl"})
"""Any of these makes it, if it is none by name, another file of ours, a body model, or a rollout."""


def may_hold_motion(path: Path) -> bool:
    """Whether a file with an ending that some reader knows is worth reading; True where that cannot be told."""
    try:
        if path.suffix.lower() == ".npz":
            with npz_members(path) as (archive, members):
                marks = (*CLIP_MARKS, *(names for layout in layouts() for names in layout.marks))
                if any(names <= members.keys() for names in marks):
                    return True
                if any(names <= members.keys() for names in _BESIDE):
                    return False
                return any(holds_frames(shape) for shape in npz_shapes(archive, members))
        head = _head(path)
    except MotionError:
        return True
    formats = formats_of(path)
    return not formats or any(form.looks_like(head) for form in formats)


def format_of(path: Path) -> Format | None:
    """The format that reads a file: the first of its ending that it looks like, else the last; None for an ending that
    no reader knows. MotionError where it has to be looked at and cannot be opened."""
    formats = formats_of(path)
    if len(formats) < 2:
        return formats[0] if formats else None
    head = _head(path)
    return next((form for form in formats if form.looks_like(head)), formats[-1])


def _head(path: Path) -> bytes:
    with open_regular(path, sys.maxsize) as stream:
        return stream.read(LOOK_BYTES)
