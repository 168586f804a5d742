"""What is wrong with a motion file: every problem with its field, what was expected and what was found.

Readers refuse a file at the first thing that they cannot use. Here its arrays are looked at one by one first, then the
reader is asked, then the motion is looked at for what no reader can refuse: a root that jumps, lengths that are not
metres, a body that lies along Y. Those are suspicions with stated limits, and a motion can trip them and be right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.opening import parse_json, reading

from .clip import Clip, JointTrack
from .config import AS_FILES_SAY, ReadingConfig
from .files import read_npy, read_npz
from .fitting.skeleton_maps import MAPS
from .plausible import doubts, known_joints, metres_a_length
from .readers import read_motions
from .readers.text import read_text
from .readers.values import FPS_KEYS
from .reading_limits import MAX_AMC_LINES, MAX_NUMBERS
from .robot import Robot, WhoseMotion, is_robot_track

MAX_ROOT_SPEED = 15.0
"""Metres a second; a sprinter reaches 12.4. ProtoMotions leaves out motions above the same figure."""
UNIT_TOLERANCE = 1e-3
"""Quaternions may differ from length one by this much: single precision differs by 1e-6, four decimals by 2e-4."""
SIGN_TOLERANCE = 1e-5
"""Cosine under which two successive quaternions differ in sign; within it neither sign is nearer."""
TRIAL_FPS = 30.0
"""Rate that a file without one is read at, only to find what else is wrong with it."""

QUATERNIONS = ("rotations", "body_quat_w", "root_rot", "root_quat_xyzw", "pose_quat_global")
MOTION_KEYS = (
    *("root_pos", "offsets", "positions", "joints", "poses", "trans", "pose_body", "root_orient", "smpl_poses"),
    *("smpl_trans", "posed_joints", "root_positions", "global_rot_mats", "joint_pos", "body_pos_w", "dof", "dof_pos"),
    *("root_trans_offset", "frames", "array", *QUATERNIONS),
)
"""Arrays that hold the motion, whatever the layout; others may hold NaN and mean it."""
TIME_KEYS = ("timestamps", "timestamp", "times", "time", "t")
_FIELDS = r"fps|frame time|frames?|joints?|bones?|poses|trans|channels?|quaternion|rotations?|meta|schema|keys|line \d+"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. path: of the file (or FILE:KEY of one motion in it); field: the array, line or quantity;
    expected and found: in words; fixable: whether `repair` can mend it without guessing."""

    path: str
    field: str
    expected: str
    found: str
    fixable: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.field}: found {self.found}, expected {self.expected}"


def find_problems(
    path: Path | str, fps: float | None = None, robot: WhoseMotion = None, how: ReadingConfig = AS_FILES_SAY
) -> list[Problem]:
    """All problems of a motion file; empty for a clean one. fps, robot, how: as in `read_motion`.

    Never raises MotionError: that a file cannot be read is one of its problems.
    """
    path = Path(path)
    try:
        with reading(path):
            found = _array_problems(path) if path.suffix.lower() in (".npz", ".npy") else _text_problems(path)
    except MotionError:
        found = []  # the reader says why
    for name, read in read_motions(path, fps, robot, how):
        where = str(path) if name == path.stem else f"{path}:{name.removeprefix(f'{path.stem}:')}"
        try:
            motion = read()
            with reading(where):
                suspicions = motion_problems(motion, where, robot)
        except MotionError as error:
            problem = _of_error(where, error)
            if not _known(problem, found):
                found.append(problem)
            if _lacks_fps(error) and fps is None:
                found += [p for p in find_problems(path, TRIAL_FPS, robot, how) if p.field != "fps" and p not in found]
                return found
            continue
        found += suspicions
    return found


