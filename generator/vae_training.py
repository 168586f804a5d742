"""Training of the VAE on clips whole: a batch's clips are of like length and are cut to the shortest, none is padded.

Batches are drawn by (seed, step), so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import OnStop, TrainingRun, no_stop
from morphloop.motion import Clip
from morphloop.motion.datasets import ids_of, lengths_of

from .batches import deal_alike
from .config import TOKENIZER_BUDGET, VaeConfig
from .planted_feet import kinematics, standing
from .tokenizer_training import CODE, LossWeights, cut_window, motion_loss, training_features
from .vae import MotionVAE

LONGEST, SHORTEST = 600, 8
"""Frames of a training example: a longer clip is cut, a shorter one stands still at its end."""


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """From the standard normal, nats a number of a latent; mean over all."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()


@own_streams()
@fixed_threads()
def train_vae(
    clips: Sequence[Clip],
    config: VaeConfig | None = None,
    budget: Budget = TOKENIZER_BUDGET,
    weights: LossWeights | None = None,
    checkpoint: Path | None = None,
    on_stop: OnStop = no_stop,
) -> MotionVAE:
    """A VAE trained on the clips; an existing checkpoint is gone on from.

    on_stop: told if the budget's minutes cut it short. MotionError if there is no clip.
    """
    config, weights = config or VaeConfig(), weights or LossWeights()
    features = training_features(clips)
    lengths = lengths_of(features).clip(SHORTEST, LONGEST).tolist()
    torch.manual_seed(budget.seed)
    model = MotionVAE(config)
    model.set_normaliser(features)
    made = {"clips": ids_of(clips), "model": config.written(), "loss": asdict(weights)}
    run = TrainingRun(model, budget, CODE, checkpoint, {name: hash_json(value) for name, value in made.items()})
    for step in run:
        rng = np.random.default_rng([budget.seed, step])
        places = deal_alike(lengths, budget.batch, step, budget.seed)
        frames = min(lengths[place] for place in places)
        windows = [cut_window(features[place], frames, rng) for place in places]
        wanted = kinematics(torch.from_numpy(np.stack(windows)))
        stands = standing(wanted.soles)
        mean, log_variance = model.moments_of(wanted.features, stands)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(budget.seed * 1_000_003 + step))
        made_of_them = model.reconstruct(mean + noise * (0.5 * log_variance).exp(), frames)
        loss, error = motion_loss(*made_of_them, model.std, wanted, stands, weights)
        divergence = kl_divergence(mean, log_variance)
        run.update(
            loss + config.kl * divergence,
            mpjpe_mm=1000 * float(error.detach()),
            kl=float(divergence.detach()),
        )
    if run.stopped is not None:
        on_stop(run.stopped)
    return model.eval()
