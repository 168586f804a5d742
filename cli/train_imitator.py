"""`morphloop train imitator`: reinforcement learning of the policy that projects clips."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from morphloop.base import MotionError, write_json
from morphloop.base.curves import curves_to_wandb
from morphloop.base.former import Former
from morphloop.base.threads import THREADS, fixed_threads
from morphloop.imitator.demonstrations.config import (
    FURTHER,
    AugmentConfig,
    DemonstrationConfig,
    DistilConfig,
    WarmStartConfig,
)
from morphloop.imitator.training.config import ImitatorConfig
from morphloop.sim.physics.config import Variation

from .config import absolute, body_named, resolved
from .console import DONE, SHIPPED_GENERATOR, shipped, writable_folder

if TYPE_CHECKING:
    from morphloop.imitator import Policy
    from morphloop.motion import Clip
    from morphloop.sim import Body

LOGGED = (
    "env_steps",
    "loss",
    "left_per_s",
    "steps_per_s",
    "reward",
    "error_mm",
    "slide_mm_s",
    "terminated_per_s",
    "model_error_mm",
    "imagined_return",
    "rolled_back",
    "test_success",
    "test_skill",
)
"""What a line of progress tells."""
VARIED = {
    "friction": (0.7, 1.3), "mass": (0.9, 1.1), "segment_mass": (0.9, 1.1),
    "stiffness": (0.9, 1.1), "damping": (0.9, 1.1), "size": (0.95, 1.05),
}  # fmt: skip
"""Ranges of the factors that --vary draws."""
POSITIVE = (
    "clips", "envs", "distil.updates", "distil_minutes", "checkpoint_s", "checkpoint_minutes", "learning_rate",
    "prior.steps",
)  # fmt: skip
NOT_NEGATIVE = (
    "generated", "held_out", "steps", "limit_s", "minutes", "demonstrations", "demonstration_minutes", "variations",
    "task.reward.slide", "prior.weight", "desired_kl",
)  # fmt: skip
WRITTEN = "train_imitator.json"


@dataclass(frozen=True, kw_only=True)
class TrainImitator(ImitatorConfig):
    """Train the imitator: an expert's demonstrations if asked for, then PPO; the same command goes on where it was.

    With --trainer worldmodel the policy is improved through a learned model of the world in place of PPO. Writes
    policy.safetensors, checkpoint.safetensors, log.jsonl (the curve), weights.json, config.json, train_imitator.json
    (for --config), prior.safetensors or world_model.safetensors if there is one, and TensorBoard's events. Under
    torchrun each process takes a GPU of its own.
    """

    out: Path
    """Folder to write to; a checkpoint in it is gone on from, a policy without one is started from."""
    data: Path | None = None
    """Folder of motion files to track, a generator's output; without it the built-in corpus, with faults, is made."""
    body: str | None = None
    """Body to train: a built-in one (`smpl`, `g1`, `g1_23dof`), a robot's MJCF (.xml), to which people's clips are
    retargeted, or a SMPL or SMPL-X model file, in its mean shape; `smpl` if left out."""
    clips: int = 400
    """Clips of the built-in corpus."""
    generated: int = 0
    """Clips of the shipped generator, told the corpus's captions, to train on besides."""
    held_out: int = 24
    """Clips of the corpus's test split that every checkpoint is evaluated on."""
    data_seed: int = 0
    """Of the corpus."""
    minutes: float | None = None
    """Wall time after which PPO is cut short, that before a restart included; 0 for no PPO. What a limit ends says so
    (`stopped` in config.json) and does not repeat to the byte. In place of --limit-s."""
    checkpoint_minutes: float | None = None
    """Wall time between checkpoints, in place of --checkpoint-s."""
    demonstrations: int | None = None
    """Warm start: so many clips and variations, at most, are demonstrated by the iLQR expert, 12 a minute on two cores
    or so; 0, or nothing here and under --demonstration-minutes, for no warm start. With --start they are taught to that
    policy, what it fails first."""
    demonstration_minutes: float | None = None
    """Wall time after which recording demonstrations is cut short; without --demonstrations it asks for a warm start on
    all."""
    distil_minutes: float | None = None
    """Wall time after which distillation is cut short."""
    variations: float = WarmStartConfig.variations
    """Variations (tempo, crouch, curves, other arms, lean, drift, slide, jitter) of each clip that expert and PPO are
    asked to track too."""
    learning_rate: float | None = None
    """Of Adam, whichever the trainer; the trainer's own default if not given."""
    desired_kl: float | None = None
    """Change of the policy in an update that trainer rsl steers its learning rate to; its default if not given."""
    failure_weighting: bool = True
    """Start more often in the seconds that fail, else evenly."""
    vary_bodies: bool = False
    """Draw friction, mass, gains and size for every environment (`VARIED`), for a policy that bears other bodies."""
    threads: int = THREADS
    """Threads of torch and BLAS; another number gives other bytes. Physics takes all cores."""
    wandb: bool = False
    """Tell Weights & Biases too, if the package wandb is installed; it is never needed."""
    expert: DemonstrationConfig = field(default_factory=DemonstrationConfig)
    """How a warm start's demonstrations are recorded."""
    distil: DistilConfig = field(default_factory=DistilConfig)
    """How they are distilled into the first policy. With --start the rates are lower unless given. Its seed is the
    training's."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Ranges of the variations."""

    SHORT: ClassVar[dict[str, str]] = {
        "distil_updates": "distil.updates",
        "prior": "prior.kind",
        "prior_weight": "prior.weight",
        "prior_steps": "prior.steps",
        "slide_weight": "task.reward.slide",
        "speed": "task.speed",
        "vary": "vary_bodies",
    }
    FORMER: ClassVar[Former] = Former(
        names={
            "tapes": "demonstrations",
            "tape_minutes": "demonstration_minutes",
            "slide_price": "task.reward.slide",
        }
    )

    def run(self) -> int:
        """Do the work; returns the exit code."""
        with fixed_threads(self.threads), curves_to_wandb(self.wandb, self.out, resolved(self)):
            return self._run()

    def _run(self) -> int:
        from morphloop.imitator import hardest_segments, load_policy, train_imitator, variations
        from morphloop.imitator.demonstrations.warm_start import WARM_START_FILE
        from morphloop.imitator.training.policy import MAX_WIDTH
        from morphloop.imitator.training.train import POLICY_FILE, training_clips
        from morphloop.imitator.training.trainer import World
        from morphloop.sim import driven_body, for_tracking

        self._check()
        ppo, shown = self.steps > 0 and 0 not in (self.minutes, self.limit_s), self._shown
        if not ppo and not shown:
            raise MotionError(
                "no PPO and no warm start: nothing to do, expected --steps, or --demonstrations, to be more"
            )
        for width in self.hidden:
            if not 0 < width <= MAX_WIDTH:
                raise MotionError(f"--hidden: {width}, expected widths of 1 to {MAX_WIDTH}")
        if self.hidden != ImitatorConfig.hidden and self.start is not None:
            raise MotionError("--hidden and --start: a policy that is there has its widths, expected one of them")
        if self.reveal and self.start is None and not shown:
            raise MotionError("--reveal: nothing is hidden from a new policy, expected --start or --demonstrations")
        if self.desired_kl is not None and self.trainer != "rsl":
            raise MotionError(f"--desired-kl: of trainer rsl, asked for {self.trainer}")
        if shown and World.here().size > 1:
            raise MotionError("--demonstrations under torchrun: expected a warm start of one process first, --steps 0")
        body = driven_body(self.body)
        clips = training_clips(self.clips, self.data_seed, "train", self.data, body)
        clips += [for_tracking(clip, body) for clip in self._generated()]
        held_out = training_clips(self.held_out, self.data_seed, "test", None, body)
        start = load_policy(self.start, body) if self.start is not None and shown else None
        out, config = writable_folder(self.out), self._config()
        if World.here().first:
            world = asdict(replace(self.worldmodel, begin=absolute(self.worldmodel.begin)))
            told = resolved(self, start=absolute(self.start), body=body_named(self.body), worldmodel=world)
            write_json(out / WRITTEN, told)
        policy = self._warm_start(clips, held_out, out, body, start) if shown else None
        if policy is not None:
            config = replace(config, start=str(out / WARM_START_FILE))
        path = out / POLICY_FILE
        if ppo:
            clips += variations(clips, round(self.variations * len(clips)), self.seed, self.augment, body)
            train_imitator(clips, held_out, out, config, _tell, body)
            if not World.here().first:
                return DONE  # the first process writes, and may not be done
            for segment in hardest_segments(out):
                print(f"hardest: {segment}", file=sys.stderr)
        elif policy is not None and not path.exists():
            policy.save(path)
        print(f"{path} {load_policy(path, body).hash}")
        return DONE

    def _check(self) -> None:
        """MotionError for a number that is none of use."""
        short = {path: name for name, path in self.SHORT.items()}
        for paths, fits, expected in (
            (POSITIVE, lambda x: x > 0, "more than 0"),
            (NOT_NEGATIVE, lambda x: x >= 0, "0 or more"),
        ):
            for path in paths:
                value = attrgetter(path)(self)
                if value is not None and not fits(value):
                    raise MotionError(f"--{short.get(path, path).replace('_', '-')}: {value}, expected {expected}")
        for part in ("prior", "distil"):
            if getattr(self, part).seed:
                raise MotionError(f"--{part}.seed: is the training's, give --seed")

    @property
    def _shown(self) -> bool:
        """Whether demonstrations are asked for."""
        return bool(self.demonstrations) or (self.demonstrations is None and bool(self.demonstration_minutes))

    def _generated(self) -> list[Clip]:
        """Clips of the shipped generator, each told a caption of the corpus's training split."""
        from morphloop.generator import load_generator
        from morphloop.motion import make_corpus

        if not self.generated:
            return []
        told = make_corpus(self.generated, self.data_seed + 1, "train")
        return load_generator(shipped(SHIPPED_GENERATOR)).generate([clip.texts[0] for clip in told], self.seed)

    def _warm_start(
        self, clips: list[Clip], held_out: list[Clip], out: Path, body: Body, start: Policy | None
    ) -> Policy:
        """What the expert's demonstrations make of a policy."""
        from morphloop.imitator import warm_start

        distil = self.distil
        if start is not None:
            rates = {name: getattr(FURTHER, name) for name in ("learning_rate", "last_learning_rate")}
            own = DistilConfig()
            distil = replace(distil, **{n: v for n, v in rates.items() if getattr(distil, n) == getattr(own, n)})
        config = WarmStartConfig(
            demonstrations=self.demonstrations,
            record_s=_seconds(self.demonstration_minutes),
            distil_s=_seconds(self.distil_minutes),
            expert=self.expert,
            distil=distil,
            augment=self.augment,
            variations=self.variations,
            hidden=self.hidden,
            seed=self.seed,
            conditioning=self.conditioning,
        )
        return warm_start(clips, held_out, out, body, config, _tell_demonstration, _tell, start)

    def _config(self) -> ImitatorConfig:
        """What training takes, with what flags of the command say besides laid over."""
        own = ImitatorConfig(**{field.name: getattr(self, field.name) for field in fields(ImitatorConfig)})
        ppo, rsl, world = own.ppo, own.rsl, own.worldmodel
        if self.learning_rate is not None:
            ppo, rsl, world = (replace(config, learning_rate=self.learning_rate) for config in (ppo, rsl, world))
        if self.desired_kl is not None:
            rsl = replace(rsl, desired_kl=self.desired_kl)
        return replace(
            own,
            limit_s=own.limit_s if self.minutes is None else _seconds(self.minutes),
            checkpoint_s=own.checkpoint_s if self.checkpoint_minutes is None else 60.0 * self.checkpoint_minutes,
            ppo=ppo,
            rsl=rsl,
            worldmodel=world,
            task=own.task if self.failure_weighting else replace(own.task, start_floor=1.0),
            prior=replace(own.prior, seed=self.seed),
            vary=Variation(**VARIED) if self.vary_bodies else own.vary,
        )


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else 60.0 * minutes


def _tell_demonstration(name: str, steps: int | None, why: str | None) -> None:
    """One line for each clip that the expert was asked to track."""
    said = f"none, {why}" if steps is None else f"{steps} control steps" if steps else "failed at once"
    print(f"demonstration {name}: {said}", file=sys.stderr, flush=True)


def _tell(row: dict[str, Any]) -> None:
    """One line of progress, to stderr so that stdout stays for the result."""
    told = [f"{name} {row[name]:.4g}" for name in LOGGED if row.get(name) is not None]
    print("  ".join(told), file=sys.stderr, flush=True)
