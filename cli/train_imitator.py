"""`morphloop train imitator`: reinforcement learning of the policy that projects clips."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from morphloop.imitator import ImitatorConfig, Policy
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
    "lost_per_s",
    "test_success",
    "test_skill",
)
"""What a line of progress tells."""
VARIED = {
    "friction": (0.7, 1.3), "mass": (0.9, 1.1), "segment_mass": (0.9, 1.1),
    "stiffness": (0.9, 1.1), "damping": (0.9, 1.1), "size": (0.95, 1.05),
}  # fmt: skip
"""Ranges of the factors that --vary draws."""
POSITIVE = ("clips", "envs", "distil_updates", "distil_minutes", "checkpoint_minutes", "learning_rate", "prior_steps")
NOT_NEGATIVE = (
    "generated",
    "held_out",
    "steps",
    "minutes",
    "tapes",
    "tape_minutes",
    "variations",
    "slide_price",
    "prior_weight",
    "desired_kl",
)


@dataclass(frozen=True)
class TrainImitator:
    """Train the imitator: an expert's demonstrations if asked for, then PPO; the same command goes on where it was.

    Writes policy.safetensors, checkpoint.safetensors, log.jsonl (the curve), weights.json, config.json,
    prior.safetensors if there is one, and TensorBoard's events. Under torchrun each process takes a GPU of its own.
    """

    out: Path
    """Folder to write to; a checkpoint in it is gone on from, a policy without one is started from."""
    data: Path | None = None
    """Folder of motion files to track, a generator's output; without it the built-in corpus, with faults, is made."""
    body: str | None = None
    """SMPL or SMPL-X model file whose mean shape is trained, not the built-in body; clips are carried over to it."""
    clips: int = 400
    """Clips of the built-in corpus."""
    generated: int = 0
    """Clips of the shipped generator, told the corpus's captions, to train on besides."""
    held_out: int = 24
    """Clips of the corpus's test split that every checkpoint is evaluated on."""
    data_seed: int = 0
    """Of the corpus."""
    start: Path | None = None
    """Policy file to start from: with --tapes demonstrations are taught to it, what it fails first, then PPO."""
    reveal: bool = False
    """Let PPO use all of the observation where the policy it starts from was distilled from a part of it."""
    hidden: tuple[int, ...] = (384, 256)
    """Widths of a new policy's layers."""
    envs: int = 256
    """Parallel environments; of every process under torchrun."""
    steps: int = 20_000_000
    """Control steps of PPO, those before a restart included: about an hour on two cores; 0 for no PPO."""
    minutes: float | None = None
    """Wall time after which PPO is cut short, that before a restart included; 0 for no PPO. What a limit ends says so
    (`stopped` in config.json) and does not repeat to the byte."""
    tapes: int | None = None
    """Warm start: so many clips and variations, at most, are demonstrated by the iLQR expert, 12 a minute on two cores
    or so; 0, or nothing here and under --tape-minutes, for no warm start."""
    tape_minutes: float | None = None
    """Wall time after which recording demonstrations is cut short; without --tapes it asks for a warm start on all."""
    distil_updates: int = 60
    """Updates in which a warm start's demonstrations are distilled into the first policy: half an hour on two cores."""
    distil_minutes: float | None = None
    """Wall time after which distillation is cut short."""
    variations: float = 1.0
    """Variations (tempo, crouch, curves, other arms, lean, drift, slide, jitter) of each clip that expert and PPO are
    asked to track too."""
    checkpoint_minutes: float = 5.0
    """Wall time between checkpoints, each with an evaluation."""
    learning_rate: float | None = None
    """Of Adam; the trainer's own default if not given."""
    desired_kl: float | None = None
    """Change of the policy in an update that trainer rsl steers its learning rate to; its default if not given."""
    seed: int = 0
    """Of the weights, the starts, the exploration noise, the generated clips and the variations."""
    prior: Literal["none", "vae", "adversarial"] = "none"
    """Reward for moving as the clips do: Morph's motion VAE, AMP's discriminator, or none."""
    prior_weight: float = 0.5
    """Weight of the prior's reward; tracking gives at most 1."""
    prior_steps: int = 2000
    """Gradient steps of the VAE on the clips' transitions, before training."""
    slide_price: float = 0.5
    """Price of a loaded foot's sliding speed, s/m; 0 turns the contact term off."""
    failure_weighting: bool = True
    """Start more often in the seconds that fail, else evenly."""
    vary: bool = False
    """Draw friction, mass, gains and size for every environment (`VARIED`), for a policy that bears other bodies."""
    speed: tuple[float, float] = (1.0, 1.0)
    """Range of the speed at which clips are played, drawn for every episode."""
    trainer: Literal["sb3", "rsl"] = "sb3"
    """sb3 on the CPU, rsl on CUDA."""
    backend: Literal["cpu", "warp"] = "cpu"
    """Physics: cpu is MuJoCo in double precision, warp is MuJoCo Warp."""
    threads: int = 1
    """Threads of torch and BLAS; another number gives other bytes. Physics takes all cores."""
    device: str | None = None
    """Of backend warp: cuda:0 and so on, or cpu; the process's own GPU if not given."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        from morphloop.base.threads import fixed_threads

        with fixed_threads(self.threads):
            return self._run()

    def _run(self) -> int:
        from morphloop.base import MotionError
        from morphloop.imitator import hardest_segments, load_policy, train_imitator, variations
        from morphloop.imitator.demonstrations.warm_start import WARM_START_FILE
        from morphloop.imitator.training.policy import MAX_WIDTH
        from morphloop.imitator.training.train import POLICY_FILE, training_clips
        from morphloop.imitator.training.trainer import World
        from morphloop.sim import carry, driven_body

        from .console import DONE, writable_folder

        for names, fits, expected in (
            (POSITIVE, lambda x: x > 0, "more than 0"),
            (NOT_NEGATIVE, lambda x: x >= 0, "0 or more"),
        ):
            for name in names:
                value = getattr(self, name)
                if value is not None and not fits(value):
                    raise MotionError(f"--{name.replace('_', '-')}: {value}, expected {expected}")
        ppo, shown = self.steps > 0 and self.minutes != 0, self._shown
        if not ppo and not shown:
            raise MotionError("no PPO and no warm start: nothing to do, expected --steps, or --tapes, to be more")
        for width in self.hidden:
            if not 0 < width <= MAX_WIDTH:
                raise MotionError(f"--hidden: {width}, expected widths of 1 to {MAX_WIDTH}")
        if self.hidden != TrainImitator.hidden and self.start is not None:
            raise MotionError("--hidden and --start: a policy that is there has its widths, expected one of them")
        if self.reveal and self.start is None and not shown:
            raise MotionError("--reveal: nothing is hidden from a new policy, expected --start or --tapes")
        if self.desired_kl is not None and self.trainer != "rsl":
            raise MotionError(f"--desired-kl: of trainer rsl, asked for {self.trainer}")
        if shown and World.here().size > 1:
            raise MotionError("--tapes under torchrun: expected a warm start of one process first, --steps 0")
        body = driven_body(self.body)
        clips = training_clips(self.clips, self.data_seed, "train", self.data) + self._generated()
        clips = [carry(clip, body) for clip in clips]
        held_out = [carry(clip, body) for clip in training_clips(self.held_out, self.data_seed, "test", None)]
        start = load_policy(self.start, body) if self.start is not None and shown else None
        out, config = writable_folder(self.out), self._config()
        policy = self._warm_start(clips, held_out, out, body, start) if shown else None
        if policy is not None:
            config = replace(config, start=str(out / WARM_START_FILE))
        path = out / POLICY_FILE
        if ppo:
            clips += variations(clips, round(self.variations * len(clips)), self.seed, body=body)
            train_imitator(clips, held_out, out, config, _tell, body)
            if not World.here().first:
                return DONE  # the first process writes, and may not be done
            for segment in hardest_segments(out):
                print(f"hardest: {segment}", file=sys.stderr)
        elif policy is not None and not path.exists():
            policy.save(path)
        print(f"{path} {load_policy(path, body).hash}")
        return DONE

    @property
    def _shown(self) -> bool:
        """Whether demonstrations are asked for."""
        return bool(self.tapes) or (self.tapes is None and bool(self.tape_minutes))

    def _generated(self) -> list[Clip]:
        """Clips of the shipped generator, each told a caption of the corpus's training split."""
        from morphloop.generator import load_generator
        from morphloop.motion import make_corpus

        from .console import SHIPPED_GENERATOR, shipped

        if not self.generated:
            return []
        told = make_corpus(self.generated, self.data_seed + 1, "train")
        return load_generator(shipped(SHIPPED_GENERATOR)).generate([clip.texts[0] for clip in told], self.seed)

    def _warm_start(
        self, clips: list[Clip], held_out: list[Clip], out: Path, body: Body, start: Policy | None
    ) -> Policy:
        """What the expert's demonstrations make of a policy."""
        from morphloop.imitator import FURTHER, DistilConfig, WarmStartConfig, warm_start

        distil = DistilConfig() if start is None else FURTHER
        config = WarmStartConfig(
            demonstrations=self.tapes,
            record_s=_seconds(self.tape_minutes),
            distil_s=_seconds(self.distil_minutes),
            distil=replace(distil, updates=self.distil_updates),
            variations=self.variations,
            hidden=self.hidden,
            seed=self.seed,
        )
        return warm_start(clips, held_out, out, body, config, _tell_demonstration, _tell, start)

    def _config(self) -> ImitatorConfig:
        """The flags as training takes them."""
        from morphloop.envs import RewardConfig, TaskConfig
        from morphloop.imitator import ImitatorConfig, PpoConfig, PriorConfig, RslConfig
        from morphloop.sim import Variation

        ppo, rsl = PpoConfig(), RslConfig()
        if self.learning_rate is not None:
            ppo = replace(ppo, learning_rate=self.learning_rate)
            rsl = replace(rsl, learning_rate=self.learning_rate)
        if self.desired_kl is not None:
            rsl = replace(rsl, desired_kl=self.desired_kl)
        task = TaskConfig(push=0.15, reward=RewardConfig(slide=self.slide_price), speed=self.speed)
        return ImitatorConfig(
            envs=self.envs,
            steps=self.steps,
            limit_s=_seconds(self.minutes),
            seed=self.seed,
            checkpoint_s=60.0 * self.checkpoint_minutes,
            start=None if self.start is None else str(self.start),
            reveal=self.reveal,
            hidden=self.hidden,
            trainer=self.trainer,
            backend=self.backend,
            device=self.device,
            ppo=ppo,
            rsl=rsl,
            task=task if self.failure_weighting else replace(task, start_floor=1.0),
            prior=PriorConfig(self.prior, weight=self.prior_weight, steps=self.prior_steps, seed=self.seed),
            vary=Variation(**VARIED) if self.vary else Variation(),
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
