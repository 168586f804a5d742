"""What bodies see of themselves and of their clips, and the PD targets on which a policy's actions are offsets."""

from __future__ import annotations

import torch

from morphloop.sim import Body, JointState, Kinematics

from . import observations
from .balance import Balance
from .playback import Playback
from .reference import MotionLibrary

ACTION_LIMIT = 3.0


def action_scale(body: Body) -> torch.Tensor:
    """(nu,) radians an action of one asks for, in actuator order."""
    return torch.tensor([dof.action_scale for dof in body.dofs])


def observation_terms(body: Body) -> dict[str, int]:
    """Numbers of each term of an observation, in its order. Vectors are in the root's heading frame."""
    joints, ahead = body.skeleton.num_joints, len(observations.FUTURE_STEPS)
    return {
        "root_height": 1,
        "joint_pos_from_root": 3 * (joints - 1),
        "joint_rot_6d": 6 * joints,
        "root_lin_and_ang_vel": 6,
        "dof_vel_tenth": int(body.model.nu),
        "foot_load": 2,
        "next_frame_pos_difference": 3 * joints,
        "next_frame_rot_difference_6d": 6 * joints,
        "next_frame_lin_vel_difference": 3 * joints,
        "next_frame_ang_vel_difference_tenth": 3 * joints,
        "preview_pos_from_root": 3 * len(body.preview) * ahead,
        "planted_feet": 2 * (1 + ahead),
    }


def observation_size(body: Body) -> int:
    """D, numbers in an observation of this task."""
    return sum(observation_terms(body).values())


def _own_size(body: Body) -> int:
    """Numbers of proprioception, which an observation begins with."""
    joints = body.skeleton.num_joints
    return 1 + 3 * (joints - 1) + 6 * joints + 6 + int(body.model.nu) + 2


def observation_layout(body: Body) -> str:
    """What stands where in an observation, in words; a policy is of use where it reads what it was taught on."""
    ahead = ", ".join(map(str, observations.FUTURE_STEPS))
    return (
        "root height, joint positions and 6-D rotations, root velocity and spin, joint velocities, load on the feet; "
        "of the next frame less the body: positions, 6-D rotations, velocities, spins; later positions of "
        f"{', '.join(body.description.preview)} after {ahead} steps; planted feet then"
    )


def feedback_entries(body: Body) -> torch.Tensor:
    """(D,) bool: the numbers of an observation that say how far the body is from the clip and what stands: root height,
    load on the feet, the difference to the next frame, planted feet. Left out are absolute pose and preview, by which a
    network can tell one clip from another."""
    joints = body.skeleton.num_joints
    own = _own_size(body)
    seen = torch.zeros(observation_size(body), dtype=torch.bool)
    seen[0] = True
    seen[own - 2 : own + 15 * joints] = True
    seen[-2 * (1 + len(observations.FUTURE_STEPS)) :] = True
    return seen


def measurable_entries(body: Body) -> torch.Tensor:
    """(D,) bool: the numbers of an observation that a robot can measure of itself by encoders and an inertial unit, and
    what the clip means. Left out is what needs its place and velocity in the world, or sensors under its feet: height,
    linear velocity, load on the feet, the differences of positions and velocities, and the preview, which is of places.
    """
    blind = ("root_height", "foot_load", "next_frame_pos_difference", "next_frame_lin_vel_difference")
    blind += ("preview_pos_from_root",)
    parts = []
    for name, size in observation_terms(body).items():
        seen = torch.full((size,), name not in blind)
        if name == "root_lin_and_ang_vel":
            seen[:3] = False
        parts.append(seen)
    return torch.cat(parts)


class Observer:
    """Observations and PD targets of bodies against a library: what the task, projection and distillation share.

    body: the body; library: prepared clips on the device to work on.
    """

    def __init__(self, body: Body, library: MotionLibrary, device: torch.device | str = "cpu"):
        self.body, self.library = body, library
        self.kinematics = Kinematics(body, device)
        self.balance = Balance(body, device)
        self.scale = action_scale(body).to(device)
        self.preview_joints = torch.as_tensor(body.preview, device=device)
        self.ahead = torch.tensor(observations.FUTURE_STEPS, device=device)
        self.dof_ids = self.kinematics.coordinates.servo_dofs
        model = body.model
        lead = -model.actuator_biasprm[:, 2] / model.actuator_gainprm[:, 0]  # seconds
        self.lead = torch.as_tensor(lead, dtype=torch.float32, device=device)
        self.feet = torch.as_tensor(body.feet, device=device)

    def reference(self, clip: torch.Tensor, frame: torch.Tensor, play: Playback | None = None) -> JointState:
        """Reference state of clips (N,) at frames (N,), which need not be whole where `play` tells how they run."""
        if play is None:
            return self.library.joints(self.library.rows(clip, frame))
        return play.joints(self.library, clip, frame)

    def observe(
        self,
        state: JointState,
        qvel: torch.Tensor,
        foot_force: torch.Tensor,
        clip: torch.Tensor,
        frame: torch.Tensor,
        play: Playback | None = None,
    ) -> torch.Tensor:
        """(N, D) observation at reference frame `frame` (N,) of clips (N,)."""
        frame_b = observations.heading_frame(state)
        dof_vel = qvel[:, self.dof_ids].to(state.pos.dtype)
        load = foot_force.to(state.pos.dtype) / self.body.force_unit
        if play is None:
            rows = self.library.rows(clip[:, None], frame[:, None] + 1 + self.ahead)
            future = self.library.state.pos[rows[..., None], self.preview_joints].flatten(1, 2)
            now, following = self.library.rows(clip, frame + 1), self.reference(clip, frame + 1)
        else:
            rows, future = play.preview(self.library, clip, frame, 1 + self.ahead, self.preview_joints)
            now = self.library.between(clip, frame + play.speed).nearest
            following = self.reference(clip, frame + play.speed, play)
        planted = torch.cat([self.library.planted[now], self.library.planted[rows].flatten(1)], dim=1)
        return torch.cat(
            [
                observations.proprioception(state, frame_b, dof_vel, load),
                observations.tracking_difference(state, frame_b, following),
                observations.preview(state, frame_b, future),
                planted.to(state.pos.dtype),
            ],
            dim=1,
        )

    def base(
        self, state: JointState, clip: torch.Tensor, frame: torch.Tensor, play: Playback | None = None
    ) -> torch.Tensor:
        """(N, nu) PD targets of bodies that nobody drives: the clip's next ones, and the balance feedback."""
        if play is None:
            rows = self.library.rows(clip, frame + 1)
            target = self.library.target[rows]
        else:
            rows, target = play.target(self.library, clip, frame + play.speed, self.lead)
        return target + self.balance(state, self.reference(clip, frame, play), self.library.planted[rows])

    def offsets(self, action: torch.Tensor) -> torch.Tensor:
        """(N, nu) radians that actions (N, nu) add to PD targets."""
        return self.scale * torch.clamp(action, -ACTION_LIMIT, ACTION_LIMIT)
