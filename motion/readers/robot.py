"""Robot motions as arrays: npz of mjlab, holosoma and ASAP, pickles of GMR and ASAP, ProtoMotions, MuJoCo's own qpos.

None of them carries the robot, most not even the names of its joints, so they are read against one (`Robot`, from
`--body robot.xml`, or a known one that has the joints which the file names) and refused where the counts differ. What
such files leave open is checked and never guessed: depth first and breadth first joint order are told apart by which
agrees with the body positions in the file. Without a robot, named body positions still make a JointTrack, which has no
soles. Bodies that are no part of the robot (the world, objects) are left out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base.errors import MotionError
from morphloop.base.opening import read_json

from ..clip import Clip, JointTrack, Provenance, check_finite, check_timing
from ..config import ReadingConfig
from ..robot import Robot, WhoseMotion
from ..rotations import quat_rotate
from ..skeleton import DEFAULT_SKELETON, forward_kinematics, local_rotations
from .quaternions import in_order, unit_quaternions
from .timing import resolve_fps
from .values import Values, bounded, file_fps, numbers

ROOT_COLUMNS = 7
"""Numbers of a free joint: place and quaternion."""
LARGEST_ANGLE = 4.0 * np.pi
"""Radians; beyond it the file is taken for degrees."""
BODY_TOLERANCE = 0.02
"""Metres that body positions in a file may differ, on average, from those of the robot in the same pose."""
COMPARED_FRAMES = 300
"""Frames, spread over the file, in which bodies are compared."""
WORLD, OBJECT = "world", "object_pos_w"
"""MuJoCo's fixed body, which holosoma's files begin with, and where they have what the robot handles."""
NEEDS_BODY = "give the robot's MJCF with --body"
_MANIFEST_DEPTH = 4
"""Folders up to which the manifest.json of an any4hdmi data set is looked for."""
_PELVIS = "q_pelvis_"


def is_robot_motion(values: Values) -> bool:
    """Whether the keys of a file are those of a robot motion that `read_robot_values` knows."""
    return any(required <= values.keys() for required in _LAYOUTS)


def read_robot_values(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip | JointTrack:
    """The contents of an npz or of a safely read pickle as a motion of `robot`.

    Layouts: GMR (root_pos, root_rot x y z w, dof_pos), ASAP (root_trans_offset, root_rot x y z w, dof), the same as
    plain arrays (root_pos, root_quat_xyzw, dof), mjlab and holosoma (joint_pos, body_pos_w, body_quat_w w x y z; root
    first), ProtoMotions (dof_pos, rigid_body_pos, rigid_body_rot x y z w), MuJoCo's qpos (loco-mujoco, any4hdmi) or an
    array a joint. Without a robot a file that names its bodies becomes a JointTrack of them, or a Clip where they are
    the default skeleton's. Raises MotionError, one line, for anything else.
    """
    for required, read in _LAYOUTS.items():
        if required <= values.keys():
            motion, texts = read(values, how, path, robot), _names(values, "texts")
            return replace(motion, texts=texts) if texts else motion
    raise MotionError(f"{path}: keys {sorted(values)[:8]}, expected a robot motion")


def whose(robot: WhoseMotion, hinges: Sequence[str], bodies: Sequence[str], count: int) -> Robot | None:
    """The robot that a motion is of: the one given, or a known one by the names of `count` hinges or of bodies."""
    return robot if robot is None or isinstance(robot, Robot) else robot(hinges, bodies, count)


def by_name(angles: np.ndarray, names: Sequence[str], robot: Robot, path: Path) -> np.ndarray:
    """Columns in the robot's order; MotionError naming the first hinge that no column has."""
    missing = [name for name in robot.hinge_names if name not in names]
    if missing:
        raise MotionError(f"{path}: no column '{missing[0]}', expected one for each hinge of '{robot.name}'")
    return angles[:, [list(names).index(name) for name in robot.hinge_names]]


