"""The policy and its one file format, the same whoever trained it: an MLP with its normaliser inside.

A file is a safetensors archive whose header says which body, which gains and which observation layout it was trained
for; loading it for anything else is refused, naming both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from morphloop.base import MotionError, write_atomic
from morphloop.base.random_streams import own_streams
from morphloop.base.tensors import MAX_POLICY, check_shapes, header_json, read_tensors
from morphloop.envs import default_gains, observation_layout, observation_size
from morphloop.sim import Body, default_body

from .config import WIDTHS

SCHEMA = 2
OBSERVATION_CLIP = 8.0
"""Normalised observations are cut here, standard deviations."""

CONTROL_HZ = 30.0
UNTOLD = {"action_scale": (), "control_hz": CONTROL_HZ}
"""What a file says by not telling it."""
HIDDEN = 1e9
"""Spread in the normaliser of a number that the network is not to see."""


@dataclass(frozen=True)
class PolicySpec:
    """What a policy was made for.

    body: name; body_hash: of the compiled model, gains included; joints: actuated joints in action order;
    balance: hash of the balance gains beneath its actions; observation: numbers in an observation; layout: what they
    are, in words; action: numbers in an action; hidden: widths of the layers; action_scale: radians that each number of
    an action adds to its PD target, not told in files from before bodies described themselves; control_hz: actions a
    second, told where it is not 30
    """

    body: str
    body_hash: str
    balance: str
    joints: tuple[str, ...]
    observation: int
    layout: str
    action: int
    hidden: tuple[int, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    action_scale: tuple[float, ...] = ()
    control_hz: float = CONTROL_HZ


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ELU between them."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ELU()]
    return nn.Sequential(*layers[:-1])


class Policy(nn.Module):
    """Deterministic policy: observation (N, D) to action (N, A); carries a value function for further training.

    spec: what it is for; log_std: (A,) exploration noise; mean, std: (D,) of the observations it was trained on.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, spec: PolicySpec):
        super().__init__()
        self.spec = spec
        self.actor = mlp([spec.observation, *spec.hidden, spec.action])
        self.critic = mlp([spec.observation, *spec.hidden, 1])
        self.log_std = nn.Parameter(torch.full((spec.action,), -2.0))
        self.register_buffer("mean", torch.zeros(spec.observation))
        self.register_buffer("std", torch.ones(spec.observation))

    def normalise(self, obs: torch.Tensor) -> torch.Tensor:
        """What the network reads. (N, D) to (N, D)."""
        return torch.clamp((obs - self.mean) / self.std, -OBSERVATION_CLIP, OBSERVATION_CLIP)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.actor(self.normalise(obs))

    @torch.no_grad()
    def hide(self, hidden: torch.Tensor) -> None:
        """Have the normaliser keep the numbers `hidden` (D,) bool of an observation from the network."""
        self.std.masked_fill_(hidden.to(self.std.device), HIDDEN)

    @torch.no_grad()
    def reveal(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Let the network see what its normaliser hides, (D,) mean and spread of it, through weights of zero: it acts
        as before, and learning may use them."""
        hidden = self.std >= HIDDEN
        self.mean.copy_(torch.where(hidden, mean, self.mean))
        self.std.copy_(torch.where(hidden, std, self.std))
        for net in (self.actor, self.critic):
            first = net[0]
            assert isinstance(first, nn.Linear)
            first.weight[:, hidden] = 0.0

    @torch.no_grad()
    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Action (N, A) without exploration noise."""
        return self(obs)

    @property
    def hash(self) -> str:
        """Content hash of weights and specification."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """The file's bytes; the same policy gives the same bytes."""
        told = {name: value for name, value in vars(self.spec).items() if value != UNTOLD.get(name)}
        header = json.dumps({"schema": SCHEMA, **told}, sort_keys=True)
        tensors = {name: value.detach().contiguous() for name, value in sorted(self.state_dict().items())}
        return save(tensors, metadata={"policy": header})

    def save(self, path: Path | str) -> Path:
        """Write the file atomically."""
        return write_atomic(path, lambda stream: stream.write(self.to_bytes()))

    @own_streams()
    def copy(self) -> Policy:
        """A policy of its own with the same weights."""
        twin = Policy(self.spec)
        twin.load_state_dict(self.state_dict())
        return twin


@own_streams()
def new_policy(body: Body, hidden: Sequence[int] = WIDTHS, seed: int = 0) -> Policy:
    """An untrained policy for a body whose first action is none: the last layer starts near zero."""
    torch.manual_seed(seed)
    spec = PolicySpec(
        body=body.name,
        body_hash=body.hash,
        balance=default_gains(body).hash,
        joints=body.action_names,
        observation=observation_size(body),
        layout=observation_layout(body),
        action=int(body.model.nu),
        hidden=tuple(hidden),
        action_scale=_scales(body),
        control_hz=body.control_hz,
    )
    policy = Policy(spec)
    last = policy.actor[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(0.01)
        last.bias.zero_()
    return policy


def _scales(body: Body) -> tuple[float, ...]:
    return tuple(dof.action_scale for dof in body.dofs)


@own_streams()
def load_policy(path: Path | str, body: Body | None = None) -> Policy:
    """Read a policy file for a body, the default one if None.

    MotionError if the file is damaged, or was made for another body, balance law, observation layout or scale of
    actions.
    """
    body = body or default_body()
    tensors, metadata = read_tensors(path, MAX_POLICY, "policy file")
    header = header_json(metadata, "policy", path)
    spec = _parse_spec(header, path)
    if not body.driven_by(spec.body_hash):
        raise MotionError(
            f"{path}: made for body '{spec.body}' ({spec.body_hash}), asked to drive '{body.name}' ({body.hash})"
        )
    gains = default_gains(body).hash
    if spec.balance != gains:
        raise MotionError(f"{path}: trained over balance gains {spec.balance}, this version has {gains}, train it anew")
    if spec.observation != observation_size(body):
        raise MotionError(
            f"{path}: reads {spec.observation} numbers of observation, this task gives {observation_size(body)}"
        )
    if spec.layout != observation_layout(body):
        raise MotionError(f"{path}: reads ({spec.layout}), this task gives ({observation_layout(body)})")
    if spec.joints != body.action_names:
        raise MotionError(
            f"{path}: drives {', '.join(spec.joints)}, body '{body.name}' has {', '.join(body.action_names)}"
        )
    if spec.action_scale and spec.action_scale != _scales(body):
        raise MotionError(f"{path}: its actions are scaled otherwise than body '{body.name}' now scales them")
    if spec.control_hz != body.control_hz:
        raise MotionError(
            f"{path}: acts {spec.control_hz:g} times a second, body '{body.name}' is driven at {body.control_hz:g} Hz"
        )
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in Policy(spec).state_dict().items()}
    check_shapes({name: tuple(value.shape) for name, value in tensors.items()}, expected, path)
    policy = Policy(spec)
    policy.load_state_dict(tensors)
    return policy.eval()


MAX_LAYERS = 256
"""Longest list in a header: layers, or joints."""
MAX_WIDTH = 8192
"""Widest layer that a file may ask for: a corrupt header must not fill the memory."""


def _parse_spec(header: Any, path: Path | str) -> PolicySpec:
    """The specification in a policy file's header; MotionError naming the first field that is wrong."""
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise MotionError(f"{path}: has no policy header of schema {SCHEMA}")

    def text(value: Any) -> bool:
        return isinstance(value, str)

    def width(value: Any) -> bool:
        return isinstance(value, int) and 0 < value <= MAX_WIDTH

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def each(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
        return lambda value: isinstance(value, list) and len(value) <= MAX_LAYERS and all(map(check, value))

    expected: dict[str, tuple[Callable[[Any], bool], str]] = {
        "body": (text, "text"),
        "body_hash": (text, "text"),
        "balance": (text, "text"),
        "joints": (each(text), "a list of names"),
        "observation": (width, f"a number from 1 to {MAX_WIDTH}"),
        "layout": (text, "text"),
        "action": (width, f"a number from 1 to {MAX_WIDTH}"),
        "hidden": (each(width), f"a list of numbers from 1 to {MAX_WIDTH}"),
        "notes": (lambda value: isinstance(value, dict), "an object"),
        "action_scale": (each(number), "a list of numbers"),
        "control_hz": (number, "a number"),
    }
    header = {"action_scale": [], "control_hz": CONTROL_HZ} | header
    for name, (check, what) in expected.items():
        if not check(header.get(name)):
            raise MotionError(f"{path}: policy header has {name} = {str(header.get(name))[:60]}, expected {what}")
    return PolicySpec(
        body=header["body"],
        body_hash=header["body_hash"],
        balance=header["balance"],
        joints=tuple(header["joints"]),
        observation=header["observation"],
        layout=header["layout"],
        action=header["action"],
        hidden=tuple(header["hidden"]),
        notes=header["notes"],
        action_scale=tuple(header["action_scale"]),
        control_hz=float(header["control_hz"]),
    )
