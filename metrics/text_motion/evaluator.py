"""Evaluators: who embeds motions and captions, and whose scale a score is on.

FIDs, R-precisions and distances of two evaluators do not compare. Each is known by its kind, which names the scale, and
by a hash of all that decides an embedding; every result carries both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from morphloop.base import MotionError, write_json
from morphloop.base.threads import fixed_threads
from morphloop.base.typed import from_dict
from morphloop.base.weights import content_hash, load_weights, read_config, save_tensors
from morphloop.language import EncodedTexts, TextEncoder, load_text_encoder
from morphloop.motion import Clip, JointTrack

from .config import EvaluatorConfig
from .model import TextMotionModel
from .motion_input import motion_features, motion_joints
from .padding import padded
from .t2m import WEIGHTS as T2M_WEIGHTS
from .t2m import T2MEvaluator

KIND = "morphloop"
"""Of the evaluators that are trained here."""
SCALES = {
    KIND: "morphloop text-motion evaluator",
    "t2m-263": "T2M evaluator on HumanML3D's 263 features (Guo et al. 2022)",
    "mardm-67": "MARDM's evaluator on 67 features (Meng et al. 2024)",
    "motionstreamer-272": "MotionStreamer's evaluator on 272 features (Xiao et al. 2025)",
}
"""Kinds of evaluator, each a scale of its own; published FIDs are of the last three."""
CONFIG, WEIGHTS = "config.json", "evaluator.safetensors"
TOGETHER = 64
"""Motions that go through the network at once."""


@runtime_checkable
class Evaluator(Protocol):
    """Embeds motions and captions. kind: of SCALES; hash: of all that decides an embedding; dimensions: of one."""

    kind: str
    hash: str
    dimensions: int

    def embed_motions(self, motions: Sequence[Clip | JointTrack]) -> np.ndarray:
        """(N, dimensions) float64. MotionError names a motion that cannot be brought to the evaluator's joints."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, dimensions) float64. MotionError names a text that cannot be read."""
        ...


class TextMotionEvaluator:
    """The evaluator that is trained here: a network over joints, and the text encoder that it was trained with."""

    kind = KIND

    def __init__(self, model: TextMotionModel, encoder: TextEncoder) -> None:
        self.model, self.dimensions = model.eval(), model.config.embedding
        self._texts = EncodedTexts(encoder)
        self.hash = content_hash([json.dumps(model.config.written()), encoder.hash], model)

    def embed_motions(self, motions: Sequence[Clip | JointTrack]) -> np.ndarray:
        """As `Evaluator.embed_motions`."""
        return self.embed_joints([motion_joints(motion) for motion in motions])

    @fixed_threads()
    @torch.no_grad()
    def embed_joints(self, joints: Sequence[np.ndarray]) -> np.ndarray:
        """(N, dimensions) float64 of joints (T, 22, 3) as `motion_joints` gives them."""
        found = [np.zeros((0, self.dimensions))]
        for start in range(0, len(joints), TOGETHER):
            seen, frames = padded([motion_features(one) for one in joints[start : start + TOGETHER]])
            found.append(self.model.embed_motions(seen, frames).double().numpy())
        return np.concatenate(found)

    @fixed_threads()
    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """As `Evaluator.embed_texts`."""
        if not texts:
            return np.zeros((0, self.dimensions))
        states = self._texts.encode(texts)
        return self.model.embed_texts(states.states, states.mask).double().numpy()


@dataclass(frozen=True)
class Folder:
    """config.json of an evaluator's folder. kind: KIND; text_encoder: name of it, with its hash and width; model:
    sizes."""

    kind: str
    text_encoder: str
    text_encoder_hash: str
    text_width: int
    model: EvaluatorConfig


def save_evaluator(folder: Path, model: TextMotionModel, encoder: TextEncoder) -> None:
    """Write an evaluator's folder: config.json and evaluator.safetensors."""
    save_tensors(folder / WEIGHTS, model.state_dict())
    told = asdict(Folder(KIND, encoder.name, encoder.hash, encoder.width, model.config))
    write_json(folder / CONFIG, told | {"model": model.config.written()})


def load_evaluator(path: Path | None = None) -> Evaluator:
    """The shipped evaluator, that of a folder, or T2M's of a folder with its `finest.tar`. MotionError, one line, if it
    cannot be used."""
    if path is None:
        return shipped_evaluator()
    return T2MEvaluator(path) if (path / T2M_WEIGHTS).exists() else _from_folder(path)


@cache
def shipped_evaluator() -> TextMotionEvaluator:
    """The evaluator that ships, one for all that ask."""
    return _from_folder(Path(str(resources.files("morphloop.assets"))) / "evaluator")


def _from_folder(folder: Path) -> TextMotionEvaluator:
    told = from_dict(Folder, read_config(folder / CONFIG), str(folder / CONFIG))
    if told.kind != KIND:
        raise MotionError(f"{folder / CONFIG}: kind '{told.kind}', expected {KIND}")
    encoder = load_text_encoder(told.text_encoder)
    if encoder.hash != told.text_encoder_hash or encoder.width != told.text_width:
        raise MotionError(
            f"{folder / CONFIG}: trained with the text encoder '{told.text_encoder}' of hash {told.text_encoder_hash}, "
            f"the one here is {encoder.hash}"
        )
    model = load_weights(folder / WEIGHTS, lambda: TextMotionModel(told.model, told.text_width))
    return TextMotionEvaluator(model, encoder)
