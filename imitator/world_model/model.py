"""The world model: one network that says where a control step under PD targets brings a body, and what its feet
bear.

In the line of SuperTrack (Fussell et al. 2021) and SuperMimic (arXiv 2610.28480): it sees a body in the frame of its
own root and foretells changes in that frame, so that where and which way it goes does not matter. What it foretells is
the change of velocity, and of position beyond what the velocity before gives; zeros are a body that moves on as it did.
The load on the feet is that of a foot in contact times the probability that it is.

A file is a safetensors archive whose header names its body; it is refused for another one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import nn

from morphloop.base import MotionError, write_atomic
from morphloop.base.random_streams import own_streams
from morphloop.base.tensors import MAX_POLICY, check_shapes, header_json, read_tensors
from morphloop.motion.rotations import quat_conj, quat_rotate, quat_to_6d
from morphloop.sim import Body, JointState, Kinematics, Servos

from ..training.policy import MAX_LAYERS, MAX_WIDTH, mlp

SCHEMA = 1
INPUT_LIMIT = 10.0
"""What the network reads is cut here, in spreads of what was recorded."""
SPREAD_FLOOR = 1e-3
"""Least spread of an input that is divided by: what never moved must not decide alone."""
CHANGE_FLOOR = 1e-6
"""Least unit of a change."""
UNITS = 4
"""Of what joints are compared by: position, rotation, velocity, spin."""


class Foreseen(NamedTuple):
    """N bodies a control step later. qpos: (N, nq); qvel: (N, nv); load: (N, 2) of each foot in contact, in the body's
    unit of force; contact: (N, 2) logits of its being in contact."""

    qpos: torch.Tensor
    qvel: torch.Tensor
    load: torch.Tensor
    contact: torch.Tensor


class WorldModel(nn.Module):
    """The dynamics of one body under its servos, differentiable.

    body: the body; servos: its servos, one for all environments; hidden: widths of the layers.
    mean, spread: (I,) of inputs; velocity_unit, position_unit: (nv,) of changes, in the root's frame; unit: (4,) how
    much joints move in a control step: m, rad, m/s, rad/s.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    velocity_unit: torch.Tensor
    position_unit: torch.Tensor
    unit: torch.Tensor

    def __init__(self, body: Body, servos: Servos, hidden: Sequence[int]):
        super().__init__()
        self.body, self.servos, self.hidden = body, servos, tuple(hidden)
        device = servos.turn.device
        self.kinematics = Kinematics(body, device)
        self.coordinates = self.kinematics.coordinates
        self.feet = torch.as_tensor(body.feet, device=device).flatten()
        self.nv, nu = int(body.model.nv), int(body.model.nu)
        balls, hinges = len(self.coordinates.turn_joint) - 1, len(self.coordinates.place_qpos) - 3
        inputs = 1 + 3 + 6 * balls + hinges + self.nv + len(self.feet) + 2 + nu
        self.net = mlp([inputs, *self.hidden, 2 * self.nv + 4])
        sizes = {"mean": inputs, "spread": inputs, "velocity_unit": self.nv, "position_unit": self.nv, "unit": UNITS}
        for name, size in sizes.items():
            self.register_buffer(name, torch.ones(size))
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.zero_()
            last.bias.zero_()

    def forward(
        self, qpos: torch.Tensor, qvel: torch.Tensor, state: JointState, foot_force: torch.Tensor, ctrl: torch.Tensor
    ) -> Foreseen:
        """Bodies (N, .) a control step on under PD targets ctrl (N, nu). state: of their joints; foot_force: (N, 2)
        newtons."""
        seen = (self.inputs(qpos, qvel, state, foot_force, ctrl) - self.mean) / self.spread
        faster, further, feet = self.net(torch.clamp(seen, -INPUT_LIMIT, INPUT_LIMIT)).split([self.nv, self.nv, 4], 1)
        root = qpos[:, 3:7]
        moved = self.coasting(qvel) + from_root(root, self.position_unit * further)
        after = self.coordinates.integrate(qpos, moved)
        qvel = qvel + from_root(root, self.velocity_unit * faster)
        return Foreseen(after, qvel, nn.functional.softplus(feet[:, :2]), feet[:, 2:])

    def coasting(self, qvel: torch.Tensor) -> torch.Tensor:
        """(N, nv) change of position in a control step at constant velocity."""
        return qvel / self.body.control_hz

    def foot_force(self, foreseen: Foreseen) -> torch.Tensor:
        """(N, 2) newtons that the feet are expected to bear."""
        return self.body.force_unit * foreseen.load * torch.sigmoid(foreseen.contact)

    def inputs(
        self, qpos: torch.Tensor, qvel: torch.Tensor, state: JointState, foot_force: torch.Tensor, ctrl: torch.Tensor
    ) -> torch.Tensor:
        """(N, I) height, the vertical, rotations, velocities, heights of the feet, load on them, how far the servos'
        targets are; in the root's frame."""
        root, coordinates = qpos[:, 3:7], self.coordinates
        vertical = torch.zeros_like(qpos[:, :3])
        vertical[:, 2] = 1.0
        gap = self.servos.gap(ctrl, coordinates.servo_angles(qpos))
        return torch.cat(
            [
                qpos[:, 2:3],
                quat_rotate(quat_conj(root), vertical),
                quat_to_6d(qpos[:, coordinates.turn_qpos[1:]]).flatten(1),
                qpos[:, coordinates.place_qpos[3:]],
                to_root(root, qvel),
                state.pos[:, self.feet, 2],
                foot_force / self.body.force_unit,
                gap,
            ],
            dim=1,
        )

    @torch.no_grad()
    def fit_units(self, before: tuple[torch.Tensor, ...], after: tuple[torch.Tensor, ...], ctrl: torch.Tensor) -> None:
        """Take the spread of inputs and changes from N recorded control steps.

        before, after: qpos (N, nq), qvel (N, nv) and foot_force (N, 2); ctrl: (N, nu) PD targets between. MotionError
        for fewer than two, which have no spread.
        """
        if len(ctrl) < 2:
            raise MotionError(
                f"{len(ctrl)} control steps recorded, a world model begins with 2 or more; expected more --envs or a "
                "longer --worldmodel.window"
            )
        (qpos, qvel, foot_force), (next_qpos, next_qvel, _) = before, after
        state, following = self.kinematics(qpos, qvel), self.kinematics(next_qpos, next_qvel)
        seen = self.inputs(qpos, qvel, state, foot_force, ctrl)
        self.mean.copy_(seen.mean(0))
        self.spread.copy_(seen.std(0).clamp(min=SPREAD_FLOOR))
        root = qpos[:, 3:7]
        faster = to_root(root, next_qvel - qvel)
        further = to_root(root, self.coordinates.difference(qpos, next_qpos) - self.coasting(qvel))
        for unit, change in ((self.velocity_unit, faster), (self.position_unit, further)):
            unit.copy_(change.square().mean(0).sqrt().clamp(min=CHANGE_FLOOR))
        self.unit.copy_(torch.stack(distances(state, following)).mean(1).clamp(min=CHANGE_FLOOR))

    def to_bytes(self) -> bytes:
        """The file's bytes; the same model gives the same bytes."""
        told = {"schema": SCHEMA, "body": self.body.name, "body_hash": self.body.hash, "hidden": list(self.hidden)}
        told["control_hz"] = self.body.control_hz
        tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(self.state_dict().items())}
        return save(tensors, metadata={"world_model": json.dumps(told, sort_keys=True)})

    def save(self, path: Path | str) -> Path:
        """Write the file atomically."""
        return write_atomic(path, lambda stream: stream.write(self.to_bytes()))


