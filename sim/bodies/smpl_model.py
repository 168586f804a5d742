"""SMPL model files as plain arrays: SMPL, SMPL-H and SMPL-X, as their authors publish them (.npz or .pkl).

The file itself is never handed to anybody: an npz is read without object arrays, a pickle by the reader that executes
nothing, and `smplx` gets the arrays that come out.
Loper et al. 2015, "SMPL: a skinned multi-person linear model"; Pavlakos et al. 2019 for SMPL-H and SMPL-X.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import SMPL_JOINTS
from morphloop.motion.files import read_npz
from morphloop.motion.readers.pickled import read_pickle
from morphloop.motion.skeleton import SMPL_PARENTS

KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
MAX_VERTICES, MAX_NUMBERS = 30_000, 1 << 26
"""Vertices, and numbers of one array, 512 MiB of doubles; SMPL-X has 10,475 and 15 million."""
BODY_JOINTS = 22
"""Joints that all three share, in one order: SMPL's without the hands."""
HANDS = {24: (22, 23), 52: (25, 40), 55: (28, 43)}
"""By number of joints (SMPL, SMPL-H, SMPL-X): where the default skeleton's hands are, the fingers' middle knuckles."""
KIND = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}
SHAPE_NUMBERS = 300
"""SMPL-X keeps facial expressions behind the first 300 columns of its shape directions."""
WEIGHT_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class SmplModel:
    """A body model in its own axes (X left, Y up, Z forward), metres.

    name: the file's without its ending; template: (V, 3) vertices at rest; shapes: (V, 3, B) their change by each shape
    number; corrections: (V, 3, 9 (K - 1)) their change by each entry of R - 1 of the joints' rotations R but the
    root's; regressor: (K, V) joints from vertices; weights: (V, K) skinning; parents: (K,); faces: (F, 3).
    """

    name: str
    template: np.ndarray
    shapes: np.ndarray
    corrections: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    parents: tuple[int, ...]
    faces: np.ndarray

    @property
    def kind(self) -> str:
        """SMPL, SMPL-H or SMPL-X."""
        return KIND[len(self.parents)]

    @cached_property
    def hash(self) -> str:
        """Hash of the arrays in single precision."""
        digest = hashlib.sha256(self.kind.encode())
        for array in (self.template, self.shapes, self.corrections, self.regressor, self.weights):
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """(24,) the model's joint for each joint of the default skeleton."""
        return (*range(BODY_JOINTS), *HANDS[len(self.parents)])

    @cached_property
    def body_weights(self) -> np.ndarray:
        """(V, 24) skinning weights over the default skeleton's joints: a finger moves with its hand, jaw and eyes with
        the head, for a clip does not turn them."""
        weights = np.zeros((len(self.template), len(SMPL_JOINTS)))
        for joint in range(len(self.parents)):
            weights[:, self._carrier(joint)] += self.weights[:, joint]
        return weights

    def _carrier(self, joint: int) -> int:
        """The default joint that carries a joint of the model."""
        first_finger = len(self.parents) - 30
        if joint in self.kept:
            return self.kept.index(joint)
        if joint >= first_finger:
            return SMPL_JOINTS.index("left_hand" if joint < first_finger + 15 else "right_hand")
        return SMPL_JOINTS.index("head")

    def shaped(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) and the default skeleton's joints (24, 3) of shape numbers (B',), by `smplx`. Numbers beyond
        those that the model has are left out, as `smplx` does."""
        import torch
        from smplx.lbs import blend_shapes, vertices2joints

        count = min(len(betas), self.shapes.shape[2])
        template = torch.as_tensor(self.template)[None]
        shape = torch.as_tensor(np.asarray(betas[:count], float))[None]
        # smplx names its own alias of torch.Tensor, which a type checker cannot match
        vertices = template + blend_shapes(shape, torch.as_tensor(self.shapes[:, :, :count]))  # pyright: ignore[reportArgumentType]
        joints = vertices2joints(torch.as_tensor(self.regressor), vertices)  # pyright: ignore[reportArgumentType]
        return vertices[0].numpy(), joints[0].numpy()[list(self.kept)]


def load_smpl_model(path: Path | str) -> SmplModel:
    """A SMPL, SMPL-H or SMPL-X model file in its published layout.

    Raises MotionError, one line, for a file without these arrays, with shapes that do not fit each other, NaN, another
    tree of joints, or a pickle that asks for anything but arrays.
    """
    path = Path(path)
    objects: dict[str, bytes] = {}
    values: Any = read_npz(path, KEYS, objects) if path.suffix.lower() == ".npz" else read_pickle(path, smpl=True)
    if not isinstance(values, Mapping):
        raise MotionError(f"{path}: not a dictionary, expected a SMPL model file")
    for key in objects:
        raise MotionError(f"{path}: {key} is pickled objects, expected numbers")
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise MotionError(f"{path}: no {missing[0]}, expected a SMPL model file with {', '.join(KEYS)}")
    template = _numbers(values, "v_template", (None, 3), path)
    vertices = len(template)
    if not 1 <= vertices <= MAX_VERTICES:
        raise MotionError(f"{path}: {vertices} vertices, expected 1 to {MAX_VERTICES}")
    regressor = _numbers(values, "J_regressor", (None, vertices), path)
    joints = len(regressor)
    parents = _parents(np.asarray(values["kintree_table"]), joints, path)
    weights = _numbers(values, "weights", (vertices, joints), path)
    if np.abs(weights.sum(axis=1) - 1.0).max() > WEIGHT_TOLERANCE:
        raise MotionError(f"{path}: weights do not sum to 1 at every vertex, expected skinning weights")
    return SmplModel(
        name=path.stem,
        template=template,
        shapes=_numbers(values, "shapedirs", (vertices, 3, None), path)[:, :, :SHAPE_NUMBERS],
        corrections=_numbers(values, "posedirs", (vertices, 3, 9 * (joints - 1)), path),
        regressor=regressor,
        weights=weights,
        parents=parents,
        faces=_numbers(values, "f", (None, 3), path).astype(int),
    )


def _numbers(values: Mapping[str, Any], key: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    array = np.asarray(values[key])
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if array.dtype.kind not in "iuf" or not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise MotionError(f"{path}: {key} {array.shape} of {array.dtype}, expected numbers ({wanted})")
    if array.size > MAX_NUMBERS:
        raise MotionError(f"{path}: {key} {array.shape} has {array.size} numbers, expected at most {MAX_NUMBERS}")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise MotionError(f"{path}: NaN or infinity in {key}, expected finite numbers")
    return array


def _parents(table: np.ndarray, joints: int, path: Path) -> tuple[int, ...]:
    """Parents from the published table (2, K), whose first entry is a huge number for none; checked against SMPL's."""
    if joints not in KIND or table.shape != (2, joints) or table.dtype.kind not in "iuf":
        raise MotionError(
            f"{path}: {joints} joints and kintree_table {table.shape}, expected 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X)"
        )
    parents = (-1, *(int(p) for p in table[0, 1:]))
    known = BODY_JOINTS if joints > len(SMPL_PARENTS) else len(SMPL_PARENTS)
    if parents[:known] != SMPL_PARENTS[:known] or any(not 0 <= p < k for k, p in enumerate(parents) if k):
        raise MotionError(f"{path}: joints hang on others than SMPL's, expected its tree")
    return parents
