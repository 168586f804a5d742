"""The dual tower: routing, what attends to what, its cache, a pretrained text tower, and both tasks learnt."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from morphloop.base import MotionError
from morphloop.cli.train_generator import TrainGenerator, TrainingData
from morphloop.generator import (
    PATTERNS,
    Budget,
    DualTowerModel,
    LanguageModelConfig,
    MotionLLM,
    Sampling,
    TextTokenizer,
    TokenizerConfig,
    TowerConfig,
    delay_pattern,
    load_generator,
    make_examples,
    train_language_model,
    train_tokenizer,
)
from morphloop.generator.adapters import Adapt
from morphloop.generator.sampling import sample_motion, sample_text
from morphloop.generator.sequences import Steps, Vocabulary, collate, motion_to_text, pad, text_to_motion
from morphloop.generator.training import Example, language_loss
from morphloop.motion import make_corpus

torch.set_num_threads(1)
SIZES = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
BACKBONE = {"model_type": "llama", "num_key_value_heads": 2, **SIZES}
VOCABULARY = Vocabulary(10, 2, 5)
CAPTIONS = ("a person walks forward", "a person waves the left hand", "someone is waving hello")


def tiny(pattern: str = "delay", every: int = 1, **more: object) -> DualTowerModel:
    torch.manual_seed(0)
    config = LanguageModelConfig(10, 2, 5, pattern, BACKBONE | more, tower=TowerConfig(32, every))
    return DualTowerModel(config).eval()


def steps_of(text: list[int], codes: torch.Tensor, model: DualTowerModel) -> torch.Tensor:
    pattern = PATTERNS[model.config.pattern](2)
    return text_to_motion(VOCABULARY, pattern, text, codes).steps.ids[None]


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_every_step_goes_through_the_tower_of_what_stands_there(pattern: str) -> None:
    model, codes = tiny(pattern), torch.randint(5, (2, 4))
    asked = model.is_motion(steps_of([1, 2, 3], codes, model))[0]
    assert asked.tolist() == [False] * 4 + [True] * (len(asked) - 4), "text, then the mark and all of the motion"
    told = motion_to_text(VOCABULARY, PATTERNS[pattern](2), [1, 2], codes).steps.ids[None]
    captioned = model.is_motion(told)[0]
    assert captioned.tolist() == [False] + [True] * (len(captioned) - 4) + [False] * 3


@pytest.mark.parametrize("every", [1, 2])
def test_text_alone_is_what_the_text_tower_says_alone(every: int) -> None:
    model = tiny(every=every)
    ids = torch.randint(10, (3, 1, 7))
    whole = torch.cat([ids, torch.full_like(ids, model.blank)], dim=1)
    alone = model.backbone(input_ids=ids[:, 0], use_cache=False).last_hidden_state
    assert torch.allclose(model.run(whole).text.reshape(3, 7, -1), alone, atol=1e-5)


@pytest.mark.parametrize("every", [1, 2])
def test_a_prompts_states_do_not_depend_on_the_motion_behind_it(every: int) -> None:
    model = tiny(every=every)
    first, second = (model.run(steps_of([1, 2, 3], torch.full((2, 4), code), model)) for code in (0, 3))
    assert torch.equal(first.text, second.text)
    assert not torch.allclose(first.motion_states[1:], second.motion_states[1:])
    other = model.run(steps_of([1, 2, 4], torch.zeros(2, 4, dtype=torch.long), model))
    assert not torch.allclose(first.motion_states, other.motion_states), "motion attends to text"


def test_a_caption_attends_to_motion_in_the_layers_that_are_shared() -> None:
    model = tiny(every=2)
    pairs = [motion_to_text(VOCABULARY, delay_pattern(2), [1, 2], torch.full((2, 4), code)) for code in (0, 3)]
    first, second = (model.run(pair.steps.ids[None]).text[-1] for pair in pairs)
    assert not torch.allclose(first, second)
    with torch.no_grad():
        model.backbone.layers[1].self_attn.o_proj.weight.zero_()  # pyright: ignore[reportIndexIssue, reportCallIssue]
    first, second = (model.run(pair.steps.ids[None]).text[-1] for pair in pairs)
    assert torch.equal(first, second), "in the layer that motion skips, text sees text alone"


@pytest.mark.parametrize("every", [1, 2])
def test_cache_and_left_padding_agree_with_one_pass(every: int) -> None:
    model, codes = tiny(every=every), torch.randint(5, (2, 2, 5))
    prompts = [VOCABULARY.motion_prompt(text) for text in ([1], [2, 3, 4, 5])]
    ids, mask = pad([Steps(p.ids) for p in prompts], model.blank, left=True)
    then = torch.stack([VOCABULARY.motion_steps(c, delay_pattern(2)) for c in codes])
    logits, cache = model.step(ids, mask, None)
    for step in range(5):
        wanted = [
            model(torch.cat([prompt.ids, then[row, :, :step]], dim=1)[None])[0, :, -1]
            for row, prompt in enumerate(prompts)
        ]
        assert torch.allclose(logits, torch.stack(wanted), atol=1e-4)
        mask = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], dim=1)
        logits, cache = model.step(then[..., step : step + 1], mask, cache)


def test_the_loss_is_that_of_the_scores_and_padding_changes_nothing() -> None:
    model = tiny()
    pairs = [text_to_motion(VOCABULARY, delay_pattern(2), [1] * n, torch.randint(5, (2, n))) for n in (2, 6)]
    pairs += [motion_to_text(VOCABULARY, delay_pattern(2), [1, 2, 3], torch.randint(5, (2, 3)))]
    total, count = 0.0, 0
    for pair in pairs:
        logits = model(pair.steps.ids[None])[0]
        for stream in range(2):
            trained = pair.targets[stream] >= 0
            scores = logits[stream][trained].log_softmax(-1)
            total -= float(scores.gather(1, pair.targets[stream][trained][:, None]).sum().detach())
            count += int(trained.sum())
    assert float(model.loss(collate(pairs, model.blank))) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize(("pattern", "every"), [("delay", 1), ("delay", 2), ("flatten", 1), ("parallel", 1)])
def test_both_tasks_are_learnt(pattern: str, every: int) -> None:
    """Each caption has codes that carry stream and time; greedy sampling must give them back, and their length."""
    text = TextTokenizer.train(CAPTIONS, 280)
    lengths = {CAPTIONS[0]: 4, CAPTIONS[1]: 7}
    examples = [
        Example((torch.arange(n)[None] + torch.tensor([[i], [i + 3]])) % 12, (ids,), (ids,))
        for i, (ids, n) in enumerate((text.encode(caption), n) for caption, n in lengths.items())
    ]
    config = LanguageModelConfig(text.size, 2, 12, pattern, BACKBONE, tower=TowerConfig(48, every))
    budget = Budget(steps=120, minutes=10, batch=8, learning_rate=3e-3, warmup=10)
    model = train_language_model(examples, config, budget, to_text_share=0.4)
    assert isinstance(model, DualTowerModel)
    assert language_loss(model, examples) < 0.2
    shared, greedy = (model, config.vocabulary, PATTERNS[pattern](2)), Sampling(temperature=0.0)
    made = sample_motion(*shared, [e.prompts[0] for e in examples], (2, 10), [torch.Generator()] * 2, greedy)
    assert all(torch.equal(codes, e.codes) for codes, e in zip(made, examples, strict=True))
    said = sample_text(*shared, [e.codes for e in examples], 40, [torch.Generator()] * 2, greedy)
    assert [text.decode(ids) for ids in said] == list(lengths)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_sampled_lengths_keep_their_bounds(guidance: float) -> None:
    model = tiny()
    rngs = [torch.Generator().manual_seed(k) for k in range(8)]
    texts = [[1, 2], [3], [4, 5, 6], [7]] * 2
    codes = sample_motion(model, VOCABULARY, delay_pattern(2), texts, (3, 6), rngs, Sampling(guidance=guidance))
    lengths = [c.shape[1] for c in codes]
    assert 3 <= min(lengths) <= max(lengths) <= 6
    assert all(0 <= int(c.min()) <= int(c.max()) < 5 for c in codes)


def smollm_like() -> LlamaModel:
    """SmolLM2's shape, made small: 30 layers, 9 heads of which 3 have keys of their own."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 36, "intermediate_size": 64, "num_hidden_layers": 30, "num_attention_heads": 9}
    return LlamaModel(LlamaConfig(vocab_size=12, num_key_value_heads=3, **sizes)).eval()


