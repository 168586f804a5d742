"""What a generator does with held-out prompts, raw: physics, words, energy and diversity, prompt by prompt.

A generator answers a run's held-out prompts once: figures are kept in the run under their content (generator, prompts,
seeds, code), so that the starting generator and the round before cost a later round nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import write_json
from morphloop.base.opening import read_json
from morphloop.base.still_valid import basis, hash_json, result_key
from morphloop.base.threads import held_threads
from morphloop.generator import (
    CommandGenerator,
    Generator,
    Seconds,
    diversity,
    joint_speed,
    root_travel,
)
from morphloop.generator.asked import Asked, by_facts, by_words
from morphloop.metrics import measure
from morphloop.metrics.text_motion.evaluator import Evaluator
from morphloop.motion import Clip, corpus_captions, described_captions

from .records import finite
from .retrieval import Retrieval
from .stages import OWN_CODE, STAGES

PHYSICS = (
    "physdiff_phys_err_mm",
    "physdiff_penetrate_mm",
    "physdiff_float_mm",
    "physdiff_skate_mm",
    "slide_mean_mm_s",
    "penetration_mean_mm",
    "unsupported_ratio",
    "jitter_rms_mm",
)
PRECISION = "r_precision_3"
"""R-precision@3 of a prompt's samples."""
BATCH = 32
"""Samples that are generated at a time, so that progress can be told."""

GUARD_FOLDER = "guard"
"""Where a run keeps its generators' answers; they can be made again, so no stage's outputs cover them."""

Row = dict[str, Any]
Tick = Callable[[int, int], None]


def held_out_prompts(count: int, seed: int, known: Collection[str]) -> tuple[str, ...]:
    """Different captions of the corpus's test split, whose motion trained nothing, none of them among `known`."""
    first, second, third = zip(*corpus_captions(count, seed, "test"), strict=True) if count else ((), (), ())
    return tuple(text for text in dict.fromkeys((*first, *second, *third)) if text not in known)[:count]


def held_out_questions(count: int, described: float, seed: int, known: Collection[str]) -> tuple[Asked, ...]:
    """Captions of test splits: a share of the described corpus's, whose facts its grammar knows, before those of
    `held_out_prompts`, whose facts their words name."""
    said = {one[0].text: one[0] for one in described_captions(round(count * described), seed, "test")}
    grown = [by_facts(prompt) for text, prompt in said.items() if text not in known]
    return (*grown, *map(by_words, held_out_prompts(count - len(grown), seed, known)))


@dataclass(frozen=True)
class HeldOut:
    """The questions that every generator of a run is asked.

    count: most prompts, fewer where the captions run out; samples: of each; seed: of both; seconds: length of motion;
    known: prompts that are not held out; folder: where answers are kept, None to keep none; evaluator: loads who
    judges motions against prompts when the first question is asked, None for nobody; described: share of the prompts
    that are captions of the described corpus.
    """

    count: int
    samples: int
    seed: int
    seconds: Seconds
    known: frozenset[str] = frozenset()
    folder: Path | None = None
    evaluator: Callable[[], Evaluator] | None = None
    described: float = 0.5

    @cached_property
    def questions(self) -> tuple[Asked, ...]:
        return held_out_questions(self.count, self.described, self.seed, self.known)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Their words."""
        return tuple(asked.text for asked in self.questions)

    @cached_property
    def judge(self) -> Evaluator | None:
        """The evaluator, loaded."""
        return None if self.evaluator is None else self.evaluator()

    @cached_property
    def retrieval(self) -> Retrieval | None:
        """The evaluator with the prompts embedded."""
        return None if self.judge is None else Retrieval(self.judge, self.questions)

    def answers(self, generator: Generator, tick: Tick) -> list[Row]:
        """A row a prompt, as `_row` makes it; read if this generator has answered before."""
        asked = {"prompts": self.prompts, "samples": self.samples, "seed": self.seed, "seconds": self.seconds}
        asked["evaluator"] = None if self.judge is None else self.judge.hash
        code, threads = (*STAGES["finetune"].code, *OWN_CODE), {"threads": held_threads()}
        key = result_key(basis(code, {"generator": generator.hash()}, asked | threads))
        path = None if self.folder is None else self.folder / f"{key}.json"
        rows = None if path is None else _kept(path, key)
        if rows is None:
            rows = self._ask(generator, tick)
            if path is not None:
                write_json(path, {"key": key, "generator": generator.hash(), "hash": hash_json(rows), "rows": rows})
        tick(len(self.prompts), len(self.prompts))
        return rows

    def _ask(self, generator: Generator, tick: Tick) -> list[Row]:
        # a command loads its model in every call
        each = len(self.questions) if isinstance(generator, CommandGenerator) else max(1, BATCH // self.samples)
        facts = {fact.name: fact for asked in self.questions for fact in asked.parts}
        rows: list[Row] = []
        holds: list[dict[str, bool]] = []
        for start in range(0, len(self.questions), each):
            batch = self.questions[start : start + each]
            prompts = [asked.text for asked in batch for _ in range(self.samples)]
            clips = generator.generate(prompts, self.seed + start, self.seconds)
            whole = len(clips) == len(prompts)  # from outside fewer may come
            for place, asked in enumerate(batch):
                own = clips[place * self.samples : (place + 1) * self.samples]
                samples = own if whole else [clip for clip in clips if clip.provenance.prompt == asked.text]
                row, judge = _row(asked, samples), self.retrieval
                precision = None if judge is None or not samples else judge.precision(len(rows), samples)
                rows.append(row | {PRECISION: precision})
                holds.append({name: fact.passes(samples[0]) for name, fact in facts.items()} if samples else {})
            tick(len(rows), len(self.questions))
        return [row | {"chance": _chance(row["facts"], rows, holds)} for row in rows]


def _kept(path: Path, key: str) -> list[Row] | None:
    """The rows of a file, None if there is none or it is not what was written."""
    try:
        kept = read_json(path)
        whole = kept["key"] == key and kept["hash"] == hash_json(kept["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept["rows"] if whole else None


def _row(asked: Asked, clips: Sequence[Clip]) -> Row:
    """Means over the samples of one prompt; `adherence` is null where the prompt names no fact.

    A sample that does something else adds no diversity but error: only those count that do what the prompt says.
    """
    passed = [[fact.passes(clip) for fact in asked.parts] for clip in clips]
    whole = [asked.passes(clip) for clip in clips]
    adhering = [clip for clip, good in zip(clips, whole, strict=True) if good]
    measured = [measure(clip, wrench=False).values for clip in clips]
    return {
        "prompt": asked.text,
        "class": asked.kind,
        "facts": {fact.name: _mean([row[k] for row in passed]) for k, fact in enumerate(asked.parts)},
        "adherence": _mean(whole) if asked.parts else None,
        "joint_speed_m_s": _mean([joint_speed(clip) for clip in clips]),
        "root_travel_m_s": _mean([root_travel(clip) for clip in clips]),
        "diversity_m": diversity(adhering),
        "physics": {name: _mean([finite(values[name]) for values in measured]) for name in PHYSICS},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are there, None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _chance(named: Collection[str], rows: Sequence[Row], holds: Sequence[dict[str, bool]]) -> float | None:
    """How often clips of prompts that name none of these facts do all of them; None without a fact or such a clip."""
    strangers = [held for row, held in zip(rows, holds, strict=True) if held and not set(named) & row["facts"].keys()]
    return _mean([all(held[name] for name in named) for held in strangers]) if named else None
