"""What the commands share: exit codes, one line for bad input, progress bars, where the shipped weights are."""

from __future__ import annotations

import errno
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from morphloop.base import MotionError
from morphloop.base.terminal import Terminal, complain

from .streams import patient_streams

if TYPE_CHECKING:
    from morphloop.motion.robot import Robot, WhoseMotion
    from morphloop.sim import RobotBody

NOT_WRITABLE = (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EPERM)
DONE = 0
FAILED = 1
"""A gate or a check failed; the command itself worked."""
BAD_INPUT = 2
SHIPPED_GENERATOR = "generator"
SHIPPED_POLICY = "imitator/policy.safetensors"
POLICY_WORDS = ("shipped", "none", "zero")
"""What `--policy` takes besides a file; zero where a bench wants a baseline."""

SPEED_OVER_S = 600.0
"""Seconds over which the speed of long work is taken for the time left: clips come in bursts."""
INTERRUPTED = 130
"""128 + SIGINT, what shells expect after Ctrl-C."""


def one_line(text: str) -> str:
    """Text with its line breaks taken out."""
    return " ".join(text.split())


def guarded(run: Callable[[], int]) -> int:
    """Run a command and turn what stops it into one line on stderr and an exit code: the last boundary.

    A fault of ours leaves its traceback in a file, which the line names.
    """
    with patient_streams():
        try:
            return run()
        except MotionError as error:
            complain(str(error))
            return BAD_INPUT
        except OSError as error:
            advice = ", choose a writable folder" if error.errno in NOT_WRITABLE else ""
            complain(f"{error.filename or 'input or output'}: {error.strerror or error}{advice}")
            return BAD_INPUT
        except MemoryError:
            complain("not enough memory, give it fewer or shorter motions at a time")
            return BAD_INPUT
        except KeyboardInterrupt:
            complain("interrupted; finished files stay, nothing is half written")
            return INTERRUPTED
        except Exception as error:
            complain(f"internal fault ({type(error).__name__}: {error}), report it with {_kept_traceback()}")
            return BAD_INPUT


def _kept_traceback() -> str:
    """The file that holds the traceback of the exception at hand."""
    text = "".join(traceback.format_exception(*sys.exc_info()))
    with tempfile.NamedTemporaryFile("w", prefix="morphloop-fault-", suffix=".txt", delete=False) as stream:
        stream.write(text.encode("utf-8", "backslashreplace").decode())
    return stream.name


def writable_folder(path: Path) -> Path:
    """The folder, made if need be; MotionError in one line where nothing can be written."""
    probe = path / ".morphloop-probe"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise MotionError(f"{path}: cannot write here ({error.strerror}), choose a writable folder") from None
    return path


def writable_files(*paths: Path | None) -> None:
    """Make the folders of output files before the work begins; MotionError in one line where one cannot be written."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise MotionError(f"{path}: is a folder, expected a file to write")
        if not path.exists() or path.is_file():  # a device is written to and needs nothing beside it
            writable_folder(path.parent)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars of a long command with the time left, one a label; yields `watch(label, done, total)`.

    They go to stderr, so that stdout stays for results, and only to a terminal, so that a log holds what matters.
    """
    console = Terminal(stderr=True)
    bars = Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=SPEED_OVER_S,
    )
    tasks: dict[str, TaskID] = {}

    def watch(label: str, done: int, total: int) -> None:
        if label not in tasks:
            tasks[label] = bars.add_task(label, total=total)
        bars.update(tasks[label], completed=done, total=total)

    with bars:
        yield watch


def shipped(name: str) -> Path:
    """A file or folder of the weights that morphloop ships. MotionError if this installation has none of that name."""
    path = Path(str(resources.files("morphloop.assets"))) / name
    if not path.exists():
        raise MotionError(f"{path}: this installation ships no such weights, name your own or train them")
    return path


def generator_named(spec: str | None) -> str:
    """What `--generator` says, from anywhere: the shipped weights' folder for None, a folder by its absolute path, a
    command or a package's name as it is."""
    if spec is None:
        return str(shipped(SHIPPED_GENERATOR))
    return str(Path(spec).resolve()) if Path(spec).exists() else spec


def policy_file(choice: str) -> Path | None:
    """What `--policy` names: a file, `shipped`, or `none` for projection by the trajectory optimiser alone."""
    if choice == "none":
        return None
    if choice == "shipped":
        return shipped(SHIPPED_POLICY)
    path = Path(choice)
    if not path.exists():
        raise MotionError(f"{path}: no such policy, expected a file, 'shipped' or 'none'")
    return path.resolve()


def policy_named(choice: str) -> str:
    """What `--policy` says, from anywhere: a word as it is, a file by its absolute path."""
    return choice if choice in POLICY_WORDS else str(Path(choice).resolve())


def robot_named(spec: str | None) -> WhoseMotion:
    """The robot that `--body` names, without one what knows the built-in robots by their joints. MotionError for a body
    that is no robot."""
    body = robot_body_named(spec)
    return _known_robot if body is None else body.robot


def _known_robot(hinges: Sequence[str], bodies: Sequence[str], count: int) -> Robot | None:
    """`sim.known_robot`, imported when a robot's file is met."""
    from morphloop.sim import known_robot

    return known_robot(hinges, bodies, count)


def robot_body_named(spec: str | None, driven: bool = False) -> RobotBody | None:
    """The body of the robot that `--body` names, None without one; to be driven, so that it has a description, if
    asked. MotionError for a body that is no robot."""
    if spec is None:
        return None
    from morphloop.sim import RobotBody, driven_body, load_body
    from morphloop.sim.bodies.built_in import is_named

    known = is_named(spec) or spec.lower().endswith(".xml")
    body = (driven_body if driven else load_body)(spec) if known else None
    if not isinstance(body, RobotBody):
        raise MotionError(f"--body {spec}: not a robot, expected the MJCF (.xml) of one")
    return body


def told(path: Path, error: Exception) -> dict[str, str]:
    """A file that could not be used: one line on stderr, and its row of the JSON file."""
    reason = one_line(str(error)).removeprefix(f"{path}: ")
    complain(f"{path}: {reason}")
    return {"path": str(path), "reason": reason}


def files_below(paths: Iterable[Path], failed: list[dict[str, str]]) -> dict[Path, Path]:
    """Motion files of all paths, each with its subfolder below the path it was found under; a path with none becomes a
    row of `failed` and the rest goes on. MotionError where no path is given."""
    from morphloop.motion import find_motions

    files: dict[Path, Path] = {}
    paths = list(paths)
    if not paths:
        raise MotionError("no motion file given, expected files or folders")
    for path in paths:
        try:
            for file in find_motions(path):
                files.setdefault(file, file.parent.relative_to(path) if path.is_dir() else Path())
        except MotionError as error:
            failed.append(told(path, error))
    return files
