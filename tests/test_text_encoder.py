"""The text encoder that ships, and one of a local folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, LlamaConfig, LlamaModel

from morphloop.base import MotionError
from morphloop.base.weights import save_tensors
from morphloop.generator import StatesOf, TextTokenizer
from morphloop.generator.sequences import Text
from morphloop.generator.training import read_captions
from morphloop.language import EncodedTexts, TextEncoder, TextStates, load_text_encoder, pretrained_backbone
from morphloop.language.quantized import SCALE, dequantize, quantize
from morphloop.language.text_encoder import WEIGHTS, load_int8_encoder
from morphloop.motion import make_corpus

SHIPPED = Path(str(resources.files("morphloop.assets"))) / "text"
TEXTS = (
    "a person walks",
    "someone saunters ahead, then salutes with the left hand and turns around to look behind",
    "a man hops on the spot",
    "the stock market fell sharply on tuesday",
    "a person hops on the spot",
)
WORDS = {"[UNK]": 0, "a": 1, "person": 2, "walks": 3, "jumps": 4}
SMALL = {"vocab_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
"""Sizes of a model that is built anew."""


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder()


def folder_of(model: torch.nn.Module, folder: Path) -> Path:
    """A local folder in the layout of `transformers`."""
    model.save_pretrained(folder)  # type: ignore[operator]
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def bert(**changes: int) -> BertModel:
    return BertModel(BertConfig(hidden_size=16, **SMALL | changes))


def test_meanings_are_near_or_far(encoder: TextEncoder) -> None:
    pooled = encoder.encode(TEXTS).pooled()
    assert pooled.shape == (len(TEXTS), encoder.width)
    assert torch.allclose(pooled.norm(dim=-1), torch.ones(len(TEXTS)))
    like = pooled @ pooled.T
    assert like[2, 4] > 0.7
    assert like[:3, 3].max() < 0.3


def test_states_have_neither_company_nor_padding(encoder: TextEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert together.states.dtype == torch.float32
    assert together.mask.dtype == torch.bool
    for place, text in enumerate(TEXTS):
        alone = encoder.encode([text])
        length = alone.states.shape[1]
        assert alone.mask.all()
        assert int(together.mask[place].sum()) == length
        assert torch.allclose(together.states[place, :length], alone.states[0], atol=1e-5)
        assert not together.states[place, length:].any()


def test_states_repeat_to_the_bit_on_any_number_of_threads(encoder: TextEncoder) -> None:
    first = encoder.encode(TEXTS).states
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(encoder.encode(TEXTS).states, first)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(load_int8_encoder(SHIPPED, "again").encode(TEXTS).states, first)
    assert not first.requires_grad


def test_it_is_one_for_all_that_ask_and_known_by_its_hash(encoder: TextEncoder) -> None:
    assert isinstance(encoder, TextEncoder)
    assert load_text_encoder("shipped") is encoder
    assert (encoder.name, encoder.width) == ("shipped", 384)
    assert encoder.hash in (SHIPPED / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "prompt is empty"),
        (" \n", "prompt is empty"),
        ("walk " * 10_000, "has 10002 tokens, expected at most 256"),
        ("\N{PEDESTRIAN} \N{SQUID}", "no word that the text encoder 'shipped' knows"),
    ],
    ids=["empty", "blank", "ten thousand words", "pictures"],
)
def test_a_text_that_says_nothing_is_one_line(encoder: TextEncoder, text: str, words: str) -> None:
    with pytest.raises(MotionError, match=words) as caught:
        encoder.encode(["a person walks", text])
    assert "\n" not in str(caught.value)


def test_a_foreign_text_is_read_as_far_as_it_is_known(encoder: TextEncoder) -> None:
    assert encoder.encode(["eine Person geht vorwärts", "一个人向前走"]).mask.any(1).all()


class Counting:
    """An encoder that tells what it was asked for."""

    name, width, hash = "counting", 3, "0"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> TextStates:
        self.asked.append(list(texts))
        lengths = torch.tensor([len(text) for text in texts])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        codes = torch.tensor([[*map(float, text.encode()), *[0.0] * (mask.shape[1] - len(text))] for text in texts])
        return TextStates(codes[..., None].expand(-1, -1, 3) * mask[..., None], mask)


def test_each_text_is_encoded_once() -> None:
    counting = Counting()
    kept = EncodedTexts(counting)
    kept.encode(["ab", "abc", "ab"])
    found = kept.encode(["abc", "z", "ab"])
    assert counting.asked == [["ab", "abc"], ["z"]]
    wanted = Counting().encode(["abc", "z", "ab"])
    assert torch.equal(found.states, wanted.states)
    assert torch.equal(found.mask, wanted.mask)
    assert torch.equal(kept.encode(["z"]).states, wanted.states[1:2, :1])
    assert kept.encode([]).states.shape == (0, 0, 3)
    assert (kept.name, kept.width, kept.hash) == ("counting", 3, "0")


def test_int8_rows_are_within_half_a_step() -> None:
    torch.manual_seed(0)
    tensors = {"matrix": torch.randn(7, 5) * torch.tensor([[10.0**k] for k in range(-3, 4)]), "vector": torch.randn(5)}
    tensors["matrix"][2] = 0
    small = quantize(tensors)
    assert small["matrix"].dtype == torch.int8
    back = dequantize(small)
    assert back.keys() == tensors.keys()
    assert torch.equal(back["vector"], tensors["vector"])
    step = small["matrix" + SCALE][:, None]
    assert ((back["matrix"] - tensors["matrix"]).abs() <= step * 0.5001).all()
    assert not back["matrix"][2].any()
    del small["matrix" + SCALE]
    with pytest.raises(MotionError, match="without a scale"):
        dequantize(small)


@pytest.mark.parametrize(
    "model",
    [
        bert(),
        DistilBertModel(DistilBertConfig(vocab_size=8, dim=16, n_layers=2, n_heads=2, hidden_dim=24)),
        LlamaModel(LlamaConfig(hidden_size=16, **SMALL)),
    ],
    ids=["bert", "distilbert", "llama"],
)
def test_a_local_folder_is_an_encoder(model: torch.nn.Module, tmp_path: Path) -> None:
    folder = folder_of(model, tmp_path)
    encoder = load_text_encoder(folder)
    assert (encoder.name, encoder.width) == (str(folder), 16)
    found = encoder.encode(["a person jumps", "a", "a person"])
    assert found.mask.sum(1).tolist() == [3, 1, 2]
    with torch.no_grad():
        wanted = model.eval()(input_ids=torch.tensor([[1, 2, 4]])).last_hidden_state[0]
    assert torch.allclose(found.states[0], wanted, atol=1e-5)
    with pytest.raises(MotionError, match="has no word that"):
        encoder.encode(["pineapples"])


def test_the_hash_is_of_weights_and_tokenizer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = folder_of(bert(), tmp_path / "a")
    first = load_text_encoder(folder).hash
    assert load_text_encoder(shutil.copytree(folder, tmp_path / "b")).hash == first
    tokenizer = json.loads((tmp_path / "b" / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {"strolls": 5}
    (tmp_path / "b" / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert load_text_encoder(tmp_path / "b").hash != first
    folder_of(bert(), tmp_path / "c")
    assert load_text_encoder(tmp_path / "c").hash != first


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_notes_of_others_in_a_configuration_are_not_looked_at(tmp_path: Path) -> None:
    """The published SmolLM2 says `is_llama_config`, MiniLM `gradient_checkpointing`."""
    folder = folder_of(bert(), tmp_path)
    first = load_text_encoder(folder).encode(["a person"]).states
    change_config(folder, gradient_checkpointing=False, is_llama_config=True, notes={"kernels": {"webgpu": "q4"}})
    assert torch.equal(load_text_encoder(folder).encode(["a person"]).states, first)


def pickled(folder: Path) -> None:
    torch.save(bert().state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def lacking_a_tensor(folder: Path) -> None:
    tensors = dict(bert().state_dict())
    del tensors["encoder.layer.1.output.dense.weight"]
    save_tensors(folder / "model.safetensors", tensors)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pickled, "not a usable backbone"),
        (lacking_a_tensor, "its weights lack 'encoder.layer.1.output.dense.weight'"),
        (lambda folder: change_config(folder, auto_map={"AutoModel": "evil.Model"}), "never loaded"),
        (lambda folder: change_config(folder, num_hidden_layers=10**6), "num_hidden_layers is 1000000"),
        (lambda folder: change_config(folder, model_type="detr"), "model_type 'detr', expected one of"),
        (lambda folder: change_config(folder, vocab_size=2), "not a usable backbone|its tokenizer has"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "not a text tokenizer"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no such file"),
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    ],
    ids=["pickle", "lacking", "code", "layers", "kind", "vocabulary", "tokenizer", "no tokenizer", "no configuration"],
)
def test_a_folder_that_cannot_be_used_is_one_line(spoil, words: str, tmp_path: Path) -> None:
    folder = folder_of(bert(), tmp_path)
    spoil(folder)
    with pytest.raises(MotionError, match=words) as caught:
        load_text_encoder(folder)
    assert "\n" not in str(caught.value)


def test_an_encoder_is_no_backbone_of_a_decoder(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="model_type 'bert', expected one of llama"):
        pretrained_backbone(folder_of(bert(), tmp_path))


def test_int8_weights_of_another_size_are_one_line(tmp_path: Path) -> None:
    for file in SHIPPED.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / WEIGHTS).unlink()
    save_tensors(tmp_path / WEIGHTS, quantize(bert().state_dict()))
    with pytest.raises(MotionError, match="tensor '"):
        load_int8_encoder(tmp_path, "small")


def test_captions_of_a_set_are_read_in_one_go_and_each_clip_gets_its_own(encoder: TextEncoder) -> None:
    captions = [("a person walks", "they bow"), ("a person jumps",), ("they bow", "a person waves", "a person walks")]
    clips = [replace(clip, texts=own) for clip, own in zip(make_corpus(3, 0, "train"), captions, strict=True)]
    asked: list[int] = []
    states = StatesOf(encoder)

    def read(texts: Sequence[str]) -> list[Text]:
        asked.append(len(texts))
        return states(texts)

    found = read_captions(clips, TextTokenizer.train([text for own in captions for text in own], 300), read)
    assert asked == [6]
    alone = StatesOf(encoder)
    for (_, prompts), own in zip(found, captions, strict=True):
        assert len(prompts) == len(own)
        for prompt, text in zip(prompts, own, strict=True):
            assert torch.equal(torch.as_tensor(prompt), torch.as_tensor(alone([text])[0])), "to the bit as one by one"
