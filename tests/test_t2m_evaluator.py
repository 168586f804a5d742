"""T2M's published evaluator from a folder: made-up weights in its layout, against its own arithmetic."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from morphloop.base import MotionError
from morphloop.metrics.text_motion.evaluator import load_evaluator
from morphloop.metrics.text_motion.t2m import (
    FEATURES,
    TAGS,
    MovementEncoder,
    Recurrent,
    T2MEvaluator,
    T2MTextEncoder,
)
from morphloop.motion import make_corpus

WORD_LIST = ["sos", "eos", "unk", "a", "person", "walk", "slowly"]


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """Random networks in the sizes of the published ones."""
    torch.manual_seed(0)
    found = {
        "movement_encoder": MovementEncoder(),
        "motion_encoder": Recurrent(512, 1024),
        "text_encoder": T2MTextEncoder(),
    }
    for module in found.values():
        if isinstance(module, Recurrent):
            nn.init.normal_(module.hidden)
    return {name: module.eval() for name, module in found.items()}


@pytest.fixture(scope="module")
def folder(networks: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of T2M's repository, with optimizer state and counters as its training leaves them."""
    folder, rng = tmp_path_factory.mktemp("t2m"), np.random.default_rng(0)
    saved = {name: module.state_dict() for name, module in networks.items()}
    torch.save(
        saved | {"opt_text_encoder": {"state": {}, "param_groups": []}, "epoch": 3, "iter": 7}, folder / "finest.tar"
    )
    np.save(folder / "mean.npy", rng.normal(size=FEATURES))
    np.save(folder / "std.npy", rng.uniform(0.5, 2.0, size=FEATURES))
    np.save(folder / "our_vab_data.npy", rng.normal(size=(len(WORD_LIST), 300)).astype(np.float32))
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(WORD_LIST))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps({word: place for place, word in enumerate(WORD_LIST)}))
    return folder


@torch.no_grad()
def published(networks: dict[str, nn.Module], batch: list[np.ndarray], mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Embeddings as EvaluatorModelWrapper.get_motion_embeddings has them: a batch filled up with zeros to 196."""
    lengths = torch.tensor([len(rows) // 4 * 4 for rows in batch])
    full = torch.zeros(len(batch), 196, FEATURES)
    for row, rows, length in zip(full, batch, lengths, strict=True):
        row[:length] = torch.from_numpy((rows[:length] - mean) / std)
    order = torch.argsort(lengths, descending=True)
    movements = networks["movement_encoder"](full[order][..., :-4])
    found = networks["motion_encoder"](movements, lengths[order] // 4)
    return found[torch.argsort(order)].double().numpy()


def test_motions_are_embedded_as_the_published_code_does(folder: Path, networks: dict[str, nn.Module]) -> None:
    rng = np.random.default_rng(1)
    batch = [rng.normal(size=(frames, FEATURES)) for frames in (41, 60, 196)]
    judge = load_evaluator(folder)
    assert isinstance(judge, T2MEvaluator)
    wanted = published(networks, batch, np.load(folder / "mean.npy"), np.load(folder / "std.npy"))
    assert np.allclose(judge.embed_features(batch), wanted, atol=1e-5)
    assert judge.kind == "t2m-263"


def test_clips_are_embedded_by_their_263_features(folder: Path) -> None:
    judge = T2MEvaluator(folder)
    found = judge.embed_motions(make_corpus(2, 0))
    assert found.shape == (2, 512)
    assert np.isfinite(found).all()


def test_captions_are_read_with_their_tags_alone(folder: Path, networks: dict[str, nn.Module]) -> None:
    judge, text = T2MEvaluator(folder), networks["text_encoder"]
    vectors = np.load(folder / "our_vab_data.npy")
    words = ["sos", "a", "person", "walk", "unk", "eos"]
    tags = ["OTHER", "DET", "NOUN", "Act_VIP", "OTHER", "OTHER"]
    onehot = torch.eye(len(TAGS))[[TAGS.index(tag) for tag in tags]]
    with torch.no_grad():
        inputs = torch.from_numpy(vectors[[WORD_LIST.index(word) for word in words]]) + text.pos_emb(onehot)
        wanted = text(inputs[None], torch.tensor([6])).double().numpy()
    assert np.allclose(judge.embed_texts(["a/DET person/NOUN walk/VERB zigzag/NOUN"]), wanted, atol=1e-5)
    with pytest.raises(MotionError, match="words with their tags"):
        judge.embed_texts(["a person walks"])


def test_a_folder_that_is_not_t2ms_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MotionError):
        T2MEvaluator(tmp_path)
    torch.save({"movement_encoder": {}}, tmp_path / "finest.tar")
    with pytest.raises(MotionError, match=r"finest\.tar"):
        T2MEvaluator(tmp_path)


class Harmful:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/harmed",)


def test_code_in_the_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    torch.save({"movement_encoder": Harmful()}, tmp_path / "finest.tar")
    with pytest.raises(MotionError, match="system"):
        T2MEvaluator(tmp_path)
    assert not Path("/tmp/harmed").exists()
