"""The VAE: latents of clips of any length, what training reaches on easy motions, its report and its files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.weights import load_tensors
from morphloop.cli.train_generator import TrainingData, TrainTokenizer
from morphloop.generator import (
    Budget,
    MotionVAE,
    VaeConfig,
    load_tokenizer,
    load_vae,
    measure_reconstruction,
    save_tokenizer,
    train_vae,
)
from morphloop.generator.vae_training import kl_divergence
from morphloop.motion import Clip, make_corpus
from morphloop.motion.features import FEATURE_SIZE, clip_to_features

torch.set_num_threads(1)
SMALL = VaeConfig(latents=2, latent_size=16, width=48, layers=2, heads=2, spread=32)
BUDGET = Budget(steps=150, minutes=10, batch=4, learning_rate=3e-3, warmup=5)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_corpus(4, seed=3)


@pytest.fixture(scope="module")
def trained(clips: list[Clip]) -> MotionVAE:
    return train_vae(clips, SMALL, BUDGET)


@pytest.mark.parametrize("frames", [1, 4, 5, 63])
def test_a_clip_of_any_length_has_as_many_latents(frames: int) -> None:
    vae = MotionVAE(SMALL).eval()
    latents = vae.encode(torch.randn(3, frames, FEATURE_SIZE))
    assert latents.shape == (3, 2, 16)
    assert vae.decode(latents, frames).shape == (3, frames, FEATURE_SIZE)


def test_wrong_latents_and_sizes_are_refused() -> None:
    vae = MotionVAE(SMALL).eval()
    for latents, frames in ((torch.zeros(1, 3, 16), 8), (torch.zeros(1, 2, 8), 8), (torch.zeros(1, 2, 16), 0)):
        with pytest.raises(MotionError, match=r"expected \(B, 2, 16\)"):
            vae.decode(latents, frames)
    for wrong in ({"width": 50, "heads": 4}, {"patch": 0}, {"latents": 1.5}, {"kl": -1.0}):
        with pytest.raises(MotionError, match="VAE"):
            replace(SMALL, **wrong)  # type: ignore[arg-type]
    with pytest.raises(MotionError, match="no clips"):
        train_vae([], SMALL)


def test_divergence_in_closed_form() -> None:
    mean, log_variance = torch.tensor([0.5, 0.0]), torch.tensor([0.0, -1.0])
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    ).mean()
    assert float(kl_divergence(mean, log_variance)) == pytest.approx(float(wanted))


def test_training_learns_what_a_clip_is(trained: MotionVAE, clips: list[Clip]) -> None:
    untrained = MotionVAE(SMALL).eval()
    untrained.set_normaliser([clip_to_features(c) for c in clips])
    before, after = (measure_reconstruction(vae, clips) for vae in (untrained, trained))
    assert after.mpjpe_mm < before.mpjpe_mm
    assert after.world_mpjpe_mm < 0.6 * before.world_mpjpe_mm
    assert (after.clips, after.coarse_mpjpe_mm, after.codes_used, after.perplexity) == (4, (), (), ())
    assert len(after.lines()) == 2
    assert after.slide_added_mm_s is not None
    assert before.slide_mm_s is not None
    assert after.slide_mm_s is not None
    assert after.slide_mm_s < before.slide_mm_s
    own, others = (measure_reconstruction(vae, clips[:1]) for vae in (trained, _Swapped(trained, clips[3])))
    assert 2 * own.world_mpjpe_mm < others.world_mpjpe_mm, "in place, not the walk that the other latents are"


class _Swapped(MotionVAE):
    """One that gives the latents of another clip, whatever clip it is asked for."""

    def __init__(self, vae: MotionVAE, other: Clip) -> None:
        super().__init__(vae.config)
        self.load_state_dict(vae.state_dict())
        self.other = other

    def encode_clip(self, clip: Clip) -> torch.Tensor:
        return super().encode_clip(self.other)


def test_the_planted_layer_is_in_the_decoder(clips: list[Clip]) -> None:
    features = torch.from_numpy(clip_to_features(clips[0]).astype(np.float32))[None, :20]
    for planting in (True, False):
        vae = MotionVAE(replace(SMALL, planting=planting)).eval()
        made, logits = vae.reconstruct(vae.encode(features), 20)
        assert (logits is not None) == planting
        assert made.soles.shape == (1, 20, 2, 3, 3)


def test_resumed_training_is_the_unbroken_one(clips: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    budget = Budget(steps=4, minutes=1e6, batch=2, learning_rate=1e-3, save_every=2)
    whole = train_vae(clips, SMALL, budget).state_dict()
    train_vae(clips, SMALL, replace(budget, save_every=3), checkpoint=path)
    assert load_tensors(path)[1]["step"] == "3"
    resumed = train_vae(clips, SMALL, budget, checkpoint=path).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(MotionError, match="holds a training with model = "):
        train_vae(clips, replace(SMALL, kl=1.0), budget, checkpoint=path)


def test_files_round_trip_and_are_told_from_codes(trained: MotionVAE, clips: list[Clip], tmp_path: Path) -> None:
    loaded = load_vae(save_tokenizer(tmp_path, trained))
    assert loaded.config == SMALL
    assert torch.equal(loaded.encode_clip(clips[0]), trained.encode_clip(clips[0]))
    with pytest.raises(MotionError, match="a VAE of latents, expected a tokenizer of codes"):
        load_tokenizer(tmp_path)
    written = json.loads((tmp_path / "tokenizer.json").read_text())
    for wrong, message in (({"width": 0}, "width is 0"), ({"colour": 1}, "expected the fields")):
        (tmp_path / "tokenizer.json").write_text(json.dumps(written | wrong))
        with pytest.raises(MotionError, match=message) as caught:
            load_vae(tmp_path)
        assert "tokenizer.json" in str(caught.value)
    with pytest.raises(MotionError, match="a tokenizer of codes, expected a VAE"):
        load_vae(Path(__file__).parents[1] / "assets" / "generator")


def test_the_command_trains_one_and_reports_it(tmp_path: Path) -> None:
    budget = Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3)
    command = TrainTokenizer(tmp_path / "vae", TrainingData(clips=4), kind="vae", vae=SMALL, budget=budget, held_out=2)
    assert command.run() == 0
    told = json.loads((tmp_path / "vae" / "reconstruction.json").read_text())
    assert told["clips"] == 2
    assert told["perplexity"] == []
    assert load_vae(tmp_path / "vae").config == SMALL
    assert not (tmp_path / "vae" / "tokenizer.checkpoint.safetensors").exists()
    with pytest.raises(MotionError, match="--start"):
        replace(command, start=tmp_path / "vae").run()
