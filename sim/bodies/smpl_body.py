"""A person from a SMPL model file, to measure motion on the vertices of its mesh.

Clips tell rotations on SMPL's joints, which are the same for every shape; the skeleton and the mesh follow the shape
numbers that came with a clip (`provenance.notes["betas"]`), or are the model's mean. Masses and what dynamics need come
from the mesh (`shaped_body`). Vertices are posed as `smplx` does, the pose's corrections included; a test
holds them to its output.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, SMPL_JOINTS, Clip, Skeleton
from morphloop.motion.readers.smpl import SMPL_PELVIS, SMPLX_REST, SMPLX_SKELETON
from morphloop.motion.rotations import quat_to_matrix
from morphloop.motion.skeleton import SMPL_PARENTS, Y_UP_TO_Z_UP

from . import smpl_table as table
from .shaped_body import Mesh, ShapedBody
from .smpl_model import SmplModel
from .support import SurfacePoints, support_ids

FEET = {"left_ankle": 0, "left_foot": 0, "right_ankle": 1, "right_foot": 1}
DEFAULT_STATURE = -table.SOLE_HEIGHT
"""Height of the default body's resting pelvis over its soles, metres."""
GENDERS = ("female", "male", "neutral")
PROBE_POSES, PROBE_ANGLE, PROBE_SEED = 32, 1.5, 0
"""Random poses, and the radians that each joint is turned in them, that show how far corrections move a vertex."""


