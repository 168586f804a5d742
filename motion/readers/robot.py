"""Robot motions: the CSV of Unitree's LAFAN1 retargets, npz files of mjlab and ASAP, pickles of GMR and ASAP.

None of them carries the robot, most not even the names of its joints, so they are read against one (`Robot`, from
`--body robot.xml`) and refused where the counts differ. What such files leave open is checked and never guessed:
w x y z and x y z w are told apart by which root stands upright, depth first and breadth first joint order by which
agrees with the body positions in the file. Without a robot, named body positions still make a JointTrack.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, JointTrack, Provenance, check_finite, check_timing
from ..config import AS_FILES_SAY, ReadingConfig
from ..reading_limits import MAX_FRAMES
from ..robot import Robot
from ..rotations import quat_rotate, quat_to_matrix
from ..skeleton import DEFAULT_SKELETON, forward_kinematics, local_rotations
from .text import read_text
from .timing import resolve_fps
from .values import Values, bounded, file_fps, numbers

ROOT_COLUMNS = 7
XYZW = [3, 0, 1, 2]
"""Takes a quaternion stored x y z w to w x y z."""
UNIT_TOLERANCE = 0.1
"""A quaternion's length may differ from one by this much: where frames were interpolated number by number, as in GMT's
published clips, it falls short by up to 0.04."""
LARGEST_ANGLE = 4.0 * np.pi
"""Radians; beyond it the file is taken for degrees."""
CLEARLY_UPRIGHT = 0.2
"""By how much the mean cosine of the root's tilt must be larger in one order of the quaternion to decide for it."""
CLEARLY_STEADIER = 0.8
"""Where both stand upright: the lowest joint must move at most this share of what it does in the other order."""
STEPPED_FRAMES = 3000
"""Frames, the first, in which the lowest joint is followed."""
BODY_TOLERANCE = 0.02
"""Metres that body positions in a file may differ, on average, from those of the robot in the same pose."""
COMPARED_FRAMES = 300
"""Frames, spread over the file, in which bodies are compared."""
_ROW = re.compile(rb"\A\s*-?\d[\d.eE+-]*(\s*,\s*-?\d[\d.eE+-]*){6,}\s*(\r?\n|\Z)")
_NEEDS_BODY = "give the robot's MJCF with --body"


def looks_like_robot_csv(head: bytes) -> bool:
    """Whether a table that begins so may be a robot's motion: rows of numbers, or a line that names joints and then
    one of numbers."""
    first, _, rest = head.partition(b"\n")
    named = b"joint" in first.lower() and _ROW.match(rest.partition(b"\n")[0] + b"\n")
    return bool(_ROW.match(head) or named)


def read_robot_csv(path: Path | str, how: ReadingConfig = AS_FILES_SAY, robot: Robot | None = None) -> Clip:
    """A CSV with a row a frame: root position (3), root quaternion (4), an angle a hinge in the robot's order, radians.

    A header is allowed; where it names every hinge, the columns go by name. The LAFAN1 layout has x y z w, others w x y
    z. The rate must be given, such a file does not tell it. Raises MotionError, one line, without a robot, for another
    number of columns than the robot asks for, quaternions that are none, degrees, NaN.
    """
    path = Path(path)
    if robot is None:
        raise MotionError(f"{path}: a CSV does not name its joints, {_NEEDS_BODY}")
    header, table = _csv(path, robot)
    rate = resolve_fps(None, how, path)
    check_timing(rate, len(table), str(path), robot.skeleton.num_joints)
    check_finite(table, f"{path}: rows")
    angles = table[:, ROOT_COLUMNS:]
    if header:
        angles = _by_name(angles, header[ROOT_COLUMNS:], robot, path)
    root, order = _either_order(table[:, :3], table[:, 3:ROOT_COLUMNS], angles, robot, path)
    notes = {"format": "robot csv", "robot": robot.name, "quaternion_order": order}
    return _clip(rate, table[:, :3], root, angles, robot, path, notes)


def is_robot_motion(values: Values) -> bool:
    """Whether the keys of a file are those of a robot motion that `read_robot_values` knows."""
    return any(required <= values.keys() for required in _LAYOUTS)


