"""Acclaim skeleton and motion files (.asf with .amc), the form in which CMU published its mocap.

A bone turns about its start, which is its parent's end, so each bone becomes a joint there. A bone's degrees of
freedom are Euler angles in the bone's own axes C: its rotation relative to the rest pose is C R C^-1. Lengths are
inches divided by the skeleton's `length` (0.45 at CMU: 1 unit = 0.056444 m). The files do not tell the frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base.errors import MotionError

from ..axes import AXES
from ..clip import Clip, Provenance, check_finite, check_timing
from ..config import AS_FILES_SAY, ReadingConfig
from ..reading_limits import LARGEST, MAX_AMC_LINES, MAX_FRAMES, MAX_JOINTS, MIN_FPS
from ..skeleton import Y_UP_TO_Z_UP, Skeleton
from .text import at_line, check_lines, read_text
from .timing import resolve_fps
from .values import bounded

INCH = 0.0254


@dataclass
class _Bone:
    name: str
    end: np.ndarray
    axes: Rotation
    dofs: tuple[str, ...]


@dataclass
class _Skeleton:
    bones: list[_Bone]
    parents: list[int]
    scale: float
    degrees: bool


def find_asf(path: Path) -> Path:
    """The skeleton beside an .amc: of the same stem, or of the subject before the first underscore."""
    for stem in (path.stem, path.stem.split("_")[0]):
        for suffix in (".asf", ".ASF"):
            candidate = path.with_name(stem + suffix)
            if candidate.is_file():
                return candidate
    raise MotionError(f"{path}: no skeleton beside it, expected {path.stem}.asf or {path.stem.split('_')[0]}.asf")


def read_amc(path: Path | str, how: ReadingConfig = AS_FILES_SAY) -> Clip:
    """An AMC trial as a Clip on the skeleton of its ASF, in metres; bone ends that carry nothing become `<bone>_end`.

    Raises MotionError for malformed files, unknown bones, NaN, no frames, or no rate given.
    """
    path = Path(path)
    rate = resolve_fps(None, how, path)
    asf = find_asf(path)
    skeleton = _parse_asf(asf)
    values = _parse_amc(path, skeleton)
    frames = len(values[0])
    names, parents, offsets = _joints(skeleton)
    rotations = np.zeros((frames, len(names), 4))
    rotations[..., 0] = 1.0
    root = np.zeros((frames, 3))
    for j, bone in enumerate(skeleton.bones):
        turns = [k for k, dof in enumerate(bone.dofs) if dof[0] == "r"]
        for k, dof in enumerate(bone.dofs):
            if j == 0 and dof[0] == "t":
                root[:, "xyz".index(dof[1])] = values[0][:, k]
        if turns:
            # AMC angles turn about fixed axes in the order of the dofs: extrinsic, lower case in SciPy
            order = "".join(bone.dofs[k][1] for k in turns)
            local = (
                bone.axes * Rotation.from_euler(order, values[j][:, turns], degrees=skeleton.degrees) * bone.axes.inv()
            )
            quats = local.as_quat(scalar_first=True)
            rotations[:, j] = np.concatenate([quats[:, :1], quats[:, 1:] @ Y_UP_TO_Z_UP.T], axis=-1)
    notes = {"format": "amc", "skeleton": str(asf), AXES: "Y up"}
    scale = skeleton.scale if how.length_unit is None else how.metres
    return Clip(
        fps=rate,
        skeleton=Skeleton(names, parents, scale * offsets @ Y_UP_TO_Z_UP.T),
        root_pos=scale * root @ Y_UP_TO_Z_UP.T,
        rotations=rotations,
        name=path.stem,
        provenance=Provenance(stage="import", source=str(path), notes=notes),
    )


def _joints(skeleton: _Skeleton) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    names, parents = [bone.name for bone in skeleton.bones], list(skeleton.parents)
    offsets = [np.zeros(3)] + [skeleton.bones[p].end for p in skeleton.parents[1:]]
    for j in range(1, len(skeleton.bones)):
        if j not in skeleton.parents and np.linalg.norm(skeleton.bones[j].end) > 0:
            names.append(f"{skeleton.bones[j].name}_end")
            parents.append(j)
            offsets.append(skeleton.bones[j].end)
    return tuple(names), tuple(parents), np.array(offsets)


def _parse_asf(path: Path) -> _Skeleton:
    sections: dict[str, list[list[str]]] = {}
    current = ""
    for line in read_text(path).splitlines():
        text = line.split("#")[0].strip()
        if text.startswith(":"):
            key, *rest = text[1:].split() or [""]
            current = key.lower()
            sections[current] = [rest] if rest else []
        elif text and current:
            sections[current].append(text.split())
    try:
        units = {row[0]: row[1] for row in sections["units"] if len(row) == 2}
        length, degrees = float(units["length"]), units.get("angle", "deg").startswith("deg")
        if not 0 < length < np.inf:
            raise ValueError(f"length {length}")
        root = {row[0].lower(): row[1:] for row in sections["root"]}
        axes = _axes(root.get("orientation", [0, 0, 0]), root["axis"][0], degrees)
        bones = [_Bone("root", np.zeros(3), axes, tuple(word.lower() for word in root["order"]))]
        bones += _parse_bones(sections["bonedata"], degrees)
        parents = _parse_parents(sections["hierarchy"], [bone.name for bone in bones])
    except (KeyError, ValueError, IndexError) as error:
        raise MotionError(f"{path}: malformed skeleton ({error}), expected ASF sections with numbers") from None
    order = _parents_first(parents, path)
    where = {old: new for new, old in enumerate(order)} | {-1: -1}
    return _Skeleton([bones[j] for j in order], [where[parents[j]] for j in order], INCH / length, degrees)


def _axes(angles: list, order: str, degrees: bool) -> Rotation:
    values = np.array([float(a) for a in angles])
    if values.shape != (3,) or not (np.abs(values) < LARGEST).all():
        raise ValueError(f"axis {' '.join(str(a)[:20] for a in angles)}")
    return Rotation.from_euler(order.lower(), values, degrees=degrees)


def _parse_bones(rows: list[list[str]], degrees: bool) -> list[_Bone]:
    bones: list[_Bone] = []
    fields: dict[str, list[str]] = {}
    for row in rows:
        if row[0] == "begin":
            fields = {}
        elif row[0] == "end":
            direction = np.array([float(v) for v in fields["direction"]])
            if direction.shape != (3,) or not np.isfinite(direction).all():
                raise ValueError(f"direction of {fields['name'][0]}")
            end = direction * float(fields["length"][0])
            if not (np.abs(end) < LARGEST).all():
                raise ValueError(f"length of {fields['name'][0]}")
            axes = _axes(fields["axis"][:3], fields["axis"][3], degrees)
            dofs = tuple(word.lower() for word in fields.get("dof", []))
            if any(len(dof) != 2 or dof[0] not in "rt" or dof[1] not in "xyz" for dof in dofs if dof != "l"):
                raise ValueError(f"dof of {fields['name'][0]}")
            bones.append(_Bone(fields["name"][0], end, axes, dofs))
            if len(bones) >= MAX_JOINTS:
                raise ValueError(f"more than {MAX_JOINTS} bones")
        else:
            fields[row[0]] = row[1:]
    return bones


def _parse_parents(rows: list[list[str]], names: list[str]) -> list[int]:
    parents = [-1] + [-2] * (len(names) - 1)
    for row in rows:
        if row[0] not in ("begin", "end"):
            for child in row[1:]:
                parents[names.index(child)] = names.index(row[0])
    if -2 in parents:
        raise ValueError(f"bone '{names[parents.index(-2)]}' is not in the hierarchy")
    return parents


def _parents_first(parents: list[int], path: Path) -> list[int]:
    order = [0]
    for j in order:
        order += [c for c, parent in enumerate(parents) if parent == j and c != j]
        if len(order) > len(parents):
            break
    if len(order) != len(parents):
        raise MotionError(f"{path}: the hierarchy is not one tree from the root")
    return order


def _parse_amc(path: Path, skeleton: _Skeleton) -> list[np.ndarray]:
    """By bone (T, dofs); zeros for a bone that the trial leaves out."""
    index = {bone.name: j for j, bone in enumerate(skeleton.bones)}
    rows: dict[str, list[list[str]]] = {name: [] for name in index}
    frames, text = 0, read_text(path)
    check_lines(text, MAX_AMC_LINES, f"{MAX_AMC_LINES}; cut the motion", path)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0][0] in "#:":
            if words and words[0].upper() == ":RADIANS" and skeleton.degrees:
                raise MotionError(f"{path}: angles in radians and its skeleton in degrees, expected the same unit")
            continue
        if len(words) == 1 and words[0].isdigit():
            frames += 1
            continue
        if words[0] not in index:
            raise at_line(number, f"bone '{words[0][:40]}' is not in its skeleton", path)
        if len(words) - 1 != len(skeleton.bones[index[words[0]]].dofs) or frames == 0:
            raise at_line(number, f"expected {len(skeleton.bones[index[words[0]]].dofs)} values", path)
        rows[words[0]].append(words[1:])
    if not 1 <= frames <= MAX_FRAMES:
        raise MotionError(f"{path}: {frames} frames, expected 1 to {MAX_FRAMES}")
    check_timing(MIN_FPS, frames, str(path), 2 * len(skeleton.bones))  # a bone may get an end of its own
    values = []
    for bone in skeleton.bones:
        if len(rows[bone.name]) not in (0, frames) or (bone.name == "root" and not rows["root"]):
            raise MotionError(f"{path}: bone '{bone.name}' in {len(rows[bone.name])} of {frames} frames, truncated?")
        try:
            table = np.array(rows[bone.name], dtype=float).reshape(len(rows[bone.name]), len(bone.dofs))
        except ValueError:
            raise MotionError(f"{path}: bone '{bone.name}' has a value that is not a number") from None
        if table.size:
            check_finite(table, str(path))
        bounded(table, f"{path}: bone '{bone.name}'")
        values.append(table if len(table) else np.zeros((frames, len(bone.dofs))))
    return values
