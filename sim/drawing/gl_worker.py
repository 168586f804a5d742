"""The child process of `gl`: draws one job with MuJoCo's renderer and ends.

python -m morphloop.sim.drawing.gl_worker JOB.npz FRAMES.npy
"""

from __future__ import annotations

import sys
from pathlib import Path

import mujoco
import numpy as np

from .figure import BACKGROUND

FLOOR = (0.9, 0.91, 0.93, 1.0)
GRID_COLOUR = np.array([0.40, 0.42, 0.47, 1.0], np.float32)
GRID_REACH = 3.0
"""Metres."""


def _draw_job(job: Path, out: Path) -> None:
    """The child's work: read the job, draw, write the frames."""
    with np.load(job, allow_pickle=False) as arrays:
        qpos, centre, views, (width, height) = arrays["qpos"], arrays["centre"], arrays["view"], arrays["size"].tolist()
        feet, foot = arrays["feet"], arrays["foot"]  # (T, 2, 3) colours, (ngeom,) the foot that a geom is of
        soles = arrays["soles"]  # (S, 8) part, foot, middle and half sides of a box
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
            for side in (0, 1):
                model.geom_rgba[foot == side, :3] = feet[k, side]
            renderer.update_scene(data, view)
            _add_grid(renderer.scene, centre[k])
            for sole in soles:
                _add_sole(renderer.scene, data, int(sole[0]), sole[2:5], sole[5:], feet[k, int(sole[1])])
            frames[k] = renderer.render()
    frames[(frames == 0).all(axis=-1)] = BACKGROUND
    np.save(out, frames)


def _add_sole(
    scene: mujoco.MjvScene, data: mujoco.MjData, part: int, at: np.ndarray, half: np.ndarray, colour: np.ndarray
) -> None:
    """A box (3,), (3,) in the frame of a body."""
    if scene.ngeom < scene.maxgeom:
        turn = data.xmat[part]
        place, kind = data.xpos[part] + turn.reshape(3, 3) @ at, mujoco.mjtGeom.mjGEOM_BOX
        rgba = np.array([*colour, 1.0], np.float32)
        mujoco.mjv_initGeom(scene.geoms[scene.ngeom], kind, half, place, turn, rgba)
        scene.ngeom += 1


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
