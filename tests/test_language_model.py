"""Patterns, sequences, text tokenizer, language model and sampling, on tokens that carry their own position."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from morphloop.base import MotionError
from morphloop.generator import (
    PATTERNS,
    Budget,
    LanguageModelConfig,
    MotionLanguageModel,
    Sampling,
    TextTokenizer,
    delay_pattern,
    flatten_pattern,
    parallel_pattern,
    pretrained_backbone,
    train_language_model,
)
from morphloop.generator.adapters import Adapt
from morphloop.generator.batches import deal_alike
from morphloop.generator.sampling import draw, sample_motion, sample_text
from morphloop.generator.sequences import (
    IGNORE,
    Steps,
    Vocabulary,
    collate,
    motion_to_text,
    pad,
    pad_states,
    text_to_motion,
)
from morphloop.generator.training import Example, language_loss

torch.set_num_threads(1)
TINY = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
BACKBONE = {"model_type": "llama", **TINY}
CAPTIONS = ("a person walks forward", "a person waves the left hand", "someone is waving hello")


def positions(streams: int, length: int) -> torch.Tensor:
    """(L, n) tokens that say where they are: 1000 l + t."""
    return 1000 * torch.arange(streams)[:, None] + torch.arange(length)[None]


@pytest.mark.parametrize("name", sorted(PATTERNS))
@pytest.mark.parametrize("streams", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 3, 9])
def test_pattern_and_its_inverse(name: str, streams: int, length: int) -> None:
    pattern = PATTERNS[name](streams)
    codes = positions(streams, length)[None].repeat(2, 1, 1)
    steps = pattern.interleave(codes, blank=-1)
    assert steps.shape == (2, streams, pattern.num_steps(length))
    assert torch.equal(pattern.deinterleave(steps), codes)
    times = pattern.times(steps.shape[-1])
    for stream in range(streams):
        for step in range(steps.shape[-1]):
            time = int(times[stream, step])
            wanted = 1000 * stream + time if 0 <= time < length else -1
            assert int(steps[1, stream, step]) == wanted


def test_delay_pattern_written_out() -> None:
    steps = delay_pattern(3).interleave(positions(3, 2), blank=-1)
    assert steps.tolist() == [[0, 1, -1, -1], [-1, 1000, 1001, -1], [-1, -1, 2000, 2001]]
    assert parallel_pattern(2).interleave(positions(2, 2), blank=-1).tolist() == [[0, 1], [1000, 1001]]


def test_flatten_pattern_is_one_token_a_step() -> None:
    steps = flatten_pattern(3).interleave(positions(3, 2), blank=-1)
    assert steps.tolist() == [[0, -1, -1, 1, -1, -1], [-1, 1000, -1, -1, 1001, -1], [-1, -1, 2000, -1, -1, 2001]]
    assert flatten_pattern(3).deinterleave(steps[:, :5]).tolist() == [[0], [1000], [2000]], "the second time is open"


def test_pattern_refuses_other_shapes() -> None:
    with pytest.raises(MotionError, match="expected"):
        delay_pattern(3).interleave(positions(2, 5), blank=-1)
    with pytest.raises(MotionError, match="needs 2 steps"):
        delay_pattern(3).deinterleave(torch.zeros(3, 1))


def test_vocabulary_has_no_overlap() -> None:
    vocabulary = Vocabulary(text_size=10, streams=3, codebook=5)
    codes = torch.arange(5).repeat(3, 1)
    ids = vocabulary.code_ids(codes)
    marks = [vocabulary.mark(name) for name in Vocabulary.MARKS]
    everything = [*range(10), *marks, *ids.flatten().tolist()]
    assert sorted(everything) == list(range(vocabulary.size))
    assert torch.equal(vocabulary.codes(ids), codes)
    allowed = vocabulary.allowed_codes()
    assert all(allowed[stream].nonzero()[:, 0].tolist() == ids[stream].tolist() for stream in range(3))


def test_only_the_answer_is_trained() -> None:
    vocabulary, pattern = Vocabulary(10, 2, 5), delay_pattern(2)
    codes = torch.tensor([[0, 1, 2], [3, 4, 0]])
    pair = text_to_motion(vocabulary, pattern, [7, 8], codes)
    ids, targets = pair.steps.ids, pair.targets
    end, a, b = vocabulary.end, vocabulary.first_code, vocabulary.first_code + 5
    no = IGNORE
    assert ids[0, :4].tolist() == [vocabulary.mark("to_motion"), 7, 8, vocabulary.mark("motion")]
    assert targets.tolist() == [[no, no, no, a, a + 1, a + 2, end, no], [no, no, no, no, b + 3, b + 4, b, end]]
    targets = motion_to_text(vocabulary, pattern, [7, 8], codes).targets
    assert targets[0, -3:].tolist() == [7, 8, end]
    assert (targets[0, :-3] == no).all()
    assert (targets[1] == no).all()


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    return TextTokenizer.train(CAPTIONS, size=300)


@pytest.mark.parametrize("prompt", ["a person walks forward", "geht vorwärts", "前に歩く", "🕺 x\ny"])
def test_any_prompt_encodes_and_comes_back(text: TextTokenizer, prompt: str) -> None:
    ids = text.encode(prompt)
    assert 0 <= min(ids) <= max(ids) < text.size
    assert text.decode(ids) == prompt.lower()


def test_text_tokenizer_learns_its_captions(text: TextTokenizer) -> None:
    assert len(text.encode("a person walks forward")) < len("a person walks forward") / 3
    assert text.encode("A Person walks FORWARD ") == text.encode("a person walks forward")
    with pytest.raises(MotionError, match="empty"):
        text.encode("  ")


def test_text_tokenizer_files(text: TextTokenizer, tmp_path: Path) -> None:
    loaded = TextTokenizer.load(text.save(tmp_path / "text.json"))
    assert loaded.encode(CAPTIONS[0]) == text.encode(CAPTIONS[0])
    (tmp_path / "bad.json").write_text("{}")
    for name in ("bad.json", "none.json"):
        with pytest.raises(MotionError, match=name):
            TextTokenizer.load(tmp_path / name)


def tiny_model(pattern: str = "delay", **backbone: int) -> MotionLanguageModel:
    torch.manual_seed(0)
    return MotionLanguageModel(LanguageModelConfig(10, 2, 5, pattern, BACKBONE | backbone)).eval()


def test_padding_on_the_right_changes_nothing() -> None:
    model = tiny_model()
    ids = torch.randint(0, 10, (1, 2, 6))
    padded = torch.cat([ids, torch.full((1, 2, 4), model.blank)], dim=-1)
    assert torch.allclose(model(padded)[:, :, :6], model(ids), atol=1e-5)


def test_cache_and_left_padding_agree_with_one_pass() -> None:
    model = tiny_model()
    short, long = torch.randint(0, 10, (2, 3)), torch.randint(0, 10, (2, 7))
    then = torch.randint(10, 20, (2, 2, 4))
    ids, mask = pad([Steps(short), Steps(long)], model.blank, left=True)
    logits, cache = model.step(ids, mask, None)
    for step in range(4):
        wanted = [
            model(torch.cat([prompt, then[row, :, :step]], dim=1)[None])[0, :, -1]
            for row, prompt in enumerate((short, long))
        ]
        assert torch.allclose(logits, torch.stack(wanted), atol=1e-4)
        mask = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], dim=1)
        logits, cache = model.step(then[..., step : step + 1], mask, cache)


def reading_model() -> MotionLanguageModel:
    torch.manual_seed(0)
    config = LanguageModelConfig(10, 2, 5, "delay", BACKBONE, "fake", "0", text_width=6)
    return MotionLanguageModel(config).eval()


def test_states_stand_where_ids_would_and_padding_changes_nothing() -> None:
    model = reading_model()
    vocabulary, codes = model.config.vocabulary, torch.randint(0, 5, (2, 4))
    short, long = (text_to_motion(vocabulary, delay_pattern(2), torch.randn(n, 6), codes) for n in (2, 5))
    batch = collate([short, long], vocabulary.blank)
    assert batch.states is not None
    assert batch.states.shape == (2, batch.ids.shape[2], 6)
    together = model(batch.ids, batch.states)
    for row, pair in enumerate((short, long)):
        assert pair.steps.states is not None
        alone = model(pair.steps.ids[None], pair.steps.states[None])
        assert torch.allclose(together[row, :, : pair.steps.ids.shape[1]], alone[0], atol=1e-5)
    other = model(batch.ids, batch.states.roll(1, dims=0))
    assert not torch.allclose(other, together, atol=1e-2), "what was read does not matter"


def test_the_cache_agrees_with_one_pass_over_states() -> None:
    model = reading_model()
    prompts = [model.config.vocabulary.motion_prompt(torch.randn(n, 6)) for n in (2, 5)]
    ids, mask = pad(prompts, model.blank, left=True)
    logits, cache = model.step(ids, mask, None, pad_states(prompts, left=True))
    then = torch.randint(10, 20, (2, 2, 1))
    after, _ = model.step(then, torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], dim=1), cache)
    for row, prompt in enumerate(prompts):
        assert prompt.states is not None
        whole = torch.cat([prompt.ids, then[row]], dim=1)[None]
        scores = model(whole, torch.nn.functional.pad(prompt.states, (0, 0, 0, 1))[None])[0]
        assert torch.allclose(logits[row], scores[:, -2], atol=1e-4)
        assert torch.allclose(after[row], scores[:, -1], atol=1e-4)


def test_draw_follows_probability_and_nucleus() -> None:
    logits = torch.log(torch.tensor([0.1, 0.6, 0.3]))
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    counts = draw(logits.expand(20000, 3), uniform, Sampling(1.0, 1.0)).bincount(minlength=3) / 20000
    assert torch.allclose(counts, logits.exp(), atol=0.02)
    counts = draw(logits.expand(20000, 3), uniform, Sampling(1.0, 0.7)).bincount(minlength=3) / 20000
    assert torch.allclose(counts, torch.tensor([0.0, 2 / 3, 1 / 3]), atol=0.02)
    assert (draw(logits.expand(9, 3), uniform[:9], Sampling(0.0)) == 1).all()
    assert draw(logits.expand(1, 3), torch.tensor([1 - 2.0**-24]), Sampling(1.0, 0.5)).tolist() == [1]
    with pytest.raises(MotionError, match="top_p 0"):
        Sampling(1.0, 0.0)


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_sampled_lengths_keep_their_bounds(pattern: str) -> None:
    model = tiny_model(pattern)
    vocabulary = model.config.vocabulary
    for low, high in ((1, 12), (4, 6), (5, 5)):
        codes = sample_motion(
            model,
            vocabulary,
            PATTERNS[pattern](2),
            [[1, 2], [3], [4, 5, 6]] * 8,
            (low, high),
            generators(24),
            Sampling(),
        )
        lengths = [c.shape[1] for c in codes]
        assert low <= min(lengths) <= max(lengths) <= high
        assert len(set(lengths)) > 1 or low == high
        assert all(0 <= int(c.min()) <= int(c.max()) < 5 for c in codes)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    model = tiny_model()
    args = (model.config.vocabulary, delay_pattern(2))
    texts = [[1, 2, 3, 4], [5], [6, 7]]
    together = sample_motion(model, *args, texts, (3, 9), generators(3), Sampling())
    alone = [
        sample_motion(model, *args, [t], (3, 9), [g], Sampling())[0] for t, g in zip(texts, generators(3), strict=True)
    ]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    other = sample_motion(model, *args, texts, (3, 9), generators(3, seed=50), Sampling())
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(together, other, strict=True))


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_both_tasks_are_learnt(pattern: str, text: TextTokenizer) -> None:
    """Each caption has codes that carry stream and time; greedy sampling must give them back, and their length."""
    lengths = {CAPTIONS[0]: 4, CAPTIONS[1]: 7}
    examples = [
        Example(
            (torch.arange(n)[None] + torch.tensor([[i], [i + 3]])) % 12,
            (text.encode(caption),),
            (text.encode(caption),),
        )
        for i, (caption, n) in enumerate(lengths.items())
    ]
    config = LanguageModelConfig(text.size, 2, 12, pattern, BACKBONE)
    budget = Budget(steps=120, minutes=10, batch=8, learning_rate=3e-3, warmup=10)
    model = train_language_model(examples, config, budget, to_text_share=0.4)
    assert language_loss(model, examples) < 0.2
    shared = (model, config.vocabulary, PATTERNS[pattern](2))
    greedy = Sampling(temperature=0.0)
    made = sample_motion(*shared, [e.prompts[0] for e in examples], (2, 10), generators(2), greedy)
    assert all(torch.equal(codes, e.codes) for codes, e in zip(made, examples, strict=True))
    said = sample_text(*shared, [e.codes for e in examples], 40, generators(2), greedy)
    assert [text.decode(ids) for ids in said] == list(lengths)


def test_a_word_that_no_caption_used_is_understood_by_its_state(text: TextTokenizer) -> None:
    """The encoder's states of the unseen word lie near those of a known one; ids of an unseen word lie nowhere."""
    known = {"walks": torch.tensor([4.0, 0, 0, 1, 0, 0]), "jumps": torch.tensor([0, 4.0, 0, 0, 1, 0])}
    codes = {word: (torch.arange(5)[None] + torch.tensor([[i], [i + 3]])) % 12 for i, word in enumerate(known)}
    examples = [Example(codes[word], (text.encode(word),), (known[word][None],)) for word in known]
    config = LanguageModelConfig(text.size, 2, 12, "delay", BACKBONE, "fake", "0", text_width=6)
    budget = Budget(steps=120, minutes=10, batch=8, learning_rate=3e-3, warmup=10)
    model = train_language_model(examples, config, budget, to_text_share=0.4)
    strolls, hops = known["walks"] + 0.3 * torch.ones(6), known["jumps"] + 0.3 * torch.ones(6)
    shared = (model, config.vocabulary, PATTERNS["delay"](2))
    made = sample_motion(*shared, [strolls[None], hops[None]], (2, 10), generators(2), Sampling(temperature=0.0))
    assert torch.equal(made[0], codes["walks"])
    assert torch.equal(made[1], codes["jumps"])
    said = sample_text(*shared, [e.codes for e in examples], 40, generators(2), Sampling(temperature=0.0))
    assert [text.decode(ids) for ids in said] == list(known)


