"""The clip that flows through the house, and its two relatives.

`Clip` is motion as rotations on a skeleton; `JointTrack` is what position-only generators emit; `Rollout` is what
physics did. Time is always seconds: every one of them carries its frame rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from morphloop.base.errors import MotionError
from morphloop.base.names import kept

from .reading_limits import MAX_FPS, MAX_FRAMES, MAX_JOINT_FRAMES, MAX_TEXT, MAX_TEXTS, MIN_FPS
from .rotations import quat_normalize, quat_slerp
from .skeleton import Skeleton, check_joints, forward_kinematics

UNIT_TOLERANCE = 1e-6
"""Quaternions nearer to length one stay as they are, so that a clip read back from single precision keeps its id."""


FITTED = "fit"
"""Stage of a clip that was fitted to joint positions, which do not say how feet are turned."""
RETARGETED = "retarget"
"""Stage of a person's clip that was moved onto a robot."""


@dataclass(frozen=True)
class Provenance:
    """Where a clip came from and what became of it.

    parent: id of the clip that this one was made from; stage: corpus, import, fit, generate, project, ...;
    models: content hash of each model that had a hand in it; metrics: name to value or None.
    """

    parent: str | None = None
    stage: str = "import"
    source: str | None = None
    prompt: str | None = None
    seed: int | None = None
    models: dict[str, str] = field(default_factory=dict)
    simulator: str | None = None
    round: int | None = None
    projector: str | None = None
    verdict: str | None = None
    reason: str | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("parent", "stage", "source", "prompt", "simulator", "projector", "verdict", "reason"):
            value = getattr(self, name)
            if isinstance(value, str) and not value.isascii():
                object.__setattr__(self, name, kept(value))


def check_timing(fps: float, frames: int, where: str, joints: int = 1) -> None:
    """Refuse a motion without frames, with absurdly many (or joints times frames), or without a usable frame rate.

    Readers ask before they build anything, so that what is refused takes no memory.
    """
    if not np.isfinite(fps) or not MIN_FPS <= fps <= MAX_FPS:
        raise MotionError(f"{where}: fps is {fps:g}, expected {MIN_FPS:g} to {MAX_FPS:g}")
    if not 1 <= frames <= MAX_FRAMES:
        raise MotionError(f"{where}: {frames} frames, expected 1 to {MAX_FRAMES}")
    if frames * joints > MAX_JOINT_FRAMES:
        most = MAX_JOINT_FRAMES // joints
        raise MotionError(f"{where}: {frames} frames of {joints} joints, expected at most {most}; cut the motion")


def check_texts(texts: Sequence[str], where: str) -> None:
    """Refuse more captions, or longer ones, than describe a motion."""
    if len(texts) > MAX_TEXTS or any(len(text) > MAX_TEXT for text in texts):
        raise MotionError(f"{where}: {len(texts)} texts, expected at most {MAX_TEXTS} of {MAX_TEXT} characters")


def check_finite(array: np.ndarray, what: str) -> None:
    """Refuse NaN and infinity, naming the first frame that has one."""
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise MotionError(f"{what}: NaN or infinity at frame {int(np.argmax(bad))}, expected finite numbers")


def _content_hash(fps: float, names: tuple[str, ...], *arrays: np.ndarray) -> str:
    digest = hashlib.sha256(f"{fps:.6f}|{','.join(names)}".encode())
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Clip:
    """Motion of a skeleton.

    fps: frames per second; skeleton: J joints; root_pos: (T, 3) world position of the root joint, metres;
    rotations: (T, J, 4) local unit quaternions w x y z, the root's in the world; texts: captions.
    Raises MotionError on wrong shapes, NaN, no frames, or no frame rate.
    """

    fps: float
    skeleton: Skeleton
    root_pos: np.ndarray
    rotations: np.ndarray
    texts: tuple[str, ...] = ()
    name: str = "clip"
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        root, rotations = np.asarray(self.root_pos, dtype=float), np.asarray(self.rotations, dtype=float)
        frames = len(root) if root.ndim else 0
        if root.shape != (frames, 3) or rotations.shape != (frames, self.skeleton.num_joints, 4):
            raise MotionError(
                f"{self.name}: root {root.shape} and rotations {rotations.shape}, "
                f"expected (T, 3) and (T, {self.skeleton.num_joints}, 4)"
            )
        check_timing(self.fps, frames, self.name, self.skeleton.num_joints)
        _keep_texts(self)
        check_finite(root, f"{self.name}: root positions")
        check_finite(rotations, f"{self.name}: rotations")
        norm = np.linalg.norm(rotations, axis=-1)
        if (norm < 1e-3).any():
            raise MotionError(f"{self.name}: a rotation is the zero quaternion, expected unit quaternions")
        if (np.abs(norm - 1.0) > UNIT_TOLERANCE).any():
            rotations = quat_normalize(rotations)
        object.__setattr__(self, "root_pos", root)
        object.__setattr__(self, "rotations", rotations)

    @property
    def num_frames(self) -> int:
        return len(self.root_pos)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.num_frames - 1) / self.fps

    @cached_property
    def id(self) -> str:
        """Hash of the motion alone: fps, joint names, positions and rotations in single precision."""
        return _content_hash(self.fps, self.skeleton.names, self.root_pos, self.rotations)

    @cached_property
    def _world(self) -> tuple[np.ndarray, np.ndarray]:
        return forward_kinematics(self.skeleton, self.root_pos, self.rotations)

    @property
    def positions(self) -> np.ndarray:
        """(T, J, 3) world joint positions, metres."""
        return self._world[0]

    @property
    def global_rotations(self) -> np.ndarray:
        """(T, J, 4) world joint rotations."""
        return self._world[1]

    def slice(self, start: int, stop: int) -> Clip:
        """Frames start to stop - 1 as a clip of their own."""
        part = replace(self, root_pos=self.root_pos[start:stop], rotations=self.rotations[start:stop])
        if "_world" in self.__dict__:
            part.__dict__["_world"] = tuple(pose[start:stop] for pose in self._world)
        return part

    def moved(self, offset: np.ndarray) -> Clip:
        """The clip shifted by `offset` (3,), metres."""
        return replace(self, root_pos=self.root_pos + offset)

    def reordered(self, names: Sequence[str]) -> Clip:
        """The same motion with its joints in another order, parents still before children."""
        order = [self.skeleton.index(name) for name in names]
        parents = tuple(-1 if p < 0 else order.index(p) for p in (self.skeleton.parents[j] for j in order))
        skeleton = Skeleton(tuple(names), parents, self.skeleton.offsets[order])
        return replace(self, skeleton=skeleton, rotations=self.rotations[:, order])

    def resampled(self, fps: float) -> Clip:
        """The clip at another frame rate: linear positions, spherical rotations; the first frame stays."""
        if abs(fps - self.fps) < 1e-9:
            return self
        count = resampled_frames(self, fps, self.skeleton.num_joints)
        low, high, weight = resample_weights(self.num_frames, self.fps, count, fps)
        root = self.root_pos[low] + weight[:, None] * (self.root_pos[high] - self.root_pos[low])
        turn = np.repeat(weight[:, None], self.skeleton.num_joints, axis=1)
        return replace(
            self, fps=fps, root_pos=root, rotations=quat_slerp(self.rotations[low], self.rotations[high], turn)
        )

    def with_provenance(self, **changes: Any) -> Clip:
        """The clip with fields of its provenance changed."""
        return replace(self, provenance=replace(self.provenance, **changes))


