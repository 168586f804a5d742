"""Texts to states of a frozen pretrained language model: what a motion model attends to, and what a judge compares.

The one that ships is all-MiniLM-L6-v2 (Reimers and Gurevych 2019, "Sentence-BERT"; Wang et al. 2020, "MiniLM") with its
matrices in int8. Texts are put through the model with others of their own length and never padded, so that no text's
states depend on the longest one beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedModel

from morphloop.base import MotionError
from morphloop.base.opening import naming, read_utf8
from morphloop.base.random_streams import own_streams
from morphloop.base.still_valid import hash_file, hash_json
from morphloop.base.tensors import MAX_MODEL, check_shapes, read_tensors
from morphloop.base.threads import fixed_threads

from .backbones import DECODERS, ENCODERS, load_pretrained, read_pretrained_config
from .fetched import find_pretrained
from .quantized import dequantize

SHIPPED = "shipped"
SHIPPED_MODEL = "all-MiniLM-L6-v2, matrices in int8"
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "weights_int8.safetensors"
"""Files of an encoder that ships."""
MAX_TOKENS = 256
"""Tokens of the longest text, the marks of begin and end among them: what all-MiniLM was trained to read."""
MAX_TOKENIZER = 64 << 20
"""Bytes of the largest tokenizer file: 64 MiB."""
TOGETHER = 2048
"""Tokens that go through the model at once."""


@dataclass(frozen=True)
class TextStates:
    """States of B texts of at most S tokens: states (B, S, width) float32, mask (B, S) true where a token is.

    What lies beyond a text's tokens is zero.
    """

    states: torch.Tensor
    mask: torch.Tensor

    def pooled(self) -> torch.Tensor:
        """(B, width) mean over each text's tokens, of unit length, as all-MiniLM's sentence embeddings are."""
        summed = (self.states * self.mask[..., None]).sum(1) / self.mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(summed, dim=-1)


@runtime_checkable
class TextEncoder(Protocol):
    """A frozen model that reads texts.

    name: what `load_text_encoder` was asked for; width: numbers in a state; hash: of all that decides the states.
    """

    name: str
    width: int
    hash: str

    def encode(self, texts: Sequence[str]) -> TextStates:
        """The states of each text. MotionError, one line, for a text that is empty, too long or has no known word."""
        ...


class FrozenTextEncoder:
    """A tokenizer and a model of `transformers`, frozen, in float32."""

    def __init__(self, name: str, tokenizer: Tokenizer, model: PreTrainedModel, content: str) -> None:
        self.name, self.hash = name, content
        self.width: int = model.config.hidden_size
        self._model = model.eval().requires_grad_(False)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        if tokenizer.get_vocab_size() > model.config.vocab_size:
            raise MotionError(
                f"{name}: its tokenizer has {tokenizer.get_vocab_size()} ids, its model knows {model.config.vocab_size}"
            )

    @fixed_threads()
    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> TextStates:
        """As `TextEncoder.encode`; texts of equal length go through the model together."""
        ids = [self.tokens(text) for text in texts]
        states = torch.zeros(len(ids), max(map(len, ids), default=0), self.width)
        mask = torch.zeros(states.shape[:2], dtype=torch.bool)
        for length in sorted(set(map(len, ids))):
            places = [place for place, one in enumerate(ids) if len(one) == length]
            most = max(1, TOGETHER // length)
            for part in (places[start : start + most] for start in range(0, len(places), most)):
                # a text alone is computed twice: of one row and of many the kernels give other last bits
                rows = part if len(part) > 1 else part * 2
                found = self._model(input_ids=torch.tensor([ids[place] for place in rows])).last_hidden_state
                states[part, :length] = found[: len(part)]
                mask[part, :length] = True
        return TextStates(states, mask)

    def tokens(self, text: str) -> list[int]:
        """Ids of a text, with the marks that the model expects; MotionError as `encode`."""
        if not text.strip():
            raise MotionError("prompt is empty, expected a description of a motion")
        found = self._tokenizer.encode(text)
        if len(found.ids) > MAX_TOKENS:
            raise MotionError(f"prompt '{text[:40]}...' has {len(found.ids)} tokens, expected at most {MAX_TOKENS}")
        unknown = self._tokenizer.token_to_id("[UNK]")
        words = [one for one, mark in zip(found.ids, found.special_tokens_mask, strict=True) if not mark]
        if all(one == unknown for one in words):
            raise MotionError(f"prompt '{text[:40]}' has no word that the text encoder '{self.name}' knows")
        return found.ids


class EncodedTexts:
    """A text encoder that reads each text once; states are kept in memory, 4 bytes x width x tokens a text."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self.name, self.width, self.hash = encoder.name, encoder.width, encoder.hash
        self._kept: dict[str, torch.Tensor] = {}

    def encode(self, texts: Sequence[str]) -> TextStates:
        """As the encoder's own."""
        new = list(dict.fromkeys(text for text in texts if text not in self._kept))
        if new:
            found = self._encoder.encode(new)
            for text, states, mask in zip(new, found.states, found.mask, strict=True):
                self._kept[text] = states[mask].clone()
        rows = [self._kept[text] for text in texts]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        longest = int(lengths.max()) if rows else 0
        states = torch.zeros(len(rows), longest, self.width)
        for place, row in enumerate(rows):
            states[place, : len(row)] = row
        return TextStates(states, torch.arange(longest) < lengths[:, None])


