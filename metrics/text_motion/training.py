"""Training of the evaluator: a contrast over a batch (InfoNCE), with motions that are wrong in one known way.

In a batch every caption is to be nearest to its own motion and every motion to its own caption. Beside the other
motions each caption is shown its own motion mirrored, reversed, twice as fast or frozen, where it names what that
changes (`changes.wrong_changes`). A motion that a caption fits as well (`captions.Meaning`) is no counter-example: such
pairs are left out of the contrast. Foot slide, float, drift and jitter of a generator's size are put on half of the
motions: they are for the physics metrics, and the evaluator is to see past them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.cache_folder import cache_folder
from morphloop.base.random_streams import own_streams
from morphloop.base.still_valid import hash_json
from morphloop.base.threads import fixed_threads
from morphloop.base.training_run import OnStop, TrainingRun, no_stop
from morphloop.language import EncodedTexts, TextEncoder
from morphloop.motion import Clip

from .captions import Meaning, meaning, names
from .changes import CHANGES, wrong_changes
from .config import EVALUATOR_BUDGET, EvaluatorConfig
from .model import TextMotionModel
from .motion_input import MOTION_FPS, SIZE, motion_features, motion_joints
from .padding import padded

CODE = ("language", "metrics/text_motion", "motion")
"""What a training's result rests on."""
LENGTH_GROUPS = 3
"""Parts of a batch that go through the model one after the other."""
TEXTS_TOGETHER = 512
"""Captions of like length that the text encoder reads together before the training begins."""
SPOILT_COPIES = 2
"""Copies of each motion with defects, beside the clean one."""
NOTHING = np.zeros((0, SIZE), np.float16)
"""Features of no frame."""
SPOILT_SHARE = 0.5
"""Share of the motions of a batch that have defects."""


@dataclass(frozen=True)
class Example:
    """A captioned motion as the training sees it. seen: features (T, SIZE) in half precision, the clean ones first,
    then with defects; changed: by the name of the change; wrong: of each caption, the changes that make the motion
    wrong."""

    texts: tuple[str, ...]
    meaning: Meaning
    seen: tuple[np.ndarray, ...]
    changed: dict[str, np.ndarray]
    wrong: tuple[tuple[str, ...], ...]


def spoilt(joints: np.ndarray, rng: np.random.Generator, keep_pace: bool) -> np.ndarray:
    """Joints (T, 22, 3) with slide, drift, float and jitter of a generator's size. keep_pace: leave the root's
    speed."""
    time = np.arange(len(joints))[:, None] / MOTION_FPS
    flat = joints[:, :1] * [1.0, 1.0, 0.0]
    scale = 1.0 if keep_pace else rng.uniform(0.75, 1.3)
    way, speed = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, 0.15)
    drift = time * speed * np.array([[np.cos(way), np.sin(way), 0.0]]) + [0.0, 0.0, rng.uniform(-0.05, 0.05)]
    jitter = rng.uniform(0.0, 0.006)
    return joints + (scale - 1.0) * (flat - flat[:1]) + drift[:, None] + jitter * rng.standard_normal(joints.shape)


def make_example(clip: Clip, seed: int) -> Example:
    """What the training sees of a clip. MotionError names one without a caption."""
    if not clip.texts:
        raise MotionError(f"{clip.name}: has no caption, expected at least one text")
    joints = motion_joints(clip)
    keep_pace = any("speed" in names(text) for text in clip.texts)
    rng = np.random.default_rng([seed, int(clip.id, 16)])
    copies = (joints, *(spoilt(joints, rng, keep_pace) for _ in range(SPOILT_COPIES)))
    wrong = tuple(tuple(wrong_changes(text, joints)) for text in clip.texts)
    needed = sorted({change for changes in wrong for change in changes})
    changed = {change: motion_features(CHANGES[change](joints)).astype(np.float16) for change in needed}
    seen = tuple(motion_features(copy).astype(np.float16) for copy in copies)
    return Example(clip.texts, meaning(clip), seen, changed, wrong)


def kept_on_disk(examples: Iterable[Example]) -> list[Example]:
    """The examples with their features in a file of the cache, so that memory holds one at a time as they are made and
    later what is looked at. The file has no name and goes with the process. MotionError where it cannot be written."""
    folder = cache_folder("evaluator")
    bare: list[Example] = []
    frames: list[int] = []
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        except OSError as error:
            raise MotionError(f"{folder}: cannot write here ({error.strerror}), set MORPHLOOP_CACHE") from None
        for example in examples:
            for rows in (*example.seen, *example.changed.values()):
                stream.write(rows.tobytes())
                frames.append(len(rows))
            bare.append(replace(example, seen=(), changed=dict.fromkeys(example.changed, NOTHING)))
        if not bare:
            return []
        stream.flush()
        mapped = np.asarray(np.memmap(stream, np.float16, "r")).reshape(-1, SIZE)
    parts = iter(np.split(mapped, np.cumsum(frames)[:-1]))
    return [
        replace(one, seen=tuple(islice(parts, 1 + SPOILT_COPIES)), changed={name: next(parts) for name in one.changed})
        for one in bare
    ]


