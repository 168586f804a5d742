"""How much of a pretrained backbone a training changes: all of it, low-rank adapters, or nothing but what is new.

New are the embeddings of marks and motion codes, the streams' heads and the projection of a text encoder's states. With
"lora" and "frozen" the embeddings of text stay as well. Adapters are those of `peft` (Hu et al. 2021) on every linear
layer, and are merged into the weights when the training is done, so that what is written is a plain backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch

from morphloop.base import MotionError

if TYPE_CHECKING:
    from .language_model import MotionLanguageModel

Adapt = Literal["full", "lora", "frozen"]
RANK, ALPHA = 16, 32
"""Of the adapters."""


@contextmanager
def adapting(model: MotionLanguageModel, how: Adapt) -> Iterator[list[torch.Tensor]]:
    """The model in place, with what `how` leaves trainable; yields the parameters that weight decay must leave alone.

    Afterwards adapters are merged into the weights that they adapt and everything is trainable again, so that a later
    fine-tuning tunes all of it. Raises MotionError if adapters are asked for without `peft`.
    """
    if how == "full":
        yield []
        return
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    if how == "lora":
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError:
            raise MotionError("adapters need the package peft: pip install 'morphloop[language]'") from None
        lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear")
        model.backbone = get_peft_model(model.backbone, lora)  # pyright: ignore[reportAttributeAccessIssue]
    new = torch.zeros(len(model.table), 1)
    new[model.config.text_size :] = 1.0
    hook = model.table.requires_grad_(True).register_hook(lambda gradient: gradient * new)
    try:
        yield [model.table]
    finally:
        hook.remove()
        unload = getattr(model.backbone, "merge_and_unload", None)
        if unload is not None:
            model.backbone = unload()
        model.backbone.requires_grad_(True)
