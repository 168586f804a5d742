"""A package of somebody else's that adds a reader, a layout of arrays, a body, a generator and two metrics."""

from pathlib import Path

import numpy as np

from morphloop.metrics import Context, Metric
from morphloop.motion import DEFAULT_SKELETON, Clip, make_corpus
from morphloop.motion.readers import Format, Layout
from morphloop.sim import Body


def standing(root_pos: np.ndarray, fps: float, name: str) -> Clip:
    """A clip that holds the rest pose along a path of the pelvis, (T, 3) metres."""
    rotations = np.zeros((len(root_pos), DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    return Clip(fps=fps, skeleton=DEFAULT_SKELETON, root_pos=root_pos, rotations=rotations, name=name)


def read_track(path, how, robot):
    return standing(np.loadtxt(path, skiprows=1), 30.0, path.stem)


PELVIS_TRACK = Format("pelvis-track", (".pelvis",), lambda head: head.startswith(b"pelvis track"), read_track)
STANDING_STILL = Layout(
    "standing-still",
    lambda values: "stands_at" in values,
    lambda values, how, path, robot: standing(np.tile(values["stands_at"], (60, 1)), 30.0, path.stem),
    marks=({"stands_at"},),
)


def body() -> Body:
    return Body(joints="hinge", name="example")


class Stock:
    """A generator that has its motions in stock. size: what stands behind the colon of --generator example:SIZE."""

    can_finetune, report = False, None

    def __init__(self, size=None):
        self.size = size

    def generate(self, prompts, seed, seconds=(3.0, 4.0)):
        return make_corpus(len(prompts), seed)

    def finetune(self, accepted, replay, config=None):
        raise NotImplementedError

    def hash(self):
        return f"stock {self.size}"

    def save(self, folder):
        Path(folder).mkdir(parents=True)
        return Path(folder)


def heights(seen: Context) -> dict:
    height = seen.points.positions[:, 0, 2]
    if height.max() > 1.5:
        raise ArithmeticError("too high for this metric")
    return {
        "example_height_m": float(height.mean()),
        "example_rise_m": float(height.max() - height.min()),
        "slide_mean_mm_s": -1.0,  # no metric of this package: it is left out
    }


HEIGHTS = (
    Metric("example_height_m", "m", "mean height of the pelvis", "example-plugin", heights, better=""),
    Metric("example_rise_m", "m", "highest less lowest pelvis", "example-plugin", heights, better=""),
)
