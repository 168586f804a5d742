"""Text in and out of the language model.

Captions are written, and without a text encoder read, by a byte-level byte-pair tokenizer trained on captions:
byte-level, so every prompt in any script encodes and decodes back; a local folder's own `tokenizer.json` is read too.
With a text encoder prompts are read as its states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from morphloop.base import MotionError, write_atomic
from morphloop.base.opening import read_utf8

from .config import TEXT_SIZE

if TYPE_CHECKING:
    from morphloop.language import TextEncoder

    from .sequences import Text

MAX_BYTES = 64 << 20
"""Largest tokenizer file that is read: 64 MiB."""
AT_ONCE = 64
"""Texts that an encoder reads at once."""


class TextTokenizer:
    """Captions to ids 0 .. size - 1 and back. Case is folded and white space trimmed by those trained here."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, captions: Iterable[str], size: int = TEXT_SIZE) -> TextTokenizer:
        """Byte pairs of the captions; `size` ids at most, 256 of them the bytes."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(sorted(captions), trainer)
        return cls(tokenizer)

    def __call__(self, texts: Sequence[str]) -> list[Text]:
        """The texts as a prompt's ids."""
        return [self.encode(text) for text in texts]

    @property
    def size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of a text; MotionError if it is empty."""
        if not text.strip():
            raise MotionError("prompt is empty, expected a description of a motion")
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        return self._tokenizer.decode(ids, skip_special_tokens=True).strip()

    def to_json(self) -> str:
        """The tokenizer as the `tokenizers` library's own JSON."""
        return self._tokenizer.to_str()

    def save(self, path: Path | str) -> Path:
        """Write `to_json`, atomically."""
        return write_atomic(path, lambda stream: stream.write(self.to_json().encode()))

    @classmethod
    def load(cls, path: Path | str) -> TextTokenizer:
        """Read a file of `save` or any `tokenizer.json`; MotionError if it is none."""
        path = Path(path)
        text = read_utf8(path, MAX_BYTES, "a text tokenizer (JSON)")
        try:
            return cls(Tokenizer.from_str(text))
        except Exception:  # the library raises bare Exception for every malformed file
            raise MotionError(f"{path}: not a text tokenizer of the `tokenizers` library") from None


class StatesOf:
    """Texts as states of a text encoder: the whole sentence's first, then its tokens'. Each text is read once."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._read: dict[str, torch.Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> list[Text]:
        """States (n, W) of each text; MotionError if one is empty."""
        missing = sorted((text for text in dict.fromkeys(texts) if text not in self._read), key=len)  # little padding
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            states = self.encoder.encode(part)
            for text, whole, tokens, mask in zip(part, states.pooled(), states.states, states.mask, strict=True):
                self._read[text] = torch.cat([whole[None], tokens[mask]])
        return [self._read[text] for text in texts]
