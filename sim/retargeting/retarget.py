"""A person's motion as a robot's: `retarget`, and what became of it in figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack, to_default
from morphloop.motion.clip import RETARGETED
from morphloop.motion.rotations import quat_rotate

from ..bodies.body import FEET, Body
from ..bodies.description import Dof
from ..bodies.mjcf_body import RobotBody
from .rest import rest_pose
from .solve import solve
from .targets import limbs, make_targets

AT_LIMIT = np.radians(0.5)
"""A hinge this near to the end of its range stands at it."""
LIFT_S = 0.05
"""Standard deviation of the smoothing of what lifts a robot out of the ground, seconds."""
KEY_POINTS = ("knee", "ankle", "elbow", "wrist")
"""Of each side; what `key_point_error_mm` is a mean over."""


@dataclass(frozen=True)
class RetargetFigures:
    """How well a robot's motion is a person's, and how near to what the robot can.

    key_point_error_mm: mean distance of knees, ankles, elbows and wrists from where the person's bones at the robot's
    lengths put them, from the robot's own pelvis; at_limit_ratio: share of frames in which a hinge stands within half a
    degree of the end of its range or beyond; speed_peak_ratio: largest speed of a hinge over its motor's, None where no
    motor's is known.
    """

    key_point_error_mm: float
    at_limit_ratio: float
    speed_peak_ratio: float | None


def retarget(motion: Clip | JointTrack, body: Body, fps: float | None = None) -> Clip:
    """A person's motion on a robot's skeleton, over ground at z = 0.

    motion: whatever `to_default` takes; body: a robot with a description; fps: frame rate of the result, the motion's
    own if not given. Limits hold at frames and not between them, so a slow rate is better raised here than afterwards.
    The path is scaled by the legs about where it begins. Notes hold the robot, the scale, how far the person's floor
    was off z = 0, and `RetargetFigures`. Raises MotionError, one line, for what is no person's motion, and for a body
    that is no robot or lacks what is retargeted to.
    """
    if not isinstance(body, RobotBody):
        raise MotionError(f"body '{body.name}' is no robot of hinges, expected one to retarget to, such as 'g1'")
    if isinstance(motion, Clip) and motion.skeleton == body.skeleton:
        raise MotionError(f"{motion.name}: is a motion of robot '{body.name}' already, expected a person's")
    person = to_default(motion)
    source = person if fps is None else person.resampled(fps)
    targets = make_targets(source, body)
    made = body.clip_from_qpos(solve(body, targets, source.fps), source.fps, motion.name)
    made = _lifted(made, body)
    notes = {
        **source.provenance.notes,
        "robot": body.name,
        "leg_scale": targets.scale,
        "ground_off_m": targets.floor,
        **asdict(retarget_figures(source, made, body)),
    }
    provenance = replace(source.provenance, stage=RETARGETED, parent=person.id, notes=notes)
    return replace(made, texts=source.texts, provenance=provenance)


def retarget_figures(source: Clip, made: Clip, body: RobotBody) -> RetargetFigures:
    """What became of a clip on the default skeleton; made: on the robot's, frame by frame, however it was made."""
    rest = rest_pose(body)
    wanted, _ = limbs(source, rest, rest.at(made, "pelvis"))
    joints = [f"{side}_{part}" for side in FEET for part in KEY_POINTS if f"{side}_{part}" in rest.joint]
    error = [np.linalg.norm(rest.at(made, joint) - wanted[joint], axis=1) for joint in joints]
    hinges = body.robot.hinges
    angles = body.robot.angles(made.rotations)
    room = np.minimum(angles - [h.low for h in hinges], [h.high for h in hinges] - angles)
    speeds = [body.description.dofs.get(hinge.name, Dof()).speed for hinge in hinges]
    known = [h for h, speed in enumerate(speeds) if speed is not None]
    ratio = None
    if known and made.num_frames > 1:
        most = np.array([speeds[h] for h in known])
        ratio = float((np.abs(np.diff(angles[:, known], axis=0)) * made.fps / most).max())
    return RetargetFigures(1e3 * float(np.mean(error)), float((room < AT_LIMIT).any(axis=1).mean()), ratio)


def _lifted(clip: Clip, body: Body) -> Clip:
    """A clip lifted where something of it is in the ground, smoothly."""
    surface = body.surface
    turned = quat_rotate(
        clip.global_rotations[:, surface.joint],
        np.broadcast_to(surface.local, (clip.num_frames, *surface.local.shape)),
    )
    lowest = (clip.positions[:, surface.joint, 2] + turned[..., 2] - surface.radius).min(axis=1)
    if lowest.min() >= 0.0:
        return clip
    around = round(4.0 * LIFT_S * clip.fps)
    lift = gaussian_filter1d(maximum_filter1d(np.maximum(-lowest, 0.0), 2 * around + 1), LIFT_S * clip.fps)
    root = clip.root_pos.copy()
    root[:, 2] += np.maximum(lift, -lowest)
    return replace(clip, root_pos=root)
