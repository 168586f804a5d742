"""`morphloop train imitator`: reinforcement learning of the policy that projects clips."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOGGED = ("env_steps", "reward", "error_mm", "slide_mm_s", "lost_per_s", "test_success", "test_skill")
"""What a line of progress tells."""


@dataclass(frozen=True)
class TrainImitator:
    """Train the imitator by PPO and write policy.safetensors, log.jsonl, weights.json and config.json."""

    out: Path
    """Folder to write to; a policy in it is gone on from."""
    data: Path | None = None
    """Folder of motion files to track, a generator's output; without it the built-in corpus, with faults, is made."""
    clips: int = 400
    """Clips of the built-in corpus."""
    held_out: int = 24
    """Clips of the corpus's test split that every checkpoint is evaluated on."""
    data_seed: int = 0
    """Of the corpus."""
    envs: int = 256
    """Parallel environments."""
    steps: int = 20_000_000
    """Most control steps."""
    minutes: float = 60.0
    """Most wall time; a run that it ends is not repeatable to the byte."""
    checkpoint_minutes: float = 5.0
    """Wall time between checkpoints."""
    learning_rate: float = 2e-4
    """Of Adam."""
    seed: int = 0
    """Of the weights, the starts and the exploration noise."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        from morphloop.imitator import ImitatorConfig, PpoConfig, train_imitator
        from morphloop.imitator.training import training_clips
        from morphloop.motion import MotionError

        from .console import DONE, writable_folder

        for name in ("clips", "envs", "steps", "minutes", "checkpoint_minutes", "learning_rate"):
            if not getattr(self, name) > 0:
                raise MotionError(f"--{name.replace('_', '-')}: {getattr(self, name)}, expected more than 0")
        if self.held_out < 0:
            raise MotionError(f"--held-out: {self.held_out}, expected 0 or more")
        clips = training_clips(self.clips, self.data_seed, "train", self.data)
        held_out = training_clips(self.held_out, self.data_seed, "test", None)
        out = writable_folder(self.out)
        config = ImitatorConfig(
            envs=self.envs,
            steps=self.steps,
            budget_s=60.0 * self.minutes,
            seed=self.seed,
            checkpoint_s=60.0 * self.checkpoint_minutes,
            ppo=PpoConfig(learning_rate=self.learning_rate),
        )
        policy = train_imitator(clips, held_out, out, config, _tell)
        print(f"{out / 'policy.safetensors'} {policy.hash}")
        return DONE


def _tell(row: dict[str, Any]) -> None:
    """One line of progress, to stderr so that stdout stays for the result."""
    told = [f"{name} {row[name]:.4g}" for name in LOGGED if row.get(name) is not None]
    print("  ".join(told), file=sys.stderr, flush=True)