def read_robot_values(values: Values, how: ReadingConfig, path: Path, robot: Robot | None) -> Clip | JointTrack:
    """The contents of an npz or of a safely read pickle as a motion of `robot`.

    Layouts: GMR (root_pos, root_rot x y z w, dof_pos), ASAP (root_trans_offset, root_rot x y z w, dof), the same as
    plain arrays (root_pos, root_quat_xyzw, dof), mjlab (joint_pos, body_pos_w, body_quat_w w x y z; root first).
    Without a robot a file that names its bodies becomes a JointTrack of them, or a Clip where they are the default
    skeleton's. Raises MotionError, one line, for anything else.
    """
    for required, read in _LAYOUTS.items():
        if required <= values.keys():
            motion, texts = read(values, how, path, robot), _names(values, "texts")
            return replace(motion, texts=texts) if texts else motion
    raise MotionError(f"{path}: keys {sorted(values)[:8]}, expected a robot motion")


def _csv(path: Path, robot: Robot) -> tuple[list[str], np.ndarray]:
    """The header's words, empty without one, and the table (T, 7 + H) of a robot with H hinges."""
    text = read_text(path)
    first, _, rest = text.partition("\n")
    words = [word.strip() for word in first.split(",")]
    named = any(_is_name(word) for word in words)
    rows, expected = text.count("\n") + 1, ROOT_COLUMNS + len(robot.hinges)
    if rows > MAX_FRAMES + 2:
        raise MotionError(f"{path}: {rows} rows, expected at most {MAX_FRAMES}")
    if not (rest if named else text).strip():
        raise MotionError(f"{path}: no rows, expected one a frame")
    if len(words) != expected:
        raise MotionError(
            f"{path}: {len(words)} columns, expected {expected}: root position 3, quaternion 4 and the "
            f"{len(robot.hinges)} hinges of '{robot.name}'"
        )
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=int(named), ndmin=2, comments=None)
    except ValueError as error:
        reason = " ".join(str(error).split()).split(";")[0][:120]
        raise MotionError(f"{path}: not a table of numbers ({reason}), expected comma-separated rows") from None
    if table.shape[1] != expected:
        raise MotionError(f"{path}: {table.shape[1]} numbers in a row, expected {expected}")
    return words if named else [], table