def robot_clip(
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
        found = np.abs(angles).max()
        raise MotionError(f"{path}: an angle of {found:.4g} at frame {frame}, expected radians, or --units deg")
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
    angles: np.ndarray, key: str, robot: Robot, path: Path, names: tuple[str, ...] | None = None
) -> np.ndarray:
    """(T, H) angles in the robot's order, by name where the file has names."""
    if angles.shape[1] != len(robot.hinges):
        raise MotionError(
            f"{path}: {key} has {angles.shape[1]} joints a frame, expected the {len(robot.hinges)} hinges of "
            f"'{robot.name}'"
        )
    if names is None:
        return angles
    if len(names) != angles.shape[1]:
        raise MotionError(f"{path}: {len(names)} joint names for {angles.shape[1]} joints, expected as many")
    return by_name(angles, names, robot, path)


def _root_and_angles(
    values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion, keys: tuple[str, str, str], name: str
) -> Clip:
    """Root position, root quaternion x y z w and hinge angles under three keys."""
    place, turn, angle = keys
    joints = _names(values, "joint_names")
    root_pos = how.metres * _numbers(values, place, (None, 3), path)
    order = how.quat or "xyzw"
    root = in_order(unit_quaternions(_numbers(values, turn, (len(root_pos), 4), path), path), order)
    angles = how.radians * _numbers(values, angle, (len(root_pos), None), path)
    robot = whose(robot, joints or (), _names(values, "link_body_list") or (), angles.shape[1])
    if robot is None:
        raise MotionError(f"{path}: {name} without its robot, {NEEDS_BODY}")
    angles = _hinge_angles(angles, angle, robot, path, joints)
    rate = resolve_fps(file_fps(values, path), how, path)
    notes = {"format": name, "robot": robot.name, "quaternion_order": order}
    return robot_clip(rate, root_pos, root, angles, robot, path, notes)


