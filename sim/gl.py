"""MuJoCo's offscreen renderer behind a wall: GL is probed and used in a process of its own.

A missing driver raises, a broken one aborts or hangs; in a child process each is an exit code. Run as a module,
`python -m morphloop.sim.gl JOB.npz OUT.npy`, this file is that child.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np

from .figure import BACKGROUND, Camera

BACKENDS = ("egl", "osmesa")
PROBE_TIMEOUT_S = 30.0
FLOOR = (0.9, 0.91, 0.93, 1.0)
GRID_COLOUR = np.array([0.40, 0.42, 0.47, 1.0], np.float32)
GRID_REACH = 3.0
"""Metres."""
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


def render_frames(
    model: mujoco.MjModel, motions: Sequence[tuple[np.ndarray, Camera]], size: tuple[int, int]
) -> list[np.ndarray] | None:
    """Frames (T, height, width, 3) uint8 of each motion, states qpos (T, nq) and their camera, drawn by MuJoCo in one
    child process; None if GL does not answer or the child failed. size: width and height, pixels."""
    backend = gl_available()
    if backend is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder) / "job.npz", Path(folder) / "frames.npy"
        mujoco.mj_saveModel(model, str(job.with_name("model.mjb")), None)
        np.savez(
            job,
            qpos=np.concatenate([qpos for qpos, _ in motions]),
            centre=np.concatenate([camera.centre for _, camera in motions]),
            view=np.concatenate(
                [np.tile([camera.azimuth, camera.elevation, camera.span], (len(qpos), 1)) for qpos, camera in motions]
            ),
            size=size,
        )
        lengths = [len(qpos) for qpos, _ in motions]
        try:
            child = subprocess.run(
                [sys.executable, "-m", "morphloop.sim.gl", str(job), str(out)],
                env=_environment(backend),
                capture_output=True,
                timeout=PROBE_TIMEOUT_S + 0.5 * sum(lengths),
            )
        except subprocess.TimeoutExpired:
            return None
        if child.returncode != 0 or not out.exists():
            return None
        return np.split(np.load(out, allow_pickle=False), np.cumsum(lengths)[:-1])


def _draw_job(job: Path, out: Path) -> None:
    """The child's work: read the job, draw, write the frames."""
    with np.load(job, allow_pickle=False) as arrays:
        qpos, centre, views, (width, height) = arrays["qpos"], arrays["centre"], arrays["view"], arrays["size"].tolist()
    model = mujoco.MjModel.from_binary_path(str(job.with_name("model.mjb")))
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.vis.quality.offsamples, model.vis.quality.shadowsize = 0, 0
    model.vis.headlight.ambient[:], model.vis.headlight.diffuse[:] = 0.7, 0.35
    model.geom_rgba[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE] = FLOOR
    data, view = mujoco.MjData(model), mujoco.MjvCamera()
    frames = np.empty((len(qpos), height, width, 3), np.uint8)
    with mujoco.Renderer(model, height, width) as renderer:
        for k, state in enumerate(qpos):
            data.qpos[:] = state
            mujoco.mj_kinematics(model, data)
            azimuth, elevation, span = views[k]
            view.azimuth, view.elevation = np.degrees(azimuth), -np.degrees(elevation)
            view.distance = 0.5 * span / np.tan(np.radians(0.5 * model.vis.global_.fovy))
            view.lookat[:] = centre[k]
            renderer.update_scene(data, view)
            _add_grid(renderer.scene, centre[k])
            frames[k] = renderer.render()
    frames[(frames == 0).all(axis=-1)] = BACKGROUND
    np.save(out, frames)


def _add_grid(scene: mujoco.MjvScene, centre: np.ndarray) -> None:
    """Half-metre lines on the ground around a point, fixed in the world so that sliding shows."""
    origin = np.round(centre[:2] / 0.5) * 0.5
    for tick in np.arange(-GRID_REACH, GRID_REACH + 0.25, 0.5):
        for axis in (0, 1):
            ends = np.full((2, 3), 0.001)
            ends[:, axis] = origin[axis] + tick
            ends[:, 1 - axis] = origin[1 - axis] + np.array([-GRID_REACH, GRID_REACH])
            if scene.ngeom < scene.maxgeom:
                line = scene.geoms[scene.ngeom]
                mujoco.mjv_initGeom(
                    line, mujoco.mjtGeom.mjGEOM_LINE, np.zeros(3), np.zeros(3), np.zeros(9), GRID_COLOUR
                )
                mujoco.mjv_connector(line, mujoco.mjtGeom.mjGEOM_LINE, 1.5, ends[0], ends[1])
                scene.ngeom += 1


if __name__ == "__main__":
    _draw_job(Path(sys.argv[1]), Path(sys.argv[2]))
