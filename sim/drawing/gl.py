"""MuJoCo's offscreen renderer behind a wall: GL is probed and used in a process of its own.

A missing driver raises, a broken one aborts or hangs; in a child process (`gl_worker`) each is an exit code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np

from ..bodies.body import Body
from .feet import COLOURS, foot_of_bodies, soles
from .figure import Camera

BACKENDS = ("egl", "osmesa")
PROBE_TIMEOUT_S = 30.0
START_TIMEOUT_S = 120.0
"""What a child may take on a busy machine before it draws; a driver that hangs was found by the probe."""
PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><light/><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    raise SystemExit(0 if renderer.render().any() else 1)
"""


def _environment(backend: str) -> dict[str, str]:
    return os.environ | {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}


@lru_cache(maxsize=1)
def gl_available() -> str | None:
    """The first GL that really draws, "egl" or "osmesa" (or what MUJOCO_GL names), or None; asked once a process."""
    named = os.environ.get("MUJOCO_GL", "").lower()
    if named in ("disable", "disabled", "off", "false", "0"):
        return None
    for backend in (named,) if named in BACKENDS else BACKENDS:
        try:
            probe = subprocess.run(
                [sys.executable, "-c", PROBE], env=_environment(backend), capture_output=True, timeout=PROBE_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            continue
        if probe.returncode == 0:
            return backend
    return None


@dataclass(frozen=True, eq=False)
class Take:
    """What is drawn of a motion. qpos: (T, nq); camera: of as many frames; feet: (T, 2) what they do."""

    qpos: np.ndarray
    camera: Camera
    feet: np.ndarray


def render_frames(body: Body, takes: Sequence[Take], size: tuple[int, int]) -> list[np.ndarray] | None:
    """Frames (T, height, width, 3) uint8 of each motion, drawn by MuJoCo in one child process; None if GL does not
    answer or the child failed. size: width and height, pixels."""
    backend = gl_available()
    if backend is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder) / "job.npz", Path(folder) / "frames.npy"
        mujoco.mj_saveModel(body.model, str(job.with_name("model.mjb")), None)
        boxes = soles(body)
        np.savez(
            job,
            qpos=np.concatenate([take.qpos for take in takes]),
            centre=np.concatenate([take.camera.centre for take in takes]),
            view=np.concatenate(
                [
                    np.tile([take.camera.azimuth, take.camera.elevation, take.camera.span], (len(take.qpos), 1))
                    for take in takes
                ]
            ),
            feet=np.array(COLOURS, np.float32)[np.concatenate([take.feet for take in takes])] / 255.0,
            foot=foot_of_bodies(body)[body.model.geom_bodyid],
            soles=np.array([[sole.part, sole.foot, *sole.at, *sole.half] for sole in boxes]).reshape(-1, 8),
            size=size,
        )
        lengths = [len(take.qpos) for take in takes]
        try:
            child = subprocess.run(
                [sys.executable, "-m", "morphloop.sim.drawing.gl_worker", str(job), str(out)],
                env=_environment(backend),
                capture_output=True,
                timeout=START_TIMEOUT_S + 0.5 * sum(lengths),
            )
        except subprocess.TimeoutExpired:
            return None
        if child.returncode != 0 or not out.exists():
            return None
        return np.split(np.load(out, allow_pickle=False), np.cumsum(lengths)[:-1])
