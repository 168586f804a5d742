"""The Generator protocol: our motion language model, a folder of files, and the commands around them."""

import copy
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli.generate import Generate
from morphloop.cli.train_generator import TrainGenerator, TrainingData, TrainTokenizer, hold_out, training_clips
from morphloop.generator import (
    BackboneSize,
    Budget,
    FinetuneConfig,
    FolderGenerator,
    Generator,
    LanguageModelConfig,
    MotionLanguageModel,
    MotionLLM,
    MotionTokenizer,
    Sampling,
    TextTokenizer,
    TokenizerConfig,
    generate_best,
    load_generator,
    make_examples,
    measure_reconstruction,
    motion_llm,
    take_over_codes,
    train_language_model,
    train_tokenizer,
)
from morphloop.generator.bench.prompts import SECONDS as SETS
from morphloop.generator.bench.prompts import bench_prompts
from morphloop.generator.config import SECONDS
from morphloop.generator.training import Example
from morphloop.metrics import measure
from morphloop.motion import Clip, load_clip, make_corpus, read_manifest, save_clip
from morphloop.motion.config import ReadingConfig

torch.set_num_threads(1)
SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).parents[2] / "shared"))
BACKBONE = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
PROMPTS = ["a person walks forward", "a person waves with the left hand", "a person squats"]


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_corpus(8, seed=3)


@pytest.fixture(scope="module")
def model(clips: list[Clip]) -> MotionLLM:
    tokenizer = train_tokenizer(
        clips, TokenizerConfig(2, 32, 16, 32, 1), Budget(steps=15, minutes=10, batch=4, learning_rate=2e-3)
    )
    text = TextTokenizer.train([t for clip in clips for t in clip.texts], 300)
    config = LanguageModelConfig(text.size, 2, 32, backbone=BACKBONE)
    budget = Budget(steps=25, minutes=10, batch=8, learning_rate=3e-3, warmup=5)
    return MotionLLM(text, tokenizer, train_language_model(make_examples(clips, tokenizer, text), config, budget))


def same(a: list[Clip], b: list[Clip]) -> bool:
    return [clip.id for clip in a] == [clip.id for clip in b]


def test_generated_clips_say_where_they_came_from(model: MotionLLM) -> None:
    assert isinstance(model, Generator)
    made = model.generate(PROMPTS, seed=5)
    assert len(made) == 3
    for clip, prompt in zip(made, PROMPTS, strict=True):
        assert clip.texts == (prompt,)
        assert clip.fps == 30
        assert SECONDS[0] <= clip.duration <= SECONDS[1]
        origin = clip.provenance
        assert (origin.stage, origin.prompt, origin.seed) == ("generate", prompt, 5)
        assert origin.models == {"generator": model.hash()}
    assert len({clip.name for clip in made}) == 3


def test_same_seed_same_motion_other_seed_other(model: MotionLLM) -> None:
    first = model.generate(PROMPTS, seed=5)
    assert same(first, model.generate(PROMPTS, seed=5))
    assert not same(first, model.generate(PROMPTS, seed=6))
    assert len({c.id for c in model.generate([PROMPTS[0]] * 3, seed=5)}) == 3, "each place draws for itself"


@pytest.mark.parametrize("seconds", [(1.0, 1.0), (0.5, 2.0), (2.5, 2.5), (6.0, 7.0)])
def test_length_bounds(model: MotionLLM, seconds: tuple[float, float]) -> None:
    for clip in model.generate(PROMPTS, seed=0, seconds=seconds):
        assert seconds[0] - 1e-9 <= clip.duration <= seconds[1] + 1e-9


@pytest.mark.parametrize("seconds", [(0.0, 1.0), (3.0, 2.0), (1.0, 1e9), (float("nan"), 1.0)])
def test_bad_lengths_and_prompts_are_refused(model: MotionLLM, seconds: tuple[float, float]) -> None:
    with pytest.raises(MotionError, match="seconds"):
        model.generate(PROMPTS, seed=0, seconds=seconds)
    with pytest.raises(MotionError, match="empty"):
        model.generate(["a person walks", " "], seed=0)
    with pytest.raises(MotionError, match="tokens"):
        model.generate(["xyz " * 500], seed=0)


