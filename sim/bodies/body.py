"""Bodies: a skeleton with mass, geometry and servos, compiled by MuJoCo from a specification built in code.

The default body has SMPL topology and 23 ball joints. A ball joint's quaternion is the clip's own local rotation, so
a clip and qpos are the same numbers in another layout. Three hinges in a row are kept as `joints="hinge"`, because the
choice was made by measuring both (`benchmarks/joint_models.py`): with a fitting order of axes they follow raised arms
as well as balls do, but arms stretched forward come to where they lock, which asks for five times the joint speed and
makes one and a half times the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Clip, Skeleton
from morphloop.motion.robot import Hinge

from ..physics.mujoco_log import warnings_to_log
from .body_hash import LEARNED_ON, model_hash
from .build import JointModel, body_geoms, build_spec, hinge_order, joint_ranges, surface_points
from .coordinates import Coordinates, coordinates
from .description import CONTACT_SHARE, BodyDescription, Dof
from .smpl_description import SMPL_DESCRIPTION
from .support import SurfacePoints

FEET = ("left", "right")
SOFT = 0.7
"""Torque limit over stiffness of most of the built-in body's leg servos, radians."""
HINGE_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}

warnings_to_log()  # here, since whatever is simulated has a body


class Body:
    """A compiled body: the MuJoCo model and how clips and states map onto each other.

    It can be pickled, the compiled model with it: so a worker process gets any body, bit for bit.

    skeleton: the joints; joints: "ball" or "hinge"; model: mujoco.MjModel; name: goes into files.
    """

    def __init__(self, skeleton: Skeleton = DEFAULT_SKELETON, joints: JointModel = "ball", name: str = "smpl24"):
        self.skeleton = skeleton
        self.joints: JointModel = joints
        self.name = name if joints == "ball" else f"{name}_{joints}"
        self.model: mujoco.MjModel = build_spec(skeleton, joints).compile()

    @cached_property
    def hash(self) -> str:
        """Hash of what makes the compiled model, whichever MuJoCo compiled it: see `model_hash`."""
        return model_hash(self.model)

    def answers_to(self, stored: str) -> bool:
        """Whether a hash that a file carries is this body's, so that what was simulated with it replays."""
        return stored == self.hash

    def driven_by(self, learned_on: str) -> bool:
        """Whether a policy that learned on the body of a hash drives this one: the same, or as it was before."""
        return LEARNED_ON.get(learned_on, learned_on) == self.hash

    @cached_property
    def mass(self) -> float:
        """Total mass, kg."""
        return float(self.model.body_mass.sum())

    @cached_property
    def body_ids(self) -> np.ndarray:
        """(J,) MuJoCo's body index of each joint; MuJoCo numbers bodies depth first, a skeleton need not."""
        return np.array([self.model.body(name).id for name in self.skeleton.names])

    @cached_property
    def qpos_ids(self) -> np.ndarray:
        """(J, 4) for ball joints or (J, 3) for hinges: where each joint's numbers stand in qpos. Row 0 is the root's
        quaternion (hinges: its first three numbers, not used)."""
        first = self.model.jnt_qposadr[self.model.body_jntadr[self.body_ids]]
        first[0] += 3
        return first[:, None] + np.arange(4 if self.joints == "ball" else 3)

    @cached_property
    def dof_ids(self) -> np.ndarray:
        """(J, 3) where each joint's three velocities stand in qvel; row 0 is the root's angular velocity."""
        first = self.model.body_dofadr[self.body_ids].copy()
        first[0] += 3
        return first[:, None] + np.arange(3)

    @cached_property
    def hinges(self) -> tuple[Hinge, ...]:
        """(H,) the hinges, parents before children, those of one joint in the order in which they turn."""
        if self.joints == "ball":
            return ()
        joints = enumerate(self.skeleton.names[1:], 1)
        turns = [(j, name, letter) for j, name in joints for letter in hinge_order(name).lower()]
        return tuple(Hinge(f"{name}_{letter}", j, HINGE_AXES[letter]) for j, name, letter in turns)

    @cached_property
    def hinge_ids(self) -> np.ndarray:
        """(H,) MuJoCo's joint of each hinge."""
        return np.array([self.model.joint(hinge.name).id for hinge in self.hinges], int)

    @cached_property
    def rest(self) -> np.ndarray:
        """(J, 4) local rotation of each joint as built."""
        return np.tile([1.0, 0.0, 0.0, 0.0], (self.skeleton.num_joints, 1))

    @cached_property
    def origins(self) -> np.ndarray:
        """(J, 3) origin of MuJoCo's frame of each body in its joint's frame, metres."""
        return np.zeros((self.skeleton.num_joints, 3))

    @cached_property
    def coordinates(self) -> Coordinates:
        """What qpos and qvel mean, for NumPy. MotionError for actuators that are no PD servos of one joint each."""
        return coordinates(self.model, self.body_ids, self.rest, self.hinges, self.hinge_ids)

    @cached_property
    def joint_masses(self) -> np.ndarray:
        """(J,) mass of each joint's segment, kg."""
        return self.model.body_mass[self.body_ids]

    @cached_property
    def joint_coms(self) -> np.ndarray:
        """(J, 3) centre of mass of each joint's segment in the joint's frame, metres."""
        return self.model.body_ipos[self.body_ids]

    @cached_property
    def surface(self) -> SurfacePoints:
        """Surface points of all geoms."""
        return surface_points(self.skeleton, body_geoms(self.skeleton))

    @property
    def description(self) -> BodyDescription:
        """What the body knows of itself. MotionError for one that is measured and not driven."""
        return SMPL_DESCRIPTION

    def joint_ids(self, names: Sequence[str]) -> np.ndarray:
        """(K,) the skeleton's joints of these names. MotionError naming those that the body has not."""
        missing = [name for name in names if name not in self.skeleton.names]
        if missing:
            raise MotionError(f"body '{self.name}' has no {', '.join(missing)}")
        return np.array([self.skeleton.index(name) for name in names])

    @cached_property
    def feet(self) -> np.ndarray:
        """(2, S) joints of each foot's segments from the heel on; rows left, right. MotionError without feet."""
        left, right = self.description.feet
        return self.joint_ids([*left, *right]).reshape(len(FEET), -1)

    @cached_property
    def legs(self) -> np.ndarray:
        """(2, 3) hip, knee and ankle of the left leg and of the right. MotionError without legs."""
        left, right = self.description.legs
        return self.joint_ids([*left, *right]).reshape(len(FEET), -1)

    @cached_property
    def preview(self) -> np.ndarray:
        """(K,) joints whose later positions a policy sees."""
        return self.joint_ids(self.description.preview)

    @cached_property
    def servo_names(self) -> tuple[str, ...]:
        """(nu,) names of the servos, in the order of ctrl."""
        return tuple(self.model.actuator(k).name for k in range(self.model.nu))

    @property
    def action_names(self) -> tuple[str, ...]:
        """What a policy's actions drive, in their order: joints that have three of them, or servos."""
        return self.skeleton.names[1:]

    @cached_property
    def dofs(self) -> tuple[Dof, ...]:
        """(nu,) what is known of each driven degree of freedom, in the order of ctrl."""
        return tuple(self.description.dofs.get(name, Dof()) for name in self.servo_names)

    @cached_property
    def force_unit(self) -> float:
        """Newtons of load on a foot that count as one in an observation."""
        unit = self.description.force_unit
        return self.mass * float(np.linalg.norm(self.model.opt.gravity)) if unit is None else unit

    @cached_property
    def softness(self) -> float:
        """By how many radians the PD targets of the legs have to be off for all their torque, in units of what the
        built-in body's need: 1 for that one, more for servos that are softer for their strength."""
        balance = self.description.balance
        names = self.servo_names if balance is None else [name for leg in balance.legs for name in leg]
        own = [self.servo_names.index(name) for name in names]
        return float(np.median((self.model.actuator_forcerange[:, 1] / self.model.actuator_gainprm[:, 0])[own])) / SOFT

    @cached_property
    def contact_force(self) -> float:
        """Newtons of normal force over which a foot bears load."""
        told = self.description.contact_force
        return CONTACT_SHARE * self.mass * float(np.linalg.norm(self.model.opt.gravity)) if told is None else told

    @property
    def control_hz(self) -> float:
        """Control steps a second."""
        return self.description.control_hz

    @property
    def substeps(self) -> int:
        """Steps of physics in a control step."""
        return self.description.substeps

    @cached_property
    def touch_ids(self) -> np.ndarray:
        """(2, S) where the force on each foot's segments stands in sensordata; rows left, right."""
        names = [[f"{part}_touch" for part in foot] for foot in self.description.feet]
        return np.array([[self.model.sensor(name).adr[0] for name in row] for row in names])

    @cached_property
    def ranges(self) -> np.ndarray:
        """(J, 3, 2) anatomical range of each rotation-vector component, radians."""
        return joint_ranges(self.skeleton)

    @cached_property
    def turns_freely(self) -> np.ndarray:
        """(J,) bool: joints with three degrees of freedom, which can take on any rotation."""
        freedoms = np.bincount([hinge.joint for hinge in self.hinges], minlength=self.skeleton.num_joints)
        freedoms[self.coordinates.turn_joint] = 3
        return freedoms >= 3

    def within_reach(self, clip: Clip) -> Clip:
        """A clip whose joints turn as they can; itself where all of them turn freely."""
        if self.turns_freely.all():
            return clip
        return replace(clip, rotations=self.clip_from_qpos(self.qpos_from_clip(clip), clip.fps).rotations)

    def check(self, clip: Clip) -> None:
        """MotionError unless the clip is on this body's skeleton."""
        if clip.skeleton != self.skeleton:
            raise MotionError(f"{clip.name}: skeleton differs from body '{self.name}', retarget the clip first")

    def qpos_from_clip(self, clip: Clip) -> np.ndarray:
        """(T, nq) generalised positions of a clip on this body's skeleton."""
        self.check(clip)
        qpos = np.zeros((clip.num_frames, self.model.nq))
        qpos[:, :3], qpos[:, 3:7] = clip.root_pos, clip.rotations[:, 0]
        if self.joints == "ball":
            qpos[:, self.qpos_ids] = clip.rotations
            return qpos
        for j, name in enumerate(self.skeleton.names[1:], 1):
            angles = Rotation.from_quat(clip.rotations[:, j], scalar_first=True).as_euler(hinge_order(name))
            qpos[:, self.qpos_ids[j]] = np.unwrap(angles, axis=0)
        return qpos

    def clip_from_qpos(self, qpos: np.ndarray, fps: float, name: str = "clip") -> Clip:
        """Inverse of `qpos_from_clip`. qpos: (T, nq)."""
        if self.joints == "ball":
            rotations = qpos[:, self.qpos_ids]
        else:
            rotations = np.empty((len(qpos), self.skeleton.num_joints, 4))
            rotations[:, 0] = qpos[:, 3:7]
            for j, joint in enumerate(self.skeleton.names[1:], 1):
                turn = Rotation.from_euler(hinge_order(joint), qpos[:, self.qpos_ids[j]])
                rotations[:, j] = turn.as_quat(scalar_first=True)
        return Clip(fps=fps, skeleton=self.skeleton, root_pos=qpos[:, :3], rotations=rotations, name=name)
