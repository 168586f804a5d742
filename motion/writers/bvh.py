"""Biovision hierarchy files: Y up, looking along Z, in the clip's own unit (metres for the default skeleton).

The format has no unit. Six decimals of a metre and of a degree leave errors of a micrometre and 1e-6 degree. Joints go
into the file depth first. A joint named `<parent>_end` that never turns becomes its parent's end site, as the reader
named it; a leaf without one gets an end site of no length, which the reader drops.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base.writing import write_atomic

from ..clip import Clip
from ..skeleton import Y_UP_TO_Z_UP, Skeleton

EULER = "ZXY"
"""Order of the channels where no other is asked for."""
STILL = 1e-9


def write_bvh(path: Path | str, clip: Clip, euler: str = EULER, unit: float = 1.0) -> Path:
    """A clip on any skeleton as BVH; rotations are exact to the decimals, texts and provenance have no place in it.

    euler: order of the channels, intrinsic; unit: of the file, in the clip's own.
    """
    still = np.abs(clip.rotations[..., 1:]).max(axis=(0, 2)) < STILL
    ends = {j for j in range(1, clip.skeleton.num_joints) if still[j] and _is_end(clip.skeleton, j)}
    order = _depth_first(clip.skeleton)
    skeleton = replace(clip.skeleton, offsets=clip.skeleton.offsets / unit)
    lines = [*_hierarchy(skeleton, ends, euler), "MOTION", f"Frames: {clip.num_frames}"]
    lines.append(f"Frame Time: {1.0 / clip.fps:.10f}")
    columns = [clip.root_pos @ Y_UP_TO_Z_UP / unit]
    columns += [_euler(clip.rotations[:, j], euler) for j in order if j not in ends]
    table = np.round(np.concatenate(columns, axis=1), 6) + 0.0  # no minus before a zero
    lines += [" ".join(f"{value:.6f}" for value in row) for row in table]
    text = "\n".join(lines) + "\n"
    return write_atomic(path, lambda stream: stream.write(text.encode()))


def _is_end(skeleton: Skeleton, j: int) -> bool:
    named = skeleton.names[j] == f"{skeleton.names[skeleton.parents[j]]}_end"
    return named and not skeleton.children[j] and bool(np.any(skeleton.offsets[j]))


def _depth_first(skeleton: Skeleton) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        j = waiting.pop()
        order.append(j)
        waiting += reversed(skeleton.children[j])
    return order


def _hierarchy(skeleton: Skeleton, ends: set[int], euler: str) -> list[str]:
    """Lines of all joints, each within its parent's brackets."""
    lines, depths = ["HIERARCHY"], [0] * skeleton.num_joints
    waiting: list[int | str] = [0]
    while waiting:
        j = waiting.pop()
        if isinstance(j, str):
            lines.append(j)
            continue
        depths[j] = depths[skeleton.parents[j]] + 1 if j else 0
        pad, inner = "  " * depths[j], "  " * (depths[j] + 1)
        offset = f"{inner}OFFSET " + " ".join(f"{value:.6f}" for value in skeleton.offsets[j] @ Y_UP_TO_Z_UP)
        if j in ends:
            lines += [f"{pad}End Site", f"{pad}{{", offset, f"{pad}}}"]
            continue
        turns = " ".join(f"{axis}rotation" for axis in euler)
        channels = f"6 Xposition Yposition Zposition {turns}" if j == 0 else f"3 {turns}"
        lines += [f"{pad}{'JOINT' if j else 'ROOT'} {skeleton.names[j]}", f"{pad}{{", offset]
        lines.append(f"{inner}CHANNELS {channels}")
        if not skeleton.children[j]:
            lines += [f"{inner}End Site", f"{inner}{{", f"{inner}  OFFSET 0.0 0.0 0.0", f"{inner}}}"]
        waiting += [f"{pad}}}", *reversed(skeleton.children[j])]
    return lines


def _euler(rotations: np.ndarray, order: str) -> np.ndarray:
    """(T, 3) degrees of the channels of local rotations (T, 4) in our axes."""
    turned = np.concatenate([rotations[:, :1], rotations[:, 1:] @ Y_UP_TO_Z_UP], axis=-1)
    with warnings.catch_warnings():
        # where X is at 90 degrees the split between Z and Y is free, and the one that SciPy takes is as good as any
        warnings.filterwarnings("ignore", message="Gimbal lock")
        return Rotation.from_quat(turned, scalar_first=True).as_euler(order, degrees=True)