@pytest.mark.parametrize(("every", "layers"), [(1, 30), (3, 10)])
def test_a_pretrained_text_tower_of_thirty_layers(every: int, layers: int) -> None:
    text = smollm_like()
    ids = torch.randint(10, (1, 6))
    wanted = text(input_ids=ids, use_cache=False).last_hidden_state[0]
    config = LanguageModelConfig(10, 2, 5, tower=TowerConfig(27, every))
    model = DualTowerModel.from_backbone(config, text)
    assert len(model.motion_layers) == layers  # pyright: ignore[reportArgumentType]
    whole = torch.stack([ids, torch.full_like(ids, model.blank)], dim=1)
    assert torch.allclose(model.run(whole).text, wanted, atol=1e-5)
    again = DualTowerModel(model.config)
    again.load_state_dict(model.state_dict())
    ids = steps_of([1, 2], torch.randint(5, (2, 3)), model)
    assert torch.equal(again.eval()(ids), model.eval()(ids))


@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_a_text_tower_that_is_kept_is_kept(adapt: Adapt) -> None:
    if adapt == "lora":
        pytest.importorskip("peft")
    config = LanguageModelConfig(10, 2, 5, tower=TowerConfig(27, 3))
    model = DualTowerModel.from_backbone(config, smollm_like())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examples = [Example(torch.randint(5, (2, 4)), ([1, 2],), ([1, 2],))]
    budget = Budget(steps=2, minutes=None, batch=2, learning_rate=1e-2, warmup=1)
    trained = train_language_model(examples, model.config, budget, model=model, adapt=adapt).state_dict()
    moved = {name for name in before if not torch.equal(before[name], trained[name])}
    assert {"motion_table", "motion_layers.0.mlp.up_proj.weight", "heads.0"} <= moved
    inside = {name for name in moved if name.startswith("backbone.layers")}
    assert bool(inside) == (adapt == "lora")
    table = "backbone.embed_tokens.weight"
    assert torch.equal(before[table][:10], trained[table][:10]), "words keep their embeddings"
    assert "backbone.norm.weight" not in moved