def test_guidance_asks_harder_for_what_the_prompt_says(text: TextTokenizer) -> None:
    """Captions that are right three times in four: guided samples do what they say more often, 0 does not hear them."""
    codes = [torch.full((2, 3), code) for code in (2, 7)]
    examples = [
        Example(codes[shown], (text.encode(caption),), (text.encode(caption),))
        for said, caption in enumerate(CAPTIONS[:2])
        for shown in (said, said, said, 1 - said)
    ]
    config = LanguageModelConfig(text.size, 2, 12, "delay", BACKBONE)
    model = train_language_model(examples, config, Budget(steps=150, minutes=10, batch=16, learning_rate=2e-3))
    shares = {}
    for guidance in (0.0, 1.0, 3.0):
        sampling = Sampling(1.0, 1.0, guidance)
        prompts = [examples[0].prompts[0]] * 200
        made = sample_motion(model, config.vocabulary, delay_pattern(2), prompts, (3, 3), generators(200, 7), sampling)
        shares[guidance] = sum(int(c[0, 0] == 2) for c in made) / 200
    assert abs(shares[0.0] - 0.5) < 0.15
    assert 0.6 < shares[1.0] < 0.9
    assert shares[3.0] > shares[1.0] + 0.08
    with pytest.raises(MotionError, match="guidance -1"):
        Sampling(guidance=-1.0)


