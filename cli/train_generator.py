"""`morphloop train tokenizer` and `morphloop train generator`."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes

from morphloop.base import MotionError, write_json
from morphloop.base.budget import Budget
from morphloop.base.curves import curves_to_wandb
from morphloop.base.threads import THREADS, fixed_threads
from morphloop.generator.config import (
    LANGUAGE_BUDGET,
    MAX_WEIGHT,
    SHARES,
    TEXT_SIZE,
    TO_TEXT,
    TOKENIZER_BUDGET,
    BackboneSize,
    DiffusionConfig,
    LanguageModelConfig,
    LatentModelConfig,
    TokenizerConfig,
    TowerConfig,
    VaeConfig,
)
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig

from .config import resolved
from .console import writable_folder
from .data_sets import data_exit_code, open_data_set, told_of

if TYPE_CHECKING:
    from morphloop.generator import MotionTokenizer, MotionVAE, Sampling, TextTokenizer
    from morphloop.language import TextEncoder
    from morphloop.motion import Clip

TRAINED = "train_generator.json"
"""Written last."""
HELD_OUT_SEED = 1000
"""Of the clips of the corpus's test split that reconstruction is reported on."""


@dataclass(frozen=True)
class TrainingData:
    """What to train on: a data set (docs/data_sets.md), or else the built-in corpus."""

    data: Path | None = None
    """Folder of motion files with captions, or HumanML3D as published; without it a built-in corpus is made."""
    split: tuple[Literal["train", "val"], ...] = ("train",)
    """Of the data set; test motions never train."""
    captions: Path | None = None
    """Table of captions (JSON lines) that lies elsewhere than in the data set."""
    reading: ReadingConfig = AS_FILES_SAY
    """How the data set's files are read."""
    workers: int | None = None
    """Processes that prepare what of the data set the cache has not; if left out one a core."""
    corpus: Literal["plain", "described"] = "described"
    """Built-in corpus: described (composed actions, styles, counts, of up to 10 s, in several grammars) or plain
    (single actions of up to 5 s)."""
    clips: int = 2400
    """Clips of the built-in corpus; few are learnt by heart, what ships had 30,000."""
    spoilt: float = 0.0
    """Share of the corpus that is drawn with a generator's defects, which it then learns."""
    data_seed: int = 0
    """Of the corpus."""


