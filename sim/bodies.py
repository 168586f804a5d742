"""Which body motion is measured on: the built-in one, a robot from its MJCF, or a person from a SMPL model file."""

from __future__ import annotations

from pathlib import Path

from morphloop.motion import Clip, JointTrack, MotionError, read_motion, to_default

from .body import Body, default_body
from .mjcf_body import RobotBody

DEFAULT_SPEC = "smpl"


def load_body(spec: str | Path | None = None) -> Body:
    """The body that `--body` names.

    spec: None or "smpl": the built-in body; a path to an MJCF (.xml): a robot (`RobotBody`).
    Raises MotionError, one line, for anything else and for a file that cannot be used.
    """
    if spec is None or str(spec) == DEFAULT_SPEC:
        return default_body()
    path = Path(spec)
    if not path.is_file():
        raise MotionError(f"{path}: no such body, expected '{DEFAULT_SPEC}' or a robot's MJCF (.xml)")
    if path.suffix.lower() == ".xml":
        return RobotBody(path)
    raise MotionError(f"{path}: unknown extension '{path.suffix}', expected a robot's MJCF (.xml)")


def read_on_body(path: Path | str, body: Body, fps: float | None = None) -> Clip | JointTrack:
    """A motion file as this body measures it: `read_motion`, then retargeted to the body's skeleton.

    A robot measures motions of that robot alone; every other body takes any person's. Joint positions stay what they
    are. Raises MotionError as `read_motion` and `to_default` do, and for a person's motion on a robot.
    """
    if not isinstance(body, RobotBody):
        motion = read_motion(path, fps)
        return to_default(motion) if isinstance(motion, Clip) else motion
    motion = read_motion(path, fps, robot=body.robot)
    if isinstance(motion, Clip) and motion.skeleton != body.skeleton:
        raise MotionError(f"{path}: not a motion of robot '{body.name}', give it no --body or that of its own robot")
    return motion
