"""Training an imitator on clips that the generator or the corpus made: one folder a training, killed or not.

The folder holds `policy.safetensors` (the latest), `checkpoint.safetensors` and the one before it, `log.jsonl` (a row
an update: the curve), `weights.json` (failure rate and weight of every one-second segment of every clip),
`prior.safetensors` if there is a prior, `world_model.safetensors` by trainer worldmodel, `diverged_states.json` (the
last states of bodies that diverged) if any, `config.json` and TensorBoard's events. The same call on the same folder
goes on where the last checkpoint was; a policy without a checkpoint is started from.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError, write_atomic, write_json
from morphloop.base.still_valid import Basis, basis, check_same, hash_json
from morphloop.base.threads import fixed_threads, held_threads
from morphloop.base.time_limit import TimeLimit
from morphloop.envs import Reference, TrackingEnv, make_reference, measurable_entries
from morphloop.motion import Clip, JointTrack, find_motions, make_corpus, read_motions, to_default
from morphloop.sim import Body, RobotBody, Variation, carry, default_body, for_tracking, robot_of
from morphloop.sim.physics.backends import make_physics

from ..demonstrations.update import evaluate_policy
from ..world_model.trainer import WorldModelTrainer
from .checkpoint import CHECKPOINT_FILE, Checkpoint, clear_leftovers, load_checkpoint, save_checkpoint
from .config import ImitatorConfig
from .log import WEIGHTS_FILE, TrainingLog, hardest_segments
from .policy import Policy, load_policy, new_policy
from .ppo import Sb3Trainer, fit_normaliser, observed_spread
from .priors import make_prior
from .references import FEW, make_references
from .trainer import Trainer, World

log = logging.getLogger("morphloop.training")

POLICY_FILE = "policy.safetensors"
PRIOR_FILE = "prior.safetensors"
DIVERGED_FILE = "diverged_states.json"


CODE = ("motion", "sim", "metrics", "envs", "imitator")
"""What a training's result rests on."""
FREE = tuple(f"config.{name}" for name in ("steps", "limit_s", "checkpoint_s", "start", "device", "worldmodel.begin"))
"""What may differ when a training is taken up."""


@fixed_threads()
def train_imitator(
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    out: Path | str,
    config: ImitatorConfig | None = None,
    on_update: Callable[[dict[str, Any]], None] = lambda row: None,
    body: Body | None = None,
) -> Policy:
    """Train on `clips`, evaluate on `held_out` at each checkpoint, go on from what `out` holds.

    Clips that cannot be prepared raise MotionError: a training set is chosen, not found. So does a checkpoint of
    another configuration or other clips, naming what differs.
    """
    config, body, out = config or ImitatorConfig(), body or default_body(), Path(out)
    world = World.here()
    out.mkdir(parents=True, exist_ok=True)
    inputs = {"clips": hash_json([clip.id for clip in clips]), "body": f"{body.name} ({body.hash})"}
    told = basis(CODE, inputs, asdict(config) | {"threads": held_threads()})
    found = load_checkpoint(out)
    if found is not None:
        check_same(out / CHECKPOINT_FILE, found.numbers["config"], told, "a training", FREE)
    env = _task(clips, body, config, world)
    policy = _first_policy(out, env, config, found)
    if config.prior.kind != "none":
        env.prior = make_prior(config.prior, env.library, found.part("prior") if found else None)
    trainer = _trainer(policy, env, config)
    if found is not None:
        trainer.restore(found)
    if not world.first:
        return _follow(trainer, config)
    clear_leftovers(out)
    write_json(out / "config.json", _shown(told))
    tests = [make_reference(clip, body, config.conditioning) for clip in held_out]
    keeper = _Keeper(trainer, tests, out, told, config, found)
    stop = trainer.agreed(keeper.over)
    if stop and found is not None:
        keeper.write()  # a kill after the last checkpoint may have left these behind it
    while not stop:
        row = trainer.update() | {"seconds": keeper.limit.spent}
        stop = trainer.agreed(keeper.over)
        on_update(keeper.keep(row, stop))
    keeper.log.close()
    stopped = keeper.limit.told(trainer.env_steps, config.steps, "control steps")
    if stopped is not None:
        write_json(out / "config.json", _shown(told) | {"stopped": stopped})
        log.warning("%s: %s", out, stopped)
    return policy


def _shown(told: Basis) -> dict[str, Any]:
    """What a training is made of as `config.json` has it: its options beside hashes and versions."""
    return told["config"] | told["inputs"] | {"code": told["code"], "versions": told["versions"]}


def _follow(trainer: Trainer, config: ImitatorConfig) -> Policy:
    """The loop of a process that writes nothing and stops when the first one does."""
    while not trainer.agreed(False):
        trainer.update()
    return trainer.policy


