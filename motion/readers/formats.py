"""Every format that is read, in order of preference: what its files end in and look like, and what reads them.

A new format is a reader in a file of its own and an entry here: in `FORMATS` if a file is one by its ending, in
`LAYOUTS` if it is arrays with names, in an npz or a pickle. Packages add both by entry points (`base/plugins.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from morphloop.base import MotionError
from morphloop.base.plugins import READERS, load, offered, pass_over, say_once

from ..config import ReadingConfig
from ..robot import WhoseMotion
from .acclaim import read_amc
from .arrays import ArrayReader, Layout, looks_like_npy
from .bvh import read_bvh
from .humanoid15 import (
    holds_deepmimic,
    looks_like_deepmimic,
    read_deepmimic,
    read_deepmimic_arrays,
)
from .joints import holds_joints, is_mdm_results, read_joints_or_batch, read_mdm_results
from .kimodo import is_kimodo, read_kimodo
from .pickled import looks_like_no_model, looks_like_no_weights
from .poselib import is_poselib, read_poselib
from .robot import is_robot_motion, read_robot_values
from .robot_csv import looks_like_robot_csv, read_robot_csv
from .smpl import is_smpl, read_smpl
from .values import Many, Motion


@dataclass(frozen=True)
class Format:
    """Files that a reader takes. suffixes: their endings, lower case; looks_like: whether the first bytes of a file
    with such an ending may be one, asked of files in a folder and where formats share an ending; read: makes the
    motion, or several by name, of (path, how, robot), or raises MotionError."""

    name: str
    suffixes: tuple[str, ...]
    looks_like: Callable[[bytes], bool]
    read: Callable[[Path, ReadingConfig, WhoseMotion], Motion | Many]


def _anything(head: bytes) -> bool:
    return True


LAYOUTS = (
    Layout(
        "a robot's motion",
        is_robot_motion,
        read_robot_values,
        marks=(
            *({"joint_pos", "body_pos_w"}, {"root_pos", "dof"}, {"root_pos", "dof_pos"}, {"qpos", "joint_names"}),
            {"q_pelvis_tx", "q_pelvis_ty", "q_pelvis_tz"},
        ),
    ),
    Layout(
        "SMPL poses",
        is_smpl,
        lambda values, how, path, _: read_smpl(values, how, path, path.stem),
        marks=(
            *({"poses", "trans"}, {"pose_body", "trans"}, {"smpl_poses", "smpl_trans"}),
            *({"global_orient", "body_pose", "transl"}, {"pose_world", "trans_world"}),
        ),
    ),
    Layout("AMP", is_poselib, lambda values, how, path, _: read_poselib(values, how, path)),
    Layout("MDM results", is_mdm_results, lambda values, how, path, _: read_mdm_results(values, how, path)),
    Layout(
        "Kimodo",
        is_kimodo,
        lambda values, how, path, _: read_kimodo(values, how, path),
        marks=({"posed_joints", "global_rot_mats"},),
    ),
    Layout(
        "DeepMimic",
        holds_deepmimic,
        lambda values, how, path, _: read_deepmimic_arrays(values, how, path),
        marks=({"frames", "loop"},),
    ),
    Layout(
        "joints (T, 22, 3)",
        holds_joints,
        lambda values, how, path, _: read_joints_or_batch(values, how, path),
        marks=({"joints"}, {"positions"}),
    ),
)
"""A file with the names of two is read as the first of them."""
_ARRAYS = ArrayReader(
    lambda: layouts(),
    "a morphloop clip, SMPL poses, joints (T, 22, 3), MDM results, Kimodo, DeepMimic, AMP, PHC or a robot's motion",
)
FORMATS = (
    Format("arrays", (".npz",), _anything, _ARRAYS.read_npz),  # a look at its names is taken by `sniff`
    Format("array", (".npy",), looks_like_npy, _ARRAYS.read_npy),
    Format("pickle", (".pkl",), looks_like_no_model, _ARRAYS.read_pickle),
    Format("torch", (".pt", ".pth", ".motion"), looks_like_no_weights, _ARRAYS.read_torch),
    Format("robot CSV", (".csv",), looks_like_robot_csv, read_robot_csv),
    Format("DeepMimic", (".json", ".txt"), looks_like_deepmimic, lambda path, how, _: read_deepmimic(path, how)),
    Format("BVH", (".bvh",), _anything, lambda path, how, _: read_bvh(path, how)),
    Format("Acclaim", (".amc",), _anything, lambda path, how, _: read_amc(path, how)),
)
"""Of two with one ending the first that a file looks like reads it; the last takes, and refuses, the rest."""


def formats_of(path: Path) -> tuple[Format, ...]:
    """Formats whose files end like this one; those that packages add are asked before ours, and take what they look
    like alone."""
    return tuple(form for form in (*_added()[0], *FORMATS) if path.suffix.lower() in form.suffixes)


def suffixes() -> tuple[str, ...]:
    """Every ending that is read."""
    return tuple(dict.fromkeys(suffix for form in (*FORMATS, *_added()[0]) for suffix in form.suffixes))


def layouts() -> tuple[Layout, ...]:
    """Every layout of arrays with names, those that packages add after ours."""
    return (*LAYOUTS, *_added()[1])


@cache
def _added() -> tuple[tuple[Format, ...], tuple[Layout, ...]]:
    """Formats and layouts that packages add; what is neither is said and passed over."""
    formats: list[Format] = []
    added: list[Layout] = []
    for entry in offered(READERS, frozenset(form.name for form in (*FORMATS, *LAYOUTS))).values():
        try:
            found = load(entry)
        except MotionError as error:
            say_once(f"{error}, passed over")
            continue
        if isinstance(found, Format):
            formats.append(found)
        elif isinstance(found, Layout):
            added.append(found)
        else:
            pass_over(entry, f"is a {type(found).__name__}, expected a Format or a Layout of morphloop.motion.readers")
    return tuple(formats), tuple(added)
