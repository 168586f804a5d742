"""Curves of a training for who listens besides its log: Weights & Biases, where `--wandb` asks for it.

A training tells its figures here (`tell_curves`), whoever runs it says who listens (`curves_to_wandb`). A listener that
fails costs the training a line, never a step.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import MotionError
from .opening import in_one_line, read_utf8
from .terminal import complain
from .writing import write_atomic

PROJECT = "morphloop"
RUN_FILE = "wandb_run.txt"
"""In a training's folder: the id of its run there, under which the same command goes on."""
_listeners: list[Callable[[int, Mapping[str, float]], None]] = []


def tell_curves(step: int, figures: Mapping[str, float | None]) -> None:
    """Tell the figures of a step to whoever listens; those that are no numbers are left out."""
    if _listeners:
        known = {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}
        for listener in list(_listeners):
            listener(step, known)


@contextmanager
def curves_to_wandb(asked: bool, out: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Where asked for, what trainings tell inside goes to a run of Weights & Biases, called as the folder is.

    config: what the run is told of itself. Of several processes the first alone tells. MotionError in one line if the
    package is not installed, or starts no run.
    """
    if not asked or os.environ.get("RANK", "0") != "0":
        yield
        return
    try:
        wandb = import_module("wandb")
    except ImportError:
        raise MotionError(
            "--wandb: wandb is not installed, expected: pip install wandb; or leave --wandb out"
        ) from None
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=out.resolve().name,
            id=_run_id(out),
            resume="allow",
            dir=str(out),
            config=dict(config),
        )
    except Exception as error:
        raise MotionError(f"--wandb: no run was started ({type(error).__name__}: {in_one_line(error)})") from error

    def listener(step: int, figures: Mapping[str, float]) -> None:
        try:
            run.log(dict(figures), step=step)
        except Exception as error:
            _listeners.remove(listener)
            complain(f"--wandb: {type(error).__name__} ({in_one_line(error)}), the training goes on without it")

    _listeners.append(listener)
    failed = 1
    try:
        yield
        failed = 0
    finally:
        if listener in _listeners:
            _listeners.remove(listener)
        try:
            run.finish(exit_code=failed)
        except Exception as error:
            complain(f"--wandb: {type(error).__name__} ({in_one_line(error)}), its end was not told")


def _run_id(out: Path) -> str:
    """The id of the folder's run, a new one where there is none."""
    path = out / RUN_FILE
    if path.is_file():
        return read_utf8(path, 256, "the id of a run").strip()
    made = secrets.token_hex(8)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda stream: stream.write(f"{made}\n".encode()))
    return made
