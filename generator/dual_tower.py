"""The dual tower: a mixture of transformers (Liang et al. 2024) over text and motion, as in MotionGPT3 and MotionVerse.

Each modality has its own embeddings, norms, feed-forward, queries, keys and values; which of them a step goes through
is decided by what stands there (hard routing), and all steps attend to one another in one causal attention. The text
tower may be a pretrained Llama, frozen or adapted; the motion tower is as wide as one likes, with the text tower's
heads, and has a layer for every one of the text tower's layers or for every third. In a layer that motion skips, text
attends to text alone. Where motion is the answer its prompt stands before it, so that text never attends to motion and
its keys can be kept; only a caption, which is text about the motion before it, does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding, apply_rotary_pos_emb

from morphloop.base import MotionError

from .config import LanguageModelConfig
from .language_model import MotionLanguageModel, new_backbone
from .sequences import IGNORE, Batch

KEPT = ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "rms_norm_eps", "attention_bias")
"""What the motion tower's layers have of the text tower's; positions are turned by the text tower for both."""


@dataclass
class TowerCache:
    """What earlier steps left for attention: which were motion (B, S), and by layer keys and values (B, H, S, D)."""

    motion: torch.Tensor
    layers: list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class TwoHidden:
    """motion: (B, S) bool, which tower a step went through; text: (N, d) and motion_states: (M, w), the last hidden
    states of either's steps in the order of the batch; cache: to go on from."""

    motion: torch.Tensor
    text: torch.Tensor
    motion_states: torch.Tensor
    cache: TowerCache


