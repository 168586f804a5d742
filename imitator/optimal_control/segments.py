"""Segments of clips to track, and what a trajectory optimiser made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphloop.sim import Recorder


@dataclass(frozen=True)
class Label:
    """What the optimiser did in a state: qpos (nq,), qvel (nv,), foot force (2,), offsets (nu,) on the PD targets.

    gain: (nu, 2 nv) by how much less it would have asked for in a state that is a tangent step further, if known.
    """

    clip: int
    frame: int
    qpos: np.ndarray
    qvel: np.ndarray
    force: np.ndarray
    offset: np.ndarray
    gain: np.ndarray | None = None


@dataclass(frozen=True)
class Track:
    """A tracked segment: the recorder of what was executed, a label a control step, whether it reached its end, and how
    many control steps were simulated for that."""

    recorder: Recorder
    labels: list[Label]
    completed: bool
    steps: int = 0


@dataclass(frozen=True)
class Segment:
    """What to track: frames `frame` to `stop` (its end if None) of a library's clip.

    state: integration state (S,) to start from, the reference's own if None; shake: standard deviation of noise on what
    is executed, radians, while the labels stay clean (DART, Laskey et al. 2017); seed: of all noise.
    """

    clip: int
    frame: int = 0
    stop: int | None = None
    state: np.ndarray | None = None
    shake: float = 0.0
    seed: int = 0


def fork(recorder: Recorder, at: int, state: np.ndarray) -> Recorder:
    """A recorder that stands where another stood before its control step `at`, in integration state (S,)."""
    twin = Recorder(recorder.body, recorder.qpos[at], recorder.qvel[at], state)
    twin.start = recorder.start
    twin.qpos, twin.qvel = recorder.qpos[: at + 1], recorder.qvel[: at + 1]
    twin.ctrl, twin.force = recorder.ctrl[:at], recorder.force[: at + 1]
    return twin
