"""Designs of the generator side by side: same clips, same captions, same updates, one thread.

    python benchmarks/designs.py OUT [--only ids encoder] [--seeds 0 1 2]
    python benchmarks/designs.py OUT --only ids encoder --data DIR --captions FILE --evaluator DIR

Each is a text tower of the shipped size over codes or latents, which are made once a tokenizer. "ids" and "encoder"
are over the tokenizer that ships and differ in who reads the prompt; the others are over tokenizers that go to
OUT/tokenizers, all trained in as many steps. They are put `bench generator`'s questions, of a seed by which nothing was
chosen, and their loss on clips that trained nothing is noted on the way. On a data set, whose evaluator has to be
trained on it (`train evaluator --source.data`), a caption of every test clip is asked for, and R-precision told.

OUT keeps every model and its figures; what is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.base.budget import Budget
from morphloop.base.random_streams import own_streams
from morphloop.base.threads import fixed_threads
from morphloop.base.weights import read_config
from morphloop.generator import (
    LatentLLM,
    LatentMotionModel,
    MotionLLM,
    MotionTokenizer,
    MotionVAE,
    StatesOf,
    TextTokenizer,
    load_tokenizer,
    load_vae,
    make_examples,
    make_latent_examples,
    measure_reconstruction,
    save_tokenizer,
    train_language_model,
    train_latent_model,
    train_tokenizer,
    train_vae,
    tunable,
)
from morphloop.generator.bench.bench import bench_generator
from morphloop.generator.bench.config import GeneratorBenchConfig
from morphloop.generator.config import (
    LANGUAGE_BUDGET,
    TOKENIZER_BUDGET,
    LanguageModelConfig,
    LatentModelConfig,
    TokenizerConfig,
    TowerConfig,
    VaeConfig,
)
from morphloop.generator.dual_tower import build_language_model
from morphloop.generator.latent_training import latent_loss
from morphloop.generator.own import CHUNK
from morphloop.generator.sampling import Sampling
from morphloop.generator.training import Example, Joint, language_loss
from morphloop.language import TextEncoder, load_text_encoder
from morphloop.metrics.text_motion.evaluator import Evaluator, load_evaluator
from morphloop.metrics.text_motion.scoring import embed_set, score_set
from morphloop.motion import Clip, make_described
from morphloop.motion.corpus.described import DescribedClips
from morphloop.motion.datasets import open_motion_set, texts_of

SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "generator"
SETS = ("templates", "paraphrases", "test", "combinations")
DATA_SEED, PROMPT_SEED, HELD_OUT, TOKENIZER_CLIPS = 700, 3000, 200, 1200
BATCH, TEXT_SIZE, TO_TEXT, LOOK_EVERY = 24, 512, 0.2, 100
SAMPLING = Sampling(temperature=0.6, top_p=0.95, guidance=2.0)
TOKENIZERS: dict[str, TokenizerConfig | VaeConfig] = {
    "rvq": TokenizerConfig(streams=3, codebook=256),
    "vq": TokenizerConfig(streams=1, codebook=512),
    "fsq": TokenizerConfig(levels=(8, 5, 5, 5)),
    "vae": VaeConfig(),
}


@dataclass(frozen=True)
class Design:
    """tokens: "shipped" or of TOKENIZERS; encoder: whether prompts are read by MiniLM; joint: weight of the decoder's
    motion error; to_text: share of the examples that are motion to text."""

    tokens: str = "rvq"
    encoder: bool = True
    pattern: str = "delay"
    tower: bool = False
    joint: float = 0.0
    to_text: float = TO_TEXT


DESIGNS = {
    "ids": Design("shipped", encoder=False),
    "encoder": Design("shipped"),
    "rvq": Design(),
    "vq": Design("vq"),
    "fsq": Design("fsq"),
    "parallel": Design(pattern="parallel"),
    "flatten": Design(pattern="flatten"),
    "dual": Design(tower=True),
    "vae": Design("vae", tower=True),
    "joint": Design(joint=0.2),
    "one task": Design(to_text=0.0),
}


class Workshop:
    """What the designs share, each made when it is first asked for, for captioned clips; `home` keeps tokenizers."""

    def __init__(self, clips: Sequence[Clip], tokenizer_budget: Budget, home: Path) -> None:
        self.clips, self._budget, self._home = clips, tokenizer_budget, home

    @cached_property
    def texts(self) -> TextTokenizer:
        return TextTokenizer.train([caption for texts in texts_of(self.clips) for caption in texts], TEXT_SIZE)

    @cached_property
    def encoder(self) -> TextEncoder:
        return load_text_encoder("shipped")

    @cached_property
    def held_out(self) -> list[Clip]:
        return make_described(HELD_OUT, DATA_SEED, "test")

    @cache  # noqa: B019 - one workshop lives as long as the program
    def tokenizer(self, name: str) -> MotionTokenizer | MotionVAE:
        """The one of a name; where it is trained, the reconstruction of held-out clips goes beside its weights."""
        if name == "shipped":
            return load_tokenizer(SHIPPED)
        folder, config = self._home / name, TOKENIZERS[name]
        if not folder.exists():
            few = list(self.clips[:TOKENIZER_CLIPS])
            if isinstance(config, VaeConfig):
                made = train_vae(few, config, self._budget)
            else:
                made = train_tokenizer(few, config, self._budget)
            told = asdict(measure_reconstruction(made, self.held_out))
            folder.mkdir(parents=True)
            save_tokenizer(folder, made)
            write_json(folder / "reconstruction.json", told)
        print(name, (folder / "reconstruction.json").read_text(), flush=True)
        return load_vae(folder) if isinstance(config, VaeConfig) else load_tokenizer(folder)

    @cache  # noqa: B019
    def examples(self, tokens: str, encoder: bool, held_out: bool = False) -> list[Example]:
        """The clips, or the held-out ones, in the codes of a tokenizer."""
        clips, tokenizer = self.held_out if held_out else self.clips, self.tokenizer(tokens)
        assert isinstance(tokenizer, MotionTokenizer)
        return make_examples(clips, tokenizer, self.texts, StatesOf(self.encoder) if encoder else None)

    def train(self, design: Design, budget: Budget, out: Path) -> MotionLLM | LatentLLM:
        """The generator of a design, or the one that stands in `out` already; its losses on held-out clips and the
        seconds of its training go to `curve.json` there."""
        if out.exists():
            return LatentLLM.load(out) if design.tokens == "vae" else MotionLLM.load(out)
        tokenizer, began = self.tokenizer(design.tokens), time.process_time()
        if isinstance(tokenizer, MotionVAE):
            made, curve = self._over_latents(design, tokenizer, budget)
        else:
            made, curve = self._over_codes(design, tokenizer, budget)
        made.save(out)
        write_json(out / "curve.json", {"loss": curve, "processor_s": time.process_time() - began})
        return made

    def _over_codes(self, design: Design, tokenizer: MotionTokenizer, budget: Budget) -> tuple[MotionLLM, list[float]]:
        codes = (tokenizer.config.streams, tokenizer.config.codebook)
        with own_streams(budget.seed):
            model = build_language_model(self._config(design, codes, design.pattern))
        unseen = self.examples(design.tokens, design.encoder, held_out=True)
        decoder = tunable(tokenizer) if design.joint else tokenizer
        joint = Joint(decoder, list(self.clips), design.joint) if design.joint else None
        with looked_at(lambda: language_loss(model, unseen)) as curve:
            examples = self.examples(design.tokens, design.encoder)
            train_language_model(examples, model.config, budget, design.to_text, model=model, joint=joint)
        return MotionLLM(self.texts, decoder, model, SAMPLING, encoder=self._reads(design)), curve

    def _over_latents(self, design: Design, vae: MotionVAE, budget: Budget) -> tuple[LatentLLM, list[float]]:
        towers = self._config(design, (1, 1), "parallel")
        config = LatentModelConfig(towers, vae.config.latents, vae.config.latent_size)
        with own_streams(budget.seed):
            model = LatentMotionModel(config)
        read = StatesOf(self.encoder) if design.encoder else None
        seen, unseen = (make_latent_examples(clips, vae, self.texts, read) for clips in (self.clips, self.held_out))
        with looked_at(lambda: latent_loss(model, unseen)) as curve:
            train_latent_model(seen, config, budget, design.to_text, model=model)
        return LatentLLM(self.texts, vae, model, SAMPLING, encoder=self._reads(design)), curve

    def _reads(self, design: Design) -> TextEncoder | None:
        return self.encoder if design.encoder else None

    def _config(self, design: Design, codes: tuple[int, int], pattern: str) -> LanguageModelConfig:
        size = read_config(SHIPPED / "config.json")["language_model"]["backbone"]
        config = LanguageModelConfig(self.texts.size, *codes, pattern, size)
        encoder = self._reads(design)
        if encoder is not None:
            named = {"text_encoder": "shipped", "text_encoder_hash": encoder.hash, "text_width": encoder.width}
            config = replace(config, **named)
        return replace(config, tower=TowerConfig(size["hidden_size"])) if design.tower else config


@contextmanager
def looked_at(loss: Callable[[], float]) -> Iterator[list[float]]:
    """Notes a loss whenever the training within logs a line, which it does every `LOOK_EVERY` steps."""
    noted: list[float] = []

    class Look(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            noted.append(loss())

    log, look = logging.getLogger("morphloop.training"), Look()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(look)
    try:
        yield noted
    finally:
        log.removeHandler(look)
        log.setLevel(level)


def asked_of_clips(llm: MotionLLM | LatentLLM, evaluator: Evaluator, real: Sequence[Clip]) -> dict[str, Any]:
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
    """A row's cells: of every set what does all, single facts, R@3, FID and slide; of a data set R@1 and R@3, and those
    of its own motion."""
    if "sets" not in told:
        return [
            f"{number(told[one]['r_precision_1'])}, {number(told[one]['r_precision_3'])}" for one in ("made", "real")
        ]
    cells = []
    for name in SETS:
        found = told["sets"][name]
        cell = f"{found['adherence']['share']:.0%} ({found['adherence']['facts']:.0%})"
        if "scores" in found:
            cell += "".join(f" {number(found['scores'][score]['value'])}" for score in ("r_precision_3", "fid"))
        cells.append(f"{cell} {number(found['physics']['slide_mean_mm_s'])}")
    return cells


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tokenizer-steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--speed", action="store_true", help="time the sampling as well")
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
    asked = GeneratorBenchConfig(SETS, args.prompts, 1, seed=PROMPT_SEED, speed=args.speed)
    budget = replace(LANGUAGE_BUDGET, steps=args.steps, batch=BATCH, log_every=LOOK_EVERY)
    with fixed_threads(1):
        shop = Workshop(clips, replace(TOKENIZER_BUDGET, steps=args.tokenizer_steps), args.out / "tokenizers")
        for seed, name in product(args.seeds, args.only):
            home = args.out / f"{name}{seed}"
            llm = shop.train(DESIGNS[name], replace(budget, seed=seed), home)
            kept = home / "figures.json"
            if not kept.exists():
                found = asked_of_clips(llm, evaluator, real) if real else bench_generator(llm, evaluator, asked, quiet)
                write_json(kept, found)
            print(f"| {name} | {seed} | {' | '.join(figures(json.loads(kept.read_text())))} |", flush=True)


def quiet(label: str, done: int, total: int) -> None:
    """Watches nothing."""


if __name__ == "__main__":
    main()
