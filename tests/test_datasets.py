"""Data sets for training: captions and splits as they lie, what is broken named, motion prepared once, read lazily."""

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.cli.config import overlay
from morphloop.cli.train_generator import TrainGenerator, TrainingData, TrainTokenizer
from morphloop.generator import train_tokenizer
from morphloop.generator.config import TokenizerConfig
from morphloop.motion import (
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    make_corpus,
    read_motion,
    save_clip,
    to_default,
    track_to_features,
)
from morphloop.motion.datasets import MotionSet, mean_and_std, open_motion_set, prepared
from morphloop.motion.features import FEATURE_FPS, clip_to_features

CLIPS = make_corpus(6, seed=3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a test alone; a set is prepared in its own process unless workers are named."""
    monkeypatch.setattr(os, "cpu_count", lambda: 0)
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def track_of(clip: Clip) -> JointTrack:
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, : len(HUMANML3D_JOINTS)], name=clip.name)


def humanml3d(root: Path, names: dict[str, str], texts: dict[str, str]) -> Path:
    """A folder in HumanML3D's layout: split of each name, captions of each name."""
    for folder in ("new_joint_vecs", "texts"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(names):
        np.save(root / "new_joint_vecs" / f"{name}.npy", track_to_features(track_of(CLIPS[number].slice(0, 60))))
    for split in {*names.values(), "train"}:
        (root / f"{split}.txt").write_text("\n".join(n for n in names if names[n] == split))
    for name, text in texts.items():
        (root / "texts" / f"{name}.txt").write_text(text, encoding="utf-8")
    return root


def reasons(found: MotionSet) -> list[str]:
    return [f"{Path(row['path']).name}: {row['reason']}" for row in found.failed]


def test_humanml3d_as_published(tmp_path: Path) -> None:
    caption = "a person walks#a/DET person/NOUN walk/VERB#0.0#0.0\n"
    root = humanml3d(
        tmp_path / "set",
        {"000001": "train", "M000001": "train", "000002": "val", "000003": "test"},
        {
            "000001": f"{caption}geht nach links 左に歩く#x#nan#nan\n\nand stops#x#0.5#1.5\n",
            "M000001": caption.replace("walks", "walks right"),
            "000002": caption,
            "000003": caption,
        },
    )
    found = open_motion_set(root)
    assert found.failed == []
    assert [clip.name for clip in found] == ["000001", "000001@0.5-1.5", "M000001"]
    assert found.texts == [
        ("a person walks", "geht nach links 左に歩く"),
        ("and stops",),
        ("a person walks right",),
    ]
    whole = to_default(read_motion(root / "new_joint_vecs" / "000001.npy")).resampled(FEATURE_FPS)
    assert np.abs(clip_to_features(found[0]) - clip_to_features(whole)).max() < 1e-4
    stretch = clip_to_features(whole)[15:45]
    assert np.abs(found.features[1] - stretch).max() < 1e-5
    assert found[1].num_frames == 30
    assert [clip.name for clip in open_motion_set(root, ["val", "test"])] == ["000002", "000003"]


def test_rotations_of_humanml3d_are_never_looked_at(tmp_path: Path) -> None:
    root = humanml3d(tmp_path / "set", {"000001": "train"}, {"000001": "walks"})
    before = open_motion_set(root).features[0].copy()
    path = root / "new_joint_vecs" / "000001.npy"
    rows = np.load(path)
    rows[:, 67:193] = np.random.default_rng(0).standard_normal(rows[:, 67:193].shape)
    np.save(path, rows)
    assert np.array_equal(open_motion_set(root).features[0], before)


def test_what_is_broken_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    names = {f"00000{n}": "train" for n in range(1, 6)} | {"000009": "test"}
    root = humanml3d(
        tmp_path / "set",
        {"000001": "train", "000002": "train", "000003": "train", "000004": "train"},
        {
            "000001": "#x#0.0#0.0\nwalks#x#0.0#0.0\nlate#x#9.0#11.0\nbad#x#a#b\nback#x#2.0#1.0",
            "000002": "walks",
            "000004": "",
        },
    )
    (root / "new_joint_vecs" / "000002.npy").write_bytes(b"\x93NUMPY damaged")
    (root / "train.txt").write_text("\n".join([*names, "../000001", "M000009", "000001"]))
    (root / "test.txt").write_text("000009\n")
    found = open_motion_set(root)
    assert [clip.name for clip in found] == ["000001"]
    assert found.texts == [("walks",)]
    told = reasons(found)
    for start in (
        "train.txt: '000009' or its mirror image is in test.txt",
        "train.txt: 'M000009' or its mirror image is in test.txt",
        "train.txt: '../000001' names no motion",
        "000005.npy: no such file",
        "000002.npy: not a readable npy file",
        "000003.npy: has no caption",
        "000004.txt: holds no caption",
        "000001.txt: line 1: its caption is empty",
        "000001.txt: line 4: 'a' to 'b', expected seconds",
        "000001.txt: line 5: from 2 to 1 s",
        "000001.npy: has a caption from 9 to 11 s, the motion ends at",
    ):
        assert sum(line.startswith(start) for line in told) == 1, (start, told)
    assert all("\n" not in line for line in told)


def test_refused_at_once(tmp_path: Path) -> None:
    root = humanml3d(tmp_path / "set", {"000001": "train"}, {"000001": "walks"})
    with pytest.raises(MotionError, match="no split 'val', expected one of train"):
        open_motion_set(root, ["val"])
    (root / "texts" / "000001.txt").unlink()
    (root / "texts").rmdir()
    with pytest.raises(MotionError, match="has no texts/"):
        open_motion_set(root)
    assert len(open_motion_set(root, captioned=False)) == 1
    (root / "train.txt").unlink()
    with pytest.raises(MotionError, match="has no list of a split"):
        open_motion_set(root)
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.bvh").write_text("HIERARCHY nothing")
    with pytest.raises(MotionError, match="no motion of train can be used, such as"):
        open_motion_set(folder)
    with pytest.raises(MotionError, match="it is not split"):
        open_motion_set(folder, ["test"])


def clip_folder(root: Path) -> Path:
    """Clips a to f, a and b in subfolders."""
    for name, clip in zip("abcdef", CLIPS, strict=True):
        save_clip(root / ("one" if name in "ab" else "") / f"{name}.npz", replace(clip, name=name, texts=("own",)))
    return root


def test_captions_beside_clips(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "set")
    (root / "c.txt").write_text("beside")
    (root / "texts").mkdir()
    (root / "texts" / "d.txt").write_text("apart#x#0.0#0.0")
    rows = [
        {"name": "one/a", "captions": ["table", "ein Satz"]},
        {"file": "b.npz", "text": "by its file alone"},
        {"name": "gone", "captions": ["x"]},
        {"name": "e", "captions": ["", "long " * 4000, "kept"]},
    ]
    (root / "captions.jsonl").write_text("\n".join([*map(json.dumps, rows), "{broken", '{"captions": ["x"]}']))
    found = open_motion_set(root)
    assert {clip.name: clip.texts for clip in found} == {
        "a": ("table", "ein Satz"),
        "b": ("by its file alone",),
        "c": ("beside",),
        "d": ("apart",),
        "e": ("kept",),
        "f": ("own",),
    }
    told = reasons(found)
    assert len(told) == 5
    assert told[-1].startswith("captions.jsonl: 'gone' is no motion of")
    assert any("line 4: caption 1 is empty" in line for line in told)
    assert any("line 4: caption 2 has 19999 characters" in line for line in told)
    assert any("line 5 is not JSON" in line for line in told)
    assert any("line 6: has no name" in line for line in told)


def test_splits_of_a_table_and_of_lists(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "set")
    splits = dict(zip("abcde", ("train", "train", "val", "test", "held_combo"), strict=True))
    rows = [json.dumps({"name": n, "split": s, "captions": [n]}) for n, s in splits.items()]
    table = tmp_path / "elsewhere.jsonl"
    table.write_text("\n".join(rows))
    found = open_motion_set(root, captions=table)
    assert found.texts == [("a",), ("b",)]
    assert reasons(found) == ["f.npz: is in no split, expected a row in its table of captions"]
    assert [clip.name for clip in open_motion_set(root, ["held_combo"], captions=table)] == ["e"]
    (root / "train.txt").write_text("a\nc\nMd")
    (root / "test.txt").write_text("d\nf\n")
    found = open_motion_set(root)
    assert [clip.name for clip in found] == ["c", "a"]
    assert [clip.name for clip in open_motion_set(root, ["test"])] == ["d", "f"]


def test_prepared_once_by_content(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clip_folder(tmp_path / "set")
    first = open_motion_set(root, workers=0)
    assert len(list(cache.rglob("*.rows"))) == len(list(cache.rglob("*.json"))) == 6
    read: list[Path] = []
    make = prepared.read_motions
    monkeypatch.setattr(prepared, "read_motions", lambda path, **how: (read.append(path), make(path, **how))[1])
    root.rename(tmp_path / "moved")
    again = open_motion_set(tmp_path / "moved", workers=0)
    assert read == []
    assert again.ids == first.ids
    save_clip(tmp_path / "moved" / "c.npz", CLIPS[5])
    changed = open_motion_set(tmp_path / "moved", workers=0)
    assert [path.name for path in read] == ["c.npz"]
    assert sum(a != b for a, b in zip(changed.ids, first.ids, strict=True)) == 1
    for rows in list(cache.rglob("*.rows"))[:2]:
        os.truncate(rows, 100)
    mended = open_motion_set(tmp_path / "moved", workers=0)
    assert len(read) == 3
    assert all(np.array_equal(a, b) for a, b in zip(changed.features, mended.features, strict=True))


def test_many_motions_of_a_file(tmp_path: Path) -> None:
    positions = np.stack([track_of(clip.slice(0, 40)).positions[..., [1, 2, 0]] for clip in CLIPS[:3]])
    positions[1, 5] = np.nan
    (tmp_path / "set").mkdir()
    joints = positions.transpose(0, 2, 3, 1)
    np.save(tmp_path / "set" / "results.npy", {"motion": joints, "lengths": [40, 40, 30], "text": ["a", "b", "c"]})
    rate = prepared.ReadingConfig(fps=20.0)
    for _ in range(2):
        found = open_motion_set(tmp_path / "set", how=rate)
        assert [(clip.name, clip.texts) for clip in found] == [("results:0", ("a",)), ("results:2", ("c",))]
        assert len(found.failed) == 1
        assert "NaN" in found.failed[0]["reason"]


def _open(root: str) -> None:
    assert len(open_motion_set(Path(root), workers=0)) == 6


def test_processes_share_a_cache(tmp_path: Path) -> None:
    root = clip_folder(tmp_path / "set")
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_open, args=(str(root),)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert len(list((tmp_path / "cache").rglob("*.*"))) == 12
    alone = open_motion_set(root, workers=0, cache=tmp_path / "alone")
    by_workers = open_motion_set(root, workers=1, cache=tmp_path / "workers")
    shared = open_motion_set(root)
    for other in (by_workers, shared):
        assert all(np.array_equal(a, b) for a, b in zip(alone.features, other.features, strict=True))


def test_a_set_trains_as_its_clips_do(tmp_path: Path) -> None:
    found = open_motion_set(clip_folder(tmp_path / "set"))
    assert found.features.lengths.tolist() == [len(rows) for rows in found.features]
    joined = np.concatenate([np.asarray(rows, dtype=float) for rows in found.features])
    mean, std = mean_and_std(found.features)
    assert np.allclose(mean, joined.mean(0))
    assert np.allclose(std, joined.std(0))
    assert [clip.name for clip in found[1:3]] == ["d", "e"]
    config, budget = TokenizerConfig(streams=2, codebook=16, width=16), Budget(2, None, 2, 1e-3)
    lazily, listed = train_tokenizer(found, config, budget), train_tokenizer(list(found), config, budget)
    for name, tensor in lazily.state_dict().items():
        assert torch.allclose(tensor, listed.state_dict()[name], atol=1e-4), name


def test_training_on_a_set_with_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = clip_folder(tmp_path / "set")
    (root / "broken.npz").write_bytes(b"PK damaged")
    save_clip(root / "mute.npz", replace(CLIPS[0], texts=()))
    (root / "train.txt").write_text("\n".join([*"abcde", "broken", "mute"]))
    (root / "test.txt").write_text("f\n")
    source, budget = TrainingData(data=root, workers=0), Budget(2, None, 2, 1e-3)
    sizes = TokenizerConfig(streams=2, codebook=16, width=16)
    assert TrainTokenizer(tmp_path / "tok", source, sizes, budget).run() == 2
    made = json.loads((tmp_path / "tok" / "train_tokenizer.json").read_text())
    assert made["data_set"]["clips"] == 6
    assert [Path(row["path"]).name for row in made["data_set"]["failed"]] == ["broken.npz"]
    again = overlay(TrainTokenizer, tmp_path / "tok" / "train_tokenizer.json")
    assert again.source == replace(source, data=root.resolve())
    assert TrainGenerator(tmp_path / "llm", tmp_path / "tok", source=source, budget=budget).run() == 2
    made = json.loads((tmp_path / "llm" / "train_generator.json").read_text())
    assert made["data_set"]["clips"] == 5
    (root / "a.txt").write_text("")
    assert TrainTokenizer(tmp_path / "again", source, sizes, budget).run() == 2
    made = json.loads((tmp_path / "again" / "train_tokenizer.json").read_text())
    assert [Path(row["path"]).name for row in made["data_set"]["failed"]] == ["broken.npz"]
    told = capsys.readouterr().err
    assert "mute.npz: has no caption" in told
    assert "2 faults; 5 clips, 0.01 h, are used" in told