def load_text_encoder(name_or_folder: str | Path = SHIPPED) -> TextEncoder:
    """The text encoder "shipped", a fetched one ("minilm", "smollm2"), or that of a folder or a hub name.

    A folder holds config.json, safetensors and tokenizer.json, of an encoder or a decoder. MotionError, one line, if it
    cannot be used; code in it is never run and pickled weights are not read.
    """
    name = str(name_or_folder)
    return _shipped() if name == SHIPPED else _from_folder(name, find_pretrained(name, "text encoder"))


@cache
def _shipped() -> FrozenTextEncoder:
    """The encoder that ships, one for all that ask: it is frozen."""
    return load_int8_encoder(Path(str(resources.files("morphloop.assets"))) / "text", SHIPPED)


@own_streams()
def load_int8_encoder(folder: Path | str, name: str) -> FrozenTextEncoder:
    """The encoder of a folder with int8 weights, brought to float32. MotionError, one line, if it cannot be used."""
    folder = Path(folder)
    tokenizer, config = _read_tokenizer(folder), read_pretrained_config(folder, ("bert",))
    assert isinstance(config, BertConfig)
    tensors, _ = read_tensors(folder / WEIGHTS, MAX_MODEL)
    try:
        tensors = dequantize(tensors)
    except MotionError as error:
        raise MotionError(naming(folder / WEIGHTS, error)) from None
    with torch.device("meta"):
        shapes = {
            key: tuple(value.shape) for key, value in BertModel(config, add_pooling_layer=False).state_dict().items()
        }
    check_shapes({key: tuple(value.shape) for key, value in tensors.items()}, shapes, folder / WEIGHTS)
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(tensors)
    return FrozenTextEncoder(name, tokenizer, model, _content_hash(folder))


def _from_folder(name: str, folder: Path) -> FrozenTextEncoder:
    model = load_pretrained(folder, ENCODERS + DECODERS)
    return FrozenTextEncoder(name, _read_tokenizer(folder), model, _content_hash(folder))


def _read_tokenizer(folder: Path) -> Tokenizer:
    path = folder / TOKENIZER
    text = read_utf8(path, MAX_TOKENIZER, "a text tokenizer (JSON)")
    try:
        return Tokenizer.from_str(text)
    except Exception:  # the library raises bare Exception for every malformed file
        raise MotionError(f"{path}: not a text tokenizer of the `tokenizers` library") from None


def _content_hash(folder: Path) -> str:
    """Hash of the bytes of a folder's configuration, tokenizer and weights, 16 hex digits."""
    files = [folder / CONFIG, folder / TOKENIZER, *sorted(folder.glob("*.safetensors"))]
    return hash_json([[path.name, hash_file(path)] for path in files])
