"""Motion that goes on from a beginning, without a prompt, and for longer than a model was trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli.generate import Generate
from morphloop.generator import (
    PATTERNS,
    LanguageModelConfig,
    MotionLanguageModel,
    MotionLLM,
    Sampling,
    load_generator,
    motion_llm,
)
from morphloop.generator.reconstruction import joint_errors
from morphloop.generator.sampling import sample_motion
from morphloop.motion import Clip, load_clip, make_corpus, save_clip

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
    from morphloop.motion.features import clip_to_features, features_to_clip

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
