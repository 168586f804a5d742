"""Measures a generator: does it do what it was asked, is its motion like real motion, is it physical, is it fast.

Every figure stands beside its reference: adherence beside what the clips of other prompts score by accident, scores of
the evaluator and physics beside those of the corpus's own held-out clips.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from morphloop.base import MotionError
from morphloop.base.threads import fixed_threads
from morphloop.metrics import measure
from morphloop.metrics.text_motion.evaluator import Evaluator
from morphloop.metrics.text_motion.scoring import EmbeddedSet, embed_set, score_set
from morphloop.motion import Clip, make_corpus
from morphloop.motion.corpus.described import described_clips, make_described

from ..candidates import generate_best
from ..latent_llm import LatentLLM
from ..motion_llm import MotionLLM
from ..own import CHUNK
from ..protocol import Generator
from ..reconstruction import measure_reconstruction
from ..sampling import sample_motion
from .captions import bench_captions
from .config import CAPTIONS, EDITS, PROMPT_SETS, GeneratorBenchConfig
from .edits import bench_edits
from .prompts import SECONDS, Asked, bench_prompts

PHYSICS = ("slide_mean_mm_s", "slide_loaded_mm_s", "penetration_mean_mm", "float_mean_mm", "physdiff_phys_err_mm")
WITH_REAL = ("test", "combinations")
"""Sets whose prompts are captions of clips that there are."""
BATCHES = (1, 16, 64)
TIMED_S = 4.0
OTHERS = 50
"""Clips of other prompts that a prompt's chance level is taken on, at most."""
DESCRIBED = 96
"""Held-out clips whose captions are written."""
SURE_WORDS = ("walk", "back", "left", "right", "squat", "wav", "kick", "bow", "jump", "punch", "both arms", "turn")
"""What a caption of the plain corpus may say of a clip."""
RECONSTRUCTED = 100
"""Held-out clips that go through the tokenizer."""
Watch = Callable[[str, int, int], None]


@fixed_threads()
def bench_generator(
    generator: Generator, evaluator: Evaluator, config: GeneratorBenchConfig, watch: Watch
) -> dict[str, Any]:
    """What the JSON file holds; `watch` hears what is done, how far and of how much.

    MotionError if nothing is asked for but captions or edits, of a generator that writes or makes none.
    """
    edits = isinstance(generator, MotionLLM) and generator.model.config.editing > 0
    if {*config.sets} == {EDITS} and not edits:
        raise MotionError(f"sets {EDITS}: this generator was not trained for editing, expected sets of prompts")
    if {*config.sets} <= {CAPTIONS, EDITS} and not isinstance(generator, MotionLLM | LatentLLM):
        raise MotionError(f"sets {CAPTIONS}: this generator describes no motion, expected sets of prompts")
    sets = {name: _bench_set(name, generator, evaluator, config, watch) for name in config.sets if name in PROMPT_SETS}
    result = {
        "generator": generator.hash(),
        "evaluator": {"kind": evaluator.kind, "hash": evaluator.hash, "dimensions": evaluator.dimensions},
        "sets": sets,
    }
    if isinstance(generator, MotionLLM | LatentLLM) and CAPTIONS in config.sets:
        watch("describing", 0, 1)
        described = make_described(config.prompts, config.seed, "test")
        result["captions"] = bench_captions(generator.describe, described, config.seed)
    if isinstance(generator, MotionLLM) and edits and EDITS in config.sets:
        watch("editing", 0, 1)
        result["edits"] = bench_edits(generator.edit, config.prompts, config.samples, config.seed)
    if isinstance(generator, MotionLLM | LatentLLM):
        watch("reconstructing", 0, 1)
        held_out = make_described(RECONSTRUCTED, config.seed + 1, "test")
        result["reconstruction"] = asdict(measure_reconstruction(generator.tokenizer, held_out))
        result["captions_with_every_sure_word"] = sure_captions(generator, make_corpus(DESCRIBED, config.seed, "test"))
    if config.speed and isinstance(generator, MotionLLM):
        result["sampling"] = _speed(generator, watch)
    return result


def _bench_set(
    name: str, generator: Generator, evaluator: Evaluator, config: GeneratorBenchConfig, watch: Watch
) -> dict[str, Any]:
    asked = bench_prompts(name, config.prompts, config.seed)
    samples = 4 * config.samples if name == "templates" else config.samples
    rows = [one for one in asked for _ in range(samples)]
    clips: list[Clip] = []
    for start in range(0, len(rows), CHUNK):
        part = [one.text for one in rows[start : start + CHUNK]]
        seed, seconds = config.seed + start, SECONDS[name]
        if config.candidates == 1:
            clips += generator.generate(part, seed, seconds)
        elif isinstance(generator, MotionLLM | LatentLLM):
            clips += generate_best(generator, evaluator, part, config.candidates, seed, seconds)
        else:
            raise MotionError(f"candidates {config.candidates}: only weights of our own are sampled several times")
        watch(name, len(clips), len(rows))
    told: dict[str, Any] = {"prompts": len(asked), "samples": samples}
    told["adherence"] = adherence(rows, clips)
    told["physics"] = physics(clips)
    if name in WITH_REAL:
        real = list(islice(described_clips(config.prompts, config.seed, name), config.prompts))
        told["real"] = {"adherence": adherence(asked, real), "physics": physics(real)}
        told |= _scores(evaluator, real, clips, samples, told["real"], config.seed)
    return told


