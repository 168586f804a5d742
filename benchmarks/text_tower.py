"""What a pretrained text encoder is worth to a generator: the one that ships against ids, same clips, same updates.

    python benchmarks/text_tower.py OUT [--clips 5000] [--steps 1000] [--seeds 0 1 2] [--prompts 100]
    python benchmarks/text_tower.py OUT --data DIR --captions FILE --evaluator DIR [--steps ...] [--seeds 0]

Both kinds are a small Llama of the shipped width over the shipped tokenizer's codes, which are made once. On the corpus
they are put `bench generator`'s questions, of a seed by which nothing was chosen. On a data set, whose evaluator has to
be trained on it (`train evaluator --source.data`), a caption of every test clip is asked for, and R-precision told.

OUT keeps each model and its figures; what is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.base.threads import fixed_threads
from morphloop.generator import MotionLLM, StatesOf, TextTokenizer, train_language_model
from morphloop.generator.bench.bench import bench_generator
from morphloop.generator.bench.config import GeneratorBenchConfig
from morphloop.generator.config import LANGUAGE_BUDGET, LanguageModelConfig
from morphloop.generator.own import CHUNK
from morphloop.generator.sampling import Sampling
from morphloop.generator.training import Example, read_captions
from morphloop.language import load_text_encoder
from morphloop.metrics.text_motion.evaluator import Evaluator, load_evaluator
from morphloop.metrics.text_motion.scoring import embed_set, score_set
from morphloop.motion import Clip
from morphloop.motion.corpus.described import DescribedClips
from morphloop.motion.datasets import open_motion_set, texts_of

SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "generator"
KINDS = ("ids", "encoder")
SETS = ("templates", "paraphrases", "test", "combinations")
DATA_SEED, PROMPT_SEED = 700, 3000
BATCH, TEXT_SIZE = 24, 512
SAMPLING = Sampling(temperature=0.6, top_p=0.95, guidance=2.0)


class Trainer:
    """Trains either kind on the codes of captioned clips; a kind's prompts are read once."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        shipped = MotionLLM.load(SHIPPED)
        self._tokenizer, self._size = shipped.tokenizer, shipped.model.config.backbone
        self._texts = TextTokenizer.train([caption for texts in texts_of(clips) for caption in texts], TEXT_SIZE)
        self._codes, self._clips = [self._tokenizer.encode_clip(clip) for clip in clips], clips
        self._encoder = load_text_encoder("shipped")

    @cache  # noqa: B019 - one of them lives as long as the program
    def _examples(self, kind: str) -> list[Example]:
        read = StatesOf(self._encoder) if kind == "encoder" else None
        told = read_captions(self._clips, self._texts, read)
        return [Example(own, *captions) for own, captions in zip(self._codes, told, strict=True)]

    def train(self, kind: str, seed: int, steps: int, out: Path) -> MotionLLM:
        """One model, or the one that stands in `out` already."""
        if out.exists():
            return MotionLLM.load(str(out))
        codes, encoder = self._tokenizer.config, self._encoder if kind == "encoder" else None
        config = LanguageModelConfig(self._texts.size, codes.streams, codes.codebook, "delay", self._size)
        if encoder is not None:
            named = {"text_encoder": "shipped", "text_encoder_hash": encoder.hash, "text_width": encoder.width}
            config = replace(config, **named)
        budget = replace(LANGUAGE_BUDGET, steps=steps, batch=BATCH, seed=seed)
        checkpoint = out.with_name(f"{out.name}.checkpoint.safetensors")
        model = train_language_model(self._examples(kind), config, budget, checkpoint=checkpoint)
        llm = MotionLLM(self._texts, self._tokenizer, model, SAMPLING, encoder=encoder)
        llm.save(out)
        checkpoint.unlink(missing_ok=True)
        return llm


def asked_of_clips(llm: MotionLLM, evaluator: Evaluator, real: Sequence[Clip]) -> dict[str, Any]:
    """R-precision of what is made for the first caption of each clip, and the clips' own."""
    prompts = [clip.texts[0] for clip in real]
    made: list[Clip] = []
    for start in range(0, len(prompts), CHUNK):
        made += llm.generate(prompts[start : start + CHUNK], PROMPT_SEED + start, (2.0, 10.0))
    whole = embed_set(evaluator, real)
    first = replace(whole, captions=[captions[:1] for captions in whole.captions])
    answers = replace(first, motions=evaluator.embed_motions(made))
    return {
        name: {key: score.value for key, score in score_set(one, whole, 0).items() if key.startswith("r_")}
        for name, one in (("made", answers), ("real", first))
    }


def figures(told: dict[str, Any]) -> list[str]:
    """A row's cells: of every set what does all, single facts, R@3; of a data set R@1 and R@3, its own beside them."""
    if "sets" not in told:
        return [f"{told[name]['r_precision_1']:.2f}, {told[name]['r_precision_3']:.2f}" for name in ("made", "real")]
    cells = []
    for name in SETS:
        found = told["sets"][name]
        cell = f"{found['adherence']['share']:.0%} ({found['adherence']['facts']:.0%})"
        if "scores" in found:
            cell += f" {found['scores']['r_precision_3']['value']:.2f}"
        cells.append(cell)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--evaluator", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    evaluator = load_evaluator(args.evaluator)
    if args.data is None:
        clips, real = DescribedClips([(args.clips, DATA_SEED, False)]), []
    else:
        clips = open_motion_set(args.data, ("train",), captions=args.captions)
        real = list(open_motion_set(args.data, ("test",), captions=args.captions))
    asked = GeneratorBenchConfig(SETS, args.prompts, 2, seed=PROMPT_SEED, speed=False)
    with fixed_threads(1):
        trainer = Trainer(clips)
        for seed, kind in product(args.seeds, KINDS):
            llm = trainer.train(kind, seed, args.steps, args.out / f"{kind}{seed}")
            kept = args.out / f"{kind}{seed}" / "figures.json"
            if not kept.exists():
                found = asked_of_clips(llm, evaluator, real) if real else bench_generator(llm, evaluator, asked, quiet)
                write_json(kept, found)
            print(f"| {kind} | {seed} | {' | '.join(figures(json.loads(kept.read_text())))} |", flush=True)


def quiet(label: str, done: int, total: int) -> None:
    """Watches nothing."""


if __name__ == "__main__":
    main()
