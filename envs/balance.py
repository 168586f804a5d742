"""Balance feedback: what keeps the servos' targets from falling over, beneath every policy and every search.

A position servo that only follows a clip has no reason to put a foot where the body falls. In the line of SIMBICON (Yin
et al. 2007) a linear law of the errors of the centre of mass and of the root, against the clip, moves the targets of
legs and lower spine; gains depend on what the clip means a leg to do: carry alone, carry with the other, or swing.
The gains were found by CMA-ES on corpus clips of the training split (`benchmarks/tune_balance.py`) and ship as files,
one for people's bodies and one for the G1. They are meant for servos as soft as the built-in body's: what comes of them
is multiplied by `Body.softness`, for softer servos give the same torque further off.
Everything it does goes through the same servos and torque limits: no force acts from outside.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch

from morphloop.motion.rotations import quat_conj, quat_mul, quat_to_rotvec
from morphloop.sim import Body, JointState
from morphloop.sim.bodies.description import BalanceServos

from .observations import heading_frame

PHASES = ("single", "double", "swing")
"""What the clip means a leg to do: carry alone, carry with the other leg, or move."""
AXES = ("x", "y", "z")
FEATURES = tuple(f"{name}_{axis}" for name in ("com", "com_velocity", "tilt", "spin") for axis in AXES)
"""Errors of centre of mass (m), its velocity, the root's orientation (rotation vector) and spin, heading frame."""
FEATURE_SCALE = (5.0, 1.5, 5.0, 0.5)
"""Of com (per m), com velocity (per m/s), tilt (per rad) and spin (per rad/s): about one at what nearly fails."""
FEATURE_LIMIT = 3.0
OFFSET_LIMIT = 0.8
"""Radians that the law may move a target at most, of servos as soft as the built-in body's."""
MIRROR_FEATURES = (1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1)
"""Signs of the features for the right leg, so that one set of gains serves both."""


@dataclass(frozen=True)
class BalanceGains:
    """Gains of the law, radians (at a softness of 1) per scaled feature; E is 1, or one set for every environment.

    leg: (E, 3 K, 12) by phase x degree of freedom of a leg, feature; spine: (E, S, 12) by degree of freedom of the
    spine, feature; both in the order of the body's `BalanceServos`.
    """

    leg: torch.Tensor
    spine: torch.Tensor

    @property
    def hash(self) -> str:
        """Content hash, which a policy trained over this law carries."""
        data = self.leg.double().numpy().tobytes() + self.spine.double().numpy().tobytes()
        return hashlib.sha256(data).hexdigest()[:16]


NO_SERVOS = BalanceServos((), ((), ()), ())
"""Of a body without such a law."""
Term = tuple[str | None, str, str, float]
"""Phase (None for the spine), degree of freedom as `BalanceServos` calls it, feature, gain."""


def gains_from_terms(terms: list[Term], body: Body) -> BalanceGains:
    """Gains of a body that are zero but for the given terms."""
    return _gains(terms, body.description.balance or NO_SERVOS)


def _gains(terms: list[Term], servos: BalanceServos) -> BalanceGains:
    leg = torch.zeros(1, len(PHASES), len(servos.names), len(FEATURES))
    spine = torch.zeros(1, len(servos.spine), len(FEATURES))
    for phase, dof, feature, gain in terms:
        if phase is None:
            spine[0, servos.spine.index(dof), FEATURES.index(feature)] = gain
        else:
            leg[0, PHASES.index(phase), servos.names.index(dof), FEATURES.index(feature)] = gain
    return BalanceGains(leg.flatten(1, 2), spine)


def default_gains(body: Body) -> BalanceGains:
    """The gains that ship for a body, from the file in `assets/` that its description names; zero without any."""
    return _shipped(body.description.balance or NO_SERVOS)


@cache
def _shipped(servos: BalanceServos) -> BalanceGains:
    if servos.gains is None:
        return _gains([], servos)
    rows = json.loads(files("morphloop.assets").joinpath(servos.gains).read_text())["gains"]
    return _gains([tuple(row[key] for key in ("phase", "dof", "feature", "gain")) for row in rows], servos)


class Balance:
    """The law for one body on one device.

    body: the body; gains: those that ship if None.
    """

    def __init__(self, body: Body, device: torch.device | str = "cpu", gains: BalanceGains | None = None):
        gains, servos = gains or default_gains(body), body.description.balance or NO_SERVOS
        self.gains = BalanceGains(gains.leg.to(device), gains.spine.to(device))

        def places(names: tuple[str, ...]) -> torch.Tensor:
            return torch.tensor([body.servo_names.index(name) for name in names], dtype=torch.long, device=device)

        self.legs, self.spine = [places(leg) for leg in servos.legs], places(servos.spine)
        self.size, self.softness = int(body.model.nu), body.softness
        self.masses = torch.as_tensor(body.joint_masses / body.mass, dtype=torch.float32, device=device)
        self.scale = torch.tensor(FEATURE_SCALE, device=device)[:, None]
        self.mirror_features = torch.tensor(MIRROR_FEATURES, dtype=torch.float32, device=device)
        self.mirror_dofs = torch.tensor(servos.mirror, dtype=torch.float32, device=device)

    def features(self, state: JointState, reference: JointState) -> torch.Tensor:
        """(N, 12) scaled errors in the heading frame of the body, see `FEATURES`."""
        turn = quat_to_rotvec(quat_mul(state.rot[:, 0], quat_conj(reference.rot[:, 0])))
        com = torch.einsum("j,njk->nk", self.masses, state.pos - reference.pos)
        rush = torch.einsum("j,njk->nk", self.masses, state.vel - reference.vel)
        errors = torch.stack([com, rush, turn, state.ang[:, 0] - reference.ang[:, 0]], dim=1)
        scaled = (errors @ heading_frame(state).mT) * self.scale
        return scaled.flatten(1).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    def __call__(self, state: JointState, reference: JointState, planted: torch.Tensor) -> torch.Tensor:
        """(N, nu) radians to add to PD targets.

        state, reference: of the same moment; planted: (N, 2) bool, which feet the clip means to stand next.
        """
        features = self.features(state, reference)
        out = features.new_zeros(len(features), self.size)
        stands = planted.to(features.dtype)
        for side, leg in enumerate(self.legs):
            own, other = stands[:, side], stands[:, 1 - side]
            phase = torch.stack([own * (1.0 - other), own * other, 1.0 - own], dim=1)
            seen = features if side == 0 else features * self.mirror_features
            moved = (phase[..., None] * _apply(self.gains.leg, seen).unflatten(1, (len(PHASES), len(leg)))).sum(1)
            out[:, leg] = moved if side == 0 else moved * self.mirror_dofs
        out[:, self.spine] = _apply(self.gains.spine, features)
        return self.softness * out.clamp(-OFFSET_LIMIT, OFFSET_LIMIT)


def _apply(gains: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Gains (1, K, F) for all or (N, K, F) one set an environment, times features (N, F): (N, K)."""
    if len(gains) == 1:
        return features @ gains[0].mT
    return torch.einsum("nkf,nf->nk", gains, features)
