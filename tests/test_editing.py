"""Editing by instruction: pairs that differ in what is asked, words for it, a model that learns it, and refusals."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli.bench_generator import BenchGenerator, show_edits
from morphloop.cli.generate import Generate
from morphloop.cli.train_generator import TrainGenerator, TrainingData
from morphloop.generator import (
    PATTERNS,
    Budget,
    LanguageModelConfig,
    MotionLanguageModel,
    MotionLLM,
    MotionTokenizer,
    Sampling,
    TextTokenizer,
    TokenizerConfig,
    TowerConfig,
    check_instruction,
    load_generator,
    make_edit_examples,
    pairs_for,
    save_tokenizer,
    train_language_model,
)
from morphloop.generator.bench.config import GeneratorBenchConfig
from morphloop.generator.bench.edits import bench_edits
from morphloop.generator.facts import fact
from morphloop.generator.sampling import sample_motion
from morphloop.generator.sequences import IGNORE, Text, Vocabulary, edited_motion
from morphloop.generator.task_templates import (
    FOLDER,
    TASKS,
    edit_words,
    read_edit_words,
    read_task,
    task_templates,
)
from morphloop.generator.training import Example, Instructions, make_pairs
from morphloop.motion import Clip, load_clip, save_clip
from morphloop.motion.corpus import edits as edits_module
from morphloop.motion.corpus.described import UNSEEN, draw_script, pairs
from morphloop.motion.corpus.edits import KINDS, EditPair, EditPairs, changed, possible_edits
from morphloop.motion.corpus.grammar import has_held_out_word

SHIPPED = Path(__file__).parents[1] / "assets" / "generator"
torch.set_num_threads(1)
BACKBONE = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def edited() -> list[EditPair]:
    return list(EditPairs(60, seed=3))


def part_of(clip: Clip, place: int) -> Clip:
    """The segment of a clip between two seams."""
    seams = [0, *clip.provenance.notes["seams"], clip.num_frames]
    return clip.slice(seams[place], seams[place + 1])


def test_a_pair_differs_in_what_is_asked_and_in_nothing_else(edited: list[EditPair]) -> None:
    """By one setting in the script, and by the facts on both clips."""
    asked, kept = [], []
    for pair in edited:
        edit, before, after = pair.edit, pair.source, pair.edited
        scripts = [clip.provenance.notes["script"] for clip in (before, after)]
        differing = [(a, b) for x, y in zip(*scripts, strict=True) for a, b in zip(x, y, strict=True) if a != b]
        assert len(differing) == 1
        names = {
            name
            for name in {**differing[0][0], **differing[0][1]}
            if differing[0][0].get(name) != differing[0][1].get(name)
        }
        assert edit.setting in names
        assert names - {edit.setting} <= {"pace", "tempo", "curve"}, "what the corpus ties to a style or a way"
        parts = [part_of(clip, edit.part) for clip in (before, after)]
        shows = [all(fact(name).passes(part) for name in edit.asked) for part in parts]
        asked.append(shows == [False, True])
        kept += [fact(name).passes(after) for name in edit.kept if fact(name).passes(before)]
    assert np.mean(asked) > 0.9
    assert np.mean(kept) > 0.97
    assert {pair.edit.kind for pair in edited} == set(KINDS)


def test_what_is_not_asked_is_drawn_the_same(edited: list[EditPair]) -> None:
    """Before the edited part both clips are one, unless balance looks ahead; an arm changes no foot."""
    arms = [pair for pair in edited if pair.edit.kind == "arm" and pair.edit.deed in ("wave", "salute", "point")]
    assert arms
    for pair in arms:
        feet = [clip.positions[:, clip.skeleton.index("left_ankle")] for clip in (pair.source, pair.edited)]
        assert feet[0].shape == feet[1].shape
        np.testing.assert_allclose(*feet, atol=0.02)
    for pair in edited:
        drawn = [clip.provenance.notes["parameters"] for clip in (pair.source, pair.edited)]
        assert [one.keys() for one in drawn[0]] == [one.keys() for one in drawn[1]]


def test_pairs_are_drawn_lazily_and_repeat(edited: list[EditPair], monkeypatch: pytest.MonkeyPatch) -> None:
    again = EditPairs(60, seed=3)
    assert [again[2].source.id, again[2].edited.id] == [edited[2].source.id, edited[2].edited.id]
    assert [pair.edit for pair in again[:2]] == [pair.edit for pair in edited[:2]]
    assert EditPairs(1, 3, "test")[0].source.id != edited[0].source.id
    monkeypatch.setattr(edits_module, "solved", None)
    assert list(EditPairs(3, seed=3).edits) == [pair.edit for pair in edited[:3]]
    for count, split in ((-1, "train"), (1, "combinations")):
        with pytest.raises(MotionError, match="expected 0 or more of one of train, test"):
            EditPairs(count, 0, split)


def test_every_edit_has_its_words_and_none_is_held_out() -> None:
    """Of 600 scripts: each edit can be asked for, shows no pair kept for tests, and its facts are known."""
    rng, words, said = np.random.default_rng(0), edit_words(), set()
    for _ in range(600):
        parts = draw_script(rng, "train")
        for edit, change in possible_edits(parts):
            assert not pairs(changed(parts, *change)) & UNSEEN
            assert all(fact(name) for name in (*edit.asked, *edit.kept))
            text = words.instruction(edit, rng)
            if edit.setting == "side":
                assert edit.new in text or "other" in text or "swap" in text
            said.add(text)
    assert not [text for text in said if has_held_out_word(text) or re.search(r"[{}]|  |None", text)]
    assert len(said) > 500
    assert not any(has_held_out_word(text) for task in TASKS for text in task_templates(task))
    assert all(len(task_templates(task)) >= 5 for task in TASKS)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[arm.side]", "[arm.side", "not TOML"),
        ("{do} with the other {limb}", "{do} with the other {hand}", "braces that nothing fills"),
        ("[leg.side]", "[leg.speed]", "is no setting"),
        ('walk = [\n    "curve', 'hop = [\n    "curve', "neither any, named nor one of deeds"),
        ('["faster", "a bit faster"]', "[]", "no text"),
        ('["faster", "a bit faster"]', '"faster"', "compared"),
        ("wav(e|es|ing)", "wav(e|es", "no regular expression"),
        ('shows = ["wave"]', 'shows = ["fly"]', "fact 'fly' is unknown"),
        ("rest = [", "more = [", "more"),
    ],
)
def test_templates_that_cannot_be_used_are_told_in_one_line(old: str, new: str, why: str, tmp_path: Path) -> None:
    text = (FOLDER / "editing.toml").read_text()
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(MotionError, match=why) as told:
        read_edit_words(tmp_path / "own.toml")
    assert "\n" not in str(told.value)
    assert "own.toml" in str(told.value)


@pytest.mark.parametrize(("text", "why"), [("templates = []", "no text"), ('templates = ["{x}"]', "braces"), ("", "")])
def test_a_task_without_templates_is_told_in_one_line(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(MotionError, match=rf"own\.toml.*{why}"):
        read_task(tmp_path / "own.toml")


def test_what_is_to_be_changed_stands_between_instruction_and_answer() -> None:
    vocabulary, pattern = Vocabulary(10, 2, 5), PATTERNS["delay"](2)
    source, codes = torch.randint(5, (2, 4)), torch.randint(5, (2, 6))
    pair = edited_motion(vocabulary, pattern, [7, 8], source, codes)
    ids, shown = pair.steps.ids, vocabulary.motion_steps(source, pattern)
    last = 4 + shown.shape[1]
    assert ids[0, :4].tolist() == [vocabulary.mark("to_motion"), 7, 8, vocabulary.mark("to_text")]
    assert torch.equal(ids[:, 4:last], shown)
    assert int(ids[0, last]) == vocabulary.mark("motion")
    assert (pair.targets[:, :last] == IGNORE).all(), "what is shown is not trained"


@pytest.mark.parametrize("tower", [None, TowerConfig(48)])
def test_motion_is_made_of_the_source_and_the_instruction(tower: TowerConfig | None) -> None:
    """Two sources and two instructions, four answers: neither alone tells which."""
    sources = [torch.full((2, 4), code) for code in (1, 6)]
    answers = {
        (k, word): torch.stack([torch.full((5,), 3 * k + word), torch.full((5,), 10 - k)])
        for k in (0, 1)
        for word in (1, 2)
    }
    examples = [Example(codes, (), ([word],), sources[k]) for (k, word), codes in answers.items()]
    config = LanguageModelConfig(10, 2, 12, "delay", BACKBONE, tower=tower, editing=0.5)
    budget = Budget(steps=120, minutes=10, batch=8, learning_rate=3e-3, warmup=10)
    model = train_language_model(examples, config, budget)
    made = sample_motion(
        model,
        config.vocabulary,
        PATTERNS["delay"](2),
        [[word] for _, word in answers],
        (1, 8),
        [torch.Generator().manual_seed(k) for k in range(4)],
        Sampling(temperature=0.0),
        sources=[sources[k] for k, _ in answers],
    )
    assert all(torch.equal(got, wanted) for got, wanted in zip(made, answers.values(), strict=True))


@pytest.fixture(scope="module")
def learnt(edited: list[EditPair]) -> tuple[MotionLLM, EditPair, tuple[str, str]]:
    """A model that learnt one pair of the corpus by heart, there and back."""
    pair = min((one for one in edited if one.edit.kind == "arm"), key=lambda one: one.source.num_frames)
    shipped = load_generator(SHIPPED)
    assert isinstance(shipped, MotionLLM)
    tokenizer, sizes = shipped.tokenizer, shipped.tokenizer.config
    there, back = (f"use the {side} one" for side in (pair.edit.new, pair.edit.old))
    text = TextTokenizer.train([there, back], 280)
    source, after = (tokenizer.encode_clip(clip) for clip in (pair.source, pair.edited))
    examples = [
        Example(after, (), (text.encode(there),), source),
        Example(source, (), (text.encode(back),), after),
    ]
    config = LanguageModelConfig(text.size, sizes.streams, sizes.codebook, backbone=BACKBONE, editing=0.5)
    model = train_language_model(examples, config, Budget(250, 10, 2, 4e-3, warmup=10))
    return MotionLLM(text, tokenizer, model, Sampling(temperature=0.0)), pair, (there, back)


def test_a_training_pair_is_edited_there_and_back(learnt: tuple[MotionLLM, EditPair, tuple[str, str]]) -> None:
    llm, pair, asked = learnt
    made = llm.edit([pair.source, pair.edited], asked, 0)
    assert [[fact(name).passes(clip) for name in pair.edit.asked] for clip in made] == [[True], [False]]
    for clip, wanted in zip(made, (pair.edited, pair.source), strict=True):
        codes = llm.tokenizer.encode_clip(wanted)
        expected = llm.tokenizer.decode_clip(codes, 301)
        np.testing.assert_allclose(clip.positions, expected.positions, atol=1e-6)
    assert [clip.provenance.parent for clip in made] == [pair.source.id, pair.edited.id]
    assert [clip.provenance.prompt for clip in made] == list(asked)
    assert made[0].texts == (), "an instruction is no caption"


def test_the_commands_train_and_edit(learnt: tuple[MotionLLM, EditPair, tuple[str, str]], tmp_path: Path) -> None:
    llm, pair, (there, _) = learnt
    save_tokenizer(tmp_path / "tok", llm.tokenizer)
    train = TrainGenerator(
        tmp_path / "gen",
        tmp_path / "tok",
        source=TrainingData(corpus="plain", clips=2),
        editing=0.5,
        instructed=0.5,
        budget=Budget(steps=1, minutes=None, batch=2, learning_rate=1e-4),
    )
    assert train.run() == 0
    told = load_generator(train.out)
    assert isinstance(told, MotionLLM)
    assert told.instructions is not None
    assert told.model.config.instructed == told.instructions.share == 0.5
    assert len(told.describe([pair.source])) == 1
    assert told.continued([pair.source.slice(0, 20)], [None], 0, (1.0, 1.5))[0].duration <= 1.5 + 1e-9
    path = save_clip(tmp_path / "source.npz", pair.source)
    command = Generate((there, "slower"), edit=path, generator=str(tmp_path / "gen"), out=tmp_path / "out")
    assert replace(command, seconds=(2.0, 3.0)).run() == 0
    made = sorted((tmp_path / "out").glob("*.npz"))
    assert [load_clip(one).provenance.parent for one in made] == [pair.source.id] * 2

    for share, kept in ((0.25, 0.25), (0.0, 0.5)):
        on = replace(train, out=tmp_path / f"on{share}", tokenizer=None, start=tmp_path / "gen", editing=share)
        assert on.run() == 0
        went_on = load_generator(on.out)
        assert isinstance(went_on, MotionLLM)
        assert went_on.model.config.editing == kept
    with pytest.raises(MotionError, match="was not trained for editing"):
        replace(command, generator=None).run()
    with pytest.raises(MotionError, match="expected no --beginning"):
        replace(command, beginning=path).run()
    with pytest.raises(MotionError, match="only a language model over codes edits"):
        replace(command, generator=str(tmp_path / "out")).run()
    with pytest.raises(MotionError, match="--editing 1"):
        replace(train, editing=1.0).run()
    with pytest.raises(MotionError, match="nothing in it is 'clap'"):
        replace(command, prompts=("clap faster",), out=tmp_path / "none").run()
    assert not list((tmp_path / "none").glob("*"))


def test_a_generator_of_before_is_what_it_was(tmp_path: Path) -> None:
    """A configuration says nothing of editing unless there is some, and a share that is none is refused."""
    text = TextTokenizer.train(["walk"], 260)
    parts = (text, MotionTokenizer(TokenizerConfig(1, 8, 4, 8, 1)))
    config = LanguageModelConfig(text.size, 1, 8, backbone=BACKBONE)
    assert "editing" not in config.written()
    folder = MotionLLM(*parts, MotionLanguageModel(replace(config, editing=0.2))).save(tmp_path / "g")
    loaded = load_generator(folder)
    assert isinstance(loaded, MotionLLM)
    assert loaded.model.config.editing == 0.2
    said = (folder / "config.json").read_text()
    (folder / "config.json").write_text(said.replace('"editing": 0.2', '"editing": "much"'))
    with pytest.raises(MotionError, match="editing is much, expected 0 to 1"):
        load_generator(folder)
    with pytest.raises(MotionError, match="a share of 1"):
        pairs_for(1.0, 10, 0)


@pytest.mark.parametrize("states", [False, True])
def test_tasks_are_told_in_words_as_often_as_asked_for(states: bool) -> None:
    """Of a motion to describe, one to fill in and one to go on with; what is told stands before everything else."""
    vocabulary, pattern = Vocabulary(20, 1, 5), PATTERNS["delay"](1)
    words: dict[str, Text] = {task: [number] for number, task in enumerate(TASKS, 11)}
    prompt: Text = [1, 2]
    if states:
        words = {task: torch.full((1, 4), float(number)) for number, task in enumerate(TASKS, 11)}
        prompt = torch.ones(2, 4)
    example = Example(torch.randint(5, (1, 6)), ([3, 4],), (prompt,))
    found = set()
    for share in (0.0, 0.5, 1.0):
        instructions = Instructions(share, {task: [text] for task, text in words.items()})
        rng, told = np.random.default_rng(0), 0
        for pair in make_pairs([example] * 300, 0.3, vocabulary, pattern, rng, 0.5, instructions):
            ids, shown = pair.steps.ids[0], pair.steps.states
            second = int(shown[1, 0] if states and shown is not None else ids[1])
            task = {number: task for number, task in enumerate(TASKS, 11)}.get(second)
            told += task is not None
            if task is not None:
                captioned = int(ids[0]) == vocabulary.mark("to_text")
                between = not captioned and vocabulary.mark("text") in ids.tolist()
                assert task == ("captioning" if captioned else "in_between" if between else "prediction")
                found.add(task)
        assert told / 300 == pytest.approx(share, abs=0.1)
    assert found == set(TASKS)


def test_the_share_of_pairs_is_what_is_asked_for() -> None:
    assert len(pairs_for(0.2, 80, 0)) == 20
    assert pairs_for(0.2, 80, 0).split == "train"
    pairs_of_two = EditPairs(2, 1)
    tokenizer, text = MotionTokenizer(TokenizerConfig(1, 8, 4, 8, 1)), TextTokenizer.train(["walk"], 260)
    examples = make_edit_examples(pairs_of_two, tokenizer, text)
    for example, pair in zip(examples, pairs_of_two, strict=True):
        assert example.source is not None
        assert torch.equal(example.source, tokenizer.encode_clip(pair.source))
        assert torch.equal(example.codes, tokenizer.encode_clip(pair.edited))
        assert example.captions == ()
        assert 2 <= len(example.prompts) <= 4


def test_the_bench_tells_who_edits_from_who_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Who makes the corpus's own edits scores as they do, who gives back what it got as the unedited clips."""
    edits_of = {pair.source.id: pair.edited for pair in EditPairs(20, 1000, "test")}
    makers = {
        "corpus": lambda clips, texts, seed, seconds: [edits_of[clip.id] for clip in clips],
        "source": lambda clips, texts, seed, seconds: list(clips),
    }
    for name, maker in makers.items():
        told = bench_edits(maker, 5, 2, 1000)
        assert told["pairs"] == 5
        rows = told["rows"]
        assert {key: rows["edited"][key] for key in ("asked", "kept", "both")} == {
            key: rows[name][key] for key in ("asked", "kept", "both")
        }
        assert (rows["corpus"]["asked"], rows["source"]["asked"]) == (1.0, 0.0)
        assert rows["source"]["kept"] == 1.0 >= rows["corpus"]["kept"] > 0.8
        assert sum(count for _, count in rows["edited"]["by_kind"].values()) == 10
    show_edits(told)
    assert "asked" in capsys.readouterr().out
    config = GeneratorBenchConfig(sets=("edits",), prompts=2, samples=1)
    with pytest.raises(MotionError, match="was not trained for editing"):
        BenchGenerator(SHIPPED, bench=config).run()


def test_an_instruction_for_what_a_clip_does_not_do_is_refused(edited: list[EditPair]) -> None:
    """No instruction of a pair's own, and most of those about a deed that is not there."""
    words = edit_words()
    for number, pair in enumerate(edited):
        for text in words.instructions(pair.edit, 2, np.random.default_rng(number)):
            check_instruction(pair.source, text)
    refused = []
    for pair, other in zip(edited, edited[7:], strict=False):
        if other.edit.deed in pair.source.provenance.notes["action"] or other.edit.deed in ("look", "step"):
            continue
        try:
            check_instruction(pair.source, f"{words.deeds[other.edit.deed].do} in another way")
            refused.append(False)
        except MotionError:
            refused.append(True)
    assert len(refused) > 20
    assert np.mean(refused) > 0.7
    walk = next(one for one in edited if one.source.provenance.notes["action"] == "walk").source
    for text in ("wave with the other hand", "kick with the left leg", "use the other arm"):
        with pytest.raises(MotionError, match="nothing in it is"):
            check_instruction(walk, text)
    for text in ("slower", "walk backward", "wave instead of walking", "do not wave", "dance"):
        check_instruction(walk, text)