def test_finetuning_makes_a_new_generator_and_leaves_the_old(model: MotionLLM, clips: list[Clip]) -> None:
    before, old_hash = model.generate(PROMPTS, seed=5), model.hash()
    config = FinetuneConfig(steps=25, batch=4, learning_rate=3e-3)
    tuned = model.finetune(clips[:2], clips[2:5], config)
    report = tuned.report
    assert report is not None
    assert (report.accepted, report.replay, report.steps) == (2, 3, 25)
    assert report.accepted_loss_after < report.accepted_loss_before - 0.2
    assert report.replay_loss_after is not None
    assert report.replay_loss_before is not None
    assert tuned.hash() != old_hash
    assert model.hash() == old_hash
    assert model.report is None
    assert same(model.generate(PROMPTS, seed=5), before)
    again = model.finetune(clips[:2], clips[2:5], config)
    assert again.hash() == tuned.hash()
    language_alone = model.finetune(clips[:2], clips[2:5], replace(config, motion_weight=0.0))
    assert language_alone.tokenizer is model.tokenizer
    assert language_alone.report is not None
    assert language_alone.report.accepted_motion_l1_after is None


def test_finetuning_moves_the_decoder_and_tokens_keep_their_meaning(model: MotionLLM, clips: list[Clip]) -> None:
    tuned = model.finetune(clips[:2], clips[2:5], FinetuneConfig(steps=3, batch=4, learning_rate=1e-3))
    before, after = model.tokenizer.state_dict(), tuned.tokenizer.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("decoder.") for name in moved)
    codes = model.tokenizer.encode_clip(clips[6])
    assert torch.equal(tuned.tokenizer.encode_clip(clips[6]), codes)
    assert tuned.tokenizer.decode_clip(codes).id != model.tokenizer.decode_clip(codes).id


def test_finetuning_on_planted_feet_takes_slide_out_of_what_tokens_decode_to() -> None:
    """Purpose: not only in the accepted clips, in held-out ones too, and the replayed are not forgotten."""
    spoilt = make_corpus(24, 1, "train", defects=True)
    budget = Budget(steps=240, minutes=None, batch=8, learning_rate=3e-3, warmup=5)
    tokenizer = train_tokenizer(spoilt, TokenizerConfig(2, 32, 16, 32, 1, planting=False), budget, window=32)
    text = TextTokenizer.train([t for clip in spoilt for t in clip.texts], 300)
    sizes = LanguageModelConfig(text.size, 2, 32, backbone=BACKBONE)
    generator = MotionLLM(text, tokenizer, MotionLanguageModel(sizes))
    planted, replay, held_out = make_corpus(24, 2, "train"), make_corpus(12, 3, "train"), make_corpus(12, 4, "test")
    config = FinetuneConfig(steps=150, batch=8, learning_rate=2e-3, replay_share=0.25, motion_weight=1.0)
    tuned = generator.finetune(planted, replay, config)
    report = tuned.report
    assert report is not None
    slides = [report.accepted_slide_before_mm_s, report.accepted_slide_after_mm_s]
    assert slides[0] is not None
    assert slides[1] is not None
    assert slides[1] < 0.85 * slides[0]
    assert report.accepted_motion_l1_before is not None
    assert report.accepted_motion_l1_after is not None
    assert report.accepted_motion_l1_after < report.accepted_motion_l1_before
    assert report.replay_motion_l1_before is not None
    assert report.replay_motion_l1_after is not None
    assert report.replay_motion_l1_after < 1.02 * report.replay_motion_l1_before
    before, after = (measure_reconstruction(g.tokenizer, held_out) for g in (generator, tuned))
    assert before.slide_mm_s is not None
    assert after.slide_mm_s is not None
    assert after.slide_mm_s < 0.9 * before.slide_mm_s
    assert after.mpjpe_mm < before.mpjpe_mm