def test_other_text_towers_and_sizes_are_refused() -> None:
    gpt = GPT2Model(GPT2Config(vocab_size=12, n_embd=48, n_layer=1, n_head=2))
    with pytest.raises(MotionError, match="text tower is a gpt2, expected a llama"):
        DualTowerModel.from_backbone(LanguageModelConfig(10, 2, 5, tower=TowerConfig()), gpt)
    with pytest.raises(MotionError, match="a layer for every 3 of the text tower, which has 2"):
        tiny(every=3)
    with pytest.raises(MotionError, match="expected a multiple of the text tower's 4 heads"):
        DualTowerModel(LanguageModelConfig(10, 2, 5, backbone=BACKBONE, tower=TowerConfig(30)))
    with pytest.raises(MotionError, match="says nothing of a motion tower"):
        DualTowerModel(LanguageModelConfig(10, 2, 5))
    with pytest.raises(MotionError, match="every is 0"):
        TowerConfig(every=0)


def test_the_command_trains_one_whose_files_load(tmp_path: Path) -> None:
    clips = make_corpus(4, seed=3)
    budget = Budget(steps=2, minutes=None, batch=2, learning_rate=1e-3)
    tokenizer = train_tokenizer(clips, TokenizerConfig(2, 32, 16, 32, 1), budget)
    text = TextTokenizer.train([t for clip in clips for t in clip.texts], 280)
    config = LanguageModelConfig(text.size, 2, 32, backbone=BACKBONE, tower=TowerConfig(32))
    model = train_language_model(make_examples(clips, tokenizer, text), config, budget)
    llm = MotionLLM(text, tokenizer, model)
    loaded = load_generator(llm.save(tmp_path / "a"))
    made, again = (one.generate(["a person walks"], seed=1, seconds=(1.0, 1.0))[0] for one in (llm, loaded))
    assert made.id == again.id
    assert loaded.hash() == llm.hash()
    written = json.loads((tmp_path / "a" / "config.json").read_text())
    for tower in ({"width": 0, "every": 1}, {"width": 32}, 5):
        wrong = written | {"language_model": written["language_model"] | {"tower": tower}}
        (tmp_path / "a" / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(MotionError, match=r"config\.json: (motion )?tower"):
            MotionLLM.load(tmp_path / "a")
    command = TrainGenerator(
        tmp_path / "b",
        tmp_path / "a",
        source=TrainingData(clips=4),
        dual_tower=True,
        tower=TowerConfig(24),
        budget=budget,
    )
    assert command.run() == 0
    found = load_generator(tmp_path / "b")
    assert isinstance(found, MotionLLM)
    assert found.model.config.tower == TowerConfig(24)
    assert replace(found.model.config, tower=None).written().get("tower") is None
