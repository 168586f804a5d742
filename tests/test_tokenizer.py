"""Motion tokenizer: shapes, quantiser, what training reaches on two easy motions, and its files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.weights import load_tensors
from morphloop.generator import (
    Budget,
    MotionTokenizer,
    TokenizerConfig,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from morphloop.generator.tokenizer import Quantizer
from morphloop.generator.training import LossWeights, kinematic_loss
from morphloop.motion import Clip, make_corpus
from morphloop.motion.features import CONTACTS, FEATURE_SIZE, VELOCITY, clip_to_features

torch.set_num_threads(1)
SMALL = TokenizerConfig(streams=2, codebook=32, code_size=16, width=48, depth=1)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_corpus(4, seed=3)


@pytest.fixture(scope="module")
def trained(clips: list[Clip]) -> MotionTokenizer:
    budget = Budget(steps=150, minutes=10, batch=8, learning_rate=3e-3, warmup=5)
    return train_tokenizer(clips, SMALL, budget, window=32)


def joint_error_mm(tokenizer: MotionTokenizer, clip: Clip, streams: int | None = None) -> float:
    features = torch.from_numpy(clip_to_features(clip).astype(np.float32))[None]
    codes = tokenizer.encode(features)[:, :streams]
    made = tokenizer.decode(codes)[:, : features.shape[1]]
    return 1000 * float(kinematic_loss(made, features, LossWeights())[1])


@pytest.mark.parametrize("frames", [1, 4, 5, 63])
def test_shapes_for_any_length(frames: int) -> None:
    tokenizer = MotionTokenizer(SMALL).eval()
    codes = tokenizer.encode(torch.randn(3, frames, FEATURE_SIZE))
    assert codes.shape == (3, 2, -(-frames // 4))
    assert tokenizer.decode(codes).shape == (3, 4 * codes.shape[2], FEATURE_SIZE)


def test_each_stream_codes_what_the_one_before_left() -> None:
    tokenizer = MotionTokenizer(SMALL).eval()
    books = torch.randn(2, 32, 16) * torch.tensor([10.0, 0.1])[:, None, None]
    for quantizer, book in zip(tokenizer.quantizers, books, strict=True):
        assert isinstance(quantizer, Quantizer)
        quantizer.codebook.copy_(book)
    wanted = torch.randint(32, (5, 2, 7))
    latents = books[0][wanted[:, 0]] + books[1][wanted[:, 1]]
    codes, sums = tokenizer.quantize(latents)
    assert torch.equal(codes, wanted)
    assert torch.allclose(sums[-1], latents, atol=1e-4)


def test_codebook_follows_and_dead_codes_are_moved() -> None:
    quantizer = Quantizer(4, 2)
    rng = torch.Generator().manual_seed(0)
    centres = torch.tensor([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0]])
    for _ in range(300):
        x = centres[torch.randint(4, (64,), generator=rng)] + 0.1 * torch.randn(64, 2, generator=rng)
        quantizer.follow(x, quantizer.nearest(x), rng)
    used = quantizer.nearest(centres)
    assert used.unique().numel() == 4
    assert torch.allclose(quantizer.codebook[used], centres, atol=0.2)


def test_training_learns_and_finer_streams_help(trained: MotionTokenizer, clips: list[Clip]) -> None:
    untrained = MotionTokenizer(SMALL).eval()
    untrained.set_normaliser([clip_to_features(c) for c in clips])
    before = np.mean([joint_error_mm(untrained, c) for c in clips])
    coarse = np.mean([joint_error_mm(trained, c, 1) for c in clips])
    after = np.mean([joint_error_mm(trained, c) for c in clips])
    assert after < 0.7 * before
    assert after < coarse


def test_feet_that_slide_cost_more_than_feet_that_do_not(clips: list[Clip]) -> None:
    features = torch.from_numpy(clip_to_features(clips[0]).astype(np.float32))[None]
    assert features[..., CONTACTS].mean() > 0.3
    slid = features.clone()
    slid[..., VELOCITY] += 0.3
    exact, error = kinematic_loss(features, features, LossWeights())
    with_slide, same = kinematic_loss(slid, features, LossWeights(position=0.0, velocity=0.0, drift=0.0))
    assert float(exact) == pytest.approx(0.0, abs=1e-5)
    assert float(error) < 1e-5
    assert float(with_slide) > 0.1
    assert float(same) < 1e-3, "sliding alone does not move a joint about the root"


def test_same_seed_same_weights(clips: list[Clip]) -> None:
    budget = Budget(steps=4, minutes=10, batch=2, learning_rate=1e-3)
    first, second = (train_tokenizer(clips[:2], SMALL, budget).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resumed_training_is_the_unbroken_one(clips: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    budget = Budget(steps=6, minutes=1e6, batch=2, learning_rate=1e-3, save_every=3)
    whole = train_tokenizer(clips[:2], SMALL, budget, checkpoint=path).state_dict()
    assert load_tensors(path)[1]["step"] == "6"
    path.unlink()
    train_tokenizer(
        clips[:2], SMALL, Budget(steps=6, minutes=1e6, batch=2, learning_rate=1e-3, save_every=4), checkpoint=path
    )
    assert load_tensors(path)[1]["step"] == "4"
    resumed = train_tokenizer(clips[:2], SMALL, budget, checkpoint=path).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_another_training_is_refused_by_name(clips: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    budget = Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3, save_every=1)
    train_tokenizer(clips[:2], SMALL, budget, checkpoint=path)
    with pytest.raises(MotionError, match=r"holds a training with budget\.learning_rate = 0\.001, asked for 0\.002"):
        train_tokenizer(clips[:2], SMALL, replace(budget, learning_rate=2e-3), checkpoint=path)
    with pytest.raises(MotionError, match="holds a training with clips = "):
        train_tokenizer(clips[:1], SMALL, budget, checkpoint=path)


def test_a_training_that_a_time_limit_ends_says_so(clips: list[Clip]) -> None:
    told: list[str] = []
    budget = Budget(steps=3, minutes=1e-9, batch=2, learning_rate=1e-3)
    train_tokenizer(clips[:2], SMALL, budget, on_stop=told.append)
    assert told == ["0 of 3 steps, stopped by the limit of 6e-08 s"]


def test_files_round_trip(trained: MotionTokenizer, clips: list[Clip], tmp_path: Path) -> None:
    loaded = load_tokenizer(save_tokenizer(tmp_path, trained))
    codes = trained.encode_clip(clips[0])
    assert torch.equal(loaded.encode_clip(clips[0]), codes)
    assert loaded.decode_clip(codes, 50).id == trained.decode_clip(codes, 50).id


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.safetensors", b"\x80\x04K\x01.", "not a safetensors file"),
        ("tokenizer.json", b"[1]", "expected a JSON object"),
        ("tokenizer.json", json.dumps({"width": 10**9}).encode(), "out of reason"),
        ("tokenizer.json", json.dumps({"colour": 1}).encode(), "expected the fields"),
        ("tokenizer.json", json.dumps({"width": "x"}).encode(), "whole numbers"),
        ("tokenizer.json", json.dumps({"width": 64}).encode(), "is missing"),
    ],
)
def test_bad_files_are_refused(
    trained: MotionTokenizer, tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    save_tokenizer(tmp_path, trained)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(MotionError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
    assert "tokenizer" in str(caught.value)


def test_missing_and_nan_weights_are_refused(trained: MotionTokenizer, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="no such file"):
        load_tokenizer(tmp_path)
    broken = MotionTokenizer(SMALL)
    broken.mean.fill_(torch.nan)
    with pytest.raises(MotionError, match="NaN"):
        load_tokenizer(save_tokenizer(tmp_path, broken))


def test_codes_out_of_range_are_refused(trained: MotionTokenizer) -> None:
    with pytest.raises(MotionError, match=r"0 \.\. 31"):
        trained.decode(torch.full((1, 2, 3), 32))
    with pytest.raises(MotionError, match="no clips"):
        train_tokenizer([], SMALL)
