"""`morphloop train evaluator`: who says whether motion does what its caption says."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes

from morphloop.base import write_json
from morphloop.base.budget import Budget
from morphloop.base.curves import curves_to_wandb
from morphloop.base.threads import THREADS, fixed_threads
from morphloop.metrics.text_motion.config import EVALUATOR_BUDGET, EvaluatorConfig

from .config import resolved
from .console import writable_folder
from .data_sets import data_exit_code, told_of
from .train_generator import Stopped, TrainingData, log_to_stderr, training_clips


@dataclass(frozen=True)
class TrainEvaluator:
    """Train a text-motion evaluator and write its folder: config.json, evaluator.safetensors, train_evaluator.json.

    For `evaluate --text --evaluator FOLDER`. Train it on a training split: what it is to judge should be new to it.
    """

    out: Path
    """Folder to write to; a checkpoint in it is gone on from."""
    source: TrainingData = field(default_factory=lambda: TrainingData(corpus="described", clips=1200, spoilt=0.0))
    """What to train on."""
    plain: int = 400
    """Clips of the plain corpus beside those, where no data set is named."""
    text_encoder: str = "shipped"
    """The frozen text encoder: the one that ships, or a local folder in the layout of `transformers`."""
    model: Annotated[EvaluatorConfig, OmitArgPrefixes] = field(default_factory=EvaluatorConfig)
    """Its sizes."""
    budget: Annotated[Budget, OmitArgPrefixes] = EVALUATOR_BUDGET
    """How long and how fast to train."""
    threads: int = THREADS
    """Threads of torch and BLAS; another number gives other bytes."""
    wandb: bool = False
    """Tell Weights & Biases too, if the package wandb is installed; it is never needed."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        with fixed_threads(self.threads), curves_to_wandb(self.wandb, self.out, resolved(self)):
            return self._run()

    def _run(self) -> int:
        from morphloop.language import load_text_encoder
        from morphloop.metrics.text_motion.evaluator import save_evaluator
        from morphloop.metrics.text_motion.training import train_evaluator
        from morphloop.motion.corpus.make import plain_clips

        out = writable_folder(self.out)
        log_to_stderr()
        encoder = load_text_encoder(self.text_encoder)
        clips = training_clips(self.source)
        beside = plain_clips(self.plain if self.source.data is None else 0, self.source.data_seed)
        checkpoint, stopped = out / "evaluator.checkpoint.safetensors", Stopped()
        model = train_evaluator(chain(clips, beside), encoder, self.model, self.budget, checkpoint, stopped)
        save_evaluator(out, model, encoder)
        write_json(out / "train_evaluator.json", resolved(self) | stopped.told | told_of(clips))
        checkpoint.unlink(missing_ok=True)
        return data_exit_code(clips)
