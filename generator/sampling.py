"""Sampling from the language model with a key-value cache: motion under length bounds, and captions.

Every prompt has a random stream of its own, so a sample does not depend on what else is in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

from morphloop.base import MotionError

from .language_model import MotionLanguageModel
from .patterns import Pattern
from .sequences import Text, Vocabulary, pad, pad_states

MAX_GUIDANCE = 20.0
Step = Callable[[torch.Tensor, torch.Tensor, Any], tuple[torch.Tensor, Any]]
"""Logits (B, L, V) and a cache of ids (B, L, S), their mask and the cache of before, as `MotionLanguageModel.step`."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Raises MotionError on a temperature below 0, a top_p outside (0, 1] or a guidance out of
    range."""

    temperature: float = 0.9
    """Divides the logits; 0 takes the likeliest token."""
    top_p: float = 0.95
    """Smallest set of tokens with this much probability is drawn from."""
    guidance: float = 1.0
    """Classifier-free guidance of motion: how far logits go from those without a prompt to those with it; 1 takes the
    latter alone, more asks harder for what the prompt says."""

    def written(self) -> dict[str, float]:
        """As it stands in files and hashes; no guidance is left out, as older generators have none."""
        return {name: value for name, value in asdict(self).items() if name != "guidance" or value != 1.0}

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100 or not 0 < self.top_p <= 1:
            raise MotionError(f"temperature {self.temperature}, top_p {self.top_p}: expected 0 to 100, above 0 to 1")
        if not 0 <= self.guidance <= MAX_GUIDANCE:
            raise MotionError(f"guidance {self.guidance}: expected 0 to {MAX_GUIDANCE:g}")


def draw(logits: torch.Tensor, uniform: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Ids (...) of logits (..., V) by inverse transform of numbers in [0, 1); nucleus as in Holtzman et al. 2020."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    ordered, ids = (logits.double() / sampling.temperature).sort(dim=-1, descending=True, stable=True)
    probability = ordered.softmax(-1)
    before = probability.cumsum(-1) - probability
    kept = torch.where(before < sampling.top_p, probability, 0.0)
    total = kept.cumsum(-1)
    place = (total <= uniform[..., None].double() * total[..., -1:]).sum(-1)
    return ids.gather(-1, place.clamp(max=ids.shape[-1] - 1)[..., None])[..., 0]


def uniforms(generators: Sequence[torch.Generator], streams: int) -> torch.Tensor:
    """(B, L) numbers in [0, 1), a row from each generator."""
    return torch.stack([torch.rand(streams, generator=generator) for generator in generators])


@torch.no_grad()
def sample_motion(
    model: MotionLanguageModel,
    vocabulary: Vocabulary,
    pattern: Pattern,
    texts: Sequence[Text],
    lengths: tuple[int, int],
    generators: Sequence[torch.Generator],
    sampling: Sampling,
    keep_cache: bool = True,
    beginnings: Sequence[torch.Tensor] | None = None,
    endings: Sequence[torch.Tensor] | None = None,
    sources: Sequence[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Codes (L, n_i) for each text, lengths[0] <= n_i <= lengths[1], one generator a text.

    keep_cache: False goes through all steps again for every token, which is what the cache is measured against.
    beginnings: codes (L, b_i) that each one starts with, b_i of 0 or more and at most lengths[1]; those below 0 are
    free. endings: codes (L, e_i) that the model is shown as what each one shall end in. sources: codes (L, s_i) that
    the texts say how to change.
    Stream 0 decides the length by its END, which is closed before the lower bound and forced at the upper one.
    """
    low, high = lengths
    times = pattern.times(pattern.num_steps(high + 1))
    guided = sampling.guidance != 1.0
    shown = {
        name: [vocabulary.motion_steps(codes, pattern) for codes in given] if given else [None] * len(texts)
        for name, given in (("ending", endings), ("source", sources))
    }
    beside = list(zip(shown["ending"], shown["source"], strict=True))
    prompts = [vocabulary.motion_prompt(text, *codes) for text, codes in zip(texts, beside, strict=True)]
    if guided:
        prompts += [vocabulary.motion_prompt(text[:0], *codes) for text, codes in zip(texts, beside, strict=True)]
    ids, mask = pad(prompts, vocabulary.blank, left=True)
    states = pad_states(prompts, left=True)
    allowed = vocabulary.allowed_codes()
    given, known = _given(vocabulary, beginnings or [torch.zeros(vocabulary.streams, 0)] * len(texts))
    ends = torch.full((len(texts),), high)
    steps: list[torch.Tensor] = []
    cache = None
    for step in range(times.shape[1]):
        logits, cache = model.step(ids, mask, cache, states)
        if guided:
            told, untold = logits.chunk(2)
            logits = untold + sampling.guidance * (told - untold)
        now = times[:, step]
        open_ids = allowed.repeat(len(texts), 1, 1)
        open_ids[:, 0, vocabulary.end] = (low <= now[0]) & (known <= now[0])
        drawn = draw(logits.masked_fill(~open_ids, -torch.inf), uniforms(generators, vocabulary.streams), sampling)
        if given.shape[-1]:
            place = now.clamp(0, given.shape[-1] - 1).expand(len(texts), -1)[..., None]
            wanted = given.gather(-1, place)[..., 0]
            kept = (now >= 0) & (now < known[:, None]) & (wanted != vocabulary.blank)
            drawn = torch.where(kept, wanted, drawn)
        if now[0] < high:
            ends = torch.where((drawn[:, 0] == vocabulary.end) & (now[0] < ends), now[0], ends)
        drawn = torch.where(now[None] == ends[:, None], vocabulary.end, drawn)
        drawn = torch.where((now[None] < 0) | (now[None] > ends[:, None]), vocabulary.blank, drawn)
        steps.append(drawn)
        new = (torch.cat([drawn, drawn]) if guided else drawn)[..., None]
        if keep_cache:
            ids, states = new, None
        else:
            ids, cache = torch.cat([ids, new], dim=-1), None
            states = states if states is None else F.pad(states, (0, 0, 0, 1))
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        if bool((now[-1] >= ends).all()):
            break
    grid = pattern.deinterleave(torch.stack(steps, dim=-1))
    return [vocabulary.codes(grid[row, :, : int(end)]) for row, end in enumerate(ends)]