def to_root(root: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """A tangent (N, nv), or a velocity, whose linear part is in the world, with it in the frame of roots (N, 4)."""
    return torch.cat([quat_rotate(quat_conj(root), change[:, :3]), change[:, 3:]], dim=1)


def from_root(root: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_root`."""
    return torch.cat([quat_rotate(root, change[:, :3]), change[:, 3:]], dim=1)


def distances(state: JointState, other: JointState) -> list[torch.Tensor]:
    """(N,) each: how far joints are from others on average over them and their components: position (m), rotation
    (6-D), velocity (m/s) and spin (rad/s)."""
    pairs = [
        (state.pos, other.pos),
        (quat_to_6d(state.rot), quat_to_6d(other.rot)),
        (state.vel, other.vel),
        (state.ang, other.ang),
    ]
    return [(one - two).abs().mean((1, 2)) for one, two in pairs]


@own_streams()
def new_world_model(body: Body, servos: Servos, hidden: Sequence[int], seed: int = 0) -> WorldModel:
    """An untrained model, of a body that moves on as it did."""
    torch.manual_seed(seed)
    return WorldModel(body, servos, hidden).to(servos.turn.device)


@own_streams()
def load_world_model(path: Path | str, body: Body, servos: Servos) -> WorldModel:
    """Read a world model's file. MotionError if it is damaged or of another body."""
    tensors, metadata = read_tensors(path, MAX_POLICY, "world model file")
    header: Any = header_json(metadata, "world_model", path)
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise MotionError(f"{path}: has no world model header of schema {SCHEMA}")
    name, known, hidden = header.get("body"), header.get("body_hash"), header.get("hidden")
    if not body.answers_to(str(known)):
        raise MotionError(
            f"{path}: a world model of body '{name}' ({known}), asked to foresee '{body.name}' ({body.hash})"
        )
    if header.get("control_hz") != body.control_hz:
        raise MotionError(
            f"{path}: foresees steps at {header.get('control_hz')} Hz, body '{body.name}' is driven at "
            f"{body.control_hz:g} Hz"
        )
    widths = hidden if isinstance(hidden, list) else []
    fits = len(widths) <= MAX_LAYERS and all(isinstance(width, int) and 0 < width <= MAX_WIDTH for width in widths)
    if not widths or not fits:
        raise MotionError(f"{path}: world model header has hidden = {str(hidden)[:60]}, expected widths")
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in WorldModel(body, servos, widths).state_dict().items()}
    check_shapes({name: tuple(value.shape) for name, value in tensors.items()}, expected, path)
    model = WorldModel(body, servos, widths).to(servos.turn.device)
    model.load_state_dict(tensors)
    return model
