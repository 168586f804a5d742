"""The published evaluator of HumanML3D's 263 features, from a user's own copy of its weights.

Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions from Text" (github.com/EricGuo5513/text-to-motion):
`text_mot_match/model/finest.tar` with its three networks, `mean.npy` and `std.npy` of `Comp_v6_KLD01/meta`, and for
captions `our_vab_data.npy`, `our_vab_words.pkl` and `our_vab_idx.pkl` of `glove`, all in one folder. Nothing of these
files is run. Captions are taken with their parts of speech, as the data set has them ("a/DET person/NOUN walk/VERB"):
the tags were made by spaCy and are half of what its text encoder reads, so a caption without them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from morphloop.base import MotionError
from morphloop.base.still_valid import hash_file, hash_json
from morphloop.base.tensors import check_shapes
from morphloop.base.threads import fixed_threads
from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack, to_default, track_to_features
from morphloop.motion.files import read_npy
from morphloop.motion.readers.pickled import read_pickle, read_torch

KIND = "t2m-263"
WEIGHTS, MEAN, STD = "finest.tar", "mean.npy", "std.npy"
VECTORS, WORDS, INDEX = "our_vab_data.npy", "our_vab_words.pkl", "our_vab_idx.pkl"
FEATURES, CONTACTS, UNIT = 263, 4, 4
"""Numbers of a frame, those of contacts behind the others, and frames of a step of the movement encoder."""
LONGEST, MOST_WORDS = 196, 20
"""Frames that a shorter motion is filled up to with zeros, and words of a caption, both as published."""
WORD_SIZE = 300
TAGS = (
    "VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV",
    "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER",
)  # fmt: skip
VIP = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise "
    "wash stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
"""Words with a tag of their own."""
VIP_TAGS = {word: tag for tag, words in VIP.items() for word in words.split()}


class MovementEncoder(nn.Module):
    """Features without contacts (B, T, 259) to movements (B, T / 4, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(FEATURES - CONTACTS, 512, 4, 2, 1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(512, 512, 4, 2, 1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(512, 512)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.out_net(self.main(features.transpose(1, 2)).transpose(1, 2))


class Recurrent(nn.Module):
    """A sequence (B, L, size) to (B, 512) by a recurrent network that reads it both ways."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.input_emb = nn.Linear(size, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 512)
        )
        self.hidden = nn.Parameter(torch.zeros(2, 1, hidden))

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.input_emb(inputs), lengths, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed, self.hidden.repeat(1, len(inputs), 1))
        return self.output_net(torch.cat([last[0], last[1]], dim=-1))


class T2MTextEncoder(Recurrent):
    """Word vectors and tags to (B, 512)."""

    def __init__(self) -> None:
        super().__init__(WORD_SIZE, 512)
        self.pos_emb = nn.Linear(len(TAGS), WORD_SIZE)


class T2MEvaluator:
    """T2M's evaluator of a folder. MotionError, one line, for a file that is missing or is not its layout."""

    kind, dimensions = KIND, 512

    def __init__(self, folder: Path) -> None:
        saved = read_torch(folder / WEIGHTS)
        if not isinstance(saved, dict):
            raise MotionError(f"{folder / WEIGHTS}: no dictionary of networks, expected T2M's text_mot_match")
        self._movement = _loaded(MovementEncoder(), saved, "movement_encoder", folder)
        self._motion = _loaded(Recurrent(512, 1024), saved, "motion_encoder", folder)
        self._text = _loaded(T2MTextEncoder(), saved, "text_encoder", folder)
        self._mean, self._std = (_row(folder / name) for name in (MEAN, STD))
        self._folder, self._words = folder, None
        files = sorted(path for path in folder.iterdir() if path.name in (WEIGHTS, MEAN, STD, VECTORS, WORDS, INDEX))
        self.hash = hash_json([[path.name, hash_file(path)] for path in files])

    def embed_motions(self, motions: Sequence[Clip | JointTrack]) -> np.ndarray:
        """As `Evaluator.embed_motions`; a motion of under 4 frames at 20 fps is refused."""
        return self.embed_features([track_to_features(_track(motion)) for motion in motions])

    @fixed_threads()
    @torch.no_grad()
    def embed_features(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """(N, 512) float64 of rows (T, 263) as `track_to_features` makes them."""
        found = [np.zeros((0, self.dimensions))]
        for rows in features:
            steps = len(rows) // UNIT
            if steps == 0:
                raise MotionError(f"{len(rows)} frames at 20 fps, expected {UNIT} or more for T2M's evaluator")
            full = np.zeros((max(LONGEST, UNIT * steps), FEATURES))
            full[: UNIT * steps] = (rows[: UNIT * steps] - self._mean) / self._std
            movements = self._movement(torch.from_numpy(full[None, :, :-CONTACTS]).float())
            found.append(self._motion(movements[:, :steps], torch.tensor([steps])).double().numpy())
        return np.concatenate(found)

    @fixed_threads()
    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """As `Evaluator.embed_texts`, of captions as "a/DET person/NOUN walk/VERB"."""
        found = [np.zeros((0, self.dimensions))]
        for text in texts:
            vectors, tags = self._vectors(_tagged(text))
            inputs = torch.from_numpy(vectors)[None].float() + self._text.pos_emb(tags[None])
            found.append(self._text(inputs, torch.tensor([len(vectors)])).double().numpy())
        return np.concatenate(found)

    def _vectors(self, words: Sequence[tuple[str, str]]) -> tuple[np.ndarray, torch.Tensor]:
        """Word vectors (L, 300) and tags (L, 15), one-hot, between the marks of begin and end."""
        if self._words is None:
            self._words = _word_vectors(self._folder)
        rows, tags = [], []
        for word, tag in (("sos", "OTHER"), *words[:MOST_WORDS], ("eos", "OTHER")):
            known = word in self._words
            rows.append(self._words[word if known else "unk"])
            tag = VIP_TAGS.get(word, tag) if known else "OTHER"
            tags.append(TAGS.index(tag if tag in TAGS else "OTHER"))
        return np.array(rows), F.one_hot(torch.tensor(tags), len(TAGS)).float()


def _track(motion: Clip | JointTrack) -> JointTrack:
    names = motion.names if isinstance(motion, JointTrack) else motion.skeleton.names
    if not set(HUMANML3D_JOINTS) <= set(names):
        motion = to_default(motion)
        names = motion.skeleton.names
    joints = motion.positions[:, [names.index(name) for name in HUMANML3D_JOINTS]]
    return JointTrack(motion.fps, HUMANML3D_JOINTS, joints, name=motion.name)


def _loaded(module: nn.Module, saved: Mapping[str, Any], name: str, folder: Path) -> Any:
    arrays = saved.get(name)
    if not isinstance(arrays, dict) or not all(isinstance(value, np.ndarray) for value in arrays.values()):
        raise MotionError(f"{folder / WEIGHTS}: no network '{name}', expected T2M's text_mot_match")
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    check_shapes({key: value.shape for key, value in arrays.items()}, expected, folder / WEIGHTS)
    module.load_state_dict({key: torch.from_numpy(np.array(value, np.float32)) for key, value in arrays.items()})
    return module.eval()


def _row(path: Path) -> np.ndarray:
    row = read_npy(path)
    if row.shape != (FEATURES,) or not np.isfinite(row).all():
        raise MotionError(f"{path}: array {row.shape}, expected {FEATURES} numbers")
    return row.astype(float)


def _tagged(text: str) -> list[tuple[str, str]]:
    words = [word.rpartition("/") for word in text.split()]
    if not words or not all(word and mark for word, mark, _ in words):
        raise MotionError("T2M's text encoder reads words with their tags, as a/DET person/NOUN walk/VERB")
    return [(word, tag) for word, _, tag in words]


def _word_vectors(folder: Path) -> dict[str, np.ndarray]:
    for name in (VECTORS, WORDS, INDEX):
        if not (folder / name).is_file():
            raise MotionError(f"{folder}: no {name}, expected GloVe as T2M's repository has it")
    vectors, words, index = read_npy(folder / VECTORS), read_pickle(folder / WORDS), read_pickle(folder / INDEX)
    try:
        found = {word: np.asarray(vectors[index[word]], float) for word in words}
    except (KeyError, IndexError, TypeError):
        raise MotionError(f"{folder / WORDS}: words that {INDEX} or {VECTORS} does not have") from None
    if "unk" not in found or any(row.shape != (WORD_SIZE,) for row in found.values()):
        raise MotionError(f"{folder / VECTORS}: no vectors of {WORD_SIZE} numbers with one for 'unk'")
    return found