def _given(vocabulary: Vocabulary, beginnings: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, L, longest) of codes (L, b_i), blanks where they are below 0 and behind, and how many each has (B,)."""
    known = torch.tensor([codes.shape[1] for codes in beginnings])
    given = torch.full((len(beginnings), vocabulary.streams, int(known.max())), vocabulary.blank)
    for row, codes in zip(given, beginnings, strict=True):
        row[:, : codes.shape[1]] = torch.where(codes < 0, vocabulary.blank, vocabulary.code_ids(codes.long()))
    return given, known


@torch.no_grad()
def sample_text(
    model: MotionLanguageModel,
    vocabulary: Vocabulary,
    pattern: Pattern,
    codes: Sequence[torch.Tensor],
    longest: int,
    generators: Sequence[torch.Generator],
    sampling: Sampling,
    instruction: Text = (),
) -> list[list[int]]:
    """Text ids, 1 to `longest`, that describe each codes (L, n_i); instruction: words that ask for it."""
    prompts = [vocabulary.text_prompt(c, pattern, instruction) for c in codes]
    states = pad_states(prompts, left=True)

    def step(ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        return model.step(ids, mask, cache, states if cache is None else None)

    return write_text(step, vocabulary, pad(prompts, vocabulary.blank, left=True), longest, generators, sampling)


@torch.no_grad()
def write_text(
    step: Step,
    vocabulary: Vocabulary,
    prompts: tuple[torch.Tensor, torch.Tensor],
    longest: int,
    generators: Sequence[torch.Generator],
    sampling: Sampling,
) -> list[list[int]]:
    """Text ids, 1 to `longest`, that `step` says behind each of the prompts: ids (B, L, S) and their mask (B, S)."""
    ids, mask = prompts
    streams = ids.shape[1]
    closed = torch.ones(vocabulary.size, dtype=torch.bool)
    closed[: vocabulary.text_size] = False
    texts: list[list[int]] = [[] for _ in ids]
    done = torch.zeros(len(ids), dtype=torch.bool)
    cache = None
    for _ in range(longest):
        logits, cache = step(ids, mask, cache)
        drawn = draw(logits[:, 0].masked_fill(closed, -torch.inf), uniforms(generators, 1)[:, 0], sampling)
        closed[vocabulary.end] = False  # from the second id on
        done |= drawn == vocabulary.end
        for row in torch.nonzero(~done)[:, 0].tolist():
            texts[row].append(int(drawn[row]))
        if bool(done.all()):
            break
        ids = torch.full((len(texts), streams, 1), vocabulary.blank)
        ids[:, 0, 0] = drawn
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return texts
