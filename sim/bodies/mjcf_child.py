"""The compiling of an MJCF, in this process or in a child with limits; it imports nothing of the package.

python -P mjcf_child.py ROBOT.xml MODEL.mjb CPU_SECONDS BYTES

A few letters of MJCF ask for anything: a height field of 40,000 squared, three million copies, a pipe to include. What
a child cannot do within its limits is refused, and the child alone is lost.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import mujoco
import numpy as np

REFUSED = 3
"""Exit code of a file that MuJoCo does not compile; why is on stderr."""


def compiled(path: str) -> mujoco.MjModel:
    """The model, its largest tree as `stand_alone` makes it. ValueError, MuJoCo's words, for what does not compile."""
    spec = mujoco.MjSpec.from_file(path)
    stand_alone(spec)
    return spec.compile()


def stand_alone(spec: mujoco.MjSpec) -> None:
    """Give the largest tree a free root, and make bodies that cannot move against their parents part of them.

    Sensors go, for a body that one names stays by itself; so do keyframes where a free root makes them too short.
    ValueError for what does not compile.
    """
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    model = spec.compile()
    root = largest_tree(model)[0]
    first = model.body_jntadr[root]
    joints = range(first, first + model.body_jntnum[root])
    if not any(model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE for j in joints):
        for key in list(spec.keys):
            spec.delete(key)
        spec.body(model.body(root).name).add_freejoint()
    spec.compiler.fusestatic = True


def largest_tree(model: mujoco.MjModel) -> np.ndarray:
    """MuJoCo's indices of the bodies of the largest tree, parents before children. ValueError for no body."""
    if model.nbody < 2:
        raise ValueError("no bodies, expected a robot")
    trees, sizes = np.unique(model.body_rootid[1:], return_counts=True)
    return np.flatnonzero((model.body_rootid == trees[sizes.argmax()]) & (np.arange(model.nbody) > 0))


def _limit(seconds: int, size: int) -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + size, held + size))
    used = int(sum(os.times()[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(path: str, out: str, seconds: str, size: str) -> int:
    _limit(int(seconds), int(size))
    try:
        model = compiled(path)
        mujoco.MjData(model)  # whoever measures needs the room for one
    except (ValueError, mujoco.FatalError, mujoco.UnexpectedError, MemoryError) as error:
        print(" ".join(str(error).split()) or "not enough memory", file=sys.stderr)
        return REFUSED
    mujoco.mj_saveModel(model, out, None)
    return 0


if __name__ == "__main__":
    code = _main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
