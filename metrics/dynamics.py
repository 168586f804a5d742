"""Inverse dynamics of the whole body: the wrench that the world must apply for the motion to happen.

Newton and Euler for a system of rigid segments: force = M (a - g), moment about the centre of mass = rate of angular
momentum. These are the six root rows of MuJoCo's inverse dynamics (`mj_inverse`), without the joint torques that no
metric here needs; the tests hold them to it.

Momenta are read half way between samples, from positions alone. A segment's angular momentum about its own centre is
the integral of (R l) x (dR/dt l) over its mass, which needs the second moment of mass and no angular velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.motion.rotations import quat_to_matrix
from morphloop.sim.bodies.body import Body

from .plausibility import GRAVITY


@dataclass(frozen=True, eq=False)
class Segments:
    """Mass of a body's J segments.

    mass: (J,) kg; com: (J, 3) centre of mass in the joint's frame, metres; second: (J, 3, 3) second moment of mass
    about it in the joint's frame, the integral of l l^T dm, kg m2.
    """

    mass: np.ndarray
    com: np.ndarray
    second: np.ndarray

    @property
    def total(self) -> float:
        """Mass of the whole body, kg."""
        return float(self.mass.sum())


def segments(body: Body) -> Segments:
    """Segments of a body as MuJoCo compiled it: an inertia matrix I has the second moment tr(I) / 2 - I."""
    turn = quat_to_matrix(body.model.body_iquat[body.body_ids])
    principal = body.model.body_inertia[body.body_ids]
    second = 0.5 * principal.sum(axis=1, keepdims=True) - principal
    return Segments(body.joint_masses, body.joint_coms, np.einsum("jab,jb,jcb->jac", turn, second, turn))


def built_pose(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Joint positions (J, 3), metres, and world rotations (J, 3, 3) of a body as it was built: at rest."""
    clip = body.clip_from_qpos(body.model.qpos0[None], fps=1.0)
    return clip.positions[0], quat_to_matrix(clip.global_rotations[0])


def external_wrench(
    parts: Segments, positions: np.ndarray, matrices: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wrench that contact must apply, at the inner samples 1 .. T-2.

    positions: (T, J, 3) joints, metres; matrices: (T, J, 3, 3) world rotations of their segments; T >= 3; fps: Hz.
    Returns centre of mass (T-2, 3) m; force (T-2, 3) N; moment about the centre of mass (T-2, 3) N m.
    """
    centres = positions + np.einsum("tjab,jb->tja", matrices, parts.com)
    com = np.einsum("j,tja->ta", parts.mass / parts.total, centres)
    force = parts.total * (np.diff(com, n=2, axis=0) * fps**2 - GRAVITY)
    moment = np.diff(_angular_momentum(parts, centres - com[:, None], matrices, fps), axis=0) * fps
    return com[1:-1], force, moment


def _angular_momentum(parts: Segments, arms: np.ndarray, matrices: np.ndarray, fps: float) -> np.ndarray:
    """(T-1, 3) angular momentum about the centre of mass half way between samples, kg m2/s.

    arms: (T, J, 3) segment centres from the centre of mass. x(k) x x(k+1) is the mean position times the step.
    """
    spread = np.einsum("tja,tjb->tab", arms[:-1] * parts.mass[:, None], arms[1:])
    frames, joints = matrices.shape[:2]
    turned = (matrices[:-1] @ parts.second).transpose(0, 2, 1, 3).reshape(frames - 1, 3, 3 * joints)
    spread += turned @ matrices[1:].transpose(0, 1, 3, 2).reshape(frames - 1, 3 * joints, 3)
    return fps * np.stack(
        [spread[:, 1, 2] - spread[:, 2, 1], spread[:, 2, 0] - spread[:, 0, 2], spread[:, 0, 1] - spread[:, 1, 0]],
        axis=1,
    )
