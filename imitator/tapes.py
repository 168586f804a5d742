"""Tapes: what the optimal-control refiner did along a clip, with its feedback gains, for a policy to learn from.

A tape is one clip's rollout under `IlqrRefiner`, shaken a little so that it passes through states that need correcting.
At each tick the gains say what the expert would have asked for beside the rollout too: one tape labels a whole tube
(Levine and Koltun 2013 train policies from such local controllers). One file a clip, so that recording can be killed,
resumed and shared among processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from morphloop.envs import build_library, prepare
from morphloop.motion import Clip, MotionError, write_atomic
from morphloop.sim import Body

from .ilqr import IlqrConfig, IlqrRefiner

LAST_TICKS = 12
"""Of a clip that was lost: what led there is not for learning."""
MIN_TICKS = 20


@dataclass(frozen=True)
class Tape:
    """An expert's T ticks along a clip from its first frame on.

    clip: as prepared; qpos (T, nq), qvel (T, nv), force (T, 2) before each tick; ctrl: (T, nu) servo targets meant in
    that state; gain: (T, nu, 2 nv) by how much less in a state that is a tangent step further.
    """

    clip: Clip
    qpos: np.ndarray
    qvel: np.ndarray
    force: np.ndarray
    ctrl: np.ndarray
    gain: np.ndarray

    def __len__(self) -> int:
        return len(self.ctrl)


@dataclass(frozen=True)
class TapeConfig:
    """How tapes are recorded."""

    ilqr: IlqrConfig = IlqrConfig(threads=1)
    shake: float = 0.02
    """Noise on what the expert carries out, radians."""
    seed: int = 0


def record_tapes(
    clips: Sequence[Clip],
    out: Path,
    body: Body,
    config: TapeConfig | None = None,
    go_on: Callable[[], bool] = lambda: True,
    on_tape: Callable[[str, int], None] = lambda name, ticks: None,
) -> list[Path]:
    """A tape of each clip in folder `out`, named by the clip's id; those that are there are not made again.

    go_on: asked before each clip; on_tape: told of each new tape. A clip that the expert lost at once leaves an empty
    tape, which is not listed. MotionError for a clip that cannot be tracked.
    """
    config = config or TapeConfig()
    out.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        path = out / f"{clip.id}.npz"
        if path.exists():
            continue
        if not go_on():
            break
        ticks = _record(clip, path, body, config)
        on_tape(clip.name, ticks)
    return [path for clip in clips if (path := out / f"{clip.id}.npz").exists()]


def _record(clip: Clip, path: Path, body: Body, config: TapeConfig) -> int:
    """Record one tape; returns its ticks."""
    reference = prepare(clip, body)
    refiner = IlqrRefiner(body, build_library([reference], body), config.ilqr, config.seed, keep_gains=True)
    track = refiner.track(0, shake=config.shake)
    ticks = len(track.labels) - (0 if track.completed else LAST_TICKS)
    ticks = ticks if ticks >= MIN_TICKS else 0
    labels = track.labels[:ticks]
    gains = [label.gain for label in labels if label.gain is not None]
    model = body.model
    qpos = np.array([label.qpos for label in labels]).reshape(ticks, model.nq)
    qvel = np.array([label.qvel for label in labels]).reshape(ticks, model.nv)
    force = np.array([label.force for label in labels]).reshape(ticks, 2)
    base, _ = refiner.guidance.alone(qpos, qvel, force, np.zeros(ticks, int), np.arange(ticks))
    arrays = {
        "body": np.array(body.hash),
        "qpos": qpos,
        "qvel": qvel,
        "force": force,
        "ctrl": base + np.array([label.offset for label in labels]).reshape(ticks, model.nu),
        "gain": np.array(gains, np.float16).reshape(ticks, model.nu, 2 * model.nv),
    }
    write_atomic(path, lambda stream: np.savez(stream, **arrays))
    return ticks


def load_tape(path: Path, clip: Clip, body: Body) -> Tape | None:
    """The tape of a clip, None if the expert lost it at once. MotionError if it is another body's or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["body"]) != body.hash:
                raise MotionError(f"{path}: recorded with body {file['body']}, asked for '{body.name}' ({body.hash})")
            arrays = {name: file[name] for name in ("qpos", "qvel", "force", "ctrl", "gain")}
    except (OSError, ValueError, KeyError) as error:
        raise MotionError(f"{path}: not a tape ({error})") from None
    return Tape(prepare(clip, body), **arrays) if len(arrays["ctrl"]) else None