def _is_name(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return bool(word)
    return False


def _by_name(angles: np.ndarray, names: list[str], robot: Robot, path: Path) -> np.ndarray:
    """Columns in the robot's order; MotionError naming the first hinge that no column has."""
    missing = [name for name in robot.hinge_names if name not in names]
    if missing:
        raise MotionError(f"{path}: no column '{missing[0]}', expected one for each hinge of '{robot.name}'")
    return angles[:, [names.index(name) for name in robot.hinge_names]]


def _either_order(
    root_pos: np.ndarray, quats: np.ndarray, angles: np.ndarray, robot: Robot, path: Path
) -> tuple[np.ndarray, str]:
    """Root rotations w x y z of (T, 4) quaternions in an order that the file does not tell, and what was found.

    A robot is upright on average; read in the wrong order it mostly is not. Where both are (a root that only turns
    about the vertical), the wrong order walks backwards, and the foot that stands moves: the lowest joint tells.
    """
    quats = _unit(quats, path)
    orders = {"xyzw": quats[:, XYZW], "wxyz": quats}
    up = {name: float(quat_to_matrix(q)[:, 2, 2].mean()) for name, q in orders.items()}
    best = max(up, key=lambda name: up[name])
    if abs(up["xyzw"] - up["wxyz"]) > CLEARLY_UPRIGHT:
        return orders[best], f"{best}, the upright one"
    some = slice(0, STEPPED_FRAMES)
    skid = {name: _lowest_travel(robot, root_pos[some], q[some], angles[some]) for name, q in orders.items()}
    if skid["wxyz"] < CLEARLY_STEADIER * skid["xyzw"]:
        return orders["wxyz"], "wxyz, the feet stand"
    return orders["xyzw"], "xyzw, as published"


def _lowest_travel(robot: Robot, root_pos: np.ndarray, root: np.ndarray, angles: np.ndarray) -> float:
    """Metres that the lowest joint moves over the ground, step by step."""
    positions, _ = forward_kinematics(robot.skeleton, root_pos, robot.rotations(root, angles))
    lowest = positions[:-1, :, 2].argmin(axis=1)
    frames = np.arange(len(lowest))
    return float(np.linalg.norm(positions[frames + 1, lowest, :2] - positions[frames, lowest, :2], axis=-1).sum())


def _unit(quats: np.ndarray, path: Path) -> np.ndarray:
    off = np.abs(np.linalg.norm(quats, axis=-1) - 1.0)
    if (off > UNIT_TOLERANCE).any():
        frame = int(np.argmax(off.reshape(len(off), -1).max(axis=1)))
        raise MotionError(f"{path}: a quaternion of frame {frame} is {off.max():.3g} off length 1, expected unit ones")
    return quats


def _clip(
    fps: float,
    root_pos: np.ndarray,
    root: np.ndarray,
    angles: np.ndarray,
    robot: Robot,
    path: Path,
    notes: dict[str, Any],
) -> Clip:
    """The robot's clip, its angles checked to be radians."""
    if np.abs(angles).max(initial=0.0) > LARGEST_ANGLE:
        frame = int(np.abs(angles).max(axis=1).argmax())
        raise MotionError(f"{path}: an angle of {np.abs(angles).max():.4g} at frame {frame}, expected radians")
    provenance = Provenance(stage="import", source=str(path), notes=notes)
    return robot.clip(fps, root_pos, root, angles, path.stem, provenance)


def _numbers(values: Values, key: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    """`numbers`, finite, at least one frame of them."""
    array = numbers(values, key, shape, path)
    check_timing(1.0, len(array), str(path))
    check_finite(array, f"{path}: {key}")
    return bounded(array, f"{path}: {key}")


def _names(values: Values, key: str) -> tuple[str, ...] | None:
    """A list of names in a file, None where it has none."""
    found = values.get(key)
    found = found.reshape(-1).tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(name, str) for name in found):
        return None
    return tuple(found)


def _hinge_angles(
    values: Values, key: str, frames: int, robot: Robot, path: Path, names: tuple[str, ...] | None = None
) -> np.ndarray:
    """(T, H) angles in the robot's order, by name where the file has names."""
    angles = _numbers(values, key, (frames, None), path)
    if angles.shape[1] != len(robot.hinges):
        raise MotionError(
            f"{path}: {key} has {angles.shape[1]} joints a frame, expected the {len(robot.hinges)} hinges of "
            f"'{robot.name}'"
        )
    if names is None:
        return angles
    if len(names) != angles.shape[1]:
        raise MotionError(f"{path}: {len(names)} joint names for {angles.shape[1]} joints, expected as many")
    return _by_name(angles, list(names), robot, path)


def _root_and_angles(
    values: Values, how: ReadingConfig, path: Path, robot: Robot | None, keys: tuple[str, str, str], name: str
) -> Clip:
    """Root position, root quaternion x y z w and hinge angles under three keys."""
    if robot is None:
        raise MotionError(f"{path}: {name} without its robot, {_NEEDS_BODY}")
    place, turn, angle = keys
    root_pos = _numbers(values, place, (None, 3), path)
    root = _unit(_numbers(values, turn, (len(root_pos), 4), path), path)[:, XYZW]
    angles = _hinge_angles(values, angle, len(root_pos), robot, path, _names(values, "joint_names"))
    rate = resolve_fps(file_fps(values, path), how, path)
    return _clip(rate, root_pos, root, angles, robot, path, {"format": name, "robot": robot.name})


def _asap(values: Values, how: ReadingConfig, path: Path, robot: Robot | None) -> Clip:
    keys = ("root_trans_offset", "root_rot", "dof")
    return _root_and_angles(values, how, path, robot, keys, "asap robot")


def _plain(values: Values, how: ReadingConfig, path: Path, robot: Robot | None) -> Clip:
    return _root_and_angles(values, how, path, robot, ("root_pos", "root_quat_xyzw", "dof"), "robot arrays")


def _gmr(values: Values, how: ReadingConfig, path: Path, robot: Robot | None) -> Clip | JointTrack:
    """GMR's pickle; its local_body_pos are positions in the root's own frame."""
    names = _names(values, "link_body_list")
    if robot is not None or names is None or values.get("local_body_pos") is None:
        return _root_and_angles(values, how, path, robot, ("root_pos", "root_rot", "dof_pos"), "gmr")
    root_pos = _numbers(values, "root_pos", (None, 3), path)
    root = _unit(_numbers(values, "root_rot", (len(root_pos), 4), path), path)[:, XYZW]
    local = _numbers(values, "local_body_pos", (len(root_pos), len(names), 3), path)
    turned = quat_rotate(np.repeat(root[:, None], len(names), axis=1), local)
    return _track(resolve_fps(file_fps(values, path), how, path), names, root_pos[:, None] + turned, path, "gmr")


def _track(fps: float, names: tuple[str, ...], positions: np.ndarray, path: Path, format_: str) -> JointTrack:
    provenance = Provenance(stage="import", source=str(path), notes={"format": format_})
    if len(set(names)) != len(names):
        raise MotionError(f"{path}: body names repeat, expected each once")
    return JointTrack(fps, names, positions, name=path.stem, provenance=provenance)


def _mjlab(values: Values, how: ReadingConfig, path: Path, robot: Robot | None) -> Clip | JointTrack:
    """mjlab's npz, and BeyondMimic's, whose bodies and joints go breadth first: tried where the first does not fit."""
    positions = _numbers(values, "body_pos_w", (None, None, 3), path)
    frames, count = positions.shape[:2]
    turns = _unit(_numbers(values, "body_quat_w", (frames, count, 4), path), path)
    rate, names = resolve_fps(file_fps(values, path), how, path), _names(values, "body_names")
    if names is not None and len(names) != count:
        raise MotionError(f"{path}: {len(names)} body names for {count} bodies, expected as many")
    if robot is None:
        return _named_bodies(rate, names, positions, turns, path)
    root = names.index(robot.skeleton.names[0]) if names and robot.skeleton.names[0] in names else 0
    joints = _names(values, "joint_names")
    angles = _hinge_angles(values, "joint_pos", frames, robot, path, joints)
    orders = [("by name", angles)] if joints else [("depth first", angles)]
    if not joints:
        orders.append(("breadth first", angles[:, np.argsort(robot.breadth_first())]))
    errors = [_body_error(robot, positions, turns, root, names, found) for _, found in orders]
    best = int(np.argmin(errors))
    if errors[best] > BODY_TOLERANCE:
        raise MotionError(
            f"{path}: body positions are {1e3 * errors[best]:.0f} mm off those of '{robot.name}' in the file's pose, "
            "expected a motion of this robot"
        )
    notes = {"format": "mjlab", "robot": robot.name, "joint_order": orders[best][0]}
    return _clip(rate, positions[:, root], turns[:, root], orders[best][1], robot, path, notes)


def _body_error(
    robot: Robot, positions: np.ndarray, turns: np.ndarray, root: int, names: tuple[str, ...] | None, angles: np.ndarray
) -> float:
    """Mean distance, metres, of each body in the file from the robot's of that name, nameless the nearest one."""
    some = slice(None, None, 1 + len(angles) // COMPARED_FRAMES)
    positions, turns, angles = positions[some], turns[some], angles[some]
    joints, rotations = forward_kinematics(robot.skeleton, positions[:, root], robot.rotations(turns[:, root], angles))
    origins = np.broadcast_to(robot.origins, joints.shape)
    ours = joints + quat_rotate(rotations, origins)
    if names is None:
        apart = np.linalg.norm(positions[:, :, None] - ours[:, None], axis=-1).min(axis=2)
        return float(apart.mean())
    shared = [(k, robot.skeleton.index(name)) for k, name in enumerate(names) if name in robot.skeleton.names]
    if not shared:
        return float("inf")
    theirs, own = (list(side) for side in zip(*shared, strict=True))
    return float(np.linalg.norm(positions[:, theirs] - ours[:, own], axis=-1).mean())


def _named_bodies(
    fps: float, names: tuple[str, ...] | None, positions: np.ndarray, turns: np.ndarray, path: Path
) -> Clip | JointTrack:
    """A JointTrack of named bodies; a Clip where they are the default skeleton's."""
    if names is None:
        raise MotionError(f"{path}: an mjlab file without body_names, {_NEEDS_BODY}")
    if set(names) != set(DEFAULT_SKELETON.names):
        return _track(fps, names, positions, path, "mjlab")
    order = [names.index(name) for name in DEFAULT_SKELETON.names]
    local = local_rotations(DEFAULT_SKELETON, turns[:, order])
    provenance = Provenance(stage="import", source=str(path), notes={"format": "mjlab"})
    return Clip(fps, DEFAULT_SKELETON, positions[:, order[0]], local, name=path.stem, provenance=provenance)


_LAYOUTS = {
    frozenset({"joint_pos", "body_pos_w", "body_quat_w"}): _mjlab,
    frozenset({"root_pos", "root_rot", "dof_pos"}): _gmr,
    frozenset({"root_trans_offset", "root_rot", "dof"}): _asap,
    frozenset({"root_pos", "root_quat_xyzw", "dof"}): _plain,
}
"""Keys that a file must have, and who reads it."""
