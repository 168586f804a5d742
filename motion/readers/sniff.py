"""A cheap look at a file that was found in a folder: is it a motion, or one of the files that lie beside motions?

Only the beginning is read. Endings that many things have (.json, .txt, .csv) must look like a motion; array files are
passed over only where they clearly are something else, so that a damaged clip is reported and not overlooked.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from morphloop.base.errors import MotionError
from morphloop.base.opening import open_regular

from ..files import npz_members

HEAD = 4096
"""Bytes that are looked at."""
ARRAY_KEYS = (
    {"meta", "rotations"},
    {"meta", "positions"},
    {"poses", "trans"},
    {"pose_body", "trans"},
    {"smpl_poses", "smpl_trans"},
    {"joints"},
    {"positions"},
    {"frames", "loop"},
    {"posed_joints", "global_rot_mats"},
    {"joint_pos", "body_pos_w"},
    {"root_pos", "dof"},
    {"root_pos", "dof_pos"},
)
"""Any of these sets of names makes an .npz a motion."""
_FRAMES = re.compile(rb'\A\s*\{.*"Frames"\s*:', re.DOTALL)
_ROW = re.compile(rb"\A\s*-?\d[\d.eE+-]*(\s*,\s*-?\d[\d.eE+-]*){6,}\s*(\r?\n|\Z)")


def may_hold_motion(path: Path) -> bool:
    """Whether a file with an ending that some reader knows is worth reading; True where that cannot be told."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            with npz_members(path) as (_, members):
                return any(keys <= members.keys() for keys in ARRAY_KEYS)
        with open_regular(path, sys.maxsize) as stream:
            head = stream.read(HEAD)
    except MotionError:
        return True
    if suffix in (".json", ".txt"):
        return bool(_FRAMES.match(head))
    if suffix == ".csv":
        return bool(_ROW.match(head)) or _robot_header(head)
    if suffix == ".pkl":
        return not any(word in head for word in (b"v_template", b"chumpy", b"J_regressor"))
    if suffix == ".npy":
        return _npy(head)
    return True


def _npy(head: bytes) -> bool:
    """Numbers of a frame in HumanML3D's shapes, or an object array, which is read by the safe pickle reader."""
    found = re.search(rb"'descr':\s*'([^']*)'.*'shape':\s*\(([\d, ]*)\)", head[:512], re.DOTALL)
    if head[:6] != b"\x93NUMPY" or found is None:
        return True
    shape = [int(word) for word in found[2].replace(b",", b" ").split()]
    if found[1].lstrip(b"|<>=").startswith(b"O"):
        return b"rotation" in head or b"pose" in head
    return (len(shape) == 3 and shape[1:] == [22, 3]) or (len(shape) == 2 and shape[1] == 263)


def _robot_header(head: bytes) -> bool:
    """A table of joints: a first line with names and a second one of numbers."""
    first, _, rest = head.partition(b"\n")
    return b"joint" in first.lower() and bool(_ROW.match(rest.partition(b"\n")[0] + b"\n"))