def test_no_replay_is_shown_twice_while_there_is_other(
    model: MotionLLM, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is seen again and again is learnt by heart, and then it keeps no words."""
    seen: list[str] = []
    real = motion_llm.make_pairs

    def note(examples: Sequence[Example], *rest: Any) -> Any:
        seen.extend(str(example.codes.tolist()) for example in examples)
        return real(examples, *rest)

    monkeypatch.setattr(motion_llm, "make_pairs", note)
    replay = make_corpus(15, 77, "train")
    model.finetune(clips[:1], replay, FinetuneConfig(steps=5, batch=4, replay_share=0.75))
    old = {str(example.codes.tolist()) for example in make_examples(replay, model.tokenizer, model.text)}
    assert len(seen) == 20
    assert {text for text in seen if seen.count(text) == 1} == old
    seen.clear()
    model.finetune(clips[:1], replay[:5], FinetuneConfig(steps=5, batch=4, replay_share=0.75))
    assert sorted(seen.count(text) for text in set(seen)) == [3, 3, 3, 3, 3, 5]


def test_finetuning_needs_captioned_clips(model: MotionLLM, clips: list[Clip]) -> None:
    with pytest.raises(MotionError, match="no accepted clips"):
        model.finetune([], clips)
    with pytest.raises(MotionError, match="no caption"):
        model.finetune([replace(clips[0], texts=())], [])
    assert model.finetune(clips[:1], [], FinetuneConfig(steps=1)).report.replay_loss_before is None  # type: ignore[union-attr]


def test_descriptions_are_text(model: MotionLLM, clips: list[Clip]) -> None:
    captions = model.describe(clips[:3])
    assert len(captions) == 3
    assert all(isinstance(c, str) and c for c in captions)
    assert captions == model.describe(clips[:3])


def test_files_round_trip(model: MotionLLM, clips: list[Clip], tmp_path: Path) -> None:
    tuned = model.finetune(clips[:2], [], FinetuneConfig(steps=2)).with_sampling(0.7, 0.8)
    loaded = load_generator(tuned.save(tmp_path))
    assert isinstance(loaded, MotionLLM)
    assert loaded.hash() == tuned.hash()
    assert loaded.report == tuned.report
    assert loaded.sampling == Sampling(0.7, 0.8)
    assert same(loaded.generate(PROMPTS, seed=1), tuned.generate(PROMPTS, seed=1))


@pytest.mark.parametrize("file", ["config.json", "lm.safetensors", "tokenizer.safetensors", "text_tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "pickle"])
def test_damaged_folders_are_refused(model: MotionLLM, tmp_path: Path, file: str, damage: str) -> None:
    model.save(tmp_path)
    if damage == "missing":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(b"" if damage == "empty" else b"\x80\x04cos\nsystem\n.")
    with pytest.raises(MotionError, match=file) as caught:
        MotionLLM.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_parts_that_do_not_fit_are_refused(model: MotionLLM) -> None:
    other = TextTokenizer.train(["a person jumps up and down again"], 280)
    with pytest.raises(MotionError, match="text ids"):
        MotionLLM(other, model.tokenizer, model.model)


@pytest.fixture
def outputs(clips: list[Clip], tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    save_clip(folder / "walk.npz", clips[0])
    save_clip(folder / "sub" / "silent.npz", replace(clips[1], texts=()))
    (folder / "broken.npz").write_bytes(b"PK nothing")
    return folder


def test_folder_generator(outputs: Path, clips: list[Clip], tmp_path: Path) -> None:
    generator = load_generator(outputs)
    assert isinstance(generator, FolderGenerator)
    assert isinstance(generator, Generator)
    assert sorted(generator.prompts) == sorted([clips[0].texts[0], "sub/silent"])
    assert [Path(p).name for p in generator.failed] == ["broken.npz"]
    made = generator.generate(generator.prompts, seed=3)
    assert sorted(c.num_frames for c in made) == sorted(c.num_frames for c in clips[:2])
    assert all(c.texts and c.provenance.models == {"generator": generator.hash()} for c in made)
    assert not generator.can_finetune
    with pytest.raises(MotionError, match="cannot be fine-tuned"):
        generator.finetune(made, [])
    with pytest.raises(MotionError, match="no clip for prompt"):
        generator.generate(["a person flies"], seed=0)
    pointed = load_generator(generator.save(tmp_path / "saved"))
    assert pointed.hash() == generator.hash()
    save_clip(outputs / "walk.npz", clips[2])
    assert FolderGenerator(outputs).hash() != generator.hash()


def test_folder_without_motion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MotionError):
        FolderGenerator(tmp_path)
    (tmp_path / "only.npz").write_bytes(b"PK nothing")
    with pytest.raises(MotionError, match="no usable motion"):
        FolderGenerator(tmp_path)
    with pytest.raises(MotionError):
        load_generator(tmp_path / "nowhere")


@pytest.mark.skipif(not (SHARED / "data" / "generated").is_dir(), reason="needs ../shared/data/generated")
def test_folder_of_published_outputs(tmp_path: Path) -> None:
    for name in ("mdm_hlcdyy_00.npz", "t2mgpt_a_person_stepping_to_the_side.npz"):
        shutil.copy(SHARED / "data" / "generated" / "joints22" / name, tmp_path)
    generator = FolderGenerator(tmp_path)
    assert not generator.failed
    made = generator.generate(generator.prompts, seed=0)
    assert len(made) == len(generator.paths)
    assert all(clip.num_frames > 20 for clip in made)


def test_folder_of_a_file_with_several_motions(tmp_path: Path) -> None:
    """As action2motion saves them: each is a clip of its own, and the bad one is named."""
    joints = np.stack([clip.positions[:40] for clip in make_corpus(3, 1)])
    joints[1, 7] = np.nan
    np.savez(tmp_path / "batch.npz", joints=joints, classes=np.zeros(3))
    generator = FolderGenerator(tmp_path, ReadingConfig(20.0))
    assert generator.prompts == ["batch:0", "batch:2"]
    assert [Path(p).name for p in generator.failed] == ["batch:1.npz"]
    made = generator.generate(generator.prompts, seed=0)
    assert [clip.name for clip in made] == ["batch_0", "batch_2"]


class Traveller:
    """An evaluator to which the prompt is far away and a motion as far as it travels."""

    kind, hash, dimensions = "morphloop", "traveller", 1

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), 1), 100.0)

    def embed_motions(self, motions: Sequence[Any]) -> np.ndarray:
        return np.array([[np.linalg.norm(motion.root_pos[-1] - motion.root_pos[0])] for motion in motions])


def test_of_several_candidates_the_nearest_to_its_prompt_is_kept(model: MotionLLM) -> None:
    judge = Traveller()
    every = model.generate([prompt for prompt in PROMPTS for _ in range(5)], 3)
    far = judge.embed_motions(every)[:, 0].reshape(3, 5)
    best = generate_best(model, judge, PROMPTS, 5, 3)
    assert judge.embed_motions(best)[:, 0] == pytest.approx(far.max(axis=1))
    assert (far.max(axis=1) > far[:, 0]).any(), "the first is not always the best"
    assert [clip.texts for clip in best] == [(prompt,) for prompt in PROMPTS]
    assert len({clip.name for clip in best}) == 3
    assert best[0].name.startswith("000_")
    assert {clip.provenance.models["evaluator"] for clip in best} == {"traveller"}
    assert same(generate_best(model, judge, PROMPTS, 1, 3), model.generate(PROMPTS, 3))
    with pytest.raises(MotionError, match="candidates: 0, expected 1 to 64"):
        generate_best(model, judge, PROMPTS, 0, 3)


def test_generate_command(model: MotionLLM, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.save(tmp_path / "model")
    (tmp_path / "more.txt").write_text("a person squats\n\n")
    command = Generate(
        (PROMPTS[0],),
        tmp_path / "more.txt",
        out=tmp_path / "out",
        generator=tmp_path / "model",
        seconds=(1.0, 1.5),
        describe=True,
        json=tmp_path / "out.json",
    )
    assert command.run() == 0
    rows = read_manifest(tmp_path / "out")
    assert [row["prompt"] for row in rows] == [PROMPTS[0], "a person squats"]
    for row in rows:
        clip = load_clip(tmp_path / "out" / row["file"])
        assert clip.num_frames == row["frames"]
        assert clip.provenance.prompt == row["prompt"]
        assert 1.0 <= row["seconds"] <= 1.5
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["generator"] == model.hash()
    assert result["clips"] == rows
    assert PROMPTS[0] in capsys.readouterr().out
    replace(command, temperature=0.0, out=tmp_path / "greedy").run()
    ids = [row["id"] for row in read_manifest(tmp_path / "greedy")]
    assert ids != [row["id"] for row in rows]


def test_generate_command_refuses(model: MotionLLM, outputs: Path, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    with pytest.raises(MotionError, match="no prompt"):
        Generate(generator=folder, out=tmp_path / "out").run()
    with pytest.raises(MotionError, match=r"none\.txt"):
        Generate(prompts_file=tmp_path / "none.txt", generator=folder, out=tmp_path / "out").run()
    with pytest.raises(MotionError, match="seed"):
        Generate(("a",), generator=folder, seed=-1).run()
    with pytest.raises(MotionError, match="not sampled"):
        Generate(generator=outputs, temperature=1.0).run()
    with pytest.raises(MotionError, match="not sampled"):
        Generate(generator=outputs, candidates=2).run()
    with pytest.raises(MotionError, match="chooses among --candidates"):
        Generate(("a",), generator=folder, evaluator=tmp_path).run()
    with pytest.raises(MotionError, match="without a beginning"):
        Generate(("a",), generator=folder, candidates=2, unprompted=1).run()
    assert not (tmp_path / "out").exists()
    assert Generate((PROMPTS[0],), generator=folder, candidates=2, out=tmp_path / "best").run() == 0
    assert len(read_manifest(tmp_path / "best")) == 1
    assert Generate(generator=outputs, out=tmp_path / "files").run() == 0
    assert len(read_manifest(tmp_path / "files")) == 2


def test_training_commands(tmp_path: Path) -> None:
    source, budget = TrainingData(clips=6, spoilt=0.5), Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3)
    small = TrainTokenizer(
        tmp_path / "tok", source, TokenizerConfig(streams=2, codebook=16, width=16), budget, held_out=2
    )
    assert small.run() == 0
    told = json.loads((tmp_path / "tok" / "reconstruction.json").read_text())
    assert told["clips"] == 2
    assert len(told["perplexity"]) == 2
    train = TrainGenerator(tmp_path / "llm", tmp_path / "tok", source=source, budget=budget)
    assert train.run() == 0
    generator = load_generator(tmp_path / "llm")
    assert len(generator.generate([PROMPTS[0]], 0)) == 1
    assert json.loads((tmp_path / "llm" / "train_generator.json").read_text())["source"]["clips"] == 6
    assert not list(tmp_path.rglob("*checkpoint*"))
    with pytest.raises(MotionError, match="pattern"):
        replace(train, pattern="zigzag").run()
    assert replace(small, out=tmp_path / "tok2", start=tmp_path / "tok").run() == 0
    goes_on = replace(train, out=tmp_path / "llm2", tokenizer=tmp_path / "tok2", start=tmp_path / "llm")
    assert goes_on.run() == 0
    wanted = (tmp_path / "tok2" / "tokenizer.safetensors").read_bytes()
    assert (tmp_path / "llm2" / "tokenizer.safetensors").read_bytes() == wanted


def test_a_new_tokenizers_codes_begin_as_those_that_stood_in_their_place(model: MotionLLM, clips: list[Clip]) -> None:
    """With the same codes in another order the language model says of all motion what it said before."""
    renumbered = copy.deepcopy(model.tokenizer)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    for book in renumbered.books:
        book.codebook.copy_(book.codebook[order])
    goes_on = copy.deepcopy(model.model)
    take_over_codes(goes_on, model.tokenizer, renumbered, clips)
    before, after = model.model.code_table.unflatten(0, (2, 32)), goes_on.code_table.unflatten(0, (2, 32))
    for stream in range(2):
        shown = torch.cat([renumbered.encode_clip(clip)[stream] for clip in clips]).unique()
        assert 3 < len(shown) < 32
        assert torch.allclose(after[stream, shown], before[stream, order[shown]], atol=1e-4)
        assert not torch.allclose(after[stream, shown], before[stream, shown], atol=1e-2)
    with pytest.raises(MotionError, match="new tokenizer: codebook 16, the language model was trained on 32"):
        take_over_codes(goes_on, model.tokenizer, MotionTokenizer(TokenizerConfig(2, 16, 16, 32, 1)), clips)


def test_a_generator_that_reads_by_a_text_encoder(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, budget = TrainingData(clips=6, spoilt=0.5), Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3)
    small = TrainTokenizer(
        tmp_path / "tok", source, TokenizerConfig(streams=2, codebook=16, width=16), budget, held_out=2
    )
    assert small.run() == 0
    told = json.loads((tmp_path / "tok" / "reconstruction.json").read_text())
    assert told["clips"] == 2
    assert len(told["perplexity"]) == 2
    size = BackboneSize(layers=1, width=48)
    train = TrainGenerator(
        tmp_path / "llm", tmp_path / "tok", source=source, size=size, text_encoder="shipped", budget=budget
    )
    assert train.run() == 0
    generator = MotionLLM.load(tmp_path / "llm")
    assert generator.encoder is not None
    made = generator.generate(["she saunters", "she saunters", "he salutes"], 0)
    assert all(np.isfinite(clip.positions).all() for clip in made)
    tuned = generator.finetune(clips[:2], [], FinetuneConfig(steps=2)).with_sampling(0.7)
    loaded = load_generator(tuned.save(tmp_path / "tuned"))
    assert loaded.hash() == tuned.hash()
    assert same(loaded.generate(PROMPTS, seed=1), tuned.generate(PROMPTS, seed=1))
    with pytest.raises(MotionError, match="tokens"):
        generator.generate(["walks " * 10_000], 0)
    with pytest.raises(MotionError, match="no text encoder"):
        MotionLLM(generator.text, generator.tokenizer, generator.model)
    other = replace(generator.model.config, text_encoder_hash="0" * 16)
    monkeypatch.setattr(generator.model, "config", other)
    with pytest.raises(MotionError, match="train the generator again, or get that encoder"):
        MotionLLM.load(generator.save(tmp_path / "other"))


def test_what_ships_is_known_by_the_hash_of_its_card() -> None:
    """Nothing that a configuration has gained since changes it."""
    folder = Path(str(resources.files("morphloop.assets"))) / "generator"
    assert load_generator(folder).hash() in (folder / "MODEL_CARD.md").read_text()


def test_what_ships_does_what_prompts_say() -> None:
    """Nearly all templates, and words that no caption used far more often than by chance; its feet stand."""
    shipped = load_generator(Path(str(resources.files("morphloop.assets"))) / "generator")
    for name, least in (("templates", 0.85), ("paraphrases", 0.25)):
        asked = bench_prompts(name, 120, 5)
        made = shipped.generate([one.text for one in asked], 0, SETS[name])
        assert np.mean([one.passes(clip) for one, clip in zip(asked, made, strict=True)]) > least, name
        half = len(made) // 2  # the two templates of one thing are neighbours
        others = [one.passes(clip) for one, clip in zip(asked, made[half:] + made[:half], strict=True)]
        assert np.mean(others) < 0.5 * least
        slide = [measure(clip, wrench=False).values["slide_mean_mm_s"] or 0.0 for clip in made]
        assert np.mean(slide) < 10.0


def test_what_reconstruction_is_reported_on_trained_nothing(tmp_path: Path) -> None:
    for number, clip in enumerate(make_corpus(20, 2)):
        save_clip(tmp_path / f"{'M' if number % 2 else ''}{number // 2:06d}.npz", clip)
    source = TrainingData(data=tmp_path, workers=1)
    clips = training_clips(source, captioned=False)
    trained, held_out = hold_out(source, clips, 100)
    assert len(held_out) == 2
    assert len(trained) == 18
    origins = [{clip.name.removeprefix("M") for clip in part} for part in (trained, held_out)]
    assert not origins[0] & origins[1], "a mirror image is no new motion"
    assert hold_out(source, clips, 0)[1] == []
    assert {clip.provenance.notes["split"] for clip in hold_out(TrainingData(), [], 3)[1]} == {"test"}


def test_training_never_sees_the_test_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "cache"))
    used = training_clips(TrainingData(clips=10, spoilt=0.5))
    assert len(used) == 10
    assert {clip.provenance.notes["split"] for clip in used} == {"train"}
    save_clip(tmp_path / "a.npz", used[0])
    (read,) = training_clips(TrainingData(data=tmp_path))
    assert read.texts == used[0].texts
    assert np.abs(read.positions - used[0].positions).max() < 1e-5
    save_clip(tmp_path / "b.npz", replace(used[1], texts=()))
    (read,) = training_clips(TrainingData(data=tmp_path))
    assert read.texts == used[0].texts
    assert "b.npz: has no caption" in capsys.readouterr().err
    with pytest.raises(MotionError, match="share"):
        training_clips(TrainingData(clips=4, spoilt=2))


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_every_batch_of_a_finetuning_has_an_accepted_clip(batch: int) -> None:
    assert FinetuneConfig(batch=batch, replay_share=0.75).from_replay == {1: 0, 2: 1, 3: 2, 8: 6}[batch]


def test_generated_motion_is_finite_even_from_an_untrained_model(model: MotionLLM) -> None:
    hot = model.with_sampling(temperature=5.0, top_p=1.0)
    for clip in hot.generate(PROMPTS, seed=0):
        assert np.isfinite(clip.positions).all()
