"""The language model: a decoder from `transformers` over text and motion tokens in one vocabulary.

A step's L ids are embedded by one table and summed (MusicGen, MotionVerse); a small head a stream turns the hidden
state before the same table scores the ids. The backbone is any causal architecture that `transformers` builds from a
configuration, or a local folder of pretrained weights; nothing is downloaded. With a text encoder (`text_width`) the
states that it reads out of a prompt stand where the prompt's ids would, projected to the backbone's width.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line
from morphloop.language.backbones import check_backbone, pretrained_backbone

from .config import LanguageModelConfig
from .sequences import IGNORE, Batch

__all__ = ["MotionLanguageModel", "pretrained_backbone"]


def new_backbone(config: dict[str, Any]) -> PreTrainedModel:
    """An untrained backbone of a configuration as `transformers` writes it; MotionError if there is no such one."""
    check_backbone(config, "backbone configuration")
    values = {k: v for k, v in config.items() if k != "model_type"}
    try:
        return AutoModel.from_config(AutoConfig.for_model(config["model_type"], **values))
    except Exception as error:  # what a configuration makes an architecture raise has no common base
        raise MotionError(f"backbone configuration: {in_one_line(error)}") from None


def _plain_config(backbone: PreTrainedModel) -> dict[str, Any]:
    """The backbone's configuration as plain JSON values that a new one can be built from."""
    values = json.loads(backbone.config.to_json_string(use_diff=True))
    dropped = ("vocab_size", "architectures", "transformers_version", "dtype", "torch_dtype", "_name_or_path")
    return {key: value for key, value in values.items() if key not in dropped}


class MotionLanguageModel(nn.Module):
    """Ids (B, L, S) to scores of the next step's ids (B, L, S, V)."""

    def __init__(self, config: LanguageModelConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__()
        self.config = config
        self.blank, known = config.vocabulary.blank, self.backbone_ids(config)
        if backbone is None:
            backbone = new_backbone(config.backbone | {"vocab_size": known})
        elif backbone.config.vocab_size != known:
            backbone.resize_token_embeddings(known)
        self.backbone = backbone
        width = self.table.shape[1]
        # without a bias, so that a step without a state adds nothing
        self.reader = nn.Linear(config.text_width, width, bias=False) if config.text_width else None
        # the identity, so that pretrained text scores are what they were
        self.heads = nn.ParameterList(nn.Parameter(torch.eye(width)) for _ in range(config.streams))

    @staticmethod
    def backbone_ids(config: LanguageModelConfig) -> int:
        """Ids that the backbone embeds: all of the vocabulary."""
        return config.vocabulary.size

    @classmethod
    def from_backbone(cls, config: LanguageModelConfig, backbone: PreTrainedModel) -> Self:
        """A model around a pretrained backbone; its `config` then holds the backbone's own configuration.

        Text ids keep their embeddings. Raises MotionError if the backbone knows fewer ids than the text tokenizer.
        """
        if backbone.config.vocab_size < config.text_size:
            raise MotionError(
                f"backbone knows {backbone.config.vocab_size} ids, its text tokenizer has {config.text_size}"
            )
        return cls(replace(config, backbone=_plain_config(backbone)), backbone)

    @property
    def table(self) -> torch.Tensor:
        """(V, d) the one embedding of all ids, the backbone's own."""
        weight = self.backbone.get_input_embeddings().weight
        assert isinstance(weight, torch.Tensor)
        return weight

    @property
    def code_table(self) -> torch.Tensor:
        """(streams * codebook, d) the embedding of the motion codes, a part of it that shares its memory."""
        return self.table.detach()[self.config.vocabulary.first_code :]

    def embed(self, ids: torch.Tensor, states: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, S) ids to (B, S, d): the sum over streams; a blank adds nothing, a text's state (B, S, W) does."""
        vectors = F.embedding(ids, self.table)
        summed = (vectors * (ids != self.blank)[..., None]).sum(1)
        if states is None or self.reader is None:
            return summed
        return summed + self.reader(F.layer_norm(states, states.shape[-1:]))

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (B, S, d) to logits (B, L, S, V)."""
        return torch.stack([hidden @ head @ self.table.T for head in self.heads], dim=1)

    def forward(self, ids: torch.Tensor, states: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, L, S, V); padding must stand on the right, where no earlier step sees it."""
        hidden = self.backbone(inputs_embeds=self.embed(ids, states), use_cache=False).last_hidden_state
        return self.scores(hidden)

    def step(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, states: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Any]:
        """Logits (B, L, V) after the last of ids (B, L, S), and the key-value cache to go on from.

        mask: (B, all steps so far) 1 where a step counts; prompts of different length are padded on the left.
        states: (B, S, W) of a text encoder, for the prompt's steps.
        """
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[-1] :]
        out = self.backbone(
            inputs_embeds=self.embed(ids, states),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        return self.scores(out.last_hidden_state[:, -1:])[:, :, 0], out.past_key_values

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy over trained places, nats a token; only those are scored."""
        embedded = self.embed(batch.ids, batch.states)
        hidden = self.backbone(inputs_embeds=embedded, use_cache=False).last_hidden_state
        total = hidden.new_zeros(())
        for stream, head in enumerate(self.heads):
            targets = batch.targets[:, stream]
            trained = targets != IGNORE
            scores = hidden[trained] @ head @ self.table.T
            total = total + F.cross_entropy(scores, targets[trained], reduction="sum")
        return total / (batch.targets != IGNORE).sum()