def mean_and_std(features: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(SIZE,) over all frames in double precision, to the last bit what numpy gives of all at once: it adds row to row
    too."""
    frames = sum(map(len, features))

    def mean_of(rows_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        total = np.zeros(SIZE)
        for one in features:
            total = np.concatenate([total[None], rows_of(one.astype(np.float64))]).sum(axis=0)
        return total / frames

    mean = mean_of(lambda rows: rows)
    return mean, np.sqrt(mean_of(lambda rows: np.square(rows - mean)))


@dataclass(frozen=True)
class Batch:
    """Motions with a caption each. seen: features of B motions; texts: (B,); fits: (B, B) whether caption i fits motion
    j, true on the diagonal; changed: features of motions that are wrong for a caption; of: which caption, of B."""

    seen: list[np.ndarray]
    texts: list[str]
    fits: np.ndarray
    changed: list[np.ndarray]
    of: list[int]


def draw_batch(
    examples: Sequence[Example], batch: int, rng: np.random.Generator, reversed_order: bool = False
) -> Batch:
    """`batch` examples, or all where there are fewer, each with a random caption and one of its wrong changes.

    reversed_order: show a caption that names an order its motion reversed as well.
    """
    drawn = [examples[index] for index in rng.permutation(len(examples))[:batch]]
    said = [int(rng.integers(len(example.texts))) for example in drawn]
    fits = np.array([[a.meaning.fits(place, b.meaning) for b in drawn] for a, place in zip(drawn, said, strict=True)])
    seen = [
        example.seen[int(rng.integers(1, len(example.seen))) if rng.random() < SPOILT_SHARE else 0] for example in drawn
    ]
    changed, of = [], []
    for number, (example, place) in enumerate(zip(drawn, said, strict=True)):
        if wrong := example.wrong[place]:
            shown = {wrong[int(rng.integers(len(wrong)))]}
            if reversed_order and "order" in names(example.texts[place]):
                shown.add("reversed")
            changed += [example.changed[change] for change in sorted(shown)]
            of += [number] * len(shown)
    texts = [example.texts[place] for example, place in zip(drawn, said, strict=True)]
    return Batch(seen, texts, fits | np.eye(len(drawn), dtype=bool), changed, of)


def embed_by_length(model: TextMotionModel, features: Sequence[np.ndarray]) -> torch.Tensor:
    """(B, embedding) of motions, which go in `LENGTH_GROUPS` of like length, so that less of them is padding."""
    order = np.argsort([len(one) for one in features], kind="stable")
    groups = [group for group in np.array_split(order, LENGTH_GROUPS) if len(group)]
    found = torch.cat([model.embed_motions(*padded([features[index] for index in group])) for group in groups])
    return found[torch.from_numpy(np.argsort(order))]


def contrast(
    texts: torch.Tensor, motions: torch.Tensor, fits: torch.Tensor, changed: torch.Tensor, of: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of captions that look for their motion, and of motions that look for their caption, nats.

    texts: (B, D) embeddings times the inverse temperature; motions: (B, D) embeddings; fits: (B, B) pairs that
    are left out, but for the diagonal; changed: (C, D) wrong motions, each shown to caption `of` (C,) alone.
    """
    count = len(texts)
    logits = (texts @ motions.T).masked_fill(fits & ~torch.eye(count, dtype=torch.bool), -torch.inf)
    wrong = torch.full((count, 1), -torch.inf)
    if len(changed):
        wrong = wrong.index_put((of, torch.zeros_like(of)), (texts[of] * changed).sum(-1))
    right = torch.arange(count)
    return F.cross_entropy(torch.cat([logits, wrong], dim=1), right), F.cross_entropy(logits.T, right)


@own_streams()
@fixed_threads()
def train_evaluator(
    clips: Iterable[Clip],
    encoder: TextEncoder,
    config: EvaluatorConfig | None = None,
    budget: Budget = EVALUATOR_BUDGET,
    checkpoint: Path | None = None,
    on_stop: OnStop = no_stop,
) -> TextMotionModel:
    """A model trained on captioned clips; an existing checkpoint is gone on from. MotionError for fewer than two clips.

    clips: asked for once, one after another, and none is kept; on_stop: told if the budget's minutes cut it short.
    """
    config = config or EvaluatorConfig()
    if budget.batch < 2:
        raise MotionError(f"training: batches of {budget.batch}, expected two or more")
    told: list[list[object]] = []

    def made_one_by_one() -> Iterator[Example]:
        for clip in clips:
            told.append([clip.id, clip.texts])
            yield make_example(clip, budget.seed)

    examples = kept_on_disk(made_one_by_one())
    if len(examples) < 2:
        raise MotionError(f"training: {len(examples)} clips, expected two or more")
    encoded = EncodedTexts(encoder)
    texts = sorted({text for example in examples for text in example.texts}, key=lambda text: (len(text), text))
    for start in range(0, len(texts), TEXTS_TOGETHER):
        encoded.encode(texts[start : start + TEXTS_TOGETHER])
    torch.manual_seed(budget.seed)
    model = TextMotionModel(config, encoder.width)
    mean, std = mean_and_std([example.seen[0] for example in examples])
    model.set_normaliser(torch.from_numpy(mean), torch.from_numpy(std))
    made = {"clips": told, "model": config.written(), "texts": encoder.hash}
    run = TrainingRun(model.train(), budget, CODE, checkpoint, {name: hash_json(value) for name, value in made.items()})
    for step in run:
        batch = draw_batch(examples, budget.batch, np.random.default_rng([budget.seed, step]), config.reversed_order)
        torch.manual_seed(budget.seed * 1_000_003 + step)  # dropout
        states = encoded.encode(batch.texts)
        captions = model.embed_texts(states.states, states.mask)
        motions = embed_by_length(model, batch.seen + batch.changed)
        scale, count = model.inverse_temperature, len(captions)
        to_motion, to_text = contrast(
            scale * captions,
            motions[:count],
            torch.from_numpy(batch.fits),
            motions[count:],
            torch.tensor(batch.of, dtype=torch.long),
        )
        run.update(to_motion + to_text, to_motion=float(to_motion.detach()), to_text=float(to_text.detach()))
    if run.stopped is not None:
        on_stop(run.stopped)
    return model.eval()