@dataclass(frozen=True)
class TrainTokenizer:
    """Train a motion tokenizer or a VAE and write tokenizer.safetensors, tokenizer.json, train_tokenizer.json and, of
    clips that trained nothing, reconstruction.json: error, foot slide, use of the codebooks."""

    out: Path
    """Folder to write to; a checkpoint in it is gone on from."""
    source: TrainingData = TrainingData()
    """What to train on."""
    model: Annotated[TokenizerConfig, OmitArgPrefixes] = field(default_factory=TokenizerConfig)
    """Sizes of a tokenizer of codes."""
    budget: Annotated[Budget, OmitArgPrefixes] = TOKENIZER_BUDGET
    """How long and how fast to train."""
    threads: int = THREADS
    """Threads of torch and BLAS; another number gives other bytes. A large backbone wants more than one."""
    wandb: bool = False
    """Tell Weights & Biases too, if the package wandb is installed; it is never needed."""
    held_out: int = 100
    """Clips to report reconstruction of: of the corpus's test split, or at most a tenth of the folder, whose others
    then train; 0 for no report."""
    start: Path | None = None
    """Folder of a tokenizer of the same sizes to start from in place of random weights."""
    kind: Literal["codes", "vae"] = "codes"
    """What a clip becomes: streams of codes, or one or several latent vectors of a VAE."""
    vae: VaeConfig = field(default_factory=VaeConfig)
    """Sizes of a VAE."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        with fixed_threads(self.threads), curves_to_wandb(self.wandb, self.out, resolved(self)):
            return self._run()

    def _run(self) -> int:
        from morphloop.generator import (
            load_tokenizer,
            measure_reconstruction,
            save_tokenizer,
            train_tokenizer,
            train_vae,
        )

        self.check()
        out = writable_folder(self.out)
        log_to_stderr()
        start = None if self.start is None else load_tokenizer(self.start)
        clips, held_out = hold_out(self.source, training_clips(self.source, captioned=False), self.held_out)
        checkpoint = out / "tokenizer.checkpoint.safetensors"
        stopped = Stopped()
        if self.kind == "vae":
            made = train_vae(clips, self.vae, self.budget, checkpoint=checkpoint, on_stop=stopped)
        else:
            made = train_tokenizer(clips, self.model, self.budget, checkpoint=checkpoint, start=start, on_stop=stopped)
        save_tokenizer(out, made)
        write_json(out / "train_tokenizer.json", resolved(self) | stopped.told | told_of(clips))
        if held_out:
            report = measure_reconstruction(made, held_out)
            write_json(out / "reconstruction.json", asdict(report) | {"slide_added_mm_s": report.slide_added_mm_s})
            print("\n".join(report.lines()))
        checkpoint.unlink(missing_ok=True)
        return data_exit_code(clips)

    def check(self) -> None:
        """MotionError for options that do not go together."""
        if self.kind == "vae" and self.start is not None:
            raise MotionError("--start: a VAE starts from random weights, leave it out")


@dataclass(frozen=True)
class TrainGenerator:
    """Train the text tokenizer and the language model on a motion tokenizer's codes or a VAE's latents; write a whole
    generator."""

    out: Path
    """Folder to write the generator to; a checkpoint in it is gone on from."""
    tokenizer: Path | None = None
    """Folder that `morphloop train tokenizer` wrote; with a VAE a dual tower with a diffusion head is trained."""
    preset: str | None = None
    """Published design to train stage by stage, tokenizer included: m3gpt, motiongpt3, motionverse, or a file like
    theirs. Beside it data, threads and, if it is there already, the tokenizer are yours to name."""
    start: Path | None = None
    """Folder of a generator to go on from, whose parts and sizes then count; a --tokenizer beside it takes the place of
    its own, and the new codes begin as those that stood in their place."""
    source: TrainingData = TrainingData()
    """What to train on."""
    backbone: str | None = None
    """Causal model to start from: a fetched one (smollm2), a folder in the layout of `transformers`, or a hub name;
    without it a small Llama is built."""
    adapt: Literal["full", "lora", "frozen"] = "full"
    """How much of a backbone is trained: all, low-rank adapters (needs peft), or only what is new beside it."""
    size: Annotated[BackboneSize, OmitArgPrefixes] = field(default_factory=BackboneSize)
    """Of that small Llama."""
    dual_tower: bool = False
    """Motion goes through layers of its own beside those of the backbone or of the small Llama, which are text's."""
    tower: TowerConfig = field(default_factory=TowerConfig)
    """Of the motion tower."""
    head: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Of the diffusion head, where motion is latents."""
    text_encoder: str | None = None
    """Frozen model that reads the prompts: shipped (MiniLM, 8 bits), minilm, smollm2 or a folder; none reads ids."""
    text_size: int = TEXT_SIZE
    """Ids of the text tokenizer, where no backbone brings its own."""
    pattern: str = LanguageModelConfig.pattern
    """Codebook interleaving: delay, parallel or flatten."""
    to_text: float = TO_TEXT
    """Share of the examples that are motion to text."""
    between: float = LanguageModelConfig.between
    """Share of the examples that ask for motion over codes whose ending is shown, so that motion in between two clips
    can be asked for; 0 with --start keeps that generator's share."""
    editing: float = LanguageModelConfig.editing
    """Share of the examples that are a motion of the built-in corpus, an instruction and what it makes of it, so that
    motion can be edited; 0 with --start keeps that generator's share."""
    instructed: float = LanguageModelConfig.instructed
    """Share of the other examples that are told in words what is asked for: to go on, to fill in what lies between, to
    describe; the generator then asks itself so. 0 with --start keeps that generator's share."""
    motion_weight: float = 0.0
    """Weight of the decoder's motion error beside the tokens' likelihood, the decoder of codes being trained as well; 0
    leaves it as it is."""
    budget: Annotated[Budget, OmitArgPrefixes] = LANGUAGE_BUDGET
    """How long and how fast to train; a pretrained backbone wants a learning rate of about 1e-4."""
    threads: int = THREADS
    """Threads of torch and BLAS; another number gives other bytes. A large backbone wants more than one."""
    wandb: bool = False
    """Tell Weights & Biases too, if the package wandb is installed; it is never needed."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        own = self.wandb and self.preset is None  # each stage of a preset has curves of its own
        with fixed_threads(self.threads), curves_to_wandb(own, self.out, resolved(self)):
            return self._run()

    def _run(self) -> int:
        from morphloop.generator import (
            Joint,
            LatentLLM,
            MotionLLM,
            MotionVAE,
            StatesOf,
            instructions_for,
            load_generator,
            load_tokenizer,
            make_edit_examples,
            make_examples,
            make_latent_examples,
            pairs_for,
            take_over_codes,
            train_language_model,
            train_latent_model,
            tunable,
        )
        from morphloop.language import find_pretrained
        from morphloop.language.fetched import named_from_anywhere
        from morphloop.motion.datasets import MotionSet

        if self.preset is not None:
            from .preset_stages import train_preset

            return train_preset(self, self.preset)
        self.check()
        backbone = None if self.backbone is None else find_pretrained(self.backbone, "backbone")
        begun = None if self.start is None else load_generator(self.start)
        if not isinstance(begun, MotionLLM | LatentLLM | None):
            raise MotionError(f"--start: {self.start} holds no weights of our own to go on from")
        if self.tokenizer is not None and not isinstance(begun, MotionLLM | None):
            raise MotionError(f"--start: {self.start} is a model over latents, leave --tokenizer out")
        out = writable_folder(self.out)
        log_to_stderr()
        if begun is None:
            clips, parts = self._new(backbone)
        else:
            clips = training_clips(self.source)
            shares = {name: getattr(self, name) for name in SHARES if getattr(self, name)}
            if isinstance(begun, MotionLLM):
                begun.model.config = replace(begun.model.config, **shares)
            tokenizer = begun.tokenizer
            if self.tokenizer is not None and isinstance(begun, MotionLLM):
                tokenizer = load_tokenizer(self.tokenizer)
                take_over_codes(begun.model, begun.tokenizer, tokenizer, clips)
            parts = Parts(begun.text, tokenizer, begun.model.config, begun.model, begun.encoder, begun.sampling)
        read = None if parts.encoder is None else StatesOf(parts.encoder)
        checkpoint, stopped = out / "lm.checkpoint.safetensors", Stopped()
        told = (self.budget, self.to_text, checkpoint, parts.model, stopped, self.adapt)
        if isinstance(parts.tokenizer, MotionVAE):
            wrong = [name for name in ("motion_weight", *SHARES) if getattr(self, name)]
            if wrong:
                flags = ", ".join(f"--{name.replace('_', '-')} {getattr(self, name):g}" for name in wrong)
                raise MotionError(f"{flags}: for codes alone, expected 0 of a VAE")
            latents = make_latent_examples(clips, parts.tokenizer, parts.text, read)
            model = train_latent_model(latents, parts.config, *told)
            LatentLLM(parts.text, parts.tokenizer, model, parts.sampling, encoder=parts.encoder).save(out)
        else:
            tokenizer = tunable(parts.tokenizer) if self.motion_weight else parts.tokenizer
            joint = None
            if self.motion_weight:
                clips = clips if isinstance(clips, MotionSet) else list(clips)  # every step looks at its clips again
                joint = Joint(tokenizer, clips, self.motion_weight)
            examples = make_examples(clips, tokenizer, parts.text, read)
            if parts.config.editing:
                pairs = pairs_for(parts.config.editing, len(examples), self.source.data_seed)
                examples += make_edit_examples(pairs, tokenizer, parts.text, read)
            words = instructions_for(parts.config.instructed, read or parts.text)
            model = train_language_model(examples, parts.config, *told, joint, words)
            MotionLLM(parts.text, tokenizer, model, parts.sampling, encoder=parts.encoder).save(out)
        named = None if self.backbone is None else named_from_anywhere(self.backbone)
        write_json(out / TRAINED, resolved(self, backbone=named) | stopped.told | told_of(clips))
        checkpoint.unlink(missing_ok=True)
        return data_exit_code(clips)

    def check(self) -> None:
        """MotionError for options that do not go together."""
        from morphloop.generator import PATTERNS

        if self.pattern not in PATTERNS:
            raise MotionError(f"--pattern: '{self.pattern}' is unknown, expected one of {', '.join(PATTERNS)}")
        if self.tokenizer is None and self.start is None:
            raise MotionError("train generator: expected --tokenizer, --start, both or --preset")
        if self.adapt != "full" and self.backbone is None and self.start is None:
            raise MotionError(f"--adapt {self.adapt}: without --backbone there are no weights to keep, expected full")
        for name in ("between", "instructed"):
            if not 0 <= getattr(self, name) <= 1:
                raise MotionError(f"--{name} {getattr(self, name)}: expected 0 to 1")
        if not 0 <= self.editing < 1:
            raise MotionError(f"--editing {self.editing}: expected 0 or more and under 1")
        if not 0 <= self.to_text <= 1 or not 0 <= self.motion_weight <= MAX_WEIGHT:
            raise MotionError(
                f"--to-text {self.to_text}, --motion-weight {self.motion_weight}: expected 0 to 1, 0 to {MAX_WEIGHT:g}"
            )

    def _new(self, backbone: Path | None) -> tuple[Sequence[Clip], Parts]:
        """The clips, and the parts of a generator that is trained from the beginning."""
        from morphloop.base.random_streams import own_streams
        from morphloop.generator import (
            DualTowerModel,
            LatentMotionModel,
            MotionLanguageModel,
            MotionTokenizer,
            TextTokenizer,
            holds_vae,
            load_tokenizer,
            load_vae,
            pretrained_backbone,
            sample_instructions,
        )
        from morphloop.language import load_text_encoder
        from morphloop.motion.datasets import texts_of

        assert self.tokenizer is not None
        tokenizer = (load_vae if holds_vae(self.tokenizer) else load_tokenizer)(self.tokenizer)
        clips = training_clips(self.source)
        if backbone is None:
            captions = [caption for texts in texts_of(clips) for caption in texts]
            asked = sample_instructions(self.source.data_seed) if self.editing else []
            text = TextTokenizer.train([*captions, *asked], self.text_size)
        else:
            text = TextTokenizer.load(backbone / "tokenizer.json")
        of_codes = isinstance(tokenizer, MotionTokenizer)
        codes = (tokenizer.config.streams, tokenizer.config.codebook) if of_codes else (1, 1)  # where a latent stands
        pattern = self.pattern if of_codes else "parallel"
        shares: dict[str, Any] = {name: getattr(self, name) if of_codes else 0.0 for name in SHARES}
        config = LanguageModelConfig(text.size, *codes, pattern, self.size.backbone, **shares)
        encoder = None
        if self.text_encoder is not None:
            folder = Path(self.text_encoder)
            name = str(folder.resolve()) if folder.is_dir() else self.text_encoder
            encoder = load_text_encoder(name)
            config = replace(config, text_encoder=name, text_encoder_hash=encoder.hash, text_width=encoder.width)
        if self.dual_tower or not of_codes:
            config = replace(config, tower=self.tower)
        kind, model = MotionLanguageModel if config.tower is None else DualTowerModel, None
        # what is new beside a backbone does not depend on what was drawn before, so that a killed run finds it again
        with own_streams(None if config.tower is None else self.budget.seed):
            if backbone is not None:
                model = kind.from_backbone(config, pretrained_backbone(backbone))
                config = model.config
            if of_codes:
                return clips, Parts(text, tokenizer, config, model, encoder)
            latent = LatentModelConfig(config, tokenizer.config.latents, tokenizer.config.latent_size, self.head)
            whole = LatentMotionModel(latent, model) if isinstance(model, DualTowerModel) else None
            return clips, Parts(text, tokenizer, latent, whole, encoder)


@dataclass(frozen=True)
class Parts:
    """What a generator is made of, its language model trained already or to be made; config: the language model's."""

    text: TextTokenizer
    tokenizer: MotionTokenizer | MotionVAE
    config: Any
    model: Any
    encoder: TextEncoder | None
    sampling: Sampling | None = None


