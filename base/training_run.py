"""A training as a loop of a few lines: optimiser, schedule, log, checkpoint, time limit.

A run ends at its steps, towards which the learning rate falls along a half cosine; minutes, if there are any, cut it
short. Whoever draws batches by (seed, step) sees after a resumption what an unbroken run would have seen.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .budget import Budget
from .curves import tell_curves
from .errors import MotionError
from .still_valid import basis, check_same
from .threads import held_threads
from .time_limit import TimeLimit
from .weights import load_tensors, save_tensors

log = logging.getLogger("morphloop.training")

FREE = ("config.budget.minutes", "config.budget.log_every", "config.budget.save_every")
"""What may differ when a training is taken up."""
OnStop = Callable[[str], None]
"""Told in words what a time limit cut short."""


def no_stop(why: str) -> None:
    """Tells nobody."""


class TrainingRun:
    """Optimiser, schedule, log and checkpoint around a loop: `for step in run: run.update(loss, figures)`.

    code: folders of morphloop that it rests on; checkpoint: file that is gone on from and written to; made: what the
    training is made of, beside model and budget; kept: parameters that weight decay leaves alone. What needs no
    gradient is not trained. MotionError if the checkpoint is of another training.
    """

    def __init__(
        self,
        model: nn.Module,
        budget: Budget,
        code: Sequence[str],
        checkpoint: Path | None = None,
        made: Mapping[str, Any] | None = None,
        kept: Sequence[torch.Tensor] = (),
    ) -> None:
        self.model, self.budget, self.checkpoint = model, budget, checkpoint
        self.basis = basis(code, made or {}, {"budget": asdict(budget), "threads": held_threads()})
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        undecayed = [p for p in self.trained.values() if any(p is one for one in kept)]
        decayed = [p for p in self.trained.values() if not any(p is one for one in kept)]
        groups = [{"params": decayed}] + ([{"params": undecayed, "weight_decay": 0.0}] if undecayed else [])
        self.optimizer = torch.optim.AdamW(groups, budget.learning_rate, weight_decay=budget.weight_decay)
        self.step, self.figures = 0, {}
        self.limit = TimeLimit(None if budget.minutes is None else 60 * budget.minutes)
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint)

    def __iter__(self) -> Iterator[int]:
        while (progress := self.step / self.budget.steps) < 1 and self.limit.go_on():
            rising = min(1.0, (self.step + 1) / max(self.budget.warmup, 1))
            for group in self.optimizer.param_groups:
                group["lr"] = (
                    self.budget.learning_rate * rising * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
                )
            yield self.step
            self.step += 1
            if self.step % self.budget.log_every == 0:
                shown = " ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
                log.info("step %d  %.0f s  %s", self.step, self.limit.spent, shown)
                tell_curves(self.step, {f"train/{name}": value for name, value in self.figures.items()})
            if self.checkpoint is not None and self.step % self.budget.save_every == 0:
                self._save(self.checkpoint)

    @property
    def stopped(self) -> str | None:
        """What the time limit cut short in words, None if it did not."""
        return self.limit.told(self.step, self.budget.steps, "steps")

    def update(self, loss: torch.Tensor, **figures: float) -> None:
        """One optimiser step. Raises MotionError if the loss is no number any more."""
        if not bool(torch.isfinite(loss)):
            raise MotionError(f"training: the loss is {float(loss)} at step {self.step}, lower the learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimizer.step()
        self.figures = {"loss": float(loss.detach()), **figures}

    def _save(self, path: Path) -> None:
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.trained.items():
            tensors |= {f"adam/{name}/{key}": value for key, value in self.optimizer.state[parameter].items()}
        meta = {"step": str(self.step), "spent_s": str(self.limit.spent), "basis": json.dumps(self.basis)}
        save_tensors(path, tensors, meta)

    def _resume(self, path: Path) -> None:
        tensors, meta = load_tensors(path)
        try:
            check_same(path, json.loads(meta.get("basis", "null")), self.basis, "a training", FREE)
            weights = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
            self.model.load_state_dict(weights)
            for name, parameter in self.trained.items():
                if f"adam/{name}/step" not in tensors:
                    continue  # it had no gradient yet
                state = {key: tensors[f"adam/{name}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
                self.optimizer.state[parameter] = state
            self.step, self.limit = int(meta["step"]), TimeLimit(self.limit.seconds, float(meta["spent_s"]))
        except MotionError:
            raise
        except (KeyError, TypeError, RuntimeError, ValueError):
            raise MotionError(f"{path}: not a checkpoint of this model, remove it or choose another folder") from None
        log.info("resumed at step %d from %s", self.step, path)
