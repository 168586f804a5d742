"""Biovision hierarchy files (.bvh): a skeleton by offsets and Euler channels, then a table of numbers.

The format has no units and no up axis. Y up with the character looking along Z is the custom of every published set
that is read here, so the axes are turned to ours. The unit is the one of `UNITS` in which a leg, thigh plus shin of a
skeleton that is known, is a person's; no two of them can both be. It stands in `provenance.notes["length_unit"]`.
Where no unit fits or the skeleton is none that is known, lengths stay the file's and the note says "unknown".
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from morphloop.base.errors import MotionError

from ..axes import AXES
from ..clip import Clip, Provenance, check_finite, check_timing
from ..config import AS_FILES_SAY, ReadingConfig
from ..fitting.skeleton_maps import SIDES, SkeletonMap, find_map
from ..reading_limits import LARGEST, LINES_A_JOINT, MAX_FRAMES, MAX_JOINTS, MAX_NUMBERS, NUMBER_LETTERS
from ..rotations import quat_mul, quat_rotate
from ..skeleton import SMPL_JOINTS, SMPL_PARENTS, Y_UP_TO_Z_UP, Skeleton
from .joint_map import renamed
from .text import at_line, check_lines, read_text
from .timing import resolve_fps
from .values import bounded

ROWS = 1_000
"""Frames that are turned into numbers at once: as texts they take ten times the memory."""
TURNS = 1 << 14
"""Joints times frames whose angles become quaternions at once: what is made on the way stays in the cache."""
UNITS = {"m": 1.0, "inch": 0.0254, "CMU unit (inch / 0.45)": 0.0254 / 0.45, "cm": 0.01, "mm": 0.001}
"""Metres in a unit that published files use."""
LEG_RANGE = (0.6, 1.1)
"""Metres of thigh plus shin that a person may have; narrower than the step between any two units."""
CONSTANT_TOLERANCE = 1e-3
"""Position channels of a joint below the root may vary by this share of the joint's distance and still be an offset."""
MOST_WOBBLE = 0.01
"""Metres by which they may waver about their median where captures have six channels a joint; the bone is the median,
and the note says how much it was."""

_SMPL_TREE = {name: SMPL_JOINTS[parent] for name, parent in zip(SMPL_JOINTS[1:], SMPL_PARENTS[1:], strict=True)}


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


def read_bvh(path: Path | str, how: ReadingConfig = AS_FILES_SAY) -> Clip:
    """A BVH file as a Clip on its own skeleton; end sites with a length become joints named `<parent>_end`.

    A root that only carries another joint with positions of its own (Bandai Namco's joint_Root) is merged into it.
    Raises MotionError for a malformed hierarchy, a wrong frame count, NaN, no frames, no frame time.
    """
    path = Path(path)
    text = read_text(path)
    check_lines(text, MAX_FRAMES + MAX_JOINTS * LINES_A_JOINT, f"{MAX_FRAMES} frames", path)
    lines = text.splitlines()
    joints, at = _parse_hierarchy(lines, path)
    if not any(joint.channels for joint in joints):
        raise MotionError(f"{path}: no joint has channels, expected CHANNELS lines in the hierarchy")
    table, frame_time = _parse_motion(lines, at, sum(len(j.channels) for j in joints), path)
    rate = resolve_fps(None if frame_time is None else _fps_of(frame_time), how, path)
    check_timing(rate, len(table), str(path), len(joints))
    return _clip(joints, table, rate, how, path)


def _fps_of(frame_time: float) -> float:
    """Frames per second of a printed frame time; 0.008333 is 120, not 120.0048."""
    rate = 1.0 / max(frame_time, 1e-300)
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else rate


def _parse_hierarchy(lines: list[str], path: Path) -> tuple[list[_Joint], int]:
    """Joints in file order and the number of the line after MOTION."""
    joints: list[_Joint] = []
    stack: list[int] = []
    opened: int | None = None
    for number, line in enumerate(lines):
        words = line.split()
        if not words or words[0] == "HIERARCHY":
            continue
        key = words[0].upper()
        if key == "MOTION":
            if stack or opened is not None or not joints:
                raise at_line(number + 1, "MOTION before the hierarchy is closed, expected '}'", path)
            return _drop_empty_ends(joints), number + 1
        if key in ("ROOT", "JOINT", "END"):
            if opened is not None or (key == "ROOT") != (not stack) or (key == "ROOT" and joints) or len(words) < 2:
                raise at_line(number + 1, f"'{line.strip()[:40]}' is out of place in the hierarchy", path)
            parent = stack[-1] if stack else -1
            joints.append(_Joint(f"{joints[parent].name}_end" if key == "END" else " ".join(words[1:]), parent))
            opened = len(joints) - 1
            if len(joints) > MAX_JOINTS:
                raise MotionError(f"{path}: more than {MAX_JOINTS} joints")
        elif key == "{" and opened is not None:
            stack.append(opened)
            opened = None
        elif key == "}" and stack:
            stack.pop()
        elif key == "OFFSET" and stack and len(words) == 4:
            joints[stack[-1]].offset = tuple(_number(w, path, number) for w in words[1:])  # type: ignore[assignment]
        elif key == "CHANNELS" and stack and len(words) > 1 and words[1] == str(len(words) - 2):
            joints[stack[-1]].channels = [_channel(w, path, number) for w in words[2:]]
        else:
            raise at_line(number + 1, f"'{line.strip()[:40]}' is malformed in the hierarchy", path)
    raise MotionError(f"{path}: no MOTION section, expected HIERARCHY and MOTION")