def adherence(asked: Sequence[Asked], clips: Sequence[Clip]) -> dict[str, Any]:
    """Share of clips that do all that their prompt asks, by kind as well, with its chance level.

    facts: mean share of the single things asked for that are done, whatever their order.
    chance: share of the clips of prompts of another kind that would pass, each prompt against at most `OTHERS`.
    """
    done = np.array([one.passes(clip) for one, clip in zip(asked, clips, strict=True)])
    kinds = np.array([one.kind for one in asked])
    rng = np.random.default_rng(0)
    lucky: list[float] = []
    for one in dict.fromkeys(asked):
        others = rng.permutation(np.flatnonzero(kinds != one.kind))[:OTHERS]
        if len(others):
            lucky.append(float(np.mean([one.passes(clips[other]) for other in others])))
    return {
        "share": float(done.mean()),
        "facts": _mean([one.share(clip) for one, clip in zip(asked, clips, strict=True)]),
        "chance": float(np.mean(lucky)) if lucky else None,
        "by_kind": {kind: [int(done[kinds == kind].sum()), int((kinds == kind).sum())] for kind in sorted({*kinds})},
    }


def physics(clips: Sequence[Clip]) -> dict[str, float | None]:
    """Means of PHYSICS over clips."""
    rows = [measure(clip).values for clip in clips]
    return {name: _mean([row[name] for row in rows]) for name in PHYSICS}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def sure_captions(generator: MotionLLM | LatentLLM, clips: Sequence[Clip]) -> float:
    """Motion to text: share of clips whose written caption has each of `SURE_WORDS` that all of the clip's own have."""
    agree = []
    for clip, text in zip(clips, generator.describe(clips), strict=True):
        sure = set.intersection(*({word for word in SURE_WORDS if word in own} for own in clip.texts))
        agree.append(all(word in text for word in sure))
    return float(np.mean(agree))


def _scores(
    evaluator: Evaluator, real: Sequence[Clip], made: Sequence[Clip], samples: int, beside: dict[str, Any], seed: int
) -> dict[str, Any]:
    """The evaluator's scores of what was made for the captions of real clips; those of the real clips go `beside`.

    A generated clip stands in pools as the clip whose caption it was made for: the same facts, that caption alone.
    """
    found = embed_set(evaluator, real)
    one_caption = replace(
        found,
        captions=[captions[:1] for captions in found.captions],
        meanings=[replace(meaning, named=meaning.named[:1]) for meaning in found.meanings],
    )
    halves = [_part(found, slice(first, None, 2)) for first in (0, 1)]
    beside["scores"] = {name: asdict(score) for name, score in score_set(one_caption, found, seed).items()}
    beside["scores"]["fid"] = asdict(score_set(halves[0], halves[1], seed)["fid"])
    repeated = [place for place in range(len(real)) for _ in range(samples)]
    motions = np.concatenate(
        [evaluator.embed_motions(made[start : start + CHUNK]) for start in range(0, len(made), CHUNK)]
    )
    answers = EmbeddedSet(
        motions,
        [one_caption.captions[place] for place in repeated],
        [one_caption.meanings[place] for place in repeated],
        [one_caption.prompts[place] for place in repeated],
    )
    firsts = _part(answers, slice(0, None, samples))
    scores = score_set(answers, found, seed) | {
        name: score for name, score in score_set(firsts, found, seed).items() if name.startswith("r_precision")
    }
    return {"scores": {name: asdict(score) for name, score in scores.items()}}


def _part(whole: EmbeddedSet, part: slice) -> EmbeddedSet:
    return EmbeddedSet(whole.motions[part], whole.captions[part], whole.meanings[part], whole.prompts[part])


def _speed(generator: MotionLLM, watch: Watch) -> dict[str, Any]:
    """Clips of 4 s a second of wall time: by batch, with the key-value cache and without."""
    frames = generator.tokenizer.config.frames_per_token
    tokens = round(TIMED_S * 30) // frames
    told: dict[str, Any] = {"seconds_a_clip": TIMED_S}
    for step, batch in enumerate(BATCHES):
        watch("timing", step, len(BATCHES))
        texts = generator.read(["a person walks forward and waves with the left hand"] * batch)
        walls = {}
        for keep in (True, False):
            streams = [torch.Generator().manual_seed(k) for k in range(batch)]
            begun = time.perf_counter()
            sample_motion(
                generator.model,
                generator.vocabulary,
                generator.pattern,
                texts,
                (tokens, tokens),
                streams,
                generator.sampling,
                keep,
            )
            walls[keep] = time.perf_counter() - begun
        told[f"batch_{batch}"] = {
            "clips_a_second": batch / walls[True],
            "without_cache": batch / walls[False],
            "ratio": walls[False] / walls[True],
        }
    begun = time.perf_counter()
    generator.generate(["a person walks forward"] * 16, 0, (TIMED_S, TIMED_S))
    return told | {"sixteen_prompts_wall_s": time.perf_counter() - begun}