def motion_problems(motion: Clip | JointTrack, where: str, robot: WhoseMotion = None) -> list[Problem]:
    """What can be wrong with a motion that a reader took."""
    found: list[Problem] = []
    known, notes = known_joints(motion), motion.provenance.notes
    robot = robot if isinstance(robot, Robot) else None
    if known is None and robot is None and "robot" not in notes and not is_robot_track(motion):
        names = ", ".join((motion.skeleton.names if isinstance(motion, Clip) else motion.names)[:4])
        wanted = "; ".join(m.name for m in MAPS) if isinstance(motion, Clip) else "HumanML3D"
        found.append(Problem(where, "joints", f"the joints of one of: {wanted}", f"{names} ..."))
    looks = doubts(motion, robot)
    found += [Problem(where, doubt.field, doubt.expected, doubt.found) for doubt in looks]
    return found + _speed_problems(motion, where, metres_a_length(motion))


def _speed_problems(motion: Clip | JointTrack, where: str, scale: float) -> list[Problem]:
    speed = scale * np.linalg.norm(np.diff(motion.positions[:, 0], axis=0), axis=-1) * motion.fps
    jumps = np.flatnonzero(speed > MAX_ROOT_SPEED)
    if not len(jumps):
        return []
    words = f"{speed.max():.3g} m/s after frame {int(speed.argmax())}, above it in {len(jumps)} steps"
    return [Problem(where, "root speed", f"at most {MAX_ROOT_SPEED:g} m/s", words)]


def _array_problems(path: Path) -> list[Problem]:
    """Problems of the arrays of an npz or npy, each by itself; none where the file cannot be opened."""
    try:
        arrays = read_npz(path) if path.suffix.lower() == ".npz" else {"array": read_npy(path)}
    except MotionError:
        return []
    found: list[Problem] = []
    for key, array in arrays.items():
        if array.dtype.kind not in "iuf":
            continue
        if key in MOTION_KEYS:
            found += _number_problems(str(path), key, array)
        if key in QUATERNIONS and array.ndim > 1 and array.shape[-1] == 4:
            found += _quaternion_problems(str(path), key, array)
        if key in TIME_KEYS and array.ndim == 1 and len(array) > 1 and not (np.diff(array) > 0).all():
            frame = int(np.argmin(np.diff(array) > 0)) + 1
            found.append(Problem(str(path), key, "times that rise", f"{array[frame]:g} after {array[frame - 1]:g}"))
    return found + _fps_problems(str(path), arrays)


def _number_problems(path: str, key: str, array: np.ndarray) -> list[Problem]:
    if not array.size:
        return [Problem(path, key, "frames", f"none, {array.shape}")]
    rows = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
    bad = np.asarray(~np.isfinite(rows).all(axis=1))
    if not bad.any():
        return []
    words = f"NaN or infinity in {int(bad.sum())} of {len(bad)} frames, first in frame {int(bad.argmax())}"
    return [Problem(path, key, "finite numbers", words)]


def _quaternion_problems(path: str, key: str, array: np.ndarray) -> list[Problem]:
    """Length and sign of quaternions (T, ..., 4); components in any order."""
    if not 0 < array.size <= MAX_NUMBERS or not np.isfinite(array).all():
        return []
    found: list[Problem] = []
    quats = array.astype(float)
    length = np.linalg.norm(quats, axis=-1)
    zero, off = length < 1e-3, np.abs(length - 1.0) > UNIT_TOLERANCE
    if zero.any():
        frame = int(np.argmax(zero.reshape(len(zero), -1).any(axis=1)))
        found.append(Problem(path, key, "unit quaternions", f"{int(zero.sum())} of length 0, first in frame {frame}"))
    if (off & ~zero).any():
        frame = int(np.argmax((off & ~zero).reshape(len(off), -1).any(axis=1)))
        words = f"{int((off & ~zero).sum())} of other lengths ({length[off & ~zero].min():.3g} to {length.max():.3g})"
        found.append(Problem(path, key, "unit quaternions", f"{words}, first in frame {frame}", fixable=True))
    flips = (quats[1:] * quats[:-1]).sum(axis=-1) < -SIGN_TOLERANCE
    if flips.any():
        frame = int(np.argmax(flips.reshape(len(flips), -1).any(axis=1))) + 1
        words = f"{int(flips.sum())} sign flips, first in frame {frame}"
        found.append(Problem(path, key, "quaternions of one sign over time", words, fixable=True))
    return found