def _number(word: str, path: Path, number: int) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not abs(value) <= LARGEST:
        raise at_line(number + 1, f"'{word[:40]}' is not a finite number up to {LARGEST:g}", path)
    return value


def _channel(word: str, path: Path, number: int) -> str:
    name = word.lower()
    if name[:1] not in ("x", "y", "z") or name[1:] not in ("position", "rotation"):
        raise at_line(number + 1, f"channel '{word[:40]}', expected Xposition .. Zrotation", path)
    return name


def _drop_empty_ends(joints: list[_Joint]) -> list[_Joint]:
    """Without end sites of no length; they are leaves, so only the indices after them move."""
    keep = [j for j, joint in enumerate(joints) if not (joint.name.endswith("_end") and not any(joint.offset))]
    where = {old: new for new, old in enumerate(keep)} | {-1: -1}
    return [_Joint(joints[j].name, where[joints[j].parent], joints[j].offset, joints[j].channels) for j in keep]


def _parse_motion(lines: list[str], at: int, width: int, path: Path) -> tuple[np.ndarray, float | None]:
    """(T, C) channel values and the frame time in seconds, None where the file has no such line."""
    head: dict[str, str] = {}
    while at < len(lines) and (not lines[at].strip() or lines[at].strip()[:5].lower() == "frame"):
        key, _, value = lines[at].partition(":")
        head[" ".join(key.lower().split())] = value.strip()
        at += 1
    try:
        frames = int(head["frames"])
        frame_time = float(head["frame time"]) if "frame time" in head else None
    except (KeyError, ValueError):
        raise MotionError(f"{path}: expected 'Frames: N' and 'Frame Time: S' after MOTION") from None
    if frame_time is not None and not 0 < frame_time < np.inf:
        raise MotionError(f"{path}: frame time is {frame_time}, expected seconds above 0")
    rows = [line for line in lines[at:] if line.strip()]
    if frames != len(rows) or not 1 <= frames <= MAX_FRAMES:
        raise MotionError(f"{path}: announces {frames} frames and holds {len(rows)}, expected 1 or more and the same")
    if frames * width > MAX_NUMBERS:
        raise MotionError(f"{path}: {frames} frames of {width} numbers, expected at most {MAX_NUMBERS}; cut the motion")
    table = np.empty((frames, width))
    for start in range(0, frames, ROWS):
        some = rows[start : start + ROWS]
        part = np.empty((0, 0))
        if max(map(len, some)) <= NUMBER_LETTERS * width:  # a line that is too long is not taken apart
            with suppress(ValueError):
                part = np.loadtxt(some, comments=None, ndmin=2)
        if part.shape != (len(some), width):
            frame = start + next((k for k, row in enumerate(some) if not _is_frame(row, width)), 0)
            line = [number for number in range(at, len(lines)) if lines[number].strip()][frame]
            many = len(rows[frame]) > NUMBER_LETTERS * width
            count = "far more than" if many else f"{len(rows[frame].split())} words for"
            raise at_line(line + 1, f"frame {frame}: {count} {width} numbers, as many as there are channels", path)
        table[start : start + ROWS] = part
    check_finite(table, str(path))
    return bounded(table, f"{path}: channels"), frame_time


def _is_frame(row: str, width: int) -> bool:
    """Whether a line is the numbers of a frame; one that is too long for them is not taken apart."""
    if len(row) > NUMBER_LETTERS * width:
        return False
    try:
        return len([float(word) for word in row.split()]) == width
    except ValueError:
        return False


