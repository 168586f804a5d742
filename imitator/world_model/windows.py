"""Windows of what the simulator did: what a world model learns from, and where imagined roll-outs begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch

from morphloop.base import MotionError
from morphloop.sim import Body


@dataclass(frozen=True)
class Windows:
    """B windows of T control steps.

    qpos: (T + 1, B, nq); qvel: (T + 1, B, nv); foot_force: (T + 1, B, 2) newtons; ctrl: (T, B, nu) PD targets between;
    clip, frame: (T + 1, B) of the reference; steps: (T + 1, B) since the episode began; fresh: (T + 1, B) bool, whether
    the state is a start, which no physics led to
    """

    qpos: torch.Tensor
    qvel: torch.Tensor
    foot_force: torch.Tensor
    ctrl: torch.Tensor
    clip: torch.Tensor
    frame: torch.Tensor
    steps: torch.Tensor
    fresh: torch.Tensor

    @property
    def num_steps(self) -> int:
        return len(self.ctrl)

    def state(self, t: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """qpos, qvel and foot_force at step t."""
        return self.qpos[t], self.qvel[t], self.foot_force[t]

    def transitions(self) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...], torch.Tensor]:
        """States before, states after and PD targets of the K control steps of all windows that physics made."""
        made = ~self.fresh[1:]
        states = (self.qpos, self.qvel, self.foot_force)
        return tuple(s[:-1][made] for s in states), tuple(s[1:][made] for s in states), self.ctrl[made]


def window_widths(body: Body) -> dict[str, tuple[int, ...]]:
    """Shape of a number of `Windows` at a step, by its name."""
    model = body.model
    return {
        "qpos": (model.nq,), "qvel": (model.nv,), "foot_force": (2,), "ctrl": (model.nu,),
        "clip": (), "frame": (), "steps": (), "fresh": (),
    }  # fmt: skip


def empty_windows(body: Body, steps: int, count: int, device: torch.device) -> Windows:
    """`count` windows of `steps` control steps, to be written."""
    kinds = {"clip": torch.long, "frame": torch.long, "steps": torch.long, "fresh": torch.bool}
    return Windows(
        **{
            name: torch.zeros(
                steps + (name != "ctrl"), count, *width, dtype=kinds.get(name, torch.float32), device=device
            )
            for name, width in window_widths(body).items()
        }
    )


class Replay:
    """The latest windows of N environments, the oldest ones overwritten.

    kept: windows of each environment. added: how many of each were added so far.
    """

    def __init__(self, body: Body, num_envs: int, steps: int, kept: int, device: torch.device):
        self.num_envs, self.kept, self.added = num_envs, kept, 0
        self.windows = empty_windows(body, steps, kept * num_envs, device)

    def add(self, windows: Windows) -> None:
        """Take a window of every environment."""
        if windows.qpos.shape[1] != self.num_envs:
            raise MotionError(f"windows of {windows.qpos.shape[1]} environments given, expected {self.num_envs}")
        first = self.added % self.kept * self.num_envs
        for item in fields(Windows):
            getattr(self.windows, item.name)[:, first : first + self.num_envs] = getattr(windows, item.name)
        self.added += 1

    def __len__(self) -> int:
        """Windows that are there."""
        return min(self.added, self.kept) * self.num_envs

    def draw(self, count: int, steps: int | None = None) -> Windows:
        """`count` windows, or stretches of so many control steps of them, any as likely, from torch's global stream."""
        own = self.windows
        steps, device = steps or own.num_steps, own.qpos.device
        pick = torch.randint(len(self), (count,), device=device)
        first = torch.randint(own.num_steps - steps + 1, (count,), device=device)
        at = first + torch.arange(steps + 1, device=device)[:, None]
        states = {item.name: getattr(own, item.name)[at, pick] for item in fields(Windows) if item.name != "ctrl"}
        return Windows(ctrl=own.ctrl[at[:-1], pick], **states)

    def draw_states(self, count: int) -> Windows:
        """`count` windows of no control step: states drawn from all but the last of the windows."""
        own = self.windows
        device = own.qpos.device
        pick = torch.randint(len(self), (count,), device=device)
        step = torch.randint(own.num_steps, (count,), device=device)
        names = [item.name for item in fields(Windows) if item.name != "ctrl"]
        return Windows(ctrl=own.ctrl[:0, pick], **{name: getattr(own, name)[step, pick][None] for name in names})

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it by name."""
        return {**vars(self.windows), "added": torch.tensor(self.added)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Inverse of `tensors`."""
        self.added = int(tensors["added"])
        for item in fields(Windows):
            getattr(self.windows, item.name).copy_(tensors[item.name])
