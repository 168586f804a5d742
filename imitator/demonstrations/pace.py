"""How fast a policy learns from demonstrations on this machine, from some seconds of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from morphloop.base import MotionError
from morphloop.envs import make_reference
from morphloop.envs.config import PREPROCESSING, ConditioningConfig
from morphloop.motion import Clip
from morphloop.sim import Body

from ..training.policy import Policy
from .config import DistilConfig, UpdateConfig
from .demonstrations import MIN_STEPS, load_demonstration, record
from .distil import distil

SHOWN_S = (MIN_STEPS + 8) / 30.0
"""Seconds of the clip that is demonstrated: long enough to be kept."""
TRIALS = ((6, 1), (2, 21))
"""Control steps of all bodies, and gradient steps after them, that are timed."""


@dataclass(frozen=True)
class LearningPace:
    """step_s: a control step of all bodies; batch_s: a gradient step."""

    step_s: float
    batch_s: float

    def learn_s(self, config: DistilConfig) -> float:
        """Seconds of all updates."""
        return config.updates * (config.steps * self.step_s + config.batches * self.batch_s)


def measure_learning(
    policy: Policy, clips: Sequence[Clip], body: Body, config: UpdateConfig, how: ConditioningConfig = PREPROCESSING
) -> LearningPace | None:
    """Distil the beginning of a clip into a copy of the policy, a few steps long; None where the expert can show the
    beginning of none of these clips.

    how: what is done to the clips before they are tracked.
    """
    with TemporaryDirectory(prefix="morphloop-pace-") as name:
        for place, clip in enumerate(clips):
            path = Path(name) / f"{place}.npz"
            try:
                reference = make_reference(clip.slice(0, round(SHOWN_S * clip.fps)), body, how)
                record(reference, path, body, config.expert)
            except MotionError:
                continue
            shown = load_demonstration(path, body, reference)
            if shown is not None:
                break
        else:
            return None
    took = []
    for steps, batches in TRIALS:
        trial = replace(config.distil, updates=1, steps=steps, batches=batches)
        began = [0.0]

        def start(began: list[float] = began) -> bool:
            began[0] = time.monotonic()
            return True

        distil(policy.copy(), [shown], body, trial, lambda row, began=began: took.append(_since(began)), start)
    step_s, batch_s = np.linalg.solve(np.array(TRIALS, float), took)
    return LearningPace(max(float(step_s), 0.0), max(float(batch_s), 0.0))


def _since(began: list[float]) -> float:
    return time.monotonic() - began[0]
