"""What is tracked: clips made ready for physics, and a library of them as stacked tensors.

`prepare` applies one transform to a whole clip (Morph, arXiv 2411.14951, figure 4): the input itself stays untouched
and is what `before` figures are measured on. A `Reference` is made once a clip and handed along, for its PD targets
take inverse dynamics of every frame. A library is read at whole frames by row, or at any moment between them by
interpolation, either way by indices alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.clip import FITTED, RETARGETED
from morphloop.motion.rotations import (
    quat_between,
    quat_mul,
    quat_normalize,
    quat_rotate,
)
from morphloop.sim import FEET, Body, JointState, Kinematics
from morphloop.sim.bodies.coordinates import Coordinates
from morphloop.sim.bodies.stances import planted_feet

from .conditioning import condition
from .config import PREPROCESSING, ConditioningConfig
from .feedforward import feedforward_torques
from .level_soles import level_soles

MAX_TILT = np.radians(10.0)
"""First-frame tilt of the root over the feet beyond which the whole clip is turned upright (Morph's release)."""
LEVEL_M = 0.01
"""How much more uneven the turn may make the ground."""
GROUND_PERCENTILE = 5.0
"""The clip is shifted so that this percentile of the lowest surface point's height is the ground: a single deep frame
must not lift all the others, as the minimum would."""
MAX_REFERENCE_S = 600.0
KINEMATICS_ROWS = 65_536
"""Frames whose joint states are computed at once: what that takes besides the result is a few kB a frame."""


def lowest_height(clip: Clip, body: Body) -> np.ndarray:
    """(T,) height of the lowest point of the body's surface, metres."""
    surface = body.surface
    points = clip.positions[:, surface.joint] + quat_rotate(clip.global_rotations[:, surface.joint], surface.local)
    return (points[..., 2] - surface.radius).min(axis=1)


def prepare(clip: Clip, body: Body) -> Clip:
    """The clip as physics should see it: at the body's control rate, on the ground, upright if its first frame leans by
    over 10 degrees.

    A first frame in mid-stride leans too: a turn that makes a slope of the ground that the clip walks on is not made.
    MotionError if it is on another skeleton or too long.
    """
    body.check(clip)
    if clip.duration > MAX_REFERENCE_S:
        raise MotionError(f"{clip.name}: {clip.duration:.0f} s long, at most {MAX_REFERENCE_S:.0f} s can be tracked")
    clip = body.within_reach(clip.resampled(body.control_hz))
    feet, (torso,) = body.legs[:, 2], body.joint_ids([body.description.torso])
    pelvis, chest = clip.positions[0, 0], clip.positions[0, torso]
    stands = pelvis[2] - clip.positions[0, feet, 2].mean() > body.description.standing_height
    if stands:  # its axis runs from the feet to the chest
        axis = chest - clip.positions[0, feet].mean(axis=0)
        upright = np.array([0.0, 0.0, 1.0])
        if np.arccos(np.clip(axis[2] / np.linalg.norm(axis), -1, 1)) > MAX_TILT:
            turn = quat_between(axis, upright)
            rotations = clip.rotations.copy()
            rotations[:, 0] = quat_mul(turn, rotations[:, 0])
            turned = replace(clip, root_pos=pelvis + quat_rotate(turn, clip.root_pos - pelvis), rotations=rotations)
            if _unevenness(turned, body) < _unevenness(clip, body) + LEVEL_M:
                clip = turned
    return on_the_ground(clip, body)


def on_the_ground(clip: Clip, body: Body) -> Clip:
    """The clip moved up or down as a whole to where it stands on the ground."""
    ground = float(np.percentile(lowest_height(clip, body), GROUND_PERCENTILE))
    return clip.moved(np.array([0.0, 0.0, -ground]))


def _unevenness(clip: Clip, body: Body) -> float:
    """Span of the lowest point's height but for its outer twentieths, metres: large for a clip on its own slope."""
    low, high = np.percentile(lowest_height(clip, body), [GROUND_PERCENTILE, 100.0 - GROUND_PERCENTILE])
    return float(high - low)


def generalised_velocity(clip: Clip, body: Body) -> np.ndarray:
    """(T, nv) qvel of a clip by central differences, in MuJoCo's frames."""
    return body.coordinates.velocity(body.qpos_from_clip(clip), clip.fps)


def pd_targets(clip: Clip, body: Body) -> np.ndarray:
    """(T, nu) PD targets that make the servos follow a clip: the angles that they see, led by kd/kp seconds, and set
    off by what the clip's own torques need.

    A position servo damps velocity itself, so it trails a moving target by kd/kp; leading the target cancels that. It
    also gives torque only where it errs: an offset of torque/kp lets it err by nothing (`feedforward_torques`).
    """
    angles = body.coordinates.servo_angles(body.qpos_from_clip(clip))
    stiffness, damping = body.model.actuator_gainprm[:, 0], -body.model.actuator_biasprm[:, 2]
    # differences are taken on the group, so that a vector that wraps at pi gives no spike
    qvel = generalised_velocity(clip, body)
    rate = qvel[:, body.coordinates.servo_dofs]
    return angles + (damping * rate + feedforward_torques(clip, qvel, body)) / stiffness


@dataclass(frozen=True)
class Reference:
    """A clip of T frames as a body is to track it.

    prepared: the clip by `prepare`, which errors are taken against; clip: that after preprocessing, which is tracked.
    In single precision, as a library has them: qpos (T, nq); qvel (T, nv); target (T, nu) PD targets that follow the
    clip. planted: (T, 2) bool, whether it means the left and right foot to stand still: low and slow.
    """

    prepared: Clip
    clip: Clip
    qpos: np.ndarray
    qvel: np.ndarray
    target: np.ndarray
    planted: np.ndarray

    @property
    def name(self) -> str:
        return self.clip.name

    @property
    def num_frames(self) -> int:
        return self.clip.num_frames


def preprocessed(prepared: Clip, body: Body, config: ConditioningConfig) -> Clip:
    """A prepared clip with the preprocessing that `config` asks for; the clip itself where that is none."""
    if config.balance_retargeted and prepared.provenance.stage == RETARGETED:
        config = replace(config, balance=True)
    clip = prepared
    if config.level_soles and prepared.provenance.stage == FITTED:
        clip = on_the_ground(level_soles(prepared, planted_feet(prepared, body), body), body)
    if not (config.smooth or config.hold_feet or config.balance):
        return clip
    return condition(clip, planted_feet(clip, body), body, config)


def make_reference(clip: Clip, body: Body, preprocessing: ConditioningConfig = PREPROCESSING) -> Reference:
    """What to track of a clip. MotionError if it cannot be prepared."""
    return reference_of(prepare(clip, body), body, preprocessing)


def reference_of(prepared: Clip, body: Body, preprocessing: ConditioningConfig | None = None) -> Reference:
    """The same of a clip that `prepare` made ready; tracked as it is if `preprocessing` is None."""
    clip = prepared if preprocessing is None else preprocessed(prepared, body, preprocessing)
    qpos, qvel, target = (
        values.astype(np.float32)
        for values in (body.qpos_from_clip(clip), generalised_velocity(clip, body), pd_targets(clip, body))
    )
    return Reference(prepared, clip, qpos, qvel, target, planted_feet(clip, body))


@dataclass(frozen=True)
class Between:
    """N moments between two frames of clips. before, after: rows (N, ...); share: (N, ...) of the way, 0 to 1."""

    before: torch.Tensor
    after: torch.Tensor
    share: torch.Tensor

    @property
    def nearest(self) -> torch.Tensor:
        """The row of the nearer frame."""
        return torch.where(self.share < 0.5, self.before, self.after)

    def line(self, values: torch.Tensor) -> torch.Tensor:
        """Values (F, ...) at these moments, interpolated linearly."""
        first = values[self.before]
        return torch.lerp(first, values[self.after], self._share(first))

    def turn(self, quats: torch.Tensor) -> torch.Tensor:
        """Unit quaternions (F, ..., 4) at these moments: the line between them the short way, normalised."""
        first, last = quats[self.before], quats[self.after]
        near = torch.where((first * last).sum(-1, keepdim=True) < 0, -last, last)
        return quat_normalize(torch.lerp(first, near, self._share(first)))

    def _share(self, values: torch.Tensor) -> torch.Tensor:
        return self.share.reshape(*self.share.shape, *[1] * (values.ndim - self.share.ndim))


@dataclass(frozen=True)
class MotionLibrary:
    """C clips stacked along one frame axis of length F, on one device, single precision.

    clips: the prepared clips; start: (C,) first row of each; length: (C,) frames of each
    qpos: (F, nq); qvel: (F, nv); target: (F, nu) PD targets that follow the clip
    planted: (F, 2) whether the clip means the left and right foot to stand still: low and slow
    state: (F, J, .) world positions, rotations, velocities and angular velocities of all joints
    coordinates: what the numbers of qpos and qvel mean, on the device
    """

    clips: tuple[Clip, ...]
    start: torch.Tensor
    length: torch.Tensor
    qpos: torch.Tensor
    qvel: torch.Tensor
    target: torch.Tensor
    planted: torch.Tensor
    state: JointState
    coordinates: Coordinates

    @property
    def fps(self) -> float:
        """Frames, and so control steps, a second."""
        return self.clips[0].fps

    def rows(self, clip: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """Row of each (clip, frame) pair (N,); frames beyond the end stay on the last one."""
        return self.start[clip] + torch.minimum(frame, self.length[clip] - 1)

    def joints(self, rows: torch.Tensor) -> JointState:
        """Reference state at rows (N,)."""
        return self.state.rows(rows)

    def between(self, clip: torch.Tensor, phase: torch.Tensor) -> Between:
        """Where `phase` (N,) of each clip lies, in frames that need not be whole; beyond the end it is the last one."""
        whole = phase.floor()
        before, after = (self.rows(clip, (whole + step).long()) for step in (0, 1))
        return Between(before, after, phase - whole)

    def joints_between(self, at: Between) -> JointState:
        """Reference state between frames: positions and velocities on a line, rotations on an arc."""
        state = self.state
        return JointState(at.line(state.pos), at.turn(state.rot), at.line(state.vel), at.line(state.ang))

    def qpos_between(self, at: Between) -> torch.Tensor:
        """(N, nq) generalised positions between frames."""
        return self.coordinates.between(self.qpos[at.before], self.qpos[at.after], at.share)


def build_library(clips: Sequence[Clip | Reference], body: Body, device: torch.device | str = "cpu") -> MotionLibrary:
    """Stack clips that `prepare` made ready, or references of clips where those are there already.

    MotionError if there are none, or more than the device has memory for.
    """
    _check_memory(clips, body, torch.device(device))
    return stack([each if isinstance(each, Reference) else reference_of(each, body) for each in clips], body, device)


def stack(references: Sequence[Reference], body: Body, device: torch.device | str = "cpu") -> MotionLibrary:
    """References as one library. MotionError as in `build_library`."""
    if not references:
        raise MotionError("no clips to track, expected at least one")
    for clip in (each.clip for each in references):
        if clip.fps != body.control_hz:
            raise MotionError(
                f"{clip.name}: {clip.fps:g} frames a second, body '{body.name}' is driven at {body.control_hz:g} Hz; "
                "prepare the clip first"
            )
    _check_memory(references, body, torch.device(device))
    length = torch.tensor([each.num_frames for each in references], device=device)
    library = _empty_library([each.clip for each in references], body, length, torch.device(device))
    first = 0
    for each in references:
        rows = slice(first, first + each.num_frames)
        for name in ("qpos", "qvel", "target", "planted"):
            getattr(library, name)[rows] = torch.from_numpy(getattr(each, name))
        first = rows.stop
    kinematics = Kinematics(body, device)
    for begin in range(0, first, KINEMATICS_ROWS):
        rows = slice(begin, begin + KINEMATICS_ROWS)
        found = kinematics(library.qpos[rows], library.qvel[rows])
        for item in fields(JointState):
            getattr(library.state, item.name)[rows] = getattr(found, item.name)
    return library


def _library_widths(body: Body) -> tuple[int, ...]:
    """Numbers of a frame in a library: qpos, qvel, target; positions, rotations, velocities and spins of joints."""
    joints = body.skeleton.num_joints
    return body.model.nq, body.model.nv, body.model.nu, 3 * joints, 4 * joints, 3 * joints, 3 * joints


def _check_memory(clips: Sequence[Clip | Reference], body: Body, device: torch.device) -> None:
    """MotionError if a library of the clips is more than the device has memory for."""
    frames = sum(clip.num_frames for clip in clips)
    needed, free = frames * (4 * sum(_library_widths(body)) + len(FEET)), free_memory(device)
    if needed > free:
        who = clips[0].name if len(clips) == 1 else f"{len(clips)} clips"
        raise MotionError(
            f"{who}: {frames} frames need {needed / 1e9:.1f} GB on {device}, {free / 1e9:.1f} GB are free; "
            "expected fewer or shorter clips"
        )


def _empty_library(clips: Sequence[Clip], body: Body, length: torch.Tensor, device: torch.device) -> MotionLibrary:
    """A library with room for the clips, whose numbers are not yet there."""
    frames, joints = int(length.sum()), body.skeleton.num_joints
    qpos, qvel, target, *state = (torch.empty(frames, width, device=device) for width in _library_widths(body))
    return MotionLibrary(
        clips=tuple(clips),
        start=torch.cumsum(length, 0) - length,
        length=length,
        qpos=qpos,
        qvel=qvel,
        target=target,
        planted=torch.empty(frames, len(FEET), dtype=torch.bool, device=device),
        state=JointState(*(values.unflatten(1, (joints, -1)) for values in state)),
        coordinates=body.coordinates.to(device),
    )


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device; of a CPU whose system does not tell, all that it has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    told = Path("/proc/meminfo")
    if told.exists():
        (line,) = (line for line in told.read_text().splitlines() if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
