"""A language model whose motion is latent vectors of a VAE: a dual tower with a diffusion head, as in MotionGPT3.

The motion vocabulary has one code, which says that a latent stands there; the latent itself is projected and added. A
prompt ends in the mark before motion, and the hidden state there is all that the diffusion head is given: it draws all
latents of a clip at once, and with them how many frames the clip has, which the VAE's decoder must be told.

    text to motion:  TO_MOTION text ... MOTION -> latents and frames
    motion to text:  TO_TEXT latents END TEXT text ... END
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .config import LatentModelConfig
from .diffusion import DiffusionHead
from .dual_tower import DualTowerModel, TwoHidden
from .patterns import parallel_pattern
from .sequences import IGNORE, Pair, Steps, Text, Vocabulary, collate, motion_to_text, pad, pad_states

PATTERN = parallel_pattern(1)
"""Of the one stream."""


@dataclass(frozen=True)
class LatentMotion:
    """latents: (m, C) of a VAE; frames: how many the clip has."""

    latents: torch.Tensor
    frames: int

    def vector(self) -> torch.Tensor:
        """(m C + 1,) what the diffusion head draws."""
        return torch.cat([self.latents.flatten(), torch.tensor([float(self.frames)])])


@dataclass(frozen=True)
class LatentBatch:
    """pairs: what the towers read; motions: of each, what it is about; asked: (B,) bool, if motion is the answer."""

    pairs: Sequence[Pair]
    motions: Sequence[LatentMotion]
    asked: torch.Tensor


class LatentMotionModel(nn.Module):
    """Texts to latents (m, C) and a number of frames, and back to text; `towers` are new unless they are given."""

    def __init__(self, config: LatentModelConfig, towers: DualTowerModel | None = None) -> None:
        super().__init__()
        self.towers = DualTowerModel(config.towers) if towers is None else towers
        self.config = config = replace(config, towers=self.towers.config)
        size = config.latents * config.latent_size + 1
        self.read = nn.Linear(config.latent_size, config.tower.width, bias=False)
        self.head = DiffusionHead(config.tower.width, size, config.head)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.config.towers.vocabulary

    def asks_for_motion(self, text: Text) -> Pair:
        """A prompt, none of whose places has an id to be trained on."""
        steps = self.vocabulary.motion_prompt(text)
        return Pair(steps, torch.full_like(steps.ids, IGNORE))

    def asks_for_text(self, text: Sequence[int]) -> Pair:
        """Training pair of a caption's ids, to be written about latents."""
        return motion_to_text(self.vocabulary, PATTERN, text, self._codes())

    def _codes(self) -> torch.Tensor:
        return torch.zeros(1, self.config.latents, dtype=torch.long)

    def _added(self, ids: torch.Tensor, motions: Sequence[LatentMotion]) -> torch.Tensor:
        """(B, S, w) what the latents add where ids (B, 1, S) say that one stands, row by row in their order."""
        stands = ids[:, 0] == self.vocabulary.first_code
        added = torch.zeros(*stands.shape, self.config.tower.width)
        own = [one.latents for one, row in zip(motions, stands, strict=True) if bool(row.any())]
        if own:
            mean, std = self.head.mean[:-1], self.head.std[:-1]
            read = self.read((torch.stack(own) - mean.view_as(own[0])) / std.view_as(own[0]))
            added[stands] = read.flatten(0, 1)
        return added

    def loss(self, batch: LatentBatch, rng: torch.Generator) -> torch.Tensor:
        """Mean squared error of the velocity in the latents that are asked for, and the cross-entropy of captions, nats
        a token; each a mean over its own, weighted by how much of the batch is its."""
        steps = collate(batch.pairs, self.vocabulary.blank)
        hidden = self.towers.run(steps.ids, steps.states, added=self._added(steps.ids, batch.motions))
        share = float(batch.asked.float().mean())
        total = torch.zeros(())
        if share:
            wanted = torch.stack([one.vector() for one, own in zip(batch.motions, batch.asked, strict=True) if own])
            total = total + share * self.head.loss(self._at_mark(hidden, steps.ids)[batch.asked], wanted, rng)
        if share < 1:
            words = steps.targets[:, 0][~hidden.motion]
            said = words != IGNORE
            total = total + (1 - share) * F.cross_entropy(self.towers.text_scores(hidden.text[said]), words[said])
        return total

    def _at_mark(self, hidden: TwoHidden, ids: torch.Tensor) -> torch.Tensor:
        """(B, w) motion tower's hidden state at the mark before motion; zero in rows without one."""
        marks = ids[:, 0] == self.vocabulary.mark("motion")
        states = hidden.motion_states.new_zeros(len(ids), self.config.tower.width)
        states[marks.any(1)] = hidden.motion_states[marks[hidden.motion]]
        return states

    @torch.no_grad()
    def sample(
        self,
        texts: Sequence[Text],
        frames: tuple[int, int],
        generators: Sequence[torch.Generator],
        guidance: float = 1.0,
    ) -> list[LatentMotion]:
        """Latents and frames for each text, frames[0] to frames[1] of them, one generator a text."""
        told = self._prompted(texts)
        untold = self._prompted([text[:0] for text in texts]) if guidance != 1.0 else None
        drawn = self.head.sample(told, generators, untold, guidance)
        shape = (self.config.latents, self.config.latent_size)
        counts = drawn[:, -1].round().long().clamp(*frames).tolist()
        return [LatentMotion(one[:-1].reshape(shape), count) for one, count in zip(drawn, counts, strict=True)]

    def _prompted(self, texts: Sequence[Text]) -> torch.Tensor:
        prompts = [self.vocabulary.motion_prompt(text) for text in texts]
        ids, mask = pad(prompts, self.vocabulary.blank, left=True)
        return self._at_mark(self.towers.run(ids, pad_states(prompts, left=True), mask), ids)

    def step(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, motions: Sequence[LatentMotion]
    ) -> tuple[torch.Tensor, Any]:
        """Logits (B, 1, V) after the last of ids (B, 1, S), and the cache to go on from; as `DualTowerModel.step`."""
        return self.towers.step(ids, mask, cache, added=self._added(ids, motions))

    def caption_prompts(self, count: int) -> list[Steps]:
        """Steps that ask for a caption of latents, `count` times."""
        return [self.vocabulary.text_prompt(self._codes(), PATTERN)] * count
