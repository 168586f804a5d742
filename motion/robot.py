"""Robots as skeletons: bodies that turn about hinges, and motions given as hinge angles.

A robot file tells its root and one angle a hinge; a clip is rotations on a skeleton. The two meet here: one joint a
body, placed where its hinges turn, so that forward kinematics of the clip is that of the robot. Who reads a robot
description (MJCF: `sim.load_body`) makes a `Robot` of it; the readers of robot files take one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base.errors import MotionError

from .clip import Clip, JointTrack, Provenance
from .rotations import quat_conj, quat_from_rotvec, quat_mul
from .skeleton import Skeleton

ROBOT_TRACKS = ("mjlab", "gmr", "protomotions")
"""Formats whose joint tracks are a robot's bodies under their own names."""
ORTHOGONAL = 1e-6
"""Largest cosine between successive hinges of one body that counts as a right angle."""


@dataclass(frozen=True)
class Hinge:
    """One hinge. joint: index of the body that it turns; axis: (3,) unit, in that body's frame; zero: the angle at
    which the body stands as it was built, radians; low, high: its range, radians, infinite where it has none."""

    name: str
    joint: int
    axis: tuple[float, float, float]
    zero: float = 0.0
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, eq=False)
class Robot:
    """A robot as its motions see it.

    name: of the robot; skeleton: J joints, one a body, each where the body's hinges turn; rest: (J, 4) local rotation
    of each body as built, w x y z; hinges: H of them, parents before children, those of one body in the order in which
    they turn; origins: (J, 3) origin of each body's own frame in its joint's frame, metres (files tell body positions);
    masses_at: (J, 3) its centre of mass in the same frame, None where nobody knows.
    Raises MotionError for a body whose rotation its hinges' angles cannot be read from.
    """

    name: str
    skeleton: Skeleton
    rest: np.ndarray
    hinges: tuple[Hinge, ...]
    origins: np.ndarray
    masses_at: np.ndarray | None = None

    def __post_init__(self) -> None:
        for j, own in enumerate(self._hinges_of):
            axes = np.array([self.hinges[h].axis for h in own])
            cosines = np.einsum("hi,hi->h", axes[1:], axes[:-1]) if len(own) > 1 else np.zeros(0)
            if len(own) > 3 or (np.abs(cosines) > ORTHOGONAL).any():
                raise MotionError(
                    f"{self.name}: body '{self.skeleton.names[j]}' has {len(own)} hinges that are not at right angles, "
                    "expected at most 3, each at a right angle to the one before"
                )

    @cached_property
    def _hinges_of(self) -> list[list[int]]:
        """(J,) indices of each joint's hinges."""
        return [[h for h, hinge in enumerate(self.hinges) if hinge.joint == j] for j in range(self.skeleton.num_joints)]

    @property
    def centres(self) -> np.ndarray:
        """(J, 3) centre of mass of each body in its joint's frame, metres; its origin where nobody knows."""
        return self.origins if self.masses_at is None else self.masses_at

    @property
    def hinge_names(self) -> tuple[str, ...]:
        return tuple(hinge.name for hinge in self.hinges)

    def breadth_first(self) -> list[int]:
        """Indices of the hinges level by level down the tree, the order of files that Isaac Sim writes."""
        rank = {j: place for place, j in enumerate(self.bodies_breadth_first())}
        return sorted(range(len(self.hinges)), key=lambda h: (rank[self.hinges[h].joint], h))

    def bodies_breadth_first(self) -> list[int]:
        """Indices of the bodies level by level down the tree, children in the order of their parents."""
        order = [0]
        for j in order:
            order += self.skeleton.children[j]
        return order

    def rotations(self, root: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """(T, J, 4) local rotations of root rotations (T, 4) and hinge angles (T, H), radians."""
        local = np.tile(self.rest, (len(angles), 1, 1))
        local[:, 0] = root
        for h, hinge in enumerate(self.hinges):
            turn = quat_from_rotvec((angles[:, h, None] - hinge.zero) * np.array(hinge.axis))
            local[:, hinge.joint] = quat_mul(local[:, hinge.joint], turn)
        return local

    def angles(self, rotations: np.ndarray) -> np.ndarray:
        """(T, H) hinge angles of local rotations (T, J, 4), without jumps over time; inverse of `rotations`."""
        found = np.zeros((len(rotations), len(self.hinges)))
        for j, own in enumerate(self._hinges_of):
            if not own:
                continue
            turn = quat_mul(quat_conj(np.broadcast_to(self.rest[j], rotations[:, j].shape)), rotations[:, j])
            axes = np.array([self.hinges[h].axis for h in own])
            if len(own) == 1:
                found[:, own[0]] = 2.0 * np.arctan2(turn[:, 1:] @ axes[0], turn[:, 0])
            else:
                axes = axes if len(own) == 3 else np.concatenate([axes, [np.cross(axes[0], axes[1])]])
                found[:, own] = Rotation.from_quat(turn, scalar_first=True).as_davenport(axes, "intrinsic")[
                    :, : len(own)
                ]
        return np.unwrap(found, axis=0) + np.array([hinge.zero for hinge in self.hinges])

    def clip(
        self, fps: float, root_pos: np.ndarray, root: np.ndarray, angles: np.ndarray, name: str, provenance: Provenance
    ) -> Clip:
        """Root positions (T, 3), root rotations (T, 4) w x y z and hinge angles (T, H) as a clip."""
        rotations = self.rotations(root, angles)
        return Clip(fps, self.skeleton, root_pos, rotations, name=name, provenance=provenance)


def is_robot_track(motion: Clip | JointTrack) -> bool:
    """Whether a motion is the positions of a robot's bodies, of which nobody knows where their soles are."""
    return isinstance(motion, JointTrack) and motion.provenance.notes.get("format") in ROBOT_TRACKS


WhoseMotion = Robot | Callable[[Sequence[str], Sequence[str], int], Robot | None] | None
"""Whose motion a file is: a robot, or what finds a known one by the names of its hinges, the names of its bodies and
the number of its hinges; None for a person's."""