def test_batches_of_like_length_still_show_every_example_once_an_epoch() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).integers(3, 60, 64)]
    steps = np.array([deal_alike(lengths, 4, step, seed=3) for step in range(32)])
    for epoch in (steps[:16], steps[16:]):
        assert sorted(epoch.ravel()) == list(range(64))
    spread = np.mean([np.ptp([lengths[k] for k in step]) for step in steps])
    assert spread < 0.5 * np.mean([np.ptp(np.random.default_rng(k).choice(lengths, 4)) for k in range(32)])


def test_collate_fills_with_blanks() -> None:
    vocabulary, pattern = Vocabulary(10, 2, 5), delay_pattern(2)
    pairs = [text_to_motion(vocabulary, pattern, [1], torch.zeros(2, n, dtype=torch.long)) for n in (2, 5)]
    batch = collate(pairs, vocabulary.blank)
    count = pairs[0].steps.ids.shape[1]
    assert torch.equal(batch.ids[0, :, :count], pairs[0].steps.ids)
    assert (batch.ids[0, :, count:] == vocabulary.blank).all()
    assert (batch.targets[0, :, count:] == IGNORE).all()
    assert batch.states is None


@pytest.mark.parametrize(
    "backbone",
    [
        LlamaModel(LlamaConfig(vocab_size=40, **TINY)),
        GPT2Model(GPT2Config(vocab_size=40, n_embd=48, n_layer=2, n_head=2, n_positions=64)),
    ],
    ids=["llama", "gpt2"],
)
def test_a_local_folder_is_a_backbone(backbone: torch.nn.Module, tmp_path: Path) -> None:
    backbone.save_pretrained(tmp_path)  # type: ignore[operator]
    loaded = pretrained_backbone(tmp_path)
    known = loaded.get_input_embeddings().weight[:10].clone()  # type: ignore[union-attr]
    model = MotionLanguageModel.from_backbone(LanguageModelConfig(10, 2, 5), loaded).eval()
    assert torch.equal(model.table[:10], known), "text keeps its embeddings"
    assert model.table.shape[0] == model.config.vocabulary.size
    again = MotionLanguageModel(model.config).eval()
    again.load_state_dict(model.state_dict())
    ids = torch.randint(0, 10, (1, 2, 5))
    assert torch.equal(again(ids), model(ids))
    codes = sample_motion(model, model.config.vocabulary, delay_pattern(2), [[1, 2]], (2, 4), generators(1), Sampling())
    assert 2 <= codes[0].shape[1] <= 4


