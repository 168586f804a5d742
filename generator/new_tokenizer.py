"""A language model that goes on with another tokenizer: its new codes begin as those that stood in their place."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch

from morphloop.base import MotionError
from morphloop.motion import Clip

from .language_model import MotionLanguageModel
from .tokenizer import MotionTokenizer

COMPARED = 1000
"""Clips that both tokenizers are compared on, at most."""


@torch.no_grad()
def take_over_codes(
    model: MotionLanguageModel, before: MotionTokenizer, after: MotionTokenizer, clips: Iterable[Clip]
) -> None:
    """Give each code of `after` the mean vector that the model had for the codes of `before` on the same tokens of the
    clips, in place; a code that no clip shows is given the mean of its stream.

    What the model knows of texts and of the order of movements then holds, and training corrects the rest. MotionError
    if the tokenizers differ in streams, number of codes or frames a token.
    """
    streams, codebook = before.config.streams, before.config.codebook
    for name in ("streams", "codebook", "frames_per_token"):
        old, new = getattr(before.config, name), getattr(after.config, name)
        if old != new:
            raise MotionError(f"new tokenizer: {name} {new}, the language model was trained on {old}")
    together = torch.zeros(streams, codebook, codebook)
    one = torch.ones(1)
    for clip in islice(clips, COMPARED):
        old, new = before.encode_clip(clip), after.encode_clip(clip)
        for stream in range(streams):
            together[stream].index_put_((new[stream], old[stream]), one, accumulate=True)
    together += 1e-6 * together.sum(1, keepdim=True)
    rows = model.code_table.unflatten(0, (streams, codebook))
    model.code_table.copy_((together / together.sum(-1, keepdim=True) @ rows).flatten(0, 1))
