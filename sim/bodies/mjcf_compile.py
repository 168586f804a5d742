"""A robot's MJCF as a model, whatever the file asks for: plain ones at once, all others in a child with limits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line, reading
from morphloop.motion.readers.text import read_text

from . import mjcf_child

CPU_SECONDS, WALL_SECONDS = 5, 60
"""A robot with meshes takes one or two seconds of processor; a pipe or a busy machine only time on the clock."""
MEMORY = 3 << 29
"""Bytes beside what an idle child holds: 1.5 GiB."""
MAX_PLAIN = 1 << 18
"""Letters of a file that is compiled at once."""
PLAIN = frozenset(
    (
        *("mujoco", "compiler", "option", "flag", "default", "worldbody", "body", "inertial", "joint", "freejoint"),
        *("geom", "site", "camera", "light", "actuator", "motor", "position", "velocity", "general", "asset"),
        *("material", "contact", "pair", "exclude", "equality", "connect", "weld", "visual", "global", "quality"),
        *("map", "headlight", "rgba", "scale", "statistic"),
    )
)
"""Elements that make no more than they say."""
_TAG = re.compile(r"<\s*([^\s>/]+)")
_FILE = re.compile(r"""\bfile\s*=\s*["']([^"']+)["']""")
_LARGE = re.compile(r"\d{6}|\d[eE]\+?\d")
"""A number from which a count could be large; a body's sizes and masses have none."""


def compile_robot(path: Path) -> mujoco.MjModel:
    """The model of an MJCF, its largest tree with a free root.

    MotionError, one line, for what MuJoCo does not compile, and for what takes more than the limits.
    """
    text = read_text(path)
    with reading(path):
        try:
            path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:  # names in another encoding would fail much later
            raise MotionError(f"{path}: not a text file in UTF-8, expected one") from None
    if _is_plain(text):
        with reading(path):
            try:
                return mjcf_child.compiled(str(path))
            except ValueError as error:
                raise _refused(path, in_one_line(error, 200)) from None
    for name in _FILE.findall(text):
        part = path.parent / name
        with reading(part):
            if part.exists() and not part.is_file():
                raise MotionError(f"{path}: asks for {part}, which is not a file")
    with tempfile.TemporaryDirectory(prefix="morphloop-mjcf-") as folder:
        model = Path(folder) / "model.mjb"
        limits = (str(CPU_SECONDS), str(MEMORY))
        command = [sys.executable, "-P", mjcf_child.__file__, os.path.abspath(path), str(model), *limits]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        # MuJoCo writes a log where it runs
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | threads,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=WALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise MotionError(f"{path}: not compiled after {WALL_SECONDS} s, does it include a pipe?") from None
        if done.returncode == mjcf_child.REFUSED:
            raise _refused(path, in_one_line(ValueError(done.stderr.decode("utf-8", "replace")), 200))
        if done.returncode or not model.is_file():
            limits_told = f"{MEMORY / 2**30:g} GiB and {CPU_SECONDS} s of processor"
            raise MotionError(f"{path}: MuJoCo does not compile it within {limits_told}, expected a robot")
        with reading(path):
            return mujoco.MjModel.from_binary_path(str(model))


def _refused(path: Path, reason: str) -> MotionError:
    if reason.startswith("no bodies"):
        return MotionError(f"{path}: {reason}")
    return MotionError(f"{path}: MuJoCo does not compile it ({reason})")


def _is_plain(text: str) -> bool:
    """Whether a file is short and holds only elements and numbers that cannot make much of little."""
    if len(text) > MAX_PLAIN or _LARGE.search(_fractions_out(text)):
        return False
    return all(tag.startswith("!--") or tag in PLAIN for tag in _TAG.findall(text))


def _fractions_out(text: str) -> str:
    """The text without digits behind a point: 0.0123456 is no count."""
    return re.sub(r"\.\d+", ".", text)
