"""Which body motion is measured on: a built-in one, a robot from its MJCF, or a person from a SMPL model file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from morphloop.base import MotionError
from morphloop.motion import Clip, JointTrack, read_motion, read_motions, to_default
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig
from morphloop.motion.robot import Robot, WhoseMotion

from .body import Body
from .built_in import DEFAULT_SPEC, ROBOTS, body_names, built_in, is_named, known_robot
from .mjcf_body import RobotBody
from .robot_file import measured_robot, open_robot
from .shaped_body import ShapedBody
from .smpl_body import SmplBody
from .smpl_model import load_smpl_model


def load_body(spec: str | Path | None = None) -> Body:
    """The body that `--body` names.

    spec: the name of a built-in body or a package's (`body_names`), the default one if None; a path to an MJCF (.xml):
    a robot (`RobotBody`); to a SMPL, SMPL-H or SMPL-X model file (.npz, .pkl): its mesh (`SmplBody`). Raises
    MotionError, one line, for anything else and for a file that cannot be used.
    """
    name = DEFAULT_SPEC if spec is None else str(spec)
    if is_named(name):
        return built_in(name)
    path = Path(name)
    if not path.is_file():
        raise MotionError(f"{path}: no such body, expected {_known()}")
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return measured_robot(path)
    if suffix in (".npz", ".pkl"):
        return SmplBody(load_smpl_model(path))
    raise MotionError(f"{path}: unknown extension '{path.suffix}', expected {_known()}")


def driven_body(spec: str | Path | None = None) -> Body:
    """The body that `--body` names, for physics to drive: a built-in one, a robot's MJCF with its description beside it
    or found by rules (`open_robot`), or a SMPL model file's mean shape.

    Raises MotionError, one line, as `load_body` and `open_robot` do.
    """
    if spec is not None and not is_named(str(spec)) and Path(spec).suffix.lower() == ".xml" and Path(spec).is_file():
        return open_robot(Path(spec)).drive()
    body = load_body(spec)
    return ShapedBody(body.skeleton, body.mesh, body.name) if isinstance(body, SmplBody) else body


def for_tracking(motion: Clip | JointTrack, body: Body) -> Clip:
    """A motion as a clip that a driven body can track, over the ground of its file.

    A person's is moved to the body's skeleton, and retargeted where that is a robot's. Raises MotionError as
    `to_default` and `retarget` do.
    """
    if isinstance(motion, Clip) and motion.skeleton == body.skeleton:
        return motion
    if (own := body_of_robot(motion)) is not None:
        raise MotionError(f"{motion.name}: a motion of robot '{own.name}', give --body {own.name}")
    if isinstance(body, RobotBody):
        from ..retargeting.retarget import retarget  # the robots' bodies are made here, and it needs them

        return retarget(motion, body)
    return carry(to_default(motion, keep_floor=True), body)


def carry(clip: Clip, body: Body) -> Clip:
    """A clip on the default skeleton moved to a body that is driven; MotionError for a clip on another skeleton."""
    if isinstance(body, ShapedBody):
        return body.put(clip)
    body.check(clip)
    return clip


def read_on_body(path: Path | str, body: Body, how: ReadingConfig = AS_FILES_SAY) -> Clip | JointTrack:
    """A motion file as this body measures it: `read_motion`, then `on_body`; errors as both of them have."""
    return on_body(read_motion(path, None, whose_motions(body), how), body, path)


def motions_on_body(
    path: Path | str, body: Body, how: ReadingConfig = AS_FILES_SAY
) -> Iterator[tuple[str, Callable[[], Clip | JointTrack]]]:
    """Every motion of a file as this body measures it: (name, read) as `read_motions` gives them."""
    for name, read in read_motions(path, None, whose_motions(body), how):
        yield name, lambda read=read: on_body(read(), body, path)


def on_body(motion: Clip | JointTrack, body: Body, where: Path | str) -> Clip | JointTrack:
    """A motion on the body's skeleton, over the ground of its file; joint positions stay what they are.

    A robot measures motions of that robot alone; every other body takes any person's, and a known robot's is measured
    on that robot (`worn`). Raises MotionError as `to_default` does, and for a person's motion on a robot, naming
    `where`.
    """
    if isinstance(motion, JointTrack) or motion.skeleton == body.skeleton:
        return motion
    if not isinstance(body, RobotBody) and body_of_robot(motion) is not None:
        return motion
    if isinstance(body, SmplBody) and body.takes(motion):
        return motion
    if isinstance(body, RobotBody):
        raise MotionError(f"{where}: not a motion of robot '{body.name}', give it no --body or that of its own robot")
    return to_default(motion, keep_floor=True)


def worn(motion: Clip | JointTrack, body: Body) -> tuple[Clip | JointTrack, Body]:
    """The motion on the very skeleton of the body, and the body in the motion's shape: a SMPL model takes on the shape
    numbers that came with the clip (`SmplBody.wear`), a built-in robot's motion has that robot's body; everything else
    is returned as it is."""
    if isinstance(body, SmplBody) and isinstance(motion, Clip) and body.takes(motion):
        return body.wear(motion)
    if not isinstance(body, RobotBody) and (own := body_of_robot(motion)) is not None:
        return motion, own
    return motion, body


def body_of_robot(motion: Clip | JointTrack) -> Body | None:
    """The built-in robot whose motion this is, None for any other."""
    name = motion.provenance.notes.get("robot")
    if name not in ROBOTS or not isinstance(motion, Clip):
        return None
    body = built_in(name)
    return body if motion.skeleton == body.skeleton else None


def _names() -> str:
    """The bodies that have names, for an error."""
    return ", ".join(f"'{name}'" for name in body_names())


def _known() -> str:
    return f"{_names()}, a robot's MJCF (.xml) or a SMPL model file (.npz, .pkl)"


def whose_motions(body: Body | None) -> WhoseMotion:
    """Whose motions files are, for a reader: this robot's, or with another body those of the built-in robot that has
    their joints."""
    return (None if body is None else robot_of(body)) or known_robot


def robot_of(body: Body) -> Robot | None:
    """Whose motions a body reads from files that do not say; None for a person's body."""
    return body.robot if isinstance(body, RobotBody) else None
