"""The bodies that ship, by the name that `--body` takes; another one is an entry in the table here.

Whoever wants a built-in body asks this table: by name, or by the hash that a file carries. Packages add bodies of
their own by entry points (`base/plugins.py`), which are asked for in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line
from morphloop.base.plugins import BODIES, load, offered
from morphloop.motion.robot import Robot

from .body import Body
from .build import JointModel

DEFAULT_SPEC = "smpl"


def _unitree_g1(dofs: int) -> Body:
    from .g1 import unitree_g1

    return unitree_g1(dofs)


BUILT_IN: dict[str, Callable[[], Body]] = {
    DEFAULT_SPEC: Body,
    "smpl_hinge": partial(Body, joints="hinge"),
    "g1": partial(_unitree_g1, 29),
    "g1_23dof": partial(_unitree_g1, 23),
}
"""What makes each. A maker whose body needs more modules imports them when it is called."""
ROBOTS = ("g1", "g1_23dof")
"""Those that are robots, whose motions are known by the names of their joints."""


def default_body(joints: JointModel = "ball") -> Body:
    """The built-in body of people, compiled once a process."""
    return built_in(DEFAULT_SPEC if joints == "ball" else f"{DEFAULT_SPEC}_{joints}")


def built_in(name: str) -> Body:
    """The built-in body of a name, or a package's, compiled once a process. MotionError for a name that none has, and
    for what a package's own maker raises."""
    if name in BUILT_IN:
        return _made(BUILT_IN[name])
    if not is_named(name):
        raise MotionError(f"{name}: no built-in body, expected one of {', '.join(body_names())}")
    return _added(name)


def body_names() -> tuple[str, ...]:
    """Names that `--body` takes: of the built-in bodies, then of those that packages add."""
    return (*BUILT_IN, *offered(BODIES, frozenset(BUILT_IN)))


def is_named(spec: object) -> bool:
    """Whether what `--body` says is the name of a body, and no file."""
    return spec in body_names()


def known_robot(hinges: Sequence[str], bodies: Sequence[str], count: int) -> Robot | None:
    """The built-in robot that has hinges of exactly these names or, where none are told, these bodies and so many
    hinges; None if there is none."""
    for name in ROBOTS:
        robot = built_in(name).robot  # type: ignore[attr-defined]  # what a robot's maker makes has one
        if set(robot.hinge_names) == set(hinges):
            return robot
        if not hinges and bodies and set(robot.skeleton.names) == set(bodies) and len(robot.hinges) == count:
            return robot
    return None


def built_in_of(stored: str) -> Body | None:
    """The built-in body that a hash from a file is of, or the package's, None if it is none's."""
    for name in body_names():
        try:
            body = built_in(name)
        except MotionError:  # a package's that cannot be made is said where it is asked for by name
            continue
        if body.answers_to(stored):
            return body
    return None


@cache
def _added(name: str) -> Body:
    """The body that a package's entry point makes."""
    make = load(offered(BODIES, frozenset(BUILT_IN))[name])
    try:
        body = make()
    except MotionError:
        raise
    except Exception as error:
        raise MotionError(f"body '{name}': {type(error).__name__} ({in_one_line(error)})") from error
    if not isinstance(body, Body):
        raise MotionError(f"body '{name}': is a {type(body).__name__}, expected a morphloop.sim.Body")
    return body


@cache
def _made(make: Callable[[], Body]) -> Body:
    return make()
