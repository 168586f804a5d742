"""How well a world model foresees recorded windows: the loss that it learns by, and errors beside those of two that
know nothing, of a body that stays as it is and of one that goes on as it moves.

The model is unrolled over a whole window under the recorded PD targets, from the first state or from a start on the
way, and answers for every step of it (SuperTrack).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from morphloop.sim import JointState

from .model import Foreseen, WorldModel, distances
from .windows import Windows

ERRORS = ("model_error_mm", "still_error_mm", "coasting_error_mm")
LOAD_WEIGHT, CONTACT_WEIGHT, SLIP_WEIGHT = 1.0, 0.2, 1.0
"""Of the error of the feet's load, in the body's unit of force, of their contact's cross entropy, and of the velocity
of feet that bear load, in the unit of velocities, against one of each of positions, rotations, velocities and spins in
units of what they change by in a control step. The last is for the slide penalty: what feet at rest are foreseen to
move by is all of it error, and a policy learns to avoid a slide that is none."""

Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], Foreseen]
"""Maps qpos, qvel, foot_force and PD targets, N rows, to what is a control step later."""


def limit_gradient(values: torch.Tensor, most: float) -> torch.Tensor:
    """Values (N, K) whose gradient, a row at a time, is cut to a norm of `most` on its way back."""
    if values.requires_grad:
        values.register_hook(lambda grad: grad * torch.clamp(most / (grad.norm(dim=1, keepdim=True) + 1e-12), max=1.0))
    return values


def unrolled(windows: Windows, step: Step, force_of: Callable[[Foreseen], torch.Tensor]) -> Iterator[Foreseen]:
    """What `step` foresees for each control step of windows, from its own states and anew from every start."""
    now = windows.state(0)
    for t in range(windows.num_steps):
        if t:
            now = tuple(_chosen(windows.fresh[t], *pair) for pair in zip(windows.state(t), now, strict=True))
        found = step(*now, windows.ctrl[t])
        yield found
        now = found.qpos, found.qvel, force_of(found)


def window_loss(model: WorldModel, windows: Windows, state_gradient: float) -> torch.Tensor:
    """Mean error of what the model foresees over windows, a scalar. state_gradient: largest gradient of a window's
    error that one state hands back to the one before."""
    steps, count, body = windows.num_steps, windows.qpos.shape[1], model.body
    limit = state_gradient / (count * steps)
    true = model.kinematics(windows.qpos.flatten(0, 1), windows.qvel.flatten(0, 1))  # of all control steps in one go
    now, state = windows.state(0), _at(true, 0, count)
    total = model.mean.new_zeros(())
    for t in range(steps):
        if t:
            fresh = windows.fresh[t]
            now = tuple(_chosen(fresh, *pair) for pair in zip(windows.state(t), now, strict=True))
            pairs = zip(vars(_at(true, t, count)).values(), vars(state).values(), strict=True)
            state = JointState(*(_chosen(fresh, *pair) for pair in pairs))
        qpos, qvel, force = now
        found = model(qpos, qvel, state, force, windows.ctrl[t])
        now = limit_gradient(found.qpos, limit), limit_gradient(found.qvel, limit), model.foot_force(found)
        state = model.kinematics(*now[:2])
        units = zip(distances(state, _at(true, t + 1, count)), model.unit, strict=True)
        error = sum(part / unit for part, unit in units)
        wanted = windows.foot_force[t + 1]
        load, contact = wanted / body.force_unit, (wanted > body.contact_force).to(wanted.dtype)
        slip = (state.vel - _at(true, t + 1, count).vel)[:, body.feet].abs().mean((2, 3)) / model.unit[2]
        told = nn.functional.smooth_l1_loss(now[2] / body.force_unit, load, reduction="none")
        feet = LOAD_WEIGHT * told + CONTACT_WEIGHT * nn.functional.binary_cross_entropy_with_logits(
            found.contact, contact, reduction="none"
        )
        made = ~windows.fresh[t + 1]
        total = total + torch.where(made, error + (feet + SLIP_WEIGHT * contact * slip).sum(1), 0.0).sum()
    return total / (count * steps)


def _at(states: JointState, t: int, count: int) -> JointState:
    """Those of control step t, `count` rows each."""
    return JointState(*(values[t * count : (t + 1) * count] for values in vars(states).values()))


def _chosen(fresh: torch.Tensor, true: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Rows (N, ...) of `true` where `fresh` (N,), else of `own`."""
    return torch.where(fresh.view(-1, *[1] * (own.ndim - 1)), true, own)


@torch.no_grad()
def window_errors(model: WorldModel, windows: Windows) -> dict[str, float]:
    """Mean joint position error over windows, mm: of the model, of bodies that stay where they are, and of bodies that
    go on as they move. By the names of `ERRORS`."""

    def still(qpos: torch.Tensor, qvel: torch.Tensor, foot_force: torch.Tensor, ctrl: torch.Tensor) -> Foreseen:
        return Foreseen(qpos, qvel, foot_force, foot_force)

    def coasting(qpos: torch.Tensor, qvel: torch.Tensor, foot_force: torch.Tensor, ctrl: torch.Tensor) -> Foreseen:
        return Foreseen(model.coordinates.integrate(qpos, model.coasting(qvel)), qvel, foot_force, foot_force)

    def error(step: Step, force_of: Callable[[Foreseen], torch.Tensor]) -> float:
        total, count = model.mean.new_zeros(()), windows.fresh.new_zeros((), dtype=torch.long)
        for t, found in enumerate(unrolled(windows, step, force_of)):
            made = ~windows.fresh[t + 1]
            where, true = (model.kinematics(qpos, qvel).pos for qpos, qvel in (found[:2], windows.state(t + 1)[:2]))
            total = total + torch.where(made, (where - true).norm(dim=-1).mean(1), 0.0).sum()
            count = count + made.sum()
        return 1000.0 * float(total / count.clamp(min=1))

    def known(qpos: torch.Tensor, qvel: torch.Tensor, foot_force: torch.Tensor, ctrl: torch.Tensor) -> Foreseen:
        return model(qpos, qvel, model.kinematics(qpos, qvel), foot_force, ctrl)

    steps = (known, model.foot_force), (still, lambda f: f.load), (coasting, lambda f: f.load)
    return {name: error(*each) for name, each in zip(ERRORS, steps, strict=True)}
