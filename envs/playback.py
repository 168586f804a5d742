"""How clips are played to environments that differ: at a speed of each one's own, to a body of each one's own size.

A body larger by a factor goes where the clip goes in lengths larger by it, so that what stood on the ground stands; a
clip played faster has its velocities scaled. Both are what a similar motion of a similar body is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from morphloop.sim import JointState, Kinematics

from .reference import MotionLibrary


@dataclass(frozen=True)
class Playback:
    """speed: (N,) frames of a clip that pass in a control step; size: (N,) lengths of the body over the clip's."""

    speed: torch.Tensor
    size: torch.Tensor

    def of(self, ids: torch.Tensor) -> Playback:
        """Environments `ids` (K,) alone."""
        return Playback(self.speed[ids], self.size[ids])

    def joints(self, library: MotionLibrary, clip: torch.Tensor, phase: torch.Tensor) -> JointState:
        """Reference state of clips (N,) at moments (N,), frames."""
        found = library.joints_between(library.between(clip, phase))
        size, speed = self.size[:, None, None], self.speed[:, None, None]
        return JointState(size * found.pos, found.rot, size * speed * found.vel, speed * found.ang)

    def preview(
        self, library: MotionLibrary, clip: torch.Tensor, phase: torch.Tensor, ahead: torch.Tensor, joints: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nearest rows (N, A) and positions (N, A K, 3) of `joints` (K,), `ahead` (A,) control steps after `phase`."""
        at = library.between(clip[:, None], phase[:, None] + self.speed[:, None] * ahead)
        first, last = (library.state.pos[rows[..., None], joints] for rows in (at.before, at.after))
        places = torch.lerp(first, last, at.share[..., None, None])
        return at.nearest, self.size[:, None, None] * places.flatten(1, 2)

    def target(
        self, library: MotionLibrary, clip: torch.Tensor, phase: torch.Tensor, lead: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nearest rows (N,) and PD targets (N, nu), which lead the clip by `lead` (nu,) seconds at its own speed."""
        at = library.between(clip, phase)
        faster = (self.speed - 1.0)[:, None] * lead * at.line(library.qvel)[:, library.coordinates.servo_dofs]
        return at.nearest, at.line(library.target) + faster

    def start(
        self, library: MotionLibrary, clip: torch.Tensor, phase: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """qpos (N, nq) and qvel (N, nv) of a body that moves as the clip does."""
        at = library.between(clip, phase)
        qpos, qvel = library.qpos_between(at), self.speed[:, None] * at.line(library.qvel)
        qpos[:, :3] *= self.size[:, None]
        qvel[:, :3] *= self.size[:, None]
        return qpos, qvel

    def kinematics(self, kinematics: Kinematics, qpos: torch.Tensor, qvel: torch.Tensor) -> JointState:
        """State of bodies of these sizes: that of the body the kinematics know, brought there and back by lengths."""
        scale = torch.ones_like(qvel)
        scale[:, :3] = self.size[:, None]
        place = torch.ones_like(qpos)
        place[:, :3] = self.size[:, None]
        found, size = kinematics(qpos / place, qvel / scale), self.size[:, None, None]
        return JointState(size * found.pos, found.rot, size * found.vel, found.ang)
