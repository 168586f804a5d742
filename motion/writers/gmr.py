"""The pickle that GMR (General Motion Retargeting) writes and TWIST and its like read: one dictionary of plain arrays.

The bytes are written here, opcode by opcode of protocol 3, so that what the file can name is known: NumPy's array
and dtype and the function that puts an array together, under the module path that old and new NumPy answer to.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base.writing import write_atomic

from ..clip import Clip
from ..rotations import quat_conj, quat_rotate
from .extras import CONTACT_KEY, Extras
from .states import robot_states


def write_gmr(path: Path | str, clip: Clip, extras: Extras) -> Path:
    """A robot's clip: fps, root_pos (T, 3), root_rot (T, 4) x y z w, dof_pos (T, H), local_body_pos (T, B, 3) in the
    root's frame, link_body_list (B names), double precision; joint_names (H names) and foot_contact (T, 2), where
    known, are passed by. MotionError for a person's clip."""
    robot = extras.of_robot(clip)
    states = robot_states(clip, robot)
    root, turn = states.body_pos[:, 0], states.body_quat[:, 0]
    away = states.body_pos - root[:, None]
    values: dict[str, Any] = {
        "fps": int(clip.fps) if clip.fps == int(clip.fps) else float(clip.fps),
        "root_pos": root,
        "root_rot": turn[:, [1, 2, 3, 0]],
        "dof_pos": states.joint_pos,
        "local_body_pos": quat_rotate(np.broadcast_to(quat_conj(turn)[:, None], (*away.shape[:2], 4)), away),
        "link_body_list": list(robot.skeleton.names),
        "joint_names": list(robot.hinge_names),
    }
    if extras.contact is not None:
        values[CONTACT_KEY] = extras.contact.stands
    data = pickled(values)
    return write_atomic(path, lambda stream: stream.write(data))


def pickled(value: Any) -> bytes:
    """A pickle, protocol 3, of dictionaries with text keys, lists, texts, numbers and arrays of numbers."""
    return b"\x80\x03" + _opcodes(value) + b"."


def _opcodes(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(key) + _opcodes(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    return _array(np.ascontiguousarray(value))


def _array(array: np.ndarray) -> bytes:
    """`_reconstruct(ndarray, (0,), b"b")`, then its state: version, shape, dtype, order of columns and content."""
    content = array.tobytes()
    order = "<" if array.dtype.itemsize > 1 else "|"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + _int(0) + b"\x85C\x01b\x87R"
    dtype = b"cnumpy\ndtype\n" + _opcodes(array.dtype.str[1:]) + b"\x89\x88\x87R("
    dtype += _int(3) + _opcodes(order) + b"NNN" + _int(-1) * 2 + _int(0) + b"tb"
    shape = b"(" + b"".join(map(_int, array.shape)) + b"t"
    state = b"(" + _int(1) + shape + dtype + b"\x89B" + struct.pack("<I", len(content)) + content + b"tb"
    return empty + state


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