class _Keeper:
    """Evaluates, logs and keeps checkpoints of one training in its folder.

    limit: of its seconds, those before a restart counted
    """

    def __init__(
        self,
        trainer: Trainer,
        tests: list[Reference],
        out: Path,
        told: dict[str, Any],
        config: ImitatorConfig,
        found: Checkpoint | None,
    ):
        self.trainer, self.tests, self.out, self.told = trainer, tests, out, told
        self.steps, self.every = config.steps, config.checkpoint_s
        self.log = TrainingLog(out, trainer.env_steps)
        self.limit = TimeLimit(config.limit_s, found.numbers["seconds"] if found else 0.0)
        self._due = self.limit.spent  # at once: the first point of the curve

    @property
    def over(self) -> bool:
        """Whether the training is at its end, or cut short."""
        return self.trainer.env_steps >= self.steps or not self.limit.go_on()

    def keep(self, row: dict[str, Any], last: bool) -> dict[str, Any]:
        """Log a row, and if it is time evaluate before it and save after it; returns the row."""
        due = last or self.limit.spent >= self._due
        if due and self.tests:
            env = self.trainer.env
            figures = evaluate_policy(self.trainer.policy.copy(), self.tests, env.body)
            row |= {f"test_{name}": value for name, value in figures.items()}
        self.log.add(row)
        if due:
            self._save()
            self._due = self.limit.spent + self.every
        return row

    def _save(self) -> None:
        """The checkpoint first: what a kill leaves is then never ahead of it but for the log, which is cut back."""
        trainer, sampler = self.trainer, self.trainer.env.sampler
        spec = trainer.policy.spec
        numbers = {"config": self.told, "seconds": self.limit.spent, "hidden": list(spec.hidden), "notes": spec.notes}
        save_checkpoint(self.out, trainer.checkpoint(numbers))
        self.write()
        self.log.show_weights(sampler.weights, hardest_segments(self.out), trainer.env_steps)

    def write(self) -> None:
        """The files that are read by others, as the trainer is now: policy, prior, weights, and the last states of
        bodies that diverged."""
        self.trainer.policy.save(self.out / POLICY_FILE)
        if self.trainer.prior is not None:
            self.trainer.prior.save(self.out / PRIOR_FILE)
        for name, data in self.trainer.files().items():
            write_atomic(self.out / name, lambda stream, data=data: stream.write(data))
        write_json(self.out / WEIGHTS_FILE, self.trainer.env.sampler.table())
        diverged = self.trainer.env.physics.diverged_states.states()
        if diverged:
            rows = [{name: np.asarray(value).tolist() for name, value in vars(state).items()} for state in diverged]
            write_json(self.out / DIVERGED_FILE, rows)


def _task(clips: Sequence[Clip], body: Body, config: ImitatorConfig, world: World) -> TrackingEnv:
    device = config.device
    if config.backend == "warp" and device is None:
        device = f"cuda:{world.local}"
    vary = config.vary
    models = None if vary == Variation() else vary.sample(body, config.envs, config.seed + world.rank)
    physics = make_physics(body, config.envs, config.backend, device, models)
    workers = max(1, (os.cpu_count() or 1) // world.size)
    references = make_references(clips, body, config.conditioning, workers if len(clips) > FEW else 0)
    return TrackingEnv(references, body, config.envs, config.task, config.seed, physics)


def _first_policy(out: Path, env: TrackingEnv, config: ImitatorConfig, found: Checkpoint | None) -> Policy:
    """The policy that training begins with; a checkpoint's weights are put into it later."""
    if found is not None:
        policy = new_policy(env.body, found.numbers["hidden"])
        policy.spec = replace(policy.spec, notes=found.numbers["notes"])
        return policy
    if config.start is not None:
        policy = load_policy(config.start, env.body)
        if config.reveal:
            policy.to(env.clip.device).reveal(*observed_spread(env))
        return policy
    if (out / POLICY_FILE).exists():
        return load_policy(out / POLICY_FILE, env.body)
    policy = new_policy(env.body, config.hidden, config.seed)
    fit_normaliser(policy.to(env.clip.device), env)
    if config.trainer == "worldmodel" and config.worldmodel.sees_what_a_robot_measures(isinstance(env.body, RobotBody)):
        policy.hide(~measurable_entries(env.body))
    return policy


def _trainer(policy: Policy, env: TrackingEnv, config: ImitatorConfig) -> Trainer:
    if config.trainer == "sb3":
        return Sb3Trainer(policy, env, config.ppo, config.seed)
    if config.trainer == "worldmodel":
        alone = config.worldmodel.updates_alone * config.worldmodel.window * config.envs
        if config.steps <= alone:
            raise MotionError(
                f"--steps {config.steps}: the world model learns alone in the first {alone} "
                "(--worldmodel.warm-up x window x --envs), expected more"
            )
        return WorldModelTrainer(policy, env, config.worldmodel, config.seed)
    if config.trainer != "rsl":
        raise MotionError(f"unknown trainer '{config.trainer}', expected 'sb3', 'rsl' or 'worldmodel'")
    try:
        from .rsl import RslTrainer
    except ImportError as error:
        raise MotionError(f"trainer 'rsl' is not installed ({error}), expected: pip install 'morphloop[gpu]'") from None
    return RslTrainer(policy, env, config.rsl, config.seed)


def training_clips(count: int, seed: int, split: str, folder: Path | None, body: Body) -> list[Clip]:
    """Clips for a body to train on: a folder of a generator's output if given, or of a robot's motions, else the corpus
    with a generator's faults. People's clips are retargeted to a robot, one after another."""

    def moved(motion: Clip | JointTrack) -> Clip:
        return for_tracking(motion, body) if isinstance(body, RobotBody) else carry(to_default(motion), body)

    if folder is None:
        return [moved(clip) for clip in make_corpus(count, seed, split, defects=True)]
    files = find_motions([folder])
    clips = [moved(read()) for path in files for _, read in read_motions(path, robot=robot_of(body))]
    if not clips:
        raise MotionError(f"{folder}: no clips to train on")
    return clips