def _clip(joints: list[_Joint], table: np.ndarray, fps: float, how: ReadingConfig, path: Path) -> Clip:
    offsets = np.array([joint.offset for joint in joints])
    rotations = np.zeros((len(table), len(joints), 4))
    rotations[..., 0] = 1.0
    moves: dict[int, np.ndarray] = {}
    angles: dict[str, dict[int, list[int]]] = {}
    start = 0
    for j, joint in enumerate(joints):
        columns = range(start, start + len(joint.channels))
        start += len(joint.channels)
        turns = [k for k, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        if turns:
            order = "".join(joint.channels[k][0] for k in turns).upper()
            if len(set(order)) != len(order):
                raise MotionError(f"{path}: rotation channels {order}, expected each axis once")
            angles.setdefault(order, {})[j] = [columns[k] for k in turns]
        shifts = [k for k, channel in enumerate(joint.channels) if channel.endswith("position")]
        if shifts:
            moves[j] = np.tile(offsets[j], (len(table), 1))
            for k in shifts:
                moves[j][:, "xyz".index(joint.channels[k][0])] = table[:, columns[k]]
    for order, turned in angles.items():
        block = max(1, TURNS // len(turned))
        for first in range(0, len(table), block):
            some = slice(first, first + block)
            rotations[some, list(turned)] = _euler(order, table[some, list(turned.values())])
    names, parents = [joint.name for joint in joints], [joint.parent for joint in joints]
    root = moves.pop(0, np.tile(offsets[0], (len(table), 1)))
    if 1 in moves and parents.count(0) == 1:
        root = root + quat_rotate(rotations[:, 0], moves.pop(1))
        rotations[:, 1] = quat_mul(rotations[:, 0], rotations[:, 1])
        names, parents, rotations, offsets = names[1:], [p - 1 for p in parents[1:]], rotations[:, 1:], offsets[1:]
        moves = {j - 1: move for j, move in moves.items()}
        parents[0] = -1
    offsets = offsets.copy()
    for j, move in moves.items():
        offsets[j] = np.median(move, axis=0)
    offsets[0] = 0.0
    if how.joint_map is not None:
        names = renamed(names, how.joint_map)
    rotations = np.concatenate([rotations[..., :1], rotations[..., 1:] @ Y_UP_TO_Z_UP.T], axis=-1)
    unit = how.length_unit or length_unit(Skeleton(tuple(names), tuple(parents), offsets))
    metres = UNITS.get(unit, 1.0)
    notes = {"format": "bvh", "length_unit": unit, AXES: "Y up"} | _wobble(names, offsets, moves, unit, path)
    clip = Clip(
        fps=fps,
        skeleton=Skeleton(tuple(names), tuple(parents), metres * offsets @ Y_UP_TO_Z_UP.T),
        root_pos=metres * root @ Y_UP_TO_Z_UP.T,
        rotations=rotations,
        name=path.stem,
        provenance=Provenance(stage="import", source=str(path), notes=notes),
    )
    # the format stores joints depth first; SMPL's have an order of their own, and tables go by it
    tree = {name: names[parent] for name, parent in zip(names[1:], parents[1:], strict=True)}
    return clip.reordered(SMPL_JOINTS) if tree == _SMPL_TREE and names[0] == SMPL_JOINTS[0] else clip


def _wobble(
    names: list[str], offsets: np.ndarray, moves: dict[int, np.ndarray], unit: str, path: Path
) -> dict[str, str]:
    """A note of how far joints below the root waver about their offsets; MotionError where one moves along its bone."""
    off = {j: float(np.linalg.norm(move - offsets[j], axis=-1).max()) for j, move in moves.items()}
    loose = [j for j in off if off[j] > CONSTANT_TOLERANCE * max(float(np.linalg.norm(offsets[j])), 1e-9)]
    if not loose:
        return {}
    worst = max(loose, key=lambda j: off[j])
    millimetres = 1e3 * UNITS.get(unit, 0.0) * off[worst]
    if unit not in UNITS or millimetres > 1e3 * MOST_WOBBLE:
        how_far = f"by up to {millimetres:.3g} mm" if unit in UNITS else f"by up to {off[worst]:.3g} of an unknown unit"
        raise MotionError(
            f"{path}: joint '{names[worst]}' moves along its bone {how_far}, expected positions at the root only, "
            f"others within {1e3 * MOST_WOBBLE:g} mm"
        )
    return {"wobble": f"{len(loose)} joints up to {millimetres:.2g} mm off their bones' medians, which were taken"}


def length_unit(skeleton: Skeleton) -> str:
    """The name in `UNITS` of the unit that a skeleton's offsets are in, by its legs, or "unknown"."""
    try:
        known = find_map(skeleton, "skeleton")
    except MotionError:
        return "unknown"
    sources = known.joints if isinstance(known, SkeletonMap) else {to: source for source, to in known.joints.items()}
    bones = [skeleton.offsets[skeleton.index(sources[f"{s}_{part}"])] for s in SIDES for part in ("knee", "ankle")]
    leg = 0.5 * float(np.linalg.norm(bones, axis=1).sum())
    fitting = [name for name, metres in UNITS.items() if LEG_RANGE[0] <= metres * leg <= LEG_RANGE[1]]
    return fitting[0] if fitting else "unknown"


def _euler(order: str, degrees: np.ndarray) -> np.ndarray:
    """Quaternions w x y z (T, J, 4) of intrinsic rotations (T, J, axes) applied in the order of the channels."""
    half = np.radians(0.5 * degrees)
    turn = np.broadcast_to([1.0, 0.0, 0.0, 0.0], (*degrees.shape[:2], 4))
    for k, axis in enumerate(order):
        about = np.zeros(turn.shape)
        about[..., 0], about[..., 1 + "XYZ".index(axis)] = np.cos(half[..., k]), np.sin(half[..., k])
        turn = quat_mul(turn, about)
    return turn
