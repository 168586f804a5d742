"""`--joint-map FILE`: which joint of a file each of ours is, for skeletons whose names nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_utf8

from ..fitting.skeleton_maps import NEEDED
from ..skeleton import SMPL_JOINTS
from .text import at_line

MAX_BYTES = 1 << 16
_EXPECTED = "a line for each joint, ours and the file's: `left_knee: LeftLeg`"


@lru_cache(maxsize=8)
def read_joint_map(path: Path) -> dict[str, str]:
    """The file's joint by ours. Lines are `ours: theirs`, names in quotes or not; `#` begins a comment.

    MotionError that names the line for any other, for joints that are not ours, and those that are missing.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_utf8(path, MAX_BYTES, _EXPECTED).splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        # a colon may be part of their name (mixamorig:Hips): ours ends at the first
        ours, colon, theirs = (part.strip().strip("\"'") for part in text.partition(":"))
        if not colon or not theirs or ours not in SMPL_JOINTS or ours in found:
            raise at_line(number, f"'{text[:40]}', expected {_EXPECTED}; ours: {', '.join(SMPL_JOINTS)}", path)
        found[ours] = theirs
    missing = sorted(NEEDED - found.keys())
    if missing:
        raise MotionError(f"{path}: no {', '.join(missing[:6])}, expected {_EXPECTED}")
    return found


def renamed(names: Sequence[str], joint_map: str) -> list[str]:
    """A skeleton's joint names with ours for those of the map; MotionError for joints that the skeleton has not."""
    path = Path(joint_map)
    theirs = {name: ours for ours, name in read_joint_map(path).items()}
    absent = [name for name in theirs if name not in names]
    if absent:
        raise MotionError(f"{path}: no joint '{absent[0]}' in the file, expected some of {', '.join(names[:12])}")
    # a joint of theirs that nobody follows must not be taken for one of ours
    return [theirs.get(name, f"{name}_" if name in SMPL_JOINTS else name) for name in names]
