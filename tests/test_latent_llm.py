"""The language model over latents: what a short training learns, and the Generator protocol around it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from morphloop.base import MotionError
from morphloop.cli.generate import Generate
from morphloop.cli.train_generator import TrainGenerator, TrainingData
from morphloop.generator import (
    Budget,
    DiffusionConfig,
    FinetuneConfig,
    Generator,
    LanguageModelConfig,
    LatentLLM,
    LatentModelConfig,
    LatentMotionModel,
    MotionVAE,
    Sampling,
    TextTokenizer,
    TowerConfig,
    VaeConfig,
    load_generator,
    save_tokenizer,
    train_latent_model,
)
from morphloop.generator.latent_model import LatentMotion
from morphloop.generator.latent_training import LatentExample, latent_loss
from morphloop.generator.sampling import write_text
from morphloop.generator.sequences import pad
from morphloop.motion import Clip, make_corpus

torch.set_num_threads(1)
BACKBONE = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
CAPTIONS = ("a person walks forward", "a person waves the left hand")
VAE = VaeConfig(latents=2, latent_size=3, width=16, layers=1, heads=2, spread=8)


def config(text_size: int) -> LatentModelConfig:
    towers = LanguageModelConfig(text_size, 1, 1, "parallel", BACKBONE, tower=TowerConfig(48))
    return LatentModelConfig(towers, 2, 3, DiffusionConfig(64, 2, 20))


def test_both_directions_are_learnt() -> None:
    """Each caption has latents and a length of its own; sampling must give them back, and the caption from them."""
    text = TextTokenizer.train(CAPTIONS, 280)
    rng = torch.Generator().manual_seed(0)
    motions = [LatentMotion(3 * torch.randn(2, 3, generator=rng), frames) for frames in (40, 90)]
    ids = [text.encode(caption) for caption in CAPTIONS]
    examples = [LatentExample(motion, (one,), (one,)) for motion, one in zip(motions, ids, strict=True)]
    budget = Budget(steps=250, minutes=10, batch=16, learning_rate=2e-3, warmup=10)
    model = train_latent_model(examples, config(text.size), budget, to_text_share=0.4)
    made = model.sample(ids, (10, 200), [torch.Generator().manual_seed(k) for k in range(2)])
    for got, wanted, other in zip(made, motions, reversed(motions), strict=True):
        assert abs(got.frames - wanted.frames) < 10
        assert (got.latents - wanted.latents).norm() < 0.4 * (got.latents - other.latents).norm()
    bounded = model.sample(ids, (60, 70), [torch.Generator().manual_seed(k) for k in range(2)], guidance=2.0)
    assert [one.frames for one in bounded] == [60, 70]
    prompts = pad(model.caption_prompts(2), model.vocabulary.blank, left=True)
    said = write_text(
        lambda ids, mask, cache: model.step(ids, mask, cache, motions),
        model.vocabulary,
        prompts,
        40,
        [torch.Generator()] * 2,
        Sampling(temperature=0.0),
    )
    assert [text.decode(one) for one in said] == list(CAPTIONS)


def test_resumed_training_is_the_unbroken_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    example = LatentExample(LatentMotion(torch.randn(2, 3), 30), ([1, 2],), ([1, 2],))
    budget = Budget(steps=4, minutes=1e6, batch=2, learning_rate=1e-3, save_every=2)
    whole = train_latent_model([example], config(10), budget).state_dict()
    train_latent_model([example], config(10), replace(budget, save_every=3), checkpoint=path)
    resumed = train_latent_model([example], config(10), budget, checkpoint=path).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(MotionError, match="no examples"):
        train_latent_model([], config(10), budget)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_corpus(4, seed=3)


@pytest.fixture(scope="module")
def llm(clips: list[Clip]) -> LatentLLM:
    torch.manual_seed(0)
    text = TextTokenizer.train([t for clip in clips for t in clip.texts], 280)
    vae, model = MotionVAE(VAE), LatentMotionModel(config(text.size))
    return LatentLLM(text, vae, model)


def test_it_is_a_generator(llm: LatentLLM) -> None:
    assert isinstance(llm, Generator)
    prompts = ["a person walks", "a person waves with the left hand"]
    made = llm.generate(prompts, seed=5, seconds=(1.0, 2.0))
    for clip, prompt in zip(made, prompts, strict=True):
        assert 1.0 - 1e-9 <= clip.duration <= 2.0 + 1e-9
        assert clip.fps == 30
        assert clip.texts == (prompt,)
        assert clip.provenance.models == {"generator": llm.hash()}
    again = llm.generate(prompts, seed=5, seconds=(1.0, 2.0))
    assert [clip.id for clip in again] == [clip.id for clip in made]
    assert llm.generate(prompts, seed=6, seconds=(1.0, 2.0))[0].id != made[0].id
    assert llm.generate(prompts[:1], seed=0, seconds=(1.5, 1.5))[0].duration == pytest.approx(1.5)
    guided = llm.with_sampling(guidance=2.0)
    assert guided.generate(prompts[:1], seed=5, seconds=(1.0, 2.0))[0].num_frames > 1
    assert len(llm.describe(made)) == 2
    for seconds in ((0.0, 1.0), (3.0, 2.0), (1.0, 1e9)):
        with pytest.raises(MotionError, match="seconds"):
            llm.generate(prompts, seed=0, seconds=seconds)
    with pytest.raises(MotionError, match="empty"):
        llm.generate([" "], seed=0)


def test_finetuning_makes_a_new_one_and_leaves_the_old(llm: LatentLLM, clips: list[Clip]) -> None:
    before = llm.hash()
    tuned = llm.finetune(clips[:2], clips[2:], FinetuneConfig(steps=6, batch=4, learning_rate=3e-3))
    assert tuned.report is not None
    assert (tuned.report.accepted, tuned.report.replay, tuned.report.steps) == (2, 2, 6)
    assert tuned.report.accepted_loss_after < tuned.report.accepted_loss_before
    assert tuned.hash() != before
    assert llm.hash() == before
    with pytest.raises(MotionError, match="no accepted clips"):
        llm.finetune([], clips)


def test_files_round_trip_and_bad_ones_are_refused(llm: LatentLLM, tmp_path: Path) -> None:
    loaded = load_generator(llm.save(tmp_path))
    assert isinstance(loaded, LatentLLM)
    assert loaded.hash() == llm.hash()
    written = json.loads((tmp_path / "config.json").read_text())
    other, towers = written["language_model"] | {"latents": 3}, written["language_model"]["towers"]
    for wrong, message in (
        (other, "shape|expected"),
        (written["language_model"] | {"head": {"says": "velocity", "width": 0}}, "width is 0"),
        (written["language_model"] | {"head": {"width": 64}}, "says noise, this version reads velocities"),
        (written["language_model"] | {"towers": towers | {"streams": 0}}, "streams is 0"),
        ({"towers": towers}, "malformed"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(written | {"language_model": wrong}))
        with pytest.raises(MotionError, match=message) as caught:
            LatentLLM.load(tmp_path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).count(str(tmp_path)) == 1
    with pytest.raises(MotionError, match="its tokenizer and VAE make"):
        LatentLLM(llm.text, MotionVAE(replace(VAE, latents=1)), llm.model)
    with pytest.raises(MotionError, match="expected a dual tower of one stream"):
        LatentModelConfig(LanguageModelConfig(10, 2, 5), 2, 3)


def test_the_command_trains_one_on_a_vae(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "vae", MotionVAE(VAE))
    budget = Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3)
    command = TrainGenerator(
        tmp_path / "made",
        tmp_path / "vae",
        source=TrainingData(clips=4),
        tower=TowerConfig(24),
        head=DiffusionConfig(32, 1, 5),
        budget=budget,
    )
    assert command.run() == 0
    made = load_generator(tmp_path / "made")
    assert isinstance(made, LatentLLM)
    assert (made.model.config.head.width, made.model.config.tower.width) == (32, 24)
    assert torch.isfinite(torch.tensor(latent_loss(made.model, [_example(made)])))

    made.with_sampling(guidance=3.0).save(tmp_path / "guided")
    on = replace(command, out=tmp_path / "on", tokenizer=None, start=tmp_path / "guided")
    assert on.run() == 0
    went_on = load_generator(tmp_path / "on")
    assert isinstance(went_on, LatentLLM)
    assert went_on.sampling.guidance == 3.0, "sampling of the one that was gone on from"
    for wrong in ({"motion_weight": 0.2}, {"between": 0.2}):
        with pytest.raises(MotionError, match="expected 0 of a VAE"):
            replace(on, **wrong).run()  # type: ignore[arg-type]
    with pytest.raises(MotionError, match="draws latents"):
        Generate(("a person walks",), generator=str(tmp_path / "made"), temperature=0.5, out=tmp_path / "clips").run()


def test_a_pretrained_text_tower_is_taken_and_kept(clips: list[Clip], tmp_path: Path) -> None:
    text = TextTokenizer.train([t for clip in clips for t in clip.texts], 280)
    sizes = {name: value for name, value in BACKBONE.items() if name != "model_type"}
    backbone = LlamaModel(LlamaConfig(vocab_size=text.size, **sizes))  # type: ignore[arg-type]
    backbone.save_pretrained(tmp_path / "text")
    text.save(tmp_path / "text" / "tokenizer.json")
    save_tokenizer(tmp_path / "vae", MotionVAE(VAE))
    command = TrainGenerator(
        tmp_path / "made",
        tmp_path / "vae",
        source=TrainingData(clips=4),
        backbone=str(tmp_path / "text"),
        adapt="frozen",
        tower=TowerConfig(24, 2),
        head=DiffusionConfig(32, 1, 5),
        budget=Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3),
    )
    assert command.run() == 0
    made = load_generator(tmp_path / "made")
    assert isinstance(made, LatentLLM)
    kept = made.model.towers.backbone.state_dict()
    own = backbone.state_dict()
    assert all(torch.equal(kept[name], own[name]) for name in own if name != "embed_tokens.weight")
    assert torch.equal(kept["embed_tokens.weight"][: text.size], own["embed_tokens.weight"])
    torch.rand(7)
    assert replace(command, out=tmp_path / "again").run() == 0
    again = load_generator(tmp_path / "again")
    assert again.hash() == made.hash(), "whatever was drawn before"


def _example(made: LatentLLM) -> LatentExample:
    return LatentExample(LatentMotion(torch.zeros(2, 3), 30), ([1],), ([1],))