def training_clips(source: TrainingData, captioned: bool = True) -> Sequence[Clip]:
    """Clips of a data set, those with captions alone if `captioned`, or of the corpus's training split.

    MotionError where there is none.
    """
    if source.data is not None:
        return open_data_set(source.data, source.split, source.captions, source.reading, source.workers, captioned)
    if not 0 <= source.spoilt <= 1 or source.clips < 1:
        raise MotionError(f"corpus: {source.clips} clips with share {source.spoilt}, expected 1 or more and 0 to 1")
    spoilt = round(source.clips * source.spoilt)
    sets = [(source.clips - spoilt, source.data_seed, False), (spoilt, source.data_seed + 1, True)]
    return corpus_clips(source, sets, "train")


def corpus_clips(source: TrainingData, sets: Sequence[tuple[int, int, bool]], split: str) -> Sequence[Clip]:
    """Clips of the corpus that is named: sets of (count, seed, with defects)."""
    from morphloop.motion import make_corpus
    from morphloop.motion.corpus.described import DescribedClips

    if source.corpus == "described":
        return DescribedClips(sets, split)
    return [clip for count, seed, defects in sets for clip in make_corpus(count, seed, split, defects)]


def hold_out(source: TrainingData, clips: Sequence[Clip], count: int) -> tuple[Sequence[Clip], list[Clip]]:
    """Clips to train on, and others to report on: of the corpus's test split, or drawn from the data set's own.

    Stretches of one motion and its mirror image stay together, so that nothing that is reported on trained.
    """
    import numpy as np

    from morphloop.motion.datasets import MotionSet

    if not isinstance(clips, MotionSet):
        return clips, list(corpus_clips(source, [(count, HELD_OUT_SEED, False)], "test"))
    most = min(count, len(clips) // 10)
    origin = [sample.name.split("@")[0].removeprefix("M") for sample in clips.samples]
    counts = Counter(origin)
    names = sorted(counts)
    order = [names[k] for k in np.random.default_rng(source.data_seed).permutation(len(names))]
    sizes = np.cumsum([counts[name] for name in order])
    kept = set(order[: int((sizes <= most).sum())])
    parts = ([k for k, name in enumerate(origin) if (name in kept) == own] for own in (False, True))
    trained, held_out = parts
    samples = [clips.samples[k] for k in trained]
    return MotionSet(samples, clips.failed), [clips[k] for k in held_out]


class Stopped:
    """What a time limit cut short: said on stderr, and kept for the JSON file."""

    def __init__(self) -> None:
        self.told: dict[str, object] = {}

    def __call__(self, why: str) -> None:
        self.told = {"stopped": why}
        print(f"morphloop: training: {why}", file=sys.stderr)


def log_to_stderr() -> None:
    """Progress of a training, a line each, on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
