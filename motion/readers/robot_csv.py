"""Robot motions as CSV: Unitree's LAFAN1 retargets and tables like them, a row a frame."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, check_finite, check_timing
from ..config import AS_FILES_SAY, ReadingConfig
from ..reading_limits import MAX_FRAMES
from ..robot import Robot, WhoseMotion
from .quaternions import in_order, unit_quaternions, unordered_root
from .robot import NEEDS_BODY, ROOT_COLUMNS, by_name, robot_clip, whose
from .text import read_text
from .timing import resolve_fps

_ROW = re.compile(rb"\A\s*-?\d[\d.eE+-]*(\s*,\s*-?\d[\d.eE+-]*){6,}\s*(\r?\n|\Z)")


def looks_like_robot_csv(head: bytes) -> bool:
    """Whether a table that begins so may be a robot's motion: rows of numbers, or a line that names joints and then
    one of numbers."""
    first, _, rest = head.partition(b"\n")
    named = b"joint" in first.lower() and _ROW.match(rest.partition(b"\n")[0] + b"\n")
    return bool(_ROW.match(head) or named)


def read_robot_csv(path: Path | str, how: ReadingConfig = AS_FILES_SAY, robot: WhoseMotion = None) -> Clip:
    """A CSV with a row a frame: root position (3), root quaternion (4), an angle a hinge in the robot's order, radians.

    A header is allowed; where it names every hinge, the columns go by name, and where it names the quaternion's
    numbers, it is believed. Else the order of the quaternion is found (`unordered_root`): the LAFAN1 layout has x y z
    w, others w x y z. The rate must be given, such a file does not tell it. Raises MotionError, one line, without a
    robot, for another number of columns than the robot asks for, quaternions that are none, degrees, NaN.
    """
    path = Path(path)
    text = read_text(path)
    words = [word.strip() for word in text.partition("\n")[0].split(",")]
    header = words if any(_is_name(word) for word in words) else []
    robot = whose(robot, tuple(header[ROOT_COLUMNS:]), (), len(words) - ROOT_COLUMNS)
    if robot is None:
        raise MotionError(f"{path}: a CSV does not name its joints, {NEEDS_BODY}")
    table = _table(text, header, len(words), robot, path)
    rate = resolve_fps(None, how, path)
    check_timing(rate, len(table), str(path), robot.skeleton.num_joints)
    check_finite(table, f"{path}: rows")
    root_pos, quats, angles = how.metres * table[:, :3], table[:, 3:ROOT_COLUMNS], how.radians * table[:, ROOT_COLUMNS:]
    if header:
        angles = by_name(angles, header[ROOT_COLUMNS:], robot, path)
    told = _order_in(header[3:ROOT_COLUMNS])
    if told is not None and how.quat is None:
        root, order = in_order(unit_quaternions(quats, path), told), f"{told}, as the header says"
    else:
        root, order = unordered_root(root_pos, quats, angles, robot, how, path)
    notes = {"format": "robot csv", "robot": robot.name, "quaternion_order": order}
    return robot_clip(rate, root_pos, root, angles, robot, path, notes)


def _order_in(words: list[str]) -> str | None:
    """The order that the names of four columns tell by their last letters: root_qx, quat.w, rot_W; None for others."""
    letters = "".join(word.lower()[-1:] for word in words)
    return letters if letters in ("xyzw", "wxyz") else None


def _table(text: str, header: list[str], columns: int, robot: Robot, path: Path) -> np.ndarray:
    """The table (T, 7 + H) of a robot with H hinges."""
    rows, expected = text.count("\n") + 1, ROOT_COLUMNS + len(robot.hinges)
    if rows > MAX_FRAMES + 2:
        raise MotionError(f"{path}: {rows} rows, expected at most {MAX_FRAMES}")
    if not (text.partition("\n")[2] if header else text).strip():
        raise MotionError(f"{path}: no rows, expected one a frame")
    if columns != expected:
        raise MotionError(
            f"{path}: {columns} columns, expected {expected}: root position 3, quaternion 4 and the "
            f"{len(robot.hinges)} hinges of '{robot.name}'"
        )
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=int(bool(header)), ndmin=2, comments=None)
    except ValueError as error:
        reason = " ".join(str(error).split()).split(";")[0][:120]
        raise MotionError(f"{path}: not a table of numbers ({reason}), expected comma-separated rows") from None
    if table.shape[1] != expected:
        raise MotionError(f"{path}: {table.shape[1]} numbers in a row, expected {expected}")
    return table


def _is_name(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return bool(word)
    return False
