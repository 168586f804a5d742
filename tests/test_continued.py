"""Motion that goes on from a beginning, without a prompt, and for longer than a model was trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
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
    load_generator,
    motion_llm,
    train_language_model,
)
from morphloop.generator.reconstruction import joint_errors
from morphloop.generator.sampling import sample_motion
from morphloop.generator.sequences import IGNORE, Vocabulary, text_to_motion
from morphloop.generator.training import Example
from morphloop.motion import Clip, load_clip, make_corpus, save_clip
from morphloop.motion.features import clip_to_features, features_to_clip

torch.set_num_threads(1)
BACKBONE = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SHIPPED = Path(__file__).parents[1] / "assets" / "generator"


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(count)]


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_codes_begin_with_what_was_given_and_keep_their_bounds(name: str) -> None:
    torch.manual_seed(0)
    model = MotionLanguageModel(LanguageModelConfig(10, 2, 5, name, BACKBONE)).eval()
    given = [torch.randint(5, (2, n)) for n in (0, 3, 5)]
    args = (model, model.config.vocabulary, PATTERNS[name](2))
    texts = [[1, 2], [3], [4, 5, 6]]
    for low, high in ((1, 9), (7, 7)):
        made = sample_motion(*args, texts, (low, high), generators(3), Sampling(), beginnings=given)
        for codes, begun in zip(made, given, strict=True):
            assert max(low, begun.shape[1]) <= codes.shape[1] <= high
            assert torch.equal(codes[:, : begun.shape[1]], begun)
    alone = sample_motion(*args, [texts[1]], (7, 7), generators(3)[1:2], Sampling(), beginnings=given[1:2])[0]
    assert torch.equal(alone, made[1]), "whatever else is in the batch"
    free = sample_motion(*args, texts, (7, 7), generators(3), Sampling())
    assert torch.equal(free[0], made[0]), "nothing given is nothing changed"
    assert not torch.equal(free[1][:, :3], made[1][:, :3])


@pytest.fixture(scope="module")
def shipped() -> MotionLLM:
    generator = load_generator(SHIPPED)
    assert isinstance(generator, MotionLLM)
    return generator


def test_with_a_prompt_and_no_beginning_it_is_what_generate_makes(shipped: MotionLLM) -> None:
    prompt = "a person walks forward"
    made = shipped.continued([None], [prompt], 3, (1.0, 2.0))
    assert made[0].id == shipped.generate([prompt], 3, (1.0, 2.0))[0].id


def test_a_clip_begins_as_its_beginning_does_and_needs_no_prompt(shipped: MotionLLM) -> None:
    whole = make_corpus(6, 11, "test")
    begun = [clip.slice(0, 31) for clip in whole[:2]]
    made = shipped.continued([*begun, None], [None, "a person waves with the left hand", None], 0, (2.0, 3.0))
    assert [clip.texts for clip in made] == [(), ("a person waves with the left hand",), ()]
    assert made[0].provenance.prompt is None
    assert all(2.0 - 1e-9 <= clip.duration <= 3.0 + 1e-9 for clip in made)
    for place in range(2):
        own, other = (joint_errors(made[place].slice(0, 28), _canonical(begun[k]))[0] for k in (place, 1 - place))
        assert own < other


def _canonical(clip: Clip) -> Clip:
    return features_to_clip(clip_to_features(clip)[:28])


def test_long_motion_has_no_seam(shipped: MotionLLM) -> None:
    """Joint speed where a piece goes on from the one before is within what the clip has anywhere."""
    clip = shipped.continued([None], ["a person walks forward"], 0, (21.0, 21.0))[0]
    assert clip.duration == pytest.approx(21.0)
    speed = np.linalg.norm(np.diff(clip.positions, axis=0), axis=-1).mean(1) * clip.fps
    piece, overlap = motion_llm.WINDOW, motion_llm.OVERLAP
    seams = [round(at * clip.fps) for at in np.arange(piece, 21.0, piece - overlap)]
    assert len(seams) >= 2
    assert max(speed[seam - 2 : seam + 2].mean() for seam in seams) <= np.percentile(speed, 95)


@pytest.mark.parametrize("name", ["delay", "flatten"])
def test_the_shown_ending_stands_behind_the_text(name: str) -> None:
    vocabulary, pattern = Vocabulary(10, 2, 5), PATTERNS[name](2)
    codes = torch.randint(5, (2, 6))
    pair = text_to_motion(vocabulary, pattern, [7, 8], codes, ending=2)
    ids, marks = pair.steps.ids, {name: vocabulary.mark(name) for name in Vocabulary.MARKS}
    ending = vocabulary.motion_steps(codes[:, -2:], pattern)
    assert ids[0, :4].tolist() == [marks["to_motion"], 7, 8, marks["text"]]
    assert torch.equal(ids[:, 4 : 4 + ending.shape[1]], ending)
    assert int(ids[0, 4 + ending.shape[1]]) == marks["motion"]
    assert (pair.targets[:, : 4 + ending.shape[1]] == IGNORE).all(), "what is shown is not trained"
    states = vocabulary.motion_prompt(torch.ones(2, 3), ending).states
    assert states is not None
    assert states.sum(1).tolist() == [0, 3, 3, *[0] * (ending.shape[1] + 2)]


@pytest.mark.parametrize("tower", [None, TowerConfig(48)])
def test_what_is_in_between_is_learnt_from_the_end(tower: TowerConfig | None) -> None:
    """Two motions of one caption and one beginning, whose middles differ as their ends do."""
    start = torch.tensor([[1, 2], [6, 7]])
    wholes = [torch.cat([start, torch.full((2, 4), code), torch.full((2, 2), code + 1)], dim=1) for code in (3, 8)]
    examples = [Example(codes, ([1, 2],), ([1, 2],)) for codes in wholes]
    config = LanguageModelConfig(10, 2, 12, "delay", BACKBONE, tower=tower, between=0.8)
    budget = Budget(steps=100, minutes=10, batch=8, learning_rate=3e-3, warmup=10)
    model = train_language_model(examples, config, budget, to_text_share=0.0)
    free = torch.full((2, 4), -1)
    made = sample_motion(
        model,
        config.vocabulary,
        PATTERNS["delay"](2),
        [[1, 2]] * 2,
        (8, 8),
        generators(2),
        Sampling(temperature=0.0),
        beginnings=[torch.cat([start, free, whole[:, -2:]], dim=1) for whole in wholes],
        endings=[whole[:, -2:] for whole in wholes],
    )
    assert all(torch.equal(got, wanted) for got, wanted in zip(made, wholes, strict=True))


def test_motion_in_between_has_its_ends_and_its_length(tmp_path: Path) -> None:
    clips = make_corpus(2, seed=3)
    tokenizer = MotionTokenizer(TokenizerConfig(2, 32, 16, 32, 1))
    tokenizer.set_normaliser([clip_to_features(clip) for clip in clips])
    text = TextTokenizer.train([t for clip in clips for t in clip.texts], 280)
    config = LanguageModelConfig(text.size, 2, 32, backbone=BACKBONE, between=0.5)
    llm = MotionLLM(text, tokenizer, MotionLanguageModel(config))
    first, last = clips[0].slice(0, 16), clips[1].slice(0, 16)
    made = llm.between([(first, last)] * 2, ["a person walks", None], 0, 2.5)
    assert [clip.duration for clip in made] == pytest.approx([2.5, 2.5])
    assert [clip.texts for clip in made] == [("a person walks",), ()]
    with pytest.raises(MotionError, match="both ends fill 1 s"):
        llm.between([(first, last)], [None], 0, 1.0)
    loaded = load_generator(llm.save(tmp_path / "llm"))
    assert isinstance(loaded, MotionLLM)
    assert loaded.between([(first, last)], ["a person walks"], 0, 2.5)[0].id == made[0].id

    paths = [save_clip(tmp_path / f"{name}.npz", clip) for name, clip in (("a", clips[0]), ("b", clips[1]))]
    command = Generate(beginning=paths[0], ending=paths[1], unprompted=1, seconds=(2.0, 2.0), out=tmp_path / "out")
    with pytest.raises(MotionError, match="was not trained for motion in between"):
        command.run()
    assert replace(command, generator=str(tmp_path / "llm"), kept=0.5).run() == 0
    assert load_clip(next((tmp_path / "out").glob("*.npz"))).duration == pytest.approx(2.0)
    on = TrainGenerator(
        tmp_path / "on",
        start=tmp_path / "llm",
        source=TrainingData(corpus="plain", clips=2),
        between=0.25,
        budget=Budget(steps=1, minutes=None, batch=2, learning_rate=1e-4),
    )
    for out, share, kept in (("on", 0.25, 0.25), ("kept", 0.0, 0.5)):
        assert replace(on, out=tmp_path / out, between=share).run() == 0
        went_on = load_generator(tmp_path / out)
        assert isinstance(went_on, MotionLLM)
        assert went_on.model.config.between == kept
    with pytest.raises(MotionError, match="--ending: expected --beginning"):
        replace(command, beginning=None).run()
    with pytest.raises(MotionError, match="--kept: expected --beginning"):
        replace(command, beginning=None, ending=None, kept=0.5).run()


def test_what_cannot_be_continued_is_refused(shipped: MotionLLM) -> None:
    clip = make_corpus(1, 11, "test")[0]
    with pytest.raises(MotionError, match="less than the longest clip"):
        shipped.continued([clip], [None], 0, (0.5, 1.0))
    with pytest.raises(MotionError, match="1 beginnings for 2 prompts"):
        shipped.continued([None], ["a", "b"], 0)
    with pytest.raises(MotionError, match="seconds"):
        shipped.continued([None], [None], 0, (1.0, 1e6))
    with pytest.raises(MotionError, match="empty"):
        shipped.continued([None], [" "], 0)


def test_the_command_takes_a_beginning_and_no_prompt(tmp_path: Path) -> None:
    path = save_clip(tmp_path / "begun.npz", make_corpus(1, 11, "test")[0])
    command = Generate(("a person walks",), beginning=path, kept=0.5, unprompted=1, out=tmp_path / "out")
    assert command.run() == 0
    made = sorted((tmp_path / "out").glob("*.npz"))
    assert [load_clip(one).texts for one in made] == [("a person walks",), ()]
    with pytest.raises(MotionError, match="--kept"):
        Generate(beginning=path, kept=100.0, unprompted=1, out=tmp_path / "more").run()
    with pytest.raises(MotionError, match="only a language model over codes"):
        Generate(unprompted=1, generator=str(tmp_path / "out"), out=tmp_path / "more").run()