def _asap(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip:
    keys = ("root_trans_offset", "root_rot", "dof")
    return _root_and_angles(values, how, path, robot, keys, "asap robot")


def _plain(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip:
    return _root_and_angles(values, how, path, robot, ("root_pos", "root_quat_xyzw", "dof"), "robot arrays")


def _gmr(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip | JointTrack:
    """GMR's pickle; its local_body_pos are positions in the root's own frame."""
    names, joints = _names(values, "link_body_list"), _names(values, "joint_names")
    angles = numbers(values, "dof_pos", (None, None), path)
    known = whose(robot, joints or (), names or (), angles.shape[1])
    if known is not None or names is None or values.get("local_body_pos") is None:
        return _root_and_angles(values, how, path, known, ("root_pos", "root_rot", "dof_pos"), "gmr")
    root_pos = how.metres * _numbers(values, "root_pos", (None, 3), path)
    order = how.quat or "xyzw"
    root = in_order(unit_quaternions(_numbers(values, "root_rot", (len(root_pos), 4), path), path), order)
    local = how.metres * _numbers(values, "local_body_pos", (len(root_pos), len(names), 3), path)
    turned = quat_rotate(np.repeat(root[:, None], len(names), axis=1), local)
    return _track(resolve_fps(file_fps(values, path), how, path), names, root_pos[:, None] + turned, path, "gmr")


def _track(fps: float, names: tuple[str, ...], positions: np.ndarray, path: Path, format_: str) -> JointTrack:
    provenance = Provenance(stage="import", source=str(path), notes={"format": format_})
    if len(set(names)) != len(names):
        raise MotionError(f"{path}: body names repeat, expected each once")
    return JointTrack(fps, names, positions, name=path.stem, provenance=provenance)


def _mjlab(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip | JointTrack:
    """mjlab's npz, holosoma's, whose joint_pos is the whole qpos and whose bodies are not all the robot's, and
    BeyondMimic's, whose bodies and joints go breadth first: tried where the first does not fit."""
    keys = ("joint_pos", "body_pos_w", "body_quat_w")
    return _bodies(values, how, path, robot, keys, "wxyz", "mjlab")


def _protomotions(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip | JointTrack:
    """ProtoMotions' .motion."""
    keys = ("dof_pos", "rigid_body_pos", "rigid_body_rot")
    return _bodies(values, how, path, robot, keys, "xyzw", "protomotions")


def _bodies(
    values: Values,
    how: ReadingConfig,
    path: Path,
    robot: WhoseMotion,
    keys: tuple[str, str, str],
    order: str,
    form: str,
) -> Clip | JointTrack:
    """Hinge angles, positions and quaternions of bodies under three keys, the robot's root first of its bodies."""
    angle, place, turn = keys
    positions = how.metres * _numbers(values, place, (None, None, 3), path)
    frames, count = positions.shape[:2]
    turns = in_order(_numbers(values, turn, (frames, count, 4), path), how.quat or order)
    names, joints = _names(values, "body_names"), _names(values, "joint_names")
    if names is not None and len(names) != count:
        raise MotionError(f"{path}: {len(names)} body names for {count} bodies, expected as many")
    own = [k for k in range(count) if names is None or not _foreign(names[k], positions[:, k], values)]
    names = None if names is None else tuple(names[k] for k in own)
    positions, turns = positions[:, own], unit_quaternions(turns[:, own], path)
    rate = resolve_fps(file_fps(values, path), how, path)
    angles = _numbers(values, angle, (frames, None), path)
    if angles.shape[1] > ROOT_COLUMNS and np.allclose(angles[:, :3], positions[:, 0], atol=1e-4):
        angles = angles[:, ROOT_COLUMNS:]  # the whole qpos: its first three numbers are the root's place
    robot = whose(robot, joints or (), names or (), angles.shape[1])
    if robot is None:
        return _named_bodies(rate, names, positions, turns, path, form)
    angles = _hinge_angles(how.radians * angles, angle, robot, path, joints)
    root = names.index(robot.skeleton.names[0]) if names and robot.skeleton.names[0] in names else 0
    orders = [("by name", angles)] if joints else [("depth first", angles)]
    if not joints:
        orders.append(("breadth first", angles[:, np.argsort(robot.breadth_first())]))
    errors = [_body_error(robot, positions, turns, root, names, found) for _, found in orders]
    best = int(np.argmin(errors))
    if errors[best] > BODY_TOLERANCE:
        raise MotionError(
            f"{path}: body positions are {1e3 * errors[best]:.0f} mm off those of '{robot.name}' in the file's pose, "
            "expected a motion of this robot, or --quat for quaternions in another order"
        )
    notes = {"format": form, "robot": robot.name, "joint_order": orders[best][0]}
    return robot_clip(rate, positions[:, root], turns[:, root], orders[best][1], robot, path, notes)


def _foreign(name: str, positions: np.ndarray, values: Values) -> bool:
    """Whether a body is the world or an object of the file and no part of the robot."""
    thing = values.get(OBJECT)
    if isinstance(thing, np.ndarray) and thing.shape == positions.shape:
        return name == WORLD or bool(np.allclose(thing, positions, atol=1e-4))
    return name == WORLD


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
    fps: float, names: tuple[str, ...] | None, positions: np.ndarray, turns: np.ndarray, path: Path, form: str
) -> Clip | JointTrack:
    """A JointTrack of named bodies; a Clip where they are the default skeleton's."""
    if names is None:
        raise MotionError(f"{path}: {form} without body_names, {NEEDS_BODY}")
    if set(names) != set(DEFAULT_SKELETON.names):
        return _track(fps, names, positions, path, form)
    order = [names.index(name) for name in DEFAULT_SKELETON.names]
    local = local_rotations(DEFAULT_SKELETON, turns[:, order])
    provenance = Provenance(stage="import", source=str(path), notes={"format": form})
    return Clip(fps, DEFAULT_SKELETON, positions[:, order[0]], local, name=path.stem, provenance=provenance)


def _qpos(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip:
    """MuJoCo's qpos (T, 7 + H): root place, root quaternion w x y z, hinges in the model's order or by joint_names;
    objects with free joints may follow. Names and rate may stand in the manifest.json of an any4hdmi data set."""
    qpos = _numbers(values, "qpos", (None, None), path)
    names, told = _names(values, "joint_names"), file_fps(values, path)
    beside = {} if names and told else _manifest(path)
    if names is None:
        names = _names(beside, "qpos_names")
        names = None if names is None else names[ROOT_COLUMNS:]
    if told is None and isinstance(beside.get("timestep"), float) and beside["timestep"] > 0:
        told = 1.0 / beside["timestep"]
    width = qpos.shape[1] - ROOT_COLUMNS
    if names is not None and len(names) == width + 1:
        names = names[1:]  # the free joint has a name, too
    robot = whose(robot, names or (), (), width)
    if robot is None:
        raise MotionError(f"{path}: qpos without its robot, {NEEDS_BODY}")
    hinges = len(robot.hinges)
    if width < hinges or (width - hinges) % ROOT_COLUMNS:
        raise MotionError(f"{path}: qpos {qpos.shape}, expected (T, {ROOT_COLUMNS + hinges}) for '{robot.name}'")
    angles = how.radians * qpos[:, ROOT_COLUMNS : ROOT_COLUMNS + (width if names and len(names) == width else hinges)]
    if names is not None:
        angles = by_name(angles, names, robot, path)
    order = how.quat or "wxyz"
    root = in_order(unit_quaternions(qpos[:, 3:ROOT_COLUMNS], path), order)
    notes = {"format": "qpos", "robot": robot.name, "quaternion_order": order}
    return robot_clip(resolve_fps(told, how, path), how.metres * qpos[:, :3], root, angles, robot, path, notes)


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest.json of the any4hdmi data set that a file lies in, empty where there is none."""
    for folder in path.parents[:_MANIFEST_DEPTH]:
        if (folder / "manifest.json").is_file():
            try:
                values = read_json(folder / "manifest.json")
            except MotionError:
                return {}
            return values if isinstance(values, dict) and "timestep" in values else {}
    return {}


def _by_joint(values: Values, how: ReadingConfig, path: Path, robot: WhoseMotion) -> Clip:
    """An array (T,) a joint, `q_` and its name (loco-mujoco): the pelvis's place as tx (ahead), tz (left), ty (up), its
    turn as tilt, list and rotation about Y, X and Z, where the file has them."""
    joints = [key for key in values if key.startswith("q_") and not key.startswith(_PELVIS)]
    robot = whose(robot, [key.removeprefix("q_") for key in joints], (), len(joints))
    if robot is None or not joints:
        raise MotionError(f"{path}: an array a joint without its robot, {NEEDS_BODY}")
    frames = len(_numbers(values, f"{_PELVIS}tx", (None,), path))
    place = [_numbers(values, f"{_PELVIS}{axis}", (frames,), path) for axis in ("tx", "tz", "ty")]
    angles = np.stack([_numbers(values, key, (frames,), path) for key in joints], axis=1)
    angles = by_name(how.radians * angles, [key.removeprefix("q_") for key in joints], robot, path)
    turns = {
        name: how.radians * _numbers(values, key, (frames,), path)
        if (key := _PELVIS + name) in values
        else np.zeros(frames)
        for name in ("tilt", "list", "rotation")
    }
    root = Rotation.from_euler("YXZ", np.stack(list(turns.values()), axis=1)).as_quat(scalar_first=True)
    notes = {"format": "an array a joint", "robot": robot.name}
    root_pos = how.metres * np.stack(place, axis=1)
    return robot_clip(resolve_fps(file_fps(values, path), how, path), root_pos, root, angles, robot, path, notes)


_LAYOUTS = {
    frozenset({"joint_pos", "body_pos_w", "body_quat_w"}): _mjlab,
    frozenset({"dof_pos", "rigid_body_pos", "rigid_body_rot"}): _protomotions,
    frozenset({"root_pos", "root_rot", "dof_pos"}): _gmr,
    frozenset({"root_trans_offset", "root_rot", "dof"}): _asap,
    frozenset({"root_pos", "root_quat_xyzw", "dof"}): _plain,
    frozenset({"qpos"}): _qpos,
    frozenset({f"{_PELVIS}{axis}" for axis in ("tx", "ty", "tz")}): _by_joint,
}
"""Keys that a file must have, and who reads it."""
