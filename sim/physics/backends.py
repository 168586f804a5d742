"""Which backend simulates: `mujoco.batch` on the CPU, or `mujoco_warp`."""

from __future__ import annotations

from morphloop.base import MotionError

from ..bodies.body import Body
from .config import Backend
from .cpu import CpuPhysics
from .protocol import Physics
from .variation import ModelFields


def make_physics(
    body: Body,
    num_envs: int,
    backend: Backend = "cpu",
    device: str | None = None,
    models: ModelFields | None = None,
) -> Physics:
    """N bodies on a backend: "cpu" is `mujoco.batch` in double precision, "warp" `mujoco_warp` in single precision on
    `device`, "cuda:0" if None, where "cpu" serves tests.

    Raises MotionError for another backend, a device that is not there, or a body that the backend cannot simulate.
    """
    if backend == "cpu":
        if device not in (None, "cpu"):
            raise MotionError(f"backend 'cpu' runs on the CPU, got device '{device}'; expected backend 'warp' for it")
        return CpuPhysics(body, num_envs, models=models)
    if backend != "warp":
        raise MotionError(f"unknown physics backend '{backend}', expected 'cpu' or 'warp'")
    try:
        from .warp import WarpPhysics  # loads Warp, which only this backend needs
    except ImportError as error:
        raise MotionError(
            f"backend 'warp' is not installed ({error}), expected: pip install 'morphloop[gpu]'"
        ) from None
    return WarpPhysics(body, num_envs, device or "cuda:0", models=models)