@pytest.mark.parametrize("how", ["lora", "frozen"])
def test_adaptation_keeps_what_the_backbone_knows(how: Adapt, text: TextTokenizer, tmp_path: Path) -> None:
    """Text embeddings stay to the bit, only what is new learns; the result is a plain model that a file holds."""
    if how == "lora":
        pytest.importorskip("peft")
    torch.manual_seed(1)
    LlamaModel(LlamaConfig(vocab_size=text.size, **TINY)).save_pretrained(tmp_path)
    start = MotionLanguageModel.from_backbone(LanguageModelConfig(text.size, 2, 12), pretrained_backbone(tmp_path))
    known = {name: value.clone() for name, value in start.state_dict().items()}
    codes = (torch.arange(5)[None] + torch.tensor([[0], [3]])) % 12
    example = Example(codes, (text.encode(CAPTIONS[0]),), (text.encode(CAPTIONS[0]),))
    before = language_loss(start, [example])
    budget = Budget(steps=60, minutes=None, batch=4, learning_rate=1e-2, warmup=5)
    model = train_language_model([example], start.config, budget, model=start, adapt=how)
    assert language_loss(model, [example]) < 0.5 * before
    after = {name: value.clone() for name, value in model.state_dict().items()}
    assert after.keys() == known.keys()
    table = next(name for name in known if name.endswith("embed_tokens.weight"))
    assert torch.equal(after[table][: text.size], known[table][: text.size])
    assert not torch.equal(after[table][text.size :], known[table][text.size :])
    moved = [n for n in known if "layers" in n and not torch.equal(after[n], known[n])]
    assert bool(moved) == (how == "lora")
    again = MotionLanguageModel(model.config).eval()
    again.load_state_dict(after)
    fully = train_language_model([example], model.config, replace(budget, steps=2), model=model).state_dict()
    assert all(not torch.equal(fully[name], after[name]) for name in known if name.endswith("proj.weight"))
    assert not torch.equal(fully[table][: text.size], after[table][: text.size]), "a later training tunes all of it"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"config\.json"):
        pretrained_backbone(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(MotionError, match="not a usable backbone"):
        pretrained_backbone(tmp_path)
    with pytest.raises(MotionError, match="backbone configuration"):
        MotionLanguageModel(LanguageModelConfig(10, 2, 5, "delay", {"model_type": "nothing"}))
