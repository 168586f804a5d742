"""A policy as ONNX for those who deploy it: the network with its normaliser, and in the file's metadata all that is
needed to drive a robot by it.

Metadata go by the names that mjlab writes and its deployers read (lists with commas): joint_names, joint_stiffness,
joint_damping, default_joint_pos, action_scale, observation_names. Further ones tell what is otherwise here than there:
`action_base` (on what an action is an offset), observation_sizes and observation_layout, control_hz, and which policy,
body and gains they are of.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from morphloop.base import MotionError, write_atomic
from morphloop.envs import observation_layout, observation_terms
from morphloop.envs.observer import ACTION_LIMIT
from morphloop.sim import Body, standing

from .policy import Policy

OPSET = 18
ACTION_BASE = (
    "PD targets are the reference's next joint positions (joint_pos of the motion file, a frame later than the robot), "
    "plus balance feedback of the hash balance_gains, plus action_scale times the action; not default_joint_pos"
)


class _Deployed(nn.Module):
    """Observation (N, D) to action (N, A), cut as the task cuts it."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy = policy

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.clamp(self.policy(obs), -ACTION_LIMIT, ACTION_LIMIT)


def write_onnx(path: Path | str, policy: Policy, body: Body) -> Path:
    """Write a policy for a body as ONNX: input `obs` (N, D), output `actions` (N, A), float32, any N; atomically.

    MotionError without the package onnx and for a policy of another body.
    """
    try:
        import onnx
    except ImportError:
        raise MotionError("writing ONNX needs the package onnx, expected pip install 'morphloop[export]'") from None
    if not body.driven_by(policy.spec.body_hash):
        raise MotionError(f"policy is of body '{policy.spec.body}', asked for '{body.name}'")
    model = onnx.load_from_string(_graph(policy))
    for key, value in metadata(policy, body).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, _text(value)
    onnx.checker.check_model(model)
    return write_atomic(path, lambda stream: stream.write(model.SerializeToString()))


def metadata(policy: Policy, body: Body) -> dict[str, Any]:
    """What stands in the file beside the network; lists are in the order of actions."""
    model, terms = body.model, observation_terms(body)
    stand = body.qpos_from_clip(standing(body, 0.0, body.control_hz))
    return {
        "joint_names": body.servo_names,
        "joint_stiffness": model.actuator_gainprm[:, 0].tolist(),
        "joint_damping": (-model.actuator_biasprm[:, 2]).tolist(),
        "joint_torque_limit": model.actuator_forcerange[:, 1].tolist(),
        "default_joint_pos": body.coordinates.servo_angles(stand)[0].tolist(),
        "action_scale": [dof.action_scale for dof in body.dofs],
        "action_limit": ACTION_LIMIT,
        "action_base": ACTION_BASE,
        "balance_gains": policy.spec.balance,
        "observation_names": list(terms),
        "observation_sizes": list(terms.values()),
        "observation_layout": observation_layout(body),
        "control_hz": body.control_hz,
        "body_names": body.skeleton.names,
        "robot": body.name,
        "body_hash": policy.spec.body_hash,
        "policy_hash": policy.hash,
    }


def _graph(policy: Policy) -> bytes:
    """The network's bytes, without metadata."""
    stream, said = io.BytesIO(), logging.getLogger("torch.onnx")
    level = said.level
    said.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter without onnxscript is said to go some day
            torch.onnx.export(
                _Deployed(policy).eval(),
                (torch.zeros(1, policy.spec.observation),),
                stream,  # type: ignore[arg-type]  # the older exporter takes streams
                input_names=["obs"],
                output_names=["actions"],
                dynamic_axes={"obs": {0: "batch"}, "actions": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        said.setLevel(level)
    return stream.getvalue()


def _text(value: Any) -> str:
    """A value as mjlab's deployers read it: lists with commas, numbers to nine digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ",".join(map(_text, value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)