def _fps_problems(path: str, arrays: Mapping[str, np.ndarray]) -> list[Problem]:
    """A frame rate that is there and is none."""
    values = {key: np.asarray(arrays[key]) for key in FPS_KEYS if key in arrays}
    in_meta = meta_of(arrays).get("fps") if "meta" in arrays else None
    if in_meta is not None:
        values["fps"] = np.asarray(in_meta)
    for key, value in values.items():
        number = float(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "iuf" else np.nan
        if not (np.isfinite(number) and number > 0):
            return [Problem(path, "fps", "one number above 0", f"{key} {str(value)[:40]}", fixable=True)]
    return []


def meta_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The `meta` of a clip file, empty where it is not one JSON object."""
    try:
        value = parse_json(str(arrays["meta"]), "meta")
    except MotionError:
        return {}
    return value if isinstance(value, dict) else {}


def _text_problems(path: Path) -> list[Problem]:
    """What can be told of a text format line by line: frames with NaN in a BVH, frame numbers of an AMC."""
    if path.suffix.lower() not in (".bvh", ".amc"):
        return []
    text = read_text(path)
    if text.count("\n") > MAX_AMC_LINES:
        return []
    lines = text.splitlines()
    if path.suffix.lower() == ".amc":
        numbers = [int(line) for line in lines if re.fullmatch(r"\s*[0-9]{1,18}\s*", line)]
        wrong = [k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1]
        if not wrong:
            return []
        words = f"{numbers[wrong[0]]} after {numbers[wrong[0] - 1]}, {len(wrong)} such steps"
        return [Problem(str(path), "frame numbers", "each one more than the last", words)]
    start = next((k for k, line in enumerate(lines) if line.lower().startswith("frame time")), len(lines))
    rows = [line.lower() for line in lines[start + 1 :] if line.strip()]
    bad = [k for k, row in enumerate(rows) if re.search(r"nan|inf", row)]
    if not bad:
        return []
    words = f"NaN or infinity in {len(bad)} of {len(rows)} frames, first in frame {bad[0]}"
    return [Problem(str(path), "channels", "finite numbers", words)]


def _of_error(where: str, error: MotionError) -> Problem:
    """A reader's line in its parts: the field it names, what it expected, what it found."""
    text = str(error)
    for prefix in (where, where.partition(":")[0]):
        text = text.removeprefix(f"{prefix}: ")
    found, sign, expected = text.partition(", expected ")
    if not sign:
        found, sign, expected = text.partition(", give ")
    has_place = where.lower().endswith((".npz", ".npy", ".bvh"))
    if _lacks_fps(error):
        return Problem(where, "fps", "frames per second, by --fps", "none in the file", has_place)
    if "frame time is" in found or found.startswith("fps is"):
        return Problem(where, "fps", "a number above 0", found.rpartition(" is ")[2], has_place)
    named = re.match(rf"(?:.*?\b)?({_FIELDS})\b", found, re.IGNORECASE)
    name = named[1].lower() if named else "file"
    return Problem(where, name, expected or "a motion file that a reader takes", found.removeprefix(f"{name}: "))


def _lacks_fps(error: MotionError) -> bool:
    return "does not tell its frame rate" in str(error)


def _known(problem: Problem, found: list[Problem]) -> bool:
    """Whether a reader's refusal only says again what the arrays told."""
    text, words = problem.found, [(p.expected, p.found) for p in found]
    if "NaN" in text:
        return any("NaN" in told for _, told in words)
    if "quaternion" in text:
        return any("quaternion" in wanted for wanted, _ in words)
    if " 0 frames" in f" {text}":
        return any(told.startswith("none") for _, told in words)
    return problem.field == "fps" and any(p.field == "fps" for p in found)
