"""Library calls leave the caller's random streams where they were, whatever the libraries beneath them seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base.random_streams import own_streams
from morphloop.cli.console import SHIPPED_GENERATOR, SHIPPED_POLICY, shipped
from morphloop.envs import TrackingEnv, make_reference, prepare
from morphloop.generator import (
    Budget,
    FinetuneConfig,
    LanguageModelConfig,
    MotionLLM,
    TokenizerConfig,
    load_generator,
    make_examples,
    train_language_model,
    train_tokenizer,
)
from morphloop.imitator import (
    DemonstrationConfig,
    DistilConfig,
    IlqrConfig,
    PpoConfig,
    ProjectionConfig,
    distil,
    load_demonstration,
    load_policy,
    new_policy,
    project_clips,
    record_demonstrations,
    train_ppo,
)
from morphloop.motion import Clip, make_corpus
from morphloop.sim import default_body

QUICK = IlqrConfig(horizon=8, iterations=1, hard_iterations=1, dampings=(0.0,), retries=0, threads=1)
BUDGET = Budget(steps=1, minutes=1.0, batch=2, learning_rate=1e-4)
BACKBONE = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
BACKBONE |= {"num_attention_heads": 2}
DISTIL = DistilConfig(envs=4, steps=2, batches=1, minibatch=8, memory=64, expert_updates=1)


def streams() -> list[float]:
    """The next number of every global stream, without taking it."""
    python, numpy = random.Random(), np.random.RandomState()
    python.setstate(random.getstate())
    numpy.set_state(np.random.get_state())
    own = torch.Generator()
    own.set_state(torch.get_rng_state())
    return [python.random(), numpy.random_sample(), float(torch.rand(1, generator=own))]


@contextmanager
def untouched() -> Iterator[None]:
    before = streams()
    yield
    assert streams() == before


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A second of a walk with a caption."""
    found = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "walk")
    return replace(found.slice(20, 51), name="walk")


@own_streams(3)
def fails() -> None:
    """What seeds everything and does not come to its end."""
    random.seed(int(torch.randint(100, ())))
    np.random.seed(1)
    raise KeyError


def test_the_streams_are_seeded_inside_and_given_back_after_an_error() -> None:
    with untouched(), pytest.raises(KeyError):
        fails()
    with own_streams(3):
        first = torch.rand(2)
    with own_streams(3):
        assert torch.equal(torch.rand(2), first)


def test_a_generator_draws_from_streams_of_its_own(clip: Clip, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    with untouched():
        generator = load_generator(shipped(SHIPPED_GENERATOR))
    assert isinstance(generator, MotionLLM)
    with untouched():
        generator.generate(["a person walks"], 3, (1.0, 1.0))
    with untouched():
        generator.describe([clip])
    with untouched():
        generator.finetune([clip], [], FinetuneConfig(steps=1, batch=2))
    with untouched():
        tokenizer = train_tokenizer([clip], TokenizerConfig(width=8, codebook=4), BUDGET, window=16)
    examples = make_examples([clip], tokenizer, generator.text)
    config = LanguageModelConfig(generator.text.size, tokenizer.config.streams, 4, backbone=BACKBONE)
    with untouched():
        train_language_model(examples, config, BUDGET)


def _train(clip: Clip) -> Callable[[], object]:
    env = TrackingEnv([prepare(clip, default_body())], default_body(), 2)
    policy = new_policy(default_body(), (8, 8))
    return lambda: train_ppo(policy, env, 1, PpoConfig(steps=4, minibatch=8, epochs=1))


def test_an_imitator_draws_from_streams_of_its_own(clip: Clip, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    body = default_body()
    with untouched():
        policy = load_policy(shipped(SHIPPED_POLICY))
    with untouched():
        policy.copy()
    with untouched():
        new_policy(body, seed=4)
    train = _train(clip)
    with untouched():
        train()
    (path,) = record_demonstrations([make_reference(clip, body)], tmp_path, body, DemonstrationConfig(QUICK), workers=0)
    demonstration = load_demonstration(path, body)
    assert demonstration is not None
    with untouched():
        distil(new_policy(body, (8, 8)), [demonstration], body, DISTIL)


def test_projection_draws_from_streams_of_its_own(clip: Clip) -> None:
    torch.set_num_threads(1)
    config = ProjectionConfig("optimiser", ilqr=QUICK)
    with untouched():
        project_clips([clip.slice(0, 6)], None, config, workers=0)
    with untouched():
        project_clips([clip.slice(0, 6)], load_policy(shipped(SHIPPED_POLICY)), ProjectionConfig("policy"), workers=0)