class SmplBody(ShapedBody):
    """A shaped SMPL body. `vertices` poses its mesh; `surface` are the vertices that can be lowest, each on the joint
    that moves it most, for what needs points on rigid segments.

    model: the arrays; betas: (B,) shape numbers, the mean shape if empty; pelvis: (3,) where the pelvis of the resting
    body stands in the model's own axes, which is what the file's translation is added to.
    """

    def __init__(self, model: SmplModel, betas: tuple[float, ...] = ()):
        vertices, joints = model.shaped(np.array(betas))
        self.smpl = model
        self.betas = betas
        self.pelvis = joints[0]
        rest = joints @ Y_UP_TO_Z_UP.T
        offsets = rest - rest[[max(p, 0) for p in SMPL_PARENTS]]
        self._rest = rest - rest[0]
        self._template = vertices @ Y_UP_TO_Z_UP.T - rest[0]
        name = f"{model.name}, {'shape of the clip' if betas else 'mean shape'}"
        mesh = Mesh(self._template, model.body_weights.argmax(axis=1))
        super().__init__(Skeleton(SMPL_JOINTS, SMPL_PARENTS, offsets), mesh, name)

    @cached_property
    def hash(self) -> str:
        """Hash of the model's arrays and the shape numbers."""
        return hashlib.sha256(f"{self.smpl.hash}|{self.betas}".encode()).hexdigest()[:16]

    @cached_property
    def support(self) -> np.ndarray:
        """(P,) sorted indices of the vertices that can be the body's lowest: the extremes of each segment."""
        carrier = self.smpl.body_weights.argmax(axis=1)
        own = [np.flatnonzero(carrier == j) for j in np.unique(carrier)]
        return np.sort(np.concatenate([ids[support_ids(self._template[ids])] for ids in own]))

    @cached_property
    def surface(self) -> SurfacePoints:
        """The vertices of `support` as rigid points."""
        joint = self.smpl.body_weights[self.support].argmax(axis=1)
        local = self._template[self.support] - self._rest[joint]
        foot = np.array([FEET.get(SMPL_JOINTS[j], -1) for j in joint])
        return SurfacePoints(joint, local, np.zeros(len(joint)), foot)

    def shaped(self, betas: tuple[float, ...]) -> SmplBody:
        """The same model with other shape numbers."""
        return _shaped(self.smpl, betas)

    def takes(self, clip: Clip) -> bool:
        """Whether a clip's joints are this model's as they are, without retargeting."""
        own = SMPLX_SKELETON if self.smpl.kind == "SMPL-X" else DEFAULT_SKELETON
        return clip.skeleton in (own, DEFAULT_SKELETON, self.skeleton)

    def wear(self, clip: Clip) -> tuple[Clip, SmplBody]:
        """A clip on SMPL's joints moved to this model's skeleton, and the body in the shape that came with the clip.

        A clip of SMPL poses goes where the model goes by the file's own translation: its root moves by the difference
        of the resting pelvises. Any other clip, retargeted to the default skeleton, is scaled by the height of the
        pelvis over the soles, so that what stood stands. Raises MotionError for other joints, and for a shape of
        another gender than the model's, which means another body there.
        """
        if not self.takes(clip):
            raise MotionError(f"{clip.name}: joints are not those of {self.smpl.kind}, retarget the clip first")
        kind = str(clip.provenance.notes.get("format", ""))
        same_family = kind.startswith("smpl-x") == (self.smpl.kind == "SMPL-X")
        if clip.skeleton is self.skeleton:
            return clip, self
        if not same_family or not kind.startswith(("smpl", "aist", "phc")):
            return self._put(clip, self.stature / DEFAULT_STATURE * clip.root_pos), self
        body = self.shaped(self._betas_of(clip))
        source = SMPLX_REST[0] if clip.skeleton == SMPLX_SKELETON else SMPL_PELVIS
        shift = np.zeros(3) if kind.startswith("phc") else body.pelvis - source
        return body._put(clip, clip.root_pos + (Y_UP_TO_Z_UP @ shift if kind.startswith("aist") else shift)), body

    def _betas_of(self, clip: Clip) -> tuple[float, ...]:
        """Shape numbers that came with a clip, checked to be of this model's gender; none where all are zero."""
        notes = clip.provenance.notes
        betas = tuple(float(b) for b in notes.get("betas", ()))
        if not any(betas):
            return ()
        own = next((g for g in GENDERS if g in self.smpl.name.lower()), None)
        gender = notes.get("gender", own)
        if own is not None and gender in GENDERS and gender != own:
            raise MotionError(
                f"{clip.name}: its shape is a {gender} body's, the model file '{self.smpl.name}' is {own}"
            )
        return betas

    def _put(self, clip: Clip, root: np.ndarray) -> Clip:
        """The clip on this body's skeleton; hands that it does not have keep their rest."""
        hands = np.zeros((clip.num_frames, len(SMPL_JOINTS) - clip.skeleton.num_joints, 4))
        hands[..., 0] = 1.0
        rotations = np.concatenate([clip.rotations, hands], axis=1)
        return replace(clip, skeleton=self.skeleton, root_pos=root, rotations=rotations)

    @property
    def stature(self) -> float:
        """Height of the resting pelvis over the soles, metres."""
        return -float(self._template[:, 2].min())

    def vertices(self, clip: Clip, ids: np.ndarray) -> np.ndarray:
        """(T, N, 3) world positions of vertices `ids` (N,) of a clip on this body's skeleton, single precision."""
        return np.moveaxis(self._planes(clip, ids, (0, 1, 2)), 0, -1)

    def heights(self, clip: Clip, ids: np.ndarray) -> np.ndarray:
        """(T, N) heights of vertices `ids` (N,) alone, as `vertices`."""
        return self._planes(clip, ids, (2,))[0]

    def _planes(self, clip: Clip, ids: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """(A, T, N) some world coordinates of vertices: linear blend skinning, a matrix product for each number of the
        blended transforms, which is several times as fast as one small product for each vertex."""
        self.check(clip)
        turns, moves = self._transforms(clip)
        weights = self.smpl.body_weights[ids].T.astype(np.float32)
        features = self._features(quat_to_matrix(clip.rotations[:, 1:]))
        rest = [features @ self._corrections[k][:, ids] + self._template[ids, k].astype(np.float32) for k in range(3)]
        found = np.empty((len(axes), clip.num_frames, len(ids)), np.float32)
        for plane, axis in zip(found, axes, strict=True):
            plane[:] = moves[:, :, axis] @ weights
            for k in range(3):
                plane += (turns[:, :, axis, k] @ weights) * rest[k]
        return found

    def _transforms(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """(T, 24, 3, 3) and (T, 24, 3): what each joint does to a resting vertex, single precision."""
        turns = quat_to_matrix(clip.global_rotations)
        moves = clip.positions - np.einsum("tjab,jb->tja", turns, self._rest)
        return turns.astype(np.float32), moves.astype(np.float32)

    def _features(self, turns: np.ndarray) -> np.ndarray:
        """(T, 9 x 23) entries of R - 1 in the model's axes, from rotations (T, 23, 3, 3) in ours."""
        own = Y_UP_TO_Z_UP.T @ turns @ Y_UP_TO_Z_UP - np.eye(3)
        return own.reshape(len(turns), -1).astype(np.float32)

    @cached_property
    def _corrections(self) -> np.ndarray:
        """(3, 9 x 23, V) change of each vertex, our axes, by each feature of the default skeleton's joints."""
        columns = np.concatenate([9 * (joint - 1) + np.arange(9) for joint in self.smpl.kept[1:]])
        turned = self.smpl.corrections[:, :, columns].transpose(2, 0, 1) @ Y_UP_TO_Z_UP.T
        return np.ascontiguousarray(np.moveaxis(turned, -1, 0), dtype=np.float32)

    @cached_property
    def reach(self) -> np.ndarray:
        """(V,) metres: twice the most that corrections move each vertex in some random, extreme poses."""
        rng = np.random.default_rng(PROBE_SEED)
        axes = rng.normal(size=(PROBE_POSES, len(SMPL_JOINTS) - 1, 3))
        half = 0.5 * PROBE_ANGLE
        axes *= np.sin(half) / np.linalg.norm(axes, axis=-1, keepdims=True)
        turns = quat_to_matrix(np.concatenate([np.full((*axes.shape[:2], 1), np.cos(half)), axes], axis=-1))
        return 2.0 * np.linalg.norm(self._features(turns) @ self._corrections, axis=0).max(axis=0)

    def rough_heights(self, clip: Clip) -> np.ndarray:
        """(T, V) heights of all vertices without the pose's corrections, single precision: one matrix product."""
        turns, moves = self._transforms(clip)
        return np.concatenate([turns[:, :, 2], moves[:, :, 2:]], axis=-1).reshape(clip.num_frames, -1) @ self._rough

    @cached_property
    def _rough(self) -> np.ndarray:
        """(24 x 4, V) what a vertex's height takes from each joint's third row and height."""
        at = np.concatenate([self._template, np.ones((len(self._template), 1))], axis=1)
        return np.einsum("vj,vk->jkv", self.smpl.body_weights, at).reshape(-1, len(at)).astype(np.float32)


@lru_cache(maxsize=8)
def _shaped(model: SmplModel, betas: tuple[float, ...]) -> SmplBody:
    return SmplBody(model, betas)
