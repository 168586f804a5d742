"""`morphloop export POLICY --onnx FILE`: a policy for those who deploy it, and a motion beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from morphloop.base import MotionError
from morphloop.base.threads import fixed_threads
from morphloop.motion.config import ReadingConfig

from .console import DONE, policy_file, writable_files
from .exports import Exporter

if TYPE_CHECKING:
    from morphloop.sim import Body


@dataclass(frozen=True, kw_only=True)
class Export(ReadingConfig):
    """Write a policy as ONNX, with gains, action scale, default pose, joint names and observation layout as metadata.

    With --clip the motion that it is to follow is written beside it, FILE with .npz, in mjlab's layout at the policy's
    rate: the pair that deployers of mjlab's policies take. Needs the package onnx (`pip install 'morphloop[export]'`).
    """

    policy: Annotated[str, tyro.conf.Positional]
    """File of the imitator, or `shipped`."""
    onnx: Path
    """File to write."""
    body: str | None = None
    """Body that the policy drives: a built-in one (`smpl`, `g1`), a robot's MJCF (.xml), or a SMPL model file; `smpl`
    if left out."""
    clip: Path | None = None
    """Motion file to write beside it; a person's is retargeted to a robot first."""
    blend: float = 0.0
    """Seconds of a way from the body's stand to the motion and back."""

    @fixed_threads()
    def run(self) -> int:
        from morphloop.imitator import load_policy
        from morphloop.imitator.training.onnx_file import write_onnx
        from morphloop.sim import driven_body

        body = driven_body(self.body)
        path = policy_file(self.policy)
        if path is None or self.policy == "zero":
            raise MotionError(f"'{self.policy}' is no policy to write, expected a file or 'shipped'")
        policy = load_policy(path, body)
        writable_files(self.onnx)
        print(write_onnx(self.onnx, policy, body))
        if self.clip is not None:
            print(self._motion(self.clip, body))
        return DONE

    def _motion(self, clip: Path, body: Body) -> Path:
        """Write the motion, on the policy's body and at its rate."""
        from morphloop.motion import read_motion
        from morphloop.sim import for_tracking, robot_of

        read = read_motion(clip, self.fps, robot_of(body), ReadingConfig.of(self))
        exporter = Exporter("mjlab", body, body.control_hz, self.blend)
        path = self.onnx.with_suffix(".npz")
        exporter.write(path, *exporter.made(for_tracking(read, body)))
        return path
