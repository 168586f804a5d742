"""What each segment of a foot bears and how it moves meanwhile: a rollout replayed with its contacts read.

A stored rollout holds one force a foot and control step. Slide needs more: which segment bears load (heel to ball, or
the toes) and the velocity of the material point that touches. Both come from the stored controls, replayed from the
stored start, at every substep of physics.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Rollout

from ..bodies.body import Body
from .replay import replay


@dataclass(frozen=True, eq=False)
class FootLoads:
    """Loads over the N = T - 1 control steps of a rollout, for the left and the right foot and their S segments from
    the heel on, as the body's description has them.

    fps: control steps a second; weight: of the body, newtons; load: (N, 2, S) normal force of the ground, mean over the
    step, newtons; slip: (N, 2, S, 2) horizontal velocity of the segment's material points at their contacts (v + w x
    r), mean over contacts and substeps weighted by force, m/s, NaN without load; point: (N, 2, S, 3) where the load
    stands in the segment's frame, weighted alike, metres, NaN without load; place: (N, 2, S, 3) and turn: (N, 2, S,
    3, 3) the segment's frame in the world at the end of the step; peak: (N, 2) largest normal force on the foot at a
    substep, newtons; torque: (N, nu) and spin: (N, nu) of each servo's degree of freedom, largest size at a substep,
    N m and rad/s.
    """

    fps: float
    weight: float
    load: np.ndarray
    slip: np.ndarray
    point: np.ndarray
    place: np.ndarray
    turn: np.ndarray
    peak: np.ndarray
    torque: np.ndarray
    spin: np.ndarray


def foot_loads(rollout: Rollout, body: Body) -> FootLoads:
    """Replay a rollout and read what its feet bear. MotionError as `replay`, and if the body has no feet.

    Every control step begins at the stored positions and velocities, which changes nothing on the build that made the
    rollout and keeps the replay beside it on any other.
    """
    model, segments = body.model, _segments(body)
    parts, feet = len(segments), body.feet.shape
    root = int(model.body_rootid[segments[0]])
    part_of = np.full(model.ngeom, -1)
    for part, segment in enumerate(segments):
        part_of[model.geom_bodyid == segment] = part
    grounded = model.geom_bodyid == 0
    rows_of = np.where(model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL, np.array([0, 1, 0, 4, 6, 0, 10]), 1)
    steps, substeps = len(rollout.ctrl), rollout.substeps
    frames = steps * substeps
    place, turn = np.zeros((frames, parts, 3)), np.zeros((frames, parts, 9))
    twist, centre = np.zeros((frames, parts, 6)), np.zeros((frames, 3))
    geoms, spots, forces, counts = [], [], [], np.zeros(frames, int)
    torque, spin, driven = np.zeros((steps, model.nu)), np.zeros((steps, model.nu)), body.coordinates.servo_dofs
    for frame, (number, _, data) in enumerate(replay(rollout, body)):
        place[frame], turn[frame] = data.xpos[segments], data.xmat[segments]
        twist[frame], centre[frame] = data.cvel[segments], data.subtree_com[root]
        step = frame // substeps
        np.maximum(torque[step], np.abs(data.actuator_force), out=torque[step])
        np.maximum(spin[step], np.abs(data.qvel[driven]), out=spin[step])
        contact = data.contact
        geoms.append(contact.geom.copy())
        spots.append(contact.pos.copy())
        forces.append(_normal_forces(contact.efc_address, rows_of[contact.dim], data.efc_force))
        counts[frame] = data.ncon
        if (frame + 1) % substeps == 0:
            data.qpos[:], data.qvel[:] = rollout.qpos[number + 1], rollout.qvel[number + 1]
    geom, at, force = np.concatenate(geoms), np.concatenate(spots), np.concatenate(forces)
    frame = np.repeat(np.arange(frames), counts)
    first, second = geom[:, 0], geom[:, 1]
    part = np.where(grounded[first], part_of[second], np.where(grounded[second], part_of[first], -1))
    own = part >= 0
    frame, part, at, force = frame[own], part[own], at[own], force[own, None]
    turn = turn.reshape(frames, parts, 3, 3)
    arm = at - centre[frame]
    moving = (twist[frame, part, 3:] + np.cross(twist[frame, part, :3], arm))[:, :2]
    spot = np.einsum("kij,ki->kj", turn[frame, part], at - place[frame, part])
    sums = np.zeros((steps, parts, 6))
    np.add.at(sums, (frame // substeps, part), force * np.concatenate([np.ones_like(force), moving, spot], axis=1))
    each = np.zeros((frames, parts))
    np.add.at(each, (frame, part), force[:, 0])
    peak = each.reshape(steps, substeps, *feet).sum(axis=3).max(axis=1)
    load = sums[..., :1]
    mean = np.divide(sums[..., 1:], load, out=np.full((steps, parts, 5), np.nan), where=load > 0)
    return FootLoads(
        fps=rollout.fps,
        weight=body.mass * float(np.linalg.norm(model.opt.gravity)),
        load=(load / substeps).reshape(steps, *feet),
        slip=mean[..., :2].reshape(steps, *feet, 2),
        point=mean[..., 2:].reshape(steps, *feet, 3),
        place=place[substeps - 1 :: substeps].reshape(steps, *feet, 3),
        turn=turn[substeps - 1 :: substeps].reshape(steps, *feet, 3, 3),
        peak=peak,
        torque=torque,
        spin=spin,
    )


def _normal_forces(address: np.ndarray, rows: np.ndarray, force: np.ndarray) -> np.ndarray:
    """(C,) normal force of each contact, newtons: the sum over its `rows` (C,) of constraint forces (nefc,) from its
    address on, the edges of a friction pyramid or the normal alone; 0 for a contact without constraint (address -1)."""
    padded, start = np.append(force, 0.0), np.maximum(address, 0)
    if not len(start):
        return np.zeros(0)
    sums = np.add.reduceat(padded, np.stack([start, start + rows], axis=1).ravel())[::2]
    return np.where(address >= 0, sums, 0.0)


def _segments(body: Body) -> np.ndarray:
    """(2 S,) MuJoCo's body index of the left foot's segments, then the right's."""
    try:
        return body.body_ids[body.feet.ravel()]
    except MotionError as error:
        raise MotionError(f"{error}: what its feet bear cannot be read") from None
