"""Demonstrations: what the trajectory optimiser did along a clip, with its feedback gains, for a policy to learn from.

One is a clip's rollout under `Ilqr`, shaken a little so that it passes through states that need correcting. At each
control step the gains say what the expert would have asked for beside the rollout too: one demonstration labels a whole
tube (Levine and Koltun 2013 train policies from such local controllers). One file a clip, so that recording can be
killed, resumed and shared among processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from morphloop.base import MachineFault, MotionError, write_atomic
from morphloop.base.pool import Message, run_tasks
from morphloop.base.threads import fixed_threads
from morphloop.envs import Reference, base_targets, reference_of, stack
from morphloop.motion import Clip
from morphloop.sim import Body

from ..optimal_control.config import IlqrConfig
from ..optimal_control.ilqr import Ilqr
from ..optimal_control.many_clips import packed_reference, unpacked_reference
from .config import DemonstrationConfig

LAST_STEPS = 12
"""Of a clip that failed: what led there is not for learning."""
MIN_STEPS = 20
"""A shorter demonstration is left empty."""
OnDemonstration = Callable[[str, int | None, str | None], None]
"""Told of each new demonstration: the clip's name, its control steps (0 if the expert failed at once), and if the
process that recorded it died, no steps and why."""
ARRAYS = ("qpos", "qvel", "force", "ctrl", "gain")


@dataclass(frozen=True)
class Demonstration:
    """An expert's T control steps along a clip from its first frame on.

    reference: what it tracks; qpos (T, nq), qvel (T, nv), force (T, 2) before each of them; ctrl: (T, nu) PD targets
    meant in that state; gain: (T, nu, 2 nv) by how much less in a state that is a tangent step further.
    """

    reference: Reference
    qpos: np.ndarray
    qvel: np.ndarray
    force: np.ndarray
    ctrl: np.ndarray
    gain: np.ndarray

    def __len__(self) -> int:
        return len(self.ctrl)


@fixed_threads()
def record_demonstrations(
    references: Sequence[Reference],
    out: Path,
    body: Body,
    config: DemonstrationConfig | None = None,
    workers: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
    on_demonstration: OnDemonstration = lambda name, steps, why: None,
) -> list[Path]:
    """A demonstration of each reference in a folder, named by its clip's id; those that are there are not made again.

    workers: processes, one a core if None, this one alone if 0; go_on: asked before each
    clip; on_demonstration: see `OnDemonstration`. Returns the paths of those that are there, in the order of the
    references. A clip whose process died costs no other clip: MachineFault, once all others are recorded, so that the
    same call tries it again.
    """
    config = config or DemonstrationConfig()
    out.mkdir(parents=True, exist_ok=True)
    paths = [demonstration_path(out, each) for each in references]
    missing = [place for place, path in enumerate(paths) if not path.exists()]
    if workers == 0:
        for place in missing:
            if not go_on():
                break
            on_demonstration(references[place].name, record(references[place], paths[place], body, config), None)
    else:
        workers = min(os.cpu_count() or 1 if workers is None else workers, max(len(missing), 1))
        tasks = (
            {
                "reference": packed_reference(references[place]),
                "path": str(paths[place]),
                "config": asdict(config),
            }
            for place in missing
            if go_on()
        )
        died = []
        for number, message in run_tasks(partial(record_message, body), tasks, workers):
            if message is None:
                continue
            name = references[missing[number]].name
            on_demonstration(name, message.get("steps"), message.get("died"))
            if "died" in message:
                died.append(f"{name}: {message['died']}")
        if died:
            raise MachineFault(
                f"{len(died)} of {len(missing)} processes that recorded demonstrations died ({died[0]}); "
                "run it again, with more memory or fewer workers"
            )
    return [path for path in paths if path.exists()]


def record_message(body: Body, task: Message) -> Iterator[Message]:
    """A worker's task: the demonstration of the clip that it holds."""
    config = task["config"]
    ilqr = IlqrConfig(**config["ilqr"] | {"dampings": tuple(config["ilqr"]["dampings"])})
    own = DemonstrationConfig(ilqr, config["shake"], config["seed"])
    yield {"steps": record(unpacked_reference(task["reference"], body), Path(task["path"]), body, own)}


def demonstration_path(folder: Path, reference: Reference) -> Path:
    """Where the demonstration of a reference is in a folder."""
    return folder / f"{reference.clip.id}.npz"


def record(reference: Reference, path: Path, body: Body, config: DemonstrationConfig) -> int:
    """Record the demonstration of one reference; returns its control steps."""
    expert = Ilqr(body, stack([reference], body), config.ilqr, config.seed, keep_gains=True)
    track = expert.track(0, shake=config.shake)
    steps = len(track.labels) - (0 if track.completed else LAST_STEPS)
    steps = steps if steps >= MIN_STEPS else 0
    labels, model = track.labels[:steps], body.model
    qpos, qvel, force, offset = (
        np.array([getattr(label, name) for label in labels]).reshape(steps, width)
        for name, width in (("qpos", model.nq), ("qvel", model.nv), ("force", 2), ("offset", model.nu))
    )
    gains = [label.gain for label in labels if label.gain is not None]
    base = np.zeros((0, model.nu))
    if steps:
        base = base_targets(expert.observer, qpos, qvel, np.zeros(steps, int), np.arange(steps))
    clip = reference.clip
    arrays = {
        "body": np.array(body.hash),
        "fps": np.array(clip.fps),
        "root_pos": clip.root_pos,
        "rotations": clip.rotations,
        "qpos": qpos,
        "qvel": qvel,
        "force": force,
        "ctrl": base + offset,
        "gain": np.array(gains, np.float16).reshape(steps, model.nu, 2 * model.nv),
    }
    write_atomic(path, lambda stream: np.savez(stream, **arrays))
    return steps


def load_demonstrations(references: Sequence[Reference], folder: Path, body: Body) -> list[Demonstration]:
    """The demonstrations of references that are in a folder, but for those of clips that the expert failed at once."""
    paths = ((demonstration_path(folder, each), each) for each in references)
    found = (load_demonstration(path, body, each) for path, each in paths if path.exists())
    return [demonstration for demonstration in found if demonstration is not None]


def load_demonstration(path: Path, body: Body, reference: Reference | None = None) -> Demonstration | None:
    """A demonstration, None if the expert failed at once. MotionError if it is another body's or damaged.

    reference: what it was recorded of; made of the clip that the file holds if None.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if not body.answers_to(str(file["body"])):
                raise MotionError(f"{path}: recorded with body {file['body']}, asked for '{body.name}' ({body.hash})")
            clip = Clip(float(file["fps"]), body.skeleton, file["root_pos"], file["rotations"], name=path.stem)
            arrays = {name: file[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise MotionError(f"{path}: not a demonstration ({error})") from None
    return Demonstration(reference or reference_of(clip, body), **arrays) if len(arrays["ctrl"]) else None