class DualTowerModel(MotionLanguageModel):
    """A language model of two towers, `backbone` being the text tower: ids (B, L, S) to scores (B, L, S, V), minus
    infinity for the other modality's ids.

    Raises MotionError if the text tower is no Llama.
    """

    def __init__(self, config: LanguageModelConfig, backbone: PreTrainedModel | None = None) -> None:
        if config.tower is None:
            raise MotionError("dual tower: the configuration says nothing of a motion tower")
        super().__init__(config, backbone)
        if self.backbone.config.model_type != "llama":
            raise MotionError(f"dual tower: text tower is a {self.backbone.config.model_type}, expected a llama")
        width, every, sizes = config.tower.width, config.tower.every, self.backbone.config
        count = sizes.num_hidden_layers // every
        if not count:
            raise MotionError(
                f"dual tower: a layer for every {every} of the text tower, which has {sizes.num_hidden_layers}"
            )
        if width % sizes.num_attention_heads:
            raise MotionError(
                f"dual tower: motion tower of width {width}, expected a multiple of the text tower's "
                f"{sizes.num_attention_heads} heads"
            )
        own = {name: getattr(sizes, name) for name in KEPT} | {"model_type": "llama", "num_hidden_layers": count}
        own |= {"hidden_size": width, "intermediate_size": config.tower.feed_forward, "vocab_size": 1}
        motion = new_backbone(own)
        self.motion_layers, self.motion_norm = cast(nn.ModuleList, motion.layers), cast(nn.Module, motion.norm)
        self.motion_table = nn.Parameter(0.02 * torch.randn(config.vocabulary.size - config.text_size, width))
        self.joint = {every * (layer + 1) - 1: layer for layer in range(count)}
        """Layer of the motion tower by that of the text tower."""
        self.heads = nn.ParameterList(nn.Parameter(torch.eye(width)) for _ in range(config.streams))

    @staticmethod
    def backbone_ids(config: LanguageModelConfig) -> int:
        """Ids that the text tower embeds: text and marks."""
        return config.vocabulary.first_code

    @property
    def code_table(self) -> torch.Tensor:
        """(streams * codebook, w) the embedding of the motion codes, a part of it that shares its memory."""
        vocabulary = self.config.vocabulary
        return self.motion_table.detach()[vocabulary.first_code - vocabulary.text_size :]

    def is_motion(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, S) bool of ids (B, L, S): a code, the end of a stream or the mark before the first code."""
        vocabulary = self.config.vocabulary
        own = (ids >= vocabulary.first_code) | (ids == vocabulary.end) | (ids == vocabulary.mark("motion"))
        return own.any(1)

    def run(
        self,
        ids: torch.Tensor,
        states: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        cache: TowerCache | None = None,
        added: torch.Tensor | None = None,
    ) -> TwoHidden:
        """Both towers over ids (B, L, S).

        states: (B, S, W) of a text encoder; mask: (B, all steps so far) 1 where a step counts; cache: of those before;
        added: (B, S, w) to the embeddings of motion.
        """
        motion = self.is_motion(ids)
        mask = torch.ones_like(motion, dtype=torch.long) if mask is None else mask
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[-1] :]
        seen = motion if cache is None else torch.cat([cache.motion, motion], dim=1)
        allowed = _allowed(mask, ids.shape[-1])
        text_only = allowed & (~seen[:, None] | _own(allowed))
        turned = cast(LlamaRotaryEmbedding, self.backbone.rotary_emb)(self.table, positions)
        text, own = self._embed_text(ids, states, motion), self._embed_motion(ids, motion)
        own = own if added is None else own + added[motion]
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        for place, layer in enumerate(_layers(self.backbone.layers)):
            mine = _layers(self.motion_layers)[self.joint[place]] if place in self.joint else None
            queries, keys, values = self._projections(layer, mine, text, own, motion, turned)
            if cache is not None:
                keys, values = (
                    torch.cat(pair, dim=2) for pair in zip(cache.layers[place], (keys, values), strict=True)
                )
            kept.append((keys, values))
            out = self._attend(queries, keys, values, text_only if mine is None else allowed)
            text = _after(layer, text, out[~motion])
            if mine is not None:
                own = _after(mine, own, out[motion])
        text = cast(nn.Module, self.backbone.norm)(text)
        return TwoHidden(motion, text, self.motion_norm(own), TowerCache(seen, kept))

    def _embed_text(self, ids: torch.Tensor, states: torch.Tensor | None, motion: torch.Tensor) -> torch.Tensor:
        """(N, d) of the text steps: stream 0's ids, or what stands there of a text encoder."""
        own = ids[:, 0][~motion]
        vectors = F.embedding(own, self.table) * (own != self.blank)[:, None]
        if states is None or self.reader is None:
            return vectors
        read = states[~motion]
        return vectors + self.reader(F.layer_norm(read, read.shape[-1:]))

    def _embed_motion(self, ids: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
        """(M, w) of the motion steps: the sum over streams, a blank adds nothing."""
        own = ids.transpose(1, 2)[motion]
        vectors = F.embedding((own - self.config.text_size).clamp(min=0), self.motion_table)
        return (vectors * (own != self.blank)[..., None]).sum(1)

    def _projections(
        self,
        layer: LlamaDecoderLayer,
        mine: LlamaDecoderLayer | None,
        text: torch.Tensor,
        own: torch.Tensor,
        motion: torch.Tensor,
        turned: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values (B, heads, S, D) of all steps, each by its tower's matrices."""
        sizes = self.backbone.config
        found = []
        for name, heads in (
            ("q_proj", sizes.num_attention_heads),
            ("k_proj", sizes.num_key_value_heads),
            ("v_proj", sizes.num_key_value_heads),
        ):
            whole = text.new_zeros(*motion.shape, heads * sizes.head_dim)
            whole[~motion] = _projected(layer, name, text)
            if mine is not None:
                whole[motion] = _projected(mine, name, own)
            found.append(whole.unflatten(-1, (heads, sizes.head_dim)).transpose(1, 2))
        queries, keys = apply_rotary_pos_emb(found[0], found[1], *turned)
        return queries, keys, found[2]

    def _attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, allowed: torch.Tensor
    ) -> torch.Tensor:
        """(B, S, heads * D) of queries (B, heads, S, D) to the keys that `allowed` (B, S, all) names."""
        sizes = self.backbone.config
        shared = sizes.num_attention_heads // sizes.num_key_value_heads
        dropout = sizes.attention_dropout if self.training else 0.0
        keys, values = (one.repeat_interleave(shared, dim=1) for one in (keys, values))
        out = F.scaled_dot_product_attention(queries, keys, values, allowed[:, None], dropout)
        return out.transpose(1, 2).flatten(2)

    def text_scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states of the text tower (N, d) to logits (N, ids of text and marks)."""
        return hidden @ self.table.T

    def motion_scores(self, hidden: torch.Tensor, stream: int) -> torch.Tensor:
        """Hidden states of the motion tower (M, w) to logits (M, ids of marks and codes) of a stream."""
        return hidden @ self.heads[stream] @ self.motion_table.T

    def _whole(self, hidden: TwoHidden) -> torch.Tensor:
        """Logits (B, L, S, V) of both modalities' steps."""
        shape = (*hidden.motion.shape, self.config.streams, self.config.vocabulary.size)
        logits = hidden.text.new_full(shape, -torch.inf)
        of_text = self.text_scores(hidden.text)
        for stream in range(self.config.streams):
            logits[:, :, stream, : of_text.shape[-1]][~hidden.motion] = of_text
            own = self.motion_scores(hidden.motion_states, stream)
            logits[:, :, stream, self.config.text_size :][hidden.motion] = own
        return logits.transpose(1, 2)

    def forward(self, ids: torch.Tensor, states: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, L, S, V); padding must stand on the right, where no earlier step sees it."""
        return self._whole(self.run(ids, states))

    def step(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: Any,
        states: torch.Tensor | None = None,
        added: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Any]:
        """As `MotionLanguageModel.step`; the cache is a `TowerCache`, added as in `run`."""
        hidden = self.run(ids, states, mask, cache, added)
        last = torch.zeros_like(hidden.motion)
        last[:, -1] = True
        ends = TwoHidden(
            hidden.motion[:, -1:],
            hidden.text[last[~hidden.motion]],
            hidden.motion_states[last[hidden.motion]],
            hidden.cache,
        )
        return self._whole(ends)[:, :, 0], hidden.cache

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy over trained places, nats a token, each over its own modality's ids."""
        hidden = self.run(batch.ids, batch.states)
        targets = batch.targets.transpose(1, 2)
        words = targets[~hidden.motion][:, 0]
        said = words != IGNORE
        total = F.cross_entropy(self.text_scores(hidden.text[said]), words[said], reduction="sum")
        for stream in range(self.config.streams):
            codes = targets[hidden.motion][:, stream]
            trained = codes != IGNORE
            scores = self.motion_scores(hidden.motion_states[trained], stream)
            total = total + F.cross_entropy(scores, codes[trained] - self.config.text_size, reduction="sum")
        return total / (batch.targets != IGNORE).sum()


def _layers(of: object) -> list[LlamaDecoderLayer]:
    """The layers of a tower; adapters may stand in for their matrices."""
    return [cast(LlamaDecoderLayer, layer) for layer in cast(nn.ModuleList, of)]


def _projected(layer: LlamaDecoderLayer, name: str, x: torch.Tensor) -> torch.Tensor:
    return getattr(layer.self_attn, name)(layer.input_layernorm(x))


def _after(layer: LlamaDecoderLayer, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """Hidden states behind a layer whose attention gave (N, heads * D)."""
    x = x + layer.self_attn.o_proj(attended)
    return x + layer.mlp(layer.post_attention_layernorm(x))


def _allowed(mask: torch.Tensor, new: int) -> torch.Tensor:
    """(B, new, all) bool: the steps before and itself; a step that does not count sees itself alone."""
    count = mask.shape[1]
    causal = torch.ones(new, count, dtype=torch.bool).tril(count - new)
    allowed = causal & mask[:, None].bool()
    return allowed | _own(allowed)


def _own(allowed: torch.Tensor) -> torch.Tensor:
    """(new, all) bool: each step's own place."""
    new, count = allowed.shape[-2:]
    return torch.ones(new, count, dtype=torch.bool).tril(count - new).triu(count - new)


def build_language_model(config: LanguageModelConfig) -> MotionLanguageModel:
    """An untrained language model of one stream or of two towers, as the configuration says."""
    return (MotionLanguageModel if config.tower is None else DualTowerModel)(config)
