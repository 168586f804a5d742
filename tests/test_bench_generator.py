"""The generator's bench tells a generator that listens from one that does not."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli.bench_generator import BenchGenerator
from morphloop.generator import (
    Budget,
    FinetuneConfig,
    FinetuneReport,
    LanguageModelConfig,
    MotionLLM,
    TextTokenizer,
    TokenizerConfig,
    make_examples,
    train_language_model,
    train_tokenizer,
)
from morphloop.generator.bench.bench import adherence, bench_generator
from morphloop.generator.bench.config import GeneratorBenchConfig
from morphloop.generator.bench.prompts import TEMPLATES, bench_prompts
from morphloop.generator.config import Seconds
from morphloop.metrics.text_motion.evaluator import Evaluator
from morphloop.motion import Clip, JointTrack, make_corpus, save_clip
from morphloop.motion.corpus.described import described_captions, make_described

COUNT, SEED = 40, 5


class Listener:
    """Gives the held-out clip whose caption it is asked for, or, deaf, the clip of another caption."""

    can_finetune = False
    report: FinetuneReport | None = None

    def __init__(self, deaf: bool) -> None:
        clips, said = make_described(COUNT, SEED, "test"), described_captions(COUNT, SEED, "test")
        self.clips = {
            prompts[0].text: clip for prompts, clip in zip(said, clips[7:] + clips[:7] if deaf else clips, strict=True)
        }

    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = (3.0, 4.0)) -> list[Clip]:
        return [self.clips[prompt] for prompt in prompts]

    def finetune(self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig | None = None):
        raise MotionError("not tuned")

    def hash(self) -> str:
        return "0" * 16

    def save(self, folder: Path | str) -> Path:
        return Path(folder)


class Knowing:
    """An evaluator that knows every caption of its clips: both embed as the clip's place."""

    kind, hash, dimensions = "knowing", "0", COUNT

    def __init__(self) -> None:
        clips = make_described(COUNT, SEED, "test")
        self.places = {clip.id: place for place, clip in enumerate(clips)}
        self.said = {text: place for place, clip in enumerate(clips) for text in clip.texts}

    def embed_motions(self, motions: Sequence[Clip | JointTrack]) -> np.ndarray:
        return np.eye(COUNT)[[self.places[motion.id] for motion in motions if isinstance(motion, Clip)]]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.eye(COUNT)[[self.said[text] for text in texts]]


@pytest.fixture(scope="module")
def told() -> dict[str, dict]:
    evaluator: Evaluator = Knowing()
    config = GeneratorBenchConfig(sets=("test",), prompts=COUNT, samples=1, seed=SEED)
    return {
        name: bench_generator(Listener(deaf), evaluator, config, lambda *_: None)["sets"]["test"]
        for name, deaf in (("listens", False), ("deaf", True))
    }


def test_who_listens_scores_as_real_motion_and_who_does_not_by_chance(told: dict[str, dict]) -> None:
    listens, deaf = told["listens"], told["deaf"]
    real = listens["real"]
    assert listens["adherence"]["share"] == real["adherence"]["share"] > 0.9
    assert deaf["adherence"]["share"] < 0.4
    assert deaf["adherence"]["share"] < deaf["adherence"]["facts"] < listens["adherence"]["facts"]
    assert listens["scores"]["r_precision_1"]["value"] == pytest.approx(1.0)
    assert deaf["scores"]["r_precision_1"]["value"] < 0.2
    assert listens["physics"] == real["physics"]


def test_fid_needs_more_clips_than_there_are(told: dict[str, dict]) -> None:
    assert told["listens"]["scores"]["fid"]["value"] is None
    assert told["listens"]["scores"]["fid"]["why"]


def test_chance_is_what_others_do_by_accident() -> None:
    asked = bench_prompts("templates", 2, 0)
    clip = make_corpus(1, 0)[0]
    asked = [one for one in asked if one.kind in ("squat", "jump")] * 3
    told = adherence(asked, [clip] * len(asked))
    passes = {one.kind: one.passes(clip) for one in asked}
    assert told["share"] == np.mean([passes[one.kind] for one in asked])
    assert told["facts"] == told["share"], "each of these asks for one thing"
    assert told["chance"] == pytest.approx(np.mean(list(passes.values())))


def test_templates_are_what_they_were() -> None:
    """21 things in two phrasings each, so that figures of before compare."""
    assert len(TEMPLATES) == 21
    assert len({one.text for one in bench_prompts("templates", 2, 0)}) == 42


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = make_corpus(6, 0)
    tokenizer = train_tokenizer(clips, TokenizerConfig(2, 16, 16, 16, 1), Budget(2, None, 2, 1e-3))
    text = TextTokenizer.train([t for clip in clips for t in clip.texts], 300)
    config = LanguageModelConfig(text.size, 2, 16)
    model = train_language_model(make_examples(clips, tokenizer, text), config, Budget(2, None, 2, 1e-3))
    folder = MotionLLM(text, tokenizer, model).save(tmp_path / "g")
    bench = GeneratorBenchConfig(sets=("paraphrases", "combinations", "captions"), prompts=4, samples=1)
    assert BenchGenerator(folder, bench=bench, json=tmp_path / "out.json").run() == 0
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["sampling"]["batch_64"]["ratio"] > 1
    assert set(told["sets"]) == {"paraphrases", "combinations"}
    captions = told["captions"]
    assert set(captions["rows"]) == {"written", "same clip", "other clip"}
    assert captions["text_encoder"]["model"].startswith("all-MiniLM-L6-v2")
    shown = capsys.readouterr().out
    assert "clips/s" in shown
    assert "token match: BERTScore's greedy matching by all-MiniLM-L6-v2" in shown
    assert ("pip install 'morphloop[captions]'" in shown) == (len(captions["packages"]) < 2)
    with pytest.raises(MotionError, match="expected some of templates"):
        GeneratorBenchConfig(sets=("tests",))


def test_captions_alone_of_a_generator_that_writes_none_are_refused(tmp_path: Path) -> None:
    save_clip(tmp_path / "a.npz", make_corpus(1, seed=3)[0])
    with pytest.raises(MotionError, match="describes no motion"):
        BenchGenerator(tmp_path, bench=GeneratorBenchConfig(sets=("captions",))).run()