def resampled_frames(motion: Clip | JointTrack, fps: float, joints: int) -> int:
    """Frames that a motion has at another rate; MotionError where they are more than a motion may have."""
    check_timing(fps, 1, motion.name)
    count = int(np.floor((motion.num_frames - 1) / motion.fps * fps + 1e-6)) + 1
    check_timing(fps, count, f"{motion.name} at {fps:g} fps", joints)
    return count


def _keep_texts(motion: Clip | JointTrack) -> None:
    """Captions and name of a motion as they can be written."""
    check_texts(motion.texts, motion.name)
    object.__setattr__(motion, "name", kept(motion.name))
    object.__setattr__(motion, "texts", tuple(map(kept, motion.texts)))


def resample_weights(
    frames: int, fps: float, new_frames: int, new_fps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower index, upper index and weight of the upper, each (new_frames,), for linear interpolation in time."""
    at = np.clip(np.arange(new_frames) * (fps / new_fps), 0, frames - 1)
    low = np.minimum(np.floor(at).astype(int), max(frames - 2, 0))
    high = np.minimum(low + 1, frames - 1)
    return low, high, at - low


@dataclass(frozen=True, eq=False)
class JointTrack:
    """Joint positions without rotations, what HumanML3D-style generators emit.

    names: (J,) joint names; positions: (T, J, 3) metres, Z up, X forward. Raises MotionError like Clip.
    """

    fps: float
    names: tuple[str, ...]
    positions: np.ndarray
    texts: tuple[str, ...] = ()
    name: str = "clip"
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions, dtype=float)
        if positions.ndim != 3 or positions.shape[1:] != (len(self.names), 3):
            raise MotionError(f"{self.name}: positions {positions.shape}, expected (T, {len(self.names)}, 3)")
        check_joints(self.names)
        check_timing(self.fps, len(positions), self.name, max(len(self.names), 1))
        _keep_texts(self)
        check_finite(positions, f"{self.name}: joint positions")
        object.__setattr__(self, "positions", positions)

    @property
    def num_frames(self) -> int:
        return len(self.positions)

    @cached_property
    def heading(self) -> np.ndarray:
        """(T,) yaw of the front in radians, square to the line through the hips; zeros where the track has no hips."""
        if not {"left_hip", "right_hip"} <= set(self.names):
            return np.zeros(self.num_frames)
        left, right = (self.positions[:, self.names.index(f"{side}_hip")] for side in ("left", "right"))
        return np.arctan2(right[:, 0] - left[:, 0], left[:, 1] - right[:, 1])

    def resampled(self, fps: float) -> JointTrack:
        """The track at another frame rate by linear interpolation; the first frame stays."""
        if abs(fps - self.fps) < 1e-9:
            return self
        count = resampled_frames(self, fps, max(len(self.names), 1))
        low, high, weight = resample_weights(self.num_frames, self.fps, count, fps)
        between = weight[:, None, None] * (self.positions[high] - self.positions[low])
        return replace(self, fps=fps, positions=self.positions[low] + between)

    @cached_property
    def id(self) -> str:
        """Hash of the motion alone, as Clip.id."""
        return _content_hash(self.fps, self.names, self.positions)


@dataclass(frozen=True, eq=False)
class Rollout:
    """What physics did, enough to do it again.

    fps: control rate, Hz; substeps: physics steps per control step; model_hash: of the compiled model;
    start: (S,) full integration state before the first step (mjSTATE_INTEGRATION, warm start included);
    qpos: (T, nq), qvel: (T, nv) at control steps 0 .. T-1; ctrl: (T-1, nu) applied from step t to t+1;
    foot_contact: (T, 2) bool, left and right, as the simulator saw it; foot_force: (T, 2) newtons, vertical.
    """

    fps: float
    substeps: int
    body: str
    model_hash: str
    start: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray
    foot_contact: np.ndarray
    foot_force: np.ndarray
    simulator: str
    seed: int
    name: str = "clip"

    @property
    def num_frames(self) -> int:
        return len(self.qpos)
